//! The links as entries of a checkpoint, and back.

use alloc::vec::Vec;

use super::{Inbox, Links, Outbox, Told, What};
use crate::event::{Prices, Reason, StockAnswer};
use crate::ids::{Currency, OrderId, ShardId};
use crate::image::{Kind, Malformed, Reader, put_entry, put_u16, put_u32, put_u64};
use crate::limits::LINES_MAX;

/// Sequences are dense from 1: one above this was never given, and sums with one below do not overflow.
const SEQUENCE_MAX: u64 = u64::MAX / 2;

impl Links {
    /// Appends an entry for each link that was ever used.
    pub(crate) fn image(&self, out: &mut Vec<u8>) {
        for (index, outbox) in self.outboxes.iter().enumerate().filter(|(_, outbox)| outbox.is_used()) {
            put_entry(out, Kind::Outbox, |out| {
                put_u16(out, index as u16);
                outbox.put(out);
            });
        }
        for (index, inbox) in self.inboxes.iter().enumerate().filter(|(_, inbox)| inbox.mark > 0) {
            put_entry(out, Kind::Inbox, |out| {
                put_u16(out, index as u16);
                put_u64(out, inbox.mark);
            });
        }
    }

    /// Takes one entry: what is kept is sent again, as after a replay. Whether the orders that it names exist is for the caller,
    /// see [`Links::names_told`].
    ///
    /// # Errors
    /// What is wrong with the entry.
    pub(crate) fn restore(&mut self, kind: Kind, mut fields: Reader<'_>) -> Result<(), Malformed> {
        let other = ShardId(fields.u16()?);
        match kind {
            Kind::Outbox => {
                let outbox = self.outboxes.get_mut(other.index()).ok_or("an outbox to a shard that is not there")?;
                if outbox.is_used() {
                    return Err("two outboxes to one shard");
                }
                *outbox = Outbox::read(other, &mut fields)?;
            }
            Kind::Inbox => {
                let inbox = self.inboxes.get_mut(other.index()).ok_or("an inbox of a shard that is not there")?;
                if inbox.mark > 0 {
                    return Err("two inboxes of one shard");
                }
                let mark = sequence(fields.u64()?)?;
                *inbox = Inbox { mark, taken: mark };
            }
            Kind::Head | Kind::Order | Kind::Item | Kind::Hold | Kind::Tombstone | Kind::Adjustment | Kind::End => {
                return Err("an entry that is not of the links");
            }
        }
        fields.end()
    }

    /// The numbers of the orders of `shard` that a kept message names, ascending, each once.
    pub(crate) fn names_told(&self, shard: ShardId) -> Vec<u64> {
        let told = self.outboxes.iter().flat_map(|outbox| &outbox.queue);
        let mine = told.filter(|told| told.order.shard() == shard);
        let mut numbers: Vec<u64> = mine.map(|told| told.order.number()).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }
}

fn sequence(number: u64) -> Result<u64, Malformed> {
    if (1..=SEQUENCE_MAX).contains(&number) { Ok(number) } else { Err("a message number that was never given") }
}

impl Outbox {
    fn is_used(&self) -> bool {
        self.first > 1 || !self.queue.is_empty()
    }

    fn put(&self, out: &mut Vec<u8>) {
        put_u64(out, self.first);
        put_u32(out, u32::try_from(self.queue.len()).expect("fewer messages are kept than fit in memory"));
        self.queue.iter().for_each(|told| told.put(out));
    }

    fn read(target: ShardId, fields: &mut Reader<'_>) -> Result<Outbox, Malformed> {
        let first = sequence(fields.u64()?)?;
        // As after a replay: what is kept was not acknowledged, and not sent in this run.
        let mut outbox = Outbox { first, queue: Default::default(), sent: first - 1, acknowledged: first - 1 };
        // The count is not trusted with memory: the messages have to be there.
        for _ in 0..fields.u32()? {
            outbox.queue.push_back(Told::read(target, fields)?);
        }
        Ok(outbox)
    }
}

impl Told {
    fn put(&self, out: &mut Vec<u8>) {
        put_u64(out, self.order.bits());
        out.push(self.what.number());
        match &self.what {
            What::ReserveAnswered(answer) => put_answer(answer, out),
            What::Reserve | What::Sell | What::Release | What::Return | What::Sold | What::Restored => {}
        }
    }

    fn read(target: ShardId, fields: &mut Reader<'_>) -> Result<Told, Malformed> {
        let order = OrderId::from_bits(fields.u64()?);
        let what = match fields.u8()? {
            1 => What::Reserve,
            2 => What::Sell,
            3 => What::Release,
            4 => What::Return,
            5 => What::ReserveAnswered(read_answer(fields)?),
            6 => What::Sold,
            7 => What::Restored,
            _ => return Err("a message of an unknown kind"),
        };
        let is_answer = matches!(what, What::ReserveAnswered(_) | What::Sold | What::Restored);
        if is_answer && order.shard() != target {
            return Err("an answer that does not go home");
        }
        Ok(Told { order, what })
    }
}

fn put_answer(answer: &StockAnswer, out: &mut Vec<u8>) {
    out.push(answer.refusal.map_or(0, |reason| reason as u8));
    out.extend_from_slice(&answer.currency.map_or([0; 3], Currency::bytes));
    out.push(u8::try_from(answer.prices.len()).expect("a price a line, of at most LINES_MAX"));
    answer.prices.iter().for_each(|price| put_u64(out, *price));
}

fn read_answer(fields: &mut Reader<'_>) -> Result<StockAnswer, Malformed> {
    let refusal = match fields.u8()? {
        0 => None,
        number => Some(Reason::from_number(number).ok_or("a refusal for an unknown reason")?),
    };
    let currency = match fields.take(3)? {
        [0, 0, 0] => None,
        letters => {
            let currency = core::str::from_utf8(letters).ok().and_then(Currency::parse);
            Some(currency.ok_or("a currency is not three capitals")?)
        }
    };
    let count = usize::from(fields.u8()?);
    if count > LINES_MAX {
        return Err("more prices than an order has lines");
    }
    let mut prices = Prices::new();
    for _ in 0..count {
        prices.push(fields.u64()?);
    }
    Ok(StockAnswer { refusal, currency, prices })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effect::Effect;
    use crate::links::Arrival;
    use crate::order::Orders;

    const HOME: ShardId = ShardId(0);
    const OTHER: ShardId = ShardId(1);

    /// Links with every kind of message, to others and to the shard itself.
    fn links() -> Links {
        let mut links = Links::new(3);
        let (mine, theirs) = (|number| OrderId::new(HOME, number), |number| OrderId::new(OTHER, number));
        (0..3).for_each(|number| links.tell(OTHER, theirs(number), What::Sold));
        links.apply_delivered(OTHER, 2);
        for (number, what) in [(9, What::Reserve), (4, What::Sell), (4, What::Release), (7, What::Return)] {
            links.tell(OTHER, mine(number), what);
        }
        let currency = Currency::parse("EUR");
        let held = StockAnswer { refusal: None, currency, prices: [3, 1 << 40, 5].into_iter().collect() };
        let refused = StockAnswer { refusal: Some(Reason::Cancelled), currency: None, prices: Prices::new() };
        links.tell(OTHER, theirs(8), What::ReserveAnswered(held));
        links.tell(HOME, mine(2), What::ReserveAnswered(refused));
        links.tell(HOME, mine(1 << 40), What::Restored);
        links.apply_taken(OTHER, 77);
        links.tell(ShardId(2), OrderId::new(ShardId(2), 0), What::Restored);
        links.apply_delivered(ShardId(2), 1);
        links
    }

    fn restored(mut image: Reader<'_>, shards: u16) -> Result<Links, Malformed> {
        let mut links = Links::new(shards);
        while !image.is_empty() {
            let (kind, fields) = image.entry()?;
            links.restore(kind, fields)?;
        }
        Ok(links)
    }

    fn image_of(links: &Links) -> Vec<u8> {
        let mut image = Vec::new();
        links.image(&mut image);
        image
    }

    fn digest_of(links: &Links) -> u64 {
        let mut digest = crate::digest::Digest::new();
        links.digest(&mut digest);
        digest.finish()
    }

    #[test]
    fn links_come_back_as_a_replay_would_leave_them() {
        let (live, image) = (links(), image_of(&links()));
        let mut back = restored(Reader(&image), 3).expect("whole");
        assert_eq!((digest_of(&back), image_of(&back)), (digest_of(&live), image));
        assert_eq!(alloc::format!("{back:?}"), alloc::format!("{live:?}"), "what is not state, too");
        assert_eq!((back.arrive(OTHER, 77), back.arrive(OTHER, 78)), (Arrival::Seen, Arrival::New));

        let mut effects = Vec::new();
        back.outboxes[OTHER.index()].queue.drain(1..5);
        back.send_new(&Orders::new(HOME, 1), &mut effects);
        let sent = effects.iter().map(|effect| match effect {
            Effect::Tell { target, sequence, .. } => (*target, *sequence),
            other => panic!("not a message: {other:?}"),
        });
        assert_eq!(sent.collect::<Vec<_>>(), [(HOME, 1), (HOME, 2), (OTHER, 3), (OTHER, 4)]);
    }

    #[test]
    fn the_orders_that_a_kept_message_names() {
        assert_eq!(links().names_told(HOME), [2, 4, 7, 9, 1 << 40]);
        assert_eq!(links().names_told(OTHER), [2, 8]);
        assert_eq!(links().names_told(ShardId(2)), [0; 0], "it was delivered");
    }

    #[test]
    fn a_damaged_image_is_an_error() {
        let image = image_of(&links());
        let mut rest = Reader(&image);
        while !rest.is_empty() {
            let (kind, fields) = rest.entry().expect("whole");
            for length in 0..fields.0.len() {
                assert!(Links::new(3).restore(kind, Reader(&fields.0[..length])).is_err(), "{kind:?} to {length}");
            }
            let mut twice = Links::new(3);
            twice.restore(kind, fields).expect("once");
            assert!(twice.restore(kind, fields).is_err(), "{kind:?} twice");
        }
        assert!(restored(Reader(&image), 2).is_err(), "a shard too many");
        for (place, bit) in (0..image.len()).flat_map(|place| (0..8).map(move |bit| (place, bit))) {
            let mut flipped = image.clone();
            flipped[place] ^= 1 << bit;
            if let Ok(back) = restored(Reader(&flipped), 3) {
                assert_eq!(image_of(&back).len(), image.len(), "it says something else, and nothing is passed over");
            }
        }
    }
}
