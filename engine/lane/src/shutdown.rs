//! The end of all lanes together: a lane serves its peers until no lane has a client left.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use crate::driver::Wake;

/// Shared by all lanes and whoever ends them.
pub struct Shutdown {
    begun: AtomicBool,
    lanes_open: AtomicUsize,
    wakes: Vec<Arc<dyn Wake>>,
}

impl Shutdown {
    /// For as many lanes as there are wake handles.
    #[must_use]
    pub fn new(wakes: Vec<Arc<dyn Wake>>) -> Shutdown {
        Shutdown { begun: AtomicBool::new(false), lanes_open: AtomicUsize::new(wakes.len()), wakes }
    }

    /// Begins to drain: every lane stops to accept, finishes what is in flight, commits and ends.
    pub fn begin(&self) {
        self.begun.store(true, SeqCst);
        self.wake_all();
    }

    /// Whether the end has begun.
    #[must_use]
    pub fn is_begun(&self) -> bool {
        self.begun.load(SeqCst)
    }

    /// One lane's last client is gone.
    pub fn lane_closed(&self) {
        self.lanes_open.fetch_sub(1, SeqCst);
        self.wake_all();
    }

    /// Whether every lane's clients are gone.
    #[must_use]
    pub fn all_closed(&self) -> bool {
        self.lanes_open.load(SeqCst) == 0
    }

    fn wake_all(&self) {
        self.wakes.iter().for_each(|wake| wake.wake());
    }
}
