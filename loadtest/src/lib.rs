//! Open-loop load generator that knows the public wire format only.
//!
//! ```text
//! Options -> Generator::start -> Running -> stop -> Outcome ┐
//! load_catalogue          wait_until_ended -> Ended ────────┼-> Report (JSON, table)
//! ServerUse (probes)      verify -> Verification ───────────┘
//! ```
//!
//! An order is a pure function of `(seed, index)` ([`Workload`]), so a run keeps only the index and the id of what
//! was acknowledged, and a verification pass can compare every order with the body that was sent.
//! Latency counts from the *intended* send time of a fixed schedule (no coordinated omission: "How NOT to Measure
//! Latency", Gil Tene); `Rate::Max` is a closed loop, and the report says so.

mod acknowledged;
mod answer;
mod answer_stream;
mod books;
mod catalogue;
mod client;
mod connection;
mod desk;
mod error;
mod generator;
mod invariants;
mod limits;
mod options;
mod outage;
mod outcome;
mod pace;
mod probe;
mod random;
mod readback;
mod reply;
mod report;
mod request;
mod series;
mod table;
mod timer;
mod timestamp;
mod verify;
mod worker;
mod workload;
mod zipf;

pub use acknowledged::{Acknowledged, Acknowledgement};
pub use catalogue::{Summary, load_catalogue};
pub use client::{Client, Response};
pub use error::{Error, Result};
pub use generator::{Generator, Running};
pub use invariants::{Check, Ended, Invariants, Money, ShardDigest, Stock, invariants, wait_until_ended};
pub use options::{Options, Rate};
pub use outage::Outage;
pub use outcome::Outcome;
pub use probe::{Machine, Probe, ServerUse};
pub use random::SplitMix64;
pub use report::{Cpu, FsyncMs, Identity, Parts, Percentiles, Report};
pub use verify::{Verification, VerifyOptions, verify};
pub use workload::{Line, PlannedOrder, Workload};
pub use zipf::Zipf;
