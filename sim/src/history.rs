//! What the clients asked and what they were answered: the other half of what every check is made against.

use orderlane_core::OrderId;

use crate::executor::Moment;

/// One request, from its first byte to its answer.
#[derive(Clone, Debug)]
pub struct Operation {
    /// Who.
    pub client: u16,
    /// The number of the planned operation that it belongs to; a retry has the same.
    pub number: u32,
    /// What.
    pub asked: Asked,
    /// Just before the first byte was sent.
    pub invoked: Moment,
    /// Just after the last byte of the answer was read; `None` when it never came.
    pub returned: Option<Moment>,
    /// The answer.
    pub answer: Answer,
}

/// What was asked.
#[derive(Clone, Debug)]
pub enum Asked {
    /// `POST /v1/orders`
    Place(Placing),
    /// `POST /v1/orders:batch`: one operation, one answer an item.
    PlaceMany(Vec<Placing>),
    /// `POST /v1/orders/{id}/cancel`
    Cancel(OrderId),
    /// `GET /v1/orders/{id}`
    Get(OrderId),
    /// `GET /v1/orders?customer=`
    List(String),
    /// `PUT /v1/products/{sku}`
    PutProduct {
        /// The SKU.
        sku: String,
        /// Minor units.
        price: u64,
        /// Currency of the price.
        currency: String,
        /// Whether it is on sale.
        active: bool,
    },
    /// `POST /v1/inventory/{sku}/adjust`
    Adjust {
        /// The SKU.
        sku: String,
        /// Units.
        delta: i64,
        /// `Idempotency-Key`.
        key: String,
    },
    /// `GET /v1/inventory/{sku}`
    Inventory(String),
    /// `GET /v1/invariants`
    Invariants,
}

/// An order that is placed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placing {
    /// `customer`
    pub customer: String,
    /// `Idempotency-Key`
    pub key: String,
    /// SKU and quantity, a line each.
    pub lines: Vec<(String, u32)>,
    /// `payment.token`
    pub token: String,
    /// Whether the answer is awaited until the saga ends (`?wait=`).
    pub wait: bool,
}

/// What came back.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Nothing (yet): it may have happened, or still happen.
    Unknown,
    /// An HTTP answer.
    Http {
        /// The status code.
        status: u16,
        /// The body.
        body: serde_json::Value,
        /// `Idempotency-Replayed: true` was there.
        replayed: bool,
    },
}

/// All operations, in the order of their invocation.
#[derive(Debug, Default)]
pub struct History {
    /// The operations.
    pub operations: Vec<Operation>,
}

impl History {
    /// Notes that something is asked; gives its index.
    pub fn invoke(&mut self, client: u16, number: u32, asked: Asked, invoked: Moment) -> usize {
        let answer = Answer::Unknown;
        self.operations.push(Operation { client, number, asked, invoked, returned: None, answer });
        self.operations.len() - 1
    }

    /// Notes the answer of an operation.
    pub fn answer(&mut self, index: usize, answer: Answer, returned: Moment) {
        let operation = &mut self.operations[index];
        operation.answer = answer;
        operation.returned = Some(returned);
    }
}
