//! What clients ask of a shard, and the answers.

use alloc::boxed::Box;

use super::{Output, Shard};
use crate::cold::{Cold, ColdPage};
use crate::effect::Effect;
use crate::event::{Adjustment, Event, Product};
use crate::ids::{OrderId, ReplyTo, Time};
use crate::input::{Reader, Request};
use crate::inventory::{self, Adjusting};
use crate::order::{self, Order, Placing};
use crate::record::OrderRecord;
use crate::reply::{Refusal, Reply};

impl Shard {
    pub(super) fn handle_request(
        &mut self,
        now: Time,
        to: ReplyTo,
        request: Request,
        cold: Option<Cold>,
        out: &mut Output,
    ) {
        let reply = match request {
            Request::GetOrder { order, .. } | Request::CancelOrder { order, .. } if self.is_unknown(order, &cold) => {
                Reply::Refused(Refusal::ShardUnavailable)
            }
            Request::PlaceOrder { .. } => unreachable!("taken by `handle`"),
            Request::CancelOrder { order, reader, version_expected } => {
                self.cancel(now, order, &reader, version_expected, cold, out)
            }
            Request::GetOrder { order, reader, wait } => return self.read(to, order, &reader, wait, cold, out),
            Request::ListOrders(query) => match cold {
                Some(Cold::Unavailable) => Reply::Refused(Refusal::ShardUnavailable),
                Some(Cold::Page(page)) => Reply::Orders(Box::new(self.orders.page(&query, page))),
                Some(Cold::Order { .. }) | None => {
                    Reply::Orders(Box::new(self.orders.page(&query, ColdPage::default())))
                }
            },
            Request::PutProduct(product) => self.put_product(now, &product, None, out),
            Request::LoadProduct { product, stock } => self.put_product(now, &product, Some(stock), out),
            Request::GetProduct { sku } => match self.stock.find(&sku) {
                Some(item) => Reply::Product(Box::new(item.view())),
                None => Reply::Refused(Refusal::NotFound),
            },
            Request::AdjustStock(adjustment) => self.adjust(now, &adjustment, out),
            Request::GetInventory { sku } => match self.stock.find(&sku) {
                Some(item) => Reply::Inventory(Box::new(item.inventory())),
                None => Reply::Refused(Refusal::NotFound),
            },
            Request::Audit => Reply::Audit(Box::new(self.audit())),
        };
        out.effects.push(Effect::Reply { to, reply });
    }

    pub(super) fn place(&mut self, now: Time, to: ReplyTo, placing: Placing, wait: bool, out: &mut Output) {
        let (number, replayed) = match placing {
            Placing::New(event) => {
                let id = self.orders.next_id();
                self.emit(now, id, event, out);
                (id.number(), false)
            }
            Placing::Replay(number) => (number, true),
            Placing::ReplayCold(id, record) => return replay_cold(to, id, &record, wait, out),
            Placing::Refused(refusal) => {
                return out.effects.push(Effect::Reply { to, reply: Reply::Refused(refusal) });
            }
        };
        let id = OrderId::new(self.config.shard, number);
        let order = self.orders.get(number).expect("placed");
        let placed = Reply::Placed { order: id, created_at: order.created_at, body: order.body.clone(), replayed };
        out.effects.push(Effect::Reply { to, reply: placed });
        if wait {
            self.wait_for_end(to, number, replayed, out);
        }
    }

    /// The order that the archive had, for when it is not in memory.
    pub(super) fn stored(&self, id: OrderId, cold: Option<Cold>) -> Option<Order> {
        match cold? {
            Cold::Order { order, record } if order == id && !self.holds(id) => Some(record.order()),
            Cold::Order { .. } | Cold::Page(_) | Cold::Unavailable => None,
        }
    }

    /// Whether nobody can say if there is such an order.
    pub(super) fn is_unknown(&self, id: OrderId, cold: &Option<Cold>) -> bool {
        matches!(cold, Some(Cold::Unavailable)) && !self.holds(id)
    }

    fn read(&mut self, to: ReplyTo, id: OrderId, reader: &Reader, wait: bool, cold: Option<Cold>, out: &mut Output) {
        let stored = self.stored(id, cold);
        let known = self.orders.get(id.number()).or(stored.as_ref()).filter(|order| order::may_see(order, reader));
        let reply = known.map_or(Reply::Refused(Refusal::NotFound), |order| Reply::Order(Box::new(order.view(id))));
        let waits = wait && known.is_some_and(|order| !order.stage.is_end());
        out.effects.push(Effect::Reply { to, reply });
        if waits {
            self.wait_for_end(to, id.number(), false, out);
        }
    }

    /// Answers at once when the saga has ended; otherwise when it does.
    fn wait_for_end(&mut self, to: ReplyTo, number: u64, replayed: bool, out: &mut Output) {
        let order = self.orders.get(number).expect("a waiter names an order that exists");
        if order.stage.is_end() {
            let id = OrderId::new(self.config.shard, number);
            out.effects.push(Effect::Reply { to, reply: Reply::Ended { order: Box::new(order.view(id)), replayed } });
        } else {
            // One too many just does not wait: its client has the answer to the request itself.
            self.waiters.add(number, to, replayed);
        }
    }

    fn cancel(
        &mut self,
        now: Time,
        id: OrderId,
        reader: &Reader,
        version_expected: Option<u32>,
        cold: Option<Cold>,
        out: &mut Output,
    ) -> Reply {
        let stored = self.stored(id, cold);
        let known = self.orders.get(id.number()).or(stored.as_ref());
        match order::decide_cancel(id, known, reader, version_expected, &mut self.reached) {
            Ok(event) => {
                event.into_iter().for_each(|event| self.emit(now, id, event, out));
                // An order that has left the memory has ended: no event happened to it.
                let order = self.orders.get(id.number()).or(stored.as_ref()).expect("it was found just now");
                Reply::Order(Box::new(order.view(id)))
            }
            Err(refusal) => Reply::Refused(refusal),
        }
    }

    fn put_product(&mut self, now: Time, product: &Product, stock: Option<u64>, out: &mut Output) -> Reply {
        let created = self.stock.index_of(product.sku.as_bytes()).is_none();
        if let Some(event) = inventory::decide_product(&self.stock, product) {
            self.store(now, event, out);
        }
        let has_units = self.stock.find(&product.sku).is_some_and(|item| item.units().is_some());
        if let Some(units) = stock.filter(|_| !has_units) {
            self.store(now, Event::StockOpened { sku: product.sku.clone(), units }, out);
        }
        let item = self.stock.find(&product.sku).expect("just put");
        Reply::ProductPut { product: Box::new(item.view()), created }
    }

    fn adjust(&mut self, now: Time, adjustment: &Adjustment, out: &mut Output) -> Reply {
        let replayed = match inventory::decide_adjustment(&self.stock, adjustment) {
            Adjusting::New(event) => {
                self.store(now, event, out);
                false
            }
            Adjusting::Replay => true,
            Adjusting::Refused(refusal) => return Reply::Refused(refusal),
        };
        let decided = self.stock.adjusted_before(adjustment).expect("decided just now or before");
        match decided.units {
            Some(units) => Reply::Adjusted { inventory: Box::new(units.view(adjustment.sku.clone())), replayed },
            None => Reply::Refused(Refusal::InsufficientStock { replayed }),
        }
    }
}

/// The answer of an order that has left the memory, and so has ended.
fn replay_cold(to: ReplyTo, id: OrderId, record: &OrderRecord, wait: bool, out: &mut Output) {
    let view = record.view(id);
    let placed = Reply::Placed { order: id, created_at: view.created_at, body: view.body.clone(), replayed: true };
    out.effects.push(Effect::Reply { to, reply: placed });
    if wait {
        out.effects.push(Effect::Reply { to, reply: Reply::Ended { order: Box::new(view), replayed: true } });
    }
}
