//! The stock of a shard: products, units, holds. This shard is their only writer.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::hash::{BuildHasher, Hasher};

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use super::Entry;
use super::adjustments::{Adjusted, Adjustments};
use super::cut::Cut;
use super::holds::Holds;
use super::item::{Item, Units};
use super::restore::Restoring;
use crate::digest::{Digest, spread};
use crate::event::{Adjustment, HoldLines, Product, copied};
use crate::ids::{OrderId, Time};
use crate::reply::StockSums;

#[derive(Debug)]
pub(crate) struct Stock {
    pub(super) items: Vec<Item>,
    by_sku: HashTable<Entry>,
    pub(super) holds: Holds,
    /// Orders whose reserve is refused until the time: their release came first.
    pub(super) tombstones: BTreeMap<OrderId, Time>,
    pub(super) adjustments: Adjustments,
    /// Not state.
    pub(super) cut: Option<Cut>,
    /// Not state.
    pub(super) restoring: Restoring,
    hasher: FixedState,
}

impl Stock {
    pub(crate) fn new(seed: u64) -> Stock {
        let hasher = FixedState::with_seed(seed);
        Stock {
            items: Vec::new(),
            by_sku: HashTable::new(),
            holds: Holds::new(hasher.clone()),
            tombstones: BTreeMap::new(),
            adjustments: Adjustments::new(hasher.clone()),
            cut: None,
            restoring: Restoring::default(),
            hasher,
        }
    }

    pub(crate) fn index_of(&self, sku: &[u8]) -> Option<u32> {
        let hash = self.hash_of_sku(sku);
        let same = |entry: &Entry| entry.0 == hash && self.items[entry.1 as usize].sku_bytes() == sku;
        self.by_sku.find(spread(hash), same).map(|entry| entry.1)
    }

    pub(crate) fn item(&self, index: u32) -> &Item {
        &self.items[index as usize]
    }

    pub(crate) fn items(&self) -> &[Item] {
        &self.items
    }

    pub(crate) fn find(&self, sku: &str) -> Option<&Item> {
        self.index_of(sku.as_bytes()).map(|index| self.item(index))
    }

    pub(crate) fn hold_of(&self, order: OrderId) -> Option<&HoldLines> {
        self.holds.get(order)
    }

    /// All holds, in no particular order: for sums only.
    pub(crate) fn holds(&self) -> impl Iterator<Item = &HoldLines> {
        self.holds.iter()
    }

    pub(crate) fn is_tombstoned(&self, order: OrderId) -> bool {
        self.tombstones.contains_key(&order)
    }

    /// The adjustment that was decided under the same key for the same caller and SKU.
    pub(crate) fn adjusted_before(&self, adjustment: &Adjustment) -> Option<&Adjusted> {
        self.adjustments.find(adjustment)
    }

    pub(crate) fn apply_product(&mut self, product: &Product) {
        match self.index_of(product.sku.as_bytes()) {
            Some(index) => self.item_mut(index).change(product),
            None => {
                let index = u32::try_from(self.items.len()).expect("a shard has fewer than 2^32 SKUs");
                self.items.push(Item::new(product));
                self.index_item(index);
            }
        }
    }

    pub(crate) fn apply_adjustment(&mut self, adjustment: &Adjustment) {
        self.apply_delta(&adjustment.sku, adjustment.delta);
        let units = self.find(&adjustment.sku).expect("an adjusted SKU is known").units;
        self.remember(adjustment, Some(units));
    }

    pub(crate) fn apply_refused_adjustment(&mut self, adjustment: &Adjustment) {
        self.remember(adjustment, None);
    }

    pub(crate) fn apply_opening(&mut self, sku: &str, units: u64) {
        self.apply_delta(sku, i64::try_from(units).expect("stock is at most STOCK_MAX"));
    }

    pub(crate) fn apply_hold(&mut self, order: OrderId, lines: &HoldLines) {
        for line in lines {
            let units = self.units_mut(line.sku);
            units.available = less(units.available, line.quantity);
            units.reserved += u64::from(line.quantity);
        }
        let place = self.holds.insert(order, copied(lines));
        if let Some(cut) = &mut self.cut {
            cut.hold_began(place);
        }
    }

    pub(crate) fn apply_sale(&mut self, order: OrderId) {
        for line in self.end_hold(order) {
            let units = self.units_mut(line.sku);
            units.reserved = less(units.reserved, line.quantity);
            units.sold += u64::from(line.quantity);
        }
    }

    pub(crate) fn apply_release(&mut self, order: OrderId) {
        for line in self.end_hold(order) {
            let units = self.units_mut(line.sku);
            units.reserved = less(units.reserved, line.quantity);
            units.available += u64::from(line.quantity);
        }
    }

    pub(crate) fn apply_return(&mut self, lines: &HoldLines) {
        for line in lines {
            let units = self.units_mut(line.sku);
            units.sold = less(units.sold, line.quantity);
            units.available += u64::from(line.quantity);
        }
    }

    /// A tombstone, and the end of those whose reserve can no longer come.
    pub(crate) fn apply_tombstone(&mut self, order: OrderId, deadline: Time, now: Time) {
        self.tombstones.retain(|_, until| *until > now);
        self.tombstones.insert(order, deadline);
    }

    pub(crate) fn sums(&self) -> StockSums {
        let mut sums = StockSums::default();
        for units in self.items.iter().map(|item| item.units) {
            sums.adjusted += units.adjusted;
            sums.available += units.available;
            sums.reserved += units.reserved;
            sums.sold += units.sold;
        }
        sums
    }

    pub(crate) fn digest(&self, digest: &mut Digest) {
        self.items.iter().for_each(|item| item.digest(digest));
        self.holds.digest(digest);
        for (order, until) in &self.tombstones {
            digest.word(order.bits());
            digest.word(until.0);
        }
        self.adjustments.digest(digest);
    }

    /// Puts an item, which is in its place, into the index.
    pub(super) fn index_item(&mut self, index: u32) {
        let hash = self.hash_of_sku(self.items[index as usize].sku_bytes());
        self.by_sku.insert_unique(spread(hash), (hash, index), |entry| spread(entry.0));
    }

    fn apply_delta(&mut self, sku: &str, delta: i64) {
        let index = self.index_of(sku.as_bytes()).expect("stock belongs to a product");
        let item = self.item_mut(index);
        item.is_stocked = true;
        let units = &mut item.units;
        let add = |count: u64| count.checked_add_signed(delta).expect("checked before the adjustment was decided");
        units.adjusted = add(units.adjusted);
        units.available = add(units.available);
        units.version += 1;
    }

    fn remember(&mut self, adjustment: &Adjustment, units: Option<Units>) {
        let forgotten = self.adjustments.push(Adjusted { adjustment: adjustment.clone(), units });
        if let (Some((number, forgotten)), Some(cut)) = (forgotten, &mut self.cut) {
            cut.adjustment_forgotten(number, &forgotten);
        }
    }

    /// A hold has one terminal edge: it is gone when it is sold or released.
    fn end_hold(&mut self, order: OrderId) -> HoldLines {
        let ended = self.holds.remove(order);
        let (place, lines) = ended.unwrap_or_else(|| panic!("order {order} holds nothing that could end"));
        if let Some(cut) = &mut self.cut {
            cut.hold_ended(place, order, &lines);
        }
        lines
    }

    fn units_mut(&mut self, index: u32) -> &mut Units {
        let units = &mut self.item_mut(index).units;
        units.version += 1;
        units
    }

    /// The only way to change an item: a cut under way has it saved as it is.
    fn item_mut(&mut self, index: u32) -> &mut Item {
        let item = &mut self.items[index as usize];
        if let Some(cut) = &mut self.cut {
            cut.before_item(index, item);
        }
        item
    }

    fn hash_of_sku(&self, sku: &[u8]) -> u32 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(sku);
        hasher.finish() as u32
    }
}

fn less(count: u64, quantity: u32) -> u64 {
    count.checked_sub(u64::from(quantity)).expect("units never become negative: checked before it was decided")
}
