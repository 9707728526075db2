//! The document of `/v1/invariants`: what the shards found, added up.

use std::collections::BTreeMap;

use orderlane_core::{Audit, Check, Currency, MoneySums, Status, StockSums};

use super::text::{put_list, put_number, put_string};

/// The audits of all shards as one document: checks added up by name, money by currency, shards by number.
pub fn render_audit(audits: &[Audit], out: &mut Vec<u8>) {
    let checks = checks(audits);
    out.extend_from_slice(b"{\"violations\":");
    put_number(checks.iter().map(|check| check.violations).sum(), out);
    out.extend_from_slice(b",\"checks\":[");
    put_list(&checks, out, put_check);
    out.push(b']');
    put_stock(audits, out);
    put_orders(audits, out);
    put_money(audits, out);
    put_shards(audits, out);
    out.push(b'}');
}

/// In the order in which the first shard names them.
fn checks(audits: &[Audit]) -> Vec<Check> {
    let mut sums: Vec<Check> = Vec::new();
    for check in audits.iter().flat_map(|audit| &audit.checks) {
        match sums.iter_mut().find(|sum| sum.name == check.name) {
            Some(sum) => {
                sum.checked += check.checked;
                sum.violations += check.violations;
            }
            None => sums.push(check.clone()),
        }
    }
    sums
}

fn put_check(check: &Check, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"name\":");
    put_string(check.name, out);
    put_numbers(&[("checked", check.checked), ("violations", check.violations)], true, out);
    out.push(b'}');
}

fn put_stock(audits: &[Audit], out: &mut Vec<u8>) {
    let mut sums = StockSums::default();
    for stock in audits.iter().map(|audit| audit.stock) {
        sums.adjusted += stock.adjusted;
        sums.available += stock.available;
        sums.reserved += stock.reserved;
        sums.sold += stock.sold;
    }
    out.extend_from_slice(b",\"stock\":{");
    let StockSums { adjusted, available, reserved, sold } = sums;
    put_numbers(
        &[("adjusted", adjusted), ("available", available), ("reserved", reserved), ("sold", sold)],
        false,
        out,
    );
    out.push(b'}');
}

fn put_orders(audits: &[Audit], out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"orders\":{");
    let counts = Status::ALL.map(|status| {
        let count = audits.iter().map(|audit| audit.orders[status as usize]).sum();
        (status.name(), count)
    });
    put_numbers(&counts, false, out);
    out.push(b'}');
}

fn put_money(audits: &[Audit], out: &mut Vec<u8>) {
    let mut sums: BTreeMap<Currency, MoneySums> = BTreeMap::new();
    for (currency, money) in audits.iter().flat_map(|audit| &audit.money) {
        let sum = sums.entry(*currency).or_default();
        sum.charged += money.charged;
        sum.refunded += money.refunded;
        sum.completed += money.completed;
    }
    out.extend_from_slice(b",\"money\":{");
    put_list(&sums, out, |(currency, money), out| {
        put_string(currency.as_str(), out);
        out.extend_from_slice(b":{");
        let MoneySums { charged, refunded, completed } = *money;
        put_numbers(&[("charged", charged), ("refunded", refunded), ("completed", completed)], false, out);
        out.push(b'}');
    });
    out.push(b'}');
}

fn put_shards(audits: &[Audit], out: &mut Vec<u8>) {
    let mut sorted: Vec<_> = audits.iter().collect();
    sorted.sort_unstable_by_key(|audit| audit.shard);
    out.extend_from_slice(b",\"shards\":[");
    put_list(sorted, out, |audit, out| {
        out.push(b'{');
        put_numbers(&[("shard", u64::from(audit.shard.0)), ("sequence", audit.sequence)], false, out);
        out.extend_from_slice(format!(",\"digest\":\"{:016x}\"}}", audit.digest).as_bytes());
    });
    out.push(b']');
}

/// Named numbers, with a comma before the first one when something precedes it.
fn put_numbers(numbers: &[(&str, u64)], more: bool, out: &mut Vec<u8>) {
    if more {
        out.push(b',');
    }
    put_list(numbers, out, |(name, number), out| {
        put_string(name, out);
        out.push(b':');
        put_number(*number, out);
    });
}
