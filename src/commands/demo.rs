//! `orderlane demo`: the whole in one go. A server as a child process, a catalogue, orders over HTTP, SIGKILL in the middle,
//! a restart, the end of all sagas, and the checks. Exit 0 only if all of it holds.

mod child;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use orderlane_loadtest::{
    Ended, Generator, Identity, Outcome, Parts, Probe, Report, ServerUse, Verification, VerifyOptions, invariants,
    load_catalogue, verify, wait_until_ended,
};

use self::child::Child;
use super::loadtest::options_of;
use crate::cli;
use crate::error::{Context, Error, Result};

/// Units of each SKU: more than a run can sell.
const STOCK_EACH: u64 = 100_000_000;
/// By default every saga ends within 90 s.
const SAGAS_END: Duration = Duration::from_secs(120);

pub(crate) fn demo(options: cli::Demo) -> Result<ExitCode> {
    if options.production {
        return Err(Error::usage("--production: this build has the embedded journal only"));
    }
    if options.engine.auth != "dev" {
        return Err(Error::usage("demo makes its own tokens: leave --auth out"));
    }
    let temporary = tempfile::tempdir().context("making a temporary directory")?;
    let data = options.engine.data.clone().unwrap_or_else(|| temporary.path().join("data"));
    let ceiling = if options.ceiling { Some(measure_ceiling(&options, temporary.path())?) } else { None };
    let mut run = Run::start(&options, data, temporary.path())?;
    let outcome = run.load()?;
    let ended = run.ended()?;
    let verification = run.verify(&outcome, &ended)?;
    let digests = run.restart_with_other_lanes()?;
    let parts = Parts {
        outcome: Some(&outcome),
        server: Some(&run.used),
        baseline: Some(&run.baseline),
        ended: Some(&ended),
        verification: Some(&verification),
        durability: None,
        restarts: Some(u64::from(options.kills)),
        ceiling_per_second: ceiling,
    };
    let report = Report::new(identity("demo"), &parts);
    super::loadtest::print(&report, options.load.json.as_deref())?;
    conclude(&outcome, &ended, &verification, &digests)
}

/// Who writes a report.
pub(crate) fn identity(tool: &str) -> Identity {
    Identity {
        tool: format!("orderlane {tool}"),
        version: env!("CARGO_PKG_VERSION").into(),
        commit: option_env!("ORDERLANE_COMMIT").map(str::to_owned),
    }
}

fn conclude(outcome: &Outcome, ended: &Ended, verification: &Verification, digests: &[String]) -> Result<ExitCode> {
    let violations = ended.invariants.violations;
    println!(
        "checked {} of {} acknowledged orders; {}",
        verification.checked,
        outcome.acknowledged.count(),
        digests.join("; ")
    );
    println!(
        "lost {}, duplicated {}, violations {violations}",
        verification.lost_total(),
        verification.duplicated_total()
    );
    if outcome.acknowledged.count() == 0 {
        return Err(Error::new("no order was acknowledged"));
    }
    if !verification.is_clean() || violations > 0 {
        return Err(Error::new(format!("the checks failed: {verification:?}")));
    }
    Ok(ExitCode::SUCCESS)
}

/// A server under load, over all its lives.
struct Run<'a> {
    options: &'a cli::Demo,
    data: PathBuf,
    log: PathBuf,
    server: Child,
    token: String,
    baseline: orderlane_loadtest::Invariants,
    used: ServerUse,
    before: Probe,
}

impl<'a> Run<'a> {
    fn start(options: &'a cli::Demo, data: PathBuf, directory: &Path) -> Result<Run<'a>> {
        let log = directory.join("server.log");
        let server = Child::start(&options.engine, Some(&data), &log, child::free_address()?)?;
        let token = child::admin_token(&data)?;
        let skus = u64::from(options.load.skus);
        load_catalogue(server.address, Some(&token), skus, STOCK_EACH, |sku| 100 + sku % 10_000)
            .context("loading the catalogue")?;
        let baseline = invariants(server.address, Some(&token)).context("reading the invariants")?;
        let before = Probe::take(server.address, Some(server.pid()));
        Ok(Run { options, data, log, server, token, baseline, used: ServerUse::default(), before })
    }

    /// Offers the load, and kills the server at even intervals.
    fn load(&mut self) -> Result<Outcome> {
        let options = options_of(&self.options.load, self.server.address, Some(self.token.clone()))?;
        let seconds = Duration::from_secs_f64(self.options.load.seconds);
        let running = Generator::start(options).context("starting the load")?;
        let bar = super::loadtest::progress("orders");
        let mut next_kill = 1;
        while !running.is_finished() {
            std::thread::sleep(Duration::from_millis(20));
            bar.set_position(running.acknowledged());
            let active = running.elapsed().saturating_sub(self.server.down_total);
            if next_kill <= self.options.kills && active >= seconds * next_kill / (self.options.kills + 1) {
                self.kill(&running.outage())?;
                next_kill += 1;
            }
            self.server.check_alive(&self.log)?;
        }
        bar.finish_and_clear();
        running.wait().context("running the load")
    }

    fn kill(&mut self, outage: &orderlane_loadtest::Outage) -> Result<()> {
        let after = Probe::take(self.server.address, Some(self.server.pid()));
        self.used.add(&self.before, &after);
        outage.down();
        self.server.kill_and_restart(&self.options.engine, Some(&self.data), &self.log)?;
        outage.up();
        self.before = Probe::take(self.server.address, Some(self.server.pid()));
        Ok(())
    }

    fn ended(&mut self) -> Result<Ended> {
        let (address, token) = (self.server.address, Some(self.token.as_str()));
        let ended = wait_until_ended(address, address, token, SAGAS_END).context("waiting for the end of all sagas")?;
        let after = Probe::take(address, Some(self.server.pid()));
        self.used.add(&self.before, &after);
        Ok(ended)
    }

    /// Reads every acknowledged order back and compares it with what was sent.
    fn verify(&self, outcome: &Outcome, ended: &Ended) -> Result<Verification> {
        let counts = Some((self.baseline.clone(), ended.invariants.clone()));
        let options = VerifyOptions { counts, ..VerifyOptions::default() };
        verify(self.server.address, Some(&self.token), outcome, &options).context("reading the orders back")
    }

    /// The same data must start with any count of lanes, and be the same.
    fn restart_with_other_lanes(&mut self) -> Result<Vec<String>> {
        // Read again: the last customers were told after the last saga had ended.
        let before = invariants(self.server.address, Some(&self.token)).context("reading the invariants")?;
        let mut told = Vec::new();
        for lanes in [1_u16, 2] {
            let engine = cli::Engine { lanes: Some(lanes), cores: None, ..self.options.engine.clone() };
            let started = Instant::now();
            self.server.stop_and_restart(&engine, Some(&self.data), &self.log)?;
            let took = started.elapsed();
            let after = invariants(self.server.address, Some(&self.token)).context("reading the invariants")?;
            if after.shards != before.shards {
                return Err(Error::new(format!(
                    "restarted with --lanes {lanes} the digests differ: {:?} before, {:?} after",
                    before.shards, after.shards
                )));
            }
            told.push(format!("--lanes {lanes} starts in {:.1} s, same digests", took.as_secs_f64()));
        }
        Ok(told)
    }
}

/// The same load against the same gateway and driver, answered at once: orders a second of a closed loop.
fn measure_ceiling(options: &cli::Demo, directory: &Path) -> Result<f64> {
    let log = directory.join("ceiling.log");
    let engine = cli::Engine { data: None, shards: None, ..options.engine.clone() };
    // Its token is signed by the key of a data directory that nobody stores in.
    let server = Child::start(&engine, None, &log, child::free_address()?)?;
    let load = cli::Load { rate: "max".into(), ..options.load.clone() };
    let running = Generator::start(options_of(&load, server.address, None)?).context("starting the load")?;
    let bar = super::loadtest::progress("orders answered at the gateway");
    while !running.is_finished() {
        std::thread::sleep(Duration::from_millis(50));
        bar.set_position(running.acknowledged());
    }
    bar.finish_and_clear();
    let outcome = running.wait().context("running the load")?;
    outcome.acknowledged_per_second().ok_or_else(|| Error::new("the ceiling was not measured: no answer came"))
}
