//! A copy of all files, for a start that is only tried: nothing fails, and what it changes is gone with it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::rc::Rc;

use orderlane_journal::Directory;

/// Files by name. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct FilesCopy(Rc<RefCell<BTreeMap<String, Vec<u8>>>>);

impl FilesCopy {
    /// A directory of these files.
    #[must_use]
    pub fn new(files: BTreeMap<String, Vec<u8>>) -> FilesCopy {
        FilesCopy(Rc::new(RefCell::new(files)))
    }

    /// Flips a bit in the middle of a file.
    pub fn damage(&self, name: &str) {
        if let Some(bytes) = self.0.borrow_mut().get_mut(name) {
            let middle = bytes.len() / 2;
            bytes.iter_mut().skip(middle).take(1).for_each(|byte| *byte ^= 1);
        }
    }

    fn with<T>(&self, name: &str, act: impl FnOnce(&mut Vec<u8>) -> T) -> io::Result<T> {
        self.0.borrow_mut().get_mut(name).map(act).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Directory for FilesCopy {
    fn path(&self) -> &Path {
        Path::new("copy")
    }

    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.0.borrow().keys().cloned().collect())
    }

    fn length(&self, name: &str) -> io::Result<u64> {
        self.with(name, |bytes| bytes.len() as u64)
    }

    fn read(&self, name: &str, offset: u64, bytes_max: usize, buffer: &mut Vec<u8>) -> io::Result<()> {
        self.with(name, |bytes| {
            let rest = bytes.get(offset as usize..).unwrap_or_default();
            buffer.extend_from_slice(&rest[..rest.len().min(bytes_max)]);
        })
    }

    fn sync(&self, name: &str) -> io::Result<()> {
        self.with(name, |_| ())
    }

    fn forget_cached(&self, name: &str) -> io::Result<()> {
        self.sync(name)
    }

    fn sync_names(&self) -> io::Result<()> {
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.borrow_mut().remove(name).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn create(&self, name: &str) -> io::Result<()> {
        if self.sync(name).is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.0.borrow_mut().insert(name.to_owned(), Vec::new());
        Ok(())
    }

    fn append(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.with(name, |file| file.extend_from_slice(bytes))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let bytes = self.0.borrow_mut().remove(from).ok_or(io::ErrorKind::NotFound)?;
        self.0.borrow_mut().insert(to.to_owned(), bytes);
        Ok(())
    }
}
