//! The generator against a server that stalls, loses connections, refuses and chunks.

mod server;

use orderlane_loadtest::{Generator, Options, Outcome, Rate};
use serde_json::Value;
use server::TestServer;
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

const STALL: Duration = Duration::from_millis(500);

fn options(server: &TestServer, change: impl FnOnce(&mut Options)) -> Options {
    let mut options = Options::new(server.address);
    options.rate = Rate::PerSecond(400.0);
    options.duration = Some(Duration::from_millis(500));
    options.connections = 4;
    change(&mut options);
    options
}

fn run(server: &TestServer, change: impl FnOnce(&mut Options)) -> Outcome {
    Generator::start(options(server, change)).expect("it starts").wait().expect("it ends")
}

/// A second of load in whose middle nobody is answered for half a second.
fn run_with_stall(rate: Rate) -> Outcome {
    let server = TestServer::start();
    let options = options(&server, |o| (o.rate, o.connections, o.duration) = (rate, 1, Some(2 * STALL)));
    let running = Generator::start(options).expect("it starts");
    std::thread::sleep(STALL / 2);
    server.state().stall_until = Some(Instant::now() + STALL);
    running.wait().expect("it ends")
}

#[test]
fn an_open_loop_shows_a_stall_that_a_closed_loop_hides() {
    let millis = |micros: u64| micros / 1_000;
    let open = run_with_stall(Rate::PerSecond(400.0));
    // A third of the orders was due while nobody was answered, or queued behind those that were.
    assert_eq!(open.acknowledged.count(), 400);
    assert!(millis(open.latency.max()) >= 450, "{}", open.latency.max());
    assert!(millis(open.latency.value_at_quantile(0.99)) >= 400, "{}", open.latency.value_at_quantile(0.99));
    assert!(millis(open.latency.value_at_quantile(0.8)) >= 50, "{}", open.latency.value_at_quantile(0.8));
    assert!(open.offered_per_second().is_some());

    // The closed loop stopped sending: one order in all saw the stall.
    let closed = run_with_stall(Rate::Max);
    assert!(millis(closed.latency.max()) >= 450, "{}", closed.latency.max());
    let slow = closed.latency.len() - closed.latency.count_between(0, 400_000);
    assert_eq!(slow, 1);
    assert_eq!(closed.offered_per_second(), None);
}

#[test]
fn an_order_whose_answer_is_lost_comes_again_with_its_key_and_body() {
    for batch in [1, 10] {
        let server = TestServer::start();
        server.state().lose_answers = 3;
        let outcome = run(&server, |o| o.batch = batch);
        let state = server.state();
        assert_eq!(outcome.acknowledged.count(), 200);
        assert_eq!((outcome.retried, outcome.reconnects), (3 * batch as u64, 3));
        assert_eq!((state.orders.len(), state.seen.len()), (200, 200 + 3 * batch));
        assert!(outcome.unknown.is_empty() && outcome.failed.is_empty());
        let mut bodies: HashMap<&str, &Value> = HashMap::new();
        for (key, body) in &state.seen {
            assert_eq!(bodies.entry(key).or_insert(body), &body, "{key}");
        }
    }
}

#[test]
fn answers_may_be_chunked_and_requests_pipelined() {
    for batch in [1, 20] {
        let server = TestServer::start();
        server.state().is_chunked = true;
        let outcome = run(&server, |o| (o.batch, o.pipeline, o.threads, o.connections) = (batch, 4, 2, 2));
        assert_eq!((outcome.acknowledged.count(), server.state().orders.len()), (200, 200));
    }
}

#[test]
fn the_body_that_is_regenerated_is_the_one_that_was_sent() {
    let server = TestServer::start();
    let outcome = run(&server, |o| (o.lines, o.skew, o.seed, o.key_prefix) = (3, 0.9, 42, "run".into()));
    let state = server.state();
    let sent: HashMap<&str, &Value> = state.seen.iter().map(|(key, body)| (key.as_str(), body)).collect();
    for order in outcome.acknowledged.iter() {
        let planned = outcome.workload.order(order.index);
        let body = sent[format!("run-{}", order.index).as_str()];
        assert_eq!(body["customer"], format!("c-{}", planned.customer));
        for (item, line) in body["items"].as_array().expect("items").iter().zip(&planned.lines) {
            assert_eq!(item["sku"], format!("sku-{}", line.sku));
            assert_eq!(item["quantity"], line.quantity);
        }
        assert_eq!(body["items"].as_array().map(Vec::len), Some(3));
    }
}

#[test]
fn an_overloaded_server_gets_the_order_again_until_its_attempts_are_used_up() {
    let server = TestServer::start();
    server.state().refuse = 5;
    let outcome = run(&server, |_| {});
    assert_eq!((outcome.acknowledged.count(), outcome.retried), (200, 5));

    server.state().refuse = usize::MAX;
    let outcome = run(&server, |o| (o.key_prefix, o.attempts_max) = ("again".into(), 2));
    assert_eq!((outcome.acknowledged.count(), outcome.failed["overloaded"]), (0, 200));
}

#[test]
fn an_outage_is_left_out_of_the_schedule_and_the_rates() {
    let server = TestServer::start();
    let running =
        Generator::start(options(&server, |o| o.answer_timeout = Duration::from_millis(100))).expect("starts");
    std::thread::sleep(Duration::from_millis(200));
    running.outage().down();
    std::thread::sleep(STALL);
    running.outage().up();
    let outcome = running.wait().expect("it ends");
    assert_eq!(outcome.acknowledged.count(), 200);
    assert!(outcome.down >= STALL);
    assert!(outcome.elapsed + outcome.down >= Duration::from_millis(500) + STALL);
    assert!(outcome.latency.max() < 500_000, "nothing was due while the server was down");
}

#[test]
fn a_server_that_is_killed_and_started_again_has_every_order_once() {
    let server = TestServer::start();
    let running = Generator::start(options(&server, |o| o.rate = Rate::PerSecond(2_000.0))).expect("it starts");
    std::thread::sleep(Duration::from_millis(200));
    running.outage().down();
    server.kill();
    std::thread::sleep(Duration::from_millis(100));
    server.restart();
    running.outage().up();
    let outcome = running.wait().expect("it ends");
    assert_eq!((outcome.acknowledged.count(), outcome.unknown.len()), (1_000, 0));
    assert_eq!(server.state().orders.len(), 1_000);
    assert!(outcome.reconnects > 0 && outcome.failed.is_empty());
}

#[test]
fn a_server_that_never_answers_leaves_unknown_orders_and_orders_that_never_left() {
    let server = TestServer::start();
    server.state().stall_until = Some(Instant::now() + Duration::from_secs(20));
    let outcome = run(&server, |o| o.wait_timeout = Duration::from_millis(100));
    assert_eq!(outcome.acknowledged.count(), 0);
    assert_eq!((outcome.unknown.len(), outcome.failed["not-sent"]), (4, 196));
    assert_eq!(outcome.client_micros_per_order(), None);
}

#[test]
fn a_run_without_an_end_is_stopped() {
    let server = TestServer::start();
    let running = Generator::start(options(&server, |o| (o.rate, o.duration) = (Rate::Max, None))).expect("it starts");
    while running.acknowledged() < 100 {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(!running.is_finished());
    let outcome = running.stop().expect("it ends");
    assert_eq!(outcome.acknowledged.count(), server.state().orders.len() as u64);
}
