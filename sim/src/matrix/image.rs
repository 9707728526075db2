//! The files of a damaged data directory, and what a start makes of them.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use orderlane_core::{Sequence, ShardId};
use orderlane_journal::{Directory, FilesError, SegmentFiles};

use super::journal::{IDENTITY, Journal};

/// Files that a start reads; what it removes is gone for this start only. It makes none.
pub(super) struct Image {
    pub(super) files: BTreeMap<String, Vec<u8>>,
    removed: RefCell<BTreeSet<String>>,
}

/// What a start made of an image.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Started {
    /// It refused, and named this file of the directory; the whole message.
    Refused(String),
    /// By shard, the next sequence. Every event before it is the one that was written.
    Reached(Vec<(ShardId, Sequence)>),
    /// It accepted what was never written, or refused without a name.
    Wrong(String),
}

impl Image {
    pub(super) fn new(files: BTreeMap<String, Vec<u8>>) -> Image {
        Image { files, removed: RefCell::default() }
    }

    /// A whole start: prepare the files, then recover every shard, and compare each event.
    pub(super) fn start(&self, journal: &Journal) -> Started {
        self.removed.borrow_mut().clear();
        let mut wrong = None;
        let mut apply = |shard: ShardId, sequence: Sequence, event: &_| {
            let expected = sequence.checked_sub(1).and_then(|index| journal.events[shard.index()].get(index as usize));
            if expected != Some(event) {
                wrong = Some(format!("event {sequence} of shard {shard} was never written"));
            }
        };
        let wanted: Vec<_> = (0..IDENTITY.shards).map(|shard| (ShardId(shard), 1)).collect();
        let recovered = SegmentFiles::prepare(self).and_then(|files| {
            let recovered =
                files.recover(IDENTITY, &wanted, |shard, sequence, _, event| apply(shard, sequence, event))?;
            files.remove_unused(&recovered.unused)?;
            Ok(recovered)
        });
        match (recovered, wrong) {
            (Ok(_), Some(wrong)) => Started::Wrong(wrong),
            (Ok(recovered), None) => Started::Reached(recovered.next),
            (Err(FilesError::Damage(damage)), _) if self.files.contains_key(&damage.segment.to_string()) => {
                Started::Refused(damage.to_string())
            }
            (Err(error), _) => Started::Wrong(format!("refused without the name of a file: {error}")),
        }
    }

    fn file(&self, name: &str) -> io::Result<&[u8]> {
        let there = self.files.get(name).filter(|_| !self.removed.borrow().contains(name));
        there.map(Vec::as_slice).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Directory for &Image {
    fn path(&self) -> &Path {
        Path::new("image")
    }

    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.files.keys().filter(|name| !self.removed.borrow().contains(*name)).cloned().collect())
    }

    fn length(&self, name: &str) -> io::Result<u64> {
        Ok(self.file(name)?.len() as u64)
    }

    fn read(&self, name: &str, offset: u64, bytes_max: usize, buffer: &mut Vec<u8>) -> io::Result<()> {
        let rest = self.file(name)?.get(offset as usize..).unwrap_or_default();
        buffer.extend_from_slice(&rest[..rest.len().min(bytes_max)]);
        Ok(())
    }

    fn sync(&self, name: &str) -> io::Result<()> {
        self.file(name).map(|_| ())
    }

    fn forget_cached(&self, name: &str) -> io::Result<()> {
        self.sync(name)
    }

    fn sync_names(&self) -> io::Result<()> {
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.file(name)?;
        self.removed.borrow_mut().insert(name.to_owned());
        Ok(())
    }

    fn create(&self, _name: &str) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn append(&self, _name: &str, _bytes: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn rename(&self, _from: &str, _to: &str) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
