//! Segments in a real directory: listing, recovery, `show`, `export`.

use std::fs;

use orderlane_core::ShardId;
use orderlane_journal::{FilesError, SegmentFiles, SegmentState};
use tempfile::TempDir;

use crate::memory::MemoryDriver;
use crate::sample::{HOME, IDENTITY, Writing, created, name};

/// Ten events in two segments, a marker, and a torn frame behind it.
fn directory() -> TempDir {
    let directory = TempDir::new().expect("a directory for the test");
    let mut writing = Writing::open(&MemoryDriver::default(), 1, 1).expect("the disk answers");
    (0..10).for_each(|_| writing.commit_well(0));
    writing.idle();
    for (name, mut bytes) in writing.driver.image() {
        if name.segment == 1 {
            bytes[5 * 4096 + 9] = 7;
        }
        fs::write(directory.path().join(name.to_string()), bytes).expect("written");
    }
    directory
}

#[test]
fn recovery_reads_the_files_of_a_directory_and_tells_where_the_next_run_starts() {
    let directory = directory();
    let unfinished = directory.path().join("r000002-l00-s000000.seg.new");
    fs::write(&unfinished, "half").expect("written");
    fs::write(directory.path().join("identity"), "other files do not count").expect("written");
    let files = SegmentFiles::prepare(directory.path()).expect("prepared");
    assert!(!unfinished.exists(), "or its run could not start");
    let mut sequences = Vec::new();
    let recovered = files.recover(IDENTITY, &[(HOME, 1), (ShardId(3), 1)], |shard, sequence, _, event| {
        assert_eq!((shard, event), (HOME, &created(sequence, 0)));
        sequences.push(sequence);
    });
    let recovered = recovered.expect("whole");
    assert_eq!(sequences, (1..=10).collect::<Vec<_>>());
    assert_eq!(recovered.next, [(HOME, 11), (ShardId(3), 1)]);
    assert_eq!((recovered.run_next, recovered.frames, recovered.bytes, recovered.torn_bytes), (2, 11, 11 * 4096, 10));
}

#[test]
fn show_lists_every_segment_with_its_state() {
    let directory = directory();
    let mut listed = Vec::new();
    let files = SegmentFiles::list(directory.path()).expect("listed");
    files
        .show(IDENTITY, |summary| listed.push((summary.name, summary.frames, summary.events, summary.state)))
        .expect("whole");
    let expected = [
        (name(1, 0, 0), 7, 7, SegmentState::Whole),
        (name(1, 0, 1), 4, 3, SegmentState::TornTail { offset: 5 * 4096, bytes: 10 }),
        (name(1, 0, 2), 0, 0, SegmentState::Unused),
    ];
    assert_eq!(listed, expected);
}

#[test]
fn export_writes_one_line_an_event_and_keeps_payment_tokens_back() {
    let directory = directory();
    let mut out = Vec::new();
    let files = SegmentFiles::list(directory.path()).expect("listed");
    assert_eq!(files.export(IDENTITY, &mut out).expect("whole"), 10);
    let text = String::from_utf8(out).expect("UTF-8");
    assert_eq!(text.lines().count(), 10);
    let first = r#"{"run":1,"lane":0,"segment":0,"offset":4096,"frame":1,"shard":1,"sequence":1,"time":1,"event":"OrderCreated","order":"o_0008000000001","deadline":1,"body":{"subject":"subject","customer":"customer","key":"key","expectedTotal":1,"metadata":[],"lines":[{"sku":"sku","quantity":3,"stockShard":3}]}}"#;
    assert_eq!(text.lines().next(), Some(first));
    assert!(!text.contains("token"));
}

#[test]
fn a_segment_file_with_an_unknown_name_is_refused() {
    let directory = directory();
    fs::write(directory.path().join("r1-l0-s0.seg"), "").expect("written");
    let error = SegmentFiles::list(directory.path()).expect_err("an unknown name");
    assert!(matches!(error, FilesError::UnknownName(_)), "{error}");
}
