//! `/actuator`: health, info, metrics.

use std::collections::BTreeMap;

use serde_json::json;

use super::exposition::{Exposition, Series};
use crate::client::{Client, Request};
use crate::orders::order;
use crate::server::Server;

#[test]
fn health_has_its_groups() {
    let server = Server::shared();
    let mut client = Client::anonymous(server.address());
    let health = client.get("/actuator/health").expect(200);
    assert_eq!((&health["status"], &health["groups"]), (&json!("UP"), &json!(["liveness", "readiness"])), "{health}");
    for group in ["liveness", "readiness"] {
        assert_eq!(client.get(&format!("/actuator/health/{group}")).expect(200)["status"], "UP", "{group}");
    }
    client.get("/actuator/health/nothing").expect_problem(404, "not-found");
}

#[test]
fn info_names_the_build_and_every_documented_limit() {
    let server = Server::shared();
    let info = Client::anonymous(server.address()).get("/actuator/info").expect(200);
    assert_eq!(info["build"]["version"], env!("CARGO_PKG_VERSION"), "{info}");
    let http = &info["limits"]["http"];
    for (name, limit) in [
        ("headBytes", 32 * 1024),
        ("headFields", 100),
        ("targetBytes", 8 * 1024),
        ("tokenBytes", 8 * 1024),
        ("bodyBytes", 1024 * 1024),
        ("batchBytes", 64 * 1024 * 1024),
        ("batchItems", 100_000),
        ("headSeconds", 10),
        ("bodySeconds", 30),
        ("bodyBytesPerSecond", 64 * 1024),
        ("idleSeconds", 60),
        ("stallSeconds", 10),
        ("pageOrders", 200),
    ] {
        assert_eq!(http[name], limit, "{name}: {info}");
    }
    assert_eq!((&info["runtime"]["durability"], &info["runtime"]["shards"]), (&json!("fsync"), &json!(8)), "{info}");
}

#[test]
fn the_exposition_is_valid_and_its_histograms_add_up() {
    let server = Server::shared();
    server.admin().stock("metrics", 10);
    server.admin().place_to_end("metrics", &order("metrics", "metrics", 1, "tok_ok"));
    server
        .admin()
        .send(&Request::place("metrics-2", "{").field("Prefer", "wait=1"))
        .expect_problem(400, "malformed-json");
    let answer = Client::anonymous(server.address()).get("/actuator/prometheus");
    assert!(
        answer.field("Content-Type").is_some_and(|kind| kind.starts_with("text/plain; version=0.0.4")),
        "{answer:?}"
    );
    let exposition = Exposition::parse(answer.text()).unwrap_or_else(|error| panic!("{error}\n{}", answer.text()));
    for ((name, labels), value) in &exposition.series {
        assert_eq!(labels.get("application").map(String::as_str), Some("orderlane"), "{name} {labels:?}");
        assert!(value.is_finite(), "{name} {labels:?} {value}");
    }
    let mut seen = std::collections::BTreeSet::new();
    assert!(exposition.series.iter().all(|(series, _)| seen.insert(series.clone())), "a series stands twice");
    let histograms = exposition.types.iter().filter(|(_, kind)| *kind == "histogram");
    histograms.for_each(|(name, _)| assert_adds_up(name, &exposition));
    for (name, labels) in [
        (
            "http_server_requests_seconds_count",
            &[("uri", "/v1/orders"), ("method", "POST"), ("status", "202"), ("outcome", "SUCCESS")][..],
        ),
        (
            "http_server_requests_seconds_count",
            &[("uri", "/v1/orders"), ("status", "400"), ("outcome", "CLIENT_ERROR")],
        ),
        ("http_server_requests_seconds_max", &[("uri", "/v1/orders/{id}"), ("error", "none"), ("exception", "none")]),
        ("orders_total", &[("outcome", "completed")]),
        ("saga_step_seconds_count", &[]),
        ("commit_seconds_count", &[]),
        ("commit_batch_size_count", &[]),
        ("io_backend", &[]),
        ("build_info", &[]),
        ("executor_pool_size_threads", &[("name", "lane-0")]),
        ("process_cpu_seconds_total", &[]),
        ("process_resident_memory_bytes", &[]),
        ("system_cpu_count", &[]),
    ] {
        assert!(exposition.sum(name, labels).is_some_and(|sum| sum > 0.0), "{name} {labels:?}\n{}", answer.text());
    }
    for name in ["invariant_violations", "saga_inflight", "executor_active_threads", "executor_queued_tasks"] {
        assert!(exposition.sum(name, &[]).is_some(), "{name}\n{}", answer.text());
    }
    assert_eq!(exposition.sum("invariant_violations", &[]), Some(0.0));
}

type Labels = Vec<(String, String)>;
/// Bound and cumulative count.
type Bucket = (f64, f64);

/// Buckets are cumulative, the last is `+Inf` and holds all; each has its `_sum` and the timers their `_max`.
fn assert_adds_up(name: &str, exposition: &Exposition) {
    let mut buckets: BTreeMap<Labels, Vec<Bucket>> = BTreeMap::new();
    let of = |suffix: &str| format!("{name}_{suffix}");
    for ((series, labels), count) in &exposition.series {
        if *series == of("bucket") {
            let bound = &labels["le"];
            let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().expect("a bound is a number") };
            let key =
                labels.iter().filter(|(label, _)| *label != "le").map(|(label, value)| (label.clone(), value.clone()));
            buckets.entry(key.collect()).or_default().push((bound, *count));
        }
    }
    assert!(!buckets.is_empty(), "{name} has no buckets");
    for (labels, buckets) in buckets {
        let bounds_rise = buckets.windows(2).all(|two| two[0].0 < two[1].0 && two[0].1 <= two[1].1);
        assert!(bounds_rise, "{name} {labels:?}: {buckets:?}");
        let find = |suffix: &str| {
            let series: Series = (of(suffix), labels.iter().cloned().collect());
            exposition.series.iter().find(|(found, _)| *found == series).map(|(_, value)| *value)
        };
        let count = find("count").unwrap_or_else(|| panic!("{name} {labels:?} has no _count"));
        assert_eq!(buckets.last(), Some(&(f64::INFINITY, count)), "{name} {labels:?}");
        assert!(find("sum").is_some(), "{name} {labels:?} has no _sum");
        assert!(!name.ends_with("_seconds") || find("max").is_some(), "{name} {labels:?} has no _max");
        assert!(!name.ends_with("_seconds") || buckets[0].0 < 0.001, "{name}: buckets begin below 1 ms");
    }
}

#[test]
fn the_management_port_has_actuator_and_nothing_else() {
    let server = Server::start(&["--management-listen", "127.0.0.1:0"]);
    let banner = server.banner("management");
    let address = banner.strip_prefix("http://").and_then(|address| address.strip_suffix("/actuator/health"));
    let management = address.and_then(|address| address.parse().ok()).expect("an address");
    assert_eq!(Client::anonymous(management).get("/actuator/health").status, 200);
    Client::anonymous(management).get("/v1/orders").expect_problem(404, "not-found");
    server.admin().get("/actuator/health").expect_problem(404, "not-found");
    assert_eq!(server.admin().get("/v1/orders").status, 200);
}
