//! The names of a directory: durable ones, and changes that no sync of the directory has covered.

use std::collections::BTreeMap;

/// The number of a file, whatever it is called.
pub(super) type FileId = u64;

/// A change of the names. Each happens whole or not at all.
#[derive(Clone, Debug)]
pub(super) enum NameChange {
    /// A new file.
    Create(String, FileId),
    /// From one name to another.
    Rename(String, String),
    /// The name is gone.
    Remove(String),
}

/// The names of a directory.
#[derive(Debug, Default)]
pub(super) struct Names {
    durable: BTreeMap<String, FileId>,
    now: BTreeMap<String, FileId>,
    /// Not covered by a sync, oldest first.
    changes: Vec<NameChange>,
    /// How many changes a sync has covered, or a crash has settled.
    settled: usize,
}

impl Names {
    /// The names as a reader sees them.
    pub(super) fn now(&self) -> &BTreeMap<String, FileId> {
        &self.now
    }

    /// The names that no loss of power takes away.
    pub(super) fn durable(&self) -> &BTreeMap<String, FileId> {
        &self.durable
    }

    /// How many changes no sync has covered.
    pub(super) fn unsynced(&self) -> usize {
        self.changes.len()
    }

    /// What a sync that is submitted now will cover.
    pub(super) fn completed(&self) -> usize {
        self.settled + self.changes.len()
    }

    /// Makes a change that only a sync makes durable.
    pub(super) fn change(&mut self, change: NameChange) {
        apply(&mut self.now, &change);
        self.changes.push(change);
    }

    /// A sync has covered what was [complete](Names::completed) when it was submitted.
    pub(super) fn sync(&mut self, covered: usize) {
        let count = covered.saturating_sub(self.settled);
        self.settled += count;
        self.changes.drain(..count).for_each(|change| apply(&mut self.durable, &change));
    }

    /// The machine has lost its power: the first `count` unsynced changes have survived.
    pub(super) fn end_power(&mut self, count: usize) {
        self.sync(self.settled + count);
        self.settled += self.changes.len();
        self.changes.clear();
        self.now.clone_from(&self.durable);
    }

    /// Whether anything may still bring this file back.
    pub(super) fn mentions(&self, file: FileId) -> bool {
        let created = |change: &NameChange| matches!(change, NameChange::Create(_, id) if *id == file);
        self.now.values().chain(self.durable.values()).any(|id| *id == file) || self.changes.iter().any(created)
    }
}

fn apply(names: &mut BTreeMap<String, FileId>, change: &NameChange) {
    match change {
        NameChange::Create(name, file) => {
            names.insert(name.clone(), *file);
        }
        NameChange::Rename(from, to) => {
            if let Some(file) = names.remove(from) {
                names.insert(to.clone(), file);
            }
        }
        NameChange::Remove(name) => {
            names.remove(name);
        }
    }
}
