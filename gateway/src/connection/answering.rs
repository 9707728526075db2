//! The writing half: answers become bytes in the order of their requests.

use orderlane_core::{OrderView, Refusal, Reply, Status, Time};

use crate::batch::Progress;
use crate::connection::Connection;
use crate::connection::context::Context;
use crate::connection::exchange::{Answer, Exchange, Refused, Tag, Work};
use crate::connection::reading::Reading;
use crate::http::{ResponseHead, etag_matches};
use crate::json;
use crate::limits::OUTPUT_LEN_MAX;
use crate::problem::{Code, Problem};
use crate::routes::Endpoint;

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
const JSON: &str = "application/json";
const PROBLEM: &str = "application/problem+json";

impl Connection {
    /// Makes bytes of the answers whose turn it is; true when there was one.
    pub(super) fn answer(&mut self, now: Time, context: &mut Context) -> bool {
        let was_empty = self.output.is_empty();
        let mut any = false;
        while self.output.len() < OUTPUT_LEN_MAX && self.answer_oldest(now, context) {
            any = true;
        }
        let streamed = usize::from(matches!(self.reading, Reading::Batch(_)));
        if self.continue_due && self.exchanges.len() == streamed {
            self.continue_due = false;
            self.output.extend_from_slice(CONTINUE);
        }
        if was_empty && !self.output.is_empty() && self.in_transit == 0 {
            self.written_at = now;
        }
        any
    }

    fn answer_oldest(&mut self, now: Time, context: &mut Context) -> bool {
        let Some(oldest) = self.exchanges.front_mut() else { return false };
        match &mut oldest.work {
            Work::Gather(gather) => {
                let first = oldest.first;
                for (index, shard, request) in gather.take_queries() {
                    context.submit(shard, first.wrapping_add(index), request);
                }
                return false;
            }
            Work::Waiting { .. } => return false,
            Work::Held { until, .. } if *until > now || oldest.tag.endpoint == Endpoint::ReadOrder => return false,
            Work::Held { .. } | Work::Answered(_) => {}
            Work::Batch(batch) => match batch.refusal() {
                Some(problem) => oldest.work = Work::Answered(Answer::Refused(Box::new(problem.into()))),
                None => match batch.write(&oldest.tag, oldest.close, now, &mut self.output, context) {
                    Progress::Nothing => return false,
                    Progress::Some => return true,
                    Progress::Done => {}
                },
            },
        }
        let Some(exchange) = self.exchanges.pop_front() else { return false };
        self.active_at = now;
        let status = self.write_answer(&exchange, now, context);
        if exchange.close {
            self.exchanges.clear();
            self.close_reading();
        }
        let micros = now.micros_since(exchange.tag.started);
        context.metrics.record(exchange.tag.endpoint, exchange.tag.method, status, micros);
        context.metrics.requests_active.set(context.metrics.requests_active.value().saturating_sub(1));
        context.log.answered(&exchange.tag, status, now);
        true
    }

    /// Writes the whole answer; gives its status.
    fn write_answer(&mut self, exchange: &Exchange, now: Time, context: &mut Context) -> u16 {
        let mut body = std::mem::take(&mut context.scratch);
        body.clear();
        let reply = match &exchange.work {
            Work::Answered(Answer::Reply(reply)) | Work::Held { reply, .. } => {
                Rendered::of_reply(reply, &exchange.tag, &mut body)
            }
            Work::Answered(Answer::Refused(refused)) => Rendered::of_refused(refused, &exchange.tag, &mut body),
            Work::Answered(Answer::Document(document)) => {
                body.extend_from_slice(&document.body);
                Rendered {
                    content_type: document.content_type,
                    link: document.link.as_deref(),
                    ..Rendered::new(document.status)
                }
            }
            Work::Answered(Answer::Methods) => {
                Rendered { allow: Some("GET, HEAD, POST, PUT, OPTIONS"), ..Rendered::new(204) }
            }
            Work::Batch(_) => {
                context.scratch = body;
                return 200;
            }
            Work::Waiting { .. } | Work::Gather(_) => unreachable!("only what is ready is written"),
        };
        reply.write_head(exchange, body.len(), now, &mut self.output, context);
        if reply.has_body() && !exchange.tag.is_head {
            self.output.extend_from_slice(&body);
        }
        context.scratch = body;
        reply.status
    }
}

/// What the head of an answer says.
struct Rendered<'a> {
    status: u16,
    content_type: &'static str,
    etag: Option<u64>,
    /// The text of the order that `Location` names.
    location: Option<[u8; orderlane_core::ORDER_ID_LEN]>,
    replayed: bool,
    /// The answer says how long its key is honoured.
    is_keyed: bool,
    allow: Option<&'static str>,
    link: Option<&'a str>,
    code: Option<Code>,
}

impl<'a> Rendered<'a> {
    fn new(status: u16) -> Rendered<'a> {
        Rendered {
            status,
            content_type: JSON,
            etag: None,
            location: None,
            replayed: false,
            is_keyed: false,
            allow: None,
            link: None,
            code: None,
        }
    }

    fn of_refused(refused: &Refused, tag: &Tag, body: &mut Vec<u8>) -> Rendered<'a> {
        let code = refused.problem.code;
        refused.problem.render(tag.correlation.as_str(), tag.trace_id(), body);
        Rendered { content_type: PROBLEM, allow: refused.allow, code: Some(code), ..Rendered::new(code.status()) }
    }

    fn of_reply(reply: &Reply, tag: &Tag, body: &mut Vec<u8>) -> Rendered<'a> {
        match reply {
            Reply::Placed { order, created_at, body: placed, replayed } => {
                json::render_placed(*order, *created_at, placed, body);
                let (etag, location) = (Some(1), Some(order.text()));
                Rendered { etag, location, replayed: *replayed, is_keyed: true, ..Rendered::new(202) }
            }
            Reply::Ended { order, replayed } if tag.endpoint == Endpoint::PlaceOrder => {
                json::render_order(order, body);
                let (etag, location) = (Some(u64::from(order.version)), Some(order.order.text()));
                Rendered { etag, location, replayed: *replayed, is_keyed: true, ..Rendered::new(201) }
            }
            Reply::Ended { order, .. } | Reply::Order(order) => Rendered::of_order(order, tag, body),
            Reply::ProductPut { product, created } => {
                json::render_product(product, body);
                Rendered { etag: Some(u64::from(product.version)), ..Rendered::new(if *created { 201 } else { 200 }) }
            }
            Reply::Product(product) => Rendered::of_version(u64::from(product.version), tag, body, |body| {
                json::render_product(product, body);
            }),
            Reply::Inventory(inventory) => Rendered::of_version(inventory.version, tag, body, |body| {
                json::render_inventory(inventory, body);
            }),
            Reply::Adjusted { inventory, replayed } => {
                json::render_inventory(inventory, body);
                Rendered { etag: Some(inventory.version), replayed: *replayed, ..Rendered::new(200) }
            }
            Reply::Refused(refusal) => {
                let replayed = matches!(refusal, Refusal::InsufficientStock { replayed: true });
                let refused = Refused::from(Problem::of_refusal(*refusal));
                Rendered { replayed, ..Rendered::of_refused(&refused, tag, body) }
            }
            Reply::Orders(_) | Reply::Audit(_) => unreachable!("these are gathered"),
        }
    }

    fn of_order(order: &OrderView, tag: &Tag, body: &mut Vec<u8>) -> Rendered<'a> {
        if tag.endpoint == Endpoint::CancelOrder {
            json::render_order(order, body);
            let status = if order.status == Status::Cancelled { 200 } else { 202 };
            return Rendered { etag: Some(u64::from(order.version)), ..Rendered::new(status) };
        }
        Rendered::of_version(u64::from(order.version), tag, body, |body| json::render_order(order, body))
    }

    /// What is read has a version, and is not sent again to a client that has it.
    fn of_version(version: u64, tag: &Tag, body: &mut Vec<u8>, render: impl FnOnce(&mut Vec<u8>)) -> Rendered<'a> {
        let has_it = tag.if_none_match.as_deref().is_some_and(|tags| etag_matches(tags, version));
        if !has_it {
            render(body);
        }
        Rendered { etag: Some(version), ..Rendered::new(if has_it { 304 } else { 200 }) }
    }

    fn has_body(&self) -> bool {
        !matches!(self.status, 204 | 304)
    }

    fn write_head(&self, exchange: &Exchange, len: usize, now: Time, out: &mut Vec<u8>, context: &mut Context) {
        let tag = &exchange.tag;
        let retry_after = matches!(self.status, 429 | 503).then(|| context.retry_after());
        let mut head = ResponseHead::start(out, self.status, context.dates.line(now));
        head.field("X-Correlation-Id: ", tag.correlation.as_str());
        if let Some(location) = self.location {
            head.field("Location: /v1/orders/", location);
        }
        if let Some(version) = self.etag {
            head.etag(version);
        }
        if self.replayed {
            head.line(b"Idempotency-Replayed: true\r\n");
        }
        if let Some(seconds) = context.actuator.key_retention_seconds().filter(|_| self.is_keyed) {
            head.field("Idempotency-Key-Retention: ", itoa::Buffer::new().format(seconds));
        }
        if let Some(seconds) = tag.preference.filter(|_| self.status < 300) {
            head.field("Preference-Applied: wait=", itoa::Buffer::new().format(seconds));
        }
        if let Some(methods) = self.allow {
            head.field("Allow: ", methods);
        }
        if let Some(link) = self.link {
            head.field("Link: ", link);
        }
        if self.code == Some(Code::Unauthenticated) {
            head.line(b"WWW-Authenticate: Bearer realm=\"orderlane\"\r\n");
        }
        if let Some(seconds) = retry_after {
            head.field("Retry-After: ", seconds);
        }
        if exchange.close {
            head.line(b"Connection: close\r\n");
        } else if tag.version_minor == 0 {
            head.line(b"Connection: keep-alive\r\n");
        }
        if self.has_body() {
            head.field("Content-Type: ", self.content_type).end_sized(len);
        } else {
            head.end();
        }
    }
}
