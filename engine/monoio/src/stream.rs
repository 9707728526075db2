//! A connection in three parts: reader, writer, closer.

use std::cell::UnsafeCell;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::rc::{Rc, Weak};

use monoio::buf::{IoBuf, IoBufMut};
use monoio::io::{AsyncReadRent, AsyncWriteRent, Splitable};
use monoio::net::TcpStream;
use monoio::net::tcp::{TcpOwnedReadHalf, TcpOwnedWriteHalf};
use orderlane_lane::{Stream, StreamCloser, StreamReader, StreamWriter};
use rustix::net::Shutdown;

use crate::sys;

/// An accepted connection.
#[derive(Debug)]
pub struct MonoioStream(TcpStream);

/// The reading half.
#[derive(Debug)]
pub struct Reader(TcpOwnedReadHalf);

/// The writing half; dropping it half-closes.
#[derive(Debug)]
pub struct Writer(TcpOwnedWriteHalf);

/// Closes the connection if a half of it still lives. It does not keep the socket open, and a socket whose number was given
/// to another connection is never touched.
#[derive(Clone, Debug)]
pub struct Closer {
    /// The owner of the socket. Only its life is asked for: what is inside belongs to the halves.
    owner: Weak<UnsafeCell<TcpStream>>,
    socket: RawFd,
}

impl MonoioStream {
    pub(crate) fn new(stream: TcpStream) -> MonoioStream {
        MonoioStream(stream)
    }
}

impl Stream for MonoioStream {
    type Reader = Reader;
    type Writer = Writer;
    type Closer = Closer;

    fn split(self) -> (Reader, Writer, Closer) {
        let socket = self.0.as_raw_fd();
        let (reader, writer) = self.0.into_split();
        let closer = Closer { owner: Rc::downgrade(&reader.0), socket };
        (Reader(reader), Writer(writer), closer)
    }
}

impl StreamReader for Reader {
    async fn read(&mut self, buffer: Vec<u8>) -> (io::Result<usize>, Vec<u8>) {
        let (filled, capacity) = (buffer.len(), buffer.capacity());
        assert!(filled < capacity, "a read into a full buffer would look like the end of the stream");
        let (result, slice) = self.0.read(buffer.slice_mut(filled..capacity)).await;
        (result, slice.into_inner())
    }
}

impl StreamWriter for Writer {
    async fn write(&mut self, buffer: Vec<u8>, from: usize) -> (io::Result<usize>, Vec<u8>) {
        let (result, slice) = self.0.write(buffer.slice(from..)).await;
        (result, slice.into_inner())
    }

    fn finish(&mut self) {
        // monoio makes the call before it returns the future, which then only carries the result. A peer that is gone
        // (`ENOTCONN`) needs no end of the stream.
        drop(self.0.shutdown());
    }
}

impl StreamCloser for Closer {
    #[expect(unsafe_code, reason = "monoio lends its sockets as numbers only")]
    fn close(&self) {
        let Some(owner) = self.owner.upgrade() else { return };
        // SAFETY: `owner` holds the stream, and with it the socket, over the call. An error says that the peer has closed
        // it already.
        let _ = unsafe { sys::shutdown(self.socket, Shutdown::Both) };
        drop(owner);
    }
}
