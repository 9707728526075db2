//! Segments in a real directory: listing, recovery, `show`, `export`.

use std::fs;
use std::path::Path;

use orderlane_core::{Event, OrderRecord, ShardId, Status, Time};
use orderlane_journal::{FilesError, OsDirectory, Recovered, SegmentFiles, SegmentName, SegmentState};
use orderlane_lane::Commit;
use tempfile::TempDir;

use crate::memory::{Image, MemoryDriver};
use crate::sample::{HOME, IDENTITY, Writing, created, name, recover};

/// Eleven events in two segments, a marker, a torn frame behind it, and a third segment that was never used.
fn directory() -> TempDir {
    let directory = TempDir::new().expect("a directory for the test");
    let mut writing = Writing::open(&MemoryDriver::default(), 1, 1).expect("the disk answers");
    (0..11).for_each(|_| writing.commit_well(0));
    writing.idle();
    let mut image = writing.driver.image();
    for (name, bytes) in &mut image {
        if name.segment == 1 {
            bytes[6 * 4096 + 9] = 7;
        }
    }
    store(&image, directory.path());
    directory
}

#[test]
fn recovery_reads_the_files_of_a_directory_and_tells_where_the_next_run_starts() {
    let directory = directory();
    let unfinished = directory.path().join("r000002-l00-s000000.seg.new");
    fs::write(&unfinished, "half").expect("written");
    fs::write(directory.path().join("identity"), "other files do not count").expect("written");
    let files = SegmentFiles::prepare(OsDirectory::new(directory.path())).expect("prepared");
    assert!(!unfinished.exists(), "or its run could not start");
    let mut sequences = Vec::new();
    let recovered = files.recover(IDENTITY, &[(HOME, 1), (ShardId(3), 1)], |shard, sequence, _, event| {
        assert_eq!((shard, event), (HOME, &created(sequence, 0)));
        sequences.push(sequence);
    });
    let recovered = recovered.expect("whole");
    assert_eq!(sequences, (1..=11).collect::<Vec<_>>());
    assert_eq!(recovered.next, [(HOME, 12), (ShardId(3), 1)]);
    assert_eq!((recovered.run_next, recovered.frames, recovered.bytes, recovered.torn_bytes), (2, 12, 12 * 4096, 10));
    files.remove_unused(&recovered.unused).expect("removed");
    let left = SegmentFiles::list(OsDirectory::new(directory.path())).expect("listed");
    assert_eq!(left.names(), [name(1, 0, 0), name(1, 0, 1)], "the torn frame stays, the unused segment does not");
}

fn store(image: &Image, directory: &Path) {
    for (name, bytes) in image {
        fs::write(directory.join(name.to_string()), bytes).expect("written");
    }
}

/// What a start leaves of an image, whether it succeeds or refuses.
pub(crate) fn prepared(image: &Image) -> Image {
    let directory = TempDir::new().expect("a directory for the test");
    store(image, directory.path());
    let files = SegmentFiles::prepare(OsDirectory::new(directory.path())).expect("prepared");
    let wanted: Vec<_> = (0..IDENTITY.shards).map(|shard| (ShardId(shard), 1)).collect();
    if let Ok(recovered) = files.recover(IDENTITY, &wanted, |_, _, _, _| {}) {
        files.remove_unused(&recovered.unused).expect("removed");
    }
    let left = SegmentFiles::list(OsDirectory::new(directory.path())).expect("listed");
    let read = |name: &SegmentName| (*name, fs::read(left.path(*name)).expect("read"));
    left.names().iter().map(read).collect()
}

/// What was recovered, whatever was there besides.
pub(crate) fn used(recovered: Recovered) -> Recovered {
    Recovered { unused: Vec::new(), ..recovered }
}

/// Three runs: one that left a segment behind, one that left two and nothing in the second one, one that stored nothing.
fn runs_with_unused_segments() -> Image {
    let driver = MemoryDriver::default();
    for (run, next, events) in [(1, 1, 12), (2, 13, 12), (3, 20, 0)] {
        let mut writing = Writing::open(&driver, run, next).expect("the disk answers");
        (0..events).for_each(|_| writing.commit_well(0));
        driver.run_tasks(100);
    }
    let mut image = driver.image();
    image.get_mut(&name(2, 0, 1)).expect("used")[4096..].fill(0);
    image
}

#[test]
fn unused_segments_of_old_runs_are_removed_and_recovery_is_the_same() {
    let image = runs_with_unused_segments();
    assert_eq!(image.len(), 7);
    let before = used(recover(&image, |_| 0).expect("whole"));
    assert_eq!((before.run_next, before.events), (4, 19));
    let after = prepared(&image);
    let left = [name(1, 0, 0), name(1, 0, 1), name(2, 0, 0), name(3, 0, 0)];
    assert!(after.keys().eq(&left), "{:?}", after.keys());
    assert!(after.iter().all(|(name, bytes)| image[name] == *bytes), "what is left is as it was");
    assert_eq!(used(recover(&after, |_| 0).expect("whole")), before);
    assert_eq!(prepared(&after), after, "once is enough");
}

#[test]
fn a_start_that_is_cut_while_it_removes_segments_changes_nothing_either() {
    let image = runs_with_unused_segments();
    let before = used(recover(&image, |_| 0).expect("whole"));
    let left = prepared(&image);
    // Of the first round both, one or none may be gone; the second one starts when both are for good.
    let (first, second) = ([name(1, 0, 2), name(2, 0, 2)], name(2, 0, 1));
    for gone in [&first[..1], &first[1..], &first, &[first[0], first[1], second]] {
        let mut image = image.clone();
        gone.iter().for_each(|name| assert!(image.remove(name).is_some(), "{name}"));
        assert_eq!(used(recover(&image, |_| 0).expect("whole")), before, "without {gone:?}");
        assert_eq!(prepared(&image), left);
    }
    // Why there are rounds.
    let mut image = image;
    image.remove(&second);
    assert!(recover(&image, |_| 0).is_err());
}

#[test]
fn a_refused_journal_is_refused_in_the_same_words_again_and_nothing_was_removed() {
    let mut image = runs_with_unused_segments();
    for (place, at) in [(name(1, 0, 0), 5000), (name(1, 0, 1), 20), (name(2, 0, 2), 20), (name(3, 0, 0), 70)] {
        let flip = |image: &mut Image| image.get_mut(&place).expect("there")[at] ^= 1;
        flip(&mut image);
        let text = recover(&image, |_| 0).expect_err("damaged").to_string();
        assert_eq!(prepared(&image), image);
        assert_eq!(recover(&prepared(&image), |_| 0).expect_err("still damaged").to_string(), text);
        flip(&mut image);
    }
}

#[test]
fn show_lists_every_segment_with_its_state() {
    let directory = directory();
    let mut listed = Vec::new();
    let files = SegmentFiles::list(OsDirectory::new(directory.path())).expect("listed");
    files
        .show(IDENTITY, |summary| listed.push((summary.name, summary.frames, summary.events, summary.state)))
        .expect("whole");
    let expected = [
        (name(1, 0, 0), 7, 7, SegmentState::Whole),
        (name(1, 0, 1), 5, 4, SegmentState::TornTail { offset: 6 * 4096, bytes: 10 }),
        (name(1, 0, 2), 0, 0, SegmentState::Unused),
    ];
    assert_eq!(listed, expected);
}

#[test]
fn export_writes_one_line_an_event_and_keeps_payment_tokens_back() {
    let directory = directory();
    let mut out = Vec::new();
    let files = SegmentFiles::list(OsDirectory::new(directory.path())).expect("listed");
    assert_eq!(files.export(IDENTITY, &mut out).expect("whole"), 11);
    let text = String::from_utf8(out).expect("UTF-8");
    assert_eq!(text.lines().count(), 11);
    let first = r#"{"run":1,"lane":0,"segment":0,"offset":4096,"frame":1,"shard":1,"sequence":1,"time":1,"event":"OrderCreated","order":"o_0008000000001","deadline":1,"body":{"subject":"subject","customer":"customer","key":"key","expectedTotal":1,"metadata":[],"lines":[{"sku":"sku","quantity":3,"stockShard":3}]}}"#;
    assert_eq!(text.lines().next(), Some(first));
    assert!(!text.contains("token"));
}

/// The segments that a checkpoint has freed are gone: the second one begins in the middle of the events.
fn directory_without_its_front() -> TempDir {
    let directory = directory();
    fs::remove_file(directory.path().join(name(1, 0, 0).to_string())).expect("removed");
    directory
}

#[test]
fn show_and_export_begin_where_the_journal_does() {
    let directory = directory_without_its_front();
    let files = SegmentFiles::list(OsDirectory::new(directory.path())).expect("listed");
    let mut listed = Vec::new();
    files
        .show(IDENTITY, |summary| listed.push((summary.name, summary.frames, summary.events, summary.state)))
        .expect("whole");
    let expected = [
        (name(1, 0, 1), 5, 4, SegmentState::TornTail { offset: 6 * 4096, bytes: 10 }),
        (name(1, 0, 2), 0, 0, SegmentState::Unused),
    ];
    assert_eq!(listed, expected);
    let mut out = Vec::new();
    assert_eq!(files.export(IDENTITY, &mut out).expect("whole"), 4);
    let text = String::from_utf8(out).expect("UTF-8");
    let heads: Vec<&str> = text.lines().map(|line| line.split(r#","time""#).next().unwrap_or(line)).collect();
    let head = |frame: u64| {
        let offset = 4096 * (frame - 7);
        format!(r#"{{"run":1,"lane":0,"segment":1,"offset":{offset},"frame":{frame},"shard":1,"sequence":{frame}"#)
    };
    assert_eq!(heads, [head(8), head(9), head(10), head(11)]);
    // Its events are of use to a start only with a checkpoint that reaches so far.
    for (wanted, is_whole) in [(1, false), (7, false), (8, true), (11, true)] {
        let wanted = [(HOME, wanted), (ShardId(0), 1)];
        assert_eq!(files.recover(IDENTITY, &wanted, |_, _, _, _| {}).is_ok(), is_whole, "{wanted:?}");
    }
}

#[test]
fn an_order_that_was_called_back_is_exported_without_its_body() {
    let Event::OrderCreated { order, body, .. } = created(1, 0) else { panic!("it is created") };
    let record = OrderRecord::for_tests(Status::PaymentFailed, Time(5), Time(9), &body);
    let bytes = record.as_bytes().len();
    let driver = MemoryDriver::default();
    let mut writing = Writing::open(&driver, 1, 1).expect("the disk answers");
    writing.commit.append(HOME, 1, Time(70), &[Event::OrderRecalled { order, record }]);
    writing.commit_open().expect("the disk answers").expect("the disk is well");
    let directory = TempDir::new().expect("a directory for the test");
    store(&driver.image(), directory.path());
    let mut out = Vec::new();
    let files = SegmentFiles::list(OsDirectory::new(directory.path())).expect("listed");
    assert_eq!(files.export(IDENTITY, &mut out).expect("whole"), 1);
    let expected = format!(
        r#"{{"run":1,"lane":0,"segment":0,"offset":4096,"frame":1,"shard":1,"sequence":1,"time":70,"event":"OrderRecalled","order":"o_0008000000001","customer":"customer","status":"PAYMENT_FAILED","createdAt":5,"updatedAt":9,"recordBytes":{bytes}}}"#
    );
    assert_eq!(String::from_utf8(out).expect("UTF-8").trim_end(), expected);
}

#[test]
fn a_segment_file_with_an_unknown_name_is_refused() {
    let directory = directory();
    fs::write(directory.path().join("r1-l0-s0.seg"), "").expect("written");
    let error = SegmentFiles::list(OsDirectory::new(directory.path())).expect_err("an unknown name");
    assert!(matches!(error, FilesError::UnknownName(_)), "{error}");
}
