//! Reading orders back over one connection, and what is found.

use crate::{
    acknowledged::Acknowledgement,
    client::Client,
    error::Result,
    invariants::is_end,
    limits::{BACKOFF_MAX, VERIFY_RECONNECTS_MAX, VERIFY_WINDOW},
    outcome::Outcome,
    timestamp,
    verify::Verification,
    workload::PlannedOrder,
};
use serde::Deserialize;
use std::{
    borrow::Cow,
    io::{self, ErrorKind, Write},
    net::SocketAddr,
    sync::{Mutex, PoisonError},
};

/// One connection of the verification: takes orders from the common source, a window at a time.
pub(crate) struct Reader<'a> {
    client: Client,
    checker: Checker<'a>,
}

/// Compares what came back with what was sent.
struct Checker<'a> {
    outcome: &'a Outcome,
    found: Verification,
    planned: PlannedOrder,
    text: Vec<u8>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(target: SocketAddr, token: Option<&str>, outcome: &'a Outcome) -> Self {
        let found = Verification::new(outcome);
        let checker = Checker { outcome, found, planned: PlannedOrder::default(), text: Vec::new() };
        Self { client: Client::new(target, token), checker }
    }

    /// Reads until the source is empty.
    pub(crate) fn run<'b>(mut self, source: &Mutex<impl Iterator<Item = Acknowledgement<'b>>>) -> Result<Verification> {
        let mut window = Vec::with_capacity(VERIFY_WINDOW);
        loop {
            window.extend(source.lock().unwrap_or_else(PoisonError::into_inner).by_ref().take(VERIFY_WINDOW));
            if window.is_empty() {
                return Ok(self.checker.found);
            }
            self.read_window(&mut window)?;
        }
    }

    /// Reads some orders, over a new connection where the old one ended, and again where the server was busy.
    fn read_window(&mut self, window: &mut Vec<Acknowledgement<'_>>) -> Result<()> {
        let mut failure = io::Error::from(ErrorKind::TimedOut);
        let mut requests = Vec::new();
        for _ in 0..=VERIFY_RECONNECTS_MAX {
            requests.clear();
            for order in &*window {
                self.client.push_read("/v1/orders/", order.id, &mut requests);
            }
            let (mut position, mut busy) = (0, Vec::new());
            let outcome = self.client.exchange(&requests, window.len(), &mut |status, body| {
                match status {
                    429 | 503 => busy.push(window[position]),
                    _ => self.checker.handle_answer(&window[position], status, body),
                }
                position += 1;
            });
            window.drain(..position);
            window.extend(busy);
            if window.is_empty() {
                return Ok(());
            }
            if let Err((_, error)) = outcome {
                failure = error;
            }
            std::thread::sleep(BACKOFF_MAX);
        }
        Err(failure.into())
    }
}

impl Checker<'_> {
    fn handle_answer(&mut self, order: &Acknowledgement<'_>, status: u16, body: &[u8]) {
        self.found.checked += 1;
        let view = match status {
            404 => {
                self.found.lost += 1;
                return;
            }
            200 => serde_json::from_slice::<View<'_>>(body).ok(),
            _ => None,
        };
        let Some(view) = view else {
            self.found.unreadable += 1;
            return;
        };
        if view.id != order.id || !self.is_as_sent(order.index, &view) {
            self.found.body_mismatch += 1;
        }
        if is_end(&view.status) {
            self.record_saga(order, view.updated_at.as_deref());
        } else {
            self.found.not_ended += 1;
        }
    }

    fn is_as_sent(&mut self, index: u64, view: &View<'_>) -> bool {
        self.outcome.workload.order_into(index, &mut self.planned);
        let text = &mut self.text;
        let mut is_numbered = |name: &str, prefix: &str, number: u64| {
            text.clear();
            write!(text, "{prefix}{number}").is_ok() && text.as_slice() == name.as_bytes()
        };
        is_numbered(&view.customer, "c-", self.planned.customer)
            && view.items.len() == self.planned.lines.len()
            && view
                .items
                .iter()
                .zip(&self.planned.lines)
                .all(|(item, line)| item.quantity == line.quantity && is_numbered(&item.sku, "sku-", line.sku))
    }

    fn record_saga(&mut self, order: &Acknowledgement<'_>, updated_at: Option<&str>) {
        let Some(ended) = updated_at.and_then(timestamp::micros) else { return };
        let Ok(micros) = u64::try_from(ended - self.outcome.wall_micros(order.intended_micros)) else {
            self.found.clock_stepped += 1;
            return;
        };
        let ended_micros = order.intended_micros + micros;
        let touches_outage = self.outcome.touches_outage(order.intended_micros, ended_micros);
        let saga = if touches_outage { &mut self.found.saga_outage } else { &mut self.found.saga };
        saga.saturating_record(micros);
    }
}

/// An order as `GET /v1/orders/{id}` shows it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct View<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    status: Cow<'a, str>,
    #[serde(borrow)]
    customer: Cow<'a, str>,
    #[serde(borrow)]
    items: Vec<ItemView<'a>>,
    #[serde(borrow)]
    updated_at: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct ItemView<'a> {
    #[serde(borrow)]
    sku: Cow<'a, str>,
    quantity: u64,
}
