//! What is to be done later: a heap of times, rebuilt at start from the orders, never stored.

use alloc::collections::BinaryHeap;
use core::cmp::Reverse;

use crate::ids::Time;

/// What a timer is for. Whether it still matters is decided by the order when it fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// The hold of the order ends.
    Deadline,
    /// Look up the attempt again.
    Reconcile,
    /// Ask for the refund again.
    Refund,
    /// Tell the customer again.
    Notify,
}

#[derive(Debug, Default)]
pub(crate) struct Timers(BinaryHeap<Reverse<(Time, u64, Timer)>>);

impl Timers {
    pub(crate) fn set(&mut self, at: Time, order_number: u64, timer: Timer) {
        self.0.push(Reverse((at, order_number, timer)));
    }

    pub(crate) fn first(&self) -> Option<(Time, u64, Timer)> {
        self.0.peek().map(|Reverse(entry)| *entry)
    }

    pub(crate) fn pop(&mut self) {
        self.0.pop();
    }
}
