//! The documents read back, and the exposition checked line by line.

use std::collections::{BTreeMap, BTreeSet};

use orderlane_core::Time;
use serde_json::Value;

use super::*;

fn actuator() -> (Actuator, Arc<State>) {
    let state = Arc::new(State::new(2));
    let info = Info {
        version: "0.1.0".into(),
        commit: "abc\"def".into(),
        lanes: 2,
        shards: 8,
        cores: 2,
        io_backend: "epoll".into(),
        runtime: "monoio".into(),
        durability: "fsync".into(),
        auth: "dev".into(),
        data: "d-1".into(),
        started_at: Time(1_795_517_087_000_100),
    };
    let lanes = vec![Arc::default(), Arc::default()];
    let gateways = vec![Arc::default(), Arc::default()];
    (Actuator::new(info, Arc::clone(&state), lanes, gateways), state)
}

/// Statuses of health, liveness and readiness: the word and the HTTP status of each.
fn healths(actuator: &Actuator) -> [(String, u16); 3] {
    [None, Some("liveness"), Some("readiness")].map(|group| {
        let mut out = Vec::new();
        let status = actuator.health(group, &mut out).expect("a known group");
        let document: Value = serde_json::from_slice(&out).expect("JSON");
        (document["status"].as_str().expect("text").to_owned(), status)
    })
}

#[test]
fn health_follows_the_life_of_the_process() {
    let (actuator, state) = actuator();
    let expect = |words: [&str; 3]| {
        let expected = words.map(|word| (word.to_owned(), if word == "UP" { 200 } else { 503 }));
        assert_eq!(healths(&actuator), expected);
    };
    expect(["OUT_OF_SERVICE", "UP", "OUT_OF_SERVICE"]);
    state.set_lane_up(0);
    state.set_lane_up(1);
    expect(["OUT_OF_SERVICE", "UP", "OUT_OF_SERVICE"]);
    state.set_ready();
    expect(["UP", "UP", "UP"]);
    assert!(state.is_ready());
    state.set_draining();
    expect(["OUT_OF_SERVICE", "UP", "OUT_OF_SERVICE"]);
    state.set_lane_failed(1);
    expect(["DOWN", "DOWN", "DOWN"]);
    assert!(!state.is_ready());
    let mut out = Vec::new();
    assert_eq!(actuator.health(Some("startup"), &mut out), None);
    assert!(out.is_empty());
    actuator.health(None, &mut out);
    let document: Value = serde_json::from_slice(&out).expect("JSON");
    assert_eq!(document["groups"], serde_json::json!(["liveness", "readiness"]));
    assert_eq!(document["components"]["lanes"]["details"]["failed"], serde_json::json!([1]));
}

#[test]
fn info_has_the_build_and_the_limits() {
    let mut out = Vec::new();
    actuator().0.info(&mut out);
    let document: Value = serde_json::from_slice(&out).expect("JSON");
    assert_eq!(document["build"]["version"], "0.1.0");
    assert_eq!(document["runtime"]["startedAt"], "2026-11-24T10:44:47.000100Z");
    for (group, name, value) in [
        ("http", "headBytes", 32 * 1024_i64),
        ("http", "headFields", 100),
        ("http", "tokenBytes", 8 * 1024),
        ("http", "bodyBytes", 1024 * 1024),
        ("http", "batchBytes", 64 * 1024 * 1024),
        ("http", "batchItems", 100_000),
        ("http", "idleSeconds", 60),
        ("order", "lines", 50),
        ("order", "quantity", 10_000),
        ("stock", "unitPrice", 10_000_000_000),
    ] {
        assert_eq!(document["limits"][group][name], value, "{group}.{name}");
    }
}

fn with_retention() -> Actuator {
    let retention = Retention {
        key_micros: 86_400_000_000,
        keys_max: None,
        order_micros: 2_592_000_000_000,
        order_bytes_max: Some(50_000_000_000),
        disk_reserve_bytes: 1 << 29,
        data_bytes_max: None,
        is_audited: true,
        window_orders: 4_194_304,
    };
    actuator().0.with_retention(retention, Arc::default())
}

#[test]
fn info_says_what_is_kept_where_something_is() {
    let document = |actuator: &Actuator| {
        let mut out = Vec::new();
        actuator.info(&mut out);
        serde_json::from_slice::<Value>(&out).expect("JSON")
    };
    assert_eq!(document(&actuator().0)["retention"], Value::Null);
    let found = document(&with_retention());
    let kept = &found["retention"];
    assert_eq!((&kept["keys"]["hoursConfigured"], &kept["keys"]["keysMax"]), (&24.0.into(), &Value::Null), "{kept}");
    assert_eq!((&kept["orders"]["bytesMax"], &kept["orders"]["audited"]), (&50_000_000_000_u64.into(), &true.into()));
    assert_eq!(kept["disk"]["reserveBytes"], 1 << 29, "{kept}");
    assert_eq!(actuator().0.key_retention_seconds(), None);
    assert_eq!(with_retention().key_retention_seconds(), Some(86_400));
}

fn exposition(actuator: &Actuator) -> String {
    let mut out = Vec::new();
    actuator.prometheus(&mut out);
    String::from_utf8(out).expect("UTF-8")
}

#[test]
fn every_series_belongs_to_the_family_before_it_and_is_there_once() {
    let actuator = with_retention();
    actuator.lanes[0].commit_micros.record(70);
    let (mut family, mut kind) = (String::new(), String::new());
    let (mut families, mut seen) = (BTreeSet::new(), BTreeSet::new());
    for line in exposition(&actuator).lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            family = help.split(' ').next().expect("a name").to_owned();
            assert!(families.insert(family.clone()), "{family} is there twice");
        } else if let Some(of_kind) = line.strip_prefix("# TYPE ") {
            let (name, name_kind) = of_kind.split_once(' ').expect("a kind");
            assert_eq!(name, family);
            kind = name_kind.to_owned();
        } else {
            let (series, value) = line.rsplit_once(' ').expect("a value");
            let (name, labels) = series.split_once('{').expect("labels");
            let suffix = name.strip_prefix(&family).expect("the family's name");
            let kept =
                if kind == "histogram" { ["_bucket", "_sum", "_count"].contains(&suffix) } else { suffix.is_empty() };
            assert!(kept, "{line}");
            assert!(labels.starts_with("application=\"orderlane\""), "{line}");
            assert_eq!(kind == "counter", family.ends_with("_total"), "{family}");
            assert!(value.parse::<f64>().is_ok(), "{line}");
            assert!(seen.insert(series.to_owned()), "{series} is there twice");
        }
    }
    for name in [
        "invariant_violations",
        "saga_inflight",
        "io_backend",
        "lane_stall_seconds",
        "process_open_fds",
        "archive_orders",
        "disk_shedding",
    ] {
        assert!(families.contains(name), "{name}");
    }
}

#[test]
fn lanes_are_added_up_and_buckets_cumulated() {
    let (actuator, _) = actuator();
    for (lane, micros) in [(0, 60), (1, 60), (1, 2_500_000), (1, 60_000_000)] {
        actuator.lanes[lane].commit_micros.record(micros);
    }
    actuator.lanes[0].commit_orders.record(30);
    actuator.lanes[1].orders_ended[orderlane_core::Status::PaymentFailed as usize].add(2);
    let text = exposition(&actuator);
    let values: BTreeMap<_, _> = text.lines().filter_map(|line| line.rsplit_once(' ')).collect();
    for (series, value) in [
        (r#"commit_seconds_bucket{application="orderlane",le="0.00005"}"#, "0"),
        (r#"commit_seconds_bucket{application="orderlane",le="0.0001"}"#, "2"),
        (r#"commit_seconds_bucket{application="orderlane",le="2.5"}"#, "3"),
        (r#"commit_seconds_bucket{application="orderlane",le="10"}"#, "3"),
        (r#"commit_seconds_bucket{application="orderlane",le="+Inf"}"#, "4"),
        (r#"commit_seconds_sum{application="orderlane"}"#, "62.50012"),
        (r#"commit_seconds_count{application="orderlane"}"#, "4"),
        (r#"commit_seconds_max{application="orderlane"}"#, "60"),
        (r#"commit_batch_size_bucket{application="orderlane",le="50"}"#, "1"),
        (r#"orders_total{application="orderlane",outcome="payment_failed"}"#, "2"),
        (r#"executor_pool_size_threads{application="orderlane",name="lane-1"}"#, "1"),
    ] {
        assert_eq!(values.get(series), Some(&value), "{series}");
    }
    assert!(text.contains(r#"commit="abc\"def""#));
}
