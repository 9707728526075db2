//! A driver that has a disk and nothing else: enough to write a journal.

use std::cell::RefCell;
use std::future::{Future, pending};
use std::io;
use std::rc::Rc;

use orderlane_core::Time;
use orderlane_lane::{Driver, Stream, StreamCloser, StreamReader, StreamWriter};

use crate::disk::{DiskHandle, SimDisk};
use crate::executor::{Executor, Group};
use crate::sim::Sim;

const LANE: Group = Group(1);

/// The driver of one process.
#[derive(Clone)]
pub(super) struct DiskDriver {
    executor: Executor,
    disk: DiskHandle,
}

impl DiskDriver {
    pub(super) fn new(sim: &Sim, disk: &SimDisk) -> DiskDriver {
        DiskDriver { executor: sim.executor().clone(), disk: disk.handle(LANE) }
    }

    /// Runs a task and all that it spawns until it has ended.
    pub(super) fn run<T: 'static>(&self, task: impl Future<Output = T> + 'static) -> T {
        let result = Rc::new(RefCell::new(None));
        let slot = result.clone();
        self.executor.spawn(LANE, async move { *slot.borrow_mut() = Some(task.await) });
        while result.borrow().is_none() {
            assert!(self.executor.step(), "on a disk that is well every task ends");
        }
        result.take().expect("the task has ended")
    }

    /// Runs until nothing is left to do.
    pub(super) fn rest(&self) {
        while self.executor.step() {}
    }
}

impl Driver for DiskDriver {
    type Disk = DiskHandle;
    type Listener = Nothing;
    type Stream = Nothing;

    fn now(&self) -> Time {
        self.executor.now()
    }

    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.executor.spawn(LANE, task);
    }

    fn sleep_until(&self, at: Time) -> impl Future<Output = ()> + 'static {
        self.executor.sleep(at.micros_since(self.now()))
    }

    fn woken(&self) -> impl Future<Output = ()> + 'static {
        pending()
    }

    fn disk(&self) -> DiskHandle {
        self.disk.clone()
    }

    fn accept(&self, _listener: &Nothing) -> impl Future<Output = io::Result<Nothing>> {
        pending()
    }

    fn close_listener(&self, listener: &Nothing) {
        match *listener {}
    }
}

/// What a driver has and a journal never touches.
pub(super) enum Nothing {}

impl Stream for Nothing {
    type Reader = Nothing;
    type Writer = Nothing;
    type Closer = Nothing;

    fn split(self) -> (Nothing, Nothing, Nothing) {
        match self {}
    }
}

impl StreamReader for Nothing {
    fn read(&mut self, _buffer: Vec<u8>) -> impl Future<Output = (io::Result<usize>, Vec<u8>)> {
        pending()
    }
}

impl StreamWriter for Nothing {
    fn write(&mut self, _buffer: Vec<u8>, _from: usize) -> impl Future<Output = (io::Result<usize>, Vec<u8>)> {
        pending()
    }

    fn finish(&mut self) {}
}

impl StreamCloser for Nothing {
    fn close(&self) {}
}
