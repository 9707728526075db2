//! Who waits for the end of an order. Not state: a restart ends the connections too.

use alloc::vec::Vec;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::ids::ReplyTo;
use crate::limits::WAITERS_MAX;

#[derive(Debug, Default)]
pub(crate) struct Waiters(HashMap<u64, Vec<(ReplyTo, bool)>, FixedState>);

impl Waiters {
    /// False when too many wait already.
    pub(crate) fn add(&mut self, order_number: u64, reply_to: ReplyTo, replayed: bool) -> bool {
        let waiting = self.0.entry(order_number).or_default();
        let room = waiting.len() < WAITERS_MAX;
        if room {
            waiting.push((reply_to, replayed));
        }
        room
    }

    pub(crate) fn take(&mut self, order_number: u64) -> Vec<(ReplyTo, bool)> {
        if self.0.is_empty() { Vec::new() } else { self.0.remove(&order_number).unwrap_or_default() }
    }
}
