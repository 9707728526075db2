//! The payment provider and the mailer of a world. They outlive every crash of the engine: what was done stays done, and only
//! answers on their way to a process that dies are lost.
//!
//! ```text
//! lane ─ perform ─> plan: ledger (true at once) ─> answers on their way ─ due, undone, behind ─> report ─> lane
//! ```

#[cfg(test)]
mod bench;
mod client;
mod ledger;
mod plan;
#[cfg(test)]
mod tests;
mod weather;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::{Rc, Weak};

use orderlane_core::{Call, Event, OrderId, Outcome, Outside as Request};
use orderlane_lane::{Port, report};

use crate::faults::Fault;
use crate::sim::Sim;

use client::Client;
pub use client::ProviderClient;
pub use ledger::{Attempt, Ledger, Money};
use plan::{Answer, Mind, When};

/// The provider and the mailer. Cheap to clone.
#[derive(Clone)]
pub struct Provider(Rc<Inner>);

struct Inner {
    sim: Sim,
    mind: RefCell<Mind>,
    /// Answers on their way, by number.
    open: RefCell<BTreeMap<u64, Open>>,
    open_next: Cell<u64>,
    clients: RefCell<BTreeMap<u64, Weak<Client>>>,
    clients_next: Cell<u64>,
    /// Orders that are being cancelled, have expired or have ended.
    undone: RefCell<BTreeSet<OrderId>>,
}

/// An answer on its way.
struct Open {
    order: OrderId,
    answer: Answer,
    /// Which call it belongs to.
    call: u64,
    /// Whose answer it is.
    client: u64,
    /// Whether its call was not answered at all before.
    is_first: bool,
}

/// How often an answer that takes long looks whether everything has healed.
const LOOK_MICROS: u64 = 500_000;

impl Provider {
    /// A provider that nobody has called.
    #[must_use]
    pub fn new(sim: &Sim) -> Provider {
        Provider(Rc::new(Inner {
            sim: sim.clone(),
            mind: RefCell::new(Mind::new(sim)),
            open: RefCell::default(),
            open_next: Cell::new(0),
            clients: RefCell::default(),
            clients_next: Cell::new(0),
            undone: RefCell::default(),
        }))
    }

    /// How long a caller waits before it takes the outcome as unknown, microseconds.
    #[must_use]
    pub fn timeout_micros(&self) -> u64 {
        self.0.mind.borrow().timeout_micros
    }

    /// The world lets the provider see what the engine decided, so that an answer can come just when nobody wants it any more.
    pub fn see(&self, event: &Event) {
        let undone = event.is_end() || matches!(event, Event::CancelRequested { .. } | Event::HoldExpired { .. });
        let Some(order) = event.saga_order().filter(|_| undone) else { return };
        self.0.undone.borrow_mut().insert(order);
        self.hurry(order, |when| matches!(when, When::Undone(_)));
    }

    /// Lets answers that wait for something come soon.
    fn hurry(&self, order: OrderId, wanted: impl Fn(When) -> bool) {
        for number in self.numbers(|open| open.order == order && wanted(open.answer.when)) {
            let micros = self.0.mind.borrow_mut().random.between(0, 5_000);
            self.after(micros, move |provider| provider.arrive(number));
        }
    }

    /// The truth about all money and all mail, now.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        self.0.mind.borrow().ledger.clone()
    }

    /// Mails that went to the customer of an order.
    #[must_use]
    pub fn mails(&self, order: OrderId) -> u64 {
        self.0.mind.borrow().ledger.mails(order)
    }

    /// Answers and late money that are still on their way, to any lane.
    #[must_use]
    pub fn calls_open(&self) -> usize {
        self.0.open.borrow().len()
    }

    fn perform(&self, client: &Client, request: &Request) {
        let sim = &self.0.sim;
        let (kind, attempt) = numbers_of(request.call);
        sim.note("provider call", &[request.order.bits(), kind, u64::from(attempt), client.number]);
        let holds = |open: &Open| {
            open.order == request.order
                && open.answer.faults.contains(&Fault::AnswerAfterEnd)
                && numbers_of_outcome(open.answer.outcome).1 == attempt
        };
        let held = !self.numbers(holds).is_empty();
        if matches!(request.call, Call::Refund { .. }) {
            self.hurry(request.order, |when| matches!(when, When::Behind(_)));
        }
        let planned = self.0.mind.borrow_mut().perform(sim, request, held);
        let answers = planned.unwrap_or_else(|text| {
            sim.violate("payment", Some(request.order.shard()), text);
            Vec::new()
        });
        let call = self.0.open_next.get();
        for (index, answer) in answers.into_iter().enumerate() {
            self.send(Open { order: request.order, answer, call, client: client.number, is_first: index == 0 });
        }
    }

    /// Puts an answer on its way.
    fn send(&self, open: Open) {
        let number = self.0.open_next.get();
        self.0.open_next.set(number + 1);
        let micros = match open.answer.when {
            // It is undone already: some time is enough.
            When::Undone(micros) if self.0.undone.borrow().contains(&open.order) => micros.min(LOOK_MICROS),
            When::After(micros) | When::Undone(micros) | When::Behind(micros) => micros,
        };
        let patient = !open.is_first;
        self.0.open.borrow_mut().insert(number, open);
        self.wait(number, micros, patient);
    }

    /// Lets an answer arrive in so many microseconds. A patient one comes soon when everything has healed.
    fn wait(&self, number: u64, micros: u64, patient: bool) {
        let step = if patient { micros.min(LOOK_MICROS) } else { micros };
        self.after(step, move |provider| {
            let is_open = provider.0.open.borrow().contains_key(&number);
            if !is_open {
                return;
            }
            if step == micros || !provider.0.sim.faults().is_active() {
                provider.arrive(number);
            } else {
                provider.wait(number, micros - step, patient);
            }
        });
    }

    /// The calendar does not keep a world that is over.
    fn after(&self, micros: u64, action: impl FnOnce(&Provider) + 'static) {
        let weak = Rc::downgrade(&self.0);
        self.0.sim.executor().after(micros, move || {
            if let Some(inner) = weak.upgrade() {
                action(&Provider(inner));
            }
        });
    }

    /// An answer arrives, unless its process is gone; then those that waited to come right behind it.
    fn arrive(&self, number: u64) {
        let Some(open) = self.0.open.borrow_mut().remove(&number) else { return };
        if open.answer.outlives
            && let Outcome::Charged { attempt } = open.answer.outcome
        {
            self.0.mind.borrow_mut().ledger.take_late(open.order, attempt);
        }
        self.hand_over(&open);
        let behind = |other: &Open| {
            other.order == open.order && other.call != open.call && matches!(other.answer.when, When::Behind(_))
        };
        for number in self.numbers(behind) {
            // Else behind a later one.
            if self.0.mind.borrow_mut().random.chance(500) {
                self.arrive(number);
            }
        }
    }

    fn hand_over(&self, open: &Open) {
        let (order, outcome) = (open.order, open.answer.outcome);
        let (kind, attempt) = numbers_of_outcome(outcome);
        let Some(port) = self.port_for(open) else {
            // Late money is told to the next process: see `ProviderClient::poll`.
            return self.0.sim.note("provider unheard", &[order.bits(), kind, u64::from(attempt)]);
        };
        self.0.sim.note("provider answer", &[order.bits(), kind, u64::from(attempt)]);
        if let Outcome::Declined { attempt } | Outcome::NotCharged { attempt } = outcome {
            self.0.mind.borrow_mut().ledger.tell(order, attempt);
        }
        for fault in &open.answer.faults {
            if *fault != Fault::AnswerAfterEnd || self.0.undone.borrow().contains(&order) {
                self.0.sim.faults().observed(*fault);
            }
        }
        report(&port, order, outcome);
    }

    fn port_for(&self, open: &Open) -> Option<Port> {
        let clients = self.0.clients.borrow();
        let client = if open.answer.outlives {
            let owns = |client: &Rc<Client>| client.shards.contains(&open.order.shard());
            clients.values().rev().filter_map(Weak::upgrade).find(owns)
        } else {
            clients.get(&open.client).and_then(Weak::upgrade)
        };
        client.and_then(|client| client.port.borrow().clone())
    }

    fn numbers(&self, wanted: impl Fn(&Open) -> bool) -> Vec<u64> {
        self.0.open.borrow().iter().filter(|(_, open)| wanted(open)).map(|(number, _)| *number).collect()
    }

    /// Late money is told again to every process: the one before may have died before it had stored it.
    fn tell_again(&self, client: &Client) {
        let late: Vec<(OrderId, u8)> = {
            let mind = self.0.mind.borrow();
            let all =
                mind.ledger.iter().filter(|(order, _, known)| known.late && client.shards.contains(&order.shard()));
            all.map(|(order, attempt, _)| (order, attempt)).collect()
        };
        for (order, attempt) in late {
            let micros = self.0.mind.borrow_mut().random.between(1, 20_000);
            let outcome = Outcome::Charged { attempt };
            let answer = Answer { outcome, when: When::After(micros), faults: Vec::new(), outlives: false };
            let call = self.0.open_next.get();
            self.send(Open { order, answer, call, client: client.number, is_first: false });
        }
    }

    /// The process of a client is gone.
    fn forget(&self, client: &Client) {
        self.0.clients.borrow_mut().remove(&client.number);
        self.0.open.borrow_mut().retain(|_, open| open.client != client.number || open.answer.outlives);
    }
}

/// A call as numbers of the trace.
fn numbers_of(call: Call) -> (u64, u8) {
    match call {
        Call::Charge { attempt, .. } => (1, attempt),
        Call::Reconcile { attempt } => (2, attempt),
        Call::Refund { attempt, .. } => (3, attempt),
        Call::Notify => (4, 0),
    }
}

/// An outcome as numbers of the trace.
fn numbers_of_outcome(outcome: Outcome) -> (u64, u8) {
    match outcome {
        Outcome::Charged { attempt } => (1, attempt),
        Outcome::Declined { attempt } => (2, attempt),
        Outcome::PaymentUnknown { attempt } => (3, attempt),
        Outcome::NotCharged { attempt } => (4, attempt),
        Outcome::Refunded { attempt } => (5, attempt),
        Outcome::RefundUnknown { attempt } => (6, attempt),
        Outcome::Notified => (7, 0),
        Outcome::NotNotified => (8, 0),
    }
}
