//! What a run of the generator is told.

use crate::{
    error::{Error, Result},
    limits::LINES_MAX,
};
use std::{net::SocketAddr, str::FromStr, time::Duration};

/// How many orders are offered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rate {
    /// Open loop: so many orders a second, on a fixed schedule, whatever the server does.
    PerSecond(f64),
    /// Closed loop: each connection sends the next request as soon as the answer came. Finds the ceiling, hides stalls.
    Max,
}

impl FromStr for Rate {
    type Err = Error;

    /// A number of orders a second, or `max`.
    fn from_str(text: &str) -> Result<Self> {
        if text == "max" {
            return Ok(Self::Max);
        }
        match text.parse::<f64>() {
            Ok(rate) if rate.is_finite() && rate > 0.0 => Ok(Self::PerSecond(rate)),
            _ => Err(Error::Options(format!("a rate is a positive number or `max`, not `{text}`"))),
        }
    }
}

/// Everything a run depends on. Start from [`Options::new`].
#[derive(Clone, Debug)]
pub struct Options {
    /// The server.
    pub target: SocketAddr,
    /// Bearer token, without `Bearer`.
    pub token: Option<String>,
    /// Open or closed loop.
    pub rate: Rate,
    /// How long orders are offered, outages left out; `None` = until the run is stopped.
    pub duration: Option<Duration>,
    /// Connections, over all threads; at least one a thread.
    pub connections: usize,
    /// Requests on their way per connection.
    pub pipeline: usize,
    /// Customers `c-0` to `c-<customers - 1>`, uniform.
    pub customers: u64,
    /// SKUs `sku-0` to `sku-<skus - 1>`; the first is the most popular one.
    pub skus: u64,
    /// Zipf exponent of the SKUs; 0 = uniform.
    pub skew: f64,
    /// Lines an order.
    pub lines: usize,
    /// Orders a request: 1 = `POST /v1/orders`, more = `POST /v1/orders:batch` as NDJSON.
    pub batch: usize,
    /// Seed of the workload.
    pub seed: u64,
    /// Start of every idempotency key; two runs against the same data need different ones.
    pub key_prefix: String,
    /// Generator threads.
    pub threads: usize,
    /// Cores to pin the threads to, one after another; empty = not pinned.
    pub cores: Vec<usize>,
    /// A sleeping thread is not woken more often than this for its schedule. Each wake costs two system calls and a
    /// context switch, so a longer one makes the client cheaper; orders leave up to so much later, and that delay is
    /// part of their latency.
    pub wake_quantum: Duration,
    /// When the offering has ended: how long answers, retries and the orders that are still due are waited for.
    pub wait_timeout: Duration,
    /// An answer that takes longer is taken as lost: the connection is given up and the order retried.
    pub answer_timeout: Duration,
    /// Attempts at an order that is refused with 429 or 5xx. Lost answers are retried until the deadline.
    pub attempts_max: u16,
    /// `payment.token` of every order.
    pub payment_token: String,
    /// `currency` of every order; `None` = left out.
    pub currency: Option<String>,
    /// Price of a SKU, to send `expectedTotal`; `None` = left out.
    pub expected_total: Option<fn(u64) -> u64>,
}

impl Options {
    /// 1,000 orders a second over 16 connections for 10 seconds.
    #[must_use]
    pub fn new(target: SocketAddr) -> Self {
        Self {
            target,
            token: None,
            rate: Rate::PerSecond(1_000.0),
            duration: Some(Duration::from_secs(10)),
            connections: 16,
            pipeline: 1,
            customers: 10_000,
            skus: 1_000,
            skew: 0.0,
            lines: 1,
            batch: 1,
            seed: 1,
            key_prefix: "k".to_owned(),
            threads: 1,
            cores: Vec::new(),
            wake_quantum: Duration::from_micros(50),
            wait_timeout: Duration::from_secs(30),
            answer_timeout: Duration::from_secs(10),
            attempts_max: 8,
            payment_token: "tok_ok".to_owned(),
            currency: None,
            expected_total: None,
        }
    }

    /// Refuses what the wire format or the generator cannot do.
    pub fn validate(&self) -> Result<()> {
        let refuse = |reason: &str| Err(Error::Options(reason.to_owned()));
        if let Rate::PerSecond(rate) = self.rate
            && !(rate.is_finite() && rate > 0.0)
        {
            return refuse("the rate must be positive");
        }
        if self.connections == 0 || self.pipeline == 0 || self.threads == 0 || self.batch == 0 {
            return refuse("connections, pipeline, threads and batch must be at least 1");
        }
        if self.customers == 0 || self.skus == 0 || u32::try_from(self.skus).is_err() {
            return refuse("customers must be at least 1, skus 1 to 4294967295");
        }
        if !(1..=LINES_MAX).contains(&self.lines) {
            return refuse("an order has 1 to 50 lines");
        }
        if !(self.skew.is_finite() && self.skew >= 0.0) {
            return refuse("the skew is 0 or more");
        }
        if !is_plain(&self.key_prefix) || self.key_prefix.len() > 200 || !is_plain(&self.payment_token) {
            return refuse("key prefix and payment token are visible ASCII without quotes and backslashes");
        }
        let mut visible = self.token.iter().chain(&self.currency);
        if !visible.all(|text| is_plain(text)) {
            return refuse("token and currency are visible ASCII without quotes and backslashes");
        }
        Ok(())
    }
}

/// May stand in a header field and in a JSON string as it is.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_positive_number_or_max() {
        assert_eq!("max".parse::<Rate>().ok(), Some(Rate::Max));
        assert_eq!("2500".parse::<Rate>().ok(), Some(Rate::PerSecond(2_500.0)));
        for text in ["", "0", "-1", "NaN", "inf", "fast"] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_prefix_that_would_break_a_header_is_refused() {
        let mut options = Options::new(([127, 0, 0, 1], 1).into());
        assert!(options.validate().is_ok());
        options.key_prefix = "a\r\nHost: b".to_owned();
        assert!(options.validate().is_err());
    }
}
