//! Power is lost at any operation, any unsynced sectors survive: what was acknowledged is there, and the start is not refused.

use orderlane_core::Sequence;

use crate::memory::{Dice, Image, MemoryDriver};
use crate::sample::{Writing, reached, recover};

const PADDINGS: [usize; 4] = [0, 400, 3_000, 9_000];

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
    let mut torn = 0;
    for seed in 0..500 {
        let dice = &mut Dice::new(seed);
        let (mut disk, mut next, mut run) = (Image::new(), 1, 1);
        for _ in 0..3 {
            let driver = MemoryDriver::default();
            let acknowledged = work(&driver, dice, run, next);
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
            torn += u64::from(recovered.torn_bytes > 0);
            run = recovered.run_next;
        }
    }
    assert!(torn > 40, "the faults must have been injected: {torn} torn tails");
}
