//! Products and adjustments of stock, as clients send them.

use std::borrow::Cow;

use orderlane_core::limits::{PRODUCT_NAME_LEN_MAX, REASON_LEN_MAX, STOCK_MAX, UNIT_PRICE_MAX};
use orderlane_core::{Adjustment, Product};
use serde::de::MapAccess;

use super::parse::read;
use super::report::{Path, Report, Rule, valid_id};
use super::value::{Fields, Scalar, ScalarSeed, Skip, Slot};
use crate::problem::Problem;

/// Reads the body of `PUT /v1/products/{sku}`.
///
/// # Errors
/// `malformed-json`, or `validation-failed` with every field error.
pub fn parse_product(body: &mut [u8], sku: &str) -> Result<Product, Problem> {
    let mut report = Report::default();
    let mut fields = ProductFields::default();
    read(body, &mut fields, &mut report)?;
    if !valid_id(sku) {
        report.text(Path::Root("sku"), &Some(Scalar::Text(Cow::Borrowed(sku))), Rule::Id);
    }
    fields.product(sku, report)
}

/// Bytes of a SKU that is echoed though it is refused, at most.
const SKU_ECHO_LEN_MAX: usize = 255;

/// Reads one line of `POST /v1/products:batch`: a product and the units to open its stock with.
///
/// # Errors
/// `malformed-json`, or `validation-failed` with every field error; and the SKU, when the line has one that can be read.
pub fn parse_product_line(line: &mut [u8]) -> Result<(Product, u64), (Option<String>, Problem)> {
    let mut report = Report::default();
    let mut fields = ProductFields { line: true, ..ProductFields::default() };
    read(line, &mut fields, &mut report).map_err(|problem| (None, problem))?;
    let sku = report.text(Path::Root("sku"), &fields.sku, Rule::Id);
    let stock = report.integer(Path::Root("stock"), &fields.stock, 0, STOCK_MAX as i64);
    // Also one that breaks the rule: the client matches its lines by it.
    let readable = match &fields.sku {
        Some(Scalar::Text(text)) if text.len() <= SKU_ECHO_LEN_MAX => Some(text.clone().into_owned()),
        _ => None,
    };
    let product = fields.product(sku, report).map_err(|problem| (readable, problem))?;
    Ok((product, stock.unsigned_abs()))
}

/// Reads the body of `POST /v1/inventory/{sku}/adjustments`. `key` is the idempotency key of its header, unquoted and valid.
///
/// # Errors
/// `malformed-json`, or `validation-failed` with every field error.
pub fn parse_adjustment(body: &mut [u8], subject: &str, sku: &str, key: &str) -> Result<Adjustment, Problem> {
    let mut report = Report::default();
    let mut fields = AdjustmentFields::default();
    read(body, &mut fields, &mut report)?;
    let max = STOCK_MAX as i64;
    let delta = report.integer(Path::Root("delta"), &fields.delta, -max, max);
    let reason = report.text(Path::Root("reason"), &fields.reason, Rule::Bytes(REASON_LEN_MAX));
    report.finish()?;
    Ok(Adjustment { subject: subject.into(), sku: sku.into(), key: key.into(), delta, reason: reason.into() })
}

/// A product as it was sent.
#[derive(Default)]
struct ProductFields<'a> {
    /// Whether `sku` and `stock` are fields.
    line: bool,
    sku: Slot<'a>,
    name: Slot<'a>,
    unit_price: Slot<'a>,
    currency: Slot<'a>,
    stock: Slot<'a>,
}

impl<'a> Fields<'a> for ProductFields<'a> {
    fn field<A: MapAccess<'a>>(
        &mut self,
        name: Cow<'a, str>,
        access: &mut A,
        report: &mut Report,
    ) -> Result<(), A::Error> {
        let slot = match &*name {
            "name" => Some(&mut self.name),
            "unitPrice" => Some(&mut self.unit_price),
            "currency" => Some(&mut self.currency),
            "sku" if self.line => Some(&mut self.sku),
            "stock" if self.line => Some(&mut self.stock),
            _ => None,
        };
        fill(slot, &name, access, report)
    }
}

impl ProductFields<'_> {
    fn product(&self, sku: &str, mut report: Report) -> Result<Product, Problem> {
        let name = report.text(Path::Root("name"), &self.name, Rule::Bytes(PRODUCT_NAME_LEN_MAX));
        let unit_price = report.integer(Path::Root("unitPrice"), &self.unit_price, 0, UNIT_PRICE_MAX as i64);
        let currency = report.currency(Path::Root("currency"), &self.currency);
        report.finish()?;
        Ok(Product {
            sku: sku.into(),
            name: name.into(),
            unit_price: unit_price.unsigned_abs(),
            currency: currency.expect("without a currency the report has an error"),
        })
    }
}

/// An adjustment as it was sent.
#[derive(Default)]
struct AdjustmentFields<'a> {
    delta: Slot<'a>,
    reason: Slot<'a>,
}

impl<'a> Fields<'a> for AdjustmentFields<'a> {
    fn field<A: MapAccess<'a>>(
        &mut self,
        name: Cow<'a, str>,
        access: &mut A,
        report: &mut Report,
    ) -> Result<(), A::Error> {
        let slot = match &*name {
            "delta" => Some(&mut self.delta),
            "reason" => Some(&mut self.reason),
            _ => None,
        };
        fill(slot, &name, access, report)
    }
}

/// Takes a value into its slot; without a slot the field is unknown.
fn fill<'a, A: MapAccess<'a>>(
    slot: Option<&mut Slot<'a>>,
    name: &str,
    access: &mut A,
    report: &mut Report,
) -> Result<(), A::Error> {
    let path = Path::Root(name);
    match slot {
        Some(slot) => {
            let value = access.next_value_seed(ScalarSeed)?;
            report.fill(path, slot, value);
        }
        None => {
            access.next_value_seed(Skip::default())?;
            report.unknown(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Code;

    /// `field: message` of the only error, the code of another problem, or nothing.
    fn fault(problem: Option<Problem>) -> String {
        match problem {
            None => String::new(),
            Some(problem) if problem.code == Code::ValidationFailed => {
                let errors: Vec<_> =
                    problem.errors.iter().map(|error| format!("{}: {}", error.field, error.message)).collect();
                errors.join("; ")
            }
            Some(problem) => problem.code.name().to_owned(),
        }
    }

    fn check(outcome: Option<Problem>, sent: &str, expected: &str) {
        let fault = fault(outcome);
        let kept = if expected.is_empty() { fault.is_empty() } else { fault.starts_with(expected) };
        assert!(kept, "{sent}: expected {expected:?}, got {fault:?}");
    }

    #[test]
    fn products() {
        let long = format!(r#"{{"name":"{}","unitPrice":1,"currency":"EUR"}}"#, "n".repeat(256));
        for (sent, expected) in [
            (r#"{"name":"A","unitPrice":1999,"currency":"EUR"}"#, ""),
            (r#"{"name":"A","unitPrice":0,"currency":"EUR"}"#, ""),
            (r#"{"name":"A","unitPrice":10000000000,"currency":"EUR"}"#, ""),
            (r#"{"name":"A","unitPrice":10000000001,"currency":"EUR"}"#, "unitPrice: must be an integer from 0 to"),
            (r#"{"name":"A","unitPrice":-1,"currency":"EUR"}"#, "unitPrice: must be an integer from 0 to"),
            (r#"{"name":"A","unitPrice":1.0,"currency":"EUR"}"#, "unitPrice: must be an integer, not"),
            (r#"{"name":"A","unitPrice":"1","currency":"EUR"}"#, "unitPrice: must be an integer, not a string"),
            (r#"{"name":"","unitPrice":1,"currency":"EUR"}"#, "name: must be 1 to 255 bytes"),
            (&long, "name: must be 1 to 255 bytes"),
            (r#"{"name":"A","unitPrice":1,"currency":"euro"}"#, "currency: must be an ISO 4217"),
            (r#"{"name":"A","unitPrice":1,"currency":null}"#, "currency: is required"),
            (r#"{"name":"A","unitPrice":1,"currency":"EUR","sku":"s"}"#, "sku: is not a known field"),
            (r#"{"name":"A","unitPrice":1,"currency":"EUR","stock":1}"#, "stock: is not a known field"),
            (r#"{"name":"A","name":"A","unitPrice":1,"currency":"EUR"}"#, "name: is there more than once"),
            ("{}", "name: is required; unitPrice: is required; currency: is required"),
            ("[]", "body: must be a JSON object"),
            ("", "malformed-json"),
        ] {
            check(parse_product(&mut sent.as_bytes().to_vec(), "sku-1").err(), sent, expected);
        }
        let sent = r#"{"name":"A","unitPrice":1,"currency":"EUR"}"#;
        check(parse_product(&mut sent.as_bytes().to_vec(), "a/b").err(), sent, "sku: must be 1 to 64");
    }

    #[test]
    fn a_line_brings_its_sku_even_when_it_is_refused() {
        let parse = |sent: &str| parse_product_line(&mut sent.as_bytes().to_vec());
        let good = r#"{"sku":"s-1","name":"A","unitPrice":5,"currency":"EUR","stock":1000000000000}"#;
        let (product, stock) = parse(good).expect("good");
        assert_eq!((&*product.sku, product.unit_price, stock), ("s-1", 5, 1_000_000_000_000));
        for (from, to, sku, expected) in [
            ("1000000000000", "1000000000001", Some("s-1"), "stock: must be an integer from 0 to"),
            ("1000000000000", "-1", Some("s-1"), "stock: must be an integer from 0 to"),
            (r#","stock":1000000000000"#, "", Some("s-1"), "stock: is required"),
            ("\"s-1\"", "\"a b\"", Some("a b"), "sku: must be 1 to 64"),
            ("\"s-1\"", "7", None, "sku: must be a string"),
            ("\"name\"", "\"nome\"", Some("s-1"), "nome: is not a known field"),
            ("}", "", None, "malformed-json"),
        ] {
            let (readable, problem) = parse(&good.replace(from, to)).expect_err(to);
            assert_eq!(readable.as_deref(), sku, "{to}");
            check(Some(problem), to, expected);
        }
    }

    #[test]
    fn adjustments() {
        for (sent, expected) in [
            (r#"{"delta":100,"reason":"restock"}"#, ""),
            (r#"{"delta":-1000000000000,"reason":"shrinkage"}"#, ""),
            (r#"{"delta":1000000000001,"reason":"r"}"#, "delta: must be an integer from -1000000000000 to"),
            (r#"{"delta":-1000000000001,"reason":"r"}"#, "delta: must be an integer from -1000000000000 to"),
            (r#"{"delta":1e2,"reason":"r"}"#, "delta: must be an integer, not a number with"),
            (r#"{"delta":-9223372036854775809,"reason":"r"}"#, "delta: must be an integer, not a number with"),
            (r#"{"delta":1,"reason":""}"#, "reason: must be 1 to 255 bytes"),
            (r#"{"reason":"r"}"#, "delta: is required"),
            (r#"{"delta":1,"reason":"r","sku":"s"}"#, "sku: is not a known field"),
            (r#"{"delta":1,"delta":1,"reason":"r"}"#, "delta: is there more than once"),
        ] {
            let outcome = parse_adjustment(&mut sent.as_bytes().to_vec(), "alice", "s", "k");
            check(outcome.err(), sent, expected);
        }
    }
}
