//! What a campaign found, added up.

use std::time::Duration;

use orderlane_core::Status;
use serde_json::{Value, json};

use crate::coverage::Coverage;
use crate::faults::Fault;
use crate::outcome::Outcome;
use crate::seeds::Case;
use crate::watch::ArchiveCounts;

/// From so many seeds on, every kind of fault must have been met.
const SEEDS_TO_MEET_ALL: u64 = 5_000;
/// A kind that was injected so often and never met cannot be met: something is wrong with the injection.
const INJECTED_IN_VAIN: u64 = 1_000;

/// The sums of all outcomes, and those that failed.
#[derive(Clone, Debug)]
pub struct Report {
    /// The first seed of the plan.
    pub start: u64,
    /// Seeds that ran.
    pub seeds: u64,
    /// Real time, without the shrinking.
    pub elapsed: Duration,
    /// Virtual time, microseconds.
    pub simulated_micros: u64,
    /// Orders in the logs.
    pub orders: u64,
    /// Requests of clients.
    pub requests: u64,
    /// Starts of the engine.
    pub starts: u64,
    /// What the archives have done.
    pub archive: ArchiveCounts,
    /// Seeds that ran twice.
    pub twice: u64,
    /// Ends by status.
    pub statuses: [u64; 10],
    /// Pairs of the saga table.
    pub reached: Coverage,
    /// Injected and observed, by kind.
    pub faults: Vec<(u64, u64)>,
    /// Failures as they were shrunk.
    pub shrunk: Vec<Outcome>,
    /// The other failures, by seed.
    pub failures: Vec<Outcome>,
    /// Seeds that gave another trace the second time.
    pub differences: Vec<u64>,
}

impl Report {
    pub(super) fn new(start: u64) -> Report {
        Report {
            start,
            seeds: 0,
            elapsed: Duration::ZERO,
            simulated_micros: 0,
            orders: 0,
            requests: 0,
            starts: 0,
            archive: ArchiveCounts::default(),
            twice: 0,
            statuses: [0; 10],
            reached: Coverage::default(),
            faults: vec![(0, 0); Fault::ALL.len()],
            shrunk: Vec::new(),
            failures: Vec::new(),
            differences: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, outcome: Outcome, is_same: bool) {
        self.seeds += 1;
        self.simulated_micros += outcome.elapsed_micros;
        self.orders += outcome.orders;
        self.requests += outcome.requests;
        self.starts += outcome.starts;
        self.archive.add(&outcome.archive);
        self.twice += u64::from(outcome.options.seed.wrapping_sub(self.start).is_multiple_of(super::TWICE_EVERY));
        self.statuses.iter_mut().zip(outcome.statuses).for_each(|(sum, count)| *sum += count);
        self.reached.add(&outcome.reached);
        for (sum, (injected, observed)) in self.faults.iter_mut().zip(&outcome.faults) {
            *sum = (sum.0 + injected, sum.1 + observed);
        }
        if !is_same {
            self.differences.push(outcome.options.seed);
        }
        if outcome.violation.is_some() {
            self.failures.push(outcome);
        }
    }

    fn all_failures(&self) -> impl Iterator<Item = &Outcome> {
        self.shrunk.iter().chain(&self.failures)
    }

    /// The lowest seed that failed or gave another trace.
    #[must_use]
    pub fn first_failure(&self) -> Option<u64> {
        let failed = self.all_failures().map(|failure| failure.options.seed);
        failed.chain(self.differences.iter().copied()).min()
    }

    /// What is wrong, a line each.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        let mut complaints = Vec::new();
        let violations = self.all_failures().count();
        if violations > 0 {
            complaints.push(format!("{violations} seeds broke an invariant"));
        }
        if !self.differences.is_empty() {
            complaints
                .push(format!("not deterministic: seeds {:?} gave another trace the second time", self.differences));
        }
        for (fault, (injected, observed)) in Fault::ALL.iter().zip(&self.faults) {
            if *observed == 0 && (self.seeds >= SEEDS_TO_MEET_ALL || *injected >= INJECTED_IN_VAIN) {
                complaints.push(format!("fault {} was injected {injected} times and never met", fault.name()));
            }
        }
        if self.seeds >= SEEDS_TO_MEET_ALL && !self.reached.is_complete() {
            complaints.push(format!("pairs of the saga table that nobody reached: {:?}", self.reached.missing()));
        }
        complaints
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.complaints().is_empty()
    }

    /// Prints it.
    pub fn print(&self) {
        self.all_failures().for_each(|failure| print!("{}", describe(failure)));
        let seconds = self.elapsed.as_secs_f64();
        println!("seeds               {} in {seconds:.1} s", self.seeds);
        println!("seeds a second      {:.1}", self.seeds as f64 / seconds.max(0.001));
        println!("simulated hours     {:.1}", self.simulated_micros as f64 / 3.6e9);
        println!("orders              {}", self.orders);
        println!("requests            {}", self.requests);
        println!("starts              {}", self.starts);
        self.archive.named().iter().for_each(|(name, count)| println!("{name:<19} {count}"));
        println!("violations          {}", self.all_failures().count());
        println!("run twice           {}, differences {}", self.twice, self.differences.len());
        println!("\nstatus              orders");
        Status::ALL.iter().zip(self.statuses).for_each(|(status, count)| println!("{:<18} {count:>7}", status.name()));
        println!("\nfault                injected  observed");
        for (fault, (injected, observed)) in Fault::ALL.iter().zip(&self.faults) {
            println!("{:<19} {injected:>9} {observed:>9}", fault.name());
        }
        self.print_coverage();
        println!();
        self.complaints().iter().for_each(|complaint| println!("FAILED: {complaint}"));
        if self.is_good() {
            println!("no violation");
        }
    }

    /// The pairs of the saga table that were reached.
    fn print_coverage(&self) {
        println!("\n{}", self.reached.table());
    }

    /// As JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let faults = Fault::ALL.iter().zip(&self.faults).map(|(fault, (injected, observed))| {
            (fault.name().to_owned(), json!({ "injected": injected, "observed": observed }))
        });
        let statuses =
            Status::ALL.iter().zip(self.statuses).map(|(status, count)| (status.name().to_owned(), json!(count)));
        let failures = self.all_failures().map(|failure| {
            let violation = failure.violation.as_ref().expect("a failure has a violation");
            json!({
                "seed": failure.options.seed,
                "invariant": violation.invariant,
                "shard": violation.shard.map(|shard| shard.0),
                "text": violation.text,
                "command": Case::of(&failure.options).command(),
            })
        });
        json!({
            "start": self.start,
            "seeds": self.seeds,
            "seconds": self.elapsed.as_secs_f64(),
            "simulatedMicros": self.simulated_micros,
            "orders": self.orders,
            "requests": self.requests,
            "starts": self.starts,
            "archive": self.archive.named().iter().map(|(name, count)| ((*name).to_owned(), json!(count))).collect::<serde_json::Map<_, _>>(),
            "runTwice": self.twice,
            "differences": self.differences,
            "statuses": statuses.collect::<serde_json::Map<_, _>>(),
            "reached": self.reached.reached(),
            "faults": faults.collect::<serde_json::Map<_, _>>(),
            "violations": failures.collect::<Vec<_>>(),
            "complaints": self.complaints(),
        })
    }

    /// The failures as lines of a file of seeds.
    #[must_use]
    pub fn kept_lines(&self) -> String {
        let line = |failure: &Outcome| {
            let wrong = failure.violation.as_ref().map_or("", |violation| violation.invariant);
            format!("{} # {wrong}\n", Case::of(&failure.options))
        };
        self.all_failures().map(line).collect()
    }
}

/// A world that was run: what went wrong, the last events, and the one command that repeats it.
#[must_use]
pub fn describe(outcome: &Outcome) -> String {
    let Outcome { options, violation, last_events, .. } = outcome;
    let mut text = format!("seed {}", options.seed);
    match violation {
        None => text += ": no violation\n",
        Some(violation) => {
            let shard = violation.shard.map_or(String::new(), |shard| format!(", shard {shard}"));
            text += &format!(" breaks {}{shard}: {}\n", violation.invariant, violation.text);
            last_events.iter().for_each(|event| text += &format!("    {event}\n"));
        }
    }
    let operations = (0..options.operations).filter(|number| !options.is_cut(*number)).count();
    let faults: Vec<&str> = options.faults.iter().map(Fault::name).collect();
    text += &format!(
        "  {operations} operations, {} clients, {} shards on {} lanes, at most {} crashes, faults: {}\n",
        options.clients,
        options.shards,
        options.lanes,
        options.crashes_max,
        if faults.is_empty() { "none".to_owned() } else { faults.join(", ") },
    );
    text + &format!("  repeat with: {}\n\n", Case::of(options).command())
}
