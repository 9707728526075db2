//! What is ordered: a pure function of the seed and the index of the order.

use crate::{
    limits::{LINES_MAX, QUANTITY_MAX, SKU_DRAWS_MAX},
    options::Options,
    random::SplitMix64,
    zipf::Zipf,
};

/// The orders of a run. The same seed and options give the same order for an index, on any thread, at any time: that
/// is how a retry repeats the body and a verification regenerates it.
#[derive(Clone, Debug)]
pub struct Workload {
    seed: u64,
    customers: u64,
    skus: u64,
    lines: usize,
    popularity: Zipf,
    key_prefix: String,
    tail: String,
    unit_price: Option<fn(u64) -> u64>,
}

/// One order, before it is rendered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlannedOrder {
    /// The customer is `c-<customer>`.
    pub customer: u64,
    /// The lines, in the order in which they are sent.
    pub lines: Vec<Line>,
}

/// One line of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// The SKU is `sku-<sku>`.
    pub sku: u64,
    /// How many of it.
    pub quantity: u64,
}

impl Workload {
    /// The workload that these options describe.
    #[must_use]
    pub fn new(options: &Options) -> Self {
        let mut tail = format!("],\"payment\":{{\"token\":\"{}\"}}", options.payment_token);
        if let Some(currency) = &options.currency {
            tail.push_str(&format!(",\"currency\":\"{currency}\""));
        }
        Self {
            seed: options.seed,
            customers: options.customers,
            skus: options.skus,
            lines: options.lines.clamp(1, LINES_MAX),
            popularity: Zipf::new(options.skus, options.skew),
            key_prefix: options.key_prefix.clone(),
            tail,
            unit_price: options.expected_total,
        }
    }

    /// Order `index`.
    #[must_use]
    pub fn order(&self, index: u64) -> PlannedOrder {
        let mut order = PlannedOrder::default();
        self.order_into(index, &mut order);
        order
    }

    /// Order `index`, in the memory of another one.
    pub fn order_into(&self, index: u64, order: &mut PlannedOrder) {
        let random = &mut SplitMix64::for_order(self.seed, index);
        order.customer = random.below(self.customers);
        order.lines.clear();
        for _ in 0..self.lines {
            let sku = self.sku_not_in(&order.lines, random);
            order.lines.push(Line { sku, quantity: 1 + random.below(QUANTITY_MAX) });
        }
    }

    /// A SKU that no line has yet: a few draws, then the neighbours of the last one. With more lines than SKUs a SKU
    /// comes again.
    fn sku_not_in(&self, lines: &[Line], random: &mut SplitMix64) -> u64 {
        let taken = |sku: u64| lines.iter().any(|line| line.sku == sku);
        let mut sku = self.popularity.draw(random);
        for _ in 1..SKU_DRAWS_MAX {
            if !taken(sku) {
                return sku;
            }
            sku = self.popularity.draw(random);
        }
        (0..self.skus).map(|step| (sku + step) % self.skus).find(|&sku| !taken(sku)).unwrap_or(sku)
    }

    /// Appends the idempotency key of order `index`.
    pub fn key_into(&self, index: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(self.key_prefix.as_bytes());
        out.push(b'-');
        push_number(out, index);
    }

    /// Appends the fields of an order and the closing brace, without the opening one: a batch puts the key before.
    pub fn fields_into(&self, order: &PlannedOrder, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\"customer\":\"c-");
        push_number(out, order.customer);
        out.extend_from_slice(b"\",\"items\":[");
        for (position, line) in order.lines.iter().enumerate() {
            out.extend_from_slice(if position == 0 { b"{\"sku\":\"sku-" } else { b",{\"sku\":\"sku-" });
            push_number(out, line.sku);
            out.extend_from_slice(b"\",\"quantity\":");
            push_number(out, line.quantity);
            out.push(b'}');
        }
        out.extend_from_slice(self.tail.as_bytes());
        if let Some(unit_price) = self.unit_price {
            out.extend_from_slice(b",\"expectedTotal\":");
            push_number(out, order.lines.iter().map(|line| line.quantity * unit_price(line.sku)).sum());
        }
        out.push(b'}');
    }
}

/// Appends a number in decimal.
pub(crate) fn push_number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workload(change: impl FnOnce(&mut Options)) -> Workload {
        let mut options = Options::new(([127, 0, 0, 1], 1).into());
        change(&mut options);
        Workload::new(&options)
    }

    fn body(workload: &Workload, index: u64) -> String {
        let mut out = b"{".to_vec();
        workload.fields_into(&workload.order(index), &mut out);
        String::from_utf8(out).expect("only ASCII is rendered")
    }

    #[test]
    fn the_same_seed_and_index_give_the_same_order() {
        let (one, same, other) =
            (workload(|o| o.seed = 1), workload(|o| o.seed = 1), workload(|o| (o.seed, o.lines) = (2, 3)));
        for index in [0, 1, 999_999, u64::MAX] {
            assert_eq!(body(&one, index), body(&same, index));
            assert_ne!(body(&one, index), body(&other, index));
        }
    }

    #[test]
    fn the_body_is_the_documented_json() {
        let workload = workload(|o| {
            (o.lines, o.currency) = (2, Some("EUR".into()));
            o.expected_total = Some(|_| 10);
        });
        let order = workload.order(5);
        let json: serde_json::Value = serde_json::from_str(&body(&workload, 5)).expect("JSON");
        assert_eq!(json["customer"], format!("c-{}", order.customer));
        assert_eq!(json["items"][1]["sku"], format!("sku-{}", order.lines[1].sku));
        assert_eq!(json["items"][1]["quantity"], order.lines[1].quantity);
        assert_eq!(json["payment"]["token"], "tok_ok");
        assert_eq!(json["currency"], "EUR");
        assert_eq!(json["expectedTotal"], 10 * order.lines.iter().map(|line| line.quantity).sum::<u64>());
    }

    #[test]
    fn lines_have_distinct_skus_as_long_as_there_are_enough() {
        let workload = workload(|o| (o.skus, o.lines, o.skew) = (6, 6, 3.0));
        for index in 0..500 {
            let mut skus: Vec<u64> = workload.order(index).lines.iter().map(|line| line.sku).collect();
            skus.sort_unstable();
            assert_eq!(skus, [0, 1, 2, 3, 4, 5]);
        }
    }
}
