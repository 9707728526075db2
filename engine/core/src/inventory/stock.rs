//! The stock of a shard: products, units, holds. This shard is their only writer.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::hash::{BuildHasher, Hasher};

use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashTable};
use smallvec::SmallVec;

use crate::digest::{Digest, spread};
use crate::event::{Adjustment, HoldLines, Product, copied};
use crate::ids::{Currency, OrderId, Time};
use crate::reply::{InventoryView, ProductView, StockSums};

/// One SKU in two cache lines: what a reserve compares, and the units, which the sale needs alone.
#[derive(Debug)]
#[repr(C, align(128))]
pub(crate) struct Item {
    /// Most SKUs are short: comparing one follows no pointer.
    sku: SmallVec<[u8; 36]>,
    pub(crate) unit_price: u64,
    pub(crate) currency: Currency,
    /// Whether stock was opened or adjusted; until then `units` is all zero.
    is_stocked: bool,
    version: u32,
    units: Units,
    name: Box<str>,
}

const _: () = assert!(size_of::<Item>() == 128 && core::mem::offset_of!(Item, units) == 64);

/// Units of one SKU: `adjusted = available + reserved + sold`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Units {
    pub(crate) available: u64,
    pub(crate) reserved: u64,
    pub(crate) sold: u64,
    version: u64,
    pub(crate) adjusted: u64,
}

/// An adjustment that was decided, with the answer that every retry gets.
#[derive(Debug)]
pub(crate) struct Adjusted {
    pub(crate) adjustment: Adjustment,
    /// The stock just after it; `None` when it was refused.
    pub(crate) units: Option<Units>,
}

/// An entry of an index: 32 bits of hash, so that growing does not touch what is indexed, and a place in a list.
type Entry = (u32, u32);

#[derive(Debug)]
pub(crate) struct Stock {
    items: Vec<Item>,
    by_sku: HashTable<Entry>,
    holds: HashMap<OrderId, HoldLines, FixedState>,
    /// Orders whose reserve is refused until the time: their release came first.
    tombstones: BTreeMap<OrderId, Time>,
    adjustments: Vec<Adjusted>,
    by_key: HashTable<Entry>,
    hasher: FixedState,
}

impl Stock {
    pub(crate) fn new(seed: u64) -> Stock {
        let hasher = FixedState::with_seed(seed);
        Stock {
            items: Vec::new(),
            by_sku: HashTable::new(),
            holds: HashMap::with_hasher(hasher.clone()),
            tombstones: BTreeMap::new(),
            adjustments: Vec::new(),
            by_key: HashTable::new(),
            hasher,
        }
    }

    pub(crate) fn index_of(&self, sku: &[u8]) -> Option<u32> {
        let hash = self.hash_of_sku(sku);
        let same = |entry: &Entry| entry.0 == hash && self.items[entry.1 as usize].sku[..] == *sku;
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
        self.holds.get(&order)
    }

    /// All holds, in no particular order: for sums only.
    pub(crate) fn holds(&self) -> impl Iterator<Item = &HoldLines> {
        self.holds.values()
    }

    pub(crate) fn is_tombstoned(&self, order: OrderId) -> bool {
        self.tombstones.contains_key(&order)
    }

    /// The adjustment that was decided under the same key for the same caller and SKU.
    pub(crate) fn adjusted_before(&self, adjustment: &Adjustment) -> Option<&Adjusted> {
        let hash = self.hash_of_key(adjustment);
        let same = |entry: &Entry| {
            let known = &self.adjustments[entry.1 as usize].adjustment;
            entry.0 == hash
                && (&known.subject, &known.sku, &known.key) == (&adjustment.subject, &adjustment.sku, &adjustment.key)
        };
        self.by_key.find(spread(hash), same).map(|entry| &self.adjustments[entry.1 as usize])
    }

    pub(crate) fn apply_product(&mut self, product: &Product) {
        match self.index_of(product.sku.as_bytes()) {
            Some(index) => {
                let item = &mut self.items[index as usize];
                item.name = product.name.clone();
                item.unit_price = product.unit_price;
                item.currency = product.currency;
                item.version += 1;
            }
            None => {
                let hash = self.hash_of_sku(product.sku.as_bytes());
                let index = u32::try_from(self.items.len()).expect("a shard has fewer than 2^32 SKUs");
                self.by_sku.insert_unique(spread(hash), (hash, index), |entry| spread(entry.0));
                self.items.push(Item::new(product));
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
        let before = self.holds.insert(order, copied(lines));
        assert!(before.is_none(), "order {order} holds stock twice on one shard");
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
        for item in &self.items {
            digest.bytes(&item.sku);
            digest.bytes(item.name.as_bytes());
            digest.bytes(&item.currency.bytes());
            digest.word(item.unit_price);
            digest.word(u64::from(item.version) << 1 | u64::from(item.is_stocked));
            let units = &item.units;
            for word in [units.adjusted, units.available, units.reserved, units.sold, units.version] {
                digest.word(word);
            }
        }
        let mut holds: Vec<_> = self.holds.iter().collect();
        holds.sort_unstable_by_key(|(order, _)| **order);
        for (order, lines) in holds {
            digest.word(order.bits());
            lines.iter().for_each(|line| digest.word(u64::from(line.sku) << 32 | u64::from(line.quantity)));
        }
        for (order, until) in &self.tombstones {
            digest.word(order.bits());
            digest.word(until.0);
        }
        for adjusted in &self.adjustments {
            digest.bytes(adjusted.adjustment.key.as_bytes());
            digest.word(adjusted.adjustment.delta as u64);
            digest.word(adjusted.units.map_or(u64::MAX, |units| units.version));
        }
    }

    fn apply_delta(&mut self, sku: &str, delta: i64) {
        let index = self.index_of(sku.as_bytes()).expect("stock belongs to a product");
        let item = &mut self.items[index as usize];
        item.is_stocked = true;
        let units = &mut item.units;
        let add = |count: u64| count.checked_add_signed(delta).expect("checked before the adjustment was decided");
        units.adjusted = add(units.adjusted);
        units.available = add(units.available);
        units.version += 1;
    }

    fn remember(&mut self, adjustment: &Adjustment, units: Option<Units>) {
        let hash = self.hash_of_key(adjustment);
        let index = u32::try_from(self.adjustments.len()).expect("a shard keeps fewer than 2^32 adjustments");
        self.by_key.insert_unique(spread(hash), (hash, index), |entry| spread(entry.0));
        self.adjustments.push(Adjusted { adjustment: adjustment.clone(), units });
    }

    /// A hold has one terminal edge: it is gone when it is sold or released.
    fn end_hold(&mut self, order: OrderId) -> HoldLines {
        self.holds.remove(&order).unwrap_or_else(|| panic!("order {order} holds nothing that could end"))
    }

    fn units_mut(&mut self, index: u32) -> &mut Units {
        let units = &mut self.items[index as usize].units;
        units.version += 1;
        units
    }

    fn hash_of_sku(&self, sku: &[u8]) -> u32 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(sku);
        hasher.finish() as u32
    }

    fn hash_of_key(&self, adjustment: &Adjustment) -> u32 {
        let mut hasher = self.hasher.build_hasher();
        for part in [&adjustment.subject, &adjustment.sku, &adjustment.key] {
            hasher.write(part.as_bytes());
            hasher.write_u8(0xff);
        }
        hasher.finish() as u32
    }
}

fn less(count: u64, quantity: u32) -> u64 {
    count.checked_sub(u64::from(quantity)).expect("units never become negative: checked before it was decided")
}

impl Item {
    fn new(product: &Product) -> Item {
        Item {
            sku: SmallVec::from_slice(product.sku.as_bytes()),
            unit_price: product.unit_price,
            currency: product.currency,
            is_stocked: false,
            version: 1,
            units: Units::default(),
            name: product.name.clone(),
        }
    }

    fn sku(&self) -> &str {
        core::str::from_utf8(&self.sku).expect("made of text")
    }

    /// `None` until stock is opened or adjusted for the first time.
    pub(crate) fn units(&self) -> Option<&Units> {
        self.is_stocked.then_some(&self.units)
    }

    pub(crate) fn product(&self) -> Product {
        Product {
            sku: self.sku().into(),
            name: self.name.clone(),
            unit_price: self.unit_price,
            currency: self.currency,
        }
    }

    pub(crate) fn view(&self) -> ProductView {
        ProductView { product: self.product(), version: self.version }
    }

    pub(crate) fn inventory(&self) -> InventoryView {
        self.units.view(self.sku().into())
    }
}

impl Units {
    pub(crate) fn view(&self, sku: Box<str>) -> InventoryView {
        InventoryView {
            sku,
            adjusted: self.adjusted,
            available: self.available,
            reserved: self.reserved,
            sold: self.sold,
            version: self.version,
        }
    }
}
