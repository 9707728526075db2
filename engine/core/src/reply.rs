//! Answers to clients, as values: the gateway makes HTTP of them.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::body::OrderBody;
use crate::event::{Prices, Product, Reason};
use crate::ids::{Currency, OrderId, Sequence, ShardId, Time};

/// The status of an order as clients see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Status {
    /// Durable, stock is being reserved.
    Pending = 0,
    /// All lines held, payment under way.
    Reserved = 1,
    /// Charged, the held stock is being sold.
    Paid = 2,
    /// Sold. An end.
    Completed = 3,
    /// Releasing stock, settling a charge that is under way.
    Cancelling = 4,
    /// Giving money back.
    Refunding = 5,
    /// An end.
    Rejected = 6,
    /// An end.
    PaymentFailed = 7,
    /// An end.
    Expired = 8,
    /// An end.
    Cancelled = 9,
}

impl Status {
    /// All of them, in the order of their numbers.
    pub const ALL: [Status; 10] = [
        Status::Pending,
        Status::Reserved,
        Status::Paid,
        Status::Completed,
        Status::Cancelling,
        Status::Refunding,
        Status::Rejected,
        Status::PaymentFailed,
        Status::Expired,
        Status::Cancelled,
    ];

    /// The name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Status::Pending => "PENDING",
            Status::Reserved => "RESERVED",
            Status::Paid => "PAID",
            Status::Completed => "COMPLETED",
            Status::Cancelling => "CANCELLING",
            Status::Refunding => "REFUNDING",
            Status::Rejected => "REJECTED",
            Status::PaymentFailed => "PAYMENT_FAILED",
            Status::Expired => "EXPIRED",
            Status::Cancelled => "CANCELLED",
        }
    }

    /// The status with this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Status> {
        Status::ALL.into_iter().find(|status| status.name() == name)
    }

    /// Whether the saga has ended.
    #[must_use]
    pub fn is_end(self) -> bool {
        match self {
            Status::Completed | Status::Rejected | Status::PaymentFailed | Status::Expired | Status::Cancelled => true,
            Status::Pending | Status::Reserved | Status::Paid | Status::Cancelling | Status::Refunding => false,
        }
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub enum Reply {
    /// The order is durable: as it was at its creation, whatever has become of it.
    Placed {
        /// The order.
        order: OrderId,
        /// When.
        created_at: Time,
        /// Its body.
        body: OrderBody,
        /// Whether an earlier request placed it.
        replayed: bool,
    },
    /// The saga of an order that was waited for has ended.
    Ended {
        /// The order as it now is.
        order: Box<OrderView>,
        /// Whether an earlier request placed it.
        replayed: bool,
    },
    /// An order as it is.
    Order(Box<OrderView>),
    /// A page of orders.
    Orders(Box<OrderPage>),
    /// A product was created or changed.
    ProductPut {
        /// As it now is.
        product: Box<ProductView>,
        /// Whether it is new.
        created: bool,
    },
    /// A product as it is.
    Product(Box<ProductView>),
    /// Stock as it is.
    Inventory(Box<InventoryView>),
    /// Stock as it was just after the adjustment.
    Adjusted {
        /// The stock.
        inventory: Box<InventoryView>,
        /// Whether an earlier request made the adjustment.
        replayed: bool,
    },
    /// What the checks found.
    Audit(Box<Audit>),
    /// No, and why.
    Refused(Refusal),
}

/// A refusal is data: one variant per reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No such order, product or stock, or not the caller's. 404.
    NotFound,
    /// The idempotency key was used for something else. 422.
    KeyReused,
    /// The order has ended otherwise. 409 `order-finished`.
    OrderFinished,
    /// `available` would become negative; final for its key. 409.
    InsufficientStock {
        /// Whether an earlier request got this answer.
        replayed: bool,
    },
    /// The sum would pass [`crate::limits::STOCK_MAX`]. 400 `validation-failed` on `delta`.
    StockTooLarge,
    /// `If-Match` names another version. 412.
    VersionMismatch,
    /// A queue or the shard is full; nothing was stored. 503.
    Overloaded,
    /// The lane of the shard is not running. 503.
    ShardUnavailable,
}

/// An order as clients see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderView {
    /// The order.
    pub order: OrderId,
    /// Its body as placed.
    pub body: OrderBody,
    /// Where the saga is.
    pub status: Status,
    /// Why it ended badly, or is about to.
    pub reason: Option<Reason>,
    /// Minor units, once known.
    pub total: Option<u64>,
    /// The catalogue's currency once known, before that the one sent.
    pub currency: Option<Currency>,
    /// Unit prices of all lines, once all are known; empty before.
    pub prices: Prices,
    /// Counts the changes of status, from 1.
    pub version: u32,
    /// When it was placed.
    pub created_at: Time,
    /// When its status changed last.
    pub updated_at: Time,
}

/// A page of one shard's orders.
#[derive(Clone, Debug, Default)]
pub struct OrderPage {
    /// Newest first.
    pub orders: Vec<OrderView>,
    /// `None`: there is nothing older. Otherwise everything newer than this, and this itself, has been looked at.
    pub reached: Option<(Time, OrderId)>,
}

/// A product as clients see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProductView {
    /// The product.
    pub product: Product,
    /// Counts its changes, from 1.
    pub version: u32,
}

/// Stock as clients see it: `adjusted = available + reserved + sold`, always.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InventoryView {
    /// The SKU.
    pub sku: Box<str>,
    /// The sum of all adjustments.
    pub adjusted: u64,
    /// Free to be reserved.
    pub available: u64,
    /// Held for orders.
    pub reserved: u64,
    /// Sold to orders.
    pub sold: u64,
    /// Counts the changes of this record.
    pub version: u64,
}

/// The result of checking one shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// Which shard.
    pub shard: ShardId,
    /// Its last event.
    pub sequence: Sequence,
    /// [`crate::Shard::digest`].
    pub digest: u64,
    /// Each check: its name, how many things it looked at, how many broke it.
    pub checks: Vec<Check>,
    /// Sums over all SKUs.
    pub stock: StockSums,
    /// Orders by status, indexed by [`Status`].
    pub orders: [u64; Status::ALL.len()],
    /// Sums of money, by currency.
    pub money: Vec<(Currency, MoneySums)>,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Its name, kebab-case.
    pub name: &'static str,
    /// Things looked at.
    pub checked: u64,
    /// Things that broke it.
    pub violations: u64,
}

/// Sums over stock records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StockSums {
    /// Units ever added, less those taken away.
    pub adjusted: u64,
    /// Units free.
    pub available: u64,
    /// Units held.
    pub reserved: u64,
    /// Units sold.
    pub sold: u64,
}

/// Sums of money in minor units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MoneySums {
    /// Taken.
    pub charged: u64,
    /// Given back.
    pub refunded: u64,
    /// Totals of completed orders.
    pub completed: u64,
}
