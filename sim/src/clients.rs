//! The clients of a world: they speak HTTP to the gateway, retry what is not answered, and note all in the history.

mod actor;
mod ask;
mod elements;
pub mod http;
mod judge;
pub mod plan;
mod session;
pub mod shape;
#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::rc::Rc;

use orderlane_core::OrderId;
use serde_json::Value;

use crate::clients::actor::Actor;
use crate::clients::ask::Ask;
use crate::clients::elements::elements;
use crate::clients::http::Parsed;
use crate::clients::plan::{Planting, Workload, customer};
use crate::clients::session::{Answered, Session};
use crate::executor::Group;
use crate::history::{Asked, History, Placing};
use crate::net::Network;
use crate::sim::Sim;

/// The number of all operations before the planned ones.
pub const NUMBER_SETUP: u32 = u32::MAX - 1;
/// The number of all operations of [`Clients::final_read`].
pub const NUMBER_FINAL: u32 = u32::MAX;
/// Patience of what is not planned, microseconds.
const PATIENCE_MICROS: u64 = 2_000_000;
/// Orders on a page of the reading back.
const FINAL_PAGE: usize = 50;

/// The clients of a world. Cheap to clone.
#[derive(Clone)]
pub struct Clients(Rc<Shared>);

/// Customer, key, the order where keys expire, status, and whether it was part of a batch.
type AnswerScope = (String, String, Option<OrderId>, u64, bool);

/// What the clients share.
struct Shared {
    sim: Sim,
    network: Network,
    history: Rc<RefCell<History>>,
    workload: Workload,
    /// Orders that were acknowledged, by the operation that placed them.
    acknowledged: RefCell<BTreeMap<u32, Vec<OrderId>>>,
    /// What was answered to a key, by customer, key and status, and as a part of a batch or alone: a replay is the same, byte
    /// for byte.
    created: RefCell<BTreeMap<AnswerScope, Vec<u8>>>,
    /// The newest version of each order that any client has seen.
    versions: RefCell<BTreeMap<OrderId, u64>>,
    /// Tasks of the plan that have not ended.
    running: Cell<u32>,
    /// Tasks of the reading back that have not ended.
    reading: Cell<u32>,
}

impl Clients {
    /// Starts all clients: products and stock first, then the plan of the seed.
    #[must_use]
    pub fn start(sim: &Sim, network: Network, history: Rc<RefCell<History>>) -> Clients {
        let shared = Rc::new(Shared {
            sim: sim.clone(),
            network,
            history,
            workload: Workload::draw(sim.options()),
            acknowledged: RefCell::default(),
            created: RefCell::default(),
            versions: RefCell::default(),
            running: Cell::new(0),
            reading: Cell::new(0),
        });
        let clients = Clients(shared.clone());
        clients.spawn(|shared| &shared.running, async move {
            shared.clone().set_up().await;
            for client in 0..shared.sim.options().clients {
                let actor = Actor::new(shared.clone(), client);
                Clients(shared.clone()).spawn(|shared| &shared.running, actor.run());
            }
        });
        clients
    }

    /// Whether all that was started has been answered or given up.
    #[must_use]
    pub fn done(&self) -> bool {
        self.planned_done() && self.final_done()
    }

    /// Whether nothing of the plan is left, or nothing that was open when the world healed.
    #[must_use]
    pub fn planned_done(&self) -> bool {
        self.0.running.get() == 0
    }

    /// Whether what [`Clients::final_read`] started is complete.
    #[must_use]
    pub fn final_done(&self) -> bool {
        self.0.reading.get() == 0
    }

    /// Starts reading everything back, when the world has healed and all sagas have ended; [`Clients::final_done`] tells when it
    /// is complete. Its operations are marked [`crate::history::Details::is_final`].
    pub fn final_read(&self) {
        self.spawn(|shared| &shared.reading, self.0.clone().read_back());
    }

    /// Starts a task and counts it while it runs.
    fn spawn(&self, count: fn(&Shared) -> &Cell<u32>, task: impl Future<Output = ()> + 'static) {
        let shared = self.0.clone();
        count(&shared).set(count(&shared).get() + 1);
        self.0.sim.executor().spawn(Group::OUTSIDE, async move {
            task.await;
            count(&shared).set(count(&shared).get() - 1);
            shared.sim.note("client-done", &[u64::from(count(&shared).get())]);
        });
    }
}

impl Shared {
    async fn set_up(self: Rc<Shared>) {
        let mut session = Session::new(self.clone(), self.sim.options().clients);
        for planting in &self.workload.plantings {
            for ask in set_up_asks(planting) {
                session.ask(&ask, PATIENCE_MICROS, false).await;
            }
        }
    }

    async fn read_back(self: Rc<Shared>) {
        let mut session = Session::new(self.clone(), self.sim.options().clients + 1);
        let orders: Vec<OrderId> = self.acknowledged.borrow().values().flatten().copied().collect();
        let orders = orders.into_iter().map(Asked::Get);
        let skus = self.workload.plantings.iter().map(|planting| Asked::Inventory(planting.sku.clone()));
        for asked in orders.chain(skus).chain([Asked::Invariants]) {
            let ask = Ask::new(NUMBER_FINAL, asked).at_the_end();
            session.ask(&ask, PATIENCE_MICROS, false).await;
        }
        for index in 0..u64::from(self.sim.options().customers) {
            let mut ask = Ask::new(NUMBER_FINAL, Asked::List(Some(customer(index)))).at_the_end();
            ask.details.limit = FINAL_PAGE;
            if let Some(answered) = session.ask(&ask, PATIENCE_MICROS, false).await {
                session.list(&ask, &answered, PATIENCE_MICROS, false).await;
            }
        }
    }

    /// Keeps what later requests and the reading back need of an answer, and compares replays.
    fn remember(&self, ask: &Ask, parsed: &Parsed, body: &Value) {
        match &ask.asked {
            Asked::Place(placing) if parsed.status < 300 => {
                self.acknowledge(ask.number, body);
                self.compare(ask, placing, u64::from(parsed.status), (body, &parsed.body));
            }
            Asked::PlaceMany(placings) if parsed.status == 200 => {
                let items = body.as_array().map(Vec::as_slice).unwrap_or_default();
                let texts = elements(&parsed.body);
                for ((item, text), placing) in items.iter().zip(texts).zip(placings) {
                    self.acknowledge(ask.number, &item["order"]);
                    if let Some(status @ (201 | 202)) = item["status"].as_u64() {
                        self.compare(ask, placing, status, (&item["order"], text));
                    }
                }
            }
            Asked::Get(_) | Asked::Cancel(_) if parsed.status < 300 => self.see(body),
            Asked::List(_) if parsed.status == 200 => {
                body["items"].as_array().into_iter().flatten().for_each(|order| self.see(order));
            }
            _ => {}
        }
    }

    /// The same key has the same answer, of each kind that it may have, to the last byte.
    fn compare(&self, ask: &Ask, placing: &Placing, status: u64, (order, text): (&Value, &[u8])) {
        let in_batch = matches!(ask.asked, Asked::PlaceMany(_));
        let keys_expire = self.sim.options().keys_expire();
        let order = order["id"].as_str().filter(|_| keys_expire).and_then(OrderId::parse);
        let scope = (placing.customer.clone(), placing.key.clone(), order, status, in_batch);
        let mut created = self.created.borrow_mut();
        let first = created.entry(scope).or_insert_with(|| text.to_vec());
        if first != text {
            let (first, text) = (String::from_utf8_lossy(first), String::from_utf8_lossy(text));
            let text = format!("operation {}: a replay is {text} and the first answer {first}", ask.number);
            self.sim.violate("http", None, text);
        }
    }

    /// Keeps the version of an order.
    fn see(&self, order: &Value) {
        let id = order["id"].as_str().and_then(OrderId::parse);
        if let (Some(id), Some(version)) = (id, order["version"].as_u64()) {
            let mut versions = self.versions.borrow_mut();
            let seen = versions.entry(id).or_default();
            *seen = version.max(*seen);
        }
    }

    fn acknowledge(&self, number: u32, order: &Value) {
        self.see(order);
        if let Some(order) = order["id"].as_str().and_then(OrderId::parse) {
            let mut acknowledged = self.acknowledged.borrow_mut();
            let orders = acknowledged.entry(number).or_default();
            if !orders.contains(&order) {
                orders.push(order);
            }
        }
    }
}

fn set_up_asks(planting: &Planting) -> Vec<Ask> {
    let Planting { sku, price, currency, stock, in_one } = planting.clone();
    let currency = currency.to_owned();
    let asks = if in_one && stock > 0 {
        vec![Asked::Load { sku, price, currency, stock }]
    } else {
        let product = Asked::PutProduct { sku: sku.clone(), price, currency };
        let key = format!("open-{sku}");
        let opening = (stock > 0).then_some(Asked::Adjust { sku, delta: stock as i64, key });
        [product].into_iter().chain(opening).collect()
    };
    asks.into_iter().map(|asked| Ask::new(NUMBER_SETUP, asked)).collect()
}

impl Session {
    /// Follows the pages of a list, whose first one was answered.
    async fn list(&mut self, ask: &Ask, answered: &Answered, patience: u64, gives_up: bool) {
        let (mut ask, mut next) = (ask.clone(), answered.body["next"].clone());
        while let Some(cursor) = next.as_str() {
            ask.details.cursor = Some(cursor.to_owned());
            let Some(answered) = self.ask(&ask, patience, gives_up).await else { return };
            next = answered.body["next"].clone();
        }
    }
}
