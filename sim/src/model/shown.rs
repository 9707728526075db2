//! What the documents of api.md must look like for a state of the model.

use orderlane_core::{Currency, Reason, Time};
use serde_json::{Map, Value, json};

use super::order::{Order, View};
use super::stock::Units;

/// An order as a client sees it.
#[must_use]
pub fn order_document(order: &Order, view: &View) -> Value {
    let items: Vec<Value> = order
        .lines
        .iter()
        .enumerate()
        .map(|(index, (sku, quantity, _))| {
            json!({"sku": sku, "quantity": quantity, "unitPrice": view.prices.get(index)})
        })
        .collect();
    let metadata: Map<String, Value> =
        order.body.metadata().map(|(name, value)| (name.to_string(), Value::from(value))).collect();
    json!({
        "id": order.id.to_string(),
        "status": view.status.name(),
        "customer": order.body.customer(),
        "currency": view.currency.as_ref().map(Currency::as_str),
        "total": view.total,
        "items": items,
        "reason": view.reason.map(Reason::code),
        "reference": order.body.reference(),
        "metadata": if metadata.is_empty() { Value::Null } else { Value::Object(metadata) },
        "version": view.version,
        "createdAt": time_text(order.created),
        "updatedAt": time_text(view.updated),
    })
}

/// The answer to the request that created an order, whatever has become of it.
#[must_use]
pub fn placed_document(order: &Order) -> Value {
    order_document(order, &order.views[0].1)
}

/// The stock of a SKU as a client sees it.
#[must_use]
pub fn inventory_document(sku: &str, units: &Units) -> Value {
    json!({
        "sku": sku,
        "adjusted": units.adjusted,
        "available": units.available,
        "reserved": units.reserved,
        "sold": units.sold,
        "version": units.version,
    })
}

/// RFC 3339, UTC, with microseconds: the calendar counted day by year by month.
#[must_use]
pub fn time_text(time: Time) -> String {
    let (seconds, micros) = (time.0 / 1_000_000, time.0 % 1_000_000);
    let (mut days, of_day) = (seconds / 86_400, seconds % 86_400);
    let mut year = 1970;
    while days >= days_of_year(year) {
        days -= days_of_year(year);
        year += 1;
    }
    let february = days_of_year(year) - 337;
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z", days + 1)
}

fn days_of_year(year: u64) -> u64 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    365 + u64::from(leap)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339() {
        for (micros, text) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (951_782_400_000_000, "2000-02-29T00:00:00.000000Z"),
            (1_735_689_599_123_456, "2024-12-31T23:59:59.123456Z"),
            (1_767_225_600_000_000, "2026-01-01T00:00:00.000000Z"),
        ] {
            assert_eq!(time_text(Time(micros)), text);
        }
    }
}
