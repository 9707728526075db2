//! The files of a data directory on their way to another one: linked when they never change again, else copied.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::limits::COPY_BYTES;

use super::BackupReport;

/// Tables of the archive are in directories of this name, and never change.
const TABLES: &str = "tables";
const ASIDE: &str = "unfinished";

pub(super) struct Copying {
    target: PathBuf,
    aside: PathBuf,
    jobs: VecDeque<Job>,
    current: Option<Open>,
    directories: Vec<PathBuf>,
    report: BackupReport,
}

struct Job {
    from: PathBuf,
    to: PathBuf,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Link,
    Copy,
    /// Of this file of the system, up to here, zeros behind; left out when it lost its name meanwhile.
    Segment {
        inode: u64,
        written: u64,
    },
}

struct Open {
    job: Job,
    from: File,
    to: File,
    at: u64,
    end: u64,
    length: u64,
}

impl Copying {
    /// Notes what is to be copied, with the lanes held.
    pub(super) fn begin(source: &Path, target: &Path) -> Result<Copying, String> {
        let mut name = target.file_name().ok_or("the backup names no directory")?.to_owned();
        name.push(format!(".{ASIDE}"));
        let aside = target.with_file_name(name);
        let mut copying = Copying {
            target: target.to_owned(),
            aside: aside.clone(),
            jobs: VecDeque::new(),
            current: None,
            directories: Vec::new(),
            report: BackupReport::default(),
        };
        let _ = fs::remove_dir_all(&aside);
        copying.list(source, &aside).map_err(|error| format!("listing {}: {error}", source.display()))?;
        copying.note_written().map_err(|error| format!("reading the journal in {}: {error}", source.display()))?;
        Ok(copying)
    }

    fn list(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        fs::DirBuilder::new().mode(0o700).create(to)?;
        self.directories.push(to.to_owned());
        let in_tables = from.file_name().is_some_and(|name| name == TABLES);
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            let (from, to) = (entry.path(), to.join(entry.file_name()));
            let name = entry.file_name().to_string_lossy().into_owned();
            let file_type = entry.file_type()?;
            if file_type.is_dir() {
                self.list(&from, &to)?;
            } else if file_type.is_file() && !name.ends_with(".new") {
                let metadata = match entry.metadata() {
                    // A lane has freed a segment.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    metadata => metadata?,
                };
                let kind = if name.ends_with(".seg") {
                    Kind::Segment { inode: metadata.ino(), written: metadata.len() }
                } else if in_tables || name.ends_with(".ckp") {
                    Kind::Link
                } else {
                    Kind::Copy
                };
                self.jobs.push_back(Job { from, to, kind });
            }
        }
        Ok(())
    }

    /// Only the last two segments of a lane may have room left: their written length is where the zeros begin.
    fn note_written(&mut self) -> io::Result<()> {
        let mut lanes: BTreeMap<String, Vec<&mut Job>> = BTreeMap::new();
        for job in &mut self.jobs {
            if let Kind::Segment { .. } = job.kind {
                let name = job.from.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let lane = name.rsplit_once("-s").map_or(name.clone(), |(lane, _)| lane.to_owned());
                lanes.entry(lane).or_default().push(job);
            }
        }
        for mut jobs in lanes.into_values() {
            jobs.sort_by(|a, b| b.from.cmp(&a.from));
            for job in jobs.into_iter().take(2) {
                if let Kind::Segment { written, .. } = &mut job.kind {
                    *written = written_length(&File::open(&job.from)?, *written)?;
                }
            }
        }
        Ok(())
    }

    /// One piece. `Some` when the backup is whole and durable, under its name.
    pub(super) fn step(&mut self) -> Result<Option<BackupReport>, String> {
        if let Some(open) = self.current.take() {
            let path = open.job.from.clone();
            return self.go_on(open).map(|()| None).map_err(|error| format!("copying {}: {error}", path.display()));
        }
        if let Some(job) = self.jobs.pop_front() {
            let path = job.from.clone();
            return self.start(job).map(|()| None).map_err(|error| format!("copying {}: {error}", path.display()));
        }
        self.publish().map(Some).map_err(|error| format!("ending {}: {error}", self.target.display()))
    }

    fn start(&mut self, job: Job) -> io::Result<()> {
        if job.kind == Kind::Link && fs::hard_link(&job.from, &job.to).is_ok() {
            self.report.files += 1;
            self.report.linked += 1;
            return Ok(());
        }
        let from = match File::open(&job.from) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && job.is_segment() => return Ok(()),
            from => from?,
        };
        let metadata = from.metadata()?;
        let length = metadata.len();
        let end = match job.kind {
            Kind::Segment { written, .. } => written.min(length),
            Kind::Link | Kind::Copy => length,
        };
        // A data directory holds a key: a copy is as private as what it is of.
        let to = OpenOptions::new().write(true).create_new(true).mode(metadata.mode() & 0o777).open(&job.to)?;
        self.current = Some(Open { job, from, to, at: 0, end, length });
        Ok(())
    }

    fn go_on(&mut self, mut open: Open) -> io::Result<()> {
        let bytes = (open.end - open.at).min(COPY_BYTES as u64);
        if bytes > 0 {
            open.from.seek(SeekFrom::Start(open.at))?;
            let mut buffer = Vec::with_capacity(COPY_BYTES);
            (&open.from).take(bytes).read_to_end(&mut buffer)?;
            if buffer.len() as u64 != bytes {
                return Err(io::Error::other("the file has become shorter"));
            }
            open.to.write_all(&buffer)?;
            open.at += bytes;
            self.report.bytes += bytes;
            self.current = Some(open);
            return Ok(());
        }
        if let Kind::Segment { inode, .. } = open.job.kind {
            // A segment that is used again has lost its name before its content.
            if fs::metadata(&open.job.from).map_or(0, |metadata| metadata.ino()) != inode {
                return fs::remove_file(&open.job.to);
            }
        }
        open.to.set_len(open.length)?;
        open.to.sync_all()?;
        self.report.files += 1;
        Ok(())
    }

    fn publish(&mut self) -> io::Result<BackupReport> {
        for directory in self.directories.iter().rev() {
            File::open(directory)?.sync_all()?;
        }
        fs::rename(&self.aside, &self.target)?;
        let parent = self.target.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
        Ok(self.report)
    }
}

impl Job {
    fn is_segment(&self) -> bool {
        matches!(self.kind, Kind::Segment { .. })
    }
}

fn written_length(file: &File, length: u64) -> io::Result<u64> {
    let mut end = length;
    let mut buffer = vec![0; COPY_BYTES];
    while end > 0 {
        let from = end.saturating_sub(COPY_BYTES as u64);
        let piece = &mut buffer[..(end - from) as usize];
        file.read_exact_at(piece, from)?;
        if let Some(last) = piece.iter().rposition(|byte| *byte != 0) {
            return Ok(from + last as u64 + 1);
        }
        end = from;
    }
    Ok(0)
}
