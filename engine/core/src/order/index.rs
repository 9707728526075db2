//! An index from hashes to orders. It grows in parts: no order pays for moving all entries at once.

use alloc::boxed::Box;

use hashbrown::{HashTable, hash_table};

use crate::digest::spread;

/// How many parts. One table of 115,000 entries took 5 ms to grow; in 16 parts the longest turn takes 1 ms more than most.
const PARTS: usize = 16;

/// 32 bits of hash, so that growing does not touch the orders, and the number of an order: small, because an index is the
/// memory that a new order is the surest to find cold.
type Entry = (u32, u32);

#[derive(Debug)]
pub(super) struct Index(Box<[HashTable<Entry>; PARTS]>);

impl Index {
    pub(super) fn new() -> Index {
        Index(Box::new([const { HashTable::new() }; PARTS]))
    }

    /// The order with this hash for which `is_same` holds.
    pub(super) fn find(&self, hash: u32, is_same: impl Fn(u64) -> bool) -> Option<u64> {
        let same = |entry: &Entry| entry.0 == hash && is_same(u64::from(entry.1));
        self.0[part_of(hash)].find(spread(hash), same).map(|entry| u64::from(entry.1))
    }

    /// One more order with this hash.
    pub(super) fn insert(&mut self, hash: u32, number: u64) {
        self.0[part_of(hash)].insert_unique(spread(hash), (hash, narrow(number)), |entry| spread(entry.0));
    }

    /// The only order with this hash from now on; gives the one before.
    pub(super) fn replace(&mut self, hash: u32, number: u64) -> Option<u64> {
        match self.0[part_of(hash)].entry(spread(hash), |entry| entry.0 == hash, |entry| spread(entry.0)) {
            hash_table::Entry::Occupied(mut entry) => {
                Some(u64::from(core::mem::replace(&mut entry.get_mut().1, narrow(number))))
            }
            hash_table::Entry::Vacant(entry) => {
                entry.insert((hash, narrow(number)));
                None
            }
        }
    }
}

fn narrow(number: u64) -> u32 {
    u32::try_from(number).expect("the orders of a shard that fit in memory are fewer than 2^32")
}

/// From the highest bits of the hash: a table takes the place of an entry from the lowest.
fn part_of(hash: u32) -> usize {
    (hash >> (u32::BITS - PARTS.ilog2())) as usize
}
