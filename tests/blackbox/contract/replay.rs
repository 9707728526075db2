//! Idempotency: one key, one order, one answer.

use serde_json::{Value, json};

use crate::client::{Answer, Client, Request};
use crate::orders::{id_of, order, order_with, status_of};
use crate::server::Server;

#[track_caller]
fn assert_replay(replay: &Answer, first: &Answer) {
    assert_eq!(replay.field("Idempotency-Replayed"), Some("true"), "{replay:?}");
    assert_eq!((replay.status, &replay.body), (first.status, &first.body), "{replay:?}\n{first:?}");
    for name in ["Location", "ETag", "Content-Type"] {
        assert_eq!(replay.field(name), first.field(name), "{name}");
    }
}

#[test]
fn a_replay_is_the_first_answer_byte_for_byte_also_after_the_end_of_the_saga() {
    let server = Server::shared();
    server.admin().stock("replay", 10);
    let mut client = server.customer("replay");
    let request = Request::place("k", order("replay", "replay", 1, "tok_ok"));
    let first = client.send(&request);
    let id = id_of(&first.expect(202));
    assert_replay(&client.send(&request), &first);
    client.end_of(&id);
    assert_replay(&client.send(&request), &first);
    assert_eq!(server.admin().units("replay"), [9, 0, 1], "sold once");
}

/// Trap 1 of traps.md: the retry may come in on any lane.
#[test]
fn trap_01_a_retry_on_another_lane_finds_the_first_order() {
    let server = Server::shared();
    let body = order("lanes", "nothing", 1, "tok_ok");
    let token = server.token("lanes", "orders:write");
    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let send = || Client::new(server.address(), token.clone()).send(&Request::place("k", &body));
        let threads: Vec<_> = (0..16).map(|_| scope.spawn(send)).collect();
        threads.into_iter().map(|thread| thread.join().expect("an answer")).collect()
    });
    let (placed, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 202);
    refused.iter().for_each(|answer| answer.expect_problem(409, "idempotency-key-in-progress"));
    let firsts = placed.iter().filter(|answer| answer.field("Idempotency-Replayed").is_none()).count();
    assert_eq!(firsts, 1, "{answers:?}");
    assert!(placed.iter().all(|answer| answer.body == placed[0].body), "{answers:?}");
    let listed = server.customer("lanes").get("/v1/orders?customer=lanes").expect(200);
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(1), "{listed}");
}

/// Trap 3: the fingerprint is that of the known fields, whatever JSON they come in.
#[test]
fn trap_03_a_reserialised_order_is_the_same_and_a_changed_one_is_refused() {
    let server = Server::shared();
    let mut client = server.customer("print");
    let send = |client: &mut Client, body: &str| client.send(&Request::place("k", body).field("Prefer", "wait=0"));
    let first = send(
        &mut client,
        r#"{"customer":"print","items":[{"sku":"a","quantity":1},{"sku":"b","quantity":2}],"payment":{"token":"t"},"metadata":{"a":"1","b":"2"}}"#,
    );
    first.expect(202);
    for same in [
        r#" { "payment" : {"token":"t"}, "metadata":{"b":"2","a":"1"}, "items":[ {"quantity":1,"sku":"a"},{"sku":"b","quantity":2}],"customer":"print" } "#,
        r#"{"customer":"pr\u0069nt","items":[{"sku":"a","quantity":1},{"sku":"b","quantity":2}],"payment":{"token":"t"},"metadata":{"a":"1","b":"2"},"email":null}"#,
    ] {
        assert_replay(&send(&mut client, same), &first);
    }
    for other in [
        r#"{"customer":"print","items":[{"sku":"b","quantity":2},{"sku":"a","quantity":1}],"payment":{"token":"t"},"metadata":{"a":"1","b":"2"}}"#,
        r#"{"customer":"print","items":[{"sku":"a","quantity":2},{"sku":"b","quantity":2}],"payment":{"token":"t"},"metadata":{"a":"1","b":"2"}}"#,
        r#"{"customer":"print","items":[{"sku":"a","quantity":1},{"sku":"b","quantity":2}],"payment":{"token":"u"},"metadata":{"a":"1","b":"2"}}"#,
        r#"{"customer":"print","items":[{"sku":"a","quantity":1},{"sku":"b","quantity":2}],"payment":{"token":"t"},"metadata":{"a":"1"}}"#,
        r#"{"customer":"print","items":[{"sku":"a","quantity":1},{"sku":"b","quantity":2}],"payment":{"token":"t"},"metadata":{"a":"1","b":"2"},"email":"a@b"}"#,
        r#"{"customer":"print","items":[{"sku":"a","quantity":1},{"sku":"b","quantity":2}],"payment":{"token":"t"},"metadata":{"a":"1","b":"2"},"currency":"EUR"}"#,
    ] {
        send(&mut client, other).expect_problem(422, "idempotency-key-reused");
    }
    let unknown = r#"{"customer":"print","items":[{"sku":"a","quantity":1},{"sku":"b","quantity":2}],"payment":{"token":"t"},"metadata":{"a":"1","b":"2"},"x":1}"#;
    send(&mut client, unknown).expect_problem(400, "validation-failed");
}

/// Trap 4: what is stored depends on the class of the answer.
#[test]
fn trap_04_a_bad_request_is_not_stored_and_a_final_refusal_stays_final() {
    let server = Server::shared();
    let mut client = server.customer("stored");
    let send = |body: &Value, token: &str| {
        let request = Request::place("k", body).field("Authorization", &format!("Bearer {token}"));
        Client::anonymous(server.address()).send(&request)
    };
    send(&order("stored", "", 1, "tok_ok"), &server.token("stored", "orders:write"))
        .expect_problem(400, "validation-failed");
    send(&order("stored", "late", 1, "tok_ok"), "x").expect_problem(401, "unauthenticated");
    send(&order("stored", "late", 1, "tok_ok"), &server.token("stored", "orders:read"))
        .expect_problem(403, "forbidden");
    let request = Request::place("k", order("stored", "late", 1, "tok_ok"));
    let first = client.send(&request);
    let id = id_of(&first.expect(202));
    assert_eq!(client.end_of(&id)["reason"], "unknown-sku");
    server.admin().stock("late", 10);
    assert_replay(&client.send(&request), &first);
    assert_eq!(status_of(&client.end_of(&id)), "REJECTED", "stock that comes later changes nothing");
    let waited = client.send(&request.field("Prefer", "wait=5"));
    assert_eq!(waited.field("Idempotency-Replayed"), Some("true"));
    assert_eq!(waited.expect(201)["reason"], "unknown-sku");
    assert_eq!(server.admin().units("late"), [10, 0, 0]);
}

/// Trap 8: the scope of a key is the subject and the customer.
#[test]
fn trap_08_a_key_belongs_to_its_subject_and_its_customer() {
    let server = Server::shared();
    let mut ids = Vec::new();
    for (subject, customer) in [("anna", "shop-1"), ("anna", "shop-2"), ("otto", "shop-1")] {
        let answer = server.customer(subject).send(&Request::place("k", order(customer, "nothing", 1, "t")));
        assert_eq!(answer.field("Idempotency-Replayed"), None, "{subject} {customer}");
        ids.push(id_of(&answer.expect(202)));
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 3);
}

#[test]
fn a_quoted_key_is_the_bare_one() {
    let server = Server::shared();
    let mut client = server.customer("quoted");
    let body = order("quoted", "nothing", 1, "t");
    let first = client.send(&Request::place("\"key-1\"", &body));
    first.expect(202);
    assert_replay(&client.send(&Request::place("key-1", &body)), &first);
    let long = "k".repeat(255);
    let first = client.send(&Request::place(&long, &body));
    first.expect(202);
    assert_replay(&client.send(&Request::place(&format!("\"{long}\""), &body)), &first);
}

#[test]
fn single_orders_and_batches_share_their_keys() {
    let server = Server::shared();
    let mut client = server.customer("shared");
    let body = order_with("shared", "nothing", json!({"reference": "r"}));
    let first = client.send(&Request::place("k", &body)).expect(202);
    let mut item = body.clone();
    item["idempotencyKey"] = "k".into();
    let batch = client.send(&Request::place_lines(item.to_string()));
    let line: Value = serde_json::from_str(batch.text().trim()).expect("one line");
    assert_eq!((&line["status"], &line["order"]), (&json!(202), &first));
}
