//! Well framed requests with wrong callers, keys, types, JSON, fields and parameters.

use serde_json::{Value, json};

use super::{Broken, Tokens, good};
use crate::client::Request;

const INVALID: (u16, &str) = (400, "validation-failed");
const MALFORMED: (u16, &str) = (400, "malformed-json");

pub(super) fn table(tokens: &Tokens) -> Vec<Broken> {
    let mut table = Vec::new();
    callers(tokens, &mut table);
    keys_and_types(tokens, &mut table);
    json_texts(tokens, &mut table);
    fields(tokens, &mut table);
    other_operations(tokens, &mut table);
    table
}

fn callers(tokens: &Tokens, table: &mut Vec<Broken>) {
    let place = Request::place("k", good());
    let parts: Vec<&str> = tokens.admin.split('.').collect();
    let [header, claims, signature] = parts[..] else { panic!("a token has three parts") };
    let other = format!("{}{}", if signature.starts_with('A') { 'B' } else { 'A' }, &signature[1..]);
    for (what, authorization) in [
        ("a token that is none", "Bearer x".to_owned()),
        ("an empty token", "Bearer ".to_owned()),
        ("another scheme", "Basic cm9vdDpyb290".to_owned()),
        ("a changed signature", format!("Bearer {header}.{claims}.{other}")),
        ("no signature", format!("Bearer {header}.{claims}.")),
        // {"alg":"none","typ":"JWT"}
        ("alg none", format!("Bearer eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{claims}.")),
        ("a token of four parts", format!("Bearer {}.{signature}", tokens.admin)),
        ("padding in base64url", format!("Bearer {header}.{claims}.{signature}=")),
        ("a token of more than 8 KiB", format!("Bearer {}", "x".repeat(8 * 1024 + 1))),
    ] {
        let bytes = place.clone().field("Authorization", &authorization).bytes(None);
        table.push(Broken::request(what, bytes, 401, "unauthenticated"));
    }
    table.push(Broken::request("no token", place.bytes(None), 401, "unauthenticated"));
    let twice = place.clone().field("Authorization", &format!("Bearer {}", tokens.admin)).bytes(Some(&tokens.admin));
    table.push(Broken::request("two tokens", twice, 401, "unauthenticated"));
    table.push(Broken::request("a token without the scope", place.bytes(Some(&tokens.reader)), 403, "forbidden"));
}

fn keys_and_types(tokens: &Tokens, table: &mut Vec<Broken>) {
    let body = good().to_string();
    let json = "application/json";
    for (what, keys, content_type, (status, code)) in [
        ("no key", &[][..], json, (400, "idempotency-key-missing")),
        ("an empty key", &[""], json, (400, "idempotency-key-missing")),
        ("an empty quoted key", &["\"\""], json, (400, "idempotency-key-missing")),
        ("two keys", &["a", "b"], json, INVALID),
        ("the same key twice", &["a", "a"], json, INVALID),
        ("a key of 256 characters", &[&*"k".repeat(256)], json, INVALID),
        ("a key with a space", &["a b"], json, INVALID),
        ("a key of other letters", &["clé"], json, INVALID),
        ("a key with half a quote", &["\"k"], json, INVALID),
        ("plain text", &["k"], "text/plain", (415, "unsupported-media-type")),
        ("lines where one order goes", &["k"], "application/x-ndjson", (415, "unsupported-media-type")),
        ("another charset", &["k"], "application/json; charset=utf-16", (415, "unsupported-media-type")),
    ] {
        let with_key = |request: Request, key: &&str| request.field("Idempotency-Key", key);
        let request = keys.iter().fold(Request::new("POST", "/v1/orders"), with_key).body(content_type, &*body);
        table.push(Broken::request(what, request.bytes(Some(&tokens.admin)), status, code));
    }
    let no_type = format!(
        "POST /v1/orders HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\nIdempotency-Key: k\r\nContent-Length: {}\r\n\r\n{body}",
        tokens.admin,
        body.len()
    );
    table.push(Broken::request("no type", no_type, 415, "unsupported-media-type"));
}

fn json_texts(tokens: &Tokens, table: &mut Vec<Broken>) {
    let good = r#"{"customer":"c-1","items":[{"sku":"s-1","quantity":1}],"payment":{"token":"tok_ok"}}"#;
    let deep = format!("{{\"customer\":{}1{}}}", "[".repeat(5_000), "]".repeat(5_000));
    for (what, body, (status, code)) in [
        ("an empty body", b"".to_vec(), MALFORMED),
        ("a brace", b"{".to_vec(), MALFORMED),
        ("half an order", good.as_bytes()[..40].to_vec(), MALFORMED),
        ("an order and more", format!("{good} x").into_bytes(), MALFORMED),
        ("two orders", format!("{good}{good}").into_bytes(), MALFORMED),
        ("a comma at the end", good.replace("}]", "},]").into_bytes(), MALFORMED),
        ("single quotes", good.replace('"', "'").into_bytes(), MALFORMED),
        ("NaN", good.replace(":1}", ":NaN}").into_bytes(), MALFORMED),
        ("a number with a zero in front", good.replace(":1}", ":01}").into_bytes(), MALFORMED),
        ("bytes that are not UTF-8", [b"{\"customer\":\"\xff\",".to_vec(), good[1..].into()].concat(), MALFORMED),
        ("a line break in a string", good.replace("c-1", "c\n1").into_bytes(), MALFORMED),
        ("half a surrogate pair", good.replace("c-1", "\\ud800").into_bytes(), MALFORMED),
        ("a byte order mark", format!("\u{feff}{good}").into_bytes(), MALFORMED),
        ("5,000 brackets", deep.into_bytes(), MALFORMED),
        ("an array", b"[]".to_vec(), INVALID),
        ("null", b"null".to_vec(), INVALID),
        ("a string", b"\"order\"".to_vec(), INVALID),
        ("an empty object", b"{}".to_vec(), INVALID),
        ("a name twice", good.replacen('{', "{\"customer\":\"c-2\",", 1).into_bytes(), INVALID),
        (
            "a name twice in a line",
            good.replace("\"quantity\":1", "\"quantity\":1,\"quantity\":1").into_bytes(),
            INVALID,
        ),
        ("an integer with a point", good.replace(":1}", ":1.0}").into_bytes(), INVALID),
        ("an integer with an exponent", good.replace(":1}", ":1e1}").into_bytes(), INVALID),
        ("an integer beyond 64 bits", good.replace(":1}", ":100000000000000000000}").into_bytes(), INVALID),
    ] {
        let request = Request::new("POST", "/v1/orders").field("Idempotency-Key", "k").body("application/json", body);
        table.push(Broken::request(what, request.bytes(Some(&tokens.admin)), status, code));
    }
}

fn fields(tokens: &Tokens, table: &mut Vec<Broken>) {
    let long = "x".repeat(65);
    let many = |count: usize| -> Value {
        (0..count).map(|number| (format!("m{number}"), json!("v"))).collect::<serde_json::Map<_, _>>().into()
    };
    let line = |sku: &str, quantity: Value| json!([{"sku": sku, "quantity": quantity}]);
    for (name, value) in [
        ("customer", json!(null)),
        ("customer", json!("")),
        ("customer", json!(7)),
        ("customer", json!("a b")),
        ("customer", json!("é")),
        ("customer", json!(long)),
        ("currency", json!("euro")),
        ("currency", json!("eur")),
        ("currency", json!(978)),
        ("items", json!(null)),
        ("items", json!([])),
        ("items", json!({})),
        ("items", json!([null])),
        ("items", json!(vec![json!({"sku": "s-1", "quantity": 1}); 51])),
        ("items", json!([{"sku": "s-1"}])),
        ("items", json!([{"quantity": 1}])),
        ("items", json!([{"sku": "s-1", "quantity": 1, "price": 1}])),
        ("items", line("s/1", json!(1))),
        ("items", line("s-1", json!(0))),
        ("items", line("s-1", json!(-1))),
        ("items", line("s-1", json!(10_001))),
        ("items", line("s-1", json!("1"))),
        ("items", line("s-1", json!(true))),
        ("payment", json!(null)),
        ("payment", json!("tok_ok")),
        ("payment", json!({})),
        ("payment", json!({"token": ""})),
        ("payment", json!({"token": "t".repeat(256)})),
        ("payment", json!({"token": "t", "card": "4111"})),
        ("expectedTotal", json!(-1)),
        ("expectedTotal", json!("500")),
        ("expectedTotal", json!(1.5)),
        ("email", json!("nobody")),
        ("email", json!(format!("{}@b.example", "a".repeat(250)))),
        ("reference", json!("")),
        ("reference", json!("cart 77")),
        ("reference", json!(long)),
        ("metadata", json!([])),
        ("metadata", json!({"a": 1})),
        ("metadata", json!({"a": "v".repeat(501)})),
        ("metadata", json!({"n".repeat(41): "v"})),
        ("metadata", many(17)),
        ("total", json!(500)),
        ("unknown", json!(null)),
    ] {
        let mut body = good();
        body[name] = value;
        let shown: String = body[name].to_string().chars().take(60).collect();
        let bytes = Request::place("k", body).bytes(Some(&tokens.admin));
        table.push(Broken::request(format!("{name} = {shown}"), bytes, 400, "validation-failed"));
    }
}

fn other_operations(tokens: &Tokens, table: &mut Vec<Broken>) {
    let product = json!({"name": "x", "unitPrice": 1, "currency": "EUR"});
    let with = |name: &str, value: Value| {
        let mut body = product.clone();
        body[name] = value;
        body
    };
    let put = |sku: &str, body: Value| Request::new("PUT", format!("/v1/products/{sku}")).json(body);
    let adjust =
        |body: Value| Request::new("POST", "/v1/inventory/s-1/adjustments").field("Idempotency-Key", "k").json(body);
    let text = |text: &'static str, kind: &str| Request::new("POST", "/v1/orders:batch").body(kind, text);
    for (what, request, status, code) in [
        ("a price above 10^10", put("p", with("unitPrice", json!(10_000_000_001_u64))), 400, "validation-failed"),
        ("a negative price", put("p", with("unitPrice", json!(-1))), 400, "validation-failed"),
        ("a product without a name", put("p", with("name", json!(null))), 400, "validation-failed"),
        ("a product with a SKU", put("p", with("sku", json!("p"))), 400, "validation-failed"),
        ("a SKU that is none", put("a%20b", product.clone()), 400, "validation-failed"),
        ("an adjustment of nothing", adjust(json!({"reason": "r"})), 400, "validation-failed"),
        (
            "a delta above 10^12",
            adjust(json!({"delta": 1_000_000_000_001_u64, "reason": "r"})),
            400,
            "validation-failed",
        ),
        ("a delta with a point", adjust(json!({"delta": 1.0, "reason": "r"})), 400, "validation-failed"),
        (
            "an adjustment without key",
            Request::new("POST", "/v1/inventory/s-1/adjustments").json("{}"),
            400,
            "idempotency-key-missing",
        ),
        ("a batch of plain text", text("[]", "text/plain"), 415, "unsupported-media-type"),
        ("limit 0", Request::get("/v1/orders?limit=0"), 400, "validation-failed"),
        ("limit 201", Request::get("/v1/orders?limit=201"), 400, "validation-failed"),
        ("limit twice", Request::get("/v1/orders?limit=1&limit=2"), 400, "validation-failed"),
        ("a status that is none", Request::get("/v1/orders?status=DONE"), 400, "validation-failed"),
        ("a cursor that is none", Request::get("/v1/orders?cursor=x"), 400, "validation-failed"),
        ("an unknown parameter", Request::get("/v1/orders?offset=10"), 400, "validation-failed"),
        ("an id that is none", Request::get("/v1/orders/o_x"), 404, "not-found"),
        ("an unknown path", Request::get("/v1/order"), 404, "not-found"),
        ("a method that is not there", Request::new("DELETE", "/v1/orders"), 405, "method-not-allowed"),
    ] {
        table.push(Broken::request(what, request.bytes(Some(&tokens.admin)), status, code));
    }
    let length = format!(
        "POST /v1/orders HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\nIdempotency-Key: k\r\n\r\n",
        tokens.admin
    );
    table.push(Broken::request("no length", length, 411, "length-required"));
}
