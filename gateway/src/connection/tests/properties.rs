//! Arbitrary bytes: no panic, no endless loop, and the same answers however they are cut.

use proptest::prelude::*;

use super::{ORDER, Sut, answers_in, post, request};

/// Pieces that a hostile client might put together.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let known = |text: String| Just(text.into_bytes());
    prop_oneof![
        4 => known(post("k", ORDER)),
        2 => known(request("GET", "/v1/inventory/a", "")),
        2 => known(request("POST", "/v1/orders:batch", "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n")),
        1 => known(request("POST", "/v1/orders", "Content-Type: application/json\r\nIdempotency-Key: k\r\nTransfer-Encoding: chunked\r\n")),
        1 => known("5\r\n[1,2]\r\n0\r\n\r\n".into()),
        1 => known("GET / HTTP/1.1\r\nHost: a\r\n".into()),
        1 => known("Content-Length: 5\r\nContent-Length: 6\r\n".into()),
        1 => known("Transfer-Encoding: chunked\r\n\r\n".into()),
        1 => known("\r\n".into()),
        2 => proptest::collection::vec(any::<u8>(), 0..40),
        1 => "[ -~\r\n]{0,40}".prop_map(String::into_bytes),
    ]
}

fn answer(pieces: &[&[u8]]) -> (Vec<u16>, bool) {
    let mut sut = Sut::new();
    let mut output = String::new();
    for piece in pieces {
        sut.receive(piece).answer_all();
        output += &sut.output();
    }
    sut.connection.end_input();
    sut.advance().answer_all();
    output += &sut.output();
    (answers_in(&output).iter().map(|answer| answer.status).collect(), sut.connection.is_finished())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_bytes_are_answered_the_same_however_they_are_cut(
        pieces in proptest::collection::vec(piece(), 1..8),
        cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..6),
    ) {
        let bytes = pieces.concat();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let parts: Vec<&[u8]> = cuts.windows(2).map(|ends| &bytes[ends[0]..ends[1]]).collect();
        let (whole, finished) = answer(&[&bytes]);
        prop_assert!(finished);
        prop_assert_eq!(whole, answer(&parts).0);
    }
}
