//! Why a journal is not read further: what is wrong, where, and what to do.

use std::fmt;

use orderlane_core::{Sequence, ShardId};

use crate::segment::SegmentName;
use crate::wire::Malformed;

/// Bytes of a journal that cannot be what was written, or a part of it that is missing. Nothing was changed on disk but
/// segments whose filling was never finished, which a start removes before it reads.
#[derive(Debug)]
pub struct Damage {
    /// The segment.
    pub segment: SegmentName,
    /// Where in the segment.
    pub offset: u64,
    /// The frame that should be there.
    pub frame: Option<u64>,
    /// The last event of that run and lane before the place.
    pub behind: Option<(ShardId, Sequence)>,
    /// What is wrong.
    pub kind: DamageKind,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DamageKind {
    /// The file does not start as a segment does.
    Magic,
    /// Another version of the format.
    Version {
        /// The one in the file.
        found: u32,
        /// The one that this program reads.
        expected: u32,
    },
    /// The checksum of the header.
    Header,
    /// Another data directory's file.
    Identity {
        /// The one in the file.
        found: u128,
        /// This data directory's.
        expected: u128,
    },
    /// Another count of shards.
    Shards {
        /// The one in the file.
        found: u16,
        /// This data directory's.
        expected: u16,
    },
    /// The file was renamed.
    Name {
        /// Its own name.
        found: SegmentName,
    },
    /// The file has lost or won bytes: it is never shorter than when it got its name.
    Length {
        /// Bytes there are.
        found: u64,
        /// Bytes there should be.
        expected: u64,
    },
    /// Segments of this lane and run before this one are missing.
    SegmentMissing {
        /// The index that should come next.
        expected: u32,
    },
    /// The frame is not whole, yet later bytes show that it was acknowledged.
    Frame {
        /// Where they are.
        witness: SegmentName,
        /// Where they are in it.
        offset: u64,
    },
    /// The checksum is right and the content is not.
    Content(Malformed),
    /// A shard that the data directory does not have.
    UnknownShard(ShardId),
    /// Events of a shard are missing, or there twice.
    Gap {
        /// The shard.
        shard: ShardId,
        /// The next sequence by what was read before.
        expected: Sequence,
        /// The next sequence in the file.
        found: Sequence,
        /// The segment that held the shard's last event before.
        last: Option<SegmentName>,
    },
    /// The journal ends before the checkpoint that it is to continue.
    BehindCheckpoint {
        /// The shard.
        shard: ShardId,
        /// The first sequence that the checkpoint lacks.
        wanted: Sequence,
        /// The sequence that the journal would give out next.
        reached: Sequence,
    },
}

impl From<Malformed> for DamageKind {
    fn from(malformed: Malformed) -> DamageKind {
        DamageKind::Content(malformed)
    }
}

impl std::error::Error for Damage {}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SegmentName { run, lane, segment } = self.segment;
        write!(f, "journal {} (run {run}, lane {lane}, segment {segment}) at offset {}", self.segment, self.offset)?;
        if let Some(frame) = self.frame {
            write!(f, ", frame {frame}")?;
        }
        if let Some((shard, sequence)) = self.behind {
            write!(f, ", behind sequence {sequence} of shard {shard}")?;
        }
        write!(f, ": {}; {}", self.kind, self.kind.advice())
    }
}

impl fmt::Display for DamageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DamageKind::Magic => write!(f, "this is no journal segment"),
            DamageKind::Version { found, expected } => {
                write!(f, "format version {found}, this program reads version {expected}")
            }
            DamageKind::Header => write!(f, "the header's checksum is wrong"),
            DamageKind::Identity { found, expected } => {
                write!(f, "belongs to data directory {found:032x}, this one is {expected:032x}")
            }
            DamageKind::Shards { found, expected } => {
                write!(f, "was written with {found} shards, this data directory has {expected}")
            }
            DamageKind::Name { found } => write!(f, "was written under the name {found}"),
            DamageKind::Length { found, expected } => write!(f, "has {found} bytes and was made with {expected}"),
            DamageKind::SegmentMissing { expected } => write!(f, "segment {expected} should come before it"),
            DamageKind::Frame { witness, offset } => {
                write!(f, "the frame is damaged, and {witness} at offset {offset} shows that it was acknowledged")
            }
            DamageKind::Content(malformed) => malformed.fmt(f),
            DamageKind::UnknownShard(shard) => write!(f, "events of shard {shard}, which does not exist here"),
            DamageKind::Gap { shard, expected, found, last } => {
                write!(f, "shard {shard} continues with sequence {found}, but sequence {expected} is next")?;
                match last {
                    Some(last) => write!(f, " after {last}"),
                    None if *expected > 1 => write!(f, " after the checkpoint"),
                    None => Ok(()),
                }
            }
            DamageKind::BehindCheckpoint { shard, wanted, reached } => {
                write!(f, "shard {shard} ends before sequence {reached}, the checkpoint goes on at {wanted}")
            }
        }
    }
}

impl DamageKind {
    fn advice(&self) -> &'static str {
        match self {
            DamageKind::Magic | DamageKind::Identity { .. } | DamageKind::Shards { .. } | DamageKind::Name { .. } => {
                "nothing was changed: move the foreign file away, or name the right data directory"
            }
            DamageKind::Version { .. } | DamageKind::Content(_) | DamageKind::UnknownShard(_) => {
                "nothing was changed: start the version that wrote it"
            }
            DamageKind::Header
            | DamageKind::Length { .. }
            | DamageKind::SegmentMissing { .. }
            | DamageKind::Frame { .. }
            | DamageKind::Gap { .. }
            | DamageKind::BehindCheckpoint { .. } => {
                "acknowledged orders would be lost, so nothing was changed: restore the file from a copy of the data directory"
            }
        }
    }
}
