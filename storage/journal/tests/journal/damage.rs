//! Damage: what is cut, what is refused, and by which name.
//!
//! The journal of most tests is a first segment of eight blocks: header, frames 1 to 3, the marker 4, the last frame 5, zeros.
//! Other segments have twelve blocks. In some tests the first frame is too large for the first segment: that one is empty, and
//! the next one holds its header, frame 1 of nine blocks, frame 2, and zeros or a marker.

use orderlane_core::ShardId;
use orderlane_journal::{Damage, DamageKind, Identity, JournalCommit, Recovery};

use crate::memory::{Image, MemoryDriver};
use crate::sample::{
    FIRST_SEGMENT_BYTES, HOME, IDENTITY, LARGE, OTHER, SEGMENT_BYTES, Writing, name, options, reached, recover,
};

const BLOCK: usize = 4096;

/// A run of one lane whose commits hold the given paddings; `None` is a marker.
fn journal(driver: &MemoryDriver, run: u32, next: u64, steps: &[Option<usize>]) -> Image {
    let mut writing = Writing::open(driver, run, next).expect("the disk answers");
    driver.run_tasks(100);
    for step in steps {
        match step {
            Some(padding) => writing.commit_well(*padding),
            None => writing.idle(),
        }
    }
    driver.run_tasks(100);
    driver.image()
}

/// The one segment that holds frames.
fn one_segment() -> Image {
    let steps = [Some(0), Some(0), Some(0), None, Some(0)];
    let mut image = journal(&MemoryDriver::default(), 1, 1, &steps);
    image.retain(|name, _| name.segment == 0);
    image
}

/// As [`one_segment`], at rest: the last frame is marked.
fn one_segment_at_rest() -> Image {
    let steps = [Some(0), Some(0), Some(0), None, Some(0), None];
    let mut image = journal(&MemoryDriver::default(), 1, 1, &steps);
    image.retain(|name, _| name.segment == 0);
    image
}

/// A run whose first frame is too large for its first segment, and what is behind that frame.
fn large_first(behind: &[Option<usize>]) -> Image {
    let steps = [&[Some(LARGE)], behind].concat();
    journal(&MemoryDriver::default(), 1, 1, &steps)
}

fn changed(image: &Image, change: impl FnOnce(&mut Vec<u8>)) -> Image {
    let first = *image.first_key_value().expect("a segment").0;
    changed_in(image, first.segment, change)
}

/// An image of run 1 with one of its segments changed.
fn changed_in(image: &Image, segment: u32, change: impl FnOnce(&mut Vec<u8>)) -> Image {
    let mut image = image.clone();
    let run = image.first_key_value().expect("a segment").0.run;
    change(image.get_mut(&name(run, 0, segment)).expect("the segment"));
    image
}

/// What recovery makes of an image: the next sequence, or the frame that is named in the refusal.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Reaches(u64),
    Refuses(Option<u64>),
}
use Outcome::{Reaches, Refuses};

fn outcome(image: &Image) -> Outcome {
    outcome_with(image, |_| 0)
}

fn outcome_with(image: &Image, padding: impl Fn(u64) -> usize) -> Outcome {
    match recover(image, padding) {
        Ok(recovered) => Reaches(reached(&recovered)),
        Err(damage) => Refuses(damage.frame),
    }
}

#[test]
fn writes_that_were_lost_from_any_byte_on_leave_exactly_the_frames_before() {
    let whole = one_segment();
    let bytes = &whole[&name(1, 0, 0)];
    let written = |block: usize| {
        let frame = &bytes[block * BLOCK..(block + 1) * BLOCK];
        block * BLOCK + frame.iter().rposition(|byte| *byte != 0).expect("a frame") + 1
    };
    let ends = [1, 2, 3, 5].map(written);
    for cut in BLOCK..bytes.len() {
        let events = ends.iter().filter(|end| **end <= cut).count() as u64;
        let image = changed(&whole, |bytes| bytes[cut..].fill(0));
        assert_eq!(outcome(&image), Reaches(events + 1), "zeros from {cut} on");
    }
}

#[test]
fn a_file_that_lost_bytes_is_refused_wherever_it_is_cut() {
    let whole = large_first(&[Some(0)]);
    for (image, segment, expected, step) in [
        (&one_segment(), 0, FIRST_SEGMENT_BYTES, 1),
        (&whole, 0, FIRST_SEGMENT_BYTES, 1),
        (&whole, 1, SEGMENT_BYTES, 31),
        (&whole, 2, SEGMENT_BYTES, 31),
    ] {
        let mut image = image.clone();
        let file = name(1, 0, segment);
        for len in (0..expected as usize).rev().step_by(step) {
            image.get_mut(&file).expect("the segment").truncate(len);
            let damage = recover(&image, large_then_small).expect_err("the file was full when it got its name");
            let short = DamageKind::Length { found: len as u64, expected };
            assert!(damage.segment == file && (damage.kind == short || len < BLOCK), "cut at {len}: {damage}");
        }
    }
}

#[test]
fn a_file_of_another_segments_length_is_refused() {
    let whole = large_first(&[Some(0)]);
    for (segment, found, expected) in [(0, SEGMENT_BYTES, FIRST_SEGMENT_BYTES), (1, FIRST_SEGMENT_BYTES, SEGMENT_BYTES)]
    {
        let image = changed_in(&whole, segment, |bytes| bytes.resize(found as usize, 0));
        let damage = recover(&image, large_then_small).expect_err("its header says which length it has");
        assert_eq!(damage.kind, DamageKind::Length { found, expected });
    }
}

#[test]
fn writes_that_were_lost_from_any_byte_on_leave_the_frames_before_also_behind_an_empty_first_segment() {
    let whole = large_first(&[Some(0)]);
    let bytes = &whole[&name(1, 0, 1)];
    let written =
        |blocks: usize| 1 + bytes[..blocks * BLOCK].iter().rposition(|byte| *byte != 0).expect("a frame is written");
    let ends = [10, 11].map(written);
    let edges = ends.iter().flat_map(|end| end - 3..end + 3);
    for cut in (BLOCK..bytes.len()).step_by(13).chain(BLOCK..BLOCK + 64).chain(edges) {
        let events = ends.iter().filter(|end| **end <= cut).count() as u64;
        let image = changed_in(&whole, 1, |bytes| bytes[cut..].fill(0));
        assert_eq!(outcome_with(&image, large_then_small), Reaches(events + 1), "zeros from {cut} on");
    }
}

#[test]
fn a_flipped_bit_is_refused_or_cut_in_the_last_frame_only_also_behind_an_empty_first_segment() {
    let (moving, at_rest) = (large_first(&[Some(0)]), large_first(&[Some(0), None]));
    for (segment, len) in [(0, FIRST_SEGMENT_BYTES), (1, SEGMENT_BYTES)] {
        for at in (0..len as usize).step_by(37) {
            let flip = |bytes: &mut Vec<u8>| bytes[at] ^= 1 << (at % 8);
            let (expected_moving, expected_at_rest) = match (segment, at / BLOCK) {
                (_, 0) => (Refuses(None), Refuses(None)),
                // Bytes where frame 1 might have been, and frame 2 shows that it was acknowledged.
                (0, _) | (1, 1..=9) => (Refuses(Some(1)), Refuses(Some(1))),
                (1, 10) => (Reaches(2), Refuses(Some(2))),
                _ => (Reaches(3), Reaches(3)),
            };
            let outcome = |image| outcome_with(&changed_in(image, segment, flip), large_then_small);
            assert_eq!(outcome(&moving), expected_moving, "segment {segment}, byte {at}");
            assert_eq!(outcome(&at_rest), expected_at_rest, "segment {segment}, byte {at} at rest");
        }
    }
}

fn large_then_small(sequence: u64) -> usize {
    if sequence == 1 { LARGE } else { 0 }
}

#[test]
fn trap_24_a_flipped_bit_is_refused_by_name_or_cut_in_the_last_frame_only() {
    let (moving, at_rest) = (one_segment(), one_segment_at_rest());
    for at in (0..FIRST_SEGMENT_BYTES as usize).step_by(3) {
        let flip = |bytes: &mut Vec<u8>| bytes[at] ^= 1 << (at % 8);
        let frame = (at / BLOCK) as u64;
        let (expected_moving, expected_at_rest) = match frame {
            0 => (Refuses(None), Refuses(None)),
            1..=3 => (Refuses(Some(frame)), Refuses(Some(frame))),
            4 => (Reaches(5), Reaches(5)),
            5 => (Reaches(4), Refuses(Some(5))),
            _ => (Reaches(5), Reaches(5)),
        };
        assert_eq!(outcome(&changed(&moving, flip)), expected_moving, "byte {at}");
        assert_eq!(outcome(&changed(&at_rest, flip)), expected_at_rest, "byte {at} at rest: the marker is a witness");
    }
}

#[test]
fn bytes_that_cannot_have_been_in_flight_show_that_a_bad_frame_was_acknowledged() {
    let whole = one_segment();
    let damage =
        |blocks: &[usize]| changed(&whole, |bytes| blocks.iter().for_each(|block| bytes[block * BLOCK + 100] ^= 1));
    let head = |block: usize| changed(&whole, |bytes| bytes[block * BLOCK] ^= 1);
    for (image, expected, why) in [
        (damage(&[3, 4, 5]), Refuses(Some(3)), "frame 3 has a readable header and something behind it"),
        (damage(&[4, 5]), Reaches(4), "marker and next frame are both in flight"),
        (damage(&[5]), Reaches(4), "the last frame"),
        (damage(&[2, 3, 4]), Refuses(Some(2)), "frame 5 is whole"),
        (head(4), Reaches(5), "the marker is rebuilt: frame 5 continues it"),
        (head(3), Refuses(Some(3)), "a frame with records is not rebuilt"),
    ] {
        assert_eq!(outcome(&image), expected, "{why}");
    }
}

#[test]
fn a_refusal_names_run_lane_segment_offset_frame_and_sequence() {
    let image = changed(&one_segment(), |bytes| bytes[3 * BLOCK + 50] ^= 1);
    let text = recover(&image, |_| 0).expect_err("damaged").to_string();
    let expected = "journal r000001-l00-s000000.seg (run 1, lane 0, segment 0) at offset 12288, frame 3, behind sequence 2 \
                    of shard 1: the frame is damaged, and r000001-l00-s000000.seg at offset 16384 shows that it was \
                    acknowledged; acknowledged orders would be lost, so nothing was changed: restore the file from a copy \
                    of the data directory";
    assert_eq!(text, expected);
}

#[test]
fn a_bad_frame_at_the_end_of_a_segment_is_refused_when_the_next_segment_goes_on() {
    let whole = journal(&MemoryDriver::default(), 1, 1, &[Some(0); 10]);
    let image = changed(&whole, |bytes| bytes[7 * BLOCK + 50] ^= 1);
    assert_eq!(outcome(&image), Refuses(Some(7)));
    let image = changed(&whole, |bytes| bytes[7 * BLOCK..].fill(0));
    assert_eq!(outcome(&image), Refuses(Some(7)), "also when it is not there at all");
    assert_eq!(outcome(&whole), Reaches(11));
}

#[test]
fn a_lost_marker_at_the_end_of_a_segment_does_not_take_the_next_segment_with_it() {
    let steps = [Some(0), Some(0), Some(0), Some(0), Some(0), Some(0), None, Some(0)];
    let whole = journal(&MemoryDriver::default(), 1, 1, &steps);
    let damage = |block: usize| changed(&whole, |bytes| bytes[block * BLOCK + 50] ^= 1);
    for (image, expected, why) in [
        (whole.clone(), Reaches(8), "whole"),
        (changed(&whole, |bytes| bytes[7 * BLOCK..].fill(0)), Reaches(8), "the marker was never durable"),
        (damage(7), Reaches(8), "the marker is damaged"),
        (damage(6), Refuses(Some(6)), "a frame with records"),
        (changed(&whole, |bytes| bytes[6 * BLOCK..].fill(0)), Refuses(Some(6)), "a frame with records and its marker"),
    ] {
        assert_eq!(outcome(&image), expected, "{why}");
    }
}

#[test]
fn a_shard_may_be_on_another_lane_in_the_next_run() {
    let mut image = journal(&MemoryDriver::default(), 1, 1, &[Some(0), Some(0), Some(0), None]);
    let driver = MemoryDriver::default();
    let options = options(IDENTITY, 2, 3, vec![(OTHER, 1), (HOME, 4)]);
    let commit = driver.run(JournalCommit::open(driver.clone(), options)).expect("an answer").expect("made");
    let mut writing = Writing { driver: driver.clone(), commit, next: 4 };
    writing.commit_well(0);
    image.extend(driver.image());
    assert_eq!(outcome(&image), Reaches(5));
}

/// The image of the same work in another place: every frame at the same offset, with other identity.
fn elsewhere(identity: Identity, run: u32, lane: u16) -> Image {
    let driver = MemoryDriver::default();
    let options = options(identity, run, lane, vec![(HOME, 1)]);
    let commit = driver.run(JournalCommit::open(driver.clone(), options)).expect("an answer").expect("made");
    let mut writing = Writing { driver: driver.clone(), commit, next: 1 };
    (0..14).for_each(|_| writing.commit_well(0));
    driver.image()
}

#[test]
fn trap_26_frames_of_another_place_do_not_parse_even_at_their_own_offset() {
    let whole = one_segment();
    let other = Identity { directory: IDENTITY.directory ^ 1, ..IDENTITY };
    let same = elsewhere(IDENTITY, 1, 0);
    for (from, name, why) in [
        (
            &elsewhere(other, 1, 0),
            name(1, 0, 0),
            "another data directory: a payload of somebody who does not know ours",
        ),
        (&elsewhere(IDENTITY, 2, 0), name(2, 0, 0), "another run: a recycled file"),
        (&elsewhere(IDENTITY, 1, 1), name(1, 1, 0), "another lane: a misdirected write"),
        (&same, name(1, 0, 1), "another segment"),
    ] {
        for block in [1, 5, 6, 7] {
            let stale = &from[&name][block * BLOCK..(block + 1) * BLOCK];
            let image = changed(&whole, |bytes| bytes[block * BLOCK..(block + 1) * BLOCK].copy_from_slice(stale));
            let expected = match block {
                1 => Refuses(Some(1)),
                5 => Reaches(4),
                _ => Reaches(5),
            };
            assert_eq!(outcome(&image), expected, "block {block}: {why}");
        }
    }
}

#[test]
fn a_frame_of_the_same_segment_does_not_parse_in_another_block() {
    let whole = one_segment();
    for from in 1..=5 {
        let image = changed(&whole, |bytes| bytes.copy_within(from * BLOCK..(from + 1) * BLOCK, 6 * BLOCK));
        assert_eq!(outcome(&image), Reaches(5), "frame {from} behind the last one");
    }
}

#[test]
fn a_whole_frame_that_does_not_continue_the_chain_is_refused() {
    // The same place in every respect, written by a journal whose second frame was another one.
    let whole = one_segment();
    let twin = journal(&MemoryDriver::default(), 1, 1, &[Some(0), Some(7), Some(0)]);
    let frame = &twin[&name(1, 0, 0)][3 * BLOCK..4 * BLOCK];
    let image = changed(&whole, |bytes| {
        bytes[3 * BLOCK..4 * BLOCK].copy_from_slice(frame);
        bytes[4 * BLOCK..].fill(0);
    });
    assert_eq!(outcome(&image), Refuses(Some(3)));
}

#[test]
fn files_that_do_not_belong_here_are_refused_by_name() {
    let other = Identity { directory: 1, ..IDENTITY };
    let twelve = Identity { shards: 12, ..IDENTITY };
    let renamed = |image: Image| Image::from([(name(3, 0, 0), image[&name(1, 0, 0)].clone())]);
    let version = changed(&one_segment(), |bytes| bytes[12] = 9);
    let magic = changed(&one_segment(), |bytes| bytes[0] = b'x');
    for (image, expected) in [
        (elsewhere(other, 1, 0), DamageKind::Identity { found: 1, expected: IDENTITY.directory }),
        (elsewhere(twelve, 1, 0), DamageKind::Shards { found: 12, expected: 4 }),
        (renamed(one_segment()), DamageKind::Name { found: name(1, 0, 0) }),
        (version, DamageKind::Version { found: 9, expected: 1 }),
        (magic, DamageKind::Magic),
    ] {
        assert_eq!(recover(&image, |_| 0).expect_err("foreign").kind, expected);
    }
}

/// Two runs: three events, then more from `second` on.
fn two_runs(second: u64) -> Image {
    let driver = MemoryDriver::default();
    journal(&driver, 1, 1, &[Some(0), Some(0), Some(0), None]);
    journal(&driver, 2, second, &[Some(0)])
}

#[test]
fn an_older_run_must_reach_exactly_the_point_where_the_next_one_started() {
    let gap = |expected, found, last| DamageKind::Gap { shard: HOME, expected, found, last: Some(last) };
    assert_eq!(outcome(&two_runs(4)), Reaches(5));

    let damage = recover(&two_runs(5), |_| 0).expect_err("sequence 4 is missing");
    assert_eq!((damage.segment, &damage.kind), (name(2, 0, 0), &gap(4, 5, name(1, 0, 0))));
    assert!(
        damage
            .to_string()
            .contains("shard 1 continues with sequence 5, but sequence 4 is next after r000001-l00-s000000.seg")
    );
    assert_eq!(recover(&two_runs(3), |_| 0).expect_err("3 is there twice").kind, gap(4, 3, name(1, 0, 0)));

    let lost_tail = changed(&two_runs(4), |bytes| bytes[3 * BLOCK..].fill(0));
    assert_eq!(recover(&lost_tail, |_| 0).expect_err("run 2 is a witness").kind, gap(3, 4, name(1, 0, 0)));
    let mut lost_run = two_runs(4);
    lost_run.retain(|name, _| name.run == 2);
    let kind = DamageKind::Gap { shard: HOME, expected: 1, found: 4, last: None };
    assert_eq!(recover(&lost_run, |_| 0).expect_err("run 1 is missing").kind, kind);
}

#[test]
fn a_run_that_stored_nothing_is_still_a_witness_of_what_the_run_before_had_reached() {
    let driver = MemoryDriver::default();
    journal(&driver, 1, 1, &[Some(0), Some(0), Some(0), None]);
    let whole = journal(&driver, 2, 4, &[]);
    assert_eq!(outcome(&whole), Reaches(4));
    let lost_tail = changed(&whole, |bytes| bytes[3 * BLOCK..].fill(0));
    let kind = DamageKind::Gap { shard: HOME, expected: 3, found: 4, last: Some(name(1, 0, 0)) };
    assert_eq!(recover(&lost_tail, |_| 0).expect_err("the header of run 2 says 4").kind, kind);
}

#[test]
fn a_missing_segment_is_refused() {
    let whole = journal(&MemoryDriver::default(), 1, 1, &[Some(0); 20]);
    for missing in [0, 1] {
        let mut image = whole.clone();
        image.remove(&name(1, 0, missing));
        let kind = recover(&image, |_| 0).expect_err("a segment is missing").kind;
        match missing {
            0 => assert_eq!(kind, DamageKind::Gap { shard: HOME, expected: 1, found: 8, last: None }),
            _ => assert_eq!(kind, DamageKind::SegmentMissing { expected: 1 }),
        }
    }
}

fn recover_from(image: &Image, wanted: u64) -> Result<(u64, u64), Damage> {
    let mut recovery = Recovery::new(IDENTITY, &[(HOME, wanted), (ShardId(0), 1)]);
    for (name, bytes) in image {
        recovery.segment(*name, bytes, |_, sequence, _, _| assert!(sequence >= wanted))?;
    }
    let recovered = recovery.finish()?;
    Ok((reached_of(&recovered.next), recovered.events))
}

fn reached_of(next: &[(ShardId, u64)]) -> u64 {
    next.iter().find(|(shard, _)| *shard == HOME).expect("wanted").1
}

#[test]
fn behind_a_checkpoint_old_segments_may_be_gone_but_nothing_newer() {
    let whole = journal(&MemoryDriver::default(), 1, 1, &[Some(0); 20]);
    let mut tail = whole.clone();
    tail.remove(&name(1, 0, 0));
    for (image, wanted, expected) in [
        (&whole, 1, Some((21, 20))),
        (&whole, 15, Some((21, 6))),
        (&whole, 21, Some((21, 0))),
        (&whole, 22, None),
        (&tail, 7, None),
        (&tail, 8, Some((21, 13))),
        (&tail, 15, Some((21, 6))),
    ] {
        assert_eq!(recover_from(image, wanted).ok(), expected, "checkpoint before {wanted}");
    }
}
