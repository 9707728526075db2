//! A small world for the tests of the invariants: real shards, messages in order per pair, any interleaving, a provider that
//! does its worst; the answers are the gateway's documents.

use std::collections::{BTreeMap, VecDeque};

use orderlane_core::{
    Adjustment, Call, Config, Currency, DraftLine, Effect, Event, Input, ListQuery, OrderBody, OrderDraft, OrderId,
    Outcome, Output, Outside, Product, Reader, Refusal, Reply, ReplyTo, Request, Shard, ShardId, Status, Time,
};
use orderlane_gateway::json;
use serde_json::{Value, json as value};

use super::{Caller, End, Money, at_end};
use crate::executor::Moment;
use crate::history::{Answer, Asked, History, Placing};
use crate::log::{Entry, Logs};
use crate::model::Model;
use crate::random::Random;
use crate::sim::Violation;

pub(crate) const SHARDS: u16 = 3;
const CLIENT: u16 = 0;

pub(crate) struct World {
    pub(crate) random: Random,
    pub(crate) now: Time,
    moment: u64,
    pub(crate) shards: Vec<Shard>,
    queues: BTreeMap<(u16, u16), VecDeque<Input>>,
    pub(crate) logs: Logs,
    pub(crate) history: History,
    pub(crate) money: BTreeMap<(OrderId, u8), Money>,
    pub(crate) model: Model,
    asked: BTreeMap<u32, Waiting>,
    request_next: u32,
    /// Turns that are not durable: shard, last event, effects.
    held: VecDeque<(ShardId, u64, Vec<Effect>)>,
    pub(crate) orders: Vec<OrderId>,
}

struct Waiting {
    operation: usize,
    wait: bool,
    audits: Vec<orderlane_core::Audit>,
}

pub(crate) fn caller(_client: u16) -> Caller {
    Caller { subject: "alice".to_string(), is_admin: true }
}

pub(crate) fn config(shard: ShardId) -> Config {
    Config {
        shard,
        shards: SHARDS,
        seed: 7,
        hold_ttl_micros: 2_000_000,
        retry_first_micros: 200_000,
        retry_max_micros: 5_000_000,
        key_retention_micros: u64::MAX,
    }
}

impl World {
    pub(crate) const START: Time = Time(1_767_225_600_000_000);

    pub(crate) fn new(seed: u64) -> World {
        let mut world = World {
            random: Random::named(seed, "test"),
            now: World::START,
            moment: 0,
            shards: (0..SHARDS).map(|shard| Shard::new(config(ShardId(shard)))).collect(),
            queues: BTreeMap::new(),
            logs: Logs::new(SHARDS),
            history: History::default(),
            money: BTreeMap::new(),
            model: Model::new(SHARDS),
            asked: BTreeMap::new(),
            request_next: 0,
            held: VecDeque::new(),
            orders: Vec::new(),
        };
        for sku in 0..4 {
            world.load(&format!("sku-{sku}"), 5);
        }
        world
    }

    /// A whole life: operations at any moment, then everything comes to its end.
    pub(crate) fn lived(seed: u64) -> World {
        let mut world = World::new(seed);
        for _ in 0..40 {
            world.operate();
            for _ in 0..world.random.below(6) {
                world.step();
            }
            if world.random.chance(100) {
                world.pass(700_000);
            }
            if world.random.chance(50) {
                world.crash();
            }
        }
        world.finish();
        world
    }

    fn load(&mut self, sku: &str, stock: u64) {
        let currency = Currency::parse("EUR").expect("a currency");
        let product = Box::new(Product { sku: sku.into(), name: sku.into(), unit_price: 1_000, currency });
        let to = ReplyTo { lane: 0, slot: 0, generation: 0, request: 0 };
        let request = Request::LoadProduct { product, stock };
        self.turn(ShardId::of(sku, SHARDS), Input::Request { reply_to: to, request });
    }

    fn operate(&mut self) {
        let sku = format!("sku-{}", self.random.below(5));
        let known = (!self.orders.is_empty()).then(|| *self.random.pick(&self.orders.clone()));
        match (self.random.below(10), known) {
            (0..=4, _) => {
                // The key says what is ordered, but for a careless client.
                let (customer, key) = (self.random.below(3), self.random.below(10));
                let careless = u64::from(self.random.chance(100));
                let lines = (0..=(key + careless) % 3)
                    .map(|line| {
                        (format!("sku-{}", (key + line * customer) % if key == 9 { 5 } else { 4 }), 1 + line as u32)
                    })
                    .collect();
                let placing = Placing {
                    customer: format!("c-{customer}"),
                    key: format!("k-{key}"),
                    lines,
                    token: "tok_any".to_string(),
                    currency: [None, Some("EUR"), Some("USD")][key as usize / 4].map(str::to_string),
                    total_expected: (key % 4 == 3).then_some(4_000),
                    wait: self.random.chance(300),
                    ..Placing::default()
                };
                self.ask(Asked::Place(placing));
            }
            (5, Some(order)) => self.ask(Asked::Cancel(order)),
            (6, Some(order)) => self.ask(Asked::Get(order)),
            (7, _) => {
                let (delta, key) = (self.random.between(0, 8) as i64 - 4, format!("a-{}", self.random.below(6)));
                self.ask(Asked::Adjust { sku, delta, key });
            }
            (8, _) => self.ask(Asked::Inventory(sku)),
            (9, _) if self.random.chance(300) => self.ask(Asked::Invariants),
            _ => {
                let customer = format!("c-{}", self.random.below(3));
                self.ask(Asked::List(Some(customer)));
            }
        }
    }

    fn tick(&mut self) -> Moment {
        self.moment += 1;
        Moment(self.moment)
    }

    pub(crate) fn ask(&mut self, asked: Asked) {
        let (shards, wait): (Vec<ShardId>, bool) = match &asked {
            Asked::Place(placing) => (vec![ShardId::of(&placing.customer, SHARDS)], placing.wait),
            Asked::Cancel(order) | Asked::Get(order) => (vec![order.shard()], false),
            Asked::List(customer) => (vec![ShardId::of(customer.as_deref().unwrap_or_default(), SHARDS)], false),
            Asked::Adjust { sku, .. } | Asked::Inventory(sku) => (vec![ShardId::of(sku, SHARDS)], false),
            Asked::Invariants => ((0..SHARDS).map(ShardId).collect(), false),
            Asked::PlaceMany(_) | Asked::PutProduct { .. } | Asked::Load { .. } => unreachable!("no test asks for it"),
        };
        let request = request_of(&asked);
        let moment = self.tick();
        let operation = self.history.invoke(CLIENT, 0, asked, moment);
        self.request_next += 1;
        self.asked.insert(self.request_next, Waiting { operation, wait, audits: Vec::new() });
        let reply_to = ReplyTo { lane: 0, slot: 0, generation: 0, request: self.request_next };
        for shard in shards {
            self.send(SHARDS, shard, Input::Request { reply_to, request: request.clone() });
        }
    }

    fn send(&mut self, source: u16, target: ShardId, input: Input) {
        self.queues.entry((source, target.0)).or_default().push_back(input);
    }

    /// Delivers one input of any queue, or makes the oldest turn durable; false when there is nothing to do.
    pub(crate) fn step(&mut self) -> bool {
        let waiting: Vec<(u16, u16)> =
            self.queues.iter().filter(|(_, queue)| !queue.is_empty()).map(|(pair, _)| *pair).collect();
        if !self.held.is_empty() && (waiting.is_empty() || self.random.chance(400)) {
            self.commit();
            return true;
        }
        if waiting.is_empty() {
            return false;
        }
        let pair = *self.random.pick(&waiting);
        let input = self.queues.get_mut(&pair).and_then(VecDeque::pop_front).expect("not empty");
        self.now = self.now.after_micros(10);
        self.turn(ShardId(pair.1), input);
        true
    }

    /// The power goes: any number of the turns that are not durable survive.
    fn crash(&mut self) {
        let survive = self.random.below(self.held.len() as u64 + 1) as usize;
        let mut lengths: Vec<u64> = (0..SHARDS).map(|shard| self.logs.durable(ShardId(shard))).collect();
        for (shard, last, _) in self.held.drain(..).take(survive) {
            lengths[shard.index()] = last;
        }
        self.queues.clear();
        self.asked.clear();
        let moment = self.tick();
        for (shard, length) in (0..SHARDS).map(ShardId).zip(lengths) {
            let log = &self.logs.of(shard)[..length as usize];
            let found: Vec<(Time, Event)> = log.iter().map(|entry| (entry.time, entry.event.clone())).collect();
            assert_eq!(super::after_recovery(shard, 1, &found, &self.logs).expect("nothing is lost"), length);
            self.logs.truncate(shard, length, moment);
            let folded = found.iter().map(|(time, event)| (*time, event));
            self.shards[shard.index()] = super::recovery_is_fold::fold(config(shard), folded);
        }
        self.model = Model::rebuild(&self.logs, u64::MAX).expect("the engine keeps its promises");
        for shard in (0..SHARDS).map(ShardId) {
            let mut out = Output::default();
            self.shards[shard.index()].resume(self.now, &mut out);
            self.close(shard, out);
        }
        // A provider tells of late money until it is heard.
        for (order, attempt) in self.money.keys().copied().collect::<Vec<_>>() {
            self.send(SHARDS, order.shard(), Input::Outcome { order, outcome: Outcome::Charged { attempt } });
        }
    }

    fn turn(&mut self, shard: ShardId, input: Input) {
        let mut out = Output::default();
        self.shards[shard.index()].handle(self.now, input, &mut out);
        self.end_turn(shard, out);
    }

    fn end_turn(&mut self, shard: ShardId, mut out: Output) {
        self.shards[shard.index()].end_turn(self.now, &mut out);
        self.close(shard, out);
    }

    fn close(&mut self, shard: ShardId, out: Output) {
        let (sequence, time) = (self.shards[shard.index()].sequence(), self.shards[shard.index()].time());
        if !out.events.is_empty() {
            let decided = self.tick();
            let first = sequence + 1 - out.events.len() as u64;
            assert!(self.logs.append(shard, first, time, &out.events, decided));
            self.model.turn(shard, first, time, out.events.iter()).expect("the engine keeps its promises");
        }
        self.held.push_back((shard, sequence, out.effects));
    }

    fn commit(&mut self) {
        let (shard, sequence, effects) = self.held.pop_front().expect("something is held");
        let durable = self.tick();
        self.logs.set_durable(shard, sequence, durable);
        for effect in effects {
            match effect {
                Effect::Reply { to, reply } => self.reply(to.request, reply),
                Effect::Tell { target, sequence, message } => {
                    self.send(shard.0, target, Input::Tell { source: shard, sequence, message });
                }
                Effect::Acknowledge { source, upto } => {
                    self.send(shard.0, source, Input::Acknowledged { target: shard, upto });
                }
                Effect::Outside(call) => self.perform(&call),
            }
        }
    }

    fn reply(&mut self, request: u32, reply: Reply) {
        if let Reply::Placed { order, replayed: false, .. } = &reply {
            self.orders.push(*order);
        }
        let Some(waiting) = self.asked.get_mut(&request) else { return };
        if let Reply::Audit(audit) = &reply {
            waiting.audits.push((**audit).clone());
            if waiting.audits.len() < usize::from(SHARDS) {
                return;
            }
        }
        if waiting.wait && matches!(reply, Reply::Placed { .. }) {
            return;
        }
        let waiting = self.asked.remove(&request).expect("just found");
        let is_cancel = matches!(self.history.operations[waiting.operation].asked, Asked::Cancel(_));
        let answer = answer_of(&reply, is_cancel, &waiting.audits);
        let moment = self.tick();
        self.history.answer(waiting.operation, answer, moment);
    }

    fn perform(&mut self, call: &Outside) {
        let order = call.order;
        let outcome = match call.call {
            Call::Charge { attempt, amount, .. } => match self.random.below(6) {
                0 => Outcome::Declined { attempt },
                1 => Outcome::PaymentUnknown { attempt },
                luck => {
                    self.charge(order, attempt, amount);
                    if luck == 2 { Outcome::PaymentUnknown { attempt } } else { Outcome::Charged { attempt } }
                }
            },
            Call::Reconcile { attempt } if self.money.contains_key(&(order, attempt)) => Outcome::Charged { attempt },
            Call::Reconcile { attempt } => {
                // The charge comes after all, now and then.
                if self.random.chance(300) {
                    let total = self.model.orders[&order].total.expect("reserved");
                    self.charge(order, attempt, total);
                    self.send(
                        SHARDS,
                        order.shard(),
                        Input::Outcome { order, outcome: Outcome::NotCharged { attempt } },
                    );
                    Outcome::Charged { attempt }
                } else {
                    Outcome::NotCharged { attempt }
                }
            }
            Call::Refund { attempt, amount, .. } => {
                self.money.get_mut(&(order, attempt)).expect("only money that was taken goes back").refunded =
                    Some(amount);
                Outcome::Refunded { attempt }
            }
            Call::Notify => Outcome::Notified,
        };
        for _ in 0..self.random.between(1, 2) {
            self.send(SHARDS, order.shard(), Input::Outcome { order, outcome });
        }
    }

    fn charge(&mut self, order: OrderId, attempt: u8, charged: u64) {
        self.money.entry((order, attempt)).or_insert(Money { order, attempt, charged, refunded: None });
    }

    fn pass(&mut self, micros: u64) {
        self.now = self.now.after_micros(micros);
        for index in 0..self.shards.len() {
            while self.shards[index].poll_timeout().is_some_and(|at| at <= self.now) {
                let mut out = Output::default();
                self.shards[index].handle_timeout(self.now, &mut out);
                self.end_turn(ShardId(index as u16), out);
            }
        }
    }

    fn finish(&mut self) {
        loop {
            while self.step() {}
            let Some(at) = self.shards.iter().filter_map(Shard::poll_timeout).min() else { break };
            self.pass(at.micros_since(self.now));
        }
    }

    /// Everything that can be judged, of what is left behind.
    pub(crate) fn judge(&self) -> Result<(), Violation> {
        let model = Model::rebuild(&self.logs, u64::MAX)?;
        let money: Vec<Money> = self.money.values().copied().collect();
        let (logs, history) = (&self.logs, &self.history);
        at_end(&End { model: &model, logs, history, money: &money, caller: &caller, is_healed: true })
    }

    /// The name of the promise that is found broken.
    pub(crate) fn broken(&self) -> &'static str {
        self.judge().expect_err("it is broken").invariant
    }

    /// Changes the logs: each entry becomes any number of entries.
    pub(crate) fn change_logs(&mut self, mut change: impl FnMut(ShardId, Entry) -> Vec<Entry>) {
        let mut logs = Logs::new(SHARDS);
        for (shard, log) in self.logs.iter() {
            for entry in log.iter().flat_map(|entry| change(shard, entry.clone())) {
                let next = logs.of(shard).len() as u64 + 1;
                assert!(logs.append(shard, next, entry.time, std::slice::from_ref(&entry.event), entry.decided));
                if let Some(durable) = entry.durable {
                    logs.set_durable(shard, next, durable);
                }
            }
        }
        self.logs = logs;
    }

    /// Changes the first event that the function takes; panics when it takes none.
    pub(crate) fn change_first(&mut self, mut change: impl FnMut(&mut Entry) -> bool) {
        let mut changed = false;
        self.change_logs(|_, mut entry| {
            changed = changed || change(&mut entry);
            vec![entry]
        });
        assert!(changed, "there is such an event");
    }

    /// Repeats or drops (`times` 0) the first event that the function names.
    pub(crate) fn repeat_first(&mut self, times: usize, is_it: impl Fn(&Event) -> bool) {
        let mut found = false;
        self.change_logs(|_, entry| {
            let hit = !found && is_it(&entry.event);
            found |= hit;
            vec![entry; if hit { times } else { 1 }]
        });
        assert!(found, "there is such an event");
    }
}

fn request_of(asked: &Asked) -> Request {
    let reader = Reader::Admin;
    match asked {
        Asked::Place(placing) => {
            let lines: Vec<DraftLine<'_>> =
                placing.lines.iter().map(|(sku, quantity)| DraftLine { sku, quantity: *quantity }).collect();
            let draft = OrderDraft {
                subject: "alice",
                customer: &placing.customer,
                key: &placing.key,
                currency: placing.currency.as_deref().and_then(Currency::parse),
                total_expected: placing.total_expected,
                token: &placing.token,
                email: None,
                reference: None,
                metadata: &[],
                lines: &lines,
            };
            Request::PlaceOrder { body: OrderBody::encode(&draft, SHARDS), wait: placing.wait }
        }
        Asked::Cancel(order) => Request::CancelOrder { order: *order, reader, version_expected: None },
        Asked::Get(order) => Request::GetOrder { order: *order, reader, wait: false },
        Asked::List(customer) => {
            let customer = customer.as_deref().map(Into::into);
            Request::ListOrders(Box::new(ListQuery { reader, customer, status: None, before: None, limit: 5 }))
        }
        Asked::Adjust { sku, delta, key } => Request::AdjustStock(Box::new(Adjustment {
            subject: "alice".into(),
            sku: sku.as_str().into(),
            key: key.as_str().into(),
            delta: *delta,
            reason: "".into(),
        })),
        Asked::Inventory(sku) => Request::GetInventory { sku: sku.as_str().into() },
        Asked::Invariants => Request::Audit,
        Asked::PlaceMany(_) | Asked::PutProduct { .. } | Asked::Load { .. } => unreachable!("no test asks for it"),
    }
}

fn answer_of(reply: &Reply, is_cancel: bool, audits: &[orderlane_core::Audit]) -> Answer {
    let mut out = Vec::new();
    let (status, replayed) = match reply {
        Reply::Placed { order, created_at, body, replayed } => {
            json::render_placed(*order, *created_at, body, &mut out);
            (202, *replayed)
        }
        Reply::Ended { order, replayed } => {
            json::render_order(order, &mut out);
            (201, *replayed)
        }
        Reply::Order(view) => {
            json::render_order(view, &mut out);
            (if is_cancel && view.status != Status::Cancelled { 202 } else { 200 }, false)
        }
        Reply::Orders(page) => {
            let cursor = page.reached.map(|(time, order)| format!("{:016x}{:016x}", time.0, order.bits()));
            json::render_page(&page.orders, cursor.as_deref(), &mut out);
            (200, false)
        }
        Reply::Inventory(view) => {
            json::render_inventory(view, &mut out);
            (200, false)
        }
        Reply::Adjusted { inventory, replayed } => {
            json::render_inventory(inventory, &mut out);
            (200, *replayed)
        }
        Reply::Audit(_) => {
            json::render_audit(audits, &mut out);
            (200, false)
        }
        Reply::Refused(refusal) => return refused(*refusal),
        Reply::ProductPut { .. } | Reply::Product(_) => unreachable!("no test asks for it"),
    };
    Answer::Http { status, body: serde_json::from_slice(&out).expect("JSON"), replayed }
}

fn refused(refusal: Refusal) -> Answer {
    let (status, code, replayed) = match refusal {
        Refusal::NotFound => (404, "not-found", false),
        Refusal::KeyReused => (422, "idempotency-key-reused", false),
        Refusal::OrderFinished => (409, "order-finished", false),
        Refusal::InsufficientStock { replayed } => (409, "insufficient-stock", replayed),
        Refusal::StockTooLarge | Refusal::VersionMismatch | Refusal::Overloaded | Refusal::ShardUnavailable => {
            unreachable!("no test asks for it")
        }
    };
    Answer::Http { status, body: value!({"code": code}), replayed }
}

/// The body of an answer, to be changed.
pub(crate) fn body_of(answer: &mut Answer) -> Option<&mut Value> {
    match answer {
        Answer::Http { body, .. } => Some(body),
        Answer::Unknown => None,
    }
}
