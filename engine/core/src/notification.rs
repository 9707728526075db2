//! The notification service: the customer is told once the order is complete, again and again until it has worked.

use crate::effect::Call;
use crate::event::Event;
use crate::ids::OrderId;
use crate::input::Outcome;
use crate::order::Order;
use crate::payment::Learned;
use crate::saga::Trigger;
use crate::timers::Timer;

/// The call that `event` asks for.
pub(crate) fn call_after(event: &Event) -> Option<Call> {
    matches!(event, Event::OrderCompleted { .. }).then_some(Call::Notify)
}

/// Decides what an outcome of the mailer means.
pub(crate) fn decide(id: OrderId, order: &Order, outcome: Outcome) -> Learned {
    match outcome {
        Outcome::Notified if order.notify => {
            Learned::Event(Trigger::NotificationSent, Event::NotificationSent { order: id })
        }
        Outcome::NotNotified if order.notify => Learned::TryAgain(Timer::Notify),
        _ => Learned::Nothing,
    }
}
