//! Table tests of whole sagas: one line a case.

use crate::world::{self, Ask, SHARDS, World, ask};
use orderlane_core::saga::{Stage, Trigger};
use orderlane_core::{Call, Input, Message, OrderId, Outcome, Reason, Refusal, Reply, ShardId, Status};

/// Two SKUs on different shards, and their stock.
fn two_shards() -> (World, &'static str, &'static str) {
    let world = World::with(&[("sku-1", 10), ("sku-2", 10), ("sku-3", 10), ("sku-4", 10)]);
    let other =
        ["sku-2", "sku-3", "sku-4"].into_iter().find(|sku| ShardId::of(sku, SHARDS) != ShardId::of("sku-1", SHARDS));
    (world, "sku-1", other.expect("four SKUs spread over more than one shard"))
}

#[test]
fn every_way_out_of_a_saga() {
    let (_, a, b) = two_shards();
    let pairs = [(a, 2), (b, 1)];
    let base = ask("c-1", "k", &pairs);
    let many = [(a, 2), (b, 11)];
    let unknown = [(a, 1), ("nowhere", 1)];
    let same = [(a, 6), (a, 5)];
    let fits = [(a, 6), (a, 4)];
    /// Name, order, status, reason, total, units of the first SKU.
    type Case<'a> = (&'a str, Ask<'a>, Status, Option<Reason>, Option<u64>, (u64, u64, u64));
    #[rustfmt::skip]
    let cases: &[Case<'_>] = &[
        ("completes", base.clone(), Status::Completed, None, Some(3_000), (8, 0, 2)),
        ("declined", Ask { token: "tok_decline", ..base.clone() }, Status::PaymentFailed, Some(Reason::Declined), Some(3_000), (10, 0, 0)),
        ("unknown, then found charged", Ask { token: "tok_timeout", ..base.clone() }, Status::Completed, None, Some(3_000), (8, 0, 2)),
        ("lost three times", Ask { token: "tok_lost", ..base.clone() }, Status::PaymentFailed, Some(Reason::PaymentUnavailable), Some(3_000), (10, 0, 0)),
        ("all lines or none", Ask { lines: &many, ..base.clone() }, Status::Rejected, Some(Reason::InsufficientStock), Some(13_000), (10, 0, 0)),
        ("unknown SKU", Ask { lines: &unknown, ..base.clone() }, Status::Rejected, Some(Reason::UnknownSku), None, (10, 0, 0)),
        ("trap 10: the same SKU on two lines is a sum", Ask { lines: &same, ..base.clone() }, Status::Rejected, Some(Reason::InsufficientStock), Some(11_000), (10, 0, 0)),
        ("the same SKU on two lines that fit", Ask { lines: &fits, ..base.clone() }, Status::Completed, None, Some(10_000), (0, 0, 10)),
        ("price changed", Ask { total_expected: Some(2_999), ..base.clone() }, Status::Rejected, Some(Reason::PriceChanged), Some(3_000), (10, 0, 0)),
        ("price as expected", Ask { total_expected: Some(3_000), ..base.clone() }, Status::Completed, None, Some(3_000), (8, 0, 2)),
        ("other currency", Ask { currency: Some("USD"), ..base.clone() }, Status::Rejected, Some(Reason::CurrencyMismatch), None, (10, 0, 0)),
        ("the catalogue's currency", Ask { currency: Some("EUR"), ..base.clone() }, Status::Completed, None, Some(3_000), (8, 0, 2)),
    ];
    for (name, order, status, reason, total, units) in cases {
        let mut world = two_shards().0;
        let id = world.placed(order);
        world.finish();
        let view = world.view(id);
        assert_eq!((view.status, view.reason, view.total), (*status, *reason, *total), "{name}");
        assert_eq!(world.units(a), *units, "{name}");
        assert_eq!(view.prices.len(), if total.is_some() { order.lines.len() } else { 0 }, "{name}");
        world.check_at_rest();
        world.crash();
        world.finish();
        world.check_at_rest();
    }
}

#[test]
fn trap_01_02_a_key_gives_one_order_and_one_answer() {
    let mut world = World::with(&[("sku-1", 10)]);
    let order = ask("c-1", "k-1", &[("sku-1", 1)]);
    let first = world.place(&order);
    world.settle();
    world.crash();
    let again = world.place(&order);
    world.settle();
    assert_eq!(world.order_of(first), world.order_of(again));
    assert!(matches!(world.first_reply(again), Reply::Placed { replayed: true, .. }));
    assert_eq!(world.units("sku-1"), (9, 0, 1));
}

#[test]
fn trap_03_another_order_under_the_same_key_is_refused() {
    let mut world = World::with(&[("sku-1", 10)]);
    world.placed(&ask("c-1", "k-1", &[("sku-1", 1)]));
    let other = world.place(&ask("c-1", "k-1", &[("sku-1", 2)]));
    world.settle();
    assert_eq!(world.refusal(other), Some(Refusal::KeyReused));
}

#[test]
fn trap_04_a_final_refusal_stays_final_when_stock_arrives() {
    let mut world = World::with(&[("sku-1", 0)]);
    let order = ask("c-1", "k-1", &[("sku-1", 1)]);
    let id = world.placed(&order);
    assert_eq!(world.status(id), Status::Rejected);
    world.adjust("sku-1", "a-1", 5);
    world.settle();
    let again = world.placed(&order);
    assert_eq!((again, world.status(again)), (id, Status::Rejected));
    assert_eq!(world.units("sku-1"), (5, 0, 0));
}

#[test]
fn trap_08_a_key_belongs_to_its_caller() {
    let mut world = World::with(&[("sku-1", 10)]);
    let order = ask("c-1", "k-1", &[("sku-1", 1)]);
    let alices = world.place_as("alice", &order, false);
    let bobs = world.place_as("bob", &order, false);
    world.settle();
    assert_ne!(world.order_of(alices), world.order_of(bobs));
}

#[test]
fn trap_09_the_last_unit_is_sold_once() {
    let mut world = World::with(&[("sku-1", 1)]);
    let requests: Vec<u32> =
        (0..200).map(|buyer| world.place(&ask(&format!("c-{buyer}"), "k", &[("sku-1", 1)]))).collect();
    world.finish();
    let orders: Vec<OrderId> = requests.iter().map(|request| world.order_of(*request)).collect();
    let sold = orders.iter().filter(|order| world.status(**order) == Status::Completed).count();
    assert_eq!(sold, 1);
    assert_eq!(world.units("sku-1"), (0, 0, 1));
    world.check_at_rest();
}

#[test]
fn trap_10_the_last_pair_is_not_lost_to_two_orders_forever() {
    let (mut world, a, b) = two_shards();
    world.adjust(a, "less-a", -9);
    world.adjust(b, "less-b", -9);
    world.settle();
    let (forth, back) = ([(a, 1), (b, 1)], [(b, 1), (a, 1)]);
    let first = world.place(&ask("c-1", "k", &forth));
    let second = world.place(&ask("c-2", "k", &back));
    world.finish();
    world.check_at_rest();
    for request in [first, second] {
        let order = world.order_of(request);
        assert!(world.status(order).is_end());
    }
}

#[test]
fn trap_11_a_release_that_overtakes_its_reserve_leaves_a_tombstone() {
    let mut world = World::with(&[("sku-1", 10)]);
    let stock = ShardId::of("sku-1", SHARDS);
    let home = ShardId((stock.0 + 1) % SHARDS);
    let customer =
        (0..).map(|n| format!("c-{n}")).find(|c| ShardId::of(c, SHARDS) == home).expect("some customer lives there");
    let order = OrderId::new(home, 0);
    let deadline = world.now.after_micros(1_000);
    let lines = [("sku-1", 1)];
    let body = ask(&customer, "k", &lines).body("alice");
    let source = ShardId((stock.0 + 2) % SHARDS);
    world.turn(stock, Input::Tell { source, sequence: 1, message: Message::Release { order, deadline } });
    world.turn(stock, Input::Tell { source, sequence: 2, message: Message::Reserve { order, body, deadline } });
    assert_eq!(world.units("sku-1"), (10, 0, 0));
}

#[test]
fn trap_11_a_message_that_comes_twice_has_one_effect() {
    let mut world = World::with(&[("sku-1", 10)]);
    let stock = ShardId::of("sku-1", SHARDS);
    let source = ShardId((stock.0 + 1) % SHARDS);
    let order = OrderId::new(source, 0);
    let lines = [("sku-1", 3)];
    let body = ask("c-1", "k", &lines).body("alice");
    let deadline = world.now.after_micros(1_000);
    for _ in 0..2 {
        let message = Message::Reserve { order, body: body.clone(), deadline };
        world.turn(stock, Input::Tell { source, sequence: 1, message });
    }
    assert_eq!(world.units("sku-1"), (7, 3, 0));
}

#[test]
fn cancel_at_every_moment_gives_everything_back_or_comes_too_late() {
    for token in ["tok_ok", "tok_decline", "tok_timeout", "tok_lost"] {
        for steps in 0..60 {
            for crash in [false, true] {
                let (mut world, a, b) = two_shards();
                let lines = [(a, 2), (b, 1)];
                let request = world.place(&Ask { token, ..ask("c-1", "k", &lines) });
                world.deliver((SHARDS, ShardId::of("c-1", SHARDS).0));
                let id = world.order_of(request);
                for _ in 0..steps {
                    if let Some(pair) = world.pairs_waiting().first().copied() {
                        world.deliver(pair);
                    } else {
                        world.pass(100_000);
                    }
                }
                let cancel = world.cancel(id);
                world.deliver((SHARDS, id.shard().0));
                if crash {
                    world.crash();
                }
                world.finish();
                world.check_at_rest();
                let cancelled = matches!(world.replies.get(&cancel).and_then(|r| r.first()), Some(Reply::Order(view)) if view.status == Status::Cancelling);
                if cancelled {
                    assert_eq!(world.status(id), Status::Cancelled, "{token} after {steps} steps");
                    assert_eq!(world.units(a), (10, 0, 0), "{token} after {steps} steps");
                }
            }
        }
    }
}

#[test]
fn trap_12_expiry_and_payment_the_single_writer_decides() {
    let mut world = World::with(&[("sku-1", 10)]);
    world.manual = true;
    let id = world.placed(&ask("c-1", "k", &[("sku-1", 2)]));
    assert_eq!(world.status(id), Status::Reserved);
    world.pass(world::HOLD_TTL);
    world.settle();
    assert_eq!(world.status(id), Status::Cancelling, "a charge under way is never guessed");
    world.outcome(id, Outcome::Declined { attempt: 1 });
    world.settle();
    let view = world.view(id);
    assert_eq!((view.status, view.reason), (Status::Expired, Some(Reason::HoldExpired)));
    assert_eq!(world.units("sku-1"), (10, 0, 0));
}

#[test]
fn trap_19_no_second_attempt_while_the_first_is_unknown() {
    let mut world = World::with(&[("sku-1", 10)]);
    world.manual = true;
    let id = world.placed(&ask("c-1", "k", &[("sku-1", 1)]));
    for _ in 0..6 {
        world.outcome(id, Outcome::PaymentUnknown { attempt: 1 });
        world.settle();
        world.pass(5_000_000);
    }
    let charges = world.calls.iter().filter(|call| matches!(call.call, Call::Charge { .. })).count();
    let looks = world.calls.iter().filter(|call| matches!(call.call, Call::Reconcile { attempt: 1 })).count();
    assert_eq!((charges, looks), (1, 6));
}

#[test]
fn trap_19_money_that_arrives_late_goes_back() {
    for (name, end) in [("cancel", Status::Cancelled), ("expiry", Status::Expired)] {
        let mut world = World::with(&[("sku-1", 10)]);
        world.manual = true;
        let id = world.placed(&ask("c-1", "k", &[("sku-1", 1)]));
        if end == Status::Cancelled {
            world.cancel(id);
        } else {
            world.pass(world::HOLD_TTL);
        }
        world.settle();
        world.outcome(id, Outcome::Charged { attempt: 1 });
        world.settle();
        assert_eq!(world.status(id), Status::Refunding, "{name}");
        world.outcome(id, Outcome::RefundUnknown { attempt: 1 });
        world.settle();
        world.pass(1_000_000);
        let refunds = world.calls.iter().filter(|call| matches!(call.call, Call::Refund { attempt: 1, .. })).count();
        assert_eq!(refunds, 2, "{name}: asked again under the same key");
        world.outcome(id, Outcome::Refunded { attempt: 1 });
        world.settle();
        assert_eq!(world.status(id), end, "{name}");
    }
}

#[test]
fn what_came_and_what_came_too_late_is_noted_and_no_part_of_the_state() {
    let mut world = World::with(&[("sku-1", 10)]);
    let id = world.placed(&ask("c-1", "k", &[("sku-1", 1)]));
    let has = |world: &World, stage: Stage, trigger: Trigger| {
        world.shards[id.shard().index()].saga_reached()[stage as usize] & 1 << trigger as u32 != 0
    };
    assert!(has(&world, Stage::Charging, Trigger::PaymentCompleted));
    assert!(!has(&world, Stage::Completed, Trigger::CancelRequested));
    let digest = world.shards[id.shard().index()].digest();
    world.cancel(id);
    world.settle();
    assert!(has(&world, Stage::Completed, Trigger::CancelRequested));
    assert_eq!(world.shards[id.shard().index()].digest(), digest);
    world.crash();
    assert!(has(&world, Stage::Charging, Trigger::PaymentCompleted), "a replay applies it again");
    assert!(!has(&world, Stage::Completed, Trigger::CancelRequested), "what did not happen is not replayed");
}

/// Every open refund is asked for again, also while an attempt is under way or another refund is open: once a hold has ended
/// nothing else would, and the saga would never end (found by the simulator's provider: late money, then a refund unanswered).
#[test]
fn trap_19_an_open_refund_is_asked_for_again_whatever_else_is_under_way() {
    let refunds = |world: &World| -> Vec<u8> {
        let attempts = world.calls.iter().filter_map(|call| match call.call {
            Call::Refund { attempt, .. } => Some(attempt),
            Call::Charge { .. } | Call::Reconcile { .. } | Call::Notify => None,
        });
        attempts.collect()
    };
    let mut world = World::with(&[("sku-1", 10)]);
    world.manual = true;
    let id = world.placed(&ask("c-1", "k", &[("sku-1", 1)]));
    for attempt in [1, 2] {
        world.outcome(id, Outcome::NotCharged { attempt });
        world.outcome(id, Outcome::Charged { attempt });
    }
    world.settle();
    assert_eq!((world.status(id), refunds(&world)), (Status::Reserved, vec![1, 2]));
    world.calls.clear();
    for attempt in [2, 1] {
        world.outcome(id, Outcome::RefundUnknown { attempt });
        world.settle();
        world.pass(5_000_000);
        assert_eq!(refunds(&world), [attempt]);
        world.calls.clear();
    }
    world.crash();
    assert_eq!(refunds(&world), [1, 2]);
    assert!(world.calls.iter().any(|call| matches!(call.call, Call::Charge { attempt: 3, .. })));
    for outcome in [1, 2].map(|attempt| Outcome::Refunded { attempt }) {
        world.outcome(id, outcome);
    }
    world.outcome(id, Outcome::Charged { attempt: 3 });
    world.settle();
    assert_eq!(world.status(id), Status::Completed);
}

/// A look-up that overtakes its charge finds nothing, and there would be two attempts under way.
#[test]
fn trap_19_a_timer_of_the_last_attempt_looks_up_no_charge_under_way() {
    let mut world = World::with(&[("sku-1", 10)]);
    world.manual = true;
    let id = world.placed(&ask("c-1", "k", &[("sku-1", 1)]));
    world.outcome(id, Outcome::PaymentUnknown { attempt: 1 });
    world.settle();
    world.outcome(id, Outcome::NotCharged { attempt: 1 });
    world.settle();
    world.pass(5_000_000);
    let calls: Vec<Call> = world.calls.iter().map(|call| call.call).collect();
    assert!(matches!(calls[..], [Call::Charge { attempt: 1, .. }, Call::Charge { attempt: 2, .. }]), "{calls:?}");
    world.outcome(id, Outcome::PaymentUnknown { attempt: 2 });
    world.settle();
    world.pass(5_000_000);
    assert!(matches!(world.calls.last().map(|call| call.call), Some(Call::Reconcile { attempt: 2 })));
}

#[test]
fn trap_19_money_of_an_attempt_that_was_believed_lost_goes_back() {
    for surplus_at in ["while the next is under way", "after it completed", "after it failed"] {
        let mut world = World::with(&[("sku-1", 10)]);
        world.manual = true;
        let id = world.placed(&ask("c-1", "k", &[("sku-1", 1)]));
        let last = if surplus_at == "after it failed" { 3 } else { 1 };
        for attempt in 1..=last {
            world.outcome(id, Outcome::NotCharged { attempt });
            world.settle();
        }
        if surplus_at == "after it completed" {
            world.outcome(id, Outcome::Charged { attempt: 2 });
            world.settle();
        }
        world.outcome(id, Outcome::Charged { attempt: 1 });
        world.settle();
        world.outcome(id, Outcome::Refunded { attempt: 1 });
        world.settle();
        if surplus_at == "while the next is under way" {
            assert_eq!(world.status(id), Status::Reserved);
            world.outcome(id, Outcome::Charged { attempt: 2 });
            world.settle();
        }
        let (status, sold) = if last == 3 { (Status::PaymentFailed, 0) } else { (Status::Completed, 1) };
        assert_eq!(world.status(id), status, "{surplus_at}");
        assert_eq!(world.units("sku-1"), (10 - sold, 0, sold), "{surplus_at}");
        let audits: u64 =
            world.shards.iter().flat_map(|shard| shard.audit().checks).map(|check| check.violations).sum();
        assert_eq!(audits, 0, "{surplus_at}");
    }
}

#[test]
fn trap_22_a_mail_that_fails_is_sent_again() {
    let mut world = World::with(&[("sku-1", 10)]);
    let id = world.placed(&ask("c-1", "k", &[("sku-1", 1)]));
    assert_eq!(world.mails.get(&id), Some(&1));
    let mut world = World::with(&[("sku-1", 10)]);
    world.manual = true;
    let id = world.placed(&ask("c-1", "k", &[("sku-1", 1)]));
    world.outcome(id, Outcome::Charged { attempt: 1 });
    world.settle();
    for _ in 0..3 {
        world.outcome(id, Outcome::NotNotified);
        world.settle();
        world.pass(5_000_000);
    }
    let mails = world.calls.iter().filter(|call| call.call == Call::Notify).count();
    assert_eq!((mails, world.status(id)), (4, Status::Completed));
}

#[test]
fn trap_12_deadlines_are_recomputed_at_a_start_and_do_not_all_fire_at_once() {
    let mut world = World::with(&[("sku-1", 10_000)]);
    world.manual = true;
    let customer = "c-1";
    for order in 0..1_000 {
        world.place(&ask(customer, &format!("k-{order}"), &[("sku-1", 1)]));
    }
    world.settle();
    world.crash();
    world.settle();
    world.now = world.now.after_micros(2 * world::HOLD_TTL);
    let home = ShardId::of(customer, SHARDS);
    let mut out = orderlane_core::Output::default();
    world.shards[home.index()].handle_timeout(world.now, &mut out);
    assert_eq!(out.events.len(), orderlane_core::limits::DEADLINES_PER_TURN_MAX);
}

#[test]
fn an_adjustment_is_made_once_and_a_refused_one_stays_refused() {
    let mut world = World::with(&[("sku-1", 10)]);
    let steps: &[(&str, &str, i64, Option<Refusal>, u64)] = &[
        ("takes away", "a", -4, None, 6),
        ("the same again", "a", -4, None, 6),
        ("too much", "b", -7, Some(Refusal::InsufficientStock { replayed: false }), 6),
        ("more stock", "c", 10, None, 16),
        ("too much stays refused", "b", -7, Some(Refusal::InsufficientStock { replayed: true }), 16),
        ("another adjustment under the key", "a", -5, Some(Refusal::KeyReused), 16),
        ("past the bound", "d", 1_000_000_000_000, Some(Refusal::StockTooLarge), 16),
    ];
    for (name, key, delta, refusal, available) in steps {
        let request = world.adjust("sku-1", key, *delta);
        world.settle();
        assert_eq!(world.refusal(request), *refusal, "{name}");
        assert_eq!(world.units("sku-1").0, *available, "{name}");
    }
    let unknown = world.adjust("nowhere", "a", 1);
    world.settle();
    assert_eq!(world.refusal(unknown), Some(Refusal::NotFound));
}

#[test]
fn who_waits_hears_of_the_end_once_and_a_replay_hears_it_too() {
    let mut world = World::with(&[("sku-1", 10)]);
    let order = ask("c-1", "k", &[("sku-1", 1)]);
    let first = world.place_as("alice", &order, true);
    world.finish();
    let again = world.place_as("alice", &order, true);
    world.finish();
    for (request, replayed_expected) in [(first, false), (again, true)] {
        let replies = &world.replies[&request];
        assert_eq!(replies.len(), 2);
        assert!(
            matches!(&replies[1], Reply::Ended { order, replayed } if order.status == Status::Completed && *replayed == replayed_expected)
        );
    }
}

#[test]
fn the_end_of_a_hold_comes_too_late_when_a_stock_shard_whose_clock_is_ahead_saw_it_first() {
    for stage in [Stage::Expiring, Stage::Expired] {
        let (mut world, a, b) = two_shards();
        let home = ShardId::of("c-1", SHARDS);
        let start = world.now;
        let request = world.place(&ask("c-1", "k", &[(a, 1), (b, 1)]));
        world.deliver((SHARDS, home.0));
        let id = world.order_of(request);
        world.crash();
        // The first stock shard holds its lines in time, the other one is asked too late by its own clock.
        world.deliver((home.0, ShardId::of(a, SHARDS).0));
        world.now = start.after_micros(world::HOLD_TTL);
        world.deliver((home.0, ShardId::of(b, SHARDS).0));
        world.now = start;
        if stage == Stage::Expired {
            world.settle();
        } else {
            let homeward = |world: &World| world.pairs_waiting().into_iter().find(|(_, target)| *target == home.0);
            let has_expired = |world: &World| {
                world.shards[home.index()].saga_reached()[Stage::Reserving as usize] & 1 << Trigger::HoldExpired as u32
                    != 0
            };
            while !has_expired(&world)
                && let Some(pair) = homeward(&world)
            {
                world.deliver(pair);
            }
        }
        world.pass(world::HOLD_TTL);
        let reached = world.shards[home.index()].saga_reached()[stage as usize];
        assert!(reached & 1 << Trigger::HoldExpired as u32 != 0, "{stage:?} {:?}", world.status(id));
        world.finish();
        assert_eq!(world.status(id), Status::Expired);
    }
}
