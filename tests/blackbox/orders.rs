//! Words of the domain for the tests: products, orders, and what became of them.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::{Client, Request};

/// By default every saga ends within 90 s; none of the tests needs that long.
const SAGA_MAX: Duration = Duration::from_secs(40);

/// An order of one line, in EUR.
pub(crate) fn order(customer: &str, sku: &str, quantity: u32, token: &str) -> Value {
    json!({"customer": customer, "items": [{"sku": sku, "quantity": quantity}], "payment": {"token": token}})
}

/// The same with fields of its own instead.
pub(crate) fn order_with(customer: &str, sku: &str, changes: Value) -> Value {
    let mut body = order(customer, sku, 1, "tok_ok");
    let Value::Object(changes) = changes else { panic!("changes are an object") };
    body.as_object_mut().expect("an object").extend(changes);
    body
}

/// The same as an item of a batch.
pub(crate) fn item(key: &str, mut body: Value) -> Value {
    body["idempotencyKey"] = key.into();
    body
}

pub(crate) fn is_end(status: &str) -> bool {
    matches!(status, "COMPLETED" | "REJECTED" | "PAYMENT_FAILED" | "EXPIRED" | "CANCELLED")
}

impl Client {
    /// Makes a product at 500 a unit in EUR, with stock.
    #[track_caller]
    pub(crate) fn stock(&mut self, sku: &str, units: u64) {
        self.load(&[(sku, units)]);
    }

    /// Makes many products at once.
    #[track_caller]
    pub(crate) fn load(&mut self, products: &[(&str, u64)]) {
        let line = |(sku, stock): &(&str, u64)| {
            let product = json!({"sku": sku, "name": sku, "unitPrice": 500, "currency": "EUR", "stock": stock});
            format!("{product}\n")
        };
        let lines: String = products.iter().map(line).collect();
        let answer = self.send(&Request::new("POST", "/v1/products:batch").body("application/x-ndjson", lines));
        assert_eq!(answer.status, 200, "{answer:?}");
        let created = answer.text().lines().filter(|line| line.contains("\"created\"")).count();
        assert_eq!(created, products.len(), "{answer:?}");
    }

    /// Places an order; gives its id.
    #[track_caller]
    pub(crate) fn place(&mut self, key: &str, body: &Value) -> String {
        id_of(&self.send(&Request::place(key, body)).expect(202))
    }

    /// Places an order and waits for the end of its saga.
    #[track_caller]
    pub(crate) fn place_to_end(&mut self, key: &str, body: &Value) -> Value {
        let id = self.place(key, body);
        self.end_of(&id)
    }

    /// Waits until an order has ended.
    #[track_caller]
    pub(crate) fn end_of(&mut self, id: &str) -> Value {
        let deadline = Instant::now() + SAGA_MAX;
        loop {
            let order = self.get(&format!("/v1/orders/{id}?wait=5")).expect(200);
            if is_end(status_of(&order)) {
                return order;
            }
            assert!(Instant::now() < deadline, "the saga does not end: {order}");
        }
    }

    /// Waits until an order has a status, which may be one that passes.
    #[track_caller]
    pub(crate) fn until_status(&mut self, id: &str, status: &str) {
        let deadline = Instant::now() + SAGA_MAX;
        loop {
            let order = self.get(&format!("/v1/orders/{id}")).expect(200);
            if status_of(&order) == status {
                return;
            }
            assert!(!is_end(status_of(&order)) && Instant::now() < deadline, "{status} never comes: {order}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// `/v1/invariants`, which must show no violation.
    #[track_caller]
    pub(crate) fn invariants(&mut self) -> Value {
        let found = self.get("/v1/invariants").expect(200);
        assert_eq!(found["violations"], 0, "{found}");
        found
    }

    /// Waits until no order is under way; gives the invariants then.
    #[track_caller]
    pub(crate) fn all_ended(&mut self) -> Value {
        let deadline = Instant::now() + SAGA_MAX;
        loop {
            let found = self.invariants();
            let counts = found["orders"].as_object().expect("an object");
            if counts.iter().all(|(status, count)| is_end(status) || count == 0) {
                return found;
            }
            assert!(Instant::now() < deadline, "some sagas do not end: {found}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until nothing happens any more, confirmations included; gives the invariants then.
    #[track_caller]
    pub(crate) fn settled(&mut self) -> Value {
        let mut found = self.all_ended();
        let mut same = 0;
        let deadline = Instant::now() + SAGA_MAX;
        while same < 5 {
            assert!(Instant::now() < deadline, "the shards do not come to rest: {found}");
            std::thread::sleep(Duration::from_millis(30));
            let next = self.all_ended();
            same = if next == found { same + 1 } else { 0 };
            found = next;
        }
        found
    }

    /// `available`, `reserved` and `sold` of a SKU.
    #[track_caller]
    pub(crate) fn units(&mut self, sku: &str) -> [u64; 3] {
        let stock = self.get(&format!("/v1/inventory/{sku}")).expect(200);
        ["available", "reserved", "sold"].map(|name| stock[name].as_u64().expect("a number"))
    }
}

#[track_caller]
pub(crate) fn id_of(order: &Value) -> String {
    order["id"].as_str().unwrap_or_else(|| panic!("no id: {order}")).to_owned()
}

#[track_caller]
pub(crate) fn status_of(order: &Value) -> &str {
    order["status"].as_str().unwrap_or_else(|| panic!("no status: {order}"))
}

/// All orders that the invariants count.
pub(crate) fn order_count(invariants: &Value) -> u64 {
    invariants["orders"].as_object().expect("an object").values().filter_map(Value::as_u64).sum()
}
