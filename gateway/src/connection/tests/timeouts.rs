//! Deadlines.

use super::{ORDER, START, Sut, answers_in, post, request};
use crate::limits::{
    BODY_MICROS_MAX, HEAD_MICROS_MAX, IDLE_MICROS_MAX, LINGER_LEN_MAX, LINGER_MICROS_MAX, STALL_MICROS_MAX,
};

#[test]
fn a_late_head_is_refused_and_a_late_body_too() {
    let mut body = post("k", ORDER);
    body.truncate(body.len() - 1);
    let body_max = BODY_MICROS_MAX + ORDER.len() as u64 * 1_000_000 / 65_536;
    for (bytes, deadline) in [("G".to_owned(), HEAD_MICROS_MAX), (body, body_max)] {
        let mut sut = Sut::new();
        sut.receive(&bytes);
        assert_eq!(sut.connection.poll_timeout(), Some(START.after_micros(deadline)), "{bytes}");
        assert!(!sut.pass(deadline - 1).connection.is_closing());
        sut.pass(1);
        let answer = &answers_in(&sut.output())[0];
        assert_eq!(
            (answer.status, &*answer.code(), answer.field("Connection")),
            (408, "request-timeout", Some("close"))
        );
        assert!(sut.connection.is_finished());
    }
}

#[test]
fn bytes_that_trickle_do_not_move_the_deadline_of_a_head() {
    let mut sut = Sut::new();
    for byte in "GET / HTTP".bytes() {
        sut.receive([byte]).pass(HEAD_MICROS_MAX / 10);
    }
    assert_eq!(sut.statuses(), [408]);
}

#[test]
fn an_idle_connection_is_closed_without_a_word() {
    let mut sut = Sut::new();
    assert_eq!(sut.connection.poll_timeout(), Some(START.after_micros(IDLE_MICROS_MAX)));
    sut.pass(IDLE_MICROS_MAX / 2).receive(request("GET", "/nowhere", ""));
    assert_eq!(sut.statuses(), [404]);
    sut.pass(IDLE_MICROS_MAX - 1);
    assert!(!sut.connection.is_closing());
    assert!(sut.pass(1).connection.is_finished());
    assert_eq!(sut.output(), "");
}

#[test]
fn a_request_in_progress_is_not_idle() {
    let mut sut = Sut::new();
    sut.receive(post("k", ORDER)).pass(10 * IDLE_MICROS_MAX);
    assert!(!sut.connection.is_closing());
    assert_eq!(sut.answer_all().statuses(), [202]);
}

#[test]
fn a_reader_without_progress_is_cut() {
    let mut sut = Sut::new();
    sut.receive(request("GET", "/nowhere", ""));
    let mut buffer = Vec::new();
    sut.connection.transmit(&mut buffer);
    sut.pass(STALL_MICROS_MAX - 1);
    sut.connection.written(1, sut.now);
    sut.pass(STALL_MICROS_MAX - 1);
    assert!(!sut.connection.is_cut());
    assert!(sut.pass(1).connection.is_cut());
}

#[test]
fn lingering_is_bounded_in_time_and_bytes() {
    for by_time in [true, false] {
        let mut sut = Sut::new();
        sut.receive("broken\n");
        assert_eq!(sut.statuses(), [400]);
        sut.connection.linger(sut.now);
        sut.receive([0; 1000]);
        assert!(!sut.connection.is_cut());
        if by_time {
            sut.pass(LINGER_MICROS_MAX);
        } else {
            sut.receive(vec![0; LINGER_LEN_MAX as usize]);
        }
        assert!(sut.connection.is_cut());
    }
}
