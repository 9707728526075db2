//! The same seed in two processes: the traces are equal, byte by byte. What differs between processes (addresses, the seeds of
//! hash tables, the clock) would show.

use std::process::{Command, Stdio};

/// Compares so many seeds; true when all are equal.
///
/// # Errors
/// When this program cannot be started again.
pub fn check(start: u64, seeds: u64) -> Result<bool, String> {
    let mut differences = 0;
    let mut bytes = 0;
    for seed in start..start.saturating_add(seeds) {
        let (one, other) = (begin(seed)?, begin(seed)?);
        let (one, other) = (end(one)?, end(other)?);
        bytes += one.1.len();
        if one.1.is_empty() {
            return Err(format!("seed {seed} gave no trace"));
        }
        if one != other {
            differences += 1;
            println!("seed {seed}: {}", first_difference(&one.1, &other.1));
        }
    }
    println!("{seeds} seeds twice, {bytes} bytes of traces, differences {differences}");
    Ok(differences == 0)
}

fn begin(seed: u64) -> Result<std::process::Child, String> {
    let program = std::env::current_exe().map_err(|error| format!("where this program is: {error}"))?;
    let child = Command::new(program)
        .args(["--trace", "--seed", &seed.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    child.map_err(|error| format!("starting this program again: {error}"))
}

/// How it ended, and its trace.
fn end(child: std::process::Child) -> Result<(Option<i32>, Vec<u8>), String> {
    let output = child.wait_with_output().map_err(|error| format!("waiting for the other process: {error}"))?;
    Ok((output.status.code(), output.stdout))
}

fn first_difference(one: &[u8], other: &[u8]) -> String {
    let (one, other) = (String::from_utf8_lossy(one), String::from_utf8_lossy(other));
    let differs = one.lines().zip(other.lines()).enumerate().find(|(_, (one, other))| one != other);
    match differs {
        Some((index, (one, other))) => format!("line {}\n  {one}\n  {other}", index + 1),
        None => format!("{} lines and {} lines, or another end", one.lines().count(), other.lines().count()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_differs_is_named() {
        assert_eq!(first_difference(b"a\nb\nc", b"a\nx\nc"), "line 2\n  b\n  x");
        assert!(first_difference(b"a\n", b"a\nb\n").starts_with("1 lines and 2 lines"));
    }
}
