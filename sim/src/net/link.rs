//! A connection as both sides share it.

use std::cell::Cell;
use std::rc::{Rc, Weak};

use crate::executor::Group;
use crate::faults::Fault;
use crate::net::pipe::Pipe;
use crate::sim::Sim;

/// Both directions of a connection.
pub(super) struct Link {
    pub(super) sim: Sim,
    pub(super) number: u64,
    /// Whose process the server side is.
    pub(super) group: Group,
    /// From the client to the server.
    pub(super) up: Pipe,
    /// From the server to the client.
    pub(super) down: Pipe,
    /// The process of the server side is dead.
    pub(super) dead: Cell<bool>,
    /// It was broken by chance, and the server side has not noticed yet.
    reset_unseen: Cell<bool>,
}

impl Link {
    pub(super) fn new(sim: Sim, number: u64, group: Group, up: Pipe, down: Pipe) -> Rc<Link> {
        let (dead, reset_unseen) = (Cell::new(false), Cell::new(false));
        Rc::new(Link { sim, number, group, up, down, dead, reset_unseen })
    }

    /// Both sides get errors.
    pub(super) fn break_off(&self) {
        self.up.break_off();
        self.down.break_off();
    }

    /// Breaks by chance.
    pub(super) fn reset(&self) {
        if !self.dead.get() {
            self.sim.note("reset", &[self.number]);
            self.reset_unseen.set(true);
            self.break_off();
        }
    }

    /// The server side got an error.
    pub(super) fn server_failed(&self) {
        if !self.dead.get() && self.reset_unseen.replace(false) {
            self.sim.faults().observed(Fault::Reset);
        }
    }

    /// What to do when bytes arrive where nobody reads: the kernel there answers with a reset.
    pub(super) fn bounce(self: &Rc<Link>) -> Rc<dyn Fn()> {
        let link: Weak<Link> = Rc::downgrade(self);
        Rc::new(move || {
            if let Some(link) = link.upgrade() {
                link.break_off();
            }
        })
    }
}
