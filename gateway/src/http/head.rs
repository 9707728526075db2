//! One request head, parsed and checked; everything borrows from the bytes received.

use std::mem::MaybeUninit;

use httparse::{Error, Header, Request, Status};

use crate::http::fields::{Field, FramingFields, bad, is_host};
use crate::http::target::Target;
use crate::http::values::wait_seconds;
use crate::limits::{FIELD_COUNT_MAX, TARGET_LEN_MAX};
use crate::problem::{Code, Problem};

/// How the end of a body is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// There is no body.
    Absent,
    /// `Content-Length`.
    Sized(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
}

impl Framing {
    /// Whether bytes of a body follow the head.
    pub(crate) fn has_bytes(self) -> bool {
        !matches!(self, Framing::Absent | Framing::Sized(0))
    }
}

/// A request head that is well formed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head<'h> {
    pub(crate) method: &'h str,
    pub(crate) target: Target<'h>,
    /// 0 or 1.
    pub(crate) version_minor: u8,
    /// Whether the client wants to go on after the answer.
    pub(crate) keep_alive: bool,
    pub(crate) framing: Framing,
    /// `Expect` as sent; HTTP/1.0 has none.
    pub(crate) expect: Option<&'h [u8]>,
    pub(crate) authorization: Field<'h>,
    pub(crate) content_type: Field<'h>,
    pub(crate) accept: Field<'h>,
    pub(crate) idempotency_key: Field<'h>,
    /// The first `Prefer` that is there.
    pub(crate) prefer: Option<&'h [u8]>,
    pub(crate) if_match: Field<'h>,
    pub(crate) if_none_match: Field<'h>,
    pub(crate) correlation: Field<'h>,
    pub(crate) traceparent: Field<'h>,
}

impl<'h> Head<'h> {
    /// Parses a complete head, its empty last line included.
    pub(crate) fn parse(bytes: &'h [u8]) -> Result<Head<'h>, Problem> {
        let mut fields = [const { MaybeUninit::<Header<'_>>::uninit() }; FIELD_COUNT_MAX];
        let mut request = Request::new(&mut []);
        match request.parse_with_uninit_headers(bytes, &mut fields) {
            Ok(Status::Complete(len)) if len == bytes.len() => {}
            Ok(Status::Complete(_) | Status::Partial) => return Err(bad("The head is not well formed.")),
            Err(error) => return Err(refusal_of(error, bytes)),
        }
        let (Some(method), Some(raw), Some(version_minor)) = (request.method, request.path, request.version) else {
            return Err(bad("The request line is not complete."));
        };
        if raw.len() > TARGET_LEN_MAX {
            return Err(Problem::new(Code::UriTooLong, "A request target has at most 8 KiB."));
        }
        let target = Target::parse(method, raw)?;
        let mut head = Head::new(method, target, version_minor);
        head.take_fields(request.headers)?;
        Ok(head)
    }

    fn new(method: &'h str, target: Target<'h>, version_minor: u8) -> Head<'h> {
        Head {
            method,
            target,
            version_minor,
            keep_alive: version_minor == 1,
            framing: Framing::Absent,
            expect: None,
            authorization: Field::Absent,
            content_type: Field::Absent,
            accept: Field::Absent,
            idempotency_key: Field::Absent,
            prefer: None,
            if_match: Field::Absent,
            if_none_match: Field::Absent,
            correlation: Field::Absent,
            traceparent: Field::Absent,
        }
    }

    fn take_fields(&mut self, fields: &[Header<'h>]) -> Result<(), Problem> {
        let mut framing = FramingFields::default();
        let mut host = Field::Absent;
        let mut close = false;
        let mut keep_alive = false;
        for field in fields {
            let value = field.value.trim_ascii();
            match Known::of(field.name) {
                Some(Known::Host) => host.put(value),
                Some(Known::ContentLength) => framing.content_length.put(value),
                Some(Known::TransferEncoding) => framing.codings.put(value),
                Some(Known::Connection) => {
                    close |= has_option(value, b"close");
                    keep_alive |= has_option(value, b"keep-alive");
                }
                Some(Known::Expect) => self.expect = Some(value).filter(|_| self.version_minor == 1),
                Some(Known::Authorization) => self.authorization.put(value),
                Some(Known::ContentType) => self.content_type.put(value),
                Some(Known::Accept) => self.accept.put(value),
                Some(Known::IdempotencyKey) => self.idempotency_key.put(value),
                // Several lines are one list (RFC 7240); the one that counts is the first with a wait.
                Some(Known::Prefer) if wait_seconds(self.prefer).is_none() => self.prefer = Some(value),
                Some(Known::Prefer) => {}
                Some(Known::IfMatch) => self.if_match.put(value),
                Some(Known::IfNoneMatch) => self.if_none_match.put(value),
                Some(Known::CorrelationId) => self.correlation.put(value),
                Some(Known::Traceparent) => self.traceparent.put(value),
                None => {}
            }
        }
        self.framing = framing.framing(self.version_minor)?;
        self.keep_alive = !close && (self.version_minor == 1 || keep_alive);
        match host {
            Field::Once(value) if is_host(value) => Ok(()),
            Field::Absent if self.version_minor == 0 => Ok(()),
            Field::Absent => Err(bad("HTTP/1.1 needs a Host field.")),
            Field::Once(_) => Err(bad("The Host field is not valid.")),
            Field::Repeated => Err(bad("Host is there more than once.")),
        }
    }
}

/// Fields that this server looks at.
enum Known {
    Host,
    ContentLength,
    TransferEncoding,
    Connection,
    Expect,
    Authorization,
    ContentType,
    Accept,
    IdempotencyKey,
    Prefer,
    IfMatch,
    IfNoneMatch,
    CorrelationId,
    Traceparent,
}

impl Known {
    /// By the length first: most fields of most requests are of no interest.
    fn of(name: &str) -> Option<Known> {
        let (text, known) = match name.len() {
            4 => ("host", Known::Host),
            6 if name.as_bytes()[0] | 0x20 == b'a' => ("accept", Known::Accept),
            6 if name.as_bytes()[0] | 0x20 == b'p' => ("prefer", Known::Prefer),
            6 => ("expect", Known::Expect),
            8 => ("if-match", Known::IfMatch),
            10 => ("connection", Known::Connection),
            11 => ("traceparent", Known::Traceparent),
            12 => ("content-type", Known::ContentType),
            13 if name.as_bytes()[0] | 0x20 == b'a' => ("authorization", Known::Authorization),
            13 => ("if-none-match", Known::IfNoneMatch),
            14 => ("content-length", Known::ContentLength),
            15 => ("idempotency-key", Known::IdempotencyKey),
            16 => ("x-correlation-id", Known::CorrelationId),
            17 => ("transfer-encoding", Known::TransferEncoding),
            _ => return None,
        };
        name.eq_ignore_ascii_case(text).then_some(known)
    }
}

fn has_option(value: &[u8], option: &[u8]) -> bool {
    value.split(|byte| *byte == b',').any(|one| one.trim_ascii().eq_ignore_ascii_case(option))
}

fn refusal_of(error: Error, bytes: &[u8]) -> Problem {
    match error {
        Error::TooManyHeaders => Problem::new(Code::HeadersTooLarge, "The head of a request has at most 100 fields."),
        Error::Version if names_other_version(bytes) => {
            Problem::new(Code::HttpVersionNotSupported, "This server speaks HTTP/1.1 and HTTP/1.0.")
        }
        Error::Version => bad("The request line does not end with an HTTP version."),
        Error::HeaderName => bad("The name of a field is not a token directly followed by a colon."),
        Error::HeaderValue => bad("The value of a field has characters that are not allowed."),
        Error::Token | Error::NewLine | Error::Status => bad("The request line is not well formed."),
    }
}

/// Whether the request line ends with an HTTP version (`HTTP/` digit `.` digit), though not with one of ours.
fn names_other_version(bytes: &[u8]) -> bool {
    let line = bytes.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let word = line.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
    let two = line.iter().filter(|byte| **byte == b' ').count() == 2;
    two && matches!(word, [b'H', b'T', b'T', b'P', b'/', major, b'.', minor] if major.is_ascii_digit() && minor.is_ascii_digit())
}
