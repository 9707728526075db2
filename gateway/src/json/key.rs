//! Idempotency keys: draft-ietf-httpapi-idempotency-key-header, the quoted and the bare form alike.

use orderlane_core::limits::KEY_LEN_MAX;

/// Why a text is not a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// There is nothing in it: as good as no key.
    Missing,
    /// What is wrong, for the field error.
    Invalid(&'static str),
}

/// The key itself, wherever it was sent: `"k"` and `k` are the same key. The escapes of a structured-field string (RFC 9651)
/// are refused, so that a key has no third form.
pub(crate) fn unquoted(value: &[u8]) -> Result<&str, Fault> {
    let key = match value {
        [b'"', inner @ .., b'"'] if !inner.contains(&b'"') && !inner.contains(&b'\\') => inner,
        [b'"', ..] => return Err(Fault::Invalid("begins with a quote and does not end as one text in quotes")),
        bare => bare,
    };
    if key.is_empty() {
        return Err(Fault::Missing);
    }
    if key.len() > KEY_LEN_MAX {
        return Err(Fault::Invalid("is longer than 255 characters"));
    }
    match std::str::from_utf8(key) {
        Ok(key) if key.bytes().all(|byte| byte.is_ascii_graphic()) => Ok(key),
        Ok(_) | Err(_) => Err(Fault::Invalid("has characters other than visible ASCII")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_and_bare_are_the_same_key() {
        let long = "k".repeat(KEY_LEN_MAX);
        let quoted = format!("\"{long}\"");
        for (value, key) in [("k", "k"), ("\"k\"", "k"), ("a\"b", "a\"b"), (&long, &long), (&quoted, &long)] {
            assert_eq!(unquoted(value.as_bytes()), Ok(key));
        }
    }

    #[test]
    fn what_is_no_key() {
        for value in ["", "\"\""] {
            assert_eq!(unquoted(value.as_bytes()), Err(Fault::Missing), "{value}");
        }
        let long = "k".repeat(KEY_LEN_MAX + 1);
        for value in [&*long, " ", "a b", "\"", "\"a", "\"a\"b\"", "\"a\\n\"", "ö"] {
            assert!(matches!(unquoted(value.as_bytes()), Err(Fault::Invalid(_))), "{value}");
        }
        assert!(unquoted(b"\xff").is_err());
    }
}
