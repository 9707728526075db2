//! What is to be done later: rebuilt at start from the orders, never stored.

use alloc::collections::BinaryHeap;
use core::cmp::Reverse;

use crate::ids::Time;
use crate::limits::DEADLINES_PASSED_PER_TURN_MAX;
use crate::order::Orders;

/// What a timer is for. Whether it still matters is decided by the order when it fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// The hold of the order ends.
    Deadline,
    /// Look up this attempt again, if it is still the one that is unknown: a look-up must not overtake a charge under way.
    Reconcile(u8),
    /// Ask for the refund of an attempt's money again: several may be open, each has its own.
    Refund(u8),
    /// Tell the customer again.
    Notify,
}

/// When, the number of the order, and what for.
type Entry = (Time, u64, Timer);

/// The deadlines of the orders of this run need no entry: within a run all holds last equally long, so that deadlines come
/// in the order of the orders, and a cursor over the orders does. Everything else is a heap.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    /// No order from here on has an entry for its deadline, and none before it needs one more.
    deadline_next: u64,
    heap: BinaryHeap<Reverse<Entry>>,
}

impl Timers {
    pub(crate) fn set(&mut self, at: Time, order_number: u64, timer: Timer) {
        self.heap.push(Reverse((at, order_number, timer)));
    }

    /// Part of a start: orders before `order_number` belong to an earlier run, and their deadlines are set one by one.
    pub(crate) fn start_deadlines_at(&mut self, order_number: u64) {
        self.deadline_next = order_number;
    }

    /// Passes over orders whose deadline no longer matters: a bounded number a turn, each order once.
    pub(crate) fn pass_over(&mut self, orders: &Orders) {
        for _ in 0..DEADLINES_PASSED_PER_TURN_MAX {
            match orders.get(self.deadline_next) {
                Some(order) if order.can_expire() => break,
                Some(_) => self.deadline_next += 1,
                // Orders that have left the memory are passed over at once.
                None => match orders.next_at(self.deadline_next) {
                    Some(number) => self.deadline_next = number,
                    None => {
                        self.deadline_next = orders.len();
                        break;
                    }
                },
            }
        }
    }

    pub(crate) fn first(&self, orders: &Orders) -> Option<Entry> {
        let number = orders.next_at(self.deadline_next);
        let deadline = number.and_then(|number| Some((orders.get(number)?.deadline, number, Timer::Deadline)));
        let other = self.heap.peek().map(|Reverse(entry)| *entry);
        deadline.into_iter().chain(other).min()
    }

    /// Takes the first timer if it is due.
    pub(crate) fn take_due(&mut self, orders: &Orders, now: Time) -> Option<(u64, Timer)> {
        let first @ (_, number, timer) = self.first(orders).filter(|(at, _, _)| *at <= now)?;
        if self.heap.peek() == Some(&Reverse(first)) {
            self.heap.pop();
        } else {
            self.deadline_next = number + 1;
        }
        Some((number, timer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::{DraftLine, OrderBody, OrderDraft};
    use crate::ids::ShardId;
    use crate::saga::Stage;

    fn add(orders: &mut Orders, deadline: u64) {
        let draft = OrderDraft {
            subject: "alice",
            customer: "c-1",
            key: "k-1",
            currency: None,
            total_expected: None,
            token: "tok_ok",
            email: None,
            reference: None,
            metadata: &[],
            lines: &[DraftLine { sku: "sku-1", quantity: 1 }],
        };
        orders.add(OrderBody::encode(&draft, 1), Time(1), Time(deadline));
    }

    fn due(timers: &mut Timers, orders: &Orders, now: u64) -> alloc::vec::Vec<u64> {
        core::iter::from_fn(|| timers.take_due(orders, Time(now))).map(|(number, _)| number).collect()
    }

    #[test]
    fn deadlines_come_in_the_order_of_the_orders_and_those_that_do_not_matter_are_passed_over() {
        let (mut orders, mut timers) = (Orders::new(ShardId(0), 1), Timers::default());
        (10..14).for_each(|deadline| add(&mut orders, deadline));
        orders.get_mut(0).expect("added").stage = Stage::Completed;
        timers.pass_over(&orders);
        assert_eq!(timers.first(&orders), Some((Time(11), 1, Timer::Deadline)));
        timers.set(Time(12), 0, Timer::Notify);
        assert_eq!(due(&mut timers, &orders, 12), [1, 0, 2]);
        assert_eq!(timers.first(&orders), Some((Time(13), 3, Timer::Deadline)));
        assert_eq!(due(&mut timers, &orders, 20), [3]);
        assert_eq!(timers.first(&orders), None);
    }

    #[test]
    fn a_run_with_shorter_holds_does_not_wait_for_the_deadlines_of_the_run_before() {
        let (mut orders, mut timers) = (Orders::new(ShardId(0), 1), Timers::default());
        (60..63).for_each(|deadline| add(&mut orders, deadline));
        timers.start_deadlines_at(orders.len());
        [0, 2].into_iter().for_each(|number| timers.set(Time(60 + number), number, Timer::Deadline));
        add(&mut orders, 20);
        assert_eq!(timers.first(&orders), Some((Time(20), 3, Timer::Deadline)));
        assert_eq!(due(&mut timers, &orders, 100), [3, 0, 2]);
    }
}
