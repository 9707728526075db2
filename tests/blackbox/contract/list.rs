//! Lists of orders: newest first, by pages.

use serde_json::Value;

use crate::client::{Answer, Client};
use crate::orders::{id_of, order};
use crate::server::Server;

fn ids_of(page: &Value) -> Vec<String> {
    page["items"].as_array().expect("items").iter().map(id_of).collect()
}

/// The target of `Link: <…>; rel="next"`.
fn next_link(answer: &Answer) -> Option<String> {
    let (target, relation) = answer.field("Link")?.split_once('>')?;
    assert_eq!(relation, "; rel=\"next\"", "{answer:?}");
    target.strip_prefix('<').map(str::to_owned)
}

fn walk(client: &mut Client, first: &str) -> (Vec<String>, usize) {
    let (mut ids, mut pages) = (Vec::new(), 0);
    let mut target = first.to_owned();
    loop {
        let answer = client.get(&target);
        let page = answer.expect(200);
        ids.extend(ids_of(&page));
        pages += 1;
        let link = next_link(&answer);
        assert_eq!(link.is_some(), page["next"].is_string(), "{answer:?}");
        match link {
            Some(next) => target = next,
            None => return (ids, pages),
        }
    }
}

#[test]
fn pages_follow_each_other_newest_first_and_show_every_order_once() {
    let server = Server::shared();
    let mut client = server.customer("pages");
    // Customers live on different shards; a list goes over all of them.
    let placed: Vec<String> = (0..25)
        .map(|number| client.place(&format!("k-{number}"), &order(&format!("pages-{}", number % 5), "nothing", 1, "t")))
        .collect();
    let newest_first: Vec<String> = placed.iter().rev().cloned().collect();
    for (target, pages) in [
        ("/v1/orders", 1),
        ("/v1/orders?limit=10", 3),
        ("/v1/orders?limit=7&status=REJECTED", 4),
        ("/v1/orders?limit=200", 1),
    ] {
        placed.iter().for_each(|id| drop(client.end_of(id)));
        let (ids, count) = walk(&mut client, target);
        assert_eq!(ids, newest_first, "{target}");
        assert!((pages..=pages + 1).contains(&count), "{target}: {count} pages");
    }
    let of_one = walk(&mut client, "/v1/orders?customer=pages-3&limit=2").0;
    let expected: Vec<String> =
        newest_first.iter().enumerate().filter(|(at, _)| (24 - at) % 5 == 3).map(|(_, id)| id.clone()).collect();
    assert_eq!(of_one, expected);
    assert!(walk(&mut client, "/v1/orders?status=COMPLETED").0.is_empty());
}

#[test]
fn a_cursor_is_an_opaque_text_for_the_next_request() {
    let server = Server::shared();
    let mut client = server.customer("cursor");
    let placed: Vec<String> =
        (0..3).map(|number| client.place(&format!("k-{number}"), &order("cursor", "nothing", 1, "t"))).collect();
    let page = client.get("/v1/orders?customer=cursor&limit=2").expect(200);
    let cursor = page["next"].as_str().expect("a cursor");
    let rest = client.get(&format!("/v1/orders?customer=cursor&limit=2&cursor={cursor}")).expect(200);
    assert_eq!((ids_of(&page), ids_of(&rest)), (vec![placed[2].clone(), placed[1].clone()], vec![placed[0].clone()]));
}

#[test]
fn an_acknowledged_order_is_in_the_list_at_once() {
    let server = Server::shared();
    let mut client = server.customer("at-once");
    for number in 0..20 {
        let id = client.place(&format!("k-{number}"), &order("at-once", "nothing", 1, "t"));
        let page = server.customer("at-once").get("/v1/orders?limit=1").expect(200);
        assert_eq!(ids_of(&page), [id]);
    }
}
