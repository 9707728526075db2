//! The same engine on epoll, where io_uring is refused.

use serde_json::json;

use crate::client::Client;
use crate::orders::{order, status_of};
use crate::server::Server;

#[test]
fn on_epoll_an_order_completes_and_survives_a_kill() {
    let flags = ["--io", "epoll"];
    let server = Server::start(&flags);
    assert!(server.banner("io").starts_with("epoll"), "{}", server.banner("io"));
    let info = Client::anonymous(server.address()).get("/actuator/info").expect(200);
    assert_eq!(info["runtime"]["io"], "epoll", "{info}");
    let mut admin = server.admin();
    admin.load(&[("epoll-a", 10), ("epoll-b", 10)]);
    let items = json!({"items": [{"sku": "epoll-a", "quantity": 1}, {"sku": "epoll-b", "quantity": 1}]});
    let mut ended = Vec::new();
    for number in 0..10 {
        let body = crate::orders::order_with(&format!("c-{number}"), "epoll-a", items.clone());
        let order = admin.place_to_end(&format!("k-{number}"), &body);
        assert_eq!(status_of(&order), "COMPLETED", "{order}");
        ended.push(order);
    }
    let refused = admin.place_to_end("late", &order("late", "epoll-a", 1, "tok_ok"));
    assert_eq!(refused["reason"], "insufficient-stock", "{refused}");
    let before = admin.settled();
    server.kill();
    // What one backend wrote, the other reads.
    for io in ["auto", "epoll"] {
        server.restart(&["--io", io]);
        let mut admin = server.admin();
        for order in &ended {
            let id = order["id"].as_str().expect("an id");
            assert_eq!(admin.get(&format!("/v1/orders/{id}")).expect(200), *order);
        }
        assert_eq!(admin.invariants(), before, "--io {io}");
        server.terminate();
    }
}
