//! What can be said about a request by its head, in the documented order of refusals: 401, 404 and 405, 403, length, 415,
//! idempotency key, query.

use std::borrow::Cow;

use orderlane_core::Time;

use crate::connection::context::Context;
use crate::connection::exchange::{Refused, Tag};
use crate::http::{Field, Framing, Head, MediaType, media_type, query_pairs, wait_seconds};
use crate::json::key::{Fault, unquoted};
use crate::limits::{BATCH_LEN_MAX, BODY_LEN_MAX};
use crate::problem::{Code, Problem};
use crate::routes::{BodyKind, Endpoint, Path, Surface};

/// A request that may go on to its body.
pub(crate) struct Admitted<'h> {
    pub(crate) endpoint: Endpoint,
    /// The variable part of the path.
    pub(crate) name: Cow<'h, str>,
    /// The idempotency key, empty where none is needed.
    pub(crate) key: &'h str,
    pub(crate) media_type: MediaType,
}

/// Admits or refuses; what the answer needs of it goes to `tag`.
pub(crate) fn admit<'h>(
    head: &Head<'h>,
    tag: &mut Tag,
    surface: Surface,
    now: Time,
    context: &mut Context,
) -> Result<Admitted<'h>, Refused> {
    let path = Path::find(head.target.path, surface)?;
    let endpoint = path.endpoint(head.method);
    tag.endpoint =
        endpoint.or_else(|| path.endpoint("GET")).or_else(|| path.endpoint("POST")).unwrap_or(Endpoint::Unknown);
    if !path.is_actuator() && path != Path::Server && surface != Surface::Management {
        tag.principal = Some(context.authenticator.authenticate(head.authorization.once(), now)?);
    }
    let Some(endpoint) = endpoint else { return Err(unknown(&path)) };
    if let (Some(scope), Some(principal)) = (endpoint.scope(), &tag.principal)
        && !principal.has(scope)
    {
        return Err(Problem::new(Code::Forbidden, "The token lacks the scope that this operation needs.").into());
    }
    check_length(endpoint, head.framing)?;
    let media_type = check_media_type(endpoint, head)?;
    if head.expect.is_some_and(|value| !value.eq_ignore_ascii_case(b"100-continue")) {
        return Err(Problem::new(Code::ExpectationFailed, "The only expectation is `100-continue`.").into());
    }
    let key = if endpoint.needs_key() { idempotency_key(head.idempotency_key)? } else { "" };
    check_query(endpoint, head.target.query)?;
    if matches!(endpoint, Endpoint::PlaceOrder | Endpoint::PlaceBatch | Endpoint::ReadOrder) {
        tag.preference = wait_seconds(head.prefer);
    }
    Ok(Admitted { endpoint, name: path.into_name(), key, media_type })
}

/// The key, unquoted: `"k"` and `k` are the same, and an empty one is a missing one.
fn idempotency_key(field: Field<'_>) -> Result<&str, Problem> {
    const NAME: &str = "Idempotency-Key";
    let value = match field {
        Field::Absent => b"",
        Field::Once(value) => value,
        Field::Repeated => return Err(Problem::field(NAME, "is there more than once; send one")),
    };
    unquoted(value).map_err(|fault| match fault {
        Fault::Missing => Problem::new(
            Code::IdempotencyKeyMissing,
            "Send an `Idempotency-Key` header, new for each operation and the same for each retry of it.",
        ),
        Fault::Invalid(message) => Problem::field(NAME, message),
    })
}

fn unknown(path: &Path<'_>) -> Refused {
    match path.allow() {
        Some(allow) => Refused {
            problem: Problem::new(Code::MethodNotAllowed, "`Allow` names the methods of this path."),
            allow: Some(allow),
        },
        None => Problem::new(Code::NotFound, "There is nothing at this path.").into(),
    }
}

fn check_length(endpoint: Endpoint, framing: Framing) -> Result<(), Problem> {
    let (len_max, detail) = match endpoint.body() {
        BodyKind::None => return Ok(()),
        BodyKind::Document => (BODY_LEN_MAX as u64, "A body has at most 1 MiB."),
        BodyKind::Items | BodyKind::Lines => (BATCH_LEN_MAX, "The body of a batch has at most 64 MiB."),
    };
    match framing {
        Framing::Absent => {
            Err(Problem::new(Code::LengthRequired, "Send the body with its Content-Length, or chunked."))
        }
        Framing::Sized(len) if len > len_max => Err(Problem::new(Code::PayloadTooLarge, detail)),
        Framing::Sized(_) | Framing::Chunked => Ok(()),
    }
}

fn check_media_type(endpoint: Endpoint, head: &Head<'_>) -> Result<MediaType, Problem> {
    let sent = media_type(head.content_type);
    let accepted = match (endpoint.body(), sent) {
        (BodyKind::None, _) => Some(MediaType::Json),
        (BodyKind::Document, Some(MediaType::Json))
        | (BodyKind::Items, Some(MediaType::Json | MediaType::Lines))
        | (BodyKind::Lines, Some(MediaType::Lines)) => sent,
        (BodyKind::Document | BodyKind::Items | BodyKind::Lines, _) => None,
    };
    let detail = match endpoint.body() {
        BodyKind::None | BodyKind::Document => "Send `Content-Type: application/json`.",
        BodyKind::Items => "Send `Content-Type: application/json` or `application/x-ndjson`.",
        BodyKind::Lines => "Send `Content-Type: application/x-ndjson`.",
    };
    accepted.ok_or_else(|| Problem::new(Code::UnsupportedMediaType, detail))
}

/// Names of parameters: known and there once. Their values are checked where they are used.
fn check_query(endpoint: Endpoint, query: &str) -> Result<(), Problem> {
    if query.is_empty()
        || matches!(endpoint, Endpoint::Health | Endpoint::HealthGroup | Endpoint::Info | Endpoint::Prometheus)
    {
        return Ok(());
    }
    let mut seen = Vec::new();
    for pair in query_pairs(query) {
        let (name, _) = pair.ok_or_else(|| Problem::new(Code::BadRequest, "The query of the target is not valid."))?;
        if !endpoint.query_names().contains(&&*name) {
            return Err(Problem::field(name, "is not a query parameter of this operation"));
        }
        if seen.contains(&name) {
            return Err(Problem::field(name, "is there more than once"));
        }
        seen.push(name);
    }
    Ok(())
}
