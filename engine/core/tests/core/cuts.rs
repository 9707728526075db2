//! Cuts at random moments: what they save gives the same shard again, and a shard whose orders have left the memory behaves as one
//! that keeps them all.

use std::collections::BTreeMap;

use orderlane_core::{
    Archived, Cold, ColdPage, CutEnd, CutPart, Event, Input, ListQuery, OrderBody, OrderId, OrderPage, OrderRecord,
    Outcome, Output, Reader, Refusal, Reply, ReplyTo, Request, Shard, ShardId, Status, Time,
};
use proptest::prelude::*;

use crate::world::{Ask, HOLD_TTL, SHARDS, World, ask, config};

const TOKENS: [&str; 4] = ["tok_ok", "tok_decline", "tok_timeout", "tok_lost"];
pub(crate) const RETENTION: u64 = 86_400_000_000;

/// A shard that makes cuts, beside one of the world that never does; both are fed the same.
struct Twin {
    shard: Shard,
    archive: BTreeMap<u64, OrderRecord>,
    part: CutPart,
    cut: Option<(u64, usize)>,
    finished: Option<CutEnd>,
    evicting: bool,
    checkpoint: Option<(Vec<u8>, usize, Archived)>,
    log: Vec<(Time, Event)>,
}

impl Twin {
    fn new(shard: u16) -> Twin {
        Twin {
            shard: Shard::new(config(shard)),
            archive: BTreeMap::new(),
            part: CutPart::default(),
            cut: None,
            finished: None,
            evicting: false,
            checkpoint: None,
            log: Vec::new(),
        }
    }

    /// What the archive has for an input, whether or not the order is in memory, too.
    fn cold(&self, input: &Input) -> Option<Cold> {
        let one = |number: u64| {
            let record = self.archive.get(&number)?.clone();
            Some(Cold::Order { order: OrderId::new(self.shard.id(), number), record })
        };
        match input {
            Input::Outcome { order, .. } => one(order.number()),
            Input::Request { request: Request::PlaceOrder { body, .. }, .. } => {
                let same = self.archive.iter().rev().find(|(_, record)| record.scope() == body.scope());
                same.and_then(|(number, _)| one(*number))
            }
            Input::Request {
                request: Request::GetOrder { order, .. } | Request::CancelOrder { order, .. }, ..
            } => one(order.number()),
            Input::Request { request: Request::ListOrders(query), .. } => Some(Cold::Page(self.page(query))),
            _ => None,
        }
    }

    fn page(&self, query: &ListQuery) -> ColdPage {
        let mut page = ColdPage::default();
        for (number, record) in self.archive.iter().rev() {
            let id = OrderId::new(self.shard.id(), *number);
            if page.orders.len() == query.limit {
                let (id, record) = page.orders.last().expect("a page has room for one");
                page.reached = Some((record.created_at(), id.number()));
                break;
            }
            if record.matches(query) && query.before.is_none_or(|before| (record.created_at(), id) < before) {
                page.orders.push((id, record.clone()));
            }
        }
        page
    }

    fn step(&mut self, pick: u16) {
        if self.evicting {
            self.evicting = self.shard.evict(usize::from(pick % 5) + 1);
        } else if let Some(end) = self.finished.take() {
            self.store(&end);
        } else if self.cut.is_some() {
            self.finished = self.shard.cut(usize::from(pick % 7) + 1, &mut self.part);
        } else {
            self.cut = Some((self.shard.digest(), self.log.len()));
            self.shard.begin_cut();
        }
    }

    fn store(&mut self, end: &CutEnd) {
        let part = std::mem::take(&mut self.part);
        let (digest, length) = self.cut.take().expect("begun");
        let before = self.checkpoint.as_ref().map_or_else(Archived::default, |(_, _, archived)| archived.clone());
        let mut sums = Archived::default();
        let mut ended = Vec::new();
        for order in &part.ended {
            let from = order.start as usize;
            let record = OrderRecord::from_bytes(&part.ended_bytes[from..from + order.length as usize]).expect("whole");
            assert!(record.status().is_end());
            sums.add(&record.sums(OrderId::new(self.shard.id(), order.number)));
            ended.push(order.number);
            self.archive.insert(order.number, record);
        }
        let mut counted = before;
        counted.add(&sums);
        counted.subtract(&end.recalled);
        assert_eq!(counted, end.archived, "runs less what was called back is what is archived");
        let mut restored = Shard::restore(config(self.shard.id().0), &part.live).expect("a whole image");
        assert_eq!((restored.digest(), restored.sequence()), (digest, end.sequence));
        assert!(ended.iter().all(|number| !restored.holds(OrderId::new(self.shard.id(), *number))));
        assert_eq!(restored.orders_in_memory() + end.archived.orders.iter().sum::<u64>(), restored.orders_placed());
        self.log[length..].iter().for_each(|(time, event)| restored.apply(*time, event));
        assert_eq!(restored.digest(), self.shard.digest(), "an image and the events after it");
        check_audit(&restored);
        self.checkpoint = Some((part.live, length, end.archived.clone()));
        self.evicting = self.shard.evict(0);
    }

    /// From the last checkpoint and the events after it.
    fn crash(&mut self, now: Time) {
        let shard = config(self.shard.id().0);
        let (mut restored, length) = match &self.checkpoint {
            Some((image, length, _)) => (Shard::restore(shard, image).expect("a whole image"), *length),
            None => (Shard::new(shard), 0),
        };
        self.log[length..].iter().for_each(|(time, event)| restored.apply(*time, event));
        assert_eq!(restored.digest(), self.shard.digest());
        restored.resume(now, &mut Output::default());
        self.shard = restored;
        (self.part, self.cut, self.finished, self.evicting) = (CutPart::default(), None, None, false);
    }
}

fn check_audit(shard: &Shard) {
    for check in shard.audit().checks {
        assert_eq!(check.violations, 0, "{}", check.name);
    }
}

/// One shard that is its own stock shard would see no messages of others: four, each with a twin.
fn play(choices: &[(u8, u16)]) {
    let mut world = World::default();
    world.twins = Some((0..SHARDS).map(|shard| Box::new(Twin::new(shard)) as Box<dyn Follow>).collect());
    for number in 0..4 {
        world.product(&format!("sku-{number}"), 7, "EUR", Some(40));
    }
    let mut placed: Vec<u32> = Vec::new();
    for (choice, pick) in choices {
        match choice {
            0..=5 => {
                let (customer, key) = (format!("c-{}", pick % 3), format!("k-{}", pick / 3 % 12));
                let skus = [format!("sku-{}", pick % 4), format!("sku-{}", pick / 4 % 4)];
                let lines = [(skus[0].as_str(), 1), (skus[1].as_str(), 2)];
                let order = Ask { token: TOKENS[usize::from(pick / 3 % 4)], ..ask(&customer, &key, &lines) };
                placed.push(world.place_as("alice", &order, pick.is_multiple_of(2)));
            }
            6 => world.settle(),
            7 => world.pass(HOLD_TTL / 3),
            8 if pick.is_multiple_of(6) => world.pass(RETENTION),
            9 => {
                let shard = usize::from(pick % SHARDS);
                let orders = world.shards[shard].orders_placed();
                if orders > 0 {
                    let order = OrderId::new(ShardId(shard as u16), u64::from(*pick) / 4 % orders);
                    match pick / 64 % 3 {
                        0 => world.outcome(order, Outcome::Charged { attempt: 1 + (pick % 3) as u8 }),
                        1 => drop(world.cancel(order)),
                        _ => drop(world.view(order)),
                    }
                }
            }
            10 => {
                let shard = pick % SHARDS;
                let customer = format!("c-{}", pick / 4 % 3);
                let query = ListQuery {
                    reader: Reader::Admin,
                    customer: pick.is_multiple_of(3).then(|| customer.into()),
                    status: (pick % 5 == 0).then_some(Status::Completed),
                    before: None,
                    limit: usize::from(1 + pick % 3),
                };
                world.follow_pages(ShardId(shard), query);
            }
            11 if pick.is_multiple_of(5) => world.crash_twins(),
            12..=15 => world.step_twin(pick % SHARDS, pick / SHARDS),
            _ => {
                let waiting = world.pairs_waiting();
                if !waiting.is_empty() {
                    world.deliver(waiting[usize::from(*pick) % waiting.len()]);
                }
            }
        }
    }
    world.finish();
    for shard in 0..SHARDS {
        (0..60).for_each(|pick| world.step_twin(shard, pick));
    }
}

/// What the world asks of whoever follows its shards.
pub(crate) trait Follow {
    fn input(&mut self, now: Time, input: &Input, expected: &Output);
    fn timeout(&mut self, now: Time, expected: &Output);
    fn step(&mut self, pick: u16);
    fn crash(&mut self, now: Time);
    fn digest(&self) -> u64;
    fn list(&mut self, now: Time, query: ListQuery) -> OrderPage;
}

impl Twin {
    fn compare(&mut self, now: Time, mut out: Output, expected: &Output) {
        self.shard.end_turn(now, &mut out);
        assert_eq!(out.events, expected.events);
        let replies = |output: &Output| -> Vec<String> {
            let texts = output.effects.iter().map(|effect| format!("{effect:?}"));
            texts.filter(|text| text.starts_with("Reply") || text.starts_with("Outside")).collect()
        };
        assert_eq!(replies(&out), replies(expected));
        let time = self.shard.time();
        self.log.extend(out.events.into_iter().map(|event| (time, event)));
    }
}

impl Follow for Twin {
    fn input(&mut self, now: Time, input: &Input, expected: &Output) {
        let cold = self.cold(input);
        let mut out = Output::default();
        self.shard.handle_with(now, input.clone(), cold, &mut out);
        self.compare(now, out, expected);
    }

    fn timeout(&mut self, now: Time, expected: &Output) {
        let mut out = Output::default();
        self.shard.handle_timeout(now, &mut out);
        self.compare(now, out, expected);
    }

    fn step(&mut self, pick: u16) {
        Twin::step(self, pick);
    }

    fn crash(&mut self, now: Time) {
        Twin::crash(self, now);
    }

    fn digest(&self) -> u64 {
        self.shard.digest()
    }

    fn list(&mut self, now: Time, query: ListQuery) -> OrderPage {
        let reply_to = ReplyTo { lane: 0, slot: 0, generation: 0, request: 0 };
        let input = Input::Request { reply_to, request: Request::ListOrders(Box::new(query)) };
        let cold = self.cold(&input);
        let mut out = Output::default();
        self.shard.handle_with(now, input, cold, &mut out);
        match out.effects.pop() {
            Some(orderlane_core::Effect::Reply { reply: Reply::Orders(page), .. }) => *page,
            other => panic!("not a page: {other:?}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_shard_that_forgets_behaves_as_one_that_does_not(
        choices in prop::collection::vec((0..20_u8, any::<u16>()), 1..300),
    ) {
        play(&choices);
    }
}

pub(crate) fn image_of(shard: &mut Shard) -> CutPart {
    let mut part = CutPart::default();
    shard.begin_cut();
    while shard.cut(3, &mut part).is_none() {}
    part
}

#[test]
fn a_damaged_image_is_refused_and_never_a_crash() {
    let mut world = World::with(&[("sku-1", 10), ("sku-2", 10)]);
    world.manual = true;
    for number in 0..4 {
        world.place(&ask(&format!("c-{number}"), "k", &[("sku-1", 1), ("sku-2", 1)]));
    }
    world.settle();
    for shard in 0..SHARDS {
        let image = image_of(&mut world.shards[usize::from(shard)]).live;
        assert!(Shard::restore(config(shard), &image).is_ok());
        for length in 0..image.len() {
            assert!(Shard::restore(config(shard), &image[..length]).is_err(), "cut off at {length}");
        }
        for at in 0..image.len() {
            for flip in [1, 0x80, 0xff] {
                let mut damaged = image.clone();
                damaged[at] ^= flip;
                if let Ok(mut shard) = Shard::restore(config(shard), &damaged) {
                    shard.resume(Time(5_000_000), &mut Output::default());
                }
            }
        }
    }
}

#[test]
fn numbers_go_on_beyond_32_bits() {
    const PLACED: u64 = (1 << 32) - 3;
    let body = |key: u64| -> OrderBody { ask("c-1", &format!("k-{key}"), &[("nowhere", 1)]).body("alice") };
    let home = ShardId::of("c-1", SHARDS);
    let mut image = image_of(&mut Shard::new(config(home.0))).live;
    // Head: kind and length (5), shard and shards (4), sequence and time (16), orders placed, by status from Pending on.
    image[25..33].copy_from_slice(&PLACED.to_le_bytes());
    let rejected = Status::Rejected as usize;
    image[33 + 8 * rejected..][..8].copy_from_slice(&PLACED.to_le_bytes());
    // End: count of entries, then by status.
    let end = image.len() - (8 + 80 + 8 + 8 + 8);
    image[end + 8 + 8 * rejected..][..8].copy_from_slice(&PLACED.to_le_bytes());
    let mut shard = Shard::restore(config(home.0), &image).expect("a whole image");
    let reply_to = ReplyTo { lane: 0, slot: 0, generation: 0, request: 0 };
    let mut out = Output::default();
    for key in 0..6 {
        let request = Request::PlaceOrder { body: body(key), wait: false };
        shard.handle(Time(9), Input::Request { reply_to, request }, &mut out);
    }
    let mut part = CutPart::default();
    shard.begin_cut();
    while shard.cut(2, &mut part).is_none() {}
    let mut restored = Shard::restore(config(home.0), &part.live).expect("a whole image");
    assert_eq!(restored.digest(), shard.digest());
    for shard in [&mut shard, &mut restored] {
        for key in 0..6 {
            let request = Request::PlaceOrder { body: body(key), wait: false };
            let mut out = Output::default();
            shard.handle(Time(9), Input::Request { reply_to, request }, &mut out);
            let [orderlane_core::Effect::Reply { reply: Reply::Placed { order, replayed: true, .. }, .. }] =
                &out.effects[..]
            else {
                panic!("not a replay: {out:?}");
            };
            assert_eq!(order.number(), PLACED + key);
        }
        let query =
            ListQuery { reader: Reader::Admin, customer: Some("c-1".into()), status: None, before: None, limit: 100 };
        let mut out = Output::default();
        let request = Request::ListOrders(Box::new(query));
        shard.handle(Time(9), Input::Request { reply_to, request }, &mut out);
        let [orderlane_core::Effect::Reply { reply: Reply::Orders(page), .. }] = &out.effects[..] else {
            panic!("not a page: {out:?}");
        };
        let numbers: Vec<u64> = page.orders.iter().map(|view| view.order.number()).collect();
        assert_eq!(numbers, (PLACED..PLACED + 6).rev().collect::<Vec<_>>());
    }
}

#[test]
fn a_shard_that_sheds_still_answers_retries() {
    let mut world = World::with(&[("sku-1", 10)]);
    let order = ask("c-1", "k-1", &[("sku-1", 1)]);
    let known = world.placed(&order);
    world.shards.iter_mut().for_each(|shard| shard.shed(true));
    let again = world.place(&order);
    let other = world.place(&ask("c-1", "k-2", &[("sku-1", 1)]));
    world.settle();
    assert_eq!(world.order_of(again), known);
    assert_eq!(world.refusal(other), Some(Refusal::Overloaded));
}

/// One turn of one shard, with the first record of `part` as what the archive has.
fn ask_with(shard: &mut Shard, now: Time, input: Input, part: &CutPart) -> Output {
    let ended = part.ended[0];
    let from = ended.start as usize;
    let record = OrderRecord::from_bytes(&part.ended_bytes[from..from + ended.length as usize]).expect("whole");
    let cold = Cold::Order { order: OrderId::new(shard.id(), ended.number), record };
    let mut out = Output::default();
    shard.handle_with(now, input, Some(cold), &mut out);
    out
}

#[test]
fn late_money_calls_an_archived_order_back_and_is_refunded() {
    let mut world = World::with(&[("sku-1", 10)]);
    let id = world.placed(&Ask { token: "tok_lost", ..ask("c-1", "k-1", &[("sku-1", 1)]) });
    world.finish();
    assert_eq!(world.status(id), Status::PaymentFailed);
    // A turn that is written, so that the messages of the order are kept no longer.
    world.placed(&Ask { token: "tok_decline", ..ask("c-1", "k-2", &[("sku-1", 1)]) });
    world.finish();
    let shard = &mut world.shards[id.shard().index()];
    let part = image_of(shard);
    while shard.evict(1) {}
    assert_eq!(part.ended[0].number, id.number());
    assert!(!shard.holds(id));
    assert_eq!(shard.orders_in_memory() + shard.archived().orders.iter().sum::<u64>(), 2);
    let before = shard.archived().orders[Status::PaymentFailed as usize];
    let input = Input::Outcome { order: id, outcome: Outcome::Charged { attempt: 1 } };
    let out = ask_with(shard, Time(90_000_000), input, &part);
    assert!(
        matches!(
            out.events[..],
            [Event::OrderRecalled { .. }, Event::PaymentCompleted { .. }, Event::RefundRequested { .. }]
        ),
        "{out:?}"
    );
    assert!(shard.holds(id));
    assert_eq!(shard.archived().orders[Status::PaymentFailed as usize], before - 1);
    check_audit(shard);
}
