//! Outages: windows of virtual time in which the provider answers nothing.

use crate::faults::Fault;
use crate::random::Random;
use crate::sim::Sim;

/// When the provider is out, and when it may be next. In microseconds since the start of the world.
#[derive(Debug, Default)]
pub(super) struct Weather {
    out_until: u64,
    /// `None` before the first call.
    next_draw: Option<u64>,
}

/// Between two draws.
const CALM_MICROS: [u64; 4] = [50_000, 300_000, 3_000_000, 20_000_000];
/// How long an outage is: shorter than a pause of the engine, and long enough for every expiry.
const OUTAGE_MICROS: [u64; 4] = [300_000, 3_000_000, 30_000_000, 150_000_000];

impl Weather {
    /// Whether the provider is out now.
    pub(super) fn is_out(&mut self, sim: &Sim, random: &mut Random) -> bool {
        let now = sim.executor().elapsed_micros();
        let next = self.next_draw.unwrap_or_else(|| now + random.between(0, *CALM_MICROS.first().expect("not empty")));
        self.next_draw = Some(next);
        if now >= next {
            if sim.faults().draw(Fault::Outage, random) {
                self.out_until = now + *random.pick(&OUTAGE_MICROS);
                sim.note("provider out", &[self.out_until - now]);
            }
            self.next_draw = Some(now.max(self.out_until) + *random.pick(&CALM_MICROS));
        }
        now < self.out_until && sim.faults().is_on(Fault::Outage)
    }
}
