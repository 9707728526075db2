//! The saga of an order as one table: every (stage, trigger) pair has an answer.
//!
//! ```text
//! Reserving ─> Charging <─> Reconciling ─> Selling ─> Completed
//!   │  │          │  │            │           │
//!   │  │          │  └─> Failing ─┴──────┐    │
//!   │  └─> Expiring  └─> Cancelling <────┼────┘
//!   └─> Rejecting              └──> Refunding ─> the end that was decided
//! ```

use crate::reply::Status;

/// Where the saga of an order is: the public [`Status`], and what is being waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Stage {
    /// `PENDING`: the stock shards are asked.
    Reserving,
    /// `PENDING`: refused somewhere, what is held goes back, the end is `REJECTED`.
    Rejecting,
    /// `PENDING`: too late, what is held goes back, the end is `EXPIRED`.
    Expiring,
    /// `RESERVED`: an attempt is under way.
    Charging,
    /// `RESERVED`: the outcome of the attempt is unknown and looked up.
    Reconciling,
    /// `RESERVED`: no payment, what is held goes back, the end is `PAYMENT_FAILED`.
    Failing,
    /// `PAID`: the stock shards are told to sell.
    Selling,
    /// `CANCELLING`: stock goes back, an attempt under way is settled. Also when money turns up after the payment failed.
    Cancelling,
    /// `REFUNDING`: stock is back, money goes back.
    Refunding,
    Completed,
    Rejected,
    PaymentFailed,
    Expired,
    Cancelled,
}

impl Stage {
    pub(crate) const ALL: [Stage; 14] = [
        Stage::Reserving,
        Stage::Rejecting,
        Stage::Expiring,
        Stage::Charging,
        Stage::Reconciling,
        Stage::Failing,
        Stage::Selling,
        Stage::Cancelling,
        Stage::Refunding,
        Stage::Completed,
        Stage::Rejected,
        Stage::PaymentFailed,
        Stage::Expired,
        Stage::Cancelled,
    ];

    pub(crate) fn status(self) -> Status {
        match self {
            Stage::Reserving | Stage::Rejecting | Stage::Expiring => Status::Pending,
            Stage::Charging | Stage::Reconciling | Stage::Failing => Status::Reserved,
            Stage::Selling => Status::Paid,
            Stage::Cancelling => Status::Cancelling,
            Stage::Refunding => Status::Refunding,
            Stage::Completed => Status::Completed,
            Stage::Rejected => Status::Rejected,
            Stage::PaymentFailed => Status::PaymentFailed,
            Stage::Expired => Status::Expired,
            Stage::Cancelled => Status::Cancelled,
        }
    }

    pub(crate) fn is_end(self) -> bool {
        self.status().is_end()
    }
}

/// What can happen to an order after its creation: its events, as far as they concern the saga.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trigger {
    StockAnswered,
    InventoryReserved,
    InventoryRejected,
    PaymentRequested,
    PaymentUnknown,
    PaymentNotFound,
    /// The attempt under way took the money.
    PaymentCompleted,
    /// An attempt that was settled otherwise took the money after all.
    PaymentSurplus,
    PaymentFailed,
    CancelRequested,
    HoldExpired,
    StockRestored,
    StockSaleConfirmed,
    RefundRequested,
    RefundCompleted,
    OrderCompleted,
    OrderRejected,
    OrderFailed,
    OrderExpired,
    OrderCancelled,
    NotificationSent,
}

impl Trigger {
    pub(crate) const ALL: [Trigger; 21] = [
        Trigger::StockAnswered,
        Trigger::InventoryReserved,
        Trigger::InventoryRejected,
        Trigger::PaymentRequested,
        Trigger::PaymentUnknown,
        Trigger::PaymentNotFound,
        Trigger::PaymentCompleted,
        Trigger::PaymentSurplus,
        Trigger::PaymentFailed,
        Trigger::CancelRequested,
        Trigger::HoldExpired,
        Trigger::StockRestored,
        Trigger::StockSaleConfirmed,
        Trigger::RefundRequested,
        Trigger::RefundCompleted,
        Trigger::OrderCompleted,
        Trigger::OrderRejected,
        Trigger::OrderFailed,
        Trigger::OrderExpired,
        Trigger::OrderCancelled,
        Trigger::NotificationSent,
    ];
}

/// What a trigger means in a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The event happens and moves the saga.
    Go(Stage),
    /// The event happens and is noted; the stage stays.
    Stay,
    /// It comes too late or twice, as it may: no event happens.
    Void,
    /// It cannot come here: a bug.
    Never,
}

/// What the table says.
pub(crate) fn answer(stage: Stage, trigger: Trigger) -> Answer {
    ANSWERS[trigger as usize][stage as usize]
}

/// The table, laid out by the compiler: an answer is one look-up.
static ANSWERS: [[Answer; Stage::ALL.len()]; Trigger::ALL.len()] = {
    let mut answers = [[Answer::Never; Stage::ALL.len()]; Trigger::ALL.len()];
    let mut trigger = 0;
    while trigger < Trigger::ALL.len() {
        let mut stage = 0;
        while stage < Stage::ALL.len() {
            assert!(Trigger::ALL[trigger] as usize == trigger && Stage::ALL[stage] as usize == stage);
            answers[trigger][stage] = table(Stage::ALL[stage], Trigger::ALL[trigger]);
            stage += 1;
        }
        trigger += 1;
    }
    answers
};

/// The table.
const fn table(stage: Stage, trigger: Trigger) -> Answer {
    use Answer::{Go, Never, Stay, Void};
    use Stage::{
        Cancelled, Cancelling, Charging, Completed, Expired, Expiring, Failing, PaymentFailed, Reconciling, Refunding,
        Rejected, Rejecting, Reserving, Selling,
    };
    match (trigger, stage) {
        (Trigger::StockAnswered, Reserving) => Stay,
        // The release is behind the reserve on its way, its answer is what counts.
        (Trigger::StockAnswered, Expiring | Cancelling) => Void,
        (Trigger::StockAnswered, _) => Never,

        (Trigger::InventoryReserved, Reserving) => Go(Charging),
        (Trigger::InventoryReserved, _) => Never,
        (Trigger::InventoryRejected, Reserving) => Go(Rejecting),
        (Trigger::InventoryRejected, _) => Never,

        (Trigger::PaymentRequested, Charging | Reconciling) => Go(Charging),
        (Trigger::PaymentRequested, _) => Never,
        (Trigger::PaymentUnknown, Charging) => Go(Reconciling),
        (Trigger::PaymentUnknown, Cancelling) => Stay,
        (Trigger::PaymentUnknown, _) => Void,
        (Trigger::PaymentNotFound, Charging | Reconciling | Cancelling) => Stay,
        (Trigger::PaymentNotFound, _) => Void,
        (Trigger::PaymentCompleted, Charging | Reconciling) => Go(Selling),
        (Trigger::PaymentCompleted, Cancelling) => Stay,
        (Trigger::PaymentCompleted, _) => Void,
        (Trigger::PaymentSurplus, Reserving | Rejecting | Expiring | Rejected) => Void,
        (
            Trigger::PaymentSurplus,
            Charging | Reconciling | Selling | Cancelling | Refunding | Completed | PaymentFailed | Expired | Cancelled,
        ) => Stay,
        (Trigger::PaymentSurplus, Failing) => Go(Cancelling),
        (Trigger::PaymentFailed, Charging | Reconciling) => Go(Failing),
        (Trigger::PaymentFailed, Cancelling) => Stay,
        (Trigger::PaymentFailed, _) => Void,

        (Trigger::CancelRequested, Reserving | Charging | Reconciling | Selling) => Go(Cancelling),
        (Trigger::CancelRequested, _) => Void,
        (Trigger::HoldExpired, Reserving) => Go(Expiring),
        (Trigger::HoldExpired, Charging | Reconciling) => Go(Cancelling),
        // Paid in time: the single writer's sequence decides.
        (Trigger::HoldExpired, _) => Void,

        (Trigger::StockRestored, Rejecting | Expiring | Failing | Cancelling) => Stay,
        (Trigger::StockRestored, _) => Never,
        (Trigger::StockSaleConfirmed, Selling) => Stay,
        // The return is behind the sale on its way, its answer is what counts.
        (Trigger::StockSaleConfirmed, Cancelling) => Void,
        (Trigger::StockSaleConfirmed, _) => Never,

        (Trigger::RefundRequested, Cancelling) => Go(Refunding),
        (
            Trigger::RefundRequested,
            Charging | Reconciling | Selling | Refunding | Completed | PaymentFailed | Expired | Cancelled,
        ) => Stay,
        (Trigger::RefundRequested, Reserving | Rejecting | Expiring | Failing | Rejected) => Never,
        (
            Trigger::RefundCompleted,
            Charging | Reconciling | Failing | Selling | Cancelling | Refunding | Completed | PaymentFailed | Expired
            | Cancelled,
        ) => Stay,
        (Trigger::RefundCompleted, Reserving | Rejecting | Expiring | Rejected) => Never,

        (Trigger::OrderCompleted, Selling) => Go(Completed),
        (Trigger::OrderCompleted, _) => Never,
        (Trigger::OrderRejected, Rejecting) => Go(Rejected),
        (Trigger::OrderRejected, _) => Never,
        (Trigger::OrderFailed, Failing | Refunding) => Go(PaymentFailed),
        (Trigger::OrderFailed, _) => Never,
        (Trigger::OrderExpired, Expiring | Cancelling | Refunding) => Go(Expired),
        (Trigger::OrderExpired, _) => Never,
        (Trigger::OrderCancelled, Cancelling | Refunding) => Go(Cancelled),
        (Trigger::OrderCancelled, _) => Never,

        (Trigger::NotificationSent, Completed) => Stay,
        (Trigger::NotificationSent, _) => Void,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The changes of status that api.md promises, and no other.
    const PROMISED: [(Status, &[Status]); 6] = [
        (Status::Pending, &[Status::Reserved, Status::Rejected, Status::Cancelling, Status::Expired]),
        (Status::Reserved, &[Status::Paid, Status::PaymentFailed, Status::Cancelling, Status::Expired]),
        (Status::Paid, &[Status::Completed, Status::Cancelling]),
        (Status::Cancelling, &[Status::Refunding, Status::Cancelled, Status::Expired]),
        (Status::Refunding, &[Status::Cancelled, Status::Expired, Status::PaymentFailed]),
        (Status::Completed, &[]),
    ];

    #[test]
    fn trap_20_every_change_of_status_is_a_promised_one() {
        for stage in Stage::ALL {
            for trigger in Trigger::ALL {
                if let Answer::Go(next) = answer(stage, trigger) {
                    let (from, to) = (stage.status(), next.status());
                    let promised = PROMISED.iter().find(|(status, _)| *status == from).map_or(&[][..], |(_, to)| *to);
                    assert!(from == to || promised.contains(&to), "{stage:?} on {trigger:?}: {from:?} to {to:?}");
                }
            }
        }
    }

    #[test]
    fn an_end_is_never_left() {
        for stage in Stage::ALL.into_iter().filter(|stage| stage.is_end()) {
            for trigger in Trigger::ALL {
                assert!(!matches!(answer(stage, trigger), Answer::Go(_)), "{stage:?} on {trigger:?}");
            }
        }
    }

    #[test]
    fn from_every_stage_an_end_can_be_reached() {
        for start in Stage::ALL {
            let mut reached = alloc::vec![start];
            let mut index = 0;
            while index < reached.len() {
                for trigger in Trigger::ALL {
                    if let Answer::Go(next) = answer(reached[index], trigger)
                        && !reached.contains(&next)
                    {
                        reached.push(next);
                    }
                }
                index += 1;
            }
            assert!(reached.iter().any(|stage| stage.is_end()), "{start:?}");
        }
    }
}
