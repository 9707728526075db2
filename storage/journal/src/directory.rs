//! The files of a data directory while no lane runs on it: what a start, and a command on a stopped data directory, need.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{Advice, fadvise};

pub use orderlane_lane::Directory;

/// A directory of the operating system.
#[derive(Clone, Debug)]
pub struct OsDirectory {
    path: PathBuf,
}

impl OsDirectory {
    /// The directory at `path`.
    pub fn new(path: impl Into<PathBuf>) -> OsDirectory {
        OsDirectory { path: path.into() }
    }

    fn open(&self, name: &str) -> io::Result<File> {
        File::open(self.path.join(name))
    }
}

impl Directory for OsDirectory {
    fn path(&self) -> &Path {
        &self.path
    }

    fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }

    fn length(&self, name: &str) -> io::Result<u64> {
        Ok(fs::metadata(self.path.join(name))?.len())
    }

    fn read(&self, name: &str, offset: u64, bytes_max: usize, buffer: &mut Vec<u8>) -> io::Result<()> {
        let mut file = self.open(name)?;
        let bytes = file.metadata()?.len().saturating_sub(offset).min(bytes_max as u64);
        buffer.try_reserve(usize::try_from(bytes).unwrap_or(usize::MAX))?;
        if offset > 0 {
            file.seek(SeekFrom::Start(offset))?;
        }
        file.take(bytes_max as u64).read_to_end(buffer)?;
        Ok(())
    }

    fn sync(&self, name: &str) -> io::Result<()> {
        self.open(name)?.sync_all()
    }

    fn forget_cached(&self, name: &str) -> io::Result<()> {
        Ok(fadvise(self.open(name)?, 0, None, Advice::DontNeed)?)
    }

    fn sync_names(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    fn create(&self, name: &str) -> io::Result<()> {
        OpenOptions::new().write(true).create_new(true).open(self.path.join(name)).map(drop)
    }

    fn append(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        OpenOptions::new().append(true).open(self.path.join(name))?.write_all(bytes)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))
    }
}
