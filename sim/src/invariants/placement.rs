//! Requests to place an order, alone or in a batch, each with its answer.

use orderlane_core::{Currency, OrderBody, OrderId};
use serde_json::Value;

use crate::history::{Answer, Asked, History, Operation, Placing};

/// One order that was asked for.
#[derive(Clone, Copy, Debug)]
pub struct Placement<'h> {
    /// The request that it was part of.
    pub operation: &'h Operation,
    /// What was asked.
    pub placing: &'h Placing,
    /// `None`: unknown.
    pub status: Option<u16>,
    /// The order, or the problem; null while unknown.
    pub body: &'h Value,
    /// Whether it said that it was a replay; a batch does not say.
    pub replayed: Option<bool>,
}

/// All of a history, in the order of their invocation.
pub fn placements(history: &History) -> impl Iterator<Item = Placement<'_>> {
    history.operations.iter().flat_map(|operation| {
        let placings: &[Placing] = match &operation.asked {
            Asked::Place(placing) => std::slice::from_ref(placing),
            Asked::PlaceMany(placings) => placings,
            Asked::Cancel(_)
            | Asked::Get(_)
            | Asked::List(_)
            | Asked::PutProduct { .. }
            | Asked::Load { .. }
            | Asked::Adjust { .. }
            | Asked::Inventory(_)
            | Asked::Invariants => &[],
        };
        placings.iter().enumerate().map(|(index, placing)| Placement::new(operation, index, placing))
    })
}

const NOTHING: &Value = &Value::Null;

impl<'h> Placement<'h> {
    fn new(operation: &'h Operation, index: usize, placing: &'h Placing) -> Placement<'h> {
        let unknown = Placement { operation, placing, status: None, body: NOTHING, replayed: None };
        match (&operation.answer, &operation.asked) {
            (Answer::Unknown, _) => unknown,
            (Answer::Http { status: 200, body, .. }, Asked::PlaceMany(_)) => {
                let Some(item) = body.get(index) else { return unknown };
                let document = item.get("order").or_else(|| item.get("problem")).unwrap_or(NOTHING);
                let status = item["status"].as_u64().map(|status| status as u16);
                Placement { status, body: document, ..unknown }
            }
            (Answer::Http { status, body, .. }, Asked::PlaceMany(_)) => {
                Placement { status: Some(*status), body, ..unknown }
            }
            (Answer::Http { status, body, replayed }, _) => {
                Placement { status: Some(*status), body, replayed: Some(*replayed), ..unknown }
            }
        }
    }

    /// Whether the order was acknowledged.
    #[must_use]
    pub fn is_acknowledged(&self) -> bool {
        matches!(self.status, Some(201 | 202))
    }

    /// Whether the answer says that nothing was stored.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        match self.status {
            Some(503) => self.body["code"] == "overloaded",
            Some(408 | 409) | None => false,
            Some(status) => (400..500).contains(&status),
        }
    }

    /// The order that the answer names.
    #[must_use]
    pub fn order(&self) -> Option<OrderId> {
        OrderId::parse(self.body["id"].as_str()?)
    }

    /// Whether a stored body is what was asked for.
    #[must_use]
    pub fn matches(&self, body: &OrderBody) -> bool {
        let Placing { customer, key, lines, token, currency, total_expected, email, reference, metadata, wait: _ } =
            self.placing;
        // The order of the names does not count, and no entries are no metadata.
        let mut entries: Vec<(&str, &str)> =
            metadata.iter().flatten().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        entries.sort_unstable();
        let mut stored: Vec<(&str, &str)> = body.metadata().collect();
        stored.sort_unstable();
        body.customer() == customer
            && body.key() == key
            && body.token() == token
            && body.currency().as_ref().map(Currency::as_str) == currency.as_deref()
            && body.total_expected() == *total_expected
            && body.email() == email.as_deref()
            && body.reference() == reference.as_deref()
            && stored == entries
            && body.line_count() == lines.len()
            && body.lines().zip(lines).all(|(line, (sku, quantity))| line.sku == sku && line.quantity == *quantity)
    }
}
