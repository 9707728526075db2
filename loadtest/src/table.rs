//! The report for people: at most 25 lines.

use crate::report::{Percentiles, Report};
use std::fmt::{self, Display, Formatter};

/// Notes beyond these are left out of the table.
const NOTES_MAX: usize = 8;

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let machine = &self.machine;
        writeln!(f, "{} {} ({})", self.tool, self.version, text(&self.commit))?;
        writeln!(
            f,
            "  machine      {} cores, {}, Linux {}",
            whole(machine.cores),
            text(&machine.cpu),
            text(&machine.kernel)
        )?;
        writeln!(
            f,
            "  server       {} lanes, {} shards, io {}, runtime {}",
            whole(self.lanes),
            whole(self.shards),
            text(&self.io),
            text(&self.runtime)
        )?;
        writeln!(f, "  durability   {}", durability(self.durability.as_deref()))?;
        match self.offered_per_second {
            Some(rate) => {
                writeln!(f, "  open loop    {} orders/s offered; latency from the intended send", grouped(rate))?
            }
            None => writeln!(f, "  closed loop  as fast as answers come: a ceiling, its latency hides stalls")?,
        }
        let counted =
            |count, rate: Option<f64>| format!("{:>12}   {:>10}/s", whole(count), rate.map_or_else(none, grouped));
        writeln!(f, "  acknowledged {}", counted(self.acknowledged, self.acknowledged_per_second))?;
        writeln!(f, "  completed    {}", counted(self.completed, self.completed_per_second))?;
        writeln!(f, "  failed       {:>12}", self.failed_text())?;
        writeln!(f, "  ms                p50       p95       p99     p99.9       max")?;
        writeln!(f, "  latency  {}", row(&self.latency_ms))?;
        writeln!(f, "  saga     {}", row(&self.saga_ms))?;
        writeln!(
            f,
            "  CPU an order server {} µs, client {} µs; client included on the same machine; server memory {}",
            decimal(self.cpu.server_micros_per_order),
            decimal(self.cpu.client_micros_per_order),
            self.rss_bytes.map_or_else(none, |bytes| format!("{} MiB", bytes >> 20))
        )?;
        writeln!(
            f,
            "  commits      {}, {} orders each; fsync p50 {} ms, p99 {} ms",
            whole(self.commits),
            decimal(self.orders_per_commit),
            decimal(self.fsync_ms.p50),
            decimal(self.fsync_ms.p99)
        )?;
        writeln!(
            f,
            "  lost {}, duplicated {}, violations {}, restarts {}",
            whole(self.lost),
            whole(self.duplicated),
            whole(self.violations),
            whole(self.restarts)
        )?;
        if let Some(ceiling) = self.ceiling_per_second {
            writeln!(f, "  ceiling      {} orders/s (closed loop)", grouped(ceiling))?;
        }
        self.notes.iter().take(NOTES_MAX).try_for_each(|note| writeln!(f, "  · {note}"))
    }
}

impl Report {
    fn failed_text(&self) -> String {
        match &self.failed {
            None => none(),
            Some(failed) if failed.is_empty() => "0".to_owned(),
            Some(failed) => failed.iter().map(|(code, count)| format!("{count} {code}")).collect::<Vec<_>>().join(", "),
        }
    }
}

fn durability(durability: Option<&str>) -> String {
    match durability {
        Some("fsync") => "fsync: acknowledged survives a power cut".to_owned(),
        Some("os") => "os: acknowledged survives a process kill, not a power cut".to_owned(),
        Some(other) => other.to_owned(),
        None => "not known".to_owned(),
    }
}

fn row(percentiles: &Percentiles) -> String {
    let Percentiles { p50, p95, p99, p999, max } = *percentiles;
    [p50, p95, p99, p999, max].map(|figure| format!("{:>10}", decimal(figure))).concat()
}

fn none() -> String {
    "–".to_owned()
}

fn text(text: &Option<String>) -> &str {
    text.as_deref().unwrap_or("–")
}

fn decimal(figure: Option<f64>) -> String {
    figure.map_or_else(none, |figure| format!("{figure:.2}"))
}

fn whole(count: Option<u64>) -> String {
    count.map_or_else(none, |count| grouped(count as f64))
}

/// A whole number with commas.
fn grouped(figure: f64) -> String {
    let digits = format!("{figure:.0}");
    let mut out = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_measured_is_null_and_a_dash_and_never_zero() {
        let report = Report::default();
        let json = serde_json::to_value(&report).expect("a report is JSON");
        let nulls =
            ["offeredPerSecond", "acknowledged", "failed", "rssBytes", "lost", "violations", "ceilingPerSecond"];
        assert!(nulls.iter().all(|name| json[name].is_null() && json.get(name).is_some()), "{json}");
        assert!(json["latencyMs"]["p999"].is_null() && json["cpu"]["clientMicrosPerOrder"].is_null(), "{json}");
        assert_eq!(json.as_object().map(serde_json::Map::len), Some(27), "the fields of the documented object");
        assert!(report.to_string().contains("lost –, duplicated –"));
    }

    #[test]
    fn the_table_is_short_and_says_how_it_was_measured() {
        let mut report = Report { durability: Some("os".into()), ceiling_per_second: Some(1.0), ..Report::default() };
        report.notes = vec!["note".to_owned(); 20];
        let closed = report.to_string();
        assert!(closed.lines().count() <= 25, "{closed}");
        report.offered_per_second = Some(12_345.0);
        let open = report.to_string();
        for (table, said) in [
            (&closed, "closed loop"),
            (&open, "open loop    12,345 orders/s"),
            (&open, "client included on the same machine"),
            (&open, "os: acknowledged survives a process kill"),
        ] {
            assert!(table.contains(said), "{table}");
        }
    }
}
