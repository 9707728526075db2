//! Simulated sockets: clients outside, lanes that listen on one address as with `SO_REUSEPORT`, and bytes that take their time.

mod client;
mod link;
mod pipe;
mod server;
#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{Error, ErrorKind, Result};
use std::rc::{Rc, Weak};
use std::task::{Poll, Waker};

use crate::executor::Group;
use crate::net::link::Link;
use crate::net::pipe::Pipe;
use crate::random::Random;
use crate::sim::Sim;

pub use client::ClientStream;
pub use server::{SimCloser, SimReader, SimStream, SimWriter};

/// Bytes of a socket's buffer.
const BUFFER_LEN: usize = 64 << 10;
/// From the wish to connect to the connection, microseconds at most.
const CONNECT_MICROS_MAX: u64 = 500;
/// Until a client learns that the machine it talked to has lost its power, microseconds at most.
const SILENCE_MICROS_MAX: u64 = 5_000_000;

/// The network of a world. Cheap to clone.
#[derive(Clone)]
pub struct Network(Rc<Inner>);

struct Inner {
    sim: Sim,
    random: RefCell<Random>,
    connections_next: Cell<u64>,
    /// Those that are open, in the order in which they were opened.
    listeners: RefCell<Vec<SimListener>>,
    links: RefCell<Vec<Weak<Link>>>,
}

/// The listening socket of a lane. Cheap to clone.
#[derive(Clone)]
pub struct SimListener(Rc<Listening>);

struct Listening {
    group: Group,
    lane: u16,
    open: Cell<bool>,
    queue: RefCell<VecDeque<SimStream>>,
    accepter: RefCell<Option<Waker>>,
}

impl SimListener {
    fn wake(&self) {
        let waker = self.0.accepter.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Who connected and was not accepted is gone with the listener.
    fn close(&self) {
        self.0.open.set(false);
        let waiting = self.0.queue.take();
        drop(waiting);
        self.wake();
    }
}

impl Network {
    /// A network where nobody listens.
    #[must_use]
    pub fn new(sim: &Sim) -> Network {
        Network(Rc::new(Inner {
            sim: sim.clone(),
            random: RefCell::new(sim.random("network")),
            connections_next: Cell::new(0),
            listeners: RefCell::default(),
            links: RefCell::default(),
        }))
    }

    /// A lane of a process listens.
    #[must_use]
    pub fn listen(&self, group: Group, lane: u16) -> SimListener {
        let (open, queue, accepter) = (Cell::new(true), RefCell::default(), RefCell::default());
        let listener = SimListener(Rc::new(Listening { group, lane, open, queue, accepter }));
        self.0.listeners.borrow_mut().push(listener.clone());
        listener
    }

    /// Accepts one connection.
    ///
    /// # Errors
    /// When the listener was closed or its process is dead.
    pub async fn accept(&self, listener: &SimListener) -> Result<SimStream> {
        poll_fn(|task| {
            if !listener.0.open.get() {
                return Poll::Ready(Err(Error::from(ErrorKind::InvalidInput)));
            }
            match listener.0.queue.borrow_mut().pop_front() {
                Some(stream) => Poll::Ready(Ok(stream)),
                None => {
                    listener.0.accepter.replace(Some(task.waker().clone()));
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// Stops a listener: a pending accept and all later ones fail.
    pub fn close_listener(&self, listener: &SimListener) {
        self.0.listeners.borrow_mut().retain(|other| !Rc::ptr_eq(&other.0, &listener.0));
        listener.close();
    }

    /// The process of this group died: its sockets are gone, and nothing that it still does has an effect.
    pub fn kill(&self, group: Group) {
        let (dead, alive) =
            self.0.listeners.take().into_iter().partition(|listener: &SimListener| listener.0.group == group);
        self.0.listeners.replace(alive);
        let links: Vec<Rc<Link>> = self.0.links.borrow().iter().filter_map(Weak::upgrade).collect();
        for link in links.iter().filter(|link| link.group == group && !link.dead.get()) {
            self.lose(link);
        }
        let dead: Vec<SimListener> = dead;
        dead.iter().for_each(SimListener::close);
    }

    /// What a client sees of the death of the process that it is connected to.
    fn lose(&self, link: &Rc<Link>) {
        link.dead.set(true);
        let (kind, delay) = {
            let mut random = self.0.random.borrow_mut();
            (random.below(4), random.between(1, SILENCE_MICROS_MAX))
        };
        self.0.sim.note("connection-lost", &[link.number, kind]);
        match kind {
            // The kernel closes the socket: what was written still arrives.
            0 | 1 if !link.up.desert() => link.down.finish(),
            // Or it resets it, because not all was read.
            0..=2 => link.break_off(),
            // Or the machine is off, and says so only when it is on again.
            _ => {
                link.up.silence();
                link.down.silence();
                let link = link.clone();
                self.0.sim.executor().after(delay, move || link.break_off());
            }
        }
    }

    /// Connects to any lane that listens.
    ///
    /// # Errors
    /// When nobody listens.
    pub async fn connect(&self) -> Result<ClientStream> {
        let delay = self.0.random.borrow_mut().between(1, CONNECT_MICROS_MAX);
        self.0.sim.executor().sleep(delay).await;
        let listener = {
            let listeners = self.0.listeners.borrow();
            if listeners.is_empty() {
                return Err(Error::from(ErrorKind::ConnectionRefused));
            }
            self.0.random.borrow_mut().pick(&listeners).clone()
        };
        let number = self.0.connections_next.get();
        self.0.connections_next.set(number + 1);
        let link = self.link(number, listener.0.group);
        self.0.sim.note("connect", &[number, u64::from(listener.0.lane)]);
        listener.0.queue.borrow_mut().push_back(SimStream::new(link.clone()));
        listener.wake();
        let random = Random::new(self.0.random.borrow_mut().bits());
        Ok(ClientStream::new(link, random))
    }

    fn link(&self, number: u64, group: Group) -> Rc<Link> {
        let pipe = || {
            let mut random = self.0.random.borrow_mut();
            let capacity = if random.chance(150) { random.between(64, 4_096) as usize } else { BUFFER_LEN };
            Pipe::new(self.0.sim.executor().clone(), Random::new(random.bits()), capacity)
        };
        let link = Link::new(self.0.sim.clone(), number, group, pipe(), pipe());
        let mut links = self.0.links.borrow_mut();
        links.retain(|link| link.strong_count() > 0);
        links.push(Rc::downgrade(&link));
        link
    }
}
