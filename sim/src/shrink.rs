//! Cuts a world that fails, while it fails in the same way: what is left is what it takes.

use std::cell::Cell;
use std::ops::Range;

use crate::options::Options;
use crate::outcome::Outcome;
use crate::sim::Violation;
use crate::world;

/// Cuts the world of a failure, in so many runs at most; gives the outcome of the smallest one. Gives `outcome` back when
/// there is no violation.
#[must_use]
pub fn shrink(outcome: Outcome, runs_max: u32) -> Outcome {
    let Some(violation) = &outcome.violation else { return outcome };
    let options =
        shrink_with(&outcome.options, violation, runs_max, |options| world::run(options.clone(), false).violation);
    let shrunk = world::run(options, false);
    // A failure that does not come again is one of the simulator: then the first one is the better witness.
    if shrunk.violation.is_some() { shrunk } else { outcome }
}

/// Cuts `options` while `run` still breaks the same invariant, in so many runs at most.
pub fn shrink_with(
    options: &Options,
    violation: &Violation,
    runs_max: u32,
    run: impl Fn(&Options) -> Option<Violation>,
) -> Options {
    let mut shrinker =
        Shrinker { best: options.clone(), invariant: violation.invariant, left: Cell::new(runs_max), run };
    // The big steps first: each makes all that follow cheaper.
    shrinker.cut_operations();
    loop {
        let before = shrinker.best.clone();
        shrinker.switch_faults_off();
        shrinker.lower(|options| &mut options.crashes_max, 0);
        shrinker.lower(|options| &mut options.lanes, 1);
        shrinker.lower(|options| &mut options.clients, 1);
        shrinker.cut_operations();
        if shrinker.left.get() == 0 || is_same(&before, &shrinker.best) {
            return shrinker.best;
        }
    }
}

struct Shrinker<R> {
    best: Options,
    invariant: &'static str,
    left: Cell<u32>,
    run: R,
}

impl<R: Fn(&Options) -> Option<Violation>> Shrinker<R> {
    /// Takes a smaller world if it fails in the same way.
    fn try_take(&mut self, smaller: Options) -> bool {
        if self.left.get() == 0 {
            return false;
        }
        self.left.set(self.left.get() - 1);
        let fails = (self.run)(&smaller).is_some_and(|violation| violation.invariant == self.invariant);
        if fails {
            self.best = smaller;
        }
        fails
    }

    fn switch_faults_off(&mut self) {
        let all: Vec<_> = self.best.faults.iter().collect();
        // Halves of the kinds, quarters, and so on to single ones.
        let mut size = all.len();
        while size > 0 {
            for part in all.chunks(size) {
                let mut smaller = self.best.clone();
                smaller.faults = part.iter().fold(smaller.faults, |set, fault| set.without(*fault));
                if smaller.faults != self.best.faults {
                    self.try_take(smaller);
                }
            }
            size /= 2;
        }
    }

    /// Makes a number smaller: to its least value at once, by halves, by one.
    fn lower<T: Copy + Into<u32> + TryFrom<u32>>(&mut self, number: impl Fn(&mut Options) -> &mut T, least: u32) {
        loop {
            let now: u32 = (*number(&mut self.best)).into();
            let smaller = |value: u32| T::try_from(value).ok().filter(|_| value < now);
            let taken =
                [least, least + now.saturating_sub(least) / 2, now.saturating_sub(1)].into_iter().any(|value| {
                    let Some(value) = smaller(value.max(least)) else { return false };
                    let mut options = self.best.clone();
                    *number(&mut options) = value;
                    self.try_take(options)
                });
            if !taken {
                return;
            }
        }
    }

    /// ddmin (Zeller 1999) over the operations that are left: leaves out parts, then smaller parts.
    fn cut_operations(&mut self) {
        let mut kept: Vec<u32> = (0..self.best.operations).filter(|number| !self.best.is_cut(*number)).collect();
        let mut size = kept.len();
        while size > 0 && self.left.get() > 0 {
            let mut start = 0;
            while start < kept.len() {
                let end = (start + size).min(kept.len());
                let rest = [&kept[..start], &kept[end..]].concat();
                let smaller = Options { cuts: cuts_of(&rest, self.best.operations), ..self.best.clone() };
                if self.try_take(smaller) {
                    kept = rest;
                } else {
                    start = end;
                }
            }
            size = if size == 1 { 0 } else { size.min(kept.len()).div_ceil(2) };
        }
    }
}

/// What is left out when only `kept` stays, ascending.
fn cuts_of(kept: &[u32], operations: u32) -> Vec<Range<u32>> {
    let mut cuts = Vec::new();
    let mut next = 0;
    for number in kept.iter().copied().chain([operations]) {
        if next < number {
            cuts.push(next..number);
        }
        next = number + 1;
    }
    cuts
}

fn is_same(one: &Options, other: &Options) -> bool {
    (&one.cuts, one.faults, one.crashes_max, one.lanes, one.clients)
        == (&other.cuts, other.faults, other.crashes_max, other.lanes, other.clients)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::{Fault, FaultSet};

    fn violation(invariant: &'static str) -> Violation {
        Violation { invariant, shard: None, text: String::new() }
    }

    fn world() -> Options {
        Options {
            faults: FaultSet::all(),
            operations: 150,
            crashes_max: 6,
            lanes: 4,
            shards: 6,
            clients: 9,
            ..Options::draw(1)
        }
    }

    #[test]
    fn what_is_left_is_what_it_takes() {
        let runs = Cell::new(0);
        let fails = |options: &Options| {
            runs.set(runs.get() + 1);
            let needed = [17, 90, 91].iter().all(|number| !options.is_cut(*number));
            let with = options.faults.has(Fault::Retry) && options.faults.has(Fault::PowerLoss);
            (needed && with && options.crashes_max >= 2 && options.lanes >= 3).then(|| violation("wrong"))
        };
        let shrunk = shrink_with(&world(), &violation("wrong"), 1_000, fails);
        assert_eq!(shrunk.cuts, [0..17, 18..90, 92..150]);
        assert_eq!(shrunk.faults, FaultSet::default().with(Fault::Retry).with(Fault::PowerLoss));
        assert_eq!((shrunk.crashes_max, shrunk.lanes, shrunk.clients), (2, 3, 1));
        assert!(runs.get() < 300, "{} runs", runs.get());
    }

    #[test]
    fn another_failure_is_not_the_same_and_the_runs_are_bounded() {
        let runs = Cell::new(0);
        let count = || runs.set(runs.get() + 1);
        let fails = |options: &Options| {
            count();
            Some(violation(if options.cuts.is_empty() { "wrong" } else { "other" }))
        };
        let shrunk = shrink_with(&world(), &violation("wrong"), 40, fails);
        assert!(shrunk.cuts.is_empty());
        assert_eq!(runs.get(), 40);
    }

    #[test]
    fn a_failure_without_anything_shrinks_to_nothing() {
        let shrunk = shrink_with(&world(), &violation("wrong"), 300, |_| Some(violation("wrong")));
        assert_eq!(shrunk.cuts.len(), 1);
        assert_eq!(shrunk.cuts[0], 0..150);
        assert_eq!(shrunk.faults, FaultSet::default());
        assert_eq!((shrunk.crashes_max, shrunk.lanes, shrunk.clients), (0, 1, 1));
    }
}
