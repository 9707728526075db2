//! The deadlines of a connection.

use orderlane_core::{Reply, Request, Time};

use crate::connection::Connection;
use crate::connection::context::Context;
use crate::connection::exchange::{Exchange, Tag, Work};
use crate::connection::reading::{Reading, Stream};
use crate::connection::request::reader;
use crate::limits::{
    BODY_BYTES_PER_SECOND_MIN, BODY_MICROS_MAX, HEAD_MICROS_MAX, IDLE_MICROS_MAX, LINGER_MICROS_MAX, STALL_MICROS_MAX,
};
use crate::problem::{Code, Problem};
use crate::routes::Endpoint;

impl Connection {
    /// When [`Connection::handle_timeout`] has something to do, unless something happens before.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        let deadlines = [
            self.reading_deadline(),
            self.idle_deadline(),
            self.stall_deadline(),
            self.lingering_since.map(|since| since.after_micros(LINGER_MICROS_MAX)),
            self.exchanges.iter().filter_map(wait_deadline).min(),
        ];
        deadlines.into_iter().flatten().min()
    }

    /// Does what is due: refuses what is late, ends waits, closes what is idle, cuts what is stuck. Then it advances.
    pub fn handle_timeout(&mut self, now: Time, context: &mut Context) {
        let is_due = |deadline: Option<Time>| deadline.is_some_and(|deadline| deadline <= now);
        if is_due(self.stall_deadline())
            || is_due(self.lingering_since.map(|since| since.after_micros(LINGER_MICROS_MAX)))
        {
            self.cut = true;
            context.metrics.connections_timed_out.add(1);
            return;
        }
        if is_due(self.idle_deadline()) {
            self.close_reading();
        }
        if is_due(self.reading_deadline()) {
            self.refuse_late(now, context);
        }
        for exchange in &mut self.exchanges {
            read_again(exchange, now, context);
        }
        self.advance(now, context);
    }

    /// The head or the body that is being received must be complete.
    fn reading_deadline(&self) -> Option<Time> {
        match &self.reading {
            Reading::Head(_) => self.head_since.map(|since| since.after_micros(HEAD_MICROS_MAX)),
            Reading::Body(body) => body_deadline(&body.stream, body.len()),
            Reading::Batch(stream) | Reading::Drain(stream) => body_deadline(stream, stream.received),
            Reading::Closed => None,
        }
    }

    fn idle_deadline(&self) -> Option<Time> {
        let idle = matches!(self.reading, Reading::Head(_)) && self.head_since.is_none() && !self.is_busy();
        idle.then(|| self.active_at.after_micros(IDLE_MICROS_MAX))
    }

    fn stall_deadline(&self) -> Option<Time> {
        let writing = !self.output.is_empty() || self.in_transit > 0;
        writing.then(|| self.written_at.after_micros(STALL_MICROS_MAX))
    }

    fn refuse_late(&mut self, now: Time, context: &mut Context) {
        context.metrics.connections_timed_out.add(1);
        match &self.reading {
            Reading::Head(_) => {
                let tag = Tag::of_broken(now, context);
                self.fail(tag, late("The head of a request must be complete within 10 s."), context);
            }
            Reading::Body(_) => self.fail_body(late("The body arrives too slowly."), now, context),
            Reading::Batch(_) => self.break_off_batch(late("The body arrives too slowly.")),
            Reading::Drain(_) => self.close_behind_last(),
            Reading::Closed => {}
        }
    }
}

fn late(detail: &'static str) -> Problem {
    Problem::new(Code::RequestTimeout, detail)
}

/// A body that we do not read on has no deadline.
fn body_deadline(stream: &Stream, len: u64) -> Option<Time> {
    let micros = BODY_MICROS_MAX + len * 1_000_000 / BODY_BYTES_PER_SECOND_MIN;
    stream.paused_at.is_none().then(|| stream.since.after_micros(micros))
}

fn wait_deadline(exchange: &Exchange) -> Option<Time> {
    match &exchange.work {
        Work::Held { until, .. } => Some(*until),
        Work::Batch(batch) => batch.poll_timeout(),
        Work::Waiting { .. } | Work::Gather(_) | Work::Answered(_) => None,
    }
}

/// A read that waited for the end in vain is answered with the order as it is now, not as it was when the wait began.
fn read_again(exchange: &mut Exchange, now: Time, context: &mut Context) {
    let Work::Held { reply: Reply::Order(view), until } = &exchange.work else { return };
    if *until > now || exchange.tag.endpoint != Endpoint::ReadOrder {
        return;
    }
    if let Some(principal) = exchange.tag.principal.as_deref() {
        let request = Request::GetOrder { order: view.order, reader: reader(principal), wait: false };
        context.submit(view.order.shard(), exchange.first, request);
        exchange.work = Work::Waiting { until: None };
    }
}
