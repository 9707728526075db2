//! From bytes to the fields of one object: the only place that knows which JSON parser is used (adr/0003).

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer};

use super::report::Report;
use super::value::{Fields, Object, Seen};
use crate::problem::{Code, Problem};

/// Reads `body` into `fields`; what is wrong with single fields goes into `report`.
pub(super) fn read<'a, F: Fields<'a>>(body: &'a mut [u8], fields: &mut F, report: &mut Report) -> Result<(), Problem> {
    // Checked once for the whole body, so that the parser need not check each string: a fifth of its time.
    let text = std::str::from_utf8(body).map_err(malformed)?;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let seen = read_from(&mut deserializer, fields, report)?;
    deserializer.end().map_err(malformed)?;
    object(seen)
}

/// Reads one value from a parser. The caller checks that nothing follows, and then that it was an [`object`].
pub(super) fn read_from<'a, D: Deserializer<'a>, F: Fields<'a>>(
    deserializer: D,
    fields: &mut F,
    report: &mut Report,
) -> Result<Seen, Problem> {
    Object { fields, report }.deserialize(deserializer).map_err(malformed)
}

/// Refuses what was no object.
pub(super) fn object(seen: Seen) -> Result<(), Problem> {
    let got = match seen {
        Seen::Expected => return Ok(()),
        Seen::Null => "null",
        Seen::Other(got) => got,
    };
    Err(Problem::field("body", format!("must be a JSON object, not {got}")))
}

#[cold]
fn malformed(error: impl fmt::Display) -> Problem {
    Problem::new(Code::MalformedJson, format!("Send one JSON value in UTF-8. The parser says: {error}."))
}
