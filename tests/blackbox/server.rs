//! `orderlane serve` on a free port and a data directory of its own, which can be killed and started again.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::ops::Deref;
use std::path::PathBuf;
use std::process::{Child, ExitStatus};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::binary::{orderlane, run, wait, watch};
use crate::client::{Client, Request};

/// A server that its test owns, alone or with others.
pub(crate) struct Server {
    home: TempDir,
    running: Mutex<Option<Running>>,
    address: Mutex<SocketAddr>,
    tokens: Mutex<HashMap<(String, String), String>>,
}

/// A server that nobody may kill.
pub(crate) struct Shared(&'static Server);

struct Running {
    child: Child,
    watch: Child,
    stdout: Arc<Mutex<String>>,
    stderr: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

impl Server {
    /// Starts one with a fresh data directory.
    #[track_caller]
    pub(crate) fn start(flags: &[&str]) -> Server {
        let server = Server {
            home: TempDir::new().expect("a temporary directory"),
            running: Mutex::new(None),
            address: Mutex::new(SocketAddr::from(([127, 0, 0, 1], 0))),
            tokens: Mutex::default(),
        };
        server.restart(flags);
        server
    }

    /// The server of the tests that only add things of their own names; it lives as long as the tests.
    #[track_caller]
    pub(crate) fn shared() -> Shared {
        static SHARED: OnceLock<Server> = OnceLock::new();
        Shared(SHARED.get_or_init(|| Server::start(&[])))
    }

    /// Starts it again, on another port, with the same data.
    #[track_caller]
    pub(crate) fn restart(&self, flags: &[&str]) {
        let mut running = locked(&self.running);
        assert!(running.is_none(), "it runs already");
        let data = self.data();
        let mut arguments = vec!["serve", "--listen", "127.0.0.1:0", "--data", data.to_str().expect("a UTF-8 path")];
        arguments.extend_from_slice(flags);
        let mut child = orderlane(&arguments).spawn().expect("the binary starts");
        let stderr: Arc<Mutex<String>> = Arc::default();
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        let mut readers = vec![collect(child.stderr.take().expect("piped"), stderr.clone())];
        let mut banner = String::new();
        let _ = stdout.read_line(&mut banner);
        let Some(address) = banner.trim().rsplit_once("http://").and_then(|(_, address)| address.parse().ok()) else {
            let _ = child.kill();
            let status = child.wait();
            panic!("no server with {flags:?}: {status:?} {banner}\n{}", locked(&stderr));
        };
        let rest: Arc<Mutex<String>> = Arc::default();
        readers.push(collect(stdout, rest.clone()));
        *locked(&self.address) = address;
        *running = Some(Running { watch: watch(&child, self.home.path()), child, stdout: rest, stderr, readers });
        drop(running);
        let management = self.banner("management");
        let management = management.strip_prefix("http://").and_then(|rest| rest.split('/').next()?.parse().ok());
        let mut client = Client::anonymous(management.expect("an address"));
        let ready = client.send(&Request::get("/actuator/health/readiness"));
        assert_eq!(ready.status, 200, "the banner comes when it is ready: {ready:?}");
    }

    /// SIGKILL, as if the power of the process had failed.
    pub(crate) fn kill(&self) {
        locked(&self.running).take().expect("it runs").kill();
    }

    /// SIGTERM, without waiting for what comes of it.
    pub(crate) fn begin_terminate(&self) {
        let running = locked(&self.running);
        let child = &running.as_ref().expect("it runs").child;
        kill_process(Pid::from_child(child), Signal::TERM).expect("SIGTERM");
    }

    /// Waits for the end after SIGTERM; gives what it logged too.
    #[track_caller]
    pub(crate) fn wait_end(&self) -> (ExitStatus, String) {
        let mut running = locked(&self.running).take().expect("it runs");
        running.end_watch();
        let status = wait(&mut running.child);
        let stderr = running.stderr.clone();
        running.join();
        let stderr = locked(&stderr).clone();
        (status.unwrap_or_else(|| panic!("it did not drain\n{stderr}")), stderr)
    }

    /// SIGTERM and the end, which must be a clean one.
    #[track_caller]
    pub(crate) fn terminate(&self) {
        self.begin_terminate();
        let (status, stderr) = self.wait_end();
        assert_eq!(status.code(), Some(0), "{stderr}");
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.home.path().join("data")
    }

    pub(crate) fn address(&self) -> SocketAddr {
        *locked(&self.address)
    }

    /// What the banner says under a name.
    #[track_caller]
    pub(crate) fn banner(&self, name: &str) -> String {
        let stdout = locked(&self.running).as_ref().expect("it runs").stdout.clone();
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            let text = locked(&stdout).clone();
            if let Some(value) = text.lines().find_map(|line| line.trim_start().strip_prefix(name)) {
                return value.trim().to_owned();
            }
            assert!(Instant::now() < deadline, "no {name} in {text}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// A token as `orderlane token` prints it.
    #[track_caller]
    pub(crate) fn token(&self, subject: &str, scope: &str) -> String {
        let mut tokens = locked(&self.tokens);
        let print = || {
            let data = self.data();
            let data = data.to_str().expect("a UTF-8 path");
            let ended = run(&mut orderlane(&["token", "--data", data, "--subject", subject, "--scope", scope]));
            assert!(ended.status.success(), "{ended:?}");
            ended.stdout.trim().to_owned()
        };
        tokens.entry((subject.to_owned(), scope.to_owned())).or_insert_with(print).clone()
    }

    /// A client that may do everything.
    #[track_caller]
    pub(crate) fn admin(&self) -> Client {
        self.client("root", "admin")
    }

    /// A client that places and reads orders.
    #[track_caller]
    pub(crate) fn customer(&self, subject: &str) -> Client {
        self.client(subject, "orders:write orders:read")
    }

    #[track_caller]
    pub(crate) fn client(&self, subject: &str, scope: &str) -> Client {
        Client::new(self.address(), self.token(subject, scope))
    }
}

impl Running {
    /// SIGKILL and the end.
    fn kill(mut self) {
        self.end_watch();
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.join();
    }

    /// Before the child has been waited for, so that the watch never sees a process id that has been given to another.
    fn end_watch(&mut self) {
        let _ = self.watch.kill();
        let _ = self.watch.wait();
    }

    fn join(self) {
        for reader in self.readers {
            let _ = reader.join();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let running = self.running.get_mut().unwrap_or_else(PoisonError::into_inner);
        let Some(running) = running.take() else { return };
        let stderr = running.stderr.clone();
        running.kill();
        print_log_of_failure(&stderr);
    }
}

impl Deref for Shared {
    type Target = Server;

    fn deref(&self) -> &Server {
        self.0
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(running) = &*locked(&self.0.running) {
            print_log_of_failure(&running.stderr);
        }
    }
}

fn print_log_of_failure(stderr: &Mutex<String>) {
    if std::thread::panicking() {
        eprintln!("the server's log:\n{}", locked(stderr));
    }
}

/// Keeps what a pipe brings, so that the child never waits for a reader.
fn collect(pipe: impl Read + Send + 'static, text: Arc<Mutex<String>>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            let mut text = locked(&text);
            text.push_str(&line);
            text.push('\n');
        }
    })
}

/// A lock that the panic of another test has not spoiled.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
