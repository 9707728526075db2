//! The files as a start sees them: at once, and with the faults of reading.

use std::cell::RefCell;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use orderlane_journal::{Directory, SegmentName};

use crate::faults::Fault;

use super::SimDisk;
use super::handle::error;
use super::names::{FileId, NameChange};
use super::state::{Flight, State};

/// What a read is misdirected by: a block of another place comes.
const BLOCK_BYTES: usize = 4096;

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
}

impl SimDirectory {
    pub(super) fn new(disk: SimDisk, process: u64) -> SimDirectory {
        SimDirectory { disk, process, path: PathBuf::from("disk"), met: Rc::default() }
    }

    /// What this start has met so far: it must refuse, or recover exactly what is there.
    #[must_use]
    pub fn faults_met(&self) -> Vec<FaultMet> {
        self.met.borrow().clone()
    }

    /// Does an operation, unless everything stops with it.
    fn operate<T>(
        &self,
        what: &str,
        change: Option<NameChange>,
        mutating: bool,
        act: impl FnOnce(&mut State) -> io::Result<T>,
    ) -> io::Result<T> {
        self.disk.sim().note(what, &[]);
        let mut state = self.disk.state_mut();
        if !state.is_alive(self.process) {
            return Err(io::Error::other("the simulated machine has stopped"));
        }
        state.submit(mutating);
        if state.stopped {
            if let Some(change) = change {
                let flight = state.number();
                state.flights.insert(flight, Flight::Names(change));
            }
            return Err(io::Error::other("the simulated machine stops here"));
        }
        act(&mut state)
    }

    fn meet(&self, fault: Fault, name: &str, offset: usize, bytes: usize) {
        self.disk.sim().note("disk-start-fault", &[fault as u64, offset as u64, bytes as u64]);
        self.disk.sim().faults().observed(fault);
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
        if SegmentName::parse(name).is_none() || !faults.is_active() {
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
        self.operate("disk-start-names", None, false, |state| {
            if std::mem::take(&mut state.names_lost) {
                self.disk.sim().faults().observed(Fault::NamesLost);
            }
            Ok(state.names.now().keys().cloned().collect())
        })
    }

    fn length(&self, name: &str) -> io::Result<u64> {
        self.operate("disk-start-length", None, false, |state| {
            let file = state.find(name)?;
            Ok(state.file(file).readable().len() as u64)
        })
    }

    fn read(&self, name: &str, offset: u64, bytes_max: usize, buffer: &mut Vec<u8>) -> io::Result<()> {
        self.operate("disk-start-read", None, false, |state| {
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
        self.operate("disk-start-sync", None, true, |state| {
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
        self.operate("disk-start-forget", None, false, |state| {
            let file = state.find(name)?;
            state.file(file).evict(|| true);
            Ok(())
        })
    }

    fn sync_names(&self) -> io::Result<()> {
        self.operate("disk-start-sync-names", None, true, |state| {
            let covered = state.names.completed();
            state.names.sync(covered);
            Ok(())
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let change = NameChange::Remove(name.to_owned());
        self.operate("disk-start-remove", Some(change.clone()), true, |state| {
            state.find(name)?;
            state.names.change(change);
            Ok(())
        })
    }
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
