//! `orderlane serve`: runs the engine until SIGTERM or SIGINT, then drains.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use orderlane_archive::ToKeeper;
use orderlane_gateway::actuator::{Info, Retention};
use orderlane_gateway::auth::{Keys, Scope};
use orderlane_monoio::{Choice, Io, affinity_cores, choose};
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::byte_size::ByteSize;
use crate::cli;
use crate::commands::backup::report;
use crate::commands::journal::verified;
use crate::commands::token;
use crate::control::Control;
use crate::data::DataDirectory;
use crate::engine::{Engine, Plan};
use crate::error::{Context, Error, Result};
use crate::retention::retention;
use crate::tree::Copied;

/// Shards of the surface that is measured without an engine.
const SHARDS_WITHOUT_ENGINE: u16 = 8;

pub(crate) fn serve(options: cli::Serve) -> Result<ExitCode> {
    log(&options.engine.log)?;
    let ended = Arc::new(std::sync::atomic::AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        signal_hook::flag::register(signal, ended.clone()).context("registering the signals")?;
    }
    let plan = plan(&options)?;
    let banner = Banner::of(&plan)?;
    let engine = Engine::start(plan, async |lane| orderlane_lane::run(lane).await)?;
    let _control = match (banner.data.as_deref(), engine.keeper()) {
        (Some(data), Some(keeper)) => Some(Control::listen(data, move |target| backup(&keeper, target))?),
        _ => None,
    };
    banner.print(&engine);
    while !ended.load(std::sync::atomic::Ordering::Relaxed) && !engine.has_ended() {
        std::thread::sleep(Duration::from_millis(20));
    }
    engine.state.set_draining();
    if engine.has_ended() {
        // A lane has failed: what it owns is gone until the next start, and a half engine helps nobody.
        return Err(Error::new("a lane has failed; see the log. What is durable is found at the next start"));
    }
    tracing::info!("draining");
    engine.shutdown.begin();
    engine.join()?;
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// Copies the data directory of the running engine into an empty directory; gives the report.
fn backup(keeper: &Sender<ToKeeper>, target: PathBuf) -> std::result::Result<String, String> {
    let started = Instant::now();
    // The keeper makes the directory, when all is in it.
    std::fs::remove_dir(&target).map_err(|error| format!("{}: {error}", target.display()))?;
    let (done, hears) = channel();
    let gone = || "the keeper of the archive has ended; see the log".to_owned();
    keeper.send(ToKeeper::Backup { target: target.clone(), done }).map_err(|_| gone())?;
    let copied = hears.recv().map_err(|_| gone())??;
    let verified = verified(&target).map_err(|error| error.to_string())?;
    if verified.violations > 0 {
        return Err(format!("the copy has {} violations; see journal verify", verified.violations));
    }
    let copied = Copied { files: copied.files, linked: copied.linked, bytes: copied.bytes };
    Ok(report(&verified, copied, started))
}

fn log(filter: &str) -> Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_new(filter).context("--log")?;
    let subscriber = tracing_subscriber::fmt().json().with_env_filter(filter).with_writer(std::io::stderr).finish();
    tracing::subscriber::set_global_default(subscriber).context("starting the log")
}

fn plan(options: &cli::Serve) -> Result<Plan> {
    let engine = &options.engine;
    if engine.payment != "simulated" {
        return Err(Error::usage(format!("--payment {}: this build knows `simulated` only", engine.payment)));
    }
    // Before anything is made on the disk.
    retention(&engine.keep, 1)?;
    let data = data_of(options)?;
    let shards = data.as_ref().map_or(SHARDS_WITHOUT_ENGINE, |data| data.identity.shards);
    let cores = cores_of(engine, shards)?;
    let choice = choose(io_of(engine.io)).context("--io")?;
    let keys = keys_of(options, data.as_ref())?;
    let info = info(engine, &choice, cores.len(), shards, data.as_ref());
    Ok(Plan {
        options: engine.clone(),
        listen: options.listen,
        management_listen: options.management_listen,
        choice,
        cores,
        data,
        keys,
        info,
    })
}

fn data_of(options: &cli::Serve) -> Result<Option<DataDirectory>> {
    let engine = &options.engine;
    if options.no_engine {
        if !options.listen.ip().is_loopback() {
            return Err(Error::usage(
                "--no-engine asks nobody for a token and is for measuring: listen on a loopback address",
            ));
        }
        return match &engine.data {
            Some(data) => Err(Error::usage(format!(
                "--no-engine stores nothing and refuses a data directory; leave --data {} out",
                data.display()
            ))),
            None => Ok(None),
        };
    }
    let path = engine.data.clone().unwrap_or_else(|| PathBuf::from("./orderlane-data"));
    DataDirectory::open_or_make(&path, engine.shards).map(Some)
}

/// The core of each lane. More lanes than cores run unpinned.
fn cores_of(options: &cli::Engine, shards: u16) -> Result<Vec<Option<usize>>> {
    let mine = affinity_cores();
    if let Some(foreign) = options.cores.iter().flatten().find(|core| !mine.contains(core)) {
        return Err(Error::usage(format!(
            "--cores: core {foreign} is not one of {mine:?}, which this process may use"
        )));
    }
    let cores = options.cores.clone().unwrap_or(mine);
    let lanes = options.lanes.map_or_else(|| cores.len().min(usize::from(shards)), usize::from);
    if lanes > usize::from(shards) {
        return Err(Error::usage(format!(
            "--lanes {lanes}: a lane owns at least one of the {shards} shards; use 1 to {shards}"
        )));
    }
    if lanes > cores.len() {
        tracing::warn!(lanes, cores = cores.len(), "more lanes than cores: they run unpinned and share them");
        return Ok(vec![None; lanes]);
    }
    Ok(cores.into_iter().take(lanes).map(Some).collect())
}

fn io_of(io: cli::Io) -> Io {
    match io {
        cli::Io::Auto => Io::Auto,
        cli::Io::Uring => Io::Uring,
        cli::Io::Epoll => Io::Epoll,
    }
}

fn keys_of(options: &cli::Serve, data: Option<&DataDirectory>) -> Result<Option<Arc<Keys>>> {
    let auth = options.engine.auth.as_str();
    if let Some(place) = auth.strip_prefix("jwks=") {
        if place.contains("://") {
            return Err(Error::usage(
                "--auth jwks=URL: this build reads a file only; save the document and name the file",
            ));
        }
        let document = std::fs::read(place).context(format!("--auth: reading {place}"))?;
        let keys = Keys::jwks(&document, "orderlane", "orderlane").context(format!("--auth: {place}"))?;
        return Ok(Some(Arc::new(keys)));
    }
    match (auth, data) {
        ("dev", Some(data)) => Keys::dev(&data.dev_key).map(Arc::new).map(Some).context("reading the development key"),
        ("dev", None) => Ok(None),
        ("off", _) if options.listen.ip().is_loopback() => Ok(None),
        ("off", _) => Err(Error::usage(format!(
            "--auth off lets everybody do everything and is refused on {}; listen on a loopback address",
            options.listen
        ))),
        _ => Err(Error::usage(format!("--auth {auth}: use dev, jwks=FILE or off"))),
    }
}

fn info(options: &cli::Engine, choice: &Choice, lanes: usize, shards: u16, data: Option<&DataDirectory>) -> Info {
    let auth = options.auth.split('=').next().unwrap_or_default();
    Info {
        version: env!("CARGO_PKG_VERSION").into(),
        commit: option_env!("ORDERLANE_COMMIT").unwrap_or("unknown").into(),
        lanes,
        shards,
        cores: affinity_cores().len(),
        io_backend: choice.backend.name().into(),
        runtime: "monoio".into(),
        durability: durability_name(options.durability, data.is_some()).into(),
        auth: auth.into(),
        data: data.map_or_else(|| "none".into(), |data| format!("{:032x}", data.identity.directory)),
        started_at: token::now(),
    }
}

fn durability_name(durability: cli::Durability, stores: bool) -> &'static str {
    match durability {
        _ if !stores => "none",
        cli::Durability::Fsync => "fsync",
        cli::Durability::Os => "os",
    }
}

/// The lines at the start.
struct Banner {
    info: Info,
    reason: String,
    data: Option<PathBuf>,
    upgraded_from: Option<u32>,
    retention: Retention,
    pinned: bool,
    dev: bool,
}

impl Banner {
    fn of(plan: &Plan) -> Result<Banner> {
        Ok(Banner {
            info: plan.info.clone(),
            reason: plan.choice.reason.clone(),
            data: plan.data.as_ref().map(|data| data.path.clone()),
            upgraded_from: plan.data.as_ref().and_then(|data| data.upgraded_from),
            retention: retention(&plan.options.keep, plan.cores.len())?,
            pinned: plan.cores.iter().all(Option::is_some),
            dev: plan.options.auth == "dev" && plan.data.is_some(),
        })
    }

    /// Whoever reads may have gone away: that is no reason to stop.
    fn print(&self, engine: &Engine) {
        let _ = self.write(engine, &mut std::io::stdout().lock());
    }

    fn write(&self, engine: &Engine, out: &mut impl Write) -> std::io::Result<()> {
        let info = &self.info;
        writeln!(out, "orderlane {} ({}) on http://{}", info.version, info.commit, engine.address)?;
        let management = engine.management.unwrap_or(engine.address);
        writeln!(out, "  management  http://{management}/actuator/health")?;
        let pinned = if self.pinned { "pinned" } else { "not pinned" };
        writeln!(out, "  lanes       {} ({pinned}) over {} shards, runtime {}", info.lanes, info.shards, info.runtime)?;
        writeln!(out, "  io          {}: {}", info.io_backend, self.reason)?;
        writeln!(out, "  durability  {}", info.durability)?;
        if let Some(data) = &self.data {
            let recovered = &engine.recovered;
            writeln!(
                out,
                "  data        {}: {} events recovered in {:.2} s, {} torn bytes cut",
                data.display(),
                recovered.events,
                recovered.micros as f64 / 1e6,
                recovered.torn_bytes
            )?;
            for warning in &recovered.warnings {
                writeln!(out, "  WARNING     {warning}")?;
            }
        }
        if let Some(version) = self.upgraded_from {
            writeln!(out, "  upgraded    from version {version}: older releases refuse this directory now")?;
        }
        if self.data.is_some() {
            writeln!(out, "  keeps       {}", kept(&self.retention))?;
        }
        if let Some(line) = self.curl(engine) {
            writeln!(out, "  try         {line}")?;
        }
        out.flush()
    }

    fn curl(&self, engine: &Engine) -> Option<String> {
        let data = self.data.as_ref().filter(|_| self.dev)?;
        let token = token::sign(data, "developer", &[Scope::Admin], Duration::from_secs(3600)).ok()?;
        Some(format!("curl -H 'Authorization: Bearer {token}' http://{}/v1/invariants", engine.address))
    }
}

/// What is kept, in words.
fn kept(retention: &Retention) -> String {
    let time = |micros| humantime::format_duration(Duration::from_micros(micros));
    let size = |bytes: Option<u64>| bytes.map_or_else(String::new, |bytes| format!(" (at most {})", ByteSize(bytes)));
    let keys = retention.keys_max.map_or_else(String::new, |max| format!(" (at most {max})"));
    format!(
        "keys {}{keys}, orders {}{}; {} of the disk stay free{}",
        time(retention.key_micros),
        time(retention.order_micros),
        size(retention.order_bytes_max),
        ByteSize(retention.disk_reserve_bytes),
        retention.data_bytes_max.map_or_else(String::new, |max| format!(", at most {} are used", ByteSize(max)))
    )
}
