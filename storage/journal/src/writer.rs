//! The part of a lane's journal that outlives one call: the file in use, the next one, and what went wrong. Shared between the
//! commit in flight, the marker's task and the preparing task, which all run on the lane's thread.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;

use orderlane_core::{Sequence, ShardId};
use orderlane_lane::{CommitError, Disk, Driver, Receipt};

use crate::changes::Changes;
use crate::limits::{BLOCK_BYTES, FRAME_BYTES_MAX, SEGMENT_BYTES_DEFAULT, SEGMENT_BYTES_FIRST};
use crate::prepare::{create, finish};
use crate::segment::{Identity, SegmentHeader, SegmentName};
use crate::spent::Spent;

/// When a commit counts as durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// After `fdatasync`: it survives the loss of the machine's power.
    Fsync,
    /// When the operating system has it: it survives the end of the process only. After a loss of power frames may be missing
    /// before others that are there, and the journal is refused.
    Os,
}

/// Which journal, and how.
#[derive(Clone, Debug)]
pub struct JournalOptions {
    /// The data directory's.
    pub identity: Identity,
    /// [`crate::Recovered::run_next`].
    pub run: u32,
    /// The lane.
    pub lane: u16,
    /// The lane's shards, each with its next sequence: what recovery has found.
    pub starts: Vec<(ShardId, Sequence)>,
    /// When a commit counts as durable.
    pub durability: Durability,
    /// Length of the first segment file, a multiple of [`BLOCK_BYTES`]. A frame may be larger: it goes to the second one.
    pub first_segment_bytes: u64,
    /// Length of every other segment file, a multiple of [`BLOCK_BYTES`].
    pub segment_bytes: u64,
}

impl JournalOptions {
    /// Segments of the usual size, synced at each commit.
    #[must_use]
    pub fn new(identity: Identity, run: u32, lane: u16, starts: Vec<(ShardId, Sequence)>) -> JournalOptions {
        JournalOptions {
            identity,
            run,
            lane,
            starts,
            durability: Durability::Fsync,
            first_segment_bytes: SEGMENT_BYTES_FIRST,
            segment_bytes: SEGMENT_BYTES_DEFAULT,
        }
    }

    pub(crate) fn segment_name(&self, segment: u32) -> SegmentName {
        SegmentName { run: self.run, lane: self.lane, segment }
    }

    /// Length of a segment file.
    pub(crate) fn segment_bytes_of(&self, segment: u32) -> u64 {
        if segment == 0 { self.first_segment_bytes } else { self.segment_bytes }
    }

    /// Where the first frame of a segment is.
    pub(crate) fn frames_offset(&self, segment: u32) -> u64 {
        SegmentHeader::bytes_of(if segment == 0 { self.starts.len() } else { 0 }) as u64
    }

    /// The largest frame: it fits in any segment but perhaps the first.
    pub(crate) fn frame_bytes_max(&self) -> u64 {
        (FRAME_BYTES_MAX as u64).min(self.segment_bytes - BLOCK_BYTES as u64)
    }

    fn header(&self, segment: u32) -> SegmentHeader {
        let starts = if segment == 0 { self.starts.clone() } else { Vec::new() };
        SegmentHeader {
            identity: self.identity,
            name: self.segment_name(segment),
            segment_bytes: self.segment_bytes_of(segment),
            starts,
        }
    }
}

/// A sealed frame and its place.
pub(crate) struct Placed {
    pub(crate) segment: u32,
    pub(crate) offset: u64,
    pub(crate) bytes: Vec<u8>,
}

/// Writes placed frames.
pub(crate) struct Writer<D: Driver> {
    pub(crate) driver: D,
    pub(crate) options: JournalOptions,
    file: RefCell<OpenFile<D>>,
    next: RefCell<Option<Result<FileOf<D>, CommitError>>>,
    /// The last segment that is there or being made.
    prepared: Cell<u32>,
    marking: Cell<bool>,
    failure: RefCell<Option<Failure>>,
    pub(crate) changes: Changes,
    pub(crate) spent: RefCell<Spent>,
    /// The segment of the last durable commit.
    pub(crate) anchored: Cell<u32>,
    /// A freed segment is being renamed or removed.
    pub(crate) tidying: Cell<bool>,
    /// Why freed segments stay.
    pub(crate) warning: RefCell<Option<CommitError>>,
}

pub(crate) type FileOf<D> = <<D as Driver>::Disk as Disk>::File;

struct OpenFile<D: Driver> {
    segment: u32,
    file: FileOf<D>,
}

#[derive(Clone)]
struct Failure {
    action: &'static str,
    kind: io::ErrorKind,
    text: String,
}

impl Failure {
    fn error(self) -> CommitError {
        CommitError { action: self.action, source: io::Error::new(self.kind, self.text) }
    }
}

impl<D: Driver> Writer<D> {
    /// Makes the first segment, and no other one yet.
    pub(crate) async fn open(driver: D, options: JournalOptions) -> Result<Rc<Writer<D>>, CommitError> {
        let file = create(driver.disk(), options.segment_name(0)).await?;
        let file = finish(driver.disk(), file, options.header(0)).await?;
        let spent = Spent::new(options.identity.shards, &options.starts);
        Ok(Rc::new(Writer {
            driver,
            options,
            file: RefCell::new(OpenFile { segment: 0, file }),
            next: RefCell::default(),
            prepared: Cell::new(0),
            marking: Cell::new(false),
            failure: RefCell::default(),
            changes: Changes::default(),
            spent: RefCell::new(spent),
            anchored: Cell::new(0),
            tidying: Cell::new(false),
            warning: RefCell::default(),
        }))
    }

    /// What the first failure was, for everything that comes after it.
    pub(crate) fn failed(&self) -> Option<CommitError> {
        self.failure.borrow().clone().map(Failure::error)
    }

    /// Keeps an error, so that nothing is written after it: what a failed sync lost is gone, whatever the next one says.
    pub(crate) fn fail(&self, error: CommitError) -> CommitError {
        let (kind, text) = (error.source.kind(), error.source.to_string());
        let failure = Failure { action: error.action, kind, text };
        self.failure.borrow_mut().get_or_insert(failure);
        error
    }

    /// Writes a frame behind the marker that may still be under way, and makes it durable.
    pub(crate) async fn commit(self: Rc<Self>, frame: Placed) -> Result<Receipt, CommitError> {
        self.changes.until(|| (!self.marking.get()).then_some(())).await;
        let segment = frame.segment;
        let buffer = self.write(frame).await?;
        let sync_micros = match self.options.durability {
            Durability::Os => None,
            Durability::Fsync => Some(self.sync().await?),
        };
        self.anchor(segment);
        Ok(Receipt { buffer, sync_micros })
    }

    /// Writes a marker as a task of its own; the next commit waits for it. Its failure is the next commit's.
    pub(crate) fn mark(self: &Rc<Self>, frame: Placed) {
        let writer = Rc::clone(self);
        self.marking.set(true);
        self.driver.spawn(async move {
            // The writer keeps the error: nobody waits for a marker.
            drop(writer.write(frame).await);
            writer.marking.set(false);
            writer.changes.announce();
        });
    }

    async fn write(self: &Rc<Self>, frame: Placed) -> Result<Vec<u8>, CommitError> {
        if let Some(error) = self.failed() {
            return Err(error);
        }
        if self.file.borrow().segment != frame.segment {
            self.roll_over(frame.segment).await.map_err(|error| self.fail(error))?;
        }
        let file = self.file.borrow().file.clone();
        let end = frame.offset + frame.bytes.len() as u64;
        let (result, buffer) = self.driver.disk().write_at(&file, frame.offset, frame.bytes).await;
        result.map_err(|source| self.fail(CommitError { action: "writing the journal", source }))?;
        if end >= self.options.segment_bytes_of(frame.segment) / 2 {
            self.prepare(frame.segment + 1);
        }
        Ok(buffer)
    }

    async fn sync(&self) -> Result<u64, CommitError> {
        let before = self.driver.now();
        let file = self.file.borrow().file.clone();
        let result = self.driver.disk().sync(&file).await;
        result.map_err(|source| self.fail(CommitError { action: "syncing the journal", source }))?;
        Ok(self.driver.now().micros_since(before))
    }

    /// Goes over to the segment that was prepared, once it is. The old one is not synced again: at most a marker at its end is
    /// not durable, and recovery does without it.
    async fn roll_over(self: &Rc<Self>, segment: u32) -> Result<(), CommitError> {
        // A frame that is too large for the rest of a segment that is not half full.
        self.prepare(segment);
        let file = self.changes.until(|| self.next.take()).await?;
        self.file.replace(OpenFile { segment, file });
        Ok(())
    }

    /// Starts to make the next segment, unless that was done: when the one in use is half full, so that it is there before a
    /// frame needs it, and a process that stores little leaves little behind.
    fn prepare(self: &Rc<Self>, segment: u32) {
        if self.prepared.replace(segment) == segment {
            return;
        }
        let writer = Rc::clone(self);
        self.driver.spawn(async move {
            let result = writer.make(segment).await;
            writer.next.replace(Some(result));
            writer.changes.announce();
        });
    }

    /// Makes a segment, of a spent one if there is one.
    async fn make(self: &Rc<Self>, segment: u32) -> Result<FileOf<D>, CommitError> {
        let disk = self.driver.disk();
        let file = match self.recycle(segment).await? {
            Some(file) => file,
            None => create(disk.clone(), self.options.segment_name(segment)).await?,
        };
        finish(disk, file, self.options.header(segment)).await
    }
}
