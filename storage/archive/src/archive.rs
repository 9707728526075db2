//! The archive: windows of ended orders in a store, filled run by run, read by whoever finds nothing in memory.

mod export;
mod ingest;
mod list;
mod merge;
mod meta;
mod reads;
mod retention;
mod scan;
mod sums;
mod windows;

pub(crate) use windows::CUSTOMERS;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::sync::Arc;

use orderlane_core::{Archived, Sequence, ShardId, Time};

use crate::filters::{Fuse, ShardFilters, Word};
use crate::store::{META, Store};
pub use export::put_order_line;
use ingest::Ingest;
use merge::Merge;
use meta::Taker;
use retention::Drop;
pub use retention::Retention;
use sums::{RunMeta, RunSums};
use windows::{Part, Window};

/// What an archive is opened with.
#[derive(Clone, Debug)]
pub struct ArchiveOptions {
    /// The identity of the data directory that it belongs to.
    pub directory: u128,
    /// Shards of the data directory.
    pub shards: u16,
    /// How long and how much is kept.
    pub retention: Retention,
    /// Orders after which a window closes: [`crate::limits::WINDOW_ORDERS`].
    pub window_orders: u64,
}

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// There is nothing to do.
    Idle,
    /// Something was done, and there may be more.
    More,
    /// The run under way is stored, for good.
    Stored,
}

/// Why the archive refuses or has failed.
#[derive(Debug)]
pub enum ArchiveError {
    /// The store, or a file of an export.
    Io(io::Error),
    /// It was written by another version of this program.
    Version(u16),
    /// It belongs to another data directory.
    OtherDirectory {
        /// The one that it names.
        archive: u128,
        /// The one that it was opened for.
        directory: u128,
    },
    /// It was made for another number of shards.
    OtherShards {
        /// Its own.
        archive: u16,
        /// Those of the data directory.
        directory: u16,
    },
    /// Something is not as it was written.
    Damaged(String),
    /// An order is missing, or counted twice.
    Sums {
        /// Of which shard.
        shard: ShardId,
        /// The sums of all that was stored.
        archive: Box<Archived>,
        /// What the checkpoint expects of them.
        checkpoint: Box<Archived>,
    },
    /// The checkpoint is older than the archive can go back.
    TooNew {
        /// Of which shard.
        shard: ShardId,
        /// As far back as the archive can go.
        archive: Sequence,
        /// The checkpoint's.
        checkpoint: Sequence,
    },
    /// An earlier operation failed: what the store holds is unknown until it is opened again.
    Failed,
}

impl std::fmt::Display for ArchiveError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ArchiveError::Io(error) => write!(f, "{error}"),
            ArchiveError::Version(version) => {
                write!(f, "the archive has version {version}, this program reads version {}", meta::VERSION)
            }
            ArchiveError::OtherDirectory { archive, directory } => {
                write!(f, "the archive belongs to data directory {archive:032x}, not to {directory:032x}")
            }
            ArchiveError::OtherShards { archive, directory } => {
                write!(f, "the archive was made for {archive} shards, the data directory has {directory}")
            }
            ArchiveError::Damaged(what) => write!(f, "the archive is damaged: {what}"),
            ArchiveError::Sums { shard, archive, checkpoint } => write!(
                f,
                "shard {shard}: the archive and the checkpoint disagree about the archived orders: {archive:?}, expected {checkpoint:?}"
            ),
            ArchiveError::TooNew { shard, archive, checkpoint } => write!(
                f,
                "shard {shard}: the checkpoint at {checkpoint} is older than what the archive can go back to, {archive}"
            ),
            ArchiveError::Failed => write!(f, "the archive has failed before"),
        }
    }
}

impl std::error::Error for ArchiveError {}

impl From<io::Error> for ArchiveError {
    fn from(error: io::Error) -> ArchiveError {
        ArchiveError::Io(error)
    }
}

/// What there is, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ArchiveFigures {
    /// Windows.
    pub windows: u64,
    /// Runs that were stored, ever.
    pub runs: u64,
    /// Orders, each as often as it was archived.
    pub orders: u64,
    /// Orders whose keys are still there.
    pub keys: u64,
    /// Bytes of their records.
    pub bytes: u64,
    /// Bytes of filters, in memory.
    pub filter_bytes: u64,
    /// When the oldest order ended that is there.
    pub oldest: Option<Time>,
    /// When the oldest order ended whose key is there.
    pub oldest_key: Option<Time>,
}

/// The archive of a data directory.
#[derive(Debug)]
pub struct Archive<S> {
    store: S,
    options: ArchiveOptions,
    windows: BTreeMap<u32, Window>,
    window_next: u32,
    /// The newest runs, by number.
    runs: BTreeMap<u64, RunMeta>,
    run_next: u64,
    /// By shard: the runs before.
    bases: BTreeMap<u16, RunSums>,
    /// By shard: the runs' sums of windows that are gone.
    dropped: BTreeMap<u16, Archived>,
    filters: BTreeMap<u16, Arc<ShardFilters>>,
    changed: BTreeSet<u16>,
    ingest: Option<Ingest>,
    merge: Option<Merge>,
    drops: VecDeque<Drop>,
    /// Keyspaces of no window.
    garbage: VecDeque<String>,
    failed: bool,
}

type Entries = Vec<(Vec<u8>, Option<Vec<u8>>)>;

impl<S: Store> Archive<S> {
    /// Opens what the store holds, or makes a new archive in an empty one. Before the first run [`Archive::check`] comes.
    ///
    /// # Errors
    /// Another version, directory or number of shards; something damaged or missing; what the store said.
    pub fn open(store: S, options: ArchiveOptions) -> Result<Archive<S>, ArchiveError> {
        let mut archive = Archive {
            store,
            options,
            windows: BTreeMap::new(),
            window_next: 0,
            runs: BTreeMap::new(),
            run_next: 1,
            bases: BTreeMap::new(),
            dropped: BTreeMap::new(),
            filters: BTreeMap::new(),
            changed: BTreeSet::new(),
            ingest: None,
            merge: None,
            drops: VecDeque::new(),
            garbage: VecDeque::new(),
            failed: false,
        };
        archive.open_format()?;
        archive.open_meta()?;
        archive.open_spaces()?;
        for shard in 0..archive.options.shards {
            archive.renew_filters(shard);
        }
        Ok(archive)
    }

    /// The filters of a shard. They change when a run is stored, a window closes or is dropped: [`Archive::filters_changed`].
    #[must_use]
    pub fn filters(&self, shard: ShardId) -> Arc<ShardFilters> {
        self.filters.get(&shard.0).cloned().unwrap_or_default()
    }

    /// The shards whose filters have changed since this was asked last (at first: all that have any).
    pub fn filters_changed(&mut self) -> Vec<ShardId> {
        std::mem::take(&mut self.changed).into_iter().map(ShardId).collect()
    }

    /// What there is.
    #[must_use]
    pub fn figures(&self) -> ArchiveFigures {
        let with_keys = || self.windows.values().filter(|window| window.has_keys);
        let oldest = |windows: &mut dyn Iterator<Item = &Window>| windows.filter_map(|w| Some(w.ended()?.0)).min();
        let parts = self.windows.values().flat_map(|window| window.parts.values());
        ArchiveFigures {
            windows: self.windows.len() as u64,
            runs: self.run_next - 1,
            orders: self.windows.values().map(Window::orders).sum(),
            keys: with_keys().map(Window::orders).sum(),
            bytes: self.windows.values().map(Window::bytes).sum(),
            filter_bytes: parts
                .map(|part| {
                    let keys = part.keys.values().map(|filter| filter.byte_count());
                    keys.chain(part.customers.values().map(|filter| filter.byte_count())).sum::<u64>()
                })
                .sum(),
            oldest: oldest(&mut self.windows.values()),
            oldest_key: oldest(&mut with_keys()),
        }
    }

    /// Sums of a shard's orders that are past their retention and gone, each as it was archived and as often.
    #[must_use]
    pub fn dropped(&self, shard: ShardId) -> Archived {
        self.dropped.get(&shard.0).cloned().unwrap_or_default()
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &S {
        &self.store
    }

    /// One small operation: of the run under way, else of a window that closes, else of one that is dropped.
    ///
    /// # Errors
    /// What failed. From then on every step fails: the store has to be opened again.
    pub fn step(&mut self) -> Result<Progress, ArchiveError> {
        if self.failed {
            return Err(ArchiveError::Failed);
        }
        let progress = self.step_once();
        self.failed = progress.is_err();
        progress
    }

    fn step_once(&mut self) -> Result<Progress, ArchiveError> {
        if self.ingest.is_some() {
            return self.step_ingest();
        }
        if let Some(space) = self.garbage.pop_front() {
            self.store.drop_keyspace(&space)?;
            return Ok(Progress::More);
        }
        if self.merge.is_none() {
            self.merge = self.merge_next();
        }
        if self.merge.is_some() {
            return self.step_merge();
        }
        if self.drops.is_empty() {
            return Ok(Progress::Idle);
        }
        self.step_drop()
    }

    fn open_format(&mut self) -> Result<(), ArchiveError> {
        let Some(bytes) = self.store.get(META, meta::FORMAT)? else {
            if let Some(space) = self.store.keyspaces()?.iter().find(|space| windows::window_of(space).is_some()) {
                return Err(ArchiveError::Damaged(format!("{space} is there, but nothing says whose it is")));
            }
            let mut bytes = meta::MAGIC.to_vec();
            bytes.extend_from_slice(&meta::VERSION.to_le_bytes());
            bytes.extend_from_slice(&self.options.directory.to_le_bytes());
            bytes.extend_from_slice(&self.options.shards.to_le_bytes());
            return Ok(self.store.set_meta(&[(meta::FORMAT.to_vec(), Some(bytes))])?);
        };
        let damaged = || ArchiveError::Damaged("its format entry".to_owned());
        let mut taker = Taker(&bytes);
        if taker.array::<8>().as_ref() != Some(meta::MAGIC) {
            return Err(damaged());
        }
        let version = taker.u16().ok_or_else(damaged)?;
        if version != meta::VERSION {
            return Err(ArchiveError::Version(version));
        }
        let archive = u128::from_le_bytes(taker.array().ok_or_else(damaged)?);
        if archive != self.options.directory {
            return Err(ArchiveError::OtherDirectory { archive, directory: self.options.directory });
        }
        let archive = taker.u16().ok_or_else(damaged)?;
        if archive != self.options.shards {
            return Err(ArchiveError::OtherShards { archive, directory: self.options.shards });
        }
        taker.end().ok_or_else(damaged)
    }

    fn open_meta(&mut self) -> Result<(), ArchiveError> {
        let Archive { store, windows, window_next, runs, run_next, bases, dropped, .. } = self;
        let mut damaged = None;
        // Windows (w) come after their filters (c, k) by name.
        let mut filters: BTreeMap<(u32, u16), Part> = BTreeMap::new();
        store.scan(META, &[0], &[0xff], false, &mut |name, value| {
            let taken = (|| {
                match *name.first()? {
                    meta::TAG_KEYS => take_filter(name, value, &mut filters, |part, run, filter| {
                        part.keys.insert(run, filter).is_none()
                    })?,
                    meta::TAG_CUSTOMERS => {
                        take_filter(name, value, &mut filters, |part, run, filter| {
                            part.customers.insert(run, filter).is_none()
                        })?;
                    }
                    meta::TAG_WINDOW => {
                        windows.insert(u32::from_be_bytes(name[1..].try_into().ok()?), Window::decode(value)?);
                    }
                    meta::TAG_RUN => {
                        runs.insert(u64::from_be_bytes(name[1..].try_into().ok()?), RunMeta::decode(value)?);
                    }
                    meta::TAG_BASE => {
                        bases.insert(u16::from_be_bytes(name[1..].try_into().ok()?), RunSums::decode(value)?);
                    }
                    meta::TAG_DROPPED => {
                        let mut taker = Taker(value);
                        dropped.insert(u16::from_be_bytes(name[1..].try_into().ok()?), taker.archived()?);
                    }
                    _ if name == meta::WINDOW_NEXT => {
                        let mut taker = Taker(value);
                        (*window_next, *run_next) = (taker.u32()?, taker.u64()?);
                    }
                    _ if name == meta::FORMAT => {}
                    _ => return None,
                }
                Some(())
            })();
            if taken.is_none() {
                damaged = Some(format!("its entry {}", name.escape_ascii()));
            }
            taken.is_some()
        })?;
        for ((window, shard), part) in filters {
            match windows.get_mut(&window).and_then(|window| window.parts.get_mut(&shard)) {
                Some(there) => (there.keys, there.customers) = (part.keys, part.customers),
                None => damaged = Some(format!("filters of window {window}, which is not there")),
            }
        }
        damaged.map_or(Ok(()), |what| Err(ArchiveError::Damaged(what)))
    }

    /// Every window has its keyspaces; keyspaces of none are what a crash has left.
    fn open_spaces(&mut self) -> Result<(), ArchiveError> {
        let spaces: BTreeSet<String> = self.store.keyspaces()?.into_iter().collect();
        for (id, window) in &self.windows {
            let keys = window.has_keys.then(|| windows::keys_space(*id));
            for space in [windows::orders_space(*id), windows::customers_space(*id)].into_iter().chain(keys) {
                if window.orders() > 0 && !spaces.contains(&space) {
                    return Err(ArchiveError::Damaged(format!("the keyspace {space} is missing")));
                }
            }
        }
        for space in spaces {
            let Some(id) = windows::window_of(&space) else { continue };
            self.window_next = self.window_next.max(id + 1);
            let wanted = self.windows.get(&id).is_some_and(|w| w.has_keys || space != windows::keys_space(id));
            if !wanted {
                self.garbage.push_back(space);
            }
        }
        Ok(())
    }

    /// Sets entries of the meta keyspace; of several with one name the last counts.
    fn wrote(&mut self, entries: Entries) -> Result<(), ArchiveError> {
        let unique: BTreeMap<_, _> = entries.into_iter().collect();
        let entries: Entries = unique.into_iter().collect();
        Ok(self.store.set_meta(&entries)?)
    }

    fn renew_filters(&mut self, shard: u16) {
        let mut filters = ShardFilters::default();
        for part in self.windows.values().rev().filter_map(|window| window.parts.get(&shard)) {
            let first = part.sieve.as_ref().map_or(u64::MAX, |(first, _)| *first);
            filters.keys.extend(part.keys.range(..first).rev().map(|(_, filter)| Arc::clone(filter)));
            if let Some((first, sieve)) = &part.sieve {
                let sieved = part.keys.range(first..).rev().map(|(_, filter)| Arc::clone(filter));
                filters.sieved.push((Arc::clone(sieve), sieved.collect()));
            }
            filters.customers.extend(part.customers.values().rev().cloned());
        }
        if !filters.is_empty() || self.filters.contains_key(&shard) {
            self.changed.insert(shard);
            self.filters.insert(shard, Arc::new(filters));
        }
    }
}

fn take_filter<T: Word>(
    name: &[u8],
    value: &[u8],
    filters: &mut BTreeMap<(u32, u16), Part>,
    insert: impl FnOnce(&mut Part, u64, Arc<Fuse<T>>) -> bool,
) -> Option<()> {
    let window = u32::from_be_bytes(name.get(1..5)?.try_into().ok()?);
    let shard = u16::from_be_bytes(name.get(5..7)?.try_into().ok()?);
    let run = u64::from_be_bytes(name.get(7..)?.try_into().ok()?);
    let part = filters.entry((window, shard)).or_default();
    insert(part, run, Arc::new(Fuse::decode(value)?)).then_some(())
}
