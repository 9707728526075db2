//! The report of a run: the JSON object that demo, loadtest and bench share.

use crate::{
    invariants::{Ended, Invariants},
    outcome::{Outcome, per_second},
    probe::{Machine, ServerUse},
    verify::Verification,
};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The report. A figure that was not measured is `None` (JSON `null`), never 0.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Which tool measured: `demo`, `loadtest`, `bench` …
    pub tool: String,
    /// Its version.
    pub version: String,
    /// The commit it was built from.
    pub commit: Option<String>,
    /// Where it ran.
    pub machine: Machine,
    /// I/O backend of the server.
    pub io: Option<String>,
    /// Runtime of the server.
    pub runtime: Option<String>,
    /// `fsync` or `os`.
    pub durability: Option<String>,
    /// Lanes of the server.
    pub lanes: Option<u64>,
    /// Shards of its data.
    pub shards: Option<u64>,
    /// Orders a second of the schedule; `None` = closed loop.
    pub offered_per_second: Option<f64>,
    /// Orders that the server acknowledged.
    pub acknowledged: Option<u64>,
    /// Per second, outages left out.
    pub acknowledged_per_second: Option<f64>,
    /// Orders of this run that ended `COMPLETED`.
    pub completed: Option<u64>,
    /// Per second, up to the end of the last saga, outages left out.
    pub completed_per_second: Option<f64>,
    /// Orders that were not acknowledged, by problem code.
    pub failed: Option<BTreeMap<String, u64>>,
    /// From the intended send to the answer.
    pub latency_ms: Percentiles,
    /// From the intended send to the end of the saga.
    pub saga_ms: Percentiles,
    /// CPU of both sides.
    pub cpu: Cpu,
    /// Most memory that the server was seen with.
    pub rss_bytes: Option<u64>,
    /// Commits of the server.
    pub commits: Option<u64>,
    /// Acknowledged orders for each commit.
    pub orders_per_commit: Option<f64>,
    /// Time of its fsyncs.
    pub fsync_ms: FsyncMs,
    /// Acknowledged orders that are not there.
    pub lost: Option<u64>,
    /// Orders that are there twice.
    pub duplicated: Option<u64>,
    /// Violated invariants.
    pub violations: Option<u64>,
    /// Restarts of the server during the run.
    pub restarts: Option<u64>,
    /// Orders a second of a closed loop against the same server.
    pub ceiling_per_second: Option<f64>,
    /// What the table says below the figures; not part of the JSON.
    #[serde(skip)]
    pub notes: Vec<String>,
}

/// Percentiles in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Percentiles {
    pub p50: Option<f64>,
    pub p95: Option<f64>,
    pub p99: Option<f64>,
    pub p999: Option<f64>,
    pub max: Option<f64>,
}

/// Microseconds of CPU for each acknowledged order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cpu {
    /// The server's: user and system time of its process.
    pub server_micros_per_order: Option<f64>,
    /// The generator threads'.
    pub client_micros_per_order: Option<f64>,
}

/// Milliseconds of an fsync.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct FsyncMs {
    pub p50: Option<f64>,
    pub p99: Option<f64>,
}

/// Who measured.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    /// Name of the tool.
    pub tool: String,
    /// Its version.
    pub version: String,
    /// The commit it was built from.
    pub commit: Option<String>,
}

/// What a report is made of; what is missing becomes `null`.
#[derive(Clone, Debug, Default)]
pub struct Parts<'a> {
    /// The run.
    pub outcome: Option<&'a Outcome>,
    /// Probes of the server.
    pub server: Option<&'a ServerUse>,
    /// The invariants before the run.
    pub baseline: Option<&'a Invariants>,
    /// The end of the sagas.
    pub ended: Option<&'a Ended>,
    /// The verification.
    pub verification: Option<&'a Verification>,
    /// Durability, where the server does not tell it.
    pub durability: Option<&'a str>,
    /// Restarts of the server during the run.
    pub restarts: Option<u64>,
    /// Orders a second of a closed loop against the same server.
    pub ceiling_per_second: Option<f64>,
}

impl Report {
    /// Puts a report together.
    #[must_use]
    pub fn new(identity: Identity, parts: &Parts<'_>) -> Self {
        let mut report = Self {
            tool: identity.tool,
            version: identity.version,
            commit: identity.commit,
            machine: Machine::here(),
            durability: parts.durability.map(str::to_owned),
            violations: parts.ended.map(|ended| ended.invariants.violations),
            restarts: parts.restarts,
            ceiling_per_second: parts.ceiling_per_second.map(rounded),
            ..Self::default()
        };
        if let Some(outcome) = parts.outcome {
            report.take_outcome(outcome);
            report.take_completed(outcome, parts.baseline, parts.ended);
        }
        if let Some(server) = parts.server {
            report.take_server(server);
        }
        if let Some(verification) = parts.verification {
            report.take_verification(verification);
        }
        report
    }

    fn take_outcome(&mut self, outcome: &Outcome) {
        self.offered_per_second = outcome.offered_per_second().map(rounded);
        self.acknowledged = Some(outcome.acknowledged.count());
        self.acknowledged_per_second = outcome.acknowledged_per_second().map(rounded);
        self.failed = Some(outcome.failed.clone());
        self.latency_ms = Percentiles::from_micros(&outcome.latency);
        self.cpu.client_micros_per_order = outcome.client_micros_per_order().map(rounded);
        if outcome.options.batch > 1 {
            self.notes.push(format!("{} orders a request", outcome.options.batch));
        }
        if !outcome.latency_outage.is_empty() {
            self.notes.push(format!(
                "server down for {:.1} s, left out above; {} orders touched it, the slowest took {:.1} s",
                outcome.down.as_secs_f64(),
                outcome.latency_outage.len(),
                outcome.latency_outage.max() as f64 / 1e6,
            ));
        }
        if outcome.retried > 0 {
            self.notes.push(format!(
                "{} attempts were repeated with their keys, {} connections were lost",
                outcome.retried, outcome.reconnects
            ));
        }
        if !outcome.unknown.is_empty() {
            self.notes.push(format!("{} orders were sent and never answered: unknown", outcome.unknown.len()));
        }
    }

    fn take_completed(&mut self, outcome: &Outcome, baseline: Option<&Invariants>, ended: Option<&Ended>) {
        let (Some(baseline), Some(ended)) = (baseline, ended) else { return };
        let in_end = |invariants: &Invariants| invariants.in_status("COMPLETED");
        let completed = in_end(&ended.invariants).saturating_sub(in_end(baseline));
        let elapsed = outcome.active_until(ended.at).max(outcome.elapsed);
        self.completed = Some(completed);
        self.completed_per_second = per_second(completed, elapsed).map(rounded);
    }

    fn take_server(&mut self, server: &ServerUse) {
        let acknowledged = self.acknowledged.filter(|count| *count > 0).map(|count| count as f64);
        if let Some(info) = &server.info {
            (self.io, self.runtime) = (info.io.clone(), info.runtime.clone());
            (self.lanes, self.shards) = (info.lanes, info.shards);
            self.durability = info.durability.clone().or_else(|| self.durability.take());
        }
        let micros = server.cpu.map(|cpu| cpu.as_secs_f64() * 1e6);
        self.cpu.server_micros_per_order = micros.zip(acknowledged).map(|(micros, count)| rounded(micros / count));
        self.rss_bytes = server.rss_bytes;
        let commits = server.series.commits.filter(|commits| *commits > 0.0);
        self.commits = server.series.commits.map(|commits| commits as u64);
        self.orders_per_commit = acknowledged.zip(commits).map(|(count, commits)| rounded(count / commits));
        let sync = |quantile| server.series.sync_millis(quantile).map(rounded);
        self.fsync_ms = FsyncMs { p50: sync(0.5), p99: sync(0.99) };
    }

    fn take_verification(&mut self, verification: &Verification) {
        self.lost = Some(verification.lost_total());
        self.duplicated = Some(verification.duplicated_total());
        self.saga_ms = Percentiles::from_micros(&verification.saga);
        self.notes.push(format!(
            "{} of {} acknowledged orders read back, {} keys sent again",
            verification.checked, verification.acknowledged, verification.replayed
        ));
        let bad = [
            (verification.body_mismatch, "differ from what was sent"),
            (verification.not_ended, "have not ended"),
            (verification.unreadable, "could not be read"),
            (verification.replay_refused, "refused their key when it came again"),
        ];
        let said = bad.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"));
        self.notes.extend(said);
    }
}

impl Percentiles {
    /// Percentiles of a histogram of microseconds.
    #[must_use]
    pub fn from_micros(histogram: &Histogram<u64>) -> Self {
        if histogram.is_empty() {
            return Self::default();
        }
        let at = |quantile| Some(rounded(histogram.value_at_quantile(quantile) as f64 / 1e3));
        Self { p50: at(0.5), p95: at(0.95), p99: at(0.99), p999: at(0.999), max: at(1.0) }
    }
}

/// Three decimals: a nanosecond of a microsecond, a microsecond of a millisecond.
fn rounded(figure: f64) -> f64 {
    (figure * 1e3).round() / 1e3
}
