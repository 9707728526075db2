//! The few series of `/actuator/prometheus` that go into a report.

use std::collections::BTreeMap;

/// Commits and their fsyncs, summed over all labels (lanes). A series that is not there is `None`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Series {
    pub(crate) commits: Option<f64>,
    /// Cumulative counts of `commit_sync_seconds` by upper bound in nanoseconds; `u64::MAX` is `+Inf`.
    sync_buckets: BTreeMap<u64, f64>,
}

impl Series {
    /// Reads the text exposition format; lines that are something else are passed over.
    pub(crate) fn from_text(text: &str) -> Self {
        let mut series = Self::default();
        for line in text.lines() {
            let Some((name, labels, value)) = split(line) else { continue };
            match name {
                "commit_seconds_count" => *series.commits.get_or_insert(0.0) += value,
                "commit_sync_seconds_bucket" => {
                    if let Some(bound) = upper_bound_nanos(labels) {
                        *series.sync_buckets.entry(bound).or_default() += value;
                    }
                }
                _ => {}
            }
        }
        series
    }

    /// What was added since `before`, of the same life of the server.
    pub(crate) fn since(&self, before: &Self) -> Self {
        let zero_based = |bound: &u64| before.sync_buckets.get(bound).copied().unwrap_or(0.0);
        Self {
            commits: self.commits.map(|after| (after - before.commits.unwrap_or(0.0)).max(0.0)),
            sync_buckets: self.sync_buckets.iter().map(|(at, count)| (*at, count - zero_based(at))).collect(),
        }
    }

    /// Adds what another life of the server brought.
    pub(crate) fn add(&mut self, other: &Self) {
        if let Some(commits) = other.commits {
            *self.commits.get_or_insert(0.0) += commits;
        }
        for (bound, count) in &other.sync_buckets {
            *self.sync_buckets.entry(*bound).or_default() += count;
        }
    }

    /// A quantile of the fsync time in milliseconds, interpolated within its bucket as `histogram_quantile` does.
    pub(crate) fn sync_millis(&self, quantile: f64) -> Option<f64> {
        let total = self.sync_buckets.values().copied().fold(0.0, f64::max);
        if total <= 0.0 {
            return None;
        }
        let (mut lower, mut below) = (0, 0.0);
        for (&bound, &count) in &self.sync_buckets {
            if count >= quantile * total {
                let upper = if bound == u64::MAX { lower } else { bound };
                let part = if count > below { (quantile * total - below) / (count - below) } else { 1.0 };
                return Some((lower as f64 + (upper - lower) as f64 * part) / 1e6);
            }
            (lower, below) = (bound, count);
        }
        None
    }
}

/// Name, labels (without braces) and value of a sample.
fn split(line: &str) -> Option<(&str, &str, f64)> {
    if line.starts_with('#') {
        return None;
    }
    let name_end = line.find(['{', ' '])?;
    let (name, rest) = line.split_at(name_end);
    let (labels, value) = match rest.strip_prefix('{') {
        Some(rest) => rest.rsplit_once('}')?,
        None => ("", rest),
    };
    Some((name, labels, value.split_whitespace().next()?.parse().ok()?))
}

fn upper_bound_nanos(labels: &str) -> Option<u64> {
    let bound = labels.split(',').find_map(|label| label.trim().strip_prefix("le=\""))?.trim_end_matches('"');
    match bound {
        "+Inf" => Some(u64::MAX),
        seconds => Some((seconds.parse::<f64>().ok()? * 1e9).round() as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"# TYPE commit_seconds histogram
commit_seconds_count{application="orderlane",lane="0"} 40
commit_seconds_count{application="orderlane",lane="1"} 60
commit_sync_seconds_bucket{lane="0",le="0.001"} 50
commit_sync_seconds_bucket{lane="0",le="0.002"} 90
commit_sync_seconds_bucket{lane="0",le="+Inf"} 100
other 5 1700000000
"#;

    #[test]
    fn lanes_are_summed_and_quantiles_interpolated() {
        let series = Series::from_text(TEXT);
        assert_eq!(series.commits, Some(100.0));
        assert_eq!(series.sync_millis(0.5), Some(1.0));
        assert_eq!(series.sync_millis(0.7), Some(1.5));
        assert_eq!(series.sync_millis(0.99), Some(2.0));
    }

    #[test]
    fn a_difference_leaves_out_what_was_there_and_nothing_gives_nothing() {
        let series = Series::from_text(TEXT);
        assert_eq!(series.since(&series).commits, Some(0.0));
        assert_eq!(series.since(&series).sync_millis(0.5), None);
        let mut twice = series.since(&Series::default());
        twice.add(&series);
        assert_eq!((twice.commits, twice.sync_millis(0.5)), (Some(200.0), Some(1.0)));
        assert_eq!(Series::from_text("").commits, None);
    }
}
