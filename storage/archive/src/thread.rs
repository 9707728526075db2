//! The thread of the keeper.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread::JoinHandle;
use std::time::Duration;

use orderlane_core::Time;
use orderlane_lane::Directory;

use crate::keeper::Keeper;
use crate::limits::IDLE_MILLIS;
use crate::store::Store;

/// The running thread. Stop it when the lanes have ended.
pub struct KeeperThread {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

/// Starts the thread. `now` is the wall clock.
///
/// # Errors
/// When no thread can be made.
pub fn spawn<S, D>(mut keeper: Keeper<S, D>, now: impl Fn() -> Time + Send + 'static) -> io::Result<KeeperThread>
where
    S: Store + Send + 'static,
    D: Directory + Send + 'static,
{
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    let life = move || {
        while !stopped.load(SeqCst) {
            keeper.tick(now());
            // Errors were logged, and the lanes told; reads go on.
            let pause = Duration::from_millis(IDLE_MILLIS);
            if !keeper.step(now()).unwrap_or(true) && !keeper.wait(pause) {
                std::thread::park_timeout(pause);
            }
        }
    };
    let thread = std::thread::Builder::new().name("keeper".into()).spawn(life)?;
    Ok(KeeperThread { stop, thread })
}

impl KeeperThread {
    /// Whether it has ended by itself: it has panicked.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Ends it after the step under way and waits. What was not stored is in the journal.
    ///
    /// # Errors
    /// When it has panicked.
    pub fn stop(self) -> std::thread::Result<()> {
        self.stop.store(true, SeqCst);
        self.thread.thread().unpark();
        self.thread.join()
    }
}
