//! Who may do what, which methods there are, and in which order a request is refused.

use crate::client::{Client, Request};
use crate::orders::order;
use crate::server::Server;

/// Method, target, the scope that it needs (empty: any token), `Allow` of the path.
const ROUTES: [(&str, &str, &str, &str); 11] = [
    ("POST", "/v1/orders", "orders:write", "GET, HEAD, POST"),
    ("GET", "/v1/orders", "orders:read", "GET, HEAD, POST"),
    ("POST", "/v1/orders:batch", "orders:write", "POST"),
    ("GET", "/v1/orders/o_1", "orders:read", "GET, HEAD"),
    ("POST", "/v1/orders/o_1/cancel", "orders:write", "POST"),
    ("PUT", "/v1/products/access", "catalog:write", "GET, HEAD, PUT"),
    ("GET", "/v1/products/access", "", "GET, HEAD, PUT"),
    ("POST", "/v1/products:batch", "catalog:write", "POST"),
    ("GET", "/v1/inventory/access", "", "GET, HEAD"),
    ("POST", "/v1/inventory/access/adjustments", "inventory:write", "POST"),
    ("GET", "/v1/invariants", "admin", "GET, HEAD"),
];
const SCOPES: [&str; 5] = ["orders:write", "orders:read", "inventory:write", "catalog:write", "admin"];

#[test]
fn every_operation_needs_its_scope_and_admin_has_all() {
    let server = Server::shared();
    for scope in SCOPES {
        let mut client = server.client("scoped", scope);
        for (method, target, needed, _) in ROUTES {
            let answer = client.send(&Request::new(method, target));
            let may = needed.is_empty() || needed == scope || scope == "admin";
            assert_eq!(answer.status != 403, may, "{scope}: {method} {target}: {answer:?}");
            assert_ne!(answer.status, 401, "{scope}: {method} {target}");
            if !may {
                answer.expect_problem(403, "forbidden");
            }
        }
    }
}

#[test]
fn without_a_valid_token_nothing_is_said_about_paths() {
    let server = Server::shared();
    let mut anonymous = Client::anonymous(server.address());
    let others = [
        ("GET", "/v1/nowhere"),
        ("GET", "/"),
        ("DELETE", "/v1/orders"),
        ("GET", "/v1/orders/o_1"),
        ("GET", "/actuator"),
    ];
    for (method, target) in ROUTES.map(|(method, target, ..)| (method, target)).into_iter().chain(others) {
        let answer = anonymous.send(&Request::new(method, target));
        answer.expect_problem(401, "unauthenticated");
        assert!(answer.field("WWW-Authenticate").is_some_and(|value| value.starts_with("Bearer")), "{answer:?}");
    }
    let mut admin = server.admin();
    for target in ["/v1/nowhere", "/", "/v1/orders/", "/v1/orders/o_1/nowhere", "/actuator", "/v2/orders"] {
        admin.get(target).expect_problem(404, "not-found");
    }
    for target in ["/actuator/health", "/actuator/info", "/actuator/prometheus"] {
        assert_eq!(anonymous.get(target).status, 200, "{target}");
    }
}

#[test]
fn another_method_on_a_known_path_is_405_with_allow() {
    let server = Server::shared();
    let mut admin = server.admin();
    let actuator = ["/actuator/health", "/actuator/info", "/actuator/prometheus"].map(|target| (target, "GET, HEAD"));
    for (target, allow) in ROUTES.map(|(_, target, _, allow)| (target, allow)).into_iter().chain(actuator) {
        for method in ["DELETE", "PATCH", "BREW", "get"] {
            let answer = admin.send(&Request::new(method, target));
            answer.expect_problem(405, "method-not-allowed");
            assert_eq!(answer.field("Allow"), Some(allow), "{method} {target}");
        }
    }
}

/// A request that is wrong in every way is refused for one reason after the other.
#[test]
fn refusals_come_in_the_documented_order() {
    let server = Server::shared();
    let mut anonymous = Client::anonymous(server.address());
    let good = order("ladder", "nothing", 1, "t");
    let token = |scope| format!("Bearer {}", server.token("ladder", scope));
    let (reader, writer) = (token("orders:read"), token("orders:write"));
    let first = Request::place("k", &good).field("Authorization", &writer);
    assert_eq!(anonymous.send(&first).status, 202);
    for (authorization, content_type, key, body, status, code) in [
        ("Bearer x", "text/plain", "", "{", 401, "unauthenticated"),
        (&*reader, "text/plain", "", "{", 403, "forbidden"),
        (&*writer, "text/plain", "", "{", 415, "unsupported-media-type"),
        (&*writer, "application/json", "", "{", 400, "idempotency-key-missing"),
        (&*writer, "application/json", "k", "{", 400, "malformed-json"),
        (&*writer, "application/json", "k", "{\"customer\":\"ladder\"}", 400, "validation-failed"),
        (
            &*writer,
            "application/json",
            "k",
            &*order("ladder", "nothing", 2, "t").to_string(),
            422,
            "idempotency-key-reused",
        ),
        (&*writer, "application/json", "k", &*good.to_string(), 202, ""),
    ] {
        let request = Request::new("POST", "/v1/orders")
            .field("Authorization", authorization)
            .field("Idempotency-Key", key)
            .body(content_type, body);
        let answer = anonymous.send(&request);
        assert_eq!(answer.status, status, "{code}: {answer:?}");
        if status >= 400 {
            answer.expect_problem(status, code);
        }
    }
}

#[test]
fn the_correlation_id_and_the_trace_come_back() {
    let server = Server::shared();
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let request = Request::get("/v1/orders/o_1")
        .field("X-Correlation-Id", "cart-7")
        .field("traceparent", &format!("00-{trace}-00f067aa0ba902b7-01"));
    let answer = server.admin().send(&request);
    answer.expect_problem(404, "not-found");
    assert_eq!(answer.field("X-Correlation-Id"), Some("cart-7"));
    assert_eq!(answer.json()["traceId"], trace);
}
