//! The event codec: one byte of kind, then the fields. Numbers are LEB128; an order of the record's own shard is its number
//! alone, any other is shard and number.

use orderlane_core::{
    Adjustment, Currency, Event, HoldLine, HoldLines, OrderBody, OrderId, OrderRecord, Prices, Product, Reason,
    ShardId, StockAnswer, Time,
};

use crate::wire::{
    Malformed, put_byte_and_varint, put_bytes, put_varint, take_array, take_bytes, take_text, take_u8, take_u64,
    take_varint,
};

/// Set in the kind when the order is not of the record's shard.
const FOREIGN: u8 = 0x80;
/// Set in the refusal byte of an answer when a currency follows.
const WITH_CURRENCY: u8 = 0x10;

/// The numbers of the kinds. They are stored: never change one, never use one again.
mod kind {
    pub(super) const ORDER_CREATED: u8 = 1;
    pub(super) const STOCK_ANSWERED: u8 = 2;
    pub(super) const INVENTORY_RESERVED: u8 = 3;
    pub(super) const INVENTORY_REJECTED: u8 = 4;
    pub(super) const PAYMENT_REQUESTED: u8 = 5;
    pub(super) const PAYMENT_UNKNOWN: u8 = 6;
    pub(super) const PAYMENT_NOT_FOUND: u8 = 7;
    pub(super) const PAYMENT_COMPLETED: u8 = 8;
    pub(super) const PAYMENT_FAILED: u8 = 9;
    pub(super) const CANCEL_REQUESTED: u8 = 10;
    pub(super) const HOLD_EXPIRED: u8 = 11;
    pub(super) const STOCK_RESTORED: u8 = 12;
    pub(super) const STOCK_SALE_CONFIRMED: u8 = 13;
    pub(super) const REFUND_REQUESTED: u8 = 14;
    pub(super) const REFUND_COMPLETED: u8 = 15;
    pub(super) const ORDER_COMPLETED: u8 = 16;
    pub(super) const ORDER_REJECTED: u8 = 17;
    pub(super) const ORDER_FAILED: u8 = 18;
    pub(super) const ORDER_EXPIRED: u8 = 19;
    pub(super) const ORDER_CANCELLED: u8 = 20;
    pub(super) const NOTIFICATION_SENT: u8 = 21;
    pub(super) const ORDER_RECALLED: u8 = 22;
    pub(super) const PRODUCT_PUT: u8 = 32;
    pub(super) const STOCK_ADJUSTED: u8 = 33;
    pub(super) const ADJUSTMENT_REFUSED: u8 = 34;
    pub(super) const STOCK_OPENED: u8 = 35;
    pub(super) const STOCK_RESERVED: u8 = 36;
    pub(super) const STOCK_REFUSED: u8 = 37;
    pub(super) const STOCK_SOLD: u8 = 38;
    pub(super) const STOCK_RELEASED: u8 = 39;
    pub(super) const STOCK_TOMBSTONED: u8 = 40;
    pub(super) const STOCK_RETURNED: u8 = 41;
    pub(super) const TELLS_TAKEN: u8 = 48;
    pub(super) const TELLS_DELIVERED: u8 = 49;
}

/// Appends `event` of `shard` to `out`.
pub fn encode(event: &Event, shard: ShardId, out: &mut Vec<u8>) {
    let mut put = Encoder { out, shard };
    match event {
        Event::OrderCreated { order, body, deadline } => {
            put.order(kind::ORDER_CREATED, *order).time(*deadline).bytes(body.as_bytes())
        }
        Event::StockAnswered { order, shard, answer } => {
            put.order(kind::STOCK_ANSWERED, *order).shard(*shard).answer(answer)
        }
        Event::InventoryReserved { order, total, currency } => {
            put.order(kind::INVENTORY_RESERVED, *order).number(*total).currency(*currency)
        }
        Event::InventoryRejected { order, reason, total } => {
            put.order(kind::INVENTORY_REJECTED, *order).reason(*reason).optional(*total)
        }
        Event::PaymentRequested { order, attempt } => put.order(kind::PAYMENT_REQUESTED, *order).byte(*attempt),
        Event::PaymentUnknown { order, attempt } => put.order(kind::PAYMENT_UNKNOWN, *order).byte(*attempt),
        Event::PaymentNotFound { order, attempt } => put.order(kind::PAYMENT_NOT_FOUND, *order).byte(*attempt),
        Event::PaymentCompleted { order, attempt } => put.order(kind::PAYMENT_COMPLETED, *order).byte(*attempt),
        Event::PaymentFailed { order, reason } => put.order(kind::PAYMENT_FAILED, *order).reason(*reason),
        Event::CancelRequested { order } => put.order(kind::CANCEL_REQUESTED, *order),
        Event::HoldExpired { order } => put.order(kind::HOLD_EXPIRED, *order),
        Event::StockRestored { order, shard } => put.order(kind::STOCK_RESTORED, *order).shard(*shard),
        Event::StockSaleConfirmed { order, shard } => put.order(kind::STOCK_SALE_CONFIRMED, *order).shard(*shard),
        Event::RefundRequested { order, attempt } => put.order(kind::REFUND_REQUESTED, *order).byte(*attempt),
        Event::RefundCompleted { order, attempt } => put.order(kind::REFUND_COMPLETED, *order).byte(*attempt),
        Event::OrderCompleted { order } => put.order(kind::ORDER_COMPLETED, *order),
        Event::OrderRejected { order } => put.order(kind::ORDER_REJECTED, *order),
        Event::OrderFailed { order } => put.order(kind::ORDER_FAILED, *order),
        Event::OrderExpired { order } => put.order(kind::ORDER_EXPIRED, *order),
        Event::OrderCancelled { order } => put.order(kind::ORDER_CANCELLED, *order),
        Event::NotificationSent { order } => put.order(kind::NOTIFICATION_SENT, *order),
        Event::OrderRecalled { order, record } => put.order(kind::ORDER_RECALLED, *order).bytes(record.as_bytes()),
        Event::ProductPut { product } => put.byte(kind::PRODUCT_PUT).product(product),
        Event::StockAdjusted { adjustment } => put.byte(kind::STOCK_ADJUSTED).adjustment(adjustment),
        Event::AdjustmentRefused { adjustment } => put.byte(kind::ADJUSTMENT_REFUSED).adjustment(adjustment),
        Event::StockOpened { sku, units } => put.byte(kind::STOCK_OPENED).text(sku).number(*units),
        Event::StockReserved { order, lines, currency, prices } => {
            put.order(kind::STOCK_RESERVED, *order).lines(lines).currency(*currency).prices(prices)
        }
        Event::StockRefused { order, answer } => put.order(kind::STOCK_REFUSED, *order).answer(answer),
        Event::StockSold { order } => put.order(kind::STOCK_SOLD, *order),
        Event::StockReleased { order } => put.order(kind::STOCK_RELEASED, *order),
        Event::StockTombstoned { order, deadline } => put.order(kind::STOCK_TOMBSTONED, *order).time(*deadline),
        Event::StockReturned { order, lines } => put.order(kind::STOCK_RETURNED, *order).lines(lines),
        Event::TellsTaken { source, upto } => put.byte(kind::TELLS_TAKEN).shard(*source).number(*upto),
        Event::TellsDelivered { target, upto } => put.byte(kind::TELLS_DELIVERED).shard(*target).number(*upto),
    };
}

/// Takes one event of `shard` from the front of `from`.
///
/// # Errors
/// [`Malformed`] when the bytes are not what [`encode`] writes. The front of `from` is then anywhere.
pub fn decode(shard: ShardId, from: &mut &[u8]) -> Result<Event, Malformed> {
    let byte = take_u8(from)?;
    let mut take = Decoder { from, shard, foreign: byte & FOREIGN != 0 };
    Ok(match byte & !FOREIGN {
        kind::ORDER_CREATED => {
            let (order, deadline) = (take.order()?, take.time()?);
            Event::OrderCreated { order, body: take.body()?, deadline }
        }
        kind::STOCK_ANSWERED => {
            Event::StockAnswered { order: take.order()?, shard: take.shard()?, answer: take.answer()? }
        }
        kind::INVENTORY_RESERVED => {
            Event::InventoryReserved { order: take.order()?, total: take.number()?, currency: take.currency()? }
        }
        kind::INVENTORY_REJECTED => {
            Event::InventoryRejected { order: take.order()?, reason: take.reason()?, total: take.optional()? }
        }
        kind::PAYMENT_REQUESTED => Event::PaymentRequested { order: take.order()?, attempt: take.byte()? },
        kind::PAYMENT_UNKNOWN => Event::PaymentUnknown { order: take.order()?, attempt: take.byte()? },
        kind::PAYMENT_NOT_FOUND => Event::PaymentNotFound { order: take.order()?, attempt: take.byte()? },
        kind::PAYMENT_COMPLETED => Event::PaymentCompleted { order: take.order()?, attempt: take.byte()? },
        kind::PAYMENT_FAILED => Event::PaymentFailed { order: take.order()?, reason: take.reason()? },
        kind::CANCEL_REQUESTED => Event::CancelRequested { order: take.order()? },
        kind::HOLD_EXPIRED => Event::HoldExpired { order: take.order()? },
        kind::STOCK_RESTORED => Event::StockRestored { order: take.order()?, shard: take.shard()? },
        kind::STOCK_SALE_CONFIRMED => Event::StockSaleConfirmed { order: take.order()?, shard: take.shard()? },
        kind::REFUND_REQUESTED => Event::RefundRequested { order: take.order()?, attempt: take.byte()? },
        kind::REFUND_COMPLETED => Event::RefundCompleted { order: take.order()?, attempt: take.byte()? },
        kind::ORDER_COMPLETED => Event::OrderCompleted { order: take.order()? },
        kind::ORDER_REJECTED => Event::OrderRejected { order: take.order()? },
        kind::ORDER_FAILED => Event::OrderFailed { order: take.order()? },
        kind::ORDER_EXPIRED => Event::OrderExpired { order: take.order()? },
        kind::ORDER_CANCELLED => Event::OrderCancelled { order: take.order()? },
        kind::NOTIFICATION_SENT => Event::NotificationSent { order: take.order()? },
        kind::ORDER_RECALLED => Event::OrderRecalled { order: take.order()?, record: take.record()? },
        kind::PRODUCT_PUT => Event::ProductPut { product: take.product()? },
        kind::STOCK_ADJUSTED => Event::StockAdjusted { adjustment: take.adjustment()? },
        kind::ADJUSTMENT_REFUSED => Event::AdjustmentRefused { adjustment: take.adjustment()? },
        kind::STOCK_OPENED => Event::StockOpened { sku: take.text()?, units: take.number()? },
        kind::STOCK_RESERVED => Event::StockReserved {
            order: take.order()?,
            lines: take.lines()?,
            currency: take.currency()?,
            prices: take.prices()?,
        },
        kind::STOCK_REFUSED => Event::StockRefused { order: take.order()?, answer: take.answer()? },
        kind::STOCK_SOLD => Event::StockSold { order: take.order()? },
        kind::STOCK_RELEASED => Event::StockReleased { order: take.order()? },
        kind::STOCK_TOMBSTONED => Event::StockTombstoned { order: take.order()?, deadline: take.time()? },
        kind::STOCK_RETURNED => Event::StockReturned { order: take.order()?, lines: take.lines()? },
        kind::TELLS_TAKEN => Event::TellsTaken { source: take.shard()?, upto: take.number()? },
        kind::TELLS_DELIVERED => Event::TellsDelivered { target: take.shard()?, upto: take.number()? },
        _ => return Err(Malformed("an event of unknown kind")),
    })
}

struct Encoder<'a> {
    out: &'a mut Vec<u8>,
    shard: ShardId,
}

impl Encoder<'_> {
    #[inline]
    fn order(&mut self, kind: u8, order: OrderId) -> &mut Self {
        if order.shard() == self.shard {
            put_byte_and_varint(self.out, kind, order.number());
            self
        } else {
            self.byte(kind | FOREIGN).shard(order.shard()).number(order.number())
        }
    }

    #[inline]
    fn byte(&mut self, byte: u8) -> &mut Self {
        self.out.push(byte);
        self
    }

    #[inline]
    fn number(&mut self, number: u64) -> &mut Self {
        put_varint(self.out, number);
        self
    }

    #[inline]
    fn shard(&mut self, shard: ShardId) -> &mut Self {
        self.number(u64::from(shard.0))
    }

    fn time(&mut self, time: Time) -> &mut Self {
        self.out.extend_from_slice(&time.0.to_le_bytes());
        self
    }

    fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        put_bytes(self.out, bytes);
        self
    }

    fn text(&mut self, text: &str) -> &mut Self {
        self.bytes(text.as_bytes())
    }

    fn currency(&mut self, currency: Currency) -> &mut Self {
        self.out.extend_from_slice(&currency.bytes());
        self
    }

    fn reason(&mut self, reason: Reason) -> &mut Self {
        self.byte(reason as u8)
    }

    fn optional(&mut self, number: Option<u64>) -> &mut Self {
        match number {
            None => self.byte(0),
            Some(number) => self.byte(1).number(number),
        }
    }

    fn prices(&mut self, prices: &Prices) -> &mut Self {
        self.number(prices.len() as u64);
        for price in prices {
            self.number(*price);
        }
        self
    }

    fn lines(&mut self, lines: &HoldLines) -> &mut Self {
        self.number(lines.len() as u64);
        for line in lines {
            self.number(u64::from(line.sku)).number(u64::from(line.quantity));
        }
        self
    }

    fn answer(&mut self, answer: &StockAnswer) -> &mut Self {
        let refusal = answer.refusal.map_or(0, |reason| reason as u8);
        match answer.currency {
            None => self.byte(refusal),
            Some(currency) => self.byte(refusal | WITH_CURRENCY).currency(currency),
        };
        self.prices(&answer.prices)
    }

    fn product(&mut self, product: &Product) -> &mut Self {
        self.text(&product.sku).text(&product.name).number(product.unit_price).currency(product.currency)
    }

    fn adjustment(&mut self, adjustment: &Adjustment) -> &mut Self {
        self.text(&adjustment.subject).text(&adjustment.sku).text(&adjustment.key);
        self.out.extend_from_slice(&adjustment.delta.to_le_bytes());
        self.text(&adjustment.reason)
    }
}

struct Decoder<'a, 'b> {
    from: &'a mut &'b [u8],
    shard: ShardId,
    foreign: bool,
}

impl Decoder<'_, '_> {
    fn order(&mut self) -> Result<OrderId, Malformed> {
        let shard = if self.foreign { self.shard()? } else { self.shard };
        let number = self.number()?;
        if number >> 48 != 0 {
            return Err(Malformed("an order number has more than 48 bits"));
        }
        Ok(OrderId::new(shard, number))
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        take_u8(self.from)
    }

    fn number(&mut self) -> Result<u64, Malformed> {
        take_varint(self.from)
    }

    fn small(&mut self) -> Result<u32, Malformed> {
        u32::try_from(self.number()?).map_err(|_| Malformed("a number has more than 32 bits"))
    }

    fn shard(&mut self) -> Result<ShardId, Malformed> {
        let number = u16::try_from(self.number()?).map_err(|_| Malformed("a shard has more than 16 bits"))?;
        Ok(ShardId(number))
    }

    fn time(&mut self) -> Result<Time, Malformed> {
        take_u64(self.from).map(Time)
    }

    fn text(&mut self) -> Result<Box<str>, Malformed> {
        take_text(self.from)
    }

    fn body(&mut self) -> Result<OrderBody, Malformed> {
        OrderBody::from_bytes(take_bytes(self.from)?).ok_or(Malformed("the body of an order"))
    }

    fn record(&mut self) -> Result<OrderRecord, Malformed> {
        OrderRecord::from_bytes(take_bytes(self.from)?).ok_or(Malformed("the record of an order"))
    }

    fn currency(&mut self) -> Result<Currency, Malformed> {
        let letters = take_array::<3>(self.from)?;
        std::str::from_utf8(&letters).ok().and_then(Currency::parse).ok_or(Malformed("a currency"))
    }

    fn reason(&mut self) -> Result<Reason, Malformed> {
        Reason::from_number(self.byte()?).ok_or(Malformed("a reason"))
    }

    fn optional(&mut self) -> Result<Option<u64>, Malformed> {
        match self.byte()? {
            0 => Ok(None),
            1 => self.number().map(Some),
            _ => Err(Malformed("an optional number")),
        }
    }

    fn prices(&mut self) -> Result<Prices, Malformed> {
        let count = self.number()?;
        (0..count).map(|_| self.number()).collect()
    }

    fn lines(&mut self) -> Result<HoldLines, Malformed> {
        let count = self.number()?;
        (0..count).map(|_| Ok(HoldLine { sku: self.small()?, quantity: self.small()? })).collect()
    }

    fn answer(&mut self) -> Result<StockAnswer, Malformed> {
        let byte = self.byte()?;
        let refusal = match byte & !WITH_CURRENCY {
            0 => None,
            number => Some(Reason::from_number(number).ok_or(Malformed("a reason"))?),
        };
        let currency = if byte & WITH_CURRENCY != 0 { Some(self.currency()?) } else { None };
        Ok(StockAnswer { refusal, currency, prices: self.prices()? })
    }

    fn product(&mut self) -> Result<Product, Malformed> {
        Ok(Product { sku: self.text()?, name: self.text()?, unit_price: self.number()?, currency: self.currency()? })
    }

    fn adjustment(&mut self) -> Result<Adjustment, Malformed> {
        let (subject, sku, key) = (self.text()?, self.text()?, self.text()?);
        let delta = take_array(self.from).map(i64::from_le_bytes)?;
        Ok(Adjustment { subject, sku, key, delta, reason: self.text()? })
    }
}
