//! Bytes in one direction: a bounded buffer at the receiver, and bytes that are still under way to it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{Error, ErrorKind, Result};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::executor::Executor;
use crate::random::Random;

/// Between a write and the arrival of its bytes, microseconds at most, nearly always.
const DELAY_MICROS_MAX: u64 = 300;
/// The same, one time in fifty.
const DELAY_MICROS_LONG: u64 = 30_000;
/// The most pieces that one write is cut into.
const PIECES_MAX: u64 = 6;

/// One direction of a connection. Cheap to clone.
#[derive(Clone)]
pub(super) struct Pipe(Rc<RefCell<State>>);

struct State {
    executor: Executor,
    random: Random,
    /// Bytes that fit: those under way and those that have arrived.
    capacity: usize,
    arrived: VecDeque<u8>,
    under_way: usize,
    /// When the last thing sent arrives: nothing overtakes it.
    arrival_last: u64,
    /// Nothing more can be written.
    finished: bool,
    /// Its end has arrived.
    ended: bool,
    /// Nobody reads any more: what arrives is answered with a reset.
    deserted: bool,
    /// Nothing arrives any more, and nobody is told.
    silent: bool,
    broken: bool,
    /// A write was cut into pieces.
    split: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl State {
    /// When something that is sent now arrives, in microseconds from now.
    fn draw_delay(&mut self) -> u64 {
        let max = if self.random.chance(20) { DELAY_MICROS_LONG } else { DELAY_MICROS_MAX };
        let now = self.executor.elapsed_micros();
        self.arrival_last = self.arrival_last.max(now + self.random.between(5, max));
        self.arrival_last - now
    }

    fn wake(&mut self) -> [Option<Waker>; 2] {
        [self.reader.take(), self.writer.take()]
    }
}

fn reset() -> Error {
    Error::from(ErrorKind::ConnectionReset)
}

impl Pipe {
    pub(super) fn new(executor: Executor, random: Random, capacity: usize) -> Pipe {
        Pipe(Rc::new(RefCell::new(State {
            executor,
            random,
            capacity,
            arrived: VecDeque::new(),
            under_way: 0,
            arrival_last: 0,
            finished: false,
            ended: false,
            deserted: false,
            silent: false,
            broken: false,
            split: false,
            reader: None,
            writer: None,
        })))
    }

    /// Sends as much of `bytes` as fits, in pieces if asked; `bounced` is told when it arrives where nobody reads.
    pub(super) fn poll_write(
        &self,
        task: &mut Context<'_>,
        bytes: &[u8],
        split: bool,
        bounced: &Rc<dyn Fn()>,
    ) -> Poll<Result<usize>> {
        let mut state = self.0.borrow_mut();
        if state.broken {
            return Poll::Ready(Err(reset()));
        }
        if state.finished {
            return Poll::Ready(Err(Error::from(ErrorKind::BrokenPipe)));
        }
        let count = bytes.len().min(state.capacity - state.under_way - state.arrived.len());
        if count == 0 && !bytes.is_empty() {
            state.writer = Some(task.waker().clone());
            return Poll::Pending;
        }
        state.under_way += count;
        let mut from = 0;
        let mut pieces = if split { state.random.between(2, PIECES_MAX) } else { 1 };
        state.split |= split && count > 1;
        while from < count {
            let left = (count - from) as u64;
            let length = if pieces > 1 { state.random.between(1, left) } else { left } as usize;
            pieces = pieces.saturating_sub(1);
            let piece = bytes[from..from + length].to_vec();
            from += length;
            let (delay, pipe, bounced) = (state.draw_delay(), self.clone(), bounced.clone());
            state.executor.after(delay, move || pipe.arrive(&piece, &*bounced));
        }
        Poll::Ready(Ok(count))
    }

    fn arrive(&self, piece: &[u8], bounced: &dyn Fn()) {
        let (deserted, wakers) = {
            let mut state = self.0.borrow_mut();
            state.under_way -= piece.len();
            if state.broken || state.silent {
                return;
            }
            if !state.deserted {
                state.arrived.extend(piece);
            }
            (state.deserted, [state.reader.take(), None])
        };
        wake(wakers);
        if deserted {
            bounced();
        }
    }

    /// Appends what has arrived, at most `max` bytes. Says also whether it is a part of something that was cut into pieces.
    pub(super) fn poll_read(
        &self,
        task: &mut Context<'_>,
        max: usize,
        buffer: &mut Vec<u8>,
    ) -> Poll<Result<(usize, bool)>> {
        let mut state = self.0.borrow_mut();
        if state.broken {
            return Poll::Ready(Err(reset()));
        }
        let count = state.arrived.len().min(max);
        if count == 0 && !state.ended {
            state.reader = Some(task.waker().clone());
            return Poll::Pending;
        }
        buffer.extend(state.arrived.drain(..count));
        let part = state.split && state.under_way > 0;
        state.split &= state.under_way > 0;
        let writer = state.writer.take();
        drop(state);
        wake([writer, None]);
        Poll::Ready(Ok((count, part)))
    }

    /// The writer sends no more: the reader learns it behind all bytes.
    pub(super) fn finish(&self) {
        let (delay, executor, writer) = {
            let mut state = self.0.borrow_mut();
            if state.finished {
                return;
            }
            state.finished = true;
            (state.draw_delay(), state.executor.clone(), state.writer.take())
        };
        wake([writer, None]);
        let pipe = self.clone();
        executor.after(delay, move || {
            let wakers = {
                let mut state = pipe.0.borrow_mut();
                state.ended |= !state.silent;
                state.wake()
            };
            wake(wakers);
        });
    }

    /// The reader wants nothing more and reads the end from now on.
    pub(super) fn stop_reading(&self) {
        let wakers = {
            let mut state = self.0.borrow_mut();
            state.arrived.clear();
            state.ended = true;
            state.wake()
        };
        wake(wakers);
    }

    /// The reader is gone; true when bytes were there that it has not read.
    pub(super) fn desert(&self) -> bool {
        let (unread, wakers) = {
            let mut state = self.0.borrow_mut();
            let unread = !state.arrived.is_empty();
            state.deserted = true;
            state.arrived.clear();
            (unread, state.wake())
        };
        wake(wakers);
        unread
    }

    /// Nothing that is under way arrives.
    pub(super) fn silence(&self) {
        self.0.borrow_mut().silent = true;
    }

    /// Both sides get errors from now on.
    pub(super) fn break_off(&self) {
        let wakers = {
            let mut state = self.0.borrow_mut();
            state.broken = true;
            state.arrived.clear();
            state.wake()
        };
        wake(wakers);
    }
}

fn wake(wakers: [Option<Waker>; 2]) {
    wakers.into_iter().flatten().for_each(Waker::wake);
}
