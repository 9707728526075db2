//! What the provider does when it is called: what becomes true at once, and which answers will come when.

use orderlane_core::{Call, OrderId, Outcome, Outside as Request};

use super::ledger::{Ledger, Money};
use super::weather::Weather;
use crate::faults::Fault;
use crate::random::Random;
use crate::sim::Sim;

/// When an answer comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    /// So many microseconds after the call.
    After(u64),
    /// When the order is being cancelled, has expired or has ended; after so many microseconds anyway.
    Undone(u64),
    /// Right behind an answer to another call of the order, or during a refund; after so many microseconds anyway.
    Behind(u64),
}

/// An answer on its way.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) outcome: Outcome,
    pub(super) when: When,
    /// What the engine meets when this arrives.
    pub(super) faults: Vec<Fault>,
    /// Whether it arrives whatever becomes of the process that called.
    pub(super) outlives: bool,
}

/// The provider's mind: its truth and its moods.
pub(super) struct Mind {
    pub(super) ledger: Ledger,
    pub(super) random: Random,
    pub(super) timeout_micros: u64,
    weather: Weather,
}

/// How long an answer takes at most, beyond the time that its caller waits.
const LATE_MICROS_MAX: u64 = 20_000_000;
/// How long an answer is held back, at most.
const HELD_MICROS_MAX: u64 = 100_000_000;

impl Mind {
    pub(super) fn new(sim: &Sim) -> Mind {
        let mut random = sim.random("provider");
        let timeout_micros = *random.pick(&[100_000, 300_000, 1_000_000]);
        Mind { ledger: Ledger::default(), random, timeout_micros, weather: Weather::default() }
    }

    /// Does what is asked, and gives the answers that will come. `held` says that an answer to a charge of this attempt is
    /// held back: its look-ups are not answered meanwhile.
    pub(super) fn perform(&mut self, sim: &Sim, request: &Request, held: bool) -> Result<Vec<Answer>, String> {
        let out = self.weather.is_out(sim, &mut self.random).then_some(Fault::Outage);
        let order = request.order;
        match request.call {
            Call::Charge { attempt, amount, currency } => {
                let known = self.ledger.request_charge(order, attempt, amount, currency)?;
                Ok(self.charge(sim, request, attempt, known, out))
            }
            Call::Reconcile { attempt } => {
                self.ledger.check_turn(order, attempt)?;
                Ok(self.look_up(sim, order, attempt, out, held))
            }
            Call::Refund { attempt, amount, currency } => {
                self.ledger.request_refund(order, attempt, amount, currency)?;
                Ok(self.refund(sim, order, attempt, out))
            }
            Call::Notify => Ok(self.notify(sim, order, out)),
        }
    }

    fn charge(&mut self, sim: &Sim, request: &Request, attempt: u8, known: Money, out: Option<Fault>) -> Vec<Answer> {
        let order = request.order;
        let unknown = Outcome::PaymentUnknown { attempt };
        if let Some(outage) = out {
            // Who is out of reach may have heard it nevertheless.
            if known == Money::Lost && self.random.chance(300) {
                self.ledger.decide(order, attempt, Money::Charged);
            }
            return vec![self.no_answer(unknown, Some(outage))];
        }
        let charged = Outcome::Charged { attempt };
        match known {
            Money::Charged => return self.answers(sim, charged, unknown, None),
            Money::Declined => return self.answers(sim, Outcome::Declined { attempt }, unknown, None),
            Money::Blocked => return self.answers(sim, Outcome::NotCharged { attempt }, unknown, None),
            Money::Lost => {}
        }
        let token = request.body.token();
        if token == "tok_lost" {
            return vec![self.no_answer(unknown, None)];
        }
        if token == "tok_decline" {
            self.ledger.decide(order, attempt, Money::Declined);
            return self.answers(sim, Outcome::Declined { attempt }, unknown, None);
        }
        if sim.faults().draw(Fault::ChargeLost, &mut self.random) {
            if self.random.chance(300) {
                // The caller knows that nothing was sent: the same as a look-up that finds nothing.
                self.ledger.decide(order, attempt, Money::Blocked);
                return self.answers(sim, Outcome::NotCharged { attempt }, unknown, Some(Fault::ChargeLost));
            }
            return vec![self.no_answer(unknown, Some(Fault::ChargeLost))];
        }
        if sim.faults().draw(Fault::ChargeDeclined, &mut self.random) {
            self.ledger.decide(order, attempt, Money::Declined);
            return self.held_or_not(sim, Outcome::Declined { attempt }, unknown, Some(Fault::ChargeDeclined));
        }
        self.ledger.decide(order, attempt, Money::Charged);
        let slow = token.strip_prefix("tok_slow_").and_then(|millis| millis.parse::<u64>().ok());
        match slow.map(|millis| millis.saturating_mul(1_000)) {
            Some(micros) if micros <= self.timeout_micros => vec![answer(charged, When::After(micros), None)],
            Some(_) => vec![self.no_answer(unknown, None)],
            None if token == "tok_timeout" => vec![self.no_answer(unknown, None)],
            None if sim.faults().draw(Fault::ChargeUnanswered, &mut self.random) => {
                vec![self.no_answer(unknown, Some(Fault::ChargeUnanswered))]
            }
            None => self.held_or_not(sim, charged, unknown, None),
        }
    }

    /// The answer to a charge: perhaps held back until nobody wants it any more.
    fn held_or_not(&mut self, sim: &Sim, outcome: Outcome, unknown: Outcome, fault: Option<Fault>) -> Vec<Answer> {
        if !sim.faults().draw(Fault::AnswerAfterEnd, &mut self.random) {
            return self.answers(sim, outcome, unknown, fault);
        }
        let mut held = answer(outcome, When::Undone(self.held(sim)), fault);
        held.faults.push(Fault::AnswerAfterEnd);
        vec![self.no_answer(unknown, None), held]
    }

    fn look_up(&mut self, sim: &Sim, order: OrderId, attempt: u8, out: Option<Fault>, held: bool) -> Vec<Answer> {
        let unknown = Outcome::PaymentUnknown { attempt };
        if out.is_some() || held {
            return vec![self.no_answer(unknown, out)];
        }
        if sim.faults().draw(Fault::LookUpUnanswered, &mut self.random) {
            return vec![self.no_answer(unknown, Some(Fault::LookUpUnanswered))];
        }
        let blocked = self.ledger.look_up(order, attempt);
        let found = self.ledger.attempt(order, attempt).map(|known| known.money);
        let outcome = match found {
            Some(Money::Charged) => Outcome::Charged { attempt },
            // Both are true, and a provider may say either.
            Some(Money::Declined) if self.random.chance(500) => Outcome::Declined { attempt },
            Some(Money::Declined | Money::Blocked | Money::Lost) | None => Outcome::NotCharged { attempt },
        };
        let mut answers = self.answers(sim, outcome, unknown, None);
        if blocked && sim.faults().draw(Fault::LateMoney, &mut self.random) {
            let when = self.later(sim, 0);
            let outcome = Outcome::Charged { attempt };
            answers.push(Answer { outcome, when, faults: vec![Fault::LateMoney], outlives: true });
        }
        answers
    }

    fn refund(&mut self, sim: &Sim, order: OrderId, attempt: u8, out: Option<Fault>) -> Vec<Answer> {
        let unknown = Outcome::RefundUnknown { attempt };
        let unanswered =
            || sim.faults().draw(Fault::RefundUnanswered, &mut self.random).then_some(Fault::RefundUnanswered);
        if let Some(fault) = out.or_else(unanswered) {
            if self.random.chance(500) {
                self.ledger.refund(order, attempt);
            }
            return vec![self.no_answer(unknown, Some(fault))];
        }
        self.ledger.refund(order, attempt);
        self.answers(sim, Outcome::Refunded { attempt }, unknown, None)
    }

    fn notify(&mut self, sim: &Sim, order: OrderId, out: Option<Fault>) -> Vec<Answer> {
        let lost = || sim.faults().draw(Fault::MailLost, &mut self.random).then_some(Fault::MailLost);
        if let Some(fault) = out.or_else(lost) {
            if self.random.chance(500) {
                self.ledger.mail(order);
            }
            return vec![self.no_answer(Outcome::NotNotified, Some(fault))];
        }
        self.ledger.mail(order);
        self.answers(sim, Outcome::Notified, Outcome::NotNotified, None)
    }

    /// The caller gives up.
    fn no_answer(&self, unknown: Outcome, fault: Option<Fault>) -> Answer {
        answer(unknown, When::After(self.timeout_micros), fault)
    }

    /// An answer as it comes: in time, twice, or after the caller has given up.
    fn answers(&mut self, sim: &Sim, outcome: Outcome, unknown: Outcome, fault: Option<Fault>) -> Vec<Answer> {
        if sim.faults().draw(Fault::AnswerLate, &mut self.random) {
            let when = self.later(sim, self.timeout_micros);
            let mut late = answer(outcome, when, fault);
            late.faults.push(Fault::AnswerLate);
            return vec![self.no_answer(unknown, None), late];
        }
        let latency = self.latency();
        let mut answers = vec![answer(outcome, When::After(latency), fault)];
        if sim.faults().draw(Fault::AnswerTwice, &mut self.random) {
            let when = self.later(sim, latency);
            answers.push(answer(outcome, when, Some(Fault::AnswerTwice)));
        }
        answers
    }

    fn latency(&mut self) -> u64 {
        let most = *self.random.pick(&[1_000, 3_000, 3_000, 30_000]);
        self.random.between(200, most)
    }

    fn held(&mut self, sim: &Sim) -> u64 {
        let ttl = sim.options().hold_ttl_micros;
        let wait = *self.random.pick(&[3 * self.timeout_micros, ttl + ttl / 2, HELD_MICROS_MAX]);
        wait.clamp(2 * self.timeout_micros, HELD_MICROS_MAX)
    }

    /// Some time after `from`.
    fn later(&mut self, sim: &Sim, from: u64) -> When {
        let ttl = sim.options().hold_ttl_micros;
        match self.random.below(7) {
            0 => When::After(from + self.random.between(1, 2_000)),
            1 => When::After(from + self.random.between(1, 500_000)),
            2 => When::After(from + self.random.between(1, LATE_MICROS_MAX)),
            // About when the hold ends.
            3 => {
                let edge = (ttl + self.random.between(0, 20_000)).saturating_sub(10_000);
                When::After(edge.max(from + 1).min(HELD_MICROS_MAX))
            }
            4 => When::Undone(from + self.held(sim)),
            _ => When::Behind(from + self.random.between(1, LATE_MICROS_MAX)),
        }
    }
}

fn answer(outcome: Outcome, when: When, fault: Option<Fault>) -> Answer {
    Answer { outcome, when, faults: fault.into_iter().collect(), outlives: false }
}
