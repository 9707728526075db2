//! From an admitted request and its body to what is asked of the shards.

use orderlane_core::{OrderId, Reader, Request, ShardId, Time};

use crate::auth::Principal;
use crate::connection::admission::Admitted;
use crate::connection::context::Context;
use crate::connection::exchange::{Answer, Document, Tag, Work};
use crate::connection::gather::{Gather, ListFilter};
use crate::http::{Head, query_pairs, version_expected};
use crate::json;
use crate::limits::WAIT_SECONDS_MAX;
use crate::problem::{Code, Problem};
use crate::routes::Endpoint;

/// What a request became: the work of its exchange and how many numbers its submissions took.
pub(crate) type Started = (Work, u32);

/// Everything of a request but its body.
pub(crate) struct Asked<'a, 'h> {
    pub(crate) head: &'a Head<'h>,
    pub(crate) tag: &'a Tag,
    pub(crate) admitted: Admitted<'h>,
    /// The first number that its submissions may take.
    pub(crate) number: u32,
    pub(crate) now: Time,
}

impl Asked<'_, '_> {
    /// Submits what is asked, or answers it at once.
    pub(crate) fn start(self, body: &mut [u8], context: &mut Context) -> Result<Started, Problem> {
        match self.admitted.endpoint {
            Endpoint::PlaceOrder => self.place_order(body, context),
            Endpoint::ReadOrder => self.read_order(context),
            Endpoint::CancelOrder => self.cancel_order(context),
            Endpoint::ListOrders => self.list_orders(context),
            Endpoint::PutProduct => {
                let product = json::parse_product(body, self.sku()?)?;
                self.submit_sku(Request::PutProduct(Box::new(product)), context)
            }
            Endpoint::ReadProduct => self.submit_sku(Request::GetProduct { sku: self.known_sku()?.into() }, context),
            Endpoint::ReadInventory => {
                self.submit_sku(Request::GetInventory { sku: self.known_sku()?.into() }, context)
            }
            Endpoint::AdjustStock => {
                let sku = self.sku()?;
                let adjustment = json::parse_adjustment(body, &self.principal().subject, sku, self.admitted.key)?;
                self.submit_sku(Request::AdjustStock(Box::new(adjustment)), context)
            }
            Endpoint::Invariants => Ok(self.audit(context)),
            Endpoint::Health | Endpoint::HealthGroup | Endpoint::Info | Endpoint::Prometheus => {
                self.actuator(context).map(answered)
            }
            Endpoint::Server => Ok(answered(Answer::Methods)),
            Endpoint::PlaceBatch | Endpoint::LoadProducts | Endpoint::Unknown => {
                unreachable!("batches are streamed and unknown paths are refused")
            }
        }
    }

    fn place_order(self, body: &mut [u8], context: &mut Context) -> Result<Started, Problem> {
        let subject = &self.principal().subject;
        let body = json::parse_order(body, subject, self.admitted.key, context.shards)?;
        let shard = ShardId::of(body.customer(), context.shards);
        let until = until(self.tag.preference, self.now);
        context.submit(shard, self.number, Request::PlaceOrder { body, wait: until.is_some() });
        Ok((Work::Waiting { until }, 1))
    }

    fn read_order(self, context: &mut Context) -> Result<Started, Problem> {
        let seconds = self.wait_parameter()?.or(self.tag.preference);
        let order = self.order(context)?;
        let until = until(seconds, self.now);
        let request = Request::GetOrder { order, reader: reader(self.principal()), wait: until.is_some() };
        context.submit(order.shard(), self.number, request);
        Ok((Work::Waiting { until }, 1))
    }

    fn cancel_order(self, context: &mut Context) -> Result<Started, Problem> {
        let order = self.order(context)?;
        let reader = reader(self.principal());
        let version_expected = version_expected(self.head.if_match);
        context.submit(order.shard(), self.number, Request::CancelOrder { order, reader, version_expected });
        Ok((Work::Waiting { until: None }, 1))
    }

    fn list_orders(self, context: &mut Context) -> Result<Started, Problem> {
        let filter = ListFilter::parse(self.head.target.query, context.shards)?;
        let shards: Vec<ShardId> = match &filter.customer {
            Some(customer) => vec![ShardId::of(customer, context.shards)],
            None => (0..context.shards).map(ShardId).collect(),
        };
        let count = shards.len() as u32;
        let mut gather = Gather::orders(filter, reader(self.principal()), shards);
        for (index, shard, request) in gather.take_queries() {
            context.submit(shard, self.number.wrapping_add(index), request);
        }
        Ok((Work::Gather(Box::new(gather)), count))
    }

    fn audit(self, context: &mut Context) -> Started {
        for shard in 0..context.shards {
            context.submit(ShardId(shard), self.number.wrapping_add(u32::from(shard)), Request::Audit);
        }
        (Work::Gather(Box::new(Gather::audits(usize::from(context.shards)))), u32::from(context.shards))
    }

    fn submit_sku(&self, request: Request, context: &mut Context) -> Result<Started, Problem> {
        let shard = ShardId::of(&self.admitted.name, context.shards);
        context.submit(shard, self.number, request);
        Ok((Work::Waiting { until: None }, 1))
    }

    fn actuator(&self, context: &mut Context) -> Result<Answer, Problem> {
        const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";
        let mut document = Document { status: 200, content_type: "application/json", link: None, body: Vec::new() };
        let group = match self.admitted.endpoint {
            Endpoint::Info => {
                context.actuator.info(&mut document.body);
                return Ok(Answer::Document(Box::new(document)));
            }
            Endpoint::Prometheus => {
                document.content_type = PROMETHEUS;
                context.actuator.prometheus(&mut document.body);
                return Ok(Answer::Document(Box::new(document)));
            }
            Endpoint::HealthGroup => Some(&*self.admitted.name),
            _ => None,
        };
        document.status = context
            .actuator
            .health(group, &mut document.body)
            .ok_or_else(|| Problem::new(Code::NotFound, "There is no health group of this name."))?;
        Ok(Answer::Document(Box::new(document)))
    }

    fn principal(&self) -> &Principal {
        self.tag.principal.as_ref().expect("only the actuator is open to everybody")
    }

    /// The order of the path; one that cannot exist is not found.
    fn order(&self, context: &Context) -> Result<OrderId, Problem> {
        OrderId::parse(&self.admitted.name)
            .filter(|order| order.shard() < ShardId(context.shards))
            .ok_or_else(|| Problem::of_refusal(orderlane_core::Refusal::NotFound))
    }

    /// The SKU of the path, to be written.
    fn sku(&self) -> Result<&str, Problem> {
        json::valid_id(&self.admitted.name)
            .then_some(&*self.admitted.name)
            .ok_or_else(|| Problem::field("sku", "is 1 to 64 of A-Z a-z 0-9 . _ ~ : @ -"))
    }

    /// The SKU of the path, to be read.
    fn known_sku(&self) -> Result<&str, Problem> {
        self.sku().map_err(|_| Problem::of_refusal(orderlane_core::Refusal::NotFound))
    }

    fn wait_parameter(&self) -> Result<Option<u64>, Problem> {
        let Some((_, value)) = query_pairs(self.head.target.query).flatten().next() else { return Ok(None) };
        let is_number = (1..=9).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_digit());
        match value.parse::<u64>() {
            Ok(seconds) if is_number => Ok(Some(seconds.min(WAIT_SECONDS_MAX))),
            Ok(_) | Err(_) => Err(Problem::field("wait", "is a number of seconds")),
        }
    }
}

fn answered(answer: Answer) -> Started {
    (Work::Answered(answer), 1)
}

/// Whose orders the caller sees.
pub(crate) fn reader(principal: &Principal) -> Reader {
    if principal.has(crate::auth::Scope::Admin) { Reader::Admin } else { Reader::Subject(principal.subject.clone()) }
}

/// The end of a wait; waiting for no time is not waiting.
pub(crate) fn until(seconds: Option<u64>, now: Time) -> Option<Time> {
    seconds.filter(|seconds| *seconds > 0).map(|seconds| now.after_micros(seconds * 1_000_000))
}
