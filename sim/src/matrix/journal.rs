//! The journal that is damaged: two runs with another count of lanes, several segments, frames of one and more blocks, markers
//! in the middle. All of its events were acknowledged.

use std::collections::BTreeMap;

use orderlane_core::{
    Currency, DraftLine, Event, OrderBody, OrderDraft, OrderId, Prices, Reason, Sequence, ShardId, StockAnswer, Time,
};
use orderlane_journal::{Identity, JournalCommit, JournalOptions, Recovered, SegmentFiles, SegmentName};
use orderlane_lane::Commit;

use crate::disk::frames::Frames;
use crate::disk::{Crash, SimDisk};
use crate::faults::FaultSet;
use crate::options::Options;
use crate::sim::Sim;

use super::driver::DiskDriver;

pub(super) const IDENTITY: Identity = Identity { directory: 0x0123_4567_89ab_cdef_1122_3344_5566_7788, shards: 2 };
const SEGMENT_BYTES: (u64, u64) = (16 << 10, 20 << 10);

/// Bytes of a text in each order, for the commits of a lane in turn: the frames take one block or three.
const PADDINGS: [usize; 4] = [0, 600, 9_000, 4_500];
/// Behind this commit the lane falls idle.
const IDLE_BEHIND: usize = 1;

/// A sound journal.
pub(super) struct Journal {
    pub(super) files: BTreeMap<String, Vec<u8>>,
    pub(super) frames: Frames,
    /// By shard: the event with sequence `n` is at index `n - 1`.
    pub(super) events: Vec<Vec<Event>>,
}

impl Journal {
    /// Writes one. `at_rest`: the lanes fell idle at the end; otherwise they were killed between the last acknowledgement and
    /// the marker.
    pub(super) fn write(at_rest: bool) -> Journal {
        let options = Options { faults: FaultSet::default(), ..Options::draw(0) };
        let sim = Sim::new(options, false);
        let disk = SimDisk::new(&sim);
        let mut events = vec![Vec::new(), Vec::new()];
        for (lanes, commits, marked) in [(vec![vec![0, 1]], 4, true), (vec![vec![1], vec![0]], 3, at_rest)] {
            let recovered = start(&disk);
            for (lane, shards) in lanes.into_iter().enumerate() {
                let next = |shard: u16| recovered.next[usize::from(shard)];
                let starts = shards.into_iter().map(next).collect();
                let mut options = JournalOptions::new(IDENTITY, recovered.run_next, lane as u16, starts);
                (options.first_segment_bytes, options.segment_bytes) = SEGMENT_BYTES;
                write_lane(&DiskDriver::new(&sim, &disk), options, &PADDINGS[..commits], marked, &mut events);
            }
            disk.crash(Crash::Kill);
        }
        start(&disk);
        let files = disk.image();
        let segments = files.iter().map(|(name, bytes)| (segment_name(name), bytes.as_slice()));
        let frames = Frames::of(IDENTITY, segments).expect("a sound journal");
        Journal { files, frames, events }
    }

    /// By shard, the sequence behind the last acknowledged event.
    pub(super) fn next(&self) -> Vec<(ShardId, Sequence)> {
        let next = |(shard, log): (usize, &Vec<Event>)| (ShardId(shard as u16), log.len() as Sequence + 1);
        self.events.iter().enumerate().map(next).collect()
    }
}

/// The segment that a file holds.
pub(super) fn segment_name(name: &str) -> SegmentName {
    SegmentName::parse(name).expect("a start leaves nothing but segments")
}

fn start(disk: &SimDisk) -> Recovered {
    let files = SegmentFiles::prepare(disk.directory()).expect("a disk that is well");
    let read = files.recover(IDENTITY, &[(ShardId(0), 1), (ShardId(1), 1)], |_, _, _, _| {}).expect("a sound journal");
    files.remove_unused(&read.unused).expect("a disk that is well");
    read
}

fn write_lane(
    driver: &DiskDriver,
    options: JournalOptions,
    paddings: &[usize],
    marked: bool,
    events: &mut [Vec<Event>],
) {
    let shards: Vec<ShardId> = options.starts.iter().map(|(shard, _)| *shard).collect();
    let open = JournalCommit::open(driver.clone(), options);
    let mut commit = driver.run(open).expect("a disk that is well");
    for (nth, padding) in paddings.iter().enumerate() {
        // A commit holds events of all shards of its lane, or of one.
        for shard in shards.iter().filter(|shard| nth % 3 != 2 || shard.0 == 0 || shards.len() == 1) {
            let log = &mut events[shard.index()];
            let first = log.len() as Sequence + 1;
            let new = turn(*shard, first, *padding);
            commit.append(*shard, first, Time(first), &new);
            log.extend(new);
        }
        let started = commit.start().expect("something was appended");
        commit.finish(driver.run(started).expect("a disk that is well"));
        if nth == IDLE_BEHIND || marked && nth + 1 == paddings.len() {
            commit.idle();
        }
        driver.rest();
    }
}

/// The events of a turn; all of them follow from the first sequence.
fn turn(shard: ShardId, first: Sequence, padding: usize) -> Vec<Event> {
    let order = OrderId::new(shard, first);
    let text = "x".repeat(padding);
    let currency = Currency::parse("EUR").expect("three capitals");
    let draft = OrderDraft {
        subject: "subject",
        customer: "customer",
        key: "key",
        currency: None,
        total_expected: Some(first),
        token: "token",
        email: None,
        reference: None,
        metadata: &[("padding", text.as_str())],
        lines: &[DraftLine { sku: "sku", quantity: 3 }],
    };
    let answer = StockAnswer { refusal: None, currency: Some(currency), prices: Prices::from_slice(&[first, 7]) };
    vec![
        Event::OrderCreated { order, body: OrderBody::encode(&draft, IDENTITY.shards), deadline: Time(first) },
        Event::StockAnswered { order, shard, answer },
        Event::InventoryReserved { order, total: first, currency },
        Event::PaymentRequested { order, attempt: 1 },
        Event::PaymentFailed { order, reason: Reason::Declined },
    ]
}
