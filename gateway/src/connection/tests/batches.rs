//! Batches: streamed in and out, in order, each item for itself.

use orderlane_core::{Refusal, Reply, Request, Status};

use super::{Answered, ORDER, Sut, answers_in, order_view, placed, reply_to, request};
use crate::limits::{BATCH_ITEMS_MAX, BATCH_OUTSTANDING_MAX};

const JSON: &str = "application/json";
const LINES: &str = "application/x-ndjson";

fn item(key: usize) -> String {
    ORDER.replacen('{', &format!("{{\"idempotencyKey\":\"k-{key}\","), 1)
}

fn head(target: &str, media_type: &str, lines: &str, len: usize) -> String {
    request("POST", target, &format!("Content-Type: {media_type}\r\n{lines}Content-Length: {len}\r\n"))
}

fn orders(media_type: &str, body: &str) -> String {
    head("/v1/orders:batch", media_type, "", body.len()) + body
}

/// The statuses of the results.
fn results(answer: &Answered) -> Vec<u64> {
    let values: Vec<serde_json::Value> = if answer.field("Content-Type") == Some(JSON) {
        serde_json::from_str(&answer.body).expect("an array")
    } else {
        answer.body.lines().map(|line| serde_json::from_str(line).expect("a line")).collect()
    };
    values.iter().map(|value| value["status"].as_u64().expect("a status")).collect()
}

#[test]
fn items_are_answered_in_order_each_for_itself() {
    let (good, bad) = (item(1), "{\"customer\":1}");
    for (media_type, body) in
        [(JSON, format!(" [ {good} ,{bad},\n{good}, 7 ] ")), (LINES, format!("{good}\r\n{bad}\n\n{good}\n7"))]
    {
        let mut sut = Sut::new();
        sut.receive(orders(media_type, &body) + &request("GET", "/nowhere", ""));
        let submissions = std::mem::take(&mut sut.submissions);
        assert_eq!(submissions.iter().map(|one| one.number).collect::<Vec<_>>(), [0, 2]);
        sut.deliver(2, reply_to(&submissions[1].request));
        assert_eq!(sut.output(), "", "the first result is missing");
        sut.deliver(0, reply_to(&submissions[0].request));
        let answers = answers_in(&sut.output());
        assert_eq!(answers[0].field("Content-Type"), Some(media_type));
        assert_eq!(results(&answers[0]), [202, 400, 202, 400]);
        assert_eq!(answers[1].status, 404, "the next request is found");
    }
}

#[test]
fn pieces_of_any_size_give_the_same() {
    let whole = format!("[{},{},{{}}, {}]", item(1), item(2), item(3));
    for size in [1, 2, 3, 7, 64, 1000] {
        let mut sut = Sut::new();
        let mut bytes = orders(JSON, &whole) + &request("GET", "/nowhere", "");
        let lines = format!("Content-Type: {JSON}\r\nTransfer-Encoding: chunked\r\n");
        bytes += &request("POST", "/v1/orders:batch", &lines);
        for piece in whole.as_bytes().chunks(size) {
            bytes += &format!("{:x}\r\n{}\r\n", piece.len(), String::from_utf8_lossy(piece));
        }
        bytes += "0\r\n\r\n";
        for piece in bytes.as_bytes().chunks(size) {
            sut.receive(piece).answer_all();
        }
        let answers = answers_in(&sut.output());
        assert_eq!(answers.iter().map(|one| one.status).collect::<Vec<_>>(), [200, 404, 200], "{size}");
        assert_eq!((results(&answers[0]), results(&answers[2])), (vec![202, 202, 400, 202], vec![202, 202, 400, 202]));
    }
}

#[test]
fn bodies_that_are_no_array_are_refused_as_a_whole_and_broken_ones_at_their_end() {
    let good = item(1);
    for (body, status, code, expected) in [
        ("{}".to_owned(), 400, "malformed-json", vec![]),
        (String::new(), 400, "malformed-json", vec![]),
        ("[,".to_owned(), 400, "malformed-json", vec![]),
        ("[]".to_owned(), 200, "", vec![]),
        (format!("[{good} {good}]"), 200, "", vec![202, 400]),
        (format!("[{good},]"), 200, "", vec![202, 400]),
        (format!("[{good}"), 200, "", vec![202, 400]),
        (format!("[{good}]]"), 200, "", vec![202, 400]),
    ] {
        let mut sut = Sut::new();
        sut.receive(orders(JSON, &body) + &request("GET", "/nowhere", "")).answer_all();
        let answers = answers_in(&sut.output());
        assert_eq!((answers[0].status, &*answers[0].code()), (status, code), "{body}");
        if status == 200 {
            assert_eq!(results(&answers[0]), expected, "{body}");
        }
        assert_eq!(answers[1].status, 404, "{body}");
    }
}

#[test]
fn the_client_may_choose_the_form_of_the_results() {
    let mut sut = Sut::new();
    let body = item(1);
    sut.receive(head("/v1/orders:batch", LINES, &format!("Accept: {JSON}\r\n"), body.len()) + &body).answer_all();
    let answers = answers_in(&sut.output());
    assert_eq!((answers[0].field("Content-Type"), results(&answers[0])), (Some(JSON), vec![202]));
}

#[test]
fn refusals_of_shards_are_results() {
    let mut sut = Sut::new();
    sut.receive(orders(JSON, &format!("[{},{}]", item(1), item(2))));
    sut.deliver(0, Reply::Refused(Refusal::KeyReused)).deliver(1, Reply::Refused(Refusal::Overloaded));
    assert_eq!(results(&answers_in(&sut.output())[0]), [422, 503]);
}

#[test]
fn items_wait_for_the_end_of_their_sagas() {
    let mut sut = Sut::new();
    let body = format!("[{},{}]", item(1), item(2));
    sut.receive(head("/v1/orders:batch", JSON, "Prefer: wait=1\r\n", body.len()) + &body);
    for submission in std::mem::take(&mut sut.submissions) {
        let Request::PlaceOrder { body, wait: true } = &submission.request else { panic!("a wait") };
        sut.deliver(submission.number, placed(body));
    }
    sut.deliver(1, Reply::Ended { order: Box::new(order_view(Status::Completed, 5)), replayed: false });
    assert_eq!(sut.output(), "");
    let answers = answers_in(&sut.pass(1_000_000).output());
    assert_eq!(results(&answers[0]), [202, 201]);
    assert_eq!(answers[0].field("Preference-Applied"), Some("wait=1"));
}

#[test]
fn bounded_items_are_in_progress() {
    let mut sut = Sut::new();
    let count = 3 * BATCH_OUTSTANDING_MAX;
    let body = (0..count).map(item).collect::<Vec<_>>().join("\n");
    sut.receive(head("/v1/orders:batch", LINES, "", body.len()));
    let mut rest = body.as_bytes();
    let mut output = String::new();
    let mut rounds = 0;
    while !rest.is_empty() {
        while sut.connection.wants_input() && !rest.is_empty() {
            let (piece, next) = rest.split_at(rest.len().min(60_000));
            sut.receive(piece);
            rest = next;
        }
        assert!(sut.submissions.len() <= BATCH_OUTSTANDING_MAX);
        while !sut.submissions.is_empty() || sut.connection.has_output() {
            sut.answer_all();
            output += &sut.output();
        }
        rounds += 1;
    }
    assert!(rounds > 1);
    assert_eq!(results(&answers_in(&output)[0]), vec![202; count]);
}

#[test]
fn items_beyond_the_bound_are_refused() {
    let mut sut = Sut::new();
    let body = "1\n".repeat(BATCH_ITEMS_MAX) + &item(1);
    let mut output = String::new();
    sut.receive(head("/v1/orders:batch", LINES, "", body.len()));
    for piece in body.as_bytes().chunks(4_000) {
        sut.receive(piece);
        output += &sut.output();
    }
    while sut.connection.has_output() {
        output += &sut.output();
    }
    let results = results(&answers_in(&output)[0]);
    assert_eq!((results.len(), results.last()), (BATCH_ITEMS_MAX + 1, Some(&413)));
    assert!(sut.submissions.is_empty());
}

#[test]
fn broken_framing_within_a_batch_is_its_last_result() {
    let mut sut = Sut::new();
    let lines = format!("Content-Type: {LINES}\r\nTransfer-Encoding: chunked\r\n");
    let line = item(1) + "\n";
    sut.receive(request("POST", "/v1/orders:batch", &lines) + &format!("{:x}\r\n{line}\r\nzz\r\n", line.len()));
    let answers = answers_in(&sut.answer_all().output());
    assert_eq!(results(&answers[0]), [202, 400]);
    assert!(sut.connection.is_finished());
}

#[test]
fn products_are_loaded_line_by_line() {
    let good = r#"{"sku":"a","name":"A","unitPrice":1,"currency":"EUR","stock":5}"#;
    let body = format!("{good}\n{{\"sku\":\"b\"}}\nx\n{good}\n");
    let mut sut = Sut::new();
    sut.receive(head("/v1/products:batch", LINES, "", body.len()) + &body);
    let submissions = std::mem::take(&mut sut.submissions);
    let Request::LoadProduct { stock: 5, .. } = submissions[0].request else { panic!("{submissions:?}") };
    sut.deliver(0, reply_to(&submissions[0].request)).deliver(3, Reply::Refused(Refusal::Overloaded));
    let answer = &answers_in(&sut.output())[0];
    assert_eq!(
        answer.body,
        concat!(
            r#"{"sku":"a","result":"created","code":null}"#,
            "\n",
            r#"{"sku":"b","result":"refused","code":"validation-failed"}"#,
            "\n",
            r#"{"sku":null,"result":"refused","code":"malformed-json"}"#,
            "\n",
            r#"{"sku":"a","result":"refused","code":"overloaded"}"#,
            "\n",
        )
    );
}
