//! The commit over a disk that stalls and fails: order of operations, roll-over, poison.

use orderlane_core::Time;
use orderlane_journal::{Durability, SegmentState};
use orderlane_lane::Commit;

use crate::memory::MemoryDriver;
use crate::sample::{FIRST_SEGMENT_BYTES, HOME, LARGE, OTHER, SEGMENT_BYTES, Writing, created, name, reached, recover};

fn open() -> Writing {
    let writing = Writing::open(&MemoryDriver::default(), 1, 1).expect("the disk answers");
    writing.driver.run_tasks(100);
    writing.driver.log();
    writing
}

#[test]
fn trap_25_a_commit_is_written_then_synced_and_gives_its_buffer_back() {
    let mut writing = open();
    assert!(writing.commit.start().is_none(), "nothing was appended");
    writing.append(0);
    assert!(writing.commit.open_bytes() > 0);
    let future = writing.commit.start().expect("something was appended");
    let receipt = writing.driver.run(future).expect("the disk answers").expect("the disk is well");
    assert_eq!(receipt.buffer.len(), 4096);
    assert_eq!(receipt.sync_micros, Some(10));
    assert_eq!(
        writing.driver.log(),
        ["write r000001-l00-s000000.seg.new 4096 4096", "sync r000001-l00-s000000.seg.new"]
    );
    assert_eq!(writing.commit.open_bytes(), 0);
}

#[test]
fn durability_os_does_not_sync_commits_and_says_so() {
    let driver = MemoryDriver::default();
    let mut writing = Writing::open_with(&driver, 1, 1, Durability::Os).expect("the disk answers");
    driver.run_tasks(100);
    driver.log();
    writing.append(0);
    let future = writing.commit.start().expect("something was appended");
    let receipt = driver.run(future).expect("the disk answers").expect("the disk is well");
    assert_eq!(receipt.sync_micros, None);
    assert_eq!(driver.log(), ["write r000001-l00-s000000.seg.new 4096 4096"]);
}

#[test]
fn trap_27_a_segment_is_filled_and_synced_before_it_is_named_and_named_durably_before_it_is_used() {
    let driver = MemoryDriver::default();
    let mut writing = Writing::open(&driver, 1, 1).expect("the disk answers");
    driver.run_tasks(100);
    let expected = [
        "create r000001-l00-s000000.seg.new",
        "write r000001-l00-s000000.seg.new 0 4096",
        "write r000001-l00-s000000.seg.new 4096 28672",
        "sync r000001-l00-s000000.seg.new",
        "rename r000001-l00-s000000.seg.new r000001-l00-s000000.seg",
        "sync directory",
    ];
    assert_eq!(driver.log(), expected);

    writing.commit_well(LARGE);
    let expected = [
        "create r000001-l00-s000001.seg.new",
        "write r000001-l00-s000001.seg.new 0 4096",
        "write r000001-l00-s000001.seg.new 4096 45056",
        "sync r000001-l00-s000001.seg.new",
        "rename r000001-l00-s000001.seg.new r000001-l00-s000001.seg",
        "sync directory",
        "write r000001-l00-s000001.seg.new 4096 36864",
    ];
    assert_eq!(driver.log()[..7], expected);
}

/// How many segments there are when everything has come to rest.
fn segments(writing: &Writing) -> usize {
    writing.driver.run_tasks(100);
    writing.driver.image().len()
}

#[test]
fn the_next_segment_is_made_once_when_the_one_in_use_is_half_full() {
    let mut writing = open();
    assert_eq!(segments(&writing), 1, "a start makes one");
    // Half of the first segment: its header and three frames. Of another one: its header and five.
    for (frames, expected) in [(2, 1), (1, 2), (4, 2), (4, 2), (1, 3), (6, 3), (4, 3), (1, 4)] {
        (0..frames).for_each(|_| writing.commit_well(0));
        assert_eq!(segments(&writing), expected, "after {} commits", writing.next - 1);
    }
    let made = writing.driver.log().iter().filter(|line| line.starts_with("create")).count();
    assert_eq!(made, 3, "each one once");
    let mut idle = open();
    idle.commit_well(0);
    idle.idle();
    assert_eq!(segments(&idle), 1);
    idle.commit_well(0);
    assert_eq!(segments(&idle), 2, "markers count");
}

#[test]
fn a_first_frame_that_is_larger_than_the_first_segment_goes_to_the_second_one() {
    let mut writing = open();
    writing.commit_well(LARGE);
    writing.idle();
    writing.commit_well(0);
    let image = writing.driver.image();
    assert_eq!(image.keys().map(|name| name.segment).collect::<Vec<_>>(), [0, 1, 2]);
    let mut walk = orderlane_journal::Walk::new(crate::sample::IDENTITY);
    let mut seen = Vec::new();
    for (segment, bytes) in &image {
        let mut opened = walk.segment(*segment, bytes).expect("whole");
        while let Some(frame) = opened.next_frame().expect("whole") {
            seen.push((segment.segment, frame.number, frame.offset, frame.length));
        }
        let expected = if segment.segment == 1 { SegmentState::Whole } else { SegmentState::Unused };
        assert_eq!(opened.state(), Some(expected), "{segment}");
    }
    assert_eq!(seen, [(1, 1, 4096, 9 * 4096), (1, 2, 10 * 4096, 4096), (1, 3, 11 * 4096, 4096)]);
    let padding = |sequence| if sequence == 1 { LARGE } else { 0 };
    assert_eq!(reached(&recover(&image, padding).expect("whole")), 3);
}

#[test]
fn a_frame_that_is_too_large_for_the_rest_of_a_segment_has_the_next_one_made_at_once() {
    let mut writing = open();
    writing.commit_well(0);
    assert_eq!(segments(&writing), 1, "it is not half full");
    writing.driver.stall("sync r000001-l00-s000001");
    writing.append(LARGE);
    let mut waiting = Box::pin(writing.commit.start().expect("something was appended"));
    assert!(writing.driver.run(waiting.as_mut()).is_none(), "the next segment is not durable yet");
    writing.driver.release();
    assert!(writing.driver.run(waiting).expect("the segment is there").is_ok());
    let padding = |sequence| if sequence == 2 { LARGE } else { 0 };
    assert_eq!(reached(&recover(&writing.driver.image(), padding).expect("whole")), 3);
}

#[test]
fn a_full_segment_is_followed_by_the_prepared_one_and_all_events_come_back() {
    let mut writing = open();
    for _ in 0..40 {
        writing.commit_well(0);
    }
    writing.driver.run_tasks(100);
    let image = writing.driver.image();
    assert_eq!(image.len(), 5, "7 frames fit in the first segment, 11 in each of the others, and the last is prepared");
    for (name, bytes) in &image {
        let expected = if name.segment == 0 { FIRST_SEGMENT_BYTES } else { SEGMENT_BYTES };
        assert_eq!(bytes.len() as u64, expected, "{name}");
    }
    let recovered = recover(&image, |_| 0).expect("whole");
    assert_eq!((reached(&recovered), recovered.frames, recovered.events), (41, 40, 40));
    assert_eq!((recovered.run_next, recovered.torn_bytes), (2, 0));
}

#[test]
fn a_commit_waits_for_the_next_segment_until_it_is_durable() {
    let driver = MemoryDriver::default();
    driver.stall("sync r000001-l00-s000001");
    let mut writing = Writing::open(&driver, 1, 1).expect("the disk answers");
    for _ in 0..7 {
        writing.commit_well(0);
    }
    writing.append(0);
    let mut waiting = Box::pin(writing.commit.start().expect("something was appended"));
    assert!(driver.run(waiting.as_mut()).is_none(), "the next segment is not there");
    driver.release();
    assert!(driver.run(waiting).expect("the segment is there").is_ok());
    assert_eq!(reached(&recover(&driver.image(), |_| 0).expect("whole")), 9);
}

#[test]
fn a_segment_that_cannot_be_made_fails_the_commit_that_needs_it_and_no_earlier_one() {
    let driver = MemoryDriver::default();
    driver.fail("sync r000001-l00-s000001");
    let mut writing = Writing::open(&driver, 1, 1).expect("the disk answers");
    for _ in 0..7 {
        writing.commit_well(0);
    }
    let error = writing.commit(0).expect("an answer").expect_err("no segment");
    assert_eq!(error.action, "syncing a new journal segment");
}

#[test]
fn trap_23_after_a_failed_write_or_sync_nothing_is_written_and_every_commit_fails() {
    for (operation, action) in [("write", "writing the journal"), ("sync", "syncing the journal")] {
        let mut writing = open();
        writing.commit_well(0);
        writing.driver.fail(operation);
        assert_eq!(writing.commit(0).expect("an answer").expect_err("planted").action, action);
        writing.driver.heal();
        writing.driver.log();
        for _ in 0..2 {
            assert_eq!(writing.commit(0).expect("an answer").expect_err("poisoned").action, action);
            writing.idle();
        }
        assert!(writing.driver.log().is_empty(), "traps 23: a failed sync is never retried");
    }
}

#[test]
fn a_failed_marker_fails_the_next_commit() {
    let mut writing = open();
    writing.commit_well(0);
    writing.driver.fail("write");
    writing.idle();
    writing.driver.heal();
    assert_eq!(writing.commit(0).expect("an answer").expect_err("poisoned").action, "writing the journal");
}

#[test]
fn a_commit_that_is_too_large_for_a_frame_is_refused() {
    let mut writing = open();
    for _ in 0..12 {
        writing.append(4000);
    }
    let error = writing.commit_open().expect("an answer").expect_err("too large");
    assert!(error.to_string().contains("a commit of 53248 bytes, at most 45056 fit in a frame"), "{error}");
    assert!(writing.commit(0).expect("an answer").is_err(), "its events are applied and lost: the lane must end");
}

#[test]
fn a_marker_is_written_once_and_before_the_next_frame() {
    let mut writing = open();
    writing.commit.idle();
    writing.driver.run_tasks(10);
    assert!(writing.driver.log().is_empty(), "there is nothing to mark yet");

    writing.commit_well(0);
    writing.driver.log();
    writing.driver.stall("write");
    writing.commit.idle();
    writing.commit.idle();
    writing.append(0);
    let mut next = Box::pin(writing.commit.start().expect("something was appended"));
    assert!(writing.driver.run(next.as_mut()).is_none());
    assert_eq!(writing.driver.log(), ["write r000001-l00-s000000.seg.new 8192 4096"], "the marker alone is under way");
    writing.driver.release();
    writing.driver.run(next).expect("the disk answers").expect("the disk is well");
    assert_eq!(writing.driver.log()[0], "write r000001-l00-s000000.seg.new 12288 4096");
    assert_eq!(recover(&writing.driver.image(), |_| 0).expect("whole").frames, 3);
}

#[test]
fn a_shard_may_come_several_times_in_a_frame_and_shards_keep_their_own_sequences() {
    let mut writing = open();
    for (shard, first, count) in [(HOME, 1, 2), (OTHER, 1, 1), (HOME, 3, 1), (OTHER, 2, 3)] {
        let events: Vec<_> = (first..first + count).map(|sequence| created(sequence, 0)).collect();
        writing.commit.append(shard, first, Time(9), &events);
    }
    writing.commit_open().expect("an answer").expect("the disk is well");
    let image = writing.driver.image();
    let mut seen = Vec::new();
    let mut recovery = orderlane_journal::Recovery::new(crate::sample::IDENTITY, &[(OTHER, 3)]);
    for (name, bytes) in &image {
        recovery
            .segment(*name, bytes, |shard, sequence, _, event| {
                assert_eq!(*event, created(sequence, 0));
                seen.push((shard, sequence));
            })
            .expect("whole");
    }
    assert_eq!(seen, [(OTHER, 3), (OTHER, 4)], "only the wanted shard, from within a record on");
    assert_eq!(recovery.finish().expect("whole").next, [(OTHER, 5)]);
}

#[test]
fn a_prepared_segment_that_was_never_used_is_unused() {
    let mut writing = open();
    (0..3).for_each(|_| writing.commit_well(0));
    assert_eq!(segments(&writing), 2);
    let mut walk = orderlane_journal::Walk::new(crate::sample::IDENTITY);
    for (segment, bytes) in &writing.driver.image() {
        let mut opened = walk.segment(*segment, bytes).expect("whole");
        while opened.next_frame().expect("whole").is_some() {}
        let expected = if *segment == name(1, 0, 1) { SegmentState::Unused } else { SegmentState::Whole };
        assert_eq!(opened.state(), Some(expected), "{segment}");
    }
}
