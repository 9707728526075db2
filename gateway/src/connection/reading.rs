//! The reading half: heads, bodies, batches, and bodies that nobody wants.

use std::mem;
use std::ops::Range;

use orderlane_core::Time;

use crate::batch::Batch;
use crate::connection::Connection;
use crate::connection::admission::{Admitted, admit};
use crate::connection::context::Context;
use crate::connection::exchange::{Answer, Exchange, Refused, Tag, Work};
use crate::connection::request::Asked;
use crate::http::{BodyReader, Framing, Head, HeadScan, MediaType, Step, media_type};
use crate::limits::{BATCH_LEN_MAX, BODY_LEN_MAX};
use crate::problem::{Code, Problem};
use crate::routes::{BodyKind, Endpoint};

/// What the next byte of the input belongs to.
#[derive(Debug)]
pub(super) enum Reading {
    /// A head.
    Head(HeadScan),
    /// The body of a request whose head stays at the start of the input until the body is complete.
    Body(Box<PendingBody>),
    /// The body of the batch that is the newest exchange.
    Batch(Box<Stream>),
    /// A body that nobody looks at.
    Drain(Box<Stream>),
    /// Nothing that is interpreted.
    Closed,
}

/// A body that is not complete.
#[derive(Debug)]
pub(super) struct PendingBody {
    /// The head, to be looked at once more.
    head: Box<[u8]>,
    length: Option<u64>,
    pub(super) stream: Box<Stream>,
    /// What has arrived.
    joined: Vec<u8>,
}

/// A body that is consumed as it arrives.
#[derive(Debug)]
pub(super) struct Stream {
    reader: BodyReader,
    /// So many bytes at the start of the input are known to be data.
    data: usize,
    pub(super) received: u64,
    pub(super) since: Time,
    /// When it was last found that the bounds forbid to read on.
    pub(super) paused_at: Option<Time>,
}

impl PendingBody {
    /// Bytes of the body that count for its deadline: all of them when their number is known, else those received.
    pub(super) fn len(&self) -> u64 {
        self.length.unwrap_or(self.stream.received)
    }
}

impl Reading {
    pub(super) fn start() -> Reading {
        Reading::Head(HeadScan::default())
    }
}

impl Connection {
    /// Takes one step; false when it needs more bytes or must wait.
    pub(super) fn parse(&mut self, now: Time, context: &mut Context) -> bool {
        let mut input = mem::take(&mut self.input);
        let bytes = &mut input[self.start..];
        let progress = match &self.reading {
            Reading::Head(_) => self.read_head(bytes, now, context),
            Reading::Body(_) => self.read_body(bytes, now, context),
            Reading::Batch(_) => self.read_batch(bytes, now, context),
            Reading::Drain(_) => self.read_drain(bytes, now),
            Reading::Closed => false,
        };
        if !self.is_closing() {
            self.input = input;
        }
        progress
    }

    fn read_head(&mut self, bytes: &mut [u8], now: Time, context: &mut Context) -> bool {
        if context.draining && (!self.exchanges.is_empty() || bytes.is_empty()) {
            self.close_behind_last();
            return true;
        }
        let Reading::Head(scan) = &mut self.reading else { return false };
        if bytes.is_empty() {
            return false;
        }
        match scan.advance(bytes) {
            Ok(None) => {
                self.head_since.get_or_insert(now);
                false
            }
            Ok(Some(range)) => {
                self.head_since = None;
                self.take_request(bytes, range, now, context);
                true
            }
            Err(problem) => {
                let tag = Tag::of_broken(now, context);
                self.fail(tag, problem, context);
                true
            }
        }
    }

    /// A head is complete.
    fn take_request(&mut self, bytes: &mut [u8], range: Range<usize>, now: Time, context: &mut Context) {
        let (front, rest) = bytes.split_at_mut(range.end);
        let head = match Head::parse(&front[range.start..]) {
            Ok(head) => head,
            Err(problem) => {
                let tag = Tag::of_broken(now, context);
                return self.fail(tag, problem, context);
            }
        };
        let mut tag = Tag::of(&head, now, context);
        let admitted = match admit(&head, &mut tag, self.surface, now, context) {
            Ok(admitted) => admitted,
            Err(refused) => return self.refuse(tag, refused, &head, range.end, now, context),
        };
        match admitted.endpoint.body() {
            BodyKind::None => {
                let close = !self.may_follow(&head);
                self.start_request(&head, tag, admitted, &mut [], close, now, context);
                self.skip_body(&head, range.end, now);
            }
            BodyKind::Document => match head.framing {
                Framing::Sized(len) if rest.len() as u64 >= len => {
                    let body = &mut rest[..len as usize];
                    self.start += range.end + body.len();
                    self.start_request(&head, tag, admitted, body, !head.keep_alive, now, context);
                    self.go_on(head.keep_alive);
                }
                framing => {
                    self.continue_due = head.expect.is_some() && rest.is_empty();
                    self.start += range.end;
                    let length = if let Framing::Sized(len) = framing { Some(len) } else { None };
                    let (head, stream) = (front[range].into(), Stream::new(framing, now));
                    self.reading = Reading::Body(Box::new(PendingBody { head, length, stream, joined: Vec::new() }));
                }
            },
            BodyKind::Items | BodyKind::Lines => self.start_batch(&head, tag, &admitted, range.end, rest, now, context),
        }
    }

    /// Joins the body of an admitted request; when it is complete, its head is looked at once more, now for good.
    fn read_body(&mut self, bytes: &[u8], now: Time, context: &mut Context) -> bool {
        let Reading::Body(pending) = &mut self.reading else { return false };
        pending.stream.pause(false, now);
        self.continue_due &= bytes.is_empty();
        let mut at = 0;
        let end = loop {
            match pending.stream.step(&bytes[at..], BODY_LEN_MAX as u64) {
                Ok(StreamStep::Data(from)) => {
                    let data = at + from..at + from + mem::take(&mut pending.stream.data);
                    at = data.end;
                    pending.joined.extend_from_slice(&bytes[data]);
                }
                Ok(StreamStep::More(skip)) => {
                    self.start += at + skip;
                    return false;
                }
                Ok(StreamStep::End(skip)) => {
                    self.start += at + skip;
                    break Ok(());
                }
                Err(problem) => break Err(problem),
            }
        };
        let Reading::Body(pending) = mem::replace(&mut self.reading, Reading::start()) else { return false };
        match end {
            Ok(()) => self.finish_body(*pending, now, context),
            Err(problem) => {
                let tag = self.tag_again(&pending.head, now, context);
                self.fail(tag, problem, context);
            }
        }
        true
    }

    /// The request whose body is being read gets this answer, and it is the last one.
    pub(super) fn fail_body(&mut self, problem: Problem, now: Time, context: &mut Context) {
        let tag = match mem::replace(&mut self.reading, Reading::Closed) {
            Reading::Body(pending) => self.tag_again(&pending.head, now, context),
            Reading::Head(_) | Reading::Batch(_) | Reading::Drain(_) | Reading::Closed => Tag::of_broken(now, context),
        };
        self.fail(tag, problem, context);
    }

    /// The tag of a request whose head was parsed before.
    fn tag_again(&self, head: &[u8], now: Time, context: &mut Context) -> Tag {
        match Head::parse(head) {
            Ok(head) => {
                let mut tag = Tag::of(&head, now, context);
                let _ = admit(&head, &mut tag, self.surface, now, context);
                tag
            }
            Err(_) => Tag::of_broken(now, context),
        }
    }

    fn finish_body(&mut self, mut pending: PendingBody, now: Time, context: &mut Context) {
        let head = Head::parse(&pending.head).expect("it was parsed when it arrived");
        let mut tag = Tag::of(&head, pending.stream.since, context);
        match admit(&head, &mut tag, self.surface, now, context) {
            Ok(admitted) => {
                self.start_request(&head, tag, admitted, &mut pending.joined, !head.keep_alive, now, context);
            }
            Err(refused) => {
                let answer = Answer::Refused(Box::new(refused));
                self.push(tag, Work::Answered(answer), 1, !head.keep_alive, context);
            }
        }
        self.go_on(head.keep_alive);
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one request, each borrowed from elsewhere")]
    fn start_request(
        &mut self,
        head: &Head<'_>,
        tag: Tag,
        admitted: Admitted<'_>,
        body: &mut [u8],
        close: bool,
        now: Time,
        context: &mut Context,
    ) {
        let asked = Asked { head, tag: &tag, admitted, number: self.number_next, now };
        let (work, count) = asked
            .start(body, context)
            .unwrap_or_else(|problem| (Work::Answered(Answer::Refused(Box::new(problem.into()))), 1));
        self.push(tag, work, count, close, context);
    }

    /// Refuses a request by its head; its body is drained, or the connection ends.
    fn refuse(&mut self, tag: Tag, refused: Refused, head: &Head<'_>, end: usize, now: Time, context: &mut Context) {
        let must_close = matches!(refused.problem.code, Code::BadRequest | Code::ExpectationFailed);
        if must_close || !self.may_follow(head) {
            return self.fail(tag, refused, context);
        }
        self.push(tag, Work::Answered(Answer::Refused(Box::new(refused))), 1, false, context);
        self.skip_body(head, end, now);
    }

    /// Whether the next request can be found behind a body that is not looked at.
    fn may_follow(&self, head: &Head<'_>) -> bool {
        let skippable = match head.framing {
            Framing::Absent | Framing::Chunked => true,
            Framing::Sized(len) => len <= BODY_LEN_MAX as u64,
        };
        head.keep_alive && skippable && (head.expect.is_none() || !head.framing.has_bytes())
    }

    fn skip_body(&mut self, head: &Head<'_>, end: usize, now: Time) {
        self.start += end;
        if !self.may_follow(head) {
            self.close_reading();
        } else if head.framing.has_bytes() {
            self.reading = Reading::Drain(Stream::new(head.framing, now));
        } else {
            self.reading = Reading::start();
        }
    }

    fn go_on(&mut self, keep_alive: bool) {
        self.continue_due = false;
        if keep_alive {
            self.reading = Reading::start();
        } else {
            self.close_reading();
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one request, each borrowed from elsewhere")]
    fn start_batch(
        &mut self,
        head: &Head<'_>,
        tag: Tag,
        admitted: &Admitted<'_>,
        end: usize,
        rest: &[u8],
        now: Time,
        context: &mut Context,
    ) {
        let output = match (admitted.endpoint, media_type(head.accept)) {
            (Endpoint::LoadProducts, _) => MediaType::Lines,
            (_, Some(accepted)) => accepted,
            (_, None) => admitted.media_type,
        };
        let batch = Batch::new(admitted.endpoint, admitted.media_type, output);
        // HTTP/1.0 knows no chunks: there, the end of the answer is the end of the connection.
        let close = !head.keep_alive || head.version_minor == 0;
        self.push(tag, Work::Batch(Box::new(batch)), 0, close, context);
        self.start += end;
        self.continue_due = head.expect.is_some() && head.framing.has_bytes() && rest.is_empty();
        self.reading = Reading::Batch(Stream::new(head.framing, now));
    }

    fn read_batch(&mut self, bytes: &mut [u8], now: Time, context: &mut Context) -> bool {
        let (Reading::Batch(stream), Some(exchange)) = (&mut self.reading, self.exchanges.back_mut()) else {
            unreachable!("the batch that is read is the newest exchange")
        };
        self.continue_due &= bytes.is_empty();
        let (consumed, fed) = feed_batch(stream, exchange, bytes, now, context);
        self.number_next = exchange.first.wrapping_add(exchange.count);
        self.start += consumed;
        let close = exchange.close;
        match fed {
            Fed::More => return consumed > 0,
            Fed::End => self.go_on(!close),
            Fed::Broken => self.drain_batch(close),
            Fed::Failed(problem) => self.break_off_batch(problem),
        }
        true
    }

    /// What is left of a broken batch is not looked at.
    fn drain_batch(&mut self, close: bool) {
        let Reading::Batch(stream) = mem::replace(&mut self.reading, Reading::Closed) else { return };
        if close {
            return self.close_reading();
        }
        self.reading = Reading::Drain(Box::new(Stream { received: stream.data as u64, ..*stream }));
    }

    fn read_drain(&mut self, bytes: &[u8], now: Time) -> bool {
        let Reading::Drain(stream) = &mut self.reading else { return false };
        stream.pause(false, now);
        let mut at = 0;
        loop {
            let there = stream.data.min(bytes.len() - at);
            stream.data -= there;
            at += there;
            match stream.step(&bytes[at..], BODY_LEN_MAX as u64) {
                Ok(StreamStep::Data(from)) => at += from,
                Ok(StreamStep::More(skip)) => {
                    self.start += at + skip;
                    return at + skip > 0;
                }
                Ok(StreamStep::End(skip)) => {
                    self.start += at + skip;
                    self.reading = Reading::start();
                    return true;
                }
                Err(_) => {
                    self.close_behind_last();
                    return true;
                }
            }
        }
    }

    /// The bounds forbid to read on: that is not the client's delay.
    pub(super) fn pause_reading(&mut self, now: Time) {
        match &mut self.reading {
            Reading::Body(body) => body.stream.pause(true, now),
            Reading::Batch(stream) | Reading::Drain(stream) => stream.pause(true, now),
            Reading::Head(_) | Reading::Closed => {}
        }
    }

    /// Whether items of the batch that is being read must be answered before it is read on.
    pub(super) fn is_paused(&self) -> bool {
        matches!(&self.reading, Reading::Batch(stream) if stream.paused_at.is_some())
    }

    /// The client sends no more and nothing more can be parsed.
    pub(super) fn stop_reading(&mut self) {
        match &self.reading {
            Reading::Batch(_) => {
                self.break_off_batch(Problem::new(Code::BadRequest, "The connection ended within the body."));
            }
            Reading::Head(_) | Reading::Body(_) | Reading::Drain(_) => self.close_reading(),
            Reading::Closed => {}
        }
    }
}

/// What became of the bytes of a batch.
enum Fed {
    /// More are needed, or items must be answered first.
    More,
    /// The body is complete.
    End,
    /// What is left of the body cannot be cut into items.
    Broken,
    /// What is left of the connection cannot be understood.
    Failed(Problem),
}

/// Cuts items from the body of a batch; gives how many bytes that took.
fn feed_batch(
    stream: &mut Stream,
    exchange: &mut Exchange,
    bytes: &mut [u8],
    now: Time,
    context: &mut Context,
) -> (usize, Fed) {
    let Exchange { first, count, tag, work: Work::Batch(batch), .. } = exchange else {
        unreachable!("the batch that is read is the newest exchange")
    };
    let mut at = 0;
    let fed = loop {
        stream.pause(batch.is_full(), now);
        if batch.is_full() {
            break Fed::More;
        }
        if batch.is_broken() {
            break Fed::Broken;
        }
        if stream.data > 0 {
            let taken = batch.take(&mut bytes[at..at + stream.data], *first, tag, now, context);
            stream.data -= taken;
            at += taken;
            continue;
        }
        match stream.step(&bytes[at..], BATCH_LEN_MAX) {
            Ok(StreamStep::Data(from)) => at += from,
            Ok(StreamStep::More(skip)) => {
                at += skip;
                break Fed::More;
            }
            Ok(StreamStep::End(skip)) => {
                at += skip;
                batch.end(*first, tag, now, context);
                break Fed::End;
            }
            Err(problem) => break Fed::Failed(problem),
        }
    };
    *count = batch.taken();
    (at, fed)
}

/// What a streamed body begins with.
enum StreamStep {
    /// Behind so many bytes of framing lies data; [`Stream::data`] says how much.
    Data(usize),
    More(usize),
    End(usize),
}

impl Stream {
    fn new(framing: Framing, now: Time) -> Box<Stream> {
        Box::new(Stream { reader: BodyReader::new(framing), data: 0, received: 0, since: now, paused_at: None })
    }

    /// Its deadline does not come nearer while we are the ones who do not read.
    pub(super) fn pause(&mut self, paused: bool, now: Time) {
        if paused {
            self.paused_at.get_or_insert(now);
        } else if let Some(paused_at) = self.paused_at.take() {
            self.since = self.since.after_micros(now.micros_since(paused_at));
        }
    }

    fn step(&mut self, bytes: &[u8], len_max: u64) -> Result<StreamStep, Problem> {
        match self.reader.step(bytes)? {
            Step::Data { from, to } => {
                self.data = to - from;
                self.received += self.data as u64;
                if self.received > len_max {
                    return Err(Problem::new(Code::PayloadTooLarge, "The body is longer than its limit."));
                }
                Ok(StreamStep::Data(from))
            }
            Step::More(skip) => Ok(StreamStep::More(skip)),
            Step::End(skip) => Ok(StreamStep::End(skip)),
        }
    }
}
