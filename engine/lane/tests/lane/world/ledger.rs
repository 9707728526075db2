//! What is durable, and what may follow from it.

use super::*;

/// The durable events of all lanes by name and order: an effect that comes out without its event is a violation.
#[derive(Default)]
pub struct Ledger {
    pub(super) durable: RefCell<BTreeSet<(&'static str, OrderId)>>,
    pub(super) trace: RefCell<Vec<String>>,
}

impl Ledger {
    pub fn trace(&self) -> Vec<String> {
        self.trace.borrow().clone()
    }

    pub(super) fn note(&self, line: String) {
        self.trace.borrow_mut().push(line);
    }

    #[track_caller]
    pub(super) fn require(&self, event: &'static str, order: OrderId, effect: &str) {
        assert!(
            self.durable.borrow().contains(&(event, order)),
            "{effect} of {order} came out before its {event} was durable"
        );
    }

    /// An order whose events an earlier run has made durable, all of them.
    pub fn ended_before(&self, order: OrderId) {
        self.durable.borrow_mut().extend([("OrderCreated", order), ("OrderCompleted", order)]);
    }

    pub(super) fn make_durable(&self, batch: &[Appended]) {
        self.durable.borrow_mut().extend(batch.iter().filter_map(|appended| named(&appended.event)));
    }

    pub(super) fn check_append(&self, event: &Event) {
        match event {
            Event::StockReserved { order, .. } | Event::StockRefused { order, .. } => {
                self.require("OrderCreated", *order, "Tell(Reserve)");
            }
            Event::StockAnswered { order, answer, .. } if answer.refusal.is_none() => {
                self.require("StockReserved", *order, "Tell(ReserveAnswered)");
            }
            Event::StockSold { order } => self.require("PaymentCompleted", *order, "Tell(Sell)"),
            Event::StockSaleConfirmed { order, .. } => self.require("StockSold", *order, "Tell(Sold)"),
            _ => {}
        }
    }

    pub(super) fn check_call(&self, asked: &Asked) {
        match asked.call {
            Call::Charge { .. } => self.require("PaymentRequested", asked.order, "Charge"),
            Call::Reconcile { .. } => self.require("PaymentRequested", asked.order, "Reconcile"),
            Call::Refund { .. } => self.require("RefundRequested", asked.order, "Refund"),
            Call::Notify => self.require("OrderCompleted", asked.order, "Notify"),
        }
    }

    pub(super) fn check_reply(&self, reply: &Reply) {
        match reply {
            Reply::Placed { order, .. } => self.require("OrderCreated", *order, "Placed"),
            Reply::Order(view) => self.check_status(view.order, view.status, "Order"),
            Reply::Ended { order, .. } => self.check_status(order.order, order.status, "Ended"),
            _ => {}
        }
    }

    pub(super) fn check_status(&self, order: OrderId, status: Status, effect: &str) {
        match status {
            Status::Reserved => self.require("PaymentRequested", order, effect),
            Status::Paid => self.require("PaymentCompleted", order, effect),
            Status::Completed => self.require("OrderCompleted", order, effect),
            Status::Expired => self.require("OrderExpired", order, effect),
            Status::Pending
            | Status::Cancelling
            | Status::Refunding
            | Status::Rejected
            | Status::PaymentFailed
            | Status::Cancelled => self.require("OrderCreated", order, effect),
        }
    }
}

pub(super) fn named(event: &Event) -> Option<(&'static str, OrderId)> {
    Some(match event {
        Event::OrderCreated { order, .. } => ("OrderCreated", *order),
        Event::StockReserved { order, .. } => ("StockReserved", *order),
        Event::StockSold { order } => ("StockSold", *order),
        Event::PaymentRequested { order, .. } => ("PaymentRequested", *order),
        Event::PaymentCompleted { order, .. } => ("PaymentCompleted", *order),
        Event::RefundRequested { order, .. } => ("RefundRequested", *order),
        Event::OrderCompleted { order } => ("OrderCompleted", *order),
        Event::OrderExpired { order } => ("OrderExpired", *order),
        _ => return None,
    })
}

/// The name of an event's variant.
pub fn name(event: &Event) -> String {
    let text = format!("{event:?}");
    text.split([' ', '{', '(']).next().unwrap_or_default().to_owned()
}
