//! The parts of a cut as they come: ended orders are collected, live bytes go to the checkpoint file at once.

use orderlane_core::{CutEnd, CutPart, Sequence, ShardId};
use orderlane_lane::Directory;

use crate::backup::Backup;
use crate::checkpoint::{CheckpointName, CheckpointWriter, Head};
use crate::message::ToKeeper;
use crate::run::{Run, RunOrder, RunShard};
use crate::store::Store;

use super::{Keeper, KeeperError, io_error};

/// A cut whose parts are coming.
pub(super) struct Incoming {
    pub(super) cut: u64,
    pub(super) run: Run,
    pub(super) writer: CheckpointWriter,
}

impl<S: Store, D: Directory> Keeper<S, D> {
    pub(super) fn handle(&mut self, message: ToKeeper) -> Result<(), KeeperError> {
        match message {
            ToKeeper::Backup { target, done } => self.begin_backup(target, done),
            ToKeeper::Held { lane } => {
                if let Some(backup) = &mut self.backup {
                    backup.held(lane);
                }
            }
            ToKeeper::Read { .. } => unreachable!("reads wait elsewhere"),
            _ if self.failed => {}
            ToKeeper::Begin { lane, cut, shards } => self.begin_cut(lane, cut, shards)?,
            ToKeeper::Part { lane, shard, part } => self.take_part(lane, shard, part)?,
            ToKeeper::Shard { lane, shard, end } => self.end_shard(lane, shard, *end),
            ToKeeper::Store { lane, cut } => {
                assert_eq!(self.incoming(lane).cut, cut, "a lane stores the cut that it began");
                self.whole.push_back(lane);
            }
        }
        Ok(())
    }

    fn begin_backup(
        &mut self,
        target: std::path::PathBuf,
        done: std::sync::mpsc::Sender<Result<crate::BackupReport, String>>,
    ) {
        if self.backup.is_some() || self.failed {
            let reason = if self.failed { "the keeper has failed" } else { "another backup is under way" };
            // Whoever asked may be gone.
            let _ = done.send(Err(reason.to_owned()));
            return;
        }
        self.backup = Some(Backup::new(target, done, self.lanes.len()));
    }

    fn begin_cut(&mut self, lane: u16, cut: u64, shards: Vec<(ShardId, Sequence)>) -> Result<(), KeeperError> {
        let name = CheckpointName { run: self.run, lane, cut };
        let directory = self.checkpoints.directory();
        let failed = io_error("creating", directory.path().join(name.unfinished()));
        let head = Head { owner: self.checkpoints.owner(), name, shards };
        let writer = CheckpointWriter::create(directory, head).map_err(failed)?;
        let state = &mut self.lanes[usize::from(lane)].incoming;
        assert!(state.is_none(), "a lane has one cut at a time");
        *state = Some(Incoming { cut, run: Run { lane, ..Run::default() }, writer });
        Ok(())
    }

    fn take_part(&mut self, lane: u16, shard: ShardId, part: CutPart) -> Result<(), KeeperError> {
        let directory = self.checkpoints.directory();
        let incoming = self.lanes[usize::from(lane)].incoming.as_mut().expect("parts come after the begin");
        let at = u32::try_from(incoming.run.parts.len()).expect("a cut has fewer than 2^32 parts");
        let place = |order: &orderlane_core::EndedOrder| RunOrder {
            shard,
            number: order.number,
            part: at,
            start: order.start,
            length: order.length,
        };
        incoming.run.orders.extend(part.ended.iter().map(place));
        incoming.run.parts.push(part.ended_bytes);
        let failed = io_error("writing a checkpoint in", directory.path().to_owned());
        incoming.writer.append(directory, shard, &part.live).map_err(failed)
    }

    fn end_shard(&mut self, lane: u16, shard: ShardId, end: CutEnd) {
        let incoming = self.incoming(lane);
        assert_eq!(incoming.writer.sequence(shard), Some(end.sequence), "a cut is of the moment at which it began");
        incoming.run.shards.push(RunShard { shard, sequence: end.sequence, recalled: end.recalled });
    }

    fn incoming(&mut self, lane: u16) -> &mut Incoming {
        self.lanes[usize::from(lane)].incoming.as_mut().expect("a lane begins its cut first")
    }
}
