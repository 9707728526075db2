//! What happened: the only thing that changes state, and the only thing that is stored.

use alloc::boxed::Box;

use smallvec::SmallVec;

use crate::body::OrderBody;
use crate::ids::{Currency, OrderId, ShardId, Time};
use crate::record::OrderRecord;

/// Unit prices of the lines that one stock shard holds, in the order of the order's lines.
pub type Prices = SmallVec<[u64; 2]>;

/// One line of a hold, on the stock shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HoldLine {
    /// Index of the SKU in its shard (order of creation).
    pub sku: u32,
    /// Units held.
    pub quantity: u32,
}

/// The lines of a hold.
pub type HoldLines = SmallVec<[HoldLine; 2]>;

/// Why an order ended badly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Reason {
    /// A SKU is not in the catalogue.
    UnknownSku = 1,
    /// The catalogue's currency is another one, or the lines have several.
    CurrencyMismatch = 2,
    /// `expectedTotal` differs from the catalogue's total.
    PriceChanged = 3,
    /// Fewer units available than asked for.
    InsufficientStock = 4,
    /// The provider declined the charge.
    Declined = 5,
    /// Every attempt was lost on the way to the provider.
    PaymentUnavailable = 6,
    /// The hold ended before the payment did.
    HoldExpired = 7,
    /// The client cancelled.
    Cancelled = 8,
}

impl Reason {
    /// All reasons, in the order of their numbers.
    pub const ALL: [Reason; 8] = [
        Reason::UnknownSku,
        Reason::CurrencyMismatch,
        Reason::PriceChanged,
        Reason::InsufficientStock,
        Reason::Declined,
        Reason::PaymentUnavailable,
        Reason::HoldExpired,
        Reason::Cancelled,
    ];

    /// The name that clients see.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Reason::UnknownSku => "unknown-sku",
            Reason::CurrencyMismatch => "currency-mismatch",
            Reason::PriceChanged => "price-changed",
            Reason::InsufficientStock => "insufficient-stock",
            Reason::Declined => "declined",
            Reason::PaymentUnavailable => "payment-unavailable",
            Reason::HoldExpired => "hold-expired",
            Reason::Cancelled => "cancelled",
        }
    }

    /// The reason with this number, for codecs.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Reason> {
        Reason::ALL.get(usize::from(number).checked_sub(1)?).copied()
    }
}

/// What a stock shard found when it was asked to hold lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StockAnswer {
    /// `None`: the lines are held. Otherwise nothing is.
    pub refusal: Option<Reason>,
    /// The catalogue's currency of the lines; `None` with an unknown SKU or several currencies.
    pub currency: Option<Currency>,
    /// The unit prices; empty with an unknown SKU or when refused by a tombstone.
    pub prices: Prices,
}

impl StockAnswer {
    /// A clone, with [`copied`].
    pub(crate) fn copied(&self) -> StockAnswer {
        let StockAnswer { refusal, currency, prices } = self;
        StockAnswer { refusal: *refusal, currency: *currency, prices: copied(prices) }
    }
}

/// A clone of a list of lines; most orders have one or two on a shard, and copying those calls nothing.
#[inline]
pub(crate) fn copied<T: Copy>(lines: &SmallVec<[T; 2]>) -> SmallVec<[T; 2]> {
    match lines[..] {
        [only] => SmallVec::from_buf_and_len([only, only], 1),
        [first, second] => SmallVec::from_buf([first, second]),
        _ => SmallVec::from_slice(lines),
    }
}

/// A product as the catalogue has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Product {
    /// The SKU.
    pub sku: Box<str>,
    /// Display name.
    pub name: Box<str>,
    /// Minor units.
    pub unit_price: u64,
    /// Currency of the price.
    pub currency: Currency,
}

/// An adjustment of stock as a client asked for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adjustment {
    /// The verified subject of the caller: scope of the key.
    pub subject: Box<str>,
    /// The SKU.
    pub sku: Box<str>,
    /// The idempotency key.
    pub key: Box<str>,
    /// Units to add; negative to take away; absolute value at most [`crate::limits::STOCK_MAX`].
    pub delta: i64,
    /// Free text.
    pub reason: Box<str>,
}

/// What happened. Events of the order's home shard name the order; events of a stock shard name the order or the SKU.
///
/// The comment behind each says on which shard it happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// home: the order is placed; its hold ends at `deadline`.
    OrderCreated {
        /// The order.
        order: OrderId,
        /// Its body.
        body: OrderBody,
        /// When the hold ends.
        deadline: Time,
    },
    /// home: stock shard `shard` has answered the reserve.
    StockAnswered {
        /// The order.
        order: OrderId,
        /// Who answered.
        shard: ShardId,
        /// What it said.
        answer: StockAnswer,
    },
    /// home: every stock shard holds its lines.
    InventoryReserved {
        /// The order.
        order: OrderId,
        /// Minor units.
        total: u64,
        /// Currency of the total.
        currency: Currency,
    },
    /// home: the lines cannot be had; what is held goes back.
    InventoryRejected {
        /// The order.
        order: OrderId,
        /// Why.
        reason: Reason,
        /// Minor units, when every price is known.
        total: Option<u64>,
    },
    /// home: attempt `attempt` is about to be made.
    PaymentRequested {
        /// The order.
        order: OrderId,
        /// 1-based.
        attempt: u8,
    },
    /// home: no answer in time; the outcome is looked up.
    PaymentUnknown {
        /// The order.
        order: OrderId,
        /// Which attempt.
        attempt: u8,
    },
    /// home: reconciliation found that attempt `attempt` took no money.
    PaymentNotFound {
        /// The order.
        order: OrderId,
        /// Which attempt.
        attempt: u8,
    },
    /// home: the provider has the money of attempt `attempt`.
    PaymentCompleted {
        /// The order.
        order: OrderId,
        /// Which attempt.
        attempt: u8,
    },
    /// home: there will be no payment; what is held goes back.
    PaymentFailed {
        /// The order.
        order: OrderId,
        /// Why.
        reason: Reason,
    },
    /// home: the client wants out; the order can no longer complete.
    CancelRequested {
        /// The order.
        order: OrderId,
    },
    /// home: the deadline passed before the payment was settled.
    HoldExpired {
        /// The order.
        order: OrderId,
    },
    /// home: stock shard `shard` has given back what it held or had sold.
    StockRestored {
        /// The order.
        order: OrderId,
        /// Which stock shard.
        shard: ShardId,
    },
    /// home: stock shard `shard` has sold what it held.
    StockSaleConfirmed {
        /// The order.
        order: OrderId,
        /// Which stock shard.
        shard: ShardId,
    },
    /// home: the money of attempt `attempt` is to be given back.
    RefundRequested {
        /// The order.
        order: OrderId,
        /// Which attempt's money.
        attempt: u8,
    },
    /// home: the money of attempt `attempt` is given back.
    RefundCompleted {
        /// The order.
        order: OrderId,
        /// Which attempt's money.
        attempt: u8,
    },
    /// home, an end: sold and paid.
    OrderCompleted {
        /// The order.
        order: OrderId,
    },
    /// home, an end: `REJECTED`.
    OrderRejected {
        /// The order.
        order: OrderId,
    },
    /// home, an end: `PAYMENT_FAILED`.
    OrderFailed {
        /// The order.
        order: OrderId,
    },
    /// home, an end: `EXPIRED`.
    OrderExpired {
        /// The order.
        order: OrderId,
    },
    /// home, an end: `CANCELLED`.
    OrderCancelled {
        /// The order.
        order: OrderId,
    },
    /// home: the customer has been told.
    NotificationSent {
        /// The order.
        order: OrderId,
    },
    /// home: something is about to happen to an order that had ended and waited for nothing; it is in memory from now on.
    OrderRecalled {
        /// The order.
        order: OrderId,
        /// As it is.
        record: OrderRecord,
    },

    /// stock: a product is new or changed.
    ProductPut {
        /// The product.
        product: Product,
    },
    /// stock: units were added or taken away.
    StockAdjusted {
        /// The request.
        adjustment: Adjustment,
    },
    /// stock: an adjustment was refused, finally for its key.
    AdjustmentRefused {
        /// The request.
        adjustment: Adjustment,
    },
    /// stock: a product without stock record got its first one (`products:batch`).
    StockOpened {
        /// The SKU.
        sku: Box<str>,
        /// Units.
        units: u64,
    },
    /// stock: lines are held for an order.
    StockReserved {
        /// The order.
        order: OrderId,
        /// What is held.
        lines: HoldLines,
        /// The catalogue's currency.
        currency: Currency,
        /// Unit prices at this moment, one a line.
        prices: Prices,
    },
    /// stock: nothing is held for an order.
    StockRefused {
        /// The order.
        order: OrderId,
        /// What the home shard is told.
        answer: StockAnswer,
    },
    /// stock: the units held for an order have become sold ones.
    StockSold {
        /// The order.
        order: OrderId,
    },
    /// stock: the units held for an order are available again.
    StockReleased {
        /// The order.
        order: OrderId,
    },
    /// stock: a release came before its reserve; a reserve of this order is refused until `deadline`.
    StockTombstoned {
        /// The order.
        order: OrderId,
        /// When a reserve can no longer come.
        deadline: Time,
    },
    /// stock: units sold to an order are available again.
    StockReturned {
        /// The order.
        order: OrderId,
        /// What came back.
        lines: HoldLines,
    },

    /// any: messages of shard `source` up to number `upto` have had their effect.
    TellsTaken {
        /// Who sent them.
        source: ShardId,
        /// The high-water mark.
        upto: u64,
    },
    /// any: shard `target` has taken this shard's messages up to number `upto`; they need not be kept.
    TellsDelivered {
        /// Who took them.
        target: ShardId,
        /// The high-water mark.
        upto: u64,
    },
}

impl Event {
    /// The order whose saga the event belongs to, on its home shard.
    #[must_use]
    pub fn saga_order(&self) -> Option<OrderId> {
        match self {
            Event::OrderCreated { order, .. }
            | Event::StockAnswered { order, .. }
            | Event::InventoryReserved { order, .. }
            | Event::InventoryRejected { order, .. }
            | Event::PaymentRequested { order, .. }
            | Event::PaymentUnknown { order, .. }
            | Event::PaymentNotFound { order, .. }
            | Event::PaymentCompleted { order, .. }
            | Event::PaymentFailed { order, .. }
            | Event::CancelRequested { order }
            | Event::HoldExpired { order }
            | Event::StockRestored { order, .. }
            | Event::StockSaleConfirmed { order, .. }
            | Event::RefundRequested { order, .. }
            | Event::RefundCompleted { order, .. }
            | Event::OrderCompleted { order }
            | Event::OrderRejected { order }
            | Event::OrderFailed { order }
            | Event::OrderExpired { order }
            | Event::OrderCancelled { order }
            | Event::NotificationSent { order }
            | Event::OrderRecalled { order, .. } => Some(*order),
            Event::ProductPut { .. }
            | Event::StockAdjusted { .. }
            | Event::AdjustmentRefused { .. }
            | Event::StockOpened { .. }
            | Event::StockReserved { .. }
            | Event::StockRefused { .. }
            | Event::StockSold { .. }
            | Event::StockReleased { .. }
            | Event::StockTombstoned { .. }
            | Event::StockReturned { .. }
            | Event::TellsTaken { .. }
            | Event::TellsDelivered { .. } => None,
        }
    }

    /// Whether the event ends a saga.
    #[must_use]
    pub fn is_end(&self) -> bool {
        matches!(
            self,
            Event::OrderCompleted { .. }
                | Event::OrderRejected { .. }
                | Event::OrderFailed { .. }
                | Event::OrderExpired { .. }
                | Event::OrderCancelled { .. }
        )
    }
}
