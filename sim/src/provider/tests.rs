//! The provider against a real shard.

use orderlane_core::saga::{Stage, Trigger};
use orderlane_core::{Call, Currency, OrderId, Outcome, Outside as Request, Status, Time};
use orderlane_lane::Outside;

use super::Money;
use super::bench::{Bench, HOME, body};
use crate::coverage::Coverage;
use crate::faults::Fault;
use crate::random::Random;

const KINDS: [Fault; 11] = [
    Fault::ChargeDeclined,
    Fault::ChargeLost,
    Fault::ChargeUnanswered,
    Fault::AnswerLate,
    Fault::AnswerTwice,
    Fault::AnswerAfterEnd,
    Fault::LookUpUnanswered,
    Fault::LateMoney,
    Fault::RefundUnanswered,
    Fault::Outage,
    Fault::MailLost,
];

#[test]
fn each_kind_alone_is_injected_and_met_and_everything_ends_well() {
    for kind in KINDS {
        let (mut injected, mut observed) = (0, 0);
        for seed in 0..8 {
            let mut bench = Bench::new(seed, &[kind]);
            bench.play(150, true);
            let others = KINDS.iter().filter(|other| **other != kind).map(|other| bench.counts(*other));
            assert!(others.into_iter().all(|counts| counts == (0, 0)));
            (injected, observed) = bench.counts(kind);
            if observed > 0 {
                break;
            }
        }
        assert!(injected > 0 && observed > 0, "{kind:?}: injected {injected}, observed {observed}");
    }
}

#[test]
fn without_faults_a_token_says_what_happens() {
    let mut bench = Bench::new(3, &[]);
    let tokens = ["tok_ok", "tok_decline", "tok_timeout", "tok_lost", "tok_slow_20", "tok_slow_9000"];
    let orders: Vec<OrderId> = tokens.iter().enumerate().map(|(key, token)| bench.place(key as u64, token)).collect();
    bench.run(30_000_000);
    bench.check();
    let ledger = bench.provider.ledger();
    let money = |order: OrderId| ledger.attempts(order).map(|(_, known)| known.money).collect::<Vec<_>>();
    assert_eq!(money(orders[1]), [Money::Declined]);
    assert_eq!(money(orders[2]), [Money::Charged], "found at the look-up");
    assert!(money(orders[3]).iter().all(|money| *money == Money::Blocked), "never found");
    assert_eq!((money(orders[4]), money(orders[5])), (vec![Money::Charged], vec![Money::Charged]));
    assert_eq!(bench.in_status(Status::Completed), 4);
}

#[test]
fn a_second_attempt_out_of_turn_and_a_refund_of_nothing_are_broken_promises() {
    let currency = Currency::parse("EUR").expect("a currency");
    let wrong = [
        Call::Charge { attempt: 2, amount: 500, currency },
        Call::Charge { attempt: 9, amount: 500, currency },
        Call::Reconcile { attempt: 2 },
        Call::Refund { attempt: 1, amount: 500, currency },
    ];
    for call in wrong {
        let mut bench = Bench::new(3, &[]);
        let request = Request { order: OrderId::new(HOME, 0), call, body: body(0, "tok_ok") };
        bench.client.perform(Time(0), request, &bench.port);
        assert_eq!(bench.sim.violation().map(|violation| violation.invariant), Some("payment"), "{call:?}");
    }
}

#[test]
fn what_was_done_outlives_the_process_and_its_answers_do_not() {
    let mut bench = Bench::new(3, &[]);
    let order = bench.place(0, "tok_ok");
    assert_eq!((bench.client.calls_open(), bench.provider.ledger().net(order)), (1, 500));
    bench.forget_process();
    assert_eq!((bench.client.calls_open(), bench.provider.calls_open()), (0, 0));
    bench.crash();
    bench.run(1_000_000);
    bench.check();
    let requests: Vec<u32> = bench.provider.ledger().attempts(order).map(|(_, known)| known.requests).collect();
    assert_eq!(requests, [2], "asked twice, taken once");
}

#[test]
fn outcomes_are_numbered_apart() {
    let all = [
        Outcome::Charged { attempt: 1 },
        Outcome::Declined { attempt: 1 },
        Outcome::PaymentUnknown { attempt: 1 },
        Outcome::NotCharged { attempt: 1 },
        Outcome::Refunded { attempt: 1 },
        Outcome::RefundUnknown { attempt: 1 },
        Outcome::Notified,
        Outcome::NotNotified,
    ];
    let mut numbers = all.map(|outcome| super::numbers_of_outcome(outcome).0).to_vec();
    numbers.dedup();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7, 8]);
}

fn play_all(seed: u64) -> Bench {
    let mut bench = Bench::new(seed, &KINDS);
    bench.stalls = Some(Random::new(seed));
    bench.play(150, true);
    bench
}

#[test]
fn all_kinds_together_and_everything_still_ends_well() {
    let mut coverage = Coverage::default();
    for seed in 0..10 {
        coverage.add(play_all(seed).coverage.reached());
    }
    let triggers = [Trigger::PaymentNotFound, Trigger::PaymentCompleted, Trigger::PaymentFailed];
    let of_payment = |(_, trigger): &(Stage, Trigger)| triggers.contains(trigger);
    let missing: Vec<_> = coverage.missing().into_iter().filter(of_payment).collect();
    assert_eq!(missing, []);
}

#[test]
fn a_seed_gives_the_same_trace_every_time() {
    let trace = |seed: u64| {
        let bench = play_all(seed);
        (bench.sim.trace().digest(), bench.sim.trace().lines())
    };
    assert_eq!(trace(5), trace(5));
    assert_ne!(trace(5), trace(6));
}
