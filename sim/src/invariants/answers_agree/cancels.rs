//! Cancels: what they were answered, and that only one that was meant for its version ever decided anything.

use std::collections::BTreeMap;

use orderlane_core::{Event, OrderId, Status};
use serde_json::Value;

use super::is_passing;
use super::orders::{is_missing, shows, visible};
use crate::history::{Answer, Asked, IfMatch, Operation};
use crate::invariants::{Check, End, Span, ensure};
use crate::model::{Phase, View};

pub(super) fn cancel(end: &End<'_>, operation: &Operation, id: OrderId, status: u16, body: &Value) -> Check {
    let Some(order) = visible(end, operation, id) else { return is_missing(status) };
    let span = Span::of(operation, id.shard(), end.logs);
    let condition = operation.details.if_match();
    let meant = |view: &View| condition.allows(u64::from(view.version));
    let decided_at = |is_so: &dyn Fn(&View) -> bool| order.views_between(span.low, span.high).any(is_so);
    match status {
        200 | 202 => {
            shows(order, span, body)?;
            ensure(decided_at(&meant), || format!("no version was {condition:?}"))?;
            let is_cancelled = body["status"] == Status::Cancelled.name();
            ensure(is_cancelled == (status == 200), || "200 is for a cancelled order".to_string())?;
            let completed = matches!(order.phase, Phase::Selling | Phase::Ended(Status::Completed));
            ensure(!completed, || format!("the order was cancelled and is {:?}", order.phase))
        }
        409 => {
            let finished = |view: &View| view.status.is_end() && view.status != Status::Cancelled && meant(view);
            let was = decided_at(&finished) && body["code"] == "order-finished";
            ensure(was, || format!("the order had not ended with a version of {condition:?}"))
        }
        412 => {
            let was = decided_at(&|view| !meant(view)) && body["code"] == "version-mismatch";
            ensure(was, || format!("the order had no version but one of {condition:?}"))
        }
        404 => ensure(!span.sees(order.sequence).1, || "the order was there before it was asked for".to_string()),
        _ => Err("a cancel is answered 200, 202, 404, 409 or 412".to_string()),
    }
}

/// Every order that was cancelled was cancelled by a request that was meant for the version that it had, and that was not
/// refused.
pub(super) fn all_asked_for(end: &End<'_>) -> Check {
    let mut asked: BTreeMap<OrderId, Vec<&Operation>> = BTreeMap::new();
    for operation in &end.history.operations {
        if let Asked::Cancel(order) = operation.asked {
            asked.entry(order).or_default().push(operation);
        }
    }
    for (shard, log) in end.logs.iter() {
        for (entry, sequence) in log.iter().zip(1_u64..) {
            let Event::CancelRequested { order: id } = entry.event else { continue };
            let Some(order) = end.model.orders.get(&id) else { continue };
            let Some(view) = order.view_at(sequence - 1) else { continue };
            let may_be = |operation: &&&Operation| {
                operation.invoked <= entry.decided
                    && operation.details.if_match().allows(u64::from(view.version))
                    && visible(end, operation, id).is_some()
                    && match &operation.answer {
                        Answer::Unknown => true,
                        Answer::Http { status, .. } if is_passing(*status) => true,
                        Answer::Http { status, .. } => {
                            *status == 202 && operation.returned.is_none_or(|returned| returned >= entry.decided)
                        }
                    }
            };
            let conditions: Vec<IfMatch> =
                asked.get(&id).into_iter().flatten().map(|operation| operation.details.if_match()).collect();
            ensure(asked.get(&id).is_some_and(|asked| asked.iter().any(|one| may_be(&one))), || {
                let version = view.version;
                format!("nobody cancelled version {version} of {id}, event {sequence} of shard {shard}: {conditions:?}")
            })?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariants::world::World;

    #[test]
    fn a_cancel_that_no_version_allowed_is_found() {
        let is_cancel = |operation: &&mut Operation| {
            matches!((&operation.asked, &operation.answer), (Asked::Cancel(_), Answer::Http { status: 202, .. }))
        };
        let mut found = 0;
        for seed in 0..40 {
            let mut world = World::lived(seed);
            assert!(world.judge().is_ok(), "seed {seed}");
            let Some(operation) = world.history.operations.iter_mut().find(is_cancel) else { continue };
            operation.details.if_match = Some("3".into());
            assert_eq!(world.broken(), super::super::NAME, "seed {seed}");
            found += 1;
            // Nor may an order be cancelled when nobody asked for it.
            world.history.operations.retain(|operation| !matches!(operation.asked, Asked::Cancel(_)));
            let is_decision = |event: &Event| matches!(event, Event::CancelRequested { .. });
            if world.logs.iter().any(|(_, log)| log.iter().any(|entry| is_decision(&entry.event))) {
                assert_eq!(world.broken(), super::super::NAME, "seed {seed}");
            }
        }
        assert!(found > 0, "an order is cancelled");
    }
}
