//! Every document, read back by an ordinary JSON parser.

use orderlane_core::{Audit, Check, DraftLine, MoneySums, OrderDraft, Product, ShardId, StockSums};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::json::{parse_order, render_audit};

const CREATED_AT: Time = Time(1_795_517_087_000_100);

fn rendered(render: impl FnOnce(&mut Vec<u8>)) -> (Value, String) {
    let mut out = Vec::new();
    render(&mut out);
    let text = String::from_utf8(out).expect("UTF-8");
    (serde_json::from_str(&text).expect(&text), text)
}

fn body(json: &str) -> OrderBody {
    parse_order(&mut json.as_bytes().to_vec(), "alice", "k-1", 8).expect(json)
}

fn full() -> OrderBody {
    body(
        r#"{"customer":"c-1001","currency":"EUR","items":[{"sku":"sku-17","quantity":2},{"sku":"sku-18","quantity":1}],
        "payment":{"token":"tok_secret"},"expectedTotal":3998,"email":"a@b.example","reference":"cart-77",
        "metadata":{"channel":"web \"7\"\n"}}"#,
    )
}

fn view(body: OrderBody) -> OrderView {
    OrderView {
        order: OrderId::new(ShardId(3), 7),
        body,
        status: Status::PaymentFailed,
        reason: Some(Reason::Declined),
        total: Some(3_998),
        currency: Currency::parse("EUR"),
        prices: [1_000, 1_998].into_iter().collect(),
        version: 4,
        created_at: CREATED_AT,
        updated_at: CREATED_AT.after_micros(1),
    }
}

#[test]
fn a_placed_order_is_the_documented_text() {
    let (_, text) = rendered(|out| render_placed(OrderId::new(ShardId(3), 7), CREATED_AT, &full(), out));
    let expected = concat!(
        r#"{"id":"o_000R000000007","status":"PENDING","customer":"c-1001","currency":"EUR","total":null,"#,
        r#""items":[{"sku":"sku-17","quantity":2,"unitPrice":null},{"sku":"sku-18","quantity":1,"unitPrice":null}],"#,
        r#""reason":null,"reference":"cart-77","metadata":{"channel":"web \"7\"\n"},"version":1,"#,
        r#""createdAt":"2026-11-24T10:44:47.000100Z","updatedAt":"2026-11-24T10:44:47.000100Z"}"#
    );
    assert_eq!(text, expected);
}

#[test]
fn what_was_not_sent_is_null() {
    let bare = body(r#"{"customer":"c","items":[{"sku":"s","quantity":1}],"payment":{"token":"t"},"metadata":{}}"#);
    let (order, _) = rendered(|out| render_placed(OrderId::new(ShardId(0), 0), Time(0), &bare, out));
    for name in ["currency", "total", "reason", "reference", "metadata"] {
        assert_eq!(order.get(name), Some(&Value::Null), "{name}");
    }
}

#[test]
fn an_order_shows_its_state_and_neither_address_nor_token() {
    let (order, text) = rendered(|out| render_order(&view(full()), out));
    assert_eq!(order["status"], "PAYMENT_FAILED");
    assert_eq!(order["reason"], "declined");
    assert_eq!(order["total"], 3_998);
    assert_eq!(order["items"][1], json!({"sku": "sku-18", "quantity": 1, "unitPrice": 1_998}));
    assert_eq!(order["updatedAt"], "2026-11-24T10:44:47.000101Z");
    assert!(!text.contains("tok_secret") && !text.contains("a@b.example") && !text.contains("k-1"));
}

#[test]
fn pages_products_and_stock() {
    let (page, _) = rendered(|out| render_page(&[view(full()), view(full())], Some("c-1"), out));
    assert_eq!((page["items"].as_array().map(Vec::len), &page["next"]), (Some(2), &json!("c-1")));
    let (page, _) = rendered(|out| render_page(&[], None, out));
    assert_eq!(page, json!({"items": [], "next": null}));
    let currency = Currency::parse("EUR").expect("a currency");
    let product = Product { sku: "s".into(), name: "A \"b\"".into(), unit_price: 10_000_000_000, currency };
    let (product, _) = rendered(|out| render_product(&ProductView { product, version: 2 }, out));
    let expected =
        json!({"sku": "s", "name": "A \"b\"", "unitPrice": 10_000_000_000_u64, "currency": "EUR", "version": 2});
    assert_eq!(product, expected);
    let stock = InventoryView { sku: "s".into(), adjusted: 6, available: 1, reserved: 2, sold: 3, version: 9 };
    let (_, text) = rendered(|out| render_inventory(&stock, out));
    assert_eq!(text, r#"{"sku":"s","adjusted":6,"available":1,"reserved":2,"sold":3,"version":9}"#);
}

#[test]
fn audits_of_all_shards_are_one_document() {
    let eur = Currency::parse("EUR").expect("a currency");
    let audit = |shard, violations| Audit {
        shard: ShardId(shard),
        sequence: 10 + u64::from(shard),
        digest: 0xab,
        checks: vec![
            Check { name: "stock-sums", checked: 5, violations },
            Check { name: "one-end", checked: 1, violations: 0 },
        ],
        stock: StockSums { adjusted: 6, available: 1, reserved: 2, sold: 3 },
        orders: [1, 0, 0, 7, 0, 0, 0, 0, 0, 2],
        money: vec![(eur, MoneySums { charged: 10, refunded: 3, completed: 7 })],
    };
    let (document, text) = rendered(|out| render_audit(&[audit(1, 2), audit(0, 1)], out));
    let expected = json!({
        "violations": 3,
        "checks": [
            {"name": "stock-sums", "checked": 10, "violations": 3},
            {"name": "one-end", "checked": 2, "violations": 0}
        ],
        "stock": {"adjusted": 12, "available": 2, "reserved": 4, "sold": 6},
        "orders": {"PENDING": 2, "RESERVED": 0, "PAID": 0, "COMPLETED": 14, "CANCELLING": 0, "REFUNDING": 0,
            "REJECTED": 0, "PAYMENT_FAILED": 0, "EXPIRED": 0, "CANCELLED": 4},
        "money": {"EUR": {"charged": 20, "refunded": 6, "completed": 14}},
        "shards": [
            {"shard": 0, "sequence": 10, "digest": "00000000000000ab"},
            {"shard": 1, "sequence": 11, "digest": "00000000000000ab"}
        ]
    });
    assert_eq!(document, expected);
    assert!(text.starts_with(r#"{"violations":3,"checks":[{"name":"stock-sums","#));
    let (empty, _) = rendered(|out| render_audit(&[], out));
    assert_eq!((&empty["violations"], &empty["money"]), (&json!(0), &json!({})));
}

proptest! {
    /// What was parsed from an order is what its document says, whatever the texts.
    #[test]
    fn an_order_reads_back(
        customer in "[A-Za-z0-9._~:@-]{1,64}",
        lines in prop::collection::vec(("[A-Za-z0-9._~:@-]{1,64}", 1u32..=10_000), 1..6),
        metadata in prop::collection::btree_map(".{1,10}", ".{0,60}", 0..5),
    ) {
        let items: Vec<_> = lines.iter().map(|(sku, quantity)| json!({"sku": sku, "quantity": quantity})).collect();
        let sent = json!({"customer": customer, "items": items, "payment": {"token": "t"}, "metadata": metadata});
        let parsed = body(&sent.to_string());
        let skus: Vec<_> = lines.iter().map(|(sku, quantity)| DraftLine { sku, quantity: *quantity }).collect();
        let entries: Vec<_> = metadata.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let draft = OrderDraft {
            subject: "alice", customer: &customer, key: "k-1", currency: None, total_expected: None, token: "t",
            email: None, reference: None, metadata: &entries, lines: &skus,
        };
        prop_assert_eq!(&parsed, &OrderBody::encode(&draft, 8));
        let (order, _) = rendered(|out| render_placed(OrderId::new(ShardId(0), 1), CREATED_AT, &parsed, out));
        prop_assert_eq!(&order["customer"], &sent["customer"]);
        for (index, item) in items.iter().enumerate() {
            prop_assert_eq!(&order["items"][index]["sku"], &item["sku"]);
            prop_assert_eq!(&order["items"][index]["quantity"], &item["quantity"]);
        }
        let shown = if metadata.is_empty() { Value::Null } else { sent["metadata"].clone() };
        prop_assert_eq!(&order["metadata"], &shown);
    }
}
