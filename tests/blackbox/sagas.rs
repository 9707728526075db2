//! Every way that a saga ends, seen from outside: the state, its reason, the stock and the money.

use serde_json::{Value, json};

use crate::orders::{order, order_with, status_of};
use crate::server::Server;

/// What became of an order, and what is left of a stock of 10.
struct Case {
    /// Names the SKU and the customer too.
    name: &'static str,
    body: Value,
    status: &'static str,
    reason: Option<&'static str>,
    /// Units sold; the rest is available again.
    sold: u64,
}

fn case(
    name: &'static str,
    token: &str,
    status: &'static str,
    reason: impl Into<Option<&'static str>>,
    sold: u64,
) -> Case {
    Case { name, body: order(name, name, 2, token), status, reason: reason.into(), sold }
}

fn case_with(
    name: &'static str,
    changes: Value,
    status: &'static str,
    reason: impl Into<Option<&'static str>>,
    sold: u64,
) -> Case {
    Case { name, body: order_with(name, name, changes), status, reason: reason.into(), sold }
}

fn lines(name: &str, quantities: [u32; 2]) -> Value {
    let items: Vec<Value> = quantities.iter().map(|quantity| json!({"sku": name, "quantity": quantity})).collect();
    json!({ "items": items })
}

/// Money kept is money of completed orders, in every currency.
#[track_caller]
fn assert_money(invariants: &Value) {
    for (currency, money) in invariants["money"].as_object().expect("an object") {
        let [charged, refunded, completed] =
            ["charged", "refunded", "completed"].map(|name| money[name].as_u64().expect("a number"));
        assert_eq!(charged - refunded, completed, "{currency}: {invariants}");
    }
    assert_eq!(invariants["stock"]["reserved"], 0, "{invariants}");
}

fn check(server: &Server, cases: &[Case]) {
    let mut admin = server.admin();
    admin.load(&cases.iter().map(|case| (case.name, 10)).collect::<Vec<_>>());
    let ids: Vec<String> = cases.iter().map(|case| admin.place(case.name, &case.body)).collect();
    for (case, id) in cases.iter().zip(ids) {
        let ended = admin.end_of(&id);
        assert_eq!((status_of(&ended), ended["reason"].as_str()), (case.status, case.reason), "{}: {ended}", case.name);
        // Whoever can read an end can read its consequences, at once.
        assert_eq!(admin.units(case.name), [10 - case.sold, 0, case.sold], "{}", case.name);
    }
    assert_money(&admin.all_ended());
}

/// Trap 19: a payment whose outcome is unknown is looked up; it is neither charged twice nor believed lost.
#[test]
fn trap_19_every_answer_of_the_provider_has_its_end() {
    check(
        &Server::start(&["--payment-timeout", "500ms"]),
        &[
            case("ok", "tok_ok", "COMPLETED", None, 2),
            case("declined", "tok_decline", "PAYMENT_FAILED", "declined", 0),
            case("timeout", "tok_timeout", "COMPLETED", None, 2),
            case("lost", "tok_lost", "PAYMENT_FAILED", "payment-unavailable", 0),
            case("slow", "tok_slow_400", "COMPLETED", None, 2),
            case("slower-than-the-timeout", "tok_slow_800", "COMPLETED", None, 2),
            case("no-number", "tok_slow_soon", "COMPLETED", None, 2),
        ],
    );
}

#[test]
fn what_only_the_stock_shard_knows_rejects_the_order() {
    let server = Server::start(&[]);
    let two_lines = |other: &str| json!({"items": [{"sku": "half", "quantity": 1}, {"sku": other, "quantity": 1}]});
    check(
        &server,
        &[
            case_with("unknown", json!({"items": [{"sku": "nowhere", "quantity": 1}]}), "REJECTED", "unknown-sku", 0),
            case_with("half", two_lines("nowhere"), "REJECTED", "unknown-sku", 0),
            case_with(
                "short",
                json!({"items": [{"sku": "short", "quantity": 11}]}),
                "REJECTED",
                "insufficient-stock",
                0,
            ),
            case_with("price", json!({"expectedTotal": 499}), "REJECTED", "price-changed", 0),
            case_with("right-price", json!({"expectedTotal": 500}), "COMPLETED", None, 1),
            case_with("currency", json!({"currency": "USD"}), "REJECTED", "currency-mismatch", 0),
            case_with("right-currency", json!({"currency": "EUR"}), "COMPLETED", None, 1),
            case_with("all-of-it", json!({"items": [{"sku": "all-of-it", "quantity": 10}]}), "COMPLETED", None, 10),
        ],
    );
    let mut admin = server.admin();
    let unknown = admin.place_to_end("again", &order("again", "nowhere", 1, "tok_ok"));
    assert_eq!((&unknown["total"], &unknown["items"][0]["unitPrice"]), (&Value::Null, &Value::Null), "{unknown}");
}

/// Trap 10: two lines of one SKU are one demand.
#[test]
fn trap_10_the_same_sku_on_two_lines_is_checked_as_a_sum() {
    let server = Server::start(&[]);
    check(
        &server,
        &[
            case_with("fits", lines("fits", [4, 6]), "COMPLETED", None, 10),
            case_with("fits-not", lines("fits-not", [5, 6]), "REJECTED", "insufficient-stock", 0),
        ],
    );
    // Two orders of the last pair, in opposite order, on SKUs of different shards: one at least gets it.
    let mut admin = server.admin();
    admin.load(&[("left", 1), ("right", 1)]);
    let pair = |a: &str, b: &str| json!({"items": [{"sku": a, "quantity": 1}, {"sku": b, "quantity": 1}]});
    let ids = [("p-1", "left", "right"), ("p-2", "right", "left")]
        .map(|(name, a, b)| admin.place(name, &order_with(name, a, pair(a, b))));
    let completed = ids.iter().filter(|id| status_of(&admin.end_of(id)) == "COMPLETED").count();
    let (left, right) = (admin.units("left"), admin.units("right"));
    assert!(
        completed <= 1 && left == right && left == [1 - completed as u64, 0, completed as u64],
        "{completed} {left:?} {right:?}"
    );
}

/// Traps 11 and 19: a cancel that overtakes its reservation, and money that arrives after it.
#[test]
fn trap_11_a_cancel_at_any_moment_gives_stock_and_money_back() {
    let server = Server::start(&[]);
    let mut admin = server.admin();
    admin.stock("cancel", 1_000);
    let mut ids = Vec::new();
    for number in 0..60_u64 {
        let token = ["tok_ok", "tok_slow_30", "tok_decline"][(number % 3) as usize];
        let id = admin.place(&format!("k-{number}"), &order(&format!("c-{number}"), "cancel", 2, token));
        std::thread::sleep(std::time::Duration::from_micros(300 * (number % 20)));
        let cancelled = admin.post(&format!("/v1/orders/{id}/cancel"));
        assert!(matches!(cancelled.status, 202 | 409), "{cancelled:?}");
        ids.push((id, cancelled.status));
    }
    let mut completed = 0;
    let mut cancelled = 0;
    for (id, answer) in &ids {
        let ended = admin.end_of(id);
        match status_of(&ended) {
            "COMPLETED" => completed += 1,
            "CANCELLED" => cancelled += 1,
            "PAYMENT_FAILED" => {}
            other => panic!("{other}: {ended}"),
        }
        assert!(*answer == 409 || status_of(&ended) != "COMPLETED", "a cancel that was accepted holds: {ended}");
    }
    assert!(cancelled > 0, "no cancel came in time");
    assert_eq!(admin.units("cancel"), [1_000 - 2 * completed, 0, 2 * completed]);
    assert_money(&admin.all_ended());
}

/// Trap 12: an order whose hold ends while it is charged expires once the provider has answered, and the money goes back.
#[test]
fn trap_12_a_hold_that_ends_during_a_charge_expires_with_a_refund() {
    let server = Server::start(&["--hold-ttl", "1s", "--payment-timeout", "4s"]);
    let mut admin = server.admin();
    admin.load(&[("expired", 10), ("in-time", 10)]);
    let expired = admin.place("expired", &order("expired", "expired", 3, "tok_slow_1800"));
    let in_time = admin.place("in-time", &order("in-time", "in-time", 3, "tok_slow_500"));
    admin.until_status(&expired, "CANCELLING");
    let cancel = admin.post(&format!("/v1/orders/{expired}/cancel"));
    assert_eq!(status_of(&cancel.expect(202)), "CANCELLING", "a cancel has no effect on the way to another end");
    let ended = admin.end_of(&expired);
    assert_eq!((status_of(&ended), ended["reason"].as_str()), ("EXPIRED", Some("hold-expired")));
    assert_eq!(status_of(&admin.end_of(&in_time)), "COMPLETED");
    assert_eq!((admin.units("expired"), admin.units("in-time")), ([10, 0, 0], [7, 0, 3]));
    let found = admin.all_ended();
    assert_money(&found);
    assert_eq!(found["money"]["EUR"], json!({"charged": 3_000, "refunded": 1_500, "completed": 1_500}));
}

/// Traps 12 and 19: a kill in the middle of a charge; the deadline and the unknown payment are taken up again at the start.
#[test]
fn trap_12_deadlines_and_unknown_payments_survive_a_kill() {
    let flags = ["--hold-ttl", "1s", "--payment-timeout", "1500ms"];
    let server = Server::start(&flags);
    let mut admin = server.admin();
    admin.load(&[("charged", 10), ("expired", 10)]);
    let charged = admin.place("charged", &order("charged", "charged", 1, "tok_timeout"));
    let expired = admin.place("expired", &order("expired", "expired", 1, "tok_slow_1400"));
    admin.until_status(&charged, "RESERVED");
    admin.until_status(&expired, "RESERVED");
    server.kill();
    std::thread::sleep(std::time::Duration::from_millis(1_200));
    server.restart(&flags);
    let mut admin = server.admin();
    for id in [charged, expired] {
        let ended = admin.end_of(&id);
        assert!(matches!(status_of(&ended), "COMPLETED" | "EXPIRED"), "{ended}");
    }
    assert_money(&admin.all_ended());
}
