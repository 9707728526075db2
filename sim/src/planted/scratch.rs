//! A copy of the tree in which patches are tried. It is kept from one hunt to the next, with what was built there.

use crate::campaign::EXIT_ENDLESS;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::planted::patch::Patch;

/// A run of the simulator that takes longer than this hangs.
const RUN_TIME_MAX: Duration = Duration::from_secs(30 * 60);

/// The copy. One hunt at a time uses it.
#[derive(Debug)]
pub(crate) struct Scratch {
    root: PathBuf,
    tree: PathBuf,
    /// Held as long as this is.
    _lock: File,
}

/// What a run of the simulator found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ran {
    Clean,
    Caught { invariant: String, seeds: u64 },
    Broken(String),
}

/// A patch that was applied.
#[must_use = "a patch is taken back before the next one"]
pub(crate) struct Applied {
    originals: Vec<(PathBuf, String)>,
}

impl Scratch {
    /// Makes the copy, or brings it up to date.
    pub(crate) fn prepare(root: Option<PathBuf>) -> Result<Scratch, String> {
        let source = workspace();
        let root =
            root.unwrap_or_else(|| std::env::temp_dir().join(format!("orderlane-planted-{:08x}", place(&source))));
        let tree = root.join("tree");
        fs::create_dir_all(&tree).map_err(error_at(&root))?;
        let lock = File::create(root.join("lock")).map_err(error_at(&root))?;
        lock.try_lock().map_err(|error| format!("another hunt is under way in {}: {error}", root.display()))?;
        let mut kept = BTreeSet::new();
        copy(&source, &tree, &mut kept)?;
        remove_others(&tree, &kept)?;
        Ok(Scratch { root, tree, _lock: lock })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Changes the copy. Nothing is changed when the patch does not apply.
    pub(crate) fn apply(&self, patch: &Patch) -> Result<Applied, String> {
        let mut changes = Vec::new();
        for file in patch.files() {
            let path = self.tree.join(file);
            let text = fs::read_to_string(&path).map_err(error_at(&path))?;
            let changed = patch.applied(file, &text)?;
            changes.push((path, text, changed));
        }
        for (path, _, changed) in &changes {
            fs::write(path, changed).map_err(error_at(path))?;
        }
        Ok(Applied { originals: changes.into_iter().map(|(path, text, _)| (path, text)).collect() })
    }

    /// Builds the simulator of the copy; false when it does not compile.
    pub(crate) fn build(&self) -> Result<bool, String> {
        let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args(["build", "--quiet", "--profile", "sim", "--package", "orderlane-sim"])
            .current_dir(&self.tree)
            .env("CARGO_TARGET_DIR", self.root.join("target"))
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("cargo is needed and cannot be started: {error}"))?;
        if !output.status.success() {
            eprintln!("{}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(output.status.success())
    }

    /// Keeps the simulator that was built, as the one of the tree without a patch.
    pub(crate) fn keep_control(&self) -> Result<(), String> {
        let (built, control) = (self.root.join("target/sim/orderlane-sim"), self.root.join("control"));
        fs::copy(&built, &control).map_err(error_at(&control)).map(|_| ())
    }

    /// Whether a seed runs well in the tree without a patch: then the patch is what was caught.
    pub(crate) fn is_clean_without(&self, seed: u64) -> Result<bool, String> {
        let control = self.root.join("control");
        let run = Command::new(&control).args(["--seed", &seed.to_string()]).output().map_err(error_at(&control))?;
        Ok(run.status.success())
    }

    /// Runs the simulator that was built over so many seeds, until the first failure.
    pub(crate) fn run(&self, seeds: u64, threads: usize) -> Result<Ran, String> {
        let (report, log) = (self.root.join("report.json"), self.root.join("log"));
        if let Err(error) = fs::remove_file(&report)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error_at(&report)(error));
        }
        let log_file = File::create(&log).map_err(error_at(&log))?;
        let log_also = log_file.try_clone().map_err(error_at(&log))?;
        let program = self.root.join("target/sim/orderlane-sim");
        let mut child = Command::new(&program)
            .args(["--stop-at-first", "--no-shrink", "--seeds", &seeds.to_string(), "--threads", &threads.to_string()])
            .arg("--json")
            .arg(&report)
            .stdin(Stdio::null())
            .stdout(log_file)
            .stderr(log_also)
            .spawn()
            .map_err(error_at(&program))?;
        let begun = Instant::now();
        let status = loop {
            match child.try_wait().map_err(error_at(&program))? {
                Some(status) => break status,
                None if begun.elapsed() > RUN_TIME_MAX => {
                    child.kill().and_then(|()| child.wait()).map_err(error_at(&program))?;
                    return Ok(Ran::Broken("the simulator hangs".to_owned()));
                }
                None => thread::sleep(Duration::from_millis(50)),
            }
        };
        if status.code() == Some(EXIT_ENDLESS) {
            let said = fs::read_to_string(&log).map_err(error_at(&log))?;
            let seed = said.lines().rev().find_map(|line| line.strip_prefix("seed ")?.split(' ').next()?.parse().ok());
            return Ok(Ran::Caught { invariant: "every-world-ends".to_owned(), seeds: seed.unwrap_or(seeds) });
        }
        let Ok(text) = fs::read_to_string(&report) else {
            return Ok(Ran::Broken(format!("the simulator ended with {status}, see {}", log.display())));
        };
        Ok(read_report(&text).unwrap_or_else(|| Ran::Broken(format!("a report without sense, see {}", log.display()))))
    }
}

impl Applied {
    /// Writes the files as they were. Their time is now, so that cargo builds them again.
    pub(crate) fn take_back(self) -> Result<(), String> {
        self.originals.iter().try_for_each(|(path, text)| fs::write(path, text).map_err(error_at(path)))
    }
}

/// The lowest seed that failed, if one did. A kind of fault that was not met is nothing here: a short run may miss it.
fn read_report(text: &str) -> Option<Ran> {
    let report: serde_json::Value = serde_json::from_str(text).ok()?;
    let start = report["start"].as_u64()?;
    let violations = report["violations"].as_array()?;
    let seed_of = |violation: &serde_json::Value| violation["seed"].as_u64();
    if let Some(first) = violations.iter().filter(|violation| seed_of(violation).is_some()).min_by_key(|v| seed_of(v)) {
        let invariant = first["invariant"].as_str()?.to_owned();
        return Some(Ran::Caught { invariant, seeds: seed_of(first)?.wrapping_sub(start) + 1 });
    }
    match report["differences"].as_array()?.iter().filter_map(serde_json::Value::as_u64).min() {
        Some(seed) => Some(Ran::Caught { invariant: "determinism".to_owned(), seeds: seed.wrapping_sub(start) + 1 }),
        None => Some(Ran::Clean),
    }
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("sim is a directory of the workspace").to_owned()
}

/// A number for a path, so that two work trees do not share a copy.
fn place(path: &Path) -> u32 {
    path.as_os_str()
        .as_encoded_bytes()
        .iter()
        .fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

/// Copies what differs, so that what is the same keeps its time and is not built again.
fn copy(from: &Path, to: &Path, kept: &mut BTreeSet<PathBuf>) -> Result<(), String> {
    for entry in fs::read_dir(from).map_err(error_at(from))? {
        let entry = entry.map_err(error_at(from))?;
        let kind = entry.file_type().map_err(error_at(&entry.path()))?;
        let name = entry.file_name();
        let (source, target) = (entry.path(), to.join(&name));
        if kind.is_dir() {
            let text = name.to_string_lossy();
            if text == ".cargo" || !(text.starts_with('.') || text.starts_with("target") || text == "data") {
                fs::create_dir_all(&target).map_err(error_at(&target))?;
                copy(&source, &target, kept)?;
                kept.insert(target);
            }
        } else if kind.is_file() {
            let bytes = fs::read(&source).map_err(error_at(&source))?;
            if fs::read(&target).ok().as_ref() != Some(&bytes) {
                fs::write(&target, bytes).map_err(error_at(&target))?;
            }
            kept.insert(target);
        }
    }
    Ok(())
}

fn remove_others(tree: &Path, kept: &BTreeSet<PathBuf>) -> Result<(), String> {
    for entry in fs::read_dir(tree).map_err(error_at(tree))? {
        let path = entry.map_err(error_at(tree))?.path();
        let is_directory = path.symlink_metadata().map_err(error_at(&path))?.is_dir();
        match (kept.contains(&path), is_directory) {
            (true, true) => remove_others(&path, kept)?,
            (true, false) => {}
            (false, true) => fs::remove_dir_all(&path).map_err(error_at(&path))?,
            (false, false) => fs::remove_file(&path).map_err(error_at(&path))?,
        }
    }
    Ok(())
}

fn error_at(path: &Path) -> impl Fn(io::Error) -> String {
    let path = path.to_owned();
    move |error| format!("{}: {error}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_follows_its_source_and_keeps_the_time_of_what_is_the_same() {
        let directory = tempfile::TempDir::new().expect("a directory for the test");
        let (from, to) = (directory.path().join("from"), directory.path().join("to"));
        let write = |name: &str, text: &str| {
            let path = from.join(name);
            fs::create_dir_all(path.parent().expect("in `from`")).expect("made");
            fs::write(path, text).expect("written");
        };
        let bring = || {
            fs::create_dir_all(&to).expect("made");
            let mut kept = BTreeSet::new();
            copy(&from, &to, &mut kept).and_then(|()| remove_others(&to, &kept)).expect("copied");
        };
        [("a.rs", "a"), ("b/c.rs", "c"), ("target-x/big", "no"), (".git/x", "no"), (".cargo/config.toml", "yes")]
            .iter()
            .for_each(|(name, text)| write(name, text));
        bring();
        assert!(to.join("b/c.rs").exists() && to.join(".cargo/config.toml").exists());
        assert!(!to.join("target-x").exists() && !to.join(".git").exists());
        let time = |name: &str| fs::metadata(to.join(name)).and_then(|data| data.modified()).expect("there");
        let before = time("a.rs");
        fs::write(to.join("b/c.rs"), "patched").expect("written");
        fs::write(to.join("b/other"), "x").expect("written");
        bring();
        assert_eq!(time("a.rs"), before);
        assert_eq!(fs::read_to_string(to.join("b/c.rs")).expect("there"), "c");
        assert!(!to.join("b/other").exists());
    }

    #[test]
    fn a_report_says_what_was_caught() {
        let report = |violations: &str, differences: &str| {
            read_report(&format!(r#"{{"start":5,"violations":[{violations}],"differences":[{differences}]}}"#))
        };
        assert_eq!(report("", ""), Some(Ran::Clean));
        let two = r#"{"seed":9,"invariant":"b"},{"seed":7,"invariant":"a"}"#;
        assert_eq!(report(two, "6"), Some(Ran::Caught { invariant: "a".to_owned(), seeds: 3 }));
        assert_eq!(report("", "8"), Some(Ran::Caught { invariant: "determinism".to_owned(), seeds: 4 }));
        assert_eq!(read_report("{}"), None);
    }
}
