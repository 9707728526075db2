//! What a start reads, as the product's `src/recovery.rs` reads it: checkpoints, the journal behind them, and the archive.

use std::fmt;

use orderlane_archive::{Archive, ArchiveError, ArchiveOptions, CheckpointError, Checkpoints, Owner, Retention, Store};
use orderlane_core::{Config, Event, Sequence, Shard, ShardId, Time};
use orderlane_journal::{FilesError, Identity, Recovered, SegmentFiles};
use orderlane_lane::Directory;

use crate::sim::Sim;

/// The data directory of a world.
#[must_use]
pub fn identity(sim: &Sim) -> Identity {
    let seed = sim.options().seed;
    Identity { directory: u128::from(seed) << 64 | 0x6f72_6465, shards: sim.options().shards }
}

/// The configuration of a shard.
#[must_use]
pub fn config(sim: &Sim, shard: ShardId) -> Config {
    Config {
        shard,
        shards: sim.options().shards,
        seed: sim.options().seed,
        hold_ttl_micros: sim.options().hold_ttl_micros,
        retry_first_micros: 20_000,
        retry_max_micros: 1_000_000,
        key_retention_micros: sim.options().key_retention_micros,
    }
}

/// Why a start refuses.
#[derive(Debug)]
pub enum StartError {
    /// The journal.
    Files(FilesError),
    /// The checkpoints.
    Checkpoints(CheckpointError),
    /// A whole checkpoint that makes no sense.
    Image(String),
    /// The archive.
    Archive(ArchiveError),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Files(error) => write!(f, "{error}"),
            StartError::Checkpoints(error) => write!(f, "{error}"),
            StartError::Image(text) => write!(f, "{text}"),
            StartError::Archive(error) => write!(f, "the archive: {error}"),
        }
    }
}

impl From<FilesError> for StartError {
    fn from(error: FilesError) -> StartError {
        StartError::Files(error)
    }
}

impl From<CheckpointError> for StartError {
    fn from(error: CheckpointError) -> StartError {
        StartError::Checkpoints(error)
    }
}

impl From<ArchiveError> for StartError {
    fn from(error: ArchiveError) -> StartError {
        StartError::Archive(error)
    }
}

/// Where a start reads.
pub struct Source<D, S> {
    /// The journal's files.
    pub journal: D,
    /// The same files, for the checkpoints.
    pub checkpoints: D,
    /// The archive's store.
    pub store: S,
}

/// What a start has read: the shards, and each one's events as they came from the files.
pub struct Recovery<D: Directory, S> {
    pub(crate) files: SegmentFiles<D>,
    pub(crate) lanes: Vec<LaneRead>,
    /// By shard.
    pub events: Vec<Tail>,
    /// Checkpoints that were passed over.
    pub warnings: Vec<String>,
    pub(crate) archived: Option<(Checkpoints<D>, Archive<S>)>,
}

/// What a lane has read.
pub(crate) struct LaneRead {
    pub(crate) shards: Vec<Shard>,
    pub(crate) journal: Recovered,
}

/// What was read of a shard's events: those behind its checkpoint.
#[derive(Clone, Debug)]
pub struct Tail {
    /// The sequence of the first one; 1 without a checkpoint.
    pub first: Sequence,
    /// They.
    pub events: Vec<(Time, Event)>,
}

impl<D: Directory, S> Recovery<D, S> {
    /// Every shard as it was recovered.
    pub fn shards(&self) -> impl Iterator<Item = &Shard> {
        self.lanes.iter().flat_map(|lane| &lane.shards)
    }
}

/// Reads the files, as each lane of a start does, and holds the archive to what the checkpoints say of it.
///
/// # Errors
/// When the engine refuses what is there.
pub fn recover<D: Directory, S: Store>(
    sim: &Sim,
    source: Source<D, S>,
    lanes: u16,
) -> Result<Recovery<D, S>, StartError> {
    let files = SegmentFiles::prepare(source.journal)?;
    let checkpoints = match &sim.options().archive {
        Some(_) => Some(Checkpoints::load(source.checkpoints, owner(sim))?),
        None => None,
    };
    let mut events = vec![Tail { first: 1, events: Vec::new() }; usize::from(sim.options().shards)];
    let (mut read, mut restored) = (Vec::new(), Vec::new());
    for lane in 0..lanes {
        let shards = shards_of(sim, lane, lanes).map(|shard| restore(config(sim, shard), checkpoints.as_ref()));
        let mut shards = shards.collect::<Result<Vec<Shard>, StartError>>()?;
        restored.extend(shards.iter().map(|shard| (shard.id(), shard.sequence(), shard.archived().clone())));
        let wanted: Vec<_> = shards.iter().map(|shard| (shard.id(), shard.sequence() + 1)).collect();
        wanted.iter().for_each(|(shard, first)| events[shard.index()].first = *first);
        let journal = files.recover(identity(sim), &wanted, |shard, _, time, event| {
            let slot = shards.iter().position(|own| own.id() == shard).expect("a wanted shard");
            shards[slot].apply(time, event);
            events[shard.index()].events.push((time, event.clone()));
        })?;
        read.push(LaneRead { shards, journal });
    }
    let warnings = checkpoints.as_ref().map_or_else(Vec::new, Checkpoints::warnings);
    let archived = match (checkpoints, sim.options().archive) {
        (Some(mut checkpoints), Some(options)) => {
            let mut archive = Archive::open(source.store, archive_options(sim, options.window_orders))?;
            let reached: Vec<(ShardId, Sequence)> = read
                .iter()
                .flat_map(|lane: &LaneRead| &lane.journal.next)
                .map(|(shard, next)| (*shard, next - 1))
                .collect();
            checkpoints.void_passed_over(&reached)?;
            archive.check(&restored)?;
            Some((checkpoints, archive))
        }
        _ => None,
    };
    Ok(Recovery { files, lanes: read, events, warnings, archived })
}

fn restore<D: Directory>(config: Config, checkpoints: Option<&Checkpoints<D>>) -> Result<Shard, StartError> {
    let Some(stored) = checkpoints.and_then(|checkpoints| checkpoints.newest(config.shard)) else {
        return Ok(Shard::new(config));
    };
    let shard = Shard::restore(config, &stored.image)
        .map_err(|reason| StartError::Image(format!("the checkpoint of shard {}: {reason}", config.shard)))?;
    if shard.sequence() != stored.sequence {
        let text = format!("shard {}: {} in the image, {}", config.shard, shard.sequence(), stored.sequence);
        return Err(StartError::Image(text));
    }
    Ok(shard)
}

fn owner(sim: &Sim) -> Owner {
    let Identity { directory, shards } = identity(sim);
    Owner { directory, shards }
}

/// Keys go later than they must: the lanes' clocks may be set back by a few seconds.
const KEY_GRACE_MICROS: u64 = 6_000_000;

fn archive_options(sim: &Sim, window_orders: u64) -> ArchiveOptions {
    let Identity { directory, shards } = identity(sim);
    let retention = Retention {
        key_micros: sim.options().key_retention_micros + KEY_GRACE_MICROS,
        keys_max: u64::MAX,
        order_micros: u64::MAX,
        order_bytes_max: u64::MAX,
        audit_dir: None,
    };
    ArchiveOptions { directory, shards, retention, window_orders }
}

pub(crate) fn shards_of(sim: &Sim, lane: u16, lanes: u16) -> impl Iterator<Item = ShardId> + use<> {
    (0..sim.options().shards).filter(move |shard| shard % lanes == lane).map(ShardId)
}
