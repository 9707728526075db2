//! One JSON value of an object at a time, whatever its type: a value of the wrong type is something to report, not the end of
//! the parse, so that a client learns of all its mistakes at once. Works on any parser that speaks serde.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::report::Report;

/// Arrays and objects inside each other, at most, in a value that will be refused anyway. The known fields need three.
const DEPTH_MAX: usize = 16;

/// A field's value; absent until it was seen.
pub(super) type Slot<'a> = Option<Scalar<'a>>;

/// A value that is neither array nor object, or what stood in its place.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Scalar<'a> {
    Null,
    Text(Cow<'a, str>),
    Unsigned(u64),
    Negative(i64),
    /// What it was.
    Other(&'static str),
}

/// What stood where an object or an array was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Expected,
    Null,
    /// What it was.
    Other(&'static str),
}

/// An object's fields as they come in.
pub(super) trait Fields<'a> {
    /// Takes the value of the field `name` from `access`.
    fn field<A: MapAccess<'a>>(
        &mut self,
        name: Cow<'a, str>,
        access: &mut A,
        report: &mut Report,
    ) -> Result<(), A::Error>;
}

/// An array's elements as they come in.
pub(super) trait Elements<'a> {
    /// Takes all elements from `access`.
    fn elements<A: SeqAccess<'a>>(&mut self, access: &mut A, report: &mut Report) -> Result<(), A::Error>;
}

/// Reads an object into its fields.
pub(super) struct Object<'x, F> {
    pub(super) fields: &'x mut F,
    pub(super) report: &'x mut Report,
}

/// Reads an array into its elements.
pub(super) struct List<'x, L> {
    pub(super) elements: &'x mut L,
    pub(super) report: &'x mut Report,
}

/// Reads a [`Scalar`].
pub(super) struct ScalarSeed;

/// Reads a name.
struct Name;

/// Reads a value and forgets it; what is left of [`DEPTH_MAX`].
pub(super) struct Skip(usize);

impl Default for Skip {
    fn default() -> Self {
        Skip(DEPTH_MAX)
    }
}

/// The types that are not what is wanted, for visitors whose value is [`Seen`].
macro_rules! visit_scalars {
    () => {
        fn visit_bool<E: Error>(self, _: bool) -> Result<Seen, E> {
            Ok(Seen::Other("a boolean"))
        }

        fn visit_i64<E: Error>(self, _: i64) -> Result<Seen, E> {
            Ok(Seen::Other("a number"))
        }

        fn visit_u64<E: Error>(self, _: u64) -> Result<Seen, E> {
            Ok(Seen::Other("a number"))
        }

        fn visit_f64<E: Error>(self, _: f64) -> Result<Seen, E> {
            Ok(Seen::Other("a number"))
        }

        fn visit_str<E: Error>(self, _: &str) -> Result<Seen, E> {
            Ok(Seen::Other("a string"))
        }

        fn visit_unit<E: Error>(self) -> Result<Seen, E> {
            Ok(Seen::Null)
        }
    };
}

impl<'a, F: Fields<'a>> DeserializeSeed<'a> for Object<'_, F> {
    type Value = Seen;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Seen, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a, F: Fields<'a>> Visitor<'a> for Object<'_, F> {
    type Value = Seen;

    visit_scalars!();

    fn visit_map<A: MapAccess<'a>>(self, mut access: A) -> Result<Seen, A::Error> {
        while let Some(name) = access.next_key_seed(Name)? {
            self.fields.field(name, &mut access, self.report)?;
        }
        Ok(Seen::Expected)
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut access: A) -> Result<Seen, A::Error> {
        Skip::default().elements(&mut access)?;
        Ok(Seen::Other("an array"))
    }

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }
}

impl<'a, L: Elements<'a>> DeserializeSeed<'a> for List<'_, L> {
    type Value = Seen;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Seen, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a, L: Elements<'a>> Visitor<'a> for List<'_, L> {
    type Value = Seen;

    visit_scalars!();

    fn visit_seq<A: SeqAccess<'a>>(self, mut access: A) -> Result<Seen, A::Error> {
        self.elements.elements(&mut access, self.report)?;
        Ok(Seen::Expected)
    }

    fn visit_map<A: MapAccess<'a>>(self, mut access: A) -> Result<Seen, A::Error> {
        Skip::default().fields(&mut access)?;
        Ok(Seen::Other("an object"))
    }

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }
}

impl<'a> DeserializeSeed<'a> for ScalarSeed {
    type Value = Scalar<'a>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Scalar<'a>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for ScalarSeed {
    type Value = Scalar<'a>;

    fn visit_bool<E: Error>(self, _: bool) -> Result<Scalar<'a>, E> {
        Ok(Scalar::Other("a boolean"))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Scalar<'a>, E> {
        Ok(u64::try_from(number).map_or(Scalar::Negative(number), Scalar::Unsigned))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Scalar<'a>, E> {
        Ok(Scalar::Unsigned(number))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Scalar<'a>, E> {
        Ok(Scalar::Other("a number with a fraction, an exponent or more than 64 bits"))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Scalar<'a>, E> {
        Ok(Scalar::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_borrowed_str<E: Error>(self, text: &'a str) -> Result<Scalar<'a>, E> {
        Ok(Scalar::Text(Cow::Borrowed(text)))
    }

    fn visit_unit<E: Error>(self) -> Result<Scalar<'a>, E> {
        Ok(Scalar::Null)
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut access: A) -> Result<Scalar<'a>, A::Error> {
        Skip::default().elements(&mut access)?;
        Ok(Scalar::Other("an array"))
    }

    fn visit_map<A: MapAccess<'a>>(self, mut access: A) -> Result<Scalar<'a>, A::Error> {
        Skip::default().fields(&mut access)?;
        Ok(Scalar::Other("an object"))
    }

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }
}

impl<'a> DeserializeSeed<'a> for Name {
    type Value = Cow<'a, str>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Cow<'a, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'a> Visitor<'a> for Name {
    type Value = Cow<'a, str>;

    fn visit_str<E: Error>(self, text: &str) -> Result<Cow<'a, str>, E> {
        Ok(Cow::Owned(text.to_owned()))
    }

    fn visit_borrowed_str<E: Error>(self, text: &'a str) -> Result<Cow<'a, str>, E> {
        Ok(Cow::Borrowed(text))
    }

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }
}

impl Skip {
    fn deeper<E: Error>(&self) -> Result<Skip, E> {
        self.0.checked_sub(1).map(Skip).ok_or_else(|| E::custom("arrays and objects lie too deep in each other"))
    }

    fn elements<'a, A: SeqAccess<'a>>(self, access: &mut A) -> Result<(), A::Error> {
        while access.next_element_seed(self.deeper()?)?.is_some() {}
        Ok(())
    }

    fn fields<'a, A: MapAccess<'a>>(self, access: &mut A) -> Result<(), A::Error> {
        while access.next_key_seed(Name)?.is_some() {
            access.next_value_seed(self.deeper()?)?;
        }
        Ok(())
    }
}

impl<'a> DeserializeSeed<'a> for Skip {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for Skip {
    type Value = ();

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut access: A) -> Result<(), A::Error> {
        self.elements(&mut access)
    }

    fn visit_map<A: MapAccess<'a>>(self, mut access: A) -> Result<(), A::Error> {
        self.fields(&mut access)
    }

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }
}
