//! `cargo sim`: seeds by the thousand, one seed with its trace, and the proofs that the simulator itself is sound.
#![forbid(unsafe_code)]

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use orderlane_sim::campaign::{self, Plan, describe};
use orderlane_sim::matrix::{self, MatrixReport};
use orderlane_sim::planted::{self, Hunt};
use orderlane_sim::seeds::{Case, Changes};
use orderlane_sim::{determinism, world};

/// The seeds that the tests replay.
const KEPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/seeds.txt");

/// Runs the whole engine on seeds: every fault, every invariant.
#[derive(Debug, Parser)]
#[command(name = "cargo sim", bin_name = "cargo sim", args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    one: One,
    #[command(flatten)]
    many: Many,
}

/// One world.
#[derive(Args, Debug)]
struct One {
    /// Runs this seed alone
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Prints every step of it
    #[arg(long, requires = "seed")]
    trace: bool,
    #[command(flatten)]
    changes: Changes,
}

/// Many worlds.
#[derive(Args, Debug)]
struct Many {
    /// How many seeds
    #[arg(long, value_name = "N", default_value_t = 200)]
    seeds: u64,
    /// The first one
    #[arg(long, value_name = "S", default_value_t = 1)]
    start: u64,
    /// No seed starts after so many minutes
    #[arg(long, value_name = "M")]
    minutes: Option<f64>,
    /// Threads that run worlds; as many as there are cores
    #[arg(long, value_name = "T")]
    threads: Option<usize>,
    /// Writes what was found to a file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Appends what failed to a file of seeds; `sim/seeds.txt` unless told otherwise
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = KEPT)]
    keep: Option<PathBuf>,
    /// Ends at the first failure
    #[arg(long)]
    stop_at_first: bool,
    /// Leaves failures as they are
    #[arg(long)]
    no_shrink: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs seeds twice, each time in a process of its own, and compares the traces byte by byte
    Determinism {
        /// How many seeds
        #[arg(long, value_name = "N", default_value_t = 10)]
        seeds: u64,
        /// The first one
        #[arg(long, value_name = "S", default_value_t = 1)]
        start: u64,
    },
    /// Every crash at every step of a fixed workload, every cut and every flipped bit of a journal
    Matrix {
        /// Some of them only
        #[arg(long)]
        sample: bool,
    },
    /// Plants known bugs in a copy of the tree and hunts them
    Planted {
        /// Only patches whose name contains this
        #[arg(long, value_name = "NAME")]
        only: Option<String>,
        /// Seeds for each, at most
        #[arg(long, value_name = "MAX", default_value_t = 6_000)]
        seeds: u64,
        /// Seeds that the tree without a patch must run through
        #[arg(long, value_name = "N", default_value_t = 200)]
        control_seeds: u64,
        /// Threads that run worlds; as many as there are cores
        #[arg(long, value_name = "T")]
        threads: Option<usize>,
        /// Goes on behind a patch that is not caught
        #[arg(long)]
        keep_going: bool,
        /// Where the copy is made
        #[arg(long, value_name = "DIRECTORY")]
        scratch: Option<PathBuf>,
    },
}

fn main() -> ExitCode {
    let Cli { command, one, many } = Cli::parse();
    world::quiet_panics();
    let good = match (command, one.seed) {
        (Some(Command::Determinism { seeds, start }), _) => determinism::check(start, seeds),
        (Some(Command::Matrix { sample }), _) => matrix(sample),
        (Some(Command::Planted { only, seeds, control_seeds, threads, keep_going, scratch }), _) => {
            let threads = threads_or_all(threads);
            planted::hunt(&Hunt { only, seeds_max: seeds, control_seeds, threads, keep_going, scratch })
        }
        (None, Some(seed)) => Ok(run_one(Case { seed, changes: one.changes }, one.trace)),
        (None, None) if one.changes != Changes::default() => Err("these changes need a --seed".to_owned()),
        (None, None) => run_many(&many),
    };
    match good {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(text) => {
            eprintln!("error: {text}");
            ExitCode::FAILURE
        }
    }
}

/// The trace goes to the output alone, so that two of them can be compared.
fn run_one(case: Case, trace: bool) -> bool {
    let outcome = campaign::on_deep_stack(move || world::run(case.options(), trace));
    if trace {
        print!("{}", outcome.trace_text);
        eprint!("{}", describe(&outcome));
    } else {
        print!("{}", describe(&outcome));
        println!(
            "{} orders, {} requests, {} starts, {:.1} simulated seconds, trace of {} lines, digest {:016x}",
            outcome.orders,
            outcome.requests,
            outcome.starts,
            outcome.elapsed_micros as f64 / 1e6,
            outcome.trace_lines,
            outcome.trace_digest,
        );
    }
    outcome.violation.is_none()
}

fn run_many(many: &Many) -> Result<bool, String> {
    let plan = Plan {
        start: many.start,
        seeds: many.seeds,
        time_max: many.minutes.map(|minutes| Duration::from_secs_f64((minutes * 60.0).clamp(0.0, 1e9))),
        threads: threads_or_all(many.threads),
        stop_at_first: many.stop_at_first,
        shrink: !many.no_shrink,
    };
    let report = campaign::run(&plan, |options| world::run(options, false));
    report.print();
    if let Some(path) = &many.json {
        std::fs::write(path, format!("{:#}\n", report.to_json()))
            .map_err(|error| format!("{}: {error}", path.display()))?;
    }
    if let Some(path) = &many.keep {
        let file = OpenOptions::new().append(true).create(true).open(path);
        let kept = file.and_then(|mut file| file.write_all(report.kept_lines().as_bytes()));
        kept.map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(report.is_good())
}

/// Every case of every part, or one in so many.
fn matrix(sample: bool) -> Result<bool, String> {
    let steps = if sample { [37, 311, 8009] } else { [1; 3] };
    let reports = campaign::on_deep_stack(move || {
        let mut reports = vec![matrix::crash_points(steps[0])];
        reports.extend(matrix::truncations(steps[1]));
        reports.extend(matrix::flips(steps[2]));
        reports
    });
    print!("{}", matrix::table(&reports));
    Ok(reports.iter().all(MatrixReport::is_good))
}

fn threads_or_all(threads: Option<usize>) -> usize {
    threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get))
}
