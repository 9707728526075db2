//! A window: some millions of orders, kept and dropped together.

use std::collections::BTreeMap;
use std::sync::Arc;

use orderlane_core::{Archived, RecordRef, Time};

use super::meta::{Taker, put_archived};
use crate::filters::{CustomerFilter, KeyFilter};
use crate::sieve::Sieve;

/// The run that a merged filter is stored under: runs are numbered from 1.
pub(super) const MERGED: u64 = 0;

/// One window.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// It takes no run any more, and each shard has one pair of filters.
    pub(super) closed: bool,
    /// Whether its keys are still there.
    pub(super) has_keys: bool,
    /// When the last order of its first run ended: its age counts from here, because an order that was called back may be much older.
    pub(super) opened: Time,
    pub(super) parts: BTreeMap<u16, Part>,
}

/// What a window has of one shard.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) orders: u64,
    pub(super) bytes: u64,
    pub(super) number_min: u64,
    pub(super) number_max: u64,
    pub(super) created_min: Time,
    pub(super) created_max: Time,
    pub(super) ended_min: Time,
    pub(super) ended_max: Time,
    /// Sums of its runs.
    pub(super) sums: Archived,
    /// By run.
    pub(super) keys: BTreeMap<u64, Arc<KeyFilter>>,
    /// The keys of the runs from this one on, which this process has stored, while the window is open.
    pub(super) sieve: Option<(u64, Arc<Sieve>)>,
    /// By run.
    pub(super) customers: BTreeMap<u64, Arc<CustomerFilter>>,
}

impl Default for Part {
    fn default() -> Part {
        Part {
            orders: 0,
            bytes: 0,
            number_min: u64::MAX,
            number_max: 0,
            created_min: Time(u64::MAX),
            created_max: Time(0),
            ended_min: Time(u64::MAX),
            ended_max: Time(0),
            sums: Archived::default(),
            keys: BTreeMap::new(),
            sieve: None,
            customers: BTreeMap::new(),
        }
    }
}

impl Part {
    /// Counts an order.
    pub(super) fn count(&mut self, number: u64, record: &RecordRef<'_>, sums: &Archived) {
        self.orders += 1;
        self.bytes += record.as_bytes().len() as u64;
        self.number_min = self.number_min.min(number);
        self.number_max = self.number_max.max(number);
        self.created_min = self.created_min.min(record.created_at());
        self.created_max = self.created_max.max(record.created_at());
        self.ended_min = self.ended_min.min(record.updated_at());
        self.ended_max = self.ended_max.max(record.updated_at());
        self.sums.add(sums);
    }

    /// Takes in another part, without its filters.
    pub(super) fn add(&mut self, other: &Part) {
        self.orders += other.orders;
        self.bytes += other.bytes;
        self.number_min = self.number_min.min(other.number_min);
        self.number_max = self.number_max.max(other.number_max);
        self.created_min = self.created_min.min(other.created_min);
        self.created_max = self.created_max.max(other.created_max);
        self.ended_min = self.ended_min.min(other.ended_min);
        self.ended_max = self.ended_max.max(other.ended_max);
        self.sums.add(&other.sums);
    }

    /// Runs with a filter of keys of their own that no sieve stands before.
    pub(super) fn runs_unsieved(&self) -> usize {
        let sieved_from = self.sieve.as_ref().map_or(u64::MAX, |(first, _)| *first);
        self.keys.range(MERGED + 1..sieved_from).count()
    }

    pub(super) fn may_have_key(&self, folded: u64) -> bool {
        self.keys.values().any(|filter| filter.contains(folded))
    }

    pub(super) fn may_have_customer(&self, hash: u64) -> bool {
        self.customers.values().any(|filter| filter.contains(hash))
    }
}

impl Window {
    pub(super) fn orders(&self) -> u64 {
        self.parts.values().map(|part| part.orders).sum()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.parts.values().map(|part| part.bytes).sum()
    }

    /// When the first and the last of its orders ended.
    pub(super) fn ended(&self) -> Option<(Time, Time)> {
        let first = self.parts.values().map(|part| part.ended_min).min()?;
        let last = self.parts.values().map(|part| part.ended_max).max()?;
        Some((first, last))
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![u8::from(self.closed), u8::from(self.has_keys)];
        bytes.extend_from_slice(&self.opened.0.to_le_bytes());
        bytes.extend_from_slice(&(self.parts.len() as u32).to_le_bytes());
        for (shard, part) in &self.parts {
            bytes.extend_from_slice(&shard.to_le_bytes());
            let Time(created_min) = part.created_min;
            let Time(created_max) = part.created_max;
            let (Time(ended_min), Time(ended_max)) = (part.ended_min, part.ended_max);
            for word in [
                part.orders,
                part.bytes,
                part.number_min,
                part.number_max,
                created_min,
                created_max,
                ended_min,
                ended_max,
            ] {
                bytes.extend_from_slice(&word.to_le_bytes());
            }
            put_archived(&mut bytes, &part.sums);
        }
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Window> {
        let mut taker = Taker(bytes);
        let (closed, has_keys) = (taker.u8()? != 0, taker.u8()? != 0);
        let mut window = Window { closed, has_keys, opened: Time(taker.u64()?), parts: BTreeMap::new() };
        for _ in 0..taker.u32()? {
            let shard = taker.u16()?;
            let part = Part {
                orders: taker.u64()?,
                bytes: taker.u64()?,
                number_min: taker.u64()?,
                number_max: taker.u64()?,
                created_min: Time(taker.u64()?),
                created_max: Time(taker.u64()?),
                ended_min: Time(taker.u64()?),
                ended_max: Time(taker.u64()?),
                sums: taker.archived()?,
                ..Part::default()
            };
            window.parts.insert(shard, part);
        }
        taker.end()?;
        Some(window)
    }
}

/// What the names of keyspaces of customers begin with.
pub(crate) const CUSTOMERS: &str = "customers-";

/// Names of keyspaces and of their entries.
pub(super) fn orders_space(window: u32) -> String {
    format!("orders-{window}")
}

pub(super) fn keys_space(window: u32) -> String {
    format!("keys-{window}")
}

pub(super) fn customers_space(window: u32) -> String {
    format!("{CUSTOMERS}{window}")
}

/// The window of a keyspace.
pub(super) fn window_of(space: &str) -> Option<u32> {
    ["orders-", "keys-", CUSTOMERS].iter().find_map(|prefix| space.strip_prefix(prefix))?.parse().ok()
}

pub(super) fn order_key(shard: u16, number: u64) -> [u8; 10] {
    let mut key = [0; 10];
    key[..2].copy_from_slice(&shard.to_be_bytes());
    key[2..].copy_from_slice(&number.to_be_bytes());
    key
}

pub(super) fn hash_key(shard: u16, hash: u128) -> [u8; 18] {
    let mut key = [0; 18];
    key[..2].copy_from_slice(&shard.to_be_bytes());
    key[2..].copy_from_slice(&hash.to_be_bytes());
    key
}

/// The newest order of a customer comes first.
pub(super) fn customer_key(shard: u16, hash: u64, number: u64) -> [u8; 18] {
    hash_key(shard, u128::from(hash) << 64 | u128::from(!number))
}

/// The eight bytes of a key from `at` on.
pub(super) fn word_at(key: &[u8], at: usize) -> Option<u64> {
    key.get(at..at + 8)?.try_into().ok().map(u64::from_be_bytes)
}
