//! Each broken request with its answer, and that nothing behind a broken one is interpreted.

use super::{Answered, ORDER, START, Sut, admin, answers_in, post, request, token};
use crate::auth::Scope;

/// What became of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    Open,
    Closed,
}
use After::{Closed, Open};

fn one(bytes: &[u8]) -> (Answered, After) {
    let mut sut = Sut::new();
    sut.receive(bytes).answer_all();
    let mut answers = answers_in(&sut.output());
    assert_eq!(answers.len(), 1, "{:?}: {answers:?}", String::from_utf8_lossy(bytes));
    let after = if sut.connection.is_closing() { Closed } else { Open };
    (answers.remove(0), after)
}

#[track_caller]
fn check(bytes: impl AsRef<[u8]>, status: u16, code: &str, after: After) {
    let bytes = bytes.as_ref();
    let (answer, found) = one(bytes);
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(300)]);
    assert_eq!((answer.status, &*answer.code(), found), (status, code, after), "{text}\n{answer:?}");
    assert!(answer.field("X-Correlation-Id").is_some(), "{text}");
    assert_eq!(answer.field("Connection") == Some("close"), after == Closed, "{text}");
    if status == 401 {
        assert_eq!(answer.field("WWW-Authenticate"), Some("Bearer realm=\"orderlane\""), "{text}");
    }
}

fn get(lines: &str) -> String {
    request("GET", "/v1/inventory/a", lines)
}

#[test]
fn broken_framing_is_refused_and_closes() {
    for head in [
        "GET / HTTP/1.1\nHost: a\n\n",
        "GET / HTTP/1.1\r\nHost: a\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nA : b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n c\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\tA: b\r\n\r\n",
        "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nA(b): c\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nA b: c\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n: c\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nA\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nA: \x01\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nA: b\0c\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost:\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n",
        "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET /\r\nHost: a\r\n\r\n",
        "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
        "GET / HTTX/1.1\r\nHost: a\r\n\r\n",
        "GET / http/1.1\r\nHost: a\r\n\r\n",
        "G(T / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET a HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET * HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /#a HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /% HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /v1/orders/%zz HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /v1/orders/%ff HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET http:///a HTTP/1.1\r\nHost: a\r\n\r\n",
        "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        check(head, 400, "bad-request", Closed);
    }
}

#[test]
fn an_unclear_length_is_refused_and_closes() {
    for (lines, status, code) in [
        ("Content-Length: 1\r\nContent-Length: 1\r\n", 400, "bad-request"),
        ("Content-Length: 1\r\nContent-Length: 2\r\n", 400, "bad-request"),
        ("Content-Length: 1, 1\r\n", 400, "bad-request"),
        ("Content-Length: +1\r\n", 400, "bad-request"),
        ("Content-Length: -1\r\n", 400, "bad-request"),
        ("Content-Length: 1.0\r\n", 400, "bad-request"),
        ("Content-Length: 0x1\r\n", 400, "bad-request"),
        ("Content-Length:\r\n", 400, "bad-request"),
        ("Content-Length: 1 1\r\n", 400, "bad-request"),
        ("Content-Length: 99999999999999999999\r\n", 400, "bad-request"),
        ("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", 400, "bad-request"),
        ("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", 400, "bad-request"),
        ("Transfer-Encoding: chunked, chunked\r\n", 400, "bad-request"),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400, "bad-request"),
        ("Transfer-Encoding: chunked, gzip\r\n", 400, "bad-request"),
        ("Transfer-Encoding: chunked;q=1\r\n", 400, "bad-request"),
        ("Transfer-Encoding: ,chunked\r\n", 400, "bad-request"),
        ("Transfer-Encoding:\r\n", 400, "bad-request"),
        ("Transfer-Encoding: \"chunked\"\r\n", 400, "bad-request"),
        ("Transfer-Encoding: gzip\r\n", 501, "not-implemented"),
        ("Transfer-Encoding: gzip, chunked\r\n", 501, "not-implemented"),
        ("Transfer-Encoding: identity\r\n", 501, "not-implemented"),
        ("Transfer-Encoding: xchunked\r\n", 501, "not-implemented"),
    ] {
        check(request("POST", "/v1/orders", lines), status, code, Closed);
    }
    check("POST /v1/orders HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "bad-request", Closed);
}

#[test]
fn broken_chunks_are_refused_and_close() {
    let lines = "Content-Type: application/json\r\nIdempotency-Key: k\r\nTransfer-Encoding: chunked\r\n";
    for body in
        ["g\r\n", "1\na\r\n", "1\r\nab\r\n", "-1\r\n", "1 \r\na\r\n", "10000000000000000\r\n", "0\r\nA : b\r\n\r\n"]
    {
        check(request("POST", "/v1/orders", lines) + body, 400, "bad-request", Closed);
    }
    let chunk = format!("20000\r\n{}\r\n", "x".repeat(0x20000)).repeat(9);
    check(request("POST", "/v1/orders", lines) + &chunk, 413, "payload-too-large", Closed);
}

#[test]
fn bounds_and_versions() {
    let many = "A: b\r\n".repeat(99);
    let long = "a".repeat(8 * 1024);
    let huge = format!("A: {}\r\n", "b".repeat(32 * 1024));
    check(get(&many), 431, "headers-too-large", Closed);
    check(get(&huge), 431, "headers-too-large", Closed);
    check(format!("GET / HTTP/1.1\r\n{huge}"), 431, "headers-too-large", Closed);
    check(format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n"), 414, "uri-too-long", Closed);
    check(format!("GET /{long}{long}"), 414, "uri-too-long", Closed);
    for version in ["HTTP/1.2", "HTTP/2.0", "HTTP/0.9", "HTTP/3.0"] {
        check(format!("GET / {version}\r\nHost: a\r\n\r\n"), 505, "http-version-not-supported", Closed);
    }
    check("PRI * HTTP/2.0\r\n\r\n", 505, "http-version-not-supported", Closed);
    check("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 501, "not-implemented", Closed);
    check(get("Expect: 200-ok\r\n"), 417, "expectation-failed", Closed);
    let lines = "Content-Type: application/json\r\nIdempotency-Key: k\r\n";
    check(
        request("POST", "/v1/orders", &format!("{lines}Content-Length: 1048577\r\n")),
        413,
        "payload-too-large",
        Closed,
    );
    check(
        request("POST", "/v1/orders:batch", &format!("{lines}Content-Length: 67108865\r\n")),
        413,
        "payload-too-large",
        Closed,
    );
    check(request("POST", "/v1/orders", lines), 411, "length-required", Open);
    check(request("PUT", "/v1/products/a", lines), 411, "length-required", Open);
}

#[test]
fn callers_and_paths() {
    let bare = |method: &str, target: &str| format!("{method} {target} HTTP/1.1\r\nHost: a\r\n\r\n");
    let with = |token: &str, method: &str, target: &str| {
        format!("{method} {target} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nContent-Length: 0\r\n\r\n")
    };
    check(bare("GET", "/v1/orders"), 401, "unauthenticated", Open);
    check(bare("GET", "/nowhere"), 401, "unauthenticated", Open);
    check(bare("GET", "/"), 401, "unauthenticated", Open);
    check(with("x.y.z", "GET", "/v1/orders"), 401, "unauthenticated", Open);
    check(with(&"x".repeat(8193), "GET", "/v1/orders"), 401, "unauthenticated", Open);
    check(get(&format!("Authorization: Bearer {}\r\n", admin())), 401, "unauthenticated", Open);
    check(request("GET", "/nowhere", ""), 404, "not-found", Open);
    check(request("GET", "/v1/orders/", ""), 404, "not-found", Open);
    check(request("GET", "/v1/orders/o_1", ""), 404, "not-found", Open);
    check(request("GET", "/v1/orders/o_7ZZZZZZZZZZZZ", ""), 404, "not-found", Open);
    check(request("GET", "/v1/products/a%20b", ""), 404, "not-found", Open);
    check(request("GET", "/v1/products/a", ""), 404, "not-found", Open);
    check(request("GET", "/v1/orders?color=red", ""), 400, "validation-failed", Open);
    let reader = token(&[Scope::OrdersRead]);
    let writer = token(&[Scope::OrdersWrite, Scope::InventoryWrite, Scope::CatalogWrite]);
    for (token, method, target) in [
        (&reader, "POST", "/v1/orders"),
        (&reader, "POST", "/v1/orders:batch"),
        (&reader, "POST", "/v1/orders/o_1/cancel"),
        (&reader, "PUT", "/v1/products/a"),
        (&reader, "POST", "/v1/products:batch"),
        (&reader, "POST", "/v1/inventory/a/adjustments"),
        (&reader, "GET", "/v1/invariants"),
        (&writer, "GET", "/v1/orders"),
        (&writer, "GET", "/v1/orders/o_1"),
        (&writer, "GET", "/v1/invariants"),
    ] {
        check(with(token, method, target), 403, "forbidden", Open);
    }
    let late = crate::auth::sign(
        super::key(),
        "alice",
        &[Scope::Admin],
        std::time::Duration::from_secs(1),
        orderlane_core::Time(START.0 - 3_600_000_000),
    );
    check(with(&late.expect("a token"), "GET", "/v1/orders"), 401, "unauthenticated", Open);
}

#[test]
fn other_methods_are_refused_with_those_there_are() {
    for (target, allow) in [
        ("/v1/orders", "GET, HEAD, POST"),
        ("/v1/orders:batch", "POST"),
        ("/v1/orders/o_1", "GET, HEAD"),
        ("/v1/orders/o_1/cancel", "POST"),
        ("/v1/products/a", "GET, HEAD, PUT"),
        ("/v1/products:batch", "POST"),
        ("/v1/inventory/a", "GET, HEAD"),
        ("/v1/inventory/a/adjustments", "POST"),
        ("/v1/invariants", "GET, HEAD"),
        ("/actuator/health", "GET, HEAD"),
        ("/actuator/info", "GET, HEAD"),
        ("/actuator/prometheus", "GET, HEAD"),
    ] {
        for method in ["DELETE", "PATCH", "OPTIONS", "TRACE", "get", "BREW"] {
            check(request(method, target, ""), 405, "method-not-allowed", Open);
            assert_eq!(one(request(method, target, "").as_bytes()).0.field("Allow"), Some(allow), "{target}");
        }
    }
}

#[test]
fn keys_types_and_bodies() {
    let place = |lines: &str, body: &str| {
        request("POST", "/v1/orders", &format!("{lines}Content-Length: {}\r\n", body.len())) + body
    };
    let json = "Content-Type: application/json\r\n";
    let both = "Content-Type: application/json\r\nIdempotency-Key: k\r\n";
    let long = format!("{json}Idempotency-Key: {}\r\n", "k".repeat(256));
    check(place("Idempotency-Key: k\r\n", ORDER), 415, "unsupported-media-type", Open);
    check(place("Content-Type: text/plain\r\n", ORDER), 415, "unsupported-media-type", Open);
    check(place("Content-Type: application/x-ndjson\r\n", ORDER), 415, "unsupported-media-type", Open);
    check(place("Content-Type: application/json; charset=latin1\r\n", ORDER), 415, "unsupported-media-type", Open);
    check(place(&format!("{json}{json}"), ORDER), 415, "unsupported-media-type", Open);
    check(place(json, ORDER), 400, "idempotency-key-missing", Open);
    check(place(json, "{"), 400, "idempotency-key-missing", Open);
    check(place(&format!("{json}Idempotency-Key:\r\n"), ORDER), 400, "idempotency-key-missing", Open);
    check(place(&format!("{json}Idempotency-Key: \"\"\r\n"), ORDER), 400, "idempotency-key-missing", Open);
    check(place(&format!("{both}Idempotency-Key: k\r\n"), ORDER), 400, "validation-failed", Open);
    check(place(&format!("{json}Idempotency-Key: a b\r\n"), ORDER), 400, "validation-failed", Open);
    check(place(&format!("{json}Idempotency-Key: \u{fc}\r\n"), ORDER), 400, "validation-failed", Open);
    check(place(&long, ORDER), 400, "validation-failed", Open);
    check(place(both, ""), 400, "malformed-json", Open);
    check(place(both, "{"), 400, "malformed-json", Open);
    check(place(both, "[]"), 400, "validation-failed", Open);
    check(place(both, "{}"), 400, "validation-failed", Open);
    check(place(both, &ORDER.replace("\"quantity\":2", "\"quantity\":2.0")), 400, "validation-failed", Open);
    check(place(both, &ORDER.replace("\"c-1\"", "7")), 400, "validation-failed", Open);
    check(place(both, &ORDER.replace("{\"customer\"", "{\"x\":1,\"customer\"")), 400, "validation-failed", Open);
    check(post("k", ORDER).replace("/v1/orders", "/v1/orders?a=b"), 400, "validation-failed", Open);
    check(request("GET", "/v1/orders?limit=0", ""), 400, "validation-failed", Open);
    check(request("GET", "/v1/orders?limit=201", ""), 400, "validation-failed", Open);
    check(request("GET", "/v1/orders?limit=1&limit=2", ""), 400, "validation-failed", Open);
    check(request("GET", "/v1/orders?status=pending", ""), 400, "validation-failed", Open);
    check(request("GET", "/v1/orders?customer=", ""), 400, "validation-failed", Open);
    check(request("GET", "/v1/orders?cursor=abc", ""), 400, "validation-failed", Open);
    check(request("GET", "/v1/orders?customer=%zz", ""), 400, "bad-request", Closed);
    check(request("GET", "/v1/orders/o_0000000000001?wait=x", ""), 400, "validation-failed", Open);
}

#[test]
fn nothing_behind_an_error_that_closes_is_interpreted() {
    let next = post("k-2", ORDER);
    for broken in [
        "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n".to_owned(),
        request("POST", "/v1/orders", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
        request("POST", "/v1/orders", "Transfer-Encoding: gzip\r\n"),
        request(
            "POST",
            "/v1/orders",
            "Content-Type: application/json\r\nIdempotency-Key: k\r\nTransfer-Encoding: chunked\r\n",
        ) + "zz\r\n",
        request(
            "POST",
            "/v1/orders",
            "Content-Type: application/json\r\nIdempotency-Key: k\r\nContent-Length: 2000000\r\n",
        ),
        request("GET", "/v1/inventory/a", "Connection: close\r\n"),
    ] {
        let mut sut = Sut::new();
        sut.receive(&broken).receive(&next);
        let mut whole = Sut::new();
        whole.receive(broken + &next);
        for sut in [&mut sut, &mut whole] {
            let places = |sut: &Sut| {
                sut.submissions.iter().any(|one| matches!(one.request, orderlane_core::Request::PlaceOrder { .. }))
            };
            assert!(!places(sut));
            assert_eq!(sut.answer_all().statuses().len(), 1);
            sut.receive(&next);
            assert!(sut.connection.is_finished() && sut.submissions.is_empty() && sut.output().is_empty());
        }
    }
}
