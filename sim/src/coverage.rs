//! Which pairs of the saga's table the worlds have come to, and which they still owe.

use std::collections::BTreeMap;
use std::fmt::Write;

use orderlane_core::Status;
use orderlane_core::saga::{Answer, Reached, Stage, Trigger, answer, why_never};

/// The union of what the shards of many worlds have reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage(Reached);

impl Coverage {
    /// Adds what a shard, or a whole world, has reached.
    pub fn add(&mut self, reached: &Reached) {
        self.0.iter_mut().zip(reached).for_each(|(all, more)| *all |= more);
    }

    /// All pairs: by stage, bit `1 << trigger`.
    #[must_use]
    pub fn reached(&self) -> &Reached {
        &self.0
    }

    /// Whether a pair was reached.
    #[must_use]
    pub fn has(&self, stage: Stage, trigger: Trigger) -> bool {
        self.0[stage as usize] & 1 << trigger as u32 != 0
    }

    /// Pairs that can come and never did.
    #[must_use]
    pub fn missing(&self) -> Vec<(Stage, Trigger)> {
        self.pairs(|stage, trigger| !self.has(stage, trigger) && answer(stage, trigger) != Answer::Never)
    }

    /// Pairs that came though the table says that they cannot: the table is wrong, or the engine.
    #[must_use]
    pub fn impossible(&self) -> Vec<(Stage, Trigger)> {
        self.pairs(|stage, trigger| self.has(stage, trigger) && answer(stage, trigger) == Answer::Never)
    }

    /// Statuses that an order was in: something came to it there, or led it there. Every order begins `PENDING`.
    #[must_use]
    pub fn statuses(&self) -> Vec<Status> {
        let mut been = [false; Status::ALL.len()];
        for (stage, trigger) in self.pairs(|stage, trigger| self.has(stage, trigger)) {
            been[stage.status() as usize] = true;
            if let Answer::Go(next) = answer(stage, trigger) {
                been[next.status() as usize] = true;
            }
        }
        Status::ALL.into_iter().filter(|status| been[*status as usize]).collect()
    }

    /// Statuses that no order was ever in.
    #[must_use]
    pub fn statuses_missing(&self) -> Vec<Status> {
        let been = self.statuses();
        Status::ALL.into_iter().filter(|status| !been.contains(status)).collect()
    }

    /// Whether nothing is owed.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.missing().is_empty() && self.impossible().is_empty() && self.statuses_missing().is_empty()
    }

    /// The table as text: `#` reached, `.` cannot come, `?` missing, `!` came though it cannot; then why what cannot come cannot.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = String::new();
        let mut line = |args: std::fmt::Arguments<'_>| writeln!(text, "{args}").expect("a String takes any text");
        for (number, trigger) in Trigger::ALL.iter().enumerate() {
            let bars = " │".repeat(number);
            line(format_args!("{:14}{bars} ┌ {trigger:?}", ""));
        }
        for stage in Stage::ALL {
            let marks: String = Trigger::ALL.iter().flat_map(|trigger| [' ', self.mark(stage, *trigger)]).collect();
            line(format_args!("{:14}{marks}", format!("{stage:?}")));
        }
        let owed = self.missing();
        let possible = self.pairs(|stage, trigger| answer(stage, trigger) != Answer::Never).len();
        line(format_args!("{} of {possible} pairs reached", possible - owed.len()));
        for (stage, trigger) in owed {
            line(format_args!("missing: {stage:?} on {trigger:?}"));
        }
        for (stage, trigger) in self.impossible() {
            line(format_args!("came though it cannot: {stage:?} on {trigger:?}"));
        }
        for (reason, pairs) in reasons() {
            line(format_args!("cannot come: {reason}:"));
            pairs.iter().for_each(|(trigger, stages)| line(format_args!("    {trigger} in {}", stages.join(", "))));
        }
        text
    }

    fn mark(&self, stage: Stage, trigger: Trigger) -> char {
        match (self.has(stage, trigger), answer(stage, trigger)) {
            (true, Answer::Never) => '!',
            (true, Answer::Go(_) | Answer::Stay | Answer::Void) => '#',
            (false, Answer::Never) => '.',
            (false, Answer::Go(_) | Answer::Stay | Answer::Void) => '?',
        }
    }

    fn pairs(&self, wanted: impl Fn(Stage, Trigger) -> bool) -> Vec<(Stage, Trigger)> {
        let all = Stage::ALL.into_iter().flat_map(|stage| Trigger::ALL.map(|trigger| (stage, trigger)));
        all.filter(|(stage, trigger)| wanted(*stage, *trigger)).collect()
    }
}

/// The stages of a trigger that cannot come there.
type Stages = (String, Vec<String>);

/// What cannot come, by the reason.
fn reasons() -> BTreeMap<&'static str, Vec<Stages>> {
    let mut reasons: BTreeMap<&'static str, Vec<Stages>> = BTreeMap::new();
    for trigger in Trigger::ALL {
        let name = format!("{trigger:?}");
        for stage in Stage::ALL {
            let Some(reason) = why_never(stage, trigger) else { continue };
            let triggers = reasons.entry(reason).or_default();
            match triggers.last_mut().filter(|(last, _)| *last == name) {
                Some((_, stages)) => stages.push(format!("{stage:?}")),
                None => triggers.push((name.clone(), vec![format!("{stage:?}")])),
            }
        }
    }
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;

    fn everything() -> Reached {
        let mut reached = Reached::default();
        for stage in Stage::ALL {
            for trigger in Trigger::ALL.into_iter().filter(|trigger| answer(stage, *trigger) != Answer::Never) {
                reached[stage as usize] |= 1 << trigger as u32;
            }
        }
        reached
    }

    #[test]
    fn what_is_not_reached_is_owed_and_named() {
        let mut coverage = Coverage::default();
        assert!(!coverage.is_complete());
        assert_eq!(coverage.statuses(), []);
        let mut reached = everything();
        reached[Stage::Failing as usize] &= !(1 << Trigger::HoldExpired as u32);
        coverage.add(&reached);
        assert_eq!(coverage.missing(), [(Stage::Failing, Trigger::HoldExpired)]);
        assert!(coverage.table().contains("missing: Failing on HoldExpired"));
        coverage.add(&everything());
        assert!(coverage.is_complete());
        assert_eq!(coverage.statuses(), Status::ALL);
        assert!(!coverage.table().contains('?'));
    }

    #[test]
    fn what_cannot_come_and_came_is_named() {
        let mut coverage = Coverage::default();
        let mut reached = everything();
        reached[Stage::Completed as usize] |= 1 << Trigger::OrderRejected as u32;
        coverage.add(&reached);
        assert_eq!(coverage.impossible(), [(Stage::Completed, Trigger::OrderRejected)]);
        assert!(!coverage.is_complete());
    }
}
