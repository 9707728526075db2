//! A lane's thread: named, pinned, with its own runtime.

use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::backend::Backend;
use crate::driver::MonoioDriver;
use crate::helper::Helper;
use crate::ring;
use crate::wake::WakeSource;

/// What a lane's thread needs.
#[derive(Debug)]
pub struct LaneThread {
    /// Its number; the thread is called `lane-<number>`.
    pub lane: usize,
    /// The core to pin it to.
    pub core: Option<usize>,
    /// What [`choose`](crate::choose) said.
    pub backend: Backend,
    /// The data directory, which exists.
    pub data_dir: PathBuf,
    /// The lane's end of its [`wake_pair`](crate::wake_pair).
    pub wake: WakeSource,
}

/// A lane that runs.
#[derive(Debug)]
pub struct RunningLane<T>(JoinHandle<Option<T>>);

impl<T> RunningLane<T> {
    /// Waits for the lane's future to end.
    ///
    /// # Errors
    /// The payload of its panic.
    pub fn join(self) -> thread::Result<T> {
        Ok(self.0.join()?.expect("a lane that started has an output"))
    }

    /// Whether the lane has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.0.is_finished()
    }
}

/// Starts a lane's thread and runs there the future that `make` makes of the driver, until it ends. Tasks that still run
/// then are dropped, or forgotten if they wait for I/O: close the listeners and connections before.
///
/// # Errors
/// When the core is not ours, the data directory cannot be opened, or the kernel has no ring, thread or file descriptor
/// left. Then `make` is not called.
pub fn run_lane<F, Fut>(options: LaneThread, make: F) -> io::Result<RunningLane<Fut::Output>>
where
    F: FnOnce(MonoioDriver) -> Fut + Send + 'static,
    Fut: Future + 'static,
    Fut::Output: Send + 'static,
{
    let (started, outcome) = sync_channel(1);
    let name = format!("lane-{}", options.lane);
    let lane = thread::Builder::new().name(name).spawn(move || run(options, make, &started))?;
    outcome.recv().expect("a lane says whether it started")?;
    Ok(RunningLane(lane))
}

/// The cores that this process may run on, in ascending order.
///
/// # Panics
/// When the machine has more than [`CpuSet::MAX_CPU`] cores.
#[must_use]
pub fn affinity_cores() -> Vec<usize> {
    let cores = sched_getaffinity(None).expect("the mask of this thread fits into a CpuSet");
    (0..CpuSet::MAX_CPU).filter(|core| cores.is_set(*core)).collect()
}

/// The thread of a lane. Says through `started` how its start went; without a start there is no output.
fn run<F, Fut>(options: LaneThread, make: F, started: &SyncSender<io::Result<()>>) -> Option<Fut::Output>
where
    F: FnOnce(MonoioDriver) -> Fut,
    Fut: Future,
{
    let say = |outcome| started.send(outcome).expect("run_lane waits for the outcome");
    let LaneThread { lane: _, core, backend, data_dir, wake } = options;
    let prepared = || {
        // Before the pin, which a thread inherits: the helper must not wait for the lane's core.
        let helper = if backend == Backend::Epoll { Some(Helper::start()?) } else { None };
        core.map_or(Ok(()), pin)?;
        Ok((ring::runtime(backend)?, helper))
    };
    let (mut runtime, helper) = match prepared() {
        Ok(prepared) => prepared,
        Err(error) => {
            say(Err(error));
            return None;
        }
    };
    runtime.block_on(async move {
        let driver = match MonoioDriver::start(backend, &data_dir, wake, helper) {
            Ok(driver) => driver,
            Err(error) => {
                say(Err(error));
                return None;
            }
        };
        say(Ok(()));
        let output = make(driver.clone()).await;
        driver.stop().await;
        Some(output)
    })
}

/// Pins the calling thread.
fn pin(core: usize) -> io::Result<()> {
    let refused = |error: io::Error| {
        let text =
            format!("a lane cannot be pinned to core {core} ({error}); this process may use {:?}", affinity_cores());
        io::Error::new(error.kind(), text)
    };
    if core >= CpuSet::MAX_CPU {
        return Err(refused(io::ErrorKind::InvalidInput.into()));
    }
    let mut cores = CpuSet::new();
    cores.set(core);
    sched_setaffinity(None, &cores).map_err(|errno| refused(errno.into()))
}
