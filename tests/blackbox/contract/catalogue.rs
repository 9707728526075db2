//! Products, stock, adjustments.

use serde_json::{Value, json};

use crate::client::{Answer, Client, Request};
use crate::server::Server;

fn put(client: &mut Client, sku: &str, body: &Value) -> Answer {
    client.send(&Request::new("PUT", format!("/v1/products/{sku}")).json(body))
}

fn adjust(client: &mut Client, sku: &str, key: &str, delta: i64) -> Answer {
    let target = format!("/v1/inventory/{sku}/adjustments");
    let body = json!({"delta": delta, "reason": "restock"});
    client.send(&Request::new("POST", target).field("Idempotency-Key", key).json(body))
}

#[test]
fn a_product_is_created_and_replaced() {
    let server = Server::shared();
    let mut client = server.client("buyer", "catalog:write");
    client.get("/v1/products/put").expect_problem(404, "not-found");
    client.get("/v1/inventory/put").expect_problem(404, "not-found");
    let created = put(&mut client, "put", &json!({"name": "Ink", "unitPrice": 1999, "currency": "EUR"}));
    assert_eq!((created.status, created.field("ETag")), (201, Some("\"1\"")), "{created:?}");
    assert_eq!(created.text(), r#"{"sku":"put","name":"Ink","unitPrice":1999,"currency":"EUR","version":1}"#);
    let stock = client.get("/v1/inventory/put");
    assert_eq!(
        stock.expect(200),
        json!({"sku": "put", "adjusted": 0, "available": 0, "reserved": 0, "sold": 0, "version": 0})
    );
    let replaced =
        put(&mut client, "put", &json!({"name": "Ink 2", "unitPrice": 10_000_000_000_u64, "currency": "JPY"}));
    assert_eq!((replaced.status, replaced.field("ETag")), (200, Some("\"2\"")), "{replaced:?}");
    assert_eq!(client.get("/v1/products/put").expect(200), replaced.json());
    let sku = "a:b@c~d.e_f-G";
    assert_eq!(put(&mut client, sku, &json!({"name": "x", "unitPrice": 1, "currency": "EUR"})).status, 201);
    assert_eq!(client.get("/v1/products/a%3Ab@c~d.e_f-G").expect(200)["sku"], sku);
}

#[test]
fn an_adjustment_is_visible_and_its_replay_is_the_same() {
    let server = Server::shared();
    server.admin().stock("adjust", 0);
    let mut client = server.client("store", "inventory:write");
    let first = adjust(&mut client, "adjust", "k-1", 100);
    assert_eq!(first.status, 200, "{first:?}");
    let documented = first.json();
    assert_eq!(
        (documented["sku"].as_str(), documented["adjusted"].as_u64(), documented["available"].as_u64()),
        (Some("adjust"), Some(100), Some(100))
    );
    assert_eq!(client.get("/v1/inventory/adjust").expect(200), documented);
    assert_eq!(adjust(&mut client, "adjust", "k-2", -30).expect(200)["available"], 70);
    let replay = adjust(&mut client, "adjust", "\"k-1\"", 100);
    assert_eq!((replay.status, &replay.body), (200, &first.body));
    assert_eq!(replay.field("Idempotency-Replayed"), Some("true"));
    adjust(&mut client, "adjust", "k-1", 101).expect_problem(422, "idempotency-key-reused");
    assert_eq!(server.admin().units("adjust"), [70, 0, 0]);
    let of_other = server.client("other", "inventory:write").send(
        &Request::new("POST", "/v1/inventory/adjust/adjustments")
            .field("Idempotency-Key", "k-1")
            .json(json!({"delta": 1, "reason": "restock"})),
    );
    assert_eq!(of_other.expect(200)["available"], 71, "a key belongs to its subject");
}

/// Trap 4: a refusal of stock does not turn into success when stock arrives.
#[test]
fn trap_04_a_refused_adjustment_is_final_for_its_key() {
    let server = Server::shared();
    server.admin().stock("final", 5);
    let mut client = server.client("store", "inventory:write");
    let refused = adjust(&mut client, "final", "k", -6);
    refused.expect_problem(409, "insufficient-stock");
    assert_eq!(adjust(&mut client, "final", "more", 10).expect(200)["available"], 15);
    let again = adjust(&mut client, "final", "k", -6);
    again.expect_problem(409, "insufficient-stock");
    assert_eq!(again.field("Idempotency-Replayed"), Some("true"));
    assert_eq!(adjust(&mut client, "final", "k-2", -6).expect(200)["available"], 9);
    adjust(&mut client, "nowhere", "k", 1).expect_problem(404, "not-found");
}

#[test]
fn products_are_loaded_in_lines_and_a_bad_line_refuses_itself_only() {
    let server = Server::shared();
    let mut client = server.client("loader", "catalog:write");
    let lines = concat!(
        r#"{"sku":"load-1","name":"A","unitPrice":1,"currency":"EUR","stock":7}"#,
        "\n",
        r#"{"sku":"load-2","name":"B","unitPrice":-1,"currency":"EUR","stock":7}"#,
        "\n",
        r#"{"sku":"load-3""#,
        "\r\n",
        r#"{"sku":"load-1","name":"A2","unitPrice":2,"currency":"EUR","stock":99}"#,
        "\n\n",
        r#"{"sku":"load-4","name":"D","unitPrice":4,"currency":"EUR","stock":0}"#,
    );
    let answer = client.send(&Request::new("POST", "/v1/products:batch").body("application/x-ndjson", lines));
    assert_eq!((answer.status, answer.field("Content-Type")), (200, Some("application/x-ndjson")), "{answer:?}");
    let results: Vec<Value> = answer.text().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let expected = [
        json!({"sku": "load-1", "result": "created", "code": null}),
        json!({"sku": "load-2", "result": "refused", "code": "validation-failed"}),
        json!({"sku": null, "result": "refused", "code": "malformed-json"}),
        json!({"sku": "load-1", "result": "updated", "code": null}),
        json!({"sku": "load-4", "result": "created", "code": null}),
    ];
    assert_eq!(results, expected);
    let stock = client.get("/v1/inventory/load-1").expect(200);
    assert_eq!(stock["available"], 7, "a product with stock keeps it: {stock}");
    assert_eq!(client.get("/v1/products/load-1").expect(200)["unitPrice"], 2);
    client.get("/v1/products/load-2").expect_problem(404, "not-found");
}

#[test]
fn the_invariants_have_the_documented_shape() {
    let server = Server::shared();
    let mut admin = server.admin();
    admin.stock("shape", 10);
    admin.place_to_end("shape", &crate::orders::order("shape", "shape", 4, "tok_ok"));
    let found = admin.invariants();
    let stock = &found["stock"];
    let sum: u64 = ["available", "reserved", "sold"].iter().filter_map(|name| stock[name].as_u64()).sum();
    assert_eq!(stock["adjusted"], sum, "{found}");
    assert_eq!(found["orders"].as_object().map(serde_json::Map::len), Some(10), "{found}");
    assert!(found["money"]["EUR"]["completed"].as_u64() >= Some(2000), "{found}");
    let shards = found["shards"].as_array().expect("shards");
    assert_eq!(
        shards.iter().filter_map(|shard| shard["shard"].as_u64()).collect::<Vec<_>>(),
        (0..8).collect::<Vec<_>>()
    );
    assert!(shards.iter().all(|shard| shard["digest"].is_string() && shard["sequence"].is_u64()), "{found}");
    let checks = found["checks"].as_array().expect("checks");
    assert!(checks.len() >= 4 && checks.iter().all(|check| check["violations"] == 0), "{found}");
    assert!(checks.iter().any(|check| check["checked"].as_u64() > Some(0)), "{found}");
}
