//! Recovery: the events of the wanted shards in their order, from whichever lanes and runs hold them.
//!
//! Every shard's sequence is dense from where the caller wants it, across runs. Each run's first segments name the sequence at
//! which the lane took each of its shards: older runs must have reached exactly that, so a tail that is missing there is
//! damage however it looks. What lies below the wanted sequences may be missing in part or whole: a checkpoint has it. Several recoveries may read the same files, each for its own shards.

use orderlane_core::{Event, Sequence, ShardId, Time};

use crate::damage::{Damage, DamageKind};
use crate::record::Record;
use crate::segment::{Identity, SegmentHeader, SegmentName};
use crate::walk::{SegmentState, Walk};

/// What a recovery has read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Each wanted shard and the sequence of its next event, in the order of the shards.
    pub next: Vec<(ShardId, Sequence)>,
    /// The number of the run that may start now.
    pub run_next: u32,
    /// Whole frames, markers included, whatever shards they hold.
    pub frames: u64,
    /// Events handed to `apply`.
    pub events: u64,
    /// Bytes of the whole frames.
    pub bytes: u64,
    /// Segments without a frame, see [`crate::SegmentFiles::remove_unused`].
    pub unused: Vec<SegmentName>,
    /// Bytes of torn tails: writes in flight that nobody was told about.
    pub torn_bytes: u64,
}

/// Reads the segments of a data directory in the order of their names.
#[derive(Debug)]
pub struct Recovery {
    walk: Walk,
    shards: u16,
    /// By shard; `None` for those that the caller does not want.
    progress: Vec<Option<Progress>>,
    last: Option<SegmentName>,
    /// The last run that has lost its oldest segments, and with them what they said of their shards.
    front_gone: Option<u32>,
    sums: Recovered,
}

#[derive(Clone, Copy, Debug)]
struct Progress {
    /// The first sequence that the caller wants.
    wanted: Sequence,
    /// The next sequence by what the files held so far; `None` while they held nothing.
    reached: Option<Sequence>,
    /// Where that was.
    last: Option<SegmentName>,
}

impl Recovery {
    /// A recovery of the given shards, each from its first wanted sequence on: 1, or the one behind its checkpoint.
    ///
    /// # Panics
    /// When a shard is not below the count of shards.
    #[must_use]
    pub fn new(identity: Identity, wanted: &[(ShardId, Sequence)]) -> Recovery {
        let mut progress = vec![None; usize::from(identity.shards)];
        for (shard, wanted) in wanted {
            progress[shard.index()] = Some(Progress { wanted: *wanted, reached: None, last: None });
        }
        let walk = Walk::new(identity);
        Recovery { walk, shards: identity.shards, progress, last: None, front_gone: None, sums: Recovered::default() }
    }

    /// Reads the next segment, `bytes` being the whole file, which was synced before it was read. Calls `apply` with the
    /// wanted events.
    ///
    /// # Errors
    /// [`Damage`]; some events of the segment may have been applied: start over, or not at all.
    pub fn segment(
        &mut self,
        name: SegmentName,
        bytes: &[u8],
        mut apply: impl FnMut(ShardId, Sequence, Time, &Event),
    ) -> Result<(), Damage> {
        let mut segment = self.walk.segment(name, bytes)?;
        check_starts(&mut self.progress, segment.header())?;
        let is_oldest = self.last.is_none_or(|last| (last.run, last.lane) != (name.run, name.lane));
        if is_oldest && name.segment > 0 {
            self.front_gone = Some(name.run);
        }
        self.last = Some(name);
        while let Some(frame) = segment.next_frame()? {
            self.sums.frames += 1;
            self.sums.bytes += frame.length as u64;
            for record in frame.records() {
                let record = record.map_err(|malformed| segment.damage(&frame, malformed.into()))?;
                let events = take_record(&mut self.progress, self.shards, name, &record, &mut apply);
                self.sums.events += events.map_err(|kind| segment.damage(&frame, kind))?;
            }
        }
        match segment.state() {
            Some(SegmentState::TornTail { bytes, .. }) => self.sums.torn_bytes += bytes,
            Some(SegmentState::Unused) => self.sums.unused.push(name),
            Some(SegmentState::Whole) | None => {}
        }
        Ok(())
    }

    /// What was read, once all segments were.
    ///
    /// # Errors
    /// [`Damage`] when the journal ends before a checkpoint.
    pub fn finish(self) -> Result<Recovered, Damage> {
        let mut sums = self.sums;
        sums.run_next = self.last.map_or(1, |last| last.run + 1);
        for (index, progress) in self.progress.into_iter().enumerate() {
            let Some(Progress { wanted, reached, last }) = progress else { continue };
            let shard = ShardId(index as u16);
            // Where the front of a later run is gone, the shard's last events were in it.
            let lost = last.is_none_or(|last| self.front_gone.is_some_and(|run| run > last.run));
            let reached = reached.filter(|reached| *reached >= wanted || !lost);
            let next = reached.unwrap_or(wanted);
            if let (true, Some(segment)) = (next < wanted, last) {
                let kind = DamageKind::BehindCheckpoint { shard, wanted, reached: next };
                return Err(Damage { segment, offset: 0, frame: None, behind: None, kind });
            }
            sums.next.push((shard, next));
        }
        Ok(sums)
    }
}

/// Holds the older runs to what the first segment of a newer one says of each shard.
fn check_starts(progress: &mut [Option<Progress>], header: &SegmentHeader) -> Result<(), Damage> {
    let damage = |kind| Damage { segment: header.name, offset: 0, frame: None, behind: None, kind };
    for (shard, next) in &header.starts {
        let Some(entry) = progress.get_mut(shard.index()) else {
            return Err(damage(DamageKind::UnknownShard(*shard)));
        };
        if let Some(progress) = entry {
            progress.continue_at(*shard, *next, *next, header.name).map_err(damage)?;
        }
    }
    Ok(())
}

fn take_record(
    progress: &mut [Option<Progress>],
    shards: u16,
    name: SegmentName,
    record: &Record<'_>,
    apply: &mut impl FnMut(ShardId, Sequence, Time, &Event),
) -> Result<u64, DamageKind> {
    if record.shard.0 >= shards {
        return Err(DamageKind::UnknownShard(record.shard));
    }
    let Some(progress) = &mut progress[record.shard.index()] else { return Ok(0) };
    progress.continue_at(record.shard, record.first, record.next(), name)?;
    if record.next() <= progress.wanted {
        return Ok(0);
    }
    let mut applied = 0;
    for event in record.events() {
        let (sequence, event) = event?;
        if sequence >= progress.wanted {
            apply(record.shard, sequence, record.time, &event);
            applied += 1;
        }
    }
    Ok(applied)
}

impl Progress {
    /// The files go on with `first`; behind that, `next` comes.
    fn continue_at(
        &mut self,
        shard: ShardId,
        first: Sequence,
        next: Sequence,
        name: SegmentName,
    ) -> Result<(), DamageKind> {
        // Segments may be gone for good, up to the checkpoint and no further.
        let reached = self.reached.unwrap_or(0);
        let fits = reached == first || (reached < first && first <= self.wanted);
        if !fits {
            let expected = if first < reached { reached } else { reached.max(self.wanted) };
            return Err(DamageKind::Gap { shard, expected, found: first, last: self.last });
        }
        self.reached = Some(next);
        self.last = Some(name);
        Ok(())
    }
}
