//! The pump over a world in memory: real tasks and real wakers, so that a wake that is forgotten shows.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::task::{Context as Task, Poll, Wake as TaskWake, Waker};

use orderlane_core::{Refusal, Reply, ReplyTo, Time};
use orderlane_lane::{
    Clients, Disk, Driver, Limits, Port, Stream, StreamCloser, StreamReader, StreamWriter, Wake, mesh,
};

use crate::clients::Connections;
use crate::connection::tests::{ORDER, context, post, request};
use crate::limits::{DRAIN_MICROS_MAX, IDLE_MICROS_MAX, LINGER_MICROS_MAX, SWEEP_MICROS};
use crate::routes::Surface;
use crate::serve::serve;

struct Flag(AtomicBool);

impl TaskWake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, SeqCst);
    }
}

impl Wake for Flag {
    fn wake(&self) {}
}

type Running = (Pin<Box<dyn Future<Output = ()>>>, Arc<Flag>);

#[derive(Default)]
struct State {
    now: Cell<u64>,
    spawned: RefCell<Vec<Running>>,
    sleepers: RefCell<Vec<(Time, Waker)>>,
    arriving: RefCell<VecDeque<Socket>>,
    accepter: RefCell<Option<Waker>>,
    closed: Cell<bool>,
}

#[derive(Clone, Default)]
struct World(Rc<State>);

/// Bytes in one direction.
#[derive(Default)]
struct Pipe {
    bytes: RefCell<VecDeque<u8>>,
    ended: Cell<bool>,
    reader: RefCell<Option<Waker>>,
}

impl Pipe {
    fn wake(&self) {
        if let Some(waker) = self.reader.take() {
            waker.wake();
        }
    }

    fn put(&self, bytes: &[u8]) {
        self.bytes.borrow_mut().extend(bytes);
        self.wake();
    }

    fn end(&self) {
        self.ended.set(true);
        self.wake();
    }

    fn text(&self) -> String {
        String::from_utf8(self.bytes.borrow_mut().drain(..).collect()).expect("UTF-8")
    }
}

/// Both ends of a connection.
#[derive(Clone, Default)]
struct Socket {
    up: Rc<Pipe>,
    down: Rc<Pipe>,
}

#[derive(Clone)]
struct NoDisk;

impl Disk for NoDisk {
    type File = ();
    fn create(&self, _: &str) -> impl Future<Output = io::Result<()>> + 'static {
        std::future::pending()
    }
    fn open(&self, _: &str) -> impl Future<Output = io::Result<()>> + 'static {
        std::future::pending()
    }
    fn remove(&self, _: &str) -> impl Future<Output = io::Result<()>> + 'static {
        std::future::pending()
    }
    fn write_at(&self, _: &(), _: u64, _: Vec<u8>) -> impl Future<Output = (io::Result<()>, Vec<u8>)> + 'static {
        std::future::pending()
    }
    fn sync(&self, _: &()) -> impl Future<Output = io::Result<()>> + 'static {
        std::future::pending()
    }
    fn rename(&self, _: &str, _: &str) -> impl Future<Output = io::Result<()>> + 'static {
        std::future::pending()
    }
    fn sync_directory(&self) -> impl Future<Output = io::Result<()>> + 'static {
        std::future::pending()
    }
}

impl Driver for World {
    type Disk = NoDisk;
    type Listener = ();
    type Stream = Socket;

    fn now(&self) -> Time {
        Time(self.0.now.get())
    }

    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.0.spawned.borrow_mut().push((Box::pin(task), Arc::new(Flag(AtomicBool::new(true)))));
    }

    fn sleep_until(&self, at: Time) -> impl Future<Output = ()> + 'static {
        let world = self.clone();
        poll_fn(move |task| {
            if world.now() >= at {
                return Poll::Ready(());
            }
            world.0.sleepers.borrow_mut().push((at, task.waker().clone()));
            Poll::Pending
        })
    }

    fn woken(&self) -> impl Future<Output = ()> + 'static {
        std::future::pending()
    }

    fn disk(&self) -> NoDisk {
        NoDisk
    }

    async fn accept(&self, _listener: &()) -> io::Result<Socket> {
        poll_fn(|task| {
            if self.0.closed.get() {
                return Poll::Ready(Err(io::Error::other("closed")));
            }
            if let Some(socket) = self.0.arriving.borrow_mut().pop_front() {
                return Poll::Ready(Ok(socket));
            }
            self.0.accepter.replace(Some(task.waker().clone()));
            Poll::Pending
        })
        .await
    }

    fn close_listener(&self, _listener: &()) {
        self.0.closed.set(true);
        if let Some(waker) = self.0.accepter.take() {
            waker.wake();
        }
    }
}

impl Stream for Socket {
    type Reader = Socket;
    type Writer = Socket;
    type Closer = Socket;

    fn split(self) -> (Socket, Socket, Socket) {
        (self.clone(), self.clone(), self)
    }
}

impl StreamReader for Socket {
    async fn read(&mut self, mut buffer: Vec<u8>) -> (io::Result<usize>, Vec<u8>) {
        let count = poll_fn(|task| {
            let mut bytes = self.up.bytes.borrow_mut();
            let count = bytes.len().min(buffer.capacity() - buffer.len());
            if count == 0 && !self.up.ended.get() {
                self.up.reader.replace(Some(task.waker().clone()));
                return Poll::Pending;
            }
            buffer.extend(bytes.drain(..count));
            Poll::Ready(count)
        })
        .await;
        (Ok(count), buffer)
    }
}

impl StreamWriter for Socket {
    /// Never more than a hundred bytes at a time.
    async fn write(&mut self, buffer: Vec<u8>, from: usize) -> (io::Result<usize>, Vec<u8>) {
        let count = (buffer.len() - from).min(100);
        self.down.put(&buffer[from..from + count]);
        (if self.down.ended.get() { Ok(0) } else { Ok(count) }, buffer)
    }

    fn finish(&mut self) {
        self.down.end();
    }
}

impl StreamCloser for Socket {
    fn close(&self) {
        self.up.end();
        self.down.end();
    }
}

/// A lane whose loop does nothing: the tests deliver the replies.
struct Lane {
    world: World,
    port: Port,
    connections: Connections,
    running: Vec<Running>,
}

impl Lane {
    fn new() -> Lane {
        let world = World::default();
        world.0.now.set(crate::connection::tests::START.0);
        let mut ends = mesh(vec![Arc::new(Flag(AtomicBool::new(false)))], Limits::default());
        let port = Port::new(ends.remove(0), vec![0; 4].into(), Arc::default());
        let clock = world.clone();
        let connections = Connections::new(port.clone(), context(), move || clock.now());
        world.spawn(serve(world.clone(), (), connections.clone(), Surface::All));
        let mut lane = Lane { world, port, connections, running: Vec::new() };
        lane.run();
        lane
    }

    /// Polls whoever was woken, until nobody is.
    fn run(&mut self) {
        loop {
            self.running.append(&mut self.world.0.spawned.borrow_mut());
            let before = self.running.len();
            let mut any = false;
            self.running.retain_mut(|(task, flag)| {
                if !flag.0.swap(false, SeqCst) {
                    return true;
                }
                any = true;
                let waker = Waker::from(Arc::clone(flag));
                task.as_mut().poll(&mut Task::from_waker(&waker)).is_pending()
            });
            if !any && self.running.len() == before && self.world.0.spawned.borrow().is_empty() {
                return;
            }
        }
    }

    fn pass(&mut self, micros: u64) {
        let end = self.world.0.now.get() + micros;
        while self.world.0.now.get() < end {
            self.world.0.now.set((self.world.0.now.get() + SWEEP_MICROS / 4).min(end));
            let now = self.world.now();
            self.world.0.sleepers.borrow_mut().retain(|(at, waker)| {
                if *at <= now {
                    waker.wake_by_ref();
                }
                *at > now
            });
            self.run();
        }
    }

    fn connect(&mut self) -> Socket {
        let socket = Socket::default();
        self.world.0.arriving.borrow_mut().push_back(socket.clone());
        if let Some(waker) = self.world.0.accepter.take() {
            waker.wake();
        }
        self.run();
        socket
    }

    fn send(&mut self, socket: &Socket, bytes: impl AsRef<[u8]>) {
        socket.up.put(bytes.as_ref());
        self.run();
    }

    fn reply(&mut self, slot: u32, generation: u32, request: u32) {
        let to = ReplyTo { lane: 0, slot, generation, request };
        self.connections.deliver(to, Reply::Refused(Refusal::KeyReused));
        self.connections.flush();
        self.run();
    }
}

fn statuses(text: &str) -> Vec<&str> {
    text.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect()
}

#[test]
fn replies_reach_the_connection_that_waits() {
    let mut lane = Lane::new();
    let (first, second) = (lane.connect(), lane.connect());
    lane.send(&first, post("k-1", ORDER) + &request("GET", "/nowhere", ""));
    lane.send(&second, post("k-2", ORDER));
    lane.reply(1, 0, 0);
    assert_eq!((&*first.down.text(), statuses(&second.down.text())), ("", vec!["422"]));
    lane.reply(0, 0, 0);
    assert_eq!(statuses(&first.down.text()), ["422", "404"]);
}

#[test]
fn a_late_reply_does_not_reach_the_next_connection_of_the_slot() {
    let mut lane = Lane::new();
    let gone = lane.connect();
    lane.send(&gone, post("k-1", ORDER) + "broken\n");
    gone.close();
    lane.run();
    lane.reply(0, 0, 0);
    lane.pass(LINGER_MICROS_MAX + SWEEP_MICROS);
    assert!(lane.connections.is_empty());
    let next = lane.connect();
    lane.send(&next, post("k-2", ORDER));
    lane.reply(0, 0, 0);
    assert_eq!(next.down.text(), "");
    lane.reply(0, 1, 0);
    assert_eq!(statuses(&next.down.text()), ["422"]);
}

#[test]
fn a_broken_request_is_answered_then_half_closed_then_cut() {
    let mut lane = Lane::new();
    let socket = lane.connect();
    lane.send(&socket, "GET / HTTP/1.1\nHost");
    assert_eq!(statuses(&socket.down.text()), ["400"]);
    assert!(socket.down.ended.get() && !socket.up.ended.get());
    lane.send(&socket, "more");
    lane.pass(LINGER_MICROS_MAX + 2 * SWEEP_MICROS);
    assert!(socket.up.ended.get() && lane.connections.is_empty());
}

#[test]
fn an_idle_connection_ends() {
    let mut lane = Lane::new();
    let socket = lane.connect();
    lane.pass(IDLE_MICROS_MAX + LINGER_MICROS_MAX + 3 * SWEEP_MICROS);
    assert!(socket.up.ended.get() && lane.connections.is_empty());
    assert_eq!(socket.down.text(), "");
}

#[test]
fn a_drain_ends_idle_connections_at_once_and_busy_ones_behind_their_answer() {
    let mut lane = Lane::new();
    let (idle, busy) = (lane.connect(), lane.connect());
    lane.send(&busy, post("k-1", ORDER));
    lane.port.drain();
    lane.pass(2 * SWEEP_MICROS);
    assert!(idle.down.ended.get() && !busy.down.ended.get() && lane.world.0.closed.get());
    lane.reply(1, 0, 0);
    assert!(busy.down.text().contains("Connection: close") && busy.down.ended.get());
    lane.pass(LINGER_MICROS_MAX + 3 * SWEEP_MICROS);
    assert!(lane.connections.is_empty() && lane.running.is_empty(), "every task has ended");
}

#[test]
fn a_drain_does_not_wait_for_ever() {
    let mut lane = Lane::new();
    let busy = lane.connect();
    lane.send(&busy, post("k-1", ORDER));
    lane.port.drain();
    lane.pass(DRAIN_MICROS_MAX + 3 * SWEEP_MICROS);
    assert!(busy.up.ended.get() && lane.running.is_empty());
}

#[test]
fn back_pressure_stops_the_reader_and_replies_start_it_again() {
    let mut lane = Lane::new();
    let socket = lane.connect();
    let count = 1_000;
    lane.send(&socket, post("k", ORDER).repeat(count));
    assert!(socket.up.bytes.borrow().len() > 100_000, "the reader stopped");
    for number in 0..count as u32 {
        lane.reply(0, 0, number);
    }
    assert_eq!(statuses(&socket.down.text()).len(), count);
}
