//! What a start reads of a data directory: for each shard its newest whole checkpoint, and the journal behind it.

use orderlane_archive::{Archive, ArchiveOptions, Checkpoints, FjallStore, Retention};
use orderlane_core::{Archived, Config, Sequence, Shard, ShardId};
use orderlane_journal::{Identity, OsDirectory, Recovered, SegmentFiles};

use crate::data::DataDirectory;
use crate::error::{Context, Error, Result};

/// A shard as a checkpoint has it: the archive must agree with it.
pub(crate) type Restored = (ShardId, Sequence, Archived);

/// Shards that were recovered together, by one thread.
pub(crate) struct RecoveredShards {
    /// In the order in which they were asked for.
    pub(crate) shards: Vec<Shard>,
    /// What their checkpoints say of the archive.
    pub(crate) restored: Vec<Restored>,
    /// What the journal gave.
    pub(crate) journal: Recovered,
}

/// Recovers the shards of these configurations.
pub(crate) fn recover(
    files: &SegmentFiles,
    checkpoints: &Checkpoints<OsDirectory>,
    identity: Identity,
    configs: &[Config],
) -> Result<RecoveredShards> {
    let mut shards = configs.iter().map(|config| restore(checkpoints, *config)).collect::<Result<Vec<Shard>>>()?;
    let restored = shards.iter().map(|shard| (shard.id(), shard.sequence(), shard.archived().clone())).collect();
    let wanted: Vec<(ShardId, Sequence)> = shards.iter().map(|shard| (shard.id(), shard.sequence() + 1)).collect();
    let mut slots = vec![usize::MAX; usize::from(identity.shards)];
    for (slot, shard) in shards.iter().enumerate() {
        slots[shard.id().index()] = slot;
    }
    let journal = files
        .recover(identity, &wanted, |shard, _, time, event| shards[slots[shard.index()]].apply(time, event))
        .context("recovering the journal")?;
    Ok(RecoveredShards { shards, restored, journal })
}

fn restore(checkpoints: &Checkpoints<OsDirectory>, config: Config) -> Result<Shard> {
    let Some(stored) = checkpoints.newest(config.shard) else { return Ok(Shard::new(config)) };
    let shard = Shard::restore(config, &stored.image).map_err(|reason| {
        Error::new(format!(
            "the checkpoint of shard {} at sequence {} (run {}, lane {}, cut {}) is whole and makes no sense: {reason}; \
             it was written by a faulty or another release",
            config.shard, stored.sequence, stored.run, stored.lane, stored.cut
        ))
    })?;
    if shard.sequence() != stored.sequence {
        return Err(Error::new(format!(
            "the checkpoint of shard {} says sequence {}, its image {}",
            config.shard,
            stored.sequence,
            shard.sequence()
        )));
    }
    Ok(shard)
}

/// Opens the archive of a data directory, making it if there is none.
pub(crate) fn open_archive(
    data: &DataDirectory,
    retention: Retention,
    window_orders: u64,
) -> Result<Archive<FjallStore>> {
    let store = FjallStore::open(&data.path.join("archive")).context("opening the archive")?;
    let Identity { directory, shards } = data.identity;
    Archive::open(store, ArchiveOptions { directory, shards, retention, window_orders }).context("opening the archive")
}
