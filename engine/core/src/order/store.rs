//! All orders of a shard: by number, by idempotency key, by customer; and their running sums.

use alloc::collections::BTreeMap;

use foldhash::fast::FixedState;

use super::index::Index;
use super::state::Order;
use crate::body::OrderBody;
use crate::digest::Digest;
use crate::ids::{Currency, OrderId, ShardId, Time};
use crate::pages::Pages;
use crate::reply::{MoneySums, Status};

#[derive(Debug)]
pub(crate) struct Orders {
    shard: ShardId,
    list: Pages<Order>,
    /// Subject, customer and idempotency key.
    keys: Index,
    /// Hash of a customer to the newest order with it; each order names the one before. Whoever walks such a chain compares
    /// the customers, so that placing an order need not touch an older one.
    customers: Index,
    hasher: FixedState,
    pub(crate) by_status: [u64; Status::ALL.len()],
    pub(crate) money: BTreeMap<Currency, MoneySums>,
}

impl Orders {
    pub(crate) fn new(shard: ShardId, seed: u64) -> Orders {
        Orders {
            shard,
            list: Pages::default(),
            keys: Index::new(),
            customers: Index::new(),
            hasher: FixedState::with_seed(seed),
            by_status: [0; Status::ALL.len()],
            money: BTreeMap::new(),
        }
    }

    pub(crate) fn len(&self) -> u64 {
        self.list.len()
    }

    pub(crate) fn next_id(&self) -> OrderId {
        OrderId::new(self.shard, self.list.len())
    }

    pub(crate) fn get(&self, number: u64) -> Option<&Order> {
        self.list.get(number)
    }

    pub(crate) fn get_mut(&mut self, number: u64) -> Option<&mut Order> {
        self.list.get_mut(number)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Order> {
        self.list.iter()
    }

    /// Orders whose saga has not ended.
    pub(crate) fn open_count(&self) -> u64 {
        let ended = Status::ALL.into_iter().filter(|status| status.is_end());
        self.list.len() - ended.map(|status| self.by_status[status as usize]).sum::<u64>()
    }

    /// The order that was placed under the same key by the same caller for the same customer.
    pub(crate) fn with_key_of(&self, body: &OrderBody) -> Option<u64> {
        self.keys.find(self.hash_of_scope(body), |number| self.order(number).body.scope() == body.scope())
    }

    /// The newest order of a customer, or of another one with the same hash.
    pub(crate) fn newest_of(&self, customer: &str) -> Option<u64> {
        self.customers.find(self.hash(customer.as_bytes(), &[]), |_| true)
    }

    /// Part of `apply`: a new order, by the dense next number.
    pub(crate) fn add(&mut self, body: OrderBody, now: Time, deadline: Time) -> &Order {
        let number = self.list.len();
        self.keys.insert(self.hash_of_scope(&body), number);
        let customer_hash = self.hash(body.customer_bytes(), &[]);
        let previous = self.customers.replace(customer_hash, number).map_or(0, |previous| previous + 1);
        self.by_status[Status::Pending as usize] += 1;
        self.list.push(Order::new(body, now, deadline, previous))
    }

    pub(crate) fn money_of(&mut self, currency: Currency) -> &mut MoneySums {
        self.money.entry(currency).or_default()
    }

    pub(crate) fn digest(&self, digest: &mut Digest) {
        digest.word(self.list.len());
        self.list.iter().for_each(|order| order.digest(digest));
    }

    fn order(&self, number: u64) -> &Order {
        self.list.get(number).expect("an index names orders that exist")
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
