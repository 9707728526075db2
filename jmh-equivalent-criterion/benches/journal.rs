//! The journal's codec: the events of whole sagas, encoded into records and decoded again.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use orderlane_core::{Event, ShardId};
use orderlane_criterion::{Engine, order};
use orderlane_journal::{decode, encode};

const ORDERS: u64 = 1_024;

fn codec(criterion: &mut Criterion) {
    let mut engine = Engine::with_catalogue();
    let mut events: Vec<(ShardId, Event)> = Vec::new();
    (0..ORDERS).for_each(|number| engine.place(order(number)));
    engine.run_with(|shard, new| events.extend(new.iter().map(|event| (shard, event.clone()))));
    let mut encoded = Vec::new();
    events.iter().for_each(|(shard, event)| encode(event, *shard, &mut encoded));
    println!("{} events, {} bytes an order", events.len() as u64 / ORDERS, encoded.len() as u64 / ORDERS);

    let mut group = criterion.benchmark_group("journal");
    group.throughput(Throughput::Elements(ORDERS));
    let mut buffer = Vec::with_capacity(encoded.len());
    group.bench_function("encode a saga", |bencher| {
        bencher.iter(|| {
            buffer.clear();
            events.iter().for_each(|(shard, event)| encode(event, *shard, &mut buffer));
            buffer.len()
        });
    });
    group.bench_function("decode a saga", |bencher| {
        bencher.iter(|| {
            let mut rest = encoded.as_slice();
            let read = |(shard, _): &(ShardId, Event)| decode(*shard, &mut rest).is_ok();
            assert!(events.iter().all(read), "what was encoded is decoded");
        });
    });
    group.finish();
}

criterion_group!(benches, codec);
criterion_main!(benches);
