//! The stock from the entries of a cut, which come in any order.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::adjustments::Adjusted;
use super::item::Item;
use super::stock::Stock;
use crate::ids::{OrderId, Time};
use crate::image::{Kind, Malformed, Reader};

/// What is known only once all entries are there.
#[derive(Debug, Default)]
pub(super) struct Restoring {
    /// The index of each item, in the order in which they came.
    indexes: Vec<u32>,
    adjustments: BTreeMap<u64, Adjusted>,
}

impl Stock {
    /// Takes one entry. After the last one, call [`Stock::restored`].
    ///
    /// # Errors
    /// What is wrong with the entry.
    pub(crate) fn restore(&mut self, kind: Kind, fields: Reader<'_>) -> Result<(), Malformed> {
        match kind {
            Kind::Item => {
                let (index, item) = Item::read(fields)?;
                self.restoring.indexes.push(index);
                self.items.push(item);
                Ok(())
            }
            Kind::Hold => self.holds.restore(fields),
            Kind::Tombstone => self.restore_tombstone(fields),
            Kind::Adjustment => {
                let (number, adjusted) = Adjusted::read(fields)?;
                let before = self.restoring.adjustments.insert(number, adjusted);
                if before.is_some() { Err("two adjustments have one number") } else { Ok(()) }
            }
            Kind::Head | Kind::Order | Kind::Outbox | Kind::Inbox | Kind::End => {
                Err("an entry that is not of the stock")
            }
        }
    }

    /// Ends a restore: every item in its place, the indexes anew.
    ///
    /// # Errors
    /// What is missing, or contradicts something else.
    pub(crate) fn restored(&mut self) -> Result<(), Malformed> {
        let Restoring { indexes, adjustments } = core::mem::take(&mut self.restoring);
        put_in_order(&mut self.items, indexes)?;
        for index in 0..self.items.len() {
            if self.index_of(self.items[index].sku_bytes()).is_some() {
                return Err("two items have one SKU");
            }
            self.index_item(index as u32);
        }
        self.holds_agree()?;
        let mut skus = adjustments.values().map(|adjusted| &adjusted.adjustment.sku);
        if !skus.all(|sku| self.index_of(sku.as_bytes()).is_some()) {
            return Err("an adjustment of an unknown SKU");
        }
        self.adjustments.restored(adjustments)
    }

    fn restore_tombstone(&mut self, mut fields: Reader<'_>) -> Result<(), Malformed> {
        let (order, until) = (OrderId::from_bits(fields.u64()?), Time(fields.u64()?));
        fields.end()?;
        if self.tombstones.insert(order, until).is_some() { Err("an order has two tombstones") } else { Ok(()) }
    }

    /// What is reserved of each item is what the holds say.
    fn holds_agree(&self) -> Result<(), Malformed> {
        let mut held = alloc::vec![0_u64; self.items.len()];
        for line in self.holds.iter().flatten() {
            let held = held.get_mut(line.sku as usize).ok_or("a hold of an unknown item")?;
            *held = held.saturating_add(u64::from(line.quantity));
        }
        let agree = self.items.iter().zip(held).all(|(item, held)| item.units.reserved == held);
        if agree { Ok(()) } else { Err("the holds of an item are not what is reserved") }
    }
}

/// Moves each item to its index, in place: there may be millions.
fn put_in_order(items: &mut [Item], mut indexes: Vec<u32>) -> Result<(), Malformed> {
    let mut present = alloc::vec![false; items.len()];
    for index in &indexes {
        let present = present.get_mut(*index as usize).ok_or("an item is missing")?;
        if core::mem::replace(present, true) {
            return Err("an item is there twice");
        }
    }
    for place in 0..items.len() {
        while indexes[place] as usize != place {
            let index = indexes[place] as usize;
            items.swap(place, index);
            indexes.swap(place, index);
        }
    }
    Ok(())
}
