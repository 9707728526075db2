//! Invariant 1: for every SKU, what was put in equals what is available, reserved and sold, and none of them is below zero,
//! after every event. At the end also: what is reserved is what the holds say, what is sold is what the sales say.

use super::{Check, End, ensure};
use crate::model::{Item, Life, Model, Seen};

/// Its name.
pub const NAME: &str = "stock-conserved";

/// The SKUs that the event touched.
pub(super) fn after_event(model: &Model, seen: &Seen<'_>) -> Check {
    let stock = model.stock(seen.shard);
    if seen.event.saga_order().is_some() {
        return Ok(());
    }
    stock.touched.iter().try_for_each(|index| holds(&stock.items[*index]))
}

pub(super) fn at_end(end: &End<'_>) -> Check {
    for (shard, stock) in end.model.stocks.iter().enumerate() {
        let mut counted = vec![(0_i64, 0_i64); stock.items.len()];
        for life in stock.lives.values() {
            let (lines, held) = match life {
                Life::Held(lines) => (lines, true),
                Life::Sold(lines) => (lines, false),
                Life::Refused { .. } | Life::Tombstoned | Life::Released | Life::Returned => continue,
            };
            for line in lines {
                let sums = &mut counted[line.sku as usize];
                *(if held { &mut sums.0 } else { &mut sums.1 }) += i64::from(line.quantity);
            }
        }
        for (item, (reserved, sold)) in stock.items.iter().zip(counted) {
            holds(item)?;
            let units = item.units();
            ensure((units.reserved, units.sold) == (reserved, sold), || {
                format!("shard {shard}: holds and sales of {} are {reserved} and {sold}, it has {units:?}", item.sku)
            })?;
        }
    }
    Ok(())
}

fn holds(item: &Item) -> Check {
    let units = item.units();
    let negative = [units.adjusted, units.available, units.reserved, units.sold].iter().any(|count| *count < 0);
    let sum = units.available + units.reserved + units.sold;
    ensure(!negative && units.adjusted == sum, || format!("units of {} do not add up: {units:?}", item.sku))
}
