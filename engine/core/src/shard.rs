//! A shard: the state of its slice, and the way in.
//!
//! ```text
//! Input ─> handle ─> decide (order, inventory, payment, notification) ─> Event ─┬─> apply (state) ─> react ─> Event …
//!                                                                               └─> Output: events to store, effects to release
//! ```

mod cutting;
mod requests;
mod restore;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::body::OrderBody;
use crate::cold::Cold;
use crate::digest::Digest;
use crate::effect::{Call, Effect, Outside};
use crate::event::{Event, StockAnswer, copied};
use crate::ids::{OrderId, Sequence, ShardId, Time};
use crate::input::{Input, Outcome, Request};
use crate::inventory::{self, Stock};
use crate::limits::DEADLINES_PER_TURN_MAX;
use crate::links::{Arrival, Links, What};
use crate::message::Message;
use crate::notification;
use crate::order::{self, Order, Orders};
use crate::payment::{self, Learned};
use crate::record::{Archived, OrderRecord};
use crate::reply::{Audit, MoneySums, Reply, Status};
use crate::saga::{self, Answer, Reached, Trigger};
use crate::timers::{Timer, Timers};
use crate::waiters::Waiters;

use cutting::Cutting;

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
    /// How long after the end of its saga an order answers for its idempotency key, microseconds.
    pub key_retention_micros: u64,
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
    /// Not state.
    reached: Reached,
    /// Not state.
    sheds: bool,
    /// The sums over the orders that are not in memory.
    archived: Archived,
    /// The sums of those that were called back since the last cut began.
    recalled: Archived,
    cut: Option<Box<Cutting>>,
    /// How many cuts were begun.
    cuts: u64,
    /// The orders of the last whole cut that are to leave the memory.
    leaving: VecDeque<(u64, u64)>,
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
            reached: Reached::default(),
            sheds: false,
            archived: Archived::default(),
            recalled: Archived::default(),
            cut: None,
            cuts: 0,
            leaving: VecDeque::new(),
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

    /// From now on, or no longer, a new order is refused as [`Refusal::Overloaded`] (a retry still gets its answer). Not state.
    pub fn shed(&mut self, on: bool) {
        self.sheds = on;
    }

    /// Handles one input for which the archive has nothing: see [`Shard::handle_with`].
    pub fn handle(&mut self, now: Time, input: Input, out: &mut Output) {
        self.handle_with(now, input, None, out);
    }

    /// Handles one input at `now`, for which the archive had `cold`. Before the events of a turn are stored, call
    /// [`Shard::end_turn`].
    pub fn handle_with(&mut self, now: Time, input: Input, cold: Option<Cold>, out: &mut Output) {
        let now = now.max(self.time);
        match input {
            Input::Request { reply_to, request: Request::PlaceOrder { body, wait } } => {
                let placing = order::decide(&self.orders, body, now, &self.config, self.sheds, cold);
                self.place(now, reply_to, placing, wait, out);
            }
            Input::Request { reply_to, request } => self.handle_request(now, reply_to, request, cold, out),
            Input::Tell { source, sequence, message } => {
                if self.links.arrive(source, sequence) == Arrival::New {
                    self.handle_message(now, source, message, out);
                }
            }
            Input::Acknowledged { target, upto } => self.links.acknowledged(target, upto),
            Input::Outcome { order, outcome } => self.handle_outcome(now, order, outcome, cold, out),
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
            Event::OrderRecalled { order, record } => self.apply_recalled(*order, record),
            Event::ProductPut { product } => self.stock.apply_product(product),
            Event::StockAdjusted { adjustment } => self.stock.apply_adjustment(adjustment),
            Event::AdjustmentRefused { adjustment } => self.stock.apply_refused_adjustment(adjustment),
            Event::StockOpened { sku, units } => self.stock.apply_opening(sku, *units),
            Event::StockReserved { order, lines, currency, prices } => {
                self.stock.apply_hold(*order, lines);
                let answer = StockAnswer { refusal: None, currency: Some(*currency), prices: copied(prices) };
                self.tell_home(*order, What::ReserveAnswered(answer));
            }
            Event::StockRefused { order, answer } => {
                self.tell_home(*order, What::ReserveAnswered(answer.copied()));
            }
            Event::StockSold { order } => {
                self.stock.apply_sale(*order);
                self.tell_home(*order, What::Sold);
            }
            Event::StockReleased { order } => {
                self.stock.apply_release(*order);
                self.tell_home(*order, What::Restored);
            }
            Event::StockTombstoned { order, deadline } => {
                self.stock.apply_tombstone(*order, *deadline, time);
                self.tell_home(*order, What::Restored);
            }
            Event::StockReturned { order, lines } => {
                self.stock.apply_return(lines);
                self.tell_home(*order, What::Restored);
            }
            Event::TellsTaken { source, upto } => self.links.apply_taken(*source, *upto),
            Event::TellsDelivered { target, upto } => self.links.apply_delivered(*target, *upto),
        }
    }

    /// Ends a turn: the high-water marks that moved become events of it, messages and acknowledgements become effects.
    pub fn end_turn(&mut self, now: Time, out: &mut Output) {
        let now = now.max(self.time);
        for source in self.links.others() {
            if let Some(upto) = self.links.taken(source) {
                out.effects.push(Effect::Acknowledge { source, upto });
                self.store(now, Event::TellsTaken { source, upto }, out);
            }
        }
        let is_written = !out.events.is_empty();
        for target in self.links.others() {
            if let Some(upto) = self.links.delivered(target, is_written) {
                self.store(now, Event::TellsDelivered { target, upto }, out);
            }
        }
        self.links.send_new(&self.orders, &mut out.effects);
        self.timers.pass_over(&self.orders);
    }

    /// After a replay: emits again exactly the effects that have no recorded outcome, and sets the timers.
    pub fn resume(&mut self, now: Time, out: &mut Output) {
        let now = now.max(self.time);
        self.timers.start_deadlines_at(self.orders.len());
        for (number, order) in self.orders.iter() {
            let id = OrderId::new(self.config.shard, number);
            if order.can_expire() {
                self.timers.set(order.deadline, number, Timer::Deadline);
            }
            let calls = payment::calls_open(order).chain(order.notify.then_some(Call::Notify));
            out.effects.extend(calls.map(|call| outside(id, order, call)));
        }
        self.links.acknowledge_all(&mut out.effects);
        self.end_turn(now, out);
    }

    /// When [`Shard::handle_timeout`] must be called next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        self.timers.first(&self.orders).map(|(at, _, _)| at)
    }

    /// Fires what is due at `now`, a bounded number of timers a turn.
    pub fn handle_timeout(&mut self, now: Time, out: &mut Output) {
        for _ in 0..DEADLINES_PER_TURN_MAX {
            let Some((number, timer)) = self.timers.take_due(&self.orders, now) else { break };
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

    /// The pairs of the saga's table that this shard has come to since it was made, the replay included: those that happened,
    /// and those that were void.
    #[must_use]
    pub fn saga_reached(&self) -> &Reached {
        &self.reached
    }

    /// Units that completed orders of this shard bought, on whatever stock shard.
    #[must_use]
    pub fn units_completed(&self) -> u64 {
        self.archived.units_completed + self.orders.iter().map(|(_, order)| order.units_completed()).sum::<u64>()
    }

    /// A digest of the whole state: equal after a replay of the same events, whichever orders have left the memory.
    #[must_use]
    pub fn digest(&self) -> u64 {
        let mut digest = Digest::new();
        digest.word(self.sequence);
        digest.word(self.time.0);
        digest.word(self.orders.len());
        digest.word(self.orders.digest().wrapping_add(self.archived.digest));
        self.stock.digest(&mut digest);
        self.links.digest(&mut digest);
        digest.finish()
    }

    /// Checks every invariant that this shard alone can check, and adds up.
    #[must_use]
    pub fn audit(&self) -> Audit {
        crate::audit::audit(self.config.shard, self.sequence, self.digest(), &self.orders, &self.archived, &self.stock)
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
        self.store(now, event, out);
    }

    /// Emits an event of the saga unless the table says that it comes too late. What happens is noted when it is applied.
    fn emit_if(&mut self, now: Time, id: OrderId, trigger: Trigger, event: Event, out: &mut Output) {
        let order = self.orders.get(id.number()).expect("shards and outcomes tell of orders that exist");
        match order.answer(trigger) {
            Answer::Go(_) | Answer::Stay => self.emit(now, id, event, out),
            Answer::Void => saga::note(&mut self.reached, order.stage, trigger),
            Answer::Never => panic!("order {id}: {event:?} cannot happen in {:?}", order.stage),
        }
    }

    fn handle_outcome(&mut self, now: Time, id: OrderId, outcome: Outcome, cold: Option<Cold>, out: &mut Output) {
        let is_money = matches!(outcome, Outcome::Charged { .. });
        assert!(
            !(is_money && self.is_unknown(id, &cold)),
            "order {id} was charged late, and the archive cannot be read"
        );
        let stored = self.stored(id, cold);
        let Some(order) = self.orders.get(id.number()).or(stored.as_ref()) else { return };
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
            Learned::Event(trigger, event) => {
                // Always, so that what is stored does not depend on what has left the memory, or is about to.
                if order.is_quiet() && matches!(order.answer(trigger), Answer::Go(_) | Answer::Stay) {
                    let record = OrderRecord::of(order);
                    self.store(now, Event::OrderRecalled { order: id, record }, out);
                }
                if self.orders.get(id.number()).is_some() {
                    self.emit_if(now, id, trigger, event, out);
                }
            }
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
        // Nothing waits for an order that has left the memory.
        let Some(order) = self.orders.get(number) else { return };
        let call = match timer {
            Timer::Deadline => {
                return self.emit_if(now, id, Trigger::HoldExpired, Event::HoldExpired { order: id }, out);
            }
            Timer::Reconcile(attempt) => {
                let is_unknown = attempt == order.attempt && order.unknown && !order.settled;
                is_unknown.then_some(Call::Reconcile { attempt })
            }
            Timer::Refund(attempt) => payment::refund_open(order, attempt),
            Timer::Notify => order.notify.then_some(Call::Notify),
        };
        out.effects.extend(call.map(|call| outside(id, order, call)));
    }

    /// Records and applies an event of a saga, and all that the services make of it.
    fn emit(&mut self, now: Time, id: OrderId, mut event: Event, out: &mut Output) {
        loop {
            let emitted = out.events.push_mut(event);
            self.apply(now, emitted);
            let Some(next) = self.react(now, id, emitted, &mut out.effects) else { return };
            event = next;
        }
    }

    /// Lets the services react to an event of a saga, one event at a time: what a service makes of the state of the order,
    /// and not of this event, it will make of it after the next event too.
    fn react(&mut self, now: Time, id: OrderId, event: &Event, effects: &mut Vec<Effect>) -> Option<Event> {
        let order = self.orders.get(id.number()).expect("an event of a saga names an order that exists");
        if let Some(call) = payment::call_after(order, event).or_else(|| notification::call_after(event)) {
            effects.push(outside(id, order, call));
        }
        let next = inventory::react(id, order, event)
            .or_else(|| payment::react(id, order, event))
            .or_else(|| order::react(id, order));
        if let Event::PaymentUnknown { attempt, .. } = event {
            self.try_again(now, id.number(), Timer::Reconcile(*attempt));
        } else if event.is_end() {
            self.tell_waiters(id, effects);
        }
        next
    }

    fn tell_waiters(&mut self, id: OrderId, effects: &mut Vec<Effect>) {
        for (to, replayed) in self.waiters.take(id.number()) {
            let order = self.orders.get(id.number()).expect("an order that ended exists");
            effects.push(Effect::Reply { to, reply: Reply::Ended { order: Box::new(order.view(id)), replayed } });
        }
    }

    /// Records and applies an event that no service reacts to.
    fn store(&mut self, now: Time, event: Event, out: &mut Output) {
        self.apply(now, out.events.push_mut(event));
    }

    fn apply_created(&mut self, id: OrderId, body: &OrderBody, now: Time, deadline: Time) {
        assert!(id == self.orders.next_id(), "order {id} is not the next one of shard {}", self.config.shard);
        let order = self.orders.add(body.clone(), now, deadline);
        order.shards_awaited().for_each(|shard| self.links.tell(shard, id, What::Reserve));
    }

    fn apply_to_order(&mut self, id: OrderId, now: Time, event: &Event) {
        if self.cut.is_some() {
            self.save_order(id.number());
        }
        let order = self.orders.get_mut(id.number()).expect("an event names an order that is in memory");
        let (before, was_quiet) = (order.stage, order.is_quiet());
        let trigger = order.apply(id, now, event, &mut self.links);
        saga::note(&mut self.reached, before, trigger);
        let (after, total, currency) = (order.stage, order.total(), order.currency);
        let is_quiet = order.is_quiet();
        if is_quiet != was_quiet {
            self.orders.note_quiet(was_quiet, is_quiet);
        }
        if before != after {
            self.orders.by_status[before.status() as usize] -= 1;
            self.orders.by_status[after.status() as usize] += 1;
        }
        let sum: fn(&mut MoneySums) -> &mut u64 = match event {
            Event::PaymentCompleted { .. } => |sums| &mut sums.charged,
            Event::RefundCompleted { .. } => |sums| &mut sums.refunded,
            Event::OrderCompleted { .. } => |sums| &mut sums.completed,
            _ => return,
        };
        if let (Some(total), Some(currency)) = (total, currency) {
            *sum(self.orders.money_of(currency)) += total;
        }
    }

    fn tell_home(&mut self, order: OrderId, what: What) {
        self.links.tell(order.shard(), order, what);
    }
}

fn outside(order: OrderId, known: &Order, call: Call) -> Effect {
    Effect::Outside(Outside { order, call, body: known.body.clone() })
}
