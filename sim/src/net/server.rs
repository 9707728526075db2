//! The server side of a connection: what the driver gives to the gateway.

use std::future::poll_fn;
use std::io::{Error, ErrorKind, Result};
use std::rc::{Rc, Weak};
use std::task::Poll;

use orderlane_lane::{Stream, StreamCloser, StreamReader, StreamWriter};

use crate::faults::Fault;
use crate::net::link::Link;

/// An accepted connection.
pub struct SimStream(Rc<ServerEnd>);

/// The reading half.
pub struct SimReader(Rc<ServerEnd>);

/// The writing half; dropping it half-closes.
pub struct SimWriter(Rc<ServerEnd>);

/// Closes the connection if a half of it still lives.
pub struct SimCloser(Weak<ServerEnd>);

/// The server's socket: closed when both halves are gone.
struct ServerEnd(Rc<Link>);

impl Drop for ServerEnd {
    fn drop(&mut self) {
        if self.0.dead.get() {
            return;
        }
        // As in Linux: a socket that is closed with unread bytes answers with a reset, and so does one that gets bytes later.
        if self.0.up.desert() {
            self.0.break_off();
        } else {
            self.0.down.finish();
        }
    }
}

impl SimStream {
    pub(super) fn new(link: Rc<Link>) -> SimStream {
        SimStream(Rc::new(ServerEnd(link)))
    }
}

impl Stream for SimStream {
    type Reader = SimReader;
    type Writer = SimWriter;
    type Closer = SimCloser;

    fn split(self) -> (SimReader, SimWriter, SimCloser) {
        let closer = SimCloser(Rc::downgrade(&self.0));
        (SimReader(self.0.clone()), SimWriter(self.0), closer)
    }
}

impl StreamReader for SimReader {
    async fn read(&mut self, mut buffer: Vec<u8>) -> (Result<usize>, Vec<u8>) {
        let link = &self.0.0;
        let spare = buffer.capacity() - buffer.len();
        assert!(spare > 0, "a read into a full buffer would look like the end of the stream");
        let result = poll_fn(|task| {
            if link.dead.get() {
                return Poll::Ready(Err(Error::from(ErrorKind::ConnectionReset)));
            }
            link.up.poll_read(task, spare, &mut buffer)
        })
        .await;
        let result = match result {
            Ok((count, part)) => {
                if part {
                    link.sim.faults().observed(Fault::SplitBytes);
                }
                Ok(count)
            }
            Err(error) => {
                link.server_failed();
                Err(error)
            }
        };
        (result, buffer)
    }
}

impl StreamWriter for SimWriter {
    async fn write(&mut self, buffer: Vec<u8>, from: usize) -> (Result<usize>, Vec<u8>) {
        let link = &self.0.0;
        let split = link.sim.faults().is_on(Fault::SplitBytes);
        let bounced = link.bounce();
        let result = poll_fn(|task| {
            if link.dead.get() {
                return Poll::Ready(Err(Error::from(ErrorKind::BrokenPipe)));
            }
            link.down.poll_write(task, &buffer[from..], split, &bounced)
        })
        .await;
        if result.is_err() {
            link.server_failed();
        }
        (result, buffer)
    }

    fn finish(&mut self) {
        if !self.0.0.dead.get() {
            self.0.0.down.finish();
        }
    }
}

impl Drop for SimWriter {
    fn drop(&mut self) {
        self.finish();
    }
}

impl StreamCloser for SimCloser {
    fn close(&self) {
        let Some(end) = self.0.upgrade() else { return };
        if !end.0.dead.get() {
            end.0.up.stop_reading();
            end.0.down.finish();
        }
    }
}
