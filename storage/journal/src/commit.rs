//! The lane's commit on a journal: one frame a commit, sealed here, written by the [`Writer`].

use std::future::Future;
use std::io;
use std::mem;
use std::rc::Rc;

use orderlane_core::{Event, Sequence, ShardId, Time};
use orderlane_lane::{Commit, CommitError, Driver, Receipt};

use crate::frame::{HEADER_BYTES, Link, seal};
use crate::limits::{BLOCK_BYTES, BUFFER_KEPT_BYTES_MAX, SEGMENT_HEADER_BYTES_MAX};
use crate::record::put_record;
use crate::writer::{JournalOptions, Placed, Writer};

/// The journal of one lane in one run.
pub struct JournalCommit<D: Driver> {
    writer: Rc<Writer<D>>,
    /// Room for a frame's header, then the records appended so far.
    open: Vec<u8>,
    /// The buffer that becomes `open` when `open` is on its way to the disk.
    spare: Vec<u8>,
    end: End,
}

/// Where the next frame goes.
struct End {
    number: u64,
    previous: u32,
    segment: u32,
    offset: u64,
    /// The last frame is a marker, or there is none yet: there is nothing to mark.
    marked: bool,
}

impl<D: Driver> JournalCommit<D> {
    /// Starts the journal of a run: makes its first segment durable.
    ///
    /// # Errors
    /// When the segment cannot be made, for example because the run's number has been used.
    ///
    /// # Panics
    /// When a length of segments is no multiple of [`BLOCK_BYTES`] or has no room for header and a frame.
    pub async fn open(driver: D, options: JournalOptions) -> Result<JournalCommit<D>, CommitError> {
        for bytes in [options.first_segment_bytes, options.segment_bytes] {
            assert!(bytes.is_multiple_of(BLOCK_BYTES as u64), "a segment has whole blocks");
            assert!(bytes > SEGMENT_HEADER_BYTES_MAX as u64, "a segment has room for a frame");
        }
        let previous = options.identity.seed(options.segment_name(0));
        let end = End { number: 1, previous, segment: 0, offset: options.frames_offset(0), marked: true };
        let writer = Writer::open(driver, options).await?;
        Ok(JournalCommit { writer, open: emptied(Vec::new()), spare: emptied(Vec::new()), end })
    }

    /// What went wrong with segments that are not needed any more: they stay, and fail nothing.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        self.writer.warning.borrow().as_ref().map(|error| format!("{} failed: {}", error.action, error.source))
    }

    /// Gives a frame its place behind the last one and seals it.
    fn place(&mut self, mut bytes: Vec<u8>) -> Result<Placed, CommitError> {
        let options = &self.writer.options;
        let length = bytes.len().next_multiple_of(BLOCK_BYTES) as u64;
        if length > options.frame_bytes_max() {
            let text = format!("a commit of {length} bytes, at most {} fit in a frame", options.frame_bytes_max());
            let source = io::Error::new(io::ErrorKind::FileTooLarge, text);
            return Err(self.writer.fail(CommitError { action: "sealing a journal frame", source }));
        }
        if self.end.offset + length > options.segment_bytes_of(self.end.segment) {
            self.end.segment += 1;
            self.end.offset = options.frames_offset(self.end.segment);
        }
        let End { number, previous, segment, offset, .. } = self.end;
        self.writer.spent.borrow_mut().placed_in(segment);
        let seed = options.identity.seed(options.segment_name(segment));
        let link = Link { number, previous, offset };
        self.end.previous = seal(&mut bytes, seed, link);
        self.end.number += 1;
        self.end.offset += length;
        Ok(Placed { segment, offset, bytes })
    }
}

impl<D: Driver> Commit for JournalCommit<D> {
    fn append(&mut self, shard: ShardId, first: Sequence, time: Time, events: &[Event]) {
        if !events.is_empty() {
            put_record(&mut self.open, shard, first, time, events);
            self.writer.spent.borrow_mut().appended(shard, first + events.len() as u64 - 1);
        }
    }

    fn open_bytes(&self) -> usize {
        self.open.len() - HEADER_BYTES
    }

    fn start(&mut self) -> Option<impl Future<Output = Result<Receipt, CommitError>> + 'static> {
        if self.open.len() == HEADER_BYTES {
            return None;
        }
        let bytes = mem::replace(&mut self.open, emptied(mem::take(&mut self.spare)));
        self.end.marked = false;
        let placed = match self.writer.failed() {
            Some(error) => Err(error),
            None => self.place(bytes),
        };
        self.writer.spent.borrow_mut().batch_placed();
        let writer = Rc::clone(&self.writer);
        Some(async move { writer.commit(placed?).await })
    }

    fn finish(&mut self, receipt: Receipt) {
        if receipt.buffer.capacity() <= BUFFER_KEPT_BYTES_MAX {
            self.spare = receipt.buffer;
        }
    }

    /// Writes a marker behind the last frame, so that damage to that frame is never taken for a torn tail.
    fn idle(&mut self) {
        if self.end.marked || self.writer.failed().is_some() {
            return;
        }
        if let Ok(marker) = self.place(emptied(Vec::with_capacity(BLOCK_BYTES))) {
            self.end.marked = true;
            self.writer.mark(marker);
        }
    }

    /// Segments whose events are all covered go: recycled or removed, as a task of its own.
    fn covered(&mut self, upto: &[(ShardId, Sequence)]) {
        self.writer.covered(upto);
    }
}

fn emptied(mut buffer: Vec<u8>) -> Vec<u8> {
    buffer.clear();
    buffer.resize(HEADER_BYTES, 0);
    buffer
}
