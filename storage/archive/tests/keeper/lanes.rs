//! Real shards, archivist and keeper in one thread, beside twins that keep everything: whoever asks sees no difference.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::path::Path;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::task::{Context, Poll, Waker};

use orderlane_archive::*;
use orderlane_core::{
    Archived, Call, Cold, Config, Currency, DraftLine, Effect, Event, Input, ListQuery, OrderBody, OrderDraft, OrderId,
    Outcome, Output, Outside, Product, Reader, Reply, ReplyTo, Request, Sequence, Shard, ShardId, Status, Time,
};
use orderlane_lane::{ArchiveMetrics, Commits, Prefetch};

use crate::power::{Dice, MemoryDirectory, Power, PoweredStore};
use crate::{Asleep, OWNER, Room, SHARDS};

const KEY_MICROS: u64 = 40_000_000;
const TOKENS: [&str; 4] = ["tok_ok", "tok_decline", "tok_lost", "tok_ok"];

/// One lane with both shards, its archive, and the twins.
struct Lane<S: Store> {
    now: Time,
    dice: Dice,
    power: Power,
    directory: MemoryDirectory,
    shards: Vec<Shard>,
    twins: Vec<Shard>,
    archivist: Archivist,
    keeper: Keeper<S, MemoryDirectory>,
    queue: VecDeque<(ShardId, Input)>,
    commits: u64,
    durable: u64,
    /// All events, for the twins; and from where on the journal still has them, for the lane.
    log: Vec<(ShardId, Sequence, Time, Event)>,
    covered: [Sequence; 2],
    run: u32,
    cold_answers: u64,
    evicted: u64,
}

fn config(shard: ShardId) -> Config {
    Config {
        shard,
        shards: OWNER.shards,
        seed: 7,
        hold_ttl_micros: 60_000_000,
        retry_first_micros: 200_000,
        retry_max_micros: 5_000_000,
        key_retention_micros: KEY_MICROS,
    }
}

/// A start: checkpoints, archive, the check of one against the other, keeper and archivist.
fn start<S: Store>(
    store: S,
    directory: &MemoryDirectory,
    run: u32,
) -> (Keeper<S, MemoryDirectory>, Archivist, Vec<Shard>) {
    let checkpoints = Checkpoints::load(directory.clone(), OWNER).expect("loaded");
    let shards: Vec<Shard> = SHARDS
        .iter()
        .map(|shard| match checkpoints.newest(*shard) {
            Some(stored) => Shard::restore(config(*shard), &stored.image).expect("a whole image"),
            None => Shard::new(config(*shard)),
        })
        .collect();
    let retention = Retention {
        key_micros: KEY_MICROS,
        keys_max: u64::MAX,
        order_micros: 1 << 50,
        order_bytes_max: u64::MAX,
        audit_dir: None,
    };
    let options = ArchiveOptions { directory: OWNER.directory, shards: OWNER.shards, retention, window_orders: 25 };
    let mut archive = Archive::open(store, options).expect("opened");
    let chosen: Vec<(ShardId, Sequence, Archived)> =
        shards.iter().map(|shard| (shard.id(), shard.sequence(), shard.archived().clone())).collect();
    archive.check(&chosen).expect("the archive has what the checkpoints leave out");
    let ((to_lane, receiver), (sender, from_lane)) = (channel(), channel());
    let checkpoint_bytes = checkpoints.bytes(&SHARDS);
    let keeper = Keeper::new(KeeperOptions {
        archive,
        checkpoints,
        run,
        receiver: from_lane,
        lanes: vec![LaneLink { sender: to_lane, wake: Arc::new(Asleep), shards: SHARDS.to_vec() }],
        old_segments: OldSegments::default(),
        disk: DiskLimits::default(),
        space: Box::new(Room),
        metrics: Arc::<ArchiveMetrics>::default(),
    });
    let limits = CutLimits { cut_orders: 6, slice: 3, piece_bytes: 700, ..CutLimits::default() };
    let filters = keeper.filters(0);
    let options =
        ArchivistOptions { lane: 0, limits, sender, receiver, filters, checkpoint_bytes, first_cut_soon: false };
    (keeper, Archivist::new(options), shards)
}

impl<S: Store> Lane<S> {
    fn new(seed: u64, store: S) -> Lane<S> {
        let dice = Dice::new(seed);
        let power = Power::new(&dice);
        let directory = MemoryDirectory::new(Path::new("nowhere"), &power);
        let (keeper, archivist, shards) = start(store, &directory, 1);
        let mut lane = Lane {
            now: Time(1_000_000),
            dice,
            power,
            directory,
            shards,
            twins: SHARDS.iter().map(|shard| Shard::new(config(*shard))).collect(),
            archivist,
            keeper,
            queue: VecDeque::new(),
            commits: 0,
            durable: 0,
            log: Vec::new(),
            covered: [0; 2],
            run: 1,
            cold_answers: 0,
            evicted: 0,
        };
        for sku in ["sku-0", "sku-1", "sku-2"] {
            let currency = Currency::parse("EUR").expect("EUR is a currency");
            let product = Box::new(Product { sku: sku.into(), name: sku.into(), unit_price: 700, currency });
            let shard = ShardId::of(sku, OWNER.shards);
            lane.request(shard, Request::LoadProduct { product, stock: 10_000 });
        }
        lane
    }

    fn request(&mut self, shard: ShardId, request: Request) -> Vec<Reply> {
        let reply_to = ReplyTo { lane: 0, slot: 0, generation: 0, request: 0 };
        self.turn(shard, Input::Request { reply_to, request })
    }

    /// What the archive has for an input, by way of archivist and keeper.
    fn cold(&mut self, shard: ShardId, input: &Input) -> Option<Cold> {
        let read = self.archivist.start(&VecDeque::from([(shard, input.clone())]), &self.shards)?;
        let mut read = pin!(read);
        let mut cx = Context::from_waker(Waker::noop());
        let found = loop {
            match read.as_mut().poll(&mut cx) {
                Poll::Ready(found) => break found,
                Poll::Pending => assert!(self.keeper.step(self.now).expect("the disk is well")),
            }
        };
        let mut found = self.archivist.finish(found);
        self.cold_answers += found.len() as u64;
        assert!(found.len() <= 1 && found.iter().all(|(place, _)| *place == 0));
        found.pop().map(|(_, cold)| cold)
    }

    /// One turn of the shard and of its twin, compared; the answers.
    fn turn(&mut self, shard: ShardId, input: Input) -> Vec<Reply> {
        let cold = self.cold(shard, &input);
        let at = shard.index();
        let (mut out, mut expected) = (Output::default(), Output::default());
        // Each list has its own pages: compared as a whole, elsewhere.
        let is_list = matches!(&input, Input::Request { request: Request::ListOrders(_), .. });
        self.shards[at].handle_with(self.now, input.clone(), cold, &mut out);
        self.shards[at].end_turn(self.now, &mut out);
        self.twins[at].handle(self.now, input, &mut expected);
        self.twins[at].end_turn(self.now, &mut expected);
        assert_eq!(out.events, expected.events);
        if !is_list {
            assert_eq!(format!("{:?}", out.effects), format!("{:?}", expected.effects));
        }
        self.release(shard, out)
    }

    fn release(&mut self, shard: ShardId, out: Output) -> Vec<Reply> {
        let (at, mut replies) = (shard.index(), Vec::new());
        let first = self.shards[at].sequence() + 1 - out.events.len() as u64;
        self.commits += u64::from(!out.events.is_empty());
        let time = self.shards[at].time();
        self.log.extend((first..).zip(out.events).map(|(sequence, event)| (shard, sequence, time, event)));
        for effect in out.effects {
            match effect {
                Effect::Reply { reply, .. } => replies.push(reply),
                Effect::Tell { target, sequence, message } => {
                    self.queue.push_back((target, Input::Tell { source: shard, sequence, message }));
                }
                Effect::Acknowledge { source, upto } => {
                    self.queue.push_back((source, Input::Acknowledged { target: shard, upto }));
                }
                Effect::Outside(call) => self.queue.push_back((call.order.shard(), outcome(&call))),
            }
        }
        self.keep_house();
        replies
    }

    /// A round of the lane, and some steps of the keeper.
    fn keep_house(&mut self) {
        let before = self.shards.iter().map(Shard::orders_in_memory).sum::<u64>();
        self.durable = self.durable.max(self.commits - self.dice.below(2).min(self.commits));
        let durable = self.durable;
        let commits = Commits { decided: self.commits, durable, bytes: 100 * durable, in_flight: false };
        for (shard, upto) in self.archivist.tend(self.now, &mut self.shards, commits).covered {
            assert!(upto >= self.covered[shard.index()], "what is covered does not go back");
            self.covered[shard.index()] = upto;
        }
        self.evicted += before - self.shards.iter().map(Shard::orders_in_memory).sum::<u64>();
        self.keeper.tick(self.now);
        for _ in 0..self.dice.below(6) {
            self.keeper.step(self.now).expect("the disk is well");
        }
    }

    fn settle(&mut self) {
        while let Some((shard, input)) = self.queue.pop_front() {
            self.turn(shard, input);
        }
    }

    fn pass(&mut self, micros: u64) {
        self.now = self.now.after_micros(micros);
        for shard in SHARDS {
            let at = shard.index();
            while self.twins[at].poll_timeout().is_some_and(|due| due <= self.now) {
                let (mut out, mut expected) = (Output::default(), Output::default());
                self.shards[at].handle_timeout(self.now, &mut out);
                self.shards[at].end_turn(self.now, &mut out);
                self.twins[at].handle_timeout(self.now, &mut expected);
                self.twins[at].end_turn(self.now, &mut expected);
                assert_eq!(out.events, expected.events);
                self.release(shard, out);
            }
        }
        self.settle();
    }

    /// All pages of a list, one after the other.
    fn compare_list(&mut self, shard: ShardId, query: &ListQuery) {
        let reply_to = ReplyTo { lane: 0, slot: 0, generation: 0, request: 0 };
        let (mut found, mut before, mut pages) = (Vec::new(), None, 0);
        loop {
            let query = Box::new(ListQuery { before, ..query.clone() });
            let replies = self.request(shard, Request::ListOrders(query));
            let [Reply::Orders(page)] = &replies[..] else { panic!("not a page: {replies:?}") };
            found.extend(page.orders.iter().cloned());
            pages += 1;
            assert!(pages < 2_000, "a list ends");
            before = page.reached;
            if before.is_none() {
                break;
            }
        }
        let (mut expected, mut before) = (Vec::new(), None);
        loop {
            let mut out = Output::default();
            let query = Box::new(ListQuery { before, ..query.clone() });
            let input = Input::Request { reply_to, request: Request::ListOrders(query) };
            self.twins[shard.index()].handle(self.now, input, &mut out);
            let [Effect::Reply { reply: Reply::Orders(page), .. }] = &out.effects[..] else { panic!("not a page") };
            expected.extend(page.orders.iter().cloned());
            before = page.reached;
            if before.is_none() {
                break;
            }
        }
        assert_eq!(found, expected, "{query:?}");
    }

    fn place(&mut self) {
        let number = self.dice.below(60);
        let (customer, key) = (format!("c-{}", number % 5), format!("k-{number}"));
        let sku = format!("sku-{}", number % 3);
        let draft = OrderDraft {
            subject: "alice",
            customer: &customer,
            key: &key,
            currency: None,
            total_expected: None,
            token: TOKENS[(number % 4) as usize],
            email: None,
            reference: None,
            metadata: &[],
            lines: &[
                DraftLine { sku: &sku, quantity: 1 + u32::from(self.dice.below(40) == 0) },
                DraftLine { sku: "sku-0", quantity: 2 },
            ],
        };
        let body = OrderBody::encode(&draft, OWNER.shards);
        let wait = self.dice.coin();
        self.request(ShardId::of(&customer, OWNER.shards), Request::PlaceOrder { body, wait });
    }

    fn act(&mut self) {
        let shard = SHARDS[self.dice.below(2) as usize];
        let placed = self.shards[shard.index()].orders_placed();
        let order = OrderId::new(shard, self.dice.below(placed + 2));
        match self.dice.below(16) {
            0..=6 => self.place(),
            7 => {
                self.request(shard, Request::GetOrder { order, reader: Reader::Admin, wait: self.dice.coin() });
            }
            8 => {
                let reader = Reader::Admin;
                self.request(shard, Request::CancelOrder { order, reader, version_expected: None });
            }
            // Late money, mostly.
            9 if order.number() < placed => {
                self.turn(shard, Input::Outcome { order, outcome: Outcome::Charged { attempt: 1 } });
            }
            10 => {
                let query = ListQuery {
                    reader: Reader::Admin,
                    customer: self.dice.coin().then(|| format!("c-{}", self.dice.below(5)).into()),
                    status: (self.dice.below(3) == 0).then_some(Status::Completed),
                    before: None,
                    limit: 1 + self.dice.below(30) as usize,
                };
                self.compare_list(shard, &query);
            }
            11 => self.pass(self.dice.below(4_000_000)),
            12..=14 => self.settle(),
            _ => self.keep_house(),
        }
    }

    /// The keeper does all that it has, and what is stored leaves the memory.
    fn rest(&mut self) {
        self.settle();
        for _ in 0..400 {
            self.keep_house();
        }
    }

    fn digests(shards: &[Shard]) -> Vec<u64> {
        shards.iter().map(Shard::digest).collect()
    }

    /// The power goes and comes: the next start has checkpoints, archive, and the events that are not covered.
    fn crash(mut self, reopen: impl FnOnce(Keeper<S, MemoryDirectory>) -> S) -> Lane<S> {
        self.run += 1;
        self.power = Power::new(&self.dice);
        self.directory = self.directory.crash(&self.dice, &self.power);
        (self.keeper, self.archivist, self.shards) = start(reopen(self.keeper), &self.directory, self.run);
        let before = Self::digests(&self.twins);
        self.twins = SHARDS.iter().map(|shard| Shard::new(config(*shard))).collect();
        for (shard, sequence, time, event) in &self.log {
            let at = shard.index();
            self.twins[at].apply(*time, event);
            if *sequence > self.shards[at].sequence() {
                assert!(*sequence > self.covered[at], "event {sequence} of shard {shard} is gone from the journal");
                self.shards[at].apply(*time, event);
            }
        }
        assert_eq!(Self::digests(&self.twins), before);
        assert_eq!(Self::digests(&self.shards), before, "checkpoint, archive and the events after it");
        self.queue.clear();
        for shard in SHARDS {
            let at = shard.index();
            let (mut out, mut expected) = (Output::default(), Output::default());
            self.shards[at].resume(self.now, &mut out);
            self.twins[at].resume(self.now, &mut expected);
            assert_eq!(out.events, expected.events);
            self.release(shard, out);
        }
        self
    }

    /// Every order and every list, and the books.
    fn compare_all(&mut self) {
        self.rest();
        for shard in SHARDS {
            for number in 0..self.shards[shard.index()].orders_placed() {
                let order = OrderId::new(shard, number);
                self.request(shard, Request::GetOrder { order, reader: Reader::Admin, wait: false });
            }
            let query = ListQuery { reader: Reader::Admin, customer: None, status: None, before: None, limit: 17 };
            self.compare_list(shard, &query);
            let checks = self.shards[shard.index()].audit().checks;
            checks.iter().for_each(|check| assert_eq!(check.violations, 0, "{}", check.name));
        }
        assert_eq!(Self::digests(&self.shards), Self::digests(&self.twins));
    }
}

/// What the provider answers follows from the token.
fn outcome(call: &Outside) -> Input {
    let outcome = match (call.call, call.body.token()) {
        (Call::Charge { attempt, .. }, "tok_decline") => Outcome::Declined { attempt },
        (Call::Charge { attempt, .. }, "tok_lost") => Outcome::PaymentUnknown { attempt },
        (Call::Charge { attempt, .. }, _) => Outcome::Charged { attempt },
        (Call::Reconcile { attempt }, _) => Outcome::NotCharged { attempt },
        (Call::Refund { attempt, .. }, _) => Outcome::Refunded { attempt },
        (Call::Notify, _) => Outcome::Notified,
    };
    Input::Outcome { order: call.order, outcome }
}

/// Plays `rounds` lives of `actions` each; between them the power goes.
fn play<S: Store>(
    mut lane: Lane<S>,
    (rounds, actions): (u64, u64),
    mut reopen: impl FnMut(Keeper<S, MemoryDirectory>) -> S,
) -> Lane<S> {
    for _ in 0..rounds {
        (0..actions).for_each(|_| lane.act());
        if lane.dice.coin() {
            lane.compare_all();
        }
        lane = lane.crash(&mut reopen);
    }
    lane.compare_all();
    assert!(lane.evicted > 40 && lane.cold_answers > 100, "{} evicted, {} found", lane.evicted, lane.cold_answers);
    assert!(lane.covered.iter().all(|covered| *covered > 0), "{:?}", lane.covered);
    let recalled = lane.log.iter().filter(|(_, _, _, event)| matches!(event, Event::OrderRecalled { .. })).count();
    assert!(recalled > 0, "late money has come");
    lane
}

#[test]
fn a_lane_that_forgets_answers_as_one_that_does_not_also_after_a_crash() {
    for seed in 0..6 {
        let disk: Rc<RefCell<MemoryStore>> = Rc::default();
        let power = Power::new(&Dice::new(seed));
        let store = PoweredStore { disk, power };
        play(Lane::new(seed, store.clone()), (5, 300), |keeper| {
            drop(keeper);
            store.clone()
        });
    }
}

#[test]
fn the_same_on_disk() {
    let home = tempfile::TempDir::new().expect("a directory for the test");
    let open = || FjallStore::open(&home.path().join("archive")).expect("opened");
    play(Lane::new(99, open()), (2, 200), |keeper| {
        drop(keeper);
        open()
    });
}
