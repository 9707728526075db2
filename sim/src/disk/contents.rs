//! One file: what is durable, what is only written, and what readers see.

use std::ops::Range;

/// What a disk writes whole or not at all.
pub(super) const SECTOR_BYTES: usize = 512;

/// A file, with or without a name.
#[derive(Debug, Default)]
pub(super) struct Contents {
    durable: Vec<u8>,
    /// What readers see: the durable bytes with all writes on top.
    cache: Vec<u8>,
    /// Not covered by a sync, oldest first.
    writes: Vec<Write>,
    /// What the last sync that had something to do replaced.
    before_sync: Option<BeforeSync>,
}

/// A write, or a piece of one, that reached the file and that no sync has covered.
#[derive(Debug)]
pub(super) struct Write {
    number: u64,
    /// Pieces of one write have the same.
    flight: u64,
    pub(super) offset: usize,
    pub(super) bytes: Vec<u8>,
    /// Its whole write was reported complete: the next sync covers it.
    complete: bool,
    /// A sync of it failed: its pages are clean, so that no later sync writes them.
    pub(super) lost: bool,
}

#[derive(Debug)]
struct BeforeSync {
    length: usize,
    parts: Vec<(usize, Vec<u8>)>,
}

impl Write {
    pub(super) fn range(&self) -> Range<usize> {
        self.offset..self.offset + self.bytes.len()
    }

    /// Its sectors, each with its place.
    pub(super) fn sectors(&self) -> impl Iterator<Item = (usize, &[u8])> {
        self.bytes.chunks(SECTOR_BYTES).enumerate().map(|(index, part)| (self.offset + index * SECTOR_BYTES, part))
    }
}

impl Contents {
    /// What a reader sees.
    pub(super) fn readable(&self) -> &[u8] {
        &self.cache
    }

    /// What no loss of power takes away.
    pub(super) fn durable(&self) -> &[u8] {
        &self.durable
    }

    /// What a reader sees without the pages that a failed sync has left.
    pub(super) fn lasting(&self) -> Vec<u8> {
        if self.writes.iter().all(|write| !write.lost) {
            return self.cache.clone();
        }
        let mut bytes = self.durable.clone();
        self.writes.iter().filter(|write| !write.lost).for_each(|write| put(&mut bytes, write.offset, &write.bytes));
        bytes
    }

    /// What no sync has covered.
    pub(super) fn unsynced(&self) -> &[Write] {
        &self.writes
    }

    /// A write or a piece of one arrives.
    pub(super) fn land(&mut self, number: u64, flight: u64, offset: usize, bytes: Vec<u8>) {
        put(&mut self.cache, offset, &bytes);
        self.writes.push(Write { number, flight, offset, bytes, complete: false, lost: false });
    }

    /// All pieces of a write are there.
    pub(super) fn complete(&mut self, flight: u64) {
        self.writes.iter_mut().filter(|write| write.flight == flight).for_each(|write| write.complete = true);
    }

    /// What a sync that is submitted now will cover.
    pub(super) fn completed(&self) -> Vec<u64> {
        self.writes.iter().filter(|write| write.complete && !write.lost).map(|write| write.number).collect()
    }

    /// A sync has covered these writes.
    pub(super) fn sync(&mut self, covered: &[u64]) {
        let is_covered = |write: &Write| !write.lost && covered.binary_search(&write.number).is_ok();
        let (covered, rest): (Vec<Write>, Vec<Write>) =
            std::mem::take(&mut self.writes).into_iter().partition(is_covered);
        self.writes = rest;
        if covered.is_empty() {
            return;
        }
        let mut before = BeforeSync { length: self.durable.len(), parts: Vec::new() };
        for write in covered {
            let Range { start, end } = write.range();
            let old = self.durable.get(start..end.min(self.durable.len())).unwrap_or_default();
            before.parts.push((start, old.to_vec()));
            put(&mut self.durable, start, &write.bytes);
        }
        self.before_sync = Some(before);
    }

    /// A sync of these writes has failed.
    pub(super) fn lose(&mut self, covered: &[u64]) {
        let covered = |write: &&mut Write| covered.binary_search(&write.number).is_ok();
        self.writes.iter_mut().filter(covered).for_each(|write| write.lost = true);
    }

    /// The process has ended: what it wrote stays in the cache. A clean page may leave it at any time: `evict` tells for each
    /// write that is lost.
    pub(super) fn end_process(&mut self, evict: impl FnMut() -> bool) {
        self.writes.iter_mut().for_each(|write| write.complete = true);
        self.evict(evict);
    }

    /// Readers see what is durable or will be: not the clean pages that `evict` says are gone from the cache.
    pub(super) fn evict(&mut self, mut evict: impl FnMut() -> bool) {
        let count = self.writes.len();
        self.writes.retain(|write| !write.lost || !evict());
        if self.writes.len() < count {
            self.cache.clone_from(&self.durable);
            self.writes.iter().for_each(|write| put(&mut self.cache, write.offset, &write.bytes));
        }
    }

    /// The machine has lost its power: of the unsynced writes exactly these parts survived, in this order.
    pub(super) fn end_power(&mut self, survivors: &[(usize, Vec<u8>)]) {
        self.writes.clear();
        survivors.iter().for_each(|(offset, bytes)| put(&mut self.durable, *offset, bytes));
        self.cache.clone_from(&self.durable);
    }

    /// What was there before the last sync.
    pub(super) fn stale(&self) -> Option<Vec<u8>> {
        let before = self.before_sync.as_ref()?;
        let mut bytes = self.cache.clone();
        before.parts.iter().rev().for_each(|(offset, old)| put(&mut bytes, *offset, old));
        bytes.truncate(before.length);
        Some(bytes)
    }

    /// Flips a bit of what is durable.
    pub(super) fn flip(&mut self, offset: usize, bit: u8) {
        for bytes in [&mut self.durable, &mut self.cache] {
            if let Some(byte) = bytes.get_mut(offset) {
                *byte ^= 1 << bit;
            }
        }
    }
}

fn put(bytes: &mut Vec<u8>, offset: usize, part: &[u8]) {
    let end = offset + part.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[offset..end].copy_from_slice(part);
}
