//! One client: it does its operations one after the other.

use std::rc::Rc;

use orderlane_core::OrderId;

use crate::clients::Shared;
use crate::clients::ask::Ask;
use crate::clients::plan::{Planned, Work};
use crate::clients::session::{Answered, Session};
use crate::clients::shape::Precondition;
use crate::faults::Fault;
use crate::history::{Asked, Placing};
use crate::random::Random;

/// Requests that a client sends before it has the answers, at most.
const PIPELINE_MAX: u64 = 5;
/// Between an answer and the cancel, microseconds, by what it is to meet.
const CANCEL_AFTER_MICROS: [u64; 5] = [0, 200, 2_000, 50_000, 3_000_000];

/// A late retry comes so long after the retention of its key, at most, microseconds.
const LATE_MICROS_MAX: u64 = 3_000_000;

/// A client at work.
pub(super) struct Actor {
    shared: Rc<Shared>,
    session: Session,
    operations: Vec<Planned>,
}

impl Actor {
    pub(super) fn new(shared: Rc<Shared>, client: u16) -> Actor {
        let operations = shared.workload.of(client).cloned().collect();
        let session = Session::new(shared.clone(), client);
        Actor { shared, session, operations }
    }

    /// Does all operations; once the world has healed, no new ones.
    pub(super) async fn run(mut self) {
        let operations = std::mem::take(&mut self.operations);
        let mut rest = operations.as_slice();
        while let Some(first) = rest.first().filter(|_| self.shared.sim.faults().is_active()) {
            let mut random = self.random(first);
            self.session.executor().sleep(first.pause_micros).await;
            let pipelined = self.shared.sim.faults().draw(Fault::Pipelining, &mut random);
            let wanted = if pipelined { random.between(2, PIPELINE_MAX) as usize } else { 1 };
            let group;
            (group, rest) = rest.split_at(wanted.min(rest.len()));
            self.group(group).await;
        }
    }

    /// What happens during an operation is drawn from a stream of its own.
    fn random(&self, planned: &Planned) -> Random {
        self.shared.sim.random(&format!("course {}", planned.number))
    }

    /// Sends the first request of all these, then does what is left of each.
    async fn group(&mut self, group: &[Planned]) {
        let begun: Vec<(&Planned, Ask)> =
            group.iter().filter_map(|planned| Some((planned, self.first(planned)?))).collect();
        if begun.is_empty() {
            return;
        }
        let asks: Vec<&Ask> = begun.iter().map(|(_, ask)| ask).collect();
        let answers = self.session.exchange(&asks, group[0].patience_micros).await;
        for ((planned, ask), answer) in begun.iter().zip(answers) {
            let answered = self.session.settle(ask, answer, planned.patience_micros, planned.gives_up).await;
            if let Some(answered) = answered {
                self.follow(planned, ask, &answered).await;
            }
        }
    }

    /// The first request of an operation; none when it is about an order that nobody knows.
    fn first(&self, planned: &Planned) -> Option<Ask> {
        let number = planned.number;
        let known = |of: &u32| self.shared.acknowledged.borrow().get(of)?.first().copied();
        let mut ask = match &planned.work {
            Work::Place(placing) => Ask::new(number, Asked::Place(placing.clone())),
            Work::PlaceMany(placings, as_lines) => {
                Ask { as_lines: *as_lines, ..Ask::new(number, Asked::PlaceMany(placings.clone())) }
            }
            Work::Cancel(of, _) => self.cancelling(number, known(of)?, &planned.shape.precondition),
            Work::Get(of) => {
                let wait_in_query = number.is_multiple_of(2);
                Ask { wait_in_query, ..Ask::new(number, Asked::Get(known(of)?)) }
            }
            Work::List(customer, limit, status) => {
                let mut ask = Ask::new(number, Asked::List(customer.clone()));
                ask.details.limit = *limit;
                ask.details.status = *status;
                ask
            }
            Work::PutProduct(sku, price, currency) => {
                let (sku, currency) = (sku.clone(), (*currency).to_owned());
                Ask::new(number, Asked::PutProduct { sku, price: *price, currency })
            }
            Work::Adjust(sku, delta, _) => {
                let (sku, key) = (sku.clone(), format!("a-{number}"));
                Ask::new(number, Asked::Adjust { sku, delta: *delta, key })
            }
            Work::Inventory(sku) => Ask::new(number, Asked::Inventory(sku.clone())),
            Work::Invariants => Ask::new(number, Asked::Invariants),
        };
        if matches!(planned.work, Work::Place(_) | Work::PlaceMany(..) | Work::Get(_)) {
            ask.details.wait_seconds = planned.wait_seconds;
        }
        if matches!(planned.work, Work::Get(_) | Work::List(..) | Work::Inventory(_) | Work::Invariants) {
            ask.details.is_head = planned.shape.is_head;
        }
        ask.chunks.clone_from(&planned.shape.chunks);
        ask.escapes = planned.shape.escapes;
        Some(ask)
    }

    /// A cancel of the version that is meant.
    fn cancelling(&self, number: u32, order: OrderId, precondition: &Precondition) -> Ask {
        let mut ask = Ask::new(number, Asked::Cancel(order));
        let seen = self.shared.versions.borrow().get(&order).copied();
        ask.details.if_match = precondition.text(seen.unwrap_or(1));
        ask
    }

    /// What an operation does after its first answer.
    async fn follow(&mut self, planned: &Planned, ask: &Ask, answered: &Answered) {
        let mut random = self.random(planned);
        // The first number of the stream was for the pipeline.
        random.bits();
        match &planned.work {
            Work::Place(placing) => self.after_place(planned, ask, placing, &mut random).await,
            Work::PlaceMany(..) => {
                self.repeat(planned, ask, &mut random).await;
                self.cancel(planned, &mut random).await;
            }
            Work::Cancel(_, times) | Work::Adjust(_, _, times) => {
                for _ in 1..*times {
                    self.again(planned, ask).await;
                }
            }
            Work::List(..) => self.session.list(ask, answered, planned.patience_micros, planned.gives_up).await,
            Work::Get(_) | Work::PutProduct(..) | Work::Inventory(_) | Work::Invariants => {}
        }
    }

    async fn after_place(&mut self, planned: &Planned, ask: &Ask, placing: &Placing, random: &mut Random) {
        self.repeat(planned, ask, random).await;
        if self.shared.sim.faults().draw(Fault::CarelessKey, random) {
            let mut other = placing.clone();
            match random.below(6) {
                0 => other.lines[0].1 = if other.lines[0].1 == 1 { 2 } else { 1 },
                1 => other.token.push('x'),
                2 => other.email = Some("other@b.example".into()),
                3 => other.reference = if other.reference.is_none() { Some("other".into()) } else { None },
                4 if other.metadata.as_ref().is_none_or(Vec::is_empty) => {
                    other.metadata = Some(vec![("other".into(), String::new())]);
                }
                4 => other.metadata = None,
                _ => other.lines.push(("sku-0".into(), 1)),
            }
            other.lines.truncate(50);
            if other != *placing {
                let mut careless = Ask { asked: Asked::Place(other), ..ask.clone() };
                careless.details.is_careless = true;
                self.again(planned, &careless).await;
            }
        }
        self.cancel(planned, random).await;
        self.late(planned, ask, random).await;
    }

    /// The same request once more when its key may have expired: then it places another order.
    async fn late(&mut self, planned: &Planned, ask: &Ask, random: &mut Random) {
        let sim = self.shared.sim.clone();
        let first = self.shared.acknowledged.borrow().get(&planned.number).and_then(|orders| orders.first().copied());
        if !sim.options().keys_expire() || first.is_none() || !sim.faults().draw(Fault::LateRetry, random) {
            return;
        }
        let wait = sim.options().key_retention_micros + random.between(0, LATE_MICROS_MAX);
        self.session.executor().sleep(wait).await;
        self.again(planned, ask).await;
        if self.shared.acknowledged.borrow().get(&planned.number).is_some_and(|orders| orders.len() > 1) {
            sim.faults().observed(Fault::LateRetry);
        }
    }

    /// The same request once more, though it is answered: with the same key, and now and then with another wait.
    async fn repeat(&mut self, planned: &Planned, ask: &Ask, random: &mut Random) {
        if self.shared.sim.faults().draw(Fault::Retry, random) {
            let mut ask = ask.clone();
            if random.chance(300) {
                ask.details.wait_seconds = if ask.details.wait_seconds > 0 { 0 } else { 1 };
                set_wait(&mut ask.asked, ask.details.wait_seconds > 0);
            }
            if random.chance(300) {
                // It is the same request, however it is written.
                ask.as_lines ^= matches!(ask.asked, Asked::PlaceMany(_));
                ask.escapes = !ask.escapes;
                ask.chunks = if ask.chunks.is_empty() { vec![7, 64] } else { Vec::new() };
                rewrite(&mut ask.asked);
            }
            self.session.reconnect();
            self.again(planned, &ask).await;
        }
    }

    /// Cancels an order of this operation, at any moment of its life.
    async fn cancel(&mut self, planned: &Planned, random: &mut Random) {
        if !self.shared.sim.faults().draw(Fault::CancelAnyTime, random) {
            return;
        }
        let order = self.shared.acknowledged.borrow().get(&planned.number).map(|orders| *random.pick(orders));
        let Some(order) = order else { return };
        let max = *random.pick(&CANCEL_AFTER_MICROS);
        let times = random.between(1, 2);
        self.session.executor().sleep(random.between(0, max)).await;
        let precondition = Precondition::draw(random);
        if precondition == Precondition::Read {
            self.again(planned, &Ask::new(planned.number, Asked::Get(order))).await;
        }
        for _ in 0..times {
            let ask = self.cancelling(planned.number, order, &precondition);
            self.again(planned, &ask).await;
        }
    }

    async fn again(&mut self, planned: &Planned, ask: &Ask) {
        self.session.ask(ask, planned.patience_micros, planned.gives_up).await;
    }
}

/// Metadata without entries is none, and the other way round.
fn rewrite(asked: &mut Asked) {
    let placings = match asked {
        Asked::Place(placing) => std::slice::from_mut(placing),
        Asked::PlaceMany(placings) => placings,
        _ => &mut [],
    };
    for placing in placings {
        placing.metadata = match placing.metadata.take() {
            None => Some(Vec::new()),
            Some(entries) if entries.is_empty() => None,
            some => some,
        };
    }
}

fn set_wait(asked: &mut Asked, wait: bool) {
    match asked {
        Asked::Place(placing) => placing.wait = wait,
        Asked::PlaceMany(placings) => placings.iter_mut().for_each(|placing| placing.wait = wait),
        Asked::Cancel(_)
        | Asked::Get(_)
        | Asked::List(_)
        | Asked::PutProduct { .. }
        | Asked::Load { .. }
        | Asked::Adjust { .. }
        | Asked::Inventory(_)
        | Asked::Invariants => {}
    }
}
