//! One generator thread: the loop that sends what is due and reads what came.

use crate::{
    answer::Answer,
    answer_stream::Filled,
    books::Books,
    connection::Connection,
    desk::{Desk, PendingOrder},
    error::Result,
    generator::Shared,
    limits::{EVENTS_MAX, TICK},
    outage::nanos,
    pace::{Due, Pace},
    reply::{Reply, lines},
    request::RequestTemplate,
    timer::Timer,
};
use mio::{Events, Poll, Token, event::Event};
use std::{
    collections::VecDeque,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

/// Owns a share of the connections and every `threads`-th request.
pub(crate) struct Worker {
    shared: Arc<Shared>,
    poll: Poll,
    timer: Timer,
    connections: Vec<Connection>,
    /// Open connections with room, the longest idle one first, so that all of them (and all lanes) get their share.
    ready: VecDeque<usize>,
    template: RequestTemplate,
    pace: Pace,
    desk: Desk,
    /// The request that is being put together, or taken apart.
    orders: Vec<PendingOrder>,
    outage_changes: u64,
    tick_at: u64,
    stopped_at: Option<u64>,
    ended_at: Option<u64>,
    reported: (u64, u64),
    reconnects: u64,
}

/// What the thread brings home.
pub(crate) struct Yield {
    pub(crate) books: Books,
    /// When nothing more was due.
    pub(crate) ended_at: u64,
    /// How long orders were offered, outages left out.
    pub(crate) offered: u64,
    pub(crate) reconnects: u64,
}

const TIMER: Token = Token(usize::MAX);

impl Worker {
    pub(crate) fn new(shared: Arc<Shared>, thread: usize) -> Result<Self> {
        let options = &shared.options;
        let poll = Poll::new()?;
        let timer = Timer::new(poll.registry(), TIMER)?;
        let share = options.connections.saturating_sub(thread).div_ceil(options.threads).max(1);
        Ok(Self {
            poll,
            timer,
            connections: (0..share).map(|_| Connection::new()).collect(),
            ready: VecDeque::new(),
            template: RequestTemplate::new(options),
            pace: Pace::new(options, thread),
            desk: Desk::new(options),
            orders: Vec::new(),
            outage_changes: 0,
            tick_at: 0,
            stopped_at: None,
            ended_at: None,
            reported: (0, 0),
            reconnects: 0,
            shared,
        })
    }

    pub(crate) fn run(mut self) -> Result<Yield> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        loop {
            let now = self.shared.now();
            if now >= self.tick_at {
                self.tick(now);
            }
            self.send_due(now);
            if self.is_finished(now) {
                break;
            }
            self.wait(&mut events)?;
            for event in &events {
                self.handle_event(event);
            }
            self.report();
        }
        Ok(self.finish())
    }

    /// What need not be done in every turn.
    fn tick(&mut self, now: u64) {
        self.tick_at = now + nanos(TICK);
        if self.stopped_at.is_none() && self.shared.is_stopped.load(Ordering::Acquire) {
            self.stopped_at = Some(now);
            self.pace.cut(now);
        }
        let overdue = nanos(self.shared.options.answer_timeout);
        for slot in 0..self.connections.len() {
            if self.connections[slot].oldest_sent_at().is_some_and(|sent_at| sent_at + overdue < now) {
                self.lose(slot, now);
            }
        }
        self.connect_due(now);
    }

    fn connect_due(&mut self, now: u64) {
        for slot in 0..self.connections.len() {
            let connection = &mut self.connections[slot];
            if connection.is_due(now) {
                let connected = connection.connect(self.shared.options.target, self.poll.registry(), Token(slot));
                if connected.is_err() {
                    self.lose(slot, now);
                }
            }
        }
    }

    /// Fills the connections that have room with what is due.
    fn send_due(&mut self, now: u64) {
        self.notice_outages();
        while let Some(&slot) = self.ready.front() {
            let depth = self.shared.options.pipeline;
            let mut is_more_due = true;
            let flights_before = self.connections[slot].flights();
            while self.connections[slot].flights() < depth {
                is_more_due = self.take_due(now);
                if !is_more_due {
                    break;
                }
                self.render(slot, now);
            }
            if self.connections[slot].flush().is_err() {
                self.lose(slot, now);
                continue;
            }
            let flights = self.connections[slot].flights();
            if flights > flights_before {
                self.ready.pop_front();
                self.connections[slot].is_queued = false;
                self.queue(slot);
            }
            if !is_more_due {
                break;
            }
        }
    }

    fn notice_outages(&mut self) {
        let changes = self.shared.outage.changes();
        if changes != self.outage_changes {
            self.outage_changes = changes;
            let spans = self.shared.outage.spans();
            self.desk.handle_outages(&spans);
            self.pace.handle_outages(spans);
        }
    }

    /// Puts the orders of the next request into `orders`: those to be tried again before new ones.
    fn take_due(&mut self, now: u64) -> bool {
        let batch = self.shared.options.batch;
        self.orders.clear();
        while self.orders.len() < batch
            && let Some(order) = self.desk.poll_retry(now)
        {
            self.orders.push(order);
        }
        if !self.orders.is_empty() {
            return true;
        }
        let Due::Now { number, intended } = self.pace.due(now) else { return false };
        self.pace.advance();
        let first = number * batch as u64;
        self.orders.extend((first..first + batch as u64).map(|index| PendingOrder::new(index, intended)));
        true
    }

    fn render(&mut self, slot: usize, now: u64) {
        let Self { shared, connections, template, orders, .. } = self;
        let connection = &mut connections[slot];
        match orders.as_slice() {
            [order] if shared.options.batch == 1 => {
                template.single_into(&shared.workload, order.index, &mut connection.output);
            }
            orders => {
                let indices = orders.iter().map(|order| order.index);
                template.batch_into(&shared.workload, indices, &mut connection.output);
            }
        }
        connection.push(orders, now);
    }

    fn is_finished(&mut self, now: u64) -> bool {
        if self.ended_at.is_none() && self.pace.due(now) == Due::Ended {
            self.ended_at = Some(now);
        }
        let is_idle = || self.desk.retry_at().is_none() && self.connections.iter().all(|one| one.flights() == 0);
        let patience = nanos(self.shared.options.wait_timeout);
        match self.ended_at {
            Some(_) if is_idle() => true,
            Some(ended_at) => now > ended_at + patience,
            // An open loop with a backlog has not ended, but its time may be over.
            None => self.pace.is_overdue(now, patience) || self.stopped_at.is_some_and(|at| now > at + patience),
        }
    }

    /// Sleeps until something can be done.
    fn wait(&mut self, events: &mut Events) -> Result<()> {
        let now = self.shared.now();
        if !self.ready.is_empty() {
            let due = match self.pace.due(now) {
                Due::Now { .. } => Some(now),
                Due::At(at) => Some(at),
                Due::Paused | Due::Ended => None,
            };
            if let Some(at) = due.into_iter().chain(self.desk.retry_at()).min() {
                self.timer.set(at.max(now + nanos(self.shared.options.wake_quantum)), now)?;
            }
        }
        match self.poll.poll(events, Some(Duration::from_nanos(self.tick_at.saturating_sub(now)))) {
            Err(error) if error.kind() != std::io::ErrorKind::Interrupted => Err(error.into()),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn handle_event(&mut self, event: &Event) {
        if event.token() == TIMER {
            self.timer.handle_event();
            return;
        }
        let slot = event.token().0;
        let was_open = self.connections[slot].is_open();
        let mut outcome = self.connections[slot].handle_event(event);
        if event.is_readable() && outcome.is_ok() {
            outcome = self.read(slot, event.is_read_closed());
        }
        if event.is_writable() && outcome.is_ok() {
            outcome = self.connections[slot].flush();
        }
        match outcome {
            Ok(()) if !was_open => self.queue(slot),
            Ok(()) => {}
            Err(_) => self.lose(slot, self.shared.now()),
        }
    }

    fn queue(&mut self, slot: usize) {
        let connection = &mut self.connections[slot];
        if !connection.is_queued && connection.is_open() && connection.flights() < self.shared.options.pipeline {
            connection.is_queued = true;
            self.ready.push_back(slot);
        }
    }

    /// Reads until the socket is drained. An error means that the connection is of no use any more.
    fn read(&mut self, slot: usize, is_closed: bool) -> std::io::Result<()> {
        while let Some(filled) = self.connections[slot].fill()? {
            let now = self.shared.now();
            while let Some(answer) = self.connections[slot].answers.next().map_err(|_| lost())? {
                self.handle_answer(slot, &answer, now)?;
            }
            match filled {
                Filled::Full => {}
                // The end may have come in the same event as the last bytes; there will be no other one for it.
                Filled::Drained if is_closed => {}
                Filled::Drained => break,
                Filled::End => {
                    if let Some(answer) = self.connections[slot].answers.finish() {
                        self.handle_answer(slot, &answer, now)?;
                    }
                    return Err(lost());
                }
            }
        }
        Ok(())
    }

    fn handle_answer(&mut self, slot: usize, answer: &Answer, now: u64) -> std::io::Result<()> {
        let Self { connections, desk, orders, shared, .. } = self;
        let connection = &mut connections[slot];
        if !connection.pop(orders) {
            return Err(lost());
        }
        let body = connection.answers.body(answer);
        if shared.options.batch > 1 && (200..300).contains(&answer.status) {
            let mut lines = lines(body);
            for &order in orders.iter() {
                match lines.next() {
                    Some(line) => desk.handle_reply(order, &Reply::from_line(line), answer.retry_after, now),
                    None => desk.handle_loss(order, now),
                }
            }
        } else {
            for &order in orders.iter() {
                desk.handle_reply(order, &Reply::from_body(answer.status, body), answer.retry_after, now);
            }
        }
        desk.books.replayed += u64::from(answer.replayed);
        if answer.close {
            return Err(lost());
        }
        self.queue(slot);
        Ok(())
    }

    /// A connection is gone; its orders are unknown and go to the head of the queue.
    fn lose(&mut self, slot: usize, now: u64) {
        let connection = &mut self.connections[slot];
        self.reconnects += u64::from(connection.is_open());
        if std::mem::take(&mut connection.is_queued) {
            self.ready.retain(|&queued| queued != slot);
        }
        for order in connection.close(now) {
            self.desk.handle_loss(order, now);
        }
        self.tick_at = self.tick_at.min(connection.retry_at());
    }

    /// Adds what is new to the counters that others read.
    fn report(&mut self) {
        let (acknowledged, failed) = (self.desk.books.acknowledged.count(), self.desk.failed_count());
        if (acknowledged, failed) != self.reported {
            self.shared.acknowledged.fetch_add(acknowledged - self.reported.0, Ordering::Relaxed);
            self.shared.failed.fetch_add(failed - self.reported.1, Ordering::Relaxed);
            self.reported = (acknowledged, failed);
        }
    }

    fn finish(mut self) -> Yield {
        let now = self.shared.now();
        for order in self.connections.iter_mut().flat_map(|connection| connection.close(now)) {
            self.desk.handle_end(order);
        }
        self.report();
        let backlog = self.pace.backlog() * self.shared.options.batch as u64;
        Yield {
            books: self.desk.finish(backlog),
            ended_at: self.ended_at.unwrap_or(now),
            offered: self.pace.end(),
            reconnects: self.reconnects,
        }
    }
}

fn lost() -> std::io::Error {
    std::io::ErrorKind::ConnectionReset.into()
}
