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

/// The frames of all segments, which come in the order of their names.
///
/// # Errors
/// When the journal is not sound.
pub(crate) fn frames<'a>(
    identity: Identity,
    segments: impl IntoIterator<Item = (SegmentName, &'a [u8])>,
) -> Result<Vec<FrameAt>, Damage> {
    let mut walk = Walk::new(identity);
    let mut frames = Vec::new();
    for (name, bytes) in segments {
        let mut segment = walk.segment(name, bytes)?;
        while let Some(frame) = segment.next_frame()? {
            let range = frame.offset as usize..frame.offset as usize + frame.length;
            let last = bytes[range.clone()].iter().rposition(|byte| *byte != 0).unwrap_or_default();
            let records = frame.records().filter_map(Result::ok);
            let events = records.map(|record| (record.shard, record.first)).collect();
            frames.push(FrameAt { segment: name, written: range.start + last + 1, range, events });
        }
    }
    Ok(frames)
}

/// Whether the frames that are gone take acknowledged events from the end of a lane with nothing left behind them to tell: by
/// ADR 0004 this is what a crash before their acknowledgement leaves. A run before `run_last` is held to what the next one says.
pub(crate) fn hides_tail(frames: &[FrameAt], run_last: u32, is_gone: impl Fn(&FrameAt) -> bool) -> bool {
    let lane = |frame: &FrameAt| (frame.segment.run, frame.segment.lane);
    let mut lanes = frames.chunk_by(|a, b| lane(a) == lane(b)).filter(|frames| frames[0].segment.run == run_last);
    lanes.any(|frames| frames.iter().rev().take_while(|frame| is_gone(frame)).any(|frame| !frame.events.is_empty()))
}
