//! Where a lane's clients and its loop meet: requests go in, replies come out. All on one thread.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;

use orderlane_core::{Input, Refusal, Reply, ReplyTo, Request, ShardId};

use crate::limits::Limits;
use crate::mesh::{MeshEnd, Packet};
use crate::metrics::LaneMetrics;

/// Who gets the replies of a lane: the gateway's connections.
pub trait Clients: 'static {
    /// Hands over one answer. `to` may name a connection that is gone: then it is dropped.
    fn deliver(&self, to: ReplyTo, reply: Reply);

    /// Called when the answers of a turn have all been delivered: the moment to write them out.
    fn flush(&self);
}

/// The door of a lane for requests. Shared by the tasks of one thread.
#[derive(Clone)]
pub struct Port(Rc<Shared>);

pub(crate) struct Shared {
    lane: u16,
    limits: Limits,
    lane_of_shard: Arc<[u16]>,
    pub(crate) queues: RefCell<Queues>,
    pub(crate) sleeper: RefCell<Option<Waker>>,
    draining: Cell<bool>,
    pub(crate) metrics: Arc<LaneMetrics>,
}

pub(crate) struct Queues {
    /// Requests of clients: bounded, refused beyond the bound.
    pub(crate) requests: VecDeque<(ShardId, Input)>,
    /// Messages of shards, outcomes, acknowledgements: never refused; bounded by the open orders. Handled first, so that what
    /// has begun ends before something new begins.
    pub(crate) inner: VecDeque<(ShardId, Input)>,
    pub(crate) mesh: MeshEnd,
}

impl Port {
    /// The port of the lane whose end of the mesh this is. `lane_of_shard` says which lane owns each shard.
    #[must_use]
    pub fn new(mesh: MeshEnd, lane_of_shard: Arc<[u16]>, metrics: Arc<LaneMetrics>) -> Port {
        Port(Rc::new(Shared {
            lane: u16::try_from(mesh.lane()).expect("at most LANES_MAX lanes"),
            limits: mesh.limits(),
            lane_of_shard,
            queues: RefCell::new(Queues { requests: VecDeque::new(), inner: VecDeque::new(), mesh }),
            sleeper: RefCell::new(None),
            draining: Cell::new(false),
            metrics,
        }))
    }

    /// This lane's number.
    #[must_use]
    pub fn lane(&self) -> u16 {
        self.0.lane
    }

    /// How many shards there are, over all lanes.
    #[must_use]
    pub fn shard_count(&self) -> u16 {
        u16::try_from(self.0.lane_of_shard.len()).expect("at most SHARDS_MAX shards")
    }

    /// Sends a request on its way to its shard, wherever that lives. An error is the answer, and nothing was stored.
    ///
    /// # Errors
    /// [`Refusal::Overloaded`] when the queue towards the shard is full.
    pub fn submit(&self, shard: ShardId, reply_to: ReplyTo, request: Request) -> Result<(), Refusal> {
        let target = self.0.lane_of_shard[shard.index()];
        let input = Input::Request { reply_to, request };
        let mut queues = self.0.queues.borrow_mut();
        let full = if target == self.0.lane {
            let full = queues.requests.len() >= self.0.limits.inbox_requests_max;
            if !full {
                queues.requests.push_back((shard, input));
            }
            full
        } else {
            let target = usize::from(target);
            let full = queues.mesh.waiting(target) >= self.0.limits.outbox_requests_max;
            if !full {
                queues.mesh.send(target, Packet::Input(shard, input));
            }
            full
        };
        drop(queues);
        if full {
            self.0.metrics.overloaded.add(1);
            return Err(Refusal::Overloaded);
        }
        self.wake_loop();
        Ok(())
    }

    /// An input from outside the clients: an outcome of the provider or the mailer.
    pub fn submit_inner(&self, shard: ShardId, input: Input) {
        self.0.queues.borrow_mut().inner.push_back((shard, input));
        self.wake_loop();
    }

    /// Wakes the loop if it sleeps.
    pub fn wake_loop(&self) {
        if let Some(waker) = self.0.sleeper.borrow_mut().take() {
            waker.wake();
        }
    }

    /// From now on no new connection is accepted and every answer closes its connection.
    pub fn drain(&self) {
        self.0.draining.set(true);
        self.wake_loop();
    }

    /// Whether [`Port::drain`] was called.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.0.draining.get()
    }

    /// Moves up to `count_max` inputs to `staged`: inner ones first, then requests, each in the order of arrival.
    pub(crate) fn take(&self, count_max: usize, staged: &mut VecDeque<(ShardId, Input)>) {
        let queues = &mut *self.0.queues.borrow_mut();
        self.0.metrics.inbox_depth.set((queues.inner.len() + queues.requests.len()) as u64);
        self.0.metrics.inbox_requests.set(queues.requests.len() as u64);
        let inner = count_max.min(queues.inner.len());
        staged.extend(queues.inner.drain(..inner));
        let requests = (count_max - inner).min(queues.requests.len());
        staged.extend(queues.requests.drain(..requests));
    }

    /// Takes all requests that wait here, in order.
    #[must_use]
    pub fn take_requests(&self) -> VecDeque<(ShardId, Input)> {
        std::mem::take(&mut self.0.queues.borrow_mut().requests)
    }

    /// Takes the packets of other lanes: inputs are queued, replies go to `reply`.
    pub(crate) fn receive_mesh(&self, mut reply: impl FnMut(Packet)) {
        let queues = &mut *self.0.queues.borrow_mut();
        let (inner, requests) = (&mut queues.inner, &mut queues.requests);
        let inbox_requests_max = self.0.limits.inbox_requests_max;
        let mut refused = Vec::new();
        queues.mesh.receive(|packet| match packet {
            Packet::Input(_, Input::Request { reply_to, .. }) if requests.len() >= inbox_requests_max => {
                refused.push(reply_to);
            }
            Packet::Input(shard, input @ Input::Request { .. }) => requests.push_back((shard, input)),
            Packet::Input(shard, input) => inner.push_back((shard, input)),
            Packet::Reply(..) => reply(packet),
        });
        self.0.metrics.overloaded.add(refused.len() as u64);
        for to in refused {
            queues.mesh.send(usize::from(to.lane), Packet::Reply(to, Reply::Refused(Refusal::Overloaded)));
        }
    }

    /// An input that is never refused, to whichever lane owns the shard.
    pub(crate) fn send_inner(&self, shard: ShardId, input: Input) {
        let queues = &mut *self.0.queues.borrow_mut();
        let target = self.0.lane_of_shard[shard.index()];
        if target == self.0.lane {
            queues.inner.push_back((shard, input));
        } else {
            queues.mesh.send(usize::from(target), Packet::Input(shard, input));
        }
    }

    /// An answer to a client of another lane.
    pub(crate) fn send_reply(&self, to: ReplyTo, reply: Reply) {
        self.0.queues.borrow_mut().mesh.send(usize::from(to.lane), Packet::Reply(to, reply));
    }

    pub(crate) fn flush_mesh(&self) {
        if !self.0.queues.borrow_mut().mesh.flush() {
            self.0.metrics.rings_full.add(1);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        let queues = self.0.queues.borrow();
        queues.inner.is_empty() && queues.requests.is_empty() && queues.mesh.is_empty()
    }

    /// Whether there is anything for the loop: packets, room for packets that wait, and queued inputs if it may take them.
    pub(crate) fn has_input(&self, may_take: bool) -> bool {
        let queues = self.0.queues.borrow();
        queues.mesh.has_input()
            || queues.mesh.has_room()
            || may_take && !(queues.inner.is_empty() && queues.requests.is_empty())
    }

    /// The loop is about to sleep: `waker` is used by whoever has something for it.
    pub(crate) fn sleep(&self, waker: &Waker) {
        *self.0.sleeper.borrow_mut() = Some(waker.clone());
        self.0.queues.borrow().mesh.sleeping();
    }

    /// Makes the driver wake this lane's own loop.
    pub(crate) fn wake_self(&self) {
        self.0.queues.borrow().mesh.wake_self();
    }

    pub(crate) fn awake(&self) {
        self.0.queues.borrow().mesh.awake();
    }

    pub(crate) fn limits(&self) -> Limits {
        self.0.limits
    }

    pub(crate) fn metrics(&self) -> Arc<LaneMetrics> {
        self.0.metrics.clone()
    }
}
