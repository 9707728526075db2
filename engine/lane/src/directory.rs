//! The files of a directory for whoever may block on them: a start, a command, the keeper of the archive. A lane never does.

use std::io;
use std::path::Path;

/// The files of one directory, by name. Every call blocks. Nothing is durable before [`Directory::sync`] (contents) and
/// [`Directory::sync_names`] (names) succeed; a failed sync is never retried.
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

    /// Makes a new, empty file; fails when the name exists.
    fn create(&self, name: &str) -> io::Result<()>;

    /// Appends to a file.
    fn append(&self, name: &str, bytes: &[u8]) -> io::Result<()>;

    /// Renames a file within the directory, over an older one if there is one.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
}
