//! What happens to a process that runs: crashes that come, clocks that are set, lanes that stall; and holds that go on too long.

use orderlane_core::OrderId;

use super::{Life, World};
use crate::faults::Fault;
use crate::invariants::saga_ends;
use crate::model::Order;

/// A hold that is over by its lane's clock ends within this virtual time, since stalls and slow syncs are shorter, and the hold's
/// own and what the clocks were set by: a timer that was set before its lane's clock was set forward counts real time.
const HOLD_OVER_MICROS_MAX: u64 = 60_000_000;

impl World {
    /// Crashes, stops, stalls, clocks: what happens to a process that runs.
    pub(super) fn weather(&mut self) {
        if let Some(fuse) = &mut self.fuse {
            *fuse = fuse.saturating_sub(1);
            if *fuse == 0 {
                self.fuse = None;
                return self.end_somehow();
            }
        }
        let now = self.elapsed();
        if now < self.weather_at {
            return;
        }
        self.weather_at = now + self.random.between(1_000, 2_000_000);
        self.look_for_outlived_holds();
        let sim = self.around.sim.clone();
        let lane = self.random.below(u64::from(self.lanes)) as u16;
        if sim.faults().draw(Fault::ClockJump, &mut self.random) {
            let micros = match self.random.below(4) {
                0 => -(self.random.below(3_000_000) as i64),
                1 => self.random.below(60_000_000) as i64,
                _ => self.random.below(500_000) as i64,
            };
            self.clock_shift_micros += micros.unsigned_abs();
            self.around.clocks.shift(lane, micros);
            sim.faults().observed(Fault::ClockJump);
            sim.note("clock", &[u64::from(lane), micros as u64]);
        }
        if let Life::Up(process) = &self.life
            && sim.faults().draw(Fault::LaneStall, &mut self.random)
        {
            let micros = 10_u64.pow(self.random.between(2, 7) as u32);
            sim.executor().stall(process.groups()[usize::from(lane)], micros);
            sim.faults().observed(Fault::LaneStall);
            sim.note("stall", &[u64::from(lane), micros]);
        }
    }

    /// A hold that is over by its lane's clock ends soon, also when it began before a restart.
    fn look_for_outlived_holds(&mut self) {
        let (now, truth) = (self.elapsed(), self.sim().executor().now());
        let lanes = self.lanes;
        let seen = self.around.watch.seen();
        let clock = |order: &Order| self.around.clocks.read(order.id.shard().0 % lanes, truth);
        let is_over = |order: &Order| saga_ends::can_expire(order) && order.deadline.0 < clock(order);
        let over: Vec<OrderId> =
            seen.model.orders.values().filter(|order| is_over(order)).map(|order| order.id).collect();
        drop(seen);
        self.holds_over.retain(|order, _| over.contains(order));
        let limit = HOLD_OVER_MICROS_MAX + self.sim().options().hold_ttl_micros + self.clock_shift_micros;
        for order in over {
            let since = *self.holds_over.entry(order).or_insert(now);
            if now - since > limit {
                let text = format!("{order} goes on {} s after the end of its hold", (now - since) / 1_000_000);
                self.sim().violate(saga_ends::NAME, Some(order.shard()), text);
            }
        }
    }
}
