//! What the clients asked and what they were answered: the other half of what every check is made against.

use orderlane_core::{OrderId, Status};

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
    /// How it was asked.
    pub details: Details,
}

/// How something was asked, and where it stands in the run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details {
    /// `X-Correlation-Id`; another one for each request.
    pub correlation: String,
    /// Seconds that the client asked to wait for the end of the saga; 0 if it did not.
    pub wait_seconds: u64,
    /// Of a list: where the page begins; `None` for the first one.
    pub cursor: Option<String>,
    /// Of a list: orders on a page, at most.
    pub limit: usize,
    /// Of a list: only orders of this status.
    pub status: Option<Status>,
    /// Of a cancel: `If-Match`, as it was sent.
    pub if_match: Option<String>,
    /// `HEAD` instead of `GET`: what is known of the answer is its `ETag`, kept as the `version` of a body.
    pub is_head: bool,
    /// It belongs to the reading back at the end of the run.
    pub is_final: bool,
    /// It uses the key of an earlier, acknowledged order with another body: nothing but a refusal is right.
    pub is_careless: bool,
}

/// Which versions of an order a change is meant for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfMatch {
    /// Whichever it has.
    Any,
    /// This one.
    Version(u64),
    /// None that an order can have: the field is not one strong entity tag of ours.
    Never,
}

impl Details {
    /// What the `If-Match` means.
    #[must_use]
    pub fn if_match(&self) -> IfMatch {
        let Some(text) = &self.if_match else { return IfMatch::Any };
        let digits = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        match digits.and_then(|digits| Some((digits, digits.parse::<u64>().ok()?))) {
            _ if text == "*" => IfMatch::Any,
            Some((digits, version)) if digits == version.to_string() && version > 0 => IfMatch::Version(version),
            _ => IfMatch::Never,
        }
    }
}

impl IfMatch {
    /// Whether a change may be made to this version.
    #[must_use]
    pub fn allows(self, version: u64) -> bool {
        match self {
            IfMatch::Any => true,
            IfMatch::Version(wanted) => wanted == version,
            IfMatch::Never => false,
        }
    }
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
    /// `GET /v1/orders`, of one customer or of all, one page: see [`Details::cursor`] and [`Details::status`].
    List(Option<String>),
    /// `PUT /v1/products/{sku}`
    PutProduct {
        /// The SKU.
        sku: String,
        /// Minor units.
        price: u64,
        /// Currency of the price.
        currency: String,
    },
    /// `POST /v1/products:batch`, one line.
    Load {
        /// The SKU.
        sku: String,
        /// Minor units.
        price: u64,
        /// Currency of the price.
        currency: String,
        /// Units to open the stock with, if it has none.
        stock: u64,
    },
    /// `POST /v1/inventory/{sku}/adjustments`
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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placing {
    /// `customer`
    pub customer: String,
    /// `Idempotency-Key`
    pub key: String,
    /// SKU and quantity, a line each.
    pub lines: Vec<(String, u32)>,
    /// `payment.token`
    pub token: String,
    /// `currency`
    pub currency: Option<String>,
    /// `expectedTotal`
    pub total_expected: Option<u64>,
    /// `email`
    pub email: Option<String>,
    /// `reference`
    pub reference: Option<String>,
    /// `metadata`, names and values; without any it is the same as absent.
    pub metadata: Option<Vec<(String, String)>>,
    /// Whether the answer is awaited until the saga ends (`Prefer: wait=`): then it is 201 with the order as it ended, else, and
    /// when the time is over, 202 with the order as it was created.
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
        let (answer, details) = (Answer::Unknown, Details::default());
        self.operations.push(Operation { client, number, asked, invoked, returned: None, answer, details });
        self.operations.len() - 1
    }

    /// Notes the answer of an operation.
    pub fn answer(&mut self, index: usize, answer: Answer, returned: Moment) {
        let operation = &mut self.operations[index];
        operation.answer = answer;
        operation.returned = Some(returned);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_strong_tag_that_we_give_out_names_a_version() {
        for (text, meant) in [
            (None, IfMatch::Any),
            (Some("*"), IfMatch::Any),
            (Some("\"3\""), IfMatch::Version(3)),
            (Some("\"0\""), IfMatch::Never),
            (Some("\"03\""), IfMatch::Never),
            (Some("\"+3\""), IfMatch::Never),
            (Some("\""), IfMatch::Never),
            (Some("3"), IfMatch::Never),
            (Some("W/\"3\""), IfMatch::Never),
            (Some("\"2\", \"3\""), IfMatch::Never),
        ] {
            let details = Details { if_match: text.map(str::to_owned), ..Details::default() };
            assert_eq!(details.if_match(), meant, "{text:?}");
            assert_eq!(meant.allows(3), matches!(meant, IfMatch::Any | IfMatch::Version(3)));
        }
    }
}
