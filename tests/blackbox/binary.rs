//! The binary under test as a command that runs to its end.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// A command that has not ended by then hangs.
const END_MAX: Duration = Duration::from_secs(30);

/// What a command left behind.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// Asserts that the command refused to work, said all of `words`, and named no internals.
    #[track_caller]
    pub(crate) fn assert_refused(&self, words: &[&str]) {
        assert!(matches!(self.status.code(), Some(1 | 2)), "it should refuse with exit code 1 or 2: {self:?}");
        for word in words {
            assert!(self.stderr.contains(word), "`{word}` is missing: {self:?}");
        }
        assert!(!self.stderr.contains("panicked"), "a refusal is no panic: {self:?}");
    }
}

/// The binary, without any setting of the environment that the tests run in.
pub(crate) fn orderlane(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_orderlane"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ORDERLANE_") {
            command.env_remove(name);
        }
    }
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs a command to its end.
#[track_caller]
pub(crate) fn run(command: &mut Command) -> Ended {
    let mut child = command.spawn().expect("the binary starts");
    // Read while it runs: a full pipe would stop it.
    let stdout = read_all(child.stdout.take().expect("piped"));
    let stderr = read_all(child.stderr.take().expect("piped"));
    let status = wait(&mut child);
    let [stdout, stderr] = [stdout, stderr].map(|reader| reader.join().expect("UTF-8"));
    let status = status.unwrap_or_else(|| panic!("{command:?} did not end\n{stdout}\n{stderr}"));
    Ended { status, stdout, stderr }
}

fn read_all(mut pipe: impl Read + Send + 'static) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut text = String::new();
        pipe.read_to_string(&mut text).expect("UTF-8");
        text
    })
}

/// Waits for the end of a child; one that does not come to it is killed, and that is `None`.
pub(crate) fn wait(child: &mut Child) -> Option<ExitStatus> {
    let deadline = Instant::now() + END_MAX;
    loop {
        if let Some(status) = child.try_wait().expect("asking for the child's status") {
            return Some(status);
        }
        if Instant::now() > deadline {
            let _ = child.kill();
            let _ = child.wait();
            return None;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Kills a child and removes its directory when this process ends without having done so, whatever ended it: then the
/// other end of the watch's standard input is closed.
pub(crate) fn watch(child: &Child, home: &Path) -> Child {
    Command::new("sh")
        .args(["-c", "read -r _; kill -9 \"$1\"; rm -rf \"$2\"", "watch"])
        .arg(child.id().to_string())
        .arg(home)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("a shell")
}
