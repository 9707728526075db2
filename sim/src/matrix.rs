//! The crash matrix: every I/O operation of a workload with every fate of what was unsynced, every truncation of a journal, every
//! flipped bit of it. Each case recovers all that was acknowledged or is refused by name.
//!
//! A few cases nobody can decide, and they are counted apart. By ADR 0004 the journal of a lane ends at the first place without
//! the expected frame, unless something behind that place shows that the frame had been acknowledged. So, in the last run of the
//! data directory (an older one is held to what the next one says):
//!
//! - when all is zero from some byte on, and nothing was written in later segments of the lane either, the files are exactly
//!   those of a crash with the frame at that byte in flight;
//! - when a bit flips in the last frame of a lane and no marker follows it, the same.
//!
//! Such a case is only counted as undecidable when recovery gave exactly the events of the frames before.

mod driver;
mod image;
mod journal;
mod report;
#[cfg(test)]
mod tests;

pub use report::{MatrixReport, MatrixResult, table};

use orderlane_core::{Sequence, ShardId};
use orderlane_lane::Limits;

use crate::disk::Policy;
use crate::disk::frames::FrameAt;
use crate::faults::FaultSet;
use crate::invariants::acknowledged_once;
use crate::options::Options;
use crate::sim::Violation;
use crate::world;

use image::{Image, Started};
use journal::{Journal, segment_name};

/// Part A: the whole engine on a fixed workload, stopped at every disk operation. Every `step`-th case is tried; 1 is all.
#[must_use]
pub fn crash_points(step: usize) -> MatrixReport {
    let whole = world::run_with_crash(workload(), u64::MAX, Policy::Keep);
    assert_eq!(whole.outcome.violation, None, "the workload runs well by itself");
    crash_at_each(whole.operations, step, |index, policy| {
        let run = world::run_with_crash(workload(), index, policy);
        assert!(run.has_crashed, "the same workload comes to the same operation {index}");
        let Some(Violation { invariant, text, .. }) = run.outcome.violation else { return MatrixResult::Recovered };
        let text = format!("{invariant}: {text}");
        let is_loss = invariant == acknowledged_once::NAME || invariant == "recovery-refuses";
        if is_loss { MatrixResult::Lost(text) } else { MatrixResult::Silent(text) }
    })
}

/// Two lanes, three shards, sagas of all kinds, journals of several segments.
fn workload() -> Options {
    Options {
        faults: FaultSet::default(),
        fault_factor: 1,
        shards: 3,
        lanes: 2,
        skus: 4,
        customers: 4,
        clients: 3,
        operations: 24,
        cuts: Vec::new(),
        stock: 40,
        hot_per_mille: 300,
        hold_ttl_micros: 2_000_000,
        pause_micros_max: 2_000,
        segment_bytes: (16 << 10, 16 << 10),
        limits: Limits::default(),
        crashes_max: 0,
        key_retention_micros: u64::MAX,
        archive: None,
        seed: 4,
    }
}

fn crash_at_each(
    operations: u64,
    step: usize,
    mut run_with_crash: impl FnMut(u64, Policy) -> MatrixResult,
) -> MatrixReport {
    let mut report = MatrixReport::new("crash at every operation");
    let cases = (0..operations).flat_map(|index| Policy::ALL.map(|policy| (index, policy)));
    for (index, policy) in cases.step_by(step) {
        report.add(|| format!("operation {index}, {}", policy.name()), run_with_crash(index, policy));
    }
    report
}

/// Part B: files cut at every byte, and files that are zero from every byte on, as preallocated ones are. Every `step`-th case
/// is tried; 1 is all.
#[must_use]
pub fn truncations(step: usize) -> Vec<MatrixReport> {
    journals()
        .into_iter()
        .flat_map(|(state, journal)| [cuts(state, &journal, step), zeros(state, &journal, step)])
        .collect()
}

/// Part C: every bit flipped. Every `step`-th case is tried; 1 is all.
#[must_use]
pub fn flips(step: usize) -> Vec<MatrixReport> {
    journals().into_iter().map(|(state, journal)| flip_bits(state, &journal, step)).collect()
}

fn journals() -> [(&'static str, Journal); 2] {
    [("at rest", Journal::write(true)), ("killed before the marker", Journal::write(false))]
}

fn cuts(state: &str, journal: &Journal, step: usize) -> MatrixReport {
    let mut report = MatrixReport::new(format!("file cut, {state}"));
    let mut image = Image::new(journal.files.clone());
    for (name, whole) in &journal.files {
        for length in (0..whole.len()).rev().step_by(step) {
            file(&mut image, name).truncate(length);
            // The header says how long the file is: there is nothing that could not be known.
            let result = judge(journal, image.start(journal), |_| false);
            report.add(|| format!("{name} cut to {length} bytes"), result);
        }
        file(&mut image, name).clone_from(whole);
    }
    report
}

fn zeros(state: &str, journal: &Journal, step: usize) -> MatrixReport {
    let mut report = MatrixReport::new(format!("zeros to the end, {state}"));
    let mut image = Image::new(journal.files.clone());
    for (name, whole) in &journal.files {
        let segment = segment_name(name);
        for from in (0..whole.len()).rev().step_by(step) {
            file(&mut image, name)[from..].fill(0);
            let is_gone = |frame: &FrameAt| frame.segment == segment && frame.written > from;
            let result = judge(journal, image.start(journal), is_gone);
            report.add(|| format!("{name} zero from {from} on"), result);
        }
        file(&mut image, name).clone_from(whole);
    }
    report
}

fn flip_bits(state: &str, journal: &Journal, step: usize) -> MatrixReport {
    let mut report = MatrixReport::new(format!("bit flipped, {state}"));
    let mut image = Image::new(journal.files.clone());
    // One count over all files, so that a step that is no multiple of 8 meets every bit of a byte.
    let bits = journal.files.iter().flat_map(|(name, bytes)| (0..8 * bytes.len()).map(move |bit| (name, bit)));
    for (name, bit) in bits.step_by(step) {
        let (offset, mask) = (bit / 8, 1 << (bit % 8));
        let segment = segment_name(name);
        file(&mut image, name)[offset] ^= mask;
        let is_hit = |frame: &FrameAt| frame.segment == segment && frame.range.contains(&offset);
        let result = judge(journal, image.start(journal), is_hit);
        report.add(|| format!("{name}, byte {offset}, bit {}", bit % 8), result);
        file(&mut image, name)[offset] ^= mask;
    }
    report
}

fn file<'a>(image: &'a mut Image, name: &str) -> &'a mut Vec<u8> {
    image.files.get_mut(name).expect("the image has the journal's files")
}

/// Judges a start; `is_gone` tells which frames were damaged or taken away.
fn judge(journal: &Journal, started: Started, is_gone: impl Fn(&FrameAt) -> bool) -> MatrixResult {
    let reached = match started {
        Started::Refused(text) => return MatrixResult::Refused(text),
        Started::Wrong(text) => return MatrixResult::Silent(text),
        Started::Reached(reached) => reached,
    };
    if reached == journal.next() {
        return MatrixResult::Recovered;
    }
    if journal.frames.hides_tail(&is_gone) && reached == next_without(journal, &is_gone) {
        return MatrixResult::Undecidable;
    }
    MatrixResult::Lost(format!("{:?} was acknowledged, recovered was {reached:?}", journal.next()))
}

/// By shard, the next sequence when these frames had never been written.
fn next_without(journal: &Journal, is_gone: impl Fn(&FrameAt) -> bool) -> Vec<(ShardId, Sequence)> {
    let mut next = journal.next();
    for (shard, first) in journal.frames.all.iter().filter(|frame| is_gone(frame)).flat_map(|frame| &frame.events) {
        let entry = &mut next[shard.index()].1;
        *entry = (*entry).min(*first);
    }
    next
}
