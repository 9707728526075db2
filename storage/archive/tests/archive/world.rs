//! A naive archive and the lanes that feed it: what the real one is compared with after every run.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io;

use orderlane_archive::*;
use orderlane_core::*;

pub const SHARDS: u16 = 3;
pub const KEY_MICROS: u64 = 400;
pub const ORDER_MICROS: u64 = 1_500;

/// A small generator (Steele et al., `SplitMix64`).
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}

pub fn options(window_orders: u64) -> ArchiveOptions {
    ArchiveOptions {
        directory: 7,
        shards: SHARDS,
        retention: Retention {
            key_micros: KEY_MICROS,
            keys_max: u64::MAX,
            order_micros: ORDER_MICROS,
            order_bytes_max: u64::MAX,
            audit_dir: None,
        },
        window_orders,
    }
}

pub fn body(customer: &str, key: &str, subject: &str) -> OrderBody {
    let lines = [DraftLine { sku: "sku-1", quantity: 1 }];
    let (reference, metadata) = (Some("r\"1\\\n\u{1}é"), [("m", "v\"")]);
    let draft = OrderDraft {
        subject,
        customer,
        key,
        currency: None,
        total_expected: None,
        token: "tok",
        email: None,
        reference,
        metadata: &metadata,
        lines: &lines,
    };
    OrderBody::encode(&draft, SHARDS)
}

pub fn run_of(shards: &[(u16, Sequence, Archived)], orders: &[(u16, u64, OrderRecord)]) -> Run {
    let mut run = Run::default();
    for (shard, sequence, recalled) in shards {
        run.shards.push(RunShard { shard: ShardId(*shard), sequence: *sequence, recalled: recalled.clone() });
    }
    for (shard, number, record) in orders {
        let (part, length) = (run.parts.len() as u32, record.as_bytes().len() as u32);
        run.parts.push(record.as_bytes().to_vec());
        run.orders.push(RunOrder { shard: ShardId(*shard), number: *number, part, start: 0, length });
    }
    run
}

/// Stores whatever is under way.
pub fn finish<S: Store>(archive: &mut Archive<S>) -> Result<bool, ArchiveError> {
    let mut stored = false;
    loop {
        match archive.step()? {
            Progress::Idle => return Ok(stored),
            Progress::More => {}
            Progress::Stored => stored = true,
        }
    }
}

/// A store that fails for good after some operations; the one that fails has an effect or not.
#[derive(Clone, Debug, Default)]
pub struct Failing {
    pub disk: MemoryStore,
    pub left: Cell<u64>,
    pub last_has_effect: bool,
}

impl Failing {
    fn spend(&self) -> io::Result<()> {
        match self.left.get() {
            0 => Err(io::Error::other("planted")),
            left => {
                self.left.set(left - 1);
                Ok(())
            }
        }
    }

    fn write(&mut self, change: impl FnOnce(&mut MemoryStore) -> io::Result<()>) -> io::Result<()> {
        let dies_now = self.left.get() == 1;
        if !dies_now || self.last_has_effect {
            change(&mut self.disk)?;
        }
        self.spend()?;
        if dies_now { Err(io::Error::other("planted")) } else { Ok(()) }
    }
}

impl Store for Failing {
    fn keyspaces(&self) -> io::Result<Vec<String>> {
        self.disk.keyspaces()
    }
    fn ingest(&mut self, keyspace: &str, give: &mut Give<'_>) -> io::Result<()> {
        if self.left.get() == 0 {
            return self.spend();
        }
        self.write(|disk| disk.ingest(keyspace, give))
    }
    fn drop_keyspace(&mut self, keyspace: &str) -> io::Result<()> {
        if self.left.get() == 0 {
            return self.spend();
        }
        self.write(|disk| disk.drop_keyspace(keyspace))
    }
    fn set_meta(&mut self, entries: &[(Vec<u8>, Option<Vec<u8>>)]) -> io::Result<()> {
        if self.left.get() == 0 {
            return self.spend();
        }
        self.write(|disk| disk.set_meta(entries))
    }
    fn get(&self, keyspace: &str, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        self.disk.get(keyspace, key)
    }
    fn scan(
        &self,
        keyspace: &str,
        from: &[u8],
        to: &[u8],
        down: bool,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> io::Result<()> {
        self.disk.scan(keyspace, from, to, down, visit)
    }
}

#[derive(Default)]
struct Shard {
    created: Vec<(Time, OrderBody)>,
    pending: Vec<(u64, OrderRecord)>,
    archived: BTreeMap<u64, OrderRecord>,
    recalled_open: Vec<u64>,
    recalled: Archived,
    sums: Archived,
    sequence: Sequence,
}

/// The lanes, and what the archive should hold.
pub struct World {
    pub random: Random,
    pub now: u64,
    shards: Vec<Shard>,
    keys: BTreeMap<(u16, u64), u64>,
}

impl World {
    pub fn new(seed: u64) -> World {
        let shards = (0..SHARDS).map(|_| Shard::default()).collect();
        World { random: Random(seed), now: 1_000, shards, keys: BTreeMap::new() }
    }

    /// Places orders, ends them out of order, calls some back.
    pub fn live(&mut self, orders: u64) {
        for _ in 0..orders {
            self.now += self.random.below(4);
            let at = self.random.below(u64::from(SHARDS)) as u16;
            let shard = &mut self.shards[usize::from(at)];
            let number = shard.created.len() as u64;
            let pooled = self.random.below(6);
            let free = self.keys.get(&(at, pooled)).is_none_or(|free_at| *free_at <= self.now);
            let key = if free { format!("pool-{pooled}") } else { format!("key-{number}") };
            let customer = format!("c{at}-{}", self.random.below(5));
            let body = body(&customer, &key, &format!("s{}", self.random.below(2)));
            shard.created.push((Time(self.now), body.clone()));
            let ended = self.now + self.random.below(20);
            if free {
                self.keys.insert((at, pooled), ended + KEY_MICROS);
            }
            let status = [Status::Completed, Status::Rejected, Status::Cancelled][self.random.below(3) as usize];
            let record = OrderRecord::for_tests(status, Time(self.now), Time(ended), &body);
            shard.pending.push((number, record));
        }
        for (at, shard) in self.shards.iter_mut().enumerate() {
            if self.random.below(2) == 0 || shard.archived.is_empty() {
                continue;
            }
            let number =
                *shard.archived.keys().nth(self.random.below(shard.archived.len() as u64) as usize).expect("one");
            let old = &shard.archived[&number];
            if shard.recalled_open.contains(&number) || self.now >= old.updated_at().0 + ORDER_MICROS {
                continue;
            }
            shard.recalled.add(&old.sums(OrderId::new(ShardId(at as u16), number)));
            let (created, body) = &shard.created[number as usize];
            let status = if old.status() == Status::Expired { Status::PaymentFailed } else { Status::Expired };
            shard.pending.push((number, OrderRecord::for_tests(status, *created, old.updated_at(), body)));
            shard.recalled_open.push(number);
        }
    }

    /// A cut that takes some of what has ended.
    pub fn cut(&mut self) -> Vec<(u16, u64, OrderRecord)> {
        let mut taken = Vec::new();
        for (at, shard) in self.shards.iter_mut().enumerate() {
            shard.sequence += 1 + self.random.below(3);
            shard.pending.retain(|(number, record)| {
                let take = self.random.below(4) > 0;
                if take {
                    taken.push((at as u16, *number, record.clone()));
                }
                !take
            });
        }
        taken
    }

    /// The same cut, later.
    pub fn later(&mut self) {
        self.shards.iter_mut().for_each(|shard| shard.sequence += 1);
    }

    pub fn run(&self, taken: &[(u16, u64, OrderRecord)]) -> Run {
        let shards: Vec<_> =
            self.shards.iter().enumerate().map(|(at, s)| (at as u16, s.sequence, s.recalled.clone())).collect();
        run_of(&shards, taken)
    }

    /// The checkpoint that an unstored cut leaves in force comes from `checkpoint` before; this is the one after.
    pub fn stored(&mut self, taken: Vec<(u16, u64, OrderRecord)>) {
        for (at, shard) in self.shards.iter_mut().enumerate() {
            let recalled = std::mem::take(&mut shard.recalled);
            shard.sums.subtract(&recalled);
            for (_, number, record) in taken.iter().filter(|(of, ..)| usize::from(*of) == at) {
                shard.sums.add(&record.sums(OrderId::new(ShardId(at as u16), *number)));
                shard.archived.insert(*number, record.clone());
                shard.recalled_open.retain(|open| open != number);
            }
        }
    }

    pub fn checkpoint(&self) -> Vec<(ShardId, Sequence, Archived)> {
        let shards = self.shards.iter().enumerate();
        shards.map(|(at, shard)| (ShardId(at as u16), shard.sequence, shard.sums.clone())).collect()
    }

    fn kept(&self, record: &OrderRecord) -> bool {
        self.now < record.updated_at().0 + ORDER_MICROS
    }

    /// Every order, every key, many pages and the scan.
    pub fn compare<S: Store>(&mut self, archive: &Archive<S>) {
        let now = Time(self.now);
        for (at, shard) in self.shards.iter().enumerate() {
            let id = ShardId(at as u16);
            let filters = archive.filters(id);
            let mut keys: BTreeMap<u128, u64> = BTreeMap::new();
            for number in 0..shard.created.len() as u64 + 2 {
                let order = OrderId::new(id, number);
                let expected = shard.archived.get(&number).filter(|record| self.kept(record));
                let found = archive.read(&Query::Order(order), now).expect("no fault");
                match (found, expected) {
                    (None, None) => {}
                    (Some(Cold::Order { order: which, record }), Some(expected)) => {
                        assert_eq!((which, &record), (order, expected));
                        assert!(filters.may_have_customer(customer_hash(record.customer().as_bytes())));
                    }
                    (found, expected) => panic!("order {order}: {found:?}, expected {expected:?}"),
                }
                if let Some(record) = shard.archived.get(&number) {
                    keys.insert(key_hash(record.scope()), number);
                }
            }
            keys.insert(99, u64::MAX);
            for (hash, number) in keys {
                let expected = shard.archived.get(&number).filter(|record| self.kept(record));
                let answers = expected.is_some_and(|record| self.now < record.updated_at().0 + KEY_MICROS);
                let found = archive.read(&Query::Key { shard: id, hash }, now).expect("no fault");
                assert!(!answers || filters.may_have_key(hash), "a key that answers is in a filter");
                match found {
                    Some(Cold::Order { order, record }) => {
                        // Once the newest has stopped answering, an older one may come, which stopped long before.
                        let answers_still = self.now < record.updated_at().0 + KEY_MICROS;
                        let newest = Some((order.number(), &record)) == expected.map(|record| (number, record));
                        assert!(newest || !answers && !answers_still, "an older order under the key");
                    }
                    Some(found @ (Cold::Page(_) | Cold::Unavailable)) => panic!("the key was found as {found:?}"),
                    None => assert!(!answers, "key of order {number} of shard {at} is lost"),
                }
            }
        }
        (0..60).for_each(|_| self.compare_page(archive));
        let mut seen = BTreeMap::new();
        archive.scan(&mut |order, bytes| assert!(seen.insert(order, bytes.to_vec()).is_none())).expect("no fault");
        for (at, shard) in self.shards.iter().enumerate() {
            for (number, record) in &shard.archived {
                let bytes = seen.remove(&OrderId::new(ShardId(at as u16), *number));
                assert!(bytes.is_none_or(|bytes| bytes == record.as_bytes()) || !self.kept(record), "a stale copy");
            }
        }
        assert!(seen.is_empty());
    }

    fn compare_page<S: Store>(&mut self, archive: &Archive<S>) {
        let random = &mut self.random;
        let at = random.below(u64::from(SHARDS)) as u16;
        let other = random.below(u64::from(SHARDS)) as usize;
        let before = (random.below(3) > 0 && !self.shards[other].created.is_empty()).then(|| {
            let number = random.below(self.shards[other].created.len() as u64);
            (self.shards[other].created[number as usize].0, OrderId::new(ShardId(other as u16), number))
        });
        let query = ListQuery {
            reader: if random.below(3) == 0 { Reader::Subject("s1".into()) } else { Reader::Admin },
            customer: (random.below(2) == 0).then(|| format!("c{at}-{}", random.below(6)).into()),
            status: (random.below(3) == 0).then_some(Status::Rejected),
            before,
            limit: 1 + random.below(9) as usize,
        };
        let shard = &self.shards[usize::from(at)];
        let mut expected: Vec<(OrderId, OrderRecord)> = Vec::new();
        for (number, record) in shard.archived.iter().rev() {
            let order = OrderId::new(ShardId(at), *number);
            let comes = before.is_none_or(|before| (record.created_at(), order) < before);
            if comes && record.matches(&query) && self.kept(record) {
                expected.push((order, record.clone()));
            }
        }
        let query = Query::List { shard: ShardId(at), query: Box::new(query) };
        let Some(Cold::Page(page)) = archive.read(&query, Time(self.now)).expect("no fault") else {
            panic!("a list has a page")
        };
        let Query::List { query, .. } = query else { panic!("it is a list") };
        let reached = page.reached.map_or(0, |(created_at, number)| {
            assert_eq!(created_at, shard.created[number as usize].0, "the cursor is that of an order");
            number
        });
        let looked_at: Vec<_> = expected.into_iter().take_while(|(order, _)| order.number() >= reached).collect();
        assert_eq!(page.orders, looked_at, "{query:?}, reached {:?}", page.reached);
        assert!(page.orders.len() <= query.limit);
        assert!(page.reached.is_none() || page.orders.len() == query.limit, "it stops early only at its limit");
    }
}
