//! The per-lane append-only journal: codec, segments, recovery, commit.
//!
//! A lane writes one journal a run. One commit is one [frame](Frame) in a preallocated segment file; a frame holds records,
//! and a record holds events of one shard with dense sequence numbers. The checksum of a frame is seeded with the identity of
//! its file and chained to the frame before, so that stale, misdirected or payload-embedded bytes never parse.
//!
//! The first segment of a lane and run is small and made while the start waits; a frame that does not fit in the rest of a
//! segment, be it the very first one, goes to the next. That one is made when the one in use is half full, or when a frame needs
//! it. Those that a run made and never wrote to are removed at a later start. Those whose events all checkpoints have are written
//! over as the next ones, or removed, the oldest first: so the front of a journal may be gone.
//!
//! | part | what it is |
//! |---|---|
//! | [`JournalCommit`] | the lane's [`Commit`](orderlane_lane::Commit) over the driver's disk |
//! | [`Walk`] | reads segments frame by frame and judges their tails; `show` and `export` are built on it |
//! | [`Recovery`] | the fold's source at start: density of sequences, agreement between runs |
//! | [`SegmentFiles`] | lists, syncs, reads and tidies the files of a [`Directory`], which is the only part that knows a path |
#![forbid(unsafe_code)]

mod changes;
mod commit;
mod damage;
mod directory;
mod event;
mod export;
mod files;
mod frame;
mod json;
mod limits;
mod prepare;
mod record;
mod recovery;
mod segment;
mod spent;
mod tidy;
mod unused;
mod walk;
mod wire;
mod writer;

pub use commit::JournalCommit;
pub use damage::{Damage, DamageKind};
pub use directory::{Directory, OsDirectory};
pub use event::{decode, encode};
pub use export::export_frame;
pub use files::{FilesError, SegmentFiles, SegmentSummary};
pub use frame::Frame;
pub use limits::{BLOCK_BYTES, FRAME_BYTES_MAX, SEGMENT_BYTES_DEFAULT, SEGMENT_BYTES_FIRST};
pub use record::{Events, Record, Records};
pub use recovery::{Recovered, Recovery};
pub use segment::{Identity, SegmentHeader, SegmentName};
pub use walk::{Segment, SegmentState, Walk};
pub use wire::Malformed;
pub use writer::{Durability, JournalOptions};
