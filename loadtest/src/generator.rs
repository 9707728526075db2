//! Starting and stopping the generator threads.

use crate::{
    books::Books,
    error::{Error, Result},
    options::Options,
    outage::{Outage, nanos},
    outcome::Outcome,
    worker::{Worker, Yield},
    workload::Workload,
};
use rustix::{
    thread::{CpuSet, sched_setaffinity},
    time::{ClockId, clock_gettime},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant, SystemTime},
};

/// What all threads of a run share.
pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) workload: Workload,
    pub(crate) outage: Outage,
    pub(crate) is_stopped: AtomicBool,
    pub(crate) acknowledged: AtomicU64,
    pub(crate) failed: AtomicU64,
    origin: Instant,
    origin_wall: SystemTime,
}

impl Shared {
    /// Nanoseconds since the origin of the run.
    pub(crate) fn now(&self) -> u64 {
        nanos(self.origin.elapsed())
    }
}

/// The load generator.
#[derive(Debug)]
pub struct Generator;

impl Generator {
    /// Starts the threads. Orders are due from now on; connections are made meanwhile, and made again when they are
    /// lost, for as long as the run goes on.
    pub fn start(options: Options) -> Result<Running> {
        options.validate()?;
        let (origin, origin_wall) = (Instant::now(), SystemTime::now());
        let shared = Arc::new(Shared {
            workload: Workload::new(&options),
            options,
            outage: Outage::new(origin),
            is_stopped: AtomicBool::new(false),
            acknowledged: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            origin,
            origin_wall,
        });
        let mut threads = Vec::new();
        for thread in 0..shared.options.threads {
            let worker = Worker::new(Arc::clone(&shared), thread)?;
            let core = pinned_core(&shared.options.cores, thread);
            let name = format!("loadtest-{thread}");
            threads.push(std::thread::Builder::new().name(name).spawn(move || run(worker, core))?);
        }
        Ok(Running { shared, threads })
    }
}

/// A run that goes on. Dropping it stops the threads soon, without waiting for them.
pub struct Running {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<Result<(Yield, Duration)>>>,
}

impl Running {
    /// Orders acknowledged so far.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.shared.acknowledged.load(Ordering::Relaxed)
    }

    /// Orders refused for good so far.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.shared.failed.load(Ordering::Relaxed)
    }

    /// Time since the start, outages included.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.shared.origin.elapsed()
    }

    /// The handle to tell of an outage of the server.
    #[must_use]
    pub fn outage(&self) -> Outage {
        self.shared.outage.clone()
    }

    /// The run has come to its own end: `wait` and `stop` return at once.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.threads.iter().all(JoinHandle::is_finished)
    }

    /// Offers no more orders, waits for the answers of those that are due (`wait_timeout` at most), and ends.
    pub fn stop(self) -> Result<Outcome> {
        self.shared.is_stopped.store(true, Ordering::Release);
        self.wait()
    }

    /// Waits until the duration is over and the last answers came (`wait_timeout` at most).
    pub fn wait(mut self) -> Result<Outcome> {
        let mut books = Books::new();
        let (mut ended_at, mut offered, mut reconnects) = (0, 0, 0);
        let mut client_cpu = Duration::ZERO;
        for thread in std::mem::take(&mut self.threads) {
            let joined = thread.join().map_err(|_| Error::Io(std::io::Error::other("a generator thread panicked")))?;
            let (brought, cpu) = joined?;
            ended_at = ended_at.max(brought.ended_at);
            offered = offered.max(brought.offered);
            reconnects += brought.reconnects;
            client_cpu += cpu;
            books.append(brought.books);
        }
        let end = ended_at.max(books.answered_at);
        let down = self.shared.outage.total_until(end);
        Ok(Outcome {
            options: self.shared.options.clone(),
            workload: self.shared.workload.clone(),
            started: self.shared.origin,
            started_at: self.shared.origin_wall,
            // A schedule takes its time also when its last order is answered before the end of it.
            elapsed: (Duration::from_nanos(end) - down).max(Duration::from_nanos(offered)),
            down,
            outages: self.shared.outage.spans(),
            failed: books.failed,
            acknowledged: books.acknowledged,
            unknown: books.unknown,
            latency: books.latency,
            latency_outage: books.latency_outage,
            retried: books.retried,
            replayed: books.replayed,
            reconnects,
            client_cpu,
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.is_stopped.store(true, Ordering::Release);
    }
}

fn pinned_core(cores: &[usize], thread: usize) -> Option<usize> {
    (!cores.is_empty()).then(|| cores[thread % cores.len()])
}

/// The body of a thread; its CPU time is measured from the inside, so that it is the client's alone.
fn run(worker: Worker, core: Option<usize>) -> Result<(Yield, Duration)> {
    if let Some(core) = core {
        if core >= CpuSet::MAX_CPU {
            return Err(Error::Options(format!("there is no core {core}")));
        }
        let mut set = CpuSet::new();
        set.set(core);
        sched_setaffinity(None, &set)?;
    }
    let before = thread_cpu();
    let brought = worker.run()?;
    Ok((brought, thread_cpu().saturating_sub(before)))
}

fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}
