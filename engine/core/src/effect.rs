//! What is still to be done outside; released when the events before it are durable.

use crate::body::OrderBody;
use crate::ids::{Currency, OrderId, ReplyTo, ShardId};
use crate::message::Message;
use crate::reply::Reply;

/// One thing to do outside the shard.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Answer a client.
    Reply {
        /// Who asked.
        to: ReplyTo,
        /// The answer.
        reply: Reply,
    },
    /// Tell a shard.
    Tell {
        /// Whom.
        target: ShardId,
        /// The number of the message between the two.
        sequence: u64,
        /// What.
        message: Message,
    },
    /// Let shard `source` know that its messages up to `upto` have been taken.
    Acknowledge {
        /// Who sent them.
        source: ShardId,
        /// The high-water mark.
        upto: u64,
    },
    /// Ask the payment provider or the mailer.
    Outside(Outside),
}

/// One call to the payment provider or the mailer. Each can be made again: (`order`, `attempt`) is its idempotency key.
#[derive(Clone, Debug)]
pub struct Outside {
    /// The order.
    pub order: OrderId,
    /// What is to be done.
    pub call: Call,
    /// The order's body: token, e-mail address.
    pub body: OrderBody,
}

/// What is asked of the payment provider or the mailer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// Take the money.
    Charge {
        /// 1-based.
        attempt: u8,
        /// Minor units.
        amount: u64,
        /// Currency of the amount.
        currency: Currency,
    },
    /// Look up whether an attempt took the money.
    Reconcile {
        /// Which attempt.
        attempt: u8,
    },
    /// Give the money back.
    Refund {
        /// Which attempt's money.
        attempt: u8,
        /// Minor units.
        amount: u64,
        /// Currency of the amount.
        currency: Currency,
    },
    /// Tell the customer that the order is complete.
    Notify,
}
