//! Requests that come slowly, come to half, or are never read.

use std::time::{Duration, Instant};

use super::{Tokens, good, server_and_tokens, stored};
use crate::client::{Connection, Request};
use crate::server::Server;

fn place(tokens: &Tokens) -> Vec<u8> {
    Request::place("half", good()).bytes(Some(&tokens.admin))
}

/// How many bytes of a request its head has.
fn head_len(bytes: &[u8]) -> usize {
    bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a head") + 4
}

#[test]
fn half_sent_requests_are_not_carried_out() {
    let (server, tokens) = server_and_tokens();
    let before = stored(&server);
    let whole = place(&tokens);
    let head = head_len(&whole);
    for end in [0, 1, 10, head - 2, head - 1, head, head + 1, whole.len() - 1] {
        let mut connection = Connection::open(server.address()).expect("a connection");
        connection.send(&whole[..end]).expect("sent");
        connection.finish().expect("half closed");
        let begun = Instant::now();
        let rest = connection.rest().expect("the end of the connection");
        let text = String::from_utf8_lossy(&rest);
        assert!(text.is_empty() || text.starts_with("HTTP/1.1 4"), "cut at {end}: {text}");
        assert!(
            begun.elapsed() < Duration::from_secs(5),
            "cut at {end}: the end of the bytes is the end of the request"
        );
        // The other kind of end: the connection is gone.
        let mut connection = Connection::open(server.address()).expect("a connection");
        connection.send(&whole[..end]).expect("sent");
        drop(connection);
    }
    assert_eq!(stored(&server), before);
    let mut connection = Connection::open(server.address()).expect("a connection");
    connection.send(&whole).expect("sent");
    connection.finish().expect("half closed");
    connection.answer().expect("a whole request is answered, though nothing follows").expect(202);
    assert!(connection.is_closed());
}

/// Sends a byte now and then until there is an answer.
fn drip(server: &Server, bytes: &[u8], pause: Duration) -> (Duration, crate::client::Answer) {
    let mut connection = Connection::open(server.address()).expect("a connection");
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let mut writer = connection.try_clone().expect("a second handle");
        scope.spawn(move || {
            for byte in bytes {
                if writer.send(&[*byte]).is_err() {
                    break;
                }
                std::thread::sleep(pause);
            }
        });
        let answer = connection.answer().expect("an answer");
        let elapsed = begun.elapsed();
        connection.cut();
        (elapsed, answer)
    })
}

/// Head and body come too slowly, answers are not read: all that has a deadline, at the same time.
#[test]
fn who_makes_no_progress_is_cut_at_the_documented_time() {
    let (server, tokens) = server_and_tokens();
    let before = stored(&server);
    let whole = place(&tokens);
    let (server, whole, head) = (&server, &whole, head_len(&whole));
    std::thread::scope(|scope| {
        // A byte is no progress: the deadline counts from the first one.
        let slow_head = scope.spawn(|| drip(server, &whole[..60], Duration::from_millis(400)));
        let slow_body = scope.spawn(|| {
            let mut connection = Connection::open(server.address()).expect("a connection");
            connection.send(&whole[..head + 5]).expect("sent");
            let begun = Instant::now();
            (connection.answer().expect("an answer"), begun.elapsed(), connection.is_closed())
        });
        let deaf = scope.spawn(|| {
            let mut connection = Connection::open(server.address()).expect("a connection");
            let request = Request::get("/actuator/prometheus").bytes(None);
            // More than the kernel holds for a server that has stopped to read.
            let flood = request.repeat(32 * 1024 * 1024 / request.len());
            let begun = Instant::now();
            let written = connection.send_for(&flood, Duration::from_secs(40));
            (written < flood.len(), begun.elapsed())
        });
        let half_head = scope.spawn(drain_with_half_a_head);
        let (elapsed, answer) = slow_head.join().expect("the head");
        answer.expect_problem(408, "request-timeout");
        assert_eq!(answer.field("Connection"), Some("close"));
        assert!((9..14).contains(&elapsed.as_secs()), "a head has 10 s: {elapsed:?}");
        let (cut, elapsed) = deaf.join().expect("the reader");
        assert!(cut && (9..20).contains(&elapsed.as_secs()), "a reader has 10 s: cut {cut} after {elapsed:?}");
        half_head.join().expect("the drain");
        let (answer, elapsed, closed) = slow_body.join().expect("the body");
        answer.expect_problem(408, "request-timeout");
        assert!((29..36).contains(&elapsed.as_secs()) && closed, "a body has 30 s and more by its size: {elapsed:?}");
    });
    assert_eq!(stored(server), before);
    assert_eq!(server.admin().get("/v1/orders").status, 200);
}

/// Half a head is not in flight: it holds up the end of the process no longer than its own deadline.
fn drain_with_half_a_head() {
    let server = Server::start(&[]);
    let mut half = Connection::open(server.address()).expect("a connection");
    half.send(b"GET /actuator/health HTTP/1.1\r\n").expect("sent");
    std::thread::sleep(Duration::from_millis(300));
    let begun = Instant::now();
    server.terminate();
    assert!(begun.elapsed() < Duration::from_secs(14), "{:?}", begun.elapsed());
}

#[test]
fn a_request_in_single_bytes_is_a_request() {
    let (server, tokens) = server_and_tokens();
    let whole = place(&tokens);
    let (_, answer) = drip(&server, &whole, Duration::from_micros(200));
    answer.expect(202);
}

#[test]
fn a_reader_without_progress_holds_up_nobody_else() {
    let (server, _) = server_and_tokens();
    let mut deaf = Connection::open(server.address()).expect("a connection");
    let request = Request::get("/actuator/prometheus").bytes(None);
    deaf.send(&request.repeat(5_000)).expect("sent");
    let mut admin = server.admin();
    for number in 0..20 {
        let begun = Instant::now();
        admin.send(&Request::place(&format!("k-{number}"), good())).expect(202);
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    }
}
