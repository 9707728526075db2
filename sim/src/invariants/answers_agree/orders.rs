//! Answers about one order.

use orderlane_core::OrderId;
use serde_json::Value;

use super::is_passing;
use crate::history::Operation;
use crate::invariants::{Check, End, Placement, Span, ensure, placements};
use crate::model::{Order, order_document, placed_document};

pub(super) fn placements_agree(end: &End<'_>) -> Check {
    placements(end.history).try_for_each(|placement| {
        placed(end, &placement).map_err(|text| {
            let Placement { operation, placing, status, body, .. } = placement;
            format!("{text}; {placing:?} of client {} was answered {status:?} {body}", operation.client)
        })
    })
}

fn placed(end: &End<'_>, placement: &Placement<'_>) -> Check {
    let Some(status) = placement.status.filter(|status| !is_passing(*status)) else { return Ok(()) };
    match status {
        201 | 202 => {
            let Some(order) = placement.order().and_then(|id| end.model.orders.get(&id)) else {
                return Err("the order does not exist".to_string());
            };
            let span = Span::of(placement.operation, order.id.shard(), end.logs);
            ensure(span.sees(order.sequence).0, || "the order was not durable".to_string())?;
            if status == 202 {
                let right = placed_document(order);
                return ensure(*placement.body == right, || format!("the creation is {right}"));
            }
            ensure(placement.placing.wait, || "nobody waited for the end".to_string())?;
            let ended = order.views.iter().find(|(_, view)| view.status.is_end());
            let Some((sequence, view)) = ended else { return Err("the order has not ended".to_string()) };
            ensure(span.sees(*sequence).0, || "the end was not durable".to_string())?;
            let right = order_document(order, view);
            ensure(*placement.body == right, || format!("the end is {right}"))
        }
        // What these mean is for one-key-one-answer; in progress is a passing refusal.
        409 => ensure(placement.body["code"] == "idempotency-key-in-progress", || "no such conflict".to_string()),
        422 => ensure(placement.body["code"] == "idempotency-key-reused", || "no such refusal".to_string()),
        _ => Err("an order that is as it should be is not refused so".to_string()),
    }
}

pub(super) fn get(end: &End<'_>, operation: &Operation, id: OrderId, status: u16, body: &Value) -> Check {
    let Some(order) = visible(end, operation, id) else { return is_missing(status) };
    let span = Span::of(operation, id.shard(), end.logs);
    match status {
        200 if operation.details.is_head => {
            let was = order.views_between(span.low, span.high).any(|view| body["version"] == view.version);
            ensure(was && span.high >= order.sequence, || "it never had this version".to_string())
        }
        200 => shows(order, span, body),
        404 => ensure(!span.sees(order.sequence).1, || "the order was there before it was asked for".to_string()),
        _ => Err("a read is answered 200 or 404".to_string()),
    }
}

/// The order, if its caller may see it.
pub(super) fn visible<'e>(end: &'e End<'_>, operation: &Operation, id: OrderId) -> Option<&'e Order> {
    let caller = (end.caller)(operation.client);
    end.model.orders.get(&id).filter(|order| caller.is_admin || caller.subject == order.body.subject())
}

pub(super) fn is_missing(status: u16) -> Check {
    ensure(status == 404, || "the order does not exist for its caller".to_string())
}

pub(super) fn shows(order: &Order, span: Span, body: &Value) -> Check {
    if span.high < order.sequence {
        return Err("the order was not durable".to_string());
    }
    let mut possible = order.views_between(span.low, span.high).map(|view| order_document(order, view));
    ensure(possible.any(|document| document == *body), || {
        let possible: Vec<_> = order.views_between(span.low, span.high).collect();
        format!("from event {} to {} it was {possible:?}", span.low, span.high)
    })
}
