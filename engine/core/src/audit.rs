//! The invariants that a shard can check on its own, from scratch: no running sum is trusted, each is compared.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::ids::{Sequence, ShardId};
use crate::inventory::Stock;
use crate::order::{Order, Orders};
use crate::record::Archived;
use crate::reply::{Audit, Check};
use crate::saga::Stage;

pub(crate) fn audit(
    shard: ShardId,
    sequence: Sequence,
    digest: u64,
    orders: &Orders,
    archived: &Archived,
    stock: &Stock,
) -> Audit {
    let checks = alloc::vec![
        check("stock-conserved", stock.items().iter().filter_map(|item| item.units()), |units| {
            units.adjusted == units.available + units.reserved + units.sold
        }),
        holds_match_reserved(stock),
        check("money-agrees-with-status", orders.iter(), |(_, order)| money_agrees(order)),
        check(
            "ended-order-waits-for-nothing",
            orders.iter().map(|(_, order)| order).filter(|order| order.stage.is_end()),
            |order: &Order| { order.awaiting == 0 && (order.settled || order.charged != 0) }
        ),
        status_counts_match(orders, archived),
        money_sums_match(orders, archived),
        quiet_counts_match(orders),
    ];
    Audit {
        shard,
        sequence,
        digest,
        checks,
        stock: stock.sums(),
        orders: orders.by_status,
        money: orders.money.iter().map(|(currency, sums)| (*currency, *sums)).collect(),
    }
}

fn check<T>(name: &'static str, things: impl Iterator<Item = T>, holds: impl Fn(T) -> bool) -> Check {
    let mut check = Check { name, checked: 0, violations: 0 };
    for thing in things {
        check.checked += 1;
        check.violations += u64::from(!holds(thing));
    }
    check
}

/// The net charge of an order is 0 or its total, and agrees with its state; money that is on its way back counts as back.
fn money_agrees(order: &Order) -> bool {
    let kept = order.money_kept().count_ones();
    match order.stage {
        Stage::Selling | Stage::Completed => kept == 1,
        Stage::Cancelling | Stage::Refunding => true,
        Stage::Charging | Stage::Reconciling => kept == 0,
        Stage::Reserving
        | Stage::Rejecting
        | Stage::Expiring
        | Stage::Failing
        | Stage::Rejected
        | Stage::PaymentFailed
        | Stage::Expired
        | Stage::Cancelled => kept == 0,
    }
}

fn holds_match_reserved(stock: &Stock) -> Check {
    let mut held = alloc::vec![0_u64; stock.items().len()];
    for line in stock.holds().flatten() {
        held[line.sku as usize] += u64::from(line.quantity);
    }
    check("holds-match-reserved", stock.items().iter().zip(held), |(item, held)| {
        item.units().map_or(0, |units| units.reserved) == held
    })
}

/// What is archived is trusted: its sums were counted when it left.
fn status_counts_match(orders: &Orders, archived: &Archived) -> Check {
    let mut counted = archived.orders;
    orders.iter().for_each(|(_, order)| counted[order.stage.status() as usize] += 1);
    check("status-counts-match", counted.iter().zip(&orders.by_status), |(counted, kept)| counted == kept)
}

fn quiet_counts_match(orders: &Orders) -> Check {
    let counted = orders.iter().filter(|(_, order)| order.is_quiet()).count() as u64;
    check("quiet-count-matches", core::iter::once(orders.quiet_count()), |kept| kept == counted)
}

fn money_sums_match(orders: &Orders, archived: &Archived) -> Check {
    let mut counted: BTreeMap<_, [u64; 3]> = BTreeMap::new();
    for (currency, sums) in &archived.money {
        counted.insert(*currency, [sums.charged, sums.refunded, sums.completed]);
    }
    for (_, order) in orders.iter() {
        let (Some(total), Some(currency)) = (order.total(), order.currency) else { continue };
        let sums = counted.entry(currency).or_default();
        sums[0] += total * u64::from(order.charged.count_ones());
        sums[1] += total * u64::from(order.refunded.count_ones());
        sums[2] += total * u64::from(order.stage == Stage::Completed);
    }
    let kept: Vec<_> = orders.money.iter().collect();
    check("money-sums-match", kept.into_iter(), |(currency, kept)| {
        counted.get(currency).copied().unwrap_or_default() == [kept.charged, kept.refunded, kept.completed]
    })
}
