//! The simulated payment provider and mailer: what they answer is a pure function of (order, attempt, token), so that it
//! survives any kill. Mail is a counted sink.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use orderlane_core::{Call, OrderId, Outcome, Outside as Request, Time};
use orderlane_lane::{LaneMetrics, Outside, Port, report};

/// The provider of one lane.
pub(crate) struct Simulated {
    timeout_micros: u64,
    /// Answers that are on their way, the earliest first.
    answers: BinaryHeap<Reverse<(Time, OrderId, Outcome)>>,
    metrics: Arc<LaneMetrics>,
}

impl Simulated {
    /// A provider whose caller gives up after `timeout_micros`.
    pub(crate) fn new(timeout_micros: u64, metrics: Arc<LaneMetrics>) -> Simulated {
        Simulated { timeout_micros, answers: BinaryHeap::new(), metrics }
    }

    /// The outcome of a call and how long it takes, microseconds.
    fn answer(&self, request: &Request) -> (Outcome, u64) {
        let token = request.body.token();
        match request.call {
            Call::Charge { attempt, .. } => self.charge(request.order, attempt, token),
            Call::Reconcile { attempt } => {
                let took_it = !matches!(token, "tok_lost" | "tok_decline");
                let outcome = if took_it { Outcome::Charged { attempt } } else { Outcome::NotCharged { attempt } };
                (outcome, latency_micros(request.order, attempt))
            }
            Call::Refund { attempt, .. } => (Outcome::Refunded { attempt }, latency_micros(request.order, attempt)),
            Call::Notify => (Outcome::Notified, latency_micros(request.order, 0)),
        }
    }

    fn charge(&self, order: OrderId, attempt: u8, token: &str) -> (Outcome, u64) {
        let lost = (Outcome::PaymentUnknown { attempt }, self.timeout_micros);
        match token {
            "tok_decline" => (Outcome::Declined { attempt }, latency_micros(order, attempt)),
            "tok_timeout" | "tok_lost" => lost,
            _ => {
                let slow = token.strip_prefix("tok_slow_").and_then(|millis| millis.parse::<u64>().ok());
                let micros = slow.map_or_else(|| latency_micros(order, attempt), |millis| millis.saturating_mul(1_000));
                if micros > self.timeout_micros { lost } else { (Outcome::Charged { attempt }, micros) }
            }
        }
    }
}

/// Between 1 and 3 ms.
fn latency_micros(order: OrderId, attempt: u8) -> u64 {
    let mixed = (order.bits() ^ u64::from(attempt) << 56).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    1_000 + (mixed >> 32) % 2_000
}

impl Outside for Simulated {
    fn perform(&mut self, now: Time, request: Request, _port: &Port) {
        let (outcome, micros) = self.answer(&request);
        self.answers.push(Reverse((now.after_micros(micros), request.order, outcome)));
    }

    fn poll(&mut self, now: Time, port: &Port) {
        while let Some(Reverse((at, order, outcome))) = self.answers.peek().copied()
            && at <= now
        {
            self.answers.pop();
            if outcome == Outcome::Notified {
                self.metrics.mails.add(1);
            }
            report(port, order, outcome);
        }
    }

    fn poll_timeout(&self) -> Option<Time> {
        self.answers.peek().map(|Reverse((at, _, _))| *at)
    }

    fn calls_open(&self) -> usize {
        self.answers.len()
    }
}
