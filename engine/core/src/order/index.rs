//! An index from hashes to orders. It grows in parts: no order pays for moving all entries at once.

use alloc::boxed::Box;

use hashbrown::{HashTable, hash_table};

/// How many parts. One table of 115,000 entries took 5 ms to grow; in 16 parts the longest turn takes 1 ms more than most.
const PARTS: usize = 16;

/// The hash, so that growing does not touch the orders, and the number of an order.
type Entry = (u64, u64);

#[derive(Debug)]
pub(super) struct Index(Box<[HashTable<Entry>; PARTS]>);

impl Index {
    pub(super) fn new() -> Index {
        Index(Box::new([const { HashTable::new() }; PARTS]))
    }

    /// The order with this hash for which `is_same` holds.
    pub(super) fn find(&self, hash: u64, is_same: impl Fn(u64) -> bool) -> Option<u64> {
        let entry = self.0[part_of(hash)].find(hash, |entry| entry.0 == hash && is_same(entry.1));
        entry.map(|entry| entry.1)
    }

    /// One more order with this hash.
    pub(super) fn insert(&mut self, hash: u64, number: u64) {
        self.0[part_of(hash)].insert_unique(hash, (hash, number), |entry| entry.0);
    }

    /// The only order with this hash from now on; gives the one before.
    pub(super) fn replace(&mut self, hash: u64, number: u64) -> Option<u64> {
        match self.0[part_of(hash)].entry(hash, |entry| entry.0 == hash, |entry| entry.0) {
            hash_table::Entry::Occupied(mut entry) => Some(core::mem::replace(&mut entry.get_mut().1, number)),
            hash_table::Entry::Vacant(entry) => {
                entry.insert((hash, number));
                None
            }
        }
    }
}

/// From the middle of the hash: a table takes the place of an entry from its lowest bits and a tag from its highest.
fn part_of(hash: u64) -> usize {
    (hash >> 40) as usize % PARTS
}
