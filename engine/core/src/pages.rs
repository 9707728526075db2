//! A list by dense numbers from which things may leave: it costs memory for what is in it, not for the numbers it has given.
//!
//! ```text
//! chunks  … │ none │ chunk │ chunk │        a chunk: 1,024 pages      a page: two words of bits, and 64 places elsewhere
//! ```

use alloc::boxed::Box;
use alloc::vec::Vec;

const PAGE_BITS: u32 = u64::BITS.ilog2();
const PAGE_LEN: usize = 1 << PAGE_BITS;
const CHUNK_BITS: u32 = PAGE_BITS + 10;
const CHUNK_PAGES: usize = 1 << (CHUNK_BITS - PAGE_BITS);

/// Things by their numbers, which are given densely and never again.
#[derive(Debug)]
pub(crate) struct Pages<T> {
    chunks: Vec<Option<Box<Chunk<T>>>>,
    /// The number of the first chunk of `chunks`.
    base: u64,
    len: u64,
    count: u64,
}

#[derive(Debug)]
struct Chunk<T> {
    pages: Box<[Page<T>; CHUNK_PAGES]>,
    used: usize,
}

/// Bit `i` of a word is about place `i`.
#[derive(Debug)]
struct Page<T> {
    /// Only while something is there.
    places: Option<Box<[Option<T>; PAGE_LEN]>>,
    occupied: u64,
    /// What the sweep `sweep` has marked.
    marked: u64,
    sweep: u64,
}

impl<T> Default for Pages<T> {
    fn default() -> Self {
        Pages::starting_at(0)
    }
}

impl<T> Pages<T> {
    /// An empty list that has given the numbers below `len`.
    pub(crate) fn starting_at(len: u64) -> Pages<T> {
        Pages { chunks: Vec::new(), base: len >> CHUNK_BITS, len, count: 0 }
    }

    /// How many numbers were given.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// How many things are here.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn push(&mut self, thing: T) -> &mut T {
        self.len += 1;
        self.put(self.len - 1, thing)
    }

    /// Puts a thing at a number that was given and is free.
    ///
    /// # Panics
    /// When it is not.
    pub(crate) fn put(&mut self, number: u64, thing: T) -> &mut T {
        assert!(number < self.len, "a number that was given");
        self.count += 1;
        let page = self.page_made(number);
        let (place, bit) = place_of(number);
        assert!(page.occupied & bit == 0, "number {number} is taken");
        page.occupied |= bit;
        page.places.get_or_insert_with(|| boxed(|| None))[place].insert(thing)
    }

    #[inline]
    pub(crate) fn get(&self, number: u64) -> Option<&T> {
        self.page(number)?.places.as_ref()?[place_of(number).0].as_ref()
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, number: u64) -> Option<&mut T> {
        self.page_mut(number)?.places.as_mut()?[place_of(number).0].as_mut()
    }

    /// Takes a thing out. Its page goes when it was the last one of it.
    pub(crate) fn remove(&mut self, number: u64) -> Option<T> {
        let (place, bit) = place_of(number);
        let page = self.page_mut(number)?;
        let thing = page.places.as_mut()?[place].take()?;
        page.occupied &= !bit;
        let is_empty = page.occupied == 0;
        if is_empty {
            *page = Page::default();
            self.page_went(number);
        }
        self.count -= 1;
        Some(thing)
    }

    /// The first number from `from` on at which there is something.
    pub(crate) fn next_at(&self, from: u64) -> Option<u64> {
        let mut number = from.max(self.base << CHUNK_BITS);
        while number < self.len {
            let Some(chunk) = self.chunk(number) else {
                number = ((number >> CHUNK_BITS) + 1) << CHUNK_BITS;
                continue;
            };
            let rest = chunk.pages[page_place(number)].occupied >> place_of(number).0;
            if rest != 0 {
                return Some(number + u64::from(rest.trailing_zeros()));
            }
            number = ((number >> PAGE_BITS) + 1) << PAGE_BITS;
        }
        None
    }

    /// The last number below `end` at which there is something.
    pub(crate) fn last_before(&self, end: u64) -> Option<u64> {
        let mut end = end.min(self.len);
        while end > self.base << CHUNK_BITS {
            let last = end - 1;
            let Some(chunk) = self.chunk(last) else {
                end = last >> CHUNK_BITS << CHUNK_BITS;
                continue;
            };
            let rest = chunk.pages[page_place(last)].occupied << (PAGE_LEN - 1 - place_of(last).0);
            if rest != 0 {
                return Some(last - u64::from(rest.leading_zeros()));
            }
            end = last >> PAGE_BITS << PAGE_BITS;
        }
        None
    }

    /// What is here, with its number, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &T)> {
        let chunks = self.chunks.iter().zip(self.base..).filter_map(|(chunk, at)| Some((chunk.as_ref()?, at)));
        let pages = chunks.flat_map(|(chunk, at)| {
            let first = at << (CHUNK_BITS - PAGE_BITS);
            chunk.pages.iter().zip(first..).filter_map(|(page, at)| Some((page.places.as_ref()?, at)))
        });
        pages.flat_map(|(places, at)| {
            places.iter().zip(at << PAGE_BITS..).filter_map(|(thing, number)| Some((number, thing.as_ref()?)))
        })
    }

    /// Marks a thing for a sweep; false when it was marked already, or is not there. Sweeps are numbered from 1.
    pub(crate) fn mark(&mut self, number: u64, sweep: u64) -> bool {
        let Some(page) = self.page_mut(number) else { return false };
        if page.sweep != sweep {
            page.sweep = sweep;
            page.marked = 0;
        }
        let bit = place_of(number).1;
        let is_new = page.occupied & !page.marked & bit != 0;
        page.marked |= bit;
        is_new
    }

    #[inline]
    fn chunk(&self, number: u64) -> Option<&Chunk<T>> {
        self.chunks.get((number >> CHUNK_BITS).wrapping_sub(self.base) as usize)?.as_deref()
    }

    #[inline]
    fn page(&self, number: u64) -> Option<&Page<T>> {
        Some(&self.chunk(number)?.pages[page_place(number)])
    }

    #[inline]
    fn page_mut(&mut self, number: u64) -> Option<&mut Page<T>> {
        let at = (number >> CHUNK_BITS).wrapping_sub(self.base) as usize;
        Some(&mut self.chunks.get_mut(at)?.as_deref_mut()?.pages[page_place(number)])
    }

    fn page_made(&mut self, number: u64) -> &mut Page<T> {
        let at = number >> CHUNK_BITS;
        if self.chunks.is_empty() {
            self.base = at;
        }
        if at < self.base {
            let missing = (self.base - at) as usize;
            self.chunks.splice(..0, core::iter::repeat_with(|| None).take(missing));
            self.base = at;
        }
        let at = (at - self.base) as usize;
        if self.chunks.len() <= at {
            self.chunks.resize_with(at + 1, || None);
        }
        let chunk = self.chunks[at].get_or_insert_with(|| Box::new(Chunk::new()));
        let page = &mut chunk.pages[page_place(number)];
        chunk.used += usize::from(page.occupied == 0);
        page
    }

    /// A page has become empty.
    fn page_went(&mut self, number: u64) {
        let at = ((number >> CHUNK_BITS) - self.base) as usize;
        let chunk = self.chunks[at].as_mut().expect("a page that was found has a chunk");
        chunk.used -= 1;
        if chunk.used > 0 {
            return;
        }
        self.chunks[at] = None;
        let gone = self.chunks.iter().take_while(|chunk| chunk.is_none()).count();
        self.chunks.drain(..gone);
        self.base += gone as u64;
    }
}

impl<T> Chunk<T> {
    fn new() -> Chunk<T> {
        Chunk { pages: boxed(Page::default), used: 0 }
    }
}

impl<T> Default for Page<T> {
    fn default() -> Self {
        Page { places: None, occupied: 0, marked: 0, sweep: 0 }
    }
}

/// Things made where they stay: an array would be moved there.
fn boxed<T, const LEN: usize>(thing: impl FnMut() -> T) -> Box<[T; LEN]> {
    let things: Vec<T> = core::iter::repeat_with(thing).take(LEN).collect();
    let Ok(things) = things.into_boxed_slice().try_into() else { unreachable!("as many as were made") };
    things
}

/// Where in its page, and its bit.
#[inline]
fn place_of(number: u64) -> (usize, u64) {
    let place = number as usize % PAGE_LEN;
    (place, 1 << place)
}

/// Which page of its chunk.
#[inline]
fn page_place(number: u64) -> usize {
    (number >> PAGE_BITS) as usize % CHUNK_PAGES
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;
    use proptest::prelude::*;

    #[test]
    fn holes_cost_nothing_and_old_numbers_can_come_back() {
        let mut pages = Pages::starting_at((1 << 32) - 1);
        (0..200_u64).for_each(|thing| {
            pages.push(thing);
        });
        let first = (1 << 32) - 1;
        (0..199).for_each(|at| assert_eq!(pages.remove(first + at), Some(at)));
        assert_eq!((pages.len(), pages.count(), pages.chunks.len()), (first + 200, 1, 1));
        assert_eq!(pages.next_at(0), Some(first + 199));
        pages.put(5, 7);
        assert_eq!(pages.iter().collect::<Vec<_>>(), [(5, &7), (first + 199, &199)]);
        assert_eq!((pages.next_at(6), pages.last_before(first + 199)), (Some(first + 199), Some(5)));
        pages.remove(5);
        assert_eq!(pages.chunks.len(), 1);
        assert_eq!(pages.last_before(first), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn it_is_a_map(start in prop_oneof![Just(0_u64), Just((1 << 16) - 70)], steps in prop::collection::vec((0..4_u8, any::<u64>()), 1..400)) {
            let (mut pages, mut map) = (Pages::starting_at(start), BTreeMap::new());
            for (step, pick) in steps {
                let number = start.saturating_sub(130) + pick % (pages.len() - start + 131);
                match step {
                    0 | 1 => {
                        map.insert(pages.len(), pick);
                        pages.push(pick);
                    }
                    2 => prop_assert_eq!(pages.remove(number), map.remove(&number)),
                    _ if number < pages.len() && !map.contains_key(&number) => {
                        pages.put(number, pick);
                        map.insert(number, pick);
                    }
                    _ => {}
                }
                prop_assert_eq!(pages.next_at(number), map.range(number..).next().map(|(number, _)| *number));
                prop_assert_eq!(pages.last_before(number), map.range(..number).next_back().map(|(number, _)| *number));
                prop_assert!(pages.iter().eq(map.iter().map(|(number, thing)| (*number, thing))));
            }
        }
    }
}
