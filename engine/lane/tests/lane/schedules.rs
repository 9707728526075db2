//! Random schedules on a seed: two lanes, commits and reads that take their time, and then rest. The ledger checks every
//! effect as it comes out; at rest every request has been answered once and every saga has ended.

use orderlane_core::{Call, OrderId, Reply, ShardId, Status};

use crate::world::{SHARDS, World, ask, customer, get, load, sku};

/// splitmix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ bits >> 31) % bound
    }
}

fn orders(world: &World) -> Vec<OrderId> {
    let answers = world.lanes.iter().flat_map(|lane| lane.clients.answers.borrow().clone());
    answers.filter_map(|(_, reply)| if let Reply::Placed { order, .. } = reply { Some(order) } else { None }).collect()
}

fn act(world: &mut World, random: &mut Random, step: u64) {
    let lane = random.below(2) as usize;
    match random.below(10) {
        0..4 => {
            let (customer, key) = (customer(random.below(2) as u16), format!("key-{step}"));
            let (near, far) = (sku(0), sku(1));
            let lines = [(near.as_str(), 1), (far.as_str(), 1 + random.below(2) as u32)];
            let lines = &lines[random.below(2) as usize..];
            let body = ask(&customer, &key, lines).body();
            let request = orderlane_core::Request::PlaceOrder { body, wait: false };
            world.submit_at(lane, ShardId::of(&customer, SHARDS), request).expect("there is room");
        }
        4 => {
            let known = orders(world);
            if let Some(order) = known.get(random.below(known.len().max(1) as u64) as usize) {
                if !world.lanes[lane].prefetch.borrow().is_pending {
                    world.lanes[lane].prefetch.borrow_mut().missing = Some(*order);
                }
                world.submit_at(lane, order.shard(), get(*order)).expect("there is room");
            }
        }
        5 => {
            world.pass(random.below(2_000));
        }
        6 => found(world, lane),
        _ => {
            if world.lanes[lane].has_commit() {
                world.lanes[lane].complete(Ok(orderlane_lane::Receipt { buffer: vec![0; 8], sync_micros: None }));
            }
        }
    }
    if random.below(2) == 0 {
        world.turn();
    }
}

fn found(world: &World, lane: usize) {
    if world.lanes[lane].prefetch.borrow().is_pending {
        world.lanes[lane].found();
    }
}

fn rest(world: &mut World) {
    for _ in 0..1_000 {
        (0..2).for_each(|lane| found(world, lane));
        world.settle();
        let is_waiting = |lane: &crate::world::TestLane| {
            lane.prefetch.borrow().is_pending || !lane.outside.borrow().script.is_empty()
        };
        if !world.lanes.iter().any(is_waiting) {
            return;
        }
        world.pass(1_000);
    }
    panic!("the lanes do not come to rest");
}

fn schedule(seed: u64) -> Vec<String> {
    let (mut world, mut random) = (World::two(), Random(seed));
    for lane in &world.lanes {
        lane.outside.borrow_mut().answers_after = Some(700);
    }
    for shard in 0..SHARDS {
        world.submit(ShardId(shard), load(&sku(shard), 50)).expect("there is room");
    }
    for step in 0..300 {
        act(&mut world, &mut random, step);
    }
    rest(&mut world);
    let mut answered: Vec<u32> = world.lanes.iter().flat_map(|lane| lane.clients.numbers()).collect();
    answered.sort_unstable();
    assert!(answered.iter().copied().eq(1..=answered.len() as u32), "seed {seed}: every request is answered once");
    let ended =
        |status: Status| world.lanes.iter().map(|lane| lane.metrics.orders_ended[status as usize].value()).sum::<u64>();
    let orders = orders(&world).len() as u64;
    assert!(orders > 50, "seed {seed}: {orders} orders only");
    assert_eq!(ended(Status::Completed) + ended(Status::Rejected), orders, "seed {seed}: every saga ends");
    let calls: Vec<Call> = world
        .lanes
        .iter()
        .flat_map(|lane| lane.outside.borrow().calls.iter().map(|asked| asked.call).collect::<Vec<_>>())
        .collect();
    let charges = calls.iter().filter(|call| matches!(call, Call::Charge { .. })).count() as u64;
    assert_eq!(charges, ended(Status::Completed), "seed {seed}: one charge an order that was reserved");
    assert_eq!(calls.len() as u64, 2 * charges, "seed {seed}: and one mail");
    let trace = world.ledger.trace();
    end(world);
    trace
}

fn end(mut world: World) {
    world.shutdown.begin();
    (0..2).for_each(|_| world.shutdown.lane_closed());
    world.turn();
    assert!(world.lanes.iter().all(|lane| matches!(lane.ended, Some(Ok(())))), "at rest, both lanes end");
}

#[test]
fn no_schedule_lets_an_effect_overtake_its_events() {
    (0..60).for_each(|seed| {
        schedule(seed);
    });
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    assert_eq!(schedule(1), schedule(1));
    assert_ne!(schedule(1), schedule(2));
}
