//! Planted bugs: small mistakes of a tired engineer, each a patch in `planted/`. A simulator that does not catch them would
//! not catch the real ones. Each is built and run in a scratch copy of the tree; the product contains none of them.
#![expect(clippy::disallowed_methods, reason = "it measures and watches real time, outside of every world")]

mod patch;
mod scratch;

use std::path::PathBuf;
use std::time::Instant;

use crate::planted::patch::Patch;
use crate::planted::scratch::{Ran, Scratch};

pub use patch::directory;

/// How the planted bugs are hunted.
#[derive(Clone, Debug)]
pub struct Hunt {
    /// Only patches whose name contains this.
    pub only: Option<String>,
    /// Seeds for each, at most.
    pub seeds_max: u64,
    /// Seeds that the tree without a patch must run through without a violation.
    pub control_seeds: u64,
    /// Threads that run worlds.
    pub threads: usize,
    /// A patch that is not caught does not end the hunt.
    pub keep_going: bool,
    /// Where the copy is made; under the system's directory for temporary files unless told otherwise.
    pub scratch: Option<PathBuf>,
}

/// What became of one patch.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    Caught {
        invariant: String,
        seeds: u64,
    },
    NotCaught,
    DoesNotApply(String),
    DoesNotBuild,
    /// The simulator itself did not end as it should.
    Broken(String),
}

/// Hunts all of them and prints a table; true when every one was caught and the control was clean.
///
/// # Errors
/// When the patches cannot be read or the scratch copy cannot be made.
pub fn hunt(hunt: &Hunt) -> Result<bool, String> {
    let mut patches = patch::load(&directory())?;
    patches.retain(|patch| hunt.only.as_ref().is_none_or(|only| patch.name.contains(only.as_str())));
    if patches.is_empty() {
        return Err("no patch has such a name".to_owned());
    }
    // Neighbours touch the same crate: less is built twice.
    patches.sort_by_key(|patch| (patch.hunks[0].file.clone(), patch.name.clone()));
    let scratch = Scratch::prepare(hunt.scratch.clone())?;
    eprintln!("scratch copy in {}", scratch.root().display());
    if !control(hunt, &scratch)? {
        return Ok(false);
    }
    println!("| patch | the mistake | caught by | after seeds | seconds to build | seconds to catch |");
    println!("|---|---|---|---|---|---|");
    let mut caught = 0;
    for patch in &patches {
        let (verdict, build_seconds, run_seconds) = try_patch(hunt, &scratch, patch)?;
        let is_caught = matches!(verdict, Verdict::Caught { .. });
        caught += u32::from(is_caught);
        println!("{}", row(patch, &verdict, build_seconds, run_seconds));
        if !is_caught && !hunt.keep_going {
            break;
        }
    }
    println!("\ncaught {caught} of {}", patches.len());
    Ok(caught as usize == patches.len())
}

/// Without a patch nothing may be found: otherwise everything would count as caught.
fn control(hunt: &Hunt, scratch: &Scratch) -> Result<bool, String> {
    let begun = Instant::now();
    if !scratch.build()? {
        return Err("the tree without a patch does not build".to_owned());
    }
    scratch.keep_control()?;
    eprintln!("built without a patch in {:.0} s", begun.elapsed().as_secs_f64());
    match scratch.run(hunt.control_seeds, hunt.threads)? {
        Ran::Clean => {
            eprintln!("control: {} seeds without a violation", hunt.control_seeds);
            Ok(true)
        }
        Ran::Caught { invariant, seeds } => {
            println!(
                "the tree without a patch breaks {invariant} after {seeds} seeds: nothing can be said of the patches"
            );
            Ok(false)
        }
        Ran::Broken(text) => Err(format!("the tree without a patch: {text}")),
    }
}

fn try_patch(hunt: &Hunt, scratch: &Scratch, patch: &Patch) -> Result<(Verdict, f64, f64), String> {
    let begun = Instant::now();
    let applied = match scratch.apply(patch) {
        Ok(applied) => applied,
        Err(text) => return Ok((Verdict::DoesNotApply(text), 0.0, 0.0)),
    };
    let is_built = scratch.build();
    let build_seconds = begun.elapsed().as_secs_f64();
    let begun = Instant::now();
    let verdict = match is_built {
        Ok(true) => match scratch.run(hunt.seeds_max, hunt.threads)? {
            Ran::Caught { seeds, .. } if !scratch.is_clean_without(seeds)? => {
                Verdict::Broken(format!("seed {seeds} fails without the patch, too"))
            }
            Ran::Caught { invariant, seeds } => Verdict::Caught { invariant, seeds },
            Ran::Clean => Verdict::NotCaught,
            Ran::Broken(text) => Verdict::Broken(text),
        },
        Ok(false) => Verdict::DoesNotBuild,
        Err(text) => Verdict::Broken(text),
    };
    applied.take_back()?;
    Ok((verdict, build_seconds, begun.elapsed().as_secs_f64()))
}

fn row(patch: &Patch, verdict: &Verdict, build_seconds: f64, run_seconds: f64) -> String {
    let (by, seeds) = match verdict {
        // Another invariant than the one that was thought of is welcome, and worth a look.
        Verdict::Caught { invariant, seeds } if patch.expect.contains(invariant) => {
            (invariant.clone(), seeds.to_string())
        }
        Verdict::Caught { invariant, seeds } => (format!("{invariant} (not foreseen)"), seeds.to_string()),
        Verdict::NotCaught => ("NOT CAUGHT".to_owned(), "-".to_owned()),
        Verdict::DoesNotApply(text) => (format!("DOES NOT APPLY: {text}"), "-".to_owned()),
        Verdict::DoesNotBuild => ("DOES NOT BUILD".to_owned(), "-".to_owned()),
        Verdict::Broken(text) => (format!("BROKEN: {text}"), "-".to_owned()),
    };
    format!("| {} | {} | {by} | {seeds} | {build_seconds:.0} | {run_seconds:.0} |", patch.name, patch.what)
}
