//! What one shard tells another. A shard's messages to one target are numbered densely from 1 and delivered in that order;
//! the receiver keeps one high-water mark per source.

use crate::body::OrderBody;
use crate::event::StockAnswer;
use crate::ids::{OrderId, Time};

/// A message between shards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// home → stock: hold the lines of `body` that live on you, all of them or none.
    Reserve {
        /// The order.
        order: OrderId,
        /// Its body.
        body: OrderBody,
        /// When the hold ends.
        deadline: Time,
    },
    /// home → stock: what is held for the order is sold.
    Sell {
        /// The order.
        order: OrderId,
    },
    /// home → stock: what is held for the order is available again; if nothing is held, nothing ever will be.
    Release {
        /// The order.
        order: OrderId,
        /// When a reserve can no longer come.
        deadline: Time,
    },
    /// home → stock: what was sold to the order (a `Sell` went before) is available again.
    Return {
        /// The order.
        order: OrderId,
        /// Its body.
        body: OrderBody,
    },
    /// stock → home: the answer to `Reserve`.
    ReserveAnswered {
        /// The order.
        order: OrderId,
        /// What was found.
        answer: StockAnswer,
    },
    /// stock → home: the answer to `Sell`.
    Sold {
        /// The order.
        order: OrderId,
    },
    /// stock → home: the answer to `Release` and to `Return`.
    Restored {
        /// The order.
        order: OrderId,
    },
}
