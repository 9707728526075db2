//! The archive's key-value store: every call is durable and whole, or it never was. A crash comes before a call has its effect,
//! or after it and before the caller knows.

use std::io;

use orderlane_archive::{Give, MemoryStore, Store};

use crate::faults::Fault;

use super::SimDisk;
use super::directory::SimDirectory;

/// The store of one process. Cheap to clone.
#[derive(Clone)]
pub struct SimStore {
    disk: SimDisk,
    files: SimDirectory,
}

impl SimStore {
    /// The store beside these files: what it meets is told there.
    #[must_use]
    pub fn new(disk: SimDisk, files: SimDirectory) -> SimStore {
        SimStore { disk, files }
    }

    /// The files beside it.
    #[must_use]
    pub fn files(&self) -> &SimDirectory {
        &self.files
    }

    /// A change: a crash here lets it happen or not, and so does an error, which does not say which.
    fn change(&self, what: &str, bytes: usize, act: impl FnOnce(&mut MemoryStore) -> io::Result<()>) -> io::Result<()> {
        self.disk.sim().note(what, &[bytes as u64]);
        let mut state = self.disk.state_mut();
        self.files.alive(&state)?;
        state.submit(true);
        let fails = state.stopped || self.disk.sim().faults().draw(Fault::ArchiveWriteError, &mut state.random);
        let room = self.disk.has_room(&state, bytes);
        let happens = if fails { state.random.chance(500) } else { room };
        if happens {
            act(&mut state.store).expect("memory does not fail");
        }
        if state.stopped {
            return Err(io::Error::other("the simulated machine stops here"));
        }
        if fails {
            return Err(self.files.fail(Fault::ArchiveWriteError, what));
        }
        if room { Ok(()) } else { Err(self.files.fail(Fault::NoSpace, what)) }
    }

    fn read<T>(&self, what: &str, act: impl FnOnce(&MemoryStore) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.disk.state_mut();
        self.files.alive(&state)?;
        state.submit(false);
        if state.stopped {
            return Err(io::Error::other("the simulated machine stops here"));
        }
        if self.disk.sim().faults().draw(Fault::ArchiveReadError, &mut state.random) {
            return Err(self.files.fail(Fault::ArchiveReadError, what));
        }
        // Whoever visits may not touch the disk; a copy of the borrow is not kept.
        act(&state.store)
    }
}

impl Store for SimStore {
    fn keyspaces(&self) -> io::Result<Vec<String>> {
        self.read("store-keyspaces", MemoryStore::keyspaces)
    }

    fn ingest(&mut self, keyspace: &str, give: &mut Give<'_>) -> io::Result<()> {
        let mut bytes = 0;
        give(&mut |key, value| {
            bytes += key.len() + value.len();
            Ok(())
        })?;
        self.change("store-ingest", bytes, |store| store.ingest(keyspace, give))
    }

    fn drop_keyspace(&mut self, keyspace: &str) -> io::Result<()> {
        self.change("store-drop", 0, |store| store.drop_keyspace(keyspace))
    }

    fn set_meta(&mut self, entries: &[(Vec<u8>, Option<Vec<u8>>)]) -> io::Result<()> {
        let bytes = entries.iter().map(|(key, value)| key.len() + value.as_ref().map_or(0, Vec::len)).sum();
        self.change("store-set-meta", bytes, |store| store.set_meta(entries))
    }

    fn get(&self, keyspace: &str, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        self.read("store-get", |store| store.get(keyspace, key))
    }

    fn scan(
        &self,
        keyspace: &str,
        from: &[u8],
        to: &[u8],
        down: bool,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> io::Result<()> {
        self.read("store-scan", |store| store.scan(keyspace, from, to, down, visit))
    }
}
