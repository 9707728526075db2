//! The disk has a limit: new orders are refused before it is full, and taken again when there is room.

use std::time::{Duration, Instant};

use super::{assert_replay, figure, place_many, tiny};
use crate::client::Request;
use crate::server::Server;

#[test]
fn beyond_data_max_orders_are_shed_and_later_taken_again() {
    let server = Server::start(&tiny(&["--lanes", "1"]));
    server.admin().stock("archived", 1_000_000);
    let placed = place_many(&mut server.customer("anna"), "k", 60);
    server.terminate();
    // Less than is there already: nothing new fits.
    server.restart(&tiny(&["--lanes", "1", "--data-max", "1MiB"]));
    let mut client = server.customer("anna");
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut number = 0;
    let refused = loop {
        number += 1;
        let answer = client.send(&Request::place(&format!("shed-{number}"), super::body(0)));
        if answer.status == 503 {
            break answer;
        }
        assert!(Instant::now() < deadline, "nothing is shed: {answer:?}");
        std::thread::sleep(Duration::from_millis(50));
    };
    refused.expect_problem(503, "overloaded");
    assert!(refused.field("Retry-After").is_some(), "{refused:?}");
    assert_eq!(figure(&server, "disk_shedding"), 1.0);
    // What is there is read, and answers for its keys.
    for known in &placed {
        assert_eq!(client.get(&format!("/v1/orders/{}", known.id)).status, 200);
        assert_replay(&mut client, known);
    }
    server.kill();
    server.restart(&tiny(&["--lanes", "1", "--data-max", "10GiB"]));
    place_many(&mut server.customer("anna"), "room", 5);
    assert_eq!(figure(&server, "disk_shedding"), 0.0);
    server.admin().settled();
}
