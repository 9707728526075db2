//! A world from its start to its end: first faults, then it heals, and every promise is called in.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook};
use std::rc::Rc;

use orderlane_core::OrderId;
use orderlane_journal::FilesError;

use crate::clients::Clients;
use crate::disk::{Crash, Policy, SimDisk};
use crate::driver::Clocks;
use crate::faults::Fault;
use crate::history::History;
use crate::invariants::{self, Caller, End, Money, recovery_is_fold, saga_ends};
use crate::model::{Model, Order};
use crate::net::Network;
use crate::options::Options;
use crate::outcome::Outcome;
use crate::process::{Process, Recovery, Surroundings, config, identity, recover};
use crate::provider::{self, Provider};
use crate::random::Random;
use crate::sim::{Sim, Violation};
use crate::watch::Watch;

/// Faults stop at the latest after so much virtual time.
const FAULTS_MICROS_MAX: u64 = 20 * 60 * 1_000_000;
/// Faults stop at the latest after so many steps.
const FAULTS_STEPS_MAX: u64 = 400_000;
/// Faults stop at the latest after so many starts: each one reads all files of the ones before.
const FAULTS_STARTS_MAX: u32 = 24;
/// After the faults have stopped, every saga ends within this virtual time, the hold's and what the clocks were set forward added.
pub const HEAL_MICROS_MAX: u64 = 10 * 60 * 1_000_000;
/// A stop that was asked for ends within this virtual time.
const STOP_MICROS_MAX: u64 = 3 * 60 * 1_000_000;
/// A hold that is over by its lane's clock ends within this virtual time: stalls and slow syncs are shorter.
const HOLD_OVER_MICROS_MAX: u64 = 60_000_000;
/// The product looks for failed lanes so often.
const FAILED_LANE_MICROS_MAX: u64 = 20_000;
/// Events of the shard concerned that a failure shows.
const LAST_EVENTS: usize = 24;

thread_local! {
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// From now on a panic prints nothing: [`run`] reports it as a violation.
pub fn quiet_panics() {
    set_hook(Box::new(|info| PANIC.set(Some(info.to_string()))));
}

/// Runs the world of these options. A panic of the engine is caught and is a violation.
#[must_use]
pub fn run(options: Options, keep_text: bool) -> Outcome {
    live(World::new(Sim::new(options, keep_text))).0
}

/// Runs a world in which everything stops at the disk operation with this index, if there are so many, and all that was unsynced
/// then meets the fate of the policy. Also gives how many operations there were.
#[must_use]
pub fn run_with_crash(options: Options, index: u64, policy: Policy) -> (Outcome, u64) {
    let mut world = World::new(Sim::new(options, false));
    world.around.disk.crash_at(index);
    world.fate = Some(policy);
    live(world)
}

fn live(mut world: World) -> (Outcome, u64) {
    let ended = catch_unwind(AssertUnwindSafe(|| world.live()));
    if ended.is_err() {
        let text = PANIC.take().unwrap_or_else(|| "a panic without a message".into());
        world.around.sim.violate("panic", None, text);
    }
    let outcome = (world.outcome(), world.around.disk.operations());
    if ended.is_err() {
        // What a panic left half done is not dropped in order.
        std::mem::forget(world);
    }
    outcome
}

/// The world ends here: a promise was broken.
struct Broken;

type Go = Result<(), Broken>;

struct World {
    around: Surroundings,
    clients: Clients,
    history: Rc<RefCell<History>>,
    random: Random,
    life: Life,
    starts: u32,
    lanes: u16,
    crashes_left: u32,
    /// Steps until the next crash.
    fuse: Option<u64>,
    steps: u64,
    weather_at: u64,
    clock_shift_micros: u64,
    /// Faults that the last start was given, to be counted as observed when a recovery has succeeded.
    crash_pending: Option<Fault>,
    /// At the start of the process that lives.
    disk_errors_before: u64,
    /// Holds that are over by the clock of their lane, and since when that is seen of the process that lives.
    holds_over: BTreeMap<OrderId, u64>,
    /// What becomes of unsynced writes at a crash that the disk was asked for; drawn without it.
    fate: Option<Policy>,
}

/// Whether there is a process.
enum Life {
    /// None; the next one starts at this virtual time.
    Down { until: u64 },
    /// It runs.
    Up(Process),
    /// It was asked to stop, at the latest by this time.
    Stopping(Process, u64),
    /// A lane has failed; the process ends at this time.
    Failing(Process, u64),
}

impl World {
    fn new(sim: Sim) -> World {
        let options = sim.options().clone();
        let network = Network::new(&sim);
        let history = Rc::new(RefCell::new(History::default()));
        let clients = Clients::start(&sim, network.clone(), history.clone());
        let around = Surroundings {
            watch: Watch::new(options.shards),
            disk: SimDisk::new(&sim),
            network,
            provider: Provider::new(&sim),
            clocks: Clocks::new(options.shards),
            sim: sim.clone(),
        };
        around.disk.spare_tails(identity(&sim));
        let mut random = sim.random("world");
        if sim.faults().is_on(Fault::ClockSkew) && options.lanes > 1 {
            sim.faults().injected(Fault::ClockSkew);
            (0..options.shards).for_each(|lane| around.clocks.shift(lane, random.below(200_000) as i64 - 100_000));
        }
        World {
            around,
            clients,
            history,
            random,
            life: Life::Down { until: 0 },
            starts: 0,
            lanes: options.lanes,
            crashes_left: options.crashes_max,
            fuse: None,
            steps: 0,
            weather_at: 0,
            clock_shift_micros: 0,
            crash_pending: None,
            disk_errors_before: 0,
            holds_over: BTreeMap::new(),
            fate: None,
        }
    }

    fn sim(&self) -> &Sim {
        &self.around.sim
    }

    fn elapsed(&self) -> u64 {
        self.sim().executor().elapsed_micros()
    }

    /// The whole life of the world; ends early when a promise was broken.
    fn live(&mut self) {
        let _ = self.phases();
    }

    fn phases(&mut self) -> Go {
        while !self.clients.planned_done() && !self.has_seen_enough() {
            self.step()?;
        }
        self.heal();
        self.settle()?;
        self.stop_and_start_again()?;
        self.clients.final_read();
        let deadline = self.elapsed() + HEAL_MICROS_MAX;
        self.until(deadline, "the last reads", |world| world.clients.final_done())?;
        self.stop()?;
        self.final_checks()
    }

    /// Faults have had their time, whatever the clients still have to do.
    fn has_seen_enough(&self) -> bool {
        self.elapsed() > FAULTS_MICROS_MAX || self.steps > FAULTS_STEPS_MAX || self.starts > FAULTS_STARTS_MAX
    }

    /// Nothing fails any more.
    fn heal(&mut self) {
        self.sim().note("heal", &[self.steps]);
        self.sim().faults().heal();
        self.around.disk.unrot();
        self.fuse = None;
        self.crashes_left = 0;
    }

    /// Every saga ends, every client has its answer.
    fn settle(&mut self) -> Go {
        let options = self.sim().options();
        let deadline = self.elapsed() + HEAL_MICROS_MAX + options.hold_ttl_micros + self.clock_shift_micros;
        self.until(deadline, "the end of every saga and the answer to every client", |world| {
            world.clients.done()
                && world.around.provider.calls_open() == 0
                && saga_ends::settled(&world.around.watch.seen().model).is_ok()
        })
    }

    /// Steps until `done`, which must come to be before `deadline`.
    fn until(&mut self, deadline: u64, what: &str, done: impl Fn(&World) -> bool) -> Go {
        while !done(self) {
            self.step()?;
            if self.elapsed() > deadline {
                let seen = self.around.watch.seen();
                let text = format!(
                    "{what} did not come in time: clients done {}, calls open {}, {:?}",
                    self.clients.done(),
                    self.around.provider.calls_open(),
                    saga_ends::settled(&seen.model)
                );
                drop(seen);
                self.sim().violate("saga-ends", None, text);
                return Err(Broken);
            }
        }
        Ok(())
    }

    /// A stop, a loss of power, and a start with another count of lanes give the same state.
    fn stop_and_start_again(&mut self) -> Go {
        self.stop()?;
        self.around.disk.crash(Crash::Power);
        self.lanes = 1 + self.lanes % self.sim().options().shards;
        self.life = Life::Down { until: self.elapsed() };
        let deadline = self.elapsed() + STOP_MICROS_MAX;
        self.until(deadline, "a start after the end", World::is_serving)
    }

    fn stop(&mut self) -> Go {
        if let Life::Up(process) = std::mem::replace(&mut self.life, Life::Down { until: u64::MAX }) {
            process.stop();
            self.life = Life::Stopping(process, self.elapsed() + STOP_MICROS_MAX);
        }
        let deadline = self.elapsed() + STOP_MICROS_MAX;
        self.until(deadline, "the end of a process that was asked to stop", |world| {
            matches!(world.life, Life::Down { .. })
        })?;
        self.life = Life::Down { until: u64::MAX };
        Ok(())
    }

    fn is_serving(&self) -> bool {
        matches!(&self.life, Life::Up(process) if process.is_serving())
    }

    fn final_checks(&self) -> Go {
        let seen = self.around.watch.seen();
        let ledger = self.around.provider.ledger();
        let money: Vec<Money> = ledger
            .iter()
            .filter(|(_, _, attempt)| attempt.money == provider::Money::Charged)
            .map(|(order, number, attempt)| Money {
                order,
                attempt: number,
                charged: attempt.charged(),
                refunded: attempt.refunded.then(|| attempt.charged()),
            })
            .collect();
        let end = End {
            model: &seen.model,
            logs: &seen.logs,
            history: &self.history.borrow(),
            money: &money,
            caller: &|_| Caller { subject: "anonymous".into(), is_admin: true },
            is_healed: true,
        };
        invariants::at_end(&end).map_err(|violation| self.broken(violation))
    }

    fn broken(&self, violation: Violation) -> Broken {
        self.sim().break_promise(violation);
        Broken
    }

    /// One step of somebody, and what the world makes of it.
    fn step(&mut self) -> Go {
        let stepped = self.sim().executor().step();
        self.steps += 1;
        if self.sim().violation().is_some() {
            return Err(Broken);
        }
        let now = self.elapsed();
        match &self.life {
            Life::Down { until } if *until <= now || !stepped => return self.start(),
            Life::Down { .. } => {}
            Life::Up(_) | Life::Stopping(..) | Life::Failing(..) if self.around.disk.crashed() => {
                self.sim().faults().observed(Fault::CrashInRecovery);
                self.crash_drawn();
            }
            Life::Up(process) if process.failed().is_some() => self.lane_failed(),
            Life::Up(_) => self.weather(),
            Life::Stopping(process, _) if process.has_ended() => self.ended(),
            Life::Stopping(process, _) if process.failed().is_some() => self.lane_failed(),
            Life::Stopping(process, until) if *until <= now => {
                let text = format!("a process that was asked to stop goes on: {}", process.describe(self.sim()));
                self.sim().violate("stop-ends", None, text);
                return Err(Broken);
            }
            Life::Stopping(..) => {}
            Life::Failing(_, until) if *until <= now => self.crash(Crash::Kill, None),
            Life::Failing(..) => {}
        }
        if !stepped && matches!(self.life, Life::Up(_) | Life::Stopping(..)) {
            self.sim().violate("progress", None, "nobody has anything to do, for ever".into());
            return Err(Broken);
        }
        Ok(())
    }

    /// Crashes, stops, stalls, clocks: what happens to a process that runs.
    fn weather(&mut self) {
        if let Some(fuse) = &mut self.fuse {
            *fuse = fuse.saturating_sub(1);
            if *fuse == 0 {
                self.fuse = None;
                return self.end_somehow();
            }
        }
        let now = self.elapsed();
        if now < self.weather_at {
            return;
        }
        self.weather_at = now + self.random.between(1_000, 2_000_000);
        self.look_for_outlived_holds();
        let sim = self.around.sim.clone();
        let lane = self.random.below(u64::from(self.lanes)) as u16;
        if sim.faults().draw(Fault::ClockJump, &mut self.random) {
            let micros = match self.random.below(4) {
                0 => -(self.random.below(3_000_000) as i64),
                1 => self.random.below(60_000_000) as i64,
                _ => self.random.below(500_000) as i64,
            };
            self.clock_shift_micros += micros.unsigned_abs();
            self.around.clocks.shift(lane, micros);
            sim.faults().observed(Fault::ClockJump);
            sim.note("clock", &[u64::from(lane), micros as u64]);
        }
        if let Life::Up(process) = &self.life
            && sim.faults().draw(Fault::LaneStall, &mut self.random)
        {
            let micros = 10_u64.pow(self.random.between(2, 7) as u32);
            sim.executor().stall(process.groups()[usize::from(lane)], micros);
            sim.faults().observed(Fault::LaneStall);
            sim.note("stall", &[u64::from(lane), micros]);
        }
    }

    /// A hold that is over by its lane's clock ends soon, also when it began before a restart.
    fn look_for_outlived_holds(&mut self) {
        let (now, truth) = (self.elapsed(), self.sim().executor().now());
        let lanes = self.lanes;
        let seen = self.around.watch.seen();
        let clock = |order: &Order| self.around.clocks.read(order.id.shard().0 % lanes, truth);
        let is_over = |order: &Order| saga_ends::can_expire(order) && order.deadline.0 < clock(order);
        let over: Vec<OrderId> =
            seen.model.orders.values().filter(|order| is_over(order)).map(|order| order.id).collect();
        drop(seen);
        self.holds_over.retain(|order, _| over.contains(order));
        for order in over {
            let since = *self.holds_over.entry(order).or_insert(now);
            if now - since > HOLD_OVER_MICROS_MAX {
                let text = format!("{order} goes on {} s after the end of its hold", (now - since) / 1_000_000);
                self.sim().violate(saga_ends::NAME, Some(order.shard()), text);
            }
        }
    }

    /// The process ends, in one of the ways that are on.
    fn end_somehow(&mut self) {
        let ways = [Fault::ProcessKill, Fault::PowerLoss, Fault::GracefulStop];
        let ways: Vec<Fault> = ways.into_iter().filter(|way| self.sim().faults().is_on(*way)).collect();
        if ways.is_empty() {
            return;
        }
        let way = *self.random.pick(&ways);
        self.sim().faults().injected(way);
        match way {
            Fault::ProcessKill => self.crash(Crash::Kill, Some(way)),
            Fault::PowerLoss => self.crash(Crash::Power, Some(way)),
            _ => {
                if let Life::Up(process) = std::mem::replace(&mut self.life, Life::Down { until: 0 }) {
                    self.sim().note("stop", &[]);
                    process.stop();
                    self.life = Life::Stopping(process, self.elapsed() + STOP_MICROS_MAX);
                }
            }
        }
    }

    fn crash_drawn(&mut self) {
        if let Some(policy) = self.fate {
            return self.crash_by(|disk| disk.crash_with(policy));
        }
        let power = self.sim().faults().is_on(Fault::PowerLoss) && self.random.chance(500);
        self.crash(if power { Crash::Power } else { Crash::Kill }, None);
    }

    fn crash(&mut self, crash: Crash, fault: Option<Fault>) {
        self.sim().note("crash", &[u64::from(crash == Crash::Power)]);
        self.crash_by(|disk| disk.crash(crash));
        self.crash_pending = fault.or(self.crash_pending);
    }

    fn crash_by(&mut self, crash: impl FnOnce(&SimDisk)) {
        let until = self.elapsed() + 10_u64.pow(self.random.between(2, 6) as u32);
        let life = std::mem::replace(&mut self.life, Life::Down { until });
        if let Life::Up(process) | Life::Stopping(process, _) | Life::Failing(process, _) = life {
            self.count_fullness(&process);
            process.kill(&self.around);
        }
        crash(&self.around.disk);
    }

    fn lane_failed(&mut self) {
        let until = self.elapsed() + self.random.below(FAILED_LANE_MICROS_MAX);
        let life = std::mem::replace(&mut self.life, Life::Down { until });
        if let Life::Up(process) | Life::Stopping(process, _) = life {
            let why = process.failed().unwrap_or_default();
            self.sim().note("lane-failed", &[]);
            if self.disk_errors() == self.disk_errors_before {
                self.sim().violate(
                    "lane-fails-for-a-reason",
                    None,
                    format!("a lane has failed without a fault: {why}"),
                );
            }
            self.life = Life::Failing(process, until);
        }
    }

    /// A process that was asked to stop has ended.
    fn ended(&mut self) {
        if self.sim().faults().is_active() {
            self.sim().faults().observed(Fault::GracefulStop);
        }
        self.crash(Crash::Kill, None);
    }

    /// Errors that the disk has given to the engine so far.
    fn disk_errors(&self) -> u64 {
        let counts = self.sim().faults().counts();
        let kinds = [Fault::WriteError, Fault::NoSpace, Fault::CreateError, Fault::SyncError];
        kinds.iter().map(|fault| counts[*fault as usize].1).sum()
    }

    fn count_fullness(&self, process: &Process) {
        let (overloaded, rings_full) = process.fullness();
        let faults = self.sim().faults();
        if overloaded > 0 {
            faults.injected(Fault::InboxFull);
            faults.observed(Fault::InboxFull);
        }
        if rings_full > 0 {
            faults.injected(Fault::RingFull);
            faults.observed(Fault::RingFull);
        }
    }

    /// A start: it reads what is there, refuses it by name, or goes on exactly from it.
    fn start(&mut self) -> Go {
        let sim = self.around.sim.clone();
        self.starts += 1;
        let lanes_before = self.lanes;
        if self.starts > 1 && sim.faults().draw(Fault::OtherLaneCount, &mut self.random) {
            self.lanes = self.random.between(1, u64::from(sim.options().shards)) as u16;
        }
        if self.starts > 1 && self.crashes_left > 0 && sim.faults().draw(Fault::CrashInRecovery, &mut self.random) {
            self.crashes_left -= 1;
            self.around.disk.crash_at_start(self.random.below(40));
        }
        let rotten = self.starts > 1 && self.around.disk.rot(&mut self.random).is_some();
        sim.note("start", &[u64::from(self.starts), u64::from(self.lanes), u64::from(rotten)]);
        let directory = self.around.disk.directory();
        let recovered = recover(&sim, &directory, self.lanes);
        if self.around.disk.crashed() {
            sim.faults().observed(Fault::CrashInRecovery);
            self.around.disk.unrot();
            self.crash_drawn();
            return Ok(());
        }
        let met = directory.faults_met();
        let doubtful = rotten || !met.is_empty();
        match recovered {
            Err(error) => self.refused(&error, rotten, doubtful)?,
            Ok(recovery) => {
                self.judge(&recovery)?;
                self.go_on(recovery, lanes_before);
            }
        }
        self.around.disk.unrot();
        Ok(())
    }

    /// The start refused the files: there must have been something wrong with them, and it must name where.
    fn refused(&mut self, error: &FilesError, rotten: bool, doubtful: bool) -> Go {
        let text = error.to_string();
        self.sim().note("refused", &[u64::from(rotten)]);
        if !doubtful {
            self.sim().violate("recovery-refuses", None, format!("nothing was wrong with the files, but: {text}"));
            return Err(Broken);
        }
        if !text.contains(".seg") && !text.contains("listing") {
            self.sim().violate("damage-is-named", None, format!("the refusal names no file: {text}"));
            return Err(Broken);
        }
        let until = self.elapsed() + 10_u64.pow(self.random.between(3, 7) as u32);
        self.life = Life::Down { until };
        Ok(())
    }

    /// Holds what was recovered against what was promised.
    fn judge(&self, recovery: &Recovery) -> Go {
        let sim = self.around.sim.clone();
        let mut seen = self.around.watch.seen_mut();
        let mut lengths = Vec::new();
        for shard in recovery.shards() {
            let events = &recovery.events[shard.id().index()];
            match invariants::after_recovery(shard.id(), events, &seen.logs) {
                Ok(length) => lengths.push((shard.id(), length)),
                Err(violation) => return Err(self.broken(violation)),
            }
        }
        let moment = sim.executor().tick();
        for (shard, length) in lengths {
            seen.logs.truncate(shard, length, moment);
        }
        let seen = &mut *seen;
        seen.model = Model::rebuild(&seen.logs).map_err(|violation| self.broken(violation))?;
        for shard in recovery.shards() {
            let log = seen.logs.of(shard.id()).iter().map(|entry| (entry.time, &entry.event));
            recovery_is_fold::check(config(&sim, shard.id()), log, shard.digest())
                .map_err(|violation| self.broken(violation))?;
        }
        Ok(())
    }

    fn go_on(&mut self, recovery: Recovery, lanes_before: u16) {
        let sim = self.around.sim.clone();
        if lanes_before != self.lanes {
            sim.faults().observed(Fault::OtherLaneCount);
        }
        if let Some(fault) = self.crash_pending.take() {
            sim.faults().observed(fault);
        }
        if self.lanes > 1 && sim.faults().is_on(Fault::ClockSkew) {
            sim.faults().observed(Fault::ClockSkew);
        }
        self.holds_over.clear();
        self.disk_errors_before = self.disk_errors();
        self.life = Life::Up(Process::start(&self.around, self.starts, recovery));
        self.fuse = None;
        if self.crashes_left > 0 {
            self.crashes_left -= 1;
            self.fuse = Some(self.random.between(1, 10_u64.pow(self.random.clone().between(1, 4) as u32) * 3));
        }
    }

    fn outcome(&self) -> Outcome {
        let sim = self.sim();
        let seen = self.around.watch.seen();
        let violation = sim.violation();
        let shard = violation.as_ref().and_then(|violation| violation.shard);
        let mut last_events = Vec::new();
        for (own, log) in seen.logs.iter().filter(|(own, _)| shard.is_some_and(|shard| shard == *own)) {
            let from = log.len().saturating_sub(LAST_EVENTS);
            for (index, entry) in log.iter().enumerate().skip(from) {
                let durable = if entry.durable.is_some() { "durable" } else { "open" };
                last_events.push(format!(
                    "shard {own} #{} at {} ({durable}): {:?}",
                    index + 1,
                    entry.time.0,
                    entry.event
                ));
            }
        }
        Outcome {
            options: sim.options().clone(),
            violation,
            last_events,
            faults: sim.faults().counts(),
            reached: seen.reached,
            statuses: statuses(&seen.model),
            elapsed_micros: sim.executor().elapsed_micros(),
            orders: seen.model.orders.len() as u64,
            requests: self.history.borrow().operations.len() as u64,
            starts: u64::from(self.starts),
            trace_digest: sim.trace().digest(),
            trace_lines: sim.trace().lines(),
            trace_text: sim.trace().text(),
        }
    }
}

fn statuses(model: &Model) -> [u64; 10] {
    let mut statuses = [0; 10];
    model.orders.values().for_each(|order| statuses[order.phase.status() as usize] += 1);
    statuses
}
