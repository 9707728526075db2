//! The holds of a stock shard, in places that a cut can walk through while holds come and go.

use alloc::vec::Vec;
use core::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::{HashTable, hash_table};

use super::Entry;
use crate::digest::{Digest, spread};
use crate::event::{HoldLine, HoldLines, copied};
use crate::ids::OrderId;
use crate::image::{Kind, Malformed, Reader, put_entry, put_u32, put_u64};
use crate::limits::LINES_MAX;

#[derive(Debug)]
pub(super) struct Holds {
    slots: Vec<Slot>,
    /// Places of empty slots: the one that was emptied last is filled first, while it is warm.
    free: Vec<u32>,
    by_order: HashTable<Entry>,
    hasher: FixedState,
}

/// Half a cache line. A hold has lines, so a slot without lines is an empty one.
#[derive(Debug)]
struct Slot {
    order: OrderId,
    lines: HoldLines,
}

const _: () = assert!(size_of::<Slot>() == 32);

impl Holds {
    pub(super) fn new(hasher: FixedState) -> Holds {
        Holds { slots: Vec::new(), free: Vec::new(), by_order: HashTable::new(), hasher }
    }

    /// Slots, the empty ones, too: all places are below.
    pub(super) fn slot_count(&self) -> u64 {
        self.slots.len() as u64
    }

    #[inline]
    pub(super) fn get(&self, order: OrderId) -> Option<&HoldLines> {
        let hash = self.hash_of(order);
        let place = self.by_order.find(spread(hash), |entry| is_of(&self.slots, *entry, hash, order))?.1;
        Some(&self.slots[place as usize].lines)
    }

    /// All holds, in no particular order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &HoldLines> {
        self.full().map(|slot| &slot.lines)
    }

    /// Keeps a hold and gives its place.
    ///
    /// # Panics
    /// When the order has a hold, or `lines` is empty.
    #[inline]
    pub(super) fn insert(&mut self, order: OrderId, lines: HoldLines) -> u32 {
        assert!(!lines.is_empty(), "order {order} holds nothing");
        let hash = self.hash_of(order);
        let same = |entry: &Entry| is_of(&self.slots, *entry, hash, order);
        let hash_table::Entry::Vacant(entry) = self.by_order.entry(spread(hash), same, |entry| spread(entry.0)) else {
            panic!("order {order} holds stock twice on one shard")
        };
        let place = self
            .free
            .pop()
            .unwrap_or_else(|| u32::try_from(self.slots.len()).expect("a shard has fewer than 2^32 holds at a time"));
        entry.insert((hash, place));
        let slot = Slot { order, lines };
        match self.slots.get_mut(place as usize) {
            Some(empty) => *empty = slot,
            None => self.slots.push(slot),
        }
        place
    }

    /// Ends a hold: gives its place, which is empty now, and what was held.
    #[inline]
    pub(super) fn remove(&mut self, order: OrderId) -> Option<(u32, HoldLines)> {
        let hash = self.hash_of(order);
        let entry = self.by_order.find_entry(spread(hash), |entry| is_of(&self.slots, *entry, hash, order)).ok()?;
        let place = entry.remove().0.1;
        self.free.push(place);
        Some((place, core::mem::take(&mut self.slots[place as usize].lines)))
    }

    /// A sum over all holds, whatever their places.
    pub(super) fn digest(&self, digest: &mut Digest) {
        let digests = self.full().map(|slot| {
            let mut digest = Digest::new();
            digest.word(slot.order.bits());
            slot.lines.iter().for_each(|line| digest.word(u64::from(line.sku) << 32 | u64::from(line.quantity)));
            digest.finish()
        });
        digest.word(digests.fold(0, u64::wrapping_add));
        digest.word(self.by_order.len() as u64);
    }

    /// Appends the entry of the hold at `place`, if there is one.
    pub(super) fn put(&self, place: u64, out: &mut Vec<u8>) {
        let slot = &self.slots[place as usize];
        if !slot.lines.is_empty() {
            put_hold(slot.order, &slot.lines, out);
        }
    }

    /// Reads the fields that [`put_hold`] wrote, and keeps the hold. Whether its SKUs exist is for the end.
    pub(super) fn restore(&mut self, mut fields: Reader<'_>) -> Result<(), Malformed> {
        let order = OrderId::from_bits(fields.u64()?);
        let count = usize::from(fields.u8()?);
        if count == 0 || count > LINES_MAX {
            return Err("a hold with no lines or too many");
        }
        let mut lines = HoldLines::new();
        for _ in 0..count {
            lines.push(HoldLine { sku: fields.u32()?, quantity: fields.u32()? });
        }
        fields.end()?;
        if self.get(order).is_some() {
            return Err("an order holds stock twice");
        }
        self.insert(order, copied(&lines));
        Ok(())
    }

    fn full(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter().filter(|slot| !slot.lines.is_empty())
    }

    #[inline]
    fn hash_of(&self, order: OrderId) -> u32 {
        self.hasher.hash_one(order) as u32
    }
}

/// Whether an entry is the one of `order`. A slot that an entry names is full.
#[inline]
fn is_of(slots: &[Slot], entry: Entry, hash: u32, order: OrderId) -> bool {
    entry.0 == hash && slots[entry.1 as usize].order == order
}

/// Appends the entry of a hold.
pub(super) fn put_hold(order: OrderId, lines: &HoldLines, out: &mut Vec<u8>) {
    put_entry(out, Kind::Hold, |out| {
        put_u64(out, order.bits());
        out.push(u8::try_from(lines.len()).expect("a hold has at most LINES_MAX lines"));
        for line in lines {
            put_u32(out, line.sku);
            put_u32(out, line.quantity);
        }
    });
}
