//! A shard from the bytes of a checkpoint, which nobody vouches for.

use alloc::vec::Vec;

use smallvec::SmallVec;

use super::{Config, Shard};
use crate::ids::{Currency, Time};
use crate::image::{Kind, Malformed, Reader};
use crate::order::{Order, Orders, Stored};
use crate::record::Archived;
use crate::reply::MoneySums;

impl Shard {
    /// A shard as a cut saved it.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub fn restore(config: Config, image: &[u8]) -> Result<Shard, &'static str> {
        let mut image = Reader(image);
        let mut shard = Shard::new(config);
        let (kind, fields) = image.entry()?;
        if kind != Kind::Head {
            return Err("it does not begin with the head");
        }
        shard.restore_head(fields)?;
        let mut entries = 1;
        let mut orders = Vec::new();
        loop {
            let (kind, fields) = image.entry()?;
            match kind {
                Kind::Head => return Err("it has two heads"),
                Kind::Order => {
                    let mut fields = fields;
                    orders.push((fields.u64()?, fields));
                }
                Kind::Item | Kind::Hold | Kind::Tombstone | Kind::Adjustment => shard.stock.restore(kind, fields)?,
                Kind::Outbox | Kind::Inbox => shard.links.restore(kind, fields)?,
                Kind::End => {
                    // An order finds its place in its customer's chain from the newest on: at once when the older ones come first.
                    orders.sort_unstable_by_key(|(number, _)| *number);
                    orders.into_iter().try_for_each(|(number, fields)| shard.restore_order(number, fields))?;
                    shard.restore_end(fields, entries)?;
                    image.end()?;
                    return Ok(shard);
                }
            }
            entries += 1;
        }
    }

    fn restore_head(&mut self, mut from: Reader<'_>) -> Result<(), Malformed> {
        if from.u16()? != self.config.shard.0 || from.u16()? != self.config.shards {
            return Err("it is of another shard, or of another number of shards");
        }
        self.sequence = from.u64()?;
        self.time = Time(from.u64()?);
        let placed = from.u64()?;
        if placed > 1 << 48 {
            return Err("more orders than there are numbers");
        }
        self.orders = Orders::starting_at(self.config.shard, self.config.seed, placed);
        for count in &mut self.orders.by_status {
            *count = from.u64()?;
        }
        self.orders.money = money(&mut from)?.into_iter().collect();
        from.end()
    }

    fn restore_order(&mut self, number: u64, from: Reader<'_>) -> Result<(), Malformed> {
        Stored::check(from.0).ok_or("an order is damaged")?;
        let order: Order = Stored::read(from.0)?.order();
        if number >= self.orders.len() || self.orders.get(number).is_some() {
            return Err("an order has a number that was not given, or twice");
        }
        if order.body.raw_lines().any(|line| line.shard.0 >= self.config.shards) || order.updated_at > self.time {
            return Err("an order of another number of shards, or of the future");
        }
        self.orders.put_back(number, order);
        Ok(())
    }

    fn restore_end(&mut self, mut from: Reader<'_>, entries: u64) -> Result<(), Malformed> {
        if from.u64()? != entries {
            return Err("entries are missing");
        }
        for count in &mut self.archived.orders {
            *count = from.u64()?;
        }
        self.archived.money = money(&mut from)?;
        self.archived.units_completed = from.u64()?;
        self.archived.digest = from.u64()?;
        from.end()?;
        self.stock.restored()?;
        self.check_sums()?;
        let named = self.links.names_told(self.config.shard);
        let are_there = named.into_iter().all(|number| self.orders.get(number).is_some());
        if are_there { Ok(()) } else { Err("a message names an order that is not there") }
    }

    /// The orders that are here and those in the archive are all.
    fn check_sums(&self) -> Result<(), Malformed> {
        let mut sums: Archived = self.orders.sums().ok_or("sums overflow")?;
        sums.try_add(&self.archived).ok_or("sums overflow")?;
        let placed = sums.orders.iter().try_fold(0_u64, |sum, count| sum.checked_add(*count));
        let money = self.orders.money.iter().map(|(currency, sums)| (*currency, *sums));
        let money = money.filter(|(_, sums)| *sums != MoneySums::default());
        if sums.orders != self.orders.by_status || placed != Some(self.orders.len()) {
            return Err("the orders are not as many as were counted");
        }
        if money.ne(sums.money.iter().copied()) {
            return Err("the money is not what was counted");
        }
        Ok(())
    }
}

fn money(from: &mut Reader<'_>) -> Result<SmallVec<[(Currency, MoneySums); 1]>, Malformed> {
    let count = from.u64()?;
    let mut money: SmallVec<[(Currency, MoneySums); 1]> = SmallVec::new();
    for _ in 0..count {
        let currency = Currency::parse(from.text()?).ok_or("not a currency")?;
        if money.last().is_some_and(|(before, _)| *before >= currency) {
            return Err("currencies are out of order");
        }
        money.push((currency, MoneySums { charged: from.u64()?, refunded: from.u64()?, completed: from.u64()? }));
    }
    Ok(money)
}
