//! HTTP/1.1 as a sans-I/O protocol: bytes in, requests out; replies in, bytes out.
//!
//! A [`Connection`] turns bytes into [`Submission`]s for shards and their replies into bytes, in the order of the requests; it
//! knows no socket and no clock. [`Connections`] is a lane's table of them and gives each reply to the one that waits for it.
//! [`serve`] is the pump: it accepts, reads, writes and keeps time through the lane's driver.
//!
//! Transport: `http` (framing), `routes`, `connection`, `batch`, `clients`, `serve`. Content: `problem`, `auth`, `json`,
//! `actuator`. All bounds are in [`limits`].
#![forbid(unsafe_code)]

pub mod actuator;
pub mod auth;
mod batch;
mod clients;
mod connection;
mod http;
pub mod json;
pub mod limits;
pub mod metrics;
pub mod problem;
mod request_log;
mod routes;
mod serve;

pub use clients::Connections;
pub use connection::{Connection, Context, Submission};
pub use metrics::GatewayMetrics;
pub use request_log::RequestLog;
pub use routes::Surface;
pub use serve::serve;
