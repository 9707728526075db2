//! When the next request is due.
//!
//! ```text
//! open loop     | r0 | r1 | r2 |  outage  | r3 | r4 |     fixed distances, the outage left out
//! closed loop   r0 ─ answer r1 ─ answer …                 due whenever a connection is free
//! ```
//! Times are nanoseconds since the origin of the run. A request of several orders has one intended time for all.

use crate::{
    options::{Options, Rate},
    outage::{Span, nanos},
};

/// The requests of one generator thread: every `threads`-th, from its own number on.
#[derive(Debug)]
pub(crate) struct Pace {
    next: u64,
    stride: u64,
    /// Distance of two requests of the whole run in nanoseconds; `None` = closed loop.
    interval: Option<f64>,
    /// Offering ends at this active time (outages left out).
    end: u64,
    spans: Vec<Span>,
    /// Ended outages that lie before the next request, and their length together.
    passed: usize,
    shift: u64,
}

/// What the pace says now.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Send request `number`, which was meant to leave at `intended`.
    Now { number: u64, intended: u64 },
    /// Nothing before this time.
    At(u64),
    /// Nothing until the outage is over.
    Paused,
    /// Nothing any more.
    Ended,
}

impl Pace {
    pub(crate) fn new(options: &Options, thread: usize) -> Self {
        let interval = match options.rate {
            Rate::PerSecond(rate) => Some(options.batch as f64 * 1e9 / rate),
            Rate::Max => None,
        };
        let end = options.duration.map_or(u64::MAX, nanos);
        Self {
            next: thread as u64,
            stride: options.threads as u64,
            interval,
            end,
            spans: Vec::new(),
            passed: 0,
            shift: 0,
        }
    }

    /// Takes over the outages that are known now.
    pub(crate) fn handle_outages(&mut self, spans: Vec<Span>) {
        self.spans = spans;
    }

    /// Ends the offering at `now`; what is due by then stays due.
    pub(crate) fn cut(&mut self, now: u64) {
        self.end = self.end.min(self.active(now));
    }

    pub(crate) fn due(&mut self, now: u64) -> Due {
        match self.interval {
            Some(interval) => self.due_open(now, interval),
            None => self.due_closed(now),
        }
    }

    /// The request that `due` named is taken.
    pub(crate) fn advance(&mut self) {
        self.next += self.stride;
    }

    /// How long requests are offered, outages left out.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// The offering should have ended `patience` ago.
    pub(crate) fn is_overdue(&self, now: u64, patience: u64) -> bool {
        self.active(now) > self.end.saturating_add(patience)
    }

    /// Requests that should have left by the end and did not.
    pub(crate) fn backlog(&self) -> u64 {
        let Some(interval) = self.interval else { return 0 };
        if self.end == u64::MAX {
            return 0;
        }
        let total = (self.end as f64 / interval).ceil() as u64;
        total.saturating_sub(self.next).div_ceil(self.stride)
    }

    fn due_open(&mut self, now: u64, interval: f64) -> Due {
        let active = (self.next as f64 * interval) as u64;
        if active >= self.end {
            return Due::Ended;
        }
        while let Some(&Span { down_at, up_at }) = self.spans.get(self.passed) {
            if active + self.shift < down_at {
                break;
            }
            let Some(up_at) = up_at else { return Due::Paused };
            self.shift += up_at - down_at;
            self.passed += 1;
        }
        let intended = active + self.shift;
        if intended <= now { Due::Now { number: self.next, intended } } else { Due::At(intended) }
    }

    fn due_closed(&self, now: u64) -> Due {
        if self.active(now) >= self.end {
            return Due::Ended;
        }
        match self.spans.last() {
            Some(Span { up_at: None, .. }) => Due::Paused,
            Some(_) | None => Due::Now { number: self.next, intended: now },
        }
    }

    /// Time since the origin without the outages.
    fn active(&self, now: u64) -> u64 {
        let down: u64 = self.spans.iter().map(|span| span.up_at.unwrap_or(now).min(now) - span.down_at.min(now)).sum();
        now - down.min(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const MILLI: u64 = 1_000_000;

    fn pace(rate: Rate, threads: usize, thread: usize) -> Pace {
        let mut options = Options::new(([127, 0, 0, 1], 1).into());
        (options.rate, options.threads, options.duration) = (rate, threads, Some(Duration::from_millis(10)));
        Pace::new(&options, thread)
    }

    fn drain(pace: &mut Pace, now: u64) -> Vec<(u64, u64)> {
        let mut taken = Vec::new();
        while let Due::Now { number, intended } = pace.due(now) {
            taken.push((number, intended / MILLI));
            pace.advance();
        }
        taken
    }

    #[test]
    fn intended_times_do_not_depend_on_when_they_are_asked_for() {
        let mut open = pace(Rate::PerSecond(1_000.0), 2, 1);
        assert_eq!(open.due(0), Due::At(MILLI));
        assert_eq!(drain(&mut open, 6 * MILLI), [(1, 1), (3, 3), (5, 5)]);
        assert_eq!(open.backlog(), 2);
        assert_eq!(drain(&mut open, 60 * MILLI), [(7, 7), (9, 9)]);
        assert_eq!((open.due(60 * MILLI), open.backlog()), (Due::Ended, 0));
    }

    #[test]
    fn an_outage_shifts_what_was_due_in_it_and_keeps_what_was_late_before() {
        let mut open = pace(Rate::PerSecond(1_000.0), 1, 0);
        open.handle_outages(vec![Span { down_at: 3 * MILLI - 1, up_at: None }]);
        assert_eq!(drain(&mut open, 5 * MILLI), [(0, 0), (1, 1), (2, 2)]);
        assert_eq!(open.due(5 * MILLI), Due::Paused);
        open.handle_outages(vec![Span { down_at: 3 * MILLI - 1, up_at: Some(103 * MILLI - 1) }]);
        assert_eq!(drain(&mut open, 104 * MILLI), [(3, 103), (4, 104)]);
        open.cut(104 * MILLI);
        assert_eq!(open.due(200 * MILLI), Due::Ended);
    }

    #[test]
    fn a_closed_loop_is_always_due_until_its_active_time_is_over() {
        let mut closed = pace(Rate::Max, 1, 0);
        assert_eq!(closed.due(7), Due::Now { number: 0, intended: 7 });
        closed.handle_outages(vec![Span { down_at: MILLI, up_at: Some(50 * MILLI) }]);
        assert_eq!(closed.due(55 * MILLI), Due::Now { number: 0, intended: 55 * MILLI });
        assert_eq!(closed.due(59 * MILLI), Due::Ended);
        assert_eq!(closed.backlog(), 0);
    }
}
