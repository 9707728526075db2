//! The documents that clients get, written field by field: no tree, no serde.

use orderlane_core::{Currency, InventoryView, OrderBody, OrderId, OrderView, ProductView, Reason, Status, Time};

use super::text::{put_list, put_number, put_optional, put_optional_number, put_string, put_time};

/// An order as it was at its creation: the answer to the first request and, byte for byte, to every replay.
pub fn render_placed(order: OrderId, created_at: Time, body: &OrderBody, out: &mut Vec<u8>) {
    Parts {
        order,
        body,
        status: Status::Pending,
        reason: None,
        total: None,
        currency: body.currency(),
        prices: &[],
        version: 1,
        created_at,
        updated_at: created_at,
    }
    .put(out);
}

/// An order as it is.
pub fn render_order(view: &OrderView, out: &mut Vec<u8>) {
    Parts {
        order: view.order,
        body: &view.body,
        status: view.status,
        reason: view.reason,
        total: view.total,
        currency: view.currency,
        prices: &view.prices,
        version: view.version,
        created_at: view.created_at,
        updated_at: view.updated_at,
    }
    .put(out);
}

/// A page of orders.
pub fn render_page(orders: &[OrderView], next_cursor: Option<&str>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"items\":[");
    put_list(orders, out, render_order);
    out.extend_from_slice(b"],\"next\":");
    put_optional(next_cursor, out);
    out.push(b'}');
}

/// A product as it is.
pub fn render_product(view: &ProductView, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"sku\":");
    put_string(&view.product.sku, out);
    out.extend_from_slice(b",\"name\":");
    put_string(&view.product.name, out);
    out.extend_from_slice(b",\"unitPrice\":");
    put_number(view.product.unit_price, out);
    out.extend_from_slice(b",\"currency\":");
    put_string(view.product.currency.as_str(), out);
    out.extend_from_slice(b",\"version\":");
    put_number(u64::from(view.version), out);
    out.push(b'}');
}

/// Stock as it is.
pub fn render_inventory(view: &InventoryView, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"sku\":");
    put_string(&view.sku, out);
    for (name, number) in [
        (&b",\"adjusted\":"[..], view.adjusted),
        (b",\"available\":", view.available),
        (b",\"reserved\":", view.reserved),
        (b",\"sold\":", view.sold),
        (b",\"version\":", view.version),
    ] {
        out.extend_from_slice(name);
        put_number(number, out);
    }
    out.push(b'}');
}

/// What an order's document is made of. Neither the e-mail address nor the payment token is part of it.
struct Parts<'v> {
    order: OrderId,
    body: &'v OrderBody,
    status: Status,
    reason: Option<Reason>,
    total: Option<u64>,
    currency: Option<Currency>,
    /// One a line, or none.
    prices: &'v [u64],
    version: u32,
    created_at: Time,
    updated_at: Time,
}

impl Parts<'_> {
    fn put(&self, out: &mut Vec<u8>) {
        out.reserve(self.body.as_bytes().len() + 48 * self.body.line_count() + 320);
        out.extend_from_slice(b"{\"id\":\"");
        out.extend_from_slice(&self.order.text());
        out.extend_from_slice(b"\",\"status\":\"");
        out.extend_from_slice(self.status.name().as_bytes());
        out.extend_from_slice(b"\",\"customer\":");
        put_string(self.body.customer(), out);
        out.extend_from_slice(b",\"currency\":");
        put_optional(self.currency.as_ref().map(Currency::as_str), out);
        out.extend_from_slice(b",\"total\":");
        put_optional_number(self.total, out);
        self.put_lines(out);
        out.extend_from_slice(b",\"reason\":");
        put_optional(self.reason.map(Reason::code), out);
        out.extend_from_slice(b",\"reference\":");
        put_optional(self.body.reference(), out);
        self.put_metadata(out);
        out.extend_from_slice(b",\"version\":");
        put_number(u64::from(self.version), out);
        out.extend_from_slice(b",\"createdAt\":");
        put_time(self.created_at, out);
        out.extend_from_slice(b",\"updatedAt\":");
        put_time(self.updated_at, out);
        out.push(b'}');
    }

    fn put_lines(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b",\"items\":[");
        put_list(self.body.lines().enumerate(), out, |(index, line), out| {
            out.extend_from_slice(b"{\"sku\":");
            put_string(line.sku, out);
            out.extend_from_slice(b",\"quantity\":");
            put_number(u64::from(line.quantity), out);
            out.extend_from_slice(b",\"unitPrice\":");
            put_optional_number(self.prices.get(index).copied(), out);
            out.push(b'}');
        });
        out.push(b']');
    }

    fn put_metadata(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b",\"metadata\":");
        let mut entries = self.body.metadata().peekable();
        if entries.peek().is_none() {
            out.extend_from_slice(b"null");
            return;
        }
        out.push(b'{');
        put_list(entries, out, |(name, value), out| {
            put_string(name, out);
            out.push(b':');
            put_string(value, out);
        });
        out.push(b'}');
    }
}

#[cfg(test)]
mod tests;
