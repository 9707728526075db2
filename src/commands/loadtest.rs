//! `orderlane loadtest`: the load generator against any server.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use indicatif::{ProgressBar, ProgressStyle};
use orderlane_loadtest::{Generator, Options, Parts, Probe, Report, ServerUse, load_catalogue};

use super::demo::identity;
use crate::cli;
use crate::error::{Context, Error, Result};

pub(crate) fn loadtest(options: cli::Loadtest) -> Result<ExitCode> {
    let target = address_of(&options.target)?;
    let token = options.token.clone();
    if options.load_catalogue {
        let skus = u64::from(options.load.skus);
        load_catalogue(target, token.as_deref(), skus, 1_000_000, |sku| 100 + sku % 10_000)
            .context("loading the catalogue")?;
    }
    let before = Probe::take(target, None);
    let running = Generator::start(options_of(&options.load, target, token)?).context("starting the load")?;
    let bar = progress("orders");
    while !running.is_finished() {
        std::thread::sleep(Duration::from_millis(50));
        bar.set_position(running.acknowledged());
    }
    bar.finish_and_clear();
    let outcome = running.wait().context("running the load")?;
    let mut used = ServerUse::default();
    used.add(&before, &Probe::take(target, None));
    let parts = Parts { outcome: Some(&outcome), server: Some(&used), ..Parts::default() };
    print(&Report::new(identity("loadtest"), &parts), options.load.json.as_deref())?;
    if outcome.acknowledged.count() == 0 {
        return Err(Error::new("no order was acknowledged"));
    }
    Ok(ExitCode::SUCCESS)
}

/// The generator's options. Keys begin with the time, so that no two runs collide.
pub(crate) fn options_of(load: &cli::Load, target: SocketAddr, token: Option<String>) -> Result<Options> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut options = Options::new(target);
    options.token = token;
    options.rate = load.rate.parse().context("--rate")?;
    options.duration = Some(Duration::try_from_secs_f64(load.seconds).context("--seconds")?);
    options.connections = load.connections as usize;
    options.pipeline = load.pipeline as usize;
    options.customers = load.customers;
    options.skus = u64::from(load.skus);
    options.skew = load.skew;
    options.lines = load.lines as usize;
    options.batch = load.batch as usize;
    options.seed = load.seed;
    options.key_prefix = format!("{:x}", since.as_millis());
    options.validate().context("the load")?;
    Ok(options)
}

pub(crate) fn print(report: &Report, json: Option<&Path>) -> Result<()> {
    println!("{report}");
    if let Some(path) = json {
        let text = serde_json::to_string_pretty(report).context("writing the report")?;
        std::fs::write(path, text + "\n").context(format!("writing {}", path.display()))?;
    }
    Ok(())
}

/// A counter that a terminal shows, and nobody else.
pub(crate) fn progress(what: &'static str) -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    let style = ProgressStyle::with_template(&format!("{{elapsed_precise}} {{human_pos}} {what} ({{per_sec}})"));
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    bar
}

/// The address of `http://host:port`.
pub(crate) fn address_of(target: &str) -> Result<SocketAddr> {
    let authority = target.strip_prefix("http://").unwrap_or(target).trim_end_matches('/');
    if authority.contains("://") {
        return Err(Error::usage(format!("--target {target}: use http://host:port")));
    }
    let mut found = authority.to_socket_addrs().context(format!("--target {target}: use http://host:port"))?;
    found.next().ok_or_else(|| Error::usage(format!("--target {target}: the name has no address")))
}
