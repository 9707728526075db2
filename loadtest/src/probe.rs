//! Looking at the machine and at the server from the outside: `/proc`, `/actuator/info`, `/actuator/prometheus`.

use crate::{client::Client, series::Series};
use rustix::param::{clock_ticks_per_second, page_size};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{fs, net::SocketAddr, time::Duration};

/// The machine that was measured on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Cores that this process may use.
    pub cores: Option<u64>,
    /// Model name of the first one.
    pub cpu: Option<String>,
    /// Kernel release.
    pub kernel: Option<String>,
}

impl Machine {
    /// This machine.
    #[must_use]
    pub fn here() -> Self {
        let read = |path| fs::read_to_string(path).ok();
        let model = |text: String| {
            let line = text.lines().find(|line| line.starts_with("model name"))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        Self {
            cores: std::thread::available_parallelism().ok().map(|cores| cores.get() as u64),
            cpu: read("/proc/cpuinfo").and_then(model),
            kernel: read("/proc/sys/kernel/osrelease").map(|text| text.trim().to_owned()),
        }
    }
}

/// What a server says about itself; read leniently, at any depth of the object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Info {
    pub(crate) io: Option<String>,
    pub(crate) runtime: Option<String>,
    pub(crate) durability: Option<String>,
    pub(crate) lanes: Option<u64>,
    pub(crate) shards: Option<u64>,
}

impl Info {
    fn from_json(json: &Value) -> Self {
        // Elsewhere the same names stand for limits.
        let told = json.get("runtime").filter(|inner| inner.is_object()).unwrap_or(json);
        let text = |name| find(told, name, &|value| value.as_str().map(str::to_owned));
        let count =
            |name| find(told, name, &|value| value.as_u64().or_else(|| value.as_array().map(|all| all.len() as u64)));
        Self {
            io: text("io").or_else(|| text("backend")),
            runtime: text("runtime"),
            durability: text("durability"),
            lanes: count("lanes"),
            shards: count("shards"),
        }
    }
}

/// The first field of this name that `read` understands, own fields before inner ones.
fn find<T>(json: &Value, name: &str, read: &impl Fn(&Value) -> Option<T>) -> Option<T> {
    let fields = json.as_object()?;
    let own = fields.get(name).and_then(read);
    own.or_else(|| fields.values().find_map(|inner| find(inner, name, read)))
}

/// A look at a running server. What cannot be seen is left out; a probe never fails.
#[derive(Clone, Debug, Default)]
pub struct Probe {
    info: Option<Info>,
    series: Option<Series>,
    cpu: Option<Duration>,
    rss_bytes: Option<u64>,
}

impl Probe {
    /// Looks now. `target` is where `/actuator` is served, `pid` the process on this machine.
    #[must_use]
    pub fn take(target: SocketAddr, pid: Option<u32>) -> Self {
        let mut client = Client::new(target, None);
        let mut body = |path| client.read(path).ok().filter(|answer| answer.status == 200).map(|answer| answer.body);
        Self {
            info: body("/actuator/info")
                .and_then(|body| serde_json::from_slice(&body).ok())
                .map(|json| Info::from_json(&json)),
            series: body("/actuator/prometheus").map(|body| Series::from_text(&String::from_utf8_lossy(&body))),
            cpu: pid.and_then(process_cpu),
            rss_bytes: pid.and_then(process_rss),
        }
    }
}

/// What the server used between probes, over all its lives.
#[derive(Clone, Debug, Default)]
pub struct ServerUse {
    pub(crate) info: Option<Info>,
    pub(crate) series: Series,
    pub(crate) cpu: Option<Duration>,
    /// Most that any probe saw.
    pub(crate) rss_bytes: Option<u64>,
}

impl ServerUse {
    /// Adds the time between two probes of the same process. A server that was killed and started again has two such
    /// times: up to just before the kill, and from its new start on.
    pub fn add(&mut self, before: &Probe, after: &Probe) {
        if let (Some(before), Some(after)) = (&before.series, &after.series) {
            self.series.add(&after.since(before));
        }
        if let (Some(before), Some(after)) = (before.cpu, after.cpu) {
            *self.cpu.get_or_insert(Duration::ZERO) += after.saturating_sub(before);
        }
        self.rss_bytes = self.rss_bytes.max(before.rss_bytes).max(after.rss_bytes);
        self.info = after.info.clone().or_else(|| before.info.clone()).or_else(|| self.info.take());
    }
}

/// User and system time of a process, proc_pid_stat(5), in steps of a clock tick (10 ms).
fn process_cpu(pid: u32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name of the program may contain anything, but it ends with the last parenthesis; `state` follows.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let ticks = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    Some(Duration::from_secs_f64(ticks as f64 / clock_ticks_per_second() as f64))
}

fn process_rss(pid: u32) -> Option<u64> {
    let statm = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    Some(statm.split_whitespace().nth(1)?.parse::<u64>().ok()? * page_size() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn info_is_read_at_any_depth() {
        let json = serde_json::json!({"build": {"version": "1"}, "engine": {"io": {"backend": "uring"}, "lanes": [0, 1],
            "shards": 8, "durability": "fsync"}});
        let expected = Info {
            io: Some("uring".into()),
            runtime: None,
            durability: Some("fsync".into()),
            lanes: Some(2),
            shards: Some(8),
        };
        assert_eq!(Info::from_json(&json), expected);
    }

    #[test]
    fn this_process_can_be_seen() {
        assert!(process_cpu(std::process::id()).is_some());
        assert!(process_rss(std::process::id()).is_some_and(|bytes| bytes > 0));
        assert_eq!(process_cpu(u32::MAX), None);
    }
}
