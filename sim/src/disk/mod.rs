//! A disk in memory that outlives crashes. It keeps apart what is durable, what is only written and what is under way, so that
//! each crash leaves what a real one might.
//!
//! ```text
//! submitted ──► in flight ──► in the cache (readers see it) ──► durable
//!               kill: whole, a part or nothing    kill: stays    stays, unless it rots
//!               power: as the cache               power: kept, dropped, torn, trashed, reordered
//! ```
//! A sync makes durable exactly the writes that were complete when it was submitted. A failed one leaves them visible and
//! clean: no later sync writes them.

mod contents;
mod copy;
mod crash;
mod directory;
pub(crate) mod frames;
mod handle;
mod names;
mod operations;
mod rot;
mod space;
mod state;
mod store;
#[cfg(test)]
mod tests;

use orderlane_archive::MemoryStore;
use std::cell::{Cell, Ref, RefCell, RefMut};
use std::collections::BTreeMap;
use std::rc::Rc;

pub use copy::FilesCopy;
pub use crash::{Crash, Policy};
pub use directory::{FaultMet, SimDirectory};
pub use handle::{DiskHandle, SimFile};
pub use rot::Rot;
pub use space::Room;
pub use store::SimStore;

use orderlane_journal::Identity;

use crate::executor::Group;
use crate::sim::Sim;

use state::State;

/// The disk of a world. Cheap to clone.
#[derive(Clone)]
pub struct SimDisk(Rc<Inner>);

struct Inner {
    sim: Sim,
    state: RefCell<State>,
    /// Errors of kinds that a lane meets, too, given to keepers so far.
    keeper_errors: Cell<u64>,
}

impl SimDisk {
    /// An empty disk.
    #[must_use]
    pub fn new(sim: &Sim) -> SimDisk {
        let state = RefCell::new(State::new(sim.random("disk")));
        SimDisk(Rc::new(Inner { sim: sim.clone(), state, keeper_errors: Cell::new(0) }))
    }

    /// From now on wrong reads and rot spare what they would hide without a trace: the last acknowledged frame of a lane, when
    /// no marker is behind it. By ADR 0004 nobody can know it from a write that was never acknowledged.
    pub fn spare_tails(&self, identity: Identity) {
        self.state_mut().spared = Some(identity);
    }

    /// The disk of one lane, for as long as the process lives.
    #[must_use]
    pub fn handle(&self, group: Group) -> DiskHandle {
        DiskHandle::new(self.clone(), group, self.state().process)
    }

    /// The files, for the start of the process that lives now.
    #[must_use]
    pub fn directory(&self) -> SimDirectory {
        SimDirectory::new(self.clone(), self.state().process, false)
    }

    /// The files, for the keeper of the process that lives now.
    #[must_use]
    pub fn keeper_directory(&self) -> SimDirectory {
        SimDirectory::new(self.clone(), self.state().process, true)
    }

    /// The archive's store, beside these files: what it meets is told there.
    #[must_use]
    pub fn store(&self, files: SimDirectory) -> SimStore {
        SimStore::new(self.clone(), files)
    }

    /// What the archive's store has, apart from the disk.
    #[must_use]
    pub fn store_copy(&self) -> MemoryStore {
        self.state().store.clone()
    }

    /// How many operations that change something were submitted so far.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// Errors that keepers were given so far, of the kinds that lanes are given, too.
    #[must_use]
    pub fn keeper_errors(&self) -> u64 {
        self.0.keeper_errors.get()
    }

    /// Everything stops when the changing operation with this index has been submitted: see [`SimDisk::crashed`].
    pub fn crash_at(&self, index: u64) {
        self.state_mut().stop_at = Some(index);
    }

    /// Whether what [`SimDisk::crash_at`] asked for is still to come.
    #[must_use]
    pub fn is_to_crash(&self) -> bool {
        self.state().stop_at.is_some()
    }

    /// Everything stops at the `countdown`-th operation of any kind from now on: see [`SimDisk::crashed`].
    pub fn crash_at_start(&self, countdown: u64) {
        self.state_mut().stop_after = Some(countdown.max(1));
    }

    /// The start is over: what [`SimDisk::crash_at_start`] asked for comes no more.
    pub fn start_is_over(&self) {
        self.state_mut().stop_after = None;
    }

    /// Whether everything has stopped as was asked for: it is time for [`SimDisk::crash`].
    #[must_use]
    pub fn crashed(&self) -> bool {
        self.state().stopped
    }

    /// Every file by name, as the machine finds it whose power goes now when nothing that is unsynced survives.
    #[must_use]
    pub fn durable_image(&self) -> BTreeMap<String, Vec<u8>> {
        let state = self.state();
        let read = |(name, file): (&String, &u64)| (name.clone(), state.files[file].durable().to_vec());
        state.names.durable().iter().map(read).collect()
    }

    /// Every file by name, as a reader without faults sees it.
    #[must_use]
    pub fn image(&self) -> BTreeMap<String, Vec<u8>> {
        let state = self.state();
        let read = |(name, file): (&String, &u64)| (name.clone(), state.files[file].readable().to_vec());
        state.names.now().iter().map(read).collect()
    }

    fn sim(&self) -> &Sim {
        &self.0.sim
    }

    fn state(&self) -> Ref<'_, State> {
        self.0.state.borrow()
    }

    fn state_mut(&self) -> RefMut<'_, State> {
        self.0.state.borrow_mut()
    }
}
