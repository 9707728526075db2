//! The keeper: takes the cuts of the lanes, stores them, answers reads. A state machine: one step is one small thing on the disk.
//!
//! ```text
//! parts ─> run (memory), checkpoint file (aside)        as they come, each lane its own
//! Store ─> archive steps ─> filters ─> index ─> sync ─> rename ─> sync_names ─> Stored ─> what is superseded goes
//! ```

mod incoming;
mod space;
mod storing;

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError};
use std::time::Duration;

use orderlane_core::{Cold, Sequence, ShardId, Time};
use orderlane_lane::{ArchiveMetrics, Directory, Wake};

use crate::archive::{Archive, ArchiveError, Progress};
use crate::backup::{Backup, BackupReport};
use crate::checkpoints::Checkpoints;
use crate::filters::ShardFilters;
use crate::limits::{RETAIN_MICROS, WAKE_MICROS};
use crate::message::{FromKeeper, Query, ToKeeper};
use crate::store::Store;

use incoming::Incoming;
use storing::Storing;

pub use space::{DiskLimits, DiskSpace, OsSpace, Space};

/// How the keeper reaches a lane.
pub struct LaneLink {
    /// Its messages.
    pub sender: Sender<FromKeeper>,
    /// Wakes it after one.
    pub wake: Arc<dyn Wake>,
    /// Its shards, in the lane's order.
    pub shards: Vec<ShardId>,
}

/// The journal of older runs: it goes when no start needs it any more.
#[derive(Clone, Debug, Default)]
pub struct OldSegments {
    /// The files, in the order in which they may go.
    pub names: Vec<String>,
    /// For every shard the last event that they hold: where this run has started.
    pub starts: Vec<(ShardId, Sequence)>,
}

/// What a keeper is made of.
pub struct KeeperOptions<S, D> {
    /// Opened and checked.
    pub archive: Archive<S>,
    /// Loaded, and every shard's newest image read.
    pub checkpoints: Checkpoints<D>,
    /// The number of this run of the process.
    pub run: u32,
    /// What the lanes send.
    pub receiver: Receiver<ToKeeper>,
    /// The lanes, by their numbers.
    pub lanes: Vec<LaneLink>,
    /// The journal of older runs.
    pub old_segments: OldSegments,
    /// What the disk keeps free.
    pub disk: DiskLimits,
    /// Measures it.
    pub space: Box<dyn Space>,
    /// What it counts.
    pub metrics: Arc<ArchiveMetrics>,
}

/// Why the keeper stores no more cuts.
#[derive(Debug)]
pub enum KeeperError {
    /// The archive.
    Archive(ArchiveError),
    /// A file.
    Io {
        /// What was being done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl fmt::Display for KeeperError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeeperError::Archive(error) => write!(f, "the archive: {error}"),
            KeeperError::Io { action, path, source } => write!(f, "{action} {}: {source}", path.display()),
        }
    }
}

impl std::error::Error for KeeperError {}

impl From<ArchiveError> for KeeperError {
    fn from(error: ArchiveError) -> KeeperError {
        KeeperError::Archive(error)
    }
}

/// Wakes a lane when the keeper is gone, so that it does not wait for an answer.
struct WakeAtEnd(Arc<dyn Wake>);

impl Drop for WakeAtEnd {
    fn drop(&mut self) {
        self.0.wake();
    }
}

struct Lane {
    /// Goes first: the lane that is woken next finds nobody at the other end.
    sender: Sender<FromKeeper>,
    wake: WakeAtEnd,
    shards: Vec<ShardId>,
    incoming: Option<Incoming>,
}

impl Lane {
    /// False: the lane has ended, and needs no answer.
    fn tell(&self, message: FromKeeper) -> bool {
        let is_there = self.sender.send(message).is_ok();
        self.wake.0.wake();
        is_there
    }
}

/// See the module. One thread drives it: [`Keeper::step`] until there is no more, [`Keeper::tick`] now and then.
pub struct Keeper<S: Store, D: Directory> {
    archive: Archive<S>,
    checkpoints: Checkpoints<D>,
    run: u32,
    receiver: Receiver<ToKeeper>,
    reads: VecDeque<(u16, Vec<(usize, Query)>)>,
    messages: VecDeque<ToKeeper>,
    lanes: Vec<Lane>,
    /// Whole cuts that wait their turn, by lane.
    whole: VecDeque<u16>,
    storing: Option<Storing>,
    /// The archive may have something of its own to do.
    archive_busy: bool,
    removals: VecDeque<String>,
    old: OldSegments,
    names_unsynced: bool,
    disk: DiskLimits,
    space: Box<dyn Space>,
    metrics: Arc<ArchiveMetrics>,
    now: Time,
    /// When the last read began, until the clock is looked at again.
    read_begun: Option<Time>,
    shed: bool,
    backup: Option<Backup>,
    failed: bool,
    next_space: Time,
    next_retain: Time,
    next_wake: Time,
}

impl<S: Store, D: Directory> Keeper<S, D> {
    /// A keeper. Lanes get their first filters from [`Keeper::filters`].
    #[must_use]
    pub fn new(options: KeeperOptions<S, D>) -> Keeper<S, D> {
        // Lanes begin with these: `filters`.
        let mut archive = options.archive;
        let _ = archive.filters_changed();
        let lane = |link: LaneLink| Lane {
            sender: link.sender,
            wake: WakeAtEnd(link.wake),
            shards: link.shards,
            incoming: None,
        };
        let lanes = options.lanes.into_iter().map(lane).collect();
        let keeper = Keeper {
            archive,
            checkpoints: options.checkpoints,
            run: options.run,
            receiver: options.receiver,
            reads: VecDeque::new(),
            messages: VecDeque::new(),
            lanes,
            whole: VecDeque::new(),
            storing: None,
            archive_busy: false,
            removals: VecDeque::new(),
            old: options.old_segments,
            names_unsynced: false,
            disk: options.disk,
            space: options.space,
            metrics: options.metrics,
            now: Time(0),
            read_begun: None,
            shed: false,
            backup: None,
            failed: false,
            next_space: Time(0),
            next_retain: Time(0),
            next_wake: Time(0),
        };
        keeper.show_figures();
        keeper
    }

    /// The filters that a lane begins with, one for each of its shards.
    #[must_use]
    pub fn filters(&self, lane: u16) -> Vec<(ShardId, Arc<ShardFilters>)> {
        let lane = &self.lanes[usize::from(lane)];
        lane.shards.iter().map(|shard| (*shard, self.archive.filters(*shard))).collect()
    }

    /// Whether cuts are stored no more.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.failed
    }

    /// Does one small thing; reads come first. False: nothing is left to do.
    ///
    /// # Errors
    /// Why no cut is stored any more; all lanes have been told. Reads are still answered by further steps.
    pub fn step(&mut self, now: Time) -> Result<bool, KeeperError> {
        self.see(now);
        self.receive();
        if let Some((lane, queries)) = self.reads.pop_front() {
            self.read(lane, queries);
            return Ok(true);
        }
        self.work().inspect_err(|error| self.fail(error))
    }

    /// Waits for a message, at most as long as this. False: none will ever come.
    pub(crate) fn wait(&mut self, at_most: Duration) -> bool {
        match self.receiver.recv_timeout(at_most) {
            Ok(message) => self.accept(message),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return false,
        }
        true
    }

    /// Looks at the clock: retention, free space, lanes that sleep.
    pub fn tick(&mut self, now: Time) {
        self.see(now);
        if now >= self.next_space {
            self.next_space = now.after_micros(crate::limits::SPACE_MICROS);
            self.watch_space();
        }
        if now >= self.next_wake {
            self.next_wake = now.after_micros(if self.shed { crate::limits::CUT_SHED_MICROS } else { WAKE_MICROS });
            self.lanes.iter().for_each(|lane| lane.wake.0.wake());
        }
        if now >= self.next_retain && !self.failed {
            self.next_retain = now.after_micros(RETAIN_MICROS);
            self.archive.retain(now);
            self.archive_busy = true;
        }
    }

    /// Asks for a copy of the data directory as the new directory `target`; `done` hears how it went.
    pub fn request_backup(&mut self, target: PathBuf, done: Sender<Result<BackupReport, String>>) {
        self.accept(ToKeeper::Backup { target, done });
    }

    /// The data directory.
    pub(crate) fn path(&self) -> &std::path::Path {
        self.checkpoints.directory().path()
    }

    /// Gives the lanes that have ended.
    pub(crate) fn tell_all(&self, message: fn() -> FromKeeper) -> BTreeSet<u16> {
        let gone = self.lanes.iter().enumerate().filter(|(_, lane)| !lane.tell(message()));
        gone.map(|(lane, _)| lane as u16).collect()
    }

    pub(crate) fn put_backup(&mut self, backup: Backup) {
        self.backup = Some(backup);
    }

    pub(crate) fn take_backup(&mut self) -> Option<Backup> {
        self.backup.take()
    }

    /// The clock is asked outside, before every step: the read before has taken until then.
    fn see(&mut self, now: Time) {
        if let Some(begun) = self.read_begun.take() {
            self.metrics.read_micros.record(now.micros_since(begun));
        }
        self.now = now;
    }

    fn receive(&mut self) {
        loop {
            match self.receiver.try_recv() {
                Ok(message) => self.accept(message),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => return,
            }
        }
    }

    fn accept(&mut self, message: ToKeeper) {
        match message {
            ToKeeper::Read { lane, queries } => self.reads.push_back((lane, queries)),
            other => self.messages.push_back(other),
        }
    }

    /// What cannot be read is answered as such, never as absent: a retry of an old key would place its order again.
    fn read(&mut self, lane: u16, queries: Vec<(usize, Query)>) {
        self.read_begun = Some(self.now);
        let mut found = Vec::with_capacity(queries.len());
        for (place, query) in queries {
            match self.archive.read(&query, self.now) {
                Ok(Some(cold)) => found.push((place, cold)),
                Ok(None) => {}
                Err(error) => {
                    tracing::error!(lane, %error, "the archive cannot be read");
                    found.push((place, Cold::Unavailable));
                }
            }
        }
        self.lanes[usize::from(lane)].tell(FromKeeper::Found(found));
    }

    fn show_figures(&self) {
        let (figures, metrics) = (self.archive.figures(), &self.metrics);
        let micros = |time: Option<Time>| time.map_or(0, |time| time.0);
        for (cell, value) in [
            (&metrics.orders, figures.orders),
            (&metrics.order_bytes, figures.bytes),
            (&metrics.orders_oldest_micros, micros(figures.oldest)),
            (&metrics.keys, figures.keys),
            (&metrics.keys_oldest_micros, micros(figures.oldest_key)),
            (&metrics.windows, figures.windows),
            (&metrics.checkpoint_bytes, self.checkpoints.bytes_of_all()),
        ] {
            cell.set(value);
        }
    }

    fn work(&mut self) -> Result<bool, KeeperError> {
        if let Some(message) = self.messages.pop_front() {
            self.handle(message)?;
            return Ok(true);
        }
        if self.storing.is_some() {
            self.store_step()?;
            return Ok(true);
        }
        if self.backup.is_some() {
            return Ok(self.backup_step());
        }
        if self.failed {
            return Ok(false);
        }
        if let Some(lane) = self.whole.pop_front() {
            self.begin_storing(lane);
            return Ok(true);
        }
        if self.archive_busy {
            self.archive_busy = self.archive.step()? != Progress::Idle;
            if !self.archive_busy {
                self.show_figures();
            }
            self.send_filters();
            return Ok(true);
        }
        self.tidy()
    }

    /// Removes files that no start needs any more, one a step.
    fn tidy(&mut self) -> Result<bool, KeeperError> {
        let directory = self.checkpoints.directory();
        if self.names_unsynced {
            let failed = io_error("syncing", directory.path().to_owned());
            directory.sync_names().map_err(failed)?;
            self.names_unsynced = false;
            return Ok(true);
        }
        let covered = |(shard, start): &(ShardId, Sequence)| self.checkpoints.covered(*shard) >= *start;
        let superseded = self.removals.pop_front();
        let name = match superseded {
            Some(name) => name,
            // An older segment never comes back without the newer ones: the names are synced between.
            None if !self.old.names.is_empty() && self.old.starts.iter().all(covered) => {
                self.names_unsynced = true;
                self.old.names.remove(0)
            }
            None => return Ok(false),
        };
        match directory.remove(&name) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(true),
            result => result.map(|()| true).map_err(io_error("removing", directory.path().join(&name))),
        }
    }

    fn send_filters(&mut self) {
        let changed = self.archive.filters_changed();
        for lane in self.lanes.iter().filter(|_| !changed.is_empty()) {
            let own = lane.shards.iter().filter(|shard| changed.contains(shard));
            let filters: Vec<_> = own.map(|shard| (*shard, self.archive.filters(*shard))).collect();
            if !filters.is_empty() {
                lane.tell(FromKeeper::Filters(filters));
            }
        }
    }

    fn fail(&mut self, error: &KeeperError) {
        if self.failed {
            return;
        }
        tracing::error!(%error, "the keeper has failed: memory and journal grow until the next start");
        self.failed = true;
        // What was written so far is for nothing, and the journal may need the room.
        let directory = self.checkpoints.directory();
        let storing = self.storing.take().map(|storing| storing.unfinished());
        let incoming = self.lanes.iter_mut().filter_map(|lane| lane.incoming.take()).map(|cut| cut.writer.unfinished());
        for name in storing.into_iter().chain(incoming) {
            let _ = directory
                .remove(&name)
                .inspect_err(|error| tracing::warn!(%error, name, "an unfinished checkpoint stays"));
        }
        self.whole.clear();
        for lane in &mut self.lanes {
            lane.tell(FromKeeper::Failed);
        }
    }
}

fn io_error(action: &'static str, path: PathBuf) -> impl FnOnce(std::io::Error) -> KeeperError {
    move |source| KeeperError::Io { action, path, source }
}
