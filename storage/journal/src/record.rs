//! A record: events of one shard that were decided at one time and appended together.
//!
//! ```text
//! 0      2      6      10     18    26
//! ├shard ┼count ┼bytes ┼first ┼time ┼ `count` events in `bytes` bytes
//! ```

use orderlane_core::{Event, Sequence, ShardId, Time};

use crate::event::{decode, encode};
use crate::wire::{Malformed, take_slice, take_u16, take_u32, take_u64};

const HEADER_BYTES: usize = 26;

/// Appends a record to `out`.
pub(crate) fn put_record(out: &mut Vec<u8>, shard: ShardId, first: Sequence, time: Time, events: &[Event]) {
    let start = out.len();
    let mut head = [0; HEADER_BYTES];
    head[..2].copy_from_slice(&shard.0.to_le_bytes());
    head[2..6].copy_from_slice(&(events.len() as u32).to_le_bytes());
    head[10..18].copy_from_slice(&first.to_le_bytes());
    head[18..].copy_from_slice(&time.0.to_le_bytes());
    out.extend_from_slice(&head);
    for event in events {
        encode(event, shard, out);
    }
    let bytes = (out.len() - start - HEADER_BYTES) as u32;
    out[start + 6..start + 10].copy_from_slice(&bytes.to_le_bytes());
}

/// Events of one shard, not decoded yet.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Whose events.
    pub shard: ShardId,
    /// The sequence of the first one.
    pub first: Sequence,
    /// When they were decided.
    pub time: Time,
    /// How many there are.
    pub count: u32,
    bytes: &'a [u8],
}

impl<'a> Record<'a> {
    fn take(from: &mut &'a [u8]) -> Result<Record<'a>, Malformed> {
        let shard = ShardId(take_u16(from)?);
        let (count, len) = (take_u32(from)?, take_u32(from)? as usize);
        let (first, time) = (take_u64(from)?, Time(take_u64(from)?));
        if first == 0 || first.checked_add(u64::from(count)).is_none() {
            return Err(Malformed("the sequence of a record"));
        }
        Ok(Record { shard, first, time, count, bytes: take_slice(from, len)? })
    }

    /// The sequence of the event that follows the last one.
    #[must_use]
    pub fn next(&self) -> Sequence {
        self.first + u64::from(self.count)
    }

    /// Its events with their sequences.
    #[must_use]
    pub fn events(&self) -> Events<'a> {
        Events { shard: self.shard, sequence: self.first, left: self.count, rest: self.bytes }
    }
}

/// The records of a frame. Ends after the first one that is malformed.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    rest: &'a [u8],
}

impl<'a> Records<'a> {
    pub(crate) fn new(payload: &'a [u8]) -> Records<'a> {
        Records { rest: payload }
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let record = Record::take(&mut self.rest);
        if record.is_err() {
            self.rest = &[];
        }
        Some(record)
    }
}

/// The events of a record. Ends after the first one that is malformed.
#[derive(Clone, Debug)]
pub struct Events<'a> {
    shard: ShardId,
    sequence: Sequence,
    left: u32,
    rest: &'a [u8],
}

impl Iterator for Events<'_> {
    type Item = Result<(Sequence, Event), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            let surplus = !std::mem::take(&mut self.rest).is_empty();
            return surplus.then_some(Err(Malformed("bytes behind the last event of a record")));
        }
        let event = decode(self.shard, &mut self.rest);
        if event.is_err() {
            (self.left, self.rest) = (0, &[]);
            return Some(event.map(|event| (self.sequence, event)));
        }
        let sequence = self.sequence;
        self.left -= 1;
        self.sequence += 1;
        Some(event.map(|event| (sequence, event)))
    }
}
