//! A run on its way into the open window: read, sorted, ingested keyspace by keyspace; stored with one write of the small entries.

use std::collections::BTreeMap;
use std::sync::Arc;

use orderlane_core::{OrderId, OrderRecord, RecordRef, ShardId};

use super::meta::{self, TAG_CUSTOMERS, TAG_KEYS};
use super::sums::{RunMeta, RunSums};
use super::windows::{self, Part, Window};
use super::{Archive, ArchiveError, Progress};
use crate::filters::{CustomerFilter, KeyFilter, customer_hash, fold, key_hash};
use crate::limits::PREPARE_STEP_MAX;
use crate::run::Run;
use crate::sieve::Sieve;
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
                let run = &ingest.run;
                self.store.ingest(&windows::orders_space(ingest.window), &mut |put| {
                    let mut orders = run.orders.iter();
                    orders
                        .try_for_each(|order| put(&windows::order_key(order.shard.0, order.number), run.record(order)))
                })?;
                Stage::Keys
            }
            Stage::Keys => {
                self.newest_keys(&mut ingest)?;
                self.store.ingest(&windows::keys_space(ingest.window), &mut |put| {
                    let mut keys = ingest.keys.iter();
                    keys.try_for_each(|(shard, hash, number)| {
                        put(&windows::hash_key(*shard, *hash), &number.to_be_bytes())
                    })
                })?;
                Stage::Customers
            }
            Stage::Customers => {
                self.store.ingest(&windows::customers_space(ingest.window), &mut |put| {
                    let mut customers = ingest.customers.iter();
                    customers
                        .try_for_each(|(shard, hash, number)| put(&windows::customer_key(*shard, *hash, *number), &[]))
                })?;
                Stage::Filters(0)
            }
            Stage::Filters(from) => {
                let window = self.windows.get(&ingest.window);
                let keys_likely = self.options.window_orders / u64::from(self.options.shards.max(1));
                ingest.build_filters(from, |shard| {
                    let there = window.and_then(|window| window.parts.get(&shard)?.sieve.clone());
                    there.unwrap_or_else(|| (self.run_next, Arc::new(Sieve::for_keys(keys_likely))))
                })
            }
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
            let record = fresh(ingest.run.record(order), *shard, *number)?;
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
                there.sieve = part.sieve;
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
            let record = fresh(self.run.record(order), shard, order.number)?;
            let sums = record.sums(OrderId::new(order.shard, order.number));
            self.parts.entry(shard).or_default().count(order.number, &record, &sums);
            self.keys.push((shard, key_hash(record.scope()), order.number));
            self.customers.push((shard, customer_hash(record.customer()), order.number));
        }
        if to < self.run.orders.len() {
            return Ok(Stage::Read(to));
        }
        // By shard they are already. Of equal keys the newest order first, which stays.
        for keys in self.keys.chunk_by_mut(|a, b| a.0 == b.0) {
            keys.sort_unstable_by_key(|(_, hash, number)| (*hash, !number));
        }
        self.keys.dedup_by_key(|(shard, hash, _)| (*shard, *hash));
        for customers in self.customers.chunk_by_mut(|a, b| a.0 == b.0) {
            customers.sort_unstable_by_key(|(_, hash, number)| (*hash, !number));
        }
        Ok(if self.run.orders.is_empty() { Stage::Store } else { Stage::Orders })
    }

    fn build_filters(&mut self, from: u16, sieve_of: impl FnOnce(u16) -> (u64, Arc<Sieve>)) -> Stage {
        let Some((shard, part)) = self.parts.range_mut(from..).next() else { return Stage::Store };
        let shard = *shard;
        let keys = &self.keys[self.keys.partition_point(|key| key.0 < shard)..];
        let keys: Vec<u64> = keys.iter().take_while(|key| key.0 == shard).map(|key| fold(key.1)).collect();
        let (first, mut sieve) = sieve_of(shard);
        // The lane has the one before.
        keys.iter().for_each(|key| Arc::make_mut(&mut sieve).add(*key));
        part.sieve = Some((first, sieve));
        part.keys.insert(0, Arc::new(KeyFilter::build(keys)));
        let customers = &self.customers[self.customers.partition_point(|customer| customer.0 < shard)..];
        let customers = customers.iter().take_while(|customer| customer.0 == shard).map(|customer| customer.1);
        part.customers.insert(0, Arc::new(CustomerFilter::build(customers.collect())));
        shard.checked_add(1).map_or(Stage::Store, Stage::Filters)
    }
}

/// The record of an order of a run: a lane has just made it.
fn fresh(bytes: &[u8], shard: u16, number: u64) -> Result<RecordRef<'_>, ArchiveError> {
    RecordRef::read(bytes).ok_or_else(|| damaged(shard, number))
}

/// The record of an order, as it was stored.
pub(super) fn decode(bytes: &[u8], shard: u16, number: u64) -> Result<OrderRecord, ArchiveError> {
    OrderRecord::from_bytes(bytes).ok_or_else(|| damaged(shard, number))
}

fn damaged(shard: u16, number: u64) -> ArchiveError {
    ArchiveError::Damaged(format!("the record of order {}", OrderId::new(ShardId(shard), number)))
}
