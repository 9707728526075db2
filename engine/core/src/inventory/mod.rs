//! The inventory service: on the stock shard it decides on units, on the home shard it adds up what the stock shards say.

mod adjustments;
mod cut;
mod holds;
mod item;
mod restore;
mod stock;
#[cfg(test)]
mod tests;

use crate::body::OrderBody;
use crate::event::{Adjustment, Event, HoldLine, HoldLines, Prices, Product, Reason, StockAnswer};
use crate::ids::{Currency, OrderId, ShardId, Time};
use crate::limits::STOCK_MAX;
use crate::order::Order;
use crate::reply::Refusal;
use crate::saga::Stage;

pub(crate) use stock::Stock;

/// An entry of an index: 32 bits of hash, so that growing does not touch what is indexed, and a place in a list.
type Entry = (u32, u32);

/// Decides on a reserve: all lines of this shard or none.
pub(crate) fn decide_reserve(
    stock: &Stock,
    shard: ShardId,
    order: OrderId,
    body: &OrderBody,
    deadline: Time,
    now: Time,
) -> Event {
    let refuse = |reason, currency, prices| Event::StockRefused {
        order,
        answer: StockAnswer { refusal: Some(reason), currency, prices },
    };
    if stock.is_tombstoned(order) {
        return refuse(Reason::Cancelled, None, Prices::new());
    }
    if deadline <= now {
        return refuse(Reason::HoldExpired, None, Prices::new());
    }
    let (mut lines, mut prices) = (HoldLines::new(), Prices::new());
    let mut currencies: Option<(Currency, bool)> = None;
    for line in body.raw_lines().filter(|line| line.shard == shard) {
        let Some(sku) = stock.index_of(line.sku) else {
            return refuse(Reason::UnknownSku, None, Prices::new());
        };
        let item = stock.item(sku);
        lines.push(HoldLine { sku, quantity: line.quantity });
        prices.push(item.unit_price);
        let (first, same) = currencies.unwrap_or((item.currency, true));
        currencies = Some((first, same && item.currency == first));
    }
    let (first, same) = currencies.expect("a shard is asked for lines that live on it");
    if !same || body.currency().is_some_and(|wanted| wanted != first) {
        return refuse(Reason::CurrencyMismatch, same.then_some(first), prices);
    }
    if !all_available(stock, &lines) {
        return refuse(Reason::InsufficientStock, Some(first), prices);
    }
    Event::StockReserved { order, lines, currency: first, prices }
}

/// The lines of an order that live on `shard`; `None` when a SKU is unknown.
pub(crate) fn lines_on(stock: &Stock, shard: ShardId, body: &OrderBody) -> Option<HoldLines> {
    let mine = body.raw_lines().filter(|line| line.shard == shard);
    mine.map(|line| stock.index_of(line.sku).map(|sku| HoldLine { sku, quantity: line.quantity })).collect()
}

/// The same SKU on several lines is checked as a sum.
fn all_available(stock: &Stock, lines: &[HoldLine]) -> bool {
    lines.iter().enumerate().all(|(index, line)| {
        let same = lines[..=index].iter().filter(|earlier| earlier.sku == line.sku);
        let wanted: u64 = same.map(|line| u64::from(line.quantity)).sum();
        stock.item(line.sku).units().is_some_and(|units| units.available >= wanted)
    })
}

/// Decides on a release: the hold ends, or a tombstone keeps it from ever beginning.
pub(crate) fn decide_release(stock: &Stock, order: OrderId, deadline: Time) -> Event {
    if stock.hold_of(order).is_some() {
        Event::StockReleased { order }
    } else {
        Event::StockTombstoned { order, deadline }
    }
}

/// What a request to adjust stock comes to.
#[derive(Debug)]
pub(crate) enum Adjusting {
    /// A new adjustment, or a refusal that is final for its key.
    New(Event),
    /// The same request was decided before.
    Replay,
    /// No, and nothing is stored.
    Refused(Refusal),
}

/// Decides on an adjustment.
pub(crate) fn decide_adjustment(stock: &Stock, adjustment: &Adjustment) -> Adjusting {
    if let Some(known) = stock.adjusted_before(adjustment) {
        return if known.adjustment == *adjustment {
            Adjusting::Replay
        } else {
            Adjusting::Refused(Refusal::KeyReused)
        };
    }
    let Some(item) = stock.find(&adjustment.sku) else {
        return Adjusting::Refused(Refusal::NotFound);
    };
    let units = item.units().copied().unwrap_or_default();
    if units.available.checked_add_signed(adjustment.delta).is_none() {
        return Adjusting::New(Event::AdjustmentRefused { adjustment: adjustment.clone() });
    }
    if units.adjusted.checked_add_signed(adjustment.delta).is_none_or(|sum| sum > STOCK_MAX) {
        return Adjusting::Refused(Refusal::StockTooLarge);
    }
    Adjusting::New(Event::StockAdjusted { adjustment: adjustment.clone() })
}

/// Decides on a product: `None` when it is there already, just so.
pub(crate) fn decide_product(stock: &Stock, product: &Product) -> Option<Event> {
    let known = stock.find(&product.sku).is_some_and(|item| item.product() == *product);
    (!known).then(|| Event::ProductPut { product: product.clone() })
}

/// Adds up the answers of the stock shards, once all are there.
pub(crate) fn react(id: OrderId, order: &Order, event: &Event) -> Option<Event> {
    if !matches!(event, Event::StockAnswered { .. }) || order.stage != Stage::Reserving || order.awaiting != 0 {
        return None;
    }
    let total = order.total_known();
    let price_changed = order.body.total_expected().filter(|expected| total.is_some_and(|total| total != *expected));
    let reason = [
        order.refusal,
        order.currencies_differ.then_some(Reason::CurrencyMismatch),
        price_changed.map(|_| Reason::PriceChanged),
    ]
    .into_iter()
    .flatten()
    .min();
    Some(match (reason, total, order.currency) {
        (None, Some(total), Some(currency)) => Event::InventoryReserved { order: id, total, currency },
        (Some(Reason::HoldExpired | Reason::Cancelled), _, _) => Event::HoldExpired { order: id },
        (reason, total, _) => {
            let reason = reason.expect("a shard that does not refuse names prices and a currency");
            // A sum over the wrong currency would mislead.
            let total = total.filter(|_| reason != Reason::CurrencyMismatch);
            Event::InventoryRejected { order: id, reason, total }
        }
    })
}
