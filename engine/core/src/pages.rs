//! A growing list that never moves what it holds: growth costs one page, not a copy of everything.

use alloc::vec::Vec;

const PAGE_BITS: u32 = 12;
const PAGE_LEN: usize = 1 << PAGE_BITS;

/// Items by a dense index from 0.
#[derive(Debug)]
pub(crate) struct Pages<T> {
    pages: Vec<Vec<T>>,
    len: u64,
}

impl<T> Default for Pages<T> {
    fn default() -> Self {
        Pages { pages: Vec::new(), len: 0 }
    }
}

impl<T> Pages<T> {
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    pub(crate) fn push(&mut self, item: T) -> &mut T {
        if self.len.is_multiple_of(PAGE_LEN as u64) {
            self.pages.push(Vec::with_capacity(PAGE_LEN));
        }
        self.len += 1;
        self.pages.last_mut().expect("a page with room was just made").push_mut(item)
    }

    pub(crate) fn get(&self, index: u64) -> Option<&T> {
        self.pages.get((index >> PAGE_BITS) as usize)?.get(index as usize & (PAGE_LEN - 1))
    }

    pub(crate) fn get_mut(&mut self, index: u64) -> Option<&mut T> {
        self.pages.get_mut((index >> PAGE_BITS) as usize)?.get_mut(index as usize & (PAGE_LEN - 1))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.pages.iter().flatten()
    }
}
