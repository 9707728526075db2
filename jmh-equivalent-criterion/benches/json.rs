//! What it costs to read an order, by parser: the same visitor, the same checks, the same `OrderBody` at the end. And what it
//! costs to read the head before it and to write the answer after it.
//!
//! The numbers behind adr/0003-json-parser.md. Run: `cargo bench -p orderlane-criterion --bench json`.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use orderlane_core::{OrderBody, OrderId, ShardId, Time};
use orderlane_gateway::json::{parse_order, parse_order_from, render_placed};

const SUBJECT: &str = "bench";
const KEY: &str = "6f1c9a52-7a57-4f2e-9f5b-0a7c3f6f7f11";
const SHARDS: u16 = 8;

const HEAD: &[u8] = b"POST /v1/orders HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: orderlane-loadtest\r\n\
    Authorization: Bearer eyJhbGciOiJIUzI1NiIsImtpZCI6ImRldiJ9.eyJpc3MiOiJvcmRlcmxhbmUtZGV2In0.c2lnbmF0dXJl\r\n\
    Content-Type: application/json\r\nIdempotency-Key: 6f1c9a52-7a57-4f2e-9f5b-0a7c3f6f7f11\r\nContent-Length: 287\r\n\r\n";

/// An order of about `size` bytes: lines until it is long enough.
fn order(size: usize) -> Vec<u8> {
    let tail = r#"],"payment":{"token":"tok_ok"},"expectedTotal":3998,"email":"a@b.example","reference":"cart-77"}"#;
    let mut body = String::from(r#"{"customer":"c-100123","currency":"EUR","items":["#);
    let mut line = 0;
    while line == 0 || body.len() + tail.len() + 35 <= size {
        let comma = if line == 0 { "" } else { "," };
        body.push_str(&format!(r#"{comma}{{"sku":"sku-{:04}","quantity":{}}}"#, line * 37, line + 1));
        line += 1;
    }
    body.push_str(tail);
    body.into_bytes()
}

fn with_serde_json(body: &mut [u8]) -> OrderBody {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let order = parse_order_from(&mut deserializer, SUBJECT, KEY, SHARDS).expect("a good order");
    deserializer.end().expect("nothing follows");
    order
}

/// UTF-8 is checked once for the whole body, and not again for each string.
fn with_serde_json_str(body: &mut [u8]) -> OrderBody {
    let text = std::str::from_utf8(body).expect("UTF-8");
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let order = parse_order_from(&mut deserializer, SUBJECT, KEY, SHARDS).expect("a good order");
    deserializer.end().expect("nothing follows");
    order
}

fn with_sonic(body: &mut [u8]) -> OrderBody {
    let mut deserializer = sonic_rs::Deserializer::from_slice(body);
    let order = parse_order_from(&mut deserializer, SUBJECT, KEY, SHARDS).expect("a good order");
    deserializer.end().expect("nothing follows");
    order
}

/// simd-json refuses what follows when it makes the tape.
fn with_simd(body: &mut [u8], buffers: &mut simd_json::Buffers) -> OrderBody {
    let mut tape = simd_json::Deserializer::from_slice_with_buffers(body, buffers).expect("JSON");
    parse_order_from(&mut tape, SUBJECT, KEY, SHARDS).expect("a good order")
}

fn orders(criterion: &mut Criterion) {
    for size in [200, 400, 600] {
        let body = order(size);
        let expected = with_serde_json(&mut body.clone());
        let mut buffers = simd_json::Buffers::new(body.len());
        assert!(with_sonic(&mut body.clone()) == expected, "sonic-rs reads the same order");
        assert!(with_simd(&mut body.clone(), &mut buffers) == expected, "simd-json reads the same order");
        let mut group = criterion.benchmark_group(format!("order/{size}"));
        group.throughput(Throughput::Bytes(body.len() as u64));
        let mut read = |name: &str, parse: &mut dyn FnMut(&mut [u8]) -> OrderBody| {
            let mut scratch = body.clone();
            group.bench_function(name, |bencher| {
                bencher.iter(|| {
                    // simd-json writes into its input, so everybody gets a fresh copy.
                    scratch.copy_from_slice(&body);
                    parse(black_box(&mut scratch))
                });
            });
        };
        read("product", &mut |body| parse_order(body, SUBJECT, KEY, SHARDS).expect("a good order"));
        read("serde_json", &mut with_serde_json);
        read("serde_json, from_str", &mut with_serde_json_str);
        read("sonic-rs", &mut with_sonic);
        read("simd-json", &mut |body| with_simd(body, &mut buffers));
        group.bench_function("encode only", |bencher| bencher.iter(|| encode_again(black_box(&expected))));
        group.bench_function("render", |bencher| {
            let order = OrderId::new(ShardId(3), 4711);
            let mut out = Vec::with_capacity(2048);
            bencher.iter(|| {
                out.clear();
                render_placed(order, Time(1_795_517_087_000_100), black_box(&expected), &mut out);
                out.len()
            });
        });
        group.finish();
    }
}

/// The part of the work that is no parsing: shards of the lines, the canonical block.
fn encode_again(body: &OrderBody) -> OrderBody {
    let lines: Vec<_> =
        body.lines().map(|line| orderlane_core::DraftLine { sku: line.sku, quantity: line.quantity }).collect();
    let draft = orderlane_core::OrderDraft {
        subject: body.subject(),
        customer: body.customer(),
        key: body.key(),
        currency: body.currency(),
        total_expected: body.total_expected(),
        token: body.token(),
        email: body.email(),
        reference: body.reference(),
        metadata: &[],
        lines: &lines,
    };
    OrderBody::encode(&draft, SHARDS)
}

fn heads(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("head");
    group.throughput(Throughput::Bytes(HEAD.len() as u64));
    group.bench_function("httparse", |bencher| {
        bencher.iter(|| {
            let mut fields = [httparse::EMPTY_HEADER; 100];
            let mut request = httparse::Request::new(&mut fields);
            let status = request.parse(black_box(HEAD)).expect("a good head");
            (status.is_complete(), request.headers.len())
        });
    });
    group.bench_function("httparse, fields not initialised", |bencher| {
        bencher.iter(|| {
            let mut fields = [const { std::mem::MaybeUninit::uninit() }; 100];
            let mut request = httparse::Request::new(&mut []);
            let status = request.parse_with_uninit_headers(black_box(HEAD), &mut fields).expect("a good head");
            (status.is_complete(), request.headers.len())
        });
    });
    group.finish();
}

criterion_group!(benches, orders, heads);
criterion_main!(benches);
