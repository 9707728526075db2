//! All orders of a shard: by number, by idempotency key, by customer; and their running sums.

use alloc::collections::BTreeMap;

use foldhash::quality::FixedState;
use hashbrown::HashTable;

use super::state::Order;
use crate::body::OrderBody;
use crate::digest::Digest;
use crate::ids::{Currency, OrderId, ShardId, Time};
use crate::pages::Pages;
use crate::reply::{MoneySums, Status};

/// An entry of an index: the hash, so that growing does not touch the orders, and the number of an order.
type Entry = (u64, u64);

#[derive(Debug)]
pub(crate) struct Orders {
    shard: ShardId,
    list: Pages<Order>,
    /// Subject, customer and idempotency key.
    keys: HashTable<Entry>,
    /// Customer to the newest order; each order names the one before.
    customers: HashTable<Entry>,
    hasher: FixedState,
    pub(crate) by_status: [u64; Status::ALL.len()],
    pub(crate) money: BTreeMap<Currency, MoneySums>,
}

impl Orders {
    pub(crate) fn new(shard: ShardId, seed: u64) -> Orders {
        Orders {
            shard,
            list: Pages::default(),
            keys: HashTable::new(),
            customers: HashTable::new(),
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
        Status::ALL.iter().filter(|status| !status.is_end()).map(|status| self.by_status[*status as usize]).sum()
    }

    /// The order that was placed under the same key by the same caller for the same customer.
    pub(crate) fn with_key_of(&self, body: &OrderBody) -> Option<u64> {
        let hash = self.hash_of_scope(body);
        let same = |entry: &Entry| entry.0 == hash && self.order(entry.1).body.scope() == body.scope();
        self.keys.find(hash, same).map(|entry| entry.1)
    }

    /// The newest order of a customer.
    pub(crate) fn newest_of(&self, customer: &str) -> Option<u64> {
        let hash = self.hash(customer.as_bytes(), &[]);
        let same = |entry: &Entry| entry.0 == hash && self.order(entry.1).body.customer() == customer;
        self.customers.find(hash, same).map(|entry| entry.1)
    }

    /// Part of `apply`: a new order, by the dense next number.
    pub(crate) fn add(&mut self, body: OrderBody, now: Time, deadline: Time) -> &mut Order {
        let number = self.list.len();
        let key_hash = self.hash_of_scope(&body);
        self.keys.insert_unique(key_hash, (key_hash, number), |entry| entry.0);
        let customer_hash = self.hash(body.customer().as_bytes(), &[]);
        let list = &self.list;
        let same = |entry: &Entry| {
            let known = list.get(entry.1).expect("an index names orders that exist");
            entry.0 == customer_hash && known.body.customer() == body.customer()
        };
        let previous = match self.customers.find_mut(customer_hash, same) {
            Some(entry) => core::mem::replace(&mut entry.1, number) + 1,
            None => {
                self.customers.insert_unique(customer_hash, (customer_hash, number), |entry| entry.0);
                0
            }
        };
        self.list.push(Order::new(body, now, deadline, previous));
        self.by_status[Status::Pending as usize] += 1;
        self.list.get_mut(number).expect("just added")
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

    fn hash_of_scope(&self, body: &OrderBody) -> u64 {
        let (lengths, scope) = body.scope();
        self.hash(lengths, scope)
    }

    fn hash(&self, first: &[u8], second: &[u8]) -> u64 {
        use core::hash::{BuildHasher, Hasher};
        let mut hasher = self.hasher.build_hasher();
        hasher.write(first);
        hasher.write(second);
        hasher.finish()
    }
}
