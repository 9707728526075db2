//! Answers that several shards give together: pages of orders, merged newest first, and audits.

use std::fmt::Write;

use orderlane_core::{Audit, ListQuery, OrderId, OrderPage, OrderView, Reader, Reply, Request, ShardId, Status, Time};

use crate::connection::exchange::{Answer, Document};
use crate::http::query_pairs;
use crate::json;
use crate::limits::{LIST_ROUNDS_MAX, PAGE_DEFAULT};
use crate::problem::Problem;
use orderlane_core::limits::PAGE_MAX;

/// The place of an order in a list.
pub(crate) type Place = (Time, OrderId);

/// What a list is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ListFilter {
    pub(crate) customer: Option<Box<str>>,
    pub(crate) status: Option<Status>,
    pub(crate) limit: usize,
    pub(crate) before: Option<Place>,
}

impl ListFilter {
    /// From a query whose names were checked.
    pub(crate) fn parse(query: &str, shards: u16) -> Result<ListFilter, Problem> {
        let mut filter = ListFilter { limit: PAGE_DEFAULT, ..ListFilter::default() };
        for (name, value) in query_pairs(query).flatten() {
            match &*name {
                "customer" if json::valid_id(&value) => filter.customer = Some(value.into()),
                "customer" => return Err(Problem::field("customer", "is 1 to 64 of A-Z a-z 0-9 . _ ~ : @ -")),
                "status" => {
                    let status = Status::parse(&value);
                    filter.status = Some(status.ok_or_else(|| Problem::field("status", "is not a status of orders"))?);
                }
                "limit" => filter.limit = parse_limit(&value)?,
                _ => {
                    let place = parse_cursor(&value, shards);
                    filter.before =
                        Some(place.ok_or_else(|| Problem::field("cursor", "is not one that this server gave out"))?);
                }
            }
        }
        Ok(filter)
    }

    /// The target of the next page.
    fn link(&self, cursor: &str) -> String {
        let mut link = String::from("</v1/orders?");
        if let Some(customer) = &self.customer {
            let _ = write!(link, "customer={customer}&");
        }
        if let Some(status) = self.status {
            let _ = write!(link, "status={}&", status.name());
        }
        let _ = write!(link, "limit={}&cursor={cursor}>; rel=\"next\"", self.limit);
        link
    }
}

fn parse_limit(value: &str) -> Result<usize, Problem> {
    let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    match value.parse() {
        Ok(limit @ 1..=PAGE_MAX) if is_number => Ok(limit),
        Ok(_) | Err(_) => Err(Problem::field("limit", "is a number from 1 to 200")),
    }
}

fn cursor_of((time, order): Place) -> String {
    format!("{:016x}{:016x}", time.0, order.bits())
}

fn parse_cursor(text: &str, shards: u16) -> Option<Place> {
    let is_ours = text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let time = u64::from_str_radix(text.get(..16)?, 16).ok()?;
    let order = OrderId::from_bits(u64::from_str_radix(text.get(16..)?, 16).ok()?);
    (is_ours && order.shard() < ShardId(shards)).then_some((Time(time), order))
}

/// Replies of several shards on their way to one answer.
#[derive(Debug)]
pub(crate) struct Gather {
    missing: usize,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Orders(List),
    Audits(Vec<Option<Audit>>),
}

/// A list of orders on its way. A shard looks at a bounded number of orders for one page; it is asked again, from where it
/// stopped, until the list is full or nothing is older.
#[derive(Debug)]
struct List {
    filter: ListFilter,
    reader: Reader,
    shards: Vec<ShardId>,
    pages: Vec<Option<OrderPage>>,
    found: Vec<OrderView>,
    rounds: u32,
    /// The shards are to be asked.
    is_due: bool,
}

impl List {
    /// Takes all pages in; true when the list is complete, with the place where the next one begins.
    fn is_complete(&mut self) -> (bool, Option<Place>) {
        let limit = self.filter.limit - self.found.len();
        let (orders, next) = merge(self.pages.iter_mut().filter_map(Option::take), limit);
        self.found.extend(orders);
        let complete = next.is_none() || self.found.len() == self.filter.limit || self.rounds >= LIST_ROUNDS_MAX;
        if !complete {
            self.filter.before = next;
            self.rounds += 1;
            self.is_due = true;
        }
        (complete, next)
    }
}

impl Gather {
    /// A list of these shards' orders; [`Gather::take_queries`] asks for it.
    pub(crate) fn orders(filter: ListFilter, reader: Reader, shards: Vec<ShardId>) -> Gather {
        let count = shards.len();
        let (pages, found) = (vec![None; count], Vec::new());
        let list = List { filter, reader, shards, pages, found, rounds: 0, is_due: true };
        Gather { missing: count, kind: Kind::Orders(list) }
    }

    /// What the shards are to be asked now, by the index of the reply.
    pub(crate) fn take_queries(&mut self) -> Vec<(u32, ShardId, Request)> {
        let Kind::Orders(list) = &mut self.kind else { return Vec::new() };
        if !std::mem::take(&mut list.is_due) {
            return Vec::new();
        }
        let query = ListQuery {
            reader: list.reader.clone(),
            customer: list.filter.customer.clone(),
            status: list.filter.status,
            before: list.filter.before,
            limit: list.filter.limit - list.found.len(),
        };
        let ask = |(index, shard): (u32, &ShardId)| (index, *shard, Request::ListOrders(Box::new(query.clone())));
        (0..).zip(&list.shards).map(ask).collect()
    }

    /// Audits of so many shards.
    pub(crate) fn audits(count: usize) -> Gather {
        Gather { missing: count, kind: Kind::Audits(vec![None; count]) }
    }

    /// Takes the reply of the shard at `index`; gives the answer when it was the last one, or a refusal.
    pub(crate) fn deliver(&mut self, index: u32, reply: Reply) -> Option<Answer> {
        let index = index as usize;
        let new = match (&mut self.kind, reply) {
            (Kind::Orders(list), Reply::Orders(page)) => list.pages[index].replace(*page).is_none(),
            (Kind::Audits(audits), Reply::Audit(audit)) => audits[index].replace(*audit).is_none(),
            (_, refusal @ Reply::Refused(_)) => return Some(Answer::Reply(refusal)),
            (_, reply) => unreachable!("a shard answers what it was asked: {reply:?}"),
        };
        self.missing -= usize::from(new);
        if self.missing > 0 {
            return None;
        }
        let document = match &mut self.kind {
            Kind::Orders(list) => {
                let (complete, next) = list.is_complete();
                if !complete {
                    self.missing = list.shards.len();
                    return None;
                }
                page_document(list, next)
            }
            Kind::Audits(audits) => {
                let audits: Vec<Audit> = audits.drain(..).flatten().collect();
                let mut body = Vec::new();
                json::render_audit(&audits, &mut body);
                Document { status: 200, content_type: "application/json", link: None, body }
            }
        };
        Some(Answer::Document(Box::new(document)))
    }
}

fn page_document(list: &List, next: Option<Place>) -> Document {
    let mut body = Vec::new();
    let cursor = next.map(cursor_of);
    json::render_page(&list.found, cursor.as_deref(), &mut body);
    let link = cursor.map(|cursor| list.filter.link(&cursor));
    Document { status: 200, content_type: "application/json", link, body }
}

/// The newest `limit` orders of all pages, newest first, and where the next page begins. A page that stopped early says
/// nothing about what is older than its end: nothing beyond the newest such end is shown.
fn merge(pages: impl Iterator<Item = OrderPage>, limit: usize) -> (Vec<OrderView>, Option<Place>) {
    let place = |view: &OrderView| (view.created_at, view.order);
    let mut orders = Vec::new();
    let mut boundary: Option<Place> = None;
    for page in pages {
        boundary = boundary.max(page.reached);
        orders.extend(page.orders);
    }
    if let Some(boundary) = boundary {
        orders.retain(|view| place(view) >= boundary);
    }
    orders.sort_unstable_by_key(|view| std::cmp::Reverse(place(view)));
    let next = if orders.len() > limit {
        orders.truncate(limit);
        orders.last().map(place)
    } else {
        boundary
    };
    (orders, next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::tests::order_view;

    #[test]
    fn cursors_round_trip_and_nothing_else_parses() {
        let place = (Time(1_700_000_000_000_000), OrderId::new(ShardId(3), 77));
        let cursor = cursor_of(place);
        assert_eq!(parse_cursor(&cursor, 4), Some(place));
        assert_eq!(parse_cursor(&cursor, 3), None);
        for text in
            ["", "x", &cursor[1..], &format!("{cursor}0"), &cursor.to_uppercase().replace('0', "A"), &"+".repeat(32)]
        {
            assert_eq!(parse_cursor(text, 4), None, "{text}");
        }
    }

    #[test]
    fn a_list_goes_on_until_it_is_full_or_nothing_is_older() {
        let boundary = (Time(5), OrderId::new(ShardId(0), 5));
        let filter = ListFilter { limit: 2, ..ListFilter::default() };
        let mut gather = Gather::orders(filter, Reader::Admin, vec![ShardId(0)]);
        assert_eq!(gather.take_queries().len(), 1);
        assert!(gather.take_queries().is_empty(), "asked once a round");
        let nothing_yet = OrderPage { orders: Vec::new(), reached: Some(boundary) };
        assert!(gather.deliver(0, Reply::Orders(Box::new(nothing_yet))).is_none(), "an empty page is no answer");
        let queries = gather.take_queries();
        let [(0, ShardId(0), Request::ListOrders(query))] = &queries[..] else { panic!("asked on: {queries:?}") };
        assert_eq!(query.before, Some(boundary));
        let last = OrderPage { orders: vec![order_view(Status::Pending, 3)], reached: None };
        let answer = gather.deliver(0, Reply::Orders(Box::new(last)));
        let Some(Answer::Document(document)) = answer else { panic!("the list is complete: {answer:?}") };
        let json: serde_json::Value = serde_json::from_slice(&document.body).expect("JSON");
        assert_eq!((json["items"].as_array().map(Vec::len), json["next"].is_null()), (Some(1), true));
    }

    #[test]
    fn nothing_beyond_the_newest_incomplete_page_is_shown() {
        let page = |times: &[u64], reached: Option<u64>| OrderPage {
            orders: times.iter().map(|time| order_view(Status::Pending, *time)).collect(),
            reached: reached.map(|time| (Time(time), OrderId::new(ShardId(0), time))),
        };
        for (pages, limit, shown, next) in [
            (vec![page(&[9, 7], None), page(&[8, 1], None)], 9, vec![9, 8, 7, 1], None),
            (vec![page(&[9, 7], None), page(&[8, 1], None)], 3, vec![9, 8, 7], Some(7)),
            (vec![page(&[9, 7, 2], None), page(&[8, 4], Some(4))], 9, vec![9, 8, 7, 4], Some(4)),
            (vec![page(&[], Some(5)), page(&[8, 4], None)], 9, vec![8], Some(5)),
            (vec![page(&[], Some(5)), page(&[], Some(3))], 9, vec![], Some(5)),
            (vec![page(&[], None)], 9, vec![], None),
        ] {
            let (orders, cursor) = merge(pages.into_iter(), limit);
            assert_eq!(orders.iter().map(|view| view.created_at.0).collect::<Vec<_>>(), shown);
            assert_eq!(cursor.map(|place| place.0.0), next);
        }
    }
}
