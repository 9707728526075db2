//! The driver of one lane of one process: its clock, its timers, its wake-ups; disk and sockets are the world's.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

use orderlane_core::Time;
use orderlane_lane::{Driver, Wake};

use crate::disk::DiskHandle;
use crate::executor::Group;
use crate::faults::Fault;
use crate::net::{Network, SimListener, SimStream};
use crate::random::Random;
use crate::sim::Sim;

/// A timer fires so much before its time by the lane's clock, at most, microseconds: it counts in another clock.
pub const TIMER_EARLY_MICROS_MAX: u64 = 2_000;
/// A timer fires so much late, at most, microseconds.
pub const TIMER_LATE_MICROS_MAX: u64 = 50_000;

/// The wall clocks of the machine as each lane sees them: the true time and an offset. They outlive a process.
#[derive(Clone, Debug)]
pub struct Clocks(Rc<Offsets>);

#[derive(Debug)]
struct Offsets {
    lanes: Vec<Cell<i64>>,
    /// All that clocks were set back by, together.
    back: Cell<u64>,
}

impl Clocks {
    /// Clocks of so many lanes that agree.
    #[must_use]
    pub fn new(lanes: u16) -> Clocks {
        Clocks(Rc::new(Offsets { lanes: (0..lanes).map(|_| Cell::new(0)).collect(), back: Cell::new(0) }))
    }

    /// Sets a lane's clock forward or back.
    pub fn shift(&self, lane: u16, micros: i64) {
        let offset = &self.0.lanes[usize::from(lane)];
        offset.set(offset.get() + micros);
        if micros < 0 {
            self.0.back.set(self.0.back.get() + micros.unsigned_abs());
        }
    }

    /// What a lane's clock shows, if it has not shown more before.
    #[must_use]
    pub fn read(&self, lane: u16, truth: Time) -> u64 {
        truth.0.saturating_add_signed(self.0.lanes[usize::from(lane)].get())
    }

    /// What the keeper's clock shows: never more than any lane's. All of a product share one clock; here they do not, and a key may
    /// not be dropped whose shard still counts on it.
    #[must_use]
    pub fn keepers(&self, truth: Time) -> Time {
        Time(truth.0 - self.0.back.get())
    }
}

/// Wakes a lane. See [`Driver::woken`].
#[derive(Debug, Default)]
pub struct SimWake(Mutex<WakeState>);

#[derive(Debug, Default)]
struct WakeState {
    used: bool,
    waker: Option<Waker>,
}

impl Wake for SimWake {
    fn wake(&self) {
        let mut state = self.0.lock().expect("nothing panics while it holds this lock");
        state.used = true;
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }
}

/// What a lane sees of the world. Cheap to clone.
#[derive(Clone)]
pub struct SimDriver(Rc<Parts>);

struct Parts {
    sim: Sim,
    group: Group,
    lane: u16,
    clocks: Clocks,
    /// The clock of a lane never goes back.
    latest: Cell<u64>,
    disk: DiskHandle,
    network: Network,
    wake: Arc<SimWake>,
    random: RefCell<Random>,
}

impl SimDriver {
    /// The driver of a lane whose tasks are `group`.
    #[must_use]
    pub fn new(
        sim: &Sim,
        group: Group,
        lane: u16,
        clocks: Clocks,
        disk: DiskHandle,
        network: Network,
        wake: Arc<SimWake>,
    ) -> SimDriver {
        let random = RefCell::new(sim.random(&format!("driver {}", group.0)));
        let (sim, latest) = (sim.clone(), Cell::new(0));
        SimDriver(Rc::new(Parts { sim, group, lane, clocks, latest, disk, network, wake, random }))
    }

    /// How long a timer of `micros` really takes, and the faults in it.
    fn draw_delay(&self, micros: u64) -> (u64, Option<Fault>) {
        let (faults, random) = (self.0.sim.faults(), &mut *self.0.random.borrow_mut());
        if micros > 0 && faults.draw(Fault::TimerEarly, random) {
            return (micros - random.between(1, micros.min(TIMER_EARLY_MICROS_MAX)), Some(Fault::TimerEarly));
        }
        if faults.draw(Fault::TimerLate, random) {
            return (micros + random.between(1, TIMER_LATE_MICROS_MAX), Some(Fault::TimerLate));
        }
        (micros, None)
    }
}

impl Driver for SimDriver {
    type Disk = DiskHandle;
    type Listener = SimListener;
    type Stream = SimStream;

    fn now(&self) -> Time {
        let now = self.0.clocks.read(self.0.lane, self.0.sim.executor().now());
        self.0.latest.set(self.0.latest.get().max(now));
        Time(self.0.latest.get())
    }

    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.0.sim.executor().spawn(self.0.group, task);
    }

    fn sleep_until(&self, at: Time) -> impl Future<Output = ()> + 'static {
        let (delay, fault) = self.draw_delay(at.micros_since(self.now()));
        let sleep = self.0.sim.executor().sleep(delay);
        let sim = self.0.sim.clone();
        async move {
            sleep.await;
            fault.into_iter().for_each(|fault| sim.faults().observed(fault));
        }
    }

    fn woken(&self) -> impl Future<Output = ()> + 'static {
        let wake = self.0.wake.clone();
        poll_fn(move |cx| {
            let mut state = wake.0.lock().expect("nothing panics while it holds this lock");
            if std::mem::take(&mut state.used) {
                return Poll::Ready(());
            }
            state.waker = Some(cx.waker().clone());
            Poll::Pending
        })
    }

    fn disk(&self) -> DiskHandle {
        self.0.disk.clone()
    }

    async fn accept(&self, listener: &SimListener) -> io::Result<SimStream> {
        self.0.network.accept(listener).await
    }

    fn close_listener(&self, listener: &SimListener) {
        self.0.network.close_listener(listener);
    }
}
