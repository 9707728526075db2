//! Decisions overlap the disk; answers never overtake it.

use orderlane_core::{Call, Outcome, Refusal, Reply, Request, ShardId, Status};
use orderlane_lane::Packet;

use crate::world::{World, ask, customer, load, sku};

#[test]
fn trap_25_an_answer_never_overtakes_its_commit() {
    let mut world = World::one();
    let request = world.place(&ask(&customer(0), "k", &[("tea", 1)]));
    world.turn();
    assert_eq!(world.commit().starts, 1);
    assert!(!world.lane().clients.answered(request), "the commit is only under way");
    world.pass(1_000_000);
    assert!(!world.lane().clients.answered(request), "and takes its time");
    world.complete();
    assert!(matches!(world.lane().clients.answer(request), Reply::Placed { replayed: false, .. }));
}

#[test]
fn a_read_waits_for_the_commit_in_flight_that_holds_what_it_saw() {
    let mut world = World::one();
    let put = world.submit(ShardId::of("tea", 2), load("tea", 1)).expect("there is room");
    world.turn();
    let read = world.submit(ShardId::of("tea", 2), Request::GetProduct { sku: "tea".into() }).expect("there is room");
    world.turn();
    assert_eq!(world.commit().open_names(), [""; 0], "a read stores nothing");
    assert_eq!(world.lane().clients.numbers(), [0; 0]);
    world.complete();
    assert_eq!(world.lane().clients.numbers(), [put, read]);
    assert_eq!(world.commit().starts, 1, "the read needs no commit of its own");
}

#[test]
fn a_read_waits_for_its_own_batch_when_that_holds_what_it_saw() {
    let mut world = World::one();
    let first = world.submit(ShardId::of("tea", 2), load("tea", 1)).expect("there is room");
    world.turn();
    let second = world.submit(ShardId::of("mug", 2), load("mug", 1)).expect("there is room");
    let read = world.submit(ShardId::of("mug", 2), Request::GetProduct { sku: "mug".into() }).expect("there is room");
    world.turn();
    assert_eq!(world.lane().clients.numbers(), [0; 0]);
    world.complete();
    assert_eq!(world.lane().clients.numbers(), [first], "the second batch is only under way");
    world.complete();
    assert_eq!(world.lane().clients.numbers(), [first, second, read]);
    assert!(matches!(world.lane().clients.answer(read), Reply::Product(_)), "it saw the batch before it was durable");
}

#[test]
fn a_read_that_saw_both_batches_waits_for_both() {
    let mut world = World::one();
    let order = world.charging();
    world.outcome(order, Outcome::Charged { attempt: 1 });
    world.turn();
    let early = world.read(order);
    world.turn();
    let cancel = Request::CancelOrder { order, reader: orderlane_core::Reader::Admin, version_expected: None };
    let cancel = world.submit(order.shard(), cancel).expect("there is room");
    let late = world.read(order);
    world.turn();
    let before = world.lane().clients.numbers();
    world.complete();
    assert_eq!(world.lane().clients.numbers(), before, "early and late share the open batch, which is under way now");
    world.complete();
    assert_eq!(world.lane().clients.numbers()[before.len()..], [early, cancel, late]);
    assert_eq!(world.status_of(early), Status::Paid);
    assert_eq!(world.status_of(late), Status::Cancelling);
}

#[test]
fn a_read_with_nothing_in_flight_is_answered_without_any_commit() {
    let mut world = World::one();
    let order = world.charging();
    let starts = world.commit().starts;
    let (known, unknown) = (world.read(order), world.look());
    world.turn();
    assert_eq!(world.status_of(known), Status::Reserved);
    assert_eq!(world.refusal_of(unknown), Refusal::NotFound);
    assert_eq!(world.commit().starts, starts);
}

#[test]
fn tells_charges_and_notifications_wait_for_their_commits() {
    let mut world = World::one();
    world.stock("tea", 10);
    let request = world.place(&ask(&customer(0), "k", &[("tea", 1)]));
    world.turn();
    // What each commit holds, and the calls that are out while it is under way.
    let table: [(&str, usize); 6] = [
        ("OrderCreated", 0),
        ("StockReserved", 0),
        ("PaymentRequested", 0),
        ("PaymentCompleted", 1),
        ("StockSold", 1),
        ("OrderCompleted", 1),
    ];
    for (event, calls) in table {
        if event == "PaymentCompleted" {
            assert!(matches!(world.calls()[..], [Call::Charge { attempt: 1, amount: 1_000, .. }]));
            let order = world.order_of(request);
            world.outcome(order, Outcome::Charged { attempt: 1 });
            world.turn();
        }
        let names: Vec<String> = {
            let commit = world.commit();
            assert_eq!(commit.open_names(), [""; 0], "nothing follows from {event} before it is durable");
            commit.in_flight.iter().flatten().map(|appended| crate::world::name(&appended.event)).collect()
        };
        assert!(names.iter().any(|name| name == event), "{event} is under way: {names:?}");
        assert_eq!(world.calls().len(), calls, "while {event} is under way");
        world.complete();
    }
    assert_eq!(world.calls().len(), 2);
    assert_eq!(world.calls()[1], Call::Notify);
}

#[test]
fn tells_to_another_lane_wait_for_their_commit() {
    let mut world = World::with_peer();
    world.place(&ask(&customer(0), "k", &[(&sku(1), 1)]));
    world.turn();
    let peer = world.peer.clone().expect("the test is lane 1");
    peer.borrow_mut().receive(|packet| panic!("{packet:?} came before its commit"));
    world.complete();
    let mut told = 0;
    peer.borrow_mut().receive(|packet| {
        assert!(matches!(packet, Packet::Input(ShardId(1), orderlane_core::Input::Tell { .. })));
        told += 1;
    });
    assert_eq!(told, 1);
}

#[test]
fn one_commit_is_in_flight_and_the_next_batch_grows_meanwhile() {
    let mut world = World::one();
    for (number, name) in ["a", "b", "c", "d"].into_iter().enumerate() {
        world.submit(ShardId::of(name, 2), load(name, 1)).expect("there is room");
        world.turn();
        assert_eq!(world.commit().starts, 1, "the first is still under way");
        assert_eq!(world.commit().open.len(), 2 * number, "two events a product");
    }
    world.complete();
    assert_eq!(world.commit().started_and_finished(), (2, 1), "the next starts when the first completes");
    assert_eq!(world.commit().in_flight.as_ref().map(Vec::len), Some(6), "one commit for all that came meanwhile");
    assert_eq!(world.lane().clients.numbers(), [1]);
    world.complete();
    assert_eq!(world.commit().started_and_finished(), (2, 2));
    assert_eq!(world.lane().clients.numbers(), [1, 2, 3, 4]);
}

/// Traps 23: what was not made durable is not answered for.
#[test]
fn trap_23_a_failed_commit_ends_the_lane_and_releases_none_of_its_effects() {
    let mut world = World::with_peer();
    world.place(&ask(&customer(0), "k", &[(&sku(1), 1)]));
    world.turn();
    world.place(&ask(&customer(0), "l", &[(&sku(1), 1)]));
    world.look();
    world.turn();
    world.lane().fail();
    world.turn();
    let Some(Err(error)) = &world.lane().ended else { panic!("the lane ends with the error") };
    assert_eq!(error.action, "fdatasync");
    assert_eq!(world.lane().clients.numbers(), [0; 0]);
    assert_eq!(world.calls().len(), 0);
    assert_eq!(world.commit().started_and_finished(), (1, 0), "it is not tried again, nor the batch after it");
    assert_eq!(world.lane().metrics.commits.value(), 0);
    let peer = world.peer.clone().expect("the test is lane 1");
    peer.borrow_mut().receive(|packet| panic!("{packet:?} was not durable"));
}

#[test]
fn idle_is_said_when_a_commit_has_finished_and_no_batch_follows() {
    let mut world = World::one();
    world.submit(ShardId::of("tea", 2), load("tea", 1)).expect("there is room");
    world.turn();
    assert_eq!(world.commit().idles, 0, "a commit is under way");
    world.submit(ShardId::of("mug", 2), load("mug", 1)).expect("there is room");
    world.turn();
    world.complete();
    assert_eq!(world.commit().idles, 0, "a batch followed");
    world.complete();
    assert_eq!(world.commit().idles, 1);
}
