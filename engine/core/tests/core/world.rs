//! A world for shards: messages in order per pair, a provider and a mailer as pure functions, a log that is what survives.

#![allow(dead_code, missing_docs, unreachable_pub, reason = "each test file uses its part of the world")]

use std::collections::{BTreeMap, VecDeque};

use orderlane_core::{
    Adjustment, Call, Config, Currency, DraftLine, Effect, Event, Input, InventoryView, ListQuery, OrderBody,
    OrderDraft, OrderId, OrderView, Outcome, Output, Outside, Product, Reader, Refusal, Reply, ReplyTo, Request, Shard,
    ShardId, Status, Time,
};

use crate::cuts::Follow;

pub const SHARDS: u16 = 4;
pub const HOLD_TTL: u64 = 60_000_000;

pub struct World {
    pub now: Time,
    pub shards: Vec<Shard>,
    /// One queue a (source, target) pair, and one a shard for requests and outcomes (source = SHARDS).
    pub queues: BTreeMap<(u16, u16), VecDeque<Input>>,
    pub log: Vec<(ShardId, Time, Event)>,
    pub replies: BTreeMap<u32, Vec<Reply>>,
    /// Calls that the provider has not answered: tests that want to answer themselves set `manual`.
    pub calls: Vec<Outside>,
    pub manual: bool,
    pub mails: BTreeMap<OrderId, u32>,
    pub charges: BTreeMap<(OrderId, u8), u64>,
    pub refunds: BTreeMap<(OrderId, u8), u64>,
    next_request: u32,
    /// Who sees the same inputs and must give the same outputs.
    pub twins: Option<Vec<Box<dyn Follow>>>,
}

pub fn config(shard: u16) -> Config {
    Config {
        shard: ShardId(shard),
        shards: SHARDS,
        seed: 7,
        hold_ttl_micros: HOLD_TTL,
        retry_first_micros: 200_000,
        retry_max_micros: 5_000_000,
        key_retention_micros: 86_400_000_000,
    }
}

pub fn eur() -> Currency {
    Currency::parse("EUR").expect("EUR is a currency")
}

/// An order as a test writes it.
#[derive(Clone, Debug)]
pub struct Ask<'a> {
    pub customer: &'a str,
    pub key: &'a str,
    pub lines: &'a [(&'a str, u32)],
    pub token: &'a str,
    pub currency: Option<&'a str>,
    pub total_expected: Option<u64>,
}

pub fn ask<'a>(customer: &'a str, key: &'a str, lines: &'a [(&'a str, u32)]) -> Ask<'a> {
    Ask { customer, key, lines, token: "tok_ok", currency: None, total_expected: None }
}

impl Ask<'_> {
    pub fn body(&self, subject: &str) -> OrderBody {
        let lines: Vec<DraftLine> =
            self.lines.iter().map(|(sku, quantity)| DraftLine { sku, quantity: *quantity }).collect();
        OrderBody::encode(
            &OrderDraft {
                subject,
                customer: self.customer,
                key: self.key,
                currency: self.currency.and_then(Currency::parse),
                total_expected: self.total_expected,
                token: self.token,
                email: None,
                reference: None,
                metadata: &[],
                lines: &lines,
            },
            SHARDS,
        )
    }
}

impl Default for World {
    fn default() -> Self {
        World {
            now: Time(1_000_000),
            shards: (0..SHARDS).map(|shard| Shard::new(config(shard))).collect(),
            queues: BTreeMap::new(),
            log: Vec::new(),
            replies: BTreeMap::new(),
            calls: Vec::new(),
            manual: false,
            mails: BTreeMap::new(),
            charges: BTreeMap::new(),
            refunds: BTreeMap::new(),
            next_request: 0,
            twins: None,
        }
    }
}

impl World {
    /// A world with products of these SKUs, 10.00 EUR each, and this stock.
    pub fn with(stock: &[(&str, u64)]) -> World {
        let mut world = World::default();
        for (sku, units) in stock {
            world.product(sku, 1_000, "EUR", Some(*units));
        }
        world
    }

    pub fn product(&mut self, sku: &str, unit_price: u64, currency: &str, stock: Option<u64>) {
        let currency = Currency::parse(currency).expect("a test names a currency");
        let product = Box::new(Product { sku: sku.into(), name: sku.into(), unit_price, currency });
        let request = match stock {
            Some(stock) => Request::LoadProduct { product, stock },
            None => Request::PutProduct(product),
        };
        self.request(ShardId::of(sku, SHARDS), request);
        self.settle();
    }

    pub fn request(&mut self, shard: ShardId, request: Request) -> u32 {
        self.next_request += 1;
        let reply_to = ReplyTo { lane: 0, slot: 0, generation: 0, request: self.next_request };
        self.send(SHARDS, shard, Input::Request { reply_to, request });
        self.next_request
    }

    pub fn place(&mut self, ask: &Ask<'_>) -> u32 {
        self.place_as("alice", ask, false)
    }

    pub fn place_as(&mut self, subject: &str, ask: &Ask<'_>, wait: bool) -> u32 {
        let shard = ShardId::of(ask.customer, SHARDS);
        self.request(shard, Request::PlaceOrder { body: ask.body(subject), wait })
    }

    /// Places an order and lets everything happen that it causes.
    pub fn placed(&mut self, ask: &Ask<'_>) -> OrderId {
        let request = self.place(ask);
        self.settle();
        self.order_of(request)
    }

    pub fn order_of(&self, request: u32) -> OrderId {
        match self.first_reply(request) {
            Reply::Placed { order, .. } => *order,
            other => panic!("not placed: {other:?}"),
        }
    }

    pub fn cancel(&mut self, order: OrderId) -> u32 {
        let request = Request::CancelOrder { order, reader: Reader::Admin, version_expected: None };
        self.request(order.shard(), request)
    }

    pub fn adjust(&mut self, sku: &str, key: &str, delta: i64) -> u32 {
        let adjustment =
            Adjustment { subject: "alice".into(), sku: sku.into(), key: key.into(), delta, reason: "count".into() };
        self.request(ShardId::of(sku, SHARDS), Request::AdjustStock(Box::new(adjustment)))
    }

    pub fn first_reply(&self, request: u32) -> &Reply {
        self.replies.get(&request).and_then(|replies| replies.first()).expect("the request was answered")
    }

    pub fn refusal(&self, request: u32) -> Option<Refusal> {
        match self.first_reply(request) {
            Reply::Refused(refusal) => Some(*refusal),
            _ => None,
        }
    }

    pub fn view(&mut self, order: OrderId) -> OrderView {
        let request = Request::GetOrder { order, reader: Reader::Admin, wait: false };
        let request = self.request_now(order.shard(), request);
        match self.first_reply(request) {
            Reply::Order(view) => (**view).clone(),
            other => panic!("not an order: {other:?}"),
        }
    }

    pub fn status(&mut self, order: OrderId) -> Status {
        self.view(order).status
    }

    /// `(available, reserved, sold)`.
    pub fn units(&mut self, sku: &str) -> (u64, u64, u64) {
        let view = self.inventory(sku);
        assert_eq!(view.adjusted, view.available + view.reserved + view.sold);
        (view.available, view.reserved, view.sold)
    }

    pub fn inventory(&mut self, sku: &str) -> InventoryView {
        let request = self.request_now(ShardId::of(sku, SHARDS), Request::GetInventory { sku: sku.into() });
        match self.first_reply(request) {
            Reply::Inventory(view) => (**view).clone(),
            other => panic!("no stock: {other:?}"),
        }
    }

    /// Handles one request ahead of everything that waits.
    fn request_now(&mut self, shard: ShardId, request: Request) -> u32 {
        self.next_request += 1;
        let reply_to = ReplyTo { lane: 0, slot: 0, generation: 0, request: self.next_request };
        self.turn(shard, Input::Request { reply_to, request });
        self.next_request
    }

    pub fn send(&mut self, source: u16, target: ShardId, input: Input) {
        self.queues.entry((source, target.0)).or_default().push_back(input);
    }

    pub fn outcome(&mut self, order: OrderId, outcome: Outcome) {
        self.send(SHARDS, order.shard(), Input::Outcome { order, outcome });
    }

    /// One turn with one input.
    pub fn turn(&mut self, target: ShardId, input: Input) {
        let mut out = Output::default();
        let shard = &mut self.shards[target.index()];
        shard.handle(self.now, input.clone(), &mut out);
        shard.end_turn(self.now, &mut out);
        let digest = self.shards[target.index()].digest();
        if let Some(twin) = self.twin(target) {
            twin.1.input(twin.0, &input, &out);
            assert_eq!(twin.1.digest(), digest);
        }
        self.commit(target, out);
    }

    /// Delivers the first input of one queue. False when the queue is empty.
    pub fn deliver(&mut self, pair: (u16, u16)) -> bool {
        let Some(input) = self.queues.get_mut(&pair).and_then(VecDeque::pop_front) else { return false };
        self.turn(ShardId(pair.1), input);
        true
    }

    pub fn pairs_waiting(&self) -> Vec<(u16, u16)> {
        self.queues.iter().filter(|(_, queue)| !queue.is_empty()).map(|(pair, _)| *pair).collect()
    }

    /// Delivers until nothing waits. Time stands still.
    pub fn settle(&mut self) {
        while let Some(pair) = self.pairs_waiting().first().copied() {
            self.deliver(pair);
        }
    }

    /// Lets time pass, firing what is due on the way, until nothing is left to wait for.
    pub fn finish(&mut self) {
        let end = self.now.after_micros(10 * HOLD_TTL);
        loop {
            self.settle();
            let Some(at) = self.shards.iter().filter_map(Shard::poll_timeout).min() else { break };
            assert!(at < end, "sagas end within a bounded time");
            self.pass(at.micros_since(self.now));
        }
    }

    pub fn pass(&mut self, micros: u64) {
        self.now = self.now.after_micros(micros);
        for index in 0..self.shards.len() {
            while self.shards[index].poll_timeout().is_some_and(|at| at <= self.now) {
                let mut out = Output::default();
                self.shards[index].handle_timeout(self.now, &mut out);
                self.shards[index].end_turn(self.now, &mut out);
                if let Some((now, twin)) = self.twin(ShardId(index as u16)) {
                    twin.timeout(now, &out);
                }
                self.commit(ShardId(index as u16), out);
            }
        }
    }

    fn commit(&mut self, source: ShardId, out: Output) {
        let time = self.shards[source.index()].time();
        self.log.extend(out.events.into_iter().map(|event| (source, time, event)));
        for effect in out.effects {
            match effect {
                Effect::Reply { to, reply } => self.replies.entry(to.request).or_default().push(reply),
                Effect::Tell { target, sequence, message } => {
                    self.send(source.0, target, Input::Tell { source, sequence, message });
                }
                Effect::Acknowledge { source: sender, upto } => {
                    self.send(source.0, sender, Input::Acknowledged { target: source, upto });
                }
                Effect::Outside(call) if self.manual => self.calls.push(call),
                Effect::Outside(call) => self.perform(&call),
            }
        }
    }

    /// The simulated provider and mailer: the answer depends on the call alone, so it survives any crash.
    pub fn perform(&mut self, call: &Outside) {
        let outcome = match (call.call, call.body.token()) {
            // The provider is idempotent: what it has taken it has taken.
            (Call::Charge { attempt, .. }, _) if self.charges.contains_key(&(call.order, attempt)) => {
                Outcome::Charged { attempt }
            }
            (Call::Charge { attempt, .. }, "tok_decline") => Outcome::Declined { attempt },
            (Call::Charge { attempt, amount, .. }, "tok_timeout") => {
                self.charges.insert((call.order, attempt), amount);
                Outcome::PaymentUnknown { attempt }
            }
            (Call::Charge { attempt, .. }, "tok_lost") => Outcome::PaymentUnknown { attempt },
            (Call::Charge { attempt, amount, .. }, _) => {
                self.charges.insert((call.order, attempt), amount);
                Outcome::Charged { attempt }
            }
            (Call::Reconcile { attempt }, _) => match self.charges.get(&(call.order, attempt)) {
                Some(_) => Outcome::Charged { attempt },
                None => Outcome::NotCharged { attempt },
            },
            (Call::Refund { attempt, amount, .. }, _) => {
                self.refunds.insert((call.order, attempt), amount);
                Outcome::Refunded { attempt }
            }
            (Call::Notify, _) => {
                *self.mails.entry(call.order).or_default() += 1;
                Outcome::Notified
            }
        };
        self.outcome(call.order, outcome);
    }

    /// Everything but the log is lost; the log gives the same state; what has no outcome is done again.
    pub fn crash(&mut self) {
        let before: Vec<u64> = self.shards.iter().map(Shard::digest).collect();
        self.shards = (0..SHARDS).map(|shard| Shard::new(config(shard))).collect();
        for (shard, time, event) in &self.log {
            self.shards[shard.index()].apply(*time, event);
        }
        let after: Vec<u64> = self.shards.iter().map(Shard::digest).collect();
        assert_eq!(before, after, "a fold of the log gives the same state");
        self.queues.clear();
        self.calls.clear();
        for index in 0..self.shards.len() {
            let mut out = Output::default();
            self.shards[index].resume(self.now, &mut out);
            self.commit(ShardId(index as u16), out);
        }
    }

    fn twin(&mut self, shard: ShardId) -> Option<(Time, &mut dyn Follow)> {
        Some((self.now, &mut **self.twins.as_mut()?.get_mut(shard.index())?))
    }

    pub fn step_twin(&mut self, shard: u16, pick: u16) {
        let digest = self.shards[usize::from(shard)].digest();
        let (_, twin) = self.twin(ShardId(shard)).expect("there are twins");
        twin.step(pick);
        assert_eq!(twin.digest(), digest);
    }

    /// Everything but the twins' checkpoints and logs is lost, for both.
    pub fn crash_twins(&mut self) {
        self.crash();
        let now = self.now;
        self.twins.iter_mut().flatten().for_each(|twin| twin.crash(now));
    }

    /// Reads all pages of a list, of the shard and of its twin: the same orders.
    pub fn follow_pages(&mut self, shard: ShardId, query: ListQuery) {
        let whole = ListQuery { limit: 200, ..query.clone() };
        let request = self.request_now(shard, Request::ListOrders(Box::new(whole)));
        let Reply::Orders(expected) = self.first_reply(request).clone() else { panic!("not a page") };
        let (now, twin) = self.twin(shard).expect("there are twins");
        let (mut orders, mut before) = (Vec::new(), None);
        loop {
            let page = twin.list(now, ListQuery { before, ..query.clone() });
            orders.extend(page.orders);
            assert!(page.reached.is_none_or(|at| before.is_none_or(|before| at < before)), "each page goes on");
            before = page.reached;
            if before.is_none() {
                break;
            }
        }
        assert_eq!(orders, expected.orders);
    }

    /// What must hold when nothing is under way any more.
    pub fn check_at_rest(&mut self) {
        let mut kept: u64 = 0;
        for shard in &self.shards {
            let audit = shard.audit();
            for check in &audit.checks {
                assert_eq!(check.violations, 0, "{} on shard {}", check.name, audit.shard);
            }
            for status in Status::ALL.into_iter().filter(|status| !status.is_end()) {
                assert_eq!(audit.orders[status as usize], 0, "an order of shard {} is still {status:?}", audit.shard);
            }
            assert_eq!(audit.stock.reserved, 0, "shard {} still holds stock", audit.shard);
            for (_, money) in &audit.money {
                assert_eq!(money.charged - money.refunded, money.completed);
                kept += money.completed;
            }
        }
        let provider: u64 = self.charges.values().sum::<u64>() - self.refunds.values().sum::<u64>();
        assert_eq!(provider, kept, "the provider keeps what completed orders cost");
    }
}
