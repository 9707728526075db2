//! Pages of a customer's orders: what one state of their shard shows, newest first.

use orderlane_core::{OrderId, Sequence, ShardId, Time};
use serde_json::Value;

use crate::history::Operation;
use crate::invariants::{Check, End, Span, ensure};
use crate::model::{Order, order_document};

pub(super) fn list(end: &End<'_>, operation: &Operation, customer: &str, status: u16, body: &Value) -> Check {
    ensure(status == 200, || "a list is answered 200".to_string())?;
    let Some(items) = body["items"].as_array() else { return Err("a page has items".to_string()) };
    let shard = ShardId::of(customer, end.model.shards());
    let span = Span::of(operation, shard, end.logs);
    let caller = (end.caller)(operation.client);
    let (before, limit) = (operation.details.cursor.as_deref(), operation.details.limit);
    ensure(limit == 0 || items.len() <= limit, || format!("a page has at most {limit} orders"))?;
    let mut orders: Vec<&Order> = end
        .model
        .orders
        .values()
        .filter(|order| order.body.customer() == customer)
        .filter(|order| caller.is_admin || order.body.subject() == caller.subject)
        // Written like this, cursors compare as the places that they name.
        .filter(|order| before.is_none_or(|before| *cursor_of((order.created, order.id)) < *before))
        .collect();
    orders.sort_by_key(|order| std::cmp::Reverse((order.created, order.id)));
    let next = body["next"].as_str();
    ensure(next.is_none() || limit == 0 || items.len() == limit, || "a page that is not full has no next".to_string())?;
    let agrees = |at: Sequence| page_is(&orders, at, items, next);
    ensure(moments(&orders, span).into_iter().any(agrees), || {
        let ids: Vec<(Sequence, OrderId)> = orders.iter().map(|order| (order.sequence, order.id)).collect();
        format!("no state from event {} to {} shows this page; of {ids:?}", span.low, span.high)
    })
}

/// The sequences at which what a list shows became something else, from the oldest possible state on.
fn moments(orders: &[&Order], span: Span) -> Vec<Sequence> {
    let changes = orders.iter().flat_map(|order| order.views.iter().map(|(sequence, _)| *sequence));
    let mut moments: Vec<Sequence> =
        changes.filter(|sequence| *sequence > span.low && *sequence <= span.high).chain([span.low]).collect();
    moments.sort_unstable();
    moments
}

fn page_is(orders: &[&Order], at: Sequence, items: &[Value], next: Option<&str>) -> bool {
    let mut shown = orders.iter().filter_map(|order| Some((order, order.view_at(at)?)));
    let mut last = None;
    for item in items {
        let Some((order, view)) = shown.next() else { return false };
        if *item != order_document(order, view) {
            return false;
        }
        last = Some((order.created, order.id));
    }
    match next {
        Some(cursor) => last.is_some_and(|last| cursor == cursor_of(last)),
        None => shown.next().is_none(),
    }
}

/// Where the next page begins: stable, because it names an order and not a position.
fn cursor_of((time, order): (Time, OrderId)) -> String {
    format!("{:016x}{:016x}", time.0, order.bits())
}
