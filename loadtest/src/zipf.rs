//! Zipf-distributed choice.

use crate::random::SplitMix64;

/// Chooses a rank in `0..count`, rank `r` with a weight of `1 / (r + 1)^skew`; a skew of 0 is uniform.
///
/// Walker's alias table (Vose 1991): one draw and one table slot a choice, where a cumulative table would miss the
/// cache in every step of its binary search. 16 bytes a rank; none for the uniform choice.
#[derive(Clone, Debug)]
pub struct Zipf {
    count: u64,
    slots: Vec<Slot>,
}

/// A slot stands for two ranks: its own below the threshold, `alias` above it.
#[derive(Clone, Copy, Debug)]
struct Slot {
    threshold: u64,
    alias: u32,
}

impl Zipf {
    /// Builds the table.
    ///
    /// # Panics
    /// When `count` is 0 or above `u32::MAX`, or `skew` is negative or not finite.
    #[must_use]
    pub fn new(count: u64, skew: f64) -> Self {
        assert!(count > 0 && u32::try_from(count).is_ok(), "a choice among {count}");
        assert!(skew.is_finite() && skew >= 0.0, "a skew of {skew}");
        let slots = if skew == 0.0 { Vec::new() } else { alias_table(&weights(count, skew)) };
        Self { count, slots }
    }

    /// Draws a rank.
    pub fn draw(&self, random: &mut SplitMix64) -> u64 {
        if self.slots.is_empty() {
            return random.below(self.count);
        }
        // The high half of the product is the slot, the low half is uniform within it.
        let product = u128::from(random.draw()) * self.slots.len() as u128;
        let rank = (product >> 64) as u64;
        let slot = self.slots[rank as usize];
        if (product as u64) < slot.threshold { rank } else { u64::from(slot.alias) }
    }
}

/// Weights with a mean of 1.
fn weights(count: u64, skew: f64) -> Vec<f64> {
    let raw: Vec<f64> = (1..=count).map(|rank| (rank as f64).powf(-skew)).collect();
    let scale = count as f64 / raw.iter().sum::<f64>();
    raw.into_iter().map(|weight| weight * scale).collect()
}

fn alias_table(weights: &[f64]) -> Vec<Slot> {
    let mut left = weights.to_vec();
    let mut slots: Vec<Slot> = (0..weights.len()).map(|own| Slot { threshold: u64::MAX, alias: own as u32 }).collect();
    let (mut small, mut large): (Vec<usize>, Vec<usize>) = (0..left.len()).partition(|&rank| left[rank] < 1.0);
    while let (Some(&giver), Some(taker)) = (large.last(), small.pop()) {
        slots[taker] = Slot { threshold: (left[taker] * 2_f64.powi(64)) as u64, alias: giver as u32 };
        left[giver] -= 1.0 - left[taker];
        if left[giver] < 1.0 {
            large.pop();
            small.push(giver);
        }
    }
    slots
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frequencies(count: u64, skew: f64, draws: u64) -> Vec<f64> {
        let zipf = Zipf::new(count, skew);
        let mut counts = vec![0_u64; count as usize];
        for index in 0..draws {
            counts[zipf.draw(&mut SplitMix64::for_order(3, index)) as usize] += 1;
        }
        counts.into_iter().map(|count| count as f64 / draws as f64).collect()
    }

    #[test]
    fn ranks_come_as_often_as_their_weights_say() {
        let count = 100;
        let measured = frequencies(count, 1.0, 400_000);
        for (rank, weight) in weights(count, 1.0).into_iter().enumerate() {
            let expected = weight / count as f64;
            assert!((measured[rank] - expected).abs() < 0.1 * expected + 0.0005, "rank {rank}: {}", measured[rank]);
        }
    }

    #[test]
    fn no_skew_is_uniform() {
        assert!(frequencies(50, 0.0, 200_000).iter().all(|frequency| (0.018..0.022).contains(frequency)));
    }
}
