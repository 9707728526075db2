//! Segments that checkpoints have made needless go, or become the next ones: in order, never too early, whatever the power does.

use orderlane_core::{Sequence, Time};
use orderlane_journal::{Damage, DamageKind, Recovered, Recovery, Walk};
use orderlane_lane::Commit;

use crate::memory::{Dice, Image, MemoryDriver};
use crate::sample::{HOME, IDENTITY, Writing, created, name, reached, recover};

/// The events from `wanted` on, checked; the image may hold older ones.
fn recover_from(image: &Image, wanted: Sequence) -> Result<Recovered, Damage> {
    let mut recovery = Recovery::new(IDENTITY, &[(HOME, wanted)]);
    let mut expected = wanted;
    for (name, bytes) in image {
        recovery.segment(*name, bytes, |shard, sequence, time, event| {
            assert_eq!((shard, sequence, time), (HOME, expected, Time(expected)), "the order of events");
            assert_eq!(*event, created(sequence, padding(sequence)), "changed bytes were accepted");
            expected += 1;
        })?;
    }
    let recovered = recovery.finish()?;
    assert_eq!(recovered.next, [(HOME, expected)]);
    Ok(recovered)
}

fn padding(sequence: Sequence) -> usize {
    [0, 400, 3_000, 9_000, 30_000][sequence as usize % 5]
}

/// Nineteen events: one in the third segment, which is in use, and no segment made ahead.
fn nineteen() -> Writing {
    let mut writing = Writing::open(&MemoryDriver::default(), 1, 1).expect("the disk answers");
    (0..19).for_each(|_| writing.commit_well(0));
    writing.driver.run_tasks(100);
    writing.driver.log();
    writing
}

fn cover(writing: &mut Writing, upto: Sequence) {
    writing.commit.covered(&[(HOME, upto)]);
    writing.driver.run_tasks(100);
}

#[test]
fn trap_27_a_spent_segment_loses_its_name_for_good_before_it_is_written_over() {
    let mut writing = nineteen();
    cover(&mut writing, 6);
    assert!(writing.driver.log().is_empty(), "event 7 is in the first segment");
    cover(&mut writing, 17);
    assert_eq!(writing.driver.log(), ["remove r000001-l00-s000000.seg", "sync directory"], "it has another length");
    cover(&mut writing, 19);
    assert!(writing.driver.log().is_empty(), "the second one is kept, the third one is in use");
    (0..5).for_each(|_| writing.commit_well(0));
    writing.driver.run_tasks(100);
    let log = writing.driver.log();
    let made: Vec<&String> = log.iter().filter(|line| !line.contains("s000002")).collect();
    let expected = [
        "rename r000001-l00-s000001.seg r000001-l00-s000003.seg.new",
        "sync directory",
        "open r000001-l00-s000003.seg.new",
        "write r000001-l00-s000003.seg.new 0 4096",
        "write r000001-l00-s000003.seg.new 4096 45056",
        "sync r000001-l00-s000003.seg.new",
        "rename r000001-l00-s000003.seg.new r000001-l00-s000003.seg",
        "sync directory",
    ];
    assert_eq!(made, expected);
}

#[test]
fn the_segment_before_the_one_in_use_stays_until_a_commit_behind_it_is_durable() {
    let mut writing = nineteen();
    (0..21).for_each(|_| writing.commit_well(0));
    writing.driver.run_tasks(100);
    writing.driver.log();
    writing.driver.stall("sync r000001-l00-s000004");
    writing.append(0);
    let mut waiting = Box::pin(writing.commit.start().expect("something was appended"));
    assert!(writing.driver.run(waiting.as_mut()).is_none(), "the first frame of the fifth one is on its way");
    cover(&mut writing, 40);
    let gone = |log: Vec<String>| log.into_iter().filter(|line| line.starts_with("remove")).collect::<Vec<_>>();
    assert_eq!(gone(writing.driver.log()), ["remove r000001-l00-s000000.seg"], "two are kept, the fourth is not free");
    writing.driver.release();
    writing.driver.run(waiting).expect("the disk answers").expect("the disk is well");
    writing.driver.run_tasks(100);
    assert_eq!(gone(writing.driver.log()), ["remove r000001-l00-s000001.seg"], "now it is");
}

#[test]
fn at_most_two_are_kept_and_they_go_in_order() {
    let mut writing = nineteen();
    (0..40).for_each(|_| writing.commit_well(0));
    writing.driver.run_tasks(100);
    writing.driver.log();
    cover(&mut writing, 59);
    let expected = [
        "remove r000001-l00-s000000.seg",
        "sync directory",
        "remove r000001-l00-s000001.seg",
        "sync directory",
        "remove r000001-l00-s000002.seg",
        "sync directory",
    ];
    assert_eq!(writing.driver.log(), expected);
    assert_eq!(reached(&recover_padded(&writing, 60).expect("whole")), 60);
}

fn recover_padded(writing: &Writing, wanted: Sequence) -> Result<Recovered, Damage> {
    let mut recovery = Recovery::new(IDENTITY, &[(orderlane_core::ShardId(0), 1), (HOME, wanted)]);
    for (name, bytes) in &writing.driver.image() {
        recovery.segment(*name, bytes, |_, _, _, _| {})?;
    }
    recovery.finish()
}

#[test]
fn an_error_while_removing_fails_no_commit_and_nothing_behind_the_file_goes() {
    for operation in ["remove", "sync directory"] {
        let mut writing = nineteen();
        writing.driver.fail(operation);
        cover(&mut writing, 19);
        writing.driver.heal();
        let warning = writing.commit.warning().expect("kept");
        assert!(warning.starts_with("removing a spent journal segment failed"), "{warning}");
        writing.driver.log();
        (0..40).for_each(|_| writing.commit_well(0));
        cover(&mut writing, 59);
        let touched = |line: &String| line.starts_with("remove") || line.starts_with("open");
        assert!(!writing.driver.log().iter().any(touched), "nothing is removed nor recycled any more");
    }
}

#[test]
fn an_error_while_recycling_fails_the_commit_that_needs_the_segment() {
    for operation in ["rename r000001-l00-s000001", "open"] {
        let mut writing = nineteen();
        cover(&mut writing, 19);
        writing.driver.fail(operation);
        (0..10).for_each(|_| writing.commit_well(0));
        let error = writing.commit(0).expect("an answer").expect_err("no segment");
        assert_eq!(error.action, "recycling a journal segment");
    }
}

/// Traps 26: the fill was torn behind the header, and the frames of the old segment are still there.
#[test]
fn trap_26_old_frames_never_parse_in_a_recycled_segment() {
    let mut writing = nineteen();
    let old = writing.driver.image()[&name(1, 0, 1)].clone();
    cover(&mut writing, 19);
    (0..5).for_each(|_| writing.commit_well(0));
    writing.driver.run_tasks(100);
    let image = writing.driver.image();
    let recycled = &image[&name(1, 0, 3)];
    assert!(recycled[4096..].iter().all(|byte| *byte == 0), "all of it was written over");
    let torn = [&recycled[..4096], &old[4096..]].concat();
    let mut walk = Walk::new(IDENTITY);
    let mut segment = walk.segment(name(1, 0, 3), &torn).expect("a whole header");
    assert!(!matches!(segment.next_frame(), Ok(Some(_))), "another segment's frames");
}

#[test]
fn a_gap_between_checkpoint_and_journal_is_refused_by_name() {
    let mut writing = nineteen();
    cover(&mut writing, 17);
    let image = writing.driver.image();
    assert!(!image.contains_key(&name(1, 0, 0)));
    for wanted in [8, 12, 20] {
        let mut recovery = Recovery::new(IDENTITY, &[(HOME, wanted)]);
        let mut first = None;
        for (name, bytes) in &image {
            let applied = recovery.segment(*name, bytes, |_, sequence, _, _| {
                first.get_or_insert(sequence);
            });
            applied.expect("the checkpoint has what is gone");
        }
        assert_eq!(first, Some(wanted).filter(|wanted| *wanted < 20), "nothing below the checkpoint is decoded");
        assert_eq!(recovery.finish().expect("whole").next, [(HOME, 20)]);
    }
    let damage = recover_from(&image, 7).expect_err("event 7 is gone");
    assert!(matches!(damage.kind, DamageKind::Gap { shard: HOME, expected: 7, found: 8, last: None }), "{damage}");
    let text = damage.to_string();
    assert!(
        text.contains("shard 1 continues with sequence 8, but sequence 7 is next after the checkpoint; "),
        "{text}"
    );
    let mut behind = Recovery::new(IDENTITY, &[(HOME, 30)]);
    image.iter().for_each(|(name, bytes)| behind.segment(*name, bytes, |_, _, _, _| {}).expect("below"));
    assert!(matches!(behind.finish().expect_err("the tail is gone").kind, DamageKind::BehindCheckpoint { .. }));
}

/// A later run that has lost its front says nothing of where its shards started; an older run may still be there.
#[test]
fn an_older_run_before_one_whose_front_is_gone_is_no_gap() {
    let first = nineteen();
    let mut second = Writing::open(&MemoryDriver::default(), 2, 20).expect("the disk answers");
    (0..19).for_each(|_| second.commit_well(0));
    second.driver.run_tasks(100);
    cover(&mut second, 26);
    let mut image = first.driver.image();
    image.extend(second.driver.image());
    assert!(image.contains_key(&name(1, 0, 2)) && !image.contains_key(&name(2, 0, 0)));
    let read = |image: &Image, wanted| {
        let mut recovery = Recovery::new(IDENTITY, &[(HOME, wanted)]);
        let mut events = 0;
        for (name, bytes) in image {
            recovery.segment(*name, bytes, |_, _, _, _| events += 1)?;
        }
        recovery.finish().map(|recovered| (recovered.next[0].1, events))
    };
    assert_eq!(read(&image, 27).expect("the checkpoint has the gap"), (39, 12));
    let damage = read(&image, 26).expect_err("event 26 is gone");
    assert!(matches!(damage.kind, DamageKind::Gap { expected: 26, found: 27, .. }), "{damage}");
    // The last events of the shard were in the front that is gone.
    image.retain(|name, _| name.run == 1 || name.segment > 1);
    image.get_mut(&name(2, 0, 2)).expect("in use")[4096..].fill(0);
    assert_eq!(read(&image, 38).expect("the checkpoint has all of it"), (38, 0));
}

/// A run, and what its checkpoints have.
struct Life {
    older: Sequence,
    newest: Sequence,
    acknowledged: Sequence,
    recycled: usize,
}

fn live(driver: &MemoryDriver, dice: &mut Dice, run: u32, next: Sequence, life: &mut Life) {
    driver.delay(dice.below(3));
    driver.power_lasts(30 + dice.below(500));
    let often = 2 + dice.below(6);
    life.acknowledged = next;
    let Some(mut writing) = Writing::open(driver, run, next) else { return };
    while let Some(result) = writing.commit(padding(writing.next)) {
        result.expect("no fault was planted");
        life.acknowledged = writing.next;
        if dice.below(3) == 0 {
            writing.commit.idle();
            driver.run_tasks(dice.below(8) as usize);
        }
        if dice.below(often) == 0 {
            (life.older, life.newest) = (life.newest, life.acknowledged - 1 - dice.below(2));
            life.newest = life.newest.max(life.older);
            writing.commit.covered(&[(HOME, life.older)]);
        }
    }
    life.recycled += driver.log().iter().filter(|line| line.starts_with("open")).count();
}

#[test]
fn acknowledged_orders_survive_every_loss_of_power_while_segments_go() {
    let (mut recycled, mut gone, mut fronts) = (0, 0, 0);
    for seed in 0..400 {
        let dice = &mut Dice::new(seed);
        let (mut disk, mut next, mut run) = (Image::new(), 1, 1);
        let mut life = Life { older: 0, newest: 0, acknowledged: 1, recycled: 0 };
        for _ in 0..3 {
            let driver = MemoryDriver::default();
            live(&driver, dice, run, next, &mut life);
            let image = driver.image_after_power_loss(dice);
            if let Some(oldest) = image.keys().next() {
                fronts += u32::from(oldest.segment > 0);
            }
            // Older runs that are covered go, or some of their files do.
            if life.older + 1 >= next {
                let before = disk.len();
                disk.retain(|_, _| dice.below(3) == 0);
                gone += before - disk.len();
                let contiguous: Vec<_> = disk.keys().copied().collect();
                for pair in contiguous.windows(2) {
                    if pair[0].run == pair[1].run && pair[0].segment + 1 != pair[1].segment {
                        disk.retain(|name, _| *name > pair[0]);
                    }
                }
            }
            disk.extend(image);
            for checkpoint in [life.older, life.newest] {
                let recovered = recover_from(&disk, checkpoint + 1)
                    .unwrap_or_else(|damage| panic!("seed {seed}, checkpoint {checkpoint}: {damage}"));
                next = reached_one(&recovered);
                assert!(
                    (life.acknowledged..=life.acknowledged + 1).contains(&next),
                    "seed {seed}: {} acknowledged, {next}",
                    life.acknowledged
                );
                run = recovered.run_next.max(run);
            }
        }
        recycled += life.recycled;
    }
    assert!(
        recycled > 400 && gone > 100 && fronts > 200,
        "it must have been tried: {recycled} recycled, {gone} of older runs gone, {fronts} fronts gone"
    );
}

fn reached_one(recovered: &Recovered) -> Sequence {
    recovered.next[0].1
}

#[test]
fn without_a_checkpoint_nothing_may_be_missing() {
    let mut writing = nineteen();
    assert_eq!(reached(&recover(&writing.driver.image(), |_| 0).expect("whole")), 20);
    cover(&mut writing, 17);
    assert!(recover(&writing.driver.image(), |_| 0).is_err());
}
