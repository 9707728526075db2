//! What is past its retention goes, by whole windows, the oldest first.

use std::path::PathBuf;

use orderlane_core::Time;

use super::export::Export;
use super::meta::{self, TAG_CUSTOMERS, TAG_KEYS};
use super::windows::{self, Window};
use super::{Archive, ArchiveError, Progress};
use crate::limits::WINDOW_AGE_PARTS;
use crate::store::Store;

/// How long and how much is kept. The open window is kept whole, whatever the caps say.
#[derive(Clone, Debug)]
pub struct Retention {
    /// How long a key answers after its order has ended.
    pub key_micros: u64,
    /// Keys, at most.
    pub keys_max: u64,
    /// How long an order is kept after it has ended; never shorter than its key.
    pub order_micros: u64,
    /// Bytes of records, at most.
    pub order_bytes_max: u64,
    /// Where orders are written as lines of JSON before they go.
    pub audit_dir: Option<PathBuf>,
}

impl Retention {
    /// A key cannot answer without its order.
    pub(super) fn order_micros_kept(&self) -> u64 {
        self.order_micros.max(self.key_micros)
    }
}

/// A window that is going.
#[derive(Debug)]
pub(super) struct Drop {
    pub(super) window: u32,
    /// Its orders stay.
    keys_only: bool,
    export: Option<Export>,
    exported: bool,
}

impl<S: Store> Archive<S> {
    /// Looks for what is past its retention: [`Archive::step`] lets it go. Cheap; to be called now and then.
    pub fn retain(&mut self, now: Time) {
        let retention = self.options.retention.clone();
        let (mut keys, mut bytes) = (0, 0);
        let mut drops = Vec::new();
        let newest = self.windows.last_key_value().map(|(id, _)| *id);
        for (id, window) in self.windows.iter().rev() {
            keys += if window.has_keys { window.orders() } else { 0 };
            bytes += window.bytes();
            let ended = window.ended().map_or(Time(0), |(_, last)| last);
            let open = newest == Some(*id) && !window.closed;
            let orders_past = now >= ended.after_micros(retention.order_micros_kept());
            let keys_past = now >= ended.after_micros(retention.key_micros);
            if orders_past || !open && bytes > retention.order_bytes_max {
                drops.push((*id, false));
            } else if window.has_keys && !open && (keys_past || keys > retention.keys_max) {
                drops.push((*id, true));
            }
        }
        let busy = self.ingest.as_ref().map(|ingest| ingest.window);
        for (window, keys_only) in drops.into_iter().rev().filter(|(window, _)| busy != Some(*window)) {
            match self.drops.iter_mut().find(|drop| drop.window == window) {
                Some(drop) => drop.keys_only &= keys_only,
                None => self.drops.push_back(Drop { window, keys_only, export: None, exported: false }),
            }
        }
        self.close_aged(now, &retention);
    }

    /// Without it a quiet directory would keep its orders for as long as it takes to fill a window.
    fn close_aged(&mut self, now: Time, retention: &Retention) {
        let Some(id) = self.window_open().filter(|_| self.ingest.is_none() && self.merge.is_none()) else { return };
        if now.micros_since(self.windows[&id].opened) >= (retention.order_micros_kept() / WINDOW_AGE_PARTS).max(1) {
            self.merge = Some(self.merge_of(id, true));
        }
    }

    pub(super) fn step_drop(&mut self) -> Result<Progress, ArchiveError> {
        let mut drop = self.drops.pop_front().expect("there is a window to drop");
        let Some(window) = self.windows.get(&drop.window) else { return Ok(Progress::More) };
        if drop.keys_only {
            self.forget_keys(drop.window)?;
            return Ok(Progress::More);
        }
        if let Some(directory) = self.options.retention.audit_dir.clone().filter(|_| !drop.exported) {
            let begun = drop.export.take().map_or_else(|| Export::begin(&directory, drop.window, window), Ok);
            let stepped = begun.and_then(|mut export| Ok((export.step(&self.store)?, export)));
            match stepped {
                Ok((exported, export)) => {
                    drop.exported = exported;
                    drop.export = (!exported).then_some(export);
                    self.drops.push_front(drop);
                }
                // The window stays; the next look at the retention tries again. The audit directory may be on another disk.
                Err(error) => {
                    tracing::error!(%error, window = drop.window, "orders past their retention stay: they could not be written")
                }
            }
            return Ok(Progress::More);
        }
        self.forget_window(drop.window)?;
        Ok(Progress::More)
    }

    fn forget_keys(&mut self, id: u32) -> Result<(), ArchiveError> {
        let Some(window) = self.windows.get_mut(&id).filter(|window| window.has_keys) else { return Ok(()) };
        window.has_keys = false;
        let mut entries = Vec::new();
        for (shard, part) in &mut window.parts {
            let runs = std::mem::take(&mut part.keys);
            entries.extend(runs.keys().map(|run| (meta::filter_name(TAG_KEYS, id, *shard, *run), None)));
        }
        entries.push((meta::window_name(id), Some(window.encode())));
        let shards: Vec<u16> = window.parts.keys().copied().collect();
        self.wrote(entries)?;
        self.garbage.push_back(windows::keys_space(id));
        shards.into_iter().for_each(|shard| self.renew_filters(shard));
        Ok(())
    }

    fn forget_window(&mut self, id: u32) -> Result<(), ArchiveError> {
        let window: Window = self.windows.remove(&id).expect("it was just found");
        let mut entries = vec![(meta::window_name(id), None)];
        for (shard, part) in &window.parts {
            entries.extend(part.keys.keys().map(|run| (meta::filter_name(TAG_KEYS, id, *shard, *run), None)));
            entries.extend(part.customers.keys().map(|run| (meta::filter_name(TAG_CUSTOMERS, id, *shard, *run), None)));
            let dropped = self.dropped.entry(*shard).or_default();
            dropped.add(&part.sums);
            let mut bytes = Vec::new();
            meta::put_archived(&mut bytes, dropped);
            entries.push((meta::dropped_name(*shard), Some(bytes)));
        }
        self.wrote(entries)?;
        let keys = window.has_keys.then(|| windows::keys_space(id));
        self.garbage.extend([windows::orders_space(id), windows::customers_space(id)].into_iter().chain(keys));
        window.parts.keys().for_each(|shard| self.renew_filters(*shard));
        Ok(())
    }
}
