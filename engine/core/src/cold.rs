//! What a prefetch brings for one input: orders that have left the memory.

use alloc::vec::Vec;

use crate::ids::{OrderId, Time};
use crate::record::OrderRecord;

/// What was found in the archive for one input of a batch. Memory wins: an order that is in memory, too, is read there.
#[derive(Clone, Debug)]
pub enum Cold {
    /// The order that the input names, or the newest one that was placed under its idempotency key (or under one with the same
    /// hash: whoever uses it compares).
    Order {
        /// Which.
        order: OrderId,
        /// As it is stored.
        record: OrderRecord,
    },
    /// What a page of a list can use.
    Page(ColdPage),
    /// The archive could not be read, so nobody knows. What memory cannot answer by itself is refused as
    /// [`crate::Refusal::ShardUnavailable`]: a new order, too, for its key may be an old one.
    Unavailable,
}

/// Archived orders that match a [`crate::ListQuery`], newest first, at most as many as its limit.
#[derive(Clone, Debug, Default)]
pub struct ColdPage {
    /// By falling number.
    pub orders: Vec<(OrderId, OrderRecord)>,
    /// `None`: there is nothing older in the archive. Otherwise every archived order of the query with this number or a higher one
    /// has been looked at; the time is its creation: where the next page begins on all shards.
    pub reached: Option<(Time, u64)>,
}
