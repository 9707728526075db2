//! The payment service: one attempt at a time, each stored before it is made, and never a second while the first is unknown.

use crate::effect::Call;
use crate::event::{Event, Reason};
use crate::ids::OrderId;
use crate::input::Outcome;
use crate::limits::ATTEMPTS_MAX;
use crate::order::{Order, bit_of};
use crate::saga::{Stage, Trigger};
use crate::timers::Timer;

/// What an outcome comes to.
#[derive(Debug)]
pub(crate) enum Learned {
    /// Something new, if the table lets it happen.
    Event(Trigger, Event),
    /// Still nothing is known: the call is made again later.
    TryAgain(Timer),
    /// Nothing that matters any more.
    Nothing,
}

/// Decides what an outcome of the provider means.
pub(crate) fn decide(id: OrderId, order: &Order, outcome: Outcome) -> Learned {
    let under_way = |attempt: u8| attempt == order.attempt && !order.settled;
    match outcome {
        Outcome::Charged { attempt } => {
            let known = attempt == 0 || attempt > order.attempt || order.charged & bit_of(attempt) != 0;
            event_if(!known, order.payment_trigger(attempt), Event::PaymentCompleted { order: id, attempt })
        }
        Outcome::Declined { attempt } => {
            let event = Event::PaymentFailed { order: id, reason: Reason::Declined };
            event_if(under_way(attempt), Trigger::PaymentFailed, event)
        }
        Outcome::PaymentUnknown { attempt } if under_way(attempt) && order.unknown => {
            Learned::TryAgain(Timer::Reconcile(attempt))
        }
        Outcome::PaymentUnknown { attempt } => {
            let event = Event::PaymentUnknown { order: id, attempt };
            event_if(under_way(attempt), Trigger::PaymentUnknown, event)
        }
        Outcome::NotCharged { attempt } => {
            let event = Event::PaymentNotFound { order: id, attempt };
            event_if(under_way(attempt), Trigger::PaymentNotFound, event)
        }
        Outcome::Refunded { attempt } => {
            let asked = refund_is_open(order, attempt);
            event_if(asked, Trigger::RefundCompleted, Event::RefundCompleted { order: id, attempt })
        }
        Outcome::RefundUnknown { attempt } if refund_is_open(order, attempt) => {
            Learned::TryAgain(Timer::Refund(attempt))
        }
        Outcome::RefundUnknown { .. } | Outcome::Notified | Outcome::NotNotified => Learned::Nothing,
    }
}

fn event_if(holds: bool, trigger: Trigger, event: Event) -> Learned {
    if holds { Learned::Event(trigger, event) } else { Learned::Nothing }
}

fn refund_is_open(order: &Order, attempt: u8) -> bool {
    attempt != 0 && attempt <= order.attempt && order.refunding & !order.refunded & bit_of(attempt) != 0
}

/// The next step of the payment after `event`, if there is one.
pub(crate) fn react(id: OrderId, order: &Order, event: &Event) -> Option<Event> {
    match event {
        Event::InventoryReserved { .. } => Some(Event::PaymentRequested { order: id, attempt: 1 }),
        Event::PaymentNotFound { attempt, .. } if matches!(order.stage, Stage::Charging | Stage::Reconciling) => {
            Some(if *attempt < ATTEMPTS_MAX {
                Event::PaymentRequested { order: id, attempt: attempt + 1 }
            } else {
                Event::PaymentFailed { order: id, reason: Reason::PaymentUnavailable }
            })
        }
        _ => refund_due(id, order),
    }
}

/// The money that is to be given back now, one attempt after the other.
fn refund_due(id: OrderId, order: &Order) -> Option<Event> {
    let kept = order.money_kept();
    if kept == 0 {
        return None;
    }
    let due = match order.stage {
        Stage::Reserving | Stage::Rejecting | Stage::Expiring | Stage::Rejected | Stage::Failing => 0,
        // Money of an earlier attempt that was believed lost.
        Stage::Charging | Stage::Reconciling => kept,
        // One payment is right; what came on top of it goes back.
        Stage::Selling | Stage::Completed => kept & (kept - 1),
        Stage::Cancelling if order.awaiting == 0 && order.settled => kept,
        Stage::Cancelling => 0,
        Stage::Refunding | Stage::PaymentFailed | Stage::Expired | Stage::Cancelled => kept,
    };
    (due != 0).then(|| Event::RefundRequested { order: id, attempt: due.trailing_zeros() as u8 + 1 })
}

/// The call that `event` asks for.
pub(crate) fn call_after(order: &Order, event: &Event) -> Option<Call> {
    match event {
        Event::PaymentRequested { .. } => Some(charge(order)),
        Event::RefundRequested { attempt, .. } => Some(refund(order, *attempt)),
        _ => None,
    }
}

pub(crate) fn charge(order: &Order) -> Call {
    let (amount, currency) = amount_of(order);
    Call::Charge { attempt: order.attempt, amount, currency }
}

pub(crate) fn refund(order: &Order, attempt: u8) -> Call {
    let (amount, currency) = amount_of(order);
    Call::Refund { attempt, amount, currency }
}

/// The refund of an attempt's money, if it is still open.
pub(crate) fn refund_open(order: &Order, attempt: u8) -> Option<Call> {
    refund_is_open(order, attempt).then(|| refund(order, attempt))
}

/// What is to be asked of the provider about an order that was found under way at a start: the attempt, and every refund.
pub(crate) fn calls_open(order: &Order) -> impl Iterator<Item = Call> {
    let attempt = match order.stage {
        Stage::Charging => Some(charge(order)),
        Stage::Reconciling => Some(Call::Reconcile { attempt: order.attempt }),
        // Nobody wants this money any more: it is looked up, never asked for again.
        Stage::Cancelling if !order.settled => Some(Call::Reconcile { attempt: order.attempt }),
        Stage::Reserving
        | Stage::Rejecting
        | Stage::Expiring
        | Stage::Failing
        | Stage::Selling
        | Stage::Cancelling
        | Stage::Refunding
        | Stage::Completed
        | Stage::Rejected
        | Stage::PaymentFailed
        | Stage::Expired
        | Stage::Cancelled => None,
    };
    attempt.into_iter().chain((1..=order.attempt).filter_map(|attempt| refund_open(order, attempt)))
}

fn amount_of(order: &Order) -> (u64, crate::ids::Currency) {
    let amount = order.total().expect("a payment follows InventoryReserved, which names the total");
    (amount, order.currency.expect("a total has a currency"))
}
