//! Invariants 8 and 9, as far as they have an embedded counterpart: every message between two shards has its effect once, in
//! the order in which it was told, and its mark is stored in the same turn. Marks never go back and never pass what was told.
//!
//! What follows from an event is derived here from the events alone; so a message that is never sent, sent twice or handled
//! twice shows. Publishing to Kafka (8) and epochs (10) come with the production stores.

use orderlane_core::{Event, ShardId};

use super::{Check, ensure};
use crate::model::{Life, Link, Model, Phase, Seen, Told, What};

/// Its name.
pub const NAME: &str = "messages-once";

pub(super) fn before_event(model: &Model, seen: &Seen<'_>) -> Check {
    match seen.event {
        Event::TellsTaken { source, upto } => {
            let Some(link) = model.links.find(*source, seen.shard) else { return Err("nothing was told".to_string()) };
            let told = link.told.len() as u64;
            ensure(*upto > link.taken, || format!("the mark goes from {} to {upto}", link.taken))?;
            ensure(*upto <= told, || format!("{told} messages were told, {upto} are taken"))?;
            ensure(*upto >= link.cursor, || format!("message {} had its effect, the mark is {upto}", link.cursor))?;
            passed_over(model, link, *upto)
        }
        Event::TellsDelivered { target, upto } => {
            let Some(link) = model.links.find(seen.shard, *target) else { return Err("nothing was told".to_string()) };
            ensure(*upto > link.delivered, || format!("the mark goes from {} to {upto}", link.delivered))?;
            ensure(*upto <= link.taken, || format!("the target has taken {} messages, not {upto}", link.taken))
        }
        _ => {
            let Some((source, order, what)) = Model::cause(seen) else { return Ok(()) };
            let link = model.links.find(source, seen.shard);
            let next = link.and_then(|link| Some((link, link.next_such(order, what)?)));
            let Some((link, index)) = next else {
                return Err(format!("no message of shard {source} says {what:?} of {order} any more"));
            };
            passed_over(model, link, index as u64)?;
            allowed(model, seen, what)
        }
    }
}

/// No effect without its mark: after a crash it would have it again.
pub(super) fn after_turn(model: &Model, shard: ShardId) -> Check {
    let mut links = model.links.iter().filter(|(_, target, _)| *target == shard);
    links.try_for_each(|(source, _, link)| {
        ensure(link.cursor == link.taken, || {
            format!("message {} of shard {source} had its effect, the mark is {}", link.cursor, link.taken)
        })
    })
}

/// Messages up to `upto` that had no effect: only an answer that came too late may have none.
fn passed_over(model: &Model, link: &Link, upto: u64) -> Check {
    link.told[link.cursor as usize..upto as usize].iter().try_for_each(|Told { order, what, .. }| {
        let phase = model.orders.get(order).map(|order| order.phase);
        let late = match what {
            What::Answered => matches!(phase, Some(Phase::Expiring | Phase::Cancelling)),
            What::Sold => phase == Some(Phase::Cancelling),
            What::Reserve | What::Sell | What::Release | What::Return | What::Restored => false,
        };
        ensure(late, || format!("the message {what:?} of {order} had no effect"))
    })
}

/// On a stock shard an order has one hold, and one end of it.
fn allowed(model: &Model, seen: &Seen<'_>, what: What) -> Check {
    let Some((_, order, _)) = Model::cause(seen) else { return Ok(()) };
    let life = model.stock(seen.shard).lives.get(&order);
    let fits = match (what, seen.event) {
        (What::Reserve, _) => matches!(life, None | Some(Life::Tombstoned)),
        (What::Sell, _) => matches!(life, Some(Life::Held(_))),
        (What::Release, Event::StockReleased { .. }) => matches!(life, Some(Life::Held(_))),
        (What::Release, _) => matches!(life, None | Some(Life::Refused { tombstone: false })),
        (What::Return, _) => matches!(life, Some(Life::Sold(_))),
        (What::Answered | What::Sold | What::Restored, _) => true,
    };
    ensure(fits, || format!("{order} is {life:?} on this shard"))
}
