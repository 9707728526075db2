//! The matrix on a sample of its cases, and the disk under a real journal.

use orderlane_core::{Event, OrderId, Time};
use orderlane_journal::{Durability, JournalCommit, JournalOptions, Recovered, SegmentFiles};
use orderlane_lane::Commit;

use super::driver::DiskDriver;
use super::journal::IDENTITY;
use super::*;
use crate::disk::{Crash, SimDisk};
use crate::faults::{Fault, FaultSet};
use crate::options::Options;
use crate::random::Random;
use crate::sim::Sim;

const SHARD: ShardId = ShardId(0);

#[test]
fn the_journal_has_what_can_be_damaged() {
    let [(_, at_rest), (_, killed)] = journals();
    let bytes: usize = at_rest.files.values().map(Vec::len).sum();
    let markers = |journal: &Journal| journal.frames.all.iter().filter(|frame| frame.events.is_empty()).count();
    assert!(at_rest.files.len() == 7 && bytes <= 128 << 10, "{} files, {bytes} bytes", at_rest.files.len());
    assert_eq!((markers(&at_rest), markers(&killed)), (6, 4));
    assert!(at_rest.frames.all.iter().any(|frame| frame.range.len() > 8192), "a frame of several blocks");
    assert!(at_rest.frames.all.iter().any(|frame| frame.events.len() == 2), "a frame with two shards");
}

#[test]
fn a_sampled_matrix_loses_nothing_and_accepts_nothing_that_was_never_written() {
    let reports = [truncations(311), flips(8_009)].concat();
    let text = table(&reports);
    assert!(reports.iter().all(MatrixReport::is_good), "\n{text}");
    assert!(reports.iter().all(|report| report.refused > 0), "\n{text}");
    let undecidable: Vec<u64> = reports.iter().map(|report| report.undecidable).collect();
    assert!(undecidable[0] == 0 && undecidable[4] == 0, "cut files and flipped bits at rest are known:\n{text}");
    println!("{text}");
}

#[test]
fn a_loss_and_a_change_are_seen() {
    let journal = Journal::write(true);
    let next = journal.next();
    let fewer = next.iter().map(|(shard, next)| (*shard, next - 1)).collect();
    let result = judge(&journal, Started::Reached(fewer), |_| false);
    assert!(matches!(result, MatrixResult::Lost(_)));
    let mut other = Journal::write(true);
    other.events[0][3] = other.events[1][3].clone();
    let started = Image::new(journal.files.clone()).start(&other);
    assert!(matches!(judge(&journal, started, |_| false), MatrixResult::Silent(_)));
    let mut files = journal.files.clone();
    files.pop_last();
    files.pop_last();
    let started = Image::new(files).start(&journal);
    assert!(!matches!(judge(&journal, started, |_| false), MatrixResult::Recovered));
}

#[test]
fn every_operation_meets_every_policy() {
    let mut seen = Vec::new();
    let report = crash_at_each(3, 1, |index, policy| {
        seen.push((index, policy));
        if index == 1 { MatrixResult::Lost("an order".to_owned()) } else { MatrixResult::Recovered }
    });
    seen.dedup();
    assert_eq!(seen.len(), 15);
    assert_eq!((report.tried, report.recovered, report.lost, report.is_good()), (15, 10, 5, false));
    assert_eq!(report.failures[0], "lost: operation 1, keep: an order");
}

fn disk(faults: &[Fault]) -> (Sim, SimDisk) {
    let faults = faults.iter().fold(FaultSet::default(), |set, fault| set.with(*fault));
    let sim = Sim::new(Options { faults, ..Options::draw(1) }, false);
    let disk = SimDisk::new(&sim);
    (sim, disk)
}

fn start(disk: &SimDisk) -> Recovered {
    let files = SegmentFiles::prepare(disk.directory()).expect("nothing fails");
    files.recover(IDENTITY, &[(SHARD, 1)], |_, _, _, _| {}).expect("a sound journal")
}

/// A run that acknowledges three events, one a commit; it never falls idle.
fn acknowledge_three(sim: &Sim, disk: &SimDisk, durability: Durability) {
    let driver = DiskDriver::new(sim, disk);
    let mut options = JournalOptions::new(IDENTITY, 1, 0, vec![(SHARD, 1)]);
    (options.first_segment_bytes, options.segment_bytes, options.durability) = (64 << 10, 64 << 10, durability);
    let mut commit = driver.run(JournalCommit::open(driver.clone(), options)).expect("nothing fails");
    for sequence in 1..=3 {
        let event = Event::OrderCompleted { order: OrderId::new(SHARD, sequence) };
        commit.append(SHARD, sequence, Time(sequence), &[event]);
        let started = commit.start().expect("something was appended");
        commit.finish(driver.run(started).expect("nothing fails"));
    }
}

#[test]
fn the_disk_tells_a_journal_that_is_synced_from_one_that_is_not() {
    for (durability, kind, next) in [
        (Durability::Fsync, Crash::Kill, 4),
        (Durability::Fsync, Crash::Power, 4),
        (Durability::Os, Crash::Kill, 4),
        (Durability::Os, Crash::Power, 1),
    ] {
        let (sim, disk) = disk(&[]);
        acknowledge_three(&sim, &disk, durability);
        disk.crash(kind);
        assert_eq!(start(&disk).next, [(SHARD, next)], "{durability:?} {kind:?}");
    }
}

#[test]
fn rot_and_wrong_reads_spare_the_last_frame_when_no_marker_is_behind_it() {
    for spared in [false, true] {
        let mut lost = 0;
        for seed in 0..60 {
            let (sim, disk) = disk(&[Fault::BitRot]);
            if spared {
                disk.spare_tails(IDENTITY);
            }
            acknowledge_three(&sim, &disk, Durability::Fsync);
            disk.crash(Crash::Kill);
            let mut random = Random::new(seed);
            while disk.rot(&mut random).is_none() {}
            let files = SegmentFiles::prepare(disk.directory()).expect("nothing fails");
            let recovered = files.recover(IDENTITY, &[(SHARD, 1)], |_, _, _, _| {});
            lost += u64::from(recovered.is_ok_and(|recovered| recovered.next[0].1 < 4));
        }
        assert_eq!(lost == 0, spared, "{lost} of 60");
    }
}
