//! Pages of orders, of a customer or of all: what one state of each of their shards shows, newest first.

use std::cmp::Reverse;

use orderlane_core::{OrderId, Sequence, ShardId, Time};
use serde_json::Value;

use crate::history::Operation;
use crate::invariants::{Check, End, Span, ensure};
use crate::model::{Order, order_document};

/// Where an order stands in a list.
type Place = (Time, OrderId);

pub(super) fn list(end: &End<'_>, operation: &Operation, customer: Option<&str>, status: u16, body: &Value) -> Check {
    ensure(status == 200, || "a list is answered 200".to_string())?;
    let Some(items) = body["items"].as_array() else { return Err("a page has items".to_string()) };
    let limit = operation.details.limit;
    ensure(limit == 0 || items.len() <= limit, || format!("a page has at most {limit} orders"))?;
    let next = body["next"].as_str();
    ensure(next.is_none() || limit == 0 || items.len() == limit, || "a page that is not full has no next".to_string())?;
    let places = places(end, items)?;
    ensure(places.is_sorted_by(|one, other| one > other), || "the newest come first, and each once".to_string())?;
    // A page with a next one ends at its last order; without, it goes back to the first order that ever was.
    let last = places.last().copied().filter(|_| next.is_some());
    ensure(next.map(str::to_string) == last.map(cursor_of), || {
        "the next page begins behind the last order".to_string()
    })?;
    let shards: Vec<ShardId> = match customer {
        Some(customer) => vec![ShardId::of(customer, end.model.shards())],
        None => (0..end.model.shards()).map(ShardId).collect(),
    };
    let known = places.iter().all(|(_, id)| shards.contains(&id.shard()));
    ensure(known, || format!("there are no such orders but on {shards:?}"))?;
    for shard in shards {
        let shown: Vec<&Value> =
            items.iter().zip(&places).filter(|(_, (_, id))| id.shard() == shard).map(|(item, _)| item).collect();
        of_shard(end, operation, (customer, shard, last), &shown)?;
    }
    Ok(())
}

/// The part of a page that a shard has given: all that it knew there in one of its states.
fn of_shard(
    end: &End<'_>,
    operation: &Operation,
    (customer, shard, last): (Option<&str>, ShardId, Option<Place>),
    shown: &[&Value],
) -> Check {
    let span = Span::of(operation, shard, end.logs);
    let caller = (end.caller)(operation.client);
    let before = operation.details.cursor.as_deref();
    let mut orders: Vec<&Order> = end
        .model
        .orders
        .values()
        .filter(|order| order.id.shard() == shard)
        .filter(|order| customer.is_none_or(|customer| order.body.customer() == customer))
        .filter(|order| caller.is_admin || order.body.subject() == caller.subject)
        // Written like this, cursors compare as the places that they name.
        .filter(|order| before.is_none_or(|before| *cursor_of(place(order)) < *before))
        .filter(|order| last.is_none_or(|last| place(order) >= last))
        .collect();
    orders.sort_by_key(|order| Reverse(place(order)));
    let agrees = |at: Sequence| {
        let views = orders.iter().filter_map(|order| Some((order, order.view_at(at)?)));
        let mut right = views.filter(|(_, view)| operation.details.status.is_none_or(|status| view.status == status));
        let same =
            shown.iter().all(|item| right.next().is_some_and(|(order, view)| **item == order_document(order, view)));
        same && right.next().is_none()
    };
    ensure(moments(&orders, span).into_iter().any(agrees), || {
        let ids: Vec<(Sequence, OrderId)> = orders.iter().map(|order| (order.sequence, order.id)).collect();
        format!("no state of shard {shard} from event {} to {} shows this page; of {ids:?}", span.low, span.high)
    })
}

fn places(end: &End<'_>, items: &[Value]) -> Result<Vec<Place>, String> {
    let place_of = |item: &Value| {
        let id = item["id"].as_str().and_then(OrderId::parse);
        let order = id.and_then(|id| end.model.orders.get(&id));
        order.map(place).ok_or_else(|| format!("there is no order {}", item["id"]))
    };
    items.iter().map(place_of).collect()
}

fn place(order: &Order) -> Place {
    (order.created, order.id)
}

/// The sequences at which what a list shows became something else, from the oldest possible state on.
fn moments(orders: &[&Order], span: Span) -> Vec<Sequence> {
    let changes = orders.iter().flat_map(|order| order.views.iter().map(|(sequence, _)| *sequence));
    let mut moments: Vec<Sequence> =
        changes.filter(|sequence| *sequence > span.low && *sequence <= span.high).chain([span.low]).collect();
    moments.sort_unstable();
    moments
}

/// Where the next page begins: stable, because it names an order and not a position.
fn cursor_of((time, order): Place) -> String {
    format!("{:016x}{:016x}", time.0, order.bits())
}
