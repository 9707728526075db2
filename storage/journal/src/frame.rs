//! A frame: one commit, whole or not at all.
//!
//! ```text
//! 0      4    8       12    16      24        28     32
//! ├magic ┼crc ┼length ┼used ┼number ┼previous ┼block ┼ records, then zeros up to `length` (4 KiB-aligned)
//! ```
//! `crc` covers everything behind it and starts from the seed of the segment, so that a frame is known to be whole without the
//! one before it; `previous` is the `crc` of the frame before, so that it is known to follow. `block` is where it belongs in
//! its segment. A frame without records is a marker: all of its bytes follow from what is before it.

use crate::limits::{BLOCK_BYTES, FRAME_BYTES_MAX};
use crate::record::Records;
use crate::segment::SegmentName;

pub(crate) const HEADER_BYTES: usize = 32;
const MAGIC: [u8; 4] = *b"OLfr";

/// The fields of a frame's header that do not follow from its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) number: u64,
    pub(crate) previous: u32,
    pub(crate) offset: u64,
}

/// Pads `bytes` (header room and records), fills the header in and gives the checksum: the next frame's `previous`.
pub(crate) fn seal(bytes: &mut Vec<u8>, seed: u32, link: Link) -> u32 {
    let used = bytes.len();
    assert!(used >= HEADER_BYTES, "a frame has room for its header");
    bytes.resize(used.next_multiple_of(BLOCK_BYTES), 0);
    let length = bytes.len() as u32;
    bytes[..4].copy_from_slice(&MAGIC);
    bytes[8..12].copy_from_slice(&length.to_le_bytes());
    bytes[12..16].copy_from_slice(&(used as u32).to_le_bytes());
    bytes[16..24].copy_from_slice(&link.number.to_le_bytes());
    bytes[24..28].copy_from_slice(&link.previous.to_le_bytes());
    bytes[28..32].copy_from_slice(&((link.offset / BLOCK_BYTES as u64) as u32).to_le_bytes());
    let crc = crc32c::crc32c_append(seed, &bytes[8..]);
    bytes[4..8].copy_from_slice(&crc.to_le_bytes());
    crc
}

/// The checksum of the marker that would be at `link`.
pub(crate) fn marker_crc(seed: u32, link: Link) -> u32 {
    let mut bytes = Vec::with_capacity(BLOCK_BYTES);
    bytes.resize(HEADER_BYTES, 0);
    seal(&mut bytes, seed, link)
}

/// A whole frame in a segment.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// The segment it is in.
    pub segment: SegmentName,
    /// Where in the segment it starts.
    pub offset: u64,
    /// Dense within lane and run, from 1.
    pub number: u64,
    /// Bytes it takes in the segment.
    pub length: usize,
    pub(crate) head: Head,
    payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Reads the frame at `offset`. `None` unless it is whole and was written for this very place.
    pub(crate) fn parse(bytes: &'a [u8], offset: usize, seed: u32, segment: SegmentName) -> Option<Frame<'a>> {
        let head = Head::parse(bytes, offset)?;
        let frame = &bytes[offset..offset + head.length];
        if crc32c::crc32c_append(seed, &frame[8..]) != head.crc {
            return None;
        }
        let payload = &frame[HEADER_BYTES..head.used];
        Some(Frame { segment, offset: offset as u64, number: head.number, length: head.length, head, payload })
    }

    /// What makes it the next one: its number and the checksum before it.
    pub(crate) fn link(&self) -> (u64, u32) {
        self.head.link()
    }

    /// Its records, in the order in which they were appended.
    #[must_use]
    pub fn records(&self) -> Records<'a> {
        Records::new(self.payload)
    }

    /// Whether it only marks that the frame before it was acknowledged.
    #[must_use]
    pub fn is_marker(&self) -> bool {
        self.payload.is_empty()
    }
}

/// A frame's header whose fields are possible ones; its checksum is not checked yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    crc: u32,
    pub(crate) length: usize,
    used: usize,
    number: u64,
    previous: u32,
}

impl Head {
    pub(crate) fn parse(bytes: &[u8], offset: usize) -> Option<Head> {
        let head = bytes.get(offset..)?.first_chunk::<HEADER_BYTES>()?;
        if head[..4] != MAGIC {
            return None;
        }
        let found = Head {
            crc: u32_at(head, 4),
            length: u32_at(head, 8) as usize,
            used: u32_at(head, 12) as usize,
            number: u64_at(head, 16),
            previous: u32_at(head, 24),
        };
        let possible = (HEADER_BYTES..=FRAME_BYTES_MAX).contains(&found.used)
            && found.length == found.used.next_multiple_of(BLOCK_BYTES)
            && found.length <= bytes.len() - offset
            && u32_at(head, 28) as usize == offset / BLOCK_BYTES;
        possible.then_some(found)
    }

    pub(crate) fn link(&self) -> (u64, u32) {
        (self.number, self.previous)
    }

    pub(crate) fn crc(&self) -> u32 {
        self.crc
    }

    pub(crate) fn is_marker(&self) -> bool {
        self.used == HEADER_BYTES
    }
}

fn u32_at(head: &[u8; HEADER_BYTES], at: usize) -> u32 {
    u32::from_le_bytes(head[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(head: &[u8; HEADER_BYTES], at: usize) -> u64 {
    u64::from_le_bytes(head[at..at + 8].try_into().expect("eight bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: SegmentName = SegmentName { run: 1, lane: 0, segment: 0 };
    const LINK: Link = Link { number: 7, previous: 99, offset: 4096 };

    fn sealed(seed: u32) -> Vec<u8> {
        let mut frame = vec![0; HEADER_BYTES];
        frame.extend_from_slice(b"records");
        seal(&mut frame, seed, LINK);
        [vec![0; BLOCK_BYTES], frame].concat()
    }

    #[test]
    fn a_frame_parses_only_under_its_seed_and_at_its_place() {
        let bytes = sealed(5);
        assert_eq!(Frame::parse(&bytes, 4096, 5, NAME).map(|frame| frame.number), Some(7));
        assert!(Frame::parse(&bytes, 4096, 6, NAME).is_none(), "another segment's, run's, lane's or directory's");
        assert!(Frame::parse(&[&[0; 4096], bytes.as_slice()].concat(), 8192, 5, NAME).is_none(), "misdirected");
        assert!(Frame::parse(&bytes[..8191], 4096, 5, NAME).is_none(), "cut");
    }

    #[test]
    fn every_flipped_bit_of_a_frame_is_seen_even_in_its_padding() {
        let mut bytes = sealed(5);
        for bit in 8 * 4096..8 * 8192 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(Frame::parse(&bytes, 4096, 5, NAME).is_none(), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
}
