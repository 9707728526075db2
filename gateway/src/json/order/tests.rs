//! One line a case: what is sent in place of a field of a good order, and what is said about it.

use orderlane_core::limits::{LINES_MAX, METADATA_COUNT_MAX};
use proptest::prelude::*;

use orderlane_core::Currency;

use super::*;
use crate::problem::Code;

/// The fields of a good order, each as raw JSON.
const GOOD: [(&str, &str); 8] = [
    ("customer", "\"c-1001\""),
    ("currency", "\"EUR\""),
    ("items", r#"[{"sku":"sku-17","quantity":2}]"#),
    ("payment", r#"{"token":"tok_ok"}"#),
    ("expectedTotal", "3998"),
    ("email", "\"a@b.example\""),
    ("reference", "\"cart-77\""),
    ("metadata", r#"{"channel":"web"}"#),
];

/// A good order with `raw` in place of the field `name`; an empty `raw` leaves it out.
fn with(name: &str, raw: &str) -> String {
    let known = GOOD.iter().any(|(good, _)| *good == name);
    let mut fields: Vec<String> = GOOD
        .iter()
        .map(|(good, value)| (good, if *good == name { raw } else { value }))
        .filter(|(_, value)| !value.is_empty())
        .map(|(good, value)| format!("\"{good}\": {value}"))
        .collect();
    if !known {
        fields.push(format!("\"{name}\": {raw}"));
    }
    format!("{{{}}}", fields.join(", "))
}

fn parse(body: &str) -> Result<OrderBody, Problem> {
    parse_order(&mut body.as_bytes().to_vec(), "alice", "k-1", 8)
}

/// Every field error as `field: message`, or the code when there are none.
fn faults(outcome: Result<OrderBody, Problem>) -> Vec<String> {
    match outcome {
        Ok(_) => Vec::new(),
        Err(problem) if problem.code == Code::ValidationFailed => {
            problem.errors.iter().map(|error| format!("{}: {}", error.field, error.message)).collect()
        }
        Err(problem) => vec![problem.code.name().to_owned()],
    }
}

/// Checks that each body is refused with exactly one fault that begins so, or accepted when that is empty.
fn check(cases: &[(String, &str)]) {
    for (body, fault) in cases {
        let faults = faults(parse(body));
        let kept = match (&faults[..], fault.is_empty()) {
            ([], true) => true,
            ([only], false) => only.starts_with(fault),
            _ => false,
        };
        assert!(kept, "{body:.300}\n  expected {fault:?}\n  got      {faults:?}");
    }
}

#[test]
fn a_good_order_becomes_its_body() {
    let body = parse(&with("", "").replace(", \"\": ", "")).expect("good");
    assert_eq!((body.subject(), body.key(), body.customer()), ("alice", "k-1", "c-1001"));
    assert_eq!(body.currency(), Currency::parse("EUR"));
    assert_eq!(body.total_expected(), Some(3998));
    assert_eq!((body.token(), body.email(), body.reference()), ("tok_ok", Some("a@b.example"), Some("cart-77")));
    assert_eq!(body.metadata().collect::<Vec<_>>(), [("channel", "web")]);
    assert_eq!(body.lines().map(|line| (line.sku, line.quantity)).collect::<Vec<_>>(), [("sku-17", 2)]);
}

#[test]
fn optional_fields_may_be_absent_or_null() {
    let bare = r#"{"customer":"c","items":[{"sku":"s","quantity":1}],"payment":{"token":"t"}}"#;
    let nulls = r#"{"customer":"c","items":[{"sku":"s","quantity":1}],"payment":{"token":"t"},"currency":null,
        "expectedTotal":null,"email":null,"reference":null,"metadata":null}"#;
    assert_eq!(parse(bare).expect("good"), parse(nulls).expect("good"));
    let empty = bare.replace("\"customer\"", "\"metadata\":{},\"customer\"");
    assert_eq!(parse(bare).expect("good"), parse(&empty).expect("good"));
    check(&[
        (with("customer", ""), "customer: is required"),
        (with("customer", "null"), "customer: is required"),
        (with("items", ""), "items: is required"),
        (with("items", "null"), "items: is required"),
        (with("payment", ""), "payment: is required"),
        (with("payment", "null"), "payment: is required"),
        (with("payment", "{}"), "payment.token: is required"),
        (with("payment", r#"{"token":null}"#), "payment.token: is required"),
        (with("items", r#"[{"quantity":1}]"#), "items[0].sku: is required"),
        (with("items", r#"[{"sku":"s"}]"#), "items[0].quantity: is required"),
        (with("items", r#"[{"sku":"s","quantity":1},null]"#), "items[1]: is required"),
    ]);
}

#[test]
fn a_wrong_type_is_a_field_error() {
    check(&[
        ("[]".to_owned(), "body: must be a JSON object, not an array"),
        ("1".to_owned(), "body: must be a JSON object, not a number"),
        ("\"x\"".to_owned(), "body: must be a JSON object, not a string"),
        ("true".to_owned(), "body: must be a JSON object, not a boolean"),
        ("null".to_owned(), "body: must be a JSON object, not null"),
        (with("customer", "1"), "customer: must be a string, not a number"),
        (with("customer", "-1"), "customer: must be a string, not a number"),
        (with("customer", "1.5"), "customer: must be a string, not a number"),
        (with("customer", "true"), "customer: must be a string, not a boolean"),
        (with("customer", "[\"c\"]"), "customer: must be a string, not an array"),
        (with("customer", r#"{"id":{"deep":[1]}}"#), "customer: must be a string, not an object"),
        (with("expectedTotal", "\"1\""), "expectedTotal: must be an integer, not a string"),
        (with("expectedTotal", "[1]"), "expectedTotal: must be an integer, not an array"),
        (with("items", "{}"), "items: must be an array of lines, not an object"),
        (with("items", "\"x\""), "items: must be an array of lines, not a string"),
        (with("items", "[1]"), "items[0]: must be an object with `sku` and `quantity`, not a number"),
        (with("items", "[[]]"), "items[0]: must be an object with `sku` and `quantity`, not an array"),
        (with("payment", "[]"), "payment: must be an object with `token`, not an array"),
        (with("payment", "\"tok\""), "payment: must be an object with `token`, not a string"),
        (with("payment", r#"{"token":7}"#), "payment.token: must be a string, not a number"),
        (with("metadata", "[]"), "metadata: must be an object of strings, not an array"),
        (with("metadata", r#"{"a":1}"#), "metadata.a: must be a string, not a number"),
        (with("metadata", r#"{"a":{"b":"c"}}"#), "metadata.a: must be a string, not an object"),
    ]);
}

#[test]
fn integers_are_integers() {
    let quantity = |raw: &str| with("items", &format!(r#"[{{"sku":"s","quantity":{raw}}}]"#));
    check(&[
        (quantity("1"), ""),
        (quantity("10000"), ""),
        (quantity("0"), "items[0].quantity: must be an integer from 1 to 10000"),
        (quantity("10001"), "items[0].quantity: must be an integer from 1 to 10000"),
        (quantity("-1"), "items[0].quantity: must be an integer from 1 to 10000"),
        (quantity("1.0"), "items[0].quantity: must be an integer, not a number with"),
        (quantity("1e0"), "items[0].quantity: must be an integer, not a number with"),
        (quantity("1E2"), "items[0].quantity: must be an integer, not a number with"),
        (quantity("4294967297"), "items[0].quantity: must be an integer from 1 to 10000"),
        (quantity("18446744073709551615"), "items[0].quantity: must be an integer from 1 to 10000"),
        (quantity("18446744073709551616"), "items[0].quantity: must be an integer, not a number with"),
        (quantity("01"), "malformed-json"),
        (quantity("+1"), "malformed-json"),
        (quantity("0x1"), "malformed-json"),
        (quantity("NaN"), "malformed-json"),
        (with("expectedTotal", "0"), ""),
        (with("expectedTotal", "9007199254740991"), ""),
        (with("expectedTotal", "9007199254740992"), "expectedTotal: must be an integer from 0 to 9007199254740991"),
        (with("expectedTotal", "-1"), "expectedTotal: must be an integer from 0 to 9007199254740991"),
        (with("expectedTotal", "3998.0"), "expectedTotal: must be an integer, not a number with"),
    ]);
}

#[test]
fn texts_keep_their_bounds() {
    let quoted = |count: usize, unit: &str| format!("\"{}\"", unit.repeat(count));
    let id = "must be 1 to 64 characters of A-Z a-z 0-9 . _ ~ : @ -";
    let token = |raw: &str| with("payment", &format!(r#"{{"token":{raw}}}"#));
    check(&[
        (with("customer", &quoted(64, "c")), ""),
        (with("customer", &quoted(65, "c")), "customer: must be 1 to 64"),
        (with("customer", "\"\""), &format!("customer: {id}")),
        (with("customer", "\"aZ09._~:@-\""), ""),
        (with("customer", r#""\u0063""#), ""),
        (with("customer", "\"a b\""), "customer: must be 1 to 64"),
        (with("customer", "\"Zürich\""), "customer: must be 1 to 64"),
        (with("customer", "\"a/b\""), "customer: must be 1 to 64"),
        (with("reference", "\"\""), "reference: must be 1 to 64"),
        (with("reference", &quoted(64, "r")), ""),
        (with("reference", &quoted(65, "r")), "reference: must be 1 to 64"),
        (with("items", r#"[{"sku":"","quantity":1}]"#), "items[0].sku: must be 1 to 64"),
        (with("currency", "\"eur\""), "currency: must be an ISO 4217 code"),
        (with("currency", "\"EURO\""), "currency: must be an ISO 4217 code"),
        (with("currency", "\"\""), "currency: must be an ISO 4217 code"),
        (with("email", "\"a@b\""), ""),
        (with("email", &format!("\"{}@b\"", "a".repeat(252))), ""),
        (with("email", &format!("\"{}@b\"", "a".repeat(253))), "email: must be an e-mail address"),
        (with("email", "\"\""), "email: must be an e-mail address"),
        (with("email", "\"@b\""), "email: must be an e-mail address"),
        (with("email", "\"a@\""), "email: must be an e-mail address"),
        (with("email", "\"nobody\""), "email: must be an e-mail address"),
        (token("\"\""), "payment.token: must be 1 to 255 bytes"),
        (token(&quoted(255, "t")), ""),
        (token(&quoted(256, "t")), "payment.token: must be 1 to 255 bytes"),
        (token(&quoted(128, "ö")), "payment.token: must be 1 to 255 bytes"),
    ]);
}

#[test]
fn metadata_keeps_its_bounds_in_characters() {
    let entries = |count: usize| {
        let entries: Vec<_> = (0..count).map(|index| format!("\"n{index}\":\"v\"")).collect();
        format!("{{{}}}", entries.join(","))
    };
    let named = |name: &str| with("metadata", &format!("{{\"{name}\":\"v\"}}"));
    let valued = |value: &str| with("metadata", &format!("{{\"n\":\"{value}\"}}"));
    check(&[
        (with("metadata", &entries(METADATA_COUNT_MAX)), ""),
        (with("metadata", &entries(METADATA_COUNT_MAX + 1)), "metadata: has 17 entries; at most 16"),
        (named(&"ö".repeat(40)), ""),
        (named(&"ö".repeat(41)), "metadata.ö"),
        (named(""), "metadata.: must have a name of 1 to 40 characters"),
        (valued(""), ""),
        (valued(&"€".repeat(500)), ""),
        (valued(&"€".repeat(501)), "metadata.n: must be at most 500 characters"),
        (valued(&"𝄞".repeat(500)), ""),
        (valued("a\\u0000b\\\"\\n"), ""),
        (with("metadata", r#"{"a":null}"#), ""),
    ]);
}

#[test]
fn lines_keep_their_bounds() {
    let items = |count: usize| {
        let lines: Vec<_> = (0..count).map(|_| r#"{"sku":"s","quantity":1}"#).collect();
        format!("[{}]", lines.join(","))
    };
    check(&[
        (with("items", "[]"), "items: has 0 lines; an order has 1 to 50"),
        (with("items", &items(LINES_MAX)), ""),
        (with("items", &items(LINES_MAX + 1)), "items: has 51 lines; an order has 1 to 50"),
        (with("items", &items(5_000)), "items: has 5000 lines; an order has 1 to 50"),
    ]);
}

#[test]
fn unknown_and_repeated_names_are_refused_at_every_level() {
    check(&[
        (with("color", "1"), "color: is not a known field"),
        (with("idempotencyKey", "\"k\""), "idempotencyKey: is not a known field"),
        (with("Customer", "\"c\""), "Customer: is not a known field"),
        (with("items", r#"[{"sku":"s","quantity":1,"color":{"a":[1]}}]"#), "items[0].color: is not a known field"),
        (with("payment", r#"{"token":"t","iban":null}"#), "payment.iban: is not a known field"),
        (with("customer", r#""c","customer":"c""#), "customer: is there more than once"),
        (with("customer", r#""c","\u0063ustomer":"c""#), "customer: is there more than once"),
        (with("expectedTotal", r#"1,"expectedTotal":1"#), "expectedTotal: is there more than once"),
        (with("items", r#"[{"sku":"s","quantity":1}],"items":null"#), "items: is there more than once"),
        (with("items", r#"[{"sku":"s","quantity":1,"sku":"s"}]"#), "items[0].sku: is there more than once"),
        (with("payment", r#"{"token":"t","token":"t"}"#), "payment.token: is there more than once"),
        (with("payment", r#"{"token":"t"},"payment":null"#), "payment: is there more than once"),
        (with("metadata", r#"{"a":"b","a":"c"}"#), "metadata.a: is there more than once"),
        (with("metadata", r#"{"a":null,"a":"c"}"#), "metadata.a: is there more than once"),
        (with("metadata", r#"{},"metadata":{}"#), "metadata: is there more than once"),
    ]);
    assert!(faults(parse(&with(&"x".repeat(100_000), "1")))[0].len() < 200, "a long name is cut");
}

#[test]
fn what_is_not_json_is_malformed() {
    let deep = format!("{}1{}", "[".repeat(40), "]".repeat(40));
    let deeper = "[".repeat(100_000);
    for body in [
        "".as_bytes(),
        b" ",
        b"{",
        b"{\"customer\"}",
        b"{\"customer\":\"c\",}",
        b"{'customer':'c'}",
        b"{} x",
        b"{}{}",
        b"{\"a\":tru}",
        b"\xff",
        b"{\"metadata\":{\"a\":\"\xff\"}}",
        b"{\"unknown\":\"\xc3\x28\"}",
        b"{\"metadata\":{\"a\":\"\xed\xa0\x80\"}}",
        br#"{"metadata":{"a":"\ud800"}}"#,
        br#"{"metadata":{"a":"\ud800x"}}"#,
        br#"{"metadata":{"a":"\ud800\u0041"}}"#,
        br#"{"metadata":{"a":"\udc00"}}"#,
        br#"{"unknown":"\udc00"}"#,
        br#"{"a":"\x"}"#,
        b"{\"a\":\"tab\there\"}",
        b"{\"a\":\"line\nhere\"}",
        b"\xef\xbb\xbf{}",
        format!("{{\"unknown\":{deep}}}").as_bytes(),
        deeper.as_bytes(),
        format!("{{\"items\":{deeper}").as_bytes(),
        with("customer", "/* c */ \"c\"").as_bytes(),
    ] {
        let problem = parse_order(&mut body.to_vec(), "alice", "k-1", 8).expect_err("malformed");
        assert_eq!(problem.code, Code::MalformedJson, "{:.200} {problem:?}", String::from_utf8_lossy(body));
    }
    check(&[(with("metadata", r#"{"a":"\ud834\udd1e"}"#), ""), (format!("\r\n\t {} \n", with("email", "null")), "")]);
}

#[test]
fn all_errors_of_a_body_come_together_up_to_a_bound() {
    let body = r#"{"customer":"","items":[{"sku":1,"quantity":0},{"sku":"ok","quantity":1.0,"x":1}],"currency":"x"}"#;
    let fields: Vec<_> = parse(body).expect_err("bad").errors.into_iter().map(|error| error.field).collect();
    assert_eq!(
        fields,
        ["items[0].sku", "items[0].quantity", "items[1].x", "items[1].quantity", "customer", "currency", "payment"]
    );
    let many = with("items", &format!("[{}]", vec!["{}"; 50].join(",")));
    assert_eq!(faults(parse(&many)).len(), crate::json::report::ERRORS_MAX);
}

#[test]
fn a_reserialised_order_is_the_same_order() {
    let sent = r#"{"customer":"c","items":[{"sku":"a","quantity":1},{"sku":"b","quantity":2}],
        "payment":{"token":"t"},"metadata":{"x":"1","y":"é"},"expectedTotal":5}"#;
    let again = "{ \"expectedTotal\" : 5,\"metadata\":{\"y\":\"\\u00e9\",\"\\u0078\":\"1\"},\"reference\":null,\n\
        \"payment\": {\"token\":\"\\u0074\"},\"items\":[{\"quantity\":1,\"sku\":\"a\"},{\"quantity\":2,\"sku\":\"\\u0062\"}],\"customer\":\"c\"}";
    let first = parse(sent).expect("good");
    assert_eq!(first, parse(again).expect("good"));
    for (from, to) in [("\"quantity\":2", "\"quantity\":3"), ("\"x\":\"1\"", "\"x\":\"2\""), ("\"t\"", "\"u\"")] {
        assert_ne!(first, parse(&sent.replace(from, to)).expect("good"), "{to}");
    }
    let swapped =
        sent.replace("{\"sku\":\"a\",\"quantity\":1},", "").replace("2}", "2},{\"sku\":\"a\",\"quantity\":1}");
    assert_ne!(first, parse(&swapped).expect("good"), "the order of the lines counts");
}

#[test]
fn an_item_of_a_batch_brings_its_key() {
    let item = |raw: &str| {
        let body = if raw.is_empty() { with("email", "") } else { with("idempotencyKey", raw) };
        parse_batch_item(&mut body.into_bytes(), "alice", 8)
    };
    for (raw, key) in [("\"k-1\"", "k-1"), (r#""\"k-1\"""#, "k-1"), (r#""\u006b-1""#, "k-1")] {
        assert_eq!(item(raw).expect(raw).key(), key);
    }
    for raw in ["", "null", "\"\"", r#""\"\"""#] {
        assert_eq!(item(raw).map_err(|problem| problem.code), Err(Code::IdempotencyKeyMissing), "{raw}");
    }
    let long = format!("\"{}\"", "k".repeat(256));
    for raw in ["1", "{}", "\" \"", "\"ö\"", "\"a b\"", "\"a\",\"idempotencyKey\":\"a\"", &long] {
        assert!(faults(item(raw))[0].starts_with("idempotencyKey: "), "{raw}");
    }
    let direct = parse_order(&mut with("email", "").into_bytes(), "alice", "k-1", 8).expect("good");
    let batched = with("email", "").replacen('{', "{\"idempotencyKey\":\"k-1\",", 1);
    assert_eq!(parse_batch_item(&mut batched.into_bytes(), "alice", 8).expect("good"), direct, "one operation");
}

proptest! {
    #[test]
    fn bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse_order(&mut bytes.clone(), "alice", "k", 8);
        let _ = parse_batch_item(&mut bytes.clone(), "alice", 8);
    }

    #[test]
    fn a_damaged_order_never_panics(at in 0usize..200, byte: u8, cut in 0usize..300) {
        let mut bytes = with("email", "").into_bytes();
        let at = at % bytes.len();
        bytes[at] = byte;
        bytes.truncate(cut);
        let _ = parse_order(&mut bytes, "alice", "k", 8);
    }

    #[test]
    fn pieces_of_json_never_panic(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..40)) {
        let _ = parse_order(&mut pieces.concat().into_bytes(), "alice", "k", 8);
    }
}

const PIECES: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"items\"",
    "\"sku\"",
    "\"quantity\"",
    "\"payment\"",
    "\"token\"",
    "\"customer\"",
    "\"metadata\"",
    "\"\\ud834\\udd1e\"",
    "\"\\u0000\"",
    "1",
    "-1",
    "1.5",
    "1e9",
    "null",
    "true",
    "\"x\"",
    " ",
    "{}",
    "[]",
];
