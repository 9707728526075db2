//! The values of the fields that routes look at.

use crate::http::fields::Field;
use crate::limits::{CORRELATION_LEN_MAX, WAIT_SECONDS_MAX};

/// The text that ties a request to log lines of several systems: the client's, or made here. Kept in place, no allocation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Correlation {
    bytes: [u8; CORRELATION_LEN_MAX],
    len: u8,
}

impl Correlation {
    /// The client's, when it is short and harmless in logs and headers.
    pub(crate) fn accept(field: Field<'_>) -> Option<Correlation> {
        let value = field.once()?;
        let harmless = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.~:@/+=".contains(byte);
        if value.is_empty() || value.len() > CORRELATION_LEN_MAX || !value.iter().all(harmless) {
            return None;
        }
        let mut bytes = [0; CORRELATION_LEN_MAX];
        bytes[..value.len()].copy_from_slice(value);
        Some(Correlation { bytes, len: value.len() as u8 })
    }

    /// One made here.
    pub(crate) fn of_bits(bits: u64) -> Correlation {
        let mut bytes = [0; CORRELATION_LEN_MAX];
        for (index, byte) in bytes[..16].iter_mut().enumerate() {
            *byte = b"0123456789abcdef"[(bits >> (60 - 4 * index)) as usize & 15];
        }
        Correlation { bytes, len: 16 }
    }

    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.len)]).expect("only ASCII is accepted")
    }
}

/// The trace id of a W3C `traceparent`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TraceId([u8; 32]);

impl TraceId {
    /// From `version "-" trace-id "-" parent-id "-" flags`; a malformed one is ignored, as the specification says.
    pub(crate) fn accept(field: Field<'_>) -> Option<TraceId> {
        let value = field.once()?;
        let is_hex = |bytes: &[u8]| bytes.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let nonzero = |bytes: &[u8]| bytes.iter().any(|byte| *byte != b'0');
        let version = value.get(..2)?;
        let (trace, parent, flags) = (value.get(3..35)?, value.get(36..52)?, value.get(53..55)?);
        let dashes = value[2] == b'-' && value[35] == b'-' && value[52] == b'-';
        let ends = value.len() == 55 || (version != b"00" && value[55] == b'-');
        let well_formed = [version, trace, parent, flags].into_iter().all(is_hex) && version != b"ff";
        if !dashes || !ends || !well_formed || !nonzero(trace) || !nonzero(parent) {
            return None;
        }
        Some(TraceId(trace.try_into().ok()?))
    }

    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("only hexadecimal digits are accepted")
    }
}

/// A media type that this server reads or writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MediaType {
    /// `application/json`
    Json,
    /// `application/x-ndjson`
    Lines,
}

/// The media type of a body, when it is one of ours and in UTF-8.
pub(crate) fn media_type(field: Field<'_>) -> Option<MediaType> {
    let mut parts = field.once()?.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    let name = parts.next()?;
    let media_type = if name.eq_ignore_ascii_case(b"application/json") {
        MediaType::Json
    } else if name.eq_ignore_ascii_case(b"application/x-ndjson") {
        MediaType::Lines
    } else {
        return None;
    };
    let is_utf8 = |part: &[u8]| {
        let charset = part.len() >= 8 && part[..8].eq_ignore_ascii_case(b"charset=");
        !charset
            || part[8..].trim_ascii_start().eq_ignore_ascii_case(b"utf-8")
            || part[8..].eq_ignore_ascii_case(b"\"utf-8\"")
    };
    parts.all(is_utf8).then_some(media_type)
}

/// `wait=N` of `Prefer` (RFC 7240), cut to the bound. A preference that makes no sense is ignored, as RFC 7240 asks.
pub(crate) fn wait_seconds(prefer: Option<&[u8]>) -> Option<u64> {
    prefer?.split(|byte| *byte == b',').find_map(|preference| {
        let word = preference.split(|byte| *byte == b';').next()?.trim_ascii();
        let (name, value) = std::str::from_utf8(word).ok()?.split_once('=')?;
        let value = value.trim().trim_matches('"');
        let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
        // More digits than a number has are more than the bound.
        (name.trim().eq_ignore_ascii_case("wait") && is_number)
            .then(|| value.parse::<u64>().unwrap_or(u64::MAX).min(WAIT_SECONDS_MAX))
    })
}

/// `If-Match` of a change: `None` lets every version pass; a value that is no single strong version matches none.
pub(crate) fn version_expected(field: Field<'_>) -> Option<u32> {
    /// Versions count from 1.
    const NEVER: u32 = 0;
    match field {
        Field::Absent | Field::Once(b"*") => None,
        Field::Once([b'"', digits @ .., b'"']) if is_canonical_number(digits) => {
            Some(std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).unwrap_or(NEVER))
        }
        Field::Once(_) | Field::Repeated => Some(NEVER),
    }
}

/// Whether `If-None-Match` names the version (weak comparison, RFC 9110 section 13.1.2).
pub(crate) fn etag_matches(field: &[u8], version: u64) -> bool {
    field.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).any(|tag| match tag.strip_prefix(b"W/").unwrap_or(tag) {
        b"*" => field.len() == 1,
        [b'"', digits @ .., b'"'] if is_canonical_number(digits) => {
            std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()) == Some(version)
        }
        _ => false,
    })
}

fn is_canonical_number(digits: &[u8]) -> bool {
    digits.first().is_some_and(|first| *first != b'0') && digits.iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits() {
        for (prefer, seconds) in [
            ("wait=2", Some(2)),
            ("respond-async, wait=10", Some(10)),
            ("Wait = \"7\" ; x=y", Some(7)),
            ("wait=5, wait=6", Some(5)),
            ("wait=9999", Some(WAIT_SECONDS_MAX)),
            ("wait", None),
            ("wait=-1", None),
            ("wait=1.5", None),
            ("waiter=3", None),
        ] {
            assert_eq!(wait_seconds(Some(prefer.as_bytes())), seconds, "{prefer}");
        }
    }

    #[test]
    fn entity_tags() {
        for (tag, expected) in [
            ("*", None),
            ("\"3\"", Some(3)),
            ("W/\"3\"", Some(0)),
            ("3", Some(0)),
            ("\"x\"", Some(0)),
            ("\"03\"", Some(0)),
        ] {
            assert_eq!(version_expected(Field::Once(tag.as_bytes())), expected, "{tag}");
        }
        for (tags, matches) in [
            ("\"3\"", true),
            ("W/\"3\"", true),
            ("\"1\", \"3\"", true),
            ("*", true),
            ("\"4\"", false),
            ("3", false),
            ("*,*", false),
        ] {
            assert_eq!(etag_matches(tags.as_bytes(), 3), matches, "{tags}");
        }
    }

    #[test]
    fn trace_ids() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let id = TraceId::accept(Field::Once(good.as_bytes())).expect("well formed");
        assert_eq!(id.as_str(), "4bf92f3577b34da6a3ce929d0e0e4736");
        for bad in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4BF92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert!(TraceId::accept(Field::Once(bad.as_bytes())).is_none(), "{bad}");
        }
    }
}
