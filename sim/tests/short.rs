//! The short form of what `cargo sim` does at length: 200 seeds, the seeds that ever failed, one pair of processes, a part of the
//! crash matrix.

use std::process::Command;
use std::thread::available_parallelism;

use orderlane_sim::campaign::{Plan, describe, on_deep_stack, run};
use orderlane_sim::matrix::{MatrixReport, crash_points, table};
use orderlane_sim::{seeds, world};

#[test]
fn two_hundred_seeds_keep_every_promise() {
    let threads = available_parallelism().map_or(1, usize::from);
    let plan = Plan { start: 1, seeds: 200, time_max: None, threads, stop_at_first: false, shrink: false };
    let report = run(&plan, |options| world::run(options, false));
    report.print();
    assert!(report.is_good(), "{:?}", report.complaints());
    assert_eq!((report.seeds, report.twice), (200, 10));
}

#[test]
fn seeds_that_ever_failed_do_so_no_more() {
    let kept = seeds::parse(seeds::KEPT).expect("the file of kept seeds");
    assert!(!kept.is_empty());
    for (case, why) in kept {
        let outcome = on_deep_stack(move || world::run(case.options(), false));
        assert_eq!(outcome.violation, None, "{why}\n{}", describe(&outcome));
    }
}

#[test]
fn a_seed_gives_the_same_bytes_in_two_processes() {
    let trace = |seed: &str| {
        let run = Command::new(env!("CARGO_BIN_EXE_orderlane-sim")).args(["--seed", seed, "--trace"]).output();
        let output = run.expect("the simulator runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    let (first, second) = (trace("7"), trace("7"));
    assert!(first.len() > 10_000, "a trace of {} bytes", first.len());
    assert!(first == second, "the traces differ");
    assert!(first != trace("8"), "another seed, another trace");
}

#[test]
fn one_in_a_hundred_crash_points_recovers_all_that_was_acknowledged() {
    let report = on_deep_stack(|| crash_points(101));
    println!("{}", table(std::slice::from_ref(&report)));
    assert!(MatrixReport::is_good(&report) && report.recovered == report.tried, "{report:?}");
}
