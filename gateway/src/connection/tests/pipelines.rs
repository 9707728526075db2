//! Several requests on one connection: their order, their bounds, and where one ends and the next begins.

use orderlane_core::Request;

use super::{ORDER, SHARDS, Sut, answers_in, placed, post, reply_to, request};
use crate::limits::{INPUT_LEN_MAX, PIPELINE_MAX};

/// `POST /v1/orders` in chunks.
fn post_chunked(key: &str) -> String {
    let (first, second) = ORDER.split_at(10);
    let lines = format!("Content-Type: application/json\r\nIdempotency-Key: {key}\r\nTransfer-Encoding: chunked\r\n");
    let chunks = format!("{:x};x=y\r\n{first}\r\n{:x}\r\n{second}\r\n0\r\nA: b\r\n\r\n", first.len(), second.len());
    request("POST", "/v1/orders", &lines) + &chunks
}

#[test]
fn replies_out_of_order_are_answered_in_order() {
    let mut sut = Sut::new();
    sut.receive(
        post("k-0", ORDER)
            + &request("GET", "/nowhere", "")
            + &post_chunked("k-2")
            + &request("GET", "/v1/inventory/a", ""),
    );
    let submissions = std::mem::take(&mut sut.submissions);
    assert_eq!(submissions.iter().map(|one| one.number).collect::<Vec<_>>(), [0, 2, 3]);
    for submission in submissions[1..].iter().rev() {
        sut.deliver(submission.number, reply_to(&submission.request));
        assert_eq!(sut.output(), "");
    }
    sut.deliver(0, reply_to(&submissions[0].request));
    assert_eq!(sut.statuses(), [202, 404, 202, 200]);
    sut.deliver(0, reply_to(&submissions[0].request));
    assert_eq!(sut.output(), "", "a late reply is dropped");
}

#[test]
fn every_cut_gives_the_same_answers() {
    let bytes = post("k-0", ORDER)
        + &post_chunked("k-1")
        + "\r\n"
        + &request("GET", "/nowhere", "Content-Length: 3\r\nX-Correlation-Id: c\r\n")
        + "abc"
        + &request("GET", "/v1/inventory/a", "X-Correlation-Id: c\r\nTransfer-Encoding: chunked\r\n")
        + "3\r\nGET\r\n0\r\n\r\n"
        + &request("POST", "/v1/orders", "Content-Length: 0\r\n")
        + &request("GET", "/v1/orders", "Connection: close\r\n");
    for cut in 0..bytes.len() {
        let mut sut = Sut::new();
        sut.receive(&bytes[..cut]).receive(&bytes[cut..]).answer_all();
        let answers = answers_in(&sut.output());
        let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
        assert_eq!(statuses, [202, 202, 404, 200, 415, 200], "cut at {cut}");
        assert!(sut.connection.is_finished());
    }
    let mut sut = Sut::new();
    for byte in bytes.bytes() {
        sut.receive([byte]);
    }
    assert_eq!(sut.answer_all().statuses(), [202, 202, 404, 200, 415, 200]);
}

#[test]
fn bounded_requests_are_in_progress_and_bounded_bytes_wait() {
    let mut sut = Sut::new();
    let count = PIPELINE_MAX + 40;
    for number in 0..count {
        sut.receive(post(&format!("k-{number}"), ORDER));
    }
    assert_eq!(sut.submissions.len(), PIPELINE_MAX);
    while sut.connection.wants_input() {
        sut.receive(post("k-more", ORDER));
    }
    assert!(sut.connection.input.len() < INPUT_LEN_MAX + 2_000);
    let total = sut.answer_all().statuses().len();
    assert!(total > count && sut.connection.wants_input());
}

#[test]
fn continue_is_sent_when_the_body_is_wanted_and_not_there() {
    let whole = post("k", ORDER).replace("Host: a", "Host: a\r\nExpect: 100-Continue");
    let head = &whole[..whole.len() - ORDER.len()];
    let mut sut = Sut::new();
    sut.receive(head);
    assert_eq!(sut.output(), "HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(sut.receive(ORDER).answer_all().statuses(), [202]);
    assert_eq!(Sut::new().receive(&whole).answer_all().statuses(), [202], "the body is there");
    assert_eq!(Sut::new().receive(head.replace("application/json", "a/b")).statuses(), [415], "it is not wanted");
    let mut sut = Sut::new();
    sut.receive(post("k-0", ORDER) + head);
    assert_eq!(sut.output(), "", "its turn has not come");
    assert_eq!(sut.answer_all().statuses(), [202, 100]);
}

#[test]
fn a_client_that_sends_no_more_is_still_answered() {
    let mut sut = Sut::new();
    sut.receive(post("k-0", ORDER) + "GET /v1");
    sut.connection.end_input();
    sut.advance();
    assert!(sut.connection.is_closing() && !sut.connection.is_finished());
    assert_eq!(sut.answer_all().statuses(), [202]);
    assert!(sut.connection.is_finished());
}

#[test]
fn a_drain_finishes_what_is_in_progress() {
    let mut sut = Sut::new();
    sut.receive(post("k-0", ORDER) + &post("k-1", ORDER));
    sut.context.set_draining(true);
    sut.advance().answer_all();
    let answers = answers_in(&sut.output());
    assert_eq!(answers.iter().map(|one| one.field("Connection")).collect::<Vec<_>>(), [None, Some("close")]);
    assert!(sut.connection.is_finished());
    let mut idle = Sut::new();
    idle.context.set_draining(true);
    assert!(idle.advance().connection.is_finished());
}

#[test]
fn numbers_wrap() {
    let mut sut = Sut::new();
    sut.connection.number_next = u32::MAX - 1;
    for round in 0..4_u32 {
        sut.receive(post("k", ORDER) + &request("GET", "/v1/invariants", ""));
        let submissions = std::mem::take(&mut sut.submissions);
        assert_eq!(submissions.len(), 1 + usize::from(SHARDS));
        assert_eq!(submissions[0].number, (u32::MAX - 1).wrapping_add(5 * round));
        let Request::PlaceOrder { body, .. } = &submissions[0].request else { panic!("an order") };
        for submission in submissions[1..].iter().rev() {
            sut.deliver(submission.number, reply_to(&submission.request));
        }
        sut.deliver(submissions[0].number, placed(body));
        assert_eq!(sut.statuses(), [202, 200]);
    }
}
