//! The adjustments that a shard remembers, so that each is made once: the newest ones, a bounded number.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::hash::{BuildHasher, Hasher};

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use super::Entry;
use super::item::Units;
use crate::digest::{Digest, spread};
use crate::event::Adjustment;
use crate::image::{Kind, Malformed, Reader, put_bytes, put_entry, put_u64};
use crate::limits::ADJUSTMENT_KEYS_MAX;

/// An adjustment that was decided, with the answer that every retry gets.
#[derive(Debug)]
pub(crate) struct Adjusted {
    pub(crate) adjustment: Adjustment,
    /// The stock just after it; `None` when it was refused.
    pub(crate) units: Option<Units>,
}

/// Adjustments are numbered densely; the oldest ones are forgotten.
#[derive(Debug)]
pub(super) struct Adjustments {
    /// Number of the first one in `kept`.
    first: u64,
    kept: VecDeque<Adjusted>,
    /// Its places are the low halves of numbers: far fewer than 2^32 are kept.
    by_key: HashTable<Entry>,
    hasher: FixedState,
}

const _: () = assert!(ADJUSTMENT_KEYS_MAX < u32::MAX as usize, "the low half of a number tells those kept apart");

impl Adjustments {
    pub(super) fn new(hasher: FixedState) -> Adjustments {
        Adjustments { first: 0, kept: VecDeque::new(), by_key: HashTable::new(), hasher }
    }

    /// Numbers from the first kept to behind the last.
    pub(super) fn numbers(&self) -> core::ops::Range<u64> {
        self.first..self.first + self.kept.len() as u64
    }

    /// The one with the same key for the same caller and SKU.
    pub(super) fn find(&self, adjustment: &Adjustment) -> Option<&Adjusted> {
        let hash = self.hash_of(adjustment);
        let same = |entry: &Entry| {
            let known = &self.at(entry.1).adjustment;
            entry.0 == hash
                && (&known.subject, &known.sku, &known.key) == (&adjustment.subject, &adjustment.sku, &adjustment.key)
        };
        self.by_key.find(spread(hash), same).map(|entry| self.at(entry.1))
    }

    /// Remembers one more; gives the number and the content of the one that is forgotten for it.
    pub(super) fn push(&mut self, adjusted: Adjusted) -> Option<(u64, Adjusted)> {
        let forgotten = if self.kept.len() >= ADJUSTMENT_KEYS_MAX { self.forget() } else { None };
        let (hash, number) = (self.hash_of(&adjusted.adjustment), self.numbers().end);
        self.by_key.insert_unique(spread(hash), (hash, number as u32), |entry| spread(entry.0));
        self.kept.push_back(adjusted);
        forgotten
    }

    pub(super) fn digest(&self, digest: &mut Digest) {
        for adjusted in &self.kept {
            digest.bytes(adjusted.adjustment.key.as_bytes());
            digest.word(adjusted.adjustment.delta as u64);
            digest.word(adjusted.units.map_or(u64::MAX, |units| units.version));
        }
    }

    /// Appends the entry of number `number`, which is kept.
    pub(super) fn put(&self, number: u64, out: &mut Vec<u8>) {
        self.kept[(number - self.first) as usize].put(number, out);
    }

    /// All that a checkpoint has, by number, into an empty list.
    pub(super) fn restored(&mut self, all: BTreeMap<u64, Adjusted>) -> Result<(), Malformed> {
        let Some((first, _)) = all.first_key_value() else { return Ok(()) };
        if all.len() > ADJUSTMENT_KEYS_MAX || *first > u64::MAX / 2 {
            return Err("more adjustments than a shard remembers");
        }
        self.first = *first;
        for (number, adjusted) in all {
            if number != self.numbers().end {
                return Err("an adjustment is missing");
            }
            if self.find(&adjusted.adjustment).is_some() {
                return Err("two adjustments have one key");
            }
            self.push(adjusted);
        }
        Ok(())
    }

    fn forget(&mut self) -> Option<(u64, Adjusted)> {
        let oldest = self.kept.pop_front()?;
        let (hash, number) = (self.hash_of(&oldest.adjustment), self.first);
        let entry = self.by_key.find_entry(spread(hash), |entry| *entry == (hash, number as u32));
        entry.expect("what is kept is in the index").remove();
        self.first += 1;
        Some((number, oldest))
    }

    fn at(&self, number_low: u32) -> &Adjusted {
        &self.kept[number_low.wrapping_sub(self.first as u32) as usize]
    }

    fn hash_of(&self, adjustment: &Adjustment) -> u32 {
        let mut hasher = self.hasher.build_hasher();
        for part in [&adjustment.subject, &adjustment.sku, &adjustment.key] {
            hasher.write(part.as_bytes());
            hasher.write_u8(0xff);
        }
        hasher.finish() as u32
    }
}

impl Adjusted {
    /// Appends the entry of this one, whose number is `number`.
    pub(super) fn put(&self, number: u64, out: &mut Vec<u8>) {
        let Adjustment { subject, sku, key, delta, reason } = &self.adjustment;
        put_entry(out, Kind::Adjustment, |out| {
            put_u64(out, number);
            for text in [subject, sku, key, reason] {
                put_bytes(out, text.as_bytes());
            }
            put_u64(out, delta.cast_unsigned());
            out.push(u8::from(self.units.is_some()));
            self.units.iter().for_each(|units| units.put(out));
        });
    }

    /// Reads the fields that [`Adjusted::put`] wrote: the number and the content.
    pub(super) fn read(mut fields: Reader<'_>) -> Result<(u64, Adjusted), Malformed> {
        let number = fields.u64()?;
        let (subject, sku) = (fields.text()?.into(), fields.text()?.into());
        let (key, reason) = (fields.text()?.into(), fields.text()?.into());
        let delta = fields.u64()?.cast_signed();
        let units = match fields.u8()? {
            0 => None,
            1 => Some(Units::read(&mut fields)?),
            _ => return Err("an adjustment is neither made nor refused"),
        };
        fields.end()?;
        Ok((number, Adjusted { adjustment: Adjustment { subject, sku, key, delta, reason }, units }))
    }
}
