//! The segment files of a data directory: for the start of the process and for commands on a stopped one.

use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use orderlane_core::{Event, Sequence, ShardId, Time};

use crate::damage::Damage;
use crate::directory::{Directory, OsDirectory};
use crate::export::export_frame;
use crate::recovery::{Recovered, Recovery};
use crate::segment::{Identity, SegmentName};
use crate::unused::unused_segments;
use crate::walk::{SegmentState, Walk};

/// Why the files of a journal were not read.
#[derive(Debug)]
pub enum FilesError {
    /// The system refused.
    Io {
        /// What was being done.
        action: &'static str,
        /// To which file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file whose name ends in `.seg` and that is no segment's.
    UnknownName(PathBuf),
    /// There is a checkpoint and no journal at all, not even the segments that the last run was using.
    NoJournal {
        /// The directory.
        path: PathBuf,
        /// A shard.
        shard: ShardId,
        /// Where its checkpoint goes on.
        wanted: Sequence,
    },
    /// The content.
    Damage(Damage),
}

impl fmt::Display for FilesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FilesError::Io { action, path, source } => write!(f, "{action} {}: {source}", path.display()),
            FilesError::UnknownName(path) => {
                write!(f, "{} is not the name of a journal segment; move the file away", path.display())
            }
            FilesError::NoJournal { path, shard, wanted } => write!(
                f,
                "{} has no journal, and the checkpoint of shard {shard} goes on at sequence {wanted}; acknowledged orders would be \
                 lost, so nothing was changed: restore the segments from a copy of the data directory",
                path.display()
            ),
            FilesError::Damage(damage) => damage.fmt(f),
        }
    }
}

impl std::error::Error for FilesError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            FilesError::Io { source, .. } => Some(source),
            FilesError::UnknownName(_) | FilesError::NoJournal { .. } => None,
            FilesError::Damage(damage) => Some(damage),
        }
    }
}

impl From<Damage> for FilesError {
    fn from(damage: Damage) -> FilesError {
        FilesError::Damage(damage)
    }
}

/// One segment as `show` lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentSummary {
    /// The segment: run, lane, index.
    pub name: SegmentName,
    /// Whole frames, markers included.
    pub frames: u64,
    /// Events in them.
    pub events: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// What follows the last one.
    pub state: SegmentState,
}

/// The segments of a data directory, in the order of their names.
#[derive(Clone, Debug)]
pub struct SegmentFiles<D: Directory = OsDirectory> {
    directory: D,
    names: Vec<SegmentName>,
}

impl<D: Directory> SegmentFiles<D> {
    /// Lists the segments of `directory`. Files with other endings do not count.
    ///
    /// # Errors
    /// When the directory cannot be read or holds an unknown `.seg` file.
    pub fn list(directory: D) -> Result<SegmentFiles<D>, FilesError> {
        let mut names = Vec::new();
        for name in file_names(&directory)? {
            match SegmentName::parse(&name) {
                Some(segment) => names.push(segment),
                None if name.ends_with(".seg") => return Err(FilesError::UnknownName(directory.path().join(name))),
                None => {}
            }
        }
        names.sort_unstable();
        Ok(SegmentFiles { directory, names })
    }

    /// For a start, with no other process in the directory: removes segments whose filling was never finished, lists the
    /// others, and makes durable what will be read. Pages that only the cache holds would otherwise be recovered, built upon, and
    /// lost: those that were never synced, and those whose sync failed, which only the last run can have left at the end of a lane.
    ///
    /// # Errors
    /// As [`SegmentFiles::list`], and when a file cannot be removed or a sync fails: then nothing may be read.
    pub fn prepare(directory: D) -> Result<SegmentFiles<D>, FilesError> {
        for name in file_names(&directory)?.iter().filter(|name| SegmentName::is_unfinished(name)) {
            let failed = io_error("removing the unfinished segment", directory.path().join(name));
            directory.remove(name).map_err(failed)?;
        }
        let files = SegmentFiles::list(directory)?;
        for name in &files.names {
            files.directory.sync(&name.to_string()).map_err(io_error("syncing", files.path(*name)))?;
        }
        files.forget_cached()?;
        files.sync_names()?;
        Ok(files)
    }

    /// From now on the files are read as the disk has them, where the last run may have left pages whose sync had failed. For
    /// whoever reads a stopped data directory without a start.
    ///
    /// # Errors
    /// When a file cannot be opened.
    pub fn forget_cached(&self) -> Result<(), FilesError> {
        self.last_in_use().try_for_each(|name| {
            let failed = io_error("dropping the cached pages of", self.path(name));
            self.directory.forget_cached(&name.to_string()).map_err(failed)
        })
    }

    /// After a recovery of every shard: removes segments that were made ahead and never used. `unused` are those that each
    /// recovery found unused ([`Recovered::unused`]); they are looked at once more, so that one wrong read removes nothing.
    ///
    /// # Errors
    /// When a file cannot be read or removed or a sync fails.
    pub fn remove_unused(&self, unused: &[SegmentName]) -> Result<(), FilesError> {
        for round in unused_segments(self, unused)? {
            for name in round {
                let failed = io_error("removing the unused segment", self.path(name));
                self.directory.remove(&name.to_string()).map_err(failed)?;
            }
            // The next ones stand before these: none of these may come back without them.
            self.sync_names()?;
        }
        Ok(())
    }

    /// The segments that the last run may have written to when it ended: the last two of each lane, one made ahead.
    fn last_in_use(&self) -> impl Iterator<Item = SegmentName> {
        let run = self.names.last().map(|last| last.run);
        let lanes = self.names.chunk_by(|a, b| (a.run, a.lane) == (b.run, b.lane));
        let last = lanes.filter(move |lane| Some(lane[0].run) == run);
        last.flat_map(|lane| lane.iter().rev().take(2).copied())
    }

    fn sync_names(&self) -> Result<(), FilesError> {
        self.directory.sync_names().map_err(io_error("syncing", self.directory.path()))
    }

    /// The segments.
    #[must_use]
    pub fn names(&self) -> &[SegmentName] {
        &self.names
    }

    /// Where a segment is.
    #[must_use]
    pub fn path(&self, name: SegmentName) -> PathBuf {
        self.directory.path().join(name.to_string())
    }

    /// Reads all of a segment into `buffer`, whose room is used again.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(&self, name: SegmentName, buffer: &mut Vec<u8>) -> Result<(), FilesError> {
        buffer.clear();
        self.read_part(name, 0, usize::MAX, buffer)
    }

    /// Appends a part of a segment, shorter only at the segment's end.
    pub(crate) fn read_part(
        &self,
        name: SegmentName,
        offset: u64,
        bytes_max: usize,
        buffer: &mut Vec<u8>,
    ) -> Result<(), FilesError> {
        let read = self.directory.read(&name.to_string(), offset, bytes_max, buffer);
        read.map_err(io_error("reading", self.path(name)))
    }

    /// Bytes of a segment's file.
    pub(crate) fn length(&self, name: SegmentName) -> Result<u64, FilesError> {
        self.directory.length(&name.to_string()).map_err(io_error("reading", self.path(name)))
    }

    /// Recovers the wanted shards, each from its sequence on, which need not be in a segment any more; see [`Recovery`]. Several threads may do so at once.
    ///
    /// # Errors
    /// When a file cannot be read or is damaged: then what was applied does not count.
    pub fn recover(
        &self,
        identity: Identity,
        wanted: &[(ShardId, Sequence)],
        mut apply: impl FnMut(ShardId, Sequence, Time, &Event),
    ) -> Result<Recovered, FilesError> {
        let behind = wanted.iter().find(|(_, wanted)| *wanted > 1);
        if let (Some((shard, wanted)), true) = (behind, self.names.is_empty()) {
            let path = self.directory.path().to_owned();
            return Err(FilesError::NoJournal { path, shard: *shard, wanted: *wanted });
        }
        let mut recovery = Recovery::new(identity, wanted);
        let mut buffer = Vec::new();
        for name in &self.names {
            self.read(*name, &mut buffer)?;
            recovery.segment(*name, &buffer, &mut apply)?;
        }
        Ok(recovery.finish()?)
    }

    /// Reads and checks everything, and hands one summary a segment to `list` as it goes.
    ///
    /// # Errors
    /// When a file cannot be read or is damaged; the segments before it have been listed.
    pub fn show(&self, identity: Identity, mut list: impl FnMut(SegmentSummary)) -> Result<(), FilesError> {
        let mut walk = Walk::new(identity);
        let mut buffer = Vec::new();
        for name in &self.names {
            self.read(*name, &mut buffer)?;
            list(summary(&mut walk, *name, &buffer)?);
        }
        Ok(())
    }

    /// Writes every event as a line of JSON; gives their count.
    ///
    /// # Errors
    /// When a file cannot be read or is damaged, or `out` fails; the events before it have been written.
    pub fn export(&self, identity: Identity, out: &mut impl Write) -> Result<u64, FilesError> {
        let mut walk = Walk::new(identity);
        let mut buffer = Vec::new();
        let mut events = 0;
        for name in &self.names {
            self.read(*name, &mut buffer)?;
            let mut segment = walk.segment(*name, &buffer)?;
            while let Some(frame) = segment.next_frame()? {
                let written = export_frame(&frame, out).map_err(io_error("exporting", self.path(*name)))?;
                events += written.map_err(|malformed| segment.damage(&frame, malformed.into()))?;
            }
        }
        Ok(events)
    }
}

fn summary(walk: &mut Walk, name: SegmentName, bytes: &[u8]) -> Result<SegmentSummary, Damage> {
    let mut segment = walk.segment(name, bytes)?;
    let mut summary = SegmentSummary { name, frames: 0, events: 0, bytes: 0, state: SegmentState::Whole };
    while let Some(frame) = segment.next_frame()? {
        summary.frames += 1;
        summary.bytes += frame.length as u64;
        for record in frame.records() {
            let record = record.map_err(|malformed| segment.damage(&frame, malformed.into()))?;
            for event in record.events() {
                event.map_err(|malformed| segment.damage(&frame, malformed.into()))?;
                summary.events += 1;
            }
        }
    }
    summary.state = segment.state().expect("the frames were taken to the end");
    Ok(summary)
}

fn file_names(directory: &impl Directory) -> Result<Vec<String>, FilesError> {
    directory.names().map_err(io_error("listing", directory.path()))
}

fn io_error(action: &'static str, path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> FilesError {
    move |source| FilesError::Io { action, path: path.as_ref().to_owned(), source }
}
