//! Wall-clock time that never goes back on one lane.

use std::cell::Cell;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use orderlane_core::Time;

/// The wall clock while that goes forward. When it is set back, time goes on from where it was, at half the speed, until
/// the wall clock has caught up: time that stood still would hold up every deadline for as long as the step was.
#[derive(Default)]
pub(crate) struct Clock {
    last: Cell<u64>,
    slow_since: Cell<Option<(u64, Instant)>>,
}

impl Clock {
    /// Now. One call of the vDSO while the wall clock goes forward.
    pub(crate) fn now(&self) -> Time {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64);
        Time(self.advance(wall, Instant::now))
    }

    fn advance(&self, wall: u64, monotonic: impl FnOnce() -> Instant) -> u64 {
        if wall >= self.last.get() {
            self.slow_since.set(None);
            self.last.set(wall);
            return wall;
        }
        let monotonic = monotonic();
        let (start, since) = self.slow_since.get().unwrap_or((self.last.get(), monotonic));
        self.slow_since.set(Some((start, since)));
        let slow = start + monotonic.saturating_duration_since(since).as_micros() as u64 / 2;
        self.last.set(slow.max(self.last.get()));
        self.last.get()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_step_back_of_the_wall_clock_slows_time_and_never_turns_it() {
        let start = Instant::now();
        let clock = Clock::default();
        let table = [
            // wall clock, monotonic, time
            (1_000_000, 0, 1_000_000),
            (1_000_010, 10, 1_000_010),
            (900_000, 20, 1_000_010),
            (900_100, 120, 1_000_060),
            (1_000_020, 100_040, 1_050_020),
            (1_100_040, 200_060, 1_100_040),
            (1_100_050, 200_070, 1_100_050),
        ];
        for (wall, monotonic, time) in table {
            assert_eq!(clock.advance(wall, || start + Duration::from_micros(monotonic)), time, "at {monotonic}");
        }
    }
}
