//! One connection: bytes in, submissions out; replies in, bytes out, in the order of the requests.
//!
//! ```text
//!  receive ─> input ─> reading (head, body, batch) ─> submissions ─> shards
//!  transmit <─ output <─ answering <─ exchanges, oldest first <─ deliver
//! ```
//! Whatever breaks the framing ends the reading for good: nothing behind it is ever interpreted.

mod admission;
mod answering;
mod context;
mod deadlines;
mod exchange;
mod gather;
mod reading;
mod request;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::VecDeque;

use orderlane_core::{Reply, Time};

pub use context::{Context, Submission};
pub(crate) use exchange::Tag;
pub(crate) use request::until;

use crate::connection::exchange::{Answer, Exchange, Refused, Work};
use crate::connection::reading::Reading;
use crate::limits::{INPUT_LEN_MAX, LINGER_LEN_MAX, OUTPUT_LEN_MAX, PIPELINE_MAX};
use crate::problem::Problem;
use crate::routes::Surface;

/// The protocol of one connection, without its socket and its clock.
#[derive(Debug)]
pub struct Connection {
    surface: Surface,
    /// Bytes received; those before `start` are consumed.
    input: Vec<u8>,
    start: usize,
    reading: Reading,
    /// Requests in progress, oldest first.
    exchanges: VecDeque<Exchange>,
    /// The number of the next submission.
    number_next: u32,
    /// An interim answer is due before the body that is being read.
    continue_due: bool,
    output: Vec<u8>,
    /// Bytes handed out by [`Connection::transmit`] and not yet written.
    in_transit: usize,
    /// The client has said that it sends no more.
    input_ended: bool,
    /// The first byte of the head that is incomplete.
    head_since: Option<Time>,
    /// When something last arrived or was answered.
    active_at: Time,
    /// When the last byte was written, or the first one became due.
    written_at: Time,
    lingering_since: Option<Time>,
    lingering_len: u64,
    cut: bool,
}

impl Connection {
    /// A connection that was just accepted.
    #[must_use]
    pub fn new(surface: Surface, now: Time) -> Connection {
        Connection {
            surface,
            input: Vec::new(),
            start: 0,
            reading: Reading::start(),
            exchanges: VecDeque::new(),
            number_next: 0,
            continue_due: false,
            output: Vec::new(),
            in_transit: 0,
            input_ended: false,
            head_since: None,
            active_at: now,
            written_at: now,
            lingering_since: None,
            lingering_len: 0,
            cut: false,
        }
    }

    /// Takes bytes that have arrived. [`Connection::advance`] looks at them.
    pub fn receive(&mut self, bytes: &[u8], now: Time) {
        if self.is_closing() {
            self.lingering_len += bytes.len() as u64;
            self.cut |= self.lingering_len > LINGER_LEN_MAX;
            return;
        }
        self.active_at = now;
        if self.start == self.input.len() {
            self.input.clear();
        } else if self.start > 0 {
            self.input.drain(..self.start);
        }
        self.start = 0;
        self.input.extend_from_slice(bytes);
    }

    /// The client sends no more: what is complete is still answered, then the connection ends.
    pub fn end_input(&mut self) {
        self.input_ended = true;
    }

    /// Whether more bytes are welcome now. After the end of the reading they are, to be thrown away.
    #[must_use]
    pub fn wants_input(&self) -> bool {
        self.is_closing() || self.input.len() - self.start < INPUT_LEN_MAX
    }

    /// Takes the reply to a submission. A reply that nobody waits for any more is dropped.
    pub fn deliver(&mut self, number: u32, reply: Reply) {
        let Some(front) = self.exchanges.front().map(|exchange| exchange.first) else { return };
        let offset = number.wrapping_sub(front);
        let behind = self.exchanges.partition_point(|exchange| exchange.first.wrapping_sub(front) <= offset);
        let Some(exchange) = behind.checked_sub(1).and_then(|index| self.exchanges.get_mut(index)) else { return };
        let index = number.wrapping_sub(exchange.first);
        if index < exchange.count {
            exchange.deliver(index, reply);
        }
    }

    /// Parses what has arrived, as far as the bounds allow, and makes bytes of the answers whose turn it is.
    pub fn advance(&mut self, now: Time, context: &mut Context) {
        self.parse_and_answer(now, context);
        if self.input_ended && self.may_parse() && !self.is_paused() {
            self.stop_reading();
            self.parse_and_answer(now, context);
        }
        if self.start == self.input.len() && self.input.capacity() > INPUT_LEN_MAX {
            self.input = Vec::new();
            self.start = 0;
        }
    }

    fn parse_and_answer(&mut self, now: Time, context: &mut Context) {
        loop {
            let parsed = self.may_parse() && self.parse(now, context);
            let answered = self.answer(now, context);
            if !parsed && !answered {
                break;
            }
        }
        if !self.may_parse() {
            self.pause_reading(now);
        }
    }

    /// Whether bytes are ready to be written.
    #[must_use]
    pub fn has_output(&self) -> bool {
        !self.output.is_empty()
    }

    /// Swaps the bytes to be written with an empty buffer. [`Connection::written`] tells when they are.
    pub fn transmit(&mut self, buffer: &mut Vec<u8>) {
        debug_assert!(buffer.is_empty() && self.in_transit == 0, "one buffer is on its way at a time");
        std::mem::swap(&mut self.output, buffer);
        self.in_transit = buffer.len();
    }

    /// So many bytes of the buffer on its way were written.
    pub fn written(&mut self, count: usize, now: Time) {
        self.in_transit = self.in_transit.saturating_sub(count);
        self.written_at = now;
    }

    /// Whether nothing more will be parsed.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        matches!(self.reading, Reading::Closed)
    }

    /// Whether everything is answered and written, and nothing more will be parsed: half-close, then [`Connection::linger`].
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.is_closing() && self.exchanges.is_empty() && self.output.is_empty() && self.in_transit == 0
    }

    /// Whether the socket is to be closed at once.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.cut
    }

    /// The last byte is written; bytes that still arrive are thrown away for a while, so that the client can read the answer.
    pub fn linger(&mut self, now: Time) {
        self.lingering_since.get_or_insert(now);
    }

    /// Whether requests are in progress or bytes wait to be written.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        !self.exchanges.is_empty() || !self.output.is_empty() || self.in_transit > 0
    }

    /// The connection is gone, whatever was in progress.
    pub(crate) fn abandon(&mut self, context: &Context) {
        let active = &context.metrics.requests_active;
        active.set(active.value().saturating_sub(self.exchanges.len() as u64));
        self.exchanges.clear();
    }

    fn may_parse(&self) -> bool {
        !self.is_closing()
            && self.exchanges.len() < PIPELINE_MAX
            && self.output.len() + self.in_transit < OUTPUT_LEN_MAX
    }

    fn push(&mut self, tag: Tag, work: Work, count: u32, close: bool, context: &Context) {
        let first = self.number_next;
        self.number_next = self.number_next.wrapping_add(count);
        context.metrics.requests_active.add(1);
        self.exchanges.push_back(Exchange { first, count, tag, close, work });
    }

    /// Answers a request, or what should have been one, with a refusal after which nothing is read.
    fn fail(&mut self, tag: Tag, refused: impl Into<Refused>, context: &Context) {
        self.push(tag, Work::Answered(Answer::Refused(Box::new(refused.into()))), 1, true, context);
        self.close_reading();
    }

    /// Nothing behind this is interpreted.
    fn close_reading(&mut self) {
        self.reading = Reading::Closed;
        self.continue_due = false;
        self.head_since = None;
        self.input = Vec::new();
        self.start = 0;
    }

    /// The answer to the newest request is the last one.
    fn close_behind_last(&mut self) {
        if let Some(last) = self.exchanges.back_mut() {
            last.close = true;
        }
        self.close_reading();
    }

    /// The batch that is being read gets no more items; `problem` is its last result.
    fn break_off_batch(&mut self, problem: Problem) {
        if let Some(Exchange { work: Work::Batch(batch), .. }) = self.exchanges.back_mut() {
            batch.break_off(problem);
        }
        self.close_behind_last();
    }
}
