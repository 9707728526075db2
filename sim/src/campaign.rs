//! Many seeds on several threads: what went wrong, what was met, and the commands that repeat the failures.
#![expect(clippy::disallowed_methods, reason = "it measures and watches real time, outside of every world")]

mod report;

use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::options::Options;
use crate::outcome::Outcome;
use crate::shrink::shrink;

pub use report::{Report, describe};

/// Each so many seeds one runs twice.
const TWICE_EVERY: u64 = 20;
/// Failures that are shrunk; the others are listed.
const SHRUNK_MAX: usize = 3;
/// Runs that the shrinking of one failure may take.
pub const SHRINK_RUNS_MAX: u32 = 300;
/// The stack of a thread that runs worlds: deep enough for a world in a build without optimisation.
const STACK_BYTES: usize = 64 << 20;

/// Which seeds, and how.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The first seed.
    pub start: u64,
    /// How many.
    pub seeds: u64,
    /// No seed starts after this.
    pub time_max: Option<Duration>,
    /// Threads that run worlds.
    pub threads: usize,
    /// Nothing is started after the first failure.
    pub stop_at_first: bool,
    /// Failures are shrunk.
    pub shrink: bool,
}

/// A world that takes so much real time never ends: the engine runs in a circle, and only the end of the process stops it.
const WORLD_TIME_MAX: Duration = Duration::from_secs(120);
/// The process ends with this code when a world does not.
pub const EXIT_ENDLESS: i32 = 3;

/// Runs the worlds of a plan; `world` is [`crate::world::run`] but in tests.
pub fn run(plan: &Plan, world: impl Fn(Options) -> Outcome + Sync) -> Report {
    let next = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    let running: Vec<Mutex<Option<(u64, Instant)>>> = (0..plan.threads.max(1)).map(|_| Mutex::default()).collect();
    let begun = Instant::now();
    let mut report = Report::new(plan.start);
    let (results, finished) = channel();
    thread::scope(|scope| {
        for (index, running) in running.iter().enumerate() {
            let (results, next, stop, world) = (results.clone(), &next, &stop, &world);
            let watched = move |options: Options| {
                let set = |value| *running.lock().expect("nothing panics with this lock") = value;
                set(Some((options.seed, Instant::now())));
                let outcome = world(options);
                set(None);
                outcome
            };
            let work = move || work(plan, begun, next, stop, &watched, &results);
            let named = thread::Builder::new().name(format!("world-{index}")).stack_size(STACK_BYTES);
            named.spawn_scoped(scope, work).expect("the machine has room for a few threads");
        }
        drop(results);
        let mut progress = Progress { begun, shown: begun, on_terminal: std::io::stderr().is_terminal() };
        loop {
            match finished.recv_timeout(Duration::from_millis(200)) {
                Ok((outcome, is_same)) => {
                    if plan.stop_at_first && (outcome.violation.is_some() || !is_same) {
                        stop.store(true, SeqCst);
                    }
                    report.add(outcome, is_same);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            progress.show(&report, plan.seeds);
            end_with_the_endless(&running);
        }
        progress.end();
    });
    report.elapsed = begun.elapsed();
    report.failures.sort_by_key(|failure| failure.options.seed);
    report.differences.sort_unstable();
    if plan.shrink {
        shrink_some(&mut report);
    }
    report
}

fn end_with_the_endless(running: &[Mutex<Option<(u64, Instant)>>]) {
    for running in running {
        let running = *running.lock().expect("nothing panics with this lock");
        if let Some((seed, _)) = running.filter(|(_, since)| since.elapsed() > WORLD_TIME_MAX) {
            eprintln!("seed {seed} does not end; repeat with: cargo sim --seed {seed}");
            std::process::exit(EXIT_ENDLESS);
        }
    }
}

/// What one thread does: the next seed, until there is none.
fn work(
    plan: &Plan,
    begun: Instant,
    next: &AtomicU64,
    stop: &AtomicBool,
    world: &(impl Fn(Options) -> Outcome + Sync),
    results: &Sender<(Outcome, bool)>,
) {
    while !stop.load(SeqCst) && plan.time_max.is_none_or(|max| begun.elapsed() < max) {
        let index = next.fetch_add(1, SeqCst);
        if index >= plan.seeds {
            return;
        }
        let options = Options::draw(plan.start.wrapping_add(index));
        let outcome = world(options.clone());
        let is_same = !index.is_multiple_of(TWICE_EVERY) || world(options).trace_digest == outcome.trace_digest;
        // Nobody listens any more only when the campaign itself has failed.
        let _ = results.send((outcome, is_same));
    }
}

/// Shrinks the first failures, each invariant once before any twice. In a thread of its own, for the stack.
fn shrink_some(report: &mut Report) {
    let failures = std::mem::take(&mut report.failures);
    let work = move || {
        let mut seen: Vec<&'static str> = Vec::new();
        let (mut first, mut others) = (Vec::new(), Vec::new());
        for failure in failures {
            let invariant = failure.violation.as_ref().map_or("", |violation| violation.invariant);
            let is_new = !seen.contains(&invariant);
            seen.push(invariant);
            if is_new { first.push(failure) } else { others.push(failure) }
        }
        first.extend(others);
        let rest = first.split_off(first.len().min(SHRUNK_MAX));
        let shrunk: Vec<Outcome> = first
            .into_iter()
            .map(|failure| {
                eprintln!("seed {}: shrinking, at most {SHRINK_RUNS_MAX} runs", failure.options.seed);
                shrink(failure, SHRINK_RUNS_MAX)
            })
            .collect();
        (shrunk, rest)
    };
    (report.shrunk, report.failures) = on_deep_stack(work);
}

/// Does this in a thread whose stack is as deep as that of the threads of a campaign.
///
/// # Panics
/// When `work` does: a world catches the panics of the engine.
pub fn on_deep_stack<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let named = thread::Builder::new().name("world".to_owned()).stack_size(STACK_BYTES);
    let done = named.spawn(work).expect("the machine has room for a thread").join();
    done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// The line that shows how far it is.
struct Progress {
    begun: Instant,
    shown: Instant,
    on_terminal: bool,
}

impl Progress {
    fn show(&mut self, report: &Report, seeds: u64) {
        let pause = if self.on_terminal { Duration::from_millis(500) } else { Duration::from_secs(15) };
        if self.shown.elapsed() < pause {
            return;
        }
        self.shown = Instant::now();
        let rate = report.seeds as f64 / self.begun.elapsed().as_secs_f64();
        let (clear, end) = if self.on_terminal { ("\r\x1b[K", "") } else { ("", "\n") };
        let failed = report.failures.len();
        eprint!("{clear}{} of {seeds} seeds, {rate:.1} a second, {failed} violations{end}", report.seeds);
        // Progress that cannot be shown is no reason to stop.
        let _ = std::io::stderr().flush();
    }

    fn end(&self) {
        if self.on_terminal {
            eprint!("\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::Fault;
    use crate::sim::Violation;

    fn outcome(options: Options, fails: bool, trace_digest: u64) -> Outcome {
        let violation = fails.then(|| Violation { invariant: "wrong", shard: None, text: "so".to_owned() });
        Outcome {
            options,
            violation,
            last_events: Vec::new(),
            faults: vec![(2, 1); Fault::ALL.len()],
            reached: [1; 14],
            statuses: [1; 10],
            elapsed_micros: 3_600_000_000,
            orders: 3,
            archive: crate::watch::ArchiveCounts::default(),
            requests: 4,
            starts: 2,
            trace_digest,
            trace_lines: 1,
            trace_text: String::new(),
        }
    }

    fn plan(seeds: u64, stop_at_first: bool) -> Plan {
        Plan { start: 10, seeds, time_max: None, threads: 3, stop_at_first, shrink: false }
    }

    #[test]
    fn every_seed_runs_once_and_the_sums_are_sums() {
        let report = run(&plan(100, false), |options| outcome(options, false, 1));
        assert_eq!((report.seeds, report.orders, report.starts), (100, 300, 200));
        assert!(report.is_good(), "{:?}", report.complaints());
    }

    #[test]
    fn failures_and_differences_are_found_and_named() {
        let calls = AtomicU64::new(0);
        let report = run(&plan(41, false), |options| {
            let digest = if options.seed == 30 { calls.fetch_add(1, SeqCst) } else { 0 };
            let fails = [20, 33].contains(&options.seed);
            outcome(options, fails, digest)
        });
        let failed: Vec<u64> = report.failures.iter().map(|failure| failure.options.seed).collect();
        assert_eq!((failed, &report.differences[..]), (vec![20, 33], &[30][..]));
        assert!(!report.is_good());
        assert_eq!(report.first_failure(), Some(20));
    }

    #[test]
    fn it_stops_at_the_first_failure_when_told_to() {
        let report = run(&plan(1_000_000, true), |options| {
            let fails = options.seed >= 50;
            outcome(options, fails, 0)
        });
        assert!(report.first_failure().is_some_and(|seed| seed >= 50) && report.seeds < 1_000_000);
    }

    #[test]
    fn a_kind_that_was_never_met_fails_a_long_run() {
        let never = |options: Options| {
            let mut outcome = outcome(options, false, 1);
            outcome.faults[Fault::BitRot as usize] = (1, 0);
            outcome
        };
        assert!(run(&plan(100, false), never).is_good(), "100 injections may miss");
        let report = run(&plan(1000, false), never);
        assert!(report.complaints().iter().any(|text| text.contains("bit-rot")), "{:?}", report.complaints());
    }
}
