//! Invariant 5: the net charge of an order is nothing or its total, and agrees with its state; the provider's ledger says the
//! same as the log. The total is the sum of the lines at the prices of the reserve, in one currency.

use std::collections::BTreeMap;

use orderlane_core::{Event, OrderId, Reason, Status};

use super::{Check, End, ensure};
use crate::model::{Model, Order, Phase, Seen};

/// Its name.
pub const NAME: &str = "money-agrees";

/// What the provider knows of one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Money {
    /// The order.
    pub order: OrderId,
    /// The attempt, from 1.
    pub attempt: u8,
    /// Minor units taken, all charges together. It may be nothing: a price may be 0.
    pub charged: u64,
    /// Minor units given back, all refunds together; `None` before any.
    pub refunded: Option<u64>,
}

pub(super) fn before_event(model: &Model, seen: &Seen<'_>) -> Check {
    let Some(order) = seen.event.saga_order().and_then(|id| model.orders.get(&id)) else { return Ok(()) };
    match seen.event {
        Event::InventoryReserved { total, currency, .. } => {
            let right = (verdict(order), order.sum(), order.currencies.first());
            ensure(right == (None, Some(*total), Some(currency)), || format!("the stock shards say {right:?}"))
        }
        Event::InventoryRejected { reason, total, .. } => {
            let right = verdict(order);
            ensure(right == Some(*reason), || format!("the stock shards say {right:?}"))?;
            let shown = order.sum().filter(|_| *reason != Reason::CurrencyMismatch);
            ensure(shown == *total, || format!("the total is {shown:?}"))
        }
        Event::OrderCompleted { .. } => ensure(order.kept() == 1, || format!("{} payments are kept", order.kept())),
        Event::OrderRejected { .. }
        | Event::OrderFailed { .. }
        | Event::OrderExpired { .. }
        | Event::OrderCancelled { .. } => {
            let back = order.charged == order.refunded;
            ensure(back && order.settled, || "money is not back, or a charge is not settled".to_string())
        }
        Event::RefundRequested { .. } => {
            let needed = usize::from(matches!(order.phase, Phase::Selling | Phase::Ended(Status::Completed)));
            ensure(order.kept() > needed, || "the only payment of an order that needs it goes back".to_string())
        }
        _ => Ok(()),
    }
}

/// Why the stock shards' answers refuse an order: the gravest reason.
fn verdict(order: &Order) -> Option<Reason> {
    let mut reasons = order.refusals.clone();
    if order.currencies.windows(2).any(|pair| pair[0] != pair[1]) {
        reasons.push(Reason::CurrencyMismatch);
    }
    if let (Some(expected), Some(sum)) = (order.body.total_expected(), order.sum())
        && expected != sum
    {
        reasons.push(Reason::PriceChanged);
    }
    reasons.into_iter().min()
}

/// At any time: the provider was asked for nothing that is not in the log, and never twice. The logs must hold all that was
/// ever durable.
///
/// # Errors
/// What the ledger has and the log does not allow.
pub fn during(model: &Model, money: &[Money]) -> Check {
    money.iter().try_for_each(|entry| {
        let Money { order: id, attempt, charged, refunded } = *entry;
        let Some(order) = model.orders.get(&id) else {
            return Err(format!("the provider has money of {id}: {entry:?}"));
        };
        let total = order.total.unwrap_or(0);
        ensure(attempt >= 1 && attempt <= order.attempt, || {
            format!("{id} asked for {} attempts: {entry:?}", order.attempt)
        })?;
        ensure(charged == total, || format!("{id} costs {total}: {entry:?}"))?;
        ensure(refunded.is_none_or(|back| back == charged), || format!("{id} costs {total}: {entry:?}"))?;
        ensure(refunded.is_none() || order.refunding.contains(&attempt), || {
            format!("{id} asked for no refund: {entry:?}")
        })
    })
}

pub(super) fn at_end(end: &End<'_>) -> Check {
    during(end.model, end.money)?;
    if !end.is_healed {
        return Ok(());
    }
    let mut net: BTreeMap<OrderId, Vec<u8>> = BTreeMap::new();
    for entry in end.money {
        if entry.refunded.is_none() {
            net.entry(entry.order).or_default().push(entry.attempt);
        }
    }
    end.model.orders.values().try_for_each(|order| {
        let kept = net.remove(&order.id).unwrap_or_default();
        let known: Vec<u8> = order.charged.difference(&order.refunded).copied().collect();
        let right = usize::from(order.phase == Phase::Ended(Status::Completed));
        ensure(kept.len() == right && kept == known, || {
            format!("{} is {:?}; the provider keeps attempts {kept:?}, the log says {known:?}", order.id, order.phase)
        })
    })
}
