//! A segment file: its name, its identity and its header.
//!
//! ```text
//! 0     8    12       16        32   36    38      40       44            48             56      64
//! ├magic┼crc ┼version ┼identity ┼run ┼lane ┼shards ┼segment ┼header bytes ┼segment bytes ┼starts ┼ (shard u16, next u64)…, zeros
//! ```
//! The header is durable before the file gets its name, so a bad one is damage and never a torn write. The number of the
//! first frame and the chain value before it stand in that frame: they are not known when a segment is prepared ahead.

use std::fmt;

use orderlane_core::{Sequence, ShardId};

use crate::damage::DamageKind;
use crate::limits::{BLOCK_BYTES, SEGMENT_HEADER_BYTES_MAX};
use crate::wire::{take_array, take_u16, take_u32, take_u64};

pub(crate) const HEADER_FIXED_BYTES: usize = 64;
pub(crate) const START_BYTES: usize = 10;
const MAGIC: [u8; 8] = *b"OLANEjrn";
const VERSION: u32 = 1;
const UNFINISHED: &str = ".new";

/// What a segment is called; the order is the one in which segments are read: by run, then lane, then index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentName {
    /// Which start of the data directory, from 1.
    pub run: u32,
    /// Which lane of that run.
    pub lane: u16,
    /// Index within the lane and run, from 0.
    pub segment: u32,
}

impl SegmentName {
    /// Reads exactly what `Display` writes; anything else is `None`.
    #[must_use]
    pub fn parse(name: &str) -> Option<SegmentName> {
        let (run, rest) = name.strip_suffix(".seg")?.strip_prefix('r')?.split_once("-l")?;
        let (lane, segment) = rest.split_once("-s")?;
        let parsed = SegmentName { run: run.parse().ok()?, lane: lane.parse().ok()?, segment: segment.parse().ok()? };
        (parsed.to_string() == name).then_some(parsed)
    }

    /// The name of the file while it is being filled.
    pub(crate) fn unfinished(self) -> String {
        format!("{self}{UNFINISHED}")
    }

    /// Whether `name` is a segment whose filling was never finished: nothing in it counts.
    pub(crate) fn is_unfinished(name: &str) -> bool {
        name.strip_suffix(UNFINISHED).is_some_and(|name| SegmentName::parse(name).is_some())
    }
}

impl fmt::Display for SegmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "r{:06}-l{:02}-s{:06}.seg", self.run, self.lane, self.segment)
    }
}

/// What a data directory got when it was created: both never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Random. Not a secret of clients, so none can forge a frame inside a payload.
    pub directory: u128,
    /// How many shards there are.
    pub shards: u16,
}

impl Identity {
    /// The checksum that every frame of the segment starts from.
    pub(crate) fn seed(self, name: SegmentName) -> u32 {
        let mut bytes = [0; 26];
        bytes[..16].copy_from_slice(&self.directory.to_le_bytes());
        bytes[16..20].copy_from_slice(&name.run.to_le_bytes());
        bytes[20..22].copy_from_slice(&name.lane.to_le_bytes());
        bytes[22..].copy_from_slice(&name.segment.to_le_bytes());
        crc32c::crc32c(&bytes)
    }
}

/// The head of a segment file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Whose file this is.
    pub identity: Identity,
    /// Where it belongs.
    pub name: SegmentName,
    /// Length of this file, fixed when it was made; the segments of a run need not have the same.
    pub segment_bytes: u64,
    /// First segment of a run: the shards of the lane, each with the first sequence that this run gives out. Other segments:
    /// empty.
    pub starts: Vec<(ShardId, Sequence)>,
}

impl SegmentHeader {
    /// Bytes of a header with `starts` starts: where the first frame is.
    pub(crate) fn bytes_of(starts: usize) -> usize {
        (HEADER_FIXED_BYTES + starts * START_BYTES).next_multiple_of(BLOCK_BYTES)
    }

    /// Where the first frame is.
    pub(crate) fn frames_offset(&self) -> usize {
        Self::bytes_of(self.starts.len())
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let len = self.frames_offset();
        let mut bytes = Vec::with_capacity(len);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&self.identity.directory.to_le_bytes());
        bytes.extend_from_slice(&self.name.run.to_le_bytes());
        bytes.extend_from_slice(&self.name.lane.to_le_bytes());
        bytes.extend_from_slice(&self.identity.shards.to_le_bytes());
        bytes.extend_from_slice(&self.name.segment.to_le_bytes());
        bytes.extend_from_slice(&(len as u32).to_le_bytes());
        bytes.extend_from_slice(&self.segment_bytes.to_le_bytes());
        bytes.extend_from_slice(&(self.starts.len() as u64).to_le_bytes());
        for (shard, next) in &self.starts {
            bytes.extend_from_slice(&shard.0.to_le_bytes());
            bytes.extend_from_slice(&next.to_le_bytes());
        }
        bytes.resize(len, 0);
        let crc = crc32c::crc32c(&bytes[12..]);
        bytes[8..12].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads the head of a file called `name` in a directory of `identity`, and refuses what does not belong there.
    pub(crate) fn decode(bytes: &[u8], identity: Identity, name: SegmentName) -> Result<SegmentHeader, DamageKind> {
        let found = Self::parse(bytes)?;
        if found.identity.directory != identity.directory {
            return Err(DamageKind::Identity { found: found.identity.directory, expected: identity.directory });
        }
        if found.identity.shards != identity.shards {
            return Err(DamageKind::Shards { found: found.identity.shards, expected: identity.shards });
        }
        if found.name != name {
            return Err(DamageKind::Name { found: found.name });
        }
        if found.segment_bytes != bytes.len() as u64 {
            return Err(DamageKind::Length { found: bytes.len() as u64, expected: found.segment_bytes });
        }
        Ok(found)
    }

    /// Reads the head of a file by itself: whole, and whosever it says it is.
    pub(crate) fn parse(bytes: &[u8]) -> Result<SegmentHeader, DamageKind> {
        let mut rest = bytes;
        if take_array(&mut rest)? != MAGIC {
            return Err(DamageKind::Magic);
        }
        let crc = take_u32(&mut rest)?;
        let version = take_u32(&mut rest)?;
        if version != VERSION {
            return Err(DamageKind::Version { found: version, expected: VERSION });
        }
        let directory = take_array(&mut rest).map(u128::from_le_bytes)?;
        let (run, lane, shards) = (take_u32(&mut rest)?, take_u16(&mut rest)?, take_u16(&mut rest)?);
        let (segment, len) = (take_u32(&mut rest)?, take_u32(&mut rest)? as usize);
        let (segment_bytes, count) = (take_u64(&mut rest)?, take_u64(&mut rest)? as usize);
        let covered = bytes.get(12..len).ok_or(DamageKind::Header)?;
        if crc32c::crc32c(covered) != crc || len > SEGMENT_HEADER_BYTES_MAX || Self::bytes_of(count) != len {
            return Err(DamageKind::Header);
        }
        let mut starts = Vec::with_capacity(count);
        for _ in 0..count {
            starts.push((ShardId(take_u16(&mut rest)?), take_u64(&mut rest)?));
        }
        let name = SegmentName { run, lane, segment };
        Ok(SegmentHeader { identity: Identity { directory, shards }, name, segment_bytes, starts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_nothing_else_parses() {
        for (run, lane, segment) in [(1, 0, 0), (999_999, 99, 999_999), (1_000_000, 255, 1_234_567)] {
            let name = SegmentName { run, lane, segment };
            assert_eq!(SegmentName::parse(&name.to_string()), Some(name));
            assert!(SegmentName::is_unfinished(&name.unfinished()));
        }
        for name in [
            "",
            ".seg",
            "r1-l0-s0.seg",
            "r000001-l00-s000000",
            "r+00001-l00-s000000.seg",
            "r000001-l00-s000000.seg.new",
        ] {
            assert_eq!(SegmentName::parse(name), None, "{name}");
        }
    }

    #[test]
    fn every_flipped_bit_of_a_header_is_refused() {
        let identity = Identity { directory: 7 << 100, shards: 12 };
        let name = SegmentName { run: 3, lane: 2, segment: 0 };
        let starts = (0..12).map(|shard| (ShardId(shard), 100 + u64::from(shard))).collect();
        let header = SegmentHeader { identity, name, segment_bytes: 8192, starts };
        let mut bytes = header.encode();
        bytes.resize(8192, 0);
        assert_eq!(SegmentHeader::decode(&bytes, identity, name).expect("whole"), header);
        for bit in 0..8 * BLOCK_BYTES {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(SegmentHeader::decode(&bytes, identity, name).is_err(), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
}
