//! Small journals to damage, and the one way in which the tests read them back.

use orderlane_core::{DraftLine, Event, OrderBody, OrderDraft, OrderId, Sequence, ShardId, Time};
use orderlane_journal::{
    Damage, Durability, Identity, JournalCommit, JournalOptions, Recovered, Recovery, SegmentName,
};
use orderlane_lane::{Commit, CommitError};

use crate::memory::{Image, MemoryDriver};

pub(crate) const IDENTITY: Identity = Identity { directory: 0x1234_5678_9abc_def0_0fed_cba9_8765_4321, shards: 4 };
pub(crate) const HOME: ShardId = ShardId(1);
pub(crate) const OTHER: ShardId = ShardId(2);
pub(crate) const FIRST_SEGMENT_BYTES: u64 = 8 * 4096;
pub(crate) const SEGMENT_BYTES: u64 = 12 * 4096;
/// The padding of an event whose frame has nine blocks: too large for a first segment, small enough for any other.
pub(crate) const LARGE: usize = 8 * 4096;

pub(crate) fn name(run: u32, lane: u16, segment: u32) -> SegmentName {
    SegmentName { run, lane, segment }
}

/// Journals with small segments, the first one smaller than the others.
pub(crate) fn options(identity: Identity, run: u32, lane: u16, starts: Vec<(ShardId, Sequence)>) -> JournalOptions {
    let mut options = JournalOptions::new(identity, run, lane, starts);
    (options.first_segment_bytes, options.segment_bytes) = (FIRST_SEGMENT_BYTES, SEGMENT_BYTES);
    options
}

/// An order's first event with a body of about `padding` bytes; all of it follows from the sequence.
pub(crate) fn created(sequence: Sequence, padding: usize) -> Event {
    let order = OrderId::new(HOME, sequence);
    let text = "x".repeat(padding);
    let metadata = [("padding", text.as_str())];
    let draft = OrderDraft {
        subject: "subject",
        customer: "customer",
        key: "key",
        currency: None,
        total_expected: Some(sequence),
        token: "secret-token",
        email: None,
        reference: None,
        metadata: if padding > 0 { &metadata } else { &[] },
        lines: &[DraftLine { sku: "sku", quantity: 3 }],
    };
    Event::OrderCreated { order, body: OrderBody::encode(&draft, 4), deadline: Time(sequence) }
}

/// A journal under way, and what was appended to it.
pub(crate) struct Writing {
    pub(crate) driver: MemoryDriver,
    pub(crate) commit: JournalCommit<MemoryDriver>,
    pub(crate) next: Sequence,
}

impl Writing {
    pub(crate) fn open(driver: &MemoryDriver, run: u32, next: Sequence) -> Option<Writing> {
        Self::open_with(driver, run, next, Durability::Fsync)
    }

    pub(crate) fn open_with(
        driver: &MemoryDriver,
        run: u32,
        next: Sequence,
        durability: Durability,
    ) -> Option<Writing> {
        let mut options = options(IDENTITY, run, 0, vec![(HOME, next)]);
        options.durability = durability;
        let commit = driver.run(JournalCommit::open(driver.clone(), options))?.expect("the first segment is made");
        Some(Writing { driver: driver.clone(), commit, next })
    }

    pub(crate) fn append(&mut self, padding: usize) {
        let event = created(self.next, padding);
        self.commit.append(HOME, self.next, Time(self.next), &[event]);
        self.next += 1;
    }

    /// Appends one event and commits; `None` when the commit never ends.
    pub(crate) fn commit(&mut self, padding: usize) -> Option<Result<(), CommitError>> {
        self.append(padding);
        self.commit_open()
    }

    pub(crate) fn commit_open(&mut self) -> Option<Result<(), CommitError>> {
        let future = self.commit.start().expect("something was appended");
        let result = self.driver.run(future)?;
        Some(result.map(|receipt| self.commit.finish(receipt)))
    }

    pub(crate) fn commit_well(&mut self, padding: usize) {
        self.commit(padding).expect("the disk answers").expect("the disk is well");
    }

    /// A marker, written to its end.
    pub(crate) fn idle(&mut self) {
        self.commit.idle();
        self.driver.run_tasks(100);
    }
}

/// Recovers every shard and checks each event against what [`created`] makes of its sequence.
pub(crate) fn recover(image: &Image, padding: impl Fn(Sequence) -> usize) -> Result<Recovered, Damage> {
    let wanted: Vec<_> = (0..IDENTITY.shards).map(|shard| (ShardId(shard), 1)).collect();
    let mut recovery = Recovery::new(IDENTITY, &wanted);
    let mut expected = 1;
    for (name, bytes) in image {
        recovery.segment(*name, bytes, |shard, sequence, time, event| {
            assert_eq!((shard, sequence, time), (HOME, expected, Time(expected)), "the order of events");
            assert_eq!(*event, created(sequence, padding(sequence)), "changed bytes were accepted");
            expected += 1;
        })?;
    }
    recovery.finish()
}

/// The next sequence of [`HOME`].
pub(crate) fn reached(recovered: &Recovered) -> Sequence {
    recovered.next[HOME.index()].1
}
