//! The end of a lane, and what it counts.

use orderlane_core::{Input, OrderId, Outcome, ShardId, Status};
use orderlane_lane::limits::RING_SLOTS;

use crate::world::{World, ask, customer, load, look};

#[test]
fn a_lane_drains_and_ends_when_all_lanes_are_closed() {
    let mut world = World::two();
    world.turn();
    world.shutdown.begin();
    world.turn();
    assert!(world.lanes.iter().all(|lane| lane.port.is_draining() && lane.ended.is_none()), "clients are still there");
    world.shutdown.lane_closed();
    world.turn();
    assert!(world.lanes.iter().all(|lane| lane.ended.is_none()), "the other lane's clients are still there");
    world.shutdown.lane_closed();
    world.turn();
    assert!(world.lanes.iter().all(|lane| matches!(lane.ended, Some(Ok(())))));
}

#[test]
fn a_lane_whose_clients_are_gone_does_not_end_before_the_shutdown_begins() {
    let mut world = World::one();
    world.shutdown.lane_closed();
    world.turn();
    assert!(world.lane().ended.is_none());
    world.shutdown.begin();
    world.turn();
    assert!(matches!(world.lane().ended, Some(Ok(()))));
}

#[test]
fn a_lane_ends_only_when_its_queues_are_empty_and_its_commit_is_durable() {
    let mut world = World::one();
    let first = world.submit(ShardId::of("tea", 2), load("tea", 1)).expect("there is room");
    world.turn();
    world.lane().fill_batch();
    let second = world.submit(ShardId::of("mug", 2), load("mug", 1)).expect("there is room");
    world.shutdown.begin();
    world.shutdown.lane_closed();
    world.turn();
    assert!(world.lane().ended.is_none(), "a commit is in flight, and a request waits");
    world.commit().open_bytes = None;
    world.complete();
    assert!(world.lane().clients.answered(first));
    assert!(world.lane().ended.is_none(), "the second commit is in flight");
    world.complete();
    assert!(world.lane().clients.answered(second));
    assert!(matches!(world.lane().ended, Some(Ok(()))));
}

#[test]
fn a_lane_does_not_end_while_packets_wait_for_room() {
    let mut world = World::with_peer();
    let peer = world.peer.clone().expect("the test is lane 1");
    for _ in 0..RING_SLOTS + 1 {
        world.submit(ShardId(1), look()).expect("there is room");
    }
    world.shutdown.begin();
    world.shutdown.lane_closed();
    world.shutdown.lane_closed();
    world.turn();
    assert!(world.lane().ended.is_none());
    let mut received = 0;
    peer.borrow_mut().receive(|_| received += 1);
    world.turn();
    assert!(matches!(world.lane().ended, Some(Ok(()))));
    peer.borrow_mut().receive(|_| received += 1);
    assert_eq!(received, RING_SLOTS + 1);
}

#[test]
fn a_lane_does_not_end_during_a_read() {
    let mut world = World::one();
    let order = world.charging();
    world.lane().prefetch.borrow_mut().missing = Some(order);
    let read = world.read(order);
    world.shutdown.begin();
    world.shutdown.lane_closed();
    world.turn();
    assert!(world.lane().ended.is_none());
    world.lane().found();
    world.turn();
    assert_eq!(world.status_of(read), Status::Reserved);
    assert!(matches!(world.lane().ended, Some(Ok(()))));
}

#[test]
fn a_lane_that_has_ended_does_not_keep_its_peer_from_ending() {
    let mut world = World::with_peer();
    world.turn();
    // Lane 1 has ended: nobody reads its rings any more.
    world.peer = None;
    for _ in 0..RING_SLOTS + 1 {
        world.submit(ShardId(1), look()).expect("there is room");
    }
    world.shutdown.begin();
    world.shutdown.lane_closed();
    world.shutdown.lane_closed();
    world.turn();
    assert!(matches!(world.lane().ended, Some(Ok(()))));
}

#[test]
fn commits_events_and_orders_per_commit_are_counted() {
    let mut world = World::one();
    world.stock("tea", 10);
    let metrics = world.lane().metrics.clone();
    assert_eq!((metrics.commits.value(), metrics.events.value(), metrics.commit_bytes.value()), (1, 2, 8));
    assert_eq!(metrics.commit_orders.counts().iter().sum::<u64>(), 0, "a commit without orders is not counted there");
    let requests = ["a", "b", "c"].map(|key| world.place(&ask(&customer(0), key, &[("tea", 1)])));
    world.turn();
    assert_eq!(metrics.commits.value(), 1, "not durable yet");
    assert_eq!((metrics.commit_orders.sum(), metrics.commit_orders.max()), (3, 3), "three orders in one commit");
    world.pass(250);
    world.complete();
    assert_eq!(metrics.commits.value(), 2);
    assert_eq!((metrics.commit_micros.sum(), metrics.sync_micros.sum()), (250, 600));
    world.settle();
    assert_eq!(metrics.orders_created.value(), 3);
    assert_eq!(metrics.orders_in[Status::Reserved as usize].value(), 3);
    for request in requests {
        let order: OrderId = world.order_of(request);
        world.outcome(order, Outcome::Charged { attempt: 1 });
    }
    world.settle();
    assert_eq!(metrics.orders_ended[Status::Completed as usize].value(), 3);
    assert_eq!(metrics.orders_in[Status::Completed as usize].value(), 3);
    assert_eq!(metrics.commit_orders.counts().iter().sum::<u64>(), 1, "no other commit created orders");
    let (commits, starts) = (metrics.commits.value(), world.commit().starts as u64);
    assert_eq!(commits, starts);
    assert_eq!(metrics.inbox_depth.value(), 0);
}

#[test]
fn an_inner_input_is_counted_as_an_input() {
    let mut world = World::one();
    world.turn();
    world.lane().port.submit_inner(ShardId(0), Input::Acknowledged { target: ShardId(1), upto: 0 });
    world.look();
    world.turn();
    assert_eq!((world.lane().metrics.inputs.value(), world.lane().metrics.turns.value()), (2, 1));
}
