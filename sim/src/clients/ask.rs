//! One thing that a client asks, and its bytes.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::history::{Asked, Details, Placing};

/// A request that may be sent several times.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    /// The planned operation that it belongs to.
    pub(super) number: u32,
    /// What.
    pub(super) asked: Asked,
    /// How; the correlation is drawn anew each time.
    pub(super) details: Details,
    /// A batch goes as lines instead of an array.
    pub(super) as_lines: bool,
    /// A wait is a query parameter instead of a preference, where both are known.
    pub(super) wait_in_query: bool,
    /// A body goes in chunks of these sizes, again and again; empty: with its length.
    pub(super) chunks: Vec<usize>,
    /// What JSON may write as `\u` and a number is written like that.
    pub(super) escapes: bool,
}

impl Ask {
    pub(super) fn new(number: u32, asked: Asked) -> Ask {
        Ask {
            number,
            asked,
            details: Details::default(),
            as_lines: false,
            wait_in_query: false,
            chunks: Vec::new(),
            escapes: false,
        }
    }

    /// The same, at the end of the run.
    pub(super) fn at_the_end(mut self) -> Ask {
        self.details.is_final = true;
        self
    }

    /// Leaves out the items of a batch that have their results: a batch that is longer than a queue is never taken as a whole.
    pub(super) fn drop_answered(&mut self, results: &Value) {
        if let (Asked::PlaceMany(placings), Some(results)) = (&mut self.asked, results.as_array()) {
            let mut results = results.iter();
            placings.retain(|_| results.next().is_none_or(|result| result["status"] == 503));
        }
    }

    /// The request on the wire.
    pub(super) fn bytes(&self, correlation: &str) -> Vec<u8> {
        let (mut method, target, mut body) = self.parts();
        if self.details.is_head {
            method = "HEAD";
        }
        if self.escapes {
            body = body.map(|body| escaped(&body));
        }
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: orderlane\r\nX-Correlation-Id: {correlation}\r\n");
        if let Some(key) = self.key() {
            let _ = write!(head, "Idempotency-Key: {key}\r\n");
        }
        if self.details.wait_seconds > 0 && !self.wait_in_query {
            let _ = write!(head, "Prefer: wait={}\r\n", self.details.wait_seconds);
        }
        if let Some(condition) = &self.details.if_match {
            let _ = write!(head, "If-Match: {condition}\r\n");
        }
        if let Some(body) = &body {
            let lines = self.as_lines || matches!(self.asked, Asked::Load { .. });
            let media_type = if lines { "application/x-ndjson" } else { "application/json" };
            let _ = write!(head, "Content-Type: {media_type}\r\n");
            if self.chunks.is_empty() {
                let _ = write!(head, "Content-Length: {}\r\n", body.len());
            } else {
                head.push_str("Transfer-Encoding: chunked\r\n");
            }
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        let body = body.map(String::into_bytes).unwrap_or_default();
        if self.chunks.is_empty() || body.is_empty() {
            bytes.extend(body);
        } else {
            put_chunks(&body, &self.chunks, &mut bytes);
        }
        bytes
    }

    fn key(&self) -> Option<&str> {
        match &self.asked {
            Asked::Place(placing) => Some(&placing.key),
            Asked::Adjust { key, .. } => Some(key),
            Asked::PlaceMany(_)
            | Asked::Cancel(_)
            | Asked::Get(_)
            | Asked::List(_)
            | Asked::PutProduct { .. }
            | Asked::Load { .. }
            | Asked::Inventory(_)
            | Asked::Invariants => None,
        }
    }

    /// Method, target and body.
    fn parts(&self) -> (&'static str, String, Option<String>) {
        match &self.asked {
            Asked::Place(placing) => ("POST", "/v1/orders".into(), Some(order(placing, false).to_string())),
            Asked::PlaceMany(placings) => {
                let items: Vec<String> = placings.iter().map(|placing| order(placing, true).to_string()).collect();
                let body = if self.as_lines { items.join("\n") + "\n" } else { format!("[{}]", items.join(",")) };
                ("POST", "/v1/orders:batch".into(), Some(body))
            }
            Asked::Cancel(order) => ("POST", format!("/v1/orders/{order}/cancel"), None),
            Asked::Get(order) if self.wait_in_query && self.details.wait_seconds > 0 => {
                ("GET", format!("/v1/orders/{order}?wait={}", self.details.wait_seconds), None)
            }
            Asked::Get(order) => ("GET", format!("/v1/orders/{order}"), None),
            Asked::List(customer) => {
                let mut target = format!("/v1/orders?limit={}", self.details.limit);
                if let Some(customer) = customer {
                    let _ = write!(target, "&customer={customer}");
                }
                if let Some(status) = self.details.status {
                    let _ = write!(target, "&status={}", status.name());
                }
                if let Some(cursor) = &self.details.cursor {
                    let _ = write!(target, "&cursor={cursor}");
                }
                ("GET", target, None)
            }
            Asked::PutProduct { sku, price, currency } => {
                let body = json!({"name": sku, "unitPrice": price, "currency": currency});
                ("PUT", format!("/v1/products/{sku}"), Some(body.to_string()))
            }
            Asked::Load { sku, price, currency, stock } => {
                let body = json!({"sku": sku, "name": sku, "unitPrice": price, "currency": currency, "stock": stock});
                ("POST", "/v1/products:batch".into(), Some(format!("{body}\n")))
            }
            Asked::Adjust { sku, delta, key: _ } => {
                let body = json!({"delta": delta, "reason": "count"});
                ("POST", format!("/v1/inventory/{sku}/adjustments"), Some(body.to_string()))
            }
            Asked::Inventory(sku) => ("GET", format!("/v1/inventory/{sku}"), None),
            Asked::Invariants => ("GET", "/v1/invariants".into(), None),
        }
    }
}

/// The JSON of an order; in a batch its key is inside.
fn order(placing: &Placing, keyed: bool) -> Value {
    let items: Vec<Value> =
        placing.lines.iter().map(|(sku, quantity)| json!({"sku": sku, "quantity": quantity})).collect();
    let mut order = json!({"customer": placing.customer, "items": items, "payment": {"token": placing.token}});
    if keyed {
        order["idempotencyKey"] = placing.key.as_str().into();
    }
    if let Some(currency) = &placing.currency {
        order["currency"] = currency.as_str().into();
    }
    if let Some(total) = placing.total_expected {
        order["expectedTotal"] = total.into();
    }
    if let Some(email) = &placing.email {
        order["email"] = email.as_str().into();
    }
    if let Some(reference) = &placing.reference {
        order["reference"] = reference.as_str().into();
    }
    if let Some(metadata) = &placing.metadata {
        order["metadata"] = metadata.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    }
    order
}

/// A body in chunks of these sizes, again and again.
fn put_chunks(body: &[u8], sizes: &[usize], bytes: &mut Vec<u8>) {
    let (mut rest, mut sizes) = (body, sizes.iter().cycle());
    while !rest.is_empty() {
        let size = sizes.next().map_or(rest.len(), |size| (*size).clamp(1, rest.len()));
        let (chunk, after) = rest.split_at(size);
        bytes.extend_from_slice(format!("{size:x}\r\n").as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
        rest = after;
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
}

/// The same JSON in ASCII alone.
fn escaped(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    let mut units = [0; 2];
    for character in json.chars() {
        if character.is_ascii() {
            text.push(character);
        } else {
            character.encode_utf16(&mut units).iter().for_each(|unit| {
                let _ = write!(text, "\\u{unit:04X}");
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_hold_the_body_and_escapes_mean_the_same() {
        let mut bytes = Vec::new();
        put_chunks(b"abcdefghijklmnopqrstu", &[2, 16], &mut bytes);
        assert_eq!(bytes, b"2\r\nab\r\n10\r\ncdefghijklmnopqr\r\n2\r\nst\r\n1\r\nu\r\n0\r\n\r\n");
        let json = "{\"a\":\"\u{e9}\u{1F600}\\n\"}";
        let ascii = escaped(json);
        assert_eq!(ascii, "{\"a\":\"\\u00E9\\uD83D\\uDE00\\n\"}");
        let read = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
        assert_eq!(read(&ascii), read(json));
    }
}
