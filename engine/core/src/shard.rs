//! A shard: the state of its slice, and the way in.
//!
//! ```text
//! Input ─> handle ─> decide (order, inventory, payment, notification) ─> Event ─┬─> apply (state) ─> react ─> Event …
//!                                                                               └─> Output: events to store, effects to release
//! ```

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::body::OrderBody;
use crate::digest::Digest;
use crate::effect::{Call, Effect, Outside};
use crate::event::{Event, Product, StockAnswer};
use crate::ids::{OrderId, ReplyTo, Sequence, ShardId, Time};
use crate::input::{Input, Outcome, Reader, Request};
use crate::inventory::{self, Adjusting, Stock};
use crate::limits::DEADLINES_PER_TURN_MAX;
use crate::links::{Arrival, Links};
use crate::message::Message;
use crate::notification;
use crate::order::{self, Order, Orders, Placing};
use crate::payment::{self, Learned};
use crate::reply::{Audit, Refusal, Reply, Status};
use crate::saga::{Answer, Stage, Trigger};
use crate::timers::{Timer, Timers};
use crate::waiters::Waiters;

/// What a shard is told about itself and its times when it is made.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Which shard.
    pub shard: ShardId,
    /// How many there are.
    pub shards: u16,
    /// Seed of the hash tables: secret enough that clients cannot aim at one bucket; constant for a data directory.
    pub seed: u64,
    /// From placing to the end of the hold, microseconds.
    pub hold_ttl_micros: u64,
    /// The first pause before a call to the outside is made again, microseconds; it doubles.
    pub retry_first_micros: u64,
    /// The longest such pause, microseconds.
    pub retry_max_micros: u64,
}

/// What a turn of a shard gives: events to make durable, and effects to release when they are.
#[derive(Debug, Default)]
pub struct Output {
    /// In the order in which they were applied.
    pub events: Vec<Event>,
    /// In the order in which they were decided.
    pub effects: Vec<Effect>,
}

/// A slice of the orders and of the stock. See the crate's documentation.
#[derive(Debug)]
pub struct Shard {
    config: Config,
    /// The time of the last event.
    time: Time,
    sequence: Sequence,
    orders: Orders,
    stock: Stock,
    links: Links,
    timers: Timers,
    waiters: Waiters,
}

impl Shard {
    /// An empty shard.
    #[must_use]
    pub fn new(config: Config) -> Shard {
        Shard {
            config,
            time: Time(0),
            sequence: 0,
            orders: Orders::new(config.shard, config.seed),
            stock: Stock::new(config.seed),
            links: Links::new(config.shards),
            timers: Timers::default(),
            waiters: Waiters::default(),
        }
    }

    /// Which shard this is.
    #[must_use]
    pub fn id(&self) -> ShardId {
        self.config.shard
    }

    /// The number of the last event.
    #[must_use]
    pub fn sequence(&self) -> Sequence {
        self.sequence
    }

    /// The time of the last event.
    #[must_use]
    pub fn time(&self) -> Time {
        self.time
    }

    /// Handles one input at `now`. Before the events of a turn are stored, call [`Shard::end_turn`].
    pub fn handle(&mut self, now: Time, input: Input, out: &mut Output) {
        let now = now.max(self.time);
        match input {
            Input::Request { reply_to, request } => self.handle_request(now, reply_to, request, out),
            Input::Tell { source, sequence, message } => {
                if self.links.arrive(source, sequence) == Arrival::New {
                    self.handle_message(now, source, message, out);
                }
            }
            Input::Acknowledged { target, upto } => self.links.acknowledged(target, upto),
            Input::Outcome { order, outcome } => self.handle_outcome(now, order, outcome, out),
        }
    }

    /// Applies one stored event: the only way in which state changes.
    ///
    /// # Panics
    /// When the event contradicts the state: the log is not this shard's, or the engine is broken.
    pub fn apply(&mut self, time: Time, event: &Event) {
        assert!(time >= self.time, "the time of shard {} goes back", self.config.shard);
        self.time = time;
        self.sequence += 1;
        match event {
            Event::OrderCreated { order, body, deadline } => self.apply_created(*order, body, time, *deadline),
            Event::StockAnswered { order, .. }
            | Event::InventoryReserved { order, .. }
            | Event::InventoryRejected { order, .. }
            | Event::PaymentRequested { order, .. }
            | Event::PaymentUnknown { order, .. }
            | Event::PaymentNotFound { order, .. }
            | Event::PaymentCompleted { order, .. }
            | Event::PaymentFailed { order, .. }
            | Event::CancelRequested { order }
            | Event::HoldExpired { order }
            | Event::StockRestored { order, .. }
            | Event::StockSaleConfirmed { order, .. }
            | Event::RefundRequested { order, .. }
            | Event::RefundCompleted { order, .. }
            | Event::OrderCompleted { order }
            | Event::OrderRejected { order }
            | Event::OrderFailed { order }
            | Event::OrderExpired { order }
            | Event::OrderCancelled { order }
            | Event::NotificationSent { order } => self.apply_to_order(*order, time, event),
            Event::ProductPut { product } => self.stock.apply_product(product),
            Event::StockAdjusted { adjustment } => self.stock.apply_adjustment(adjustment),
            Event::AdjustmentRefused { adjustment } => self.stock.apply_refused_adjustment(adjustment),
            Event::StockOpened { sku, units } => self.stock.apply_opening(sku, *units),
            Event::StockReserved { order, lines, currency, prices } => {
                self.stock.apply_hold(*order, lines);
                let answer = StockAnswer { refusal: None, currency: Some(*currency), prices: prices.clone() };
                self.tell_home(*order, Message::ReserveAnswered { order: *order, answer });
            }
            Event::StockRefused { order, answer } => {
                self.tell_home(*order, Message::ReserveAnswered { order: *order, answer: answer.clone() });
            }
            Event::StockSold { order } => {
                self.stock.apply_sale(*order);
                self.tell_home(*order, Message::Sold { order: *order });
            }
            Event::StockReleased { order } => {
                self.stock.apply_release(*order);
                self.tell_home(*order, Message::Restored { order: *order });
            }
            Event::StockTombstoned { order, deadline } => {
                self.stock.apply_tombstone(*order, *deadline, time);
                self.tell_home(*order, Message::Restored { order: *order });
            }
            Event::StockReturned { order, lines } => {
                self.stock.apply_return(lines);
                self.tell_home(*order, Message::Restored { order: *order });
            }
            Event::TellsTaken { source, upto } => self.links.apply_taken(*source, *upto),
            Event::TellsDelivered { target, upto } => self.links.apply_delivered(*target, *upto),
        }
    }

    /// Ends a turn: the high-water marks that moved become events of it, messages and acknowledgements become effects.
    pub fn end_turn(&mut self, now: Time, out: &mut Output) {
        let now = now.max(self.time);
        let taken: Vec<Event> = self.links.taken().collect();
        for event in taken {
            if let Event::TellsTaken { source, upto } = event {
                out.effects.push(Effect::Acknowledge { source, upto });
            }
            self.store(now, event, out);
        }
        let delivered: Vec<Event> = self.links.delivered(!out.events.is_empty()).collect();
        delivered.into_iter().for_each(|event| self.store(now, event, out));
        self.links.send_new(&mut out.effects);
    }

    /// After a replay: emits again exactly the effects that have no recorded outcome, and sets the timers.
    pub fn resume(&mut self, now: Time, out: &mut Output) {
        let now = now.max(self.time);
        for number in 0..self.orders.len() {
            let order = self.orders.get(number).expect("below the length");
            let id = OrderId::new(self.config.shard, number);
            if matches!(order.stage, Stage::Reserving | Stage::Charging | Stage::Reconciling) {
                self.timers.set(order.deadline, number, Timer::Deadline);
            }
            let calls = [payment::call_open(order), order.notify.then_some(Call::Notify)];
            out.effects.extend(calls.into_iter().flatten().map(|call| outside(id, order, call)));
        }
        self.links.acknowledge_all(&mut out.effects);
        self.end_turn(now, out);
    }

    /// When [`Shard::handle_timeout`] must be called next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        self.timers.first().map(|(at, _, _)| at)
    }

    /// Fires what is due at `now`, a bounded number of timers a turn.
    pub fn handle_timeout(&mut self, now: Time, out: &mut Output) {
        for _ in 0..DEADLINES_PER_TURN_MAX {
            let Some((_, number, timer)) = self.timers.first().filter(|(at, _, _)| *at <= now) else { break };
            self.timers.pop();
            self.fire(now.max(self.time), number, timer, out);
        }
    }

    /// When an order of this shard was placed.
    #[must_use]
    pub fn created_at(&self, order: OrderId) -> Option<Time> {
        self.orders.get(order.number()).map(|order| order.created_at)
    }

    /// Orders by status, indexed by [`Status`].
    #[must_use]
    pub fn orders_by_status(&self) -> &[u64; Status::ALL.len()] {
        &self.orders.by_status
    }

    /// Units that completed orders of this shard bought, on whatever stock shard.
    #[must_use]
    pub fn units_completed(&self) -> u64 {
        let completed = self.orders.iter().filter(|order| order.stage == Stage::Completed);
        completed.flat_map(|order| order.body.lines()).map(|line| u64::from(line.quantity)).sum()
    }

    /// A digest of the whole state: equal after a replay of the same events.
    #[must_use]
    pub fn digest(&self) -> u64 {
        let mut digest = Digest::new();
        digest.word(self.sequence);
        digest.word(self.time.0);
        self.orders.digest(&mut digest);
        self.stock.digest(&mut digest);
        self.links.digest(&mut digest);
        digest.finish()
    }

    /// Checks every invariant that this shard alone can check, and adds up.
    #[must_use]
    pub fn audit(&self) -> Audit {
        crate::audit::audit(self.config.shard, self.sequence, self.digest(), &self.orders, &self.stock)
    }

    fn handle_request(&mut self, now: Time, to: ReplyTo, request: Request, out: &mut Output) {
        let reply = match request {
            Request::PlaceOrder { body, wait } => return self.place(now, to, &body, wait, out),
            Request::CancelOrder { order, reader, version_expected } => {
                self.cancel(now, order, &reader, version_expected, out)
            }
            Request::GetOrder { order, reader, wait } => return self.read(to, order, &reader, wait, out),
            Request::ListOrders(query) => Reply::Orders(Box::new(self.orders.page(self.config.shard, &query))),
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

    fn place(&mut self, now: Time, to: ReplyTo, body: &OrderBody, wait: bool, out: &mut Output) {
        let (number, replayed) = match order::decide(&self.orders, body, now, self.config.hold_ttl_micros) {
            Placing::New(event) => {
                let number = self.orders.len();
                self.emit(now, event, out);
                (number, false)
            }
            Placing::Replay(number) => (number, true),
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

    fn read(&mut self, to: ReplyTo, id: OrderId, reader: &Reader, wait: bool, out: &mut Output) {
        let known = self.orders.get(id.number()).filter(|order| order::may_see(order, reader));
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
        out: &mut Output,
    ) -> Reply {
        match order::decide_cancel(id, self.orders.get(id.number()), reader, version_expected) {
            Ok(event) => {
                event.into_iter().for_each(|event| self.emit(now, event, out));
                let order = self.orders.get(id.number()).expect("an order that can be cancelled exists");
                Reply::Order(Box::new(order.view(id)))
            }
            Err(refusal) => Reply::Refused(refusal),
        }
    }

    fn put_product(&mut self, now: Time, product: &Product, stock: Option<u64>, out: &mut Output) -> Reply {
        let created = self.stock.index_of(&product.sku).is_none();
        if let Some(event) = inventory::decide_product(&self.stock, product) {
            self.emit(now, event, out);
        }
        let has_units = self.stock.find(&product.sku).is_some_and(|item| item.units.is_some());
        if let Some(units) = stock.filter(|_| !has_units) {
            self.emit(now, Event::StockOpened { sku: product.sku.clone(), units }, out);
        }
        let item = self.stock.find(&product.sku).expect("just put");
        Reply::ProductPut { product: Box::new(item.view()), created }
    }

    fn adjust(&mut self, now: Time, adjustment: &crate::event::Adjustment, out: &mut Output) -> Reply {
        let replayed = match inventory::decide_adjustment(&self.stock, adjustment) {
            Adjusting::New(event) => {
                self.emit(now, event, out);
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

    fn handle_message(&mut self, now: Time, source: ShardId, message: Message, out: &mut Output) {
        let shard = self.config.shard;
        let event = match message {
            Message::Reserve { order, body, deadline } => {
                inventory::decide_reserve(&self.stock, shard, order, &body, deadline, now)
            }
            Message::Sell { order } => Event::StockSold { order },
            Message::Release { order, deadline } => inventory::decide_release(&self.stock, order, deadline),
            Message::Return { order, body } => {
                let lines = inventory::lines_on(&self.stock, shard, &body).expect("a SKU that was sold is known");
                Event::StockReturned { order, lines }
            }
            Message::ReserveAnswered { order, answer } => {
                let event = Event::StockAnswered { order, shard: source, answer };
                return self.emit_if(now, order, Trigger::StockAnswered, event, out);
            }
            Message::Sold { order } => {
                let event = Event::StockSaleConfirmed { order, shard: source };
                return self.emit_if(now, order, Trigger::StockSaleConfirmed, event, out);
            }
            Message::Restored { order } => {
                let event = Event::StockRestored { order, shard: source };
                return self.emit_if(now, order, Trigger::StockRestored, event, out);
            }
        };
        self.emit(now, event, out);
    }

    /// Emits an event of the saga unless the table says that it comes too late.
    fn emit_if(&mut self, now: Time, id: OrderId, trigger: Trigger, event: Event, out: &mut Output) {
        let order = self.orders.get(id.number()).expect("shards tell of orders that exist");
        match order.answer(trigger) {
            Answer::Go(_) | Answer::Stay => self.emit(now, event, out),
            Answer::Void => {}
            Answer::Never => panic!("order {id}: {event:?} cannot happen in {:?}", order.stage),
        }
    }

    fn handle_outcome(&mut self, now: Time, id: OrderId, outcome: Outcome, out: &mut Output) {
        let Some(order) = self.orders.get(id.number()) else { return };
        let learned = match outcome {
            Outcome::Notified | Outcome::NotNotified => notification::decide(id, order, outcome),
            Outcome::Charged { .. }
            | Outcome::Declined { .. }
            | Outcome::PaymentUnknown { .. }
            | Outcome::NotCharged { .. }
            | Outcome::Refunded { .. }
            | Outcome::RefundUnknown { .. } => payment::decide(id, order, outcome),
        };
        match learned {
            Learned::Event(event) => self.emit(now, event, out),
            Learned::TryAgain(timer) => self.try_again(now, id.number(), timer),
            Learned::Nothing => {}
        }
    }

    fn try_again(&mut self, now: Time, number: u64, timer: Timer) {
        let order = self.orders.get_mut(number).expect("only an order that exists is tried again");
        let pause = self.config.retry_first_micros << order.tries.min(16);
        order.tries = order.tries.saturating_add(1);
        self.timers.set(now.after_micros(pause.min(self.config.retry_max_micros)), number, timer);
    }

    /// What a timer asks for, if the order still waits for it.
    fn fire(&mut self, now: Time, number: u64, timer: Timer, out: &mut Output) {
        let id = OrderId::new(self.config.shard, number);
        let order = self.orders.get(number).expect("a timer names an order that exists");
        let call = match timer {
            Timer::Deadline => {
                if matches!(order.answer(Trigger::HoldExpired), Answer::Go(_)) {
                    self.emit(now, Event::HoldExpired { order: id }, out);
                }
                return;
            }
            Timer::Reconcile => (!order.settled).then_some(Call::Reconcile { attempt: order.attempt }),
            Timer::Refund => payment::call_open(order).filter(|call| matches!(call, Call::Refund { .. })),
            Timer::Notify => order.notify.then_some(Call::Notify),
        };
        out.effects.extend(call.map(|call| outside(id, order, call)));
    }

    /// Applies and records an event, and all that the services make of it.
    fn emit(&mut self, now: Time, event: Event, out: &mut Output) {
        let mut next = Some(event);
        let mut more = VecDeque::new();
        while let Some(event) = next.take().or_else(|| more.pop_front()) {
            self.apply(now, &event);
            if let Some(id) = event.saga_order() {
                next = self.react(now, id, &event, &mut more, out);
            }
            out.events.push(event);
        }
    }

    /// Lets every service react to an event of a saga; the first new event is returned, others are queued.
    fn react(
        &mut self,
        now: Time,
        id: OrderId,
        event: &Event,
        more: &mut VecDeque<Event>,
        out: &mut Output,
    ) -> Option<Event> {
        let order = self.orders.get(id.number()).expect("an event of a saga names an order that exists");
        let calls = [payment::call_after(order, event), notification::call_after(event)];
        out.effects.extend(calls.into_iter().flatten().map(|call| outside(id, order, call)));
        let mut events =
            [inventory::react(id, order, event), payment::react(id, order, event), order::react(id, order)]
                .into_iter()
                .flatten();
        let first = events.next();
        more.extend(events);
        let ended = order.stage.is_end() && event.is_end();
        match event {
            Event::OrderCreated { deadline, .. } => self.timers.set(*deadline, id.number(), Timer::Deadline),
            Event::PaymentUnknown { .. } => self.try_again(now, id.number(), Timer::Reconcile),
            _ if ended => self.tell_waiters(id, out),
            _ => {}
        }
        first
    }

    fn tell_waiters(&mut self, id: OrderId, out: &mut Output) {
        for (to, replayed) in self.waiters.take(id.number()) {
            let order = self.orders.get(id.number()).expect("an order that ended exists");
            out.effects.push(Effect::Reply { to, reply: Reply::Ended { order: Box::new(order.view(id)), replayed } });
        }
    }

    /// Applies and records an event that no service reacts to.
    fn store(&mut self, now: Time, event: Event, out: &mut Output) {
        self.apply(now, &event);
        out.events.push(event);
    }

    fn apply_created(&mut self, id: OrderId, body: &OrderBody, now: Time, deadline: Time) {
        assert!(id == self.orders.next_id(), "order {id} is not the next one of shard {}", self.config.shard);
        let order = self.orders.add(body.clone(), now, deadline);
        for shard in order.participants() {
            self.links.tell(shard, Message::Reserve { order: id, body: body.clone(), deadline });
        }
    }

    fn apply_to_order(&mut self, id: OrderId, now: Time, event: &Event) {
        let order = self.orders.get_mut(id.number()).expect("an event names an order that exists");
        let before = order.stage.status();
        order.apply(id, now, event, &mut self.links);
        let after = order.stage.status();
        let (total, currency) = (order.total, order.currency);
        if before != after {
            self.orders.by_status[before as usize] -= 1;
            self.orders.by_status[after as usize] += 1;
        }
        if let (Some(total), Some(currency)) = (total, currency) {
            match event {
                Event::PaymentCompleted { .. } => self.orders.money_of(currency).charged += total,
                Event::RefundCompleted { .. } => self.orders.money_of(currency).refunded += total,
                Event::OrderCompleted { .. } => self.orders.money_of(currency).completed += total,
                _ => {}
            }
        }
    }

    fn tell_home(&mut self, order: OrderId, message: Message) {
        self.links.tell(order.shard(), message);
    }
}

fn outside(order: OrderId, known: &Order, call: Call) -> Effect {
    Effect::Outside(Outside { order, call, body: known.body.clone() })
}
