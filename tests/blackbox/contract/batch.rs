//! `POST /v1/orders:batch`: one result an item, in order, each failing alone.

use serde_json::{Value, json};

use crate::client::{Answer, Connection, Request};
use crate::orders::{item, order};
use crate::server::Server;

/// Items of every kind: good, broken, replayed, reused.
fn items(prefix: &str) -> Vec<Value> {
    let good = |number: u32| {
        item(&format!("{prefix}-{number}"), order(&format!("{prefix}-{}", number % 7), "nothing", number, "t"))
    };
    let mut items: Vec<Value> = (1..=20).map(good).collect();
    items.push(good(3));
    items.push(item(&format!("{prefix}-3"), order(&format!("{prefix}-3"), "nothing", 9, "t")));
    items.push(order("no-key", "nothing", 1, "t"));
    items.push(item(&format!("{prefix}-q"), order("zero", "nothing", 0, "t")));
    items.push(json!(7));
    items.push(good(21));
    items
}

#[track_caller]
fn check(results: &[Value]) {
    let statuses: Vec<u64> = results.iter().filter_map(|result| result["status"].as_u64()).collect();
    let mut expected = vec![202; 21];
    expected.extend([422, 400, 400, 400, 202]);
    assert_eq!(statuses, expected, "{results:?}");
    assert_eq!(results[20]["order"], results[2]["order"], "a replay is the first answer");
    for (index, number) in (0..20).zip(1_u64..) {
        assert_eq!(results[index]["order"]["items"][0]["quantity"], number, "in the order of the items");
    }
    let codes: Vec<_> = results[21..25].iter().filter_map(|result| result["problem"]["code"].as_str()).collect();
    assert_eq!(codes, ["idempotency-key-reused", "idempotency-key-missing", "validation-failed", "validation-failed"]);
}

fn lines_of(answer: &Answer) -> Vec<Value> {
    answer
        .text()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

#[test]
fn an_array_is_answered_with_an_array() {
    let server = Server::shared();
    let request = Request::new("POST", "/v1/orders:batch").json(json!(items("array")));
    let answer = server.customer("batch-array").send(&request);
    assert_eq!((answer.status, answer.field("Content-Type")), (200, Some("application/json")), "{answer:?}");
    check(answer.json().as_array().expect("an array"));
    let empty = server.customer("batch-array").send(&Request::new("POST", "/v1/orders:batch").json("[]"));
    assert_eq!((empty.status, empty.text()), (200, "[]"));
}

#[test]
fn lines_are_answered_with_lines() {
    let server = Server::shared();
    let lines: String = items("lines").iter().map(|item| format!("{item}\n")).collect();
    let answer = server.customer("batch-lines").send(&Request::place_lines(lines));
    assert_eq!((answer.status, answer.field("Content-Type")), (200, Some("application/x-ndjson")), "{answer:?}");
    check(&lines_of(&answer));
}

#[test]
fn trap_07_a_line_that_is_no_json_fails_alone() {
    let server = Server::shared();
    let good = |key: &str| item(key, order("alone", "nothing", 1, "t")).to_string();
    let lines = [good("k-1"), "{".into(), "\u{1}".into(), good("k-2")].join("\n");
    let results = lines_of(&server.customer("batch-alone").send(&Request::place_lines(lines)));
    let seen: Vec<_> =
        results.iter().map(|result| (result["status"].as_u64(), result["problem"]["code"].as_str())).collect();
    let bad = (Some(400), Some("malformed-json"));
    assert_eq!(seen, [(Some(202), None), bad, bad, (Some(202), None)]);
}

#[test]
fn prefer_wait_gives_every_item_its_end() {
    let server = Server::shared();
    server.admin().stock("batch-wait", 5);
    let lines: String = (0..10)
        .map(|number| {
            format!("{}\n", item(&format!("k-{number}"), order(&format!("bw-{number}"), "batch-wait", 1, "tok_ok")))
        })
        .collect();
    let answer = server.customer("batch-wait").send(&Request::place_lines(lines).field("Prefer", "wait=20"));
    assert_eq!(answer.field("Preference-Applied"), Some("wait=20"));
    let results = lines_of(&answer);
    assert!(results.iter().all(|result| result["status"] == 201), "{results:?}");
    let completed = results.iter().filter(|result| result["order"]["status"] == "COMPLETED").count();
    assert_eq!((results.len(), completed), (10, 5), "{results:?}");
}

#[test]
fn a_batch_may_be_chunked_anywhere() {
    let server = Server::shared();
    let token = server.token("batch-chunks", "orders:write");
    let lines: String =
        (0..5).map(|n| format!("{}\n", item(&format!("k-{n}"), order("chunks", "nothing", 1, "t")))).collect();
    let mut connection = Connection::open(server.address()).expect("a connection");
    let head = format!(
        "POST /v1/orders:batch HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    connection.send(head.as_bytes()).expect("sent");
    for chunk in lines.as_bytes().chunks(37) {
        connection.send(format!("{:x};ext=1\r\n", chunk.len()).as_bytes()).expect("sent");
        connection.send(chunk).expect("sent");
        connection.send(b"\r\n").expect("sent");
    }
    connection.send(b"0\r\nTrailer: x\r\n\r\n").expect("sent");
    let results = lines_of(&connection.answer().expect("an answer"));
    assert_eq!(results.iter().filter(|result| result["status"] == 202).count(), 5, "{results:?}");
    connection.send(b"GET /actuator/health/liveness HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
    assert_eq!(connection.answer().expect("the connection goes on").status, 200);
}
