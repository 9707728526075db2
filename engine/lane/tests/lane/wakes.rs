//! What wakes the loop, and that nothing else does.

use std::cell::RefCell;
use std::rc::Rc;

use orderlane_core::{Call, Input, Outcome, ReplyTo, ShardId};
use orderlane_lane::limits::ROUNDS_MAX;
use orderlane_lane::{MeshEnd, Packet, Port};

use crate::world::{HOLD_TTL, RETRY_FIRST, TestClients, World, look};

/// A request of lane 1's client to shard 0.
fn packet(request: u32) -> Packet {
    let reply_to = ReplyTo { lane: 1, slot: 0, generation: 0, request };
    Packet::Input(ShardId(0), Input::Request { reply_to, request: look() })
}

fn send(peer: &Rc<RefCell<MeshEnd>>, request: u32) {
    let mut peer = peer.borrow_mut();
    peer.send(0, packet(request));
    assert!(peer.flush());
}

fn answers(peer: &Rc<RefCell<MeshEnd>>) -> Vec<u32> {
    let mut answers = Vec::new();
    peer.borrow_mut().receive(|packet| match packet {
        Packet::Reply(to, _) => answers.push(to.request),
        Packet::Input(..) => panic!("nothing was told"),
    });
    answers
}

#[test]
fn a_sleeping_lane_is_woken_once_however_many_packets() {
    let mut world = World::with_peer();
    let peer = world.peer.clone().expect("the test is lane 1");
    world.turn();
    for round in 1..=3 {
        (0..5).for_each(|number| send(&peer, number));
        assert_eq!(world.lane().bell.calls(), round, "one call a sleep");
        assert!(world.turn() <= 2);
        assert_eq!(answers(&peer), [0, 1, 2, 3, 4]);
        assert_eq!(world.peer_bell.calls(), 0, "lane 1 never said that it sleeps");
    }
}

#[test]
fn an_awake_lane_is_not_woken_and_looks_once_more_before_it_sleeps() {
    let mut world = World::with_peer();
    let peer = world.peer.clone().expect("the test is lane 1");
    let sender = peer.clone();
    // After the loop has looked at the mesh, before it says that it sleeps.
    *world.lane().clients.on_flush.borrow_mut() = Some(Box::new(move || send(&sender, 7)));
    world.turn();
    assert_eq!(world.lane().bell.calls(), 0);
    assert_eq!(answers(&peer), [7]);
    // The same when its own clients woke it.
    let sender = peer.clone();
    *world.lane().clients.on_flush.borrow_mut() = Some(Box::new(move || send(&sender, 8)));
    world.look();
    world.turn();
    assert_eq!(world.lane().bell.calls(), 0);
    assert_eq!(answers(&peer), [8]);
}

#[test]
fn a_request_that_comes_while_answers_are_flushed_is_not_lost() {
    let mut world = World::one();
    let port = world.lane().port.clone();
    let to = ReplyTo { lane: 0, slot: 0, generation: 0, request: 9 };
    let submit = move || port.submit(ShardId(0), to, look()).expect("there is room");
    *world.lane().clients.on_flush.borrow_mut() = Some(Box::new(submit));
    world.turn();
    assert!(world.lane().clients.answered(9));
}

#[test]
fn a_packet_between_sleeping_and_the_sleep_wakes() {
    let mut world = World::with_peer();
    let peer = world.peer.clone().expect("the test is lane 1");
    // Both are called after the loop has said that it sleeps and has looked once more.
    let sender = peer.clone();
    world.lane().outside.borrow_mut().on_poll_timeout = Some(Box::new(move || send(&sender, 7)));
    world.turn();
    assert_eq!((world.lane().bell.calls(), answers(&peer)), (1, vec![7]));
    let sender = peer.clone();
    world.commit().on_idle = Some(Box::new(move || send(&sender, 8)));
    send(&peer, 6);
    world.turn();
    assert_eq!((world.lane().bell.calls(), answers(&peer)), (3, vec![6, 8]));
}

#[test]
fn a_sleeping_loop_is_polled_by_nothing() {
    let mut world = World::one();
    world.charging();
    let polls = world.lane().polls;
    world.turn();
    world.pass(1_000_000);
    assert_eq!(world.lane().polls, polls);
    assert_eq!(world.lane().metrics.active.value(), 0);
}

/// Submits a request at each of the next `count` flushes.
fn storm(clients: &Rc<TestClients>, port: Port, count: u32) {
    let (to, next) = (ReplyTo { lane: 0, slot: 0, generation: 0, request: count }, clients.clone());
    *clients.on_flush.borrow_mut() = Some(Box::new(move || {
        port.submit(ShardId(0), to, look()).expect("there is room");
        if count > 1 {
            storm(&next, port, count - 1);
        }
    }));
}

#[test]
fn after_rounds_max_the_sockets_get_their_turn_by_way_of_the_driver() {
    let mut world = World::one();
    let rounds = 3 * ROUNDS_MAX;
    storm(&world.lane().clients, world.lane().port.clone(), rounds as u32);
    world.turn();
    assert_eq!(world.lane().clients.numbers().len(), rounds);
    assert_eq!(world.lane().bell.calls(), 3, "the loop waits for its own wake handle");
    assert_eq!(world.lane().polls, 4);
}

#[test]
fn the_loop_sleeps_until_the_deadline_of_the_outside() {
    let mut world = World::one();
    let order = world.charging();
    let at = world.now().after_micros(500);
    world.lane().outside.borrow_mut().script.push((at, order, Outcome::Charged { attempt: 1 }));
    world.lane().port.wake_loop();
    world.turn();
    assert_eq!(world.sleeps_until(), Some(at), "the order's hold ends later");
    assert_eq!(world.pass(499), 0);
    assert!(world.commit().in_flight.is_none());
    assert!(world.pass(1) > 0);
    assert_eq!(world.commit().starts, 4 + 1, "PaymentCompleted");
}

#[test]
fn the_loop_sleeps_until_the_deadline_of_a_shard() {
    let mut world = World::one();
    let order = world.charging();
    assert_eq!(world.sleeps_until(), Some(world.now().after_micros(HOLD_TTL)), "the hold");
    world.outcome(order, Outcome::PaymentUnknown { attempt: 1 });
    let late = world.now().after_micros(2 * RETRY_FIRST);
    world.lane().outside.borrow_mut().script.push((late, order, Outcome::Charged { attempt: 1 }));
    world.settle();
    assert_eq!(world.sleeps_until(), Some(world.now().after_micros(RETRY_FIRST)), "the look-up");
    assert_eq!(world.pass(RETRY_FIRST - 1), 0);
    assert_eq!(world.calls().len(), 1);
    assert!(world.pass(1) > 0);
    assert_eq!(world.calls()[1..], [Call::Reconcile { attempt: 1 }]);
    assert_eq!(world.sleeps_until(), Some(late), "the outside is next");
}

#[test]
fn a_deadline_that_passes_during_a_read_fires_after_it() {
    let mut world = World::one();
    let order = world.charging();
    world.outcome(order, Outcome::PaymentUnknown { attempt: 1 });
    world.settle();
    world.lane().prefetch.borrow_mut().missing = Some(order);
    world.read(order);
    world.turn();
    // Not a moment of spinning, though the deadline is over and cannot fire.
    let polls = world.pass(RETRY_FIRST);
    assert!(polls <= 2, "{polls} polls while the read is under way");
    assert_eq!(world.calls().len(), 1);
    world.lane().found();
    world.turn();
    assert_eq!(world.calls()[1..], [Call::Reconcile { attempt: 1 }]);
}
