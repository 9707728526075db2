//! `GET /v1/invariants`: what the server says about the whole of its data.

use crate::{
    client::{Client, expect_ok},
    error::{Error, Result},
    limits::POLL_INTERVAL,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

/// The object of `/v1/invariants`. Fields that a server does not know yet are left at zero or empty.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Invariants {
    /// Violations over all checks; must be 0.
    pub violations: u64,
    /// The checks one by one.
    pub checks: Vec<Check>,
    /// Stock over all SKUs.
    pub stock: Stock,
    /// Orders by status, archived ones included.
    pub orders: BTreeMap<String, u64>,
    /// Money in minor units by currency.
    pub money: BTreeMap<String, Money>,
    /// The shards and how far they are.
    pub shards: Vec<ShardDigest>,
}

/// One check.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Check {
    /// Its name.
    pub name: String,
    /// Things that were looked at.
    pub checked: u64,
    /// Those that were wrong.
    pub violations: u64,
}

/// Units of stock; `adjusted = available + reserved + sold`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stock {
    /// All that was ever put in.
    pub adjusted: i64,
    /// Free.
    pub available: i64,
    /// Held for orders.
    pub reserved: i64,
    /// Gone.
    pub sold: i64,
}

/// Money of one currency, in minor units.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Money {
    /// Taken from customers.
    pub charged: i64,
    /// Given back.
    pub refunded: i64,
    /// Sum of the completed orders.
    pub completed: i64,
}

/// How far one shard is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ShardDigest {
    /// Its number.
    pub shard: u64,
    /// Its last event.
    pub sequence: u64,
    /// Digest of its state, as the server writes it.
    pub digest: serde_json::Value,
}

/// Statuses that are no end.
const OPEN: [&str; 5] = ["PENDING", "RESERVED", "PAID", "CANCELLING", "REFUNDING"];

/// The status is an end: an order in it does not change any more.
pub(crate) fn is_end(status: &str) -> bool {
    ["COMPLETED", "REJECTED", "PAYMENT_FAILED", "EXPIRED", "CANCELLED"].contains(&status)
}

impl Invariants {
    /// Orders whose saga goes on.
    #[must_use]
    pub fn open(&self) -> u64 {
        OPEN.iter().filter_map(|status| self.orders.get(*status)).sum()
    }

    /// Orders in all.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.orders.values().sum()
    }

    /// Orders in one status.
    #[must_use]
    pub fn in_status(&self, status: &str) -> u64 {
        self.orders.get(status).copied().unwrap_or(0)
    }
}

/// The end of all sagas.
#[derive(Clone, Debug)]
pub struct Ended {
    /// The object that showed no open order.
    pub invariants: Invariants,
    /// When it was asked for.
    pub at: Instant,
}

/// Reads the invariants once; the token needs `admin`.
pub fn invariants(target: SocketAddr, token: Option<&str>) -> Result<Invariants> {
    read(&mut Client::new(target, token))
}

/// Waits until every saga has ended, then reads the invariants. `management` is where `/actuator` is served: its gauge
/// `saga_inflight` is cheap to ask for, while the invariants are computed from all orders at each request.
pub fn wait_until_ended(
    target: SocketAddr,
    management: SocketAddr,
    token: Option<&str>,
    timeout: Duration,
) -> Result<Ended> {
    let deadline = Instant::now() + timeout;
    let mut client = Client::new(target, token);
    let mut gauges = Client::new(management, None);
    loop {
        let at = Instant::now();
        if at < deadline && gauges.read("/actuator/prometheus").is_ok_and(|answer| inflight(&answer.body) > 0) {
            std::thread::sleep(POLL_INTERVAL);
            continue;
        }
        let failure = match read(&mut client) {
            Ok(invariants) if invariants.open() == 0 => return Ok(Ended { invariants, at }),
            Ok(invariants) => Error::NotEnded { open: invariants.open() },
            // A server that was just started or is busy may answer the next time.
            Err(error @ (Error::Io(_) | Error::Refused { status: 429 | 503, .. })) => error,
            Err(error) => return Err(error),
        };
        if at >= deadline {
            return Err(failure);
        }
        std::thread::sleep(POLL_INTERVAL);
    }
}

/// Sagas under way, by the gauge; 0 also when there is none.
fn inflight(exposition: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(exposition);
    let series = text.lines().filter(|line| line.starts_with("saga_inflight{"));
    series.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>() as u64
}

fn read(client: &mut Client) -> Result<Invariants> {
    const PATH: &str = "/v1/invariants";
    let body = expect_ok(PATH, client.read(PATH)?)?;
    serde_json::from_slice(&body).map_err(|error| Error::Malformed { what: PATH.to_owned(), reason: error.to_string() })
}
