//! Reads segments in their order, frame by frame, and judges where each lane's journal of a run ends.
//!
//! The first place that does not hold the expected frame is the end. It is a clean end or a torn tail only when everything
//! behind it can be the work of the writes that were in flight: at most one marker (written without sync) and the frame that
//! follows it. A marker that is not whole is rebuilt when that frame continues it: nothing is lost with it. Otherwise, behind
//! a bad frame, in its segment and in all later ones of its lane and run, these are witnesses that it was acknowledged, and
//! the journal is refused:
//!
//! - any whole frame: its checksum stands on its own, and it was written after the bad one had been acknowledged;
//! - anything but zeros behind the extent of the bad frame when its header is readable (a marker: behind the largest frame
//!   that may follow it), or behind the largest possible window when it is not;
//! - anything but zeros two or more segments on.

use orderlane_core::{Sequence, ShardId};

use crate::damage::{Damage, DamageKind};
use crate::frame::{Frame, Head, Link, marker_crc};
use crate::limits::{BLOCK_BYTES, FRAME_BYTES_MAX};
use crate::segment::{Identity, SegmentHeader, SegmentName};

/// What was found at the end of a segment's whole frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentState {
    /// Nothing but zeros follows the last frame.
    Whole,
    /// Nothing but zeros follows the header: prepared and never used, or too small for the first frame of its run, which is then
    /// in the next segment.
    Unused,
    /// A write was in flight when the process or the machine stopped; it was never acknowledged.
    TornTail {
        /// Where it starts.
        offset: u64,
        /// Bytes from there to the last one that is not zero.
        bytes: u64,
    },
}

/// The way through the segments of one data directory, in the order of their names.
#[derive(Debug)]
pub struct Walk {
    identity: Identity,
    lane: Option<LaneWalk>,
}

/// Where the walk is within one lane of one run.
#[derive(Clone, Copy, Debug)]
struct LaneWalk {
    segment: SegmentName,
    /// Number and `previous` of the next frame; `None` where older segments are gone, so that the first frame tells.
    expected: Option<(u64, u32)>,
    /// The last event before.
    behind: Option<(ShardId, Sequence)>,
    broken: Option<Broken>,
    /// The checksum that the next frame has if it was a marker at the end of the segment before and is not whole.
    marker_lost: Option<u32>,
    /// The segment was read to its end.
    ended: bool,
}

/// The end of the frames of a lane and run, with something behind it.
#[derive(Clone, Copy, Debug)]
struct Broken {
    segment: SegmentName,
    offset: u64,
    frame: Option<u64>,
    behind: Option<(ShardId, Sequence)>,
    /// A readable header says that nothing was in flight behind this frame.
    alone: bool,
}

impl Walk {
    /// A walk through a data directory of `identity`.
    #[must_use]
    pub fn new(identity: Identity) -> Walk {
        Walk { identity, lane: None }
    }

    /// Opens the next segment: `bytes` is the whole file `name`.
    ///
    /// # Errors
    /// [`Damage`] when it does not belong here or one before it is missing.
    ///
    /// # Panics
    /// When segments do not come in the order of their names, or the one before was not read to its end.
    pub fn segment<'a>(&mut self, name: SegmentName, bytes: &'a [u8]) -> Result<Segment<'_, 'a>, Damage> {
        assert!(self.lane.is_none_or(|lane| lane.ended), "the segment before was read to its end");
        let refused = |kind| Damage { segment: name, offset: 0, frame: None, behind: None, kind };
        let header = SegmentHeader::decode(bytes, self.identity, name).map_err(refused)?;
        let same = self.lane.filter(|lane| (lane.segment.run, lane.segment.lane) == (name.run, name.lane));
        let lane = match same {
            Some(lane) if lane.segment.segment + 1 == name.segment => LaneWalk { segment: name, ended: false, ..lane },
            Some(lane) => {
                assert!(lane.segment < name, "segments come in the order of their names");
                return Err(refused(DamageKind::SegmentMissing { expected: lane.segment.segment + 1 }));
            }
            None => LaneWalk {
                segment: name,
                expected: (name.segment == 0).then(|| (1, self.identity.seed(name))),
                behind: None,
                broken: None,
                marker_lost: None,
                ended: false,
            },
        };
        let offset = header.frames_offset();
        let seed = self.identity.seed(name);
        let lane = self.lane.insert(lane);
        Ok(Segment { lane, header, bytes, seed, offset, state: None })
    }
}

/// An open segment. Its frames must be taken to the end before the next segment is opened.
#[derive(Debug)]
pub struct Segment<'w, 'a> {
    lane: &'w mut LaneWalk,
    header: SegmentHeader,
    bytes: &'a [u8],
    seed: u32,
    offset: usize,
    state: Option<SegmentState>,
}

impl<'a> Segment<'_, 'a> {
    /// Its head.
    #[must_use]
    pub fn header(&self) -> &SegmentHeader {
        &self.header
    }

    /// What follows the last frame; known when [`Segment::next_frame`] has given `None`.
    #[must_use]
    pub fn state(&self) -> Option<SegmentState> {
        self.state
    }

    /// The next whole frame, or `None` at the end of them.
    ///
    /// # Errors
    /// [`Damage`] when the end lies before a frame that was acknowledged.
    pub fn next_frame(&mut self) -> Result<Option<Frame<'a>>, Damage> {
        if self.state.is_some() {
            return Ok(None);
        }
        match self.frame_expected().or_else(|| self.frame_behind_lost_marker()) {
            Some(frame) => {
                self.lane.expected = Some((frame.number + 1, frame.head.crc()));
                (self.lane.broken, self.lane.marker_lost) = (None, None);
                self.offset = frame.offset as usize + frame.length;
                self.note_records(&frame)?;
                Ok(Some(frame))
            }
            None => {
                self.state = Some(self.judge_end()?);
                self.lane.ended = true;
                Ok(None)
            }
        }
    }

    /// The error for something wrong in `frame`.
    #[must_use]
    pub fn damage(&self, frame: &Frame<'_>, kind: DamageKind) -> Damage {
        let (segment, offset) = (frame.segment, frame.offset);
        Damage { segment, offset, frame: Some(frame.number), behind: self.lane.behind, kind }
    }

    fn frame_expected(&self) -> Option<Frame<'a>> {
        if self.lane.broken.is_some() {
            return None;
        }
        let frame = self.frame_at(self.offset)?;
        self.lane.expected.is_none_or(|expected| expected == frame.link()).then_some(frame)
    }

    /// The frame that follows a marker which is not whole, here or at the end of the segment before.
    fn frame_behind_lost_marker(&self) -> Option<Frame<'a>> {
        let (number, _) = self.lane.expected?;
        let (offset, marker) = match self.lane.marker_lost {
            Some(marker) => (self.header.frames_offset(), marker),
            None => (self.offset + BLOCK_BYTES, self.marker_expected()?),
        };
        self.frame_at(offset).filter(|frame| frame.link() == (number + 1, marker))
    }

    /// The checksum that the next frame has if it is a marker.
    fn marker_expected(&self) -> Option<u32> {
        let (number, previous) = self.lane.expected?;
        (self.lane.broken.is_none() && self.offset < self.bytes.len())
            .then(|| marker_crc(self.seed, Link { number, previous, offset: self.offset as u64 }))
    }

    fn frame_at(&self, offset: usize) -> Option<Frame<'a>> {
        Frame::parse(self.bytes, offset, self.seed, self.lane.segment)
    }

    fn note_records(&mut self, frame: &Frame<'_>) -> Result<(), Damage> {
        for record in frame.records() {
            let record = record.map_err(|malformed| self.damage(frame, malformed.into()))?;
            self.lane.behind = Some((record.shard, record.next() - 1));
        }
        Ok(())
    }

    fn judge_end(&mut self) -> Result<SegmentState, Damage> {
        let unused = self.offset == self.header.frames_offset();
        let end = last_written(self.bytes, self.offset);
        self.lane.marker_lost =
            self.marker_expected().filter(|_| end.is_none_or(|end| end <= self.offset + BLOCK_BYTES));
        let Some(end) = end else {
            return Ok(if unused { SegmentState::Unused } else { SegmentState::Whole });
        };
        let (broken, window_end) = self.broken_here();
        let proof = self.whole_frame().or((end > window_end).then_some(end - 1));
        if let Some(witness) = proof {
            let kind = DamageKind::Frame { witness: self.lane.segment, offset: witness as u64 };
            let Broken { segment, offset, frame, behind, alone: _ } = broken;
            return Err(Damage { segment, offset, frame, behind, kind });
        }
        Ok(SegmentState::TornTail { offset: self.offset as u64, bytes: (end - self.offset) as u64 })
    }

    /// The bad frame that the bytes from here on are judged against, and where what was in flight with it ends at the latest.
    fn broken_here(&mut self) -> (Broken, usize) {
        let largest = self.offset + BLOCK_BYTES + FRAME_BYTES_MAX;
        if let Some(broken) = self.lane.broken {
            let near = self.lane.segment.segment == broken.segment.segment + 1 && !broken.alone;
            return (broken, if near { largest } else { self.offset });
        }
        let head = Head::parse(self.bytes, self.offset)
            .filter(|head| self.lane.expected.is_none_or(|expected| expected == head.link()));
        let alone = head.filter(|head| !head.is_marker()).map(|head| self.offset + head.length);
        let broken = Broken {
            segment: self.lane.segment,
            offset: self.offset as u64,
            frame: self.lane.expected.map(|(number, _)| number),
            behind: self.lane.behind,
            alone: alone.is_some(),
        };
        self.lane.broken = Some(broken);
        (broken, alone.unwrap_or(largest))
    }

    /// Where from here on there is a whole frame; none of them continues the chain.
    fn whole_frame(&self) -> Option<usize> {
        (self.offset..self.bytes.len()).step_by(BLOCK_BYTES).find(|offset| self.frame_at(*offset).is_some())
    }
}

/// The index behind the last byte from `from` on that is not zero.
pub(crate) fn last_written(bytes: &[u8], from: usize) -> Option<usize> {
    let rest = &bytes[from..];
    let block = rest.rchunks(BLOCK_BYTES).position(|block| *block != [0; BLOCK_BYTES][..block.len()])?;
    let end = rest.len() - block * BLOCK_BYTES;
    Some(from + rest[..end].iter().rposition(|byte| *byte != 0)? + 1)
}
