//! Clock, timers, tasks.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

use orderlane_core::Time;
use orderlane_lane::Driver;

use super::{Subject, on_a_lane, start};

pub(crate) fn time_is_the_wall_clock<S: Subject>() {
    on_a_lane::<S, _>(async |lane| {
        let mut before = lane.driver.now();
        for _ in 0..100_000 {
            let now = lane.driver.now();
            assert!(now >= before, "time went back");
            before = now;
        }
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_micros() as u64;
        assert!(wall.abs_diff(before.0) < 1_000_000, "the wall clock says {wall}, the driver {before:?}");
    });
}

pub(crate) fn timers_fire_in_order_and_not_before<S: Subject>() {
    on_a_lane::<S, _>(async |lane| {
        let driver = lane.driver;
        let begin = driver.now();
        let fired = Rc::new(RefCell::new(Vec::new()));
        let delays = [40_000, 10_000, 0, 150_000, 30_000, 20_000, 1_700, 80_000];
        let tasks = delays.map(|delay| {
            let (timers, fired) = (driver.clone(), fired.clone());
            start(&driver, async move {
                let at = begin.after_micros(delay);
                timers.sleep_until(at).await;
                let late = timers.now().0.checked_sub(at.0).expect("a timer does not fire before its time");
                assert!(late < 1_000_000, "a timer fired {late} µs late");
                fired.borrow_mut().push(delay);
            })
        });
        for task in tasks {
            task.await;
        }
        let mut sorted = delays;
        sorted.sort_unstable();
        assert_eq!(*fired.borrow(), sorted);
        driver.sleep_until(Time(0)).await;
        // A far timer that nobody waits for is no harm.
        driver.spawn(driver.sleep_until(Time(u64::MAX)));
    });
}

pub(crate) fn a_task_spawns_tasks<S: Subject>() {
    on_a_lane::<S, _>(async |lane| {
        let driver = lane.driver.clone();
        let sum = start(&lane.driver, async move {
            let mut sum = 0;
            for number in 0..1_000 {
                let inner = driver.clone();
                sum += start(&driver, async move { start(&inner, async move { number }).await }).await;
            }
            sum
        });
        assert_eq!(sum.await, 499_500);
    });
}
