//! The Prometheus text format, version 0.0.4: a family is its HELP and TYPE lines and then all of its series.

use std::io::Write as _;

use orderlane_lane::metrics::Histogram;

/// The label that every series has.
const APPLICATION: &str = "application=\"orderlane\"";

/// A label: its name and its value.
pub(super) type Label<'l> = (&'static str, &'l str);

/// What a family is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

/// Writes families.
pub(super) struct Exposition<'o> {
    out: &'o mut Vec<u8>,
}

/// One family, whose series follow.
pub(super) struct Family<'e> {
    name: &'static str,
    out: &'e mut Vec<u8>,
}

impl<'o> Exposition<'o> {
    pub(super) fn new(out: &'o mut Vec<u8>) -> Exposition<'o> {
        Exposition { out }
    }

    /// Begins a family.
    pub(super) fn family(&mut self, kind: Kind, name: &'static str, help: &str) -> Family<'_> {
        let kind = kind.name();
        writeln!(self.out, "# HELP {name} {help}\n# TYPE {name} {kind}").expect("a vector takes every byte");
        Family { name, out: self.out }
    }

    /// A family of one series without further labels.
    pub(super) fn single(&mut self, kind: Kind, name: &'static str, help: &str, value: f64) {
        self.family(kind, name, help).series(&[], value);
    }
}

impl Family<'_> {
    /// One series.
    pub(super) fn series(&mut self, labels: &[Label<'_>], value: f64) {
        self.put("", labels, None, value);
    }

    /// One histogram: its buckets, cumulated, its sum and its count.
    pub(super) fn histogram(&mut self, labels: &[Label<'_>], sum: &HistogramSum) {
        let mut count = 0;
        for (index, bucket) in sum.counts.iter().enumerate() {
            count += bucket;
            let bound = sum.bounds.get(index).map_or("+Inf".to_owned(), |bound| (*bound as f64 / sum.unit).to_string());
            self.put("_bucket", labels, Some(&bound), count as f64);
        }
        self.put("_sum", labels, None, sum.sum as f64 / sum.unit);
        self.put("_count", labels, None, count as f64);
    }

    fn put(&mut self, suffix: &str, labels: &[Label<'_>], bound: Option<&str>, value: f64) {
        let out = &mut *self.out;
        out.extend_from_slice(self.name.as_bytes());
        out.extend_from_slice(suffix.as_bytes());
        out.push(b'{');
        out.extend_from_slice(APPLICATION.as_bytes());
        for (name, value) in labels.iter().copied().chain(bound.map(|bound| ("le", bound))) {
            out.push(b',');
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"=\"");
            put_escaped(value, out);
            out.push(b'"');
        }
        writeln!(out, "}} {value}").expect("a vector takes every byte");
    }
}

fn put_escaped(value: &str, out: &mut Vec<u8>) {
    for byte in value.bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            _ => out.push(byte),
        }
    }
}

/// The histograms of all lanes, added up.
#[derive(Clone, Debug)]
pub(super) struct HistogramSum {
    bounds: &'static [u64],
    counts: Vec<u64>,
    sum: u64,
    max: u64,
    /// Recorded units in one exported unit.
    unit: f64,
}

impl HistogramSum {
    /// Of microseconds, shown in seconds.
    pub(super) fn of_micros<'h, const N: usize>(lanes: impl IntoIterator<Item = &'h Histogram<N>>) -> HistogramSum {
        HistogramSum::of(lanes, 1e6)
    }

    /// Of counts.
    pub(super) fn of_counts<'h, const N: usize>(lanes: impl IntoIterator<Item = &'h Histogram<N>>) -> HistogramSum {
        HistogramSum::of(lanes, 1.0)
    }

    fn of<'h, const N: usize>(lanes: impl IntoIterator<Item = &'h Histogram<N>>, unit: f64) -> HistogramSum {
        let mut total = HistogramSum { bounds: &[], counts: vec![0; N], sum: 0, max: 0, unit };
        for histogram in lanes {
            total.bounds = histogram.bounds();
            for (total, count) in total.counts.iter_mut().zip(histogram.counts()) {
                *total += count;
            }
            total.sum = total.sum.wrapping_add(histogram.sum());
            total.max = total.max.max(histogram.max());
        }
        total
    }

    /// The largest value of all, in the exported unit.
    pub(super) fn max(&self) -> f64 {
        self.max as f64 / self.unit
    }
}
