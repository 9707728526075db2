//! An index from hashes to orders. It grows in parts: no order pays for moving all entries at once.

use alloc::boxed::Box;

use hashbrown::{HashTable, hash_table};

use crate::digest::spread;

/// How many parts. One table of 115,000 entries took 5 ms to grow; in 16 parts the longest turn takes 1 ms more than most.
const PARTS: usize = 16;

/// 32 bits of hash, so that growing does not touch the orders, and the low half of the number of an order: small, because an
/// index is the memory that a new order is the surest to find cold.
type Entry = (u32, u32);

#[derive(Debug)]
pub(super) struct Index(Box<[HashTable<Entry>; PARTS]>);

impl Index {
    pub(super) fn new() -> Index {
        Index(Box::new([const { HashTable::new() }; PARTS]))
    }

    /// The newest order with this hash for which `is_same` holds. Numbers below `len` were given.
    pub(super) fn newest(&self, hash: u32, len: u64, is_same: impl Fn(u64) -> bool) -> Option<u64> {
        let same = self.0[part_of(hash)].iter_hash(spread(hash)).filter(|entry| entry.0 == hash);
        same.map(|entry| widen(entry.1, len)).filter(|number| is_same(*number)).max()
    }

    /// One more order with this hash.
    pub(super) fn insert(&mut self, hash: u32, number: u64) {
        self.0[part_of(hash)].insert_unique(spread(hash), (hash, number as u32), |entry| spread(entry.0));
    }

    /// The only order with this hash from now on; gives the one before.
    pub(super) fn replace(&mut self, hash: u32, number: u64, len: u64) -> Option<u64> {
        match self.0[part_of(hash)].entry(spread(hash), |entry| entry.0 == hash, |entry| spread(entry.0)) {
            hash_table::Entry::Occupied(mut entry) => {
                Some(widen(core::mem::replace(&mut entry.get_mut().1, number as u32), len))
            }
            hash_table::Entry::Vacant(entry) => {
                entry.insert((hash, number as u32));
                None
            }
        }
    }

    /// Whether the order is in it with this hash.
    pub(super) fn has(&self, hash: u32, number: u64) -> bool {
        self.0[part_of(hash)].find(spread(hash), |entry| *entry == (hash, number as u32)).is_some()
    }

    /// The order leaves.
    pub(super) fn remove(&mut self, hash: u32, number: u64) {
        let is_it = |entry: &Entry| *entry == (hash, number as u32);
        if let Ok(entry) = self.0[part_of(hash)].find_entry(spread(hash), is_it) {
            entry.remove();
        }
    }
}

/// The highest number below `len` with this low half.
fn widen(low: u32, len: u64) -> u64 {
    let last = len.wrapping_sub(1);
    last.wrapping_sub(u64::from((last as u32).wrapping_sub(low)))
}

/// From the highest bits of the hash: a table takes the place of an entry from the lowest.
fn part_of(hash: u32) -> usize {
    (hash >> (u32::BITS - PARTS.ilog2())) as usize
}
