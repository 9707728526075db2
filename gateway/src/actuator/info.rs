//! What runs here, and every limit that a client can meet.

use orderlane_core::{Time, limits as core};
use orderlane_lane::limits as lane;
use serde_json::{Value, json};

use crate::json::text::put_time;
use crate::limits as gateway;

/// What the process was built from and started with.
#[derive(Clone, Debug)]
pub struct Info {
    /// Of the package.
    pub version: String,
    /// The commit it was built from, or `unknown`.
    pub commit: String,
    /// Lanes of this process.
    pub lanes: usize,
    /// Shards of the data directory.
    pub shards: u16,
    /// Cores of the machine that the process may use.
    pub cores: usize,
    /// `uring` or `epoll`.
    pub io_backend: String,
    /// `monoio`, `glommio` or `tokio`.
    pub runtime: String,
    /// `fsync` or `os`.
    pub durability: String,
    /// `dev`, `jwks` or `off`.
    pub auth: String,
    /// What names the data directory: its identity, not its path.
    pub data: String,
    /// When the process started.
    pub started_at: Time,
}

impl Info {
    /// Appends the document. `retention` is what is kept, if anything is.
    pub(super) fn render(&self, retention: Option<Value>, out: &mut Vec<u8>) {
        let document = json!({
            "app": {"name": "orderlane"},
            "build": {"version": self.version, "commit": self.commit},
            "runtime": {
                "lanes": self.lanes,
                "shards": self.shards,
                "cores": self.cores,
                "io": self.io_backend,
                "runtime": self.runtime,
                "durability": self.durability,
                "auth": self.auth,
                "data": self.data,
                "startedAt": self.started_at(),
            },
            "limits": {"http": http_limits(), "order": order_limits(), "stock": stock_limits(), "lane": lane_limits()},
            "retention": retention,
        });
        out.extend_from_slice(document.to_string().as_bytes());
    }

    fn started_at(&self) -> Value {
        let mut text = Vec::new();
        put_time(self.started_at, &mut text);
        serde_json::from_slice(&text).expect("a time is a JSON string")
    }
}

fn http_limits() -> Value {
    json!({
        "headBytes": gateway::HEAD_LEN_MAX,
        "headFields": gateway::FIELD_COUNT_MAX,
        "targetBytes": gateway::TARGET_LEN_MAX,
        "tokenBytes": gateway::TOKEN_LEN_MAX,
        "bodyBytes": gateway::BODY_LEN_MAX,
        "batchBytes": gateway::BATCH_LEN_MAX,
        "batchItems": gateway::BATCH_ITEMS_MAX,
        "batchItemBytes": gateway::BATCH_ITEM_LEN_MAX,
        "headSeconds": seconds(gateway::HEAD_MICROS_MAX),
        "bodySeconds": seconds(gateway::BODY_MICROS_MAX),
        "bodyBytesPerSecond": gateway::BODY_BYTES_PER_SECOND_MIN,
        "idleSeconds": seconds(gateway::IDLE_MICROS_MAX),
        "stallSeconds": seconds(gateway::STALL_MICROS_MAX),
        "waitSeconds": gateway::WAIT_SECONDS_MAX,
        "connectionsPerLane": gateway::CONNECTIONS_MAX,
        "requestsPerConnection": gateway::PIPELINE_MAX,
        "idempotencyKeyCharacters": core::KEY_LEN_MAX,
        "pageOrders": core::PAGE_MAX,
        "pageOrdersDefault": gateway::PAGE_DEFAULT,
    })
}

fn order_limits() -> Value {
    json!({
        "lines": core::LINES_MAX,
        "quantity": core::QUANTITY_MAX,
        "idCharacters": core::ID_LEN_MAX,
        "emailBytes": core::EMAIL_LEN_MAX,
        "paymentTokenBytes": core::TOKEN_LEN_MAX,
        "metadataEntries": core::METADATA_COUNT_MAX,
        "metadataNameCharacters": core::METADATA_NAME_LEN_MAX,
        "metadataValueCharacters": core::METADATA_VALUE_LEN_MAX,
        "total": core::TOTAL_MAX,
        "paymentAttempts": core::ATTEMPTS_MAX,
        "openPerShard": core::OPEN_ORDERS_MAX,
        "waitersPerOrder": core::WAITERS_MAX,
    })
}

fn stock_limits() -> Value {
    json!({
        "unitPrice": core::UNIT_PRICE_MAX,
        "stock": core::STOCK_MAX,
        "delta": core::STOCK_MAX,
        "productNameBytes": core::PRODUCT_NAME_LEN_MAX,
        "reasonBytes": core::REASON_LEN_MAX,
    })
}

fn lane_limits() -> Value {
    json!({
        "inboxRequests": lane::INBOX_REQUESTS_MAX,
        "outboxRequests": lane::OUTBOX_REQUESTS_MAX,
        "turnInputs": lane::BATCH_MAX,
        "commitBytes": lane::COMMIT_BYTES_MAX,
        "shards": core::SHARDS_MAX,
    })
}

fn seconds(micros: u64) -> u64 {
    micros / 1_000_000
}
