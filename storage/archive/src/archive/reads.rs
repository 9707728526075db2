//! Reads of single orders.

use orderlane_core::{Cold, OrderId, OrderRecord, ShardId, Time};

use super::ingest::decode;
use super::windows::{self, Window};
use super::{Archive, ArchiveError};
use crate::filters::fold;
use crate::message::Query;
use crate::store::Store;

impl<S: Store> Archive<S> {
    /// Looks something up. `None`: it is not here, or past its retention. A list always has a page.
    ///
    /// # Errors
    /// What the store said; a record that is damaged.
    pub fn read(&self, query: &Query, now: Time) -> Result<Option<Cold>, ArchiveError> {
        match query {
            Query::Order(order) => self.read_order(*order, now),
            Query::Key { shard, hash } => self.read_key(*shard, *hash, now),
            Query::List { shard, query } => Ok(Some(Cold::Page(self.read_page(*shard, query, now)?))),
        }
    }

    fn read_order(&self, order: OrderId, now: Time) -> Result<Option<Cold>, ArchiveError> {
        let (shard, number) = (order.shard().0, order.number());
        let record = self.newest_copy(shard, number)?.filter(|record| self.is_kept(record, now));
        Ok(record.map(|record| Cold::Order { order, record }))
    }

    /// The newest order under a key has the highest number; its window need not be the newest, because an older one may have been
    /// called back and archived again.
    fn read_key(&self, shard: ShardId, hash: u128, now: Time) -> Result<Option<Cold>, ArchiveError> {
        let mut newest: Option<u64> = None;
        for (id, window) in self.windows.iter().rev().filter(|(_, window)| window.has_keys) {
            if !window.parts.get(&shard.0).is_some_and(|part| part.may_have_key(fold(hash))) {
                continue;
            }
            let space = windows::keys_space(*id);
            if let Some(value) = self.store.get(&space, &windows::hash_key(shard.0, hash))? {
                let number =
                    windows::word_at(&value, 0).ok_or_else(|| ArchiveError::Damaged(format!("an entry of {space}")))?;
                newest = newest.max(Some(number));
            }
        }
        newest.map_or(Ok(None), |number| self.read_order(OrderId::new(shard, number), now))
    }

    /// The copy of an order that was archived last.
    fn newest_copy(&self, shard: u16, number: u64) -> Result<Option<OrderRecord>, ArchiveError> {
        let holds = |window: &Window| {
            window.parts.get(&shard).is_some_and(|part| (part.number_min..=part.number_max).contains(&number))
        };
        for (id, _) in self.windows.iter().rev().filter(|(_, window)| holds(window)) {
            if let Some(bytes) = self.store.get(&windows::orders_space(*id), &windows::order_key(shard, number))? {
                return decode(&bytes, shard, number).map(Some);
            }
        }
        Ok(None)
    }

    pub(super) fn is_kept(&self, record: &OrderRecord, now: Time) -> bool {
        now < record.updated_at().after_micros(self.options.retention.order_micros_kept())
    }
}
