//! `POST /v1/orders/{id}/cancel` in every state that can be held from outside.

use serde_json::json;

use crate::client::Request;
use crate::orders::{order, status_of};
use crate::server::Server;

#[test]
fn a_cancelled_order_ends_cancelled_and_a_second_cancel_is_200() {
    let server = Server::shared();
    server.admin().stock("cancel", 10);
    let mut client = server.customer("cancel");
    let id = client.place("k", &order("cancel", "cancel", 3, "tok_slow_700"));
    client.until_status(&id, "RESERVED");
    let answer = client.post(&format!("/v1/orders/{id}/cancel"));
    let decided = answer.expect(202);
    assert_eq!((status_of(&decided), decided["version"].as_u64()), ("CANCELLING", Some(3)));
    assert_eq!(answer.field("ETag"), Some("\"3\""));
    assert_eq!(client.post(&format!("/v1/orders/{id}/cancel")).status, 202, "still under way");
    let ended = client.end_of(&id);
    assert_eq!((status_of(&ended), &ended["reason"]), ("CANCELLED", &json!("cancelled")));
    let again = client.post(&format!("/v1/orders/{id}/cancel")).expect(200);
    assert_eq!(again, ended);
    assert_eq!(server.admin().units("cancel"), [10, 0, 0]);
}

#[test]
fn an_order_that_ended_otherwise_is_finished() {
    let server = Server::shared();
    server.admin().stock("finished", 10);
    let mut client = server.customer("finished");
    for (key, sku, token, end) in [
        ("completed", "finished", "tok_ok", "COMPLETED"),
        ("declined", "finished", "tok_decline", "PAYMENT_FAILED"),
        ("rejected", "nothing", "tok_ok", "REJECTED"),
    ] {
        let ended = client.place_to_end(key, &order("finished", sku, 1, token));
        assert_eq!(status_of(&ended), end);
        let id = ended["id"].as_str().expect("an id");
        client.post(&format!("/v1/orders/{id}/cancel")).expect_problem(409, "order-finished");
        assert_eq!(client.get(&format!("/v1/orders/{id}")).expect(200), ended, "nothing has changed");
    }
}

#[test]
fn if_match_names_the_version_that_may_be_cancelled() {
    let server = Server::shared();
    server.admin().stock("match", 10);
    let mut client = server.customer("match");
    let id = client.place("k", &order("match", "match", 1, "tok_slow_700"));
    client.until_status(&id, "RESERVED");
    let target = format!("/v1/orders/{id}/cancel");
    for tag in ["\"1\"", "\"3\"", "W/\"2\"", "2", "\"x\""] {
        let answer = client.send(&Request::new("POST", &*target).field("If-Match", tag));
        answer.expect_problem(412, "version-mismatch");
    }
    client.send(&Request::new("POST", &*target).field("If-Match", "\"2\"")).expect(202);
    assert_eq!(status_of(&client.end_of(&id)), "CANCELLED");
    for unknown in ["o_1", "o_0000000000001", "x", "%20"] {
        client.post(&format!("/v1/orders/{unknown}/cancel")).expect_problem(404, "not-found");
    }
}
