//! The stock of one shard as its events tell of it. Units are signed, so that a broken log shows as a number below zero.

use std::collections::BTreeMap;

use orderlane_core::{Adjustment, Currency, Event, HoldLines, OrderId, Reason, Sequence, ShardId, Time};

use super::{Order, Seen, What};

/// Units of a SKU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Units {
    /// The sum of all adjustments.
    pub adjusted: i64,
    /// Free to be reserved.
    pub available: i64,
    /// Held for orders.
    pub reserved: i64,
    /// Sold to orders.
    pub sold: i64,
    /// Changes of the record; a line of an order is one.
    pub version: u64,
}

/// A product and its stock.
#[derive(Clone, Debug)]
pub struct Item {
    /// The SKU.
    pub sku: String,
    /// Whether stock was opened or adjusted.
    pub is_stocked: bool,
    /// Minor units, currency and name, from which event on.
    pub products: Vec<(Sequence, u64, Currency, String)>,
    /// Units, from which event on; the first entry is the product's creation.
    pub history: Vec<(Sequence, Units)>,
}

/// Where an order is on a stock shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Life {
    /// Nothing was held; whether a release has come since.
    Refused {
        /// A tombstone lies on it.
        tombstone: bool,
    },
    /// A release came first.
    Tombstoned,
    /// These lines are held.
    Held(HoldLines),
    /// These lines are sold.
    Sold(HoldLines),
    /// Given back before the sale.
    Released,
    /// Given back after the sale.
    Returned,
}

/// An adjustment that was decided.
#[derive(Clone, Debug)]
pub struct Adjusted {
    /// What was asked.
    pub adjustment: Adjustment,
    /// The number of its event.
    pub sequence: Sequence,
    /// The stock just after it; `None` when it was refused.
    pub units: Option<Units>,
}

/// What a stock shard must say to a reserve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StockReply {
    /// Why not.
    pub refusal: Option<Reason>,
    /// The currency of the lines.
    pub currency: Option<Currency>,
    /// Their prices.
    pub prices: Vec<u64>,
    /// Index of the SKU and units, a line each; empty when refused.
    pub lines: Vec<(u32, u32)>,
}

/// The stock of one shard.
#[derive(Debug, Default)]
pub struct Stock {
    /// In the order of their creation.
    pub items: Vec<Item>,
    by_sku: BTreeMap<String, usize>,
    /// Orders that were here.
    pub lives: BTreeMap<OrderId, Life>,
    /// By subject, SKU and key.
    pub adjustments: BTreeMap<(String, String, String), Adjusted>,
    /// SKUs that the last event touched.
    pub touched: Vec<usize>,
}

impl Item {
    /// Units now.
    #[must_use]
    pub fn units(&self) -> Units {
        self.history.last().map(|(_, units)| *units).unwrap_or_default()
    }

    /// Units at a sequence; `None` before the product was there.
    #[must_use]
    pub fn units_at(&self, sequence: Sequence) -> Option<Units> {
        self.history.iter().rev().find(|(from, _)| *from <= sequence).map(|(_, units)| *units)
    }

    /// What could be seen from one sequence to another, both included.
    pub fn units_between(&self, low: Sequence, high: Sequence) -> impl Iterator<Item = Units> {
        let first = self.history.partition_point(|(sequence, _)| *sequence <= low).saturating_sub(1);
        self.history[first..].iter().take_while(move |(sequence, _)| *sequence <= high).map(|(_, units)| *units)
    }

    /// Price and currency now.
    #[must_use]
    pub fn price(&self) -> (u64, Currency) {
        let (_, price, currency, _) = self.products.last().expect("an item begins with its product");
        (*price, *currency)
    }

    fn change(&mut self, sequence: Sequence, change: impl FnOnce(&mut Units)) {
        let mut units = self.units();
        change(&mut units);
        units.version += 1;
        match self.history.last_mut() {
            Some(last) if last.0 == sequence => last.1 = units,
            _ => self.history.push((sequence, units)),
        }
    }
}

impl Stock {
    /// The record of a SKU.
    #[must_use]
    pub fn item(&self, sku: &str) -> Option<&Item> {
        self.by_sku.get(sku).map(|index| &self.items[*index])
    }

    /// The lines of an order on this shard: index of the SKU and units; `None` when a SKU is unknown.
    #[must_use]
    pub fn lines_of(&self, order: &Order, shard: ShardId) -> Option<Vec<(u32, u32)>> {
        let mine = order.lines.iter().filter(|line| line.2 == shard);
        mine.map(|(sku, quantity, _)| self.by_sku.get(sku).map(|index| (*index as u32, *quantity))).collect()
    }

    /// What a reserve that is decided at `now` must be answered, tombstones apart.
    #[must_use]
    pub fn reply_to(&self, order: &Order, shard: ShardId, now: Time) -> StockReply {
        let refuse = |refusal, currency, prices| StockReply { refusal: Some(refusal), currency, prices, lines: vec![] };
        if order.deadline <= now {
            return refuse(Reason::HoldExpired, None, Vec::new());
        }
        let Some(lines) = self.lines_of(order, shard) else { return refuse(Reason::UnknownSku, None, Vec::new()) };
        let priced: Vec<(u64, Currency)> = lines.iter().map(|line| self.items[line.0 as usize].price()).collect();
        let prices: Vec<u64> = priced.iter().map(|price| price.0).collect();
        let first = priced.first().map(|price| price.1);
        let one_currency = priced.iter().all(|price| Some(price.1) == first);
        if !one_currency || order.body.currency().is_some_and(|wanted| Some(wanted) != first) {
            return refuse(Reason::CurrencyMismatch, first.filter(|_| one_currency), prices);
        }
        let mut wanted: BTreeMap<u32, i64> = BTreeMap::new();
        for (sku, quantity) in &lines {
            *wanted.entry(*sku).or_default() += i64::from(*quantity);
        }
        if wanted.iter().any(|(sku, quantity)| self.items[*sku as usize].units().available < *quantity) {
            return refuse(Reason::InsufficientStock, first, prices);
        }
        StockReply { refusal: None, currency: first, prices, lines }
    }

    /// Folds an event of the stock; gives the message that follows from it.
    pub(super) fn fold(&mut self, seen: &Seen<'_>) -> Option<(OrderId, What)> {
        self.touched.clear();
        let sequence = seen.sequence;
        match seen.event {
            Event::ProductPut { product } => {
                let index = self.by_sku.get(&*product.sku).copied().unwrap_or(self.items.len());
                if index == self.items.len() {
                    self.by_sku.insert(product.sku.to_string(), index);
                    let history = vec![(sequence, Units::default())];
                    self.items.push(Item {
                        sku: product.sku.to_string(),
                        is_stocked: false,
                        products: Vec::new(),
                        history,
                    });
                }
                let put = (sequence, product.unit_price, product.currency, product.name.to_string());
                self.items[index].products.push(put);
                None
            }
            Event::StockAdjusted { adjustment } => {
                self.add(&adjustment.sku, adjustment.delta, sequence);
                let units = self.item(&adjustment.sku).map(Item::units);
                self.remember(adjustment, sequence, units);
                None
            }
            Event::AdjustmentRefused { adjustment } => {
                self.remember(adjustment, sequence, None);
                None
            }
            Event::StockOpened { sku, units } => {
                self.add(sku, *units as i64, sequence);
                None
            }
            Event::StockReserved { order, lines, .. } => {
                self.each(lines, sequence, |units, count| {
                    units.available -= count;
                    units.reserved += count;
                });
                self.lives.insert(*order, Life::Held(lines.clone()));
                Some((*order, What::Answered))
            }
            Event::StockRefused { order, .. } => {
                let tombstone = matches!(self.lives.get(order), Some(Life::Tombstoned));
                self.lives.insert(*order, Life::Refused { tombstone });
                Some((*order, What::Answered))
            }
            Event::StockSold { order } => {
                if let Some(Life::Held(lines)) = self.lives.get(order).cloned() {
                    self.each(&lines, sequence, |units, count| {
                        units.reserved -= count;
                        units.sold += count;
                    });
                    self.lives.insert(*order, Life::Sold(lines));
                }
                Some((*order, What::Sold))
            }
            Event::StockReleased { order } => {
                if let Some(Life::Held(lines)) = self.lives.get(order).cloned() {
                    self.each(&lines, sequence, |units, count| {
                        units.reserved -= count;
                        units.available += count;
                    });
                    self.lives.insert(*order, Life::Released);
                }
                Some((*order, What::Restored))
            }
            Event::StockTombstoned { order, .. } => {
                let refused = matches!(self.lives.get(order), Some(Life::Refused { .. }));
                self.lives.insert(*order, if refused { Life::Refused { tombstone: true } } else { Life::Tombstoned });
                Some((*order, What::Restored))
            }
            Event::StockReturned { order, lines } => {
                self.each(lines, sequence, |units, count| {
                    units.sold -= count;
                    units.available += count;
                });
                self.lives.insert(*order, Life::Returned);
                Some((*order, What::Restored))
            }
            _ => None,
        }
    }

    fn add(&mut self, sku: &str, delta: i64, sequence: Sequence) {
        let Some(index) = self.by_sku.get(sku).copied() else { return };
        self.touched.push(index);
        self.items[index].is_stocked = true;
        self.items[index].change(sequence, |units| {
            units.adjusted += delta;
            units.available += delta;
        });
    }

    fn each(&mut self, lines: &HoldLines, sequence: Sequence, change: impl Fn(&mut Units, i64)) {
        for line in lines {
            let Some(item) = self.items.get_mut(line.sku as usize) else { continue };
            self.touched.push(line.sku as usize);
            item.change(sequence, |units| change(units, i64::from(line.quantity)));
        }
    }

    fn remember(&mut self, adjustment: &Adjustment, sequence: Sequence, units: Option<Units>) {
        let scope = (adjustment.subject.to_string(), adjustment.sku.to_string(), adjustment.key.to_string());
        self.adjustments.entry(scope).or_insert(Adjusted { adjustment: adjustment.clone(), sequence, units });
    }
}
