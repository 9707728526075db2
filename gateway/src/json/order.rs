//! Orders: from the JSON of a client to the canonical [`OrderBody`].

use std::borrow::Cow;

use orderlane_core::limits::{
    LINES_MAX, METADATA_COUNT_MAX, METADATA_NAME_LEN_MAX, METADATA_VALUE_LEN_MAX, QUANTITY_MAX, TOTAL_MAX,
};
use orderlane_core::{DraftLine, OrderBody, OrderDraft};
use serde::de::{Deserializer, MapAccess, SeqAccess};

use super::key::{self, Fault};
use super::parse::{object, read, read_from};
use super::report::{Path, Report, Rule};
use super::value::{Elements, Fields, List, Object, Scalar, ScalarSeed, Seen, Skip, Slot};
use crate::problem::{Code, Problem};

/// Reads the body of `POST /v1/orders`. `key` is the idempotency key of its header, unquoted and valid.
///
/// # Errors
/// `malformed-json`, or `validation-failed` with every field error.
pub fn parse_order(body: &mut [u8], subject: &str, key: &str, shards: u16) -> Result<OrderBody, Problem> {
    let mut report = Report::default();
    let mut order = Order::default();
    read(body, &mut order, &mut report)?;
    order.encode(subject, key, shards, report)
}

/// Reads one item of `POST /v1/orders:batch`: an order with its `idempotencyKey` inside.
///
/// # Errors
/// `malformed-json`, `idempotency-key-missing`, or `validation-failed` with every field error.
pub fn parse_batch_item(item: &mut [u8], subject: &str, shards: u16) -> Result<OrderBody, Problem> {
    let mut report = Report::default();
    let mut order = Order { keyed: true, ..Order::default() };
    read(item, &mut order, &mut report)?;
    let key_slot = order.key.take();
    let key = item_key(&key_slot, &mut report)?;
    order.encode(subject, key, shards, report)
}

/// [`parse_order`] on any parser that speaks serde, for the comparison in `jmh-equivalent-criterion`. The caller checks that
/// nothing follows.
///
/// # Errors
/// As [`parse_order`].
#[doc(hidden)]
pub fn parse_order_from<'a, D: Deserializer<'a>>(
    deserializer: D,
    subject: &str,
    key: &str,
    shards: u16,
) -> Result<OrderBody, Problem> {
    let mut report = Report::default();
    let mut order = Order::default();
    object(read_from(deserializer, &mut order, &mut report)?)?;
    order.encode(subject, key, shards, report)
}

fn item_key<'s>(slot: &'s Slot<'_>, report: &mut Report) -> Result<&'s str, Problem> {
    let path = Path::Root("idempotencyKey");
    let missing = || Problem::new(Code::IdempotencyKeyMissing, "Give every item of a batch its own `idempotencyKey`.");
    if matches!(slot, None | Some(Scalar::Null)) {
        return Err(missing());
    }
    let text = report.text(path, slot, Rule::Any);
    match key::unquoted(text.as_bytes()) {
        Ok(key) => Ok(key),
        // Something that is no text has been reported.
        Err(Fault::Missing) if !matches!(slot, Some(Scalar::Text(_))) => Ok(""),
        Err(Fault::Missing) => Err(missing()),
        Err(Fault::Invalid(message)) => {
            report.add(path, message);
            Ok("")
        }
    }
}

/// An order as it was sent.
#[derive(Default)]
struct Order<'a> {
    /// Whether `idempotencyKey` is a field.
    keyed: bool,
    key: Slot<'a>,
    customer: Slot<'a>,
    currency: Slot<'a>,
    total_expected: Slot<'a>,
    email: Slot<'a>,
    reference: Slot<'a>,
    payment_seen: Option<Seen>,
    payment: Payment<'a>,
    metadata_seen: Option<Seen>,
    metadata: Metadata<'a>,
    lines_seen: Option<Seen>,
    lines: Lines<'a>,
}

impl<'a> Fields<'a> for Order<'a> {
    fn field<A: MapAccess<'a>>(
        &mut self,
        name: Cow<'a, str>,
        access: &mut A,
        report: &mut Report,
    ) -> Result<(), A::Error> {
        let path = Path::Root(&name);
        let slot = match &*name {
            "customer" => &mut self.customer,
            "currency" => &mut self.currency,
            "expectedTotal" => &mut self.total_expected,
            "email" => &mut self.email,
            "reference" => &mut self.reference,
            "idempotencyKey" if self.keyed => &mut self.key,
            "items" => {
                let seen = access.next_value_seed(List { elements: &mut self.lines, report })?;
                report.note(path, &mut self.lines_seen, seen);
                return Ok(());
            }
            "payment" => {
                let seen = access.next_value_seed(Object { fields: &mut self.payment, report })?;
                report.note(path, &mut self.payment_seen, seen);
                return Ok(());
            }
            "metadata" => {
                let seen = access.next_value_seed(Object { fields: &mut self.metadata, report })?;
                report.note(path, &mut self.metadata_seen, seen);
                return Ok(());
            }
            _ => {
                access.next_value_seed(Skip::default())?;
                report.unknown(path);
                return Ok(());
            }
        };
        let value = access.next_value_seed(ScalarSeed)?;
        report.fill(path, slot, value);
        Ok(())
    }
}

impl<'a> Order<'a> {
    /// Checks every field that has not been checked on the way and makes the canonical body.
    fn encode(&self, subject: &str, key: &str, shards: u16, mut report: Report) -> Result<OrderBody, Problem> {
        let metadata_sent = report.present(Path::Root("metadata"), self.metadata_seen, "an object of strings");
        if report.require(Path::Root("items"), self.lines_seen, "an array of lines") {
            self.lines.check(&mut report);
        }
        let draft = OrderDraft {
            subject,
            customer: report.text(Path::Root("customer"), &self.customer, Rule::Id),
            key,
            currency: report.currency_optional(Path::Root("currency"), &self.currency),
            total_expected: report
                .integer_optional(Path::Root("expectedTotal"), &self.total_expected, 0, TOTAL_MAX as i64)
                .map(i64::unsigned_abs),
            token: self.token(&mut report),
            email: report.text_optional(Path::Root("email"), &self.email, Rule::Email),
            reference: report.text_optional(Path::Root("reference"), &self.reference, Rule::Id),
            metadata: &self.metadata.entries(metadata_sent, &mut report),
            lines: &self.lines.drafts(),
        };
        report.finish()?;
        Ok(OrderBody::encode(&draft, shards))
    }

    fn token(&self, report: &mut Report) -> &str {
        if report.require(Path::Root("payment"), self.payment_seen, "an object with `token`") {
            report.text(Path::Payment("token"), &self.payment.token, Rule::Token)
        } else {
            ""
        }
    }
}

/// `payment` as it was sent.
#[derive(Default)]
struct Payment<'a> {
    token: Slot<'a>,
}

impl<'a> Fields<'a> for Payment<'a> {
    fn field<A: MapAccess<'a>>(
        &mut self,
        name: Cow<'a, str>,
        access: &mut A,
        report: &mut Report,
    ) -> Result<(), A::Error> {
        let path = Path::Payment(&name);
        if name == "token" {
            let value = access.next_value_seed(ScalarSeed)?;
            report.fill(path, &mut self.token, value);
        } else {
            access.next_value_seed(Skip::default())?;
            report.unknown(path);
        }
        Ok(())
    }
}

/// `metadata` as it was sent.
#[derive(Default)]
struct Metadata<'a> {
    entries: Vec<(Cow<'a, str>, Slot<'a>)>,
    /// How many were sent: those beyond the limit are not kept.
    count: usize,
}

impl<'a> Fields<'a> for Metadata<'a> {
    fn field<A: MapAccess<'a>>(
        &mut self,
        name: Cow<'a, str>,
        access: &mut A,
        report: &mut Report,
    ) -> Result<(), A::Error> {
        self.count += 1;
        if self.entries.len() == METADATA_COUNT_MAX {
            return access.next_value_seed(Skip::default());
        }
        let value = access.next_value_seed(ScalarSeed)?;
        if self.entries.iter().any(|(known, _)| *known == name) {
            report.repeated(Path::Metadata(&name));
        } else {
            self.entries.push((name, Some(value)));
        }
        Ok(())
    }
}

impl Metadata<'_> {
    /// The checked entries. A `null` is an absent entry, as with every optional field.
    fn entries(&self, sent: bool, report: &mut Report) -> Vec<(&str, &str)> {
        if !sent {
            return Vec::new();
        }
        if self.count > METADATA_COUNT_MAX {
            let count = self.count;
            report
                .add(Path::Root("metadata"), format!("has {count} entries; at most {METADATA_COUNT_MAX} are accepted"));
        }
        self.entries.iter().filter_map(|(name, value)| entry(name, value, report)).collect()
    }
}

fn entry<'s>(name: &'s str, value: &'s Slot<'_>, report: &mut Report) -> Option<(&'s str, &'s str)> {
    let path = Path::Metadata(name);
    if name.is_empty() || (name.len() > METADATA_NAME_LEN_MAX && name.chars().count() > METADATA_NAME_LEN_MAX) {
        report.add(path, format!("must have a name of 1 to {METADATA_NAME_LEN_MAX} characters"));
    }
    let text = report.text_optional(path, value, Rule::Characters(METADATA_VALUE_LEN_MAX))?;
    Some((name, text))
}

/// `items` as they were sent.
#[derive(Default)]
struct Lines<'a> {
    lines: Vec<Line<'a>>,
    /// How many were sent: those beyond the limit are not kept.
    count: usize,
}

/// One line, checked: a text or number that is not valid has been reported.
struct Line<'a> {
    sku: Cow<'a, str>,
    quantity: u32,
}

impl<'a> Elements<'a> for Lines<'a> {
    fn elements<A: SeqAccess<'a>>(&mut self, access: &mut A, report: &mut Report) -> Result<(), A::Error> {
        while self.lines.len() < LINES_MAX {
            let mut item = Item { index: self.count, sku: None, quantity: None };
            let Some(seen) = access.next_element_seed(Object { fields: &mut item, report })? else {
                return Ok(());
            };
            self.count += 1;
            if report.require(Path::Item(item.index), Some(seen), "an object with `sku` and `quantity`") {
                self.lines.push(item.line(report));
            }
        }
        while access.next_element_seed(Skip::default())?.is_some() {
            self.count += 1;
        }
        Ok(())
    }
}

impl Lines<'_> {
    fn check(&self, report: &mut Report) {
        let count = self.count;
        if !(1..=LINES_MAX).contains(&count) {
            report.add(Path::Root("items"), format!("has {count} lines; an order has 1 to {LINES_MAX}"));
        }
    }

    fn drafts(&self) -> Vec<DraftLine<'_>> {
        self.lines.iter().map(|line| DraftLine { sku: &line.sku, quantity: line.quantity }).collect()
    }
}

/// An element of `items` as it was sent.
struct Item<'a> {
    index: usize,
    sku: Slot<'a>,
    quantity: Slot<'a>,
}

impl<'a> Fields<'a> for Item<'a> {
    fn field<A: MapAccess<'a>>(
        &mut self,
        name: Cow<'a, str>,
        access: &mut A,
        report: &mut Report,
    ) -> Result<(), A::Error> {
        let path = Path::ItemField(self.index, &name);
        let slot = match &*name {
            "sku" => &mut self.sku,
            "quantity" => &mut self.quantity,
            _ => {
                access.next_value_seed(Skip::default())?;
                report.unknown(path);
                return Ok(());
            }
        };
        let value = access.next_value_seed(ScalarSeed)?;
        report.fill(path, slot, value);
        Ok(())
    }
}

impl<'a> Item<'a> {
    fn line(self, report: &mut Report) -> Line<'a> {
        report.text(Path::ItemField(self.index, "sku"), &self.sku, Rule::Id);
        let path = Path::ItemField(self.index, "quantity");
        let quantity = report.integer(path, &self.quantity, 1, i64::from(QUANTITY_MAX));
        let sku = match self.sku {
            Some(Scalar::Text(sku)) => sku,
            Some(Scalar::Null | Scalar::Unsigned(_) | Scalar::Negative(_) | Scalar::Other(_)) | None => {
                Cow::Borrowed("")
            }
        };
        Line { sku, quantity: quantity as u32 }
    }
}

#[cfg(test)]
mod tests;
