//! The saga of an order as one table: every (stage, trigger) pair has an answer.
//!
//! ```text
//! Reserving ─> Charging <─> Reconciling ─> Selling ─> Completed
//!   │  │          │  │            │           │
//!   │  │          │  └─> Failing ─┴──────┐    │
//!   │  └─> Expiring  └─> Cancelling <────┼────┘
//!   └─> Rejecting              └──> Refunding ─> the end that was decided
//! ```
//!
//! A pair that cannot come says in the table why not ([`why_never`]). Which pairs did come, a shard knows
//! ([`crate::Shard::saga_reached`]).

use crate::reply::Status;

/// Where the saga of an order is: the public [`Status`], and what is being waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Stage {
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
    /// `COMPLETED`: sold and paid.
    Completed,
    /// `REJECTED`: the lines could not be had.
    Rejected,
    /// `PAYMENT_FAILED`: no money could be had.
    PaymentFailed,
    /// `EXPIRED`: the hold ended first.
    Expired,
    /// `CANCELLED`: the client wanted out.
    Cancelled,
}

impl Stage {
    /// All stages, in the order of their numbers.
    pub const ALL: [Stage; 14] = [
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

    /// The status that clients see.
    #[must_use]
    pub fn status(self) -> Status {
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

    /// Whether the saga has ended.
    #[must_use]
    pub fn is_end(self) -> bool {
        self.status().is_end()
    }
}

/// What can happen to an order after its creation: its events, as far as they concern the saga.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// A stock shard has answered the reserve.
    StockAnswered,
    /// All lines are held.
    InventoryReserved,
    /// The lines cannot be had.
    InventoryRejected,
    /// An attempt is about to be made.
    PaymentRequested,
    /// The attempt under way has no answer.
    PaymentUnknown,
    /// The attempt under way took no money and never will.
    PaymentNotFound,
    /// The attempt under way took the money.
    PaymentCompleted,
    /// An attempt that was settled otherwise took the money after all.
    PaymentSurplus,
    /// There will be no payment.
    PaymentFailed,
    /// The client wants out.
    CancelRequested,
    /// The hold has ended.
    HoldExpired,
    /// A stock shard has given back what it held or had sold.
    StockRestored,
    /// A stock shard has sold what it held.
    StockSaleConfirmed,
    /// The money of an attempt is to be given back.
    RefundRequested,
    /// The money of an attempt is given back.
    RefundCompleted,
    /// The end `COMPLETED`.
    OrderCompleted,
    /// The end `REJECTED`.
    OrderRejected,
    /// The end `PAYMENT_FAILED`.
    OrderFailed,
    /// The end `EXPIRED`.
    OrderExpired,
    /// The end `CANCELLED`.
    OrderCancelled,
    /// The customer has been told of the end.
    NotificationSent,
}

impl Trigger {
    /// All triggers, in the order of their numbers.
    pub const ALL: [Trigger; 21] = [
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
pub enum Answer {
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
#[must_use]
pub fn answer(stage: Stage, trigger: Trigger) -> Answer {
    ANSWERS[trigger as usize][stage as usize]
}

/// Why a pair cannot come; `None` for every pair that can.
#[must_use]
pub fn why_never(stage: Stage, trigger: Trigger) -> Option<&'static str> {
    match table(stage, trigger) {
        Row::Never(reason) => Some(reason),
        Row::Go(_) | Row::Stay | Row::Void => None,
    }
}

/// The pairs that were looked up in the table: by stage, bit `1 << trigger`.
pub type Reached = [u32; Stage::ALL.len()];

const _: () = assert!(Trigger::ALL.len() <= u32::BITS as usize, "a trigger is a bit of a u32");

/// Notes that a pair was looked up.
#[inline]
pub(crate) fn note(reached: &mut Reached, stage: Stage, trigger: Trigger) {
    reached[stage as usize] |= 1 << trigger as u32;
}

/// The table, laid out by the compiler: an answer is one look-up.
static ANSWERS: [[Answer; Stage::ALL.len()]; Trigger::ALL.len()] = {
    let mut answers = [[Answer::Never; Stage::ALL.len()]; Trigger::ALL.len()];
    let mut trigger = 0;
    while trigger < Trigger::ALL.len() {
        let mut stage = 0;
        while stage < Stage::ALL.len() {
            assert!(Trigger::ALL[trigger] as usize == trigger && Stage::ALL[stage] as usize == stage);
            answers[trigger][stage] = match table(Stage::ALL[stage], Trigger::ALL[trigger]) {
                Row::Go(next) => Answer::Go(next),
                Row::Stay => Answer::Stay,
                Row::Void => Answer::Void,
                Row::Never(_) => Answer::Never,
            };
            stage += 1;
        }
        trigger += 1;
    }
    answers
};

/// An [`Answer`] as it stands in the table: one that cannot come says why.
#[derive(Clone, Copy)]
enum Row {
    Go(Stage),
    Stay,
    Void,
    Never(&'static str),
}

const ANSWERED: &str = "every stock shard has answered before this stage, and a message has its effect once";
const ANSWER_OVERTAKEN: &str = "the end waits for the answer to the release, which is behind this one on its way";
const SUMMED: &str = "the answers are added up once, and the sum moves the order on";
const NO_ATTEMPT: &str = "no attempt was ever made, and what names none is not listened to";
const NOT_UNDER_WAY: &str =
    "no attempt is under way any more, and of the others only money is listened to, as a surplus";
const UNKNOWN_ALREADY: &str = "that nothing is known is known already: it is looked up again, and no event";
const NOT_HELD: &str = "an attempt is made only when every stock shard holds its lines";
const NO_MORE_ATTEMPTS: &str = "no attempt is begun once the payment is settled or nobody wants it";
const NOT_ASKED_BACK: &str = "no stock was asked back";
const ALL_BACK: &str =
    "every stock shard that was asked has given back before this stage, and a message has its effect once";
const NOT_SOLD: &str = "no stock shard was told to sell";
const SALE_CONFIRMED: &str = "every sale is confirmed before this stage, and a message has its effect once";
const SALE_OVERTAKEN: &str = "the stage waits for the answer to the return, which is behind this one on its way";
const CANCELS_FIRST: &str = "money that turns up here moves the order to Cancelling first";
const REFUNDS_FIRST: &str =
    "here after a failed payment there is money to give back, which moves the order to Refunding first";
const OTHER_END: &str = "this stage does not lead to this end";
const ENDED: &str = "an order ends once";
const NOT_TOLD: &str = "the mailer is asked only for an order that is completed, and it stays completed";

/// The table. No `_`: a new stage stops the build until someone has thought about it.
const fn table(stage: Stage, trigger: Trigger) -> Row {
    use Row::{Go, Never, Stay, Void};
    use Stage::{
        Cancelled, Cancelling, Charging, Completed, Expired, Expiring, Failing, PaymentFailed, Reconciling, Refunding,
        Rejected, Rejecting, Reserving, Selling,
    };
    match trigger {
        Trigger::StockAnswered => match stage {
            Reserving => Stay,
            // The release is behind the reserve on its way, its answer is what counts.
            Expiring | Cancelling => Void,
            Rejecting | Charging | Reconciling | Failing | Selling | Refunding | Completed | Rejected
            | PaymentFailed => Never(ANSWERED),
            Expired | Cancelled => Never(ANSWER_OVERTAKEN),
        },
        Trigger::InventoryReserved => match stage {
            Reserving => Go(Charging),
            Rejecting | Expiring | Charging | Reconciling | Failing | Selling | Cancelling | Refunding | Completed
            | Rejected | PaymentFailed | Expired | Cancelled => Never(SUMMED),
        },
        Trigger::InventoryRejected => match stage {
            Reserving => Go(Rejecting),
            Rejecting | Expiring | Charging | Reconciling | Failing | Selling | Cancelling | Refunding | Completed
            | Rejected | PaymentFailed | Expired | Cancelled => Never(SUMMED),
        },

        Trigger::PaymentRequested => match stage {
            Charging | Reconciling => Go(Charging),
            Reserving | Rejecting | Expiring | Rejected => Never(NOT_HELD),
            Failing | Selling | Cancelling | Refunding | Completed | PaymentFailed | Expired | Cancelled => {
                Never(NO_MORE_ATTEMPTS)
            }
        },
        // The outcomes of the attempt under way: there is one while charging and reconciling, and its outcome is awaited
        // when the order is cancelled meanwhile.
        Trigger::PaymentUnknown => match stage {
            Charging => Go(Reconciling),
            Cancelling => Stay,
            Reconciling => Never(UNKNOWN_ALREADY),
            Reserving | Rejecting | Expiring | Rejected => Never(NO_ATTEMPT),
            Failing | Selling | Refunding | Completed | PaymentFailed | Expired | Cancelled => Never(NOT_UNDER_WAY),
        },
        Trigger::PaymentNotFound => match stage {
            Charging | Reconciling | Cancelling => Stay,
            Reserving | Rejecting | Expiring | Rejected => Never(NO_ATTEMPT),
            Failing | Selling | Refunding | Completed | PaymentFailed | Expired | Cancelled => Never(NOT_UNDER_WAY),
        },
        Trigger::PaymentCompleted => match stage {
            Charging | Reconciling => Go(Selling),
            Cancelling => Stay,
            Reserving | Rejecting | Expiring | Rejected => Never(NO_ATTEMPT),
            Failing | Selling | Refunding | Completed | PaymentFailed | Expired | Cancelled => Never(NOT_UNDER_WAY),
        },
        Trigger::PaymentFailed => match stage {
            Charging | Reconciling => Go(Failing),
            Cancelling => Stay,
            Reserving | Rejecting | Expiring | Rejected => Never(NO_ATTEMPT),
            Failing | Selling | Refunding | Completed | PaymentFailed | Expired | Cancelled => Never(NOT_UNDER_WAY),
        },
        Trigger::PaymentSurplus => match stage {
            Charging | Reconciling | Selling | Cancelling | Refunding | Completed | PaymentFailed | Expired
            | Cancelled => Stay,
            Failing => Go(Cancelling),
            Reserving | Rejecting | Expiring | Rejected => Never(NO_ATTEMPT),
        },

        Trigger::CancelRequested => match stage {
            Reserving | Charging | Reconciling | Selling => Go(Cancelling),
            Rejecting | Expiring | Failing | Cancelling | Refunding | Completed | Rejected | PaymentFailed
            | Expired | Cancelled => Void,
        },
        Trigger::HoldExpired => match stage {
            Reserving => Go(Expiring),
            Charging | Reconciling => Go(Cancelling),
            // Paid in time, or undone already: the single writer's sequence decides.
            Rejecting | Expiring | Failing | Selling | Cancelling | Refunding | Completed | Rejected
            | PaymentFailed | Expired | Cancelled => Void,
        },

        Trigger::StockRestored => match stage {
            Rejecting | Expiring | Failing | Cancelling => Stay,
            Reserving | Charging | Reconciling | Selling | Completed => Never(NOT_ASKED_BACK),
            Refunding | Rejected | PaymentFailed | Expired | Cancelled => Never(ALL_BACK),
        },
        Trigger::StockSaleConfirmed => match stage {
            Selling => Stay,
            // The return is behind the sale on its way, its answer is what counts.
            Cancelling => Void,
            Reserving | Rejecting | Expiring | Charging | Reconciling | Failing | Rejected | PaymentFailed
            | Expired => Never(NOT_SOLD),
            Completed => Never(SALE_CONFIRMED),
            Refunding | Cancelled => Never(SALE_OVERTAKEN),
        },

        Trigger::RefundRequested => match stage {
            Cancelling => Go(Refunding),
            Charging | Reconciling | Selling | Refunding | Completed | PaymentFailed | Expired | Cancelled => Stay,
            Reserving | Rejecting | Expiring | Rejected => Never(NO_ATTEMPT),
            Failing => Never(CANCELS_FIRST),
        },
        Trigger::RefundCompleted => match stage {
            Charging | Reconciling | Failing | Selling | Cancelling | Refunding | Completed | PaymentFailed
            | Expired | Cancelled => Stay,
            Reserving | Rejecting | Expiring | Rejected => Never(NO_ATTEMPT),
        },

        Trigger::OrderCompleted => match stage {
            Selling => Go(Completed),
            Reserving | Rejecting | Expiring | Charging | Reconciling | Failing | Cancelling | Refunding => {
                Never(OTHER_END)
            }
            Completed | Rejected | PaymentFailed | Expired | Cancelled => Never(ENDED),
        },
        Trigger::OrderRejected => match stage {
            Rejecting => Go(Rejected),
            Reserving | Expiring | Charging | Reconciling | Failing | Selling | Cancelling | Refunding => {
                Never(OTHER_END)
            }
            Completed | Rejected | PaymentFailed | Expired | Cancelled => Never(ENDED),
        },
        Trigger::OrderFailed => match stage {
            Failing | Refunding => Go(PaymentFailed),
            Cancelling => Never(REFUNDS_FIRST),
            Reserving | Rejecting | Expiring | Charging | Reconciling | Selling => Never(OTHER_END),
            Completed | Rejected | PaymentFailed | Expired | Cancelled => Never(ENDED),
        },
        Trigger::OrderExpired => match stage {
            Expiring | Cancelling | Refunding => Go(Expired),
            Reserving | Rejecting | Charging | Reconciling | Failing | Selling => Never(OTHER_END),
            Completed | Rejected | PaymentFailed | Expired | Cancelled => Never(ENDED),
        },
        Trigger::OrderCancelled => match stage {
            Cancelling | Refunding => Go(Cancelled),
            Reserving | Rejecting | Expiring | Charging | Reconciling | Failing | Selling => Never(OTHER_END),
            Completed | Rejected | PaymentFailed | Expired | Cancelled => Never(ENDED),
        },

        Trigger::NotificationSent => match stage {
            Completed => Stay,
            Reserving | Rejecting | Expiring | Charging | Reconciling | Failing | Selling | Cancelling | Refunding
            | Rejected | PaymentFailed | Expired | Cancelled => Never(NOT_TOLD),
        },
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

    #[test]
    fn a_pair_that_cannot_come_says_why_and_no_other_does() {
        for stage in Stage::ALL {
            for trigger in Trigger::ALL {
                let never = answer(stage, trigger) == Answer::Never;
                assert_eq!(never, why_never(stage, trigger).is_some(), "{stage:?} on {trigger:?}");
            }
        }
    }
}
