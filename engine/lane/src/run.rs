//! The loop of a lane: one future that turns until it is told to end.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use orderlane_core::{Effect, Input, Shard, Time};

use crate::commit::{Commit, CommitError, Receipt};
use crate::driver::Driver;
use crate::mesh::Packet;
use crate::outside::Outside;
use crate::port::{Clients, Port};
use crate::prefetch::{Commits, Prefetch};
use crate::shutdown::Shutdown;
use crate::turn::{Held, Turn};

type Pending<T> = Pin<Box<dyn Future<Output = T>>>;

/// What a lane is made of.
pub struct Lane<D, C, P, O, K> {
    /// The world.
    pub driver: D,
    /// The shards and their commit.
    pub turn: Turn<C>,
    /// The read before a batch.
    pub prefetch: P,
    /// Provider and mailer.
    pub outside: O,
    /// Where requests come in.
    pub port: Port,
    /// Where answers go.
    pub clients: Rc<K>,
    /// When to end.
    pub shutdown: Arc<Shutdown>,
}

/// Runs a lane until its shutdown is complete, or its commit fails.
///
/// # Errors
/// When a commit fails or its outcome stays unknown: what is durable is found at the next start.
pub async fn run<D, C, P, O, K>(mut lane: Lane<D, C, P, O, K>) -> Result<(), CommitError>
where
    D: Driver,
    C: Commit,
    P: Prefetch,
    O: Outside,
    K: Clients,
{
    let metrics = lane.port.metrics();
    assert_eq!(lane.turn.limits(), lane.port.limits(), "a lane has one set of bounds");
    let rounds_max = lane.port.limits().rounds_max;
    lane.turn.resume(lane.driver.now(), &metrics);
    let mut waits = Waits {
        commit: None,
        prefetch: None,
        woken: Box::pin(lane.driver.woken()),
        sleep: None,
        commits: Commits::default(),
    };
    std::future::poll_fn(|cx| {
        lane.wakes_up(&mut waits, cx);
        for _ in 0..rounds_max {
            let now = lane.driver.now();
            let mut progress = lane.finish_commit(&mut waits, now, cx)?;
            if lane.take(&mut waits, now, cx) && lane.turn.step(now, &metrics) {
                metrics.stall_micros.record(lane.driver.now().micros_since(now));
                progress = true;
            }
            progress |= lane.tend(&waits, now);
            progress |= lane.start_commit(&mut waits, now);
            lane.clients.flush();
            lane.port.flush_mesh();
            if progress {
                continue;
            }
            if lane.shutdown.is_begun() && lane.is_quiet(&waits) {
                return Poll::Ready(Ok(()));
            }
            if lane.falls_asleep(&mut waits, now, cx) {
                metrics.active.set(0);
                return Poll::Pending;
            }
        }
        // The sockets have waited long enough. A wake-up by way of the driver lets it look at them; a task that wakes itself
        // would not.
        lane.port.wake_self();
        Poll::Pending
    })
    .await
}

/// What the loop waits for: everything that can wake it, besides the port.
struct Waits<F> {
    commit: Option<(Time, Pending<Result<Receipt, CommitError>>)>,
    prefetch: Option<Pending<F>>,
    woken: Pending<()>,
    sleep: Option<(Time, Pending<()>)>,
    /// `decided` here is the last one that was started.
    commits: Commits,
}

impl<D, C, P, O, K> Lane<D, C, P, O, K>
where
    D: Driver,
    C: Commit,
    P: Prefetch,
    O: Outside,
    K: Clients,
{
    /// Something has woken the loop.
    fn wakes_up(&mut self, waits: &mut Waits<P::Found>, cx: &mut Context<'_>) {
        self.port.metrics().active.set(1);
        self.port.awake();
        while waits.woken.as_mut().poll(cx).is_ready() {
            waits.woken = Box::pin(self.driver.woken());
        }
        if self.shutdown.is_begun() && !self.port.is_draining() {
            self.port.drain();
        }
    }

    /// Releases the effects of the commit in flight, if it is durable now.
    fn finish_commit(
        &mut self,
        waits: &mut Waits<P::Found>,
        now: Time,
        cx: &mut Context<'_>,
    ) -> Result<bool, CommitError> {
        let Some((started, commit)) = &mut waits.commit else { return Ok(false) };
        let Poll::Ready(result) = commit.as_mut().poll(cx) else { return Ok(false) };
        let receipt = result?;
        let metrics = self.port.metrics();
        metrics.commits.add(1);
        metrics.commit_bytes.add(receipt.buffer.len() as u64);
        metrics.commit_micros.record(now.micros_since(*started));
        receipt.sync_micros.into_iter().for_each(|micros| metrics.sync_micros.record(micros));
        waits.commit = None;
        waits.commits.durable += 1;
        waits.commits.bytes += receipt.buffer.len() as u64;
        self.turn.commit.finish(receipt);
        let released = self.turn.gate.release_sealed();
        self.release(now, released);
        Ok(true)
    }

    /// Takes a batch of inputs. False while the prefetch for it is under way: an input never overtakes one that waits.
    fn take(&mut self, waits: &mut Waits<P::Found>, now: Time, cx: &mut Context<'_>) -> bool {
        self.port.receive_mesh(|packet| {
            if let Packet::Reply(to, reply) = packet {
                self.clients.deliver(to, reply);
            }
        });
        self.outside.poll(now, &self.port);
        if waits.prefetch.is_none() {
            self.turn.take(&self.port);
            let read = self.prefetch.start(self.turn.staged(), self.turn.shards());
            waits.prefetch = read.map(|read| Box::pin(read) as Pending<P::Found>);
        }
        let Some(read) = &mut waits.prefetch else { return true };
        let Poll::Ready(found) = read.as_mut().poll(cx) else { return false };
        waits.prefetch = None;
        let cold = self.prefetch.finish(found);
        self.turn.bring(cold);
        true
    }

    /// Lets the prefetch keep house. True when it has more to do at once.
    fn tend(&mut self, waits: &Waits<P::Found>, now: Time) -> bool {
        let open = u64::from(self.turn.commit.open_bytes() > 0);
        let commits =
            Commits { decided: waits.commits.decided + open, in_flight: waits.commit.is_some(), ..waits.commits };
        let before = self.driver.now();
        let tended = self.prefetch.tend(now, self.turn.shards_mut(), commits);
        if tended.worked {
            let metrics = self.port.metrics();
            metrics.cut_micros.record(self.driver.now().micros_since(before));
            metrics.orders_in_memory.set(self.turn.shards().iter().map(Shard::orders_in_memory).sum());
        }
        if !tended.covered.is_empty() {
            self.turn.commit.covered(&tended.covered);
        }
        tended.more
    }

    /// Sends the open batch on its way when none is; without events its effects are free at once.
    fn start_commit(&mut self, waits: &mut Waits<P::Found>, now: Time) -> bool {
        if waits.commit.is_some() || self.prefetch.holds_commits() {
            return false;
        }
        if let Some(commit) = self.turn.commit.start() {
            waits.commits.decided += 1;
            self.turn.gate.seal();
            let orders = self.turn.take_orders_open();
            if orders > 0 {
                self.port.metrics().commit_orders.record(orders);
            }
            waits.commit = Some((now, Box::pin(commit)));
            return true;
        }
        let released = self.turn.gate.release_open();
        let any = !released.is_empty();
        self.release(now, released);
        any
    }

    fn release(&mut self, now: Time, mut effects: Vec<Held>) {
        for (shard, effect) in effects.drain(..) {
            match effect {
                Effect::Reply { to, reply } if to.lane == self.port.lane() => self.clients.deliver(to, reply),
                Effect::Reply { to, reply } => self.port.send_reply(to, reply),
                Effect::Tell { target, sequence, message } => {
                    self.port.send_inner(target, Input::Tell { source: shard, sequence, message });
                }
                Effect::Acknowledge { source, upto } => {
                    self.port.send_inner(source, Input::Acknowledged { target: shard, upto });
                }
                Effect::Outside(call) => self.outside.perform(now, call, &self.port),
            }
        }
        self.turn.gate.give_back(effects);
    }

    /// Nothing is left to do on this lane, and no lane has clients any more.
    fn is_quiet(&self, waits: &Waits<P::Found>) -> bool {
        waits.commit.is_none()
            && waits.prefetch.is_none()
            && self.turn.gate.is_empty()
            && self.port.is_empty()
            && self.shutdown.all_closed()
    }

    /// Arms everything that may wake the loop, then looks once more. True: nothing is there, sleep.
    fn falls_asleep(&mut self, waits: &mut Waits<P::Found>, now: Time, cx: &mut Context<'_>) -> bool {
        self.port.sleep(cx.waker());
        if self.port.has_input(waits.prefetch.is_none() && self.turn.has_room()) {
            self.port.awake();
            return false;
        }
        // While commits are held the journal stays as it is, markers too.
        if waits.commit.is_none() && !self.prefetch.holds_commits() {
            self.turn.commit.idle();
        }
        let next = [self.turn.poll_timeout(), self.outside.poll_timeout()].into_iter().flatten().min();
        self.sleeps_until(waits, next, now, cx)
    }

    fn sleeps_until(&self, waits: &mut Waits<P::Found>, next: Option<Time>, now: Time, cx: &mut Context<'_>) -> bool {
        // While a read is under way, or the open batch is full, nothing is handled, timers neither.
        let may_fire = waits.prefetch.is_none() && self.turn.has_room();
        let Some(at) = next.filter(|_| may_fire) else { return true };
        if at <= now {
            self.port.awake();
            return false;
        }
        if waits.sleep.as_ref().is_none_or(|(until, _)| at < *until) {
            waits.sleep = Some((at, Box::pin(self.driver.sleep_until(at))));
        }
        let (_, sleep) = waits.sleep.as_mut().expect("just set");
        if sleep.as_mut().poll(cx).is_ready() {
            waits.sleep = None;
            self.port.awake();
            return false;
        }
        true
    }
}
