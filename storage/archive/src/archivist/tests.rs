//! The lane's side with channels instead of a keeper.

use std::pin::Pin;
use std::sync::mpsc::channel;
use std::task::{Context, Waker};

use orderlane_core::{Archived, CutEnd, CutPart, OrderId, Outcome, Reader, ReplyTo, Request, Sequence};

use super::*;

const SHARD: ShardId = ShardId(3);

type Reading = Pin<Box<dyn Future<Output = Vec<(usize, Cold)>>>>;

/// Order 0 has left the memory, order 1 is there; a cut takes three slices, an eviction two.
#[derive(Default)]
struct Fake {
    cut_slices: usize,
    evict_slices: usize,
    quiet: u64,
    shed: bool,
}

impl Memory for Fake {
    fn id(&self) -> ShardId {
        SHARD
    }
    fn sequence(&self) -> Sequence {
        40
    }
    fn orders_quiet(&self) -> u64 {
        self.quiet
    }
    fn orders_placed(&self) -> u64 {
        2
    }
    fn holds(&self, order: OrderId) -> bool {
        order.number() == 1
    }
    fn shed(&mut self, on: bool) {
        self.shed = on;
    }
    fn begin_cut(&mut self) {
        self.cut_slices = 3;
    }
    fn cut(&mut self, _: usize, part: &mut CutPart) -> Option<CutEnd> {
        self.cut_slices -= 1;
        part.live.push(self.cut_slices as u8);
        (self.cut_slices == 0).then(|| CutEnd {
            sequence: 40,
            archived: Archived::default(),
            recalled: Archived::default(),
        })
    }
    fn evict(&mut self, _: usize) -> bool {
        self.quiet = 0;
        self.evict_slices += 1;
        self.evict_slices < 2
    }
}

struct Desk {
    archivist: Archivist,
    shards: [Fake; 1],
    sent: Receiver<ToKeeper>,
    keeper: Sender<FromKeeper>,
}

impl Desk {
    fn new() -> Desk {
        let ((sender, sent), (keeper, receiver)) = (channel(), channel());
        let limits = CutLimits { cut_orders: 10, ..CutLimits::default() };
        let filters = vec![(SHARD, Arc::default())];
        let options =
            ArchivistOptions { lane: 0, limits, sender, receiver, filters, checkpoint_bytes: 0, first_cut_soon: false };
        Desk { archivist: Archivist::new(options), shards: [Fake::default()], sent, keeper }
    }

    fn tend(&mut self, durable: u64) -> Tended {
        let commits = Commits { decided: 2, durable, bytes: 0, in_flight: durable < 2 };
        self.archivist.keep_house(Time(1), &mut self.shards, commits)
    }

    fn sent(&self) -> Vec<String> {
        self.sent
            .try_iter()
            .map(|message| format!("{message:?}").split([' ', '{']).next().unwrap_or("").to_owned())
            .collect()
    }

    fn read(&mut self, input: Input) -> Option<Reading> {
        self.archivist.read(&VecDeque::from([(SHARD, input)]), &self.shards).map(|read| Box::pin(read) as _)
    }
}

fn get(number: u64) -> Input {
    let reply_to = ReplyTo { lane: 0, slot: 0, generation: 0, request: 0 };
    let request = Request::GetOrder { order: OrderId::new(SHARD, number), reader: Reader::Admin, wait: false };
    Input::Request { reply_to, request }
}

#[test]
fn a_cut_is_sent_when_its_events_are_durable_and_evicted_when_it_is_stored_and_nothing_waits() {
    let mut desk = Desk::new();
    assert!(!desk.tend(2).more, "nothing is due");
    desk.shards[0].quiet = 10;
    assert!(desk.tend(1).more && desk.tend(1).more && !desk.tend(1).more);
    assert!(desk.sent().is_empty(), "a checkpoint must not be ahead of the journal");
    assert!(!desk.tend(2).more);
    assert_eq!(desk.sent(), ["Begin", "Part", "Shard", "Store"]);
    assert!(!desk.tend(2).more, "no cut begins while one is stored");
    desk.keeper.send(FromKeeper::Stored { cut: 1, covered: vec![(SHARD, 7)], checkpoint_bytes: 1 }).expect("open");
    let mut read = desk.read(get(0)).expect("order 0 is cold");
    assert!(!desk.tend(2).more && desk.shards[0].evict_slices == 0, "an input that was looked up waits");
    let mut cx = Context::from_waker(Waker::noop());
    assert!(read.as_mut().poll(&mut cx).is_pending());
    desk.keeper.send(FromKeeper::Found(Vec::new())).expect("open");
    assert!(desk.tend(2).more, "the answer has come");
    let Poll::Ready(found) = read.as_mut().poll(&mut cx) else { panic!("the answer has come") };
    assert!(desk.archivist.finish(found).is_empty());
    assert!(desk.tend(2).more && desk.tend(2).more);
    let tended = desk.tend(2);
    assert_eq!((tended.more, tended.covered, desk.shards[0].evict_slices), (false, vec![(SHARD, 7)], 2));
}

#[test]
fn only_cold_orders_are_asked_for_and_a_keeper_that_is_gone_never_means_absent() {
    let mut desk = Desk::new();
    assert!(desk.read(get(1)).is_none(), "it is in memory");
    assert!(desk.read(get(2)).is_none(), "it was never placed");
    let outcome = Input::Outcome { order: OrderId::new(SHARD, 0), outcome: Outcome::Notified };
    assert!(desk.read(outcome).is_some());
    let mut read = desk.read(get(0)).expect("cold");
    drop(desk.keeper);
    let mut cx = Context::from_waker(Waker::noop());
    let Poll::Ready(found) = read.as_mut().poll(&mut cx) else { panic!("it never completes") };
    assert!(matches!(found[..], [(0, Cold::Unavailable)]));
}

#[test]
fn commits_are_held_from_the_wish_on_and_the_keeper_hears_when_none_is_in_flight() {
    let mut desk = Desk::new();
    desk.keeper.send(FromKeeper::Hold).expect("open");
    desk.keeper.send(FromKeeper::Shed(true)).expect("open");
    desk.tend(1);
    assert!(desk.archivist.hold != Hold::No && desk.shards[0].shed);
    assert!(desk.sent().is_empty());
    desk.tend(2);
    desk.tend(2);
    assert_eq!(desk.sent(), ["Held"], "once");
    desk.keeper.send(FromKeeper::Release).expect("open");
    desk.tend(2);
    assert_eq!(desk.archivist.hold, Hold::No);
}

#[test]
fn no_cut_begins_after_the_keeper_has_failed() {
    let mut desk = Desk::new();
    desk.keeper.send(FromKeeper::Failed).expect("open");
    desk.shards[0].quiet = 10;
    assert!(!desk.tend(2).more && desk.sent().is_empty() && desk.shards[0].cut_slices == 0);
}
