//! What every driver must do, as one table of cases. A driver's test names itself as a [`Subject`] and lets
//! `conformance!` make a test of each case.

mod files;
mod sockets;
mod time;
mod wakes;

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::task::{Poll, Waker};
use std::thread;
use std::time::Duration;

use orderlane_lane::{Driver, Wake};

pub(crate) use files::*;
pub(crate) use sockets::*;
pub(crate) use time::*;
pub(crate) use wakes::*;

/// A case that takes longer has lost a wake-up.
const CASE_SECONDS_MAX: u64 = 60;

/// A way to run lanes on some driver.
pub(crate) trait Subject: 'static {
    type Driver: Driver;

    /// Runs `case` on as many lanes at once, which share one directory and one port, and gives its outputs in their order.
    fn lanes<T, Fut>(count: usize, case: impl Fn(Lane<Self::Driver>) -> Fut + Clone + Send + 'static) -> Vec<T>
    where
        T: Send + 'static,
        Fut: Future<Output = T> + 'static;
}

/// What a case finds on its lane.
pub(crate) struct Lane<D: Driver> {
    pub(crate) driver: D,
    /// Wakes this lane.
    pub(crate) wake: Arc<dyn Wake>,
    pub(crate) directory: PathBuf,
    pub(crate) listener: Rc<D::Listener>,
    pub(crate) address: SocketAddr,
}

/// Makes a test of each case.
macro_rules! conformance {
    ($module:ident, $subject:ty) => {
        conformance!($module, $subject:
            time_is_the_wall_clock, timers_fire_in_order_and_not_before, a_task_spawns_tasks,
            files_are_created_once, files_hold_what_was_written, many_writes_at_once_do_not_mix, files_do_not_stop_the_lane,
            halves_work_at_the_same_time, a_read_appends, a_stream_ends_in_each_direction,
            closing_ends_a_pending_read, closing_ends_a_pending_write, a_late_close_touches_no_other_connection,
            closing_a_listener_ends_accept, lanes_share_a_port,
            a_wake_is_kept_and_given_once, no_wake_of_many_is_lost, no_coalesced_wake_is_lost, lanes_wake_each_other);
    };
    ($module:ident, $subject:ty: $($case:ident),*) => {
        mod $module {
            use super::*;
            $(#[test]
            fn $case() {
                suite::$case::<$subject>();
            })*
        }
    };
}
pub(crate) use conformance;

/// Runs a case on one lane, or fails when it hangs.
pub(crate) fn on_a_lane<S, Fut>(case: impl Fn(Lane<S::Driver>) -> Fut + Clone + Send + 'static)
where
    S: Subject,
    Fut: Future<Output = ()> + 'static,
{
    on_lanes::<S, (), Fut>(1, case);
}

/// Runs a case on some lanes at once, or fails when it hangs.
pub(crate) fn on_lanes<S, T, Fut>(
    count: usize,
    case: impl Fn(Lane<S::Driver>) -> Fut + Clone + Send + 'static,
) -> Vec<T>
where
    S: Subject,
    T: Send + 'static,
    Fut: Future<Output = T> + 'static,
{
    let (done, outputs) = channel();
    let runner = thread::spawn(move || done.send(S::lanes(count, case)));
    match outputs.recv_timeout(Duration::from_secs(CASE_SECONDS_MAX)) {
        Ok(outputs) => outputs,
        Err(RecvTimeoutError::Timeout) => panic!("the case hangs"),
        Err(RecvTimeoutError::Disconnected) => {
            std::panic::resume_unwind(runner.join().expect_err("a runner that sends nothing has panicked"))
        }
    }
}

/// Starts a task of the lane; the future gives its output.
pub(crate) fn start<D, T, F>(driver: &D, task: F) -> impl Future<Output = T> + use<D, T, F>
where
    D: Driver,
    T: 'static,
    F: Future<Output = T> + 'static,
{
    let slot = Rc::new(RefCell::new((None, None::<Waker>)));
    let filled = slot.clone();
    driver.spawn(async move {
        let output = task.await;
        let mut slot = filled.borrow_mut();
        slot.0 = Some(output);
        if let Some(waker) = slot.1.take() {
            waker.wake();
        }
    });
    poll_fn(move |context| {
        let mut slot = slot.borrow_mut();
        match slot.0.take() {
            Some(output) => Poll::Ready(output),
            None => {
                slot.1 = Some(context.waker().clone());
                Poll::Pending
            }
        }
    })
}

pub(crate) async fn sleep<D: Driver>(driver: &D, micros: u64) {
    driver.sleep_until(driver.now().after_micros(micros)).await;
}
