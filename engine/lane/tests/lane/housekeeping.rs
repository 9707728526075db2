//! What the prefetch is told, what it says, and what it holds up.

use orderlane_core::{Cold, ColdPage, OrderId, OrderRecord, Refusal, ShardId, Status, Time};
use orderlane_lane::Commits;

use crate::world::{World, ask, customer, load};

fn commits(decided: u64, durable: u64, in_flight: bool) -> Commits {
    Commits { decided, durable, bytes: 8 * durable, in_flight }
}

#[test]
fn the_housekeeping_is_told_which_commit_makes_the_present_state_durable() {
    let mut world = World::one();
    world.turn();
    world.submit(ShardId::of("tea", 2), load("tea", 1)).expect("there is room");
    world.turn();
    world.submit(ShardId::of("mug", 2), load("mug", 1)).expect("there is room");
    world.turn();
    world.complete();
    world.complete();
    world.look();
    world.turn();
    let expected = [
        commits(0, 0, false),
        commits(1, 0, false),
        commits(1, 0, true),
        commits(2, 0, true),
        commits(2, 1, false),
        commits(2, 1, true),
        commits(2, 2, false),
    ];
    assert_eq!(world.lane().prefetch.borrow().commits, expected, "a read changes nothing");
}

#[test]
fn what_is_covered_reaches_the_commit_at_once() {
    let mut world = World::one();
    world.turn();
    world.lane().prefetch.borrow_mut().covers = vec![(ShardId(0), 7), (ShardId(1), 9)];
    world.look();
    world.turn();
    assert_eq!(world.commit().covered, [(ShardId(0), 7), (ShardId(1), 9)]);
    world.look();
    world.turn();
    assert_eq!(world.commit().covered.len(), 2, "said once");
}

#[test]
fn the_loop_does_not_sleep_while_the_housekeeping_has_more_to_do() {
    let mut world = World::one();
    world.turn();
    world.lane().prefetch.borrow_mut().more = 100;
    world.look();
    assert!(world.turn() > 1, "the sockets get their turn in between");
    assert_eq!(world.lane().prefetch.borrow().more, 0);
}

#[test]
fn while_commits_are_held_nothing_is_started_nor_released_and_then_all_of_it_goes() {
    let mut world = World::one();
    let first = world.submit(ShardId::of("tea", 2), load("tea", 1)).expect("there is room");
    world.turn();
    world.lane().prefetch.borrow_mut().holds = true;
    let second = world.submit(ShardId::of("mug", 2), load("mug", 1)).expect("there is room");
    let read = world.look();
    world.complete();
    assert_eq!(world.commit().started_and_finished(), (1, 1), "the one in flight ends");
    assert_eq!(world.lane().clients.numbers(), [first], "what it held goes");
    world.look();
    world.pass(1_000_000);
    assert_eq!(world.commit().started_and_finished(), (1, 1));
    assert_eq!(world.lane().clients.numbers(), [first], "reads saw what is not durable: they wait, too");
    let told = *world.lane().prefetch.borrow().commits.last().expect("it was told");
    assert_eq!(told, commits(2, 1, false), "by this it knows that none is in flight");
    world.lane().prefetch.borrow_mut().holds = false;
    let late = world.look();
    world.settle();
    assert_eq!(world.commit().started_and_finished(), (2, 2));
    let answered = world.lane().clients.numbers();
    assert_eq!((answered[1], answered[2], answered[4]), (second, read, late), "{answered:?}");
}

#[test]
fn each_input_gets_what_was_found_for_it_and_no_other() {
    let mut world = World::one();
    let (first, second) = (OrderId::new(ShardId(0), 70), OrderId::new(ShardId(1), 71));
    [first, second].into_iter().for_each(|order| world.ledger.ended_before(order));
    let body = ask(&customer(0), "key", &[("tea", 1)]).body();
    let cold = |order, status| Cold::Order { order, record: OrderRecord::for_tests(status, Time(5), Time(9), &body) };
    world.turn();
    world.lane().prefetch.borrow_mut().missing = Some(first);
    let look = world.look();
    let reads = [first, second, first, second].map(|order| world.read(order));
    world.turn();
    // Nothing for the first input nor for the fourth; the last one is of an order that another input asked for.
    world.lane().prefetch.borrow_mut().finds = vec![
        (1, cold(first, Status::Completed)),
        (2, cold(second, Status::Cancelled)),
        (4, cold(first, Status::Rejected)),
    ];
    world.lane().found();
    let late = world.read(first);
    world.turn();
    assert_eq!(world.refusal_of(look), Refusal::NotFound);
    assert_eq!((world.status_of(reads[0]), world.status_of(reads[1])), (Status::Completed, Status::Cancelled));
    assert_eq!(world.refusal_of(reads[2]), Refusal::NotFound);
    assert_eq!(world.refusal_of(reads[3]), Refusal::NotFound, "what was found is not the order that it asks for");
    assert_eq!(world.refusal_of(late), Refusal::NotFound, "the next batch has its own");
}

#[test]
#[should_panic(expected = "what was found was found for a staged input")]
fn what_was_found_for_no_input_of_the_batch_stops_the_lane() {
    let mut world = World::one();
    let order = world.charging();
    world.lane().prefetch.borrow_mut().missing = Some(order);
    world.read(order);
    world.turn();
    world.lane().prefetch.borrow_mut().finds = vec![(1, Cold::Page(ColdPage::default()))];
    world.look();
    world.lane().found();
    world.turn();
}
