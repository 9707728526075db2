//! Ten thousand buyers, one unit.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::client::{Client, Connection, Request};
use crate::orders::{item, order, status_of};
use crate::server::Server;

const BUYERS: usize = 10_000;
const BATCHES: usize = 4;
const CONNECTIONS: usize = 12;
/// Requests of a connection that are under way together.
const PIPELINE: usize = 64;

type Ends = BTreeMap<(String, Option<String>), usize>;

fn count(ends: &mut Ends, order: &Value) {
    let reason = order["reason"].as_str().map(str::to_owned);
    *ends.entry((status_of(order).to_owned(), reason)).or_default() += 1;
}

fn buyer(number: usize) -> (String, Value) {
    (format!("k-{number}"), order(&format!("buyer-{number}"), "the-one", 1, "tok_ok"))
}

/// Half of the buyers come in batches.
fn buy_in_batch(mut client: Client, buyers: std::ops::Range<usize>) -> Ends {
    let lines: String = buyers
        .map(|number| {
            let (key, body) = buyer(number);
            format!("{}\n", item(&key, body))
        })
        .collect();
    let answer = client.send(&Request::place_lines(lines).field("Prefer", "wait=40"));
    let mut ends = Ends::new();
    for line in answer.text().lines() {
        let result: Value = serde_json::from_str(line).expect("JSON");
        assert_eq!(result["status"], 201, "{result}");
        count(&mut ends, &result["order"]);
    }
    ends
}

/// The others come one a request, many requests on a connection at once.
fn buy_pipelined(server: &Server, buyers: std::ops::Range<usize>) -> Ends {
    let token = server.token("crowd", "orders:write orders:read");
    let mut connection = Connection::open(server.address()).expect("a connection");
    let mut ends = Ends::new();
    let buyers: Vec<usize> = buyers.collect();
    for some in buyers.chunks(PIPELINE) {
        let mut bytes = Vec::new();
        for number in some {
            let (key, body) = buyer(*number);
            bytes.extend(Request::place(&key, body).field("Prefer", "wait=40").bytes(Some(&token)));
        }
        connection.send(&bytes).expect("sent");
        for number in some {
            let placed = connection.answer().expect("an answer").expect(201);
            assert_eq!(placed["customer"], format!("buyer-{number}"), "answers come in the order of the requests");
            count(&mut ends, &placed);
        }
    }
    ends
}

/// Trap 9: one writer a SKU, whatever lane the buyers come in on.
#[test]
fn trap_09_of_ten_thousand_buyers_of_one_unit_one_gets_it() {
    let server = Server::start(&[]);
    server.admin().stock("the-one", 1);
    let half = BUYERS / 2;
    let ends: Vec<Ends> = std::thread::scope(|scope| {
        let mut threads = Vec::new();
        for batch in 0..BATCHES {
            let client = server.customer("crowd");
            let part = half / BATCHES;
            threads.push(scope.spawn(move || buy_in_batch(client, batch * part..(batch + 1) * part)));
        }
        for connection in 0..CONNECTIONS {
            let (first, last) = (half + half * connection / CONNECTIONS, half + half * (connection + 1) / CONNECTIONS);
            let server = &server;
            threads.push(scope.spawn(move || buy_pipelined(server, first..last)));
        }
        threads.into_iter().map(|thread| thread.join().expect("all are answered")).collect()
    });
    let mut sums = Ends::new();
    ends.into_iter().flatten().for_each(|(end, count)| *sums.entry(end).or_default() += count);
    let expected = Ends::from([
        (("COMPLETED".into(), None), 1),
        (("REJECTED".into(), Some("insufficient-stock".into())), BUYERS - 1),
    ]);
    assert_eq!(sums, expected);
    let mut admin = server.admin();
    assert_eq!(admin.units("the-one"), [0, 0, 1]);
    let found = admin.all_ended();
    assert_eq!(
        (&found["orders"]["COMPLETED"], &found["orders"]["REJECTED"]),
        (&json!(1), &json!(BUYERS - 1)),
        "{found}"
    );
    assert_eq!(found["money"]["EUR"], json!({"charged": 500, "refunded": 0, "completed": 500}));
}
