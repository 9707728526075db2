//! The client side of a connection.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::Result;
use std::rc::Rc;

use crate::faults::Fault;
use crate::net::link::Link;
use crate::random::Random;

/// Until a connection that was chosen to break does so, microseconds at most.
const RESET_MICROS_MAX: u64 = 5_000;
/// Bytes of one read, at most.
const READ_LEN_MAX: usize = 64 << 10;

/// A connection of a client; dropping it closes it.
pub struct ClientStream {
    link: Rc<Link>,
    random: RefCell<Random>,
}

impl ClientStream {
    pub(super) fn new(link: Rc<Link>, random: Random) -> ClientStream {
        ClientStream { link, random: RefCell::new(random) }
    }

    /// Writes all of `bytes`.
    ///
    /// # Errors
    /// When the connection is broken or was finished.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let faults = self.link.sim.faults();
        let split = faults.draw(Fault::SplitBytes, &mut self.random.borrow_mut());
        if faults.draw(Fault::Reset, &mut self.random.borrow_mut()) {
            let (link, delay) = (self.link.clone(), self.random.borrow_mut().below(RESET_MICROS_MAX));
            self.link.sim.executor().after(delay, move || link.reset());
        }
        let bounced = self.link.bounce();
        let mut from = 0;
        while from < bytes.len() {
            from += poll_fn(|task| self.link.up.poll_write(task, &bytes[from..], split, &bounced)).await?;
        }
        Ok(())
    }

    /// Appends what has arrived; 0 is the end of the stream.
    ///
    /// # Errors
    /// When the connection is broken.
    pub async fn read(&mut self, buffer: &mut Vec<u8>) -> Result<usize> {
        let (count, _) = poll_fn(|task| self.link.down.poll_read(task, READ_LEN_MAX, buffer)).await?;
        Ok(count)
    }

    /// Half-closes: the server reads the end of the stream after what was written.
    pub fn finish(&mut self) {
        self.link.up.finish();
    }

    /// Goes away.
    pub fn close(self) {}
}

impl Drop for ClientStream {
    fn drop(&mut self) {
        if self.link.down.desert() {
            self.link.break_off();
        } else {
            self.link.up.finish();
        }
    }
}
