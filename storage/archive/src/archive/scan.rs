//! All archived orders, for checks that look at everything.

use std::collections::BTreeSet;

use orderlane_core::{OrderId, ShardId};

use super::windows::{self, Window};
use super::{Archive, ArchiveError};
use crate::store::Store;

impl<S: Store> Archive<S> {
    /// Shows every archived order once, in no particular order: the copy that was archived last. Orders that were called back, or
    /// whose run was forgotten, are shown too: they are in memory, and memory wins.
    ///
    /// # Errors
    /// What the store said; an entry that is damaged.
    pub fn scan(&self, visit: &mut dyn FnMut(OrderId, &[u8])) -> Result<(), ArchiveError> {
        let newest_first: Vec<(u32, &Window)> = self.windows.iter().rev().map(|(id, window)| (*id, window)).collect();
        for (at, (id, window)) in newest_first.iter().enumerate() {
            for (shard, part) in &window.parts {
                // Only where number ranges meet can a newer window hide an order.
                let mut hidden = BTreeSet::new();
                for (newer, window) in &newest_first[..at] {
                    let Some(other) = window.parts.get(shard) else { continue };
                    let (low, high) = (part.number_min.max(other.number_min), part.number_max.min(other.number_max));
                    self.scan_orders(*newer, *shard, low, high, &mut |number, _| {
                        hidden.insert(number);
                    })?;
                }
                self.scan_orders(*id, *shard, part.number_min, part.number_max, &mut |number, bytes| {
                    if !hidden.contains(&number) {
                        visit(OrderId::new(ShardId(*shard), number), bytes);
                    }
                })?;
            }
        }
        Ok(())
    }

    fn scan_orders(
        &self,
        window: u32,
        shard: u16,
        low: u64,
        high: u64,
        visit: &mut dyn FnMut(u64, &[u8]),
    ) -> Result<(), ArchiveError> {
        let space = windows::orders_space(window);
        let mut damaged = false;
        let (from, to) = (windows::order_key(shard, low), windows::order_key(shard, high));
        self.store.scan(&space, &from, &to, false, &mut |key, bytes| {
            match windows::word_at(key, 2).filter(|number| *number < 1 << 48) {
                Some(number) => visit(number, bytes),
                None => damaged = true,
            }
            !damaged
        })?;
        if damaged { Err(ArchiveError::Damaged(format!("an entry of {space}"))) } else { Ok(()) }
    }
}
