//! A directory that is made aside and renamed when it is whole: a kill leaves none, or a whole one.

use std::fs::{self, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::error::{Context, Error, Result};

/// A directory on its way to its place. Removed when dropped before [`Aside::finish`].
pub(crate) struct Aside {
    path: PathBuf,
    target: PathBuf,
    parent: PathBuf,
}

impl Aside {
    /// An empty directory beside `target`, which must not exist or be empty.
    pub(crate) fn new(target: &Path) -> Result<Aside> {
        let action = || format!("making {}", target.display());
        if is_there(target)? {
            return Err(Error::new(format!("{} is there already and is not empty; name a new one", target.display())));
        }
        let parent = match target.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        fs::create_dir_all(parent).context(action())?;
        let name =
            target.file_name().ok_or_else(|| Error::usage(format!("{} names no directory", target.display())))?;
        let path = parent.join(format!(".{}.new-{}", name.to_string_lossy(), std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::DirBuilder::new().mode(0o700).create(&path).context(action())?;
        Ok(Aside { path, target: target.to_owned(), parent: parent.to_owned() })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Puts the directory, whose files are durable, in its place, for good.
    pub(crate) fn finish(self) -> Result<()> {
        let action = || format!("making {}", self.target.display());
        sync_directory(&self.path).context(action())?;
        fs::rename(&self.path, &self.target).context(action())?;
        sync_directory(&self.parent).context(action())
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Whether there is something other than an empty directory, which a mount point may be.
pub(crate) fn is_there(path: &Path) -> Result<bool> {
    match fs::read_dir(path) {
        Ok(mut entries) => Ok(entries.any(|entry| entry.is_ok_and(|entry| entry.file_name() != "lost+found"))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::new(format!("reading {}: {error}", path.display()))),
    }
}

/// Makes the names in a directory durable.
pub(crate) fn sync_directory(path: &Path) -> std::io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_there_when_finished_and_gone_when_not() {
        let home = tempfile::tempdir().expect("a temporary directory");
        let target = home.path().join("deep/target");
        drop(Aside::new(&target).expect("made aside"));
        assert!(!is_there(&target).expect("read"));
        assert_eq!(fs::read_dir(home.path().join("deep")).expect("made").count(), 0, "nothing is left aside");

        let aside = Aside::new(&target).expect("made aside");
        fs::write(aside.path().join("file"), "x").expect("written");
        aside.finish().expect("renamed");
        assert_eq!(fs::read_to_string(target.join("file")).expect("there"), "x");
        assert!(Aside::new(&target).is_err(), "what is there is left alone");
        assert_eq!(fs::read_dir(home.path().join("deep")).expect("made").count(), 1);
    }
}
