//! One order: placed, read, waited for.

use serde_json::{Value, json};

use crate::client::Request;
use crate::orders::{id_of, order, order_with, status_of};
use crate::server::Server;

#[test]
fn an_order_is_acknowledged_as_documented() {
    let server = Server::shared();
    let body = r#"{"customer":"c-1001","currency":"EUR","items":[{"sku":"sku-17","quantity":2}],
        "payment":{"token":"tok_ok"},"expectedTotal":3998,"email":"a@b.example","reference":"cart-77","metadata":{"channel":"web"}}"#;
    let answer = server.customer("documented").send(&Request::place("k-1", body));
    let placed = answer.expect(202);
    let id = id_of(&placed);
    assert_eq!(answer.field("Location"), Some(&*format!("/v1/orders/{id}")));
    assert_eq!(answer.field("ETag"), Some("\"1\""));
    assert_eq!(answer.field("Content-Type"), Some("application/json"));
    assert_eq!(answer.field("Idempotency-Replayed"), None);
    assert_eq!(answer.field("Preference-Applied"), None);
    assert!(answer.field("X-Correlation-Id").is_some() && answer.field("Date").is_some(), "{answer:?}");
    assert_eq!(placed["createdAt"], placed["updatedAt"]);
    let time = placed["createdAt"].as_str().expect("a time");
    assert!(is_time(time), "RFC 3339 in UTC with microseconds: {time}");
    let documented = format!(
        "{{\"id\":\"{id}\",\"status\":\"PENDING\",\"customer\":\"c-1001\",\"currency\":\"EUR\",\"total\":null,\
         \"items\":[{{\"sku\":\"sku-17\",\"quantity\":2,\"unitPrice\":null}}],\"reason\":null,\"reference\":\"cart-77\",\
         \"metadata\":{{\"channel\":\"web\"}},\"version\":1,\"createdAt\":\"{time}\",\"updatedAt\":\"{time}\"}}"
    );
    assert_eq!(answer.text(), documented);
}

fn is_time(text: &str) -> bool {
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    shape == "0000-00-00T00:00:00.000000Z"
}

#[test]
fn an_order_is_echoed_as_sent_and_absent_is_null() {
    let server = Server::shared();
    let mut client = server.customer("echo");
    let lines = json!([{"sku": "a", "quantity": 1}, {"sku": "b", "quantity": 10_000}, {"sku": "a", "quantity": 2}]);
    for (key, body, name, expected) in [
        ("absent", order("echo", "a", 1, "t"), "metadata", Value::Null),
        ("absent", order("echo", "a", 1, "t"), "reference", Value::Null),
        ("absent", order("echo", "a", 1, "t"), "currency", Value::Null),
        ("null", order_with("echo", "a", json!({"email": null, "expectedTotal": null})), "reference", Value::Null),
        (
            "text",
            order_with("echo", "a", json!({"metadata": {"ü": "\u{1F600}\n\""}})),
            "metadata",
            json!({"ü": "\u{1F600}\n\""}),
        ),
        ("ids", order_with("echo", "a", json!({"reference": "A.z_~:@-9"})), "reference", json!("A.z_~:@-9")),
    ] {
        let placed = client.send(&Request::place(key, &body)).expect(202);
        assert_eq!(placed[name], expected, "{key}: {name}");
    }
    let placed = client.send(&Request::place("lines", order_with("echo", "a", json!({"items": lines})))).expect(202);
    let echoed: Vec<_> =
        placed["items"].as_array().expect("lines").iter().map(|line| (&line["sku"], &line["quantity"])).collect();
    assert_eq!(json!(echoed), json!([["a", 1], ["b", 10_000], ["a", 2]]));
    assert!(!placed.to_string().contains("tok"), "the payment token is not shown: {placed}");
}

#[test]
fn a_completed_order_shows_its_prices_and_a_version_for_each_status() {
    let server = Server::shared();
    server.admin().load(&[("done-a", 10), ("done-b", 10)]);
    let mut client = server.customer("done");
    let items = json!([{"sku": "done-a", "quantity": 2}, {"sku": "done-b", "quantity": 3}]);
    let id = client.place("k", &order_with("done", "done-a", json!({"items": items, "expectedTotal": 2500})));
    client.end_of(&id);
    let answer = client.get(&format!("/v1/orders/{id}"));
    let ended = answer.expect(200);
    assert_eq!((status_of(&ended), &ended["total"], &ended["currency"]), ("COMPLETED", &json!(2500), &json!("EUR")));
    assert_eq!(ended["items"][1], json!({"sku": "done-b", "quantity": 3, "unitPrice": 500}));
    assert_eq!((&ended["version"], answer.field("ETag")), (&json!(4), Some("\"4\"")));
    assert!(ended["updatedAt"].as_str() > ended["createdAt"].as_str(), "{ended}");
}

#[test]
fn who_has_the_version_gets_304_without_a_body() {
    let server = Server::shared();
    server.admin().stock("etag", 10);
    let mut client = server.customer("etag");
    let id = client.place("k", &order("etag", "etag", 1, "tok_ok"));
    client.end_of(&id);
    for (target, tags, status) in [
        (format!("/v1/orders/{id}"), "\"4\"", 304),
        (format!("/v1/orders/{id}"), "W/\"4\"", 304),
        (format!("/v1/orders/{id}"), "\"1\", \"4\"", 304),
        (format!("/v1/orders/{id}"), "*", 304),
        (format!("/v1/orders/{id}"), "\"3\"", 200),
        ("/v1/products/etag".into(), "\"1\"", 304),
        ("/v1/products/etag".into(), "\"2\"", 200),
        ("/v1/inventory/etag".into(), "\"0\"", 200),
    ] {
        let answer = client.send(&Request::get(&target).field("If-None-Match", tags));
        assert_eq!((answer.status, answer.body.is_empty()), (status, status == 304), "{target} {tags}: {answer:?}");
        assert!(answer.field("ETag").is_some(), "{target} {tags}: {answer:?}");
    }
}

#[test]
fn prefer_wait_answers_201_with_the_end_or_202_when_the_time_is_up() {
    let server = Server::shared();
    server.admin().stock("wait", 100);
    let mut client = server.customer("wait");
    for (key, token, prefer, status, state) in [
        ("ok", "tok_ok", "wait=10", 201, "COMPLETED"),
        ("declined", "tok_decline", "respond-async, wait=10", 201, "PAYMENT_FAILED"),
        ("slow", "tok_slow_1900", "wait=1", 202, "PENDING"),
        ("ok", "tok_ok", "wait=10", 201, "COMPLETED"),
        ("no-time", "tok_slow_1900", "wait=0", 202, "PENDING"),
    ] {
        let request = Request::place(key, order("wait", "wait", 1, token)).field("Prefer", prefer);
        let answer = client.send(&request);
        let body = answer.expect(status);
        assert_eq!(status_of(&body), state, "{key}");
        assert_eq!(answer.field("ETag"), Some(&*format!("\"{}\"", body["version"])), "{key}");
        assert_eq!(answer.field("Location"), Some(&*format!("/v1/orders/{}", id_of(&body))), "{key}");
        let applied = prefer.split(", ").last();
        assert_eq!(answer.field("Preference-Applied"), applied, "{key}");
    }
    let answer =
        client.send(&Request::place("nonsense", order("wait", "wait", 1, "tok_ok")).field("Prefer", "wait=soon"));
    assert_eq!((answer.status, answer.field("Preference-Applied")), (202, None), "it is ignored: {answer:?}");
}

#[test]
fn an_order_belongs_to_the_subject_that_placed_it() {
    let server = Server::shared();
    let id = server.customer("owner").place("k", &order("owner", "nothing", 1, "tok_ok"));
    let target = format!("/v1/orders/{id}");
    server.customer("stranger").get(&target).expect_problem(404, "not-found");
    server.customer("stranger").post(&format!("{target}/cancel")).expect_problem(404, "not-found");
    assert_eq!(server.customer("stranger").get("/v1/orders?customer=owner").expect(200)["items"], json!([]));
    assert_eq!(id_of(&server.customer("owner").get(&target).expect(200)), id);
    assert_eq!(id_of(&server.admin().get(&target).expect(200)), id);
}

#[test]
fn head_is_get_without_the_body() {
    let server = Server::shared();
    server.admin().stock("head", 1);
    let mut admin = server.admin();
    let id = admin.place("head", &order("head", "head", 1, "tok_ok"));
    admin.end_of(&id);
    for target in [
        &*format!("/v1/orders/{id}"),
        "/v1/orders?customer=head",
        "/v1/products/head",
        "/v1/inventory/head",
        "/v1/invariants",
        "/actuator/health",
        "/actuator/info",
    ] {
        let get = admin.get(target);
        let head = admin.send(&Request::new("HEAD", target));
        assert_eq!((head.status, head.body.len()), (200, 0), "{target}");
        for name in ["Content-Type", "ETag", "Content-Length"] {
            assert_eq!(head.field(name), get.field(name), "{target}: {name}");
        }
    }
    let missing = admin.send(&Request::new("HEAD", "/v1/orders/o_1"));
    assert_eq!((missing.status, missing.body.len()), (404, 0));
}
