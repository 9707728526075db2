//! A naive model of what the logs mean: plain maps, one fold, no code of the engine but its types of events and names.
//!
//! It keeps what was shown when, so that every answer that a client got can be compared with the states that were possible.

mod links;
mod order;
mod shown;
mod stock;

use std::collections::BTreeMap;

use orderlane_core::{Event, OrderId, Sequence, ShardId, Time};

use crate::invariants;
use crate::log::{Entry, Logs};
use crate::sim::Violation;

pub use links::{Link, Links, Told, What};
pub use order::{Order, Phase, View};
pub use shown::{inventory_document, order_document, placed_document, time_text};
pub use stock::{Adjusted, Item, Life, Stock, StockReply, Units};

/// An event with its place.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'e> {
    /// On which shard.
    pub shard: ShardId,
    /// Its number there.
    pub sequence: Sequence,
    /// When, by the lane's clock.
    pub time: Time,
    /// What.
    pub event: &'e Event,
}

/// All that the logs mean so far.
#[derive(Debug)]
pub struct Model {
    shards: u16,
    /// So long after the end of its saga an order answers for its key, microseconds; for ever unless told otherwise.
    pub key_retention_micros: u64,
    /// Every order ever created.
    pub orders: BTreeMap<OrderId, Order>,
    /// The stock of every shard.
    pub stocks: Vec<Stock>,
    /// What the shards have told each other.
    pub links: Links,
    /// The last event of every shard: its number and its time.
    pub last: Vec<(Sequence, Time)>,
}

impl Model {
    /// Nothing has happened.
    #[must_use]
    pub fn new(shards: u16) -> Model {
        Model {
            shards,
            key_retention_micros: u64::MAX,
            orders: BTreeMap::new(),
            stocks: (0..shards).map(|_| Stock::default()).collect(),
            links: Links::default(),
            last: vec![(0, Time(0)); usize::from(shards)],
        }
    }

    /// An order answers for its key so long after the end of its saga.
    #[must_use]
    pub fn with_key_retention(self, micros: u64) -> Model {
        Model { key_retention_micros: micros, ..self }
    }

    /// From logs, turn by turn, in the order in which the turns were decided.
    ///
    /// # Errors
    /// The first broken promise.
    pub fn rebuild(logs: &Logs, key_retention_micros: u64) -> Result<Model, Violation> {
        let mut model = Model::new(logs.iter().count() as u16);
        model.key_retention_micros = key_retention_micros;
        let mut turns: Vec<(ShardId, Sequence, &[Entry])> = Vec::new();
        for (shard, log) in logs.iter() {
            let mut first = 1;
            for turn in log.chunk_by(|one, next| one.decided == next.decided) {
                turns.push((shard, first, turn));
                first += turn.len() as u64;
            }
        }
        turns.sort_by_key(|(shard, first, turn)| (turn[0].decided, *shard, *first));
        for (shard, first, turn) in turns {
            let events = turn.iter().map(|entry| &entry.event);
            model.turn(shard, first, turn[0].time, events)?;
        }
        Ok(model)
    }

    /// The events of one turn of a shard.
    ///
    /// # Errors
    /// The first broken promise.
    pub fn turn<'e>(
        &mut self,
        shard: ShardId,
        first: Sequence,
        time: Time,
        events: impl Iterator<Item = &'e Event>,
    ) -> Result<(), Violation> {
        for (sequence, event) in (first..).zip(events) {
            self.apply(shard, sequence, time, event)?;
        }
        invariants::after_turn(self, shard)
    }

    /// One event: it is judged by the state before it, folded, and judged by the state after it.
    ///
    /// # Errors
    /// The promise that it breaks.
    pub fn apply(&mut self, shard: ShardId, sequence: Sequence, time: Time, event: &Event) -> Result<(), Violation> {
        let seen = Seen { shard, sequence, time, event };
        invariants::before_event(self, &seen)?;
        self.fold(&seen);
        invariants::after_event(self, &seen)
    }

    /// Whether an order answers no longer for its key at a time by the clock of its shard.
    #[must_use]
    pub fn key_expired(&self, order: &Order, time: Time) -> bool {
        let ended = matches!(order.phase, Phase::Ended(_));
        ended && order.view().updated.0.saturating_add(self.key_retention_micros) <= time.0
    }

    /// How many shards there are.
    #[must_use]
    pub fn shards(&self) -> u16 {
        self.shards
    }

    /// The stock of a shard.
    #[must_use]
    pub fn stock(&self, shard: ShardId) -> &Stock {
        &self.stocks[shard.index()]
    }

    /// The record of a SKU, on the shard where it lives.
    #[must_use]
    pub fn item(&self, sku: &str) -> Option<&Item> {
        self.stock(ShardId::of(sku, self.shards)).item(sku)
    }

    /// The message whose effect an event is: who sent it, and what it says.
    #[must_use]
    pub fn cause(seen: &Seen<'_>) -> Option<(ShardId, OrderId, What)> {
        Some(match seen.event {
            Event::StockReserved { order, .. } | Event::StockRefused { order, .. } => {
                (order.shard(), *order, What::Reserve)
            }
            Event::StockSold { order } => (order.shard(), *order, What::Sell),
            Event::StockReleased { order } | Event::StockTombstoned { order, .. } => {
                (order.shard(), *order, What::Release)
            }
            Event::StockReturned { order, .. } => (order.shard(), *order, What::Return),
            Event::StockAnswered { order, shard, .. } => (*shard, *order, What::Answered),
            Event::StockSaleConfirmed { order, shard } => (*shard, *order, What::Sold),
            Event::StockRestored { order, shard } => (*shard, *order, What::Restored),
            _ => return None,
        })
    }

    fn fold(&mut self, seen: &Seen<'_>) {
        let sequence = seen.sequence;
        self.last[seen.shard.index()] = (sequence, seen.time);
        if let Some((source, order, what)) = Model::cause(seen) {
            self.links.take_one(source, seen.shard, order, what);
        }
        match seen.event {
            Event::OrderCreated { order, body, deadline } => {
                let created = Order::new(*order, body, *deadline, seen, self.shards);
                for shard in created.participants() {
                    self.links.tell(seen.shard, shard, Told { order: *order, what: What::Reserve, sequence });
                }
                self.orders.insert(*order, created);
            }
            Event::TellsTaken { source, upto } => self.links.set_taken(*source, seen.shard, *upto),
            Event::TellsDelivered { target, upto } => self.links.set_delivered(seen.shard, *target, *upto),
            event => match event.saga_order() {
                Some(id) => {
                    let Some(order) = self.orders.get_mut(&id) else { return };
                    for (shard, what) in order.fold(seen) {
                        self.links.tell(seen.shard, shard, Told { order: id, what, sequence });
                    }
                }
                None => {
                    if let Some((order, what)) = self.stocks[seen.shard.index()].fold(seen) {
                        self.links.tell(seen.shard, order.shard(), Told { order, what, sequence });
                    }
                }
            },
        }
    }
}
