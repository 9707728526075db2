//! What is seen of the engine from outside while it runs: every event as it is decided, every commit as it becomes durable, every
//! batch of inputs before it is handled. Through the seams of the lane; the engine knows nothing of it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;

use orderlane_core::saga::Reached;
use orderlane_core::{Event, Input, Sequence, Shard, ShardId, Time};
use orderlane_lane::{Commit, CommitError, LaneMetrics, Prefetch, Receipt};

use crate::executor::Promise;
use crate::faults::Fault;
use crate::invariants::bounds::{self, Load};
use crate::log::Logs;
use crate::model::Model;
use crate::provider::Provider;
use crate::random::Random;
use crate::sim::Sim;

/// The observer of a world. Cheap to clone.
#[derive(Clone)]
pub struct Watch(Rc<RefCell<Seen>>);

/// What was seen.
pub struct Seen {
    /// The logs, the part that is not durable included.
    pub logs: Logs,
    /// What they mean.
    pub model: Model,
    /// Pairs of the saga table that were reached, by stage.
    pub reached: Reached,
}

impl Watch {
    /// Nothing seen yet.
    #[must_use]
    pub fn new(shards: u16) -> Watch {
        let (logs, model) = (Logs::new(shards), Model::new(shards));
        Watch(Rc::new(RefCell::new(Seen { logs, model, reached: Reached::default() })))
    }

    /// What was seen.
    pub fn seen(&self) -> std::cell::Ref<'_, Seen> {
        self.0.borrow()
    }

    /// What was seen, to be corrected after a recovery.
    pub fn seen_mut(&self) -> std::cell::RefMut<'_, Seen> {
        self.0.borrow_mut()
    }

    fn appended(&self, sim: &Sim, shard: ShardId, first: Sequence, time: Time, events: &[Event]) {
        let seen = &mut *self.0.borrow_mut();
        let moment = sim.executor().tick();
        sim.note("events", &[u64::from(shard.0), first, events.len() as u64, time.0]);
        if !seen.logs.append(shard, first, time, events, moment) {
            let text = format!("events from {first} on do not follow the last one, {}", seen.logs.of(shard).len());
            return sim.violate("dense-sequence", Some(shard), text);
        }
        if let Err(violation) = seen.model.turn(shard, first, time, events.iter()) {
            sim.break_promise(violation);
        }
    }

    fn durable(&self, sim: &Sim, batch: Vec<(ShardId, Sequence)>) {
        let seen = &mut *self.0.borrow_mut();
        let moment = sim.executor().moment();
        for (shard, last) in batch {
            seen.logs.set_durable(shard, last, moment);
            sim.note("durable", &[u64::from(shard.0), last]);
        }
    }
}

/// A commit, watched.
pub struct WatchedCommit<C> {
    inner: C,
    sim: Sim,
    provider: Provider,
    watch: Watch,
    /// Each shard and its last event.
    open: Vec<(ShardId, Sequence)>,
    sealed: Vec<(ShardId, Sequence)>,
}

impl<C> WatchedCommit<C> {
    /// Watches the commit of a lane. The provider sees what the engine decides, too.
    pub fn new(inner: C, sim: &Sim, watch: Watch, provider: Provider) -> WatchedCommit<C> {
        WatchedCommit { inner, sim: sim.clone(), provider, watch, open: Vec::new(), sealed: Vec::new() }
    }
}

impl<C: Commit> Commit for WatchedCommit<C> {
    fn append(&mut self, shard: ShardId, first: Sequence, time: Time, events: &[Event]) {
        self.watch.appended(&self.sim, shard, first, time, events);
        events.iter().for_each(|event| self.provider.see(event));
        self.open.push((shard, first + events.len() as u64 - 1));
        self.inner.append(shard, first, time, events);
    }

    fn open_bytes(&self) -> usize {
        self.inner.open_bytes()
    }

    fn start(&mut self) -> Option<impl Future<Output = Result<Receipt, CommitError>> + 'static> {
        let commit = self.inner.start()?;
        if !self.sealed.is_empty() {
            let text = "a commit starts while another one is in flight".to_owned();
            self.sim.violate("one-commit-in-flight", None, text);
        }
        self.sealed = std::mem::take(&mut self.open);
        Some(commit)
    }

    fn finish(&mut self, receipt: Receipt) {
        self.watch.durable(&self.sim, std::mem::take(&mut self.sealed));
        self.inner.finish(receipt);
    }

    fn idle(&mut self) {
        self.inner.idle();
    }
}

/// One look at a shard in so many costs an audit.
const AUDIT_EVERY: u64 = 64;

/// Everything is in memory, but the read may take its time; and each batch is looked at before it is handled.
pub struct WatchedPrefetch {
    sim: Sim,
    watch: Watch,
    metrics: Arc<LaneMetrics>,
    random: Random,
}

impl WatchedPrefetch {
    /// The prefetch of a lane. `name` is that of its stream of chance.
    pub fn new(sim: &Sim, watch: Watch, metrics: Arc<LaneMetrics>, name: &str) -> WatchedPrefetch {
        WatchedPrefetch { sim: sim.clone(), watch, metrics, random: sim.random(name) }
    }

    fn look(&mut self, inputs: usize, shards: &[Shard]) {
        let mut seen = self.watch.seen_mut();
        for shard in shards {
            for (reached, now) in seen.reached.iter_mut().zip(shard.saga_reached()) {
                *reached |= now;
            }
            if self.random.below(AUDIT_EVERY) == 0 {
                let audit = shard.audit();
                if let Some(check) = audit.checks.iter().find(|check| check.violations > 0) {
                    let text = format!("{}: {} of {} broken", check.name, check.violations, check.checked);
                    self.sim.violate("audit", Some(shard.id()), text);
                }
            }
        }
        drop(seen);
        let load = Load { inbox_requests: self.metrics.inbox_requests.value(), turn_inputs: inputs as u64 };
        if let Err(text) = bounds::check(load, &self.sim.options().limits) {
            self.sim.violate(bounds::NAME, None, text);
        }
    }
}

impl Prefetch for WatchedPrefetch {
    type Found = ();

    fn start(
        &mut self,
        inputs: &VecDeque<(ShardId, Input)>,
        shards: &[Shard],
    ) -> Option<impl Future<Output = ()> + 'static> {
        self.look(inputs.len(), shards);
        if inputs.is_empty() || !self.sim.faults().draw(Fault::SlowPrefetch, &mut self.random) {
            return None::<Promise<()>>;
        }
        self.sim.faults().observed(Fault::SlowPrefetch);
        Some(self.sim.executor().sleep(self.random.between(1, 5_000)))
    }

    fn finish(&mut self, (): (), _shards: &mut [Shard]) {}
}
