//! Request targets (RFC 9112 section 3.2) and percent-encoding, strict.

use std::borrow::Cow;

use crate::http::fields::{bad, is_host};
use crate::problem::{Code, Problem};

/// What a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target<'h> {
    /// Begins with `/`, or is `*`; still percent-encoded.
    pub(crate) path: &'h str,
    /// Behind the `?`; still percent-encoded, empty when there is none.
    pub(crate) query: &'h str,
}

impl<'h> Target<'h> {
    /// Origin form, absolute form, or `*` for `OPTIONS`.
    pub(crate) fn parse(method: &str, raw: &'h str) -> Result<Target<'h>, Problem> {
        if method == "CONNECT" {
            return Err(Problem::new(Code::NotImplemented, "This server is no proxy."));
        }
        if !raw.bytes().all(is_target_byte) {
            return Err(bad("The request target has characters that must be percent-encoded."));
        }
        if raw == "*" {
            return if method == "OPTIONS" {
                Ok(Target { path: "*", query: "" })
            } else {
                Err(bad("`*` is a target of OPTIONS only."))
            };
        }
        let rest = if raw.starts_with('/') { raw } else { after_authority(raw)? };
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        Ok(Target { path: if path.is_empty() { "/" } else { path }, query })
    }
}

/// What follows the authority of an absolute target: nothing, or a path, or a query.
fn after_authority(raw: &str) -> Result<&str, Problem> {
    let scheme_len = ["http://", "https://"]
        .into_iter()
        .find(|scheme| raw.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)))
        .map(str::len)
        .ok_or_else(|| bad("The request target is neither a path nor an HTTP URI."))?;
    let rest = &raw[scheme_len..];
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    if !is_host(&rest.as_bytes()[..end]) {
        return Err(bad("The authority of the request target is not valid."));
    }
    Ok(&rest[end..])
}

fn is_target_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'"' | b'#' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}')
}

/// Percent-decodes; `None` when an escape is not two hexadecimal digits, or the result is not UTF-8 or has control characters.
pub(crate) fn decode(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('%') {
        return Some(Cow::Borrowed(text));
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let high = char::from(bytes.next()?).to_digit(16)?;
        let low = char::from(bytes.next()?).to_digit(16)?;
        decoded.push((high * 16 + low) as u8);
    }
    let decoded = String::from_utf8(decoded).ok()?;
    (!decoded.chars().any(char::is_control)).then_some(Cow::Owned(decoded))
}

/// The pairs of a query, decoded; `None` stands for one that cannot be.
pub(crate) fn query_pairs(query: &str) -> impl Iterator<Item = Option<(Cow<'_, str>, Cow<'_, str>)>> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Some((decode(name)?, decode(value)?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets() {
        for (raw, path, query) in [
            ("/", "/", ""),
            ("/a?b=c?d", "/a", "b=c?d"),
            ("http://h", "/", ""),
            ("HTTP://h:80/a", "/a", ""),
            ("https://h?q", "/", "q"),
            ("//h/a", "//h/a", ""),
        ] {
            assert_eq!(Target::parse("GET", raw).ok(), Some(Target { path, query }), "{raw}");
        }
        for raw in ["a", "*", "ftp://h/", "http:///a", "http://a@b/", "/a#b", "/\u{fc}", "/{a}", "h:80"] {
            assert!(Target::parse("GET", raw).is_err(), "{raw}");
        }
    }

    #[test]
    fn escapes() {
        for (text, decoded) in
            [("a", Some("a")), ("a%2Fb", Some("a/b")), ("%c3%bc", Some("\u{fc}")), ("a+b", Some("a+b"))]
        {
            assert_eq!(decode(text).as_deref(), decoded, "{text}");
        }
        for text in ["%", "%2", "%zz", "%+1", "%ff", "%00", "a%0a"] {
            assert_eq!(decode(text), None, "{text}");
        }
    }
}
