//! An order as it is stored outside the journal: in the archive, in checkpoints and in [`crate::Event::OrderRecalled`].

use alloc::sync::Arc;
use alloc::vec::Vec;

use smallvec::SmallVec;

use crate::body::{RawLines, customer_of, scope_of, subject_of};
use crate::digest::Digest;
use crate::ids::{Currency, OrderId, Time};
use crate::input::{ListQuery, Reader};
use crate::order::{Order, Stored};
use crate::reply::{MoneySums, OrderView, Status};
use crate::saga::Stage;

/// The whole state of one order, as bytes that begin with a version. Immutable and shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderRecord(Arc<[u8]>);

impl OrderRecord {
    /// From stored bytes. `None` unless they are a whole record of a known version.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<OrderRecord> {
        Stored::check(bytes)?;
        Some(OrderRecord(Arc::from(bytes)))
    }

    pub(crate) fn of(order: &Order) -> OrderRecord {
        let mut bytes = Vec::with_capacity(512);
        order.put_record(&mut bytes);
        OrderRecord(Arc::from(bytes))
    }

    /// A record of an order with this status, for tests of whoever stores records.
    #[doc(hidden)]
    #[must_use]
    pub fn for_tests(status: Status, created_at: Time, updated_at: Time, body: &crate::body::OrderBody) -> OrderRecord {
        let mut order = Order::new(body.clone(), created_at, created_at);
        order.stage = Stage::ALL.into_iter().find(|stage| stage.status() == status).expect("every status has a stage");
        order.updated_at = updated_at;
        OrderRecord::of(&order)
    }

    /// The stored form.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// What a retry must repeat to be the same operation: [`crate::OrderBody::scope`].
    #[must_use]
    pub fn scope(&self) -> (&[u8], &[u8]) {
        scope_of(self.body_bytes())
    }

    /// The customer.
    #[must_use]
    pub fn customer(&self) -> &str {
        core::str::from_utf8(customer_of(self.body_bytes())).expect("checked when the record was made")
    }

    /// Where the saga is.
    #[must_use]
    pub fn status(&self) -> Status {
        self.stored().stage.status()
    }

    /// When it was placed.
    #[must_use]
    pub fn created_at(&self) -> Time {
        self.stored().created_at
    }

    /// When its status changed last: for an order that has ended, the end of its saga.
    #[must_use]
    pub fn updated_at(&self) -> Time {
        self.stored().updated_at
    }

    /// As clients see it.
    #[must_use]
    pub fn view(&self, order: OrderId) -> OrderView {
        self.order().view(order)
    }

    /// Whether a list shows it (reader, customer, status; not the place of the cursor).
    #[must_use]
    pub fn matches(&self, query: &ListQuery) -> bool {
        let (status, body) = (self.status(), self.body_bytes());
        query.customer.as_ref().is_none_or(|customer| customer_of(body) == customer.as_bytes())
            && query.status.is_none_or(|wanted| status == wanted)
            && match &query.reader {
                Reader::Admin => true,
                Reader::Subject(subject) => subject_of(body) == subject.as_bytes(),
            }
    }

    /// What the order adds to the sums of its shard.
    #[must_use]
    pub fn sums(&self, order: OrderId) -> Archived {
        self.stored().sums(digest_of(order, &self.0))
    }

    pub(crate) fn body_bytes(&self) -> &[u8] {
        self.stored().body
    }

    pub(crate) fn order(&self) -> Order {
        self.stored().order()
    }

    fn stored(&self) -> Stored<'_> {
        Stored::read(&self.0).expect("checked when the record was made")
    }
}

/// A record where it lies, its fields read once. Only bytes that this process has written itself are read like this: those that come
/// from a file go through [`OrderRecord::from_bytes`].
pub struct RecordRef<'a> {
    bytes: &'a [u8],
    stored: Stored<'a>,
}

impl<'a> RecordRef<'a> {
    /// The fields of a record. `None` when these are not the bytes of one.
    #[must_use]
    pub fn read(bytes: &'a [u8]) -> Option<RecordRef<'a>> {
        Some(RecordRef { bytes, stored: Stored::read(bytes).ok()? })
    }

    /// As [`OrderRecord::as_bytes`].
    #[must_use]
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// As [`OrderRecord::scope`].
    #[must_use]
    pub fn scope(&self) -> (&'a [u8], &'a [u8]) {
        scope_of(self.stored.body)
    }

    /// The bytes of [`OrderRecord::customer`].
    #[must_use]
    pub fn customer(&self) -> &'a [u8] {
        customer_of(self.stored.body)
    }

    /// As [`OrderRecord::created_at`].
    #[must_use]
    pub fn created_at(&self) -> Time {
        self.stored.created_at
    }

    /// As [`OrderRecord::updated_at`].
    #[must_use]
    pub fn updated_at(&self) -> Time {
        self.stored.updated_at
    }

    /// As [`OrderRecord::sums`].
    #[must_use]
    pub fn sums(&self, order: OrderId) -> Archived {
        self.stored.sums(digest_of(order, self.bytes))
    }
}

/// The digest of an order: of its number and its record.
pub(crate) fn digest_of(id: OrderId, record: &[u8]) -> u64 {
    let mut digest = Digest::new();
    digest.word(id.bits());
    digest.bytes(record);
    digest.finish()
}

/// Sums over orders that are not in memory: exact, although nobody looks at the orders.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Archived {
    /// By status, indexed by [`Status`].
    pub orders: [u64; Status::ALL.len()],
    /// By currency, ascending.
    pub money: SmallVec<[(Currency, MoneySums); 1]>,
    /// Units that completed orders bought.
    pub units_completed: u64,
    /// The wrapping sum of the orders' own digests.
    pub digest: u64,
}

impl Archived {
    /// Adds the sums of others.
    ///
    /// # Panics
    /// When a sum needs more than 64 bits.
    pub fn add(&mut self, other: &Archived) {
        self.combine(other, u64::checked_add, u64::wrapping_add).expect("a sum has 64 bits");
    }

    /// Takes the sums of others away.
    ///
    /// # Panics
    /// When they were never added.
    pub fn subtract(&mut self, other: &Archived) {
        self.combine(other, u64::checked_sub, u64::wrapping_sub).expect("only what was added is taken away");
    }

    /// As [`Archived::add`], of sums that nobody vouches for.
    pub(crate) fn try_add(&mut self, other: &Archived) -> Option<()> {
        self.combine(other, u64::checked_add, u64::wrapping_add)
    }

    /// The sums of one order. `total` in its currency, once known; `charged` and `refunded` have a bit for each attempt.
    pub(crate) fn of_one(
        stage: Stage,
        total: Option<(u64, Currency)>,
        charged: u8,
        refunded: u8,
        lines: RawLines<'_>,
        digest: u64,
    ) -> Archived {
        let mut sums = Archived { digest, ..Archived::default() };
        sums.orders[stage.status() as usize] = 1;
        if let Some((total, currency)) = total {
            let money = MoneySums {
                charged: total * u64::from(charged.count_ones()),
                refunded: total * u64::from(refunded.count_ones()),
                completed: total * u64::from(stage == Stage::Completed),
            };
            // A currency without money is none: sums that are taken away leave nothing behind.
            if money != MoneySums::default() {
                sums.money.push((currency, money));
            }
        }
        if stage == Stage::Completed {
            sums.units_completed = lines.map(|line| u64::from(line.quantity)).sum();
        }
        sums
    }

    fn combine(
        &mut self,
        other: &Archived,
        by: fn(u64, u64) -> Option<u64>,
        digest: fn(u64, u64) -> u64,
    ) -> Option<()> {
        for (sum, add) in self.orders.iter_mut().zip(other.orders) {
            *sum = by(*sum, add)?;
        }
        for (currency, add) in &other.money {
            let place = match self.money.binary_search_by_key(currency, |(currency, _)| *currency) {
                Ok(place) => place,
                Err(place) => {
                    self.money.insert(place, (*currency, MoneySums::default()));
                    place
                }
            };
            let sums = &mut self.money[place].1;
            sums.charged = by(sums.charged, add.charged)?;
            sums.refunded = by(sums.refunded, add.refunded)?;
            sums.completed = by(sums.completed, add.completed)?;
            if *sums == MoneySums::default() {
                self.money.remove(place);
            }
        }
        self.units_completed = by(self.units_completed, other.units_completed)?;
        self.digest = digest(self.digest, other.digest);
        Some(())
    }
}
