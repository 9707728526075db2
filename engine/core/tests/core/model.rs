//! A naive model is fed the same requests; after each, everything that can be read is compared.

use std::collections::BTreeMap;

use orderlane_core::{Reason, Refusal, Reply, Status};
use proptest::prelude::*;

use crate::world::{Ask, World, ask};

#[derive(Clone, Debug)]
enum Step {
    Place { customer: u8, key: u8, lines: Vec<(u8, u32)>, token: u8, expected: Option<u64> },
    Adjust { sku: u8, key: u8, delta: i64 },
    Price { sku: u8, price: u64 },
    CancelNewest,
    Crash,
}

/// What the whole is, without shards, messages or time.
#[derive(Default)]
struct Model {
    skus: BTreeMap<String, (u64, u64, u64)>,
    orders: BTreeMap<(String, String), (Step2, Outcome)>,
    adjustments: BTreeMap<(String, String), (i64, bool)>,
}

type Step2 = (Vec<(String, u32)>, u8, Option<u64>);
type Outcome = (Status, Option<Reason>, Option<u64>);

const SKUS: u8 = 5;
const TOKENS: [&str; 4] = ["tok_ok", "tok_decline", "tok_timeout", "tok_lost"];

fn sku(number: u8) -> String {
    format!("sku-{number}")
}

fn step() -> impl Strategy<Value = Step> {
    let line = (0..SKUS + 1, 1..6_u32);
    prop_oneof![
        8 => (0..4_u8, 0..6_u8, prop::collection::vec(line, 1..5), 0..4_u8, prop::option::weighted(0.2, 0..60_u64))
            .prop_map(|(customer, key, lines, token, expected)| Step::Place { customer, key, lines, token, expected }),
        2 => (0..SKUS + 1, 0..8_u8, -6..12_i64).prop_map(|(sku, key, delta)| Step::Adjust { sku, key, delta }),
        1 => (0..SKUS, 1..9_u64).prop_map(|(sku, price)| Step::Price { sku, price }),
        1 => Just(Step::CancelNewest),
        1 => Just(Step::Crash),
    ]
}

impl Model {
    /// `Err`: refused at once; `Ok`: the order and how it ends.
    fn place(&mut self, customer: &str, key: &str, order: Step2) -> Result<Outcome, Refusal> {
        let scope = (customer.to_string(), key.to_string());
        if let Some((known, outcome)) = self.orders.get(&scope) {
            return if *known == order { Ok(*outcome) } else { Err(Refusal::KeyReused) };
        }
        let outcome = self.outcome(&order);
        self.orders.insert(scope, (order, outcome));
        Ok(outcome)
    }

    fn outcome(&mut self, (lines, token, expected): &Step2) -> Outcome {
        let mut wanted: BTreeMap<&String, u64> = BTreeMap::new();
        let mut total = 0;
        for (sku, quantity) in lines {
            let Some((price, _, _)) = self.skus.get(sku) else {
                return (Status::Rejected, Some(Reason::UnknownSku), None);
            };
            total += price * u64::from(*quantity);
            *wanted.entry(sku).or_default() += u64::from(*quantity);
        }
        if expected.is_some_and(|expected| expected != total) {
            return (Status::Rejected, Some(Reason::PriceChanged), Some(total));
        }
        if wanted.iter().any(|(sku, quantity)| self.skus[*sku].1 < *quantity) {
            return (Status::Rejected, Some(Reason::InsufficientStock), Some(total));
        }
        match TOKENS[usize::from(*token)] {
            "tok_decline" => (Status::PaymentFailed, Some(Reason::Declined), Some(total)),
            "tok_lost" => (Status::PaymentFailed, Some(Reason::PaymentUnavailable), Some(total)),
            _ => {
                for (sku, quantity) in wanted {
                    let units = self.skus.get_mut(sku).expect("checked");
                    units.1 -= quantity;
                    units.2 += quantity;
                }
                (Status::Completed, None, Some(total))
            }
        }
    }

    fn adjust(&mut self, sku: &str, key: &str, delta: i64) -> Option<Refusal> {
        let scope = (sku.to_string(), key.to_string());
        if let Some((known, made)) = self.adjustments.get(&scope) {
            return match (*known == delta, made) {
                (false, _) => Some(Refusal::KeyReused),
                (true, true) => None,
                (true, false) => Some(Refusal::InsufficientStock { replayed: true }),
            };
        }
        let Some(units) = self.skus.get_mut(sku) else { return Some(Refusal::NotFound) };
        let after = units.1.checked_add_signed(delta);
        self.adjustments.insert(scope, (delta, after.is_some()));
        match after {
            Some(available) => {
                units.1 = available;
                None
            }
            None => Some(Refusal::InsufficientStock { replayed: false }),
        }
    }
}

fn run(steps: &[Step]) {
    let mut world = World::default();
    let mut model = Model::default();
    for number in 0..SKUS {
        world.product(&sku(number), 3, "EUR", Some(20));
        model.skus.insert(sku(number), (3, 20, 0));
    }
    let mut newest = None;
    for step in steps {
        match step {
            Step::Place { customer, key, lines, token, expected } => {
                let (customer, key) = (format!("c-{customer}"), format!("k-{key}"));
                let names: Vec<(String, u32)> =
                    lines.iter().map(|(number, quantity)| (sku(*number), *quantity)).collect();
                let lines: Vec<(&str, u32)> = names.iter().map(|(sku, quantity)| (sku.as_str(), *quantity)).collect();
                let token_name = TOKENS[usize::from(*token)];
                let order = Ask { token: token_name, total_expected: *expected, ..ask(&customer, &key, &lines) };
                let request = world.place(&order);
                world.finish();
                match model.place(&customer, &key, (names.clone(), *token, *expected)) {
                    Err(refusal) => assert_eq!(world.refusal(request), Some(refusal)),
                    Ok(outcome) => {
                        let id = world.order_of(request);
                        let view = world.view(id);
                        assert_eq!((view.status, view.reason, view.total), outcome, "{order:?}");
                        newest = Some((id, outcome.0));
                    }
                }
            }
            Step::Adjust { sku: number, key, delta } => {
                let key = format!("a-{key}");
                let request = world.adjust(&sku(*number), &key, *delta);
                world.settle();
                assert_eq!(world.refusal(request), model.adjust(&sku(*number), &key, *delta));
            }
            Step::Price { sku: number, price } => {
                world.product(&sku(*number), *price, "EUR", None);
                model.skus.get_mut(&sku(*number)).expect("a known SKU").0 = *price;
            }
            Step::CancelNewest => {
                if let Some((id, status)) = newest {
                    let request = world.cancel(id);
                    world.settle();
                    assert_ne!(status, Status::Cancelled);
                    assert!(matches!(world.first_reply(request), Reply::Refused(Refusal::OrderFinished)));
                }
            }
            Step::Crash => world.crash(),
        }
        for (sku, (_, available, sold)) in &model.skus {
            assert_eq!(world.units(sku), (*available, 0, *sold), "{sku}");
        }
    }
    world.finish();
    world.check_at_rest();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_engine_and_the_naive_model_agree(steps in prop::collection::vec(step(), 1..60)) {
        run(&steps);
    }
}
