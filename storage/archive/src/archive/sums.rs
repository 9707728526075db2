//! What the archive has ever been given, against what the checkpoints say: an order that is missing or counted twice is found
//! before the first request.

use std::collections::BTreeMap;

use orderlane_core::{Archived, Sequence, ShardId};

use super::meta::{self, Taker, put_archived};
use super::{Archive, ArchiveError};
use crate::limits::RUNS_KEPT;
use crate::store::Store;

/// What a run says about itself.
#[derive(Clone, Debug)]
pub(super) struct RunMeta {
    pub(super) window: u32,
    pub(super) shards: BTreeMap<u16, RunSums>,
}

/// One shard of a run.
#[derive(Clone, Debug, Default)]
pub(super) struct RunSums {
    pub(super) sequence: Sequence,
    pub(super) stored: Archived,
    pub(super) recalled: Archived,
}

impl RunSums {
    fn encode_to(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.sequence.to_le_bytes());
        put_archived(bytes, &self.stored);
        put_archived(bytes, &self.recalled);
    }

    fn take(taker: &mut Taker<'_>) -> Option<RunSums> {
        Some(RunSums { sequence: taker.u64()?, stored: taker.archived()?, recalled: taker.archived()? })
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.encode_to(&mut bytes);
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<RunSums> {
        let mut taker = Taker(bytes);
        let sums = RunSums::take(&mut taker)?;
        taker.end()?;
        Some(sums)
    }

    fn add(&mut self, other: &RunSums) {
        self.sequence = self.sequence.max(other.sequence);
        self.stored.add(&other.stored);
        self.recalled.add(&other.recalled);
    }
}

impl RunMeta {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = self.window.to_le_bytes().to_vec();
        bytes.extend_from_slice(&(self.shards.len() as u32).to_le_bytes());
        for (shard, sums) in &self.shards {
            bytes.extend_from_slice(&shard.to_le_bytes());
            sums.encode_to(&mut bytes);
        }
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<RunMeta> {
        let mut taker = Taker(bytes);
        let mut run = RunMeta { window: taker.u32()?, shards: BTreeMap::new() };
        for _ in 0..taker.u32()? {
            let shard = taker.u16()?;
            run.shards.insert(shard, RunSums::take(&mut taker)?);
        }
        taker.end()?;
        Some(run)
    }
}

impl<S: Store> Archive<S> {
    /// Compares the sums of every shard with those of the checkpoint that a start has chosen for it, and forgets runs that came
    /// after it: their orders are in memory again and will be archived again. A shard that is not named has no checkpoint.
    ///
    /// # Errors
    /// [`ArchiveError::Sums`] when an order is missing here or counted twice; [`ArchiveError::TooNew`] when the checkpoint is older
    /// than the archive can go back.
    pub fn check(&mut self, shards: &[(ShardId, Sequence, Archived)]) -> Result<(), ArchiveError> {
        let zero = (0, Archived::default());
        let mut chosen: BTreeMap<u16, (Sequence, Archived)> =
            shards.iter().map(|(shard, sequence, sums)| (shard.0, (*sequence, sums.clone()))).collect();
        for shard in 0..self.options.shards {
            chosen.entry(shard).or_insert_with(|| zero.clone());
        }
        for (shard, (sequence, archived)) in &chosen {
            let mut sums = self.bases.get(shard).cloned().unwrap_or_default();
            if sums.sequence > *sequence {
                return Err(ArchiveError::TooNew {
                    shard: ShardId(*shard),
                    archive: sums.sequence,
                    checkpoint: *sequence,
                });
            }
            let runs = self.runs.values().filter_map(|run| run.shards.get(shard));
            runs.filter(|run| run.sequence <= *sequence).for_each(|run| sums.add(run));
            let mut expected = archived.clone();
            expected.add(&sums.recalled);
            if sums.stored != expected {
                return Err(ArchiveError::Sums {
                    shard: ShardId(*shard),
                    archive: sums.stored.into(),
                    checkpoint: expected.into(),
                });
            }
        }
        self.forget_orphans(&chosen)
    }

    fn forget_orphans(&mut self, chosen: &BTreeMap<u16, (Sequence, Archived)>) -> Result<(), ArchiveError> {
        let mut entries = BTreeMap::new();
        for (id, run) in &mut self.runs {
            let orphan =
                |shard: &u16, sums: &RunSums| chosen.get(shard).is_none_or(|(sequence, _)| sums.sequence > *sequence);
            let gone: Vec<_> = run.shards.extract_if(.., |shard, sums| orphan(shard, sums)).collect();
            if gone.is_empty() {
                continue;
            }
            if let Some(window) = self.windows.get_mut(&run.window) {
                for (shard, sums) in &gone {
                    if let Some(part) = window.parts.get_mut(shard) {
                        part.sums.subtract(&sums.stored);
                    }
                }
                entries.insert(meta::window_name(run.window), Some(window.encode()));
            }
            entries.insert(meta::run_name(*id), (!run.shards.is_empty()).then(|| run.encode()));
        }
        if entries.is_empty() {
            return Ok(());
        }
        self.runs.retain(|_, run| !run.shards.is_empty());
        let entries: Vec<_> = entries.into_iter().collect();
        self.wrote(entries)
    }

    /// Adds the sums of the oldest runs to those that are not kept one by one; appends what is to be stored.
    pub(super) fn fold_runs(&mut self, entries: &mut Vec<(Vec<u8>, Option<Vec<u8>>)>) {
        let mut kept: BTreeMap<u16, usize> = BTreeMap::new();
        let mut old = Vec::new();
        for (id, run) in self.runs.iter().rev() {
            let counts: Vec<usize> =
                run.shards.keys().map(|shard| *kept.entry(*shard).and_modify(|n| *n += 1).or_insert(1)).collect();
            if counts.iter().all(|count| *count > RUNS_KEPT) {
                old.push(*id);
            }
        }
        for id in old {
            let run = self.runs.remove(&id).expect("it was just found");
            for (shard, sums) in &run.shards {
                let base = self.bases.entry(*shard).or_default();
                base.add(sums);
                entries.push((meta::base_name(*shard), Some(base.encode())));
            }
            entries.push((meta::run_name(id), None));
        }
    }
}
