//! A world from its start to its end: first faults, then it heals, and every promise is called in.

mod ends;
mod starts;
mod weather;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook};
use std::rc::Rc;

use orderlane_core::OrderId;

use crate::clients::Clients;
use crate::disk::{Crash, Policy, SimDisk};
use crate::driver::Clocks;
use crate::faults::Fault;
use crate::history::History;
use crate::invariants::{self, Caller, End, Money, money_agrees, saga_ends};
use crate::model::Model;
use crate::net::Network;
use crate::options::Options;
use crate::outcome::Outcome;
use crate::process::{Process, Surroundings};
use crate::provider::{self, Provider};
use crate::random::Random;
use crate::recovery::identity;
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
    live(World::new(Sim::new(options, keep_text))).outcome
}

/// A run that was to be stopped at a disk operation.
#[derive(Debug)]
pub struct CrashRun {
    /// What it gave.
    pub outcome: Outcome,
    /// Disk operations that change something.
    pub operations: u64,
    /// Whether it came to the operation at which it was to stop.
    pub has_crashed: bool,
}

/// Runs a world in which everything stops at the disk operation with this index, if there are so many, and all that was unsynced
/// then meets the fate of the policy.
#[must_use]
pub fn run_with_crash(options: Options, index: u64, policy: Policy) -> CrashRun {
    let mut world = World::new(Sim::new(options, false));
    world.around.disk.crash_at(index);
    world.fate = Some(policy);
    live(world)
}

fn live(mut world: World) -> CrashRun {
    let ended = catch_unwind(AssertUnwindSafe(|| world.live()));
    if ended.is_err() {
        let text = PANIC.take().unwrap_or_else(|| "a panic without a message".into());
        world.around.sim.violate("panic", None, text);
    }
    let disk = &world.around.disk;
    let run = CrashRun { outcome: world.outcome(), operations: disk.operations(), has_crashed: !disk.is_to_crash() };
    if ended.is_err() {
        // What a panic left half done is not dropped in order.
        std::mem::forget(world);
    } else {
        world.around.sim.executor().end();
    }
    run
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
    /// A start has passed over a checkpoint, and not every shard has two since: one more that is damaged may be the last.
    has_fallen_back: bool,
    /// Others fill the disk until then.
    full_until: Option<u64>,
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
            watch: Watch::new(options.shards, options.key_retention_micros),
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
            has_fallen_back: false,
            full_until: None,
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
        // An order whose client was gone may have become durable only while the process stopped.
        self.settle()?;
        self.clients.final_read();
        let deadline = self.elapsed() + HEAL_MICROS_MAX;
        self.until(deadline, "the last reads", |world| world.clients.final_done())?;
        self.forget()?;
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
        if self.full_until.take().is_some() {
            self.around.disk.leave_room(None);
        }
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
        })?;
        let money = self.money();
        money_agrees::during(&self.around.watch.seen().model, &money)
            .map_err(|text| self.broken(Violation { invariant: money_agrees::NAME, shard: None, text }))
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
                self.sim().violate(saga_ends::NAME, None, text);
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
        self.ask_to_stop();
        let deadline = self.elapsed() + STOP_MICROS_MAX;
        self.until(deadline, "the end of a process that was asked to stop", |world| {
            matches!(world.life, Life::Down { .. })
        })?;
        self.life = Life::Down { until: u64::MAX };
        Ok(())
    }

    /// What has ended leaves the memory: what is left of it is less than begins a cut.
    fn forget(&mut self) -> Go {
        let deadline = self.elapsed() + STOP_MICROS_MAX;
        while let Err(text) = self.remembers_little() {
            self.step()?;
            if self.elapsed() > deadline {
                self.sim().violate("memory-is-bounded", None, text);
                return Err(Broken);
            }
        }
        Ok(())
    }

    fn remembers_little(&self) -> Result<(), String> {
        let Some(archive) = self.sim().options().archive else { return Ok(()) };
        let seen = self.around.watch.seen();
        // Orders that are named by messages of which no event says that they have arrived cannot leave.
        let named = |source: u16| {
            let links = seen.model.links.iter().filter(|(own, _, _)| own.0 == source);
            links.map(|(_, _, link)| link.told.len() as u64 - link.delivered).sum::<u64>()
        };
        let of_lane = |lane: u16| {
            let own = seen.memory.iter().enumerate().filter(|(shard, _)| *shard as u16 % self.lanes == lane);
            own.map(|(shard, memory)| memory.quiet.saturating_sub(named(shard as u16))).sum::<u64>()
        };
        let most = (0..self.lanes).map(of_lane).max().unwrap_or_default();
        let text = || format!("a lane keeps {most} ended orders in memory, {} begin a cut", archive.run_orders);
        if most < archive.run_orders { Ok(()) } else { Err(text()) }
    }

    fn ask_to_stop(&mut self) {
        let until = self.elapsed() + STOP_MICROS_MAX;
        self.life = match std::mem::replace(&mut self.life, Life::Down { until: u64::MAX }) {
            Life::Up(process) => {
                self.sim().note("stop", &[]);
                process.stop();
                Life::Stopping(process, until)
            }
            life @ (Life::Down { .. } | Life::Stopping(..) | Life::Failing(..)) => life,
        };
    }

    fn is_serving(&self) -> bool {
        matches!(&self.life, Life::Up(process) if process.is_serving())
    }

    /// What the provider has taken and given back.
    fn money(&self) -> Vec<Money> {
        let ledger = self.around.provider.ledger();
        let taken = ledger.iter().filter(|(_, _, attempt)| attempt.money == provider::Money::Charged);
        let of = |(order, number, attempt): (OrderId, u8, &provider::Attempt)| Money {
            order,
            attempt: number,
            charged: attempt.charged(),
            refunded: attempt.refunded.then(|| attempt.charged()),
        };
        taken.map(of).collect()
    }

    fn final_checks(&self) -> Go {
        let seen = self.around.watch.seen();
        let money = self.money();
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
            Life::Up(process) => {
                if process.is_serving() {
                    self.around.disk.start_is_over();
                }
                self.weather()?;
            }
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
        if !stepped && !matches!(self.life, Life::Down { .. }) {
            self.sim().violate("progress", None, "nobody has anything to do, for ever".into());
            return Err(Broken);
        }
        Ok(())
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
            archive: seen.archive,
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
