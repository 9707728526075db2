//! One JSON object on one line, written field by field.

use std::io::{self, Write};

/// An open object. Errors of the writer are kept until [`Object::end`].
pub(crate) struct Object<'w, W: Write> {
    out: &'w mut W,
    result: io::Result<()>,
    first: bool,
}

impl<'w, W: Write> Object<'w, W> {
    pub(crate) fn new(out: &'w mut W) -> Self {
        let result = out.write_all(b"{");
        Object { out, result, first: true }
    }

    pub(crate) fn number(&mut self, name: &str, number: impl Into<i128>) -> &mut Self {
        let number = number.into();
        self.field(name, |out| write!(out, "{number}"))
    }

    pub(crate) fn text(&mut self, name: &str, text: &str) -> &mut Self {
        self.field(name, |out| write_text(out, text))
    }

    /// A field that is left out when there is nothing to say.
    pub(crate) fn optional(&mut self, name: &str, text: Option<&str>) -> &mut Self {
        if let Some(text) = text { self.text(name, text) } else { self }
    }

    pub(crate) fn object(&mut self, name: &str, fill: impl FnOnce(&mut Object<'_, W>)) -> &mut Self {
        self.field(name, |out| {
            let mut inner = Object::new(out);
            fill(&mut inner);
            inner.end()
        })
    }

    pub(crate) fn numbers(&mut self, name: &str, numbers: &[u64]) -> &mut Self {
        self.list(name, numbers, |out, number| write!(out, "{number}"))
    }

    pub(crate) fn objects<T>(
        &mut self,
        name: &str,
        items: impl IntoIterator<Item = T>,
        mut fill: impl FnMut(&mut Object<'_, W>, T),
    ) -> &mut Self {
        self.list(name, items, |out, item| {
            let mut inner = Object::new(out);
            fill(&mut inner, item);
            inner.end()
        })
    }

    pub(crate) fn end(self) -> io::Result<()> {
        self.result?;
        self.out.write_all(b"}")
    }

    fn list<T>(
        &mut self,
        name: &str,
        items: impl IntoIterator<Item = T>,
        mut write: impl FnMut(&mut W, T) -> io::Result<()>,
    ) -> &mut Self {
        self.field(name, |out| {
            out.write_all(b"[")?;
            for (index, item) in items.into_iter().enumerate() {
                if index > 0 {
                    out.write_all(b",")?;
                }
                write(out, item)?;
            }
            out.write_all(b"]")
        })
    }

    fn field(&mut self, name: &str, value: impl FnOnce(&mut W) -> io::Result<()>) -> &mut Self {
        if self.result.is_ok() {
            let comma = if self.first { "" } else { "," };
            self.first = false;
            self.result = write!(self.out, "{comma}\"{name}\":").and_then(|()| value(self.out));
        }
        self
    }
}

fn write_text(out: &mut impl Write, text: &str) -> io::Result<()> {
    out.write_all(b"\"")?;
    let mut rest = text;
    while let Some(at) = rest.find(|letter: char| letter < ' ' || letter == '"' || letter == '\\') {
        let (plain, special) = rest.split_at(at);
        out.write_all(plain.as_bytes())?;
        match special.as_bytes()[0] {
            byte @ (b'"' | b'\\') => out.write_all(&[b'\\', byte])?,
            control => write!(out, "\\u{control:04x}")?,
        }
        rest = &special[1..];
    }
    out.write_all(rest.as_bytes())?;
    out.write_all(b"\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped_so_that_no_value_can_end_its_line_or_its_string() {
        for (text, written) in [
            ("plain", r#""plain""#),
            ("", r#""""#),
            ("a\"b\\c", r#""a\"b\\c""#),
            ("\n\u{1}\u{1f}\u{7f}", "\"\\u000a\\u0001\\u001f\u{7f}\""),
            ("Zürich 订单 🦀\"", "\"Zürich 订单 🦀\\\"\""),
        ] {
            let mut out = Vec::new();
            write_text(&mut out, text).expect("a vector takes everything");
            assert_eq!(String::from_utf8(out).expect("UTF-8"), written);
        }
    }
}
