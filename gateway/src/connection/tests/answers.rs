//! Requests that are answered: heads, bodies, waits, conditions.

use orderlane_core::{OrderPage, Refusal, Reply, Request, ShardId, Status};

use super::{ORDER, SHARDS, START, Sut, answers_in, order_view, placed, post, request};

#[test]
fn an_order_is_placed_on_the_shard_of_its_customer() {
    let mut sut = Sut::new();
    sut.receive(post("\"k-1\"", ORDER));
    let submission = &sut.submissions[0];
    assert_eq!(submission.shard, ShardId::of("c-1", SHARDS));
    let Request::PlaceOrder { body, wait: false } = &submission.request else { panic!("{submission:?}") };
    assert_eq!((body.subject(), body.customer(), body.key()), ("alice", "c-1", "k-1"));
    let answer = &answers_in(&sut.answer_all().output())[0];
    assert_eq!(answer.status, 202);
    assert_eq!(answer.field("Location"), Some("/v1/orders/o_0008000000007"));
    assert_eq!(answer.field("ETag"), Some("\"1\""));
    assert_eq!(answer.field("Content-Type"), Some("application/json"));
    assert_eq!(answer.field("Date"), Some("Tue, 14 Nov 2023 22:13:20 GMT"));
    assert_eq!(answer.field("Idempotency-Replayed"), None);
    assert!(answer.body.starts_with("{\"id\":\"o_0008000000007\",\"status\":\"PENDING\""), "{}", answer.body);
}

#[test]
fn every_route_is_answered() {
    let json = "Content-Type: application/json\r\nIdempotency-Key: k\r\n";
    let with = |method: &str, target: &str, body: &str| {
        request(method, target, &format!("{json}Content-Length: {}\r\n", body.len())) + body
    };
    for (bytes, status) in [
        (request("GET", "/v1/orders/o_0000000000005", ""), 200),
        (request("GET", "http://a/v1/orders/o_0000000000005", ""), 200),
        (request("GET", "/v1/orders", ""), 200),
        (request("GET", "/v1/orders?customer=c-1&status=PAID&limit=3", ""), 200),
        (request("POST", "/v1/orders/o_0000000000005/cancel", ""), 202),
        (with("POST", "/v1/orders/o_0000000000005/cancel", "{}"), 202),
        (with("PUT", "/v1/products/a", r#"{"name":"A","unitPrice":1,"currency":"EUR"}"#), 201),
        (with("POST", "/v1/inventory/a/adjustments", r#"{"delta":100,"reason":"restock"}"#), 200),
        (request("GET", "/v1/inventory/a", ""), 200),
        (request("GET", "/v1/inventory/%61", ""), 200),
        (request("GET", "/v1/invariants", ""), 200),
        (request("OPTIONS", "*", ""), 204),
        ("GET /actuator/health HTTP/1.1\r\nHost: a\r\n\r\n".into(), 200),
        ("GET /actuator/health/liveness HTTP/1.1\r\nHost: a\r\n\r\n".into(), 200),
        ("GET /actuator/health/nothing HTTP/1.1\r\nHost: a\r\n\r\n".into(), 404),
        ("GET /actuator/info HTTP/1.1\r\nHost: a\r\n\r\n".into(), 200),
        ("GET /actuator/prometheus HTTP/1.0\r\n\r\n".into(), 200),
    ] {
        let mut sut = Sut::new();
        sut.receive(&bytes).answer_all();
        assert_eq!(sut.statuses(), [status], "{bytes}");
    }
}

#[test]
fn head_is_get_without_the_body() {
    let mut sut = Sut::new();
    let get = sut.receive(request("GET", "/v1/inventory/a", "X-Correlation-Id: c\r\n")).answer_all().output();
    let head = sut.receive(request("HEAD", "/v1/inventory/a", "X-Correlation-Id: c\r\n")).answer_all().output();
    assert!(get.starts_with(&head) && head.ends_with("\r\n\r\n") && get.len() > head.len());
}

#[test]
fn a_replay_says_so() {
    let mut sut = Sut::new();
    sut.receive(post("k", ORDER));
    let Request::PlaceOrder { body, .. } = &sut.submissions[0].request else { panic!("an order") };
    let Reply::Placed { order, created_at, body, .. } = placed(body) else { panic!("placed") };
    sut.deliver(0, Reply::Placed { order, created_at, body, replayed: true });
    assert_eq!(answers_in(&sut.output())[0].field("Idempotency-Replayed"), Some("true"));
}

#[test]
fn an_answer_to_an_order_says_how_long_its_key_is_honoured() {
    let json = "Content-Type: application/json\r\nIdempotency-Key: k\r\n";
    let adjustment = r#"{"delta":100,"reason":"restock"}"#;
    let adjust = format!("{json}Content-Length: {}\r\n", adjustment.len());
    for (bytes, expected) in [
        (post("k", ORDER), Some("7200")),
        (request("GET", "/v1/orders/o_0000000000005", ""), None),
        (request("POST", "/v1/inventory/a/adjustments", &adjust) + adjustment, None),
    ] {
        let mut sut = Sut::new();
        sut.receive(&bytes).answer_all();
        assert_eq!(answers_in(&sut.output())[0].field("Idempotency-Key-Retention"), expected, "{bytes}");
    }
}

#[test]
fn ids_of_the_client_come_back() {
    for (line, id) in [("X-Correlation-Id: abc-1\r\n", Some("abc-1")), ("X-Correlation-Id: a\"b\r\n", None), ("", None)]
    {
        let trace = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n";
        let mut sut = Sut::new();
        sut.receive(request("GET", "/nowhere", &format!("{line}{trace}")));
        let answer = &answers_in(&sut.output())[0];
        let given = answer.field("X-Correlation-Id").expect("always there");
        assert!(id.is_none_or(|id| id == given) && given != "a\"b", "{given}");
        assert!(answer.body.contains("4bf92f3577b34da6a3ce929d0e0e4736") && answer.body.contains(given));
    }
}

#[test]
fn conditions() {
    for (line, status) in
        [("", 200), ("If-None-Match: \"3\"\r\n", 304), ("If-None-Match: \"2\"\r\n", 200), ("If-None-Match: *\r\n", 304)]
    {
        let mut sut = Sut::new();
        sut.receive(request("GET", "/v1/orders/o_0000000000005", line)).answer_all();
        let answer = &answers_in(&sut.output())[0];
        assert_eq!((answer.status, answer.field("ETag")), (status, Some("\"3\"")), "{line}");
    }
    for (line, expected) in
        [("", None), ("If-Match: *\r\n", None), ("If-Match: \"3\"\r\n", Some(3)), ("If-Match: 3\r\n", Some(0))]
    {
        let mut sut = Sut::new();
        sut.receive(request("POST", "/v1/orders/o_0000000000005/cancel", line));
        let Request::CancelOrder { version_expected, .. } = sut.submissions[0].request else { panic!("a cancel") };
        assert_eq!(version_expected, expected, "{line}");
        sut.deliver(0, Reply::Refused(Refusal::VersionMismatch));
        assert_eq!(sut.statuses(), [412]);
    }
    let mut sut = Sut::new();
    sut.receive(request("POST", "/v1/orders/o_0000000000005/cancel", ""));
    sut.deliver(0, Reply::Order(Box::new(order_view(Status::Cancelled, 5))));
    assert_eq!(sut.statuses(), [200]);
}

#[test]
fn a_wait_ends_with_the_saga_or_with_its_time() {
    let waiting = || {
        let mut sut = Sut::new();
        sut.receive(post("k", ORDER).replace("Host: a", "Host: a\r\nPrefer: wait=2"));
        let Request::PlaceOrder { body, wait: true } = &sut.submissions[0].request else { panic!("a wait") };
        let reply = placed(body);
        sut.deliver(0, reply);
        assert_eq!(sut.output(), "");
        sut
    };
    let mut sut = waiting();
    sut.deliver(0, Reply::Ended { order: Box::new(order_view(Status::Completed, 5)), replayed: false });
    let answer = &answers_in(&sut.output())[0];
    assert_eq!((answer.status, answer.field("ETag")), (201, Some("\"3\"")));
    assert_eq!(answer.field("Preference-Applied"), Some("wait=2"));
    let mut sut = waiting();
    assert_eq!(sut.connection.poll_timeout(), Some(START.after_micros(2_000_000)));
    assert_eq!(sut.pass(1_999_999).output(), "");
    let answer = &answers_in(&sut.pass(1).output())[0];
    assert_eq!((answer.status, answer.field("Preference-Applied")), (202, Some("wait=2")));
    sut.deliver(0, Reply::Ended { order: Box::new(order_view(Status::Completed, 5)), replayed: false });
    assert_eq!(sut.output(), "");
}

#[test]
fn a_read_that_waited_in_vain_looks_again() {
    let mut sut = Sut::new();
    sut.receive(request("GET", "/v1/orders/o_0000000000005?wait=1", ""));
    sut.submissions.clear();
    sut.deliver(0, Reply::Order(Box::new(order_view(Status::Pending, 5))));
    assert_eq!(sut.output(), "");
    sut.pass(1_000_000);
    assert!(matches!(sut.submissions[0].request, Request::GetOrder { wait: false, .. }));
    sut.deliver(0, Reply::Order(Box::new(order_view(Status::Paid, 5))));
    assert!(sut.output().contains("\"PAID\""));
}

#[test]
fn pages_of_all_shards_are_merged() {
    let mut sut = Sut::new();
    sut.receive(request("GET", "/v1/orders?limit=2", ""));
    assert_eq!(sut.submissions.iter().map(|one| one.shard.0).collect::<Vec<_>>(), [0, 1, 2, 3]);
    for number in 0..4 {
        let orders = vec![order_view(Status::Paid, u64::from(number) + 1)];
        sut.deliver(number, Reply::Orders(Box::new(OrderPage { orders, reached: None })));
    }
    let answer = &answers_in(&sut.output())[0];
    let cursor = format!("{:016x}{:016x}", 3, 3);
    assert_eq!(answer.field("Link"), Some(&*format!("</v1/orders?limit=2&cursor={cursor}>; rel=\"next\"")));
    assert!(answer.body.ends_with(&format!("\"next\":\"{cursor}\"}}")), "{}", answer.body);
    sut.receive(request("GET", &format!("/v1/orders?limit=2&cursor={cursor}"), ""));
    sut.deliver(5, Reply::Refused(Refusal::ShardUnavailable));
    let answer = &answers_in(&sut.output())[0];
    assert_eq!((answer.status, &*answer.code()), (503, "shard-unavailable"));
    assert!(["1", "2", "3"].contains(&answer.field("Retry-After").expect("there")));
}

#[test]
fn http_1_0_closes_unless_it_is_asked_not_to() {
    for (line, closed) in [("", true), ("Connection: keep-alive\r\n", false)] {
        let mut sut = Sut::new();
        sut.receive(format!("GET /actuator/info HTTP/1.0\r\n{line}\r\n"));
        let answer = &answers_in(&sut.output())[0];
        assert_eq!(answer.field("Connection"), Some(if closed { "close" } else { "keep-alive" }));
        assert_eq!(sut.connection.is_finished(), closed);
    }
}
