//! Messages between shards: what this shard has said and not yet been acknowledged for, and how far it has listened.

mod image;

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::digest::Digest;
use crate::effect::Effect;
use crate::event::StockAnswer;
use crate::ids::{OrderId, ShardId};
use crate::message::Message;
use crate::order::Orders;

/// Acknowledged messages that are kept at most before a turn is written only to drop them.
const ACKNOWLEDGED_KEPT_MAX: u64 = 4096;

#[derive(Debug)]
pub(crate) struct Links {
    outboxes: Vec<Outbox>,
    inboxes: Vec<Inbox>,
}

#[derive(Debug)]
struct Outbox {
    /// Number of the first message in `queue`.
    first: u64,
    queue: VecDeque<Told>,
    /// Number of the last message handed to the lane in this run. Not state.
    sent: u64,
    /// What the target has said it has. Not state: `TellsDelivered` makes it so.
    acknowledged: u64,
}

#[derive(Debug, Default)]
struct Inbox {
    /// The high-water mark as stored.
    mark: u64,
    /// The high-water mark with the turn under way. Not state: `TellsTaken` makes it so.
    taken: u64,
}

/// A message as it is kept until it is delivered: enough to say it again. What the order itself knows is not repeated, so an
/// order stays in memory while a kept message names it.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) order: OrderId,
    pub(crate) what: What,
}

/// What a kept message says: one variant per [`Message`].
#[derive(Clone, Debug)]
pub(crate) enum What {
    Reserve,
    Sell,
    Release,
    Return,
    ReserveAnswered(StockAnswer),
    Sold,
    Restored,
}

/// What a message is to its receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    New,
    Seen,
}

impl Links {
    pub(crate) fn new(shards: u16) -> Links {
        Links {
            outboxes: (0..shards)
                .map(|_| Outbox { first: 1, queue: VecDeque::new(), sent: 0, acknowledged: 0 })
                .collect(),
            inboxes: (0..shards).map(|_| Inbox::default()).collect(),
        }
    }

    /// Part of `apply`: the next message to `target`.
    pub(crate) fn tell(&mut self, target: ShardId, order: OrderId, what: What) {
        self.outboxes[target.index()].queue.push_back(Told { order, what });
    }

    /// Notes the arrival of message `sequence` of `source`.
    ///
    /// # Panics
    /// On a hole: a message was lost between two shards.
    pub(crate) fn arrive(&mut self, source: ShardId, sequence: u64) -> Arrival {
        let inbox = &mut self.inboxes[source.index()];
        if sequence <= inbox.taken {
            return Arrival::Seen;
        }
        assert!(
            sequence == inbox.taken + 1,
            "message {sequence} of shard {source} follows {}: one is lost",
            inbox.taken
        );
        inbox.taken = sequence;
        Arrival::New
    }

    pub(crate) fn acknowledged(&mut self, target: ShardId, upto: u64) {
        let outbox = &mut self.outboxes[target.index()];
        let last = outbox.first + outbox.queue.len() as u64 - 1;
        assert!(upto <= last, "shard {target} has taken message {upto}, the last one is {last}");
        outbox.acknowledged = outbox.acknowledged.max(upto);
    }

    /// The mark of `source`, if it moved in this turn.
    pub(crate) fn taken(&self, source: ShardId) -> Option<u64> {
        let inbox = &self.inboxes[source.index()];
        (inbox.taken > inbox.mark).then_some(inbox.taken)
    }

    /// How far `target` has acknowledged what is still kept; only if much has piled up when `all` is false.
    pub(crate) fn delivered(&self, target: ShardId, all: bool) -> Option<u64> {
        let kept_max = if all { 0 } else { ACKNOWLEDGED_KEPT_MAX };
        let outbox = &self.outboxes[target.index()];
        (outbox.acknowledged >= outbox.first + kept_max).then_some(outbox.acknowledged)
    }

    /// All shards, as the other side of a link.
    pub(crate) fn others(&self) -> impl Iterator<Item = ShardId> + use<> {
        (0..self.inboxes.len() as u16).map(ShardId)
    }

    pub(crate) fn apply_taken(&mut self, source: ShardId, upto: u64) {
        let inbox = &mut self.inboxes[source.index()];
        assert!(upto > inbox.mark, "the mark of shard {source} goes back from {} to {upto}", inbox.mark);
        inbox.mark = upto;
        inbox.taken = inbox.taken.max(upto);
    }

    pub(crate) fn apply_delivered(&mut self, target: ShardId, upto: u64) {
        let outbox = &mut self.outboxes[target.index()];
        let count = usize::try_from(upto + 1 - outbox.first).expect("a queue fits in memory");
        outbox.queue.drain(..count);
        outbox.first = upto + 1;
        outbox.sent = outbox.sent.max(upto);
        outbox.acknowledged = outbox.acknowledged.max(upto);
    }

    /// Hands over the messages that were not sent in this run.
    pub(crate) fn send_new(&mut self, orders: &Orders, effects: &mut Vec<Effect>) {
        for (index, outbox) in self.outboxes.iter_mut().enumerate() {
            let last = outbox.first + outbox.queue.len() as u64 - 1;
            let from = outbox.sent.max(outbox.first - 1) + 1;
            let new = outbox.queue.range((from - outbox.first) as usize..);
            for (told, sequence) in new.zip(from..) {
                let message = told.message(orders);
                effects.push(Effect::Tell { target: ShardId(index as u16), sequence, message });
            }
            outbox.sent = last;
        }
    }

    /// Acknowledges everything again: part of a start.
    pub(crate) fn acknowledge_all(&self, effects: &mut Vec<Effect>) {
        let marks = self.inboxes.iter().enumerate().filter(|(_, inbox)| inbox.mark > 0);
        effects.extend(
            marks.map(|(index, inbox)| Effect::Acknowledge { source: ShardId(index as u16), upto: inbox.mark }),
        );
    }

    pub(crate) fn digest(&self, digest: &mut Digest) {
        for outbox in &self.outboxes {
            digest.word(outbox.first);
            digest.word(outbox.queue.len() as u64);
            outbox.queue.iter().for_each(|told| told.digest(digest));
        }
        for inbox in &self.inboxes {
            digest.word(inbox.mark);
        }
    }
}

impl Told {
    #[inline]
    fn message(&self, orders: &Orders) -> Message {
        let order = self.order;
        let home = || orders.get(order.number()).expect("an order that a shard tells of exists");
        match &self.what {
            What::Reserve => Message::Reserve { order, body: home().body.clone(), deadline: home().deadline },
            What::Sell => Message::Sell { order },
            What::Release => Message::Release { order, deadline: home().deadline },
            What::Return => Message::Return { order, body: home().body.clone() },
            What::ReserveAnswered(answer) => Message::ReserveAnswered { order, answer: answer.copied() },
            What::Sold => Message::Sold { order },
            What::Restored => Message::Restored { order },
        }
    }

    fn digest(&self, digest: &mut Digest) {
        match &self.what {
            What::ReserveAnswered(answer) => {
                digest.word(answer.refusal.map_or(0, |reason| reason as u64));
                answer.currency.iter().for_each(|currency| digest.bytes(&currency.bytes()));
                answer.prices.iter().for_each(|price| digest.word(*price));
            }
            What::Reserve | What::Sell | What::Release | What::Return | What::Sold | What::Restored => {}
        }
        digest.word(u64::from(self.what.number()));
        digest.word(self.order.bits());
    }
}

impl What {
    /// Stored in checkpoints: never change a number, never use one again.
    fn number(&self) -> u8 {
        match self {
            What::Reserve => 1,
            What::Sell => 2,
            What::Release => 3,
            What::Return => 4,
            What::ReserveAnswered(_) => 5,
            What::Sold => 6,
            What::Restored => 7,
        }
    }
}

impl Message {
    /// The order that the message is about.
    #[must_use]
    pub fn order(&self) -> OrderId {
        match self {
            Message::Reserve { order, .. }
            | Message::Sell { order }
            | Message::Release { order, .. }
            | Message::Return { order, .. }
            | Message::ReserveAnswered { order, .. }
            | Message::Sold { order }
            | Message::Restored { order } => *order,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OTHER: ShardId = ShardId(1);

    #[test]
    fn a_message_is_new_once_and_seen_ever_after() {
        let mut links = Links::new(2);
        assert_eq!(links.arrive(OTHER, 1), Arrival::New);
        assert_eq!(links.arrive(OTHER, 1), Arrival::Seen);
        assert_eq!(links.arrive(OTHER, 2), Arrival::New);
        assert_eq!((links.taken(ShardId(0)), links.taken(OTHER)), (None, Some(2)));
        links.apply_taken(OTHER, 2);
        assert_eq!(links.taken(OTHER), None);
    }

    #[test]
    #[should_panic(expected = "one is lost")]
    fn a_hole_in_the_messages_is_a_crash() {
        let mut links = Links::new(2);
        links.arrive(OTHER, 2);
    }

    #[test]
    fn what_is_delivered_is_kept_no_longer_and_what_is_not_is_sent_again_after_a_start() {
        let mut links = Links::new(2);
        let orders = Orders::new(ShardId(0), 1);
        (0..3).for_each(|number| links.tell(OTHER, OrderId::new(ShardId(0), number), What::Sell));
        let mut effects = Vec::new();
        links.send_new(&orders, &mut effects);
        assert_eq!(effects.len(), 3);
        links.acknowledged(OTHER, 2);
        assert_eq!(links.delivered(OTHER, false), None, "not worth a turn of its own");
        assert_eq!(links.delivered(OTHER, true), Some(2));
        links.apply_delivered(OTHER, 2);
        links.outboxes[1].sent = 0;
        effects.clear();
        links.send_new(&orders, &mut effects);
        assert!(matches!(effects[..], [Effect::Tell { sequence: 3, .. }]));
    }
}
