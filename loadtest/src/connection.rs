//! One non-blocking keep-alive connection and what is on its way on it.

use crate::{
    answer_stream::{AnswerStream, Filled},
    desk::PendingOrder,
    limits::{BACKOFF_MAX, BACKOFF_MIN},
    outage::nanos,
};
use mio::{Interest, Registry, Token, event::Event, net::TcpStream};
use std::{
    collections::VecDeque,
    io::{self, ErrorKind, Write},
    net::SocketAddr,
    time::Duration,
};

/// A connection slot: it is connected, lost and connected again, and keeps its buffers.
#[derive(Debug)]
pub(crate) struct Connection {
    state: State,
    backoff: Duration,
    pub(crate) output: Vec<u8>,
    written: usize,
    pub(crate) answers: AnswerStream,
    /// Requests on their way, oldest first.
    flights: VecDeque<Flight>,
    /// Their orders, in the same order.
    orders: VecDeque<PendingOrder>,
    /// It stands in the queue of connections with room.
    pub(crate) is_queued: bool,
}

#[derive(Debug)]
enum State {
    Closed { retry_at: u64 },
    Connecting(TcpStream),
    Open(TcpStream),
}

#[derive(Clone, Copy, Debug)]
struct Flight {
    orders: usize,
    sent_at: u64,
}

impl Connection {
    pub(crate) fn new() -> Self {
        Self {
            state: State::Closed { retry_at: 0 },
            backoff: BACKOFF_MIN,
            output: Vec::new(),
            written: 0,
            answers: AnswerStream::default(),
            flights: VecDeque::new(),
            orders: VecDeque::new(),
            is_queued: false,
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        matches!(self.state, State::Open(_))
    }

    /// It is closed and its backoff is over.
    pub(crate) fn is_due(&self, now: u64) -> bool {
        matches!(self.state, State::Closed { retry_at } if retry_at <= now)
    }

    /// When it may be connected again; never while it is connected.
    pub(crate) fn retry_at(&self) -> u64 {
        match self.state {
            State::Closed { retry_at } => retry_at,
            State::Connecting(_) | State::Open(_) => u64::MAX,
        }
    }

    pub(crate) fn flights(&self) -> usize {
        self.flights.len()
    }

    /// When the oldest request on its way was sent.
    pub(crate) fn oldest_sent_at(&self) -> Option<u64> {
        self.flights.front().map(|flight| flight.sent_at)
    }

    /// Starts to connect.
    pub(crate) fn connect(&mut self, target: SocketAddr, registry: &Registry, token: Token) -> io::Result<()> {
        let mut stream = TcpStream::connect(target)?;
        registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        self.state = State::Connecting(stream);
        Ok(())
    }

    /// Looks whether a connection that is being made is open now.
    pub(crate) fn handle_event(&mut self, event: &Event) -> io::Result<()> {
        let State::Connecting(stream) = &self.state else { return Ok(()) };
        if let Some(error) = stream.take_error()? {
            return Err(error);
        }
        if !event.is_writable() {
            return Ok(());
        }
        match stream.peer_addr() {
            Ok(_) => stream.set_nodelay(true)?,
            Err(error) if error.kind() == ErrorKind::NotConnected => return Ok(()),
            Err(error) => return Err(error),
        }
        let State::Connecting(stream) = std::mem::replace(&mut self.state, State::Closed { retry_at: 0 }) else {
            unreachable!("the state was looked at above");
        };
        self.state = State::Open(stream);
        Ok(())
    }

    /// The request at the end of `output` carries these orders.
    pub(crate) fn push(&mut self, orders: &[PendingOrder], sent_at: u64) {
        self.flights.push_back(Flight { orders: orders.len(), sent_at });
        self.orders.extend(orders);
    }

    /// The orders of the oldest request, whose answer came. A server that answered is worth trying again at once.
    pub(crate) fn pop(&mut self, orders: &mut Vec<PendingOrder>) -> bool {
        orders.clear();
        let Some(flight) = self.flights.pop_front() else { return false };
        orders.extend(self.orders.drain(..flight.orders));
        self.backoff = BACKOFF_MIN;
        true
    }

    /// Writes as much as the socket takes.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        let State::Open(stream) = &mut self.state else { return Ok(()) };
        while self.written < self.output.len() {
            match stream.write(&self.output[self.written..]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => self.written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.output.clear();
        self.written = 0;
        Ok(())
    }

    /// Reads once; `None` when there is nothing.
    pub(crate) fn fill(&mut self) -> io::Result<Option<Filled>> {
        let State::Open(stream) = &mut self.state else { return Ok(None) };
        match self.answers.fill(stream) {
            Ok(filled) => Ok(Some(filled)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(Some(Filled::Full)),
            Err(error) => Err(error),
        }
    }

    /// Closes it, to be tried again after a backoff; gives the orders whose answers will not come.
    pub(crate) fn close(&mut self, now: u64) -> impl Iterator<Item = PendingOrder> {
        self.state = State::Closed { retry_at: now + nanos(self.backoff) };
        self.backoff = (self.backoff * 2).min(BACKOFF_MAX);
        self.output.clear();
        self.written = 0;
        self.answers.reset();
        self.flights.clear();
        self.orders.drain(..)
    }
}
