//! The orders of a shard that are in memory: by number, by idempotency key, by customer; and the running sums over all orders.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use foldhash::fast::FixedState;

use super::index::Index;
use super::state::Order;
use crate::body::OrderBody;
use crate::ids::{Currency, OrderId, ShardId, Time};
use crate::pages::Pages;
use crate::record::{Archived, digest_of};
use crate::reply::{MoneySums, Status};

/// Orders are found by key and by customer while fewer than so many came after them: low halves of numbers stay unambiguous.
const LINKED_MAX: u64 = 1 << 31;

#[derive(Debug)]
pub(crate) struct Orders {
    shard: ShardId,
    list: Pages<Order>,
    /// Subject, customer and idempotency key.
    keys: Index,
    /// Hash of a customer to the newest order with it; each order names the one before and the one after. Whoever walks such a
    /// chain compares the customers.
    customers: Index,
    /// Orders below are in neither index.
    linked_from: u64,
    hasher: FixedState,
    /// How many are quiet.
    quiet: u64,
    pub(crate) by_status: [u64; Status::ALL.len()],
    pub(crate) money: BTreeMap<Currency, MoneySums>,
}

impl Orders {
    pub(crate) fn new(shard: ShardId, seed: u64) -> Orders {
        Orders::starting_at(shard, seed, 0)
    }

    /// No order in memory, although numbers below `len` were given.
    pub(crate) fn starting_at(shard: ShardId, seed: u64, len: u64) -> Orders {
        Orders {
            shard,
            list: Pages::starting_at(len),
            keys: Index::new(),
            customers: Index::new(),
            linked_from: len.saturating_sub(LINKED_MAX),
            hasher: FixedState::with_seed(seed),
            quiet: 0,
            by_status: [0; Status::ALL.len()],
            money: BTreeMap::new(),
        }
    }

    /// Numbers below were given.
    pub(crate) fn len(&self) -> u64 {
        self.list.len()
    }

    /// How many are in memory.
    pub(crate) fn count(&self) -> u64 {
        self.list.count()
    }

    /// How many in memory are quiet.
    pub(crate) fn quiet_count(&self) -> u64 {
        self.quiet
    }

    pub(crate) fn next_id(&self) -> OrderId {
        self.id(self.list.len())
    }

    pub(crate) fn id(&self, number: u64) -> OrderId {
        OrderId::new(self.shard, number)
    }

    #[inline]
    pub(crate) fn get(&self, number: u64) -> Option<&Order> {
        self.list.get(number)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, number: u64) -> Option<&mut Order> {
        self.list.get_mut(number)
    }

    /// Those in memory, with their numbers, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &Order)> {
        self.list.iter()
    }

    /// The number of the first order in memory from `number` on.
    pub(crate) fn next_at(&self, number: u64) -> Option<u64> {
        self.list.next_at(number)
    }

    /// The number of the last order in memory below `number`.
    pub(crate) fn last_before(&self, number: u64) -> Option<u64> {
        self.list.last_before(number)
    }

    /// Looks at orders that are about to be worked on: they were cold, and the processor waits for all of them at once.
    pub(crate) fn fetch(&self, numbers: impl Iterator<Item = u64>) {
        let of_body = |number| self.get(number).map_or(0, |order| usize::from(order.body.as_bytes()[0]));
        core::hint::black_box(numbers.map(of_body).fold(0, usize::wrapping_add));
    }

    /// As [`Orders::fetch`], and at their places in the indexes.
    pub(crate) fn fetch_linked(&self, numbers: impl Iterator<Item = u64> + Clone) {
        self.fetch(numbers.clone());
        let linked = numbers.filter_map(|number| Some((number, self.hashes(self.get(number)?))));
        let linked: Vec<_> = linked.collect();
        let found = linked.iter().map(|(number, (key, customer))| {
            usize::from(self.keys.has(*key, *number)) + usize::from(self.customers.has(*customer, *number))
        });
        core::hint::black_box(found.fold(0, usize::wrapping_add));
    }

    /// Marks an order for a cut: see [`Pages::mark`].
    pub(crate) fn mark(&mut self, number: u64, cut: u64) -> bool {
        self.list.mark(number, cut)
    }

    /// Orders whose saga has not ended.
    pub(crate) fn open_count(&self) -> u64 {
        let open = Status::ALL.into_iter().filter(|status| !status.is_end());
        open.map(|status| self.by_status[status as usize]).sum()
    }

    /// The newest order in memory that was placed under the same key by the same caller for the same customer.
    pub(crate) fn with_key_of(&self, body: &OrderBody) -> Option<u64> {
        let is_same = |number| self.get(number).is_some_and(|known| known.body.scope() == body.scope());
        self.keys.newest(self.hash_of_scope(body), self.len(), is_same)
    }

    /// The newest order in memory of a customer, or of another one with the same hash.
    pub(crate) fn newest_of(&self, customer: &str) -> Option<u64> {
        self.customers.newest(self.hash(customer.as_bytes(), &[]), self.len(), |_| true)
    }

    /// Whether the indexes know an order of this age.
    pub(crate) fn is_linked(&self, number: u64) -> bool {
        number >= self.linked_from
    }

    /// The order before this one in its customer's chain.
    pub(crate) fn previous_of(&self, number: u64, order: &Order) -> Option<u64> {
        let distance = (number as u32).wrapping_sub(order.previous);
        (distance != 0).then(|| number - u64::from(distance))
    }

    /// Part of `apply`: a new order, by the dense next number.
    pub(crate) fn add(&mut self, body: OrderBody, now: Time, deadline: Time) -> &Order {
        let number = self.list.len();
        let key_hash = self.hash_of_scope(&body);
        let customer_hash = self.hash(body.customer_bytes(), &[]);
        self.by_status[Status::Pending as usize] += 1;
        self.keys.insert(key_hash, number);
        let previous = self.customers.replace(customer_hash, number, number);
        if let Some(previous) = previous {
            self.list.get_mut(previous).expect("a chain names orders that are in memory").next = number as u32;
        }
        let mut order = Order::new(body, now, deadline);
        order.previous = previous.unwrap_or(number) as u32;
        order.next = number as u32;
        self.list.push(order)
    }

    /// An order that was here before, or in the shard that a checkpoint is of. The sums by status and of money know it.
    pub(crate) fn put_back(&mut self, number: u64, order: Order) {
        self.quiet += u64::from(order.is_quiet());
        self.list.put(number, order);
        if number >= self.linked_from {
            self.link(number);
        }
    }

    /// An order leaves the memory; the sums by status and of money go on to know it.
    pub(crate) fn remove(&mut self, number: u64) -> Option<Order> {
        self.get(number)?;
        if number >= self.linked_from {
            self.unlink(number);
        }
        let order = self.list.remove(number)?;
        self.quiet -= u64::from(order.is_quiet());
        Some(order)
    }

    /// Takes orders that are too old for low halves of numbers out of the indexes; now and then, long before it is urgent.
    pub(crate) fn unlink_old(&mut self) {
        let end = self.len().saturating_sub(LINKED_MAX);
        while let Some(number) = self.next_at(self.linked_from).filter(|number| *number < end) {
            self.unlink(number);
            self.linked_from = number + 1;
        }
        self.linked_from = self.linked_from.max(end);
    }

    /// An order in memory became quiet, or stopped being so.
    pub(crate) fn note_quiet(&mut self, before: bool, after: bool) {
        self.quiet = self.quiet + u64::from(after) - u64::from(before);
    }

    pub(crate) fn money_of(&mut self, currency: Currency) -> &mut MoneySums {
        self.money.entry(currency).or_default()
    }

    /// The sums over those in memory.
    pub(crate) fn sums(&self) -> Option<Archived> {
        let (mut sums, mut record) = (Archived::default(), Vec::new());
        for (number, order) in self.iter() {
            record.clear();
            order.put_record(&mut record);
            sums.try_add(&order.sums(digest_of(self.id(number), &record)))?;
        }
        Some(sums)
    }

    /// The wrapping sum of the digests of those in memory.
    pub(crate) fn digest(&self) -> u64 {
        let mut record = Vec::new();
        let digests = self.iter().map(|(number, order)| {
            record.clear();
            order.put_record(&mut record);
            digest_of(self.id(number), &record)
        });
        digests.fold(0, u64::wrapping_add)
    }

    /// Puts an order into the indexes: into the chain at the place of its number.
    fn link(&mut self, number: u64) {
        let order = self.get(number).expect("just put");
        let (key_hash, customer_hash) = self.hashes(order);
        self.keys.insert(key_hash, number);
        let mut after = None;
        let mut before = self.customers.newest(customer_hash, self.len(), |_| true);
        while let Some(other) = before.filter(|other| *other > number) {
            after = Some(other);
            before = self.previous_of(other, self.get(other).expect("a chain names orders that are in memory"));
        }
        if after.is_none() {
            self.customers.replace(customer_hash, number, self.len());
        }
        self.join(before, Some(number));
        self.join(Some(number), after);
    }

    fn unlink(&mut self, number: u64) {
        let order = self.get(number).expect("an order that leaves is in memory");
        let (key_hash, customer_hash) = self.hashes(order);
        let before = self.previous_of(number, order);
        let distance = order.next.wrapping_sub(number as u32);
        let after = (distance != 0).then(|| number + u64::from(distance));
        self.keys.remove(key_hash, number);
        match (before, after) {
            (_, Some(_)) => {}
            (Some(before), None) => {
                self.customers.replace(customer_hash, before, self.len());
            }
            (None, None) => self.customers.remove(customer_hash, number),
        }
        self.join(before, after);
    }

    /// Makes two orders neighbours in a chain, or one the end of it.
    fn join(&mut self, before: Option<u64>, after: Option<u64>) {
        if let Some(before) = before {
            let order = self.list.get_mut(before).expect("a chain names orders that are in memory");
            order.next = after.unwrap_or(before) as u32;
        }
        if let Some(after) = after {
            let order = self.list.get_mut(after).expect("a chain names orders that are in memory");
            order.previous = before.unwrap_or(after) as u32;
        }
    }

    fn hashes(&self, order: &Order) -> (u32, u32) {
        (self.hash_of_scope(&order.body), self.hash(order.body.customer_bytes(), &[]))
    }

    fn hash_of_scope(&self, body: &OrderBody) -> u32 {
        let (lengths, scope) = body.scope();
        self.hash(lengths, scope)
    }

    fn hash(&self, first: &[u8], second: &[u8]) -> u32 {
        use core::hash::{BuildHasher, Hasher};
        let mut hasher = self.hasher.build_hasher();
        hasher.write(first);
        hasher.write(second);
        hasher.finish() as u32
    }
}
