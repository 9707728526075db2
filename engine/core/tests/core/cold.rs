//! What a shard answers of orders that have left its memory, by table: found, absent, and nobody knows.

use orderlane_core::{
    Cold, Effect, Event, Input, ListQuery, OrderId, OrderRecord, Outcome, Output, Reader, Refusal, Reply, ReplyTo,
    Request, Shard, Time,
};

use crate::cuts::{RETENTION, image_of};
use crate::world::{Ask, World, ask};

const ORDER: Ask<'static> =
    Ask { customer: "c-1", key: "k-1", lines: &[("sku-1", 1)], token: "tok_ok", currency: None, total_expected: None };

fn request(shard: &mut Shard, now: Time, request: Request, cold: Option<Cold>) -> Output {
    let reply_to = ReplyTo { lane: 0, slot: 0, generation: 0, request: 0 };
    let mut out = Output::default();
    shard.handle_with(now, Input::Request { reply_to, request }, cold, &mut out);
    out
}

fn place(shard: &mut Shard, now: Time, order: &Ask<'_>, cold: Option<Cold>) -> Output {
    request(shard, now, Request::PlaceOrder { body: order.body("alice"), wait: false }, cold)
}

fn get(order: OrderId) -> Request {
    Request::GetOrder { order, reader: Reader::Admin, wait: false }
}

fn cancel(order: OrderId) -> Request {
    Request::CancelOrder { order, reader: Reader::Admin, version_expected: None }
}

fn reply(out: &Output) -> &Reply {
    match &out.effects[..] {
        [Effect::Reply { reply, .. }, ..] => reply,
        other => panic!("no answer: {other:?}"),
    }
}

fn is_refused(out: &Output, refusal: Refusal) -> bool {
    out.events.is_empty() && matches!(reply(out), Reply::Refused(found) if *found == refusal)
}

/// An order that has ended, its record, and when its key expires. Cold: it has left the memory.
fn ended(is_cold: bool) -> (World, OrderId, OrderRecord, Time) {
    let mut world = World::with(&[("sku-1", 100)]);
    let order = world.placed(&ORDER);
    world.finish();
    let shard = &mut world.shards[order.shard().index()];
    let part = image_of(shard);
    assert_eq!(part.ended.len(), 1);
    while is_cold && shard.evict(1) {}
    assert_eq!(shard.holds(order), !is_cold);
    let record = OrderRecord::from_bytes(&part.ended_bytes[..part.ended[0].length as usize]).expect("whole");
    let expires = record.updated_at().after_micros(RETENTION);
    (world, order, record, expires)
}

#[test]
fn a_key_answers_until_it_expires_whether_its_order_is_hot_or_cold() {
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Answer {
        Replay,
        KeyReused,
        New,
    }
    use Answer::{KeyReused, New, Replay};
    let other = Ask { lines: &[("sku-1", 2)], ..ORDER.clone() };
    // Before the expiry is microseconds before it; 0 is the moment itself.
    for (is_cold, before_expiry, is_same, expected) in [
        (false, RETENTION, true, Replay),
        (false, 1, true, Replay),
        (false, 0, true, New),
        (false, RETENTION, false, KeyReused),
        (false, 1, false, KeyReused),
        (false, 0, false, New),
        (true, RETENTION, true, Replay),
        (true, 1, true, Replay),
        (true, 0, true, New),
        (true, RETENTION, false, KeyReused),
        (true, 1, false, KeyReused),
        (true, 0, false, New),
    ] {
        let (mut world, known, record, expires) = ended(is_cold);
        let shard = &mut world.shards[known.shard().index()];
        let now = Time(expires.0 - before_expiry);
        let cold = || Some(Cold::Order { order: known, record: record.clone() });
        let out = place(shard, now, if is_same { &ORDER } else { &other }, cold());
        let answer = match reply(&out) {
            Reply::Placed { order, replayed: true, .. } if *order == known => Replay,
            Reply::Placed { order, replayed: false, .. } if order.number() == known.number() + 1 => New,
            Reply::Refused(Refusal::KeyReused) => KeyReused,
            reply => panic!("{reply:?}"),
        };
        assert_eq!(answer, expected, "cold {is_cold}, {before_expiry} before the expiry, same {is_same}");
        let created = matches!(out.events.first(), Some(Event::OrderCreated { .. }));
        assert_eq!((created, out.events.is_empty()), (expected == New, expected != New));
        // The newest order under a key counts, whatever the archive still has.
        if expected == New {
            let again = place(shard, now, if is_same { &ORDER } else { &other }, cold());
            let Reply::Placed { order, replayed: true, .. } = reply(&again) else { panic!("not a replay: {again:?}") };
            assert_eq!(order.number(), known.number() + 1);
        }
    }
}

#[test]
fn another_key_with_the_same_hash_is_not_the_same_key() {
    let (mut world, known, record, _) = ended(true);
    let shard = &mut world.shards[known.shard().index()];
    let cold = Some(Cold::Order { order: known, record });
    let out = place(shard, Time(90_000_000), &ask("c-1", "k-other", &[("sku-1", 1)]), cold);
    assert!(matches!(reply(&out), Reply::Placed { replayed: false, .. }));
}

#[test]
fn when_nobody_knows_memory_answers_what_it_can_and_the_rest_is_refused() {
    let other = Ask { lines: &[("sku-1", 2)], ..ORDER.clone() };
    let (mut world, hot, _, expires) = ended(false);
    let now = Time(expires.0 - 1);
    let shard = &mut world.shards[hot.shard().index()];
    let mut ask_shard = |now, asked| request(shard, now, asked, Some(Cold::Unavailable));
    assert!(matches!(reply(&ask_shard(now, get(hot))), Reply::Order(view) if view.order == hot));
    assert!(is_refused(&ask_shard(now, cancel(hot)), Refusal::OrderFinished));
    let place = |order: &Ask<'_>| Request::PlaceOrder { body: order.body("alice"), wait: false };
    let again = ask_shard(now, place(&ORDER));
    assert!(matches!(reply(&again), Reply::Placed { order, replayed: true, .. } if *order == hot));
    assert!(is_refused(&ask_shard(now, place(&other)), Refusal::KeyReused));
    // Its key has expired here; a newer order under it may be there.
    assert!(is_refused(&ask_shard(expires, place(&ORDER)), Refusal::ShardUnavailable));

    let (mut world, cold, _, expires) = ended(true);
    let now = Time(expires.0 - 1);
    let shard = &mut world.shards[cold.shard().index()];
    let digest = shard.digest();
    let query = ListQuery { reader: Reader::Admin, customer: None, status: None, before: None, limit: 10 };
    let new = ask("c-1", "k-new", &[("sku-1", 1)]);
    for asked in [get(cold), cancel(cold), place(&ORDER), place(&new), Request::ListOrders(Box::new(query))] {
        let out = request(shard, now, asked.clone(), Some(Cold::Unavailable));
        assert!(is_refused(&out, Refusal::ShardUnavailable), "{asked:?}: {out:?}");
    }
    let looked_up = request(shard, now, Request::GetInventory { sku: "sku-1".into() }, None);
    assert!(!matches!(reply(&looked_up), Reply::Refused(Refusal::ShardUnavailable)));
    // What the provider repeats of an order that has ended changes nothing, known or not.
    for outcome in [Outcome::Notified, Outcome::Declined { attempt: 1 }, Outcome::NotCharged { attempt: 1 }] {
        let mut out = Output::default();
        shard.handle_with(now, Input::Outcome { order: cold, outcome }, Some(Cold::Unavailable), &mut out);
        assert!(out.events.is_empty() && out.effects.is_empty(), "{out:?}");
    }
    assert_eq!(shard.digest(), digest);
}

#[test]
#[should_panic(expected = "was charged late")]
fn money_that_comes_late_is_never_dropped_because_nobody_knows_its_order() {
    let (mut world, cold, _, _) = ended(true);
    let input = Input::Outcome { order: cold, outcome: Outcome::Charged { attempt: 1 } };
    let shard = &mut world.shards[cold.shard().index()];
    shard.handle_with(Time(90_000_000), input, Some(Cold::Unavailable), &mut Output::default());
}
