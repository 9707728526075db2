//! What leaves the memory of the lanes, and what a start reads: finished orders, their idempotency keys, the index of customers
//! (in an LSM tree, by bulk ingestion), and checkpoints of all the rest (files).
//!
//! ```text
//! lane:   Shard::begin_cut … cut ─ parts ─┐                       ┌─> evict, filters          (Archivist: a Prefetch)
//! keeper:                                 └> run ─> archive ─> checkpoint file ─> covered ─> journal segments go
//! ```
//! A cut of a lane is one moment of its shards: what has ended goes to the archive, all the rest into the checkpoint, the journal
//! before it can go. The archive comes first, so that a checkpoint that is there finds everything that it leaves out.
#![forbid(unsafe_code)]

mod archive;
mod archivist;
mod backup;
mod checkpoint;
mod checkpoints;
mod filters;
mod fjall_store;
mod keeper;
pub mod limits;
mod message;
mod run;
mod sieve;
mod store;
mod thread;

pub use archive::{Archive, ArchiveError, ArchiveFigures, ArchiveOptions, Progress, Retention, put_order_line};
pub use archivist::{Archivist, ArchivistOptions, CutLimits};
pub use backup::BackupReport;
pub use checkpoint::{CheckpointName, Owner};
pub use checkpoints::{CheckpointError, Checkpoints, Stored};
pub use filters::{ShardFilters, customer_hash, key_hash};
pub use fjall_store::FjallStore;
pub use keeper::{DiskLimits, DiskSpace, Keeper, KeeperError, KeeperOptions, LaneLink, OldSegments, OsSpace, Space};
pub use message::{FromKeeper, Query, ToKeeper};
pub use run::{Run, RunOrder, RunShard};
pub use store::{Give, META, MemoryStore, Put, Store};
pub use thread::{KeeperThread, spawn};
