//! The thread beside a lane on epoll that makes its file calls: readiness knows no files, and an `fdatasync` on the lane
//! would stop it for hundreds of microseconds.
//!
//! ```text
//! lane ── job ──> channel ──> helper: work, fill the slot, write the eventfd ──> lane: wake all who wait, they look
//! ```
//! monoio's own `spawn_blocking` would send the task's waker to the other thread and drop it there when the lane is gone;
//! here nothing of the lane leaves it but the work and its slot. One thread per lane keeps the calls in their order.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::thread;

use orderlane_lane::Wake;

use crate::wake::{WakeSource, eventfd_pair};

type Job = Box<dyn FnOnce() + Send>;

/// Hands work to the helper thread, which ends with the last clone.
#[derive(Clone)]
pub(crate) struct Helper {
    jobs: Sender<Job>,
    waiting: Rc<RefCell<Vec<Waker>>>,
}

impl Helper {
    /// Starts the thread. [`Helper::look`] has to be called each time the source is woken.
    pub(crate) fn start() -> io::Result<(Helper, WakeSource)> {
        let (handle, source) = eventfd_pair()?;
        let (jobs, queue) = channel::<Job>();
        let name = format!("{}-disk", thread::current().name().unwrap_or("lane"));
        thread::Builder::new().name(name).spawn(move || {
            for job in queue {
                job();
                handle.wake();
            }
        })?;
        Ok((Helper { jobs, waiting: Rc::default() }, source))
    }

    /// Lets everybody who waits see whether it was theirs that finished.
    pub(crate) fn look(&self) {
        for waker in self.waiting.borrow_mut().drain(..) {
            waker.wake();
        }
    }

    /// Does `work` on the helper thread.
    pub(crate) async fn run<R: Send + 'static>(&self, work: impl FnOnce() -> R + Send + 'static) -> R {
        let slot = Arc::new(Mutex::new(None));
        let filled = slot.clone();
        let job = move || *filled.lock().expect("nobody panics with the slot") = Some(work());
        self.jobs.send(Box::new(job)).expect("the helper lives as long as its handles");
        poll_fn(|context| {
            if let Some(result) = slot.lock().expect("nobody panics with the slot").take() {
                return Poll::Ready(result);
            }
            self.waiting.borrow_mut().push(context.waker().clone());
            Poll::Pending
        })
        .await
    }
}
