//! The files of a data directory while no lane runs on it: what a start, and a command on a stopped data directory, need.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use rustix::fs::{Advice, fadvise};

/// The files of a data directory while no lane runs on it. Every call blocks.
pub trait Directory {
    /// Where it is, for messages.
    fn path(&self) -> &Path;

    /// The names of its files, in any order. A name that is not UTF-8 is none of ours and is left out.
    ///
    /// # Errors
    /// What the system said; so it is below.
    fn names(&self) -> io::Result<Vec<String>>;

    /// Bytes of a file.
    fn length(&self, name: &str) -> io::Result<u64>;

    /// Appends the bytes of a file from `offset` on, at most `bytes_max`; fewer only at its end.
    fn read(&self, name: &str, offset: u64, bytes_max: usize, buffer: &mut Vec<u8>) -> io::Result<()>;

    /// What can be read of a file is durable from now on.
    fn sync(&self, name: &str) -> io::Result<()>;

    /// From now on reads of a synced file give what the disk holds, not what the cache remembers. After a failed sync the cache
    /// keeps the pages, clean, and every later sync succeeds without writing them (Rebello et al., "Can Applications Recover from
    /// fsync Failures?", 2020).
    fn forget_cached(&self, name: &str) -> io::Result<()>;

    /// The names, as they are, are durable from now on.
    fn sync_names(&self) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;
}

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
}
