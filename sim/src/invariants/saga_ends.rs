//! Invariant 7: every saga ends; each compensation once; no transition outside the table of api.md. Here too: an order that
//! was paid in time never expires, a hold never expires before its deadline, a second attempt is never made while the first is
//! unknown, and an order ends only when its stock and its money are where they belong.

use orderlane_core::limits::ATTEMPTS_MAX;
use orderlane_core::{Event, Reason, Status};

use super::{Check, End, ensure};
use crate::model::{Life, Model, Order, Phase, Seen, What};

/// Its name.
pub const NAME: &str = "saga-ends";

pub(super) fn before_event(model: &Model, seen: &Seen<'_>) -> Check {
    if let Event::OrderCreated { order, .. } = seen.event {
        let number = model.orders.keys().filter(|id| id.shard() == seen.shard).count() as u64;
        let next = order.shard() == seen.shard && order.number() == number;
        return ensure(next, || format!("order {number} of this shard is the next one"));
    }
    let Some(id) = seen.event.saga_order() else { return Ok(()) };
    let Some(order) = model.orders.get(&id).filter(|_| id.shard() == seen.shard) else {
        return Err(format!("{id} does not exist on this shard"));
    };
    let may = may_happen(order, seen);
    ensure(may, || format!("{id} is {:?}, awaits {:?}, attempt {}", order.phase, order.awaiting, order.attempt))
}

fn may_happen(order: &Order, seen: &Seen<'_>) -> bool {
    let phase = order.phase;
    let paying = matches!(phase, Phase::Charging | Phase::Reconciling);
    let back = order.awaiting.is_empty();
    let money_back = order.charged == order.refunded;
    let open = |attempt: &u8| *attempt == order.attempt && !order.settled;
    match seen.event {
        Event::StockAnswered { shard, .. } => phase == Phase::Reserving && order.awaiting.contains(shard),
        Event::InventoryReserved { .. } | Event::InventoryRejected { .. } => phase == Phase::Reserving && back,
        Event::PaymentRequested { attempt, .. } => {
            paying && order.settled && *attempt == order.attempt + 1 && *attempt <= ATTEMPTS_MAX
        }
        Event::PaymentUnknown { attempt, .. } => matches!(phase, Phase::Charging | Phase::Cancelling) && open(attempt),
        Event::PaymentNotFound { attempt, .. } => (paying || phase == Phase::Cancelling) && open(attempt),
        Event::PaymentCompleted { attempt, .. } => {
            (1..=order.attempt).contains(attempt)
                && !order.charged.contains(attempt)
                && if open(attempt) { paying || phase == Phase::Cancelling } else { true }
        }
        Event::PaymentFailed { reason: Reason::Declined, .. } => {
            (paying || phase == Phase::Cancelling) && !order.settled
        }
        Event::PaymentFailed { reason, .. } => {
            *reason == Reason::PaymentUnavailable && paying && order.settled && order.attempt == ATTEMPTS_MAX
        }
        Event::CancelRequested { .. } => paying || matches!(phase, Phase::Reserving | Phase::Selling),
        Event::HoldExpired { .. } => {
            // A stock shard whose clock is ahead may have refused because the hold was over by then.
            let too_late = order.refusals.contains(&Reason::HoldExpired);
            (paying && seen.time >= order.deadline)
                || (phase == Phase::Reserving && (seen.time >= order.deadline || (back && too_late)))
        }
        Event::StockRestored { shard, .. } => {
            let undoing = matches!(phase, Phase::Rejecting | Phase::Expiring | Phase::Failing | Phase::Cancelling);
            undoing && order.awaiting.contains(shard)
        }
        Event::StockSaleConfirmed { shard, .. } => phase == Phase::Selling && order.awaiting.contains(shard),
        Event::RefundRequested { attempt, .. } => {
            let asked = order.charged.contains(attempt) && !order.refunding.contains(attempt);
            asked && (phase != Phase::Cancelling || (back && order.settled))
        }
        Event::RefundCompleted { attempt, .. } => {
            order.refunding.contains(attempt) && !order.refunded.contains(attempt)
        }
        Event::OrderCompleted { .. } => phase == Phase::Selling && back,
        Event::OrderRejected { .. } => phase == Phase::Rejecting && back,
        Event::OrderFailed { .. } => {
            let unpaid = matches!(order.reason, Some(Reason::Declined | Reason::PaymentUnavailable));
            matches!(phase, Phase::Failing | Phase::Refunding) && unpaid && back && money_back
        }
        Event::OrderExpired { .. } => {
            let expired = order.reason == Some(Reason::HoldExpired);
            let undoing = matches!(phase, Phase::Expiring | Phase::Cancelling | Phase::Refunding);
            undoing && expired && back && money_back && order.settled
        }
        Event::OrderCancelled { .. } => {
            let cancelled = order.reason == Some(Reason::Cancelled);
            let undoing = matches!(phase, Phase::Cancelling | Phase::Refunding);
            undoing && cancelled && back && money_back && order.settled
        }
        // A whole state comes back into the memory: of an order that could have left it.
        Event::OrderRecalled { .. } => is_quiet(order),
        Event::NotificationSent { .. } => phase == Phase::Ended(Status::Completed) && !order.notified,
        _ => true,
    }
}

/// Whether an order waits for nothing, so that it may leave the memory.
#[must_use]
pub fn is_quiet(order: &Order) -> bool {
    let Phase::Ended(status) = order.phase else { return false };
    order.settled && order.refunding == order.refunded && order.notified == (status == Status::Completed)
}

pub(super) fn at_end(end: &End<'_>) -> Check {
    if !end.is_healed {
        return Ok(());
    }
    settled(end.model)?;
    end.model.orders.values().try_for_each(|order| lives_fit(end.model, order))
}

/// Whether the end of its hold would still change anything for an order.
#[must_use]
pub fn can_expire(order: &Order) -> bool {
    matches!(order.phase, Phase::Reserving | Phase::Charging | Phase::Reconciling)
}

/// Whether every saga has ended, and with all that follows from its end.
///
/// # Errors
/// What is still under way.
pub fn settled(model: &Model) -> Check {
    for order in model.orders.values() {
        let Phase::Ended(status) = order.phase else {
            return Err(format!("{} is still {:?} and awaits {:?}", order.id, order.phase, order.awaiting));
        };
        ensure(order.refunding == order.refunded, || format!("a refund of {} is open", order.id))?;
        let told = order.notified == (status == Status::Completed);
        ensure(told, || format!("{} is {status:?}, its customer was told: {}", order.id, order.notified))?;
    }
    for (source, target, link) in model.links.iter() {
        let told = link.told.len() as u64;
        let open = || link.told[link.taken as usize..].iter().map(|told| told.what).collect::<Vec<What>>();
        ensure(link.taken == told, || format!("shard {target} has not taken {:?} of shard {source}", open()))?;
    }
    for (shard, stock) in model.stocks.iter().enumerate() {
        let held = stock.lives.iter().find(|(_, life)| matches!(life, Life::Held(_)));
        ensure(held.is_none(), || format!("shard {shard} still holds {held:?}"))?;
        let reserved = stock.items.iter().find(|item| item.units().reserved != 0);
        ensure(reserved.is_none(), || format!("shard {shard} still has reserved units: {reserved:?}"))?;
    }
    Ok(())
}

/// Whoever can read an end can read its consequences.
fn lives_fit(model: &Model, order: &Order) -> Check {
    let completed = order.phase == Phase::Ended(Status::Completed);
    order.participants().into_iter().try_for_each(|shard| {
        let life = model.stock(shard).lives.get(&order.id);
        let sold = matches!(life, Some(Life::Sold(_)));
        ensure(sold == completed, || format!("{} is {:?} and on shard {shard} {life:?}", order.id, order.phase))
    })
}
