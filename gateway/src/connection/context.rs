//! What the connections of a lane share.

use std::sync::Arc;

use orderlane_core::{Request, ShardId};

use crate::actuator::Actuator;
use crate::auth::Authenticator;
use crate::http::{Correlation, DateCache};
use crate::metrics::GatewayMetrics;
use crate::request_log::RequestLog;

/// A request on its way to its shard.
#[derive(Debug)]
pub struct Submission {
    /// Where it is handled.
    pub shard: ShardId,
    /// The number under which the connection expects the reply.
    pub number: u32,
    /// What is asked.
    pub request: Request,
}

/// What the connections of a lane share: who may call, what is counted, and the requests that they want to submit.
#[derive(Debug)]
pub struct Context {
    pub(crate) shards: u16,
    pub(crate) authenticator: Authenticator,
    pub(crate) actuator: Arc<Actuator>,
    pub(crate) metrics: Arc<GatewayMetrics>,
    pub(crate) log: RequestLog,
    pub(crate) dates: DateCache,
    pub(crate) draining: bool,
    pub(crate) scratch: Vec<u8>,
    pub(crate) submissions: Vec<Submission>,
    random: u64,
}

impl Context {
    /// For a lane of an engine with so many shards. `random` is where its correlation ids start: another number for each lane and
    /// start.
    #[must_use]
    pub fn new(
        shards: u16,
        authenticator: Authenticator,
        actuator: Arc<Actuator>,
        metrics: Arc<GatewayMetrics>,
        log: RequestLog,
        random: u64,
    ) -> Context {
        Context {
            shards,
            authenticator,
            actuator,
            metrics,
            log,
            dates: DateCache::default(),
            draining: false,
            scratch: Vec::new(),
            submissions: Vec::new(),
            random,
        }
    }

    /// From now on every answer closes its connection.
    pub(crate) fn set_draining(&mut self, draining: bool) {
        self.draining = draining;
    }

    /// Takes the requests that connections want to submit, in their order. Each must be submitted, or its connection be told
    /// the refusal through [`crate::Connection::deliver`].
    pub fn submissions(&mut self) -> &mut Vec<Submission> {
        &mut self.submissions
    }

    pub(crate) fn submit(&mut self, shard: ShardId, number: u32, request: Request) {
        self.submissions.push(Submission { shard, number, request });
    }

    /// A new correlation id.
    pub(crate) fn correlation(&mut self) -> Correlation {
        Correlation::of_bits(self.random())
    }

    /// 1 to 3 seconds, so that refused clients do not come back at once all together.
    pub(crate) fn retry_after(&mut self) -> &'static str {
        ["1", "2", "3"][(self.random() % 3) as usize]
    }

    /// splitmix64: never the same twice in 2^64 calls.
    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.random;
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ bits >> 31
    }
}
