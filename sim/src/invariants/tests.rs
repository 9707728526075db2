//! Each invariant finds nothing in what the engine really does, and finds its own promise broken in logs and histories that
//! were changed.

use orderlane_core::{Event, ShardId, Status, Time};
use orderlane_lane::Limits;
use serde_json::Value;

use super::world::{World, body_of, config};
use super::*;
use crate::executor::Moment;
use crate::history::{Answer, Asked, Operation};
use crate::log::Entry;

/// A world in which something has happened that a test changes.
fn world_where(happened: impl Fn(&World) -> bool) -> World {
    (0..200).map(World::lived).find(|world| happened(world)).expect("it happens within 200 seeds")
}

/// A world in which such an event has happened.
fn world_with(is_it: impl Fn(&Event) -> bool) -> World {
    world_where(|world| world.logs.iter().any(|(_, log)| log.iter().any(|entry| is_it(&entry.event))))
}

/// A world in which something was asked and so answered.
fn world_answering(is_it: impl Fn(&Operation) -> bool) -> World {
    world_where(|world| world.history.operations.iter().any(&is_it))
}

/// The first answer to such an operation, to be changed.
fn answer_of(world: &mut World, is_it: impl Fn(&Operation) -> bool) -> &mut Answer {
    let operation = world.history.operations.iter_mut().find(|operation| is_it(operation));
    &mut operation.expect("the world was chosen for it").answer
}

/// Some world.
fn world() -> World {
    World::lived(3)
}

#[test]
fn what_the_engine_does_breaks_nothing() {
    let mut statuses = [0_usize; Status::ALL.len()];
    for seed in 0..150 {
        let world = World::lived(seed);
        if let Err(violation) = world.judge() {
            panic!("seed {seed}: {}: {}", violation.invariant, violation.text);
        }
        for order in world.model.orders.values() {
            statuses[order.view().status as usize] += 1;
        }
        for (shard, log) in world.logs.iter() {
            let folded = log.iter().map(|entry| (entry.time, &entry.event));
            let digest = world.shards[shard.index()].digest();
            recovery_is_fold::check(config(shard), folded, digest).expect("the state is the fold of its log");
        }
    }
    for status in Status::ALL.into_iter().filter(|status| status.is_end()) {
        assert!(statuses[status as usize] > 0, "{status:?} was reached");
    }
}

/// A refund of an earlier attempt is open when the machine starts again: it is asked for again, whatever else is under way.
#[test]
fn every_open_refund_survives_a_restart() {
    for seed in [2879, 5433, 8423] {
        let judged = World::lived(seed).judge();
        assert_eq!(judged.map_err(|violation| violation.text), Ok(()), "seed {seed}");
    }
}

#[test]
fn messages_once_catches_an_effect_that_comes_twice_or_not_at_all_and_a_lost_mark() {
    let is_hold = |event: &Event| matches!(event, Event::StockReserved { .. });
    let is_mark = |event: &Event| matches!(event, Event::TellsTaken { .. });
    for times in [0, 2] {
        let mut changed = world_with(is_hold);
        changed.repeat_first(times, is_hold);
        assert_eq!(changed.broken(), messages_once::NAME);
    }
    let mut changed = world_with(is_mark);
    changed.repeat_first(0, is_mark);
    assert_eq!(changed.broken(), messages_once::NAME);
}

#[test]
fn no_oversell_catches_a_reserve_that_was_not_there() {
    let mut changed = world_with(|event| matches!(event, Event::StockReserved { .. }));
    changed.change_first(|entry| match &mut entry.event {
        Event::StockReserved { lines, .. } => {
            lines[0].quantity += 1;
            true
        }
        _ => false,
    });
    assert_eq!(changed.broken(), no_oversell::NAME);
}

#[test]
fn stock_conserved_catches_units_that_are_lost() {
    let mut model = Model::rebuild(&world().logs, u64::MAX).expect("as it should be");
    let (shard, stock) = model.stocks.iter_mut().enumerate().find(|(_, stock)| !stock.items.is_empty()).expect("stock");
    stock.items[0].history.last_mut().expect("a product").1.available -= 1;
    stock.touched = vec![0];
    let event = Event::StockOpened { sku: "any".into(), units: 1 };
    let seen = Seen { shard: ShardId(shard as u16), sequence: 1, time: Time(1), event: &event };
    assert_eq!(after_event(&model, &seen).expect_err("a unit is lost").invariant, stock_conserved::NAME);
}

#[test]
fn money_agrees_catches_a_wrong_total_and_money_that_is_kept() {
    let mut changed = world_with(|event| matches!(event, Event::InventoryReserved { .. }));
    changed.change_first(|entry| match &mut entry.event {
        Event::InventoryReserved { total, .. } => {
            *total += 1;
            true
        }
        _ => false,
    });
    assert_eq!(changed.broken(), money_agrees::NAME);
    let mut changed = world_where(|world| world.money.values().any(|entry| entry.refunded.is_some()));
    changed.money.values_mut().find(|entry| entry.refunded.is_some()).expect("a refund").refunded = None;
    assert_eq!(changed.broken(), money_agrees::NAME);
}

#[test]
fn saga_ends_catches_a_payment_twice_an_early_end_and_no_end() {
    let is_paid = |event: &Event| matches!(event, Event::PaymentCompleted { .. });
    let is_told = |event: &Event| matches!(event, Event::NotificationSent { .. });
    for (times, is_it) in [(2, &is_paid as &dyn Fn(&Event) -> bool), (2, &is_told), (0, &is_told)] {
        let mut changed = world_with(is_it);
        changed.repeat_first(times, is_it);
        assert_eq!(changed.broken(), saga_ends::NAME);
    }
    // No hold of such a world ends within its first second.
    let early = Time(World::START.0 + 1_000_000);
    let is_early = |entry: &Entry| entry.time < early && is_paid(&entry.event);
    let mut changed = world_where(|world| world.logs.iter().any(|(_, log)| log.iter().any(is_early)));
    changed.change_first(|entry| match entry.event {
        Event::PaymentCompleted { order, .. } if is_early(entry) => {
            entry.event = Event::HoldExpired { order };
            true
        }
        _ => false,
    });
    assert_eq!(changed.broken(), saga_ends::NAME, "a hold that ends before its deadline");
}

#[test]
fn acknowledged_once_catches_a_lost_order_and_a_lost_or_changed_event() {
    let mut changed = world();
    let operation = changed.history.operations.iter_mut().find(|operation| {
        matches!((&operation.asked, &operation.answer), (Asked::Place(_), Answer::Http { status: 202, .. }))
    });
    let body = body_of(&mut operation.expect("an order was placed").answer).expect("an answer");
    body["id"] = Value::from("o_0000000000ZZZ");
    assert_eq!(changed.broken(), acknowledged_once::NAME);

    let world = world();
    let (shard, log) = world.logs.iter().find(|(_, log)| log.len() > 2).expect("a log");
    let mut found: Vec<(Time, Event)> = log.iter().map(|entry| (entry.time, entry.event.clone())).collect();
    assert_eq!(after_recovery(shard, 1, &found, &world.logs).expect("as it was"), log.len() as u64);
    found[1].0.0 += 1;
    assert_eq!(after_recovery(shard, 1, &found, &world.logs).expect_err("changed").invariant, acknowledged_once::NAME);
    assert!(after_recovery(shard, 1, &found[..1], &world.logs).is_err(), "the rest was durable");
}

#[test]
fn no_order_without_request_catches_an_order_that_nobody_asked_for() {
    let mut world = world();
    let is_placing = |asked: &Asked| matches!(asked, Asked::Place(placing) if placing.customer == "c-1");
    world.history.operations.retain(|operation| !is_placing(&operation.asked));
    assert_eq!(world.broken(), no_order_without_request::NAME);
}

#[test]
fn one_key_one_answer_catches_another_answer_and_a_second_first_one() {
    let is_replay = |operation: &Operation| {
        matches!(
            (&operation.asked, &operation.answer),
            (Asked::Place(_), Answer::Http { status: 202, replayed: true, .. })
        )
    };
    let mut changed = world_answering(is_replay);
    body_of(answer_of(&mut changed, is_replay)).expect("an answer")["version"] = Value::from(2);
    assert_eq!(changed.broken(), one_key_one_answer::NAME);

    let asked_twice = |world: &World| {
        let firsts = placements(&world.history).filter(|placement| placement.replayed == Some(false));
        let firsts: Vec<_> = firsts.filter_map(|placement| placement.order()).collect();
        let mut again = placements(&world.history).filter(|placement| is_replay(placement.operation));
        again.any(|placement| placement.order().is_some_and(|order| firsts.contains(&order)))
    };
    let mut changed = world_where(asked_twice);
    for operation in &mut changed.history.operations {
        if let (Asked::Place(_), Answer::Http { replayed, .. }) = (&operation.asked, &mut operation.answer) {
            *replayed = false;
        }
    }
    assert_eq!(changed.broken(), one_key_one_answer::NAME);
}

#[test]
fn real_time_order_catches_an_answer_that_overtakes_the_disk_and_a_message_that_does() {
    let is_first = |operation: &Operation| {
        matches!(
            (&operation.asked, &operation.answer),
            (Asked::Place(_), Answer::Http { status: 202, replayed: false, .. })
        )
    };
    let mut changed = world_answering(is_first);
    changed.history.operations.iter_mut().find(|operation| is_first(operation)).expect("one is").returned =
        Some(Moment(1));
    assert_eq!(changed.broken(), real_time_order::NAME);

    let mut changed = world_with(|event| matches!(event, Event::StockReserved { .. }));
    changed.history.operations.clear();
    changed.change_logs(|_, mut entry| {
        entry.durable = entry.durable.map(|_| Moment(u64::MAX - 1));
        vec![entry]
    });
    let model = Model::rebuild(&changed.logs, u64::MAX).expect("the order of the turns is the same");
    let (logs, history) = (&changed.logs, &changed.history);
    let end = End { model: &model, logs, history, money: &[], caller: &super::world::caller, is_healed: true };
    assert!(real_time_order::at_end(&end).is_err());
}

#[test]
fn answers_agree_catches_wrong_units_a_wrong_order_and_a_read_that_is_ahead_of_the_disk() {
    let is_stock = |operation: &Operation| {
        matches!((&operation.asked, &operation.answer), (Asked::Inventory(_), Answer::Http { status: 200, .. }))
    };
    for (name, change) in [("reserved", 1_i64), ("version", -1)] {
        let mut changed = world_answering(is_stock);
        let body = body_of(answer_of(&mut changed, is_stock)).expect("an answer");
        body[name] = Value::from(body[name].as_i64().expect("a number") + change);
        assert_eq!(changed.broken(), answers_agree::NAME);
    }
    let is_page = |operation: &Operation| match (&operation.asked, &operation.answer) {
        (Asked::List(_), Answer::Http { body, .. }) => body["items"].as_array().is_some_and(|items| items.len() > 1),
        _ => false,
    };
    let mut changed = world_answering(is_page);
    let body = body_of(answer_of(&mut changed, is_page)).expect("an answer");
    body["items"].as_array_mut().expect("a page").reverse();
    assert_eq!(changed.broken(), answers_agree::NAME);
    let is_order = |operation: &Operation| {
        matches!((&operation.asked, &operation.answer), (Asked::Get(_), Answer::Http { status: 200, .. }))
    };
    let mut changed = world_answering(is_order);
    let read = changed.history.operations.iter_mut().find(|operation| is_order(operation)).expect("an order was read");
    (read.invoked, read.returned) = (Moment(1), Some(Moment(2)));
    assert_eq!(changed.broken(), answers_agree::NAME, "it was not there yet");
}

#[test]
fn recovery_is_fold_catches_another_state() {
    let world = world();
    let (shard, log) = world.logs.iter().find(|(_, log)| !log.is_empty()).expect("a log");
    let folded = log.iter().map(|entry| (entry.time, &entry.event));
    let digest = world.shards[shard.index()].digest() ^ 1;
    let violation = recovery_is_fold::check(config(shard), folded, digest).expect_err("another digest");
    assert_eq!(violation.invariant, recovery_is_fold::NAME);
}

#[test]
fn bounds_catches_a_queue_that_is_too_long() {
    let limits = Limits { inbox_requests_max: 2, batch_max: 3, ..Limits::default() };
    assert!(bounds::check(bounds::Load { inbox_requests: 2, turn_inputs: 3 }, &limits).is_ok());
    assert!(bounds::check(bounds::Load { inbox_requests: 3, turn_inputs: 0 }, &limits).is_err());
    assert!(bounds::check(bounds::Load { inbox_requests: 0, turn_inputs: 4 }, &limits).is_err());
}
