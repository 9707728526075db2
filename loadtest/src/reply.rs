//! What the server said about one order.

use memchr::memchr_iter;
use serde::Deserialize;
use std::borrow::Cow;

/// The answer to one order, alone or as a line of a batch.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reply<'a> {
    /// It is durable under this id.
    Accepted { id: Cow<'a, str> },
    /// It was refused.
    Refused { status: u16, code: Cow<'a, str> },
    /// An answer that is not in the documented format: the order may or may not be there.
    Unreadable,
}

#[derive(Deserialize)]
struct Identified<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Problem<'a> {
    #[serde(borrow)]
    code: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Item<'a> {
    status: u16,
    #[serde(borrow)]
    order: Option<Identified<'a>>,
    #[serde(borrow)]
    problem: Option<Problem<'a>>,
}

impl<'a> Reply<'a> {
    /// Reads the answer to `POST /v1/orders`, or to a whole batch that was refused.
    pub(crate) fn from_body(status: u16, body: &'a [u8]) -> Self {
        if !(200..300).contains(&status) {
            return Self::refused(status, serde_json::from_slice(body).ok());
        }
        let id = leading_id(body, b"{\"id\":\"");
        match id.or_else(|| serde_json::from_slice::<Identified<'a>>(body).ok().map(|order| order.id)) {
            Some(id) => Self::Accepted { id },
            None => Self::Unreadable,
        }
    }

    /// Reads one line of the answer to `POST /v1/orders:batch`.
    pub(crate) fn from_line(line: &'a [u8]) -> Self {
        if let Some(id) = leading_id(line, b"{\"status\":202,\"order\":{\"id\":\"") {
            return Self::Accepted { id };
        }
        match serde_json::from_slice::<Item<'a>>(line) {
            Ok(Item { status: 200..300, order: Some(order), .. }) => Self::Accepted { id: order.id },
            Ok(Item { status: 200..300, order: None, .. }) | Err(_) => Self::Unreadable,
            Ok(Item { status, problem, .. }) => Self::refused(status, problem),
        }
    }

    fn refused(status: u16, problem: Option<Problem<'a>>) -> Self {
        let code = problem.and_then(|problem| problem.code).unwrap_or_else(|| Cow::Owned(format!("http-{status}")));
        Self::Refused { status, code }
    }
}

/// The text after `prefix`, up to the next quote: what a server that writes its fields in the documented order sends,
/// read without a JSON parser. An id has no escapes; one that had would be read by serde.
fn leading_id<'a>(bytes: &'a [u8], prefix: &[u8]) -> Option<Cow<'a, str>> {
    let rest = bytes.strip_prefix(prefix)?;
    let id = &rest[..rest.iter().position(|&byte| byte == b'"' || byte == b'\\')?];
    (rest[id.len()] == b'"').then_some(Cow::Borrowed(std::str::from_utf8(id).ok()?))
}

/// The lines of an NDJSON body, empty ones left out.
pub(crate) fn lines(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    let ends = memchr_iter(b'\n', body).chain((body.last() != Some(&b'\n')).then_some(body.len()));
    let mut start = 0;
    ends.filter_map(move |end| {
        let line = body[start..end].trim_ascii();
        start = end + 1;
        (!line.is_empty()).then_some(line)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(id: &str) -> Reply<'_> {
        Reply::Accepted { id: id.into() }
    }

    fn refused(status: u16, code: &str) -> Reply<'_> {
        Reply::Refused { status, code: code.into() }
    }

    #[test]
    fn fields_may_stand_in_any_order() {
        for (status, body, expected) in [
            (202, r#"{"id":"o_1","status":"PENDING"}"#, accepted("o_1")),
            (201, r#"{"status":"COMPLETED", "id" : "o_2"}"#, accepted("o_2")),
            (202, r#"{"id":"o\u005f1"}"#, accepted("o_1")),
            (202, "{}", Reply::Unreadable),
            (503, r#"{"code":"overloaded","title":"x"}"#, refused(503, "overloaded")),
            (502, "<html>", refused(502, "http-502")),
        ] {
            assert_eq!(Reply::from_body(status, body.as_bytes()), expected, "{body}");
        }
        for (line, expected) in [
            (r#"{"status":202,"order":{"id":"o_1","x":[]}}"#, accepted("o_1")),
            (r#"{"order":{"x":1,"id":"o_1"},"status":201}"#, accepted("o_1")),
            (r#"{"status":422,"problem":{"code":"idempotency-key-reused"}}"#, refused(422, "idempotency-key-reused")),
            (r#"{"status":202}"#, Reply::Unreadable),
        ] {
            assert_eq!(Reply::from_line(line.as_bytes()), expected, "{line}");
        }
    }

    #[test]
    fn lines_end_with_or_without_a_line_feed() {
        for body in ["a\nb\n", "a\nb", "\na\r\n\nb\n\n"] {
            assert_eq!(lines(body.as_bytes()).collect::<Vec<_>>(), [b"a", b"b"], "{body:?}");
        }
        assert_eq!(lines(b"").count(), 0);
    }
}
