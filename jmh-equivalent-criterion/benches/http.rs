//! The gateway without sockets: bytes in, a submission out, its reply in, bytes out; and the head alone, as httparse reads it.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use orderlane_core::{OrderId, Reply, Request, Time};
use orderlane_gateway::actuator::{Actuator, Info, State};
use orderlane_gateway::auth::{self, Authenticator, Keys, Scope};
use orderlane_gateway::{Connection, Context, RequestLog, Surface};

const PIPELINE: usize = 64;

fn context() -> (Context, String) {
    let key = auth::dev_key_generate().expect("random bytes can be had");
    let hour = Duration::from_secs(3600);
    let token = auth::sign(&key, "bench", &[Scope::OrdersWrite], hour, Time(0)).expect("the key signs");
    let info = Info {
        version: "0".into(),
        commit: "0".into(),
        lanes: 1,
        shards: 8,
        cores: 1,
        io_backend: "none".into(),
        runtime: "none".into(),
        durability: "none".into(),
        auth: "dev".into(),
        data: "none".into(),
        started_at: Time(0),
    };
    let actuator = Actuator::new(info, Arc::new(State::new(1)), vec![Arc::default()], vec![Arc::default()]);
    let keys = Keys::dev(&key).expect("the key was just made");
    let authenticator = Authenticator::new(Arc::new(keys));
    (Context::new(8, authenticator, Arc::new(actuator), Arc::default(), RequestLog::new(0), 1), token)
}

fn request(token: &str, number: usize) -> String {
    let body = format!(
        r#"{{"customer":"c-{number}","items":[{{"sku":"sku-{number}","quantity":2}},{{"sku":"sku-7","quantity":1}}],"payment":{{"token":"tok_ok"}}}}"#
    );
    format!(
        "POST /v1/orders HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\nIdempotency-Key: run-1-{number}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn http(criterion: &mut Criterion) {
    let (mut context, token) = context();
    let requests: String = (0..PIPELINE).map(|number| request(&token, number)).collect();
    let mut group = criterion.benchmark_group("http");
    group.throughput(Throughput::Elements(PIPELINE as u64));
    let mut connection = Connection::new(Surface::All, Time(1));
    let mut out = Vec::new();
    group.bench_function("place an order", |bencher| {
        bencher.iter(|| {
            connection.receive(requests.as_bytes(), Time(1));
            connection.advance(Time(1), &mut context);
            let submissions = std::mem::take(context.submissions());
            assert_eq!(submissions.len(), PIPELINE, "every request is submitted");
            for submission in submissions {
                let Request::PlaceOrder { body, .. } = submission.request else {
                    unreachable!("only orders are placed")
                };
                let order = OrderId::new(submission.shard, 1);
                let reply = Reply::Placed { order, created_at: Time(1), body, replayed: false };
                connection.deliver(submission.number, reply);
            }
            connection.advance(Time(1), &mut context);
            out.clear();
            connection.transmit(&mut out);
            connection.written(out.len(), Time(1));
            black_box(out.len())
        });
    });
    group.throughput(Throughput::Elements(1));
    let one = request(&token, 1);
    group.bench_function("httparse, the head alone", |bencher| {
        bencher.iter(|| {
            let mut fields = [httparse::EMPTY_HEADER; 100];
            let mut head = httparse::Request::new(&mut fields);
            head.parse(one.as_bytes()).map(|status| status.is_complete())
        });
    });
    group.finish();
}

criterion_group!(benches, http);
criterion_main!(benches);
