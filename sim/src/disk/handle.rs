//! The disk as a lane sees it: every operation takes virtual time, and may fail.

use std::future::{Future, pending};
use std::io;

use orderlane_lane::Disk;

use crate::executor::{Group, Promise, Resolver, promise};
use crate::faults::Fault;

use super::SimDisk;
use super::names::FileId;
use super::state::State;

const EIO: i32 = 5;
const ENOSPC: i32 = 28;

/// The disk of one lane of one process.
#[derive(Clone)]
pub struct DiskHandle {
    pub(super) disk: SimDisk,
    group: Group,
    pub(super) process: u64,
}

/// An open file.
#[derive(Clone)]
pub struct SimFile(pub(super) FileId);

/// What an operation gave, and the fault that its caller met with it.
pub(super) type Met<T> = (io::Result<T>, Option<Fault>);

impl DiskHandle {
    pub(super) fn new(disk: SimDisk, group: Group, process: u64) -> DiskHandle {
        DiskHandle { disk, group, process }
    }

    /// Submits an operation: `plan` looks at the disk now and gives the microseconds that it takes and the fault it meets, then
    /// `complete` does it, unless the process has died by then.
    pub(super) fn submit<T: 'static, P: 'static>(
        &self,
        what: &str,
        numbers: &[u64],
        plan: impl FnOnce(&mut State) -> (u64, P),
        complete: impl FnOnce(&mut State, P) -> T + 'static,
    ) -> Option<Promise<T>> {
        let (micros, plan) = {
            let mut state = self.disk.state_mut();
            if !state.is_alive(self.process) {
                return None;
            }
            state.submit(true);
            plan(&mut state)
        };
        self.note(what, numbers);
        let (resolver, promise) = promise();
        let handle = self.clone();
        let complete = move |state: &mut State| complete(state, plan);
        self.disk.sim().executor().after(micros, move || handle.complete(resolver, complete));
        Some(promise)
    }

    fn complete<T>(&self, resolver: Resolver<T>, complete: impl FnOnce(&mut State) -> T) {
        let value = {
            let mut state = self.disk.state_mut();
            if !state.is_alive(self.process) {
                return;
            }
            complete(&mut state)
        };
        resolver.resolve(value);
    }

    fn note(&self, what: &str, numbers: &[u64]) {
        let numbers: Vec<u64> = [u64::from(self.group.0)].iter().chain(numbers).copied().collect();
        self.disk.sim().note(what, &numbers);
    }

    /// The fault of an operation has reached the engine.
    fn met<T>(&self, (result, fault): Met<T>) -> io::Result<T> {
        if let Some(fault) = fault {
            self.note("disk-met", &[fault as u64]);
            self.disk.sim().faults().observed(fault);
        }
        result
    }

    pub(super) fn draw(&self, state: &mut State, fault: Fault) -> bool {
        self.disk.sim().faults().draw(fault, &mut state.random)
    }
}

impl Disk for DiskHandle {
    type File = SimFile;

    fn create(&self, name: &str) -> impl Future<Output = io::Result<SimFile>> + 'static {
        let (handle, name) = (self.clone(), name.to_owned());
        async move { handle.met(ended(handle.start_create(name)).await) }
    }

    fn write_at(
        &self,
        file: &SimFile,
        offset: u64,
        bytes: Vec<u8>,
    ) -> impl Future<Output = (io::Result<()>, Vec<u8>)> + 'static {
        let (handle, file) = (self.clone(), file.0);
        async move { (handle.met(ended(handle.start_write(file, offset, &bytes)).await), bytes) }
    }

    fn sync(&self, file: &SimFile) -> impl Future<Output = io::Result<()>> + 'static {
        let (handle, file) = (self.clone(), file.0);
        async move { handle.met(ended(handle.start_sync(file)).await) }
    }

    fn open(&self, name: &str) -> impl Future<Output = io::Result<SimFile>> + 'static {
        let (handle, name) = (self.clone(), name.to_owned());
        async move { handle.met(ended(handle.start_open(name)).await) }
    }

    fn remove(&self, name: &str) -> impl Future<Output = io::Result<()>> + 'static {
        let (handle, name) = (self.clone(), name.to_owned());
        async move { handle.met(ended(handle.start_remove(name)).await) }
    }

    fn rename(&self, from: &str, to: &str) -> impl Future<Output = io::Result<()>> + 'static {
        let (handle, from, to) = (self.clone(), from.to_owned(), to.to_owned());
        async move { handle.met(ended(handle.start_rename(from, to)).await) }
    }

    fn sync_directory(&self) -> impl Future<Output = io::Result<()>> + 'static {
        let handle = self.clone();
        async move { handle.met(ended(handle.start_sync_directory()).await) }
    }
}

/// An operation that a dead process asked for never ends.
async fn ended<T>(operation: Option<Promise<T>>) -> T {
    match operation {
        Some(operation) => operation.await,
        None => pending().await,
    }
}

/// What the system says to this fault.
pub(super) fn error(fault: Fault) -> io::Error {
    io::Error::from_raw_os_error(if fault == Fault::NoSpace { ENOSPC } else { EIO })
}
