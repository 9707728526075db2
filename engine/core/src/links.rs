//! Messages between shards: what this shard has said and not yet been acknowledged for, and how far it has listened.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::digest::Digest;
use crate::effect::Effect;
use crate::event::Event;
use crate::ids::ShardId;
use crate::message::Message;

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
    queue: VecDeque<Message>,
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
    pub(crate) fn tell(&mut self, target: ShardId, message: Message) {
        self.outboxes[target.index()].queue.push_back(message);
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

    /// The marks that moved in this turn, as events.
    pub(crate) fn taken(&self) -> impl Iterator<Item = Event> {
        self.inboxes
            .iter()
            .enumerate()
            .filter(|(_, inbox)| inbox.taken > inbox.mark)
            .map(|(index, inbox)| Event::TellsTaken { source: ShardId(index as u16), upto: inbox.taken })
    }

    /// What has been acknowledged and is still kept, as events; only what has piled up when `all` is false.
    pub(crate) fn delivered(&self, all: bool) -> impl Iterator<Item = Event> {
        let kept_max = if all { 0 } else { ACKNOWLEDGED_KEPT_MAX };
        self.outboxes
            .iter()
            .enumerate()
            .filter(move |(_, outbox)| outbox.acknowledged >= outbox.first + kept_max)
            .map(|(index, outbox)| Event::TellsDelivered { target: ShardId(index as u16), upto: outbox.acknowledged })
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
    pub(crate) fn send_new(&mut self, effects: &mut Vec<Effect>) {
        for (index, outbox) in self.outboxes.iter_mut().enumerate() {
            let last = outbox.first + outbox.queue.len() as u64 - 1;
            let from = outbox.sent.max(outbox.first - 1) + 1;
            for sequence in from..=last {
                let message = outbox.queue[(sequence - outbox.first) as usize].clone();
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
            for message in &outbox.queue {
                digest.word(message.order().bits());
            }
        }
        for inbox in &self.inboxes {
            digest.word(inbox.mark);
        }
    }
}

impl Message {
    /// The order that the message is about.
    #[must_use]
    pub fn order(&self) -> crate::ids::OrderId {
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
    use crate::ids::OrderId;

    fn sell(number: u64) -> Message {
        Message::Sell { order: OrderId::new(ShardId(0), number) }
    }

    #[test]
    fn a_message_is_new_once_and_seen_ever_after() {
        let mut links = Links::new(2);
        assert_eq!(links.arrive(ShardId(1), 1), Arrival::New);
        assert_eq!(links.arrive(ShardId(1), 1), Arrival::Seen);
        assert_eq!(links.arrive(ShardId(1), 2), Arrival::New);
        let taken: Vec<Event> = links.taken().collect();
        assert_eq!(taken, [Event::TellsTaken { source: ShardId(1), upto: 2 }]);
        links.apply_taken(ShardId(1), 2);
        assert_eq!(links.taken().count(), 0);
    }

    #[test]
    #[should_panic(expected = "one is lost")]
    fn a_hole_in_the_messages_is_a_crash() {
        let mut links = Links::new(2);
        links.arrive(ShardId(1), 2);
    }

    #[test]
    fn what_is_delivered_is_kept_no_longer_and_what_is_not_is_sent_again_after_a_start() {
        let mut links = Links::new(2);
        (0..3).for_each(|number| links.tell(ShardId(1), sell(number)));
        let mut effects = Vec::new();
        links.send_new(&mut effects);
        assert_eq!(effects.len(), 3);
        links.acknowledged(ShardId(1), 2);
        assert_eq!(links.delivered(false).count(), 0, "not worth a turn of its own");
        let delivered: Vec<Event> = links.delivered(true).collect();
        assert_eq!(delivered, [Event::TellsDelivered { target: ShardId(1), upto: 2 }]);
        links.apply_delivered(ShardId(1), 2);
        links.outboxes[1].sent = 0;
        effects.clear();
        links.send_new(&mut effects);
        assert!(matches!(effects[..], [Effect::Tell { sequence: 3, .. }]));
    }
}
