//! `Shard::handle`: whole sagas in memory on one core, two lines an order, most orders across shards.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use orderlane_core::OrderBody;
use orderlane_criterion::{Engine, order};

const ORDERS: u64 = 131_072;
/// Orders taken in one turn of all shards: what a busy lane has in a batch.
const BATCH: usize = 256;

fn whole_saga(criterion: &mut Criterion) {
    let bodies: Vec<OrderBody> = (0..ORDERS).map(order).collect();
    let mut group = criterion.benchmark_group("saga");
    group.throughput(Throughput::Elements(ORDERS)).sample_size(10);
    group.bench_function("whole", |bencher| {
        bencher.iter_batched_ref(
            || (Engine::with_catalogue(), bodies.clone()),
            |(engine, bodies)| {
                for batch in bodies.chunks(BATCH) {
                    batch.iter().for_each(|body| engine.place(body.clone()));
                    engine.run();
                }
                assert_eq!(engine.completed(), ORDERS, "every order completes");
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

criterion_group!(benches, whole_saga);
criterion_main!(benches);
