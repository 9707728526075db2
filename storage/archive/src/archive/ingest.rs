//! A run on its way into the open window: read, sorted, ingested keyspace by keyspace; stored with one write of the small entries.

use std::collections::BTreeMap;
use std::sync::Arc;

use orderlane_core::{OrderId, OrderRecord, ShardId};

use super::meta::{self, TAG_CUSTOMERS, TAG_KEYS};
use super::sums::{RunMeta, RunSums};
use super::windows::{self, Part, Window};
use super::{Archive, ArchiveError, Progress};
use crate::filters::{CustomerFilter, KeyFilter, customer_hash, fold, key_hash};
use crate::limits::PREPARE_STEP_MAX;
use crate::run::Run;
use crate::store::Store;

/// A run under way.
#[derive(Debug)]
pub(super) struct Ingest {
    run: Run,
    pub(super) window: u32,
    stage: Stage,
    keys: Vec<(u16, u128, u64)>,
    customers: Vec<(u16, u64, u64)>,
    parts: BTreeMap<u16, Part>,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    /// Records are read from this one on.
    Read(usize),
    Orders,
    Keys,
    Customers,
    /// Filters are built from this shard on.
    Filters(u16),
    Store,
}

impl<S: Store> Archive<S> {
    /// Starts with a run; [`Archive::step`] says when it is stored.
    ///
    /// # Panics
    /// When a run is under way.
    pub fn begin(&mut self, mut run: Run) {
        assert!(self.ingest.is_none(), "one run after the other");
        run.orders.sort_unstable_by_key(|order| (order.shard, order.number));
        assert!(run.orders.is_sorted_by(|a, b| (a.shard, a.number) < (b.shard, b.number)), "an order is in a run once");
        let window = self.window_open().unwrap_or(self.window_next);
        self.ingest = Some(Ingest {
            window,
            stage: Stage::Read(0),
            keys: Vec::with_capacity(run.orders.len()),
            customers: Vec::with_capacity(run.orders.len()),
            parts: BTreeMap::new(),
            run,
        });
    }

    /// Whether a run is under way.
    #[must_use]
    pub fn is_storing(&self) -> bool {
        self.ingest.is_some()
    }

    /// The window that takes the next run. One that is about to be closed or dropped takes none.
    pub(super) fn window_open(&self) -> Option<u32> {
        let (id, window) = self.windows.last_key_value()?;
        let takes = !window.closed && window.orders() < self.options.window_orders;
        let busy =
            self.merge.as_ref().is_some_and(|merge| merge.closes(*id)) || self.drops.iter().any(|d| d.window == *id);
        (takes && !busy).then_some(*id)
    }

    pub(super) fn step_ingest(&mut self) -> Result<Progress, ArchiveError> {
        let mut ingest = self.ingest.take().expect("there is a run under way");
        ingest.stage = match ingest.stage {
            Stage::Read(from) => ingest.read(from)?,
            Stage::Orders => {
                let mut entries =
                    ingest.run.orders.iter().map(|order| {
                        (windows::order_key(order.shard.0, order.number), ingest.run.record(order).to_vec())
                    });
                self.store.ingest(&windows::orders_space(ingest.window), &mut entries)?;
                Stage::Keys
            }
            Stage::Keys => {
                self.newest_keys(&mut ingest)?;
                let mut entries = ingest
                    .keys
                    .iter()
                    .map(|(shard, hash, number)| (windows::hash_key(*shard, *hash), number.to_be_bytes().to_vec()));
                self.store.ingest(&windows::keys_space(ingest.window), &mut entries)?;
                Stage::Customers
            }
            Stage::Customers => {
                let mut entries = ingest
                    .customers
                    .iter()
                    .map(|(shard, hash, number)| (windows::customer_key(*shard, *hash, *number), Vec::new()));
                self.store.ingest(&windows::customers_space(ingest.window), &mut entries)?;
                Stage::Filters(0)
            }
            Stage::Filters(from) => ingest.build_filters(from),
            Stage::Store => {
                self.store_run(ingest)?;
                return Ok(Progress::Stored);
            }
        };
        self.ingest = Some(ingest);
        Ok(Progress::More)
    }

    /// An order that was called back may be older than one under the same key that this window has: the newest one counts. Such a
    /// newer one was placed after the key's retention, which most orders are too young for.
    fn newest_keys(&self, ingest: &mut Ingest) -> Result<(), ArchiveError> {
        let Some(window) = self.windows.get(&ingest.window) else { return Ok(()) };
        let space = windows::keys_space(ingest.window);
        for (shard, hash, number) in &mut ingest.keys {
            let Some(part) = window.parts.get(shard).filter(|part| *number < part.number_max) else { continue };
            let at = ingest
                .run
                .orders
                .binary_search_by_key(&(ShardId(*shard), *number), |order| (order.shard, order.number));
            let order = &ingest.run.orders[at.expect("a key comes from an order of the run")];
            let record = decode(ingest.run.record(order), *shard, *number)?;
            let reused_at = record.created_at().after_micros(self.options.retention.key_micros);
            if reused_at > part.created_max || !part.may_have_key(fold(*hash)) {
                continue;
            }
            if let Some(there) = self.store.get(&space, &windows::hash_key(*shard, *hash))? {
                let there =
                    windows::word_at(&there, 0).ok_or_else(|| ArchiveError::Damaged(format!("an entry of {space}")))?;
                *number = there.max(*number);
            }
        }
        Ok(())
    }

    /// The moment at which the run is there.
    fn store_run(&mut self, ingest: Ingest) -> Result<(), ArchiveError> {
        let run_id = self.run_next;
        self.run_next += 1;
        self.window_next = self.window_next.max(ingest.window + 1);
        let mut entries = Vec::new();
        let mut run = RunMeta { window: ingest.window, shards: BTreeMap::new() };
        for shard in ingest.run.shards {
            let sums = RunSums { sequence: shard.sequence, recalled: shard.recalled, ..RunSums::default() };
            run.shards.insert(shard.shard.0, sums);
        }
        let touched: Vec<u16> = ingest.parts.keys().copied().collect();
        if !touched.is_empty() {
            let opened = ingest.parts.values().map(|part| part.ended_max).max().unwrap_or_default();
            let new = || Window { has_keys: true, opened, ..Window::default() };
            let window = self.windows.entry(ingest.window).or_insert_with(new);
            for (shard, part) in ingest.parts {
                run.shards.get_mut(&shard).expect("a run names all shards of its orders").stored = part.sums.clone();
                let there = window.parts.entry(shard).or_default();
                there.add(&part);
                for filter in part.keys.values() {
                    entries.push((meta::filter_name(TAG_KEYS, ingest.window, shard, run_id), Some(filter.encode())));
                    there.keys.insert(run_id, Arc::clone(filter));
                }
                for filter in part.customers.values() {
                    entries
                        .push((meta::filter_name(TAG_CUSTOMERS, ingest.window, shard, run_id), Some(filter.encode())));
                    there.customers.insert(run_id, Arc::clone(filter));
                }
            }
            entries.push((meta::window_name(ingest.window), Some(window.encode())));
        }
        let next = [&self.window_next.to_le_bytes()[..], &self.run_next.to_le_bytes()].concat();
        entries.push((meta::WINDOW_NEXT.to_vec(), Some(next)));
        entries.push((meta::run_name(run_id), Some(run.encode())));
        self.runs.insert(run_id, run);
        self.fold_runs(&mut entries);
        self.wrote(entries)?;
        for shard in touched {
            self.renew_filters(shard);
        }
        Ok(())
    }
}

impl Ingest {
    fn read(&mut self, from: usize) -> Result<Stage, ArchiveError> {
        let to = self.run.orders.len().min(from + PREPARE_STEP_MAX);
        for order in &self.run.orders[from..to] {
            let shard = order.shard.0;
            let record = decode(self.run.record(order), shard, order.number)?;
            let sums = record.sums(OrderId::new(order.shard, order.number));
            self.parts.entry(shard).or_default().count(order.number, &record, &sums);
            self.keys.push((shard, key_hash(record.scope()), order.number));
            self.customers.push((shard, customer_hash(record.customer()), order.number));
        }
        if to < self.run.orders.len() {
            return Ok(Stage::Read(to));
        }
        // Of equal keys the newest order first, which stays.
        self.keys.sort_unstable_by_key(|(shard, hash, number)| (*shard, *hash, !number));
        self.keys.dedup_by_key(|(shard, hash, _)| (*shard, *hash));
        self.customers.sort_unstable_by_key(|(shard, hash, number)| (*shard, *hash, !number));
        Ok(if self.run.orders.is_empty() { Stage::Store } else { Stage::Orders })
    }

    fn build_filters(&mut self, from: u16) -> Stage {
        let Some((shard, part)) = self.parts.range_mut(from..).next() else { return Stage::Store };
        let shard = *shard;
        let keys = &self.keys[self.keys.partition_point(|key| key.0 < shard)..];
        let keys = keys.iter().take_while(|key| key.0 == shard).map(|key| fold(key.1));
        part.keys.insert(0, Arc::new(KeyFilter::build(keys.collect())));
        let customers = &self.customers[self.customers.partition_point(|customer| customer.0 < shard)..];
        let customers = customers.iter().take_while(|customer| customer.0 == shard).map(|customer| customer.1);
        part.customers.insert(0, Arc::new(CustomerFilter::build(customers.collect())));
        shard.checked_add(1).map_or(Stage::Store, Stage::Filters)
    }
}

/// The record of an order.
pub(super) fn decode(bytes: &[u8], shard: u16, number: u64) -> Result<OrderRecord, ArchiveError> {
    let order = || OrderId::new(ShardId(shard), number);
    OrderRecord::from_bytes(bytes).ok_or_else(|| ArchiveError::Damaged(format!("the record of order {}", order())))
}
