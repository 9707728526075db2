//! What each operation of a lane does on the disk: what is drawn when it is submitted, and what happens when it completes.

use std::io;

use crate::executor::Promise;
use crate::faults::Fault;

use super::contents::{Contents, SECTOR_BYTES};
use super::handle::{DiskHandle, Met, SimFile, error};
use super::names::{FileId, NameChange};
use super::state::{Flight, State};

/// Microseconds of a write, and of a change of the names.
const WRITE_MICROS: (u64, u64) = (5, 60);
/// Microseconds of a sync.
const SYNC_MICROS: (u64, u64) = (30, 600);
/// Microseconds of a slow sync.
const SLOW_SYNC_MICROS: (u64, u64) = (10_000, 3_000_000);
/// Pieces of a short write, at most.
const PIECES_MAX: u64 = 4;
/// How many operations find the disk full, at most, before there is room again.
const FULL_OPERATIONS_MAX: u64 = 8;

impl DiskHandle {
    /// Whether there is no room for this operation, which may last for a while.
    fn draw_full(&self, state: &mut State) -> bool {
        let faults = self.disk.sim().faults();
        if state.full > 0 && faults.is_on(Fault::NoSpace) {
            state.full -= 1;
            faults.injected(Fault::NoSpace);
            return true;
        }
        let full = self.draw(state, Fault::NoSpace);
        state.full = if full { state.random.below(FULL_OPERATIONS_MAX) } else { 0 };
        full
    }

    pub(super) fn start_create(&self, name: String) -> Option<Promise<Met<SimFile>>> {
        let handle = self.clone();
        let plan = move |state: &mut State| {
            let micros = between(state, WRITE_MICROS);
            let fault = if handle.draw_full(state) {
                Some(Fault::NoSpace)
            } else {
                handle.draw(state, Fault::CreateError).then_some(Fault::CreateError)
            };
            let file = state.number();
            if fault.is_none() && state.find(&name).is_err() {
                state.files.insert(file, Contents::default());
                state.flights.insert(file, Flight::Names(NameChange::Create(name.clone(), file)));
            }
            (micros, (name, file, fault))
        };
        self.submit("disk-create", &[], plan, |state, (name, file, fault)| {
            state.flights.remove(&file);
            if let Some(fault) = fault {
                return (Err(error(fault)), Some(fault));
            }
            if state.find(&name).is_ok() {
                return (Err(io::ErrorKind::AlreadyExists.into()), None);
            }
            state.names.change(NameChange::Create(name, file));
            (Ok(SimFile(file)), None)
        })
    }

    /// Nothing changes; but a recycled file is opened between two changes, and the machine may stop there, too.
    pub(super) fn start_open(&self, name: String) -> Option<Promise<Met<SimFile>>> {
        let handle = self.clone();
        let plan = move |state: &mut State| {
            let micros = between(state, WRITE_MICROS);
            let fails = handle.draw(state, Fault::CreateError);
            (micros, (name, fails))
        };
        self.submit("disk-open", &[], plan, |state, (name, fails)| {
            if fails {
                return (Err(error(Fault::CreateError)), Some(Fault::CreateError));
            }
            (state.find(&name).map(SimFile), None)
        })
    }

    pub(super) fn start_remove(&self, name: String) -> Option<Promise<Met<()>>> {
        let handle = self.clone();
        let plan = move |state: &mut State| {
            let micros = between(state, WRITE_MICROS);
            let fails = handle.draw(state, Fault::CreateError);
            let flight = state.number();
            if !fails {
                state.flights.insert(flight, Flight::Names(NameChange::Remove(name.clone())));
            }
            (micros, (name, flight, fails))
        };
        self.submit("disk-remove", &[], plan, |state, (name, flight, fails)| {
            state.flights.remove(&flight);
            if fails {
                return (Err(error(Fault::CreateError)), Some(Fault::CreateError));
            }
            let found = state.find(&name).map(|_| ());
            if found.is_ok() {
                state.names.change(NameChange::Remove(name));
            }
            (found, None)
        })
    }

    pub(super) fn start_write(&self, file: FileId, offset: u64, bytes: &[u8]) -> Option<Promise<Met<()>>> {
        let (handle, mut rest, offset) = (self.clone(), bytes.to_vec(), offset as usize);
        let plan = move |state: &mut State| {
            let flight = state.number();
            let fits = handle.disk.fits(state, file, offset, rest.len());
            let fault = if fits { handle.draw_write_fault(state) } else { Some(Fault::NoSpace) };
            let mut micros = between(state, WRITE_MICROS);
            if let Some(Fault::NoSpace | Fault::WriteError) = fault {
                rest.truncate(state.random.index(rest.len() / SECTOR_BYTES + 1) * SECTOR_BYTES);
            }
            if fault == Some(Fault::ShortWrite) {
                for _ in 0..state.random.between(1, PIECES_MAX) {
                    let sectors = state.random.index(rest.len() / SECTOR_BYTES + 1);
                    handle.land_later(micros, flight, sectors * SECTOR_BYTES);
                    micros += between(state, WRITE_MICROS);
                }
            }
            state.flights.insert(flight, Flight::Write { file, offset, bytes: rest });
            (micros, (flight, fault))
        };
        self.submit("disk-write", &[file, offset as u64, bytes.len() as u64], plan, move |state, (flight, fault)| {
            if let Some(Flight::Write { file, offset, bytes }) = state.flights.remove(&flight) {
                state.land(flight, file, offset, bytes);
            }
            state.file(file).complete(flight);
            match fault {
                Some(fault @ (Fault::NoSpace | Fault::WriteError)) => (Err(error(fault)), Some(fault)),
                fault => (Ok(()), fault),
            }
        })
    }

    fn draw_write_fault(&self, state: &mut State) -> Option<Fault> {
        if self.draw_full(state) {
            return Some(Fault::NoSpace);
        }
        [Fault::WriteError, Fault::ShortWrite].into_iter().find(|fault| self.draw(state, *fault))
    }

    /// The next `bytes` of a write arrive after a while.
    fn land_later(&self, micros: u64, flight: u64, bytes: usize) {
        let handle = self.clone();
        self.disk.sim().executor().after(micros, move || {
            let mut state = handle.disk.state_mut();
            if !state.is_alive(handle.process) {
                return;
            }
            let Some(Flight::Write { file, offset, bytes: rest }) = state.flights.get_mut(&flight) else { return };
            let (file, at, piece) = (*file, *offset, rest.drain(..bytes.min(rest.len())).collect::<Vec<u8>>());
            *offset += piece.len();
            state.land(flight, file, at, piece);
        });
    }

    /// The time of a sync and the fault that it meets.
    fn plan_sync(&self, state: &mut State) -> (u64, Option<Fault>) {
        let slow = self.draw(state, Fault::SlowSync);
        let micros = between(state, if slow { SLOW_SYNC_MICROS } else { SYNC_MICROS });
        let fails = self.draw(state, Fault::SyncError);
        (micros, if fails { Some(Fault::SyncError) } else { slow.then_some(Fault::SlowSync) })
    }

    pub(super) fn start_sync(&self, file: FileId) -> Option<Promise<Met<()>>> {
        let handle = self.clone();
        let plan = move |state: &mut State| {
            let (micros, fault) = handle.plan_sync(state);
            (micros, (state.file(file).completed(), fault))
        };
        self.submit("disk-sync", &[file], plan, move |state, (covered, fault)| {
            if fault == Some(Fault::SyncError) {
                state.file(file).lose(&covered);
                return (Err(error(Fault::SyncError)), fault);
            }
            state.file(file).sync(&covered);
            (Ok(()), fault)
        })
    }

    pub(super) fn start_rename(&self, from: String, to: String) -> Option<Promise<Met<()>>> {
        let handle = self.clone();
        let plan = move |state: &mut State| {
            let micros = between(state, WRITE_MICROS);
            let fails = handle.draw(state, Fault::CreateError);
            let flight = state.number();
            let change = NameChange::Rename(from.clone(), to);
            if !fails {
                state.flights.insert(flight, Flight::Names(change.clone()));
            }
            (micros, (from, change, flight, fails))
        };
        self.submit("disk-rename", &[], plan, |state, (from, change, flight, fails)| {
            state.flights.remove(&flight);
            if fails {
                return (Err(error(Fault::CreateError)), Some(Fault::CreateError));
            }
            let found = state.find(&from).map(|_| ());
            if found.is_ok() {
                state.names.change(change);
            }
            (found, None)
        })
    }

    pub(super) fn start_sync_directory(&self) -> Option<Promise<Met<()>>> {
        let handle = self.clone();
        let plan = move |state: &mut State| {
            let (micros, fault) = handle.plan_sync(state);
            (micros, (state.names.completed(), fault))
        };
        self.submit("disk-sync-names", &[], plan, |state, (last, fault)| {
            if fault == Some(Fault::SyncError) {
                return (Err(error(Fault::SyncError)), fault);
            }
            state.names.sync(last);
            (Ok(()), fault)
        })
    }
}

fn between(state: &mut State, (low, high): (u64, u64)) -> u64 {
    state.random.between(low, high)
}
