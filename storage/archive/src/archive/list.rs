//! Pages of a shard's orders: all windows at once, merged by falling number.

use std::collections::VecDeque;

use orderlane_core::limits::LIST_SCAN_MAX;
use orderlane_core::{ColdPage, ListQuery, OrderId, ShardId, Time};

use super::ingest::decode;
use super::windows::{self, Part};
use super::{Archive, ArchiveError};
use crate::filters::customer_hash;
use crate::limits::{PAGE_CHUNK_MAX, PAGE_CHUNK_MIN};
use crate::store::Store;

/// The orders of one window, by falling number, read chunk by chunk.
struct Stream {
    window: u32,
    /// No number that is still to come is as high.
    below: u64,
    whole: bool,
    chunk: usize,
    /// With the record when the scan has brought it.
    read: VecDeque<(u64, Option<Vec<u8>>)>,
}

impl<S: Store> Archive<S> {
    pub(super) fn read_page(&self, shard: ShardId, query: &ListQuery, now: Time) -> Result<ColdPage, ArchiveError> {
        let customer = query.customer.as_deref().map(|customer| customer_hash(customer.as_bytes()));
        let mut waiting = self.streams(shard.0, query, customer, now)?;
        let mut active: Vec<Stream> = Vec::new();
        let mut page = ColdPage::default();
        let mut looked_at = 0;
        loop {
            let Some(number) = self.highest(shard.0, customer, &mut waiting, &mut active)? else {
                page.reached = None;
                return Ok(page);
            };
            if page.orders.len() >= query.limit || looked_at >= LIST_SCAN_MAX {
                return Ok(page);
            }
            looked_at += 1;
            // The copy of the newest window counts.
            let mut newest: Option<(u32, Option<Vec<u8>>)> = None;
            for stream in active.iter_mut().filter(|stream| stream.read.front().is_some_and(|(n, _)| *n == number)) {
                let (_, bytes) = stream.read.pop_front().expect("it was just looked at");
                if newest.as_ref().is_none_or(|(window, _)| *window < stream.window) {
                    newest = Some((stream.window, bytes));
                }
            }
            let (window, bytes) = newest.expect("the number comes from a stream");
            let bytes = match bytes {
                Some(bytes) => Some(bytes),
                None => self.store.get(&windows::orders_space(window), &windows::order_key(shard.0, number))?,
            };
            let missing = || ArchiveError::Damaged(format!("order {} is missing", OrderId::new(shard, number)));
            let record = decode(&bytes.ok_or_else(missing)?, shard.0, number)?;
            page.reached = Some((record.created_at(), number));
            if record.matches(query) && self.is_kept(&record, now) {
                page.orders.push((OrderId::new(shard, number), record));
            }
        }
    }

    /// The highest number that is to come, which is then in front of its streams. Only streams that can hold one as high are read.
    fn highest(
        &self,
        shard: u16,
        customer: Option<u64>,
        waiting: &mut Vec<Stream>,
        active: &mut Vec<Stream>,
    ) -> Result<Option<u64>, ArchiveError> {
        loop {
            for stream in active.iter_mut().filter(|stream| stream.read.is_empty() && !stream.whole) {
                self.read_chunk(shard, customer, stream)?;
            }
            active.retain(|stream| !stream.read.is_empty() || !stream.whole);
            let highest = active.iter().filter_map(|stream| Some(stream.read.front()?.0)).max();
            match waiting.pop_if(|next| highest.is_none_or(|number| next.below > number)) {
                Some(next) => active.push(next),
                None if highest.is_none() && !active.is_empty() => {}
                None => return Ok(highest),
            }
        }
    }

    fn read_chunk(&self, shard: u16, customer: Option<u64>, stream: &mut Stream) -> Result<(), ArchiveError> {
        let Some(top) = stream.below.checked_sub(1) else {
            stream.whole = true;
            return Ok(());
        };
        let Stream { window, read, chunk, .. } = stream;
        let mut damaged = false;
        let (space, at) = match customer {
            None => (windows::orders_space(*window), 2),
            Some(_) => (windows::customers_space(*window), 10),
        };
        let mut visit = |key: &[u8], value: &[u8]| {
            match windows::word_at(key, at) {
                Some(number) if customer.is_some() => read.push_back((!number, None)),
                Some(number) => read.push_back((number, Some(value.to_vec()))),
                None => damaged = true,
            }
            !damaged && read.len() < *chunk
        };
        match customer {
            None => {
                let (from, to) = (windows::order_key(shard, 0), windows::order_key(shard, top));
                self.store.scan(&space, &from, &to, true, &mut visit)?;
            }
            Some(hash) => {
                let (from, to) = (windows::customer_key(shard, hash, top), windows::customer_key(shard, hash, 0));
                self.store.scan(&space, &from, &to, false, &mut visit)?;
            }
        }
        if damaged {
            return Err(ArchiveError::Damaged(format!("an entry of {space}")));
        }
        stream.whole = stream.read.len() < stream.chunk;
        stream.below = stream.read.back().map_or(0, |(number, _)| *number);
        stream.chunk = PAGE_CHUNK_MAX.min(2 * stream.chunk);
        Ok(())
    }

    /// A stream for every window that may have something of the query; the one with the highest numbers last.
    fn streams(
        &self,
        shard: u16,
        query: &ListQuery,
        customer: Option<u64>,
        now: Time,
    ) -> Result<Vec<Stream>, ArchiveError> {
        let mut streams = Vec::new();
        let kept = self.options.retention.order_micros_kept();
        for (id, window) in &self.windows {
            let Some(part) = window.parts.get(&shard) else { continue };
            if now >= part.ended_max.after_micros(kept) || customer.is_some_and(|hash| !part.may_have_customer(hash)) {
                continue;
            }
            let below = match query.before {
                None => part.number_max + 1,
                Some((_, order)) if order.shard().0 == shard => order.number().min(part.number_max + 1),
                Some(before) => self.first_not_before(*id, shard, part, before)?,
            };
            if below > part.number_min {
                let chunk = PAGE_CHUNK_MIN.max(query.limit.min(PAGE_CHUNK_MAX));
                streams.push(Stream { window: *id, below, whole: false, chunk, read: VecDeque::new() });
            }
        }
        streams.sort_by_key(|stream| stream.below);
        Ok(streams)
    }

    /// The lowest number of the window that does not come after the cursor of another shard on a page: creation times never fall
    /// with the number, so it is found by halving.
    fn first_not_before(
        &self,
        window: u32,
        shard: u16,
        part: &Part,
        (time, order): (Time, OrderId),
    ) -> Result<u64, ArchiveError> {
        let comes_after = |created: Time| created < time || created == time && shard < order.shard().0;
        if comes_after(part.created_max) {
            return Ok(part.number_max + 1);
        }
        if !comes_after(part.created_min) {
            return Ok(part.number_min);
        }
        let space = windows::orders_space(window);
        // Everything below `low` comes after the cursor, nothing from `high` on does.
        let (mut low, mut high) = (part.number_min, part.number_max + 1);
        while low < high {
            let middle = low + (high - low) / 2;
            let mut nearest = None;
            let (from, to) = (windows::order_key(shard, low), windows::order_key(shard, middle));
            self.store.scan(&space, &from, &to, true, &mut |key, value| {
                nearest = Some((windows::word_at(key, 2), value.to_vec()));
                false
            })?;
            let Some((number, bytes)) = nearest else {
                low = middle + 1;
                continue;
            };
            let number = number.ok_or_else(|| ArchiveError::Damaged(format!("an entry of {space}")))?;
            if comes_after(decode(&bytes, shard, number)?.created_at()) {
                low = middle + 1;
            } else {
                high = number;
            }
        }
        Ok(low)
    }
}
