//! What the keeper has sent: the answer to the read in flight, and all the rest in order.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, TryRecvError};

use orderlane_core::Cold;

use crate::message::FromKeeper;

/// Shared by the housekeeping and the read in flight, whichever looks first.
pub(super) struct Inbox {
    receiver: Receiver<FromKeeper>,
    pub(super) kept: VecDeque<FromKeeper>,
    pub(super) found: Option<Vec<(usize, Cold)>>,
    /// Nobody is at the other end, and all that was sent has been taken.
    pub(super) gone: bool,
}

impl Inbox {
    pub(super) fn new(receiver: Receiver<FromKeeper>) -> Inbox {
        Inbox { receiver, kept: VecDeque::new(), found: None, gone: false }
    }

    pub(super) fn receive(&mut self) {
        loop {
            match self.receiver.try_recv() {
                Ok(FromKeeper::Found(found)) => self.found = Some(found),
                Ok(message) => self.kept.push_back(message),
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => {
                    self.gone = true;
                    return;
                }
            }
        }
    }
}
