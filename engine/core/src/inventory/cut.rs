//! The stock's part of a cut: whatever changes before its slice comes is saved first, as it was.

use alloc::vec::Vec;

use super::adjustments::Adjusted;
use super::holds::put_hold;
use super::item::Item;
use super::stock::Stock;
use crate::event::HoldLines;
use crate::ids::OrderId;
use crate::image::{Kind, put_entry, put_u64};
use crate::sweep::Sweep;

/// A cut under way. What came after it began is behind the ends of its sweeps.
#[derive(Debug)]
pub(super) struct Cut {
    items: Sweep,
    /// By place. A place that was filled anew counts as saved: its new hold is no part of the cut.
    holds: Sweep,
    /// By number.
    adjustments: Sweep,
    /// Entries that were saved before a change, and those that a slice has not taken yet.
    saved: Vec<u8>,
    saved_count: usize,
}

impl Stock {
    /// Begins a cut of the stock as it now is.
    ///
    /// # Panics
    /// When one is under way.
    pub(crate) fn begin_cut(&mut self) {
        assert!(self.cut.is_none(), "one cut of the stock at a time");
        let numbers = self.adjustments.numbers();
        let mut cut = Cut {
            items: Sweep::new(0, self.items.len() as u64),
            holds: Sweep::new(0, self.holds.slot_count()),
            adjustments: Sweep::new(numbers.start, numbers.end),
            saved: Vec::new(),
            saved_count: 0,
        };
        // Few: each ends with the deadline of an order whose release overtook its reserve.
        for (order, until) in &self.tombstones {
            cut.save(|out| {
                put_entry(out, Kind::Tombstone, |out| {
                    put_u64(out, order.bits());
                    put_u64(out, until.0);
                });
            });
        }
        self.cut = Some(cut);
    }

    /// Goes on with the cut: appends what was saved before a change, then looks at so many more entries that they are about
    /// `count_max` in all. Gives how many they were, and whether the cut is whole.
    ///
    /// # Panics
    /// When none is under way.
    pub(crate) fn cut(&mut self, count_max: usize, out: &mut Vec<u8>) -> (usize, bool) {
        let cut = self.cut.as_mut().expect("a cut of the stock was begun");
        out.append(&mut cut.saved);
        let mut count = core::mem::take(&mut cut.saved_count);
        while count < count_max {
            if let Some(index) = cut.items.take_next() {
                self.items[index as usize].put(index as u32, out);
            } else if let Some(place) = cut.holds.take_next() {
                self.holds.put(place, out);
            } else if let Some(number) = cut.adjustments.take_next() {
                self.adjustments.put(number, out);
            } else {
                self.cut = None;
                return (count, true);
            }
            count += 1;
        }
        (count, false)
    }
}

impl Cut {
    /// An item is about to change.
    #[inline]
    pub(super) fn before_item(&mut self, index: u32, item: &Item) {
        if self.items.must_save(u64::from(index)) {
            self.save(|out| item.put(index, out));
        }
    }

    /// A hold has left its place.
    #[inline]
    pub(super) fn hold_ended(&mut self, place: u32, order: OrderId, lines: &HoldLines) {
        if self.holds.must_save(u64::from(place)) {
            self.save(|out| put_hold(order, lines, out));
        }
    }

    /// A new hold has taken an empty place.
    #[inline]
    pub(super) fn hold_began(&mut self, place: u32) {
        self.holds.must_save(u64::from(place));
    }

    /// An adjustment is forgotten.
    pub(super) fn adjustment_forgotten(&mut self, number: u64, adjusted: &Adjusted) {
        if self.adjustments.must_save(number) {
            self.save(|out| adjusted.put(number, out));
        }
    }

    #[cold]
    fn save(&mut self, put: impl FnOnce(&mut Vec<u8>)) {
        put(&mut self.saved);
        self.saved_count += 1;
    }
}
