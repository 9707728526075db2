//! Every event goes through the codec unchanged, and no bytes make it panic.

use std::collections::BTreeSet;
use std::mem::discriminant;

use orderlane_core::{
    Adjustment, Currency, DraftLine, Event, HoldLine, HoldLines, OrderBody, OrderDraft, OrderId, OrderRecord, Prices,
    Product, Reason, ShardId, Status, StockAnswer, Time,
};
use orderlane_journal::{decode, encode};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

/// How many kinds of event there are.
const KINDS: usize = 34;

fn shard() -> impl Strategy<Value = ShardId> {
    prop_oneof![0..4u16, any::<u16>()].prop_map(ShardId)
}

fn order() -> impl Strategy<Value = OrderId> {
    (shard(), prop_oneof![0..300u64, 0..1u64 << 48]).prop_map(|(shard, number)| OrderId::new(shard, number))
}

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0..300u64, any::<u64>()]
}

fn time() -> impl Strategy<Value = Time> {
    any::<u64>().prop_map(Time)
}

fn currency() -> impl Strategy<Value = Currency> {
    "[A-Z]{3}".prop_map(|text| Currency::parse(&text).expect("three capitals"))
}

fn reason() -> impl Strategy<Value = Reason> {
    (0..Reason::ALL.len()).prop_map(|index| Reason::ALL[index])
}

fn text() -> impl Strategy<Value = Box<str>> {
    ".{0,40}".prop_map(Box::from)
}

fn prices() -> impl Strategy<Value = Prices> {
    vec(number(), 0..5).prop_map(Prices::from_vec)
}

fn lines() -> impl Strategy<Value = HoldLines> {
    let line = (any::<u32>(), any::<u32>()).prop_map(|(sku, quantity)| HoldLine { sku, quantity });
    vec(line, 0..5).prop_map(HoldLines::from_vec)
}

fn answer() -> impl Strategy<Value = StockAnswer> {
    (option::of(reason()), option::of(currency()), prices()).prop_map(|(refusal, currency, prices)| StockAnswer {
        refusal,
        currency,
        prices,
    })
}

fn product() -> impl Strategy<Value = Product> {
    (text(), text(), number(), currency()).prop_map(|(sku, name, unit_price, currency)| Product {
        sku,
        name,
        unit_price,
        currency,
    })
}

fn adjustment() -> impl Strategy<Value = Adjustment> {
    (text(), text(), text(), any::<i64>(), text()).prop_map(|(subject, sku, key, delta, reason)| Adjustment {
        subject,
        sku,
        key,
        delta,
        reason,
    })
}

fn body() -> impl Strategy<Value = OrderBody> {
    let parts = (text(), text(), text(), option::of(currency()), option::of(number()), option::of(text()));
    (parts, vec((text(), 1..10_000u32), 1..6)).prop_map(|((subject, customer, key, currency, total, email), lines)| {
        let lines: Vec<_> = lines.iter().map(|(sku, quantity)| DraftLine { sku, quantity: *quantity }).collect();
        let draft = OrderDraft {
            subject: &subject,
            customer: &customer,
            key: &key,
            currency,
            total_expected: total,
            token: "token",
            email: email.as_deref(),
            reference: None,
            metadata: &[("name", &key)],
            lines: &lines,
        };
        OrderBody::encode(&draft, 8)
    })
}

fn record() -> impl Strategy<Value = OrderRecord> {
    // Only an order that has ended is called back.
    let ended: Vec<Status> = Status::ALL.into_iter().filter(|status| status.is_end()).collect();
    (prop::sample::select(ended), any::<(u64, u64)>(), body()).prop_map(|(status, (one, other), body)| {
        OrderRecord::for_tests(status, Time(one.min(other)), Time(one.max(other)), &body)
    })
}

fn home_event() -> impl Strategy<Value = Event> {
    let attempt = || (order(), any::<u8>());
    let with_shard = || (order(), shard());
    prop_oneof![
        (order(), body(), time()).prop_map(|(order, body, deadline)| Event::OrderCreated { order, body, deadline }),
        (order(), shard(), answer()).prop_map(|(order, shard, answer)| Event::StockAnswered { order, shard, answer }),
        (order(), number(), currency()).prop_map(|(order, total, currency)| Event::InventoryReserved {
            order,
            total,
            currency
        }),
        (order(), reason(), option::of(number())).prop_map(|(order, reason, total)| Event::InventoryRejected {
            order,
            reason,
            total
        }),
        (order(), reason()).prop_map(|(order, reason)| Event::PaymentFailed { order, reason }),
        attempt().prop_map(|(order, attempt)| Event::PaymentRequested { order, attempt }),
        attempt().prop_map(|(order, attempt)| Event::PaymentUnknown { order, attempt }),
        attempt().prop_map(|(order, attempt)| Event::PaymentNotFound { order, attempt }),
        attempt().prop_map(|(order, attempt)| Event::PaymentCompleted { order, attempt }),
        attempt().prop_map(|(order, attempt)| Event::RefundRequested { order, attempt }),
        attempt().prop_map(|(order, attempt)| Event::RefundCompleted { order, attempt }),
        with_shard().prop_map(|(order, shard)| Event::StockRestored { order, shard }),
        with_shard().prop_map(|(order, shard)| Event::StockSaleConfirmed { order, shard }),
        order().prop_map(|order| Event::CancelRequested { order }),
        order().prop_map(|order| Event::HoldExpired { order }),
        order().prop_map(|order| Event::OrderCompleted { order }),
        order().prop_map(|order| Event::OrderRejected { order }),
        order().prop_map(|order| Event::OrderFailed { order }),
        order().prop_map(|order| Event::OrderExpired { order }),
        order().prop_map(|order| Event::OrderCancelled { order }),
        order().prop_map(|order| Event::NotificationSent { order }),
        (order(), record()).prop_map(|(order, record)| Event::OrderRecalled { order, record }),
    ]
}

fn stock_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        product().prop_map(|product| Event::ProductPut { product }),
        adjustment().prop_map(|adjustment| Event::StockAdjusted { adjustment }),
        adjustment().prop_map(|adjustment| Event::AdjustmentRefused { adjustment }),
        (text(), number()).prop_map(|(sku, units)| Event::StockOpened { sku, units }),
        (order(), lines(), currency(), prices())
            .prop_map(|(order, lines, currency, prices)| { Event::StockReserved { order, lines, currency, prices } }),
        (order(), answer()).prop_map(|(order, answer)| Event::StockRefused { order, answer }),
        order().prop_map(|order| Event::StockSold { order }),
        order().prop_map(|order| Event::StockReleased { order }),
        (order(), time()).prop_map(|(order, deadline)| Event::StockTombstoned { order, deadline }),
        (order(), lines()).prop_map(|(order, lines)| Event::StockReturned { order, lines }),
        (shard(), number()).prop_map(|(source, upto)| Event::TellsTaken { source, upto }),
        (shard(), number()).prop_map(|(target, upto)| Event::TellsDelivered { target, upto }),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![home_event(), stock_event()]
}

#[test]
fn the_strategy_knows_every_kind_of_event() {
    let mut runner = TestRunner::deterministic();
    let mut seen = Vec::new();
    let mut stored = BTreeSet::new();
    for _ in 0..4_000 {
        let event = event().new_tree(&mut runner).expect("no filter").current();
        let mut bytes = Vec::new();
        encode(&event, ShardId(1), &mut bytes);
        stored.insert(bytes[0] & 0x7f);
        if !seen.contains(&discriminant(&event)) {
            seen.push(discriminant(&event));
        }
    }
    // A new kind of event stops the build in `encode`; whoever adds it there adds it here.
    assert_eq!((seen.len(), stored.len()), (KINDS, KINDS));
}

proptest! {
    #[test]
    fn events_round_trip_and_do_not_touch_what_follows(events in vec(event(), 1..8), shard in shard()) {
        let mut bytes = Vec::new();
        events.iter().for_each(|event| encode(event, shard, &mut bytes));
        bytes.push(0xee);
        let mut rest = bytes.as_slice();
        for event in &events {
            prop_assert_eq!(decode(shard, &mut rest), Ok(event.clone()));
        }
        prop_assert_eq!(rest, &[0xee]);
    }

    #[test]
    fn a_cut_event_is_malformed(event in event()) {
        let mut bytes = Vec::new();
        encode(&event, ShardId(1), &mut bytes);
        for len in 0..bytes.len() {
            prop_assert!(decode(ShardId(1), &mut &bytes[..len]).is_err());
        }
    }

    #[test]
    fn no_bytes_panic(bytes in vec(any::<u8>(), 0..80)) {
        let _ = decode(ShardId(1), &mut bytes.as_slice());
    }

    #[test]
    fn a_changed_byte_never_panics(event in event(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = Vec::new();
        encode(&event, ShardId(1), &mut bytes);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = decode(ShardId(1), &mut bytes.as_slice());
    }
}
