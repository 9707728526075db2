//! A hop from lane to lane: through the ring in chunks on one thread, and there and back between two threads that spin.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use orderlane_core::{Input, Message, OrderId, ShardId};
use orderlane_lane::{Limits, MeshEnd, Packet, Wake, mesh};

/// Both ends spin: nobody needs to be woken.
struct Nobody;

impl Wake for Nobody {
    fn wake(&self) {}
}

const CHUNK: u64 = 256;

fn two_ends() -> (MeshEnd, MeshEnd) {
    let mut ends = mesh(vec![Arc::new(Nobody) as Arc<dyn Wake>, Arc::new(Nobody)], Limits::default());
    let second = ends.pop().expect("two lanes");
    (ends.pop().expect("two lanes"), second)
}

fn packet(sequence: u64) -> Packet {
    let message = Message::Sell { order: OrderId::new(ShardId(0), sequence) };
    Packet::Input(ShardId(1), Input::Tell { source: ShardId(0), sequence, message })
}

fn hops(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("mesh");
    group.throughput(Throughput::Elements(CHUNK));
    let (mut here, mut there) = two_ends();
    group.bench_function("chunk of 256", |bencher| {
        bencher.iter(|| {
            (0..CHUNK).for_each(|sequence| here.send(1, packet(sequence)));
            here.flush();
            let mut count = 0;
            there.receive(|_| count += 1);
            assert_eq!(count, CHUNK, "what was sent arrives");
        });
    });
    group.throughput(Throughput::Elements(1));
    let (mut here, mut there) = two_ends();
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    let echo = thread::spawn(move || {
        while !stopped.load(Ordering::Relaxed) {
            let mut back = Vec::new();
            there.receive(|packet| back.push(packet));
            back.into_iter().for_each(|packet| there.send(0, packet));
            there.flush();
        }
    });
    group.bench_function("there and back", |bencher| {
        bencher.iter(|| {
            here.send(1, packet(1));
            here.flush();
            let mut is_back = false;
            while !is_back {
                here.receive(|_| is_back = true);
            }
        });
    });
    stop.store(true, Ordering::Relaxed);
    echo.join().expect("the echo ends when told");
    group.finish();
}

criterion_group!(benches, hops);
criterion_main!(benches);
