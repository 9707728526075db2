//! The mistakes found in one body, together, each with the path of its field; and the checks that find them.

use std::fmt;

use orderlane_core::Currency;
use orderlane_core::limits::{EMAIL_LEN_MAX, ID_LEN_MAX, TOKEN_LEN_MAX};

use super::value::{Scalar, Seen, Slot};
use crate::problem::{FieldError, Problem};

/// Field errors of one body that are listed, at most.
pub(super) const ERRORS_MAX: usize = 20;
/// Characters of an unknown name that are shown, at most.
const NAME_SHOWN_MAX: usize = 60;

/// Where a field stands.
#[derive(Clone, Copy, Debug)]
pub(super) enum Path<'p> {
    /// `name`
    Root(&'p str),
    /// `items[index]`
    Item(usize),
    /// `items[index].name`
    ItemField(usize, &'p str),
    /// `payment.name`
    Payment(&'p str),
    /// `metadata.name`
    Metadata(&'p str),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Path::Root(name) => f.write_str(shown(name)),
            Path::Item(index) => write!(f, "items[{index}]"),
            Path::ItemField(index, name) => write!(f, "items[{index}].{}", shown(name)),
            Path::Payment(name) => write!(f, "payment.{}", shown(name)),
            Path::Metadata(name) => write!(f, "metadata.{}", shown(name)),
        }
    }
}

fn shown(name: &str) -> &str {
    name.char_indices().nth(NAME_SHOWN_MAX).map_or(name, |(end, _)| &name[..end])
}

/// What a text must be.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rule {
    /// `customer`, `sku`, `reference`.
    Id,
    /// `email`.
    Email,
    /// `payment.token`.
    Token,
    /// 1 to so many bytes.
    Bytes(usize),
    /// Whatever else is checked.
    Any,
    /// At most so many characters.
    Characters(usize),
}

impl Rule {
    fn fault(self, text: &str) -> Option<String> {
        let kept = match self {
            Rule::Id => valid_id(text),
            Rule::Email => text.len() <= EMAIL_LEN_MAX && has_at_sign(text),
            Rule::Token => (1..=TOKEN_LEN_MAX).contains(&text.len()),
            Rule::Bytes(max) => (1..=max).contains(&text.len()),
            Rule::Any => true,
            Rule::Characters(max) => text.len() <= max || text.chars().count() <= max,
        };
        (!kept).then(|| match self {
            Rule::Id => format!("must be 1 to {ID_LEN_MAX} characters of A-Z a-z 0-9 . _ ~ : @ -"),
            Rule::Email => {
                format!(
                    "must be an e-mail address, with something on both sides of its @, of at most {EMAIL_LEN_MAX} bytes"
                )
            }
            Rule::Token => format!("must be 1 to {TOKEN_LEN_MAX} bytes long; send the token that the provider gave"),
            Rule::Bytes(max) => format!("must be 1 to {max} bytes long"),
            Rule::Any => String::new(),
            Rule::Characters(max) => format!("must be at most {max} characters long; shorten it"),
        })
    }
}

/// 1 to 64 of `A-Z a-z 0-9 . _ ~ : @ -`: what `customer`, `sku` and `reference` may be.
#[must_use]
pub fn valid_id(text: &str) -> bool {
    (1..=ID_LEN_MAX).contains(&text.len()) && text.bytes().all(|byte| ID_BYTES[usize::from(byte)])
}

const ID_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte: u8 = 0;
    while byte < 128 {
        table[byte as usize] = byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'~' | b':' | b'@' | b'-');
        byte += 1;
    }
    table
};

fn has_at_sign(email: &str) -> bool {
    email.split_once('@').is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty())
}

/// The mistakes so far.
#[derive(Debug, Default)]
pub(super) struct Report {
    errors: Vec<FieldError>,
}

impl Report {
    /// The outcome: `Ok` when nothing was found.
    pub(super) fn finish(self) -> Result<(), Problem> {
        if self.errors.is_empty() { Ok(()) } else { Err(Problem::fields(self.errors)) }
    }

    #[cold]
    pub(super) fn add(&mut self, path: Path<'_>, message: impl Into<String>) {
        if self.errors.len() < ERRORS_MAX {
            self.errors.push(FieldError { field: path.to_string(), message: message.into() });
        }
    }

    #[cold]
    pub(super) fn unknown(&mut self, path: Path<'_>) {
        self.add(path, "is not a known field; remove it");
    }

    #[cold]
    pub(super) fn repeated(&mut self, path: Path<'_>) {
        self.add(path, "is there more than once; send it once");
    }

    #[cold]
    fn missing(&mut self, path: Path<'_>) {
        self.add(path, "is required");
    }

    #[cold]
    fn wrong_type(&mut self, path: Path<'_>, wanted: &str, got: &str) {
        self.add(path, format!("must be {wanted}, not {got}"));
    }

    /// Puts a value into its slot, unless there is one already.
    pub(super) fn fill<'a>(&mut self, path: Path<'_>, slot: &mut Slot<'a>, value: Scalar<'a>) {
        match slot {
            None => *slot = Some(value),
            Some(_) => self.repeated(path),
        }
    }

    /// Notes what was seen in place of an object or an array, unless something was there already.
    pub(super) fn note(&mut self, path: Path<'_>, slot: &mut Option<Seen>, seen: Seen) {
        match slot {
            None => *slot = Some(seen),
            Some(_) => self.repeated(path),
        }
    }

    /// Whether the object or array was there; `null` and absence are the same.
    pub(super) fn present(&mut self, path: Path<'_>, seen: Option<Seen>, wanted: &str) -> bool {
        match seen {
            Some(Seen::Expected) => true,
            Some(Seen::Null) | None => false,
            Some(Seen::Other(got)) => {
                self.wrong_type(path, wanted, got);
                false
            }
        }
    }

    /// As [`Report::present`], of something that must be there. `false` means that it has been reported.
    pub(super) fn require(&mut self, path: Path<'_>, seen: Option<Seen>, wanted: &str) -> bool {
        if matches!(seen, Some(Seen::Null) | None) {
            self.missing(path);
        }
        self.present(path, seen, wanted)
    }

    /// A text that may be absent.
    pub(super) fn text_optional<'s>(&mut self, path: Path<'_>, slot: &'s Slot<'_>, rule: Rule) -> Option<&'s str> {
        match slot {
            None | Some(Scalar::Null) => None,
            Some(Scalar::Text(text)) => {
                if let Some(fault) = rule.fault(text) {
                    self.add(path, fault);
                }
                Some(text)
            }
            Some(Scalar::Unsigned(_) | Scalar::Negative(_)) => {
                self.wrong_type(path, "a string", "a number");
                None
            }
            Some(Scalar::Other(got)) => {
                self.wrong_type(path, "a string", got);
                None
            }
        }
    }

    /// A text that must be there; empty when something was reported.
    pub(super) fn text<'s>(&mut self, path: Path<'_>, slot: &'s Slot<'_>, rule: Rule) -> &'s str {
        if matches!(slot, None | Some(Scalar::Null)) {
            self.missing(path);
        }
        self.text_optional(path, slot, rule).unwrap_or_default()
    }

    /// An integer that may be absent.
    pub(super) fn integer_optional(&mut self, path: Path<'_>, slot: &Slot<'_>, min: i64, max: i64) -> Option<i64> {
        let number = match slot {
            None | Some(Scalar::Null) => return None,
            Some(Scalar::Unsigned(number)) => i64::try_from(*number).ok(),
            Some(Scalar::Negative(number)) => Some(*number),
            Some(Scalar::Text(_)) => {
                self.wrong_type(path, "an integer", "a string");
                return None;
            }
            Some(Scalar::Other(got)) => {
                self.wrong_type(path, "an integer", got);
                return None;
            }
        };
        let kept = number.filter(|number| (min..=max).contains(number));
        if kept.is_none() {
            self.add(path, format!("must be an integer from {min} to {max}"));
        }
        kept
    }

    /// An integer that must be there; 0 when something was reported.
    pub(super) fn integer(&mut self, path: Path<'_>, slot: &Slot<'_>, min: i64, max: i64) -> i64 {
        if matches!(slot, None | Some(Scalar::Null)) {
            self.missing(path);
        }
        self.integer_optional(path, slot, min, max).unwrap_or_default()
    }

    /// A currency that may be absent.
    pub(super) fn currency_optional(&mut self, path: Path<'_>, slot: &Slot<'_>) -> Option<Currency> {
        let text = self.text_optional(path, slot, Rule::Any)?;
        let currency = Currency::parse(text);
        if currency.is_none() {
            self.add(path, "must be an ISO 4217 code of three capitals, such as EUR");
        }
        currency
    }

    /// A currency that must be there; `None` means that it has been reported.
    pub(super) fn currency(&mut self, path: Path<'_>, slot: &Slot<'_>) -> Option<Currency> {
        if matches!(slot, None | Some(Scalar::Null)) {
            self.missing(path);
        }
        self.currency_optional(path, slot)
    }
}
