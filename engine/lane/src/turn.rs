//! One turn, without waiting: take a batch of inputs, decide, append to the open commit, hold the effects at the gate.
//!
//! ```text
//! port ─> staged ─> Shard::handle ─> Shard::end_turn ─┬─ events ──> commit (open batch)
//!         (prefetch)                                  └─ effects ─> gate   (open batch)
//! ```

use std::collections::VecDeque;

use orderlane_core::{Cold, Effect, Event, Input, OrderId, Output, Shard, ShardId, Status, Time};

use crate::commit::Commit;
use crate::gate::Gate;
use crate::limits::Limits;
use crate::metrics::LaneMetrics;
use crate::port::Port;

/// The shards of a lane, and the batch under way.
pub struct Turn<C> {
    limits: Limits,
    shards: Vec<Shard>,
    /// Where a shard stands in `shards`; `None` when another lane owns it.
    slots: Vec<Option<usize>>,
    outputs: Vec<Output>,
    touched: Vec<usize>,
    staged: VecDeque<(ShardId, Input)>,
    /// What the prefetch brought for the staged inputs, by their places.
    cold: VecDeque<(usize, Cold)>,
    pub(crate) commit: C,
    pub(crate) gate: Gate,
    orders_open: u64,
}

impl<C: Commit> Turn<C> {
    /// A lane with these shards of `shard_count` in all, this way to make their events durable, and the bounds of its mesh.
    #[must_use]
    pub fn new(shards: Vec<Shard>, shard_count: u16, commit: C, limits: Limits) -> Turn<C> {
        let mut slots = vec![None; usize::from(shard_count)];
        for (slot, shard) in shards.iter().enumerate() {
            slots[shard.id().index()] = Some(slot);
        }
        let outputs = shards.iter().map(|_| Output::default()).collect();
        Turn {
            limits,
            shards,
            slots,
            outputs,
            touched: Vec::new(),
            staged: VecDeque::new(),
            cold: VecDeque::new(),
            commit,
            gate: Gate::default(),
            orders_open: 0,
        }
    }

    /// After recovery: the effects that have no recorded outcome.
    pub fn resume(&mut self, now: Time, metrics: &LaneMetrics) {
        for slot in 0..self.shards.len() {
            self.shards[slot].resume(now, &mut self.outputs[slot]);
            self.touched.push(slot);
        }
        self.close_outputs(now, metrics);
    }

    /// Takes what has arrived, as far as the open batch has room. Inner inputs first, so that what has begun ends.
    pub fn take(&mut self, port: &Port) {
        if self.has_room() {
            port.take(self.limits.batch_max.saturating_sub(self.staged.len()), &mut self.staged);
        }
    }

    pub(crate) fn limits(&self) -> Limits {
        self.limits
    }

    /// Whether the open batch takes more inputs.
    pub(crate) fn has_room(&self) -> bool {
        self.commit.open_bytes() < self.limits.commit_bytes_max
    }

    /// What waits to be handled, in order: what a prefetch looks at.
    #[must_use]
    pub fn staged(&self) -> &VecDeque<(ShardId, Input)> {
        &self.staged
    }

    /// What the prefetch brought for the staged inputs, by their places, ascending.
    pub(crate) fn bring(&mut self, cold: Vec<(usize, Cold)>) {
        self.cold.extend(cold);
    }

    /// The shards of the lane, for a prefetch.
    pub fn shards_mut(&mut self) -> &mut [Shard] {
        &mut self.shards
    }

    /// The shards of the lane.
    #[must_use]
    pub fn shards(&self) -> &[Shard] {
        &self.shards
    }

    /// Handles all that is staged and, while the open batch has room, all that is due. True when there was anything.
    pub fn step(&mut self, now: Time, metrics: &LaneMetrics) -> bool {
        let inputs = self.staged.len();
        for place in 0..inputs {
            let (shard, input) = self.staged.pop_front().expect("as many as were counted");
            let slot = self.slots[shard.index()].expect("inputs are sent to the lane that owns their shard");
            self.touch(slot);
            let cold = self.cold.pop_front_if(|(of, _)| *of == place).map(|(_, cold)| cold);
            self.shards[slot].handle_with(now, input, cold, &mut self.outputs[slot]);
        }
        assert!(self.cold.is_empty(), "what was found was found for a staged input");
        for slot in 0..self.shards.len() {
            if self.has_room() && self.shards[slot].poll_timeout().is_some_and(|at| at <= now) {
                self.touch(slot);
                self.shards[slot].handle_timeout(now, &mut self.outputs[slot]);
            }
        }
        if self.touched.is_empty() {
            return false;
        }
        metrics.turns.add(1);
        metrics.inputs.add(inputs as u64);
        self.close_outputs(now, metrics);
        true
    }

    /// The earliest time at which a shard wants a turn.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        self.shards.iter().filter_map(Shard::poll_timeout).min()
    }

    /// Orders created in the open batch; counting starts again.
    pub(crate) fn take_orders_open(&mut self) -> u64 {
        std::mem::take(&mut self.orders_open)
    }

    fn touch(&mut self, slot: usize) {
        if !self.touched.contains(&slot) {
            self.touched.push(slot);
        }
    }

    /// Ends the turn of every shard that was touched: its events to the commit, its effects to the gate.
    fn close_outputs(&mut self, now: Time, metrics: &LaneMetrics) {
        for slot in self.touched.drain(..) {
            let (shard, output) = (&mut self.shards[slot], &mut self.outputs[slot]);
            shard.end_turn(now, output);
            if !output.events.is_empty() {
                let first = shard.sequence() + 1 - output.events.len() as u64;
                self.commit.append(shard.id(), first, shard.time(), &output.events);
                metrics.events.add(output.events.len() as u64);
                self.orders_open += count(shard, &output.events, metrics);
                output.events.clear();
            }
            self.gate.hold(shard.id(), output.effects.drain(..));
        }
        gauge(&self.shards, metrics);
    }
}

fn gauge(shards: &[Shard], metrics: &LaneMetrics) {
    for status in Status::ALL {
        let count = shards.iter().map(|shard| shard.orders_by_status()[status as usize]).sum();
        metrics.orders_in[status as usize].set(count);
    }
}

/// Counts what happened; gives how many orders were created.
fn count(shard: &Shard, events: &[Event], metrics: &LaneMetrics) -> u64 {
    let mut created = 0;
    for event in events {
        let (step, order): (usize, OrderId) = match event {
            Event::OrderCreated { .. } => {
                created += 1;
                continue;
            }
            Event::InventoryReserved { order, .. } => (0, *order),
            Event::PaymentCompleted { order, .. } => (1, *order),
            Event::OrderCompleted { order } => (2, *order),
            Event::NotificationSent { order } => (3, *order),
            _ => match event.saga_order().filter(|_| event.is_end()) {
                Some(order) => (4, order),
                None => continue,
            },
        };
        let created_at = shard.created_at(order).expect("an event names an order of its shard");
        let micros = shard.time().micros_since(created_at);
        metrics.saga_micros[step].record(micros);
        if event.is_end() {
            metrics.orders_ended[end_status(event) as usize].add(1);
            if step != 4 {
                metrics.saga_micros[4].record(micros);
            }
        }
    }
    metrics.orders_created.add(created);
    created
}

fn end_status(event: &Event) -> Status {
    match event {
        Event::OrderRejected { .. } => Status::Rejected,
        Event::OrderFailed { .. } => Status::PaymentFailed,
        Event::OrderExpired { .. } => Status::Expired,
        Event::OrderCancelled { .. } => Status::Cancelled,
        _ => Status::Completed,
    }
}

/// An effect and the shard that it comes from.
pub(crate) type Held = (ShardId, Effect);
