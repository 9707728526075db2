//! The turn of a lane, once, independent of any runtime.
//!
//! A lane is one pinned thread with its shards. One turn: take a batch of inputs, prefetch what it needs, decide, commit
//! once, release the effects. The world comes in through three seams, each a small trait: [`Driver`] (clock, wait, disk,
//! sockets, spawn), [`Commit`] (how events become durable) and [`Prefetch`] (the batched read before a batch is handled).
#![forbid(unsafe_code)]

mod archive_metrics;
mod ceiling;
mod commit;
mod directory;
mod driver;
mod gate;
pub mod limits;
mod mesh;
pub mod metrics;
mod outside;
mod port;
mod prefetch;
mod run;
mod shutdown;
mod turn;

pub use archive_metrics::ArchiveMetrics;
pub use ceiling::run_ceiling;
pub use commit::{Commit, CommitError, Receipt};
pub use directory::Directory;
pub use driver::{Disk, Driver, Stream, StreamCloser, StreamReader, StreamWriter, Wake};
pub use limits::Limits;
pub use mesh::{MeshEnd, Packet, mesh};
pub use metrics::LaneMetrics;
pub use outside::{Outside, report};
pub use port::{Clients, Port};
pub use prefetch::{AllInMemory, Commits, Prefetch, Tended};
pub use run::{Lane, run};
pub use shutdown::Shutdown;
pub use turn::Turn;
