//! Finished orders leave the memory: nobody can tell from the answers.

mod disk;
mod retention;
mod safety;
mod same_answers;

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::{Answer, Client, Request};
use crate::orders::{id_of, is_end, order_with, status_of};
use crate::server::Server;

/// Runs are so small that a test reaches many of them.
const TINY: [&str; 8] = ["--lanes", "2", "--shards", "4", "--archive-run", "32", "--archive-window", "256"];
/// A run is stored in milliseconds.
const ARCHIVED_MAX: Duration = Duration::from_secs(30);

/// An order as its customer knows it.
struct Known {
    key: String,
    body: Value,
    first: Answer,
    id: String,
}

/// Flags of a server with a tiny archive, and further ones.
fn tiny<'f>(further: &[&'f str]) -> Vec<&'f str> {
    [&TINY[..], further].concat()
}

/// A figure of the exposition, all series of it added up.
fn figure(server: &Server, name: &str) -> f64 {
    let text = Client::anonymous(server.address()).get("/actuator/prometheus");
    let of_name = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with('{'));
    text.text().lines().filter(of_name).filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
}

/// Waits until at least `orders` are in the archive.
#[track_caller]
fn until_archived(server: &Server, orders: usize) {
    let deadline = Instant::now() + ARCHIVED_MAX;
    while figure(server, "archive_orders") < orders as f64 {
        assert!(Instant::now() < deadline, "{} of {orders} orders are archived", figure(server, "archive_orders"));
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The body of an order with a number: several customers, ends of every kind.
fn body(number: usize) -> Value {
    let token = ["tok_ok", "tok_ok", "tok_decline", "tok_ok"][number % 4];
    let sku = if number % 10 == 9 { "nothing" } else { "archived" };
    let changes =
        json!({"payment": {"token": token}, "reference": format!("r-{number}"), "metadata": {"n": number.to_string()}});
    order_with(&format!("customer-{}", number % 7), sku, changes)
}

/// Places orders under the keys `prefix-N` and waits until all have ended.
#[track_caller]
fn place_many(client: &mut Client, prefix: &str, count: usize) -> Vec<Known> {
    let place = |number: usize, client: &mut Client| {
        let (key, body) = (format!("{prefix}-{number}"), body(number));
        let first = client.send(&Request::place(&key, &body));
        let id = id_of(&first.expect(202));
        Known { key, body, first, id }
    };
    let placed: Vec<Known> = (0..count).map(|number| place(number, client)).collect();
    for known in &placed {
        assert!(is_end(status_of(&client.end_of(&known.id))));
    }
    placed
}

/// Pushes everything that has ended before out of memory: the next runs take it along.
#[track_caller]
fn push_out(server: &Server, client: &mut Client, known: usize) {
    static PUSHES: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let push = PUSHES.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    place_many(client, &format!("push-{push}"), 160);
    until_archived(server, known);
}

#[track_caller]
fn assert_replay(client: &mut Client, known: &Known) {
    let replay = client.send(&Request::place(&known.key, &known.body));
    assert_eq!((replay.status, &replay.body), (202, &known.first.body), "{replay:?}\n{:?}", known.first);
    assert_eq!(replay.field("Idempotency-Replayed"), Some("true"), "{replay:?}");
    assert_eq!(replay.field("Location"), known.first.field("Location"));
}

/// All pages of a list, as their bodies' items, in their order.
#[track_caller]
fn listed(client: &mut Client, target: &str) -> Vec<Value> {
    let mut items = Vec::new();
    let mut next = target.to_owned();
    loop {
        let page = client.get(&next).expect(200);
        items.extend(page["items"].as_array().expect("items").iter().cloned());
        match page["next"].as_str() {
            Some(cursor) => next = format!("{target}&cursor={cursor}"),
            None => return items,
        }
    }
}
