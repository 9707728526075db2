//! The pure order engine: no clock, no random, no I/O, no collection of random order.
//!
//! A [`Shard`] owns a slice of the orders (by customer) and a slice of the stock (by SKU). [`Shard::handle`] decides what an
//! [`Input`] means: it appends [`Event`]s, which are applied at once and stored by the lane, and [`Effect`]s, which the lane
//! releases when those events are durable. State changes in [`Shard::apply`] only, so that a fold of the stored events gives
//! the same state, which [`Shard::digest`] proves.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod audit;
mod body;
mod cold;
mod cut;
mod digest;
mod effect;
mod event;
mod ids;
mod image;
mod input;
mod inventory;
pub mod limits;
mod links;
mod message;
mod notification;
mod order;
mod pages;
mod payment;
mod record;
mod reply;
pub mod saga;
mod shard;
mod sweep;
mod timers;
mod waiters;

pub use body::{DraftLine, Line, OrderBody, OrderDraft};
pub use cold::{Cold, ColdPage};
pub use cut::{CutEnd, CutPart, EndedOrder};
pub use effect::{Call, Effect, Outside};
pub use event::{Adjustment, Event, HoldLine, HoldLines, Prices, Product, Reason, StockAnswer};
pub use ids::{Currency, ORDER_ID_LEN, OrderId, ReplyTo, Sequence, ShardId, Time, murmur2};
pub use input::{Input, ListQuery, Outcome, Reader, Request};
pub use message::Message;
pub use record::{Archived, OrderRecord, RecordRef};
pub use reply::{
    Audit, Check, InventoryView, MoneySums, OrderPage, OrderView, ProductView, Refusal, Reply, Status, StockSums,
};
pub use shard::{Config, Output, Shard};
