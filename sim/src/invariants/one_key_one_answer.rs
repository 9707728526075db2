//! Invariant 6: one effect for one idempotency key, and one answer. The scope of an order's key is the subject and the
//! customer, that of an adjustment's the subject and the SKU. A key that is used again with another body is 422. An order answers for
//! its key until the retention has passed since the end of its saga, and until a newer one has the key.

use std::collections::BTreeMap;

use orderlane_core::{Event, OrderId, Time};
use serde_json::Value;

use super::{Check, End, Placement, ensure, placements};
use crate::executor::Moment;
use crate::history::{Answer, Asked};
use crate::model::{Model, Order, Seen, placed_document};

/// Its name.
pub const NAME: &str = "one-key-one-answer";

pub(super) fn before_event(model: &Model, seen: &Seen<'_>) -> Check {
    match seen.event {
        Event::OrderCreated { order, body, .. } => {
            let mut same = model.orders.values().filter(|known| {
                known.body.key() == body.key()
                    && known.body.customer() == body.customer()
                    && known.body.subject() == body.subject()
            });
            let holder = same.find(|known| !model.key_expired(known, seen.time));
            ensure(holder.is_none(), || format!("{order} has the key of {:?}", holder.map(|known| known.id)))
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

type Scope<'h> = (String, &'h str, &'h str);

fn orders(end: &End<'_>) -> Check {
    let mut by_scope: BTreeMap<Scope<'_>, Vec<&Order>> = BTreeMap::new();
    for order in end.model.orders.values() {
        let scope = (order.body.subject().to_string(), order.body.customer(), order.body.key());
        by_scope.entry(scope).or_default().push(order);
    }
    let mut first_ends: BTreeMap<OrderId, &Value> = BTreeMap::new();
    let mut makers: BTreeMap<OrderId, u32> = BTreeMap::new();
    for placement in placements(end.history) {
        let Placement { operation, placing, status, body, replayed } = placement;
        let scope = ((end.caller)(operation.client).subject, placing.customer.as_str(), placing.key.as_str());
        let holders = by_scope.get(&scope).map_or(&[][..], Vec::as_slice);
        let named = holders.iter().copied().find(|order| placement.order() == Some(order.id));
        match (status, named) {
            (Some(202), Some(order)) => {
                let first = placed_document(order);
                ensure(*body == first, || format!("the answer to key {} is {first}, not {body}", placing.key))?;
            }
            (Some(201), Some(order)) => {
                let first = *first_ends.entry(order.id).or_insert(body);
                ensure(first == body, || format!("{} ended as {first} and as {body}", order.id))?;
            }
            (Some(201 | 202), None) => return Err(format!("key {} was answered {body}, no order of it", placing.key)),
            (Some(422), _) => {
                let other = holders
                    .iter()
                    .any(|order| !placement.matches(&order.body) && answers_at(end, holders, order, operation.invoked));
                ensure(other, || format!("key {} was refused as used and no order has another body", placing.key))?;
            }
            _ => {}
        }
        let Some(order) = named.filter(|_| placement.is_acknowledged()) else { continue };
        if replayed == Some(false) {
            let count = makers.entry(order.id).or_default();
            *count += 1;
            ensure(*count == 1, || format!("two answers to key {} say that they are the first", placing.key))?;
        }
        let may = answers_at(end, holders, order, operation.invoked);
        ensure(may, || format!("{} answered for key {} when it did no longer", order.id, placing.key))?;
    }
    Ok(())
}

/// Whether an order may have answered for its key after `moment`: nothing that was decided before says that it did no longer.
fn answers_at(end: &End<'_>, holders: &[&Order], order: &Order, moment: Moment) -> bool {
    let log = end.logs.of(order.id.shard());
    let decided = log.partition_point(|entry| entry.decided <= moment);
    let is_newer = |other: &&&Order| other.sequence > order.sequence && other.sequence <= decided as u64;
    let time = decided.checked_sub(1).map_or(Time(0), |last| log[last].time);
    !end.model.key_expired(order, time) && holders.iter().find(is_newer).is_none()
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
