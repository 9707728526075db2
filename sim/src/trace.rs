//! What happened, step by step: always as a digest, on demand as text. Two runs of a seed give the same bytes.

use std::cell::{Cell, RefCell};
use std::fmt::Write;

use crate::executor::Moment;

/// The record of one run.
#[derive(Debug)]
pub struct Trace {
    digest: Cell<u64>,
    lines: Cell<u64>,
    text: Option<RefCell<String>>,
}

impl Trace {
    /// A trace; `keep_text` also keeps every line.
    #[must_use]
    pub fn new(keep_text: bool) -> Trace {
        Trace { digest: Cell::new(0), lines: Cell::new(0), text: keep_text.then(RefCell::default) }
    }

    /// One line: what happened, and its numbers.
    pub fn note(&self, moment: Moment, micros: u64, what: &str, numbers: &[u64]) {
        let mut digest = self.digest.get();
        let mut fold = |word: u64| digest = (digest.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        fold(moment.0);
        fold(micros);
        what.bytes().for_each(|byte| fold(u64::from(byte)));
        numbers.iter().for_each(|number| fold(*number));
        self.digest.set(digest);
        self.lines.set(self.lines.get() + 1);
        if let Some(text) = &self.text {
            let mut text = text.borrow_mut();
            let _ = write!(text, "{:>8} {:>12} {what}", moment.0, micros);
            numbers.iter().for_each(|number| {
                let _ = write!(text, " {number}");
            });
            text.push('\n');
        }
    }

    /// A digest of all lines so far.
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.digest.get()
    }

    /// How many lines there are.
    #[must_use]
    pub fn lines(&self) -> u64 {
        self.lines.get()
    }

    /// All lines, if they were kept.
    #[must_use]
    pub fn text(&self) -> String {
        self.text.as_ref().map(|text| text.borrow().clone()).unwrap_or_default()
    }
}
