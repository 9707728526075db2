//! Verification and report: a good server passes, each planted fault is named.

mod server;

use orderlane_loadtest::{
    Ended, Generator, Identity, Options, Outcome, Parts, Rate, Report, ServerUse, Verification, VerifyOptions,
    invariants, load_catalogue, verify, wait_until_ended,
};
use serde_json::json;
use server::{State, TestServer};
use std::time::Duration;

fn run(server: &TestServer) -> Outcome {
    let mut options = Options::new(server.address);
    options.rate = Rate::PerSecond(1_000.0);
    options.duration = Some(Duration::from_millis(100));
    options.lines = 2;
    Generator::start(options).expect("it starts").wait().expect("it ends")
}

fn ended(server: &TestServer) -> Ended {
    wait_until_ended(server.address, server.address, None, Duration::from_secs(5)).expect("they end")
}

/// Runs, plants a fault, verifies.
fn check(plant: impl FnOnce(&mut State)) -> Verification {
    let server = TestServer::start();
    let before = invariants(server.address, None).expect("invariants");
    let outcome = run(&server);
    plant(&mut server.state());
    let counts = Some((before, ended(&server).invariants));
    let options = VerifyOptions { counts, replay_limit: 10, ..VerifyOptions::default() };
    verify(server.address, None, &outcome, &options).expect("it can be verified")
}

#[test]
fn a_good_server_passes_and_its_sagas_are_measured() {
    let found = check(|_| {});
    assert!(found.is_clean(), "{found:?}");
    assert_eq!((found.checked, found.replayed, found.saga.len()), (100, 10, 100));
    assert_eq!((found.baseline_orders, found.server_orders), (Some(0), Some(100)));
    assert_eq!((found.missing, found.surplus, found.clock_stepped), (Some(0), Some(0), 0));
}

#[test]
fn each_fault_is_named() {
    let lost = check(|state| drop(state.orders.remove(7)));
    assert_eq!((lost.lost, lost.missing, lost.lost_total(), lost.is_clean()), (1, Some(1), 1, false));

    let changed = check(|state| {
        state.orders[3]["customer"] = json!("c-other");
        state.orders[4]["items"][1]["quantity"] = json!(9_999);
        let first = state.orders[5]["items"][0].take();
        state.orders[5]["items"] = json!([first]);
    });
    assert_eq!((changed.body_mismatch, changed.lost_total()), (3, 3));

    let open = check(|state| state.orders[0]["status"] = json!("RESERVED"));
    assert_eq!((open.not_ended, open.is_clean()), (1, false));

    let surplus = check(|state| state.orders.push(json!({"id": "o_twin"})));
    assert_eq!((surplus.surplus, surplus.duplicated_total()), (Some(1), 1));

    let forgetful = check(|state| state.forgets_keys = true);
    assert_eq!((forgetful.replay_mismatch, forgetful.duplicated_total()), (10, 10));

    let stepped = check(|state| state.orders[0]["updatedAt"] = json!("2001-01-01T00:00:00Z"));
    assert_eq!((stepped.clock_stepped, stepped.saga.len()), (1, 99));
}

#[test]
fn a_report_has_what_was_measured_and_null_for_the_rest() {
    let server = TestServer::start();
    let summary = load_catalogue(server.address, None, 4_500, 10, |sku| 100 + sku).expect("it loads");
    assert_eq!((summary.created, summary.updated), (4_500, 0));

    let baseline = invariants(server.address, None).expect("invariants");
    let outcome = run(&server);
    let ended = ended(&server);
    let verification = verify(server.address, None, &outcome, &VerifyOptions::default()).expect("it can be verified");
    let parts = Parts {
        outcome: Some(&outcome),
        server: Some(&ServerUse::default()),
        baseline: Some(&baseline),
        ended: Some(&ended),
        verification: Some(&verification),
        restarts: Some(0),
        ..Parts::default()
    };
    let identity = Identity { tool: "loadtest".into(), version: "0".into(), commit: None };
    let report = Report::new(identity, &parts);
    let json = serde_json::to_value(&report).expect("JSON");
    assert_eq!((json["acknowledged"].as_u64(), json["completed"].as_u64()), (Some(100), Some(100)));
    assert_eq!(json["offeredPerSecond"], 1_000.0);
    assert!(json["latencyMs"]["max"].is_f64() && json["sagaMs"]["p50"].is_f64(), "{json}");
    assert_eq!((json["lost"].as_u64(), json["duplicated"].as_u64()), (Some(0), Some(0)));
    for name in ["io", "lanes", "rssBytes", "commits", "ordersPerCommit", "ceilingPerSecond"] {
        assert!(json[name].is_null(), "{name} was not measured");
    }
    assert!(json["cpu"]["serverMicrosPerOrder"].is_null());
    assert_eq!(serde_json::from_value::<Report>(json).expect("it reads its own"), Report { notes: vec![], ..report });
}
