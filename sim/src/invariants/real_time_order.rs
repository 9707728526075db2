//! Invariant 11: what was answered before something else was asked has the lower sequence on their shard. Also: an event is
//! decided between the request and the answer, answers and messages never overtake the disk, sequences are dense, and the
//! lane's time never goes back.

use std::collections::BTreeMap;

use orderlane_core::{Event, OrderId, Sequence, ShardId};

use super::{Check, End, ensure, placements};
use crate::executor::Moment;
use crate::history::{Answer, Asked};
use crate::log::{Entry, Logs};
use crate::model::{Model, Seen};

/// Its name.
pub const NAME: &str = "real-time-order";

pub(super) fn before_event(model: &Model, seen: &Seen<'_>) -> Check {
    let (sequence, time) = model.last[seen.shard.index()];
    ensure(seen.sequence == sequence + 1, || format!("event {} follows event {sequence}", seen.sequence))?;
    ensure(seen.time >= time, || format!("the time goes back from {time:?} to {:?}", seen.time))
}

pub(super) fn at_end(end: &End<'_>) -> Check {
    let writes = writes(end);
    for write in &writes {
        let Write { shard, sequence, .. } = *write;
        let entry = &end.logs.of(shard)[sequence as usize - 1];
        let place = || format!("{:?}, event {sequence} of shard {shard}", entry.event);
        ensure(entry.decided >= write.asked, || format!("{} was decided before it was asked for", place()))?;
        ensure(entry.decided <= write.returned, || format!("{} was answered before it was decided", place()))?;
        let durable = entry.durable.is_some_and(|durable| durable <= write.returned);
        ensure(durable, || format!("{} was answered before it was durable: {:?}", place(), entry.durable))?;
    }
    in_order(writes)?;
    messages_follow_the_disk(end.model, end.logs)
}

/// An acknowledged write.
#[derive(Clone, Copy, Debug)]
struct Write {
    shard: ShardId,
    sequence: Sequence,
    /// When it was asked for first.
    asked: Moment,
    /// When it was answered.
    returned: Moment,
}

fn writes(end: &End<'_>) -> Vec<Write> {
    let mut writes = Vec::new();
    let mut first_asked: BTreeMap<(u16, &str, &str), Moment> = BTreeMap::new();
    for placement in placements(end.history) {
        let (placing, operation) = (placement.placing, placement.operation);
        let scope = (0, placing.customer.as_str(), placing.key.as_str());
        let asked = *first_asked.entry(scope).or_insert(operation.invoked);
        let known = placement.order().filter(|_| placement.is_acknowledged());
        let order = known.and_then(|id| end.model.orders.get(&id));
        if let (Some(order), Some(returned)) = (order, operation.returned) {
            // Whoever is not told that it is a replay asked for it.
            let asked = if placement.replayed == Some(false) { operation.invoked } else { asked };
            writes.push(Write { shard: order.id.shard(), sequence: order.sequence, asked, returned });
        }
    }
    for operation in &end.history.operations {
        let Asked::Adjust { sku, key, .. } = &operation.asked else { continue };
        let asked = *first_asked.entry((1, sku.as_str(), key.as_str())).or_insert(operation.invoked);
        let shard = ShardId::of(sku, end.model.shards());
        let scope = ((end.caller)(operation.client).subject, sku.clone(), key.clone());
        let adjusted = end.model.stock(shard).adjustments.get(&scope);
        let Answer::Http { status: 200, replayed, .. } = operation.answer else { continue };
        if let (Some(adjusted), Some(returned)) = (adjusted, operation.returned) {
            let asked = if replayed { asked } else { operation.invoked };
            writes.push(Write { shard, sequence: adjusted.sequence, asked, returned });
        }
    }
    writes
}

/// Going up in a shard's sequence, no write was answered before one with a lower sequence was asked for.
fn in_order(mut writes: Vec<Write>) -> Check {
    writes.sort_by_key(|write| (write.shard, write.sequence));
    for of_shard in writes.chunk_by(|one, next| one.shard == next.shard) {
        let mut last_asked = Moment(0);
        for same in of_shard.chunk_by(|one, next| one.sequence == next.sequence) {
            let returned = same.iter().map(|write| write.returned).min().unwrap_or_default();
            ensure(returned >= last_asked, || {
                let Write { shard, sequence, .. } = same[0];
                format!("event {sequence} of shard {shard} was answered before one with a lower sequence was asked for")
            })?;
            last_asked = last_asked.max(same.iter().map(|write| write.asked).min().unwrap_or_default());
        }
    }
    Ok(())
}

/// A message leaves when the event that it follows from is durable, an acknowledgement when the mark is.
fn messages_follow_the_disk(model: &Model, logs: &Logs) -> Check {
    let mut cursors: BTreeMap<(ShardId, ShardId), usize> = BTreeMap::new();
    let mut marks: BTreeMap<(ShardId, ShardId), Vec<(u64, &Entry)>> = BTreeMap::new();
    for (shard, log) in logs.iter() {
        for (entry, sequence) in log.iter().zip(1_u64..) {
            let seen = Seen { shard, sequence, time: entry.time, event: &entry.event };
            if let Event::TellsTaken { source, upto } = &entry.event {
                marks.entry((*source, shard)).or_default().push((*upto, entry));
            } else if let Some((source, order, what)) = Model::cause(&seen) {
                let cursor = cursors.entry((source, shard)).or_default();
                let told = model.links.find(source, shard).map_or(&[][..], |link| &link.told[..]);
                let such = told[*cursor..].iter().position(|told| told.order == order && told.what == what);
                let Some(skipped) = such else { continue };
                *cursor += skipped + 1;
                let origin = &logs.of(source)[told[*cursor - 1].sequence as usize - 1];
                overtakes_not(origin, entry, order)?;
            }
        }
    }
    for (source, log) in logs.iter() {
        for entry in log {
            let Event::TellsDelivered { target, upto } = &entry.event else { continue };
            let taken = marks.get(&(source, *target)).and_then(|marks| {
                let index = marks.partition_point(|(mark, _)| mark < upto);
                marks.get(index)
            });
            let durable = taken.and_then(|(_, taken)| taken.durable);
            ensure(durable.is_some_and(|durable| durable <= entry.decided), || {
                format!(
                    "shard {source} heard at {:?} that shard {target} took message {upto}: {taken:?}",
                    entry.decided
                )
            })?;
        }
    }
    Ok(())
}

fn overtakes_not(origin: &Entry, effect: &Entry, order: OrderId) -> Check {
    ensure(origin.durable.is_some_and(|durable| durable <= effect.decided), || {
        format!(
            "a message of {order} overtook the disk: {:?} was durable at {:?}, {:?} was decided at {:?}",
            origin.event, origin.durable, effect.event, effect.decided
        )
    })
}
