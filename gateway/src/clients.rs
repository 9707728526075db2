//! The connections of a lane: who gets which reply, and who has something to write.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use orderlane_core::{Reply, ReplyTo, Time};
use orderlane_lane::{Clients, Port, StreamCloser};

use crate::connection::{Connection, Context};
use crate::limits::CONNECTIONS_MAX;
use crate::metrics::GatewayMetrics;
use crate::routes::Surface;

/// A lane's table of connections. Cheap to clone; stays on its thread.
#[derive(Clone)]
pub struct Connections(Rc<Table>);

struct Table {
    port: Port,
    context: RefCell<Context>,
    clock: Box<dyn Fn() -> Time>,
    slots: RefCell<Slots>,
    /// Connections that replies were delivered to since the last flush.
    touched: RefCell<Vec<Rc<Client>>>,
}

#[derive(Default)]
struct Slots {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

#[derive(Default)]
struct Slot {
    generation: u32,
    client: Option<Rc<Client>>,
}

/// One connection with what its two tasks share.
pub(crate) struct Client {
    slot: u32,
    generation: u32,
    pub(crate) connection: RefCell<Connection>,
    closer: Box<dyn StreamCloser>,
    closed: Cell<bool>,
    is_touched: Cell<bool>,
    /// Its reading and its writing task, as long as they run.
    tasks: Cell<u8>,
    pub(crate) readable: Signal,
    pub(crate) writable: Signal,
}

/// Lets one task wait for a condition.
#[derive(Default)]
pub(crate) struct Signal(Cell<Option<Waker>>);

impl Signal {
    fn wake(&self) {
        if let Some(waker) = self.0.take() {
            waker.wake();
        }
    }

    /// Completes when `ready` holds; it is looked at again at each wake.
    pub(crate) async fn until(&self, ready: impl Fn() -> bool) {
        poll_fn(|task| {
            if ready() {
                return Poll::Ready(());
            }
            self.0.set(Some(task.waker().clone()));
            Poll::Pending
        })
        .await;
    }
}

impl Client {
    /// Whether the socket was closed.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.get()
    }

    /// Closes the socket: both tasks come to their end.
    pub(crate) fn close(&self) {
        if !self.closed.replace(true) {
            self.closer.close();
        }
        self.readable.wake();
        self.writable.wake();
    }
}

impl Connections {
    /// For the lane of this port. `clock` is the driver's.
    #[must_use]
    pub fn new(port: Port, context: Context, clock: impl Fn() -> Time + 'static) -> Connections {
        Connections(Rc::new(Table {
            port,
            context: RefCell::new(context),
            clock: Box::new(clock),
            slots: RefCell::default(),
            touched: RefCell::default(),
        }))
    }

    /// How many connections there are.
    #[must_use]
    pub fn len(&self) -> usize {
        let slots = self.0.slots.borrow();
        slots.slots.len() - slots.free.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.0.port.is_draining()
    }

    pub(crate) fn now(&self) -> Time {
        (self.0.clock)()
    }

    /// Runs `count` on the counters of this lane's gateway.
    pub(crate) fn count(&self, count: impl FnOnce(&GatewayMetrics)) {
        count(&self.0.context.borrow().metrics);
    }

    /// Takes a new connection with its two tasks to come; `None` when there are too many.
    pub(crate) fn add(&self, closer: Box<dyn StreamCloser>, surface: Surface) -> Option<Rc<Client>> {
        let mut slots = self.0.slots.borrow_mut();
        let slot = match slots.free.pop() {
            Some(slot) => slot,
            None if slots.slots.len() >= CONNECTIONS_MAX => return None,
            None => {
                slots.slots.push(Slot::default());
                slots.slots.len() as u32 - 1
            }
        };
        let place = &mut slots.slots[slot as usize];
        let client = Rc::new(Client {
            slot,
            generation: place.generation,
            connection: RefCell::new(Connection::new(surface, self.now())),
            closer,
            closed: Cell::new(false),
            is_touched: Cell::new(false),
            tasks: Cell::new(2),
            readable: Signal::default(),
            writable: Signal::default(),
        });
        place.client = Some(Rc::clone(&client));
        drop(slots);
        self.count(|metrics| {
            metrics.connections_accepted.add(1);
            metrics.connections_active.set(self.len() as u64);
        });
        Some(client)
    }

    /// One of the two tasks of a connection has ended; after the second one the connection is gone.
    pub(crate) fn task_ended(&self, client: &Client) {
        client.tasks.set(client.tasks.get() - 1);
        if client.tasks.get() > 0 {
            return;
        }
        client.close();
        let mut slots = self.0.slots.borrow_mut();
        let place = &mut slots.slots[client.slot as usize];
        place.generation = place.generation.wrapping_add(1);
        place.client = None;
        slots.free.push(client.slot);
        drop(slots);
        client.connection.borrow_mut().abandon(&self.0.context.borrow());
        self.count(|metrics| metrics.connections_active.set(self.len() as u64));
    }

    /// Lets a connection go on: parses, submits, and wakes its tasks for what there is to read and write.
    pub(crate) fn advance(&self, client: &Client) {
        self.run(client, Connection::advance);
    }

    fn run(&self, client: &Client, step: impl FnOnce(&mut Connection, Time, &mut Context)) {
        let now = self.now();
        let mut context = self.0.context.borrow_mut();
        context.set_draining(self.is_draining());
        let mut connection = client.connection.borrow_mut();
        step(&mut connection, now, &mut context);
        while self.submit(client, &mut connection, &mut context) {
            connection.advance(now, &mut context);
        }
        let (cut, write) = (connection.is_cut(), connection.has_output() || connection.is_finished());
        let read = connection.wants_input();
        drop(connection);
        if cut {
            client.close();
        }
        if write {
            client.writable.wake();
        }
        if read {
            client.readable.wake();
        }
    }

    /// Submits what the connection asks for; true when something was refused and must be answered.
    fn submit(&self, client: &Client, connection: &mut Connection, context: &mut Context) -> bool {
        let mut any = false;
        for submission in context.submissions().drain(..) {
            let reply_to = ReplyTo {
                lane: self.0.port.lane(),
                slot: client.slot,
                generation: client.generation,
                request: submission.number,
            };
            if let Err(refusal) = self.0.port.submit(submission.shard, reply_to, submission.request) {
                connection.deliver(submission.number, Reply::Refused(refusal));
                any = true;
            }
        }
        any
    }

    /// Looks at the deadlines of all connections. On a drain, those without work are closed.
    pub(crate) fn sweep(&self) {
        let now = self.now();
        let draining = self.is_draining();
        let clients: Vec<Rc<Client>> =
            self.0.slots.borrow().slots.iter().filter_map(|slot| slot.client.clone()).collect();
        for client in clients {
            let due = client.connection.borrow().poll_timeout().is_some_and(|deadline| deadline <= now);
            if due {
                self.run(&client, Connection::handle_timeout);
            } else if draining {
                self.advance(&client);
            }
        }
    }

    /// Closes all connections, whatever they are doing.
    pub(crate) fn close_all(&self) {
        for client in self.0.slots.borrow().slots.iter().filter_map(|slot| slot.client.as_ref()) {
            client.close();
        }
    }
}

impl Clients for Connections {
    fn deliver(&self, to: ReplyTo, reply: Reply) {
        let slots = self.0.slots.borrow();
        let Some(client) = slots.slots.get(to.slot as usize).and_then(|slot| slot.client.as_ref()) else { return };
        if client.generation != to.generation {
            return;
        }
        client.connection.borrow_mut().deliver(to.request, reply);
        if !client.is_touched.replace(true) {
            self.0.touched.borrow_mut().push(Rc::clone(client));
        }
    }

    fn flush(&self) {
        let mut touched = std::mem::take(&mut *self.0.touched.borrow_mut());
        for client in touched.drain(..) {
            client.is_touched.set(false);
            self.advance(&client);
        }
        *self.0.touched.borrow_mut() = touched;
    }
}
