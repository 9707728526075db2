//! The filters of a window's runs become one pair a shard: when the window closes, or when it has too many of them.

use std::sync::Arc;

use super::meta::{self, TAG_CUSTOMERS, TAG_KEYS};
use super::windows::{self, MERGED};
use super::{Archive, ArchiveError, Progress};
use crate::filters::{CustomerFilter, KeyFilter, fold};
use crate::limits::{RUN_FILTERS_MAX, RUN_FILTERS_UNSIEVED_MAX, SCAN_STEP_MAX};
use crate::store::Store;

/// A merge under way: shard after shard, keys before customers.
#[derive(Debug)]
pub(super) struct Merge {
    window: u32,
    close: bool,
    /// Later runs keep their own filters.
    run_last: u64,
    shard: u16,
    of_customers: bool,
    /// Where the scan of the shard goes on.
    from: Vec<u8>,
    keys: Vec<u64>,
    customers: Vec<u64>,
}

impl Merge {
    pub(super) fn closes(&self, window: u32) -> bool {
        self.close && self.window == window
    }

    fn scan_keys(&mut self, shard: u16) {
        (self.shard, self.of_customers, self.from) = (shard, false, windows::hash_key(shard, 0).to_vec());
        (self.keys, self.customers) = (Vec::new(), Vec::new());
    }
}

impl<S: Store> Archive<S> {
    /// The next merge that is due.
    pub(super) fn merge_next(&self) -> Option<Merge> {
        let open = self.window_open();
        let due = self.windows.iter().filter(|(_, window)| !window.closed).find_map(|(id, window)| {
            let many = window
                .parts
                .values()
                .any(|part| part.customers.len() > RUN_FILTERS_MAX || part.runs_unsieved() > RUN_FILTERS_UNSIEVED_MAX);
            let close = open != Some(*id);
            (close || many).then_some((*id, close))
        });
        due.map(|(window, close)| self.merge_of(window, close))
    }

    pub(super) fn merge_of(&self, window: u32, close: bool) -> Merge {
        let (keys, customers, from) = (Vec::new(), Vec::new(), windows::hash_key(0, 0).to_vec());
        Merge { window, close, run_last: self.run_next - 1, shard: 0, of_customers: false, from, keys, customers }
    }

    pub(super) fn step_merge(&mut self) -> Result<Progress, ArchiveError> {
        let mut merge = self.merge.take().expect("there is a merge under way");
        let window = self.windows.get(&merge.window).expect("a dropped window's merge is given up");
        // The next shard that has filters to merge.
        let due = window
            .parts
            .range(merge.shard..)
            .find(|(_, part)| part.customers.range(1..=merge.run_last).next().is_some());
        let Some((shard, _)) = due else {
            if merge.close {
                let window = self.windows.get_mut(&merge.window).expect("it was just found");
                window.closed = true;
                let entry = (meta::window_name(merge.window), Some(window.encode()));
                self.wrote(vec![entry])?;
            }
            return Ok(Progress::More);
        };
        if *shard != merge.shard {
            merge.scan_keys(*shard);
        }
        if !merge.of_customers {
            let whole = !window.has_keys || self.scan_keys(&mut merge)?;
            if whole {
                (merge.of_customers, merge.from) = (true, windows::customer_key(merge.shard, 0, u64::MAX).to_vec());
            }
        } else if self.scan_customers(&mut merge)? {
            self.store_merged(&mut merge)?;
            merge.shard += 1;
            let shard = merge.shard;
            merge.scan_keys(shard);
        }
        self.merge = Some(merge);
        Ok(Progress::More)
    }

    /// Reads some keys of the shard; true when that was all of them.
    fn scan_keys(&self, merge: &mut Merge) -> Result<bool, ArchiveError> {
        let Merge { keys, from, .. } = merge;
        let space = windows::keys_space(merge.window);
        let to = windows::hash_key(merge.shard, u128::MAX);
        self.scan_some(&space, from, &to, &mut |key| {
            let hash = key.get(2..18)?.try_into().ok().map(u128::from_be_bytes)?;
            keys.push(fold(hash));
            Some(())
        })
    }

    fn scan_customers(&self, merge: &mut Merge) -> Result<bool, ArchiveError> {
        let Merge { customers, from, .. } = merge;
        let space = windows::customers_space(merge.window);
        let to = windows::customer_key(merge.shard, u64::MAX, 0);
        self.scan_some(&space, from, &to, &mut |key| {
            let hash = windows::word_at(key, 2)?;
            if customers.last() != Some(&hash) {
                customers.push(hash);
            }
            Some(())
        })
    }

    fn scan_some(
        &self,
        space: &str,
        from: &mut Vec<u8>,
        to: &[u8],
        visit: &mut dyn FnMut(&[u8]) -> Option<()>,
    ) -> Result<bool, ArchiveError> {
        let (mut count, mut whole) = (0, true);
        let mut next = Vec::new();
        let mut damaged = false;
        self.store.scan(space, from, to, false, &mut |key, _| {
            if count == SCAN_STEP_MAX {
                (next, whole) = (key.to_vec(), false);
                return false;
            }
            count += 1;
            damaged = visit(key).is_none();
            !damaged
        })?;
        *from = next;
        if damaged { Err(ArchiveError::Damaged(format!("an entry of {space}"))) } else { Ok(whole) }
    }

    fn store_merged(&mut self, merge: &mut Merge) -> Result<(), ArchiveError> {
        let (id, shard) = (merge.window, merge.shard);
        let window = self.windows.get_mut(&id).expect("a dropped window's merge is given up");
        let has_keys = window.has_keys;
        let part = window.parts.get_mut(&shard).expect("it has filters to merge");
        let mut entries = Vec::new();
        let mut put = |tag, run, value| entries.push((meta::filter_name(tag, id, shard, run), value));
        part.keys.extract_if(..=merge.run_last, |_, _| true).for_each(|(run, _)| put(TAG_KEYS, run, None));
        part.customers.extract_if(..=merge.run_last, |_, _| true).for_each(|(run, _)| put(TAG_CUSTOMERS, run, None));
        if has_keys {
            let keys = Arc::new(KeyFilter::build(std::mem::take(&mut merge.keys)));
            put(TAG_KEYS, MERGED, Some(keys.encode()));
            part.keys.insert(MERGED, keys);
        }
        let customers = Arc::new(CustomerFilter::build(std::mem::take(&mut merge.customers)));
        put(TAG_CUSTOMERS, MERGED, Some(customers.encode()));
        part.customers.insert(MERGED, customers);
        if merge.close {
            part.sieve = None;
        }
        self.wrote(entries)?;
        self.renew_filters(shard);
        Ok(())
    }
}
