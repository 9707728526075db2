//! The provider as a lane sees it.

use std::cell::RefCell;
use std::rc::Rc;

use orderlane_core::{Outside as Request, ShardId, Time};
use orderlane_lane::{Outside, Port};

use super::Provider;

/// A lane of a process.
pub(super) struct Client {
    pub(super) number: u64,
    pub(super) shards: Vec<ShardId>,
    /// Known from the first turn of the lane on.
    pub(super) port: RefCell<Option<Port>>,
}

/// The provider as one lane of one process sees it. Dropped with its process.
pub struct ProviderClient {
    provider: Provider,
    client: Rc<Client>,
}

impl Provider {
    /// The provider for a lane that owns these shards.
    #[must_use]
    pub fn client(&self, shards: Vec<ShardId>) -> ProviderClient {
        let number = self.0.clients_next.get();
        self.0.clients_next.set(number + 1);
        let client = Rc::new(Client { number, shards, port: RefCell::new(None) });
        self.0.clients.borrow_mut().insert(number, Rc::downgrade(&client));
        ProviderClient { provider: self.clone(), client }
    }
}

impl ProviderClient {
    /// The port, at the first turn of the lane.
    fn meet(&self, port: &Port) {
        if self.client.port.borrow().is_none() {
            *self.client.port.borrow_mut() = Some(port.clone());
            self.provider.tell_again(&self.client);
        }
    }
}

impl Outside for ProviderClient {
    fn perform(&mut self, _now: Time, call: Request, port: &Port) {
        self.meet(port);
        self.provider.perform(&self.client, &call);
    }

    /// Answers come through the calendar of the world, in true time: a lane's clock that jumps neither hastens nor loses one.
    fn poll(&mut self, _now: Time, port: &Port) {
        self.meet(port);
    }

    fn poll_timeout(&self) -> Option<Time> {
        None
    }

    fn calls_open(&self) -> usize {
        self.provider.numbers(|open| open.client == self.client.number && open.is_first).len()
    }
}

impl Drop for ProviderClient {
    fn drop(&mut self) {
        self.provider.forget(&self.client);
    }
}
