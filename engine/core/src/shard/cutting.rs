//! Cuts: what has ended is handed to the archive and then leaves the memory, the rest goes into a checkpoint.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::mem::take;

use super::Shard;
use crate::cut::{CutEnd, CutPart, EndedOrder};
use crate::ids::{OrderId, Sequence};
use crate::image::{Kind, Reader, put_bytes, put_entry, put_u16, put_u64};
use crate::order::Order;
use crate::record::{Archived, OrderRecord, digest_of};
use crate::reply::MoneySums;

/// Orders that are fetched from the memory at once, before the work on them.
const AHEAD: usize = 32;

/// A cut under way.
#[derive(Debug)]
pub(super) struct Cutting {
    /// Which one, for the marks of the orders that are saved.
    number: u64,
    sequence: Sequence,
    /// The orders below are looked at already.
    next: u64,
    /// The orders from here on are younger than the cut.
    end: u64,
    /// Orders that a kept message names, ascending.
    named: Vec<u64>,
    /// The sums over the archive once this cut is there, as far as it has come.
    archived: Archived,
    recalled: Archived,
    stock_is_done: bool,
    /// What was saved before it changed, or at the beginning.
    saved: CutPart,
    entries: u64,
    /// Numbers and digests of the orders that have ended.
    ended: Vec<(u64, u64)>,
}

impl Shard {
    /// Orders in memory.
    #[must_use]
    pub fn orders_in_memory(&self) -> u64 {
        self.orders.count()
    }

    /// Orders in memory that have ended and wait for nothing: the next cut takes (nearly) all of them.
    #[must_use]
    pub fn orders_quiet(&self) -> u64 {
        self.orders.quiet_count()
    }

    /// Whether an order is in memory.
    #[must_use]
    pub fn holds(&self, order: OrderId) -> bool {
        order.shard() == self.config.shard && self.orders.get(order.number()).is_some()
    }

    /// Orders ever placed: numbers below this were given.
    #[must_use]
    pub fn orders_placed(&self) -> u64 {
        self.orders.len()
    }

    /// Sums over the orders that are not in memory.
    #[must_use]
    pub fn archived(&self) -> &Archived {
        &self.archived
    }

    /// Begins a cut of the state as it now is. A cut that is never stored stays the last one: nothing of it leaves the memory.
    ///
    /// # Panics
    /// When one is under way, or its orders have not all left the memory.
    pub fn begin_cut(&mut self) {
        assert!(self.cut.is_none(), "one cut at a time");
        assert!(self.leaving.is_empty(), "the orders of the cut before have left");
        self.cuts += 1;
        self.orders.unlink_old();
        self.stock.begin_cut();
        let mut saved = CutPart::default();
        put_entry(&mut saved.live, Kind::Head, |out| self.put_head(out));
        self.links.image(&mut saved.live);
        self.cut = Some(Box::new(Cutting {
            number: self.cuts,
            sequence: self.sequence,
            next: 0,
            end: self.orders.len(),
            named: self.links.names_told(self.config.shard),
            archived: self.archived.clone(),
            recalled: take(&mut self.recalled),
            stock_is_done: false,
            saved,
            entries: 0,
            ended: Vec::new(),
        }));
    }

    /// Goes on with the cut under way: looks at about `count_max` things. `Some` when it is whole.
    ///
    /// # Panics
    /// When none is under way.
    pub fn cut(&mut self, count_max: usize, part: &mut CutPart) -> Option<CutEnd> {
        let mut cut = self.cut.take().expect("a cut was begun");
        let start = part.live.len();
        move_part(&mut cut.saved, part);
        let mut looked = 0;
        let mut numbers = Vec::with_capacity(AHEAD);
        while looked < count_max {
            let first = cut.next;
            let next = |number: &u64| self.orders.next_at(number + 1);
            numbers.clear();
            numbers.extend(
                core::iter::successors(self.orders.next_at(first), next)
                    .take_while(|number| *number < cut.end)
                    .take(AHEAD),
            );
            let Some(last) = numbers.last() else { break };
            cut.next = last + 1;
            looked += numbers.len();
            self.orders.fetch(numbers.iter().copied());
            for number in &numbers {
                if self.orders.mark(*number, cut.number) {
                    let id = self.orders.id(*number);
                    let order = self.orders.get_mut(*number).expect("just found");
                    cut.save(id, order, part);
                }
            }
        }
        let orders_are_done = looked < count_max;
        if orders_are_done && !cut.stock_is_done {
            cut.stock_is_done = self.stock.cut(count_max - looked, &mut part.live).1;
        }
        cut.entries += entries_in(&part.live[start..]);
        if !(orders_are_done && cut.stock_is_done) {
            self.cut = Some(cut);
            return None;
        }
        let Cutting { sequence, archived, recalled, ended, entries, .. } = *cut;
        put_entry(&mut part.live, Kind::End, |out| {
            put_u64(out, entries);
            put_archived(out, &archived);
        });
        self.leaving = ended.into();
        Some(CutEnd { sequence, archived, recalled })
    }

    /// The archive has the last cut, for good: up to `count_max` of its ended orders leave the memory. True while some are left.
    /// No input that was looked up in memory before may wait to be handled.
    pub fn evict(&mut self, count_max: usize) -> bool {
        let mut left = count_max;
        while left > 0 && !self.leaving.is_empty() {
            let count = AHEAD.min(left).min(self.leaving.len());
            left -= count;
            self.orders.fetch_linked(self.leaving.iter().take(count).map(|(number, _)| *number));
            for (number, digest) in self.leaving.drain(..count) {
                // An order to which something has happened since is newer than its record: it stays.
                if self.orders.get(number).is_some_and(|order| order.archiving) {
                    let order = self.orders.remove(number).expect("just found");
                    self.archived.add(&order.sums(digest));
                }
            }
        }
        self.timers.pass_over(&self.orders);
        !self.leaving.is_empty()
    }

    /// Copy before write: saves an order as the cut under way wants it, unless that is done.
    #[cold]
    pub(super) fn save_order(&mut self, number: u64) {
        let Some(cut) = &mut self.cut else { return };
        if number < cut.next || number >= cut.end || !self.orders.mark(number, cut.number) {
            return;
        }
        let id = self.orders.id(number);
        let order = self.orders.get_mut(number).expect("only what is there is marked");
        let mut saved = take(&mut cut.saved);
        cut.save(id, order, &mut saved);
        cut.saved = saved;
    }

    /// Part of `apply`: the order is in memory from now on. What the archive has of it counts no longer.
    pub(super) fn apply_recalled(&mut self, id: OrderId, record: &OrderRecord) {
        assert!(id.shard() == self.config.shard && id.number() < self.orders.len(), "order {id} was never placed here");
        self.save_order(id.number());
        if let Some(order) = self.orders.get_mut(id.number()) {
            if core::mem::take(&mut order.archiving) {
                self.recalled.add(&OrderRecord::of(order).sums(id));
            }
            return;
        }
        let sums = record.sums(id);
        self.archived.subtract(&sums);
        self.recalled.add(&sums);
        self.orders.put_back(id.number(), record.order());
        if let Some(cut) = &self.cut {
            // It was not in memory when the cut began.
            self.orders.mark(id.number(), cut.number);
        }
    }

    fn put_head(&self, out: &mut Vec<u8>) {
        put_u16(out, self.config.shard.0);
        put_u16(out, self.config.shards);
        put_u64(out, self.sequence);
        put_u64(out, self.time.0);
        put_u64(out, self.orders.len());
        self.orders.by_status.iter().for_each(|count| put_u64(out, *count));
        put_money(out, self.orders.money.iter().map(|(currency, sums)| (*currency, *sums)));
    }
}

impl Cutting {
    fn save(&mut self, id: OrderId, order: &mut Order, part: &mut CutPart) {
        let number = id.number();
        if !order.is_quiet() || self.named.binary_search(&number).is_ok() {
            return put_entry(&mut part.live, Kind::Order, |out| {
                put_u64(out, number);
                order.put_record(out);
            });
        }
        let start = part.ended_bytes.len();
        order.put_record(&mut part.ended_bytes);
        let record = &part.ended_bytes[start..];
        let (length, digest) = (record.len() as u32, digest_of(id, record));
        let start = u32::try_from(start).expect("a part is shorter than 4 GiB");
        part.ended.push(EndedOrder { number, start, length });
        self.archived.add(&order.sums(digest));
        self.ended.push((number, digest));
        order.archiving = true;
    }
}

fn move_part(from: &mut CutPart, to: &mut CutPart) {
    let shift = u32::try_from(to.ended_bytes.len()).expect("a part is shorter than 4 GiB");
    to.ended.extend(from.ended.drain(..).map(|ended| EndedOrder { start: ended.start + shift, ..ended }));
    to.ended_bytes.append(&mut from.ended_bytes);
    to.live.append(&mut from.live);
}

fn entries_in(bytes: &[u8]) -> u64 {
    let (mut count, mut from) = (0, Reader(bytes));
    while !from.is_empty() {
        from.entry().expect("a cut writes whole entries");
        count += 1;
    }
    count
}

fn put_archived(out: &mut Vec<u8>, sums: &Archived) {
    sums.orders.iter().for_each(|count| put_u64(out, *count));
    put_money(out, sums.money.iter().copied());
    put_u64(out, sums.units_completed);
    put_u64(out, sums.digest);
}

fn put_money(out: &mut Vec<u8>, money: impl Iterator<Item = (crate::ids::Currency, MoneySums)>) {
    let money: Vec<_> = money.collect();
    put_u64(out, money.len() as u64);
    for (currency, sums) in money {
        put_bytes(out, &currency.bytes());
        for sum in [sums.charged, sums.refunded, sums.completed] {
            put_u64(out, sum);
        }
    }
}
