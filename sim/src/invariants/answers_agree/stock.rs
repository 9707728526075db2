//! Answers about products and their stock.

use orderlane_core::ShardId;
use orderlane_core::limits::STOCK_MAX;
use serde_json::Value;

use crate::history::Operation;
use crate::invariants::{Check, End, Span, ensure};
use crate::model::{Item, inventory_document};

pub(super) fn inventory(end: &End<'_>, operation: &Operation, sku: &str, status: u16, body: &Value) -> Check {
    let Some((item, span)) = item(end, operation, sku) else { return is_missing(status) };
    match status {
        200 if operation.details.is_head => {
            let was = item.units_between(span.low, span.high).any(|units| body["version"] == units.version);
            ensure(was && span.high >= born(item), || "it never had this version".to_string())
        }
        200 => {
            ensure(span.high >= born(item), || "the product was not durable".to_string())?;
            let mut possible = item.units_between(span.low, span.high).map(|units| inventory_document(sku, &units));
            ensure(possible.any(|document| document == *body), || {
                let possible: Vec<_> = item.units_between(span.low, span.high).collect();
                format!("from event {} to {} it was {possible:?}", span.low, span.high)
            })
        }
        404 => ensure(span.low < born(item), || "the product was there before it was asked for".to_string()),
        _ => Err("a read is answered 200 or 404".to_string()),
    }
}

pub(super) fn put(
    end: &End<'_>,
    operation: &Operation,
    (sku, price, currency): (&str, u64, &str),
    status: u16,
    body: &Value,
) -> Check {
    ensure(matches!(status, 200 | 201), || "a product is answered 200 or 201".to_string())?;
    let Some((item, span)) = item(end, operation, sku) else { return Err("the product is not there".to_string()) };
    let shown = (body["sku"].as_str(), body["unitPrice"].as_u64(), body["currency"].as_str());
    ensure(shown == (Some(sku), Some(price), Some(currency)), || "another product".to_string())?;
    let version = body["version"].as_u64().unwrap_or(0) as usize;
    ensure((version == 1) >= (status == 201), || "a new product has version 1".to_string())?;
    let Some((sequence, known_price, known_currency, name)) =
        version.checked_sub(1).and_then(|at| item.products.get(at))
    else {
        return Err(format!("there is no such version of {item:?}"));
    };
    let known = (*known_price, known_currency.as_str(), Some(name.as_str()));
    ensure(known == (price, currency, body["name"].as_str()), || format!("version {version} is {known:?}"))?;
    // It was the newest version at some moment between request and answer.
    let ended = item.products.get(version).map_or(u64::MAX, |next| next.0);
    ensure(*sequence <= span.high && ended > span.low, || {
        format!("version {version} was there from event {sequence} to {ended}, not within {span:?}")
    })
}

pub(super) fn load(
    end: &End<'_>,
    operation: &Operation,
    (sku, price, currency): (&str, u64, &str),
    status: u16,
    body: &Value,
) -> Check {
    ensure(status == 200, || "a batch is answered 200".to_string())?;
    let line = &body[0];
    if line["code"] == "overloaded" || line["code"] == "shard-unavailable" {
        return Ok(());
    }
    let Some((item, span)) = item(end, operation, sku) else { return Err("the product is not there".to_string()) };
    let is_new = line["result"] == "created";
    ensure(is_new || line["result"] == "updated", || "a good product is created or updated".to_string())?;
    let (may, must) = span.sees(born(item));
    ensure(may && !(is_new && must), || format!("the product is there since event {}", born(item)))?;
    let ends = item.products.iter().skip(1).map(|next| next.0).chain([u64::MAX]);
    let known = item.products.iter().zip(ends).any(|((from, known_price, known_currency, _), to)| {
        (*known_price, known_currency.as_str()) == (price, currency) && *from <= span.high && to > span.low
    });
    ensure(known, || format!("within {span:?} it was never so: {:?}", item.products))?;
    // The record of stock begins with the first change of units.
    let stocked = item.units_at(span.high).is_some_and(|units| units.version > 0);
    ensure(stocked, || "it has no stock".to_string())
}

pub(super) fn adjust(
    end: &End<'_>,
    operation: &Operation,
    (sku, delta, key): (&str, i64, &str),
    (status, body, replayed): (u16, &Value, bool),
) -> Check {
    let Some((item, span)) = item(end, operation, sku) else { return is_missing(status) };
    let scope = ((end.caller)(operation.client).subject, sku.to_string(), key.to_string());
    let stock = end.model.stock(ShardId::of(sku, end.model.shards()));
    let known = stock.adjustments.get(&scope);
    let code = body["code"].as_str();
    match (status, code, known) {
        (404, _, _) => ensure(span.low < born(item), || "the product was there before".to_string()),
        (400, Some("validation-failed"), _) => {
            let passes = |adjusted: i64| adjusted + delta > STOCK_MAX as i64;
            let too_large = item.units_between(span.low, span.high).any(|units| passes(units.adjusted));
            ensure(too_large, || "the stock would not be too large".to_string())
        }
        (200, _, Some(adjusted)) => {
            let Some(units) = &adjusted.units else { return Err("the adjustment was refused".to_string()) };
            let right = inventory_document(sku, units);
            ensure(*body == right, || format!("the stock just after it is {right}"))?;
            decided(adjusted.adjustment.delta == delta, span, adjusted.sequence, replayed)
        }
        (409, Some("insufficient-stock"), Some(adjusted)) => {
            ensure(adjusted.units.is_none(), || "the adjustment was made".to_string())?;
            decided(adjusted.adjustment.delta == delta, span, adjusted.sequence, replayed)
        }
        (422, Some("idempotency-key-reused"), Some(adjusted)) => {
            let other = adjusted.adjustment.delta != delta && span.sees(adjusted.sequence).0;
            ensure(other, || format!("its key was used for {adjusted:?}"))
        }
        _ => Err(format!("its key was used for {known:?}")),
    }
}

/// The answer is about what was asked, was durable, and is a replay only if it was decided before.
fn decided(is_same: bool, span: Span, sequence: u64, replayed: bool) -> Check {
    let (may, must) = span.sees(sequence);
    ensure(is_same && may, || format!("event {sequence} is another adjustment or was not durable"))?;
    ensure(replayed || !must, || format!("event {sequence} was there before the request that is said to have made it"))
}

fn item<'e>(end: &'e End<'_>, operation: &Operation, sku: &str) -> Option<(&'e Item, Span)> {
    let shard = ShardId::of(sku, end.model.shards());
    end.model.item(sku).map(|item| (item, Span::of(operation, shard, end.logs)))
}

/// The number of the event that made the product.
fn born(item: &Item) -> u64 {
    item.products.first().map_or(u64::MAX, |put| put.0)
}

fn is_missing(status: u16) -> Check {
    ensure(status == 404, || "the product does not exist".to_string())
}
