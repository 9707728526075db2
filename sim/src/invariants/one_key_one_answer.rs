//! Invariant 6: one effect for one idempotency key, and one answer. The scope of an order's key is the subject and the
//! customer, that of an adjustment's the subject and the SKU. A key that is used again with another body is 422.

use std::collections::BTreeMap;

use orderlane_core::Event;
use serde_json::Value;

use super::{Check, End, Placement, ensure, placements};
use crate::history::{Answer, Asked};
use crate::model::{Model, Seen, placed_document};

/// Its name.
pub const NAME: &str = "one-key-one-answer";

pub(super) fn before_event(model: &Model, seen: &Seen<'_>) -> Check {
    match seen.event {
        Event::OrderCreated { order, body, .. } => {
            let same = model.orders.values().find(|known| {
                known.body.key() == body.key()
                    && known.body.customer() == body.customer()
                    && known.body.subject() == body.subject()
            });
            ensure(same.is_none(), || format!("{order} has the key of {:?}", same.map(|known| known.id)))
        }
        Event::StockAdjusted { adjustment } | Event::AdjustmentRefused { adjustment } => {
            let scope = (adjustment.subject.to_string(), adjustment.sku.to_string(), adjustment.key.to_string());
            let known = model.stock(seen.shard).adjustments.get(&scope);
            ensure(known.is_none(), || format!("the key was used for {known:?}"))
        }
        _ => Ok(()),
    }
}

pub(super) fn at_end(end: &End<'_>) -> Check {
    orders(end)?;
    adjustments(end)
}

fn orders(end: &End<'_>) -> Check {
    let by_scope: BTreeMap<(&str, &str, &str), _> = end
        .model
        .orders
        .values()
        .map(|order| ((order.body.subject(), order.body.customer(), order.body.key()), order))
        .collect();
    let mut first_ends: BTreeMap<(String, &str, &str), &Value> = BTreeMap::new();
    let mut makers: BTreeMap<(String, &str, &str), u32> = BTreeMap::new();
    for placement in placements(end.history) {
        let Placement { operation, placing, status, body, replayed } = placement;
        let subject = (end.caller)(operation.client).subject;
        let order = by_scope.get(&(subject.as_str(), placing.customer.as_str(), placing.key.as_str()));
        let scope = (subject.clone(), placing.customer.as_str(), placing.key.as_str());
        match (status, order) {
            (Some(202), Some(order)) => {
                let first = placed_document(order);
                ensure(*body == first, || format!("the answer to key {} is {first}, not {body}", placing.key))?;
            }
            (Some(201), Some(order)) => {
                let first = *first_ends.entry(scope.clone()).or_insert(body);
                ensure(first == body, || format!("{} ended as {first} and as {body}", order.id))?;
            }
            (Some(201 | 202), None) => return Err(format!("key {} was answered {body} and has no order", placing.key)),
            (Some(422), Some(order)) => {
                let other = !placement.matches(&order.body);
                ensure(other, || format!("key {} was refused with the body of its order {}", placing.key, order.id))?;
            }
            (Some(422), None) => return Err(format!("key {} was refused as used and has no order", placing.key)),
            _ => {}
        }
        if placement.is_acknowledged() && replayed == Some(false) {
            let count = makers.entry(scope).or_default();
            *count += 1;
            ensure(*count == 1, || format!("two answers to key {} say that they are the first", placing.key))?;
        }
    }
    Ok(())
}

fn adjustments(end: &End<'_>) -> Check {
    let mut first: BTreeMap<(String, &str, &str, i64), (u16, &Value)> = BTreeMap::new();
    for operation in &end.history.operations {
        let (Asked::Adjust { sku, delta, key }, Answer::Http { status, body, .. }) =
            (&operation.asked, &operation.answer)
        else {
            continue;
        };
        // Whatever else is answered is not stored.
        let code = body["code"].as_str();
        if *status != 200 && code != Some("insufficient-stock") {
            continue;
        }
        let scope = ((end.caller)(operation.client).subject, sku.as_str(), key.as_str(), *delta);
        let known = *first.entry(scope).or_insert((*status, body));
        let same = known.0 == *status && (*status != 200 || known.1 == body);
        ensure(same, || format!("key {key} of {sku} was answered {known:?} and {status} {body}"))?;
    }
    Ok(())
}
