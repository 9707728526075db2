//! What the kernel counts about this process. Whatever cannot be read is left out of the scrape.

use std::fs;

/// Clock ticks a second in `/proc`: part of the kernel's interface, the same on every machine (`USER_HZ`, proc(5)).
const TICKS_PER_SECOND: f64 = 100.0;

/// One look at `/proc`.
#[derive(Clone, Debug, Default)]
pub(super) struct Process {
    pub(super) cpu_seconds: Option<f64>,
    pub(super) uptime_seconds: Option<f64>,
    pub(super) threads: Option<f64>,
    pub(super) resident_bytes: Option<f64>,
    pub(super) virtual_bytes: Option<f64>,
    pub(super) open_fds: Option<f64>,
    pub(super) max_fds: Option<f64>,
    pub(super) load_average_1m: Option<f64>,
}

impl Process {
    /// Reads six small files; none of them waits for a disk.
    pub(super) fn look() -> Process {
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let started = stat_field(&stat, 22).map(|ticks| ticks / TICKS_PER_SECOND);
        let up = first_number("/proc/uptime");
        Process {
            cpu_seconds: stat_field(&stat, 14)
                .zip(stat_field(&stat, 15))
                .map(|(user, system)| (user + system) / TICKS_PER_SECOND),
            uptime_seconds: up.zip(started).map(|(up, started)| up - started),
            threads: stat_field(&stat, 20),
            resident_bytes: status_kilobytes(&status, "VmRSS:"),
            virtual_bytes: status_kilobytes(&status, "VmSize:"),
            open_fds: open_fds(),
            max_fds: max_fds(),
            load_average_1m: first_number("/proc/loadavg"),
        }
    }
}

/// Field `number` of `/proc/self/stat`, counted from 1. The second one is a name in parentheses that may hold anything.
fn stat_field(stat: &str, number: usize) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(") ")?;
    rest.split_ascii_whitespace().nth(number.checked_sub(3)?)?.parse().ok()
}

fn status_kilobytes(status: &str, name: &str) -> Option<f64> {
    let rest = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kilobytes: f64 = rest.split_ascii_whitespace().next()?.parse().ok()?;
    Some(kilobytes * 1024.0)
}

fn first_number(path: &str) -> Option<f64> {
    fs::read_to_string(path).ok()?.split_ascii_whitespace().next()?.parse().ok()
}

/// Since Linux 6.2 the size of the directory is the count; before, it is 0 and every entry must be read.
fn open_fds() -> Option<f64> {
    match fs::metadata("/proc/self/fd").ok()?.len() {
        0 => Some(fs::read_dir("/proc/self/fd").ok()?.count() as f64),
        count => Some(count as f64),
    }
}

fn max_fds() -> Option<f64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let rest = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    rest.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_the_process_may_hold_anything() {
        let stat = "7 (a ) b 9) S 1 7 7 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 3 0 12345 1000 10";
        assert_eq!(stat_field(stat, 14), Some(250.0));
        assert_eq!(stat_field(stat, 15), Some(50.0));
        assert_eq!(stat_field(stat, 20), Some(3.0));
        assert_eq!(stat_field(stat, 22), Some(12_345.0));
        assert_eq!(stat_field("", 14), None);
    }

    #[test]
    fn this_process_can_be_read() {
        let process = Process::look();
        assert!(process.resident_bytes.is_some_and(|bytes| bytes > 100_000.0));
        assert!(process.open_fds.is_some_and(|count| count >= 3.0));
        assert!(process.max_fds.is_some_and(|count| count >= 3.0));
        assert!(process.uptime_seconds.is_some_and(|seconds| (0.0..86_400.0).contains(&seconds)));
        assert!(process.cpu_seconds.is_some() && process.load_average_1m.is_some() && process.threads.is_some());
    }
}
