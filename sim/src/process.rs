//! One life of the engine: recovery, lanes, listeners, wired as the product's `src/engine.rs` wires them, on the world's parts.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use orderlane_archive::{
    Archive, ArchiveError, ArchiveOptions, Archivist, ArchivistOptions, CheckpointError, Checkpoints, CutLimits,
    FromKeeper, Keeper, KeeperOptions, LaneLink, OldSegments, Owner, Retention, ShardFilters, Store, ToKeeper,
};

use orderlane_core::{Config, Event, Sequence, Shard, ShardId, Time};
use orderlane_gateway::actuator::{Actuator, Info, State};
use orderlane_gateway::auth::Authenticator;
use orderlane_gateway::{Connections, Context, GatewayMetrics, RequestLog, Surface};
use orderlane_journal::{FilesError, Identity, JournalCommit, JournalOptions, Recovered, SegmentFiles, SegmentName};
use orderlane_lane::{
    AllInMemory, ArchiveMetrics, Commit, CommitError, Directory, Driver, Lane, LaneMetrics, MeshEnd, Port, Prefetch,
    Shutdown, Turn, Wake, mesh,
};

use crate::disk::{SimDirectory, SimDisk, SimStore};
use crate::driver::{Clocks, SimDriver, SimWake};
use crate::executor::{Group, Promise, Resolver, promise};
use crate::keeper::{DISK_LIMITS, KeeperLife, KeeperWatch, Poke, SimKeeper, SimSpace};
use crate::net::Network;
use crate::provider::{Provider, ProviderClient};
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
        key_retention_micros: sim.options().key_retention_micros,
    }
}

/// Why a start refuses.
#[derive(Debug)]
pub enum StartError {
    /// The journal.
    Files(FilesError),
    /// The checkpoints.
    Checkpoints(CheckpointError),
    /// A whole checkpoint that makes no sense.
    Image(String),
    /// The archive.
    Archive(ArchiveError),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Files(error) => write!(f, "{error}"),
            StartError::Checkpoints(error) => write!(f, "{error}"),
            StartError::Image(text) => write!(f, "{text}"),
            StartError::Archive(error) => write!(f, "the archive: {error}"),
        }
    }
}

impl From<FilesError> for StartError {
    fn from(error: FilesError) -> StartError {
        StartError::Files(error)
    }
}

impl From<CheckpointError> for StartError {
    fn from(error: CheckpointError) -> StartError {
        StartError::Checkpoints(error)
    }
}

impl From<ArchiveError> for StartError {
    fn from(error: ArchiveError) -> StartError {
        StartError::Archive(error)
    }
}

/// Where a start reads.
pub struct Source<D, S> {
    /// The journal's files.
    pub journal: D,
    /// The same files, for the checkpoints.
    pub checkpoints: D,
    /// The archive's store.
    pub store: S,
}

/// What a start has read: the shards, and each one's events as they came from the files.
pub struct Recovery<D: Directory, S> {
    files: SegmentFiles<D>,
    lanes: Vec<LaneRead>,
    /// By shard.
    pub events: Vec<Tail>,
    /// Checkpoints that were passed over.
    pub warnings: Vec<String>,
    archived: Option<(Checkpoints<D>, Archive<S>)>,
}

/// What a lane has read.
struct LaneRead {
    shards: Vec<Shard>,
    journal: Recovered,
}

/// What was read of a shard's events: those behind its checkpoint.
#[derive(Clone, Debug)]
pub struct Tail {
    /// The sequence of the first one; 1 without a checkpoint.
    pub first: Sequence,
    /// They.
    pub events: Vec<(Time, Event)>,
}

impl<D: Directory, S> Recovery<D, S> {
    /// Every shard as it was recovered.
    pub fn shards(&self) -> impl Iterator<Item = &Shard> {
        self.lanes.iter().flat_map(|lane| &lane.shards)
    }
}

/// Reads the files, as each lane of a start does, and holds the archive to what the checkpoints say of it.
///
/// # Errors
/// When the engine refuses what is there.
pub fn recover<D: Directory, S: Store>(
    sim: &Sim,
    source: Source<D, S>,
    lanes: u16,
) -> Result<Recovery<D, S>, StartError> {
    let files = SegmentFiles::prepare(source.journal)?;
    let checkpoints = match &sim.options().archive {
        Some(_) => Some(Checkpoints::load(source.checkpoints, owner(sim))?),
        None => None,
    };
    let mut events = vec![Tail { first: 1, events: Vec::new() }; usize::from(sim.options().shards)];
    let (mut read, mut restored) = (Vec::new(), Vec::new());
    for lane in 0..lanes {
        let shards = shards_of(sim, lane, lanes).map(|shard| restore(config(sim, shard), checkpoints.as_ref()));
        let mut shards = shards.collect::<Result<Vec<Shard>, StartError>>()?;
        restored.extend(shards.iter().map(|shard| (shard.id(), shard.sequence(), shard.archived().clone())));
        let wanted: Vec<_> = shards.iter().map(|shard| (shard.id(), shard.sequence() + 1)).collect();
        wanted.iter().for_each(|(shard, first)| events[shard.index()].first = *first);
        let journal = files.recover(identity(sim), &wanted, |shard, _, time, event| {
            let slot = shards.iter().position(|own| own.id() == shard).expect("a wanted shard");
            shards[slot].apply(time, event);
            events[shard.index()].events.push((time, event.clone()));
        })?;
        read.push(LaneRead { shards, journal });
    }
    let warnings = checkpoints.as_ref().map_or_else(Vec::new, Checkpoints::warnings);
    let archived = match (checkpoints, sim.options().archive) {
        (Some(mut checkpoints), Some(options)) => {
            let mut archive = Archive::open(source.store, archive_options(sim, options.window_orders))?;
            let reached: Vec<(ShardId, Sequence)> = read
                .iter()
                .flat_map(|lane: &LaneRead| &lane.journal.next)
                .map(|(shard, next)| (*shard, next - 1))
                .collect();
            checkpoints.void_passed_over(&reached)?;
            archive.check(&restored)?;
            Some((checkpoints, archive))
        }
        _ => None,
    };
    Ok(Recovery { files, lanes: read, events, warnings, archived })
}

fn restore<D: Directory>(config: Config, checkpoints: Option<&Checkpoints<D>>) -> Result<Shard, StartError> {
    let Some(stored) = checkpoints.and_then(|checkpoints| checkpoints.newest(config.shard)) else {
        return Ok(Shard::new(config));
    };
    let shard = Shard::restore(config, &stored.image)
        .map_err(|reason| StartError::Image(format!("the checkpoint of shard {}: {reason}", config.shard)))?;
    if shard.sequence() != stored.sequence {
        let text = format!("shard {}: {} in the image, {}", config.shard, shard.sequence(), stored.sequence);
        return Err(StartError::Image(text));
    }
    Ok(shard)
}

fn owner(sim: &Sim) -> Owner {
    let Identity { directory, shards } = identity(sim);
    Owner { directory, shards }
}

/// Keys go later than they must: the lanes' clocks may be set back by a few seconds.
const KEY_GRACE_MICROS: u64 = 6_000_000;

fn archive_options(sim: &Sim, window_orders: u64) -> ArchiveOptions {
    let Identity { directory, shards } = identity(sim);
    let retention = Retention {
        key_micros: sim.options().key_retention_micros + KEY_GRACE_MICROS,
        keys_max: u64::MAX,
        order_micros: u64::MAX,
        order_bytes_max: u64::MAX,
        audit_dir: None,
    };
    ArchiveOptions { directory, shards, retention, window_orders }
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
