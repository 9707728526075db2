//! SIGTERM: what is in flight is answered, what was acknowledged is there afterwards.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::client::{Connection, Request};
use crate::orders::{id_of, order, order_count};
use crate::server::Server;

const CONNECTIONS: usize = 4;
const PIPELINE: usize = 20;

/// Places orders until the server is gone; gives the ids of those that were acknowledged, and whether one was left open.
fn place_until_gone(server: &Server, name: usize, ended: &AtomicBool) -> (Vec<String>, usize) {
    let mut client = server.customer("load");
    let mut ids = Vec::new();
    for number in 0.. {
        let body = order(&format!("load-{name}"), "drain", 1, "tok_ok");
        match client.try_send(&Request::place(&format!("{name}-{number}"), &body)) {
            Ok(answer) if answer.status == 202 => ids.push(id_of(&answer.json())),
            Ok(answer) => answer.expect_problem(503, "overloaded"),
            Err(_) => {
                assert!(ended.load(Ordering::Relaxed), "a connection broke before the SIGTERM");
                return (ids, 1);
            }
        }
    }
    unreachable!("the loop ends with the server")
}

#[test]
fn requests_in_flight_are_answered_and_acknowledged_orders_stay() {
    let server = Server::start(&[]);
    server.admin().stock("drain", 1_000_000);
    let token = server.token("in-flight", "orders:write");
    let mut connections: Vec<Connection> =
        (0..CONNECTIONS).map(|_| Connection::open(server.address()).expect("a connection")).collect();
    for (name, connection) in connections.iter_mut().enumerate() {
        for number in 0..PIPELINE {
            let body = order(&format!("in-flight-{name}"), "drain", 1, "tok_slow_900");
            let request = Request::place(&format!("{name}-{number}"), &body).field("Prefer", "wait=20");
            connection.send(&request.bytes(Some(&token))).expect("sent");
        }
    }
    let ended = AtomicBool::new(false);
    let (loads, answers) = std::thread::scope(|scope| {
        let (server, ended) = (&server, &ended);
        let loads: Vec<_> = (0..3).map(|name| scope.spawn(move || place_until_gone(server, name, ended))).collect();
        std::thread::sleep(Duration::from_millis(400));
        ended.store(true, Ordering::Relaxed);
        server.begin_terminate();
        let mut answers = Vec::new();
        for connection in &mut connections {
            for number in 0..PIPELINE {
                let answer = connection.answer().unwrap_or_else(|error| panic!("{error} instead of answer {number}"));
                assert!(matches!(answer.status, 201 | 202), "{answer:?}");
                answers.push(id_of(&answer.json()));
            }
            assert!(connection.is_closed(), "the last answer is the end of the connection");
        }
        let loads: Vec<_> = loads.into_iter().map(|thread| thread.join().expect("a load")).collect();
        (loads, answers)
    });
    let (status, stderr) = server.wait_end();
    assert_eq!(status.code(), Some(0), "{stderr}");
    assert!(Connection::open(server.address()).is_err(), "nobody listens any more");

    server.restart(&[]);
    let mut admin = server.admin();
    let found = admin.all_ended();
    let acknowledged: usize = loads.iter().map(|(ids, _)| ids.len()).sum::<usize>() + answers.len();
    let unanswered: usize = loads.iter().map(|(_, open)| open).sum();
    let stored = order_count(&found) as usize;
    assert!(
        (acknowledged..=acknowledged + unanswered).contains(&stored),
        "{acknowledged} acknowledged, {stored} stored"
    );
    assert!(acknowledged > 100, "the load was under way: {acknowledged}");
    for id in loads.iter().flat_map(|(ids, _)| ids).chain(&answers) {
        admin.get(&format!("/v1/orders/{id}")).expect(200);
    }
}

#[test]
fn an_idle_server_ends_at_once_though_connections_are_open() {
    for flags in [&[][..], &["--io", "epoll"]] {
        let server = Server::start(flags);
        let mut idle = Connection::open(server.address()).expect("a connection");
        idle.send(b"GET /actuator/health HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
        assert_eq!(idle.answer().expect("an answer").status, 200);
        let begun = Instant::now();
        server.terminate();
        assert!(begun.elapsed() < Duration::from_secs(3), "{flags:?}: {:?}", begun.elapsed());
        assert!(idle.is_closed());
    }
}
