//! The record of every acknowledged order.

use crate::limits::RECORD_BLOCK_BYTES;
use std::fmt;

/// One acknowledged order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acknowledgement<'a> {
    /// Index of the order: key and body follow from it.
    pub index: u64,
    /// Intended send, in microseconds since the start of the run.
    pub intended_micros: u64,
    /// Id that the server gave.
    pub id: &'a str,
}

/// Acknowledged orders in the order of their answers, appended and read from front to back.
///
/// ```text
/// | index, varint | intended µs, varint | length of the id | id |     4 + 4 + 1 + 28 B for a million orders
/// ```
/// Blocks of one size, so that growing never copies.
#[derive(Default)]
pub struct Acknowledged {
    blocks: Vec<Vec<u8>>,
    count: u64,
}

impl Acknowledged {
    /// Appends an order; `false` when its id is no id (empty, or longer than 255 bytes).
    pub(crate) fn push(&mut self, index: u64, intended_micros: u64, id: &str) -> bool {
        let Ok(length @ 1..) = u8::try_from(id.len()) else { return false };
        if self.blocks.last().is_none_or(|block| block.capacity() - block.len() < id.len() + 21) {
            self.blocks.push(Vec::with_capacity(RECORD_BLOCK_BYTES));
        }
        let block = self.blocks.last_mut().expect("a block was pushed if there was none");
        push_varint(block, index);
        push_varint(block, intended_micros);
        block.push(length);
        block.extend_from_slice(id.as_bytes());
        self.count += 1;
        true
    }

    pub(crate) fn append(&mut self, other: Self) {
        self.blocks.extend(other.blocks);
        self.count += other.count;
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = Acknowledgement<'_>> {
        self.blocks.iter().flat_map(|block| {
            let mut rest = block.as_slice();
            std::iter::from_fn(move || (!rest.is_empty()).then(|| read(&mut rest)))
        })
    }

    /// At most `limit` of them, evenly spread over the run; 0 for none.
    pub fn sample(&self, limit: u64) -> impl Iterator<Item = Acknowledgement<'_>> {
        let count = u128::from(self.count.max(1));
        let chosen = move |position: u64| (u128::from(position) * u128::from(limit)) / count;
        let every = limit >= self.count;
        self.iter()
            .zip(0_u64..)
            .filter(move |&(_, position)| every || chosen(position) != chosen(position + 1))
            .map(|(order, _)| order)
    }
}

impl fmt::Debug for Acknowledged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acknowledged").field("count", &self.count).finish_non_exhaustive()
    }
}

fn read<'a>(rest: &mut &'a [u8]) -> Acknowledgement<'a> {
    let index = read_varint(rest);
    let intended_micros = read_varint(rest);
    let (length, tail) = rest.split_first().expect("an entry was written as a whole");
    let (id, tail) = tail.split_at(usize::from(*length));
    *rest = tail;
    Acknowledgement { index, intended_micros, id: std::str::from_utf8(id).expect("an id was written as text") }
}

/// LEB128.
fn push_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn read_varint(rest: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let (byte, tail) = rest.split_first().expect("an entry was written as a whole");
        *rest = tail;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "o_01JABCDEFGHJKMNPQRSTVWXYZ0";

    #[test]
    fn what_is_pushed_is_read_within_40_bytes_an_order() {
        let mut record = Acknowledged::default();
        let count = 200_000;
        for index in 0..count {
            assert!(record.push(index, index * 17, ID));
        }
        assert!(!record.push(1, 1, ""));
        let mut other = Acknowledged::default();
        assert!(other.push(u64::MAX, u64::MAX, "x"));
        record.append(other);
        for (order, index) in record.iter().zip(0..count) {
            assert_eq!(order, Acknowledgement { index, intended_micros: index * 17, id: ID });
        }
        assert_eq!(record.iter().last().map(|order| (order.index, order.id)), Some((u64::MAX, "x")));
        let bytes: usize = record.blocks.iter().map(Vec::len).sum();
        assert!(bytes as u64 <= 40 * count, "{bytes}");
    }

    #[test]
    fn a_sample_has_the_size_asked_for_and_is_spread() {
        let mut record = Acknowledged::default();
        for index in 0..1_000 {
            record.push(index, 0, ID);
        }
        for (limit, expected) in [(0, 0), (1, 1), (7, 7), (1_000, 1_000), (u64::MAX, 1_000)] {
            assert_eq!(record.sample(limit).count(), expected);
        }
        let indices: Vec<u64> = record.sample(4).map(|order| order.index).collect();
        assert_eq!(indices, [249, 499, 749, 999]);
    }
}
