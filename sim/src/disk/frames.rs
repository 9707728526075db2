//! Where the frames of a sound journal are, and which damage to them nobody can tell from a write that was never acknowledged.

use std::ops::Range;

use orderlane_core::{Sequence, ShardId};
use orderlane_journal::{Damage, Identity, SegmentName, Walk};

/// A frame of a sound journal.
#[derive(Clone, Debug)]
pub(crate) struct FrameAt {
    pub(crate) segment: SegmentName,
    /// Its blocks.
    pub(crate) range: Range<usize>,
    /// Behind its last byte that is not zero.
    pub(crate) written: usize,
    /// Its events: shard and first sequence; empty for a marker.
    pub(crate) events: Vec<(ShardId, Sequence)>,
}

/// The frames of a whole journal.
#[derive(Clone, Debug, Default)]
pub(crate) struct Frames {
    /// In the order of the segments.
    pub(crate) all: Vec<FrameAt>,
    /// The shards that the first segments of each run name with their first sequence.
    starts: Vec<(u32, ShardId)>,
}

impl Frames {
    /// The frames of all segments, which come in the order of their names.
    ///
    /// # Errors
    /// When the journal is not sound.
    pub(crate) fn of<'a>(
        identity: Identity,
        segments: impl IntoIterator<Item = (SegmentName, &'a [u8])>,
    ) -> Result<Frames, Damage> {
        let mut walk = Walk::new(identity);
        let mut frames = Frames::default();
        for (name, bytes) in segments {
            let mut segment = walk.segment(name, bytes)?;
            frames.starts.extend(segment.header().starts.iter().map(|(shard, _)| (name.run, *shard)));
            while let Some(frame) = segment.next_frame()? {
                let range = frame.offset as usize..frame.offset as usize + frame.length;
                let last = bytes[range.clone()].iter().rposition(|byte| *byte != 0).unwrap_or_default();
                let records = frame.records().filter_map(Result::ok);
                let events = records.map(|record| (record.shard, record.first)).collect();
                frames.all.push(FrameAt { segment: name, written: range.start + last + 1, range, events });
            }
        }
        Ok(frames)
    }

    /// Whether the frames that are gone take acknowledged events from the end of a lane with nothing left behind them to tell: by
    /// ADR 0004 this is what a crash before their acknowledgement leaves. A later run that has one of their shards would tell.
    pub(crate) fn hides_tail(&self, is_gone: impl Fn(&FrameAt) -> bool) -> bool {
        let lane = |frame: &FrameAt| (frame.segment.run, frame.segment.lane);
        let is_told = |run: u32, shard: ShardId| self.starts.iter().any(|(later, own)| *later > run && *own == shard);
        self.all.chunk_by(|a, b| lane(a) == lane(b)).any(|frames| {
            let gone = frames.iter().rev().take_while(|frame| is_gone(frame));
            gone.flat_map(|frame| &frame.events).any(|(shard, _)| !is_told(frames[0].segment.run, *shard))
        })
    }
}
