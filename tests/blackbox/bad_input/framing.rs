//! Requests whose bytes can be read in more than one way, or that are too long: the connection ends with the answer.

use super::{Broken, Tokens, good};

/// Field lines and the body behind them.
fn place(tokens: &Tokens, lines: &str, body: &str) -> String {
    format!(
        "POST /v1/orders HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\nIdempotency-Key: k\r\n{lines}\r\n{body}",
        tokens.admin
    )
}

pub(super) fn table(tokens: &Tokens) -> Vec<Broken> {
    let mut table = heads();
    lengths(tokens, &mut table);
    sizes(tokens, &mut table);
    table
}

fn heads() -> Vec<Broken> {
    [
        ("a bare line feed", "GET /v1/orders HTTP/1.1\nHost: a\n\n"),
        ("a bare carriage return", "GET /v1/orders HTTP/1.1\r\nHost: a\rb\r\n\r\n"),
        ("a space before the colon", "GET /v1/orders HTTP/1.1\r\nHost : a\r\n\r\n"),
        ("a folded line", "GET /v1/orders HTTP/1.1\r\nHost: a\r\nA: b\r\n c\r\n\r\n"),
        ("no colon", "GET /v1/orders HTTP/1.1\r\nHost: a\r\nNonsense\r\n\r\n"),
        ("a name that is no token", "GET /v1/orders HTTP/1.1\r\nHost: a\r\nA(b): c\r\n\r\n"),
        ("an empty name", "GET /v1/orders HTTP/1.1\r\nHost: a\r\n: c\r\n\r\n"),
        ("a zero byte", "GET /v1/orders HTTP/1.1\r\nHost: a\r\nA: b\0c\r\n\r\n"),
        ("no Host", "GET /v1/orders HTTP/1.1\r\n\r\n"),
        ("an empty Host", "GET /v1/orders HTTP/1.1\r\nHost:\r\n\r\n"),
        ("a Host with a path", "GET /v1/orders HTTP/1.1\r\nHost: a/b\r\n\r\n"),
        ("two Hosts", "GET /v1/orders HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"),
        ("no version", "GET /v1/orders\r\nHost: a\r\n\r\n"),
        ("two spaces", "GET  /v1/orders HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("a method that is no token", "G(T /v1/orders HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("a target that is none", "GET v1/orders HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("half an escape", "GET /v1/orders/%2 HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("an escape of a zero byte", "GET /v1/orders/%00 HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("TLS", "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\u{fc}\u{3}\u{3}\r\n\r\n"),
        ("HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        ("a version that is not there yet", "GET /v1/orders HTTP/1.2\r\nHost: a\r\n\r\n"),
        ("a tunnel", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n"),
    ]
    .into_iter()
    .map(|(what, bytes)| match what {
        "HTTP/2" | "a version that is not there yet" => Broken::framing(what, bytes, 505, "http-version-not-supported"),
        "a tunnel" => Broken::framing(what, bytes, 501, "not-implemented"),
        _ => Broken::framing(what, bytes, 400, "bad-request"),
    })
    .collect()
}

fn lengths(tokens: &Tokens, table: &mut Vec<Broken>) {
    let body = good().to_string();
    let len = body.len();
    let chunked = format!("{len:x}\r\n{body}\r\n0\r\n\r\n");
    let coded = "Transfer-Encoding: chunked\r\n";
    for (what, lines, body, status, code) in [
        (
            "two equal lengths",
            format!("Content-Length: {len}\r\nContent-Length: {len}\r\n"),
            &*body,
            400,
            "bad-request",
        ),
        ("two lengths", format!("Content-Length: {len}\r\nContent-Length: 0\r\n"), &body, 400, "bad-request"),
        ("a list of lengths", format!("Content-Length: {len}, {len}\r\n"), &body, 400, "bad-request"),
        ("a length with a sign", format!("Content-Length: +{len}\r\n"), &body, 400, "bad-request"),
        ("a length in hexadecimal", format!("Content-Length: 0x{len:x}\r\n"), &body, 400, "bad-request"),
        ("an empty length", "Content-Length:\r\n".into(), "", 400, "bad-request"),
        ("a length beyond 64 bits", "Content-Length: 18446744073709551616\r\n".into(), "", 400, "bad-request"),
        ("length and chunks", format!("Content-Length: {len}\r\n{coded}"), &chunked, 400, "bad-request"),
        ("chunked twice", coded.repeat(2), &chunked, 400, "bad-request"),
        ("chunked not last", "Transfer-Encoding: chunked, gzip\r\n".into(), &chunked, 400, "bad-request"),
        ("another coding", "Transfer-Encoding: gzip, chunked\r\n".into(), &chunked, 501, "not-implemented"),
        ("identity", "Transfer-Encoding: identity\r\n".into(), &body, 501, "not-implemented"),
        ("a chunk size that is none", coded.into(), "xyz\r\n", 400, "bad-request"),
        ("a chunk that is longer than its size", coded.into(), "1\r\nab\r\n0\r\n\r\n", 400, "bad-request"),
        ("a chunk size beyond 64 bits", coded.into(), "10000000000000000\r\n", 400, "bad-request"),
        ("a negative chunk size", coded.into(), "-1\r\n", 400, "bad-request"),
        ("a chunk size with a bare line feed", coded.into(), "1\n{\r\n0\r\n\r\n", 400, "bad-request"),
        ("a broken trailer", coded.into(), "0\r\nA : b\r\n\r\n", 400, "bad-request"),
    ] {
        table.push(Broken::framing(what, place(tokens, &lines, body), status, code));
    }
    let old = place(tokens, coded, &chunked).replacen("HTTP/1.1", "HTTP/1.0", 1);
    table.push(Broken::framing("chunks in HTTP/1.0", old, 400, "bad-request"));
    let expects = place(tokens, &format!("Expect: 200-ok\r\nContent-Length: {len}\r\n"), &body);
    table.push(Broken::framing("an expectation that is none", expects, 417, "expectation-failed"));
}

fn sizes(tokens: &Tokens, table: &mut Vec<Broken>) {
    let get = |lines: &str| format!("GET /v1/orders HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
    let long = "a".repeat(8 * 1024);
    let chunks = format!("10000\r\n{}\r\n", " ".repeat(0x10000)).repeat(17);
    for (what, bytes, status, code) in [
        ("101 fields", get(&"A: b\r\n".repeat(100)), 431, "headers-too-large"),
        ("a field of 32 KiB", get(&format!("A: {}\r\n", "b".repeat(32 * 1024))), 431, "headers-too-large"),
        ("a target of 8 KiB", format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n"), 414, "uri-too-long"),
        ("a body of 1 MiB and a byte", place(tokens, "Content-Length: 1048577\r\n", ""), 413, "payload-too-large"),
        (
            "chunks of more than 1 MiB",
            place(tokens, "Transfer-Encoding: chunked\r\n", &chunks),
            413,
            "payload-too-large",
        ),
        (
            "a batch of 64 MiB and a byte",
            place(tokens, "Content-Length: 67108865\r\n", "").replacen("orders", "orders:batch", 1),
            413,
            "payload-too-large",
        ),
    ] {
        table.push(Broken::framing(what, bytes, status, code));
    }
}
