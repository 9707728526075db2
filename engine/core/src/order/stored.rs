//! The bytes of an [`crate::OrderRecord`].
//!
//! ```text
//! 0         1       2        3         4       5         6         7           8          9          12
//! ├ version ┼ stage ┼ reason ┼ refusal ┼ flags ┼ attempt ┼ charged ┼ refunding ┼ refunded ┼ currency ┤
//! 12                20           28           36         44      52         60        68        69
//! ├ order's version ┼ created_at ┼ updated_at ┼ deadline ┼ total ┼ awaiting ┼ refused ┼ lines ┼ prices (8 a line), body
//! ```

use alloc::vec::Vec;

use super::state::{Order, Participants, UNKNOWN, participants_of};
use crate::body::{self, OrderBody, raw_lines_of};
use crate::event::{Prices, Reason};
use crate::ids::{Currency, Time};
use crate::image::{Malformed, Reader, put_u64};
use crate::limits::{ATTEMPTS_MAX, TOTAL_MAX, UNIT_PRICE_MAX};
use crate::record::Archived;
use crate::saga::Stage;

const VERSION: u8 = 1;
const FLAG_SETTLED: u8 = 1;
const FLAG_UNKNOWN: u8 = 2;
const FLAG_NOTIFY: u8 = 4;
const FLAG_DIFFER: u8 = 8;
const FLAG_CURRENCY: u8 = 16;
const FLAGS: u8 = FLAG_SETTLED | FLAG_UNKNOWN | FLAG_NOTIFY | FLAG_DIFFER | FLAG_CURRENCY;

/// The fields of a record, where they lie.
pub(crate) struct Stored<'a> {
    pub(crate) stage: Stage,
    reason: Option<Reason>,
    refusal: Option<Reason>,
    flags: u8,
    attempt: u8,
    charged: u8,
    refunding: u8,
    refunded: u8,
    currency: Option<Currency>,
    version: u32,
    pub(crate) created_at: Time,
    pub(crate) updated_at: Time,
    deadline: Time,
    total: u64,
    awaiting: Participants,
    refused: Participants,
    prices: &'a [u8],
    pub(crate) body: &'a [u8],
}

impl Order {
    /// Appends the record of the order.
    pub(crate) fn put_record(&self, out: &mut Vec<u8>) {
        let flags = [
            (self.settled, FLAG_SETTLED),
            (self.unknown, FLAG_UNKNOWN),
            (self.notify, FLAG_NOTIFY),
            (self.currencies_differ, FLAG_DIFFER),
            (self.currency.is_some(), FLAG_CURRENCY),
        ];
        out.extend_from_slice(&[
            VERSION,
            self.stage as u8,
            self.reason.map_or(0, |reason| reason as u8),
            self.refusal.map_or(0, |reason| reason as u8),
            flags.iter().map(|(is_set, flag)| u8::from(*is_set) * flag).sum(),
            self.attempt,
            self.charged,
            self.refunding,
            self.refunded,
        ]);
        out.extend_from_slice(&self.currency.map_or([0; 3], Currency::bytes));
        for number in [
            u64::from(self.version),
            self.created_at.0,
            self.updated_at.0,
            self.deadline.0,
            self.total,
            self.awaiting,
            self.refused,
        ] {
            put_u64(out, number);
        }
        out.push(self.prices.len() as u8);
        self.prices.iter().for_each(|price| put_u64(out, *price));
        out.extend_from_slice(self.body.as_bytes());
    }
}

impl Order {
    /// What the order adds to sums, with the digest of its record.
    pub(crate) fn sums(&self, digest: u64) -> Archived {
        let total = self.total().zip(self.currency);
        Archived::of_one(self.stage, total, self.charged, self.refunded, self.body.raw_lines(), digest)
    }
}

impl<'a> Stored<'a> {
    /// The fields; whether they make sense together is not looked at.
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Stored<'a>, Malformed> {
        let mut from = Reader(bytes);
        if from.u8()? != VERSION {
            return Err("a record of an unknown version");
        }
        let stage = *Stage::ALL.get(usize::from(from.u8()?)).ok_or("an unknown stage")?;
        let (reason, refusal) = (reason(from.u8()?)?, reason(from.u8()?)?);
        let (flags, attempt) = (from.u8()?, from.u8()?);
        let (charged, refunding, refunded) = (from.u8()?, from.u8()?, from.u8()?);
        let letters = core::str::from_utf8(from.take(3)?).map_err(|_| "a currency is not text")?;
        let currency = match flags & FLAG_CURRENCY != 0 {
            true => Some(Currency::parse(letters).ok_or("not a currency")?),
            false if letters == "\0\0\0" => None,
            false => return Err("a currency that is none"),
        };
        let version = u32::try_from(from.u64()?).map_err(|_| "a version beyond 32 bits")?;
        let (created_at, updated_at, deadline) = (Time(from.u64()?), Time(from.u64()?), Time(from.u64()?));
        let (total, awaiting, refused) = (from.u64()?, from.u64()?, from.u64()?);
        let lines = usize::from(from.u8()?);
        let prices = from.take(8 * lines)?;
        let body = from.0;
        Ok(Stored {
            stage,
            reason,
            refusal,
            flags,
            attempt,
            charged,
            refunding,
            refunded,
            currency,
            version,
            created_at,
            updated_at,
            deadline,
            total,
            awaiting,
            refused,
            prices,
            body,
        })
    }

    /// `None` unless the bytes are a record on which nothing that comes later can stumble.
    pub(crate) fn check(bytes: &[u8]) -> Option<()> {
        let stored = Stored::read(bytes).ok()?;
        body::check(stored.body)?;
        let (mut lines, mut participants) = (0, 0);
        for (index, line) in raw_lines_of(stored.body).enumerate() {
            lines += 1;
            let is_first = raw_lines_of(stored.body).take(index).all(|earlier| earlier.shard != line.shard);
            participants |= u64::from(is_first) << index;
        }
        let attempts = (1_u16 << stored.attempt.min(8)) - 1;
        let within = |part: u64, whole: u64| part & !whole == 0;
        let prices_fit = stored.prices().all(|price| price == UNKNOWN || price <= UNIT_PRICE_MAX);
        let is_undone = matches!(stored.stage, Stage::Cancelling | Stage::Refunding);
        let holds = stored.flags & !FLAGS == 0
            && stored.prices.len() == 8 * lines
            && prices_fit
            && stored.version > 0
            && stored.created_at <= stored.updated_at
            && (stored.total == UNKNOWN || stored.total <= TOTAL_MAX)
            && stored.attempt <= ATTEMPTS_MAX
            && within(stored.charged.into(), attempts.into())
            && within(stored.refunding.into(), stored.charged.into())
            && within(stored.refunded.into(), stored.refunding.into())
            && within(stored.awaiting, participants)
            && within(stored.refused, participants)
            && (stored.attempt == 0 || (stored.total != UNKNOWN && stored.currency.is_some()))
            && (stored.flags & FLAG_SETTLED != 0 || stored.attempt > 0)
            && (!matches!(stored.stage, Stage::Charging | Stage::Reconciling) || stored.attempt > 0)
            && (!is_undone || stored.reason.is_some())
            && (stored.flags & FLAG_NOTIFY == 0 || stored.stage == Stage::Completed);
        holds.then_some(())
    }

    /// As it was in memory, once checked.
    pub(crate) fn order(&self) -> Order {
        let body = OrderBody::from_bytes(self.body).expect("checked when the record was made");
        let mut order = Order::new(body, self.created_at, self.deadline);
        order.updated_at = self.updated_at;
        order.total = self.total;
        order.prices = self.prices().collect::<Prices>();
        order.participants = participants_of(&order.body);
        order.awaiting = self.awaiting;
        order.refused = self.refused;
        order.version = self.version;
        order.currency = self.currency;
        order.stage = self.stage;
        order.reason = self.reason;
        order.refusal = self.refusal;
        order.currencies_differ = self.flags & FLAG_DIFFER != 0;
        order.attempt = self.attempt;
        order.settled = self.flags & FLAG_SETTLED != 0;
        order.unknown = self.flags & FLAG_UNKNOWN != 0;
        order.charged = self.charged;
        order.refunding = self.refunding;
        order.refunded = self.refunded;
        order.notify = self.flags & FLAG_NOTIFY != 0;
        order
    }

    /// What the order adds to sums.
    pub(crate) fn sums(&self, digest: u64) -> Archived {
        let total = self.currency.filter(|_| self.total != UNKNOWN).map(|currency| (self.total, currency));
        Archived::of_one(self.stage, total, self.charged, self.refunded, raw_lines_of(self.body), digest)
    }

    fn prices(&self) -> impl Iterator<Item = u64> {
        self.prices.chunks_exact(8).map(|price| u64::from_le_bytes(price.try_into().expect("eight bytes")))
    }
}

fn reason(number: u8) -> Result<Option<Reason>, Malformed> {
    match number {
        0 => Ok(None),
        _ => Reason::from_number(number).map(Some).ok_or("an unknown reason"),
    }
}
