//! Reading acknowledged orders back and comparing them with what was sent.
//!
//! Three questions. *Lost?* Every order of the sample is read by its id, its customer and lines are compared with the
//! regenerated ones, and its saga must have ended. *Duplicated?* The key of some orders is sent again and must give
//! the id that was acknowledged; ids must be distinct; and the server must count as many orders as were acknowledged:
//! ```text
//! acknowledged <= server_orders - baseline_orders <= acknowledged + unknown
//! ```
//! *How long did the saga take?* From the intended send to `updatedAt` of the ended order, which is its last status
//! change. Both are the wall clock of the same machine; a sum that comes out negative (the clock was set) is counted
//! in `clock_stepped` and left out.

use crate::{
    books::micros_histogram,
    client::Client,
    error::{Error, Result},
    invariants::Invariants,
    outcome::Outcome,
    readback::Reader,
    reply::Reply,
    request::RequestTemplate,
};
use hdrhistogram::Histogram;
use serde::Serialize;
use std::{
    collections::hash_map::DefaultHasher,
    hash::{Hash, Hasher},
    net::SocketAddr,
    sync::Mutex,
};

/// How thorough a verification is.
#[derive(Clone, Debug)]
pub struct VerifyOptions {
    /// Orders to read back, spread over the run; `u64::MAX` = all.
    pub limit: u64,
    /// Keys to send again, spread over the run.
    pub replay_limit: u64,
    /// Connections (and threads) to read with.
    pub connections: usize,
    /// The invariants before the run, and after all sagas ended: for the count.
    pub counts: Option<(Invariants, Invariants)>,
}

impl Default for VerifyOptions {
    fn default() -> Self {
        Self { limit: u64::MAX, replay_limit: 100, connections: 4, counts: None }
    }
}

/// What the verification found. `None` = not looked at.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verification {
    /// Acknowledged orders that were read back.
    pub checked: u64,
    /// Of these: not there (404).
    pub lost: u64,
    /// Of these: customer, lines or id differ from what was sent.
    pub body_mismatch: u64,
    /// Of these: in a status that is no end.
    pub not_ended: u64,
    /// Of these: answered with another status, or with something that is not an order.
    pub unreadable: u64,
    /// Of these: ended before they were sent, by the wall clock.
    pub clock_stepped: u64,
    /// Ids that were acknowledged for more than one key, over all acknowledged orders.
    pub shared_ids: u64,
    /// Keys that were sent again.
    pub replayed: u64,
    /// Of these: another id came back.
    pub replay_mismatch: u64,
    /// Of these: refused, or answered with something that is not an order.
    pub replay_refused: u64,
    /// Acknowledged orders.
    pub acknowledged: u64,
    /// Orders whose answer never came.
    pub unknown: u64,
    /// Orders that the server counted before the run.
    pub baseline_orders: Option<u64>,
    /// Orders that the server counts now.
    pub server_orders: Option<u64>,
    /// By how many `server_orders - baseline_orders` is below `acknowledged`.
    pub missing: Option<u64>,
    /// By how many it is above `acknowledged + unknown`.
    pub surplus: Option<u64>,
    /// Microseconds from the intended send to the end of the saga.
    #[serde(skip)]
    pub saga: Histogram<u64>,
    /// The same for the sagas that touched an outage.
    #[serde(skip)]
    pub saga_outage: Histogram<u64>,
}

impl Verification {
    /// Acknowledged orders that are not there as they were acknowledged: by reading, or by counting if that is more.
    #[must_use]
    pub fn lost_total(&self) -> u64 {
        (self.lost + self.body_mismatch).max(self.missing.unwrap_or(0))
    }

    /// Orders that were made twice: by their ids, or by counting if that is more.
    #[must_use]
    pub fn duplicated_total(&self) -> u64 {
        (self.shared_ids + self.replay_mismatch).max(self.surplus.unwrap_or(0))
    }

    /// Nothing is lost, nothing is there twice, and everything that was read is as it should be.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.lost_total() + self.duplicated_total() + self.not_ended + self.unreadable + self.replay_refused == 0
    }

    pub(crate) fn new(outcome: &Outcome) -> Self {
        Self {
            checked: 0,
            lost: 0,
            body_mismatch: 0,
            not_ended: 0,
            unreadable: 0,
            clock_stepped: 0,
            shared_ids: 0,
            replayed: 0,
            replay_mismatch: 0,
            replay_refused: 0,
            acknowledged: outcome.acknowledged.count(),
            unknown: outcome.unknown.len() as u64,
            baseline_orders: None,
            server_orders: None,
            missing: None,
            surplus: None,
            saga: micros_histogram(),
            saga_outage: micros_histogram(),
        }
    }

    fn count(&mut self, before: &Invariants, after: &Invariants) {
        let made = after.total().saturating_sub(before.total());
        self.baseline_orders = Some(before.total());
        self.server_orders = Some(after.total());
        self.missing = Some(self.acknowledged.saturating_sub(made));
        self.surplus = Some(made.saturating_sub(self.acknowledged + self.unknown));
    }

    fn append(&mut self, other: Self) {
        self.checked += other.checked;
        self.lost += other.lost;
        self.body_mismatch += other.body_mismatch;
        self.not_ended += other.not_ended;
        self.unreadable += other.unreadable;
        self.clock_stepped += other.clock_stepped;
        self.saga += other.saga;
        self.saga_outage += other.saga_outage;
    }
}

/// Verifies a run after its sagas have ended. The token must be that of the run, or `admin` of the same subject.
pub fn verify(
    target: SocketAddr,
    token: Option<&str>,
    outcome: &Outcome,
    options: &VerifyOptions,
) -> Result<Verification> {
    let mut verification = Verification::new(outcome);
    if let Some((before, after)) = &options.counts {
        verification.count(before, after);
    }
    verification.shared_ids = shared_ids(outcome);
    let source = Mutex::new(outcome.acknowledged.sample(options.limit));
    let read = || Reader::new(target, token, outcome).run(&source);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..options.connections.max(1)).map(|_| scope.spawn(read)).collect();
        for thread in threads {
            let part = thread.join().map_err(|_| Error::Io(std::io::Error::other("a verification thread panicked")))?;
            verification.append(part?);
        }
        Ok::<(), Error>(())
    })?;
    replay(target, token, outcome, options.replay_limit, &mut verification)?;
    Ok(verification)
}

/// By 64-bit hashes: 8 bytes an order, and a false alarm once in a million runs of millions of orders.
fn shared_ids(outcome: &Outcome) -> u64 {
    let hash = |id: &str| {
        let mut hasher = DefaultHasher::new();
        id.hash(&mut hasher);
        hasher.finish()
    };
    let mut hashes: Vec<u64> = outcome.acknowledged.iter().map(|order| hash(order.id)).collect();
    hashes.sort_unstable();
    hashes.windows(2).filter(|pair| pair[0] == pair[1]).count() as u64
}

/// Sends keys again: the answer must be the order that was acknowledged for them.
fn replay(
    target: SocketAddr,
    token: Option<&str>,
    outcome: &Outcome,
    limit: u64,
    found: &mut Verification,
) -> Result<()> {
    let mut options = outcome.options.clone();
    (options.target, options.token) = (target, token.map(str::to_owned));
    let mut template = RequestTemplate::new(&options);
    let mut client = Client::new(target, token);
    let mut request = Vec::new();
    for order in outcome.acknowledged.sample(limit) {
        request.clear();
        template.single_into(&outcome.workload, order.index, &mut request);
        found.replayed += 1;
        let mut same = None;
        let mut take = |status: u16, body: &[u8]| match Reply::from_body(status, body) {
            Reply::Accepted { id } => same = Some(id == order.id),
            Reply::Refused { .. } | Reply::Unreadable => {}
        };
        // The same key may be sent as often as one likes: once more when the connection was closed meanwhile.
        if client.exchange(&request, 1, &mut take).is_err() {
            client.exchange(&request, 1, &mut take).map_err(|(_, error)| error)?;
        }
        found.replay_mismatch += u64::from(same == Some(false));
        found.replay_refused += u64::from(same.is_none());
    }
    Ok(())
}
