//! Power is lost at any operation, any unsynced sectors survive: what was acknowledged is there, and the start is not refused.

use orderlane_core::Sequence;

use crate::files::{prepared, used};
use crate::memory::{Dice, Image, MemoryDriver};
use crate::sample::{LARGE, Writing, reached, recover};

/// The last one makes a frame that does not fit in a first segment.
const PADDINGS: [usize; 5] = [0, 400, 3_000, 9_000, LARGE];

fn padding(sequence: Sequence) -> usize {
    PADDINGS[sequence as usize % PADDINGS.len()]
}

/// Commits and markers until the power goes; gives the next sequence by what was acknowledged.
fn work(driver: &MemoryDriver, dice: &mut Dice, run: u32, next: Sequence) -> Sequence {
    driver.delay(dice.below(4));
    driver.power_lasts(dice.below(120));
    let Some(mut writing) = Writing::open(driver, run, next) else { return next };
    loop {
        let acknowledged = writing.next;
        match writing.commit(padding(acknowledged)) {
            None => return acknowledged,
            Some(result) => result.expect("no fault was planted"),
        }
        if dice.below(2) == 0 {
            orderlane_lane::Commit::idle(&mut writing.commit);
            writing.driver.run_tasks(dice.below(8) as usize);
        }
    }
}

#[test]
fn acknowledged_orders_survive_every_loss_of_power_in_run_after_run() {
    let (mut torn, mut large_first, mut large_first_lost, mut removed) = (0, 0, 0, 0);
    for seed in 0..500 {
        let dice = &mut Dice::new(seed);
        let (mut disk, mut next, mut run) = (Image::new(), 1, 1);
        for _ in 0..3 {
            let driver = MemoryDriver::default();
            let acknowledged = work(&driver, dice, run, next);
            if padding(next) == LARGE {
                large_first += u64::from(acknowledged > next);
                large_first_lost += u64::from(acknowledged == next);
            }
            disk.extend(driver.image_after_power_loss(dice));
            let recovered = match recover(&disk, padding) {
                Ok(recovered) => recovered,
                Err(damage) => panic!("seed {seed}: {damage}"),
            };
            next = reached(&recovered);
            assert!(
                (acknowledged..=acknowledged + 1).contains(&next),
                "seed {seed}: {acknowledged} acknowledged, {next}"
            );
            // The files of some go through a real start.
            if seed % 20 == 0 {
                let left = prepared(&disk);
                assert_eq!(used(recover(&left, padding).expect("as before")), used(recovered.clone()), "seed {seed}");
                removed += disk.len() - left.len();
                disk = left;
            }
            torn += u64::from(recovered.torn_bytes > 0);
            run = recovered.run_next;
        }
    }
    assert!(torn > 40, "the faults must have been injected: {torn} torn tails");
    assert!(
        large_first > 40 && large_first_lost > 10 && removed > 10,
        "first frames in the second segment: {large_first} stored, {large_first_lost} lost; {removed} segments removed"
    );
}
