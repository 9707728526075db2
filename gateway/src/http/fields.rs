//! The fields of a head that decide its framing, checked strictly.

use crate::http::head::Framing;
use crate::problem::{Code, Problem};

/// A field that may stand in a head once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Field<'h> {
    /// It is not there.
    #[default]
    Absent,
    /// Its value.
    Once(&'h [u8]),
    /// It is there several times: nobody can say which one counts.
    Repeated,
}

impl<'h> Field<'h> {
    /// Takes one more value.
    pub(crate) fn put(&mut self, value: &'h [u8]) {
        *self = match self {
            Field::Absent => Field::Once(value),
            Field::Once(_) | Field::Repeated => Field::Repeated,
        };
    }

    /// The value when there is exactly one.
    pub(crate) fn once(self) -> Option<&'h [u8]> {
        match self {
            Field::Once(value) => Some(value),
            Field::Absent | Field::Repeated => None,
        }
    }
}

/// What a head says about the length of its body.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FramingFields<'h> {
    pub(crate) content_length: Field<'h>,
    pub(crate) codings: Codings,
}

/// The transfer codings seen so far, over all `Transfer-Encoding` fields.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Codings {
    seen: bool,
    chunked: usize,
    chunked_last: bool,
    unknown: bool,
    malformed: bool,
}

impl Codings {
    /// Takes the value of one more `Transfer-Encoding` field.
    pub(crate) fn put(&mut self, value: &[u8]) {
        self.seen = true;
        for coding in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            self.chunked_last = coding.eq_ignore_ascii_case(b"chunked");
            self.chunked += usize::from(self.chunked_last);
            let name = coding.split(|byte| matches!(byte, b';' | b' ')).next().unwrap_or_default();
            if name.eq_ignore_ascii_case(b"chunked") != self.chunked_last || !is_token(name) {
                self.malformed = true;
            }
            self.unknown |= !self.chunked_last;
        }
    }
}

impl FramingFields<'_> {
    /// How the body is framed (RFC 9112 section 6), stricter: what could be read in two ways is an error.
    pub(crate) fn framing(&self, version_minor: u8) -> Result<Framing, Problem> {
        if self.codings.seen {
            return self.coded(version_minor);
        }
        match self.content_length {
            Field::Absent => Ok(Framing::Absent),
            Field::Once(value) => parse_length(value).map(Framing::Sized),
            Field::Repeated => Err(bad("Content-Length is there more than once.")),
        }
    }

    fn coded(&self, version_minor: u8) -> Result<Framing, Problem> {
        let codings = self.codings;
        if self.content_length != Field::Absent {
            return Err(bad("Content-Length and Transfer-Encoding exclude each other."));
        }
        if version_minor == 0 {
            return Err(bad("HTTP/1.0 knows no Transfer-Encoding."));
        }
        if codings.malformed || codings.chunked > 1 || (codings.chunked == 1 && !codings.chunked_last) {
            return Err(bad("`chunked` is the last transfer coding, once, without parameters."));
        }
        if codings.unknown {
            return Err(Problem::new(Code::NotImplemented, "The only transfer coding is `chunked`."));
        }
        Ok(Framing::Chunked)
    }
}

fn parse_length(value: &[u8]) -> Result<u64, Problem> {
    let error = || bad("Content-Length is not a number of at most 64 bits.");
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(error());
    }
    value
        .iter()
        .try_fold(0_u64, |number, digit| number.checked_mul(10)?.checked_add(u64::from(digit - b'0')))
        .ok_or_else(error)
}

/// Whether a `Host` value (or the authority of an absolute target) is `uri-host [":" port]` of RFC 3986, not empty.
pub(crate) fn is_host(value: &[u8]) -> bool {
    let (host, port) = match value.iter().rposition(|byte| *byte == b':') {
        Some(colon) if !value[colon..].contains(&b']') => (&value[..colon], &value[colon + 1..]),
        Some(_) | None => (value, &b""[..]),
    };
    let is_literal = host.len() > 2 && host[0] == b'[' && host[host.len() - 1] == b']';
    let name = if is_literal { &host[1..host.len() - 1] } else { host };
    let allowed =
        |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+;=%".contains(byte) || (is_literal && *byte == b':');
    !name.is_empty() && name.iter().all(allowed) && port.len() <= 5 && port.iter().all(u8::is_ascii_digit)
}

/// Whether the text is a token of RFC 9110 section 5.6.2.
pub(crate) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

pub(crate) fn bad(detail: &'static str) -> Problem {
    Problem::new(Code::BadRequest, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        for host in ["a", "a.example:80", "127.0.0.1:8080", "[::1]:8080", "[::1]", "a:"] {
            assert!(is_host(host.as_bytes()), "{host}");
        }
        for host in ["", ":80", "a b", "a,b", "a:b", "a@b", "a/b", "[]", "[::1", "::1", "a:123456", "\u{fc}"] {
            assert!(!is_host(host.as_bytes()), "{host}");
        }
    }
}
