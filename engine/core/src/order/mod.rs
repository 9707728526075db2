//! The order service: places orders, cancels them, and concludes their sagas when the others have done their part.

mod index;
mod list;
mod state;
mod store;
mod stored;

use crate::body::OrderBody;
use crate::cold::Cold;
use crate::event::{Event, Reason};
use crate::ids::{OrderId, Time};
use crate::input::Reader;
use crate::limits::{HOT_ORDERS_MAX, OPEN_ORDERS_MAX};
use crate::record::OrderRecord;
use crate::reply::{Refusal, Status};
use crate::saga::{self, Answer, Reached, Stage, Trigger};
use crate::shard::Config;

pub(crate) use state::{Order, bit_of};
pub(crate) use store::Orders;
pub(crate) use stored::Stored;

/// What a request to place an order comes to.
#[derive(Debug)]
pub(crate) enum Placing {
    /// A new order.
    New(Event),
    /// The same request was made before: this is the number of its order.
    Replay(u64),
    /// The same, of an order that has left the memory.
    ReplayCold(OrderId, OrderRecord),
    /// No.
    Refused(Refusal),
}

/// Decides on a request to place an order: the key first, so that a retry gets its answer even from a full shard.
pub(crate) fn decide(
    orders: &Orders,
    body: OrderBody,
    now: Time,
    config: &Config,
    sheds: bool,
    cold: Option<Cold>,
) -> Placing {
    let known = orders.with_key_of(&body);
    let is_unknown = matches!(cold, Some(Cold::Unavailable));
    let answers =
        |is_end: bool, updated_at: Time| !is_end || now < updated_at.after_micros(config.key_retention_micros);
    // The newest order under a key counts, wherever it is; of the same order memory knows more.
    let stored = match cold {
        Some(Cold::Order { order, record })
            if order.number() < orders.len()
                && record.scope() == body.scope()
                && known.is_none_or(|number| number < order.number()) =>
        {
            Some((order, record))
        }
        Some(Cold::Order { .. } | Cold::Page(_) | Cold::Unavailable) | None => None,
    };
    if let Some((order, record)) = stored {
        if answers(record.status().is_end(), record.updated_at()) {
            let is_same = record.body_bytes() == body.as_bytes();
            return if is_same { Placing::ReplayCold(order, record) } else { Placing::Refused(Refusal::KeyReused) };
        }
    } else if let Some(number) = known {
        let order = orders.get(number).expect("an index names orders that are in memory");
        if answers(order.stage.is_end(), order.updated_at) {
            return if order.body == body { Placing::Replay(number) } else { Placing::Refused(Refusal::KeyReused) };
        }
    }
    if is_unknown {
        return Placing::Refused(Refusal::ShardUnavailable);
    }
    if sheds || orders.open_count() >= OPEN_ORDERS_MAX as u64 || orders.count() >= HOT_ORDERS_MAX as u64 {
        return Placing::Refused(Refusal::Overloaded);
    }
    let deadline = now.after_micros(config.hold_ttl_micros);
    Placing::New(Event::OrderCreated { order: orders.next_id(), body, deadline })
}

/// What a request to cancel comes to; `Ok(None)` when it changes nothing.
pub(crate) fn decide_cancel(
    id: OrderId,
    order: Option<&Order>,
    reader: &Reader,
    version_expected: Option<u32>,
    reached: &mut Reached,
) -> Result<Option<Event>, Refusal> {
    let order = order.filter(|order| may_see(order, reader)).ok_or(Refusal::NotFound)?;
    if version_expected.is_some_and(|version| version != order.version) {
        return Err(Refusal::VersionMismatch);
    }
    saga::note(reached, order.stage, Trigger::CancelRequested);
    if order.answer(Trigger::CancelRequested) != Answer::Void {
        return Ok(Some(Event::CancelRequested { order: id }));
    }
    let status = order.stage.status();
    if status.is_end() && status != Status::Cancelled { Err(Refusal::OrderFinished) } else { Ok(None) }
}

/// Whether a reader may see an order at all.
pub(crate) fn may_see(order: &Order, reader: &Reader) -> bool {
    match reader {
        Reader::Admin => true,
        Reader::Subject(subject) => order.body.subject_bytes() == subject.as_bytes(),
    }
}

/// Concludes the saga when everything that its stage waits for is there.
pub(crate) fn react(id: OrderId, order: &Order) -> Option<Event> {
    let restored = order.awaiting == 0;
    let money_back = order.money_is_back();
    match order.stage {
        Stage::Rejecting if restored => Some(Event::OrderRejected { order: id }),
        Stage::Expiring if restored => Some(Event::OrderExpired { order: id }),
        Stage::Failing if restored && money_back => Some(Event::OrderFailed { order: id }),
        Stage::Selling if restored => Some(Event::OrderCompleted { order: id }),
        Stage::Cancelling if restored && order.settled && money_back => Some(end_of(id, order)),
        Stage::Refunding if money_back => Some(end_of(id, order)),
        Stage::Reserving
        | Stage::Rejecting
        | Stage::Expiring
        | Stage::Charging
        | Stage::Reconciling
        | Stage::Failing
        | Stage::Selling
        | Stage::Cancelling
        | Stage::Refunding
        | Stage::Completed
        | Stage::Rejected
        | Stage::PaymentFailed
        | Stage::Expired
        | Stage::Cancelled => None,
    }
}

/// The end that belongs to the reason for which an order is being undone.
fn end_of(id: OrderId, order: &Order) -> Event {
    match order.reason.expect("an order that is being undone has a reason") {
        Reason::Cancelled => Event::OrderCancelled { order: id },
        Reason::HoldExpired => Event::OrderExpired { order: id },
        Reason::Declined | Reason::PaymentUnavailable => Event::OrderFailed { order: id },
        reason @ (Reason::UnknownSku | Reason::CurrencyMismatch | Reason::PriceChanged | Reason::InsufficientStock) => {
            unreachable!("order {id} was rejected ({reason:?}) before any money could move")
        }
    }
}
