//! Answers that several shards give together: pages of orders, merged newest first, and audits.

use std::fmt::Write;

use orderlane_core::{Audit, OrderId, OrderPage, OrderView, Reply, ShardId, Status, Time};

use crate::connection::exchange::{Answer, Document};
use crate::http::query_pairs;
use crate::json;
use crate::limits::PAGE_DEFAULT;
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
    Orders { filter: ListFilter, pages: Vec<Option<OrderPage>> },
    Audits(Vec<Option<Audit>>),
}

impl Gather {
    /// Pages of so many shards.
    pub(crate) fn orders(filter: ListFilter, count: usize) -> Gather {
        Gather { missing: count, kind: Kind::Orders { filter, pages: vec![None; count] } }
    }

    /// Audits of so many shards.
    pub(crate) fn audits(count: usize) -> Gather {
        Gather { missing: count, kind: Kind::Audits(vec![None; count]) }
    }

    /// Takes the reply of the shard at `index`; gives the answer when it was the last one, or a refusal.
    pub(crate) fn deliver(&mut self, index: u32, reply: Reply) -> Option<Answer> {
        let index = index as usize;
        let new = match (&mut self.kind, reply) {
            (Kind::Orders { pages, .. }, Reply::Orders(page)) => pages[index].replace(*page).is_none(),
            (Kind::Audits(audits), Reply::Audit(audit)) => audits[index].replace(*audit).is_none(),
            (_, refusal @ Reply::Refused(_)) => return Some(Answer::Reply(refusal)),
            (_, reply) => unreachable!("a shard answers what it was asked: {reply:?}"),
        };
        self.missing -= usize::from(new);
        (self.missing == 0).then(|| Answer::Document(Box::new(self.document())))
    }

    fn document(&mut self) -> Document {
        let mut body = Vec::new();
        let mut link = None;
        match &mut self.kind {
            Kind::Orders { filter, pages } => {
                let (orders, next) = merge(pages.drain(..).flatten(), filter.limit);
                let cursor = next.map(cursor_of);
                json::render_page(&orders, cursor.as_deref(), &mut body);
                link = cursor.map(|cursor| filter.link(&cursor));
            }
            Kind::Audits(audits) => {
                let audits: Vec<Audit> = audits.drain(..).flatten().collect();
                json::render_audit(&audits, &mut body);
            }
        }
        Document { status: 200, content_type: "application/json", link, body }
    }
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
