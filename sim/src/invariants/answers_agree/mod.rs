//! Answers agree with the log: each shard's sequence is the total order, and every answer shows the state of the model at one
//! place of it, not older than the request and durable before the answer. What has no answer stays possible until the end.
//!
//! It is what "only durable states are ever shown, by any read" of api.md means, and the second half of invariants 3 and 6.

mod audits;
mod cancels;
mod lists;
mod orders;
mod stock;

use super::{Check, End};
use crate::history::{Answer, Asked};

/// Its name.
pub const NAME: &str = "answers-agree";

pub(super) fn at_end(end: &End<'_>) -> Check {
    orders::placements_agree(end)?;
    cancels::all_asked_for(end)?;
    for operation in &end.history.operations {
        let Answer::Http { status, body, replayed } = &operation.answer else { continue };
        if is_passing(*status) {
            continue;
        }
        let check = match &operation.asked {
            // Looked at one by one, see above.
            Asked::Place(_) | Asked::PlaceMany(_) => Ok(()),
            Asked::Cancel(order) => cancels::cancel(end, operation, *order, *status, body),
            Asked::Get(order) => orders::get(end, operation, *order, *status, body),
            // Nothing of these is known but that it came.
            Asked::List(_) | Asked::Invariants if operation.details.is_head => Ok(()),
            Asked::List(customer) => lists::list(end, operation, customer.as_deref(), *status, body),
            Asked::Load { sku, price, currency, stock: _ } => {
                stock::load(end, operation, (sku, *price, currency), *status, body)
            }
            Asked::PutProduct { sku, price, currency } => {
                stock::put(end, operation, (sku, *price, currency), *status, body)
            }
            Asked::Adjust { sku, delta, key } => {
                stock::adjust(end, operation, (sku, *delta, key), (*status, body, *replayed))
            }
            Asked::Inventory(sku) => stock::inventory(end, operation, sku, *status, body),
            Asked::Invariants => audits::invariants(end, operation, *status, body),
        };
        check.map_err(|text| {
            format!("{text}; {:?} of client {} was answered {status} {body}", operation.asked, operation.client)
        })?;
    }
    Ok(())
}

/// Answers that say nothing about the state: a quota, a full queue, a lane that is away, a request that came too slowly.
fn is_passing(status: u16) -> bool {
    matches!(status, 408 | 429 | 503)
}
