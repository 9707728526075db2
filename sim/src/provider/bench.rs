//! One real shard and its provider, with every commit durable at once.

use std::collections::VecDeque;
use std::future::Ready;
use std::sync::Arc;

use orderlane_core::{
    Config, Currency, DraftLine, Effect, Event, Input, OrderBody, OrderDraft, OrderId, Output, Product, Reader,
    ReplyTo, Request as Ask, Sequence, Shard, ShardId, Status, Time,
};
use orderlane_lane::{Commit, CommitError, LaneMetrics, Limits, Outside, Port, Receipt, Turn, Wake, mesh};

use super::{Provider, ProviderClient};
use crate::coverage::Coverage;
use crate::faults::{Fault, FaultSet};
use crate::options::Options;
use crate::random::Random;
use crate::sim::Sim;

pub(super) const HOME: ShardId = ShardId(0);
const TO: ReplyTo = ReplyTo { lane: 0, slot: 0, generation: 0, request: 0 };

struct Nobody;

impl Wake for Nobody {
    fn wake(&self) {}
}

struct NoCommit;

impl Commit for NoCommit {
    fn append(&mut self, _: ShardId, _: Sequence, _: Time, _: &[Event]) {}

    fn open_bytes(&self) -> usize {
        0
    }

    fn start(&mut self) -> Option<impl Future<Output = Result<Receipt, CommitError>> + 'static> {
        None::<Ready<Result<Receipt, CommitError>>>
    }

    fn finish(&mut self, _: Receipt) {}
}

fn config(hold_ttl_micros: u64) -> Config {
    let (retry_first_micros, retry_max_micros) = (200_000, 5_000_000);
    let key_retention_micros = u64::MAX;
    Config {
        shard: HOME,
        shards: 1,
        seed: 1,
        hold_ttl_micros,
        retry_first_micros,
        retry_max_micros,
        key_retention_micros,
    }
}

fn new_port() -> Port {
    let end = mesh(vec![Arc::new(Nobody) as Arc<dyn Wake>], Limits::default()).pop().expect("one lane");
    Port::new(end, Arc::new([0]), Arc::new(LaneMetrics::default()))
}

fn new_reader() -> Turn<NoCommit> {
    Turn::new(Vec::new(), 1, NoCommit, Limits { batch_max: usize::MAX, ..Limits::default() })
}

pub(super) fn body(key: u64, token: &str) -> OrderBody {
    let key = format!("k-{key}");
    let lines = [DraftLine { sku: "sku-1", quantity: 1 }];
    let draft = OrderDraft {
        subject: "alice",
        customer: "c-1",
        key: &key,
        currency: None,
        total_expected: None,
        token,
        email: None,
        reference: None,
        metadata: &[],
        lines: &lines,
    };
    OrderBody::encode(&draft, 1)
}

/// One shard and its provider.
pub(super) struct Bench {
    pub(super) sim: Sim,
    pub(super) provider: Provider,
    pub(super) client: ProviderClient,
    pub(super) port: Port,
    reader: Turn<NoCommit>,
    read: usize,
    shard: Shard,
    log: Vec<(Time, Event)>,
    queue: VecDeque<Input>,
    pub(super) coverage: Coverage,
    /// Makes the shard leave things for later.
    pub(super) stalls: Option<Random>,
}

impl Bench {
    pub(super) fn new(seed: u64, faults: &[Fault]) -> Bench {
        let mut options = Options::draw(seed);
        options.faults = faults.iter().fold(FaultSet::default(), |set, fault| set.with(*fault));
        options.hold_ttl_micros = 2_000_000;
        let sim = Sim::new(options, false);
        let provider = Provider::new(&sim);
        let mut bench = Bench {
            client: provider.client(vec![HOME]),
            port: new_port(),
            reader: new_reader(),
            read: 0,
            shard: Shard::new(config(2_000_000)),
            log: Vec::new(),
            queue: VecDeque::new(),
            coverage: Coverage::default(),
            stalls: None,
            provider,
            sim,
        };
        let currency = Currency::parse("EUR").expect("a currency");
        let product = Product { sku: "sku-1".into(), name: "one".into(), unit_price: 500, currency };
        bench.ask(Ask::LoadProduct { product: Box::new(product), stock: 100_000 });
        bench
    }

    fn ask(&mut self, request: Ask) {
        self.queue.push_back(Input::Request { reply_to: TO, request });
        self.settle();
    }

    pub(super) fn place(&mut self, key: u64, token: &str) -> OrderId {
        self.ask(Ask::PlaceOrder { body: body(key, token), wait: false });
        OrderId::new(HOME, key)
    }

    /// Handles what is there and what is due, until nothing is.
    fn settle(&mut self) {
        loop {
            let now = self.sim.executor().now();
            self.client.poll(now, &self.port);
            self.reader.take(&self.port);
            let new = self.reader.staged().range(self.read..).map(|(_, input)| input.clone());
            self.queue.extend(new);
            self.read = self.reader.staged().len();
            if self.stalls.as_mut().is_some_and(|random| random.chance(150)) {
                return;
            }
            let mut out = Output::default();
            if let Some(input) = self.queue.pop_front() {
                self.shard.handle(now, input, &mut out);
                // As a lane does: what is due comes in the same turn.
                self.shard.handle_timeout(now, &mut out);
            } else if self.shard.poll_timeout().is_some_and(|at| at <= now) {
                self.shard.handle_timeout(now, &mut out);
            } else {
                return;
            }
            self.shard.end_turn(now, &mut out);
            self.release(now, out);
        }
    }

    fn release(&mut self, now: Time, out: Output) {
        for event in out.events {
            self.provider.see(&event);
            self.log.push((self.shard.time(), event));
        }
        for effect in out.effects {
            match effect {
                Effect::Tell { sequence, message, .. } => {
                    self.queue.push_back(Input::Tell { source: HOME, sequence, message });
                }
                Effect::Acknowledge { upto, .. } => {
                    self.queue.push_back(Input::Acknowledged { target: HOME, upto });
                }
                Effect::Outside(call) => self.client.perform(now, call, &self.port),
                Effect::Reply { .. } => {}
            }
        }
    }

    /// Lets so much time pass, or all that is needed until nothing is under way.
    pub(super) fn run(&mut self, micros: u64) {
        let end = self.sim.executor().elapsed_micros() + micros;
        while self.sim.executor().elapsed_micros() < end {
            self.settle();
            if let Some(at) = self.shard.poll_timeout() {
                self.sim.executor().after(at.micros_since(self.sim.executor().now()), || {});
            }
            if !self.sim.executor().step() {
                break;
            }
        }
        self.settle();
    }

    pub(super) fn forget_process(&mut self) {
        (self.port, self.reader, self.read) = (new_port(), new_reader(), 0);
        self.client = self.provider.client(vec![HOME]);
    }

    pub(super) fn crash(&mut self) {
        self.coverage.add(self.shard.saga_reached());
        self.forget_process();
        self.queue.clear();
        self.shard = Shard::new(config(2_000_000));
        self.log.iter().for_each(|(time, event)| self.shard.apply(*time, event));
        let mut out = Output::default();
        let now = self.sim.executor().now();
        self.shard.resume(now, &mut out);
        self.release(now, out);
        self.settle();
    }

    /// Orders, cancels and crashes at random, then all heals and everything must end well.
    pub(super) fn play(&mut self, orders: u64, crashes: bool) {
        let mut random = Random::new(self.sim.options().seed);
        for key in 0..orders {
            let token = *random.pick(&["tok_ok", "tok_ok", "tok_ok", "tok_lost", "tok_decline", "tok_timeout"]);
            self.place(key, token);
            self.run(random.between(0, 100_000));
            if random.chance(300) {
                let order = OrderId::new(HOME, key.saturating_sub(random.below(8)));
                self.ask(Ask::CancelOrder { order, reader: Reader::Admin, version_expected: None });
            }
            if crashes && random.chance(30) {
                self.crash();
            }
        }
        self.run(5_000_000);
        self.sim.faults().heal();
        self.stalls = None;
        self.run(60_000_000);
        self.coverage.add(self.shard.saga_reached());
        self.check();
    }

    pub(super) fn check(&self) {
        assert_eq!(self.sim.violation(), None);
        assert_eq!(self.provider.calls_open(), 0);
        let open: u64 =
            Status::ALL.iter().filter(|status| !status.is_end()).map(|status| self.in_status(*status)).sum();
        assert_eq!(open, 0, "every saga ends: {}", self.unended());
        let ledger = self.provider.ledger();
        for (_, event) in self.log.iter().filter(|(_, event)| event.is_end()) {
            let order = event.saga_order().expect("an end belongs to an order");
            let completed = matches!(event, Event::OrderCompleted { .. });
            let expected = if completed { (500, 1) } else { (0, 0) };
            let attempts: Vec<_> = ledger.attempts(order).collect();
            assert_eq!((ledger.net(order), ledger.charges_kept(order)), expected, "{order} {event:?}: {attempts:?}");
            assert!(!completed || ledger.mails(order) > 0, "{order} is complete and nobody was told");
        }
        assert_eq!(self.coverage.impossible(), []);
    }

    /// The events of the first order that has not ended.
    fn unended(&self) -> String {
        let events = |order: OrderId| self.log.iter().filter(move |(_, event)| event.saga_order() == Some(order));
        let created = self.log.iter().filter(|(_, event)| matches!(event, Event::OrderCreated { .. }));
        let mut orders = created.filter_map(|(_, event)| event.saga_order());
        let first = orders.find(|order| !events(*order).any(|(_, event)| event.is_end()));
        let start = self.log.first().map_or(Time(0), |(time, _)| *time);
        let lines = first.into_iter().flat_map(events).skip(1);
        lines.map(|(time, event)| format!("\n{:>10} {event:?}", time.micros_since(start))).collect()
    }

    pub(super) fn in_status(&self, status: Status) -> u64 {
        self.shard.orders_by_status()[status as usize]
    }

    pub(super) fn counts(&self, fault: Fault) -> (u64, u64) {
        self.sim.faults().counts()[fault as usize]
    }
}
