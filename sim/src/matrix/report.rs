//! What the cases of a part came to.

use std::fmt::Write;

/// What one case came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MatrixResult {
    /// Nothing acknowledged is missing, nothing was changed or added.
    Recovered,
    /// The start was refused; the message.
    Refused(String),
    /// Acknowledged events are missing, and the files are exactly what a crash before their acknowledgement might have left
    /// (ADR 0004): nobody can know.
    Undecidable,
    /// Acknowledged events are missing and something told of them.
    Lost(String),
    /// Something that was never written was accepted, or a refusal named nothing.
    Silent(String),
}

/// Cases that broke a promise are told, this many of them.
const FAILURES_KEPT: usize = 5;

/// The sums of one part.
#[derive(Clone, Debug, Default)]
pub struct MatrixReport {
    /// Which part.
    pub part: String,
    /// Cases.
    pub tried: u64,
    /// [`MatrixResult::Recovered`]
    pub recovered: u64,
    /// [`MatrixResult::Refused`]
    pub refused: u64,
    /// [`MatrixResult::Undecidable`]
    pub undecidable: u64,
    /// [`MatrixResult::Lost`]
    pub lost: u64,
    /// [`MatrixResult::Silent`]
    pub silent: u64,
    /// The first cases that were lost or silent.
    pub failures: Vec<String>,
}

impl MatrixReport {
    /// An empty one.
    #[must_use]
    pub fn new(part: impl Into<String>) -> MatrixReport {
        MatrixReport { part: part.into(), ..MatrixReport::default() }
    }

    /// Counts a case.
    pub fn add(&mut self, case: impl FnOnce() -> String, result: MatrixResult) {
        self.tried += 1;
        match result {
            MatrixResult::Recovered => self.recovered += 1,
            MatrixResult::Refused(_) => self.refused += 1,
            MatrixResult::Undecidable => self.undecidable += 1,
            MatrixResult::Lost(text) => {
                self.lost += 1;
                self.tell(format!("lost: {}: {text}", case()));
            }
            MatrixResult::Silent(text) => {
                self.silent += 1;
                self.tell(format!("silent: {}: {text}", case()));
            }
        }
    }

    fn tell(&mut self, failure: String) {
        if self.failures.len() < FAILURES_KEPT {
            self.failures.push(failure);
        }
    }

    /// Whether every promise was kept.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.lost == 0 && self.silent == 0
    }
}

/// The reports as a table, and below it the cases that broke a promise.
#[must_use]
pub fn table(reports: &[MatrixReport]) -> String {
    let width = reports.iter().map(|report| report.part.len()).max().unwrap_or_default();
    let mut text = String::new();
    let mut row = |part: &str, cells: [String; 6]| {
        let _ = write!(text, "{part:<width$}");
        cells.iter().for_each(|cell| {
            let _ = write!(text, " {cell:>11}");
        });
        text.push('\n');
    };
    row("", ["tried", "recovered", "refused", "undecidable", "lost", "silent"].map(str::to_owned));
    for report in reports {
        let MatrixReport { part, tried, recovered, refused, undecidable, lost, silent, failures: _ } = report;
        row(part, [tried, recovered, refused, undecidable, lost, silent].map(u64::to_string));
    }
    for failure in reports.iter().flat_map(|report| &report.failures) {
        text.push_str(failure);
        text.push('\n');
    }
    text
}
