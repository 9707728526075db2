//! The files as a start sees them: at once, and with the faults of reading.

use std::cell::{Cell, RefCell};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use orderlane_journal::{Directory, SegmentName};

use crate::faults::Fault;

use super::SimDisk;
use super::contents::Contents;
use super::handle::error;
use super::names::{FileId, NameChange};
use super::state::{Flight, State};

/// What a read is misdirected by: a block of another place comes.
const BLOCK_BYTES: usize = 4096;

/// What the names of checkpoints end with.
const CHECKPOINT_SUFFIX: &str = ".ckp";
/// What stands for the directory itself where a file is named.
const NAMES: &str = ".";

/// A fault of one read: the next start reads right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultMet {
    /// [`Fault::ReadError`], [`Fault::StaleRead`], [`Fault::MisdirectedRead`], or [`Fault::SyncError`] for a sync.
    pub fault: Fault,
    /// The file.
    pub name: String,
    /// Where the first wrong byte is; 0 for an error.
    pub offset: u64,
    /// Bytes from there to the last wrong one, or to the end of the file when it seemed shorter.
    pub bytes: u64,
}

/// The files for one start. Cheap to clone; the clones share [`SimDirectory::faults_met`].
#[derive(Clone)]
pub struct SimDirectory {
    disk: SimDisk,
    process: u64,
    path: PathBuf,
    met: Rc<RefCell<Vec<FaultMet>>>,
    /// For the keeper: its changes of names fail, too. A start that cannot make its names durable says so of no file.
    is_keepers: Rc<Cell<bool>>,
}

impl SimDirectory {
    pub(super) fn new(disk: SimDisk, process: u64, is_keepers: bool) -> SimDirectory {
        let is_keepers = Rc::new(Cell::new(is_keepers));
        SimDirectory { disk, process, path: PathBuf::from("disk"), met: Rc::default(), is_keepers }
    }

    /// The start is over: from now on it is the keeper who uses this directory.
    pub fn give_to_keeper(&self) {
        self.is_keepers.set(true);
    }

    /// What this start has met so far: it must refuse, or recover exactly what is there.
    #[must_use]
    pub fn faults_met(&self) -> Vec<FaultMet> {
        self.met.borrow().clone()
    }

    /// Does an operation, unless everything stops with it: then what it changes is in flight.
    fn operate<T>(
        &self,
        what: &str,
        change: impl FnOnce(&mut State) -> Option<Flight>,
        mutating: bool,
        act: impl FnOnce(&mut State) -> io::Result<T>,
    ) -> io::Result<T> {
        self.disk.sim().note(what, &[]);
        let mut state = self.disk.state_mut();
        self.alive(&state)?;
        state.submit(mutating);
        if state.stopped {
            if let Some(change) = change(&mut state) {
                let flight = state.number();
                state.flights.insert(flight, change);
            }
            return Err(io::Error::other("the simulated machine stops here"));
        }
        act(&mut state)
    }

    /// An error unless the process may still use the disk.
    pub(super) fn alive(&self, state: &State) -> io::Result<()> {
        let alive = state.is_alive(self.process);
        if alive { Ok(()) } else { Err(io::Error::other("the simulated machine has stopped")) }
    }

    /// An operation on this file has failed.
    pub(super) fn fail(&self, fault: Fault, name: &str) -> io::Error {
        self.meet(fault, name, 0, 0);
        error(fault)
    }

    fn draw(&self, state: &mut State, fault: Fault, name: &str) -> io::Result<()> {
        let happens = self.disk.sim().faults().draw(fault, &mut state.random);
        if happens { Err(self.fail(fault, name)) } else { Ok(()) }
    }

    fn meet(&self, fault: Fault, name: &str, offset: usize, bytes: usize) {
        self.disk.sim().note("disk-start-fault", &[fault as u64, offset as u64, bytes as u64]);
        self.disk.sim().faults().observed(fault);
        if self.is_keepers.get() && fault.fails_lanes() {
            self.disk.0.keeper_errors.set(self.disk.0.keeper_errors.get() + 1);
        }
        let met = FaultMet { fault, name: name.to_owned(), offset: offset as u64, bytes: bytes as u64 };
        self.met.borrow_mut().push(met);
    }

    /// Whether a wrong read, with those before it in this start, would hide what is to be spared.
    fn hides_spared(&self, state: &State, file: FileId, range: Range<usize>) -> bool {
        let met = self.met.borrow();
        let earlier = met.iter().filter(|met| met.bytes > 0).filter_map(|met| {
            let from = met.offset as usize;
            Some((state.find(&met.name).ok()?, from..from + met.bytes as usize))
        });
        state.hides_spared(&earlier.chain([(file, range)]).collect::<Vec<_>>())
    }

    /// What a read of a segment gives instead of `right`, which starts at `offset` of the file.
    fn wrong(&self, state: &mut State, name: &str, offset: usize, right: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let faults = self.disk.sim().faults();
        if !can_rot(name) || !faults.is_active() {
            return Ok(None);
        }
        if faults.draw(Fault::ReadError, &mut state.random) {
            self.meet(Fault::ReadError, name, 0, 0);
            return Err(error(Fault::ReadError));
        }
        let file = state.find(name)?;
        for (fault, found) in [
            (Fault::StaleRead, stale(state, faults.is_on(Fault::StaleRead), file, offset, right.len())),
            (Fault::MisdirectedRead, misdirected(state, faults.is_on(Fault::MisdirectedRead), right)),
        ] {
            let Some((from, to)) = found.as_deref().and_then(|found| difference(found, right)) else { continue };
            if state.random.chance(self.disk.sim().faults().per_mille(fault))
                && !self.hides_spared(state, file, offset + from..offset + to)
            {
                faults.injected(fault);
                self.meet(fault, name, offset + from, to - from);
                return Ok(found);
            }
        }
        Ok(None)
    }
}

impl Directory for SimDirectory {
    fn path(&self) -> &Path {
        &self.path
    }

    fn names(&self) -> io::Result<Vec<String>> {
        self.operate("disk-start-names", nothing, false, |state| {
            if std::mem::take(&mut state.names_lost) {
                self.disk.sim().faults().observed(Fault::NamesLost);
            }
            Ok(state.names.now().keys().cloned().collect())
        })
    }

    fn length(&self, name: &str) -> io::Result<u64> {
        self.operate("disk-start-length", nothing, false, |state| {
            let file = state.find(name)?;
            Ok(state.file(file).readable().len() as u64)
        })
    }

    fn read(&self, name: &str, offset: u64, bytes_max: usize, buffer: &mut Vec<u8>) -> io::Result<()> {
        self.operate("disk-start-read", nothing, false, |state| {
            let (file, from) = (state.find(name)?, offset as usize);
            let right = slice(state.file(file).readable(), from, bytes_max).to_vec();
            let read = self.wrong(state, name, from, &right)?.unwrap_or(right);
            let met = state.take_scars(file, &(from..from + read.len()));
            met.into_iter().for_each(|fault| self.disk.sim().faults().observed(fault));
            buffer.extend_from_slice(&read);
            Ok(())
        })
    }

    fn sync(&self, name: &str) -> io::Result<()> {
        self.operate("disk-start-sync", nothing, true, |state| {
            let file = state.find(name)?;
            let covered = state.file(file).completed();
            if !covered.is_empty() && self.disk.sim().faults().draw(Fault::SyncError, &mut state.random) {
                state.file(file).lose(&covered);
                self.meet(Fault::SyncError, name, 0, 0);
                return Err(error(Fault::SyncError));
            }
            state.file(file).sync(&covered);
            Ok(())
        })
    }

    fn forget_cached(&self, name: &str) -> io::Result<()> {
        self.operate("disk-start-forget", nothing, false, |state| {
            let file = state.find(name)?;
            state.file(file).evict(|| true);
            Ok(())
        })
    }

    fn sync_names(&self) -> io::Result<()> {
        self.operate("disk-start-sync-names", nothing, true, |state| {
            let covered = state.names.completed();
            if self.is_keepers.get() && state.names.unsynced() > 0 {
                self.draw(state, Fault::SyncError, NAMES)?;
            }
            state.names.sync(covered);
            Ok(())
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let change = NameChange::Remove(name.to_owned());
        let flight = Flight::Names(change.clone());
        self.operate(
            "disk-start-remove",
            |_| Some(flight),
            true,
            |state| {
                if self.is_keepers.get() {
                    self.draw(state, Fault::CreateError, name)?;
                }
                state.find(name)?;
                state.names.change(change);
                Ok(())
            },
        )
    }

    fn create(&self, name: &str) -> io::Result<()> {
        let create = |state: &mut State| {
            let file = state.number();
            state.files.insert(file, Contents::default());
            NameChange::Create(name.to_owned(), file)
        };
        let flight = |state: &mut State| state.find(name).is_err().then(|| Flight::Names(create(state)));
        self.operate("disk-start-create", flight, true, |state| {
            self.draw(state, Fault::NoSpace, name)?;
            self.draw(state, Fault::CreateError, name)?;
            if state.find(name).is_ok() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            let change = create(state);
            state.names.change(change);
            Ok(())
        })
    }

    fn append(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let end = |state: &mut State| {
            let file = state.find(name)?;
            io::Result::Ok((file, state.file(file).readable().len()))
        };
        let flight = |state: &mut State| {
            let (file, offset) = end(state).ok()?;
            Some(Flight::Write { file, offset, bytes: bytes.to_vec() })
        };
        self.operate("disk-start-append", flight, true, |state| {
            let (file, offset) = end(state)?;
            let fault = if self.disk.fits(state, file, offset, bytes.len()) {
                let faults = self.disk.sim().faults();
                [Fault::NoSpace, Fault::WriteError].into_iter().find(|fault| faults.draw(*fault, &mut state.random))
            } else {
                Some(Fault::NoSpace)
            };
            let kept = if fault.is_some() { state.random.index(bytes.len() + 1) } else { bytes.len() };
            let flight = state.number();
            state.land(flight, file, offset, bytes[..kept].to_vec());
            state.file(file).complete(flight);
            fault.map_or(Ok(()), |fault| Err(self.fail(fault, name)))
        })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let change = NameChange::Rename(from.to_owned(), to.to_owned());
        let flight = Flight::Names(change.clone());
        self.operate(
            "disk-start-rename",
            |_| Some(flight),
            true,
            |state| {
                self.draw(state, Fault::CreateError, from)?;
                state.find(from)?;
                state.names.change(change);
                Ok(())
            },
        )
    }
}

/// What an operation that changes nothing leaves in flight.
fn nothing(_: &mut State) -> Option<Flight> {
    None
}

/// Files in which a wrong byte must be found: segments and checkpoints.
pub(super) fn can_rot(name: &str) -> bool {
    SegmentName::parse(name).is_some() || is_checkpoint(name)
}

/// Whether this is the name of a whole checkpoint.
pub(super) fn is_checkpoint(name: &str) -> bool {
    name.ends_with(CHECKPOINT_SUFFIX)
}

fn slice(bytes: &[u8], offset: usize, bytes_max: usize) -> &[u8] {
    let rest = bytes.get(offset..).unwrap_or_default();
    &rest[..rest.len().min(bytes_max)]
}

/// The bytes of before the last sync.
fn stale(state: &mut State, is_on: bool, file: FileId, offset: usize, bytes_max: usize) -> Option<Vec<u8>> {
    let stale = if is_on { state.file(file).stale()? } else { return None };
    Some(slice(&stale, offset, bytes_max).to_vec())
}

/// The right bytes, and in one of their blocks those of another one of any file.
fn misdirected(state: &mut State, is_on: bool, right: &[u8]) -> Option<Vec<u8>> {
    if !is_on || right.len() < BLOCK_BYTES {
        return None;
    }
    let ids: Vec<FileId> = state.names.now().values().copied().collect();
    let source = *state.random.pick(&ids);
    let blocks = state.file(source).readable().len() / BLOCK_BYTES;
    let from = BLOCK_BYTES * state.random.index(blocks.max(1));
    let to = BLOCK_BYTES * state.random.index(right.len() / BLOCK_BYTES);
    let mut bytes = right.to_vec();
    let block = slice(state.files[&source].readable(), from, BLOCK_BYTES);
    bytes[to..to + block.len()].copy_from_slice(block);
    Some(bytes)
}

/// From the first byte that differs to behind the last one.
fn difference(found: &[u8], right: &[u8]) -> Option<(usize, usize)> {
    let from = found.iter().zip(right).position(|(found, right)| found != right);
    if found.len() != right.len() {
        return Some((from.unwrap_or(found.len().min(right.len())), right.len()));
    }
    let to = found.iter().zip(right).rposition(|(found, right)| found != right)?;
    Some((from?, to + 1))
}
