//! The clients against the real gateway and the real loop of one lane; only the journal and the provider are replaced.

use std::cell::RefCell;
use std::future::{Future, pending};
use std::io;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

use orderlane_core::{Call, Config, Event, Outcome, Sequence, Shard, ShardId, Time};
use orderlane_gateway::actuator::{Actuator, Info, State};
use orderlane_gateway::auth::Authenticator;
use orderlane_gateway::{Connections, Context, GatewayMetrics, RequestLog, Surface};
use orderlane_lane::{
    AllInMemory, Commit, CommitError, Disk, Driver, Lane, LaneMetrics, Outside, Port, Receipt, Shutdown, Turn, Wake,
    mesh, report,
};

use super::*;
use crate::faults::{Fault, FaultSet};
use crate::history::{Answer, Asked};
use crate::net::{SimListener, SimStream};
use crate::options::Options;

const LANE: Group = Group(1);

#[derive(Default)]
struct Flag(Mutex<(bool, Option<Waker>)>);

impl Wake for Flag {
    fn wake(&self) {
        let mut state = self.0.lock().expect("nothing panics here");
        state.0 = true;
        if let Some(waker) = state.1.take() {
            waker.wake();
        }
    }
}

#[derive(Clone)]
struct LaneDriver(Sim, Network, Arc<Flag>);

#[derive(Clone)]
struct NoDisk;

impl Disk for NoDisk {
    type File = ();
    fn create(&self, _: &str) -> impl Future<Output = io::Result<()>> + 'static {
        pending()
    }
    fn write_at(&self, _: &(), _: u64, _: Vec<u8>) -> impl Future<Output = (io::Result<()>, Vec<u8>)> + 'static {
        pending()
    }
    fn sync(&self, _: &()) -> impl Future<Output = io::Result<()>> + 'static {
        pending()
    }
    fn open(&self, _: &str) -> impl Future<Output = io::Result<()>> + 'static {
        pending()
    }
    fn remove(&self, _: &str) -> impl Future<Output = io::Result<()>> + 'static {
        pending()
    }
    fn rename(&self, _: &str, _: &str) -> impl Future<Output = io::Result<()>> + 'static {
        pending()
    }
    fn sync_directory(&self) -> impl Future<Output = io::Result<()>> + 'static {
        pending()
    }
}

impl Driver for LaneDriver {
    type Disk = NoDisk;
    type Listener = SimListener;
    type Stream = SimStream;

    fn now(&self) -> Time {
        self.0.executor().now()
    }
    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.0.executor().spawn(LANE, task);
    }
    fn sleep_until(&self, at: Time) -> impl Future<Output = ()> + 'static {
        self.0.executor().sleep(at.micros_since(self.now()))
    }
    fn woken(&self) -> impl Future<Output = ()> + 'static {
        let flag = self.2.clone();
        std::future::poll_fn(move |task| {
            let mut state = flag.0.lock().expect("nothing panics here");
            if std::mem::take(&mut state.0) {
                return Poll::Ready(());
            }
            state.1 = Some(task.waker().clone());
            Poll::Pending
        })
    }
    fn disk(&self) -> NoDisk {
        NoDisk
    }
    async fn accept(&self, listener: &SimListener) -> io::Result<SimStream> {
        self.1.accept(listener).await
    }
    fn close_listener(&self, listener: &SimListener) {
        self.1.close_listener(listener);
    }
}

/// Durable after a while.
struct Memory(Sim, bool);

impl Commit for Memory {
    fn append(&mut self, _: ShardId, _: Sequence, _: Time, _: &[Event]) {
        self.1 = true;
    }
    fn open_bytes(&self) -> usize {
        0
    }
    fn start(&mut self) -> Option<impl Future<Output = Result<Receipt, CommitError>> + 'static> {
        let sleep = self.0.executor().sleep(300);
        std::mem::take(&mut self.1).then_some(async move {
            sleep.await;
            Ok(Receipt::default())
        })
    }
    fn finish(&mut self, _: Receipt) {}
}

/// Takes and gives back all money.
struct Rich(Sim);

impl Outside for Rich {
    fn perform(&mut self, _: Time, asked: orderlane_core::Outside, port: &Port) {
        let outcome = match asked.call {
            Call::Charge { attempt, .. } | Call::Reconcile { attempt } => Outcome::Charged { attempt },
            Call::Refund { attempt, .. } => Outcome::Refunded { attempt },
            Call::Notify => Outcome::Notified,
        };
        let order = asked.order;
        let port = port.clone();
        self.0.executor().after(2_000, move || report(&port, order, outcome));
    }
    fn poll(&mut self, _: Time, _: &Port) {}
    fn poll_timeout(&self) -> Option<Time> {
        None
    }
    fn calls_open(&self) -> usize {
        0
    }
}

/// Listens, and kills all sockets now and then, as if the process had died and were back with all that it knew.
async fn break_sockets(driver: LaneDriver, connections: Connections) {
    let LaneDriver(sim, network, _) = &driver;
    let mut random = sim.random("break sockets");
    let kills = if sim.faults().is_on(Fault::ProcessKill) { random.below(8) as u32 } else { 0 };
    for number in 0..=kills {
        let listener = network.listen(Group(2 + number), 0);
        driver.spawn(orderlane_gateway::serve(driver.clone(), listener, connections.clone(), Surface::All));
        if number < kills {
            sim.executor().sleep(random.between(1, 500_000)).await;
            network.kill(Group(2 + number));
            sim.executor().sleep(random.between(1, 50_000)).await;
        }
    }
}

/// Starts a lane with all shards.
fn start_lane(sim: &Sim, network: &Network) {
    let options = sim.options();
    let wake = Arc::new(Flag::default());
    let wakes: Vec<Arc<dyn Wake>> = vec![wake.clone()];
    let shutdown = Arc::new(Shutdown::new(wakes.clone()));
    let end = mesh(wakes, options.limits).remove(0);
    let metrics: Arc<LaneMetrics> = Arc::default();
    let gateway: Arc<GatewayMetrics> = Arc::default();
    let info = Info {
        version: "0".into(),
        commit: "0".into(),
        lanes: 1,
        shards: options.shards,
        cores: 1,
        io_backend: "simulated".into(),
        runtime: "simulated".into(),
        durability: "none".into(),
        auth: "off".into(),
        data: "none".into(),
        started_at: sim.executor().now(),
    };
    let actuator = Actuator::new(info, Arc::new(State::new(1)), vec![metrics.clone()], vec![gateway.clone()]);
    let log = RequestLog::new(0);
    let context = Context::new(options.shards, Authenticator::off(), Arc::new(actuator), gateway, log, options.seed);
    let driver = LaneDriver(sim.clone(), network.clone(), wake);
    let port = Port::new(end, vec![0; usize::from(options.shards)].into(), metrics);
    let clock = driver.clone();
    let connections = Connections::new(port.clone(), context, move || clock.now());
    sim.executor().spawn(Group::OUTSIDE, break_sockets(driver.clone(), connections.clone()));
    let shard = |shard| {
        Shard::new(Config {
            shard: ShardId(shard),
            shards: options.shards,
            seed: options.seed,
            hold_ttl_micros: options.hold_ttl_micros,
            retry_first_micros: 20_000,
            retry_max_micros: 1_000_000,
            key_retention_micros: options.key_retention_micros,
        })
    };
    let shards = (0..options.shards).map(shard).collect();
    let turn = Turn::new(shards, options.shards, Memory(sim.clone(), false), options.limits);
    let (outside, clients) = (Rich(sim.clone()), Rc::new(connections));
    let lane = Lane { driver: driver.clone(), turn, prefetch: AllInMemory, outside, port, clients, shutdown };
    driver.spawn(async move { orderlane_lane::run(lane).await.expect("memory never fails") });
}

/// What a run gave.
#[derive(Debug, PartialEq)]
struct Ran {
    faults: Vec<(u64, u64)>,
    /// By operation of the history.
    statuses: Vec<(usize, u16)>,
    digest: u64,
}

/// Runs a seed to its end.
fn run(seed: u64, faults: FaultSet) -> Ran {
    let sim = Sim::new(Options { faults, ..Options::draw(seed) }, false);
    let network = Network::new(&sim);
    start_lane(&sim, &network);
    let history = Rc::new(RefCell::new(History::default()));
    let clients = Clients::start(&sim, network, history.clone());
    let go = |done: &dyn Fn() -> bool| {
        while !done() {
            assert!(sim.executor().step(), "seed {seed} stands still");
            assert!(sim.executor().elapsed_micros() < 1_200_000_000, "seed {seed} takes too long");
            assert_eq!(sim.violation(), None, "seed {seed}");
        }
    };
    go(&|| clients.planned_done());
    sim.faults().heal();
    clients.final_read();
    go(&|| clients.done());
    let history = history.borrow();
    let mut last = history.operations.iter().filter(|operation| operation.details.is_final);
    assert!(last.any(|operation| matches!(operation.asked, Asked::Invariants)));
    let answers = history.operations.iter().enumerate().filter_map(|(index, operation)| match &operation.answer {
        Answer::Http { status, .. } => Some((index, *status)),
        Answer::Unknown => None,
    });
    Ran { faults: sim.faults().counts(), statuses: answers.collect(), digest: sim.trace().digest() }
}

const CLIENT_FAULTS: [Fault; 8] = [
    Fault::Retry,
    Fault::CarelessKey,
    Fault::CancelAnyTime,
    Fault::Pipelining,
    Fault::HalfRequest,
    Fault::Disconnect,
    Fault::SplitBytes,
    Fault::Reset,
];

#[test]
fn the_gateway_answers_as_the_contract_says_and_meets_every_fault() {
    let kills = FaultSet::default().with(Fault::ProcessKill);
    let faults = CLIENT_FAULTS.iter().fold(kills, |set, fault| set.with(*fault));
    let mut sums = vec![(0, 0); Fault::ALL.len()];
    let mut statuses = std::collections::BTreeMap::new();
    for seed in 0..12 {
        let ran = run(seed, faults);
        sums.iter_mut().zip(ran.faults).for_each(|(sum, count)| *sum = (sum.0 + count.0, sum.1 + count.1));
        ran.statuses.iter().for_each(|(_, status)| *statuses.entry(*status).or_insert(0) += 1);
    }
    for fault in CLIENT_FAULTS {
        let (injected, observed) = sums[fault as usize];
        assert!(injected > 0 && observed > 0, "{}: {injected} {observed}", fault.name());
    }
    for status in [200, 201, 202, 409, 422, 404] {
        assert!(statuses.contains_key(&status), "{status} of {statuses:?}");
    }
}

#[test]
fn a_seed_runs_the_same_twice() {
    for seed in [20, 21] {
        assert_eq!(run(seed, FaultSet::all()), run(seed, FaultSet::all()));
    }
}
