//! One thread, a virtual clock, and lanes whose commits, reads and calls complete when the test says so.
//!
//! Every effect that comes out is checked against what is durable at that moment ([`Ledger`]), whatever the test looks at.

#![allow(dead_code, missing_docs, unreachable_pub, reason = "each test file uses its part of the world")]

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, VecDeque};
use std::future::{Future, poll_fn, ready};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use orderlane_core::{
    Call, Cold, Config, Currency, DraftLine, Event, Input, OrderBody, OrderDraft, OrderId, Outcome, Outside as Asked,
    Product, Reader, Refusal, Reply, ReplyTo, Request, Sequence, Shard, ShardId, Status, Time,
};
use orderlane_lane::limits::COMMIT_BYTES_MAX;
use orderlane_lane::{
    Clients, Commit, CommitError, Commits, Disk, Driver, Lane, LaneMetrics, Limits, MeshEnd, Outside, Port, Prefetch,
    Receipt, Shutdown, Stream, StreamCloser, StreamReader, StreamWriter, Tended, Turn, Wake, mesh, report, run,
};

pub const SHARDS: u16 = 2;
pub const HOLD_TTL: u64 = 60_000_000;
pub const RETRY_FIRST: u64 = 200_000;
/// Polls without an end that no test comes near.
const POLLS_MAX: usize = 2_000;

/// Something that a test does in the middle of a turn.
pub type Hook = Box<dyn FnOnce()>;

mod driver;
mod fakes;
mod ledger;

pub use driver::*;
pub use fakes::*;
pub use ledger::*;

/// The executor's side of a lane's future.
struct Task(AtomicBool);

impl std::task::Wake for Task {
    fn wake(self: Arc<Self>) {
        self.0.store(true, SeqCst);
    }
}

type Running = Pin<Box<dyn Future<Output = Result<(), CommitError>>>>;

/// A lane and all that the test holds of it.
pub struct TestLane {
    pub port: Port,
    pub bell: Arc<Bell>,
    pub commit: Rc<RefCell<CommitState>>,
    pub prefetch: Rc<RefCell<PrefetchState>>,
    pub clients: Rc<TestClients>,
    pub outside: Rc<RefCell<OutsideState>>,
    pub metrics: Arc<LaneMetrics>,
    pub polls: usize,
    pub ended: Option<Result<(), CommitError>>,
    future: Option<Running>,
    task: Arc<Task>,
}

pub struct World {
    pub lanes: Vec<TestLane>,
    pub shutdown: Arc<Shutdown>,
    pub ledger: Rc<Ledger>,
    /// The mesh end of a second lane that the test plays itself.
    pub peer: Option<Rc<RefCell<MeshEnd>>>,
    pub peer_bell: Arc<Bell>,
    clock: Rc<Clock>,
    next_request: u32,
}

impl World {
    /// One lane with both shards, alone.
    pub fn one() -> World {
        World::new(&[0, 0], 1, false)
    }

    /// Two lanes with a shard each.
    pub fn two() -> World {
        World::new(&[0, 1], 2, false)
    }

    /// One lane with shard 0; the test itself is lane 1, which owns shard 1.
    pub fn with_peer() -> World {
        World::new(&[0, 1], 1, true)
    }

    fn new(lane_of_shard: &[u16], lanes: usize, peer: bool) -> World {
        let bells: Vec<Arc<Bell>> = (0..lanes + usize::from(peer)).map(|_| Arc::default()).collect();
        let wakes: Vec<Arc<dyn Wake>> = bells.iter().map(|bell| bell.clone() as Arc<dyn Wake>).collect();
        let mut ends = mesh(wakes.clone(), Limits::default());
        let peer = peer.then(|| Rc::new(RefCell::new(ends.pop().expect("the last end is the test's"))));
        let shutdown = Arc::new(Shutdown::new(wakes));
        let (clock, ledger) = (Rc::<Clock>::default(), Rc::<Ledger>::default());
        clock.now.set(Time(1_000_000));
        let peer_bell = bells.last().expect("at least one lane").clone();
        let lanes = ends
            .into_iter()
            .zip(bells)
            .map(|(end, bell)| TestLane::new(end, bell, lane_of_shard, &clock, &ledger, &shutdown))
            .collect();
        World { lanes, shutdown, ledger, peer, peer_bell, clock, next_request: 0 }
    }

    pub fn lane(&self) -> &TestLane {
        &self.lanes[0]
    }

    pub fn commit(&self) -> std::cell::RefMut<'_, CommitState> {
        self.lanes[0].commit.borrow_mut()
    }

    pub fn now(&self) -> Time {
        self.clock.now.get()
    }

    /// The earliest sleep that is not over.
    pub fn sleeps_until(&self) -> Option<Time> {
        let now = self.now();
        self.clock.sleeps.borrow().iter().map(|(at, _)| *at).filter(|at| *at > now).min()
    }

    /// Polls every lane that was woken until none is; gives how many polls that took.
    #[track_caller]
    pub fn turn(&mut self) -> usize {
        let mut polls = 0;
        while let Some(lane) = self.lanes.iter_mut().find(|lane| lane.is_woken()) {
            lane.poll();
            polls += 1;
            assert!(polls < POLLS_MAX, "the loop spins");
        }
        polls
    }

    /// Lets time pass and the lanes turn.
    #[track_caller]
    pub fn pass(&mut self, micros: u64) -> usize {
        let now = self.now().after_micros(micros);
        self.clock.now.set(now);
        let mut due = Vec::new();
        self.clock.sleeps.borrow_mut().retain(|(at, waker)| {
            if *at <= now {
                due.push(waker.clone());
            }
            *at > now
        });
        due.into_iter().for_each(Waker::wake);
        self.turn()
    }

    /// Completes the commit in flight of lane 0, and turns.
    #[track_caller]
    pub fn complete(&mut self) -> usize {
        self.lanes[0].complete(Ok(receipt()));
        self.turn()
    }

    /// Turns lane after lane, completing every commit, until none is in flight.
    #[track_caller]
    pub fn settle(&mut self) {
        self.turn();
        while let Some(lane) = self.lanes.iter().position(TestLane::has_commit) {
            self.lanes[lane].complete(Ok(receipt()));
            self.turn();
        }
    }

    /// Submits at lane 0 and does not turn.
    pub fn submit(&mut self, shard: ShardId, request: Request) -> Result<u32, Refusal> {
        self.submit_at(0, shard, request)
    }

    pub fn submit_at(&mut self, lane: usize, shard: ShardId, request: Request) -> Result<u32, Refusal> {
        self.next_request += 1;
        let reply_to = ReplyTo { lane: lane as u16, slot: 0, generation: 0, request: self.next_request };
        self.lanes[lane].port.submit(shard, reply_to, request)?;
        Ok(self.next_request)
    }

    #[track_caller]
    pub fn place(&mut self, order: &Ask<'_>) -> u32 {
        let request = Request::PlaceOrder { body: order.body(), wait: false };
        self.submit(ShardId::of(order.customer, SHARDS), request).expect("there is room")
    }

    #[track_caller]
    pub fn read(&mut self, order: OrderId) -> u32 {
        self.submit(order.shard(), get(order)).expect("there is room")
    }

    /// A read that finds nothing and needs nothing.
    #[track_caller]
    pub fn look(&mut self) -> u32 {
        self.submit(ShardId(0), look()).expect("there is room")
    }

    /// A product with stock, durable.
    #[track_caller]
    pub fn stock(&mut self, sku: &str, units: u64) {
        self.submit(ShardId::of(sku, SHARDS), load(sku, units)).expect("there is room");
        self.settle();
    }

    /// An order that is placed, reserved, and waits for its payment; all durable.
    #[track_caller]
    pub fn charging(&mut self) -> OrderId {
        self.stock("tea-0", 10);
        let request = self.place(&ask(&customer(0), "charging", &[("tea-0", 1)]));
        self.settle();
        self.order_of(request)
    }

    #[track_caller]
    pub fn order_of(&self, request: u32) -> OrderId {
        match self.lane().clients.answer(request) {
            Reply::Placed { order, .. } => order,
            other => panic!("not placed: {other:?}"),
        }
    }

    #[track_caller]
    pub fn status_of(&self, request: u32) -> Status {
        match self.lane().clients.answer(request) {
            Reply::Order(view) => view.status,
            other => panic!("not an order: {other:?}"),
        }
    }

    #[track_caller]
    pub fn refusal_of(&self, request: u32) -> Refusal {
        match self.lane().clients.answer(request) {
            Reply::Refused(refusal) => refusal,
            other => panic!("not refused: {other:?}"),
        }
    }

    pub fn outcome(&self, order: OrderId, outcome: Outcome) {
        report(&self.lane().port, order, outcome);
    }

    pub fn calls(&self) -> Vec<Call> {
        self.lane().outside.borrow().calls.iter().map(|asked| asked.call).collect()
    }
}

impl TestLane {
    fn new(
        end: MeshEnd,
        bell: Arc<Bell>,
        lane_of_shard: &[u16],
        clock: &Rc<Clock>,
        ledger: &Rc<Ledger>,
        shutdown: &Arc<Shutdown>,
    ) -> TestLane {
        let number = end.lane();
        let metrics = Arc::<LaneMetrics>::default();
        let port = Port::new(end, lane_of_shard.into(), metrics.clone());
        let (commit, prefetch, outside) = <(Rc<RefCell<CommitState>>, Rc<RefCell<_>>, Rc<RefCell<_>>)>::default();
        let clients = Rc::new(TestClients { ledger: ledger.clone(), ..TestClients::default() });
        let own = (0..SHARDS).filter(|shard| usize::from(lane_of_shard[usize::from(*shard)]) == number);
        let turn = Turn::new(
            own.map(|shard| Shard::new(config(shard))).collect(),
            SHARDS,
            TestCommit { state: commit.clone(), ledger: ledger.clone() },
            Limits::default(),
        );
        let lane = Lane {
            driver: TestDriver { clock: clock.clone(), bell: bell.clone() },
            turn,
            prefetch: TestPrefetch(prefetch.clone()),
            outside: TestOutside { state: outside.clone(), ledger: ledger.clone() },
            port: port.clone(),
            clients: clients.clone(),
            shutdown: shutdown.clone(),
        };
        TestLane {
            port,
            bell,
            commit,
            prefetch,
            clients,
            outside,
            metrics,
            polls: 0,
            ended: None,
            future: Some(Box::pin(run(lane))),
            task: Arc::new(Task(AtomicBool::new(true))),
        }
    }

    fn is_woken(&self) -> bool {
        self.future.is_some() && self.task.0.load(SeqCst)
    }

    fn poll(&mut self) {
        self.task.0.store(false, SeqCst);
        self.polls += 1;
        let waker = Waker::from(self.task.clone());
        let future = self.future.as_mut().expect("only a lane that runs is polled");
        if let Poll::Ready(result) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            self.future = None;
            self.ended = Some(result);
        }
        assert_eq!(self.clients.unflushed.get(), 0, "what was delivered is flushed before the loop waits");
    }

    pub fn has_commit(&self) -> bool {
        self.future.is_some() && self.commit.borrow().in_flight.is_some()
    }

    /// Completes the commit in flight.
    #[track_caller]
    pub fn complete(&self, result: Result<Receipt, CommitError>) {
        let state = &mut *self.commit.borrow_mut();
        assert!(state.in_flight.is_some(), "a commit is in flight");
        state.outcome = Some(result);
        state.waker.take().into_iter().for_each(Waker::wake);
    }

    #[track_caller]
    pub fn fail(&self) {
        self.complete(Err(CommitError { action: "fdatasync", source: io::ErrorKind::StorageFull.into() }));
    }

    /// Completes the read in flight.
    #[track_caller]
    pub fn found(&self) {
        let state = &mut *self.prefetch.borrow_mut();
        assert!(std::mem::take(&mut state.is_pending), "a read is in flight");
        state.waker.take().into_iter().for_each(Waker::wake);
    }

    /// The open batch has no room until the next start.
    pub fn fill_batch(&self) {
        self.commit.borrow_mut().open_bytes = Some(COMMIT_BYTES_MAX);
    }
}

pub fn config(shard: u16) -> Config {
    Config {
        shard: ShardId(shard),
        shards: SHARDS,
        seed: 7,
        hold_ttl_micros: HOLD_TTL,
        retry_first_micros: RETRY_FIRST,
        retry_max_micros: 5_000_000,
        key_retention_micros: 86_400_000_000,
    }
}

/// An order as a test writes it.
pub struct Ask<'a> {
    pub customer: &'a str,
    pub key: &'a str,
    pub lines: &'a [(&'a str, u32)],
}

pub fn ask<'a>(customer: &'a str, key: &'a str, lines: &'a [(&'a str, u32)]) -> Ask<'a> {
    Ask { customer, key, lines }
}

impl Ask<'_> {
    pub fn body(&self) -> OrderBody {
        let lines: Vec<DraftLine<'_>> =
            self.lines.iter().map(|(sku, quantity)| DraftLine { sku, quantity: *quantity }).collect();
        OrderBody::encode(
            &OrderDraft {
                subject: "alice",
                customer: self.customer,
                key: self.key,
                currency: None,
                total_expected: None,
                token: "tok_ok",
                email: None,
                reference: None,
                metadata: &[],
                lines: &lines,
            },
            SHARDS,
        )
    }
}

/// A customer whose home is this shard.
pub fn customer(shard: u16) -> String {
    key_of(shard, "customer")
}

/// A SKU whose stock is on this shard.
pub fn sku(shard: u16) -> String {
    key_of(shard, "sku")
}

fn key_of(shard: u16, prefix: &str) -> String {
    let mut keys = (0..).map(|number: u32| format!("{prefix}-{number}"));
    keys.find(|key| ShardId::of(key, SHARDS) == ShardId(shard)).expect("some key falls on each shard")
}

pub fn get(order: OrderId) -> Request {
    Request::GetOrder { order, reader: Reader::Admin, wait: false }
}

pub fn look() -> Request {
    Request::GetProduct { sku: "none".into() }
}

pub fn load(sku: &str, units: u64) -> Request {
    let currency = Currency::parse("EUR").expect("EUR is a currency");
    let product = Product { sku: sku.into(), name: sku.into(), unit_price: 1_000, currency };
    Request::LoadProduct { product: Box::new(product), stock: units }
}
