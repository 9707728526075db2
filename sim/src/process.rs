//! One life of the engine: recovery, lanes, listeners, wired as the product's `src/engine.rs` wires them, on the world's parts.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use orderlane_core::{Config, Event, Shard, ShardId, Time};
use orderlane_gateway::actuator::{Actuator, Info, State};
use orderlane_gateway::auth::Authenticator;
use orderlane_gateway::{Connections, Context, GatewayMetrics, RequestLog, Surface};
use orderlane_journal::{FilesError, Identity, JournalCommit, JournalOptions, Recovered, SegmentFiles, SegmentName};
use orderlane_lane::{Driver, Lane, LaneMetrics, MeshEnd, Port, Shutdown, Turn, Wake, mesh};

use crate::disk::{SimDirectory, SimDisk};
use crate::driver::{Clocks, SimDriver, SimWake};
use crate::executor::{Group, Promise, Resolver, promise};
use crate::net::Network;
use crate::provider::Provider;
use crate::sim::Sim;
use crate::watch::{Watch, WatchedCommit, WatchedPrefetch};

/// The parts of the world that outlive a process.
#[derive(Clone)]
pub struct Surroundings {
    /// What all parts share.
    pub sim: Sim,
    /// The observer.
    pub watch: Watch,
    /// The disk.
    pub disk: SimDisk,
    /// The sockets.
    pub network: Network,
    /// The payment provider and the mailer.
    pub provider: Provider,
    /// The machine's clocks.
    pub clocks: Clocks,
}

/// The data directory of a world.
#[must_use]
pub fn identity(sim: &Sim) -> Identity {
    let seed = sim.options().seed;
    Identity { directory: u128::from(seed) << 64 | 0x6f72_6465, shards: sim.options().shards }
}

/// The configuration of a shard.
#[must_use]
pub fn config(sim: &Sim, shard: ShardId) -> Config {
    Config {
        shard,
        shards: sim.options().shards,
        seed: sim.options().seed,
        hold_ttl_micros: sim.options().hold_ttl_micros,
        retry_first_micros: 20_000,
        retry_max_micros: 1_000_000,
    }
}

/// What a start has read: the shards, and each one's events as they came from the files.
pub struct Recovery {
    files: SegmentFiles<SimDirectory>,
    lanes: Vec<(Vec<Shard>, Recovered)>,
    /// By shard.
    pub events: Vec<Vec<(Time, Event)>>,
}

impl Recovery {
    /// Every shard as it was recovered.
    pub fn shards(&self) -> impl Iterator<Item = &Shard> {
        self.lanes.iter().flat_map(|(shards, _)| shards)
    }
}

/// Reads the files, as each lane of a start does.
///
/// # Errors
/// When the engine refuses the files.
pub fn recover(sim: &Sim, directory: &SimDirectory, lanes: u16) -> Result<Recovery, FilesError> {
    let files = SegmentFiles::prepare(directory.clone())?;
    let mut events = vec![Vec::new(); usize::from(sim.options().shards)];
    let mut read = Vec::new();
    for lane in 0..lanes {
        let mut shards: Vec<Shard> = shards_of(sim, lane, lanes).map(|shard| Shard::new(config(sim, shard))).collect();
        let wanted: Vec<_> = shards.iter().map(|shard| (shard.id(), 1)).collect();
        let recovered = files.recover(identity(sim), &wanted, |shard, _, time, event| {
            let slot = shards.iter().position(|own| own.id() == shard).expect("a wanted shard");
            shards[slot].apply(time, event);
            events[shard.index()].push((time, event.clone()));
        })?;
        read.push((shards, recovered));
    }
    Ok(Recovery { files, lanes: read, events })
}

fn shards_of(sim: &Sim, lane: u16, lanes: u16) -> impl Iterator<Item = ShardId> + use<> {
    (0..sim.options().shards).filter(move |shard| shard % lanes == lane).map(ShardId)
}

/// How a lane ended: well, or why not.
type LaneEnd = Result<(), String>;

/// A process that runs.
pub struct Process {
    groups: Vec<Group>,
    shutdown: Arc<Shutdown>,
    ends: Rc<RefCell<Vec<Option<LaneEnd>>>>,
    serving: Rc<Cell<usize>>,
    metrics: Vec<Arc<LaneMetrics>>,
}

/// What one lane is started with.
struct LaneStart {
    lane: u16,
    lanes: u16,
    group: Group,
    shards: Vec<Shard>,
    read: Recovered,
    end: MeshEnd,
    wake: Arc<SimWake>,
    shutdown: Arc<Shutdown>,
    metrics: Arc<LaneMetrics>,
    gateway: Arc<GatewayMetrics>,
    actuator: Arc<Actuator>,
    all_open: Promise<()>,
    opening: Rc<Opening>,
}

/// What the product's main thread does: when every lane has opened its journal it tidies the files and lets all of them listen.
struct Opening {
    lanes_left: Cell<usize>,
    waiting: RefCell<Vec<Resolver<()>>>,
    files: SegmentFiles<SimDirectory>,
    /// Segments that every lane has found unused.
    unused: Vec<SegmentName>,
}

impl Opening {
    fn new(files: SegmentFiles<SimDirectory>, lanes: &[(Vec<Shard>, Recovered)]) -> Opening {
        let (first, others) = lanes.split_first().expect("a start has a lane");
        let mut unused = first.1.unused.clone();
        unused.retain(|name| others.iter().all(|(_, recovered)| recovered.unused.contains(name)));
        Opening { lanes_left: Cell::new(lanes.len()), waiting: RefCell::default(), files, unused }
    }

    fn wait(&self) -> Promise<()> {
        let (resolver, promise) = promise();
        self.waiting.borrow_mut().push(resolver);
        promise
    }

    fn one_is_open(&self) {
        self.lanes_left.set(self.lanes_left.get() - 1);
        if self.lanes_left.get() == 0 {
            // What could not be removed stays.
            let _ = self.files.remove_unused(&self.unused);
            self.waiting.borrow_mut().drain(..).for_each(|resolver| resolver.resolve(()));
        }
    }
}

impl Process {
    /// Starts the lanes of the `start`-th process of this world.
    #[must_use]
    pub fn start(world: &Surroundings, start: u32, recovery: Recovery) -> Process {
        let lanes = recovery.lanes.len() as u16;
        let groups: Vec<Group> = (0..lanes).map(|lane| Group(1 + start * 64 + u32::from(lane))).collect();
        let own_wakes: Vec<Arc<SimWake>> = (0..lanes).map(|_| Arc::default()).collect();
        let wakes: Vec<Arc<dyn Wake>> = own_wakes.iter().map(|wake| wake.clone() as Arc<dyn Wake>).collect();
        let shutdown = Arc::new(Shutdown::new(wakes.clone()));
        let metrics: Vec<Arc<LaneMetrics>> = (0..lanes).map(|_| Arc::default()).collect();
        let gateways: Vec<Arc<GatewayMetrics>> = (0..lanes).map(|_| Arc::default()).collect();
        let state = Arc::new(State::new(usize::from(lanes)));
        let info = info(&world.sim, lanes);
        let actuator = Arc::new(Actuator::new(info, state, metrics.clone(), gateways.clone()));
        let ends = Rc::new(RefCell::new(vec![None; usize::from(lanes)]));
        let opening = Rc::new(Opening::new(recovery.files, &recovery.lanes));
        let serving = Rc::new(Cell::new(0));
        let meshes = mesh(wakes, world.sim.options().limits);
        for (lane, ((shards, read), end)) in recovery.lanes.into_iter().zip(meshes).enumerate() {
            let plan = LaneStart {
                lane: lane as u16,
                lanes,
                group: groups[lane],
                shards,
                read,
                end,
                wake: own_wakes[lane].clone(),
                shutdown: shutdown.clone(),
                metrics: metrics[lane].clone(),
                gateway: gateways[lane].clone(),
                actuator: actuator.clone(),
                all_open: opening.wait(),
                opening: opening.clone(),
            };
            let (world, ends, serving) = (world.clone(), ends.clone(), serving.clone());
            world.sim.executor().clone().spawn(groups[lane], async move {
                let result = live(&world, plan, &serving).await;
                ends.borrow_mut()[lane] = Some(result);
            });
        }
        Process { groups, shutdown, ends, serving, metrics }
    }

    /// The groups of its lanes.
    #[must_use]
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// Whether all lanes take connections.
    #[must_use]
    pub fn is_serving(&self) -> bool {
        self.serving.get() == self.groups.len()
    }

    /// Asks it to drain and end.
    pub fn stop(&self) {
        self.shutdown.begin();
    }

    /// Why a lane has failed: the product ends the process then.
    #[must_use]
    pub fn failed(&self) -> Option<String> {
        self.ends.borrow().iter().flatten().find_map(|end| end.clone().err())
    }

    /// Whether all lanes have ended well.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ends.borrow().iter().all(|end| matches!(end, Some(Ok(()))))
    }

    /// Requests that were refused because a queue was full, and times that a ring was full.
    #[must_use]
    pub fn fullness(&self) -> (u64, u64) {
        let sum = |value: fn(&LaneMetrics) -> u64| self.metrics.iter().map(|metrics| value(metrics)).sum();
        (sum(|metrics| metrics.overloaded.value()), sum(|metrics| metrics.rings_full.value()))
    }

    /// What its lanes are at.
    #[must_use]
    pub fn describe(&self, sim: &Sim) -> String {
        let tasks: Vec<usize> = self.groups.iter().map(|group| sim.executor().count(*group)).collect();
        format!(
            "{} of {} lanes began to serve, ends {:?}, tasks {tasks:?}",
            self.serving.get(),
            self.groups.len(),
            self.ends.borrow()
        )
    }

    /// It is no more: tasks, sockets.
    pub fn kill(&self, world: &Surroundings) {
        for group in &self.groups {
            world.sim.executor().kill(*group);
            world.network.kill(*group);
        }
    }
}

fn info(sim: &Sim, lanes: u16) -> Info {
    Info {
        version: "0".into(),
        commit: "unknown".into(),
        lanes: usize::from(lanes),
        shards: sim.options().shards,
        cores: usize::from(lanes),
        io_backend: "simulated".into(),
        runtime: "simulated".into(),
        durability: "fsync".into(),
        auth: "off".into(),
        data: "simulated".into(),
        started_at: sim.executor().now(),
    }
}

/// The whole life of a lane.
async fn live(world: &Surroundings, plan: LaneStart, serving: &Cell<usize>) -> LaneEnd {
    let (sim, LaneStart { lane, lanes, group, metrics, .. }) = (&world.sim, &plan);
    let (lane, lanes, group, metrics) = (*lane, *lanes, *group, metrics.clone());
    let disk = world.disk.handle(group);
    let driver = SimDriver::new(sim, group, lane, world.clocks.clone(), disk, world.network.clone(), plan.wake);
    let options = JournalOptions {
        first_segment_bytes: sim.options().segment_bytes.0,
        segment_bytes: sim.options().segment_bytes.1,
        ..JournalOptions::new(identity(sim), plan.read.run_next, lane, plan.read.next)
    };
    let commit = JournalCommit::open(driver.clone(), options).await.map_err(|error| error.to_string())?;
    let commit = WatchedCommit::new(commit, sim, world.watch.clone(), world.provider.clone());
    let turn = Turn::new(plan.shards, sim.options().shards, commit, sim.options().limits);
    plan.opening.one_is_open();
    plan.all_open.await;
    let lane_of_shard = (0..sim.options().shards).map(|shard| shard % lanes).collect();
    let port = Port::new(plan.end, lane_of_shard, metrics.clone());
    let random = sim.random(&format!("correlation {}", group.0)).bits();
    let context = Context::new(
        sim.options().shards,
        Authenticator::off(),
        plan.actuator,
        plan.gateway,
        RequestLog::new(0),
        random,
    );
    let clock = driver.clone();
    let connections = Connections::new(port.clone(), context, move || clock.now());
    let listener = world.network.listen(group, lane);
    let shutdown = plan.shutdown;
    let (served, closing) =
        (orderlane_gateway::serve(driver.clone(), listener, connections.clone(), Surface::All), shutdown.clone());
    driver.spawn(async move {
        served.await;
        closing.lane_closed();
    });
    serving.set(serving.get() + 1);
    let prefetch = WatchedPrefetch::new(sim, world.watch.clone(), metrics, &format!("prefetch {}", group.0));
    let outside = world.provider.client(shards_of(sim, lane, lanes).collect());
    let lane = Lane { driver, turn, prefetch, outside, port, clients: Rc::new(connections), shutdown };
    orderlane_lane::run(lane).await.map_err(|error| error.to_string())
}
