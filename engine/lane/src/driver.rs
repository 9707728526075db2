//! The first seam: what the loop and the gateway need of the world. A driver belongs to one lane and stays on its thread.
//!
//! Buffers are owned by the operation while it runs (completion-based I/O) and come back with its result. A future of a
//! driver that is dropped may still have its effect: nobody here drops one before it is ready, they close the socket instead;
//! only sleeps are dropped for earlier ones.

use std::future::Future;
use std::io;

use orderlane_core::Time;

/// Clock, wait, disk, sockets, spawn. Cheap to clone.
pub trait Driver: Clone + 'static {
    /// The data directory of this lane.
    type Disk: Disk;
    /// A listening socket.
    type Listener: 'static;
    /// A connection.
    type Stream: Stream;

    /// Wall-clock time that never goes back on one lane.
    fn now(&self) -> Time;

    /// Runs a task on this lane's thread.
    fn spawn(&self, task: impl Future<Output = ()> + 'static);

    /// Completes at `at` or a little later.
    fn sleep_until(&self, at: Time) -> impl Future<Output = ()> + 'static;

    /// Completes when this lane's [`Wake`] handle has been used since the last completion. One caller at a time.
    fn woken(&self) -> impl Future<Output = ()> + 'static;

    /// The data directory.
    fn disk(&self) -> Self::Disk;

    /// Accepts one connection. After [`Driver::close_listener`] it fails.
    fn accept(&self, listener: &Self::Listener) -> impl Future<Output = io::Result<Self::Stream>>;

    /// Stops a listener: a pending accept ends with an error.
    fn close_listener(&self, listener: &Self::Listener);
}

/// Wakes a lane from another thread. The mesh coalesces: one call per sleep, however many messages.
pub trait Wake: Send + Sync {
    /// Makes the lane's [`Driver::woken`] complete.
    fn wake(&self);
}

/// Files of one directory, by name. Nothing is durable before its `sync` (contents) and `sync_directory` (names) succeed.
/// A failed `sync` is never retried: the pages may be gone and clean (traps 23).
pub trait Disk: Clone + 'static {
    /// An open file. Cheap to clone.
    type File: Clone + 'static;

    /// A new, empty file; fails when the name exists.
    fn create(&self, name: &str) -> impl Future<Output = io::Result<Self::File>> + 'static;

    /// Writes all of `bytes` at `offset` or fails; gives the buffer back.
    fn write_at(
        &self,
        file: &Self::File,
        offset: u64,
        bytes: Vec<u8>,
    ) -> impl Future<Output = (io::Result<()>, Vec<u8>)> + 'static;

    /// `fdatasync`: all completed writes of the file are durable.
    fn sync(&self, file: &Self::File) -> impl Future<Output = io::Result<()>> + 'static;

    /// A file that is there, to be written over.
    fn open(&self, name: &str) -> impl Future<Output = io::Result<Self::File>> + 'static;

    /// Removes a file: durable after [`Disk::sync_directory`].
    fn remove(&self, name: &str) -> impl Future<Output = io::Result<()>> + 'static;

    /// Renames within the directory.
    fn rename(&self, from: &str, to: &str) -> impl Future<Output = io::Result<()>> + 'static;

    /// `fsync` of the directory: created and renamed names are durable.
    fn sync_directory(&self) -> impl Future<Output = io::Result<()>> + 'static;
}

/// A connection: read and written by two tasks, closed by anybody on the lane.
pub trait Stream: 'static {
    /// The reading half.
    type Reader: StreamReader;
    /// The writing half.
    type Writer: StreamWriter;
    /// A handle that closes the connection.
    type Closer: StreamCloser;

    /// The three parts.
    fn split(self) -> (Self::Reader, Self::Writer, Self::Closer);
}

/// The reading half of a connection.
pub trait StreamReader: 'static {
    /// Appends what is there to the spare capacity of `buffer` (which is not empty); 0 is the end of the stream.
    fn read(&mut self, buffer: Vec<u8>) -> impl Future<Output = (io::Result<usize>, Vec<u8>)>;
}

/// The writing half of a connection.
pub trait StreamWriter: 'static {
    /// Writes a part of `buffer` from index `from` on; gives the count written.
    fn write(&mut self, buffer: Vec<u8>, from: usize) -> impl Future<Output = (io::Result<usize>, Vec<u8>)>;

    /// Half-closes: the peer reads the end of the stream after what was written.
    fn finish(&mut self);
}

/// Closes a connection.
pub trait StreamCloser: 'static {
    /// Shuts both directions down: pending reads and writes end.
    fn close(&self);
}
