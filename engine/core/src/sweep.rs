//! The way of a cut through one list: which entries are saved already. Whoever is about to change an entry asks first.

use alloc::vec::Vec;

/// A sweep over the indexes `from..end` of a list. Those that did not exist when it began count as saved.
#[derive(Debug, Default)]
pub(crate) struct Sweep {
    from: u64,
    next: u64,
    end: u64,
    /// Bit `index - from`.
    saved: Vec<u64>,
}

impl Sweep {
    pub(crate) fn new(from: u64, end: u64) -> Sweep {
        Sweep { from, next: from, end, saved: alloc::vec![0; (end - from).div_ceil(64) as usize] }
    }

    /// Whether the entry must be saved now, before it changes; from now on it counts as saved.
    pub(crate) fn must_save(&mut self, index: u64) -> bool {
        if index < self.next || index >= self.end {
            return false;
        }
        let (word, bit) = (((index - self.from) / 64) as usize, 1 << ((index - self.from) % 64));
        let is_new = self.saved[word] & bit == 0;
        self.saved[word] |= bit;
        is_new
    }

    /// The next entry that is not saved; from now on it counts as saved. `None` at the end.
    pub(crate) fn take_next(&mut self) -> Option<u64> {
        while self.next < self.end {
            let at = self.next - self.from;
            // Whole words of saved entries are passed over at once.
            let unsaved = !self.saved[(at / 64) as usize] >> (at % 64);
            if unsaved == 0 {
                self.next = (self.from + (at / 64 + 1) * 64).min(self.end);
                continue;
            }
            let index = self.next + u64::from(unsaved.trailing_zeros());
            self.next = (index + 1).min(self.end);
            return (index < self.end).then_some(index);
        }
        None
    }

    #[cfg(test)]
    pub(crate) fn is_done(&self) -> bool {
        self.next >= self.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_is_saved_once_whoever_comes_first() {
        let mut sweep = Sweep::new(3, 200);
        assert!(!sweep.must_save(200), "it came later");
        assert_eq!(sweep.take_next(), Some(3));
        assert!(!sweep.must_save(3), "its slice has come");
        assert!(sweep.must_save(5));
        assert!(!sweep.must_save(5));
        let rest: Vec<u64> = core::iter::from_fn(|| sweep.take_next()).collect();
        assert_eq!(rest, (4..200).filter(|index| *index != 5).collect::<Vec<_>>());
        assert!(sweep.is_done());
    }
}
