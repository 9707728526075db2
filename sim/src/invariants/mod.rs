//! The promises of design.md §6, one file each. Broken by one event: judged at every append, by the naive [`Model`]. Broken by
//! an answer or by what is left behind: judged at the end, against the clients' history.

pub mod acknowledged_once;
pub mod answers_agree;
pub mod archive_sums;
pub mod bounds;
pub mod covered;
pub mod messages_once;
pub mod money_agrees;
pub mod no_order_without_request;
pub mod no_oversell;
pub mod one_key_one_answer;
mod placement;
pub mod real_time_order;
pub mod recovery_is_fold;
pub mod room_left;
pub mod saga_ends;
mod span;
pub mod stock_conserved;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod world;

use orderlane_core::{ORDER_ID_LEN, OrderId, ShardId};

use crate::history::History;
use crate::log::Logs;
use crate::model::{Model, Seen};
use crate::sim::Violation;

pub use acknowledged_once::after_recovery;
pub use money_agrees::Money;
pub use placement::{Placement, placements};
pub use span::Span;

/// Nothing, or what was expected and what was found.
pub type Check = Result<(), String>;

/// The names of all invariants, as in [`Violation::invariant`].
pub const NAMES: [&str; 15] = [
    acknowledged_once::NAME,
    answers_agree::NAME,
    archive_sums::NAME,
    bounds::NAME,
    covered::NAME,
    messages_once::NAME,
    money_agrees::NAME,
    no_order_without_request::NAME,
    no_oversell::NAME,
    one_key_one_answer::NAME,
    real_time_order::NAME,
    recovery_is_fold::NAME,
    room_left::NAME,
    saga_ends::NAME,
    stock_conserved::NAME,
];

/// The names under which the world, its parts and the campaign report what is no file here.
pub const NAMES_ELSEWHERE: [&str; 16] = [
    "audit",
    "damage-is-named",
    "dense-sequence",
    "determinism",
    "every-world-ends",
    "fall-back",
    "http",
    "keeper-fails-for-a-reason",
    "lane-fails-for-a-reason",
    "memory-is-bounded",
    "one-commit-in-flight",
    "panic",
    "payment",
    "progress",
    "recovery-refuses",
    "stop-ends",
];

/// Who a client is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The subject of its token.
    pub subject: String,
    /// Whether it sees the orders of others.
    pub is_admin: bool,
}

/// All that is known at the end.
#[derive(Clone, Copy)]
pub struct End<'a> {
    /// The state that the logs give.
    pub model: &'a Model,
    /// The logs.
    pub logs: &'a Logs,
    /// What the clients saw.
    pub history: &'a History,
    /// The provider's ledger: one entry an attempt that took money.
    pub money: &'a [Money],
    /// Who a client is, by its number.
    pub caller: &'a dyn Fn(u16) -> Caller,
    /// Faults have stopped long ago: every saga must have ended. Otherwise only what must hold at any time is judged.
    pub is_healed: bool,
}

/// Judges an event by the state before it.
///
/// # Errors
/// The promise that it breaks.
pub fn before_event(model: &Model, seen: &Seen<'_>) -> Result<(), Violation> {
    let checks: [EventCheck; 6] = [
        (real_time_order::NAME, real_time_order::before_event),
        (one_key_one_answer::NAME, one_key_one_answer::before_event),
        (messages_once::NAME, messages_once::before_event),
        (no_oversell::NAME, no_oversell::before_event),
        (money_agrees::NAME, money_agrees::before_event),
        (saga_ends::NAME, saga_ends::before_event),
    ];
    run(&checks, model, seen)
}

/// Judges the state after an event.
///
/// # Errors
/// The promise that is broken.
pub fn after_event(model: &Model, seen: &Seen<'_>) -> Result<(), Violation> {
    run(&[(stock_conserved::NAME, stock_conserved::after_event)], model, seen)
}

/// Judges the state after all events of a turn.
///
/// # Errors
/// The promise that is broken.
pub fn after_turn(model: &Model, shard: ShardId) -> Result<(), Violation> {
    messages_once::after_turn(model, shard).map_err(|text| violation(messages_once::NAME, Some(shard), text))
}

/// Judges everything.
///
/// # Errors
/// The first broken promise.
pub fn at_end(end: &End<'_>) -> Result<(), Violation> {
    let checks: [EndCheck; 8] = [
        (stock_conserved::NAME, stock_conserved::at_end),
        (no_order_without_request::NAME, no_order_without_request::at_end),
        (acknowledged_once::NAME, acknowledged_once::at_end),
        (one_key_one_answer::NAME, one_key_one_answer::at_end),
        (real_time_order::NAME, real_time_order::at_end),
        (answers_agree::NAME, answers_agree::at_end),
        (saga_ends::NAME, saga_ends::at_end),
        (money_agrees::NAME, money_agrees::at_end),
    ];
    checks
        .into_iter()
        .try_for_each(|(name, check)| check(end).map_err(|text| violation(name, shard_named(&text), text)))
}

type EventCheck = (&'static str, fn(&Model, &Seen<'_>) -> Check);
type EndCheck = (&'static str, fn(&End<'_>) -> Check);

fn run(checks: &[EventCheck], model: &Model, seen: &Seen<'_>) -> Result<(), Violation> {
    checks.iter().try_for_each(|(name, check)| {
        check(model, seen).map_err(|text| {
            let text = format!("{text}, at event {} of shard {}: {:?}", seen.sequence, seen.shard, seen.event);
            violation(name, Some(seen.shard), text)
        })
    })
}

fn violation(invariant: &'static str, shard: Option<ShardId>, text: String) -> Violation {
    Violation { invariant, shard, text }
}

/// The home shard of the first order that a text names: its last events are what one wants to see.
fn shard_named(text: &str) -> Option<ShardId> {
    let start = text.find("o_")?;
    let id = text.get(start..start + ORDER_ID_LEN)?;
    OrderId::parse(id).map(OrderId::shard)
}

/// An error unless it holds.
fn ensure(holds: bool, text: impl FnOnce() -> String) -> Check {
    if holds { Ok(()) } else { Err(text()) }
}
