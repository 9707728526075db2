//! Waiting for the state that the tasks of one journal share.

use std::cell::RefCell;
use std::future::poll_fn;
use std::task::{Poll, Waker};

/// Wakes those that wait for a change. At most a commit and a marker wait at once.
#[derive(Default)]
pub(crate) struct Changes {
    waiting: RefCell<Vec<Waker>>,
}

impl Changes {
    /// To be called after each change.
    pub(crate) fn announce(&self) {
        let waiting = self.waiting.take();
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Completes with what `look` finds as soon as it finds something; it looks now and after each change.
    pub(crate) async fn until<T>(&self, mut look: impl FnMut() -> Option<T>) -> T {
        poll_fn(|context| match look() {
            Some(found) => Poll::Ready(found),
            None => {
                let mut waiting = self.waiting.borrow_mut();
                if !waiting.iter().any(|waker| waker.will_wake(context.waker())) {
                    waiting.push(context.waker().clone());
                }
                Poll::Pending
            }
        })
        .await
    }
}
