//! What the lanes and the keeper tell each other.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::Sender;

use orderlane_core::{Cold, CutEnd, CutPart, ListQuery, OrderId, Sequence, ShardId};

use crate::backup::BackupReport;
use crate::filters::ShardFilters;

/// What a lane asks of the keeper.
#[derive(Debug)]
pub enum ToKeeper {
    /// A cut has begun; its parts follow, shard by shard in this order.
    Begin {
        /// Which lane.
        lane: u16,
        /// The number of the cut in this run of the process, from 1.
        cut: u64,
        /// The lane's shards, each with the sequence at which it is cut.
        shards: Vec<(ShardId, Sequence)>,
    },
    /// Another part of the cut of one of the lane's shards. The events before the cut are durable.
    Part {
        /// Which lane.
        lane: u16,
        /// Which shard.
        shard: ShardId,
        /// The part.
        part: CutPart,
    },
    /// A shard of the lane's cut is whole.
    Shard {
        /// Which lane.
        lane: u16,
        /// Which shard.
        shard: ShardId,
        /// What the cut says about itself.
        end: Box<CutEnd>,
    },
    /// All shards of the lane's cut are whole: it can be stored.
    Store {
        /// Which lane.
        lane: u16,
        /// The number of the cut in this run of the process, from 1.
        cut: u64,
    },
    /// A batched read.
    Read {
        /// Which lane.
        lane: u16,
        /// What, each for the input at that place of the batch.
        queries: Vec<(usize, Query)>,
    },
    /// A copy of the data directory is wanted.
    Backup {
        /// The new directory.
        target: PathBuf,
        /// Hears how it went.
        done: Sender<Result<BackupReport, String>>,
    },
    /// No commit of the lane is in flight, and none will be started before [`FromKeeper::Release`]: see [`FromKeeper::Hold`].
    Held {
        /// Which lane.
        lane: u16,
    },
}

/// One thing to look up.
#[derive(Clone, Debug)]
pub enum Query {
    /// An order that is not in memory.
    Order(OrderId),
    /// The newest order under this key: its hash was found in a filter.
    Key {
        /// The home shard.
        shard: ShardId,
        /// [`crate::key_hash`].
        hash: u128,
    },
    /// A page of a shard's orders.
    List {
        /// Which shard.
        shard: ShardId,
        /// What is asked.
        query: Box<ListQuery>,
    },
}

/// What the keeper tells a lane.
#[derive(Debug)]
pub enum FromKeeper {
    /// What the read found, by the place of its input, ascending.
    Found(Vec<(usize, Cold)>),
    /// The cut is in the archive and in a checkpoint, for good: its ended orders may leave the memory.
    Stored {
        /// The number of the cut.
        cut: u64,
        /// Events of the lane's shards up to these sequences are needed by no start any more, not even by one that falls back to the
        /// checkpoint before.
        covered: Vec<(ShardId, Sequence)>,
        /// Bytes of the checkpoint.
        checkpoint_bytes: u64,
    },
    /// New filters of the lane's shards.
    Filters(Vec<(ShardId, Arc<ShardFilters>)>),
    /// Whether new orders are to be refused because the disk is (nearly) full.
    Shed(bool),
    /// Starts no commit until [`FromKeeper::Release`], and answers [`ToKeeper::Held`] when none is in flight.
    Hold,
    /// Commits may go on.
    Release,
    /// The keeper has failed: no cut will ever be stored again in this run. The journal keeps everything.
    Failed,
}
