//! The archive's key-value store: every call is durable and whole, or it never was. A crash comes before a call has its effect,
//! or after it and before the caller knows.

use std::collections::BTreeMap;
use std::io;
use std::ops::Bound;

use orderlane_archive::Store;

use crate::faults::Fault;

use super::SimDisk;
use super::directory::SimDirectory;
use super::state::State;

/// The keyspace of the small entries.
const META: &str = "meta";

/// What is stored, by keyspace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Keyspaces(BTreeMap<String, BTreeMap<Vec<u8>, Vec<u8>>>);

impl Keyspaces {
    /// Bytes of all keys and values.
    pub(super) fn bytes(&self) -> u64 {
        self.0.values().flatten().map(|(key, value)| (key.len() + value.len()) as u64).sum()
    }

    fn put(&mut self, keyspace: &str, entries: Vec<(Vec<u8>, Vec<u8>)>) {
        self.0.entry(keyspace.to_owned()).or_default().extend(entries);
    }

    fn set(&mut self, entries: Vec<(Vec<u8>, Option<Vec<u8>>)>) {
        let meta = self.0.entry(META.to_owned()).or_default();
        for (key, value) in entries {
            match value {
                Some(value) => drop(meta.insert(key, value)),
                None => drop(meta.remove(&key)),
            }
        }
    }

    fn scan(&self, keyspace: &str, from: &[u8], to: &[u8], down: bool, visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) {
        let Some(entries) = self.0.get(keyspace).filter(|_| from <= to) else { return };
        let range = entries.range::<[u8], _>((Bound::Included(from), Bound::Included(to)));
        let mut visit = |(key, value): (&Vec<u8>, &Vec<u8>)| visit(key, value);
        let _ = if down { range.rev().all(&mut visit) } else { { range }.all(&mut visit) };
    }
}

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
    fn change(&self, what: &str, bytes: usize, act: impl FnOnce(&mut State)) -> io::Result<()> {
        self.disk.sim().note(what, &[bytes as u64]);
        let mut state = self.disk.state_mut();
        self.files.alive(&state)?;
        state.submit(true);
        let fails = state.stopped || self.disk.sim().faults().draw(Fault::ArchiveWriteError, &mut state.random);
        let room = self.disk.has_room(&state, bytes);
        let happens = if fails { state.random.chance(500) } else { room };
        if happens {
            act(&mut state);
        }
        if state.stopped {
            return Err(io::Error::other("the simulated machine stops here"));
        }
        if fails {
            return Err(self.files.fail(Fault::ArchiveWriteError, what));
        }
        if room { Ok(()) } else { Err(self.files.fail(Fault::NoSpace, what)) }
    }

    fn read<T>(&self, what: &str, act: impl FnOnce(&Keyspaces) -> T) -> io::Result<T> {
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
        Ok(act(&state.store))
    }
}

impl Store for SimStore {
    fn keyspaces(&self) -> io::Result<Vec<String>> {
        self.read("store-keyspaces", |store| store.0.keys().cloned().collect())
    }

    fn ingest(&mut self, keyspace: &str, entries: &mut dyn Iterator<Item = (Vec<u8>, Vec<u8>)>) -> io::Result<()> {
        let entries: Vec<(Vec<u8>, Vec<u8>)> = entries.collect();
        assert!(entries.is_sorted_by(|one, next| one.0 < next.0), "{keyspace} is fed keys in strictly ascending order");
        let bytes = entries.iter().map(|(key, value)| key.len() + value.len()).sum();
        self.change("store-ingest", bytes, |state| state.store.put(keyspace, entries))
    }

    fn drop_keyspace(&mut self, keyspace: &str) -> io::Result<()> {
        self.change("store-drop", 0, |state| drop(state.store.0.remove(keyspace)))
    }

    fn set_meta(&mut self, entries: &[(Vec<u8>, Option<Vec<u8>>)]) -> io::Result<()> {
        let bytes = entries.iter().map(|(key, value)| key.len() + value.as_ref().map_or(0, Vec::len)).sum();
        self.change("store-set-meta", bytes, |state| state.store.set(entries.to_vec()))
    }

    fn get(&self, keyspace: &str, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        self.read("store-get", |store| store.0.get(keyspace).and_then(|entries| entries.get(key)).cloned())
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

/// What is stored, for a start that is only tried: nothing fails, and what it changes is gone with it.
#[derive(Clone, Debug, Default)]
pub struct StoreCopy(pub(super) Keyspaces);

impl Store for StoreCopy {
    fn keyspaces(&self) -> io::Result<Vec<String>> {
        Ok(self.0.0.keys().cloned().collect())
    }

    fn ingest(&mut self, keyspace: &str, entries: &mut dyn Iterator<Item = (Vec<u8>, Vec<u8>)>) -> io::Result<()> {
        self.0.put(keyspace, entries.collect());
        Ok(())
    }

    fn drop_keyspace(&mut self, keyspace: &str) -> io::Result<()> {
        self.0.0.remove(keyspace);
        Ok(())
    }

    fn set_meta(&mut self, entries: &[(Vec<u8>, Option<Vec<u8>>)]) -> io::Result<()> {
        self.0.set(entries.to_vec());
        Ok(())
    }

    fn get(&self, keyspace: &str, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        Ok(self.0.0.get(keyspace).and_then(|entries| entries.get(key)).cloned())
    }

    fn scan(
        &self,
        keyspace: &str,
        from: &[u8],
        to: &[u8],
        down: bool,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> io::Result<()> {
        self.0.scan(keyspace, from, to, down, visit);
        Ok(())
    }
}
