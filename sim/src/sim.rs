//! What all parts of a world share.

use std::cell::RefCell;
use std::rc::Rc;

use orderlane_core::ShardId;

use crate::executor::Executor;
use crate::faults::Faults;
use crate::options::Options;
use crate::random::Random;
use crate::trace::Trace;

/// A broken promise of the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which invariant: the name of its file in `invariants/`, kebab-case.
    pub invariant: &'static str,
    /// The shard concerned, if there is one.
    pub shard: Option<ShardId>,
    /// What was expected, and what was found.
    pub text: String,
}

/// The shared parts of a world. Cheap to clone.
#[derive(Clone)]
pub struct Sim(Rc<Parts>);

struct Parts {
    executor: Executor,
    faults: Faults,
    options: Options,
    trace: Trace,
    violation: RefCell<Option<Violation>>,
}

impl Sim {
    /// The shared parts for these options.
    #[must_use]
    pub fn new(options: Options, keep_text: bool) -> Sim {
        let executor = Executor::new(Random::named(options.seed, "executor"));
        let faults = Faults::new(options.faults, options.fault_factor);
        Sim(Rc::new(Parts { executor, faults, options, trace: Trace::new(keep_text), violation: RefCell::default() }))
    }

    /// Who runs, and when.
    #[must_use]
    pub fn executor(&self) -> &Executor {
        &self.0.executor
    }

    /// What may fail.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.0.faults
    }

    /// What was drawn.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.0.options
    }

    /// A stream of chance for one part of the world.
    #[must_use]
    pub fn random(&self, name: &str) -> Random {
        Random::named(self.0.options.seed, name)
    }

    /// A line of the trace.
    pub fn note(&self, what: &str, numbers: &[u64]) {
        let executor = &self.0.executor;
        self.0.trace.note(executor.moment(), executor.elapsed_micros(), what, numbers);
    }

    /// The trace.
    #[must_use]
    pub fn trace(&self) -> &Trace {
        &self.0.trace
    }

    /// The engine broke a promise; the first one counts.
    pub fn violate(&self, invariant: &'static str, shard: Option<ShardId>, text: String) {
        self.break_promise(Violation { invariant, shard, text });
    }

    /// The engine broke a promise; the first one counts.
    pub fn break_promise(&self, violation: Violation) {
        self.0.violation.borrow_mut().get_or_insert(violation);
    }

    /// The first broken promise.
    #[must_use]
    pub fn violation(&self) -> Option<Violation> {
        self.0.violation.borrow().clone()
    }
}
