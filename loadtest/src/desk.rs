//! Decides what becomes of an order whose answer came, or did not come.

use crate::{
    books::Books,
    limits::RETRY_DEFAULT,
    options::Options,
    outage::{Span, nanos},
    reply::Reply,
};
use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

/// An order that has no answer yet. Times are nanoseconds since the origin of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PendingOrder {
    pub(crate) index: u64,
    pub(crate) intended: u64,
    /// Refusals so far that asked to try again.
    refusals: u16,
    /// Index into the codes of the desk: why it was refused last.
    code: u16,
    /// An earlier attempt may have been stored: its answer never came.
    is_unknown: bool,
}

impl PendingOrder {
    pub(crate) fn new(index: u64, intended: u64) -> Self {
        Self { index, intended, refusals: 0, code: NOT_SENT, is_unknown: false }
    }
}

/// Code of an order that was due and never left.
const NOT_SENT: u16 = 0;

/// The books of one thread.
#[derive(Debug)]
pub(crate) struct Desk {
    attempts_max: u16,
    /// End of the last outage; orders meant to leave before it are measured apart.
    up_at: u64,
    is_down: bool,
    /// Orders to be sent again, by the time when.
    retries: BinaryHeap<Reverse<(u64, PendingOrder)>>,
    codes: Vec<String>,
    failed: Vec<u64>,
    pub(crate) books: Books,
}

impl Desk {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            attempts_max: options.attempts_max,
            up_at: 0,
            is_down: false,
            retries: BinaryHeap::new(),
            codes: vec!["not-sent".to_owned()],
            failed: vec![0],
            books: Books::new(),
        }
    }

    pub(crate) fn handle_outages(&mut self, spans: &[Span]) {
        self.is_down = spans.last().is_some_and(|span| span.up_at.is_none());
        self.up_at = spans.iter().rev().find_map(|span| span.up_at).unwrap_or(0);
    }

    /// The answer to an order came.
    pub(crate) fn handle_reply(
        &mut self,
        order: PendingOrder,
        reply: &Reply<'_>,
        retry_after: Option<Duration>,
        now: u64,
    ) {
        match reply {
            Reply::Accepted { id } => {
                if !self.books.acknowledged.push(order.index, order.intended / 1_000, id) {
                    return self.give_up(order, "unreadable-answer", true);
                }
                self.books.answered_at = self.books.answered_at.max(now);
                let touches_outage = self.is_down || order.intended < self.up_at;
                let latency = if touches_outage { &mut self.books.latency_outage } else { &mut self.books.latency };
                latency.saturating_record(now.saturating_sub(order.intended).div_ceil(1_000));
            }
            Reply::Refused { status, code } => self.handle_refusal(order, *status, code, retry_after, now),
            Reply::Unreadable => self.give_up(order, "unreadable-answer", true),
        }
    }

    /// The answer to an order will not come: it may be stored or not. Only the same key can tell.
    pub(crate) fn handle_loss(&mut self, order: PendingOrder, now: u64) {
        self.books.retried += 1;
        self.retries.push(Reverse((now, PendingOrder { is_unknown: true, ..order })));
    }

    /// The run ends without the answer to an order that was sent.
    pub(crate) fn handle_end(&mut self, order: PendingOrder) {
        self.books.unknown.push(order.index);
    }

    fn handle_refusal(
        &mut self,
        order: PendingOrder,
        status: u16,
        code: &str,
        retry_after: Option<Duration>,
        now: u64,
    ) {
        // The first attempt at this key is still on its way to the disk; it ends by itself.
        let is_in_progress = code == "idempotency-key-in-progress";
        // Nothing is known about an order that broke the server or a proxy before it.
        let is_unknown = order.is_unknown || is_in_progress || matches!(status, 500 | 502 | 504);
        let may_pass = is_in_progress || matches!(status, 408 | 429 | 500 | 502 | 503 | 504);
        if !may_pass || (order.refusals + 1 >= self.attempts_max && !is_in_progress) {
            return self.give_up(PendingOrder { is_unknown, ..order }, code, false);
        }
        let order = PendingOrder {
            refusals: order.refusals.saturating_add(u16::from(!is_in_progress)),
            code: self.code_index(code),
            is_unknown,
            ..order
        };
        self.books.retried += 1;
        self.retries.push(Reverse((now + nanos(retry_after.unwrap_or(RETRY_DEFAULT)), order)));
    }

    /// The next order that is to be sent again now.
    pub(crate) fn poll_retry(&mut self, now: u64) -> Option<PendingOrder> {
        if self.retry_at()? > now {
            return None;
        }
        self.retries.pop().map(|Reverse((_, order))| order)
    }

    /// When the next order is to be sent again.
    pub(crate) fn retry_at(&self) -> Option<u64> {
        self.retries.peek().map(|Reverse((at, _))| *at)
    }

    /// Closes the books: what still waits for another attempt is given up, `backlog` orders never left.
    pub(crate) fn finish(mut self, backlog: u64) -> Books {
        for Reverse((_, order)) in std::mem::take(&mut self.retries).into_vec() {
            let code = self.codes[usize::from(order.code)].clone();
            self.give_up(order, &code, false);
        }
        self.failed[usize::from(NOT_SENT)] += backlog;
        let counted = self.codes.into_iter().zip(self.failed).filter(|(_, count)| *count > 0);
        self.books.failed = counted.collect();
        self.books
    }

    /// An order that may be stored is unknown, not failed.
    fn give_up(&mut self, order: PendingOrder, code: &str, is_unknown: bool) {
        if is_unknown || order.is_unknown {
            self.books.unknown.push(order.index);
        } else {
            let index = self.code_index(code);
            self.failed[usize::from(index)] += 1;
        }
    }

    /// Codes are few: an order names one by its index. What does not fit into the index shares the last one.
    fn code_index(&mut self, code: &str) -> u16 {
        const CODES_MAX: usize = 256;
        let position = self.codes.iter().position(|known| known == code).unwrap_or_else(|| {
            if self.codes.len() < CODES_MAX {
                self.codes.push(code.to_owned());
                self.failed.push(0);
            }
            self.codes.len() - 1
        });
        position as u16
    }

    /// Orders refused for good so far.
    pub(crate) fn failed_count(&self) -> u64 {
        self.failed.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    const SECOND: u64 = 1_000_000_000;

    fn desk() -> Desk {
        let mut options = Options::new(([127, 0, 0, 1], 1).into());
        options.attempts_max = 2;
        Desk::new(&options)
    }

    fn refuse(desk: &mut Desk, order: PendingOrder, status: u16, code: &str) {
        desk.handle_reply(order, &Reply::Refused { status, code: code.into() }, Some(Duration::from_secs(1)), 0);
    }

    #[test]
    fn an_overloaded_server_is_asked_again_after_the_time_it_names_and_then_given_up() {
        let mut desk = desk();
        refuse(&mut desk, PendingOrder::new(1, 0), 503, "overloaded");
        assert_eq!(desk.poll_retry(SECOND - 1), None);
        let again = desk.poll_retry(SECOND).expect("it is due");
        refuse(&mut desk, again, 503, "overloaded");
        let books = desk.finish(3);
        assert_eq!(books.failed, BTreeMap::from([("overloaded".into(), 1), ("not-sent".into(), 3)]));
        assert!(books.unknown.is_empty());
    }

    #[test]
    fn an_order_that_may_be_stored_is_unknown_whatever_is_said_later() {
        let mut desk = desk();
        desk.handle_loss(PendingOrder::new(1, 0), 0);
        let again = desk.poll_retry(0).expect("it is due at once");
        for _ in 0..5 {
            refuse(&mut desk, again, 409, "idempotency-key-in-progress");
            assert_eq!(desk.poll_retry(SECOND).map(|order| order.index), Some(1), "it is never given up");
        }
        refuse(&mut desk, again, 422, "idempotency-key-reused");
        refuse(&mut desk, PendingOrder::new(2, 0), 400, "validation-failed");
        desk.handle_reply(PendingOrder::new(3, 0), &Reply::Unreadable, None, 0);
        let books = desk.finish(0);
        assert_eq!(books.unknown, [1, 3]);
        assert_eq!(books.failed, BTreeMap::from([("validation-failed".into(), 1)]));
    }

    #[test]
    fn latency_that_touches_an_outage_is_kept_apart() {
        let mut desk = desk();
        let accepted = Reply::Accepted { id: "o".into() };
        desk.handle_reply(PendingOrder::new(1, 0), &accepted, None, 5_000_000);
        desk.handle_outages(&[Span { down_at: SECOND, up_at: Some(2 * SECOND) }]);
        desk.handle_reply(PendingOrder::new(2, SECOND - 1), &accepted, None, 3 * SECOND);
        desk.handle_reply(PendingOrder::new(3, 2 * SECOND), &accepted, None, 3 * SECOND);
        let books = desk.finish(0);
        assert_eq!((books.latency.len(), books.latency_outage.len()), (2, 1));
        assert_eq!(books.latency.min(), 5_000);
        assert_eq!((books.acknowledged.count(), books.answered_at), (3, 3 * SECOND));
    }
}
