//! The ceiling that an engine can be measured against: the same gateway and driver, answered at once, nothing decided and
//! nothing stored.

use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use orderlane_core::{Input, OrderId, Refusal, Reply, Request, ShardId};

use crate::driver::Driver;
use crate::port::{Clients, Port};
use crate::shutdown::Shutdown;

/// Answers every request to place an order as if it had been placed, and refuses every other, until the shutdown.
pub async fn run_ceiling<D: Driver, K: Clients>(driver: D, port: Port, clients: Rc<K>, shutdown: Arc<Shutdown>) {
    let mut ceiling = Ceiling { port, clients, shutdown, number: 0 };
    let mut woken = Box::pin(driver.woken());
    std::future::poll_fn(|cx| {
        while woken.as_mut().poll(cx).is_ready() {
            woken = Box::pin(driver.woken());
        }
        ceiling.poll(&driver, cx)
    })
    .await;
}

struct Ceiling<K> {
    port: Port,
    clients: Rc<K>,
    shutdown: Arc<Shutdown>,
    number: u64,
}

impl<K: Clients> Ceiling<K> {
    fn poll<D: Driver>(&mut self, driver: &D, cx: &mut Context<'_>) -> Poll<()> {
        if self.shutdown.is_begun() && !self.port.is_draining() {
            self.port.drain();
        }
        let now = driver.now();
        for (shard, input) in self.port.take_requests() {
            let Input::Request { reply_to, request } = input else { continue };
            let reply = match request {
                Request::PlaceOrder { body, .. } => {
                    self.number += 1;
                    let order = OrderId::new(ShardId(shard.0), self.number);
                    Reply::Placed { order, created_at: now, body, replayed: false }
                }
                _ => Reply::Refused(Refusal::ShardUnavailable),
            };
            self.clients.deliver(reply_to, reply);
        }
        self.clients.flush();
        self.port.sleep(cx.waker());
        if self.shutdown.all_closed() { Poll::Ready(()) } else { Poll::Pending }
    }
}
