//! Copies of data directories: what never changes is linked, the rest is copied and made durable.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use crate::aside::sync_directory;

/// What was copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Copied {
    pub(crate) files: u64,
    /// Files of them that share their bytes with the original.
    pub(crate) linked: u64,
    pub(crate) bytes: u64,
}

/// Pages of zeros stay holes: most of a journal's last segment.
const HOLE_BYTES: usize = 64 * 1024;

/// Copies the tree below `from` into the directory `to`, durably. Sockets and what is being made aside are left out.
pub(crate) fn copy_tree(from: &Path, to: &Path) -> io::Result<Copied> {
    let mut copied = Copied::default();
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_dir() {
            fs::DirBuilder::new().mode(0o700).create(&target)?;
            let inner = copy_tree(&source, &target)?;
            copied.files += inner.files;
            copied.linked += inner.linked;
            copied.bytes += inner.bytes;
        } else if kind.is_file() {
            copied.files += 1;
            copied.bytes += fs::metadata(&source)?.len();
            // Another file system, or one without links: then a copy.
            let linked = is_immutable(&source) && fs::hard_link(&source, &target).is_ok();
            copied.linked += u64::from(linked);
            if !linked {
                copy_file(&source, &target)?;
            }
        }
    }
    sync_directory(to)?;
    Ok(copied)
}

/// Whether a file is only ever made whole, and removed: checkpoints, and the tables of the archive.
fn is_immutable(path: &Path) -> bool {
    let is_table = path.parent().and_then(Path::file_name).is_some_and(|name| name == "tables");
    is_table || path.extension().is_some_and(|extension| extension == "ckp")
}

fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    let mut source = File::open(from)?;
    let mut target = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
    let length = source.metadata()?.len();
    let mut piece = vec![0; HOLE_BYTES];
    loop {
        let count = io::Read::read(&mut source, &mut piece)?;
        match &piece[..count] {
            [] => break,
            bytes if bytes.iter().all(|byte| *byte == 0) => {
                target.seek(SeekFrom::Current(i64::try_from(count).expect("a piece is small")))?;
            }
            bytes => target.write_all(bytes)?,
        }
    }
    target.set_len(length)?;
    target.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_tree_is_copied_and_only_what_never_changes_is_linked() {
        let home = tempfile::tempdir().expect("a temporary directory");
        let (from, to) = (home.path().join("from"), home.path().join("to"));
        fs::create_dir_all(from.join("archive/0/tables")).expect("made");
        fs::create_dir(&to).expect("made");
        let segment: Vec<u8> = [vec![7; 100], vec![0; 3 * HOLE_BYTES], vec![9], vec![0; 5000]].concat();
        for (name, bytes) in [
            ("1.seg", &segment[..]),
            ("1.ckp", b"checkpoint"),
            ("archive/0/tables/1", b"table"),
            ("archive/0/manifest", b"manifest"),
            ("empty", b""),
        ] {
            fs::write(from.join(name), bytes).expect("written");
        }
        let _socket = UnixListener::bind(from.join("control.sock")).expect("bound");

        let copied = copy_tree(&from, &to).expect("copied");
        assert_eq!((copied.files, copied.linked, copied.bytes), (5, 2, segment.len() as u64 + 23));
        assert!(!to.join("control.sock").exists());
        for (name, linked) in [
            ("1.seg", false),
            ("1.ckp", true),
            ("archive/0/tables/1", true),
            ("archive/0/manifest", false),
            ("empty", false),
        ] {
            let same = |path: &Path| fs::metadata(path).expect("there").ino();
            assert_eq!(fs::read(to.join(name)).expect("there"), fs::read(from.join(name)).expect("there"), "{name}");
            assert_eq!(same(&to.join(name)) == same(&from.join(name)), linked, "{name}");
        }
    }
}
