//! Answers to `HEAD`: those to `GET`, without the body.

use serde_json::{Value, json};

use super::{Verdict, sku_exists};
use crate::clients::ask::Ask;
use crate::clients::http::Parsed;
use crate::history::Asked;

/// Judges an answer without a body; its `ETag` stands for what the body would show.
pub(super) fn judge(ask: &Ask, parsed: &Parsed) -> Result<Verdict, String> {
    let wrong = |what: &str| Err(format!("{what} is no answer to HEAD of {:?}: {parsed:?}", ask.asked));
    let wanted = if parsed.status >= 400 { "application/problem+json" } else { "application/json" };
    if parsed.content_type.as_deref() != Some(wanted) {
        return wrong("this type");
    }
    let version = parsed.etag.as_deref().and_then(version_of);
    match (&ask.asked, parsed.status) {
        (_, 503) if parsed.retry_after.is_some() => Ok(Verdict::Again(Value::Null)),
        (_, 408) if parsed.close => Ok(Verdict::Again(Value::Null)),
        (Asked::Get(_) | Asked::Inventory(_), 200) => match version {
            Some(version) => Ok(Verdict::Final(json!({"version": version}))),
            None => wrong("this ETag"),
        },
        (Asked::List(_) | Asked::Invariants, 200) if parsed.etag.is_none() => Ok(Verdict::Final(Value::Null)),
        (Asked::Inventory(sku), 404) if !sku_exists(sku) => Ok(Verdict::Final(Value::Null)),
        _ => wrong("this"),
    }
}

/// The version of a strong tag as we give it out.
fn version_of(etag: &str) -> Option<u64> {
    let version = etag.strip_prefix('"')?.strip_suffix('"')?.parse().ok()?;
    (etag == format!("\"{version}\"")).then_some(version)
}
