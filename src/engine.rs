//! The engine of one process: data directory, lanes, listeners, and their end.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

use orderlane_archive::{Archivist, ArchivistOptions, Checkpoints, CutLimits, Owner, ToKeeper};
use orderlane_core::{Config, Sequence, ShardId};
use orderlane_gateway::actuator::{Actuator, Info, State};
use orderlane_gateway::auth::{Authenticator, Keys};
use orderlane_gateway::{Connections, Context as GatewayContext, GatewayMetrics, RequestLog, Surface};
use orderlane_journal::{Durability, Identity, JournalCommit, JournalOptions, OsDirectory, SegmentFiles, SegmentName};
use orderlane_lane::{
    ArchiveMetrics, CommitError, Driver, Lane, LaneMetrics, Limits, MeshEnd, Port, Shutdown, Turn, Wake, mesh,
    run_ceiling,
};
use orderlane_monoio::{Choice, LaneThread, MonoioDriver, RunningLane, WakeSource, run_lane};

use crate::cli;
use crate::data::DataDirectory;
use crate::error::{Context, Error, Result};
use crate::keeping::{ArchiveOfLane, RunningKeeper, open_archive, start_keeper};
use crate::provider::Simulated;
use crate::recovery::{self, Restored};
use crate::retention::retention;

/// A tail with more events than this is cut at once: the next start shall not read it again.
const FIRST_CUT_EVENTS: u64 = 500_000;

/// What the lanes are started with.
pub(crate) struct Plan {
    pub(crate) options: cli::Engine,
    pub(crate) listen: SocketAddr,
    pub(crate) management_listen: Option<SocketAddr>,
    pub(crate) choice: Choice,
    /// The core of each lane; `None` runs unpinned.
    pub(crate) cores: Vec<Option<usize>>,
    /// `None`: answer at the gateway, without an engine.
    pub(crate) data: Option<DataDirectory>,
    /// `None`: everybody may do everything.
    pub(crate) keys: Option<Arc<Keys>>,
    pub(crate) info: Info,
}

/// An engine that runs.
pub(crate) struct Engine {
    pub(crate) shutdown: Arc<Shutdown>,
    pub(crate) state: Arc<State>,
    pub(crate) address: SocketAddr,
    pub(crate) management: Option<SocketAddr>,
    pub(crate) recovered: Recovered,
    lanes: Vec<RunningLane<std::result::Result<(), String>>>,
    keeper: Option<RunningKeeper>,
    _data: Option<DataDirectory>,
}

/// What all lanes have read at the start.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recovered {
    pub(crate) events: u64,
    pub(crate) torn_bytes: u64,
    /// How long the slowest lane has read.
    pub(crate) micros: u64,
    /// Checkpoints that were damaged and passed over.
    pub(crate) warnings: Vec<String>,
    /// Segments that every lane has found unused.
    unused: Vec<SegmentName>,
    /// What the checkpoints say of the archive.
    pub(crate) restored: Vec<Restored>,
    /// Each shard's last event before this run.
    pub(crate) starts: Vec<(ShardId, Sequence)>,
    /// The number of this run.
    pub(crate) run: u32,
}

/// A lane of the product, wired.
pub(crate) type WiredLane = Lane<MonoioDriver, JournalCommit<MonoioDriver>, Archivist, Simulated, Connections>;

/// What a lane needs besides its driver.
struct LanePlan {
    lane: usize,
    shards: Vec<ShardId>,
    identity: Identity,
    seed: u64,
    files: Option<Arc<Stored>>,
    options: cli::Engine,
    mesh: MeshEnd,
    lane_of_shard: Arc<[u16]>,
    shutdown: Arc<Shutdown>,
    metrics: Arc<LaneMetrics>,
    gateway: Arc<GatewayMetrics>,
    actuator: Arc<Actuator>,
    authenticator: Box<dyn FnOnce() -> Authenticator + Send>,
    recovered: Sender<Result<Recovered>>,
    listeners: Receiver<Opened>,
}

/// The files that a start reads.
pub(crate) struct Stored {
    pub(crate) segments: SegmentFiles,
    pub(crate) checkpoints: Checkpoints<OsDirectory>,
}

/// What a lane gets when all of them have recovered.
struct Opened {
    /// `None` without an engine.
    archive: Option<ArchiveOfLane>,
    listeners: Listeners,
}

/// A lane's own sockets.
struct Listeners {
    api: TcpListener,
    management: Option<TcpListener>,
}

impl Engine {
    /// Starts all lanes: each recovers its shards, then all begin to listen, then `run` is each lane's life.
    pub(crate) fn start<R>(plan: Plan, run: R) -> Result<Engine>
    where
        R: AsyncFn(WiredLane) -> std::result::Result<(), CommitError> + Copy + Send + 'static,
    {
        let lanes = plan.cores.len();
        let (wakes, sources): (Vec<Arc<dyn Wake>>, Vec<WakeSource>) = (0..lanes)
            .map(|_| orderlane_monoio::wake_pair())
            .collect::<std::io::Result<Vec<_>>>()
            .context("making the lanes' eventfds")?
            .into_iter()
            .unzip();
        let shutdown = Arc::new(Shutdown::new(wakes.clone()));
        let state = Arc::new(State::new(lanes));
        let metrics: Vec<Arc<LaneMetrics>> = (0..lanes).map(|_| Arc::default()).collect();
        let gateways: Vec<Arc<GatewayMetrics>> = (0..lanes).map(|_| Arc::default()).collect();
        let mut actuator = Actuator::new(plan.info.clone(), state.clone(), metrics.clone(), gateways.clone());
        let archived = Arc::new(ArchiveMetrics::default());
        if plan.data.is_some() {
            actuator = actuator.with_retention(retention(&plan.options.keep, lanes)?, archived.clone());
        }
        let actuator = Arc::new(actuator);
        let files = match &plan.data {
            Some(data) => {
                let directory = OsDirectory::new(&data.path);
                let segments = SegmentFiles::prepare(directory.clone()).context("opening the journal")?;
                let checkpoints =
                    Checkpoints::load(directory, owner_of(data.identity)).context("opening the checkpoints")?;
                Some(Arc::new(Stored { segments, checkpoints }))
            }
            None => None,
        };
        let (recovered, all_recovered) = channel();
        let mut running = Vec::new();
        let mut senders = Vec::new();
        for (lane, (source, mesh)) in sources.into_iter().zip(mesh(wakes.clone(), Limits::default())).enumerate() {
            let (send, listeners) = channel();
            senders.push(send);
            let lane_plan = LanePlan {
                lane,
                shards: shards_of(&plan, lane),
                identity: identity_of(&plan),
                seed: plan.data.as_ref().map_or(0, |data| data.seed),
                files: files.clone(),
                options: plan.options.clone(),
                mesh,
                lane_of_shard: lane_of_shard(&plan, lane),
                shutdown: shutdown.clone(),
                metrics: metrics[lane].clone(),
                gateway: gateways[lane].clone(),
                actuator: actuator.clone(),
                authenticator: authenticator(plan.keys.clone()),
                recovered: recovered.clone(),
                listeners,
            };
            let thread = LaneThread {
                lane,
                core: plan.cores[lane],
                backend: plan.choice.backend,
                data_dir: plan.data.as_ref().map_or_else(|| PathBuf::from("."), |data| data.path.clone()),
                wake: source,
            };
            let lane_state = state.clone();
            let life = move |driver| run_one(driver, lane_plan, lane_state, run);
            running.push(run_lane(thread, life).context(format!("starting lane {lane}"))?);
        }
        drop(recovered);
        // While the lanes read.
        let archive = plan.data.as_ref().map(|data| open_archive(data, &plan.options.keep)).transpose()?;
        let mut recovered = wait_recovered(lanes, &all_recovered)?;
        let (keeper, archives) = match (files, archive) {
            (Some(files), Some(archive)) => {
                let files = Arc::into_inner(files).expect("the lanes have read and let go");
                recovered.warnings = files.checkpoints.warnings();
                recovered.warnings.iter().for_each(|warning| tracing::error!("{warning}"));
                // What stays is looked at again by the next start.
                let _ = files
                    .segments
                    .remove_unused(&recovered.unused)
                    .inspect_err(|error| tracing::warn!(%error, "an unused segment stays"));
                let (keeper, archives) = start_keeper(&plan, files, archive, &recovered, &wakes, archived)?;
                (Some(keeper), archives.into_iter().map(Some).collect())
            }
            _ => (None, (0..lanes).map(|_| None).collect::<Vec<_>>()),
        };
        let (address, management) = listen(&plan, senders, archives)?;
        state.set_ready();
        Ok(Engine { shutdown, state, address, management, recovered, lanes: running, keeper, _data: plan.data })
    }

    /// Where the keeper listens.
    pub(crate) fn keeper(&self) -> Option<Sender<ToKeeper>> {
        self.keeper.as_ref().map(|(_, sender)| sender.clone())
    }

    /// Whether a lane has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.lanes.iter().any(RunningLane::is_finished)
    }

    /// Waits for the lanes to end.
    pub(crate) fn join(self) -> Result<()> {
        for (lane, running) in self.lanes.into_iter().enumerate() {
            let ended = running.join().map_err(|_| Error::new(format!("lane {lane} panicked")))?;
            ended.map_err(|error| Error::new(format!("lane {lane}: {error}")))?;
        }
        if let Some((keeper, _)) = self.keeper {
            keeper.stop().map_err(|_| Error::new("the keeper panicked"))?;
        }
        Ok(())
    }
}

fn identity_of(plan: &Plan) -> Identity {
    plan.data.as_ref().map_or(Identity { directory: 0, shards: plan.info.shards }, |data| data.identity)
}

/// Shards go round the lanes, so that any count of lanes up to that of the shards can start the data.
pub(crate) fn shards_of(plan: &Plan, lane: usize) -> Vec<ShardId> {
    (0..plan.info.shards).filter(|shard| usize::from(*shard) % plan.cores.len() == lane).map(ShardId).collect()
}

fn lane_of_shard(plan: &Plan, own: usize) -> Arc<[u16]> {
    let lanes = plan.cores.len();
    // Without an engine every lane answers for itself.
    let lane = |shard: u16| if plan.data.is_some() { usize::from(shard) % lanes } else { own };
    (0..plan.info.shards).map(|shard| lane(shard) as u16).collect()
}

fn authenticator(keys: Option<Arc<Keys>>) -> Box<dyn FnOnce() -> Authenticator + Send> {
    Box::new(move || keys.map_or_else(Authenticator::off, Authenticator::new))
}

fn wait_recovered(lanes: usize, reports: &Receiver<Result<Recovered>>) -> Result<Recovered> {
    let mut sum = Recovered::default();
    let mut unused: Option<Vec<SegmentName>> = None;
    for _ in 0..lanes {
        let one = reports.recv().map_err(|_| Error::new("a lane ended before it had recovered"))??;
        sum.events += one.events;
        sum.torn_bytes = sum.torn_bytes.max(one.torn_bytes);
        sum.micros = sum.micros.max(one.micros);
        sum.restored.extend(one.restored);
        sum.starts.extend(one.starts);
        sum.run = one.run;
        unused = Some(match unused {
            None => one.unused,
            Some(all) => all.into_iter().filter(|name| one.unused.contains(name)).collect(),
        });
    }
    sum.unused = unused.unwrap_or_default();
    Ok(sum)
}

/// Binds the sockets of all lanes. Other processes may not share the port, though our lanes do.
fn listen(
    plan: &Plan,
    lanes: Vec<Sender<Opened>>,
    archives: Vec<Option<ArchiveOfLane>>,
) -> Result<(SocketAddr, Option<SocketAddr>)> {
    let mut address = claim(plan.listen, "--listen")?;
    let mut management = plan.management_listen.map(|wanted| claim(wanted, "--management-listen")).transpose()?;
    for (lane, archive) in lanes.into_iter().zip(archives) {
        let api = orderlane_monoio::bind(address).context(format!("listening on {address} (--listen)"))?;
        address = api.local_addr().context("asking for the address")?;
        let own = match &mut management {
            Some(wanted) => {
                let socket = orderlane_monoio::bind(*wanted).context(format!("listening on {wanted}"))?;
                *wanted = socket.local_addr().context("asking for the address")?;
                Some(socket)
            }
            None => None,
        };
        let opened = Opened { archive, listeners: Listeners { api, management: own } };
        lane.send(opened).map_err(|_| Error::new("a lane ended before it could listen"))?;
    }
    Ok((address, management))
}

fn claim(wanted: SocketAddr, flag: &str) -> Result<SocketAddr> {
    let socket =
        TcpListener::bind(wanted).context(format!("listening on {wanted}; choose another address with {flag}"))?;
    socket.local_addr().context("asking for the address")
}

/// The whole life of a lane, on its own thread.
async fn run_one(
    driver: MonoioDriver,
    plan: LanePlan,
    state: Arc<State>,
    run: impl AsyncFn(WiredLane) -> std::result::Result<(), CommitError>,
) -> std::result::Result<(), String> {
    let lane = plan.lane;
    let result = run_lane_of(driver, plan, &state, run).await;
    if let Err(error) = &result {
        tracing::error!(lane, %error, "the lane has failed");
        state.set_lane_failed(lane);
    }
    result
}

async fn run_lane_of(
    driver: MonoioDriver,
    mut plan: LanePlan,
    state: &State,
    run: impl AsyncFn(WiredLane) -> std::result::Result<(), CommitError>,
) -> std::result::Result<(), String> {
    let made = match plan.files.take() {
        Some(files) => Some(recover(&driver, &plan, files).await),
        None => None,
    };
    let (turn, recovered) = match made {
        Some(Ok((turn, recovered))) => (Some(turn), recovered),
        Some(Err(error)) => {
            let text = error.to_string();
            let _ = plan.recovered.send(Err(error));
            return Err(text);
        }
        None => (None, Recovered::default()),
    };
    let events = recovered.events;
    let _ = plan.recovered.send(Ok(recovered));
    // Another lane could not recover: the process ends.
    let Ok(Opened { archive, listeners }) = plan.listeners.recv() else { return Ok(()) };
    let port = Port::new(plan.mesh, plan.lane_of_shard, plan.metrics.clone());
    let context = GatewayContext::new(
        plan.identity.shards,
        (plan.authenticator)(),
        plan.actuator,
        plan.gateway,
        RequestLog::new(plan.options.log_requests),
        RandomState::new().build_hasher().finish(),
    );
    let clock = driver.clone();
    let connections = Connections::new(port.clone(), context, move || clock.now());
    serve(&driver, listeners, &connections, &plan.shutdown).map_err(|error| error.to_string())?;
    state.set_lane_up(plan.lane);
    let clients = Rc::new(connections);
    let (Some(turn), Some(archive)) = (turn, archive) else {
        run_ceiling(driver, port, clients, plan.shutdown).await;
        return Ok(());
    };
    let timeout_micros = micros(plan.options.payment_timeout);
    let outside = Simulated::new(timeout_micros, plan.metrics);
    let prefetch = Archivist::new(ArchivistOptions {
        lane: plan.lane as u16,
        limits: CutLimits { cut_orders: plan.options.keep.archive_run, ..CutLimits::default() },
        sender: archive.sender,
        receiver: archive.receiver,
        filters: archive.filters,
        checkpoint_bytes: archive.checkpoint_bytes,
        first_cut_soon: events > FIRST_CUT_EVENTS || archive.has_fallen_back,
    });
    let lane = Lane { driver, turn, prefetch, outside, port, clients, shutdown: plan.shutdown };
    run(lane).await.map_err(|error| error.to_string())
}

/// Recovers the lane's shards and opens the journal of this run.
async fn recover(
    driver: &MonoioDriver,
    plan: &LanePlan,
    files: Arc<Stored>,
) -> Result<(Turn<JournalCommit<MonoioDriver>>, Recovered)> {
    let started = Instant::now();
    let configs: Vec<Config> = plan.shards.iter().map(|shard| shard_config(plan, *shard)).collect();
    let read = recovery::recover(&files.segments, &files.checkpoints, plan.identity, &configs)?;
    drop(files);
    let journal = read.journal;
    let mut options = JournalOptions::new(plan.identity, journal.run_next, plan.lane as u16, journal.next.clone());
    options.durability = match plan.options.durability {
        cli::Durability::Fsync => Durability::Fsync,
        cli::Durability::Os => Durability::Os,
    };
    let commit = JournalCommit::open(driver.clone(), options).await.context("opening the journal")?;
    let turn = Turn::new(read.shards, plan.identity.shards, commit, Limits::default());
    let recovered = Recovered {
        events: journal.events,
        torn_bytes: journal.torn_bytes,
        micros: micros(started.elapsed()),
        warnings: Vec::new(),
        unused: journal.unused,
        restored: read.restored,
        starts: journal.next.iter().map(|(shard, next)| (*shard, next - 1)).collect(),
        run: journal.run_next,
    };
    Ok((turn, recovered))
}

pub(crate) fn owner_of(identity: Identity) -> Owner {
    Owner { directory: identity.directory, shards: identity.shards }
}

fn shard_config(plan: &LanePlan, shard: ShardId) -> Config {
    Config {
        hold_ttl_micros: micros(plan.options.hold_ttl),
        key_retention_micros: micros(plan.options.keep.keep_keys),
        ..crate::engine::config_of(shard, plan.identity, plan.seed)
    }
}

/// The configuration of a shard, with the usual times.
pub(crate) fn config_of(shard: ShardId, identity: Identity, seed: u64) -> Config {
    Config {
        shard,
        shards: identity.shards,
        seed,
        hold_ttl_micros: 60_000_000,
        retry_first_micros: 200_000,
        retry_max_micros: 5_000_000,
        key_retention_micros: 24 * 3600 * 1_000_000,
    }
}

pub(crate) fn micros(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Starts to serve; the shutdown hears when the last client is gone.
fn serve(
    driver: &MonoioDriver,
    listeners: Listeners,
    connections: &Connections,
    shutdown: &Arc<Shutdown>,
) -> std::io::Result<()> {
    let api = driver.listener(listeners.api)?;
    let management = listeners.management.map(|socket| driver.listener(socket)).transpose()?;
    let surface = if management.is_some() { Surface::Api } else { Surface::All };
    if let Some(listener) = management {
        driver.spawn(orderlane_gateway::serve(driver.clone(), listener, connections.clone(), Surface::Management));
    }
    let (driver_of_api, connections, shutdown) = (driver.clone(), connections.clone(), shutdown.clone());
    driver.spawn(async move {
        orderlane_gateway::serve(driver_of_api, api, connections, surface).await;
        shutdown.lane_closed();
    });
    Ok(())
}
