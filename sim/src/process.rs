//! One life of the engine: lanes, listeners, keeper, wired as the product's `src/engine.rs` wires them, on the world's parts.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use orderlane_archive::{
    Archive, Archivist, ArchivistOptions, Checkpoints, CutLimits, FromKeeper, Keeper, KeeperOptions, LaneLink,
    OldSegments, ShardFilters, ToKeeper,
};

use orderlane_core::{Shard, ShardId};
use orderlane_gateway::actuator::{Actuator, Info, State};
use orderlane_gateway::auth::Authenticator;
use orderlane_gateway::{Connections, Context, GatewayMetrics, RequestLog, Surface};
use orderlane_journal::{JournalCommit, JournalOptions, Recovered, SegmentFiles, SegmentName};
use orderlane_lane::{
    AllInMemory, ArchiveMetrics, Commit, CommitError, Driver, Lane, LaneMetrics, MeshEnd, Port, Prefetch, Shutdown,
    Turn, Wake, mesh,
};

use crate::disk::{SimDirectory, SimDisk, SimStore};
use crate::driver::{Clocks, SimDriver, SimWake};
use crate::executor::{Group, Promise, Resolver, promise};
use crate::keeper::{DISK_LIMITS, KeeperLife, KeeperWatch, Poke, SimKeeper, SimSpace};
use crate::net::Network;
use crate::provider::{Provider, ProviderClient};
use crate::recovery::{LaneRead, Recovery, identity, shards_of};
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

/// How a lane ended: well, or why not.
type LaneEnd = Result<(), String>;

/// A process that runs.
pub struct Process {
    groups: Vec<Group>,
    shutdown: Arc<Shutdown>,
    ends: Rc<RefCell<Vec<Option<LaneEnd>>>>,
    serving: Rc<Cell<usize>>,
    metrics: Vec<Arc<LaneMetrics>>,
    keeper: Option<(Group, KeeperWatch)>,
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
    archive: Option<ArchiveOfLane>,
}

/// A lane's line to the keeper.
struct ArchiveOfLane {
    sender: Sender<ToKeeper>,
    receiver: Receiver<FromKeeper>,
    filters: Vec<(ShardId, Arc<ShardFilters>)>,
    checkpoint_bytes: u64,
    poke: Poke,
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
    fn new(files: SegmentFiles<SimDirectory>, unused: Vec<SegmentName>, lanes: usize) -> Opening {
        Opening { lanes_left: Cell::new(lanes), waiting: RefCell::default(), files, unused }
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
    pub fn start(world: &Surroundings, start: u32, recovery: Recovery<SimDirectory, SimStore>) -> Process {
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
        let unused = unused(&recovery.lanes);
        let mut archives: Vec<Option<ArchiveOfLane>> = (0..lanes).map(|_| None).collect();
        let mut keeper = None;
        if let Some(archived) = recovery.archived {
            let old = old_segments(&recovery.files, &unused, &recovery.lanes);
            let made = make_keeper(world, archived, old, &wakes, &recovery.lanes);
            archives = made.ends.into_iter().map(Some).collect();
            keeper = Some((Group(1 + start * 64 + 63), made.keeper, made.life));
        }
        let opening = Rc::new(Opening::new(recovery.files, unused, usize::from(lanes)));
        let keeper = keeper.map(|(group, keeper, life)| {
            let (all_open, watch) = (opening.wait(), life.watch.clone());
            world.sim.executor().spawn(group, async move {
                all_open.await;
                life.live(keeper).await;
            });
            (group, watch)
        });
        let serving = Rc::new(Cell::new(0));
        let meshes = mesh(wakes, world.sim.options().limits);
        for (lane, ((read, end), archive)) in recovery.lanes.into_iter().zip(meshes).zip(archives).enumerate() {
            let LaneRead { shards, journal: read } = read;
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
                archive,
            };
            let (world, ends, serving) = (world.clone(), ends.clone(), serving.clone());
            world.sim.executor().clone().spawn(groups[lane], async move {
                let result = live(&world, plan, &serving).await;
                ends.borrow_mut()[lane] = Some(result);
            });
        }
        Process { groups, shutdown, ends, serving, metrics, keeper }
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

    /// Its keeper: the group, and what is known of it.
    #[must_use]
    pub fn keeper(&self) -> Option<&(Group, KeeperWatch)> {
        self.keeper.as_ref()
    }

    /// It is no more: tasks, sockets.
    pub fn kill(&self, world: &Surroundings) {
        if let Some((group, watch)) = &self.keeper {
            world.sim.executor().kill(*group);
            world.watch.count_keeper(&watch.metrics, watch.failed().is_some());
        }
        for group in &self.groups {
            world.sim.executor().kill(*group);
            world.network.kill(*group);
        }
    }
}

/// Segments that every lane has found unused.
fn unused(lanes: &[LaneRead]) -> Vec<SegmentName> {
    let (first, others) = lanes.split_first().expect("a start has a lane");
    let mut unused = first.journal.unused.clone();
    unused.retain(|name| others.iter().all(|lane| lane.journal.unused.contains(name)));
    unused
}

fn old_segments(files: &SegmentFiles<SimDirectory>, unused: &[SegmentName], lanes: &[LaneRead]) -> OldSegments {
    let names = files.names().iter().filter(|name| !unused.contains(name));
    let next = lanes.iter().flat_map(|lane| &lane.journal.next);
    OldSegments {
        names: names.map(ToString::to_string).collect(),
        starts: next.map(|(shard, next)| (*shard, next - 1)).collect(),
    }
}

struct MadeKeeper {
    keeper: SimKeeper,
    life: KeeperLife,
    ends: Vec<ArchiveOfLane>,
}

/// The keeper, and each lane's line to it.
fn make_keeper(
    world: &Surroundings,
    (checkpoints, archive): (Checkpoints<SimDirectory>, Archive<SimStore>),
    old_segments: OldSegments,
    wakes: &[Arc<dyn Wake>],
    lanes: &[LaneRead],
) -> MadeKeeper {
    let (sim, store) = (&world.sim, archive.store());
    let watch = KeeperWatch::new(store.files().clone());
    watch.directory.give_to_keeper();
    let (sender, receiver) = channel();
    let (mut links, mut ends) = (Vec::new(), Vec::new());
    for (wake, lane) in wakes.iter().zip(lanes) {
        let (to_lane, from_keeper) = channel();
        let shards: Vec<ShardId> = lane.shards.iter().map(Shard::id).collect();
        ends.push((from_keeper, checkpoints.bytes(&shards)));
        links.push(LaneLink { sender: to_lane, wake: wake.clone(), shards });
    }
    let space = SimSpace::default();
    let run = lanes.first().map_or(0, |lane| lane.journal.run_next);
    let metrics: Arc<ArchiveMetrics> = watch.metrics.clone();
    let keeper = Keeper::new(KeeperOptions {
        archive,
        checkpoints,
        run,
        receiver,
        lanes: links,
        old_segments,
        disk: DISK_LIMITS,
        space: Box::new(space.clone()),
        metrics,
    });
    let ends = ends.into_iter().enumerate().map(|(lane, (receiver, checkpoint_bytes))| ArchiveOfLane {
        sender: sender.clone(),
        receiver,
        filters: keeper.filters(lane as u16),
        checkpoint_bytes,
        poke: watch.poke.clone(),
    });
    let ends = ends.collect();
    let life = KeeperLife {
        sim: sim.clone(),
        disk: world.disk.clone(),
        space,
        clocks: world.clocks.clone(),
        random: sim.random(&format!("keeper {run}")),
        watch,
    };
    MadeKeeper { keeper, life, ends }
}

/// A tail with more events than this is cut at once.
const FIRST_CUT_EVENTS: u64 = 300;

fn cut_limits(sim: &Sim) -> CutLimits {
    let Some(archive) = sim.options().archive else { return CutLimits::default() };
    CutLimits {
        cut_orders: archive.run_orders,
        cut_bytes_min: archive.cut_bytes,
        cut_micros_max: CUT_MICROS_MAX,
        cut_shed_micros: CUT_SHED_MICROS,
        slice: archive.slice,
        piece_bytes: archive.chunk_bytes,
        pieces_waiting_bytes_max: 4 * archive.chunk_bytes,
        ..CutLimits::default()
    }
}

/// A state that has moved is cut at least this often, microseconds; a hundredth of what a product does.
const CUT_MICROS_MAX: u64 = 20_000_000;
/// The same on a full disk.
const CUT_SHED_MICROS: u64 = 1_000_000;

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
    let (disk, events) = (world.disk.handle(group), plan.read.events);
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
    let (name, watch) = (format!("prefetch {}", group.0), world.watch.clone());
    let outside = world.provider.client(shards_of(sim, lane, lanes).collect());
    let clients = Rc::new(connections);
    let Some(archive) = plan.archive else {
        let prefetch = WatchedPrefetch::new(AllInMemory, sim, watch, metrics, &name);
        return run(Lane { driver, turn, prefetch, outside, port, clients, shutdown }).await;
    };
    let archivist = Archivist::new(ArchivistOptions {
        lane,
        limits: cut_limits(sim),
        sender: archive.sender,
        receiver: archive.receiver,
        filters: archive.filters,
        checkpoint_bytes: archive.checkpoint_bytes,
        first_cut_soon: events > FIRST_CUT_EVENTS,
    });
    let prefetch = WatchedPrefetch::new(archivist, sim, watch, metrics, &name).with_keeper(archive.poke);
    run(Lane { driver, turn, prefetch, outside, port, clients, shutdown }).await
}

async fn run<C: Commit, P: Prefetch>(lane: Lane<SimDriver, C, P, ProviderClient, Connections>) -> LaneEnd {
    orderlane_lane::run(lane).await.map_err(|error: CommitError| error.to_string())
}
