//! The keeper of the archive, as a task: one step of it at a time, with whatever happens in between.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::task::{Poll, Waker};

use orderlane_archive::{DiskLimits, DiskSpace, Keeper, Space};
use orderlane_core::Time;
use orderlane_lane::ArchiveMetrics;

use crate::disk::{SimDirectory, SimDisk, SimStore};
use crate::driver::Clocks;
use crate::faults::Fault;
use crate::invariants::room_left;
use crate::random::Random;
use crate::sim::Sim;

/// Below this many free bytes new orders are refused.
pub const RESERVE_BYTES: u64 = 16 << 20;
/// What the disk keeps free in a world.
pub const DISK_LIMITS: DiskLimits = DiskLimits { reserve_bytes: RESERVE_BYTES, data_bytes_max: None };
/// Microseconds of a step.
const STEP_MICROS: (u64, u64) = (5, 200);
/// Microseconds of a slow step, at most.
const SLOW_STEP_MICROS_MAX: u64 = 500_000;
/// The room of the disk is measured so often.
const MEASURE_MICROS: u64 = 50_000;
/// An idle keeper looks at its clock after so many microseconds.
const IDLE_MICROS: (u64, u64) = (50_000, 200_000);

/// The keeper of a process.
pub type SimKeeper = Keeper<SimStore, SimDirectory>;

/// Wakes an idle keeper: its messages come through a channel of which the executor knows nothing. Cheap to clone.
#[derive(Clone, Default)]
pub struct Poke(Rc<PokeState>);

#[derive(Default)]
struct PokeState {
    is_set: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Poke {
    /// There may be a message.
    pub fn poke(&self) {
        self.0.is_set.set(true);
        let waker = self.0.waker.borrow_mut().take();
        waker.into_iter().for_each(Waker::wake);
    }

    async fn wait(&self, idle: impl Future<Output = ()>) {
        let mut idle = pin!(idle);
        poll_fn(|task| {
            if self.0.is_set.take() {
                return Poll::Ready(());
            }
            *self.0.waker.borrow_mut() = Some(task.waker().clone());
            idle.as_mut().poll(task)
        })
        .await;
    }
}

/// The room of the disk, as it was measured last: the keeper's own measure must be [`Send`].
#[derive(Clone, Debug, Default)]
pub struct SimSpace(Arc<[AtomicU64; 2]>);

impl SimSpace {
    fn measure_now(&self, disk: &SimDisk) {
        let room = disk.room();
        self.0[0].store(room.free, SeqCst);
        self.0[1].store(room.used, SeqCst);
    }
}

impl Space for SimSpace {
    fn measure(&self) -> io::Result<DiskSpace> {
        Ok(DiskSpace { free: self.0[0].load(SeqCst), used: self.0[1].load(SeqCst) })
    }
}

/// What is known of a keeper from outside.
#[derive(Clone)]
pub struct KeeperWatch {
    /// Wakes it.
    pub poke: Poke,
    /// What it counts.
    pub metrics: Arc<ArchiveMetrics>,
    /// What it meets on the disk.
    pub directory: SimDirectory,
    /// Faults that the start had met there.
    pub met_before: usize,
    failed: Rc<RefCell<Option<String>>>,
}

impl KeeperWatch {
    /// A keeper that has done nothing yet.
    #[must_use]
    pub fn new(directory: SimDirectory) -> KeeperWatch {
        let met_before = directory.faults_met().len();
        KeeperWatch { poke: Poke::default(), metrics: Arc::default(), directory, met_before, failed: Rc::default() }
    }

    /// Why it stores nothing any more.
    #[must_use]
    pub fn failed(&self) -> Option<String> {
        self.failed.borrow().clone()
    }
}

/// What a keeper lives on.
pub struct KeeperLife {
    /// The world.
    pub sim: Sim,
    /// Where it measures.
    pub disk: SimDisk,
    /// The measure that it was made with.
    pub space: SimSpace,
    /// Its time.
    pub clocks: Clocks,
    /// Its chance.
    pub random: Random,
    /// Who looks at it.
    pub watch: KeeperWatch,
}

impl KeeperLife {
    /// Lives until the process ends.
    pub async fn live(mut self, mut keeper: SimKeeper) {
        let executor = self.sim.executor().clone();
        let (mut last, mut measured, mut sheds, mut short_since) = (Time(0), None, false, None);
        loop {
            last = last.max(self.clocks.keepers(executor.now()));
            if measured.is_none_or(|at| last.micros_since(at) >= MEASURE_MICROS) {
                measured = Some(last);
                self.space.measure_now(&self.disk);
                let is_short = self.disk.room().free < RESERVE_BYTES;
                short_since = if is_short { short_since.or(Some(last)) } else { None };
            }
            keeper.tick(last);
            let did_shed = std::mem::replace(&mut sheds, self.watch.metrics.disk_shedding.value() > 0);
            if sheds && !did_shed {
                self.sim.note("disk-sheds", &[]);
                self.sim.faults().observed(Fault::DiskFull);
            }
            let stepped = keeper.step(last);
            if let (Ok(_), Some(since)) = (&stepped, short_since) {
                let refuses = self.watch.metrics.disk_shedding.value() > 0;
                if let Err(text) = room_left::refused_in_time(last.micros_since(since), refuses) {
                    self.sim.violate(room_left::NAME, None, text);
                }
            }
            match stepped {
                Ok(true) => {
                    let mut micros = self.random.between(STEP_MICROS.0, STEP_MICROS.1);
                    if self.sim.faults().draw(Fault::SlowArchive, &mut self.random) {
                        self.sim.faults().observed(Fault::SlowArchive);
                        micros += self.random.below(SLOW_STEP_MICROS_MAX);
                    }
                    executor.sleep(micros).await;
                }
                Ok(false) => {
                    let idle = executor.sleep(self.random.between(IDLE_MICROS.0, IDLE_MICROS.1));
                    self.watch.poke.wait(idle).await;
                    executor.sleep(self.random.between(STEP_MICROS.0, STEP_MICROS.1)).await;
                }
                Err(error) => {
                    self.sim.note("keeper-failed", &[]);
                    self.watch.failed.borrow_mut().get_or_insert(error.to_string());
                    let is_new = self.watch.directory.faults_met().len() > self.watch.met_before;
                    if !is_new && !self.disk.crashed() {
                        let text = format!("the keeper has failed without a fault: {error}");
                        self.sim.violate("keeper-fails-for-a-reason", None, text);
                    }
                }
            }
        }
    }
}
