//! One `:batch` request: items in as its body arrives, results out in the order of the items, in bounded memory.

mod split;

use std::collections::VecDeque;

use orderlane_core::{Reply, Request, ShardId, Time};

use crate::batch::split::{Cut, Splitter};
use crate::connection::{Context, Tag, until};
use crate::http::{MediaType, ResponseHead, begin_chunk, end_chunk, end_chunks};
use crate::json;
use crate::limits::{BATCH_ITEMS_MAX, BATCH_OUTSTANDING_MAX, OUTPUT_LEN_MAX};
use crate::problem::{Code, Problem};
use crate::routes::Endpoint;

/// What an item waits for.
#[derive(Debug)]
enum Item {
    /// Its reply; with a wait, until when. The SKU of a product line.
    Waiting { until: Option<Time>, sku: Option<Box<str>> },
    /// The end of its saga.
    Held { reply: Reply, until: Time },
    /// Its turn.
    Replied { reply: Reply, sku: Option<Box<str>> },
    /// Its turn.
    Refused { problem: Box<Problem>, sku: Option<Box<str>> },
}

/// Whether there is more to come.
#[derive(Debug, PartialEq, Eq)]
enum Body {
    Open,
    /// All items are there.
    Complete,
    /// What came last cannot be read; this is the last result.
    Broken(Problem),
}

/// How far [`Batch::write`] came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Nothing to write now.
    Nothing,
    /// Something was written; there is more to come.
    Some,
    /// The answer is complete.
    Done,
}

/// One batch in progress.
#[derive(Debug)]
pub(crate) struct Batch {
    endpoint: Endpoint,
    splitter: Splitter,
    output: MediaType,
    /// Items whose result is not written, oldest first.
    items: VecDeque<Item>,
    /// Items cut from the body so far.
    taken: usize,
    /// Results written so far.
    written: usize,
    body: Body,
    has_head: bool,
}

impl Batch {
    /// For a body and results of these types.
    pub(crate) fn new(endpoint: Endpoint, input: MediaType, output: MediaType) -> Batch {
        Batch {
            endpoint,
            splitter: Splitter::new(input),
            output,
            items: VecDeque::new(),
            taken: 0,
            written: 0,
            body: Body::Open,
            has_head: false,
        }
    }

    /// Whether no more items can be taken now.
    pub(crate) fn is_full(&self) -> bool {
        self.items.len() >= BATCH_OUTSTANDING_MAX
    }

    /// Items cut from the body so far: so many numbers are used.
    pub(crate) fn taken(&self) -> u32 {
        self.taken as u32
    }

    /// Whether what the body is cannot be read any further.
    pub(crate) fn is_broken(&self) -> bool {
        matches!(self.body, Body::Broken(_))
    }

    /// Takes body bytes up to the end of at most one item; gives how many it took.
    pub(crate) fn take(&mut self, bytes: &mut [u8], first: u32, tag: &Tag, now: Time, context: &mut Context) -> usize {
        let (taken, cut) = self.splitter.advance(bytes);
        match cut {
            Cut::More => {}
            Cut::Whole { from, to } => self.begin(&mut bytes[from..to], first, tag, now, context),
            Cut::Joined => self.begin_joined(first, tag, now, context),
            Cut::TooLong => {
                self.refuse(Problem::new(Code::PayloadTooLarge, "An item of a batch has at most 256 KiB."), None);
            }
            Cut::Broken => self.break_off(self.not_json()),
        }
        taken
    }

    /// The body has ended.
    pub(crate) fn end(&mut self, first: u32, tag: &Tag, now: Time, context: &mut Context) {
        match self.splitter.finish() {
            Cut::More => {}
            Cut::Joined | Cut::Whole { .. } => self.begin_joined(first, tag, now, context),
            Cut::TooLong => {
                self.refuse(Problem::new(Code::PayloadTooLarge, "An item of a batch has at most 256 KiB."), None);
            }
            Cut::Broken => self.break_off(self.not_json()),
        }
        if self.body == Body::Open {
            self.body = Body::Complete;
        }
    }

    /// Nothing more is read: `problem` becomes the last result.
    pub(crate) fn break_off(&mut self, problem: Problem) {
        self.body = Body::Broken(problem);
    }

    /// The refusal of the whole, when nothing else has been or will be answered.
    pub(crate) fn refusal(&mut self) -> Option<Problem> {
        if self.has_head || self.taken > 0 {
            return None;
        }
        match std::mem::replace(&mut self.body, Body::Complete) {
            Body::Broken(problem) => Some(problem),
            body @ (Body::Open | Body::Complete) => {
                self.body = body;
                None
            }
        }
    }

    /// Takes the reply to item `index`, counted from the first of the body.
    pub(crate) fn deliver(&mut self, index: u32, reply: Reply) {
        let Some(item) = (index as usize).checked_sub(self.written).and_then(|at| self.items.get_mut(at)) else {
            return;
        };
        match item {
            Item::Waiting { until, sku } => {
                *item = match (reply, *until) {
                    (reply @ Reply::Placed { .. }, Some(until)) => Item::Held { reply, until },
                    (reply, _) => Item::Replied { reply, sku: sku.take() },
                };
            }
            Item::Held { .. } => {
                if let Reply::Ended { .. } = reply {
                    *item = Item::Replied { reply, sku: None };
                }
            }
            Item::Replied { .. } | Item::Refused { .. } => {}
        }
    }

    /// When the oldest item stops waiting for the end of its saga.
    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        match self.items.front()? {
            Item::Held { until, .. } => Some(*until),
            Item::Waiting { .. } | Item::Replied { .. } | Item::Refused { .. } => None,
        }
    }

    /// Writes what is ready. `close` says whether the connection ends behind this answer, as far as is known.
    pub(crate) fn write(
        &mut self,
        tag: &Tag,
        close: bool,
        now: Time,
        out: &mut Vec<u8>,
        context: &mut Context,
    ) -> Progress {
        let ended = self.body != Body::Open;
        let is_last = ended && self.items.is_empty();
        if !is_last && !self.front_is_ready(now) {
            return Progress::Nothing;
        }
        self.write_head(tag, close, now, out, context);
        let chunk = (tag.version_minor > 0).then(|| begin_chunk(out));
        let limit = out.len() + OUTPUT_LEN_MAX;
        let before = self.written;
        while out.len() < limit && self.front_is_ready(now) {
            let Some(item) = self.items.pop_front() else { break };
            self.write_separator(out);
            self.write_item(item, tag, out);
            self.written += 1;
        }
        context.metrics.batch_items.add((self.written - before) as u64);
        let done = ended && self.items.is_empty();
        if done {
            self.write_end(tag, out);
        }
        if let Some(data_start) = chunk {
            end_chunk(out, data_start);
            if done {
                end_chunks(out);
            }
        }
        if done { Progress::Done } else { Progress::Some }
    }

    fn front_is_ready(&self, now: Time) -> bool {
        match self.items.front() {
            Some(Item::Replied { .. } | Item::Refused { .. }) => true,
            Some(Item::Held { until, .. }) => *until <= now,
            Some(Item::Waiting { .. }) | None => false,
        }
    }

    fn not_json(&self) -> Problem {
        if self.splitter.has_begun() {
            Problem::new(Code::MalformedJson, "The array is broken behind the last result that went before this one.")
        } else {
            Problem::new(Code::MalformedJson, "The body is not a JSON array.")
        }
    }

    fn begin_joined(&mut self, first: u32, tag: &Tag, now: Time, context: &mut Context) {
        let mut item = std::mem::take(self.splitter.joined());
        self.begin(&mut item, first, tag, now, context);
        item.clear();
        *self.splitter.joined() = item;
    }

    /// Parses one item and submits it.
    fn begin(&mut self, item: &mut [u8], first: u32, tag: &Tag, now: Time, context: &mut Context) {
        if self.taken >= BATCH_ITEMS_MAX {
            self.refuse(Problem::new(Code::PayloadTooLarge, "A batch has at most 100000 items."), None);
            return;
        }
        let number = first.wrapping_add(self.taken());
        if self.endpoint == Endpoint::LoadProducts {
            return self.begin_product(item, number, context);
        }
        match json::parse_batch_item(item, tag.subject().unwrap_or_default(), context.shards) {
            Ok(body) => {
                let until = until(tag.preference, now);
                let shard = ShardId::of(body.customer(), context.shards);
                context.submit(shard, number, Request::PlaceOrder { body, wait: until.is_some() });
                self.push(Item::Waiting { until, sku: None });
            }
            Err(problem) => self.refuse(problem, None),
        }
    }

    fn begin_product(&mut self, line: &mut [u8], number: u32, context: &mut Context) {
        match json::parse_product_line(line) {
            Ok((product, stock)) => {
                let sku = product.sku.clone();
                let shard = ShardId::of(&sku, context.shards);
                context.submit(shard, number, Request::LoadProduct { product: Box::new(product), stock });
                self.push(Item::Waiting { until: None, sku: Some(sku) });
            }
            Err((sku, problem)) => self.refuse(problem, sku.map(String::into_boxed_str)),
        }
    }

    fn refuse(&mut self, problem: Problem, sku: Option<Box<str>>) {
        self.push(Item::Refused { problem: Box::new(problem), sku });
    }

    fn push(&mut self, item: Item) {
        self.items.push_back(item);
        self.taken += 1;
    }

    fn write_head(&mut self, tag: &Tag, close: bool, now: Time, out: &mut Vec<u8>, context: &mut Context) {
        if std::mem::replace(&mut self.has_head, true) {
            return;
        }
        let mut head = ResponseHead::start(out, 200, context.dates.line(now));
        head.line(match self.output {
            MediaType::Json => b"Content-Type: application/json\r\n",
            MediaType::Lines => b"Content-Type: application/x-ndjson\r\n",
        });
        head.field("X-Correlation-Id: ", tag.correlation.as_str());
        if let Some(seconds) = tag.preference {
            head.field("Preference-Applied: wait=", itoa::Buffer::new().format(seconds));
        }
        if tag.version_minor > 0 {
            head.line(b"Transfer-Encoding: chunked\r\n");
        }
        if close {
            head.line(b"Connection: close\r\n");
        }
        head.end();
    }

    fn write_separator(&self, out: &mut Vec<u8>) {
        if self.output == MediaType::Json {
            out.push(if self.written == 0 { b'[' } else { b',' });
        }
    }

    fn write_item(&self, item: Item, tag: &Tag, out: &mut Vec<u8>) {
        let lines = self.output == MediaType::Lines;
        match item {
            Item::Replied { reply, sku } if self.endpoint == Endpoint::LoadProducts => {
                write_product_result(reply, sku.as_deref(), out);
            }
            Item::Replied { reply, .. } | Item::Held { reply, .. } => write_order_result(reply, tag, out),
            Item::Refused { problem, sku } => self.write_problem(&problem, sku.as_deref(), tag, out),
            Item::Waiting { .. } => unreachable!("only what is ready is written"),
        }
        if lines {
            out.push(b'\n');
        }
    }

    fn write_problem(&self, problem: &Problem, sku: Option<&str>, tag: &Tag, out: &mut Vec<u8>) {
        if self.endpoint == Endpoint::LoadProducts {
            write_product(sku, "refused", Some(problem.code), out);
        } else {
            write_order_problem(problem, tag, out);
        }
    }

    fn write_end(&mut self, tag: &Tag, out: &mut Vec<u8>) {
        if let Body::Broken(problem) = std::mem::replace(&mut self.body, Body::Complete) {
            self.write_separator(out);
            self.write_problem(&problem, None, tag, out);
            self.written += 1;
            if self.output == MediaType::Lines {
                out.push(b'\n');
            }
        }
        if self.output == MediaType::Json {
            out.extend_from_slice(if self.written == 0 { b"[]" } else { b"]" });
        }
    }
}

fn write_order_result(reply: Reply, tag: &Tag, out: &mut Vec<u8>) {
    match reply {
        Reply::Placed { order, created_at, body, .. } => {
            out.extend_from_slice(b"{\"status\":202,\"order\":");
            json::render_placed(order, created_at, &body, out);
            out.push(b'}');
        }
        Reply::Ended { order, .. } => {
            out.extend_from_slice(b"{\"status\":201,\"order\":");
            json::render_order(&order, out);
            out.push(b'}');
        }
        Reply::Refused(refusal) => write_order_problem(&Problem::of_refusal(refusal), tag, out),
        reply => unreachable!("a shard answers what it was asked: {reply:?}"),
    }
}

fn write_order_problem(problem: &Problem, tag: &Tag, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"status\":");
    out.extend_from_slice(itoa::Buffer::new().format(problem.code.status()).as_bytes());
    out.extend_from_slice(b",\"problem\":");
    problem.render(tag.correlation.as_str(), tag.trace_id(), out);
    out.push(b'}');
}

fn write_product_result(reply: Reply, sku: Option<&str>, out: &mut Vec<u8>) {
    match reply {
        Reply::ProductPut { created, .. } => write_product(sku, if created { "created" } else { "updated" }, None, out),
        Reply::Refused(refusal) => write_product(sku, "refused", Some(Problem::of_refusal(refusal).code), out),
        reply => unreachable!("a shard answers what it was asked: {reply:?}"),
    }
}

fn write_product(sku: Option<&str>, result: &str, code: Option<Code>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"sku\":");
    let sku = serde_json::to_vec(&sku).expect("a text is always JSON");
    out.extend_from_slice(&sku);
    out.extend_from_slice(b",\"result\":\"");
    out.extend_from_slice(result.as_bytes());
    out.extend_from_slice(b"\",\"code\":");
    match code {
        Some(code) => {
            out.push(b'"');
            out.extend_from_slice(code.name().as_bytes());
            out.push(b'"');
        }
        None => out.extend_from_slice(b"null"),
    }
    out.push(b'}');
}
