//! What goes into a shard.

use alloc::boxed::Box;

use crate::body::OrderBody;
use crate::event::{Adjustment, Product};
use crate::ids::{OrderId, ReplyTo, ShardId, Time};
use crate::message::Message;
use crate::reply::Status;

/// One thing for a shard to handle.
#[derive(Clone, Debug)]
pub enum Input {
    /// A client asks.
    Request {
        /// Who gets the answer.
        reply_to: ReplyTo,
        /// What is asked.
        request: Request,
    },
    /// Another shard (or the same one) tells.
    Tell {
        /// Who.
        source: ShardId,
        /// The number of the message between the two.
        sequence: u64,
        /// What.
        message: Message,
    },
    /// Shard `target` has durably taken this shard's messages up to `upto`.
    Acknowledged {
        /// Who took them.
        target: ShardId,
        /// The high-water mark.
        upto: u64,
    },
    /// What came back from an effect.
    Outcome {
        /// The order.
        order: OrderId,
        /// What.
        outcome: Outcome,
    },
}

/// Whose orders a reader may see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reader {
    /// Only those that this subject placed.
    Subject(Box<str>),
    /// All of them (scope `admin`).
    Admin,
}

/// What a client asks of a shard: commands and queries. The gateway has validated every field against [`crate::limits`].
#[derive(Clone, Debug)]
pub enum Request {
    /// Place an order. Answer: [`crate::reply::Reply::Placed`] when it is durable (or was before), or a refusal; with `wait`
    /// also [`crate::reply::Reply::Ended`] when its saga has ended.
    PlaceOrder {
        /// What is ordered, by whom, under which key.
        body: OrderBody,
        /// Also answer when the saga has ended.
        wait: bool,
    },
    /// Cancel an order. Answer: `Order` (202 or 200 by its status) or a refusal.
    CancelOrder {
        /// The order.
        order: OrderId,
        /// Who asks.
        reader: Reader,
        /// `If-Match`: the version that the client has seen.
        version_expected: Option<u32>,
    },
    /// Read one order. Answer: `Order` or `NotFound`; with `wait` also `Ended`, unless it has ended already.
    GetOrder {
        /// The order.
        order: OrderId,
        /// Who asks.
        reader: Reader,
        /// Also answer when the saga has ended.
        wait: bool,
    },
    /// Read a page of this shard's orders, newest first. Answer: `Orders`.
    ListOrders(Box<ListQuery>),
    /// Create or change a product. Answer: `ProductPut`.
    PutProduct(Box<Product>),
    /// Read a product. Answer: `Product` or `NotFound`.
    GetProduct {
        /// The SKU.
        sku: Box<str>,
    },
    /// Create or change a product and open its stock if it has none. Answer: `ProductPut`.
    LoadProduct {
        /// The product.
        product: Box<Product>,
        /// Units, when there is no stock record yet.
        stock: u64,
    },
    /// Adjust stock. Answer: `Adjusted` or a refusal.
    AdjustStock(Box<Adjustment>),
    /// Read stock. Answer: `Inventory` or `NotFound`.
    GetInventory {
        /// The SKU.
        sku: Box<str>,
    },
    /// Check every invariant of this shard. Answer: `Audit`.
    Audit,
}

/// A page of orders: newest first by (`created_at`, `order`), strictly before `before`.
#[derive(Clone, Debug)]
pub struct ListQuery {
    /// Who asks.
    pub reader: Reader,
    /// Only this customer's.
    pub customer: Option<Box<str>>,
    /// Only with this status.
    pub status: Option<Status>,
    /// Where the page before ended.
    pub before: Option<(Time, OrderId)>,
    /// At most this many, at most [`crate::limits::PAGE_MAX`].
    pub limit: usize,
}

/// What came back from an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// The provider has the money of this attempt (answer to a charge, late or not, or to a look-up).
    Charged {
        /// Which attempt.
        attempt: u8,
    },
    /// The provider refuses this attempt, finally.
    Declined {
        /// Which attempt.
        attempt: u8,
    },
    /// No answer to a charge or to a look-up: nothing is known.
    PaymentUnknown {
        /// Which attempt.
        attempt: u8,
    },
    /// The look-up says that this attempt took no money and never will.
    NotCharged {
        /// Which attempt.
        attempt: u8,
    },
    /// The money of this attempt is given back.
    Refunded {
        /// Which attempt.
        attempt: u8,
    },
    /// No answer to a refund, or a passing failure: it is asked for again.
    RefundUnknown {
        /// Which attempt.
        attempt: u8,
    },
    /// The customer has been told.
    Notified,
    /// The customer has not been told: it is tried again.
    NotNotified,
}
