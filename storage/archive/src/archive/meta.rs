//! The small entries of the archive: what they are called and how they are written. Integers are little-endian in values and
//! big-endian in names.

use orderlane_core::{Archived, Currency, MoneySums};

/// Magic and version of the whole archive.
pub(super) const MAGIC: &[u8; 8] = b"olarchiv";
pub(super) const VERSION: u16 = 1;

pub(super) const FORMAT: &[u8] = b"f";
/// The number of the next window: never used twice, because an export bears it.
pub(super) const WINDOW_NEXT: &[u8] = b"n";
pub(super) const TAG_WINDOW: u8 = b'w';
pub(super) const TAG_RUN: u8 = b'r';
pub(super) const TAG_BASE: u8 = b'b';
pub(super) const TAG_DROPPED: u8 = b'd';
pub(super) const TAG_KEYS: u8 = b'k';
pub(super) const TAG_CUSTOMERS: u8 = b'c';

pub(super) fn window_name(window: u32) -> Vec<u8> {
    [&[TAG_WINDOW], &window.to_be_bytes()[..]].concat()
}

pub(super) fn run_name(run: u64) -> Vec<u8> {
    [&[TAG_RUN], &run.to_be_bytes()[..]].concat()
}

pub(super) fn base_name(shard: u16) -> Vec<u8> {
    [&[TAG_BASE], &shard.to_be_bytes()[..]].concat()
}

pub(super) fn dropped_name(shard: u16) -> Vec<u8> {
    [&[TAG_DROPPED], &shard.to_be_bytes()[..]].concat()
}

pub(super) fn filter_name(tag: u8, window: u32, shard: u16, run: u64) -> Vec<u8> {
    [&[tag], &window.to_be_bytes()[..], &shard.to_be_bytes(), &run.to_be_bytes()].concat()
}

/// Reads values.
pub(super) struct Taker<'a>(pub(super) &'a [u8]);

impl<'a> Taker<'a> {
    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn archived(&mut self) -> Option<Archived> {
        let mut sums = Archived::default();
        for count in &mut sums.orders {
            *count = self.u64()?;
        }
        for _ in 0..self.u16()? {
            let currency = Currency::parse(std::str::from_utf8(&self.array::<3>()?).ok()?)?;
            let money = MoneySums { charged: self.u64()?, refunded: self.u64()?, completed: self.u64()? };
            sums.money.push((currency, money));
        }
        sums.units_completed = self.u64()?;
        sums.digest = self.u64()?;
        Some(sums)
    }

    pub(super) fn end(self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

pub(super) fn put_archived(bytes: &mut Vec<u8>, sums: &Archived) {
    for count in sums.orders {
        bytes.extend_from_slice(&count.to_le_bytes());
    }
    let currencies = u16::try_from(sums.money.len()).expect("there are fewer than 65,536 currencies of three letters");
    bytes.extend_from_slice(&currencies.to_le_bytes());
    for (currency, money) in &sums.money {
        bytes.extend_from_slice(&currency.bytes());
        for amount in [money.charged, money.refunded, money.completed] {
            bytes.extend_from_slice(&amount.to_le_bytes());
        }
    }
    bytes.extend_from_slice(&sums.units_completed.to_le_bytes());
    bytes.extend_from_slice(&sums.digest.to_le_bytes());
}
