//! The payment provider and the mailer, as the loop sees them.

use orderlane_core::{Input, OrderId, Outcome, Outside as OutsideCall, ShardId, Time};

use crate::port::Port;

/// Performs calls to the outside and brings their outcomes back through the port of the lane.
pub trait Outside: 'static {
    /// Starts a call. Its outcome goes to [`report`] some time; a call without an answer must be reported as unknown.
    fn perform(&mut self, now: Time, call: OutsideCall, port: &Port);

    /// Called every turn: reports what is due.
    fn poll(&mut self, now: Time, port: &Port);

    /// When [`Outside::poll`] must be called next.
    fn poll_timeout(&self) -> Option<Time>;

    /// Calls whose outcome is not reported yet.
    fn calls_open(&self) -> usize;
}

/// Brings an outcome to the order's home shard.
pub fn report(port: &Port, order: OrderId, outcome: Outcome) {
    let home: ShardId = order.shard();
    port.submit_inner(home, Input::Outcome { order, outcome });
}
