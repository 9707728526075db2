//! A whole cut on its way to the disk. The order is the point: the archive first, then the checkpoint that leaves its orders out.

use orderlane_core::{Sequence, ShardId, Time};
use orderlane_lane::Directory;

use crate::archive::Progress;
use crate::checkpoint::CheckpointWriter;
use crate::message::FromKeeper;
use crate::store::Store;

use super::{Keeper, KeeperError, io_error};

/// The cut that is being stored.
pub(super) struct Storing {
    lane: u16,
    cut: u64,
    writer: CheckpointWriter,
    stage: Stage,
    begun: Time,
    /// Orders of the run, and their bytes.
    orders: u64,
    bytes: u64,
}

/// What is done next.
#[derive(Clone, Copy)]
enum Stage {
    Archive,
    Index,
    Sync,
    Publish,
    SyncNames,
    Tell,
}

impl Storing {
    /// The file, as long as it has no name.
    pub(super) fn unfinished(&self) -> String {
        self.writer.unfinished()
    }
}

impl<S: Store, D: Directory> Keeper<S, D> {
    pub(super) fn begin_storing(&mut self, lane: u16) {
        let incoming = self.lanes[usize::from(lane)].incoming.take().expect("a whole cut came in");
        let (orders, bytes) = (incoming.run.orders.len() as u64, incoming.run.bytes());
        self.archive.begin(incoming.run);
        let (cut, writer) = (incoming.cut, incoming.writer);
        self.storing = Some(Storing { lane, cut, writer, stage: Stage::Archive, begun: self.now, orders, bytes });
    }

    /// One thing of the cut under way.
    pub(super) fn store_step(&mut self) -> Result<(), KeeperError> {
        let storing = self.storing.as_mut().expect("a cut is being stored");
        let directory = self.checkpoints.directory();
        let failed = |action| io_error(action, directory.path().to_owned());
        storing.stage = match storing.stage {
            Stage::Archive => match self.archive.step()? {
                Progress::Stored => Stage::Index,
                Progress::Idle | Progress::More => Stage::Archive,
            },
            Stage::Index => {
                storing.writer.finish(directory).map_err(failed("ending a checkpoint in"))?;
                Stage::Sync
            }
            Stage::Sync => {
                storing.writer.sync(directory).map_err(failed("syncing a checkpoint in"))?;
                Stage::Publish
            }
            Stage::Publish => {
                storing.writer.publish(directory).map_err(failed("naming a checkpoint in"))?;
                Stage::SyncNames
            }
            Stage::SyncNames => {
                directory.sync_names().map_err(failed("syncing"))?;
                Stage::Tell
            }
            Stage::Tell => {
                self.stored();
                return Ok(());
            }
        };
        self.send_filters();
        Ok(())
    }

    /// The cut is there for good.
    fn stored(&mut self) {
        let storing = self.storing.take().expect("a cut is being stored");
        let file = storing.writer.into_file();
        let checkpoint_bytes = file.bytes;
        self.checkpoints.add(file);
        self.metrics.run_stored(self.now, storing.orders, storing.bytes);
        self.metrics.checkpoint_micros.record(self.now.micros_since(storing.begun));
        self.show_figures();
        let lane = &self.lanes[usize::from(storing.lane)];
        let covered = |shard: &ShardId| -> (ShardId, Sequence) { (*shard, self.checkpoints.covered(*shard)) };
        let covered = lane.shards.iter().map(covered).filter(|(_, sequence)| *sequence > 0).collect();
        lane.tell(FromKeeper::Stored { cut: storing.cut, covered, checkpoint_bytes });
        self.removals.extend(self.checkpoints.take_superseded());
        self.archive_busy = true;
    }
}
