//! A case: a seed, and what of its world is changed. One way to write it: on the command line, in a report, in `seeds.txt`.

use std::fmt;
use std::ops::Range;

use clap::{Args, Parser};

use crate::faults::{Fault, FaultSet};
use crate::options::Options;

/// The seeds that ever failed, a case a line: `seed [changes] # what was wrong`.
pub const KEPT: &str = include_str!("../seeds.txt");

/// What is other than the seed drew it.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Operations that are left out
    #[arg(long, value_name = "A-B,C-D", value_delimiter = ',', value_parser = parse_cut)]
    pub cut: Vec<Range<u32>>,
    /// Kinds of faults that do not happen
    #[arg(long, value_name = "FAULT,…", value_parser = parse_faults, conflicts_with = "only")]
    pub without: Option<FaultSet>,
    /// The kinds of faults that happen; `none`
    #[arg(long, value_name = "FAULT,…", value_parser = parse_faults)]
    pub only: Option<FaultSet>,
    /// Crashes and stops, at most
    #[arg(long, value_name = "N")]
    pub crashes: Option<u32>,
    /// Lanes of the first start
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub lanes: Option<u16>,
    /// Clients
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub clients: Option<u16>,
}

/// A seed with its changes.
#[derive(Clone, Debug, PartialEq, Eq, Parser)]
#[command(no_binary_name = true)]
pub struct Case {
    /// The seed
    pub seed: u64,
    /// What is changed
    #[command(flatten)]
    pub changes: Changes,
}

impl Case {
    /// What makes these options of what their seed draws.
    #[must_use]
    pub fn of(options: &Options) -> Case {
        let drawn = Options::draw(options.seed);
        let off = drawn.faults.iter().filter(|fault| !options.faults.has(*fault));
        let off = off.fold(FaultSet::default(), FaultSet::with);
        let is_subset = options.faults.iter().all(|fault| drawn.faults.has(fault));
        let is_shorter = off.iter().count() <= options.faults.iter().count();
        let (without, only) = match (options.faults == drawn.faults, is_subset && is_shorter) {
            (true, _) => (None, None),
            (false, true) => (Some(off), None),
            (false, false) => (None, Some(options.faults)),
        };
        let changes = Changes {
            cut: options.cuts.clone(),
            without,
            only,
            crashes: (options.crashes_max != drawn.crashes_max).then_some(options.crashes_max),
            lanes: (options.lanes != drawn.lanes).then_some(options.lanes),
            clients: (options.clients != drawn.clients).then_some(options.clients),
        };
        Case { seed: options.seed, changes }
    }

    /// The world of this case.
    #[must_use]
    pub fn options(&self) -> Options {
        let mut options = Options::draw(self.seed);
        let Changes { cut, without, only, crashes, lanes, clients } = &self.changes;
        options.cuts.clone_from(cut);
        if let Some(only) = only {
            options.faults = *only;
        }
        options.faults = without.iter().flat_map(|set| set.iter()).fold(options.faults, FaultSet::without);
        options.crashes_max = crashes.unwrap_or(options.crashes_max);
        options.lanes = lanes.unwrap_or(options.lanes).min(options.shards);
        options.clients = clients.unwrap_or(options.clients);
        options
    }

    /// The one command that repeats it.
    #[must_use]
    pub fn command(&self) -> String {
        format!("cargo sim --seed {self}")
    }

    /// Parses a line without its comment.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(line: &str) -> Result<Case, String> {
        Case::try_parse_from(line.split_whitespace()).map_err(|error| format!("`{line}`: {error}"))
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Changes { cut, without, only, crashes, lanes, clients } = &self.changes;
        write!(f, "{}", self.seed)?;
        if !cut.is_empty() {
            let cuts: Vec<String> = cut.iter().map(cut_text).collect();
            write!(f, " --cut {}", cuts.join(","))?;
        }
        for (name, set) in [("without", without), ("only", only)] {
            set.iter().try_for_each(|set| write!(f, " --{name} {}", faults_text(*set)))?;
        }
        crashes.iter().try_for_each(|count| write!(f, " --crashes {count}"))?;
        lanes.iter().try_for_each(|count| write!(f, " --lanes {count}"))?;
        clients.iter().try_for_each(|count| write!(f, " --clients {count}"))
    }
}

/// The cases of a file of seeds, each with what was wrong.
///
/// # Errors
/// What is wrong with the first bad line.
pub fn parse(text: &str) -> Result<Vec<(Case, String)>, String> {
    let mut cases = Vec::new();
    for line in text.lines() {
        let (case, comment) = line.split_once('#').unwrap_or((line, ""));
        if !case.trim().is_empty() {
            cases.push((Case::parse(case.trim())?, comment.trim().to_owned()));
        }
    }
    Ok(cases)
}

fn parse_cut(text: &str) -> Result<Range<u32>, String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (first.parse::<u32>(), last.parse::<u32>()) {
        (Ok(first), Ok(last)) if first <= last && last < u32::MAX => Ok(first..last + 1),
        _ => Err("is two numbers of operations, the first and the last that are left out".to_owned()),
    }
}

fn cut_text(cut: &Range<u32>) -> String {
    format!("{}-{}", cut.start, cut.end - 1)
}

fn parse_faults(text: &str) -> Result<FaultSet, String> {
    if text == "none" {
        return Ok(FaultSet::default());
    }
    text.split(',').try_fold(FaultSet::default(), |set, name| {
        let fault = Fault::ALL.iter().find(|fault| fault.name() == name);
        fault.map(|fault| set.with(*fault)).ok_or_else(|| format!("there is no fault `{name}`"))
    })
}

fn faults_text(set: FaultSet) -> String {
    let names: Vec<&str> = set.iter().map(Fault::name).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(",") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_case_says_is_what_it_was_made_of() {
        for seed in 0..50 {
            let mut options = Options::draw(seed);
            assert_eq!(Case::of(&options).to_string(), seed.to_string(), "nothing is changed");
            options.cuts = vec![0..3, 7..8];
            options.faults = options.faults.iter().skip(2).fold(FaultSet::default(), FaultSet::with);
            options.crashes_max = 0;
            options.lanes = 1;
            options.clients = 1;
            let case = Case::of(&options);
            let parsed = Case::parse(&case.to_string()).expect("written by ourselves");
            assert_eq!(parsed, case);
            assert_eq!(format!("{:?}", parsed.options()), format!("{options:?}"));
        }
    }

    #[test]
    fn a_file_has_cases_and_comments_and_a_bad_line_is_named() {
        let text = "# head\n\n7 # it was wrong\n8 --cut 1-2,5 --only none --crashes 0#x\n";
        let cases = parse(text).expect("good");
        assert_eq!(cases.len(), 2);
        assert_eq!((cases[0].0.seed, cases[0].1.as_str()), (7, "it was wrong"));
        assert_eq!(cases[1].0.changes.cut, [1..3, 5..6]);
        assert_eq!(cases[1].0.options().faults, FaultSet::default());
        for bad in ["x", "1 --cut 3-1", "1 --only nonsense", "1 --lanes 0"] {
            assert!(parse(bad).is_err_and(|text| text.contains(bad)), "{bad}");
        }
    }

    #[test]
    fn the_kept_seeds_parse() {
        parse(KEPT).expect("every line is a case");
    }
}
