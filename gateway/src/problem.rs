//! Refusals as RFC 9457 problem documents.

use std::borrow::Cow;

use orderlane_core::Refusal;

use crate::json::text;

/// Why a request is refused: the `code` of the problem document, from which its status and `type` follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// A framing error; the connection closes.
    BadRequest,
    /// The head or the body did not arrive in time.
    RequestTimeout,
    /// A body without `Content-Length` or `Transfer-Encoding`.
    LengthRequired,
    /// The request target is too long.
    UriTooLong,
    /// An `Expect` other than `100-continue`.
    ExpectationFailed,
    /// A transfer coding or method that is not implemented.
    NotImplemented,
    /// Neither HTTP/1.0 nor HTTP/1.1.
    HttpVersionNotSupported,
    /// A field is missing, unknown, of the wrong type or out of bounds.
    ValidationFailed,
    /// The body is not JSON.
    MalformedJson,
    /// A request that needs an idempotency key came without.
    IdempotencyKeyMissing,
    /// No valid token.
    Unauthenticated,
    /// The token lacks the scope.
    Forbidden,
    /// No such thing, or not the caller's.
    NotFound,
    /// The path is known, the method is not.
    MethodNotAllowed,
    /// The first request with this key has not been answered yet.
    IdempotencyKeyInProgress,
    /// The order has ended otherwise.
    OrderFinished,
    /// `available` would become negative.
    InsufficientStock,
    /// `If-Match` names another version.
    VersionMismatch,
    /// The body is too long.
    PayloadTooLarge,
    /// The body is of a type that is not accepted.
    UnsupportedMediaType,
    /// The key was used for something else.
    IdempotencyKeyReused,
    /// The caller's quota is used up.
    RateLimited,
    /// The head is too long or has too many fields.
    HeadersTooLarge,
    /// A queue is full; nothing was stored.
    Overloaded,
    /// The lane of the shard is not running.
    ShardUnavailable,
}

/// What a problem's `type` begins with, but for those that IANA registers; PROBLEMS.md documents them.
const TYPE_BASE: &str = "https://orderlane.dev/problems/";
/// draft-ietf-httpapi-ratelimit-headers, "Problem Types".
const TYPE_QUOTA: &str = "https://iana.org/assignments/http-problem-types#quota-exceeded";
/// draft-ietf-httpapi-ratelimit-headers, "Problem Types".
const TYPE_CAPACITY: &str = "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity";

impl Code {
    /// All of them.
    pub const ALL: [Code; 25] = [
        Code::BadRequest,
        Code::RequestTimeout,
        Code::LengthRequired,
        Code::UriTooLong,
        Code::ExpectationFailed,
        Code::NotImplemented,
        Code::HttpVersionNotSupported,
        Code::ValidationFailed,
        Code::MalformedJson,
        Code::IdempotencyKeyMissing,
        Code::Unauthenticated,
        Code::Forbidden,
        Code::NotFound,
        Code::MethodNotAllowed,
        Code::IdempotencyKeyInProgress,
        Code::OrderFinished,
        Code::InsufficientStock,
        Code::VersionMismatch,
        Code::PayloadTooLarge,
        Code::UnsupportedMediaType,
        Code::IdempotencyKeyReused,
        Code::RateLimited,
        Code::HeadersTooLarge,
        Code::Overloaded,
        Code::ShardUnavailable,
    ];

    /// The HTTP status.
    #[must_use]
    pub fn status(self) -> u16 {
        self.row().0
    }

    /// The name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// The short summary, the same at every occurrence.
    #[must_use]
    pub fn title(self) -> &'static str {
        self.row().2
    }

    fn row(self) -> (u16, &'static str, &'static str) {
        match self {
            Code::BadRequest => (400, "bad-request", "The request is not valid HTTP"),
            Code::RequestTimeout => (408, "request-timeout", "The request did not arrive in time"),
            Code::LengthRequired => (411, "length-required", "The length of the body is missing"),
            Code::UriTooLong => (414, "uri-too-long", "The request target is too long"),
            Code::ExpectationFailed => (417, "expectation-failed", "The expectation cannot be met"),
            Code::NotImplemented => (501, "not-implemented", "Not implemented"),
            Code::HttpVersionNotSupported => (505, "http-version-not-supported", "The HTTP version is not supported"),
            Code::ValidationFailed => (400, "validation-failed", "Some fields are not valid"),
            Code::MalformedJson => (400, "malformed-json", "The body is not valid JSON"),
            Code::IdempotencyKeyMissing => (400, "idempotency-key-missing", "The idempotency key is missing"),
            Code::Unauthenticated => (401, "unauthenticated", "Authentication is needed"),
            Code::Forbidden => (403, "forbidden", "The token does not allow this"),
            Code::NotFound => (404, "not-found", "Not found"),
            Code::MethodNotAllowed => (405, "method-not-allowed", "The method is not allowed here"),
            Code::IdempotencyKeyInProgress => {
                (409, "idempotency-key-in-progress", "A request with this idempotency key is being handled")
            }
            Code::OrderFinished => (409, "order-finished", "The order has already ended"),
            Code::InsufficientStock => (409, "insufficient-stock", "Not enough stock"),
            Code::VersionMismatch => (412, "version-mismatch", "The order has changed"),
            Code::PayloadTooLarge => (413, "payload-too-large", "The body is too large"),
            Code::UnsupportedMediaType => (415, "unsupported-media-type", "The media type is not supported"),
            Code::IdempotencyKeyReused => {
                (422, "idempotency-key-reused", "The idempotency key was used for another request")
            }
            Code::RateLimited => (429, "rate-limited", "The quota is used up"),
            Code::HeadersTooLarge => (431, "headers-too-large", "The request head is too large"),
            Code::Overloaded => (503, "overloaded", "The server is at its limit"),
            Code::ShardUnavailable => (503, "shard-unavailable", "A part of the server is not available"),
        }
    }

    fn put_type(self, out: &mut Vec<u8>) {
        match self {
            Code::RateLimited => out.extend_from_slice(TYPE_QUOTA.as_bytes()),
            Code::Overloaded | Code::ShardUnavailable => out.extend_from_slice(TYPE_CAPACITY.as_bytes()),
            Code::BadRequest
            | Code::RequestTimeout
            | Code::LengthRequired
            | Code::UriTooLong
            | Code::ExpectationFailed
            | Code::NotImplemented
            | Code::HttpVersionNotSupported
            | Code::ValidationFailed
            | Code::MalformedJson
            | Code::IdempotencyKeyMissing
            | Code::Unauthenticated
            | Code::Forbidden
            | Code::NotFound
            | Code::MethodNotAllowed
            | Code::IdempotencyKeyInProgress
            | Code::OrderFinished
            | Code::InsufficientStock
            | Code::VersionMismatch
            | Code::PayloadTooLarge
            | Code::UnsupportedMediaType
            | Code::IdempotencyKeyReused
            | Code::HeadersTooLarge => {
                out.extend_from_slice(TYPE_BASE.as_bytes());
                out.extend_from_slice(self.name().as_bytes());
            }
        }
    }
}

/// What is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// The path, such as `items[0].sku`, or the name of a header.
    pub field: String,
    /// What the limit is and what to do.
    pub message: String,
}

/// A refusal as the client sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Why.
    pub code: Code,
    /// What happened this time and what to do about it.
    pub detail: Cow<'static, str>,
    /// Each field that is not valid; empty unless the code is [`Code::ValidationFailed`].
    pub errors: Vec<FieldError>,
}

impl Problem {
    /// A refusal without field errors.
    #[must_use]
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Problem {
        Problem { code, detail: detail.into(), errors: Vec::new() }
    }

    /// `validation-failed` because of one field.
    #[must_use]
    pub fn field(field: impl Into<String>, message: impl Into<String>) -> Problem {
        Problem::fields(vec![FieldError { field: field.into(), message: message.into() }])
    }

    /// `validation-failed` because of several fields.
    #[must_use]
    pub fn fields(errors: Vec<FieldError>) -> Problem {
        Problem {
            code: Code::ValidationFailed,
            detail: Cow::Borrowed("Correct the fields listed in `errors` and send the request again."),
            errors,
        }
    }

    /// The problem that stands for a refusal of the core.
    #[must_use]
    pub fn of_refusal(refusal: Refusal) -> Problem {
        match refusal {
            Refusal::NotFound => Problem::new(Code::NotFound, "There is nothing of this name that you may see."),
            Refusal::KeyReused => Problem::new(
                Code::IdempotencyKeyReused,
                "This idempotency key belongs to a request with other content. Send a new request under a new key.",
            ),
            Refusal::OrderFinished => {
                Problem::new(Code::OrderFinished, "The order has reached another end and can no longer be cancelled.")
            }
            Refusal::InsufficientStock { replayed: _ } => Problem::new(
                Code::InsufficientStock,
                "The adjustment would make `available` negative. This answer is final for its idempotency key.",
            ),
            Refusal::StockTooLarge => {
                Problem::field("delta", "would raise the stock above 1000000000000 units; use a smaller delta")
            }
            Refusal::VersionMismatch => Problem::new(
                Code::VersionMismatch,
                "`If-Match` names another version than the order has. Read the order again and decide anew.",
            ),
            Refusal::Overloaded => {
                Problem::new(Code::Overloaded, "Nothing was stored. Send the same request again after `Retry-After`.")
            }
            Refusal::ShardUnavailable => Problem::new(
                Code::ShardUnavailable,
                "The shard of this request is not running; nothing was stored. Send the same request again later.",
            ),
        }
    }

    /// Appends the document (`application/problem+json`). `errors` is there only when there are any.
    pub fn render(&self, correlation_id: &str, trace_id: Option<&str>, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"type\":\"");
        self.code.put_type(out);
        out.extend_from_slice(b"\",\"title\":\"");
        out.extend_from_slice(self.code.title().as_bytes());
        out.extend_from_slice(b"\",\"status\":");
        text::put_number(u64::from(self.code.status()), out);
        out.extend_from_slice(b",\"detail\":");
        text::put_string(&self.detail, out);
        out.extend_from_slice(b",\"code\":\"");
        out.extend_from_slice(self.code.name().as_bytes());
        out.extend_from_slice(b"\",\"traceId\":");
        text::put_optional(trace_id, out);
        out.extend_from_slice(b",\"correlationId\":");
        text::put_string(correlation_id, out);
        if !self.errors.is_empty() {
            out.extend_from_slice(b",\"errors\":[");
            text::put_list(&self.errors, out, |error, out| {
                out.extend_from_slice(b"{\"field\":");
                text::put_string(&error.field, out);
                out.extend_from_slice(b",\"message\":");
                text::put_string(&error.message, out);
                out.push(b'}');
            });
            out.push(b']');
        }
        out.push(b'}');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_documented_with_its_status() {
        let page = include_str!("../PROBLEMS.md");
        for code in Code::ALL {
            assert!(page.contains(&format!("| `{}` | {} |", code.name(), code.status())), "{}", code.name());
        }
    }

    #[test]
    fn every_code_has_one_row() {
        let mut names: Vec<_> = Code::ALL.iter().map(|code| code.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Code::ALL.len());
        assert!(Code::ALL.iter().all(|code| (400..600).contains(&code.status())));
    }

    #[test]
    fn a_problem_is_the_documented_object() {
        let mut out = Vec::new();
        Problem::field("items[0].\"sku", "is required").render("c-1", None, &mut out);
        let value: serde_json::Value = serde_json::from_slice(&out).expect("JSON");
        assert_eq!(value["type"], "https://orderlane.dev/problems/validation-failed");
        assert_eq!(value["status"], 400);
        assert_eq!(value["code"], "validation-failed");
        assert_eq!(value["traceId"], serde_json::Value::Null);
        assert_eq!(value["correlationId"], "c-1");
        assert_eq!(value["errors"][0]["field"], "items[0].\"sku");
    }

    #[test]
    fn quota_and_capacity_have_the_registered_types_and_no_errors() {
        for (code, fragment) in [
            (Code::RateLimited, "#quota-exceeded"),
            (Code::Overloaded, "#temporary-reduced-capacity"),
            (Code::ShardUnavailable, "#temporary-reduced-capacity"),
        ] {
            let mut out = Vec::new();
            Problem::new(code, "later").render("c", Some("4bf92f3577b34da6a3ce929d0e0e4736"), &mut out);
            let value: serde_json::Value = serde_json::from_slice(&out).expect("JSON");
            let uri = value["type"].as_str().expect("text");
            assert!(uri.starts_with("https://iana.org/assignments/http-problem-types#") && uri.ends_with(fragment));
            assert!(value.get("errors").is_none());
        }
    }
}
