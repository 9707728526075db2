//! What a batch of inputs needs of the archive.

use std::collections::VecDeque;
use std::sync::Arc;

use orderlane_core::{Input, OrderId, Request, ShardId};

use crate::filters::{ShardFilters, customer_hash, key_hash};
use crate::message::Query;

use super::memory::Memory;

/// The queries, each for the input at its place. `shards` and `filters` are the lane's, in the same order.
pub(super) fn queries<M: Memory>(
    inputs: &VecDeque<(ShardId, Input)>,
    shards: &[M],
    filters: &[(ShardId, Arc<ShardFilters>)],
) -> Vec<(usize, Query)> {
    let query = |(place, (shard, input)): (usize, &(ShardId, Input))| {
        let slot = shards.iter().position(|own| own.id() == *shard)?;
        debug_assert_eq!(filters[slot].0, *shard, "filters stand in the order of the shards");
        query(*shard, input, &shards[slot], &filters[slot].1).map(|query| (place, query))
    };
    inputs.iter().enumerate().filter_map(query).collect()
}

fn query<M: Memory>(shard: ShardId, input: &Input, memory: &M, filters: &ShardFilters) -> Option<Query> {
    match input {
        Input::Request { request, .. } => match request {
            Request::PlaceOrder { body, .. } => {
                // Most shards of a young data directory: nothing is hashed for them.
                let hash = (!filters.is_empty()).then(|| key_hash(body.scope()))?;
                filters.may_have_key(hash).then_some(Query::Key { shard, hash })
            }
            Request::GetOrder { order, .. } | Request::CancelOrder { order, .. } => cold_order(*order, memory),
            Request::ListOrders(query) => {
                let may_have = |customer: &str| filters.may_have_customer(customer_hash(customer.as_bytes()));
                let asks = !filters.is_empty() && query.customer.as_deref().is_none_or(may_have);
                asks.then(|| Query::List { shard, query: query.clone() })
            }
            Request::PutProduct(_)
            | Request::GetProduct { .. }
            | Request::LoadProduct { .. }
            | Request::AdjustStock(_)
            | Request::GetInventory { .. }
            | Request::Audit => None,
        },
        Input::Outcome { order, .. } => cold_order(*order, memory),
        Input::Tell { .. } | Input::Acknowledged { .. } => None,
    }
}

/// An order that was placed and is not in memory. One that the batch itself is about to place is not cold.
fn cold_order<M: Memory>(order: OrderId, memory: &M) -> Option<Query> {
    let placed = order.shard() == memory.id() && order.number() < memory.orders_placed();
    (placed && !memory.holds(order)).then_some(Query::Order(order))
}
