//! Packages that were weighed for a hot path: a shared body as `Arc<[u8]>` or as `bytes::Bytes`, a counter as a lane's own
//! cell or through the `metrics` facade. ADR 0007 rests on it.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use metrics::Counter;
use orderlane_lane::metrics::Cell;

fn bodies(criterion: &mut Criterion) {
    let bytes = vec![7_u8; 320];
    println!("handle: Arc<[u8]> {} bytes, Bytes {} bytes", size_of::<Arc<[u8]>>(), size_of::<Bytes>());
    let mut group = criterion.benchmark_group("body");
    group.bench_function("Arc<[u8]>: make, share 8 times, drop", |bencher| {
        bencher.iter(|| {
            let body: Arc<[u8]> = Arc::from(black_box(&bytes[..]));
            let shared: [Arc<[u8]>; 8] = std::array::from_fn(|_| body.clone());
            black_box(shared)[7].len()
        });
    });
    group.bench_function("Bytes: make, share 8 times, drop", |bencher| {
        bencher.iter(|| {
            let body = Bytes::copy_from_slice(black_box(&bytes[..]));
            let shared: [Bytes; 8] = std::array::from_fn(|_| body.clone());
            black_box(shared)[7].len()
        });
    });
    group.finish();
}

fn counters(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("counter");
    let cell = Cell::default();
    group.bench_function("a lane's cell", |bencher| bencher.iter(|| black_box(&cell).add(1)));
    let counter = Counter::from_arc(Arc::new(AtomicU64::new(0)));
    group.bench_function("metrics::Counter over an atomic", |bencher| {
        bencher.iter(|| black_box(&counter).increment(1));
    });
    group.finish();
}

criterion_group!(benches, bodies, counters);
criterion_main!(benches);
