//! Random schedules: any queue may be next, clients retry and cancel at any moment, the provider answers late, twice or not
//! at all, everything may crash. Then faults stop, and every saga must end with nothing lost and nothing left over.

use std::collections::BTreeMap;

use orderlane_core::{Call, OrderId, Outcome, Outside, Reply, Status};
use proptest::prelude::*;

use crate::world::{Ask, HOLD_TTL, World, ask};

const TOKENS: [&str; 4] = ["tok_ok", "tok_decline", "tok_timeout", "tok_lost"];
const CUSTOMERS: u16 = 6;
const SKUS: u16 = 4;

/// What a choice of the schedule means; each is a number, so that proptest can shrink it.
fn play(choices: &[(u8, u16)]) {
    let mut world = World::default();
    for number in 0..SKUS {
        world.product(&format!("sku-{number}"), 7, "EUR", Some(12));
    }
    world.manual = true;
    let mut history = History::default();
    for (choice, pick) in choices {
        match choice {
            0..=3 => history.place(&mut world, *pick),
            4 => history.cancel(&mut world, *pick),
            5 if pick.is_multiple_of(4) => {
                world.crash();
                history.requests.clear();
            }
            6 => world.pass(u64::from(*pick) * 2_000),
            7 if pick.is_multiple_of(8) => world.pass(HOLD_TTL),
            8..=11 => provider(&mut world, *pick),
            _ => {
                let waiting = world.pairs_waiting();
                if !waiting.is_empty() {
                    world.deliver(waiting[usize::from(*pick) % waiting.len()]);
                }
            }
        }
        history.note(&world);
    }
    world.manual = false;
    let open: Vec<Outside> = std::mem::take(&mut world.calls);
    open.iter().for_each(|call| world.perform(call));
    world.finish();
    history.note(&world);
    world.check_at_rest();
    history.check(&mut world);
    world.crash();
    world.finish();
    world.check_at_rest();
}

/// The provider answers some open call: rightly, twice, or not in time.
fn provider(world: &mut World, pick: u16) {
    if world.calls.is_empty() {
        return;
    }
    let call = world.calls.swap_remove(usize::from(pick / 8) % world.calls.len());
    match pick % 8 {
        0 => match call.call {
            Call::Charge { attempt, amount, .. } => {
                // Charged, but the answer is lost.
                world.charges.insert((call.order, attempt), amount);
                world.outcome(call.order, Outcome::PaymentUnknown { attempt });
            }
            Call::Reconcile { attempt } => world.outcome(call.order, Outcome::PaymentUnknown { attempt }),
            Call::Refund { attempt, .. } => world.outcome(call.order, Outcome::RefundUnknown { attempt }),
            Call::Notify => world.outcome(call.order, Outcome::NotNotified),
        },
        1 => {
            world.perform(&call);
            world.perform(&call);
        }
        _ => world.perform(&call),
    }
}

/// What the clients asked and were told.
#[derive(Default)]
struct History {
    requests: Vec<(u32, (u16, u16))>,
    placed: BTreeMap<(u16, u16), OrderId>,
    cancelled: Vec<(u32, OrderId)>,
    decided: Vec<OrderId>,
}

impl History {
    fn place(&mut self, world: &mut World, pick: u16) {
        let (customer, key) = (pick % CUSTOMERS, pick / CUSTOMERS % 8);
        let name = format!("c-{customer}");
        let key_name = format!("k-{key}");
        let skus: Vec<String> =
            (0..1 + key % 3).map(|line| format!("sku-{}", (customer + key + line) % SKUS)).collect();
        let lines: Vec<(&str, u32)> = skus.iter().map(|sku| (sku.as_str(), u32::from(1 + customer % 3))).collect();
        let order = Ask { token: TOKENS[usize::from(key) % 4], ..ask(&name, &key_name, &lines) };
        self.requests.push((world.place(&order), (customer, key)));
    }

    fn cancel(&mut self, world: &mut World, pick: u16) {
        let orders: Vec<OrderId> = self.placed.values().copied().collect();
        if !orders.is_empty() {
            let order = orders[usize::from(pick) % orders.len()];
            self.cancelled.push((world.cancel(order), order));
        }
    }

    /// All answers to one key name the same order.
    fn note(&mut self, world: &World) {
        for (request, scope) in &self.requests {
            if let Some(Reply::Placed { order, .. }) = world.replies.get(request).and_then(|replies| replies.first()) {
                let known = *self.placed.entry(*scope).or_insert(*order);
                assert_eq!(known, *order, "one key, two orders");
            }
        }
        for (request, order) in &self.cancelled {
            if let Some(Reply::Order(view)) = world.replies.get(request).and_then(|replies| replies.first())
                && view.status == Status::Cancelling
                && view.reason == Some(orderlane_core::Reason::Cancelled)
            {
                self.decided.push(*order);
            }
        }
    }

    fn check(&self, world: &mut World) {
        for order in self.placed.values() {
            assert!(world.status(*order).is_end());
        }
        for order in &self.decided {
            assert_eq!(world.status(*order), Status::Cancelled, "a cancel that was decided can no longer complete");
        }
        let mut sold: BTreeMap<String, u64> = BTreeMap::new();
        for order in self.placed.values() {
            let view = world.view(*order);
            if view.status == Status::Completed {
                for line in view.body.lines() {
                    *sold.entry(line.sku.to_string()).or_default() += u64::from(line.quantity);
                }
            }
        }
        for number in 0..SKUS {
            let sku = format!("sku-{number}");
            let counted = sold.get(&sku).copied().unwrap_or(0);
            // Orders whose answer was lost in a crash are not in `placed`: they may have sold more, never less.
            assert!(world.units(&sku).2 >= counted, "{sku}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 768, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_saga_ends_and_nothing_is_lost_or_doubled(
        choices in prop::collection::vec((0..24_u8, any::<u16>()), 1..400),
    ) {
        play(&choices);
    }
}
