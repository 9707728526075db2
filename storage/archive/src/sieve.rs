//! What stands before the filters of an open window: one cache line says for nearly every new key that none of them has it.

/// Bits for each key that a sieve is made for: one in some 700 absent keys passes.
const BITS_A_KEY: u64 = 16;
/// Odd numbers that spread a hash over the words of a block.
const SALTS: [u32; 8] =
    [0x47b6_137b, 0x4497_4d91, 0x8824_ad5b, 0xa2b7_289d, 0x7054_95c7, 0x2df1_424b, 0x9efc_4947, 0x5c6b_fb31];

type Block = [u32; 8];

/// A Bloom filter of blocks, one bit in each word of one block for a key (Putze, Sanders and Singler, 2007; the split block filter
/// of Apache Parquet). Keys can be added; with more than it was made for it only lets more pass.
#[derive(Clone, Debug)]
pub(crate) struct Sieve(Box<[Block]>);

impl Sieve {
    /// An empty one, made for so many keys.
    pub(crate) fn for_keys(keys: u64) -> Sieve {
        let blocks = (keys * BITS_A_KEY).div_ceil(Block::default().len() as u64 * u64::from(u32::BITS)).max(1);
        Sieve(vec![Block::default(); blocks as usize].into_boxed_slice())
    }

    pub(crate) fn add(&mut self, hash: u64) {
        let place = self.place(hash);
        self.0[place].iter_mut().zip(bits(hash)).for_each(|(word, bit)| *word |= bit);
    }

    /// False: the key was not added.
    pub(crate) fn passes(&self, hash: u64) -> bool {
        self.0[self.place(hash)].iter().zip(bits(hash)).fold(true, |passes, (word, bit)| passes & (word & bit != 0))
    }

    fn place(&self, hash: u64) -> usize {
        (((hash >> 32) * self.0.len() as u64) >> 32) as usize
    }
}

fn bits(hash: u64) -> impl Iterator<Item = u32> {
    SALTS.into_iter().map(move |salt| 1 << ((hash as u32).wrapping_mul(salt) >> 27))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_passes_and_little_else() {
        let hash = |n: u64| xxhash_rust::xxh3::xxh3_64(&n.to_le_bytes());
        for (made_for, added) in [(0, 3), (10_000, 10_000), (65_536, 65_536)] {
            let mut sieve = Sieve::for_keys(made_for);
            (0..added).for_each(|n| sieve.add(hash(n)));
            assert!((0..added).all(|n| sieve.passes(hash(n))));
            let others = (added..added + 100_000).filter(|n| sieve.passes(hash(*n))).count();
            assert!(made_for == 0 || others < 400, "{made_for}: {others} of 100,000");
        }
    }
}
