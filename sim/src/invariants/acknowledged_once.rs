//! Invariant 3: an acknowledged order exists exactly once, with the body that was sent, after every recovery; and what was
//! once reported durable never goes away.

use orderlane_core::{Event, Sequence, ShardId, Time};

use super::{Check, End, ensure, placements, violation};
use crate::log::Logs;
use crate::sim::Violation;

/// Its name.
pub const NAME: &str = "acknowledged-once";

/// Judges what a recovery found of a shard behind its checkpoint, from `first` on: all that was durable, then perhaps more of what
/// was appended, in its order and byte for byte; gives how many events there are with those before. What a checkpoint has was
/// durable when it was made. To be asked before [`Logs::truncate`].
///
/// # Errors
/// What is missing, changed or new.
pub fn after_recovery(
    shard: ShardId,
    first: Sequence,
    recovered: &[(Time, Event)],
    logs: &Logs,
) -> Result<u64, Violation> {
    let fail = |text| violation(NAME, Some(shard), text);
    let (log, before, durable) = (logs.of(shard), first - 1, logs.durable(shard));
    let count = before + recovered.len() as u64;
    if before > durable {
        return Err(fail(format!("{durable} events of shard {shard} were durable, its checkpoint has {before}")));
    }
    if count < durable {
        return Err(fail(format!("{durable} events of shard {shard} were durable, {count} were recovered")));
    }
    if count > log.len() as u64 {
        return Err(fail(format!("{} events of shard {shard} were appended, {count} recovered", log.len())));
    }
    for (((time, event), entry), sequence) in recovered.iter().zip(&log[before as usize..]).zip(first..) {
        if (*time, event) != (entry.time, &entry.event) || bytes(event, shard) != bytes(&entry.event, shard) {
            let (was, is) = ((entry.time, &entry.event), (time, event));
            return Err(fail(format!("event {sequence} of shard {shard} was {was:?}, recovered is {is:?}")));
        }
    }
    Ok(count)
}

fn bytes(event: &Event, shard: ShardId) -> Vec<u8> {
    let mut bytes = Vec::new();
    orderlane_journal::encode(event, shard, &mut bytes);
    bytes
}

pub(super) fn at_end(end: &End<'_>) -> Check {
    for placement in placements(end.history).filter(|placement| placement.is_acknowledged()) {
        let Some(id) = placement.order() else { return Err(format!("an answer without an order: {placement:?}")) };
        let Some(order) = end.model.orders.get(&id) else { return Err(format!("{id} was acknowledged and is lost")) };
        let subject = (end.caller)(placement.operation.client).subject;
        let same = placement.matches(&order.body) && order.body.subject() == subject;
        ensure(same, || format!("{id} was acknowledged as {:?} and is {:?}", placement.placing, order.body))?;
    }
    Ok(())
}
