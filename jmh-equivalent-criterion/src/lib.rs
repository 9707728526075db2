//! Micro-benchmarks of the hot paths: no sockets, no files. This library holds what they share.

use orderlane_core::{
    Call, Config, Currency, DraftLine, Effect, Event, Input, OrderBody, OrderDraft, Outcome, Output, Product, ReplyTo,
    Request, Shard, ShardId, Time,
};

/// Shards of the benchmark's engine.
pub const SHARDS: u16 = 8;
/// SKUs of its catalogue.
pub const SKUS: usize = 10_000;

/// The answers' address: nobody reads them.
pub const NOBODY: ReplyTo = ReplyTo { lane: 0, slot: 0, generation: 0, request: 0 };

/// All shards of an engine on one thread: messages go round in memory, the provider and the mailer answer at once, nothing
/// is stored. What is left is what the core costs.
pub struct Engine {
    shards: Vec<Shard>,
    /// What each shard is to handle in its next turn.
    inboxes: Vec<Vec<Input>>,
    /// What a shard is handling; emptied, never freed.
    taken: Vec<Input>,
    /// What a turn gives; emptied, never freed.
    output: Output,
    now: Time,
    /// Events decided so far.
    pub events: u64,
}

impl Engine {
    /// An engine whose catalogue has [`SKUS`] products with plenty of stock.
    #[must_use]
    pub fn with_catalogue() -> Engine {
        let shards = (0..SHARDS).map(|shard| Shard::new(config(ShardId(shard)))).collect();
        let inboxes = (0..SHARDS).map(|_| Vec::new()).collect();
        let mut engine =
            Engine { shards, inboxes, taken: Vec::new(), output: Output::default(), now: Time(1), events: 0 };
        let currency = Currency::parse("EUR").expect("EUR is a currency");
        for number in 0..SKUS {
            let sku = sku(number);
            let shard = ShardId::of(&sku, SHARDS);
            let product = Box::new(Product { sku: sku.clone().into(), name: sku.into(), unit_price: 1_999, currency });
            engine.ask(shard, Request::LoadProduct { product, stock: 1_000_000_000 });
        }
        engine.run();
        engine
    }

    /// Queues a request.
    pub fn ask(&mut self, shard: ShardId, request: Request) {
        self.inboxes[shard.index()].push(Input::Request { reply_to: NOBODY, request });
    }

    /// Queues an order.
    pub fn place(&mut self, body: OrderBody) {
        let shard = ShardId::of(body.customer(), SHARDS);
        self.ask(shard, Request::PlaceOrder { body, wait: false });
    }

    /// Turns until nothing is left to do.
    pub fn run(&mut self) {
        self.run_with(|_, _| {});
    }

    /// The same, and hands over the events of each shard's turn.
    pub fn run_with(&mut self, mut take: impl FnMut(ShardId, &[Event])) {
        while self.inboxes.iter().any(|inbox| !inbox.is_empty()) {
            self.now = self.now.after_micros(1);
            for index in 0..self.shards.len() {
                self.turn(index, &mut take);
            }
        }
    }

    /// Orders that completed.
    #[must_use]
    pub fn completed(&self) -> u64 {
        let status = orderlane_core::Status::Completed as usize;
        self.shards.iter().map(|shard| shard.orders_by_status()[status]).sum()
    }

    /// A turn of one shard: all that is in its inbox, then its events, then its effects. The shards take turns, so each finds
    /// its tables in the cache; a lane with several shards handles their inputs as they come.
    fn turn(&mut self, index: usize, take: &mut impl FnMut(ShardId, &[Event])) {
        let (shard, output) = (&mut self.shards[index], &mut self.output);
        std::mem::swap(&mut self.inboxes[index], &mut self.taken);
        for input in self.taken.drain(..) {
            shard.handle(self.now, input, output);
        }
        shard.end_turn(self.now, output);
        self.events += output.events.len() as u64;
        take(shard.id(), &output.events);
        output.events.clear();
        for effect in output.effects.drain(..) {
            deliver(shard.id(), effect, &mut self.inboxes);
        }
    }
}

/// Does what an effect of shard `source` asks for: the outside answers at once.
fn deliver(source: ShardId, effect: Effect, inboxes: &mut [Vec<Input>]) {
    let (target, input) = match effect {
        Effect::Reply { .. } => return,
        Effect::Tell { target, sequence, message } => (target, Input::Tell { source, sequence, message }),
        Effect::Acknowledge { source: sender, upto } => (sender, Input::Acknowledged { target: source, upto }),
        Effect::Outside(outside) => {
            let outcome = match outside.call {
                Call::Charge { attempt, .. } | Call::Reconcile { attempt } => Outcome::Charged { attempt },
                Call::Refund { attempt, .. } => Outcome::Refunded { attempt },
                Call::Notify => Outcome::Notified,
            };
            (source, Input::Outcome { order: outside.order, outcome })
        }
    };
    inboxes[target.index()].push(input);
}

fn config(shard: ShardId) -> Config {
    Config {
        shard,
        shards: SHARDS,
        seed: 1,
        hold_ttl_micros: 60_000_000,
        retry_first_micros: 200_000,
        retry_max_micros: 5_000_000,
        key_retention_micros: 86_400_000_000,
    }
}

/// The name of a SKU.
#[must_use]
pub fn sku(number: usize) -> String {
    format!("sku-{number}")
}

/// Order `number` of a stream of orders with two lines each, over 10,000 SKUs and 100,000 customers.
#[must_use]
pub fn order(number: u64) -> OrderBody {
    let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let skus = [(spread >> 20) as usize % SKUS, (spread >> 40) as usize % SKUS].map(sku);
    let lines = [0, 1].map(|line| DraftLine { sku: &skus[line], quantity: 1 + (number % 3) as u32 });
    OrderBody::encode(
        &OrderDraft {
            subject: "bench",
            customer: &format!("c-{}", spread % 100_000),
            key: &format!("run-1-{number}"),
            currency: None,
            total_expected: None,
            token: "tok_ok",
            email: None,
            reference: None,
            metadata: &[],
            lines: &lines,
        },
        SHARDS,
    )
}
