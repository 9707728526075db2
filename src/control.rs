//! The control socket of a running server: one line of JSON in, one line out. The data directory's owner speaks here.
//!
//! `{"backup":"/abs/dir"}` is answered by `{"report":{…}}` when the copy stands there, or by `{"error":"why not"}`.

use std::fs::{self, File, Permissions};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::aside::Aside;
use crate::data::DataDirectory;
use crate::error::{Context, Error, Result};

/// Bytes of a request, at most: a path is no longer than 4096.
const REQUEST_BYTES_MAX: u64 = 64 * 1024;
/// A client that connects speaks at once.
const REQUEST_SECONDS_MAX: Duration = Duration::from_secs(10);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    backup: PathBuf,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Answer {
    Report(Value),
    Error(String),
}

/// The socket of this server. It goes with its owner.
pub(crate) struct Control {
    data: PathBuf,
}

impl Control {
    /// Listens in the data directory `data`, on a thread of its own, for one request after the other. `backup` copies the whole
    /// into an empty directory, durably, and gives its report, an object in JSON.
    pub(crate) fn listen(
        data: &Path,
        backup: impl Fn(PathBuf) -> std::result::Result<String, String> + Send + 'static,
    ) -> Result<Control> {
        let action = || format!("listening on {}", DataDirectory::control_socket(data).display());
        // Left by a server that was killed: the lock says that nobody listens there.
        match fs::remove_file(DataDirectory::control_socket(data)) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(Error::new(format!("{}: {error}", action())));
            }
            _ => {}
        }
        let listener = reach(data, |path| {
            let listener = UnixListener::bind(path)?;
            fs::set_permissions(path, Permissions::from_mode(0o600))?;
            Ok(listener)
        });
        let listener = listener.context(action())?;
        let listen = move || {
            for stream in listener.incoming() {
                let answered = stream.and_then(|stream| answer(&stream, &backup));
                // The client is gone, or there are no descriptors: the next one may fare better.
                if let Err(error) = answered {
                    tracing::warn!(%error, "a request on the control socket was not answered");
                    std::thread::sleep(Duration::from_millis(100));
                }
            }
        };
        std::thread::Builder::new().name("control".into()).spawn(listen).context(action())?;
        Ok(Control { data: data.to_owned() })
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = fs::remove_file(DataDirectory::control_socket(&self.data));
    }
}

/// Asks the server that runs on `data` for a copy at `target`; gives the report.
pub(crate) fn ask_for_backup(data: &Path, target: &Path) -> Result<String> {
    let socket = DataDirectory::control_socket(data);
    let action = || format!("asking the server through {}", socket.display());
    let mut stream = reach(data, |path| UnixStream::connect(path)).context(action())?;
    let mut request = serde_json::to_vec(&Request { backup: target.to_owned() }).context(action())?;
    request.push(b'\n');
    stream.write_all(&request).context(action())?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).context(action())?;
    if line.is_empty() {
        return Err(Error::new(format!("{}: it ended before it had answered", action())));
    }
    match serde_json::from_str(&line).context(action())? {
        Answer::Report(report) => Ok(report.to_string()),
        Answer::Error(error) => Err(Error::new(error)),
    }
}

/// Calls `call` with a path of the socket that is short enough for its address, 108 bytes, wherever the directory is.
fn reach<T>(data: &Path, call: impl FnOnce(&Path) -> std::io::Result<T>) -> std::io::Result<T> {
    let directory = File::open(data)?;
    call(&DataDirectory::control_socket(Path::new(&format!("/proc/self/fd/{}", directory.as_raw_fd()))))
}

fn answer(
    stream: &UnixStream,
    backup: &impl Fn(PathBuf) -> std::result::Result<String, String>,
) -> std::io::Result<()> {
    stream.set_read_timeout(Some(REQUEST_SECONDS_MAX))?;
    stream.set_write_timeout(Some(REQUEST_SECONDS_MAX))?;
    let mut line = Vec::new();
    BufReader::new(stream.take(REQUEST_BYTES_MAX)).read_until(b'\n', &mut line)?;
    let answer = match serde_json::from_slice::<Request>(&line) {
        Ok(request) => match backup_aside(&request.backup, backup) {
            Ok(report) => Answer::Report(report),
            Err(error) => Answer::Error(error.to_string()),
        },
        Err(error) => Answer::Error(format!("not a request: {error}")),
    };
    let mut text = serde_json::to_vec(&answer).expect("an answer is JSON");
    text.push(b'\n');
    let mut stream = stream;
    stream.write_all(&text)
}

fn backup_aside(target: &Path, backup: &impl Fn(PathBuf) -> std::result::Result<String, String>) -> Result<Value> {
    if !target.is_absolute() {
        return Err(Error::new(format!("{} is not an absolute path", target.display())));
    }
    let aside = Aside::new(target)?;
    let report = backup(aside.path().to_owned()).map_err(Error::new)?;
    let report: Value = serde_json::from_str(&report).context("reading the report of the backup")?;
    aside.finish()?;
    tracing::info!(target = %target.display(), %report, "backup");
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A name as long as a name can be: the address of a socket takes 108 bytes.
    fn long_directory(home: &Path) -> PathBuf {
        let data = home.join("d".repeat(200));
        fs::create_dir(&data).expect("made");
        data
    }

    #[test]
    fn a_backup_is_asked_for_and_stands_there_when_it_is_answered() {
        let home = tempfile::tempdir().expect("a temporary directory");
        let data = long_directory(home.path());
        fs::write(DataDirectory::control_socket(&data), "stale").expect("written");
        let control = Control::listen(&data, |target| {
            fs::write(target.join("file"), "copied").map_err(|error| error.to_string())?;
            Ok(r#"{"bytes":6}"#.to_owned())
        });
        let control = control.expect("it listens");
        let mode = fs::metadata(DataDirectory::control_socket(&data)).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        let target = home.path().join("backup");
        assert_eq!(ask_for_backup(&data, &target).expect("a backup"), r#"{"bytes":6}"#);
        assert_eq!(fs::read_to_string(target.join("file")).expect("there"), "copied");
        let again = ask_for_backup(&data, &target).expect_err("it is there").to_string();
        assert!(again.contains("not empty"), "{again}");
        assert!(ask_for_backup(&data, Path::new("relative")).is_err());

        drop(control);
        assert!(!DataDirectory::control_socket(&data).exists());
    }

    #[test]
    fn a_failed_backup_leaves_nothing_and_the_next_request_is_served() {
        let home = tempfile::tempdir().expect("a temporary directory");
        let data = long_directory(home.path());
        let _control = Control::listen(&data, |_| Err("the disk is full".to_owned())).expect("it listens");
        for _ in 0..2 {
            let refused = ask_for_backup(&data, &home.path().join("backup")).expect_err("it fails").to_string();
            assert!(refused.contains("the disk is full"), "{refused}");
        }
        assert_eq!(fs::read_dir(home.path()).expect("there").count(), 1, "only the data directory");
        let mut stream = reach(&data, |path| UnixStream::connect(path)).expect("it listens");
        stream.write_all(b"{\"drop\":\"tables\"}\n").expect("sent");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("an answer");
        assert!(text.contains("not a request"), "{text}");
    }
}
