//! The archive of a data directory, its keeper, and each lane's line to it.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{SystemTime, UNIX_EPOCH};

use orderlane_archive::{
    Archive, DiskLimits, FjallStore, FromKeeper, Keeper, KeeperOptions, KeeperThread, LaneLink, OldSegments, OsSpace,
    Retention, ShardFilters, ToKeeper,
};
use orderlane_core::{ShardId, Time};
use orderlane_lane::{ArchiveMetrics, Wake};

use crate::cli;
use crate::data::DataDirectory;
use crate::engine::{Plan, Recovered, Stored, micros, shards_of};
use crate::error::{Context, Result};
use crate::recovery;
use crate::retention::retention;

/// The keeper's thread, and where it listens.
pub(crate) type RunningKeeper = (KeeperThread, Sender<ToKeeper>);

/// A lane's line to the keeper.
pub(crate) struct ArchiveOfLane {
    pub(crate) sender: Sender<ToKeeper>,
    pub(crate) receiver: Receiver<FromKeeper>,
    pub(crate) filters: Vec<(ShardId, Arc<ShardFilters>)>,
    pub(crate) checkpoint_bytes: u64,
    /// A checkpoint was passed over: there is one whole image less than there should be.
    pub(crate) has_fallen_back: bool,
}

/// Opens the archive of the data directory.
pub(crate) fn open_archive(data: &DataDirectory, keep: &cli::Keep) -> Result<Archive<FjallStore>> {
    let limits = retention(keep, 1)?;
    let retention = Retention {
        key_micros: limits.key_micros,
        keys_max: limits.keys_max.unwrap_or(u64::MAX),
        order_micros: limits.order_micros,
        order_bytes_max: limits.order_bytes_max.unwrap_or(u64::MAX),
        audit_dir: keep.audit_dir.clone(),
    };
    recovery::open_archive(data, retention, keep.archive_window)
}

/// Starts the keeper's thread, once the archive agrees with the checkpoints; gives each lane its line to it.
pub(crate) fn start_keeper(
    plan: &Plan,
    mut files: Stored,
    mut archive: Archive<FjallStore>,
    recovered: &Recovered,
    wakes: &[Arc<dyn Wake>],
    metrics: Arc<ArchiveMetrics>,
) -> Result<(RunningKeeper, Vec<ArchiveOfLane>)> {
    let data = plan.data.as_ref().expect("an archive belongs to a data directory");
    files.checkpoints.void_passed_over(&recovered.starts).context("the checkpoints")?;
    archive.check(&recovered.restored).context("the archive")?;
    let (sender, receiver) = channel();
    let mut links = Vec::new();
    let mut ends = Vec::new();
    for (lane, wake) in wakes.iter().enumerate() {
        let (to_lane, from_keeper) = channel();
        let shards = shards_of(plan, lane);
        ends.push((from_keeper, files.checkpoints.bytes(&shards)));
        links.push(LaneLink { sender: to_lane, wake: wake.clone(), shards });
    }
    let limits = retention(&plan.options.keep, wakes.len())?;
    let keeper = Keeper::new(KeeperOptions {
        archive,
        checkpoints: files.checkpoints,
        run: recovered.run,
        receiver,
        lanes: links,
        old_segments: OldSegments {
            names: files
                .segments
                .names()
                .iter()
                .filter(|name| files.segments.path(**name).exists())
                .map(ToString::to_string)
                .collect(),
            starts: recovered.starts.clone(),
        },
        disk: DiskLimits { reserve_bytes: limits.disk_reserve_bytes, data_bytes_max: limits.data_bytes_max },
        space: Box::new(OsSpace { path: data.path.clone(), counts_used: limits.data_bytes_max.is_some() }),
        metrics,
    });
    let archives = ends
        .into_iter()
        .enumerate()
        .map(|(lane, (receiver, checkpoint_bytes))| ArchiveOfLane {
            sender: sender.clone(),
            receiver,
            filters: keeper.filters(lane as u16),
            checkpoint_bytes,
            has_fallen_back: !recovered.warnings.is_empty(),
        })
        .collect();
    let thread = orderlane_archive::spawn(keeper, now).context("starting the keeper")?;
    Ok(((thread, sender), archives))
}

fn now() -> Time {
    Time(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, micros))
}
