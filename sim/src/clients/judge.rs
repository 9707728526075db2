//! Whether an answer is one that the contract allows for its request, whatever the state of the engine may be.

mod heads;

use std::collections::BTreeSet;

use orderlane_core::{OrderId, Status};
use serde_json::{Map, Value};

use crate::clients::ask::Ask;
use crate::clients::http::Parsed;
use crate::history::{Asked, IfMatch, Placing};

/// What an answer means for the one who asked.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Verdict {
    /// It is the answer.
    Final(Value),
    /// Nothing was stored, or not everything: the same request is to be sent again.
    Again(Value),
    /// The connection ended within a request: what was asked is unknown.
    Unknown,
}

/// Judges an answer. `keys_expire`: an order answers for its key only for a while after its end, so that the same key may place
/// another one, also for a careless client.
///
/// # Errors
/// What breaks the contract.
pub(super) fn judge(ask: &Ask, parsed: &Parsed, keys_expire: bool) -> Result<Verdict, String> {
    if parsed.status == 503 && parsed.correlation.is_none() && parsed.close && parsed.body.is_empty() {
        // One connection too many.
        return Ok(Verdict::Again(Value::Null));
    }
    if ask.details.is_head {
        return heads::judge(ask, parsed);
    }
    let body = read_body(ask, parsed)?;
    let code = body["code"].as_str().unwrap_or_default();
    if parsed.status >= 400 {
        check_problem(parsed, &body)?;
        match (parsed.status, code) {
            (503, "overloaded" | "shard-unavailable") if parsed.retry_after.is_some() => {
                return Ok(Verdict::Again(body));
            }
            (409, "idempotency-key-in-progress") => return Ok(Verdict::Again(body)),
            (408, "request-timeout") if parsed.close => return Ok(Verdict::Again(body)),
            _ => {}
        }
    }
    let wrong = |what: &str| Err(format!("{what} is no answer to {:?}: {} {body}", ask.asked, parsed.status));
    if ask.details.is_careless && !(keys_expire && parsed.status < 300) {
        return match (parsed.status, code) {
            (422, "idempotency-key-reused") => Ok(Verdict::Final(body)),
            _ => wrong("this to a key with another body"),
        };
    }
    match (&ask.asked, parsed.status, code) {
        (Asked::Place(placing), 202, _) => check_created(placing, parsed, &body)?,
        (Asked::Place(placing), 201, _) if ask.details.wait_seconds > 0 => {
            check_order(&body)?;
            check_placing(placing, &body)?;
            check_end(&body)?;
        }
        (Asked::Place(_), 422, "idempotency-key-reused") if keys_expire => {}
        (Asked::PlaceMany(placings), 200, _) => return judge_items(ask, placings, body, keys_expire),
        (Asked::Cancel(order) | Asked::Get(order), 200, _) | (Asked::Cancel(order), 202, _) => {
            check_order(&body)?;
            if body["id"] != order.to_string() {
                return wrong("another order");
            }
            let status = body["status"].as_str().unwrap_or_default();
            if matches!(ask.asked, Asked::Cancel(_)) && (parsed.status == 200) != (status == "CANCELLED") {
                return wrong("this status");
            }
            check_condition(ask, parsed.status, &body)?;
            let etag = format!("\"{}\"", body["version"]);
            if parsed.etag.as_deref() != Some(&etag) {
                return wrong("this ETag");
            }
        }
        (Asked::Cancel(_), 409, "order-finished") if ask.details.if_match() != IfMatch::Never => {}
        (Asked::Cancel(_), 412, "version-mismatch") if ask.details.if_match() != IfMatch::Any => {}
        (Asked::List(customer), 200, _) => check_page(ask, customer.as_deref(), parsed, &body)?,
        (Asked::PutProduct { sku, price, currency }, 200 | 201, _) => {
            let same = body["sku"] == *sku && body["unitPrice"] == *price && body["currency"] == *currency;
            if !same || body["version"].as_u64().is_none() {
                return wrong("this product");
            }
        }
        (Asked::Load { sku, .. }, 200, _) => {
            let result = body[0]["result"].as_str().unwrap_or_default();
            if body.as_array().map(Vec::len) != Some(1) || body[0]["sku"] != *sku {
                return wrong("this list");
            }
            match (result, body[0]["code"].as_str()) {
                ("created" | "updated", None) => {}
                ("refused", Some("overloaded" | "shard-unavailable")) => return Ok(Verdict::Again(body)),
                ("refused", Some("request-timeout")) => return Ok(Verdict::Unknown),
                _ => return wrong("this result"),
            }
        }
        (Asked::Adjust { sku, .. } | Asked::Inventory(sku), 200, _) => check_inventory(sku, &body)?,
        (Asked::Adjust { .. }, 409, "insufficient-stock") => {}
        (Asked::Adjust { sku, .. } | Asked::Inventory(sku), 404, "not-found") if !sku_exists(sku) => {}
        (Asked::Invariants, 200, _) => {
            if body["violations"].as_u64().is_none() || !body["checks"].is_array() || !body["shards"].is_array() {
                return wrong("this audit");
            }
        }
        _ => return wrong("this"),
    }
    Ok(Verdict::Final(body))
}

/// Whether the plan has put a product of this SKU before everything else.
fn sku_exists(sku: &str) -> bool {
    sku.strip_prefix("sku-").is_some_and(|index| index.parse::<u16>().is_ok())
}

/// The JSON of a body; lines become an array.
fn read_body(ask: &Ask, parsed: &Parsed) -> Result<Value, String> {
    let many = matches!(ask.asked, Asked::PlaceMany(_) | Asked::Load { .. }) && parsed.status == 200;
    let as_lines = many && (ask.as_lines || matches!(ask.asked, Asked::Load { .. }));
    let wanted = match (parsed.status, as_lines) {
        (400.., _) => "application/problem+json",
        (_, true) => "application/x-ndjson",
        (_, false) => "application/json",
    };
    if parsed.content_type.as_deref() != Some(wanted) {
        return Err(format!("{:?} where {wanted} belongs", parsed.content_type));
    }
    let read = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes);
    let value = if as_lines {
        parsed.body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(read).collect()
    } else {
        read(&parsed.body)
    };
    value.map_err(|error| format!("no JSON: {error}: {}", String::from_utf8_lossy(&parsed.body)))
}

fn check_problem(parsed: &Parsed, body: &Value) -> Result<(), String> {
    let same = body["status"] == parsed.status
        && body["correlationId"].as_str() == parsed.correlation.as_deref()
        && ["type", "title", "detail", "code"].iter().all(|name| body[*name].is_string());
    if same { Ok(()) } else { Err(format!("no problem document for {}: {body}", parsed.status)) }
}

fn check_order(body: &Value) -> Result<(), String> {
    let id = body["id"].as_str().and_then(OrderId::parse);
    let status = body["status"].as_str().and_then(Status::parse);
    let whole = id.is_some() && status.is_some() && body["version"].as_u64().is_some_and(|version| version > 0);
    if whole { Ok(()) } else { Err(format!("no order: {body}")) }
}

/// A cancel took the version that was meant, and changed its status once or not at all.
fn check_condition(ask: &Ask, status: u16, body: &Value) -> Result<(), String> {
    let version = body["version"].as_u64().unwrap_or_default();
    let meant = match (&ask.asked, ask.details.if_match()) {
        (Asked::Cancel(_), IfMatch::Never) => false,
        (Asked::Cancel(_), IfMatch::Version(wanted)) if status == 200 => version == wanted,
        (Asked::Cancel(_), IfMatch::Version(wanted)) => version == wanted || version == wanted + 1,
        _ => true,
    };
    if meant { Ok(()) } else { Err(format!("{:?} was cancelled as {body}", ask.details.if_match)) }
}

/// The order is the one that was placed.
fn check_placing(placing: &Placing, body: &Value) -> Result<(), String> {
    let items = body["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    let metadata: Map<String, Value> =
        placing.metadata.iter().flatten().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
    let metadata = if metadata.is_empty() { Value::Null } else { metadata.into() };
    let same = body["customer"] == placing.customer
        && body["reference"].as_str() == placing.reference.as_deref()
        && body["metadata"] == metadata
        && items.len() == placing.lines.len()
        && items
            .iter()
            .zip(&placing.lines)
            .all(|(item, (sku, quantity))| item["sku"] == *sku && item["quantity"] == *quantity);
    if same { Ok(()) } else { Err(format!("another order than {placing:?}: {body}")) }
}

fn check_pending(placing: &Placing, body: &Value) -> Result<(), String> {
    check_order(body)?;
    check_placing(placing, body)?;
    let currency = placing.currency.as_deref();
    let pending = body["status"] == "PENDING"
        && body["version"] == 1
        && body["total"].is_null()
        && body["reason"].is_null()
        && body["currency"].as_str() == currency
        && body["createdAt"] == body["updatedAt"];
    if pending { Ok(()) } else { Err(format!("not as it was created: {body}")) }
}

fn check_created(placing: &Placing, parsed: &Parsed, body: &Value) -> Result<(), String> {
    check_pending(placing, body)?;
    let location = format!("/v1/orders/{}", body["id"].as_str().unwrap_or_default());
    let named = parsed.location.as_deref() == Some(&location) && parsed.etag.as_deref() == Some("\"1\"");
    if named { Ok(()) } else { Err(format!("{:?} {:?} for {location}", parsed.location, parsed.etag)) }
}

fn check_end(body: &Value) -> Result<(), String> {
    let ended = body["status"].as_str().and_then(Status::parse).is_some_and(Status::is_end);
    if ended { Ok(()) } else { Err(format!("waited for, and not at an end: {body}")) }
}

/// The items of a batch. Those that nothing was stored of are to be sent again, all together.
fn judge_items(ask: &Ask, placings: &[Placing], body: Value, keys_expire: bool) -> Result<Verdict, String> {
    let items = body.as_array().map(Vec::as_slice).unwrap_or_default();
    let late = |item: &Value| item["problem"]["code"] == "request-timeout";
    if items.last().is_some_and(late) {
        return Ok(Verdict::Unknown);
    }
    if items.len() != placings.len() {
        return Err(format!("{} results for {} items: {body}", items.len(), placings.len()));
    }
    let mut again = false;
    for (item, placing) in items.iter().zip(placings) {
        let code = item["problem"]["code"].as_str();
        match (item["status"].as_u64(), code) {
            (Some(202), None) => check_pending(placing, &item["order"])?,
            (Some(201), None) if ask.details.wait_seconds > 0 => {
                check_order(&item["order"])?;
                check_placing(placing, &item["order"])?;
                check_end(&item["order"])?;
            }
            (Some(503), Some("overloaded" | "shard-unavailable")) => again = true,
            (Some(422), Some("idempotency-key-reused")) if keys_expire => {}
            _ => return Err(format!("no result for {placing:?}: {item}")),
        }
    }
    Ok(if again { Verdict::Again(body) } else { Verdict::Final(body) })
}

fn check_page(ask: &Ask, customer: Option<&str>, parsed: &Parsed, body: &Value) -> Result<(), String> {
    let items = body["items"].as_array().ok_or_else(|| format!("no page: {body}"))?;
    items.iter().try_for_each(check_order)?;
    let own = items.iter().all(|item| {
        customer.is_none_or(|customer| item["customer"] == customer)
            && ask.details.status.is_none_or(|status| item["status"] == status.name())
    });
    let ids: BTreeSet<Option<&str>> = items.iter().map(|item| item["id"].as_str()).collect();
    let next = body["next"].as_str();
    let linked = match (next, &parsed.link) {
        (None, None) => body["next"].is_null(),
        (Some(cursor), Some(link)) => link.contains(&format!("cursor={cursor}>; rel=\"next\"")),
        (None, Some(_)) | (Some(_), None) => false,
    };
    let whole = own && linked && ids.len() == items.len() && items.len() <= ask.details.limit;
    if whole { Ok(()) } else { Err(format!("no page of {customer:?}: {:?} {body}", parsed.link)) }
}

fn check_inventory(sku: &str, body: &Value) -> Result<(), String> {
    let number = |name: &str| body[name].as_u64().ok_or_else(|| format!("no inventory: {body}"));
    let sum = number("available")? + number("reserved")? + number("sold")?;
    let whole = body["sku"] == sku && number("adjusted")? == sum && number("version").is_ok();
    if whole { Ok(()) } else { Err(format!("no inventory of {sku}: {body}")) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn place(wait_seconds: u64) -> Ask {
        let placing = Placing {
            customer: "c-1".into(),
            key: "k-1".into(),
            lines: vec![("sku-0".into(), 2)],
            token: "tok_ok".into(),
            currency: None,
            total_expected: None,
            wait: wait_seconds > 0,
            ..Placing::default()
        };
        let mut ask = Ask::new(1, Asked::Place(placing));
        ask.details.wait_seconds = wait_seconds;
        ask
    }

    fn answer(status: u16, order: &str, quantity: u32) -> Parsed {
        let body = json!({
            "id": "o_0000000000001", "status": order, "customer": "c-1", "currency": null, "total": null, "version": 1,
            "items": [{"sku": "sku-0", "quantity": quantity, "unitPrice": null}], "reason": null, "createdAt": "t",
            "updatedAt": "t",
        });
        Parsed {
            status,
            content_type: Some("application/json".into()),
            location: Some("/v1/orders/o_0000000000001".into()),
            etag: Some("\"1\"".into()),
            body: body.to_string().into_bytes(),
            ..Parsed::default()
        }
    }

    #[test]
    fn a_wrong_answer_is_found() {
        for (wait, status, order, quantity, right) in [
            (0, 202, "PENDING", 2, true),
            (0, 202, "PENDING", 3, false),
            (0, 202, "RESERVED", 2, false),
            (0, 200, "PENDING", 2, false),
            (0, 201, "COMPLETED", 2, false),
            (2, 201, "COMPLETED", 2, true),
            (2, 201, "PAID", 2, false),
            (2, 202, "PENDING", 2, true),
            (0, 500, "PENDING", 2, false),
        ] {
            let judged = judge(&place(wait), &answer(status, order, quantity), false);
            assert_eq!(judged.is_ok(), right, "{wait} {status} {order} {quantity}: {judged:?}");
        }
        let mut careless = place(0);
        careless.details.is_careless = true;
        assert!(judge(&careless, &answer(202, "PENDING", 2), false).is_err());
        assert!(judge(&careless, &answer(202, "PENDING", 2), true).is_ok());
    }
    #[test]
    fn a_precondition_allows_what_it_says() {
        for (if_match, status, version, right) in [
            (None, 202, 2, true),
            (None, 412, 2, false),
            (Some("*"), 412, 2, false),
            (Some("\"1\""), 202, 2, true),
            (Some("\"2\""), 202, 2, true),
            (Some("\"3\""), 202, 2, false),
            (Some("\"3\""), 412, 2, true),
            (Some("2"), 202, 2, false),
            (Some("2"), 409, 2, false),
            (Some("2"), 412, 2, true),
        ] {
            let id = OrderId::parse("o_0000000000001").expect("an id");
            let mut ask = Ask::new(1, Asked::Cancel(id));
            ask.details.if_match = if_match.map(str::to_owned);
            let mut parsed = answer(status, "CANCELLING", 2);
            let mut body: Value = serde_json::from_slice(&parsed.body).expect("JSON");
            body["version"] = version.into();
            if status >= 400 {
                parsed.content_type = Some("application/problem+json".into());
                let code = if status == 412 { "version-mismatch" } else { "order-finished" };
                body = json!({"status": status, "code": code, "type": "t", "title": "t", "detail": "t"});
            }
            parsed.etag = Some(format!("\"{version}\""));
            parsed.body = body.to_string().into_bytes();
            let judged = judge(&ask, &parsed, false);
            assert_eq!(judged.is_ok(), right, "{if_match:?} {status} {version}: {judged:?}");
        }
    }
}
