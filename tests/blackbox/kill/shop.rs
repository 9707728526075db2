//! Buyers that ask until they are answered, and what they were told.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::{Answer, Client, Request};
use crate::orders::{id_of, is_end, order_count, status_of};
use crate::server::Server;

pub(super) const THREADS: u32 = 6;
const SKUS: u32 = 20;
const STOCK: u64 = 400;
/// Nobody waits longer than a start takes.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// What a buyer was told.
pub(super) struct Entry {
    key: String,
    body: Value,
    answer: Answer,
    /// How often the order was sent until it was answered.
    pub(super) sent: u32,
    cancelled: bool,
}

/// The shop in front of a server that keeps dying.
pub(super) struct Shop<'s> {
    server: &'s Server,
    token: String,
    closed: AtomicBool,
    /// The server does not come back.
    gone: AtomicBool,
}

/// Sends the buyers home when the test has failed in front of the shop.
pub(super) struct Doorman<'a>(&'a AtomicBool);

impl Drop for Doorman<'_> {
    fn drop(&mut self) {
        self.0.store(std::thread::panicking(), Ordering::Relaxed);
    }
}

impl<'s> Shop<'s> {
    pub(super) fn open(server: &'s Server) -> Shop<'s> {
        let names: Vec<String> = (0..SKUS).map(|sku| format!("kill-{sku}")).collect();
        server.admin().load(&names.iter().map(|name| (&**name, STOCK)).collect::<Vec<_>>());
        Shop {
            server,
            token: server.token("shop", "orders:write orders:read"),
            closed: AtomicBool::new(false),
            gone: AtomicBool::new(false),
        }
    }

    pub(super) fn doorman(&self) -> Doorman<'_> {
        Doorman(&self.gone)
    }

    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    /// Buys one thing after the other until the shop closes.
    pub(super) fn buy(&self, thread: u32) -> Vec<Entry> {
        let mut entries = Vec::new();
        let mut client = self.client();
        for number in 0.. {
            if self.closed.load(Ordering::Relaxed) {
                break;
            }
            let (key, body) = (format!("{thread}-{number}"), self.body(thread, number));
            let (answer, sent) = self.ask(&mut client, &Request::place(&key, &body));
            let placed = answer.expect(202);
            let cancelled = number % 11 == 0 && {
                let target = format!("/v1/orders/{}/cancel", id_of(&placed));
                self.ask(&mut client, &Request::new("POST", target)).0.status != 409
            };
            entries.push(Entry { key, body, answer, sent, cancelled });
        }
        entries
    }

    /// Two lines, mostly of different shards, and every kind of payment.
    fn body(&self, thread: u32, number: u32) -> Value {
        let mixed = thread.wrapping_mul(7919).wrapping_add(number.wrapping_mul(31));
        let token = match number % 17 {
            3 => "tok_decline",
            5 => "tok_timeout",
            7 => "tok_slow_120",
            13 => "tok_lost",
            _ => "tok_ok",
        };
        json!({
            "customer": format!("buyer-{}", mixed % 50),
            "items": [
                {"sku": format!("kill-{}", mixed % SKUS), "quantity": 1 + number % 3},
                {"sku": format!("kill-{}", (mixed / 3 + 1) % SKUS), "quantity": 1},
            ],
            "payment": {"token": token},
            "reference": format!("r-{thread}-{number}"),
            "metadata": {"thread": thread.to_string()},
        })
    }

    fn client(&self) -> Client {
        Client::new(self.server.address(), self.token.clone())
    }

    /// Sends the same request until somebody answers.
    fn ask(&self, client: &mut Client, request: &Request) -> (Answer, u32) {
        let deadline = Instant::now() + ANSWER_MAX;
        for sent in 1.. {
            match client.try_send(request) {
                Ok(answer) if answer.status < 500 && !is_in_progress(&answer) => return (answer, sent),
                Ok(_) | Err(_) => {}
            }
            let waits = Instant::now() < deadline && !self.gone.load(Ordering::Relaxed);
            assert!(waits, "no answer to {request:?}");
            std::thread::sleep(Duration::from_millis(5));
            *client = self.client();
        }
        unreachable!("the deadline comes first")
    }

    /// Everything that was acknowledged is there, once, with its body.
    pub(super) fn check(&self, entries: &[Entry]) {
        let mut client = self.client();
        let mut ids = HashSet::new();
        for entry in entries {
            let placed = entry.answer.json();
            let id = id_of(&placed);
            assert!(ids.insert(id.clone()), "{id} was given to two orders");
            let found = client.get(&format!("/v1/orders/{id}")).expect(200);
            for name in ["id", "customer", "reference", "metadata", "createdAt"] {
                assert_eq!(found[name], placed[name], "{name} of {id}");
            }
            for (line, sent) in
                found["items"].as_array().expect("lines").iter().zip(entry.body["items"].as_array().expect("lines"))
            {
                assert_eq!((&line["sku"], &line["quantity"]), (&sent["sku"], &sent["quantity"]), "{found}");
            }
            assert!(is_end(status_of(&found)), "{found}");
            assert!(!entry.cancelled || status_of(&found) != "COMPLETED", "cancelled and completed: {found}");
            let replay = client.send(&Request::place(&entry.key, &entry.body));
            assert_eq!((replay.status, &replay.body), (202, &entry.answer.body), "the answer of {id} has changed");
            assert_eq!(replay.field("Idempotency-Replayed"), Some("true"));
        }
        let invariants = self.server.admin().invariants();
        assert_eq!(order_count(&invariants), entries.len() as u64, "an order for each key and no more: {invariants}");
        assert_eq!(self.listed(), ids, "the lists show each order once");
        let money = &invariants["money"]["EUR"];
        let [charged, refunded, completed] =
            ["charged", "refunded", "completed"].map(|name| money[name].as_u64().expect("a number"));
        assert_eq!(charged - refunded, completed, "{invariants}");
        let stock = &invariants["stock"];
        assert_eq!(
            (&stock["adjusted"], &stock["reserved"]),
            (&json!(STOCK * u64::from(SKUS)), &json!(0)),
            "{invariants}"
        );
    }

    fn listed(&self) -> HashSet<String> {
        let mut client = self.client();
        let mut ids = HashSet::new();
        let mut target = "/v1/orders?limit=200".to_owned();
        loop {
            let page = client.get(&target).expect(200);
            for order in page["items"].as_array().expect("items") {
                assert!(ids.insert(id_of(order)), "listed twice: {order}");
            }
            match page["next"].as_str() {
                Some(cursor) => target = format!("/v1/orders?limit=200&cursor={cursor}"),
                None => return ids,
            }
        }
    }
}

fn is_in_progress(answer: &Answer) -> bool {
    answer.status == 409 && answer.code() == "idempotency-key-in-progress"
}
