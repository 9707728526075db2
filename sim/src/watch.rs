//! What is seen of the engine from outside while it runs: every event as it is decided, every commit as it becomes durable, every
//! batch of inputs before it is handled. Through the seams of the lane; the engine knows nothing of it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;

use orderlane_core::saga::Reached;
use orderlane_core::{Cold, Event, Input, Sequence, Shard, ShardId, Time};
use orderlane_lane::{ArchiveMetrics, Commit, CommitError, Commits, LaneMetrics, Prefetch, Receipt, Tended};

use crate::faults::Fault;
use crate::invariants::bounds::{self, Load};
use crate::invariants::{archive_sums, covered};
use crate::keeper::Poke;
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
    /// What each shard of the process that lives has in memory.
    pub memory: Vec<Memory>,
    /// Up to which event of each shard no start needs the journal any more.
    pub covered: Vec<Sequence>,
    /// What the archive has done.
    pub archive: ArchiveCounts,
}

/// How much of the archive's work a world has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ArchiveCounts {
    /// Cuts that were stored.
    pub cuts: u64,
    /// Orders in the archive at the end, each as often as it was stored.
    pub orders: u64,
    /// Batches for which the archive was read.
    pub cold_reads: u64,
    /// Things that reads found.
    pub found: u64,
    /// Things that reads could not read.
    pub unavailable: u64,
    /// Orders that left the memory.
    pub evicted: u64,
    /// Orders that came back into it for late money.
    pub recalled: u64,
    /// Starts that passed over a damaged checkpoint, and starts on copies that did.
    pub fall_backs: u64,
    /// Starts that were tried on copies of what was durable.
    pub tries: u64,
    /// Orders in the archive at the end whose keys are gone.
    pub keys_gone: u64,
    /// Keepers that failed.
    pub keepers_failed: u64,
}

impl ArchiveCounts {
    /// By name.
    #[must_use]
    pub fn named(&self) -> [(&'static str, u64); 11] {
        [
            ("cuts", self.cuts),
            ("orders archived", self.orders),
            ("cold reads", self.cold_reads),
            ("found", self.found),
            ("unavailable", self.unavailable),
            ("evicted", self.evicted),
            ("recalled", self.recalled),
            ("fall-backs", self.fall_backs),
            ("tried starts", self.tries),
            ("keys gone", self.keys_gone),
            ("keepers failed", self.keepers_failed),
        ]
    }

    /// Adds those of another world.
    pub fn add(&mut self, other: &ArchiveCounts) {
        self.cuts += other.cuts;
        self.orders += other.orders;
        self.cold_reads += other.cold_reads;
        self.found += other.found;
        self.unavailable += other.unavailable;
        self.evicted += other.evicted;
        self.recalled += other.recalled;
        self.fall_backs += other.fall_backs;
        self.tries += other.tries;
        self.keys_gone += other.keys_gone;
        self.keepers_failed += other.keepers_failed;
    }
}

/// Orders of a shard in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// All.
    pub orders: u64,
    /// Those that have ended and wait for nothing.
    pub quiet: u64,
}

impl Watch {
    /// Nothing seen yet.
    #[must_use]
    pub fn new(shards: u16, key_retention_micros: u64) -> Watch {
        let (logs, model) = (Logs::new(shards), Model::new(shards));
        let model = model.with_key_retention(key_retention_micros);
        Watch(Rc::new(RefCell::new(Seen {
            logs,
            model,
            reached: Reached::default(),
            memory: vec![Memory::default(); usize::from(shards)],
            covered: vec![0; usize::from(shards)],
            archive: ArchiveCounts::default(),
        })))
    }

    /// A keeper is gone: what it had counted.
    pub fn count_keeper(&self, metrics: &ArchiveMetrics, has_failed: bool) {
        let archive = &mut self.0.borrow_mut().archive;
        archive.cuts += metrics.runs.value();
        archive.orders = metrics.orders.value();
        archive.keys_gone = archive.orders.saturating_sub(metrics.keys.value());
        archive.keepers_failed += u64::from(has_failed);
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
        seen.archive.recalled +=
            events.iter().filter(|event| matches!(event, Event::OrderRecalled { .. })).count() as u64;
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

impl Watch {
    /// The journal is needed no longer up to these events.
    fn covered(&self, sim: &Sim, upto: &[(ShardId, Sequence)]) {
        let seen = &mut *self.0.borrow_mut();
        for (shard, upto) in upto {
            sim.note("covered", &[u64::from(shard.0), *upto]);
            let before = std::mem::replace(&mut seen.covered[shard.index()], *upto);
            if let Err(text) = covered::check(before, *upto, seen.logs.durable(*shard)) {
                sim.violate(covered::NAME, Some(*shard), text);
            }
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

    fn covered(&mut self, upto: &[(ShardId, Sequence)]) {
        self.watch.covered(&self.sim, upto);
        self.inner.covered(upto);
    }
}

/// One look at a shard in so many costs an audit.
const AUDIT_EVERY: u64 = 64;

/// A prefetch, watched: the read may take its time, each batch is looked at before it is handled, and so is the housekeeping.
pub struct WatchedPrefetch<P> {
    inner: P,
    sim: Sim,
    watch: Watch,
    metrics: Arc<LaneMetrics>,
    random: Random,
    /// Whether orders leave the memory.
    has_archive: bool,
    keeper: Option<Poke>,
    durable: u64,
}

impl<P> WatchedPrefetch<P> {
    /// Watches the prefetch of a lane. `name` is that of its stream of chance.
    pub fn new(inner: P, sim: &Sim, watch: Watch, metrics: Arc<LaneMetrics>, name: &str) -> WatchedPrefetch<P> {
        let has_archive = sim.options().archive.is_some();
        WatchedPrefetch {
            inner,
            sim: sim.clone(),
            watch,
            metrics,
            random: sim.random(name),
            has_archive,
            keeper: None,
            durable: 0,
        }
    }

    /// Where the keeper is told that there may be messages.
    pub fn with_keeper(self, keeper: Poke) -> WatchedPrefetch<P> {
        WatchedPrefetch { keeper: Some(keeper), ..self }
    }

    fn look(&mut self, inputs: usize, shards: &[Shard]) {
        let mut seen = self.watch.seen_mut();
        for shard in shards {
            for (reached, now) in seen.reached.iter_mut().zip(shard.saga_reached()) {
                *reached |= now;
            }
            if self.random.below(AUDIT_EVERY) == 0 {
                let audit = shard.audit();
                if self.has_archive
                    && let Err(text) = archive_sums::check(&seen.model, shard)
                {
                    self.sim.violate(archive_sums::NAME, Some(shard.id()), text);
                }
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

impl<P: Prefetch> Prefetch for WatchedPrefetch<P> {
    type Found = Option<P::Found>;

    fn start(
        &mut self,
        inputs: &VecDeque<(ShardId, Input)>,
        shards: &[Shard],
    ) -> Option<impl Future<Output = Self::Found> + 'static> {
        self.look(inputs.len(), shards);
        let found = self.inner.start(inputs, shards);
        if found.is_some() && self.has_archive {
            self.watch.seen_mut().archive.cold_reads += 1;
            self.keeper.iter().for_each(Poke::poke);
        }
        // Where orders leave the memory, inputs that were looked up there do not wait.
        let may_wait = !inputs.is_empty() && (found.is_some() || !self.has_archive);
        let is_slow = may_wait && self.sim.faults().draw(Fault::SlowPrefetch, &mut self.random);
        let pause = is_slow.then(|| self.sim.executor().sleep(self.random.between(1, 5_000)));
        if is_slow {
            self.sim.faults().observed(Fault::SlowPrefetch);
        }
        if found.is_none() && pause.is_none() {
            return None;
        }
        Some(async move {
            if let Some(pause) = pause {
                pause.await;
            }
            match found {
                Some(found) => Some(found.await),
                None => None,
            }
        })
    }

    fn finish(&mut self, found: Self::Found) -> Vec<(usize, Cold)> {
        let cold = found.map_or_else(Vec::new, |found| self.inner.finish(found));
        let archive = &mut self.watch.seen_mut().archive;
        let unavailable = cold.iter().filter(|(_, cold)| matches!(cold, Cold::Unavailable)).count() as u64;
        archive.found += cold.len() as u64 - unavailable;
        archive.unavailable += unavailable;
        cold
    }

    fn tend(&mut self, now: Time, shards: &mut [Shard], commits: Commits) -> Tended {
        let in_memory = |shards: &[Shard]| shards.iter().map(Shard::orders_in_memory).sum::<u64>();
        let before = in_memory(shards);
        let tended = self.inner.tend(now, shards, commits);
        if self.has_archive {
            if tended.more || self.durable != commits.durable {
                self.durable = commits.durable;
                self.keeper.iter().for_each(Poke::poke);
            }
            let seen = &mut *self.watch.seen_mut();
            seen.archive.evicted += before - in_memory(shards);
            for shard in shards.iter() {
                seen.memory[shard.id().index()] =
                    Memory { orders: shard.orders_in_memory(), quiet: shard.orders_quiet() };
            }
        }
        tended
    }

    fn holds_commits(&self) -> bool {
        self.inner.holds_commits()
    }
}
