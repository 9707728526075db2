//! What is taken, in which order, and what is refused before anything is stored.

use orderlane_core::{Outcome, Refusal, Reply, ShardId, Status};
use orderlane_lane::limits::{BATCH_MAX, INBOX_REQUESTS_MAX, OUTBOX_REQUESTS_MAX};

use crate::world::{World, ask, customer, load, look};

#[test]
fn a_full_inbox_answers_overloaded_before_anything_is_stored() {
    let mut world = World::one();
    for _ in 0..INBOX_REQUESTS_MAX {
        world.submit(ShardId(0), look()).expect("there is room");
    }
    assert_eq!(world.submit(ShardId(0), load("tea", 1)), Err(Refusal::Overloaded));
    assert_eq!(world.submit(ShardId(1), load("tea", 1)), Err(Refusal::Overloaded), "whichever shard of the lane");
    assert_eq!(world.lane().metrics.overloaded.value(), 2);
    world.turn();
    assert_eq!(world.lane().clients.numbers().len(), INBOX_REQUESTS_MAX, "what was accepted is answered");
    assert_eq!(world.commit().starts, 0, "nothing of the refused was stored");
    assert_eq!(world.commit().open_names(), [""; 0]);
    world.submit(ShardId(0), look()).expect("there is room again");
}

#[test]
fn a_full_inbox_of_another_lane_answers_overloaded_through_the_mesh() {
    let mut world = World::two();
    world.lanes[1].fill_batch();
    for _ in 0..INBOX_REQUESTS_MAX {
        world.submit_at(1, ShardId(1), look()).expect("there is room");
    }
    let refused = world.submit(ShardId(1), load("tea", 1)).expect("the way there is free");
    world.turn();
    assert_eq!(world.refusal_of(refused), Refusal::Overloaded);
    assert_eq!(world.lanes[1].metrics.overloaded.value(), 1, "the lane that refuses counts");
    let commit = world.lanes[1].commit.borrow();
    assert_eq!((commit.starts, commit.open.len()), (0, 0));
}

#[test]
fn a_full_way_to_another_lane_answers_overloaded() {
    let mut world = World::with_peer();
    for _ in 0..OUTBOX_REQUESTS_MAX {
        world.submit(ShardId(1), look()).expect("there is room");
    }
    assert_eq!(world.submit(ShardId(1), look()), Err(Refusal::Overloaded));
    world.submit(ShardId(0), look()).expect("the own lane has room");
    world.turn();
    world.submit(ShardId(1), look()).expect("what fits in the ring has gone");
}

#[test]
fn inputs_leave_the_prefetch_in_order_also_those_that_need_nothing() {
    let mut world = World::one();
    let order = world.charging();
    world.lane().prefetch.borrow_mut().missing = Some(order);
    let before = world.lane().clients.numbers().len();
    let (first, reads, third) = (world.look(), world.read(order), world.look());
    world.turn();
    assert_eq!(world.lane().prefetch.borrow().reads, 1);
    let fourth = world.look();
    let put = world.submit(ShardId(0), load("mug", 1)).expect("there is room");
    world.turn();
    assert_eq!(world.lane().clients.numbers().len(), before, "nothing is handled while the read is under way");
    assert_eq!(world.commit().open.len(), 0);
    let inputs = world.lane().metrics.inputs.value();
    world.lane().found();
    world.turn();
    assert_eq!(world.lane().prefetch.borrow().finished, 1);
    assert_eq!(world.lane().metrics.inputs.value(), inputs + 5);
    world.settle();
    assert_eq!(world.lane().clients.numbers()[before..], [first, reads, third, fourth, put]);
    let seen = world.lane().prefetch.borrow().seen.clone();
    assert_eq!(
        seen[seen.len() - 2..],
        [vec![first, reads, third], vec![fourth, put]],
        "what comes during a read is looked at on its own"
    );
}

#[test]
fn the_read_of_the_next_batch_overlaps_the_commit_in_flight() {
    let mut world = World::one();
    let order = world.charging();
    let put = world.submit(ShardId::of("mug", 2), load("mug", 1)).expect("there is room");
    world.turn();
    world.lane().prefetch.borrow_mut().missing = Some(order);
    let read = world.read(order);
    world.turn();
    assert_eq!(world.lane().prefetch.borrow().reads, 1, "started while the commit is in flight");
    world.complete();
    assert!(world.lane().clients.answered(put), "the commit completes while the read is under way");
    assert!(!world.lane().clients.answered(read));
    world.lane().found();
    world.turn();
    assert!(world.lane().clients.answered(read));
}

#[test]
fn inner_inputs_go_before_requests() {
    let mut world = World::one();
    let order = world.charging();
    let read = world.read(order);
    world.outcome(order, Outcome::Charged { attempt: 1 });
    world.settle();
    assert_eq!(world.status_of(read), Status::Paid, "the outcome came later and was handled first");
}

#[test]
fn a_batch_takes_at_most_batch_max_and_the_rest_in_the_next() {
    let mut world = World::one();
    let requests: Vec<u32> = (0..BATCH_MAX + 1).map(|_| world.look()).collect();
    world.turn();
    assert_eq!(world.lane().clients.numbers(), requests);
    let seen = world.lane().prefetch.borrow().seen.iter().map(Vec::len).collect::<Vec<usize>>();
    assert_eq!(seen, [BATCH_MAX, 1]);
    assert_eq!(world.lane().metrics.turns.value(), 2);
}

#[test]
fn beyond_commit_bytes_max_nothing_is_taken_until_the_next_start_and_the_loop_does_not_spin() {
    let mut world = World::one();
    let first = world.submit(ShardId::of("tea", 2), load("tea", 1)).expect("there is room");
    world.turn();
    world.submit(ShardId::of("mug", 2), load("mug", 1)).expect("there is room");
    world.turn();
    world.lane().fill_batch();
    let open = world.commit().open.len();
    let waiting: Vec<u32> = (0..10).map(|_| world.look()).collect();
    let last = world.place(&ask(&customer(0), "k", &[("tea", 1)]));
    assert!(world.turn() <= 2, "one look at what cannot be taken");
    assert_eq!(world.commit().open.len(), open);
    assert_eq!(world.turn(), 0);
    assert!(world.pass(1_000_000) <= 1);
    world.complete();
    assert!(world.lane().clients.answered(first));
    assert_eq!(world.commit().starts, 2, "the full batch");
    assert_eq!(world.commit().open_names(), ["OrderCreated"], "what waited is taken after the start");
    world.settle();
    assert!(waiting.iter().all(|request| world.lane().clients.answered(*request)));
    assert!(matches!(world.lane().clients.answer(last), Reply::Placed { .. }));
}
