//! Invariant 2: no oversell. A reserve is granted only if what is available suffices for the sum of its lines, all lines or
//! none; it is refused only for the reason that holds. A price is the catalogue's at that moment. An adjustment never takes
//! what is not there, and is refused only for that. A hold is granted only before its deadline.

use orderlane_core::{Event, OrderId, Prices, Reason};

use super::{Check, ensure};
use crate::model::{Life, Model, Seen, StockReply};

/// Its name.
pub const NAME: &str = "no-oversell";

pub(super) fn before_event(model: &Model, seen: &Seen<'_>) -> Check {
    let stock = model.stock(seen.shard);
    match seen.event {
        Event::StockReserved { order, lines, currency, prices } => {
            let lines = lines.iter().map(|line| (line.sku, line.quantity)).collect();
            let said = StockReply { refusal: None, currency: Some(*currency), prices: prices.to_vec(), lines };
            reply_is_right(model, seen, *order, &said)
        }
        Event::StockRefused { order, answer } => {
            let said = StockReply {
                refusal: answer.refusal,
                currency: answer.currency,
                prices: answer.prices.to_vec(),
                lines: Vec::new(),
            };
            reply_is_right(model, seen, *order, &said)
        }
        Event::StockReturned { order, lines } => {
            let sold = stock.lives.get(order);
            ensure(sold == Some(&Life::Sold(lines.clone())), || {
                format!("{order} returns what it was not sold: {sold:?}")
            })
        }
        Event::StockAdjusted { adjustment } => {
            let Some(item) = stock.item(&adjustment.sku) else { return Err("stock without a product".to_string()) };
            let left = item.units().available + adjustment.delta;
            ensure(left >= 0, || format!("{} would have {left} units available", item.sku))
        }
        Event::AdjustmentRefused { adjustment } => {
            let Some(item) = stock.item(&adjustment.sku) else { return Err("stock without a product".to_string()) };
            let left = item.units().available + adjustment.delta;
            ensure(left < 0, || format!("{} would have {left} units available and refuses", item.sku))
        }
        Event::StockOpened { sku, .. } => {
            let known = stock.item(sku);
            ensure(known.is_some_and(|item| !item.is_stocked), || format!("{sku} is opened and is {known:?}"))
        }
        _ => Ok(()),
    }
}

fn reply_is_right(model: &Model, seen: &Seen<'_>, id: OrderId, said: &StockReply) -> Check {
    let Some(order) = model.orders.get(&id) else { return Err(format!("{id} does not exist")) };
    let stock = model.stock(seen.shard);
    let right = stock.reply_to(order, seen.shard, seen.time);
    // A release that came first: refused, for that reason while the tombstone is kept, for its age afterwards.
    let tombstoned = stock.lives.get(&id) == Some(&Life::Tombstoned);
    let buried =
        StockReply { refusal: Some(Reason::Cancelled), currency: None, prices: Prices::new().to_vec(), lines: vec![] };
    let is_right = if tombstoned {
        *said == buried || (*said == right && right.refusal == Some(Reason::HoldExpired))
    } else {
        *said == right
    };
    ensure(is_right, || {
        format!("the reserve of {id} must be answered {right:?} (tombstone: {tombstoned}), not {said:?}")
    })
}
