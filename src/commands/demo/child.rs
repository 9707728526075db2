//! The server of a demo: `orderlane serve` as a child process, killed and started again on the same address.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use orderlane_gateway::auth::Scope;
use orderlane_loadtest::Client;

use crate::cli;
use crate::commands::token;
use crate::error::{Context, Error, Result};

/// A start replays the journal; nobody waits longer than this for it.
const START_MAX: Duration = Duration::from_secs(120);

/// A running server, ended with its owner.
pub(super) struct Child {
    pub(super) address: SocketAddr,
    /// How long it has been down, over all restarts.
    pub(super) down_total: Duration,
    process: std::process::Child,
}

impl Child {
    /// Starts a server and waits until it is ready. Without a data directory it runs without an engine.
    pub(super) fn start(engine: &cli::Engine, data: Option<&Path>, log: &Path, address: SocketAddr) -> Result<Child> {
        let process = spawn(engine, data, log, address)?;
        let mut child = Child { address, down_total: Duration::ZERO, process };
        child.wait_ready(log)?;
        Ok(child)
    }

    pub(super) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// SIGKILL, and a new life on the same data and address.
    pub(super) fn kill_and_restart(&mut self, engine: &cli::Engine, data: Option<&Path>, log: &Path) -> Result<()> {
        let down = Instant::now();
        self.process.kill().context("killing the server")?;
        self.process.wait().context("waiting for the server")?;
        self.process = spawn(engine, data, log, self.address)?;
        self.wait_ready(log)?;
        self.down_total += down.elapsed();
        Ok(())
    }

    /// SIGTERM, and a new life on the same data and address.
    pub(super) fn stop_and_restart(&mut self, engine: &cli::Engine, data: Option<&Path>, log: &Path) -> Result<()> {
        let pid = rustix::process::Pid::from_child(&self.process);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).context("stopping the server")?;
        let status = self.process.wait().context("waiting for the server")?;
        if !status.success() {
            return Err(Error::new(format!("the server ended with {status} instead of draining; {}", tail(log))));
        }
        self.process = spawn(engine, data, log, self.address)?;
        self.wait_ready(log)
    }

    pub(super) fn check_alive(&mut self, log: &Path) -> Result<()> {
        match self.process.try_wait().context("asking for the server")? {
            Some(status) => Err(Error::new(format!("the server ended by itself ({status}); {}", tail(log)))),
            None => Ok(()),
        }
    }

    fn wait_ready(&mut self, log: &Path) -> Result<()> {
        let deadline = Instant::now() + START_MAX;
        let mut client = Client::new(self.address, None);
        while Instant::now() < deadline {
            if client.read("/actuator/health/readiness").is_ok_and(|answer| answer.status == 200) {
                return Ok(());
            }
            self.check_alive(log)?;
            std::thread::sleep(Duration::from_millis(10));
        }
        Err(Error::new(format!("the server was not ready within {} s; {}", START_MAX.as_secs(), tail(log))))
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn spawn(engine: &cli::Engine, data: Option<&Path>, log: &Path, address: SocketAddr) -> Result<std::process::Child> {
    let program = std::env::current_exe().context("asking for this program")?;
    let log = std::fs::OpenOptions::new().create(true).append(true).open(log).context("opening the server's log")?;
    let mut command = Command::new(program);
    command.arg("serve").arg("--listen").arg(address.to_string());
    match data {
        Some(data) => command.arg("--data").arg(data),
        None => command.args(["--no-engine", "--auth", "off"]),
    };
    arguments(engine, &mut command);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().context("starting the server")
}

fn arguments(engine: &cli::Engine, command: &mut Command) {
    let mut flag = |name: &str, value: String| {
        command.arg(format!("--{name}={value}"));
    };
    if let Some(lanes) = engine.lanes {
        flag("lanes", lanes.to_string());
    }
    if let Some(cores) = &engine.cores {
        flag("cores", cores.iter().map(usize::to_string).collect::<Vec<_>>().join(","));
    }
    if let Some(shards) = engine.shards {
        flag("shards", shards.to_string());
    }
    flag("io", format!("{:?}", engine.io).to_lowercase());
    flag("runtime", format!("{:?}", engine.runtime).to_lowercase());
    flag("durability", format!("{:?}", engine.durability).to_lowercase());
    flag("payment", engine.payment.clone());
    flag("hold-ttl", humantime::format_duration(engine.hold_ttl).to_string());
    flag("payment-timeout", humantime::format_duration(engine.payment_timeout).to_string());
    let keep = &engine.keep;
    flag("keep-keys", humantime::format_duration(keep.keep_keys).to_string());
    flag("keep-keys-max", keep.keep_keys_max.to_string());
    flag("keep-orders", humantime::format_duration(keep.keep_orders).to_string());
    flag("archive-run", keep.archive_run.to_string());
    flag("archive-window", keep.archive_window.to_string());
    for (name, size) in [
        ("keep-orders-bytes", keep.keep_orders_bytes),
        ("disk-reserve", keep.disk_reserve),
        ("data-max", keep.data_max),
    ] {
        if let Some(size) = size {
            flag(name, size.to_string());
        }
    }
    flag("log-requests", engine.log_requests.to_string());
    flag("log", engine.log.clone());
    if let Some(directory) = &keep.audit_dir {
        command.arg("--audit-dir").arg(directory);
    }
}

/// The last lines of a server's log, for a message.
fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().rev().take(5).collect();
    format!("its last words:\n{}", lines.into_iter().rev().collect::<Vec<_>>().join("\n"))
}

/// An address on loopback that nobody listens on.
pub(super) fn free_address() -> Result<SocketAddr> {
    let socket = TcpListener::bind("127.0.0.1:0").context("looking for a free port")?;
    socket.local_addr().context("looking for a free port")
}

pub(super) fn admin_token(data: &Path) -> Result<String> {
    token::sign(data, "demo", &[Scope::Admin], Duration::from_secs(24 * 3600))
}
