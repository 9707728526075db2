//! What a lane knows of the archive without asking: filters of the keys and customers of one shard, immutable.

use std::sync::Arc;

use crate::sieve::Sieve;
use xorf::{BinaryFuse8, BinaryFuse32, DmaSerializable};
use xxhash_rust::xxh3;

/// The filters of one shard: one pair a closed window, one a run of the open one.
#[derive(Clone, Debug, Default)]
pub struct ShardFilters {
    pub(crate) keys: Vec<Arc<KeyFilter>>,
    /// Those of an open window that have a sieve before them.
    pub(crate) sieved: Vec<(Arc<Sieve>, Vec<Arc<KeyFilter>>)>,
    pub(crate) customers: Vec<Arc<CustomerFilter>>,
}

impl ShardFilters {
    /// Whether nothing of the shard is in the archive.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.customers.is_empty()
    }

    /// False: no order was archived under a key with this hash. True: ask.
    #[must_use]
    pub fn may_have_key(&self, hash: u128) -> bool {
        let folded = fold(hash);
        let any = |filters: &[Arc<KeyFilter>]| filters.iter().any(|filter| filter.contains(folded));
        any(&self.keys) || self.sieved.iter().any(|(sieve, filters)| sieve.passes(folded) && any(filters))
    }

    /// False: no order of a customer with this hash was archived. True: ask.
    #[must_use]
    pub fn may_have_customer(&self, hash: u64) -> bool {
        self.customers.iter().any(|filter| filter.contains(hash))
    }
}

/// The hash of an idempotency key in its scope ([`orderlane_core::OrderBody::scope`]): stored, so it never changes.
#[must_use]
pub fn key_hash(scope: (&[u8], &[u8])) -> u128 {
    let lengths = scope.0.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
    xxh3::xxh3_128_with_seed(scope.1, lengths)
}

/// The hash of a customer: stored, so it never changes.
#[must_use]
pub fn customer_hash(customer: &[u8]) -> u64 {
    xxh3::xxh3_64(customer)
}

/// What of a key's hash goes into a filter: the half that keys are sorted by.
pub(crate) fn fold(hash: u128) -> u64 {
    (hash >> 64) as u64
}

/// One in four billion absent keys is asked for in vain: a lane waits for the answer with all that it has taken, perhaps as long as the
/// keeper stores a run.
pub(crate) type KeyFilter = Fuse<u32>;
/// One in 256 absent customers is asked for in vain.
pub(crate) type CustomerFilter = Fuse<u8>;

/// A fingerprint of a filter.
pub(crate) trait Word: Copy + Into<u32> {
    const MASK: u32;
    /// Seed and geometry as xorf writes them, and the fingerprints; `None` when no filter was found.
    fn build(hashes: &[u64]) -> Option<([u8; DESCRIPTOR_LEN], Box<[Self]>)>;
    fn put(self, bytes: &mut Vec<u8>);
    fn take_all(bytes: &[u8]) -> Option<Box<[Self]>>;
}

const DESCRIPTOR_LEN: usize = 20;
/// A filter that says yes to everything.
const KIND_ALL: u8 = 0;
const KIND_FUSE: u8 = 1;

/// A binary fuse filter (Graf and Lemire, 2022). It is built by xorf; the probe is here because xorf takes stored bytes back only
/// by reference and aligned.
#[derive(Clone, Debug)]
pub(crate) struct Fuse<T> {
    seed: u64,
    segment_length: u32,
    segment_length_mask: u32,
    segment_count_length: u32,
    /// Empty: yes to everything.
    fingerprints: Box<[T]>,
}

impl<T: Word> Fuse<T> {
    /// A filter of these hashes, which may come in any order and more than once.
    pub(crate) fn build(mut hashes: Vec<u64>) -> Fuse<T> {
        hashes.sort_unstable();
        hashes.dedup();
        let built =
            T::build(&hashes).and_then(|(descriptor, fingerprints)| Fuse::from_parts(&descriptor, fingerprints));
        // Never seen, but allowed: asking in vain is slow, not wrong.
        built.filter(|fuse| hashes.iter().all(|hash| fuse.contains(*hash))).unwrap_or_else(Fuse::all)
    }

    fn all() -> Fuse<T> {
        Fuse { seed: 0, segment_length: 0, segment_length_mask: 0, segment_count_length: 0, fingerprints: Box::new([]) }
    }

    fn from_parts(descriptor: &[u8; DESCRIPTOR_LEN], fingerprints: Box<[T]>) -> Option<Fuse<T>> {
        let word = |at: usize| u32::from_le_bytes(descriptor[at..at + 4].try_into().expect("four bytes"));
        let seed = u64::from_le_bytes(descriptor[..8].try_into().expect("eight bytes"));
        let (segment_length, mask, segment_count_length) = (word(8), word(12), word(16));
        // The highest place that a probe can look at.
        let places = u64::from(segment_count_length) + 2 * u64::from(segment_length);
        let whole = segment_length.is_power_of_two()
            && mask == segment_length - 1
            && segment_count_length > 0
            && segment_count_length % segment_length == 0
            && places == fingerprints.len() as u64;
        whole.then_some(Fuse { seed, segment_length, segment_length_mask: mask, segment_count_length, fingerprints })
    }

    /// Whether the hash may be one of those that it was built from.
    pub(crate) fn contains(&self, hash: u64) -> bool {
        if self.fingerprints.is_empty() {
            return true;
        }
        let hash = mix(hash.wrapping_add(self.seed));
        let first = ((u128::from(hash) * u128::from(self.segment_count_length)) >> 64) as u32;
        let second = (first + self.segment_length) ^ ((hash >> 18) as u32 & self.segment_length_mask);
        let third = (first + 2 * self.segment_length) ^ (hash as u32 & self.segment_length_mask);
        let at = |place: u32| -> u32 { self.fingerprints[place as usize].into() };
        let print = (hash ^ (hash >> 32)) as u32 & T::MASK;
        print ^ at(first) ^ at(second) ^ at(third) == 0
    }

    pub(crate) fn byte_count(&self) -> u64 {
        size_of_val(&*self.fingerprints) as u64
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(1 + DESCRIPTOR_LEN + self.byte_count() as usize);
        bytes.push(if self.fingerprints.is_empty() { KIND_ALL } else { KIND_FUSE });
        bytes.extend_from_slice(&self.seed.to_le_bytes());
        for word in [self.segment_length, self.segment_length_mask, self.segment_count_length] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        for print in &self.fingerprints {
            print.put(&mut bytes);
        }
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Fuse<T>> {
        let (kind, rest) = bytes.split_first()?;
        let (descriptor, prints) = rest.split_first_chunk::<DESCRIPTOR_LEN>()?;
        match *kind {
            KIND_ALL => Some(Fuse::all()),
            KIND_FUSE => Fuse::from_parts(descriptor, T::take_all(prints)?),
            _ => None,
        }
    }
}

/// The finaliser of `MurmurHash3`.
fn mix(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

fn descriptor(filter: &impl DmaSerializable) -> [u8; DESCRIPTOR_LEN] {
    let mut bytes = [0; DESCRIPTOR_LEN];
    filter.dma_copy_descriptor_to(&mut bytes);
    bytes
}

impl Word for u32 {
    const MASK: u32 = u32::MAX;

    fn build(hashes: &[u64]) -> Option<([u8; DESCRIPTOR_LEN], Box<[u32]>)> {
        let filter = BinaryFuse32::try_from(hashes).ok()?;
        Some((descriptor(&filter), filter.fingerprints))
    }

    fn put(self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.to_le_bytes());
    }

    fn take_all(bytes: &[u8]) -> Option<Box<[u32]>> {
        let (words, rest) = bytes.as_chunks::<4>();
        rest.is_empty().then(|| words.iter().map(|word| u32::from_le_bytes(*word)).collect())
    }
}

impl Word for u8 {
    const MASK: u32 = 0xff;

    fn build(hashes: &[u64]) -> Option<([u8; DESCRIPTOR_LEN], Box<[u8]>)> {
        let filter = BinaryFuse8::try_from(hashes).ok()?;
        Some((descriptor(&filter), filter.fingerprints))
    }

    fn put(self, bytes: &mut Vec<u8>) {
        bytes.push(self);
    }

    fn take_all(bytes: &[u8]) -> Option<Box<[u8]>> {
        Some(Box::from(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_of_any_size_have_what_they_were_built_from_and_little_else() {
        for size in (1..60).chain([1_000, 20_000]) {
            let hashes: Vec<u64> = (0..size).flat_map(|n| [mix(n + 7), mix(n + 7)]).collect();
            let keys = KeyFilter::decode(&KeyFilter::build(hashes.clone()).encode()).expect("what was encoded");
            let customers = CustomerFilter::decode(&CustomerFilter::build(hashes.clone()).encode()).expect("the same");
            assert!(!keys.fingerprints.is_empty() && !customers.fingerprints.is_empty());
            assert!(hashes.iter().all(|hash| keys.contains(*hash) && customers.contains(*hash)));
            let (wrong_keys, wrong_customers) = (0..20_000).map(|n| mix(u64::MAX - n)).fold((0, 0), |(k, c), hash| {
                (k + usize::from(keys.contains(hash)), c + usize::from(customers.contains(hash)))
            });
            assert!(wrong_keys == 0, "{size}: {wrong_keys}");
            assert!(wrong_customers < 200, "{size}: {wrong_customers}");
        }
        assert!(KeyFilter::decode(&KeyFilter::build(vec![1, 2, 3]).encode()[..30]).is_none());
    }
}
