//! What happens to a process that runs: crashes that come, clocks that are set, lanes that stall; and holds that go on too long.

use orderlane_core::OrderId;

use super::{Go, Life, World};
use crate::faults::Fault;
use crate::invariants::saga_ends;
use crate::keeper::RESERVE_BYTES;
use crate::model::Order;

/// A hold that is over by its lane's clock ends within this virtual time, since stalls and slow syncs are shorter, and the hold's
/// own and what the clocks were set by: a timer that was set before its lane's clock was set forward counts real time.
const HOLD_OVER_MICROS_MAX: u64 = 60_000_000;

/// How often the weather tries a start on a copy.
const TRY_PER_MILLE: u64 = 100;

impl World {
    /// Crashes, stops, stalls, clocks: what happens to a process that runs.
    pub(super) fn weather(&mut self) -> Go {
        if let Some(fuse) = &mut self.fuse {
            *fuse = fuse.saturating_sub(1);
            if *fuse == 0 {
                self.fuse = None;
                self.end_somehow();
                return Ok(());
            }
        }
        let now = self.elapsed();
        if now < self.weather_at {
            return Ok(());
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
        if sim.options().archive.is_some() {
            self.weather_of_archive();
            if self.random.chance(TRY_PER_MILLE) {
                return self.try_start();
            }
        }
        Ok(())
    }

    /// A keeper that does not run, and a disk that others fill up.
    fn weather_of_archive(&mut self) {
        let (sim, now) = (self.around.sim.clone(), self.elapsed());
        if let Life::Up(process) = &self.life
            && let Some((group, _)) = process.keeper()
            && sim.faults().draw(Fault::KeeperStall, &mut self.random)
        {
            let micros = 10_u64.pow(self.random.between(2, 7) as u32);
            sim.executor().stall(*group, micros);
            sim.faults().observed(Fault::KeeperStall);
            sim.note("keeper-stall", &[micros]);
        }
        match self.full_until {
            Some(until) if until <= now => {
                self.around.disk.leave_room(None);
                self.full_until = None;
            }
            None if sim.faults().draw(Fault::DiskFull, &mut self.random) => {
                let free = self.random.between(RESERVE_BYTES / 2, RESERVE_BYTES + RESERVE_BYTES / 8);
                self.around.disk.leave_room(Some(free));
                self.full_until = Some(now + self.random.between(100_000, 20_000_000));
            }
            Some(_) | None => {}
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
