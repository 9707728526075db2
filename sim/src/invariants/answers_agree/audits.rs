//! `GET /v1/invariants`: no violations, and sums that the named sequences of the shards really have.

use orderlane_core::{Sequence, ShardId, Status};
use serde_json::Value;

use crate::history::Operation;
use crate::invariants::{Check, End, Span, ensure};

pub(super) fn invariants(end: &End<'_>, operation: &Operation, status: u16, body: &Value) -> Check {
    ensure(status == 200, || "an audit is answered 200".to_string())?;
    ensure(body["violations"] == 0, || "the engine itself found violations".to_string())?;
    let sequences = sequences(end, operation, body)?;
    for status in Status::ALL {
        let orders = end.model.orders.values();
        let shown = orders.filter_map(|order| order.view_at(sequences[order.id.shard().index()]));
        let count = shown.filter(|view| view.status == status).count();
        let said = body["orders"][status.name()].as_u64().unwrap_or(0);
        ensure(said == count as u64, || format!("{count} orders were {}", status.name()))?;
    }
    let mut sums = [0_i64; 4];
    for (stock, sequence) in end.model.stocks.iter().zip(&sequences) {
        for units in stock.items.iter().filter_map(|item| item.units_at(*sequence)) {
            let counts = [units.adjusted, units.available, units.reserved, units.sold];
            sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        }
    }
    for (name, sum) in ["adjusted", "available", "reserved", "sold"].into_iter().zip(sums) {
        ensure(body["stock"][name].as_i64() == Some(sum), || format!("the sum of {name} was {sum}"))?;
    }
    Ok(())
}

/// The last event of every shard that the audit saw.
fn sequences(end: &End<'_>, operation: &Operation, body: &Value) -> Result<Vec<Sequence>, String> {
    let shards = body["shards"].as_array().map_or(&[][..], |shards| shards);
    ensure(shards.len() == usize::from(end.model.shards()), || "every shard is audited".to_string())?;
    let mut sequences = vec![0; shards.len()];
    for shard in shards {
        let (id, sequence) = (shard["shard"].as_u64().unwrap_or(u64::MAX), shard["sequence"].as_u64().unwrap_or(0));
        let Some(place) = sequences.get_mut(id as usize) else { return Err(format!("there is no shard {id}")) };
        *place = sequence;
        let span = Span::of(operation, ShardId(id as u16), end.logs);
        ensure((span.low..=span.high).contains(&sequence), || format!("shard {id} was within {span:?}"))?;
    }
    Ok(sequences)
}
