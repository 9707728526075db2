//! Events as lines of JSON. Payment tokens stay in the journal: an export is made to be passed on.

use std::io::{self, Write};

use orderlane_core::{
    Adjustment, Event, HoldLines, OrderBody, OrderId, Prices, Product, Reason, Sequence, ShardId, StockAnswer, Time,
};

use crate::frame::Frame;
use crate::json::Object;
use crate::record::Record;
use crate::wire::Malformed;

/// Writes the events of `frame`, one line each with its position; gives their count, or what is wrong with the frame.
///
/// # Errors
/// When `out` fails.
pub fn export_frame(frame: &Frame<'_>, out: &mut impl Write) -> io::Result<Result<u64, Malformed>> {
    let mut events = 0;
    for record in frame.records() {
        let record = match record {
            Ok(record) => record,
            Err(malformed) => return Ok(Err(malformed)),
        };
        for event in record.events() {
            let (sequence, event) = match event {
                Ok(event) => event,
                Err(malformed) => return Ok(Err(malformed)),
            };
            write_line(frame, &record, sequence, &event, out)?;
            events += 1;
        }
    }
    Ok(Ok(events))
}

fn write_line(
    frame: &Frame<'_>,
    record: &Record<'_>,
    sequence: Sequence,
    event: &Event,
    out: &mut impl Write,
) -> io::Result<()> {
    let mut line = Object::new(out);
    line.number("run", frame.segment.run)
        .number("lane", frame.segment.lane)
        .number("segment", frame.segment.segment)
        .number("offset", frame.offset)
        .number("frame", frame.number)
        .number("shard", record.shard.0)
        .number("sequence", sequence)
        .number("time", record.time.0);
    put_event(&mut line, event);
    line.end()?;
    out.write_all(b"\n")
}

fn put_event<W: Write>(line: &mut Object<'_, W>, event: &Event) {
    match event {
        Event::OrderCreated { order, body, deadline } => {
            line.order("OrderCreated", *order).time("deadline", *deadline).body(body)
        }
        Event::StockAnswered { order, shard, answer } => {
            line.order("StockAnswered", *order).shard("stockShard", *shard).answer(answer)
        }
        Event::InventoryReserved { order, total, currency } => {
            line.order("InventoryReserved", *order).number("total", *total).text("currency", currency.as_str())
        }
        Event::InventoryRejected { order, reason, total } => {
            let line = line.order("InventoryRejected", *order).reason(*reason);
            if let Some(total) = total { line.number("total", *total) } else { line }
        }
        Event::PaymentRequested { order, attempt } => line.attempt("PaymentRequested", *order, *attempt),
        Event::PaymentUnknown { order, attempt } => line.attempt("PaymentUnknown", *order, *attempt),
        Event::PaymentNotFound { order, attempt } => line.attempt("PaymentNotFound", *order, *attempt),
        Event::PaymentCompleted { order, attempt } => line.attempt("PaymentCompleted", *order, *attempt),
        Event::PaymentFailed { order, reason } => line.order("PaymentFailed", *order).reason(*reason),
        Event::CancelRequested { order } => line.order("CancelRequested", *order),
        Event::HoldExpired { order } => line.order("HoldExpired", *order),
        Event::StockRestored { order, shard } => line.order("StockRestored", *order).shard("stockShard", *shard),
        Event::StockSaleConfirmed { order, shard } => {
            line.order("StockSaleConfirmed", *order).shard("stockShard", *shard)
        }
        Event::RefundRequested { order, attempt } => line.attempt("RefundRequested", *order, *attempt),
        Event::RefundCompleted { order, attempt } => line.attempt("RefundCompleted", *order, *attempt),
        Event::OrderCompleted { order } => line.order("OrderCompleted", *order),
        Event::OrderRejected { order } => line.order("OrderRejected", *order),
        Event::OrderFailed { order } => line.order("OrderFailed", *order),
        Event::OrderExpired { order } => line.order("OrderExpired", *order),
        Event::OrderCancelled { order } => line.order("OrderCancelled", *order),
        Event::NotificationSent { order } => line.order("NotificationSent", *order),
        Event::OrderRecalled { order, record } => line
            .order("OrderRecalled", *order)
            .text("customer", record.customer())
            .text("status", record.status().name())
            .time("createdAt", record.created_at())
            .time("updatedAt", record.updated_at())
            .number("recordBytes", record.as_bytes().len() as u64),
        Event::ProductPut { product } => line.event("ProductPut").product(product),
        Event::StockAdjusted { adjustment } => line.event("StockAdjusted").adjustment(adjustment),
        Event::AdjustmentRefused { adjustment } => line.event("AdjustmentRefused").adjustment(adjustment),
        Event::StockOpened { sku, units } => line.event("StockOpened").text("sku", sku).number("units", *units),
        Event::StockReserved { order, lines, currency, prices } => line
            .order("StockReserved", *order)
            .lines(lines)
            .text("currency", currency.as_str())
            .numbers("prices", prices),
        Event::StockRefused { order, answer } => line.order("StockRefused", *order).answer(answer),
        Event::StockSold { order } => line.order("StockSold", *order),
        Event::StockReleased { order } => line.order("StockReleased", *order),
        Event::StockTombstoned { order, deadline } => line.order("StockTombstoned", *order).time("deadline", *deadline),
        Event::StockReturned { order, lines } => line.order("StockReturned", *order).lines(lines),
        Event::TellsTaken { source, upto } => line.event("TellsTaken").shard("source", *source).number("upto", *upto),
        Event::TellsDelivered { target, upto } => {
            line.event("TellsDelivered").shard("target", *target).number("upto", *upto)
        }
    };
}

impl<W: Write> Object<'_, W> {
    fn event(&mut self, name: &str) -> &mut Self {
        self.text("event", name)
    }

    fn order(&mut self, name: &str, order: OrderId) -> &mut Self {
        self.event(name).text("order", std::str::from_utf8(&order.text()).expect("an order id is ASCII"))
    }

    fn attempt(&mut self, name: &str, order: OrderId, attempt: u8) -> &mut Self {
        self.order(name, order).number("attempt", attempt)
    }

    fn shard(&mut self, name: &str, shard: ShardId) -> &mut Self {
        self.number(name, shard.0)
    }

    fn time(&mut self, name: &str, time: Time) -> &mut Self {
        self.number(name, time.0)
    }

    fn reason(&mut self, reason: Reason) -> &mut Self {
        self.text("reason", reason.code())
    }

    fn answer(&mut self, answer: &StockAnswer) -> &mut Self {
        let prices: &Prices = &answer.prices;
        self.optional("refusal", answer.refusal.map(Reason::code))
            .optional("currency", answer.currency.as_ref().map(|currency| currency.as_str()))
            .numbers("prices", prices)
    }

    fn lines(&mut self, lines: &HoldLines) -> &mut Self {
        self.objects("lines", lines, |item, line| {
            item.number("skuIndex", line.sku).number("quantity", line.quantity);
        })
    }

    fn product(&mut self, product: &Product) -> &mut Self {
        self.text("sku", &product.sku)
            .text("name", &product.name)
            .number("unitPrice", product.unit_price)
            .text("currency", product.currency.as_str())
    }

    fn adjustment(&mut self, adjustment: &Adjustment) -> &mut Self {
        self.text("subject", &adjustment.subject)
            .text("sku", &adjustment.sku)
            .text("key", &adjustment.key)
            .number("delta", adjustment.delta)
            .text("reason", &adjustment.reason)
    }

    fn body(&mut self, body: &OrderBody) -> &mut Self {
        self.object("body", |item| {
            item.text("subject", body.subject()).text("customer", body.customer()).text("key", body.key());
            item.optional("currency", body.currency().as_ref().map(|currency| currency.as_str()));
            if let Some(total) = body.total_expected() {
                item.number("expectedTotal", total);
            }
            item.optional("email", body.email()).optional("reference", body.reference());
            // Names come from outside: as values they are escaped.
            item.objects("metadata", body.metadata(), |item, (name, value)| {
                item.text("name", name).text("value", value);
            });
            item.objects("lines", body.lines(), |item, line| {
                item.text("sku", line.sku).number("quantity", line.quantity).number("stockShard", line.shard.0);
            });
        })
    }
}
