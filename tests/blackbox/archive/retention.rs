//! What is kept, as published; and what goes.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{assert_replay, place_many, push_out, tiny};
use crate::binary::{orderlane, run};
use crate::client::{Client, Request};
use crate::orders::id_of;
use crate::server::Server;

#[test]
fn a_key_is_honoured_for_as_long_as_published_and_no_longer() {
    let server = Server::start(&tiny(&["--keep-keys", "4s"]));
    server.admin().stock("archived", 1_000_000);
    let mut client = server.customer("anna");
    let placed = place_many(&mut client, "k", 120);
    let known = &placed[119];
    assert_eq!(known.first.field("Idempotency-Key-Retention"), Some("4"), "{:?}", known.first);
    assert_replay(&mut client, known);
    push_out(&server, &mut client, 150);
    std::thread::sleep(Duration::from_millis(4_500));
    for (number, known) in placed.iter().enumerate().step_by(13) {
        let again = client.send(&Request::place(&known.key, &known.body));
        let id = id_of(&again.expect(202));
        assert!(id != known.id && again.field("Idempotency-Replayed").is_none(), "order {number}: {again:?}");
        client.end_of(&id);
        let replay = client.send(&Request::place(&known.key, &known.body));
        assert_eq!(id_of(&replay.expect(202)), id, "the newest order under a key counts");
    }
    assert_eq!(client.get(&format!("/v1/orders/{}", known.id)).status, 200, "the order outlives its key");
}

#[test]
fn the_answer_and_the_info_say_what_is_kept() {
    let server = Server::start(&tiny(&["--keep-keys", "2h", "--keep-keys-max", "1000", "--keep-orders-bytes", "1GB"]));
    server.admin().stock("archived", 10);
    let mut client = server.customer("anna");
    let request = Request::place("k", super::body(0));
    for waits in [false, true] {
        let request = if waits { request.clone().field("Prefer", "wait=5") } else { request.clone() };
        let answer = client.send(&request);
        assert_eq!(answer.field("Idempotency-Key-Retention"), Some("7200"), "{answer:?}");
    }
    let info = Client::anonymous(server.address()).get("/actuator/info").expect(200);
    let kept = &info["retention"];
    assert_eq!((&kept["keys"]["hoursConfigured"], &kept["keys"]["keysMax"]), (&json!(2.0), &json!(1000)), "{info}");
    assert_eq!((&kept["orders"]["bytesMax"], &kept["orders"]["hoursConfigured"]), (&json!(1e9 as u64), &json!(720.0)));
    for (group, name) in [("keys", "keysStored"), ("keys", "hoursAtPresentRate"), ("orders", "bytesStored")] {
        assert!(kept[group][name].is_number(), "{group}.{name}: {info}");
    }
}

#[test]
fn orders_that_go_are_written_to_the_audit_directory_first() {
    let home = tempfile::TempDir::new().expect("a temporary directory");
    let audit = home.path().join("audit");
    let flags = ["--keep-keys", "1s", "--keep-orders", "2s", "--audit-dir", audit.to_str().expect("UTF-8")];
    let server = Server::start(&tiny(&flags));
    server.admin().stock("archived", 1_000_000);
    let mut client = server.customer("anna");
    let placed = place_many(&mut client, "k", 120);
    push_out(&server, &mut client, 150);
    std::thread::sleep(Duration::from_millis(2_500));
    for _ in 0..3 {
        place_many(&mut client, &format!("more-{}", super::figure(&server, "archive_runs_total")), 160);
    }
    let gone: Vec<_> =
        placed.iter().filter(|known| client.get(&format!("/v1/orders/{}", known.id)).status == 404).collect();
    assert!(!gone.is_empty(), "nothing was dropped");
    // What is past its retention is shown no more at once, and dropped when the keeper looks for it.
    let is_written = || gone.iter().all(|known| exported(&audit).iter().any(|order| order["id"] == known.id.as_str()));
    let deadline = Instant::now() + Duration::from_secs(40);
    while !is_written() {
        assert!(Instant::now() < deadline, "an order is gone without a trace");
        std::thread::sleep(Duration::from_millis(100));
    }
    server.admin().settled();
}

/// Every line of every file of a directory.
fn exported(directory: &std::path::Path) -> Vec<Value> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let files = entries.map(|entry| entry.expect("an entry").path());
    let whole = files.filter(|path| path.extension().is_some_and(|extension| extension == "ndjson"));
    let text: String = whole.map(|file| std::fs::read_to_string(file).expect("NDJSON")).collect();
    text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
}

#[test]
fn orders_may_not_go_before_their_keys() {
    let home = tempfile::TempDir::new().expect("a temporary directory");
    let data = home.path().join("data");
    let data = data.to_str().expect("UTF-8");
    for (flags, words) in [
        (["--keep-orders=1h", "--keep-keys=2h"], ["--keep-orders 1h", "--keep-keys 2h"]),
        (["--disk-reserve=5 apples", "--keep-keys=2h"], ["--disk-reserve", "512MiB"]),
        (["--data-max=-1", "--keep-keys=2h"], ["--data-max", "not a size"]),
    ] {
        let mut arguments = vec!["serve", "--listen", "127.0.0.1:0", "--data", data];
        arguments.extend(flags);
        run(&mut orderlane(&arguments)).assert_refused(&words);
    }
    assert!(!home.path().join("data").exists(), "nothing was made");
}
