//! Where a lane's clients and its loop meet: requests go in, replies come out. All on one thread.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;

use orderlane_core::{Input, Refusal, ReplyTo, Request, ShardId};

use crate::limits::{INBOX_REQUESTS_MAX, OUTBOX_REQUESTS_MAX};
use crate::mesh::{MeshEnd, Packet};
use crate::metrics::LaneMetrics;

/// Who gets the replies of a lane: the gateway's connections.
pub trait Clients: 'static {
    /// Hands over one answer. `to` may name a connection that is gone: then it is dropped.
    fn deliver(&self, to: ReplyTo, reply: orderlane_core::Reply);

    /// Called when the answers of a turn have all been delivered: the moment to write them out.
    fn flush(&self);
}

/// The door of a lane for requests. Shared by the tasks of one thread.
#[derive(Clone)]
pub struct Port(Rc<Shared>);

pub(crate) struct Shared {
    lane: u16,
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
            let full = queues.requests.len() >= INBOX_REQUESTS_MAX;
            if !full {
                queues.requests.push_back((shard, input));
            }
            full
        } else {
            let target = usize::from(target);
            let full = queues.mesh.waiting(target) >= OUTBOX_REQUESTS_MAX;
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

    /// From now on no new connection is accepted and every answer closes its connection; the loop ends when nothing is left to do.
    pub fn drain(&self) {
        self.0.draining.set(true);
        self.wake_loop();
    }

    /// Whether [`Port::drain`] was called.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.0.draining.get()
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.0
    }

    pub(crate) fn lane_of(&self, shard: ShardId) -> u16 {
        self.0.lane_of_shard[shard.index()]
    }
}
