//! The same answers, from memory and from the archive.

use serde_json::json;

use super::{Known, assert_replay, listed, place_many, push_out, tiny, until_archived};
use crate::client::{Answer, Client, Request};
use crate::orders::{order, status_of};
use crate::server::Server;

const ORDERS: usize = 120;

fn read(client: &mut Client, placed: &[Known]) -> Vec<(Vec<u8>, Option<String>)> {
    let shown = |answer: Answer| {
        answer.expect(200);
        (answer.body.clone(), answer.field("ETag").map(str::to_owned))
    };
    placed.iter().map(|known| shown(client.get(&format!("/v1/orders/{}", known.id)))).collect()
}

#[test]
fn an_archived_order_is_read_listed_and_replayed_as_before() {
    let server = Server::start(&tiny(&[]));
    server.admin().stock("archived", 1_000_000);
    let mut client = server.customer("anna");
    let placed = place_many(&mut client, "k", ORDERS);
    let orders = read(&mut client, &placed);
    let lists = ["/v1/orders?limit=200&customer=customer-3", "/v1/orders?limit=7&customer=customer-5&status=COMPLETED"];
    let of_customers: Vec<_> = lists.iter().map(|target| listed(&mut client, target)).collect();
    server.admin().settled();

    // Of another subject, so that the lists stay what they are.
    push_out(&server, &mut server.customer("otto"), ORDERS + 100);
    for _ in 0..2 {
        assert_eq!(read(&mut client, &placed), orders);
        placed.iter().for_each(|known| assert_replay(&mut client, known));
        for (target, before) in lists.iter().zip(&of_customers) {
            assert_eq!(&listed(&mut client, target), before, "{target}");
        }
        assert!(figure_reads(&server) > 0.0, "nothing was read from the archive");
        server.kill();
        server.restart(&tiny(&[]));
        client = server.customer("anna");
    }
}

fn figure_reads(server: &Server) -> f64 {
    super::figure(server, "archive_read_seconds_count")
}

#[test]
fn pages_of_any_size_over_memory_and_archive_are_the_whole_list() {
    let server = Server::start(&tiny(&[]));
    server.admin().stock("archived", 1_000_000);
    let mut client = server.customer("anna");
    let mut ids: Vec<String> = place_many(&mut client, "old", ORDERS).into_iter().map(|known| known.id).collect();
    until_archived(&server, 64);
    ids.extend(place_many(&mut client, "new", 10).into_iter().map(|known| known.id));
    ids.reverse();
    for limit in [1, 7, 50, 200] {
        let shown = listed(&mut client, &format!("/v1/orders?limit={limit}"));
        let shown: Vec<&str> = shown.iter().filter_map(|order| order["id"].as_str()).collect();
        assert_eq!(shown, ids, "limit {limit}");
    }
}

#[test]
fn a_key_of_an_archived_order_refuses_another_body() {
    let server = Server::start(&tiny(&[]));
    server.admin().stock("archived", 1_000_000);
    let mut client = server.customer("anna");
    let placed = place_many(&mut client, "k", ORDERS);
    push_out(&server, &mut client, ORDERS + 100);
    for known in placed.iter().step_by(9) {
        let mut other = known.body.clone();
        other["items"][0]["quantity"] = json!(2);
        client.send(&Request::place(&known.key, other)).expect_problem(422, "idempotency-key-reused");
    }
}

#[test]
fn an_archived_order_is_cancelled_as_any_finished_one() {
    let server = Server::start(&tiny(&[]));
    server.admin().stock("archived", 1_000_000);
    let mut client = server.customer("anna");
    let slow = client.place("slow", &order("anna", "archived", 1, "tok_slow_300"));
    client.until_status(&slow, "RESERVED");
    client.post(&format!("/v1/orders/{slow}/cancel")).expect(202);
    assert_eq!(status_of(&client.end_of(&slow)), "CANCELLED");
    let placed = place_many(&mut client, "k", ORDERS);
    push_out(&server, &mut client, ORDERS + 100);
    client.post(&format!("/v1/orders/{slow}/cancel")).expect(200);
    for known in &placed[..10] {
        client.post(&format!("/v1/orders/{}/cancel", known.id)).expect_problem(409, "order-finished");
    }
}

#[test]
fn an_archived_order_belongs_to_its_subject() {
    let server = Server::start(&tiny(&[]));
    server.admin().stock("archived", 1_000_000);
    let placed = place_many(&mut server.customer("anna"), "k", ORDERS);
    push_out(&server, &mut server.customer("anna"), ORDERS + 100);
    let (mut other, mut admin) = (server.customer("otto"), server.admin());
    for known in placed.iter().step_by(11) {
        let target = format!("/v1/orders/{}", known.id);
        other.get(&target).expect_problem(404, "not-found");
        other.post(&format!("{target}/cancel")).expect_problem(404, "not-found");
        admin.get(&target).expect(200);
    }
    assert!(listed(&mut other, "/v1/orders?limit=50").is_empty());
}

#[test]
fn the_invariants_count_archived_orders() {
    let server = Server::start(&tiny(&[]));
    server.admin().stock("archived", 1_000_000);
    place_many(&mut server.customer("anna"), "k", ORDERS);
    push_out(&server, &mut server.customer("anna"), ORDERS + 100);
    let before = server.admin().settled();
    assert_eq!(crate::orders::order_count(&before), (ORDERS + 160) as u64, "{before}");
    for lanes in ["1", "4"] {
        server.kill();
        server.restart(&tiny(&["--lanes", lanes]));
        assert_eq!(server.admin().invariants(), before, "--lanes {lanes}");
    }
}
