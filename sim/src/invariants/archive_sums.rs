//! Orders that have left the memory still count: what the shard says of all of them together is what the log says of each.

use orderlane_core::{Archived, Currency, MoneySums, Shard, Status};

use super::{Check, ensure, saga_ends};
use crate::model::{Model, Order};

/// Its name.
pub const NAME: &str = "archive-sums";

/// Judges the sums of a shard whose events have all been folded into the model.
///
/// # Errors
/// The sum that differs.
pub fn check(model: &Model, shard: &Shard) -> Check {
    let own = || model.orders.values().filter(|order| order.id.shard() == shard.id());
    let mut sums = Archived::default();
    for order in own().filter(|order| !shard.holds(order.id)) {
        ensure(saga_ends::is_quiet(order), || format!("{} left while it goes on", order.id))?;
        add(&mut sums, order);
    }
    sums.money.retain(|(_, money)| *money != MoneySums::default());
    // What an order's own digest is, only the engine knows.
    sums.digest = shard.archived().digest;
    let mut said = shard.archived().clone();
    said.money.retain(|(_, money)| *money != MoneySums::default());
    ensure(sums == said, || format!("the sums of what left are {said:?}, should be {sums:?}"))?;
    let in_memory = own().filter(|order| shard.holds(order.id)).count() as u64;
    let counted = shard.orders_in_memory();
    ensure(in_memory == counted, || format!("{in_memory} orders are in memory, {counted} are counted"))
}

fn add(sums: &mut Archived, order: &Order) {
    let status = order.phase.status();
    sums.orders[status as usize] += 1;
    let (total, currency) = (order.total.unwrap_or_default(), order.view().currency);
    let is_completed = status == Status::Completed;
    if is_completed {
        sums.units_completed += order.lines.iter().map(|(_, quantity, _)| u64::from(*quantity)).sum::<u64>();
    }
    let money = MoneySums {
        charged: order.charged.len() as u64 * total,
        refunded: order.refunded.len() as u64 * total,
        completed: if is_completed { total } else { 0 },
    };
    if let Some(currency) = currency.filter(|_| order.total.is_some()) {
        let entry = of(sums, currency);
        entry.charged += money.charged;
        entry.refunded += money.refunded;
        entry.completed += money.completed;
    }
}

fn of(sums: &mut Archived, currency: Currency) -> &mut MoneySums {
    let index = sums.money.partition_point(|(known, _)| known.as_str() < currency.as_str());
    if sums.money.get(index).is_none_or(|(known, _)| *known != currency) {
        sums.money.insert(index, (currency, MoneySums::default()));
    }
    &mut sums.money[index].1
}
