//! Bytes in, bytes out: the protocol without sockets, clocks and shards.

mod answers;
mod batches;
mod pipelines;
mod properties;
mod refusals;
mod timeouts;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use orderlane_core::{
    DraftLine, OrderBody, OrderDraft, OrderId, OrderView, Prices, Reply, Request, ShardId, Status, Time,
};

use crate::actuator::{Actuator, Info, Retention, State};
use crate::auth::{Authenticator, Keys, Scope, dev_key_generate, sign};
use crate::connection::{Connection, Context, Submission};
use crate::metrics::GatewayMetrics;
use crate::request_log::RequestLog;
use crate::routes::Surface;

const SHARDS: u16 = 4;
pub(crate) const START: Time = Time(1_700_000_000_000_000);
pub(crate) const ORDER: &str =
    r#"{"customer":"c-1","items":[{"sku":"sku-1","quantity":2}],"payment":{"token":"tok_ok"}}"#;

/// An order of shard 0 whose number is its time.
pub(crate) fn order_view(status: Status, time: u64) -> OrderView {
    let draft = OrderDraft {
        subject: "alice",
        customer: "c-1",
        key: "k-1",
        currency: None,
        total_expected: None,
        token: "tok_ok",
        email: None,
        reference: None,
        metadata: &[],
        lines: &[DraftLine { sku: "sku-1", quantity: 2 }],
    };
    OrderView {
        order: OrderId::new(ShardId(0), time),
        body: OrderBody::encode(&draft, SHARDS),
        status,
        reason: None,
        total: None,
        currency: None,
        prices: Prices::new(),
        version: 3,
        created_at: Time(time),
        updated_at: Time(time),
    }
}

/// A connection with its lane.
struct Sut {
    connection: Connection,
    context: Context,
    now: Time,
    /// Requests submitted and not answered.
    submissions: Vec<Submission>,
}

impl Sut {
    fn new() -> Sut {
        let connection = Connection::new(Surface::All, START);
        Sut { connection, context: context(), now: START, submissions: Vec::new() }
    }

    fn receive(&mut self, bytes: impl AsRef<[u8]>) -> &mut Sut {
        self.connection.receive(bytes.as_ref(), self.now);
        self.advance()
    }

    fn advance(&mut self) -> &mut Sut {
        self.connection.advance(self.now, &mut self.context);
        self.submissions.append(self.context.submissions());
        self
    }

    fn pass(&mut self, micros: u64) -> &mut Sut {
        self.now = self.now.after_micros(micros);
        self.connection.handle_timeout(self.now, &mut self.context);
        self.submissions.append(self.context.submissions());
        self
    }

    fn deliver(&mut self, number: u32, reply: Reply) -> &mut Sut {
        self.connection.deliver(number, reply);
        self.advance()
    }

    /// Answers everything that was submitted, as a shard that finds what it is asked for.
    fn answer_all(&mut self) -> &mut Sut {
        while !self.submissions.is_empty() {
            for submission in std::mem::take(&mut self.submissions) {
                self.connection.deliver(submission.number, reply_to(&submission.request));
            }
            self.advance();
        }
        self
    }

    /// The bytes to be written, taken as written.
    fn output(&mut self) -> String {
        let mut buffer = Vec::new();
        self.connection.transmit(&mut buffer);
        self.connection.written(buffer.len(), self.now);
        self.advance();
        String::from_utf8(buffer).expect("answers are UTF-8")
    }

    fn statuses(&mut self) -> Vec<u16> {
        answers_in(&self.output()).iter().map(|answer| answer.status).collect()
    }
}

/// One answer, taken apart.
#[derive(Clone, Debug)]
struct Answered {
    status: u16,
    head: String,
    body: String,
}

impl Answered {
    fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    fn code(&self) -> String {
        let problem: serde_json::Value = serde_json::from_str(&self.body).unwrap_or_default();
        problem["code"].as_str().unwrap_or_default().to_owned()
    }
}

/// Takes a stream of answers apart, as a client that trusts the framing. None of them may be an answer to HEAD.
fn answers_in(mut bytes: &str) -> Vec<Answered> {
    let mut answers = Vec::new();
    while !bytes.is_empty() {
        let (head, rest) = bytes.split_once("\r\n\r\n").expect("a whole head");
        let status = head[9..12].parse().expect("a status");
        let mut answer = Answered { status, head: head.to_owned(), body: String::new() };
        bytes = if let Some(len) = answer.field("Content-Length") {
            let (body, rest) = rest.split_at(len.parse().expect("a length"));
            answer.body = body.to_owned();
            rest
        } else if answer.field("Transfer-Encoding").is_some() {
            let (body, rest) = join_chunks(rest);
            answer.body = body;
            rest
        } else {
            rest
        };
        answers.push(answer);
    }
    answers
}

fn join_chunks(mut bytes: &str) -> (String, &str) {
    let mut body = String::new();
    loop {
        let Some((size, rest)) = bytes.split_once("\r\n") else { return (body, bytes) };
        let size = usize::from_str_radix(size, 16).expect("a chunk size");
        body.push_str(&rest[..size]);
        bytes = rest[size..].strip_prefix("\r\n").expect("the end of a chunk");
        if size == 0 {
            return (body, bytes);
        }
    }
}

/// A lane that knows the development key.
pub(crate) fn context() -> Context {
    let metrics = Arc::new(GatewayMetrics::default());
    let authenticator = Authenticator::new(Arc::new(Keys::dev(key()).expect("a key")));
    Context::new(SHARDS, authenticator, Arc::new(actuator(&metrics)), metrics, RequestLog::new(0), 1)
}

fn actuator(metrics: &Arc<GatewayMetrics>) -> Actuator {
    let info = Info {
        version: "0.1.0".into(),
        commit: "abc".into(),
        lanes: 1,
        shards: SHARDS,
        cores: 1,
        io_backend: "epoll".into(),
        runtime: "monoio".into(),
        durability: "fsync".into(),
        auth: "dev".into(),
        data: "d".into(),
        started_at: START,
    };
    let state = State::new(1);
    state.set_lane_up(0);
    state.set_ready();
    let retention = Retention {
        key_micros: 7_200_000_000,
        keys_max: None,
        order_micros: 7_200_000_000,
        order_bytes_max: None,
        disk_reserve_bytes: 0,
        data_bytes_max: None,
        is_audited: false,
        window_orders: 1,
    };
    Actuator::new(info, Arc::new(state), vec![Arc::default()], vec![Arc::clone(metrics)])
        .with_retention(retention, Arc::default())
}

fn key() -> &'static [u8] {
    static KEY: OnceLock<Vec<u8>> = OnceLock::new();
    KEY.get_or_init(|| dev_key_generate().expect("random bytes"))
}

/// A token with these scopes.
fn token(scopes: &[Scope]) -> String {
    sign(key(), "alice", scopes, Duration::from_secs(3600), START).expect("a token")
}

fn admin() -> &'static str {
    static TOKEN: OnceLock<String> = OnceLock::new();
    TOKEN.get_or_init(|| token(&[Scope::Admin]))
}

/// A request of an administrator with these further lines in its head.
pub(crate) fn request(method: &str, target: &str, lines: &str) -> String {
    format!("{method} {target} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\n{lines}\r\n", admin())
}

/// `POST /v1/orders` with a body.
pub(crate) fn post(key: &str, body: &str) -> String {
    let lines =
        format!("Content-Type: application/json\r\nIdempotency-Key: {key}\r\nContent-Length: {}\r\n", body.len());
    request("POST", "/v1/orders", &lines) + body
}

fn placed(body: &OrderBody) -> Reply {
    Reply::Placed { order: OrderId::new(ShardId(1), 7), created_at: START, body: body.clone(), replayed: false }
}

fn reply_to(request: &Request) -> Reply {
    use orderlane_core::{Audit, InventoryView, OrderPage, ProductView, StockSums};
    let inventory = |sku: &str| {
        Box::new(InventoryView { sku: sku.into(), adjusted: 9, available: 4, reserved: 3, sold: 2, version: 5 })
    };
    match request {
        Request::PlaceOrder { body, .. } => placed(body),
        Request::CancelOrder { .. } => Reply::Order(Box::new(order_view(Status::Cancelling, 5))),
        Request::GetOrder { .. } => Reply::Order(Box::new(order_view(Status::Completed, 5))),
        Request::ListOrders(_) => Reply::Orders(Box::<OrderPage>::default()),
        Request::PutProduct(product) | Request::LoadProduct { product, .. } => Reply::ProductPut {
            product: Box::new(ProductView { product: (**product).clone(), version: 1 }),
            created: true,
        },
        Request::GetProduct { .. } => Reply::Refused(orderlane_core::Refusal::NotFound),
        Request::AdjustStock(adjustment) => Reply::Adjusted { inventory: inventory(&adjustment.sku), replayed: false },
        Request::GetInventory { sku } => Reply::Inventory(inventory(sku)),
        Request::Audit => Reply::Audit(Box::new(Audit {
            shard: ShardId(0),
            sequence: 1,
            digest: 2,
            checks: Vec::new(),
            stock: StockSums::default(),
            orders: [0; Status::ALL.len()],
            money: Vec::new(),
        })),
    }
}
