//! The lane's side of the archive: a [`Prefetch`] that probes filters, asks the keeper on a hit, and cuts the lane's shards.

mod cutting;
mod inbox;
mod memory;
mod queries;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::task::Poll;

use orderlane_core::{Cold, Input, Shard, ShardId, Time};
use orderlane_lane::{Commits, Prefetch, Tended};

use crate::filters::ShardFilters;
use crate::limits::{
    CUT_BYTES_FACTOR, CUT_BYTES_MIN, CUT_MICROS_MAX, CUT_ORDERS, CUT_SHED_MICROS, PIECE_BYTES,
    PIECES_WAITING_BYTES_MAX, READ_AGAIN_MAX, SLICE,
};
use crate::message::{FromKeeper, Query, ToKeeper};

use cutting::Cutting;
use inbox::Inbox;
use memory::Memory;

/// When a lane is cut, and in which slices. [`CutLimits::default`] is what a product runs with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CutLimits {
    /// See [`CUT_ORDERS`].
    pub cut_orders: u64,
    /// See [`CUT_BYTES_MIN`].
    pub cut_bytes_min: u64,
    /// See [`CUT_BYTES_FACTOR`].
    pub cut_bytes_factor: u64,
    /// See [`CUT_MICROS_MAX`].
    pub cut_micros_max: u64,
    /// See [`CUT_SHED_MICROS`].
    pub cut_shed_micros: u64,
    /// See [`SLICE`].
    pub slice: usize,
    /// See [`PIECE_BYTES`].
    pub piece_bytes: usize,
    /// See [`PIECES_WAITING_BYTES_MAX`].
    pub pieces_waiting_bytes_max: usize,
}

impl Default for CutLimits {
    fn default() -> CutLimits {
        CutLimits {
            cut_orders: CUT_ORDERS,
            cut_bytes_min: CUT_BYTES_MIN,
            cut_bytes_factor: CUT_BYTES_FACTOR,
            cut_micros_max: CUT_MICROS_MAX,
            cut_shed_micros: CUT_SHED_MICROS,
            slice: SLICE,
            piece_bytes: PIECE_BYTES,
            pieces_waiting_bytes_max: PIECES_WAITING_BYTES_MAX,
        }
    }
}

/// What an archivist is made of. It is made on its lane's thread.
pub struct ArchivistOptions {
    /// The lane.
    pub lane: u16,
    /// When it is cut.
    pub limits: CutLimits,
    /// To the keeper.
    pub sender: Sender<ToKeeper>,
    /// From the keeper.
    pub receiver: Receiver<FromKeeper>,
    /// [`crate::Keeper::filters`] of the lane.
    pub filters: Vec<(ShardId, Arc<ShardFilters>)>,
    /// [`crate::Checkpoints::bytes`] of the lane's shards.
    pub checkpoint_bytes: u64,
    /// The replayed tail was long: the first cut comes at once.
    pub first_cut_soon: bool,
}

/// See the module.
pub struct Archivist {
    inbox: Rc<RefCell<Inbox>>,
    sender: Sender<ToKeeper>,
    lane: u16,
    filters: Vec<(ShardId, Arc<ShardFilters>)>,
    cutting: Cutting,
    /// A read is in flight, so inputs that were looked up in memory wait: nothing may leave it.
    reading: bool,
    hold: Hold,
}

/// Whether commits wait for a copy of the data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hold {
    No,
    /// Wanted, one may still be in flight.
    Wanted,
    /// None is in flight, and the keeper knows.
    Told,
}

impl Archivist {
    /// The archivist of a lane.
    #[must_use]
    pub fn new(options: ArchivistOptions) -> Archivist {
        Archivist {
            inbox: Rc::new(RefCell::new(Inbox::new(options.receiver))),
            cutting: Cutting::new(
                options.lane,
                options.limits,
                options.sender.clone(),
                options.checkpoint_bytes,
                options.first_cut_soon,
            ),
            sender: options.sender,
            lane: options.lane,
            filters: options.filters,
            reading: false,
            hold: Hold::No,
        }
    }

    fn read<M: Memory>(
        &mut self,
        inputs: &VecDeque<(ShardId, Input)>,
        shards: &[M],
    ) -> Option<impl Future<Output = Vec<(usize, Cold)>> + 'static> {
        let queries = queries::queries(inputs, shards, &self.filters);
        if queries.is_empty() {
            return None;
        }
        self.reading = true;
        let is_outcome = |place: usize| matches!(inputs[place].1, Input::Outcome { .. });
        let outcomes: Vec<(usize, Query)> = queries.iter().filter(|(place, _)| is_outcome(*place)).cloned().collect();
        let places: Vec<usize> = queries.iter().map(|(place, _)| *place).collect();
        if self.sender.send(ToKeeper::Read { lane: self.lane, queries }).is_err() {
            self.inbox.borrow_mut().gone = true;
        }
        let (inbox, sender, lane) = (self.inbox.clone(), self.sender.clone(), self.lane);
        let (mut kept, mut tries) = (Vec::new(), 0);
        // The keeper wakes the lane after its answer, and the lane then polls this again: no waker is needed.
        Some(std::future::poll_fn(move |_| {
            let inbox = &mut *inbox.borrow_mut();
            inbox.receive();
            match inbox.found.take() {
                Some(found) => {
                    // Nobody tells again of late money: an error of the disk that may pass is not taken for an answer.
                    let is_lost = |place: usize, cold: &Cold| {
                        matches!(cold, Cold::Unavailable) && outcomes.iter().any(|(own, _)| *own == place)
                    };
                    let lost: Vec<usize> =
                        found.iter().filter(|(place, cold)| is_lost(*place, cold)).map(|(place, _)| *place).collect();
                    tries += 1;
                    if lost.is_empty() || tries > READ_AGAIN_MAX {
                        kept.extend(found);
                        kept.sort_by_key(|(place, _)| *place);
                        return Poll::Ready(std::mem::take(&mut kept));
                    }
                    kept.extend(found.into_iter().filter(|(place, _)| !lost.contains(place)));
                    let queries = outcomes.iter().filter(|(place, _)| lost.contains(place)).cloned().collect();
                    if sender.send(ToKeeper::Read { lane, queries }).is_err() {
                        inbox.gone = true;
                    }
                    Poll::Pending
                }
                None if inbox.gone => {
                    tracing::error!("the keeper is gone: what is not in memory is refused");
                    Poll::Ready(places.iter().map(|place| (*place, Cold::Unavailable)).collect())
                }
                None => Poll::Pending,
            }
        }))
    }

    fn keep_house<M: Memory>(&mut self, now: Time, shards: &mut [M], commits: Commits) -> Tended {
        self.take_messages(shards);
        if self.hold == Hold::Wanted && !commits.in_flight {
            self.hold = Hold::Told;
            // A keeper that is gone releases: see `take_messages`.
            let _ = self.sender.send(ToKeeper::Held { lane: self.lane });
        }
        let mut tended = self.cutting.tend(now, shards, commits, !self.reading);
        tended.more |= self.reading && self.inbox.borrow().found.is_some();
        tended
    }

    fn take_messages<M: Memory>(&mut self, shards: &mut [M]) {
        let inbox = &mut *self.inbox.borrow_mut();
        inbox.receive();
        for message in inbox.kept.drain(..) {
            match message {
                FromKeeper::Found(_) => unreachable!("kept apart"),
                FromKeeper::Stored { cut, covered, checkpoint_bytes } => {
                    self.cutting.stored(cut, covered, checkpoint_bytes);
                }
                FromKeeper::Filters(filters) => {
                    for (shard, new) in filters {
                        let own = self.filters.iter_mut().find(|(own, _)| *own == shard);
                        own.expect("filters are of the lane's shards").1 = new;
                    }
                }
                FromKeeper::Shed(on) => {
                    shards.iter_mut().for_each(|shard| shard.shed(on));
                    self.cutting.shed(on);
                }
                // It may be said again until all lanes have answered.
                FromKeeper::Hold if self.hold == Hold::No => self.hold = Hold::Wanted,
                FromKeeper::Hold => {}
                FromKeeper::Release => self.hold = Hold::No,
                FromKeeper::Failed => self.cutting.fail(),
            }
        }
        if inbox.gone {
            self.hold = Hold::No;
            self.cutting.fail();
        }
    }
}

impl Prefetch for Archivist {
    type Found = Vec<(usize, Cold)>;

    fn start(
        &mut self,
        inputs: &VecDeque<(ShardId, Input)>,
        shards: &[Shard],
    ) -> Option<impl Future<Output = Self::Found> + 'static> {
        self.read(inputs, shards)
    }

    fn finish(&mut self, found: Self::Found) -> Vec<(usize, Cold)> {
        self.reading = false;
        found
    }

    fn tend(&mut self, now: Time, shards: &mut [Shard], commits: Commits) -> Tended {
        self.keep_house(now, shards, commits)
    }

    fn holds_commits(&self) -> bool {
        self.hold != Hold::No
    }
}
