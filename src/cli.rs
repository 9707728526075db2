//! The command line: every flag is also an environment variable `ORDERLANE_…` and a key of the configuration file.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::byte_size::ByteSize;

/// A thread-per-core, shared-nothing order-processing engine.
#[derive(Parser)]
#[command(name = "orderlane", version, args_override_self = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Runs the engine until SIGTERM or SIGINT, then drains (the default command).
    #[command(args_override_self = true)]
    Serve(Serve),
    /// Everything in one go: serve, load, kill, restart, check, report.
    #[command(args_override_self = true)]
    Demo(Demo),
    /// Open-loop load generator.
    #[command(args_override_self = true)]
    Loadtest(Loadtest),
    /// Prints a token signed by the development key of a data directory.
    #[command(args_override_self = true)]
    Token(Token),
    /// Reads a data directory offline.
    Journal(Journal),
    /// Makes a consistent copy of a data directory, also of one in use.
    #[command(args_override_self = true)]
    Backup(Backup),
    /// Makes a data directory of a backup, and checks it.
    #[command(args_override_self = true)]
    Restore(Restore),
    /// Exit 0 if a server is ready.
    #[command(args_override_self = true)]
    Healthcheck(Healthcheck),
}

#[derive(Args, Clone)]
pub(crate) struct Serve {
    /// Address of the API; every lane listens on it.
    #[arg(long, env = "ORDERLANE_LISTEN", default_value = "127.0.0.1:8080")]
    pub(crate) listen: SocketAddr,
    /// Address of /actuator, when it is to have a port of its own.
    #[arg(long, env = "ORDERLANE_MANAGEMENT_LISTEN")]
    pub(crate) management_listen: Option<SocketAddr>,
    #[command(flatten)]
    pub(crate) engine: Engine,
    /// Answer every order at the gateway: no engine, no data directory. For measuring the ceiling.
    #[arg(long, env = "ORDERLANE_NO_ENGINE", hide = true)]
    pub(crate) no_engine: bool,
    /// A TOML file; each key is the name of a flag.
    #[arg(long, env = "ORDERLANE_CONFIG")]
    pub(crate) config: Option<PathBuf>,
}

/// What `serve` and `demo` have in common.
#[derive(Args, Clone)]
pub(crate) struct Engine {
    /// Data directory: journal and development key. Made when it does not exist.
    #[arg(long, env = "ORDERLANE_DATA")]
    pub(crate) data: Option<PathBuf>,
    /// Threads, each with its shards; the cores of the affinity mask when absent.
    #[arg(long, env = "ORDERLANE_LANES", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) lanes: Option<u16>,
    /// Cores to pin the lanes to, such as 0,2.
    #[arg(long, env = "ORDERLANE_CORES", value_delimiter = ',')]
    pub(crate) cores: Option<Vec<usize>>,
    /// Shards of a new data directory, fixed from then on [default: 8].
    #[arg(long, env = "ORDERLANE_SHARDS", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) shards: Option<u16>,
    /// How to talk to the kernel.
    #[arg(long, env = "ORDERLANE_IO", value_enum, default_value = "auto")]
    pub(crate) io: Io,
    /// Runtime of the lanes, of those compiled in.
    #[arg(long, env = "ORDERLANE_RUNTIME", value_enum, default_value = "monoio")]
    pub(crate) runtime: Runtime,
    /// When an order counts as durable: fsync survives a power cut, os survives a process kill.
    #[arg(long, env = "ORDERLANE_DURABILITY", value_enum, default_value = "fsync")]
    pub(crate) durability: Durability,
    /// Who may call: dev (key made in the data directory), jwks=FILE, off (loopback only).
    #[arg(long, env = "ORDERLANE_AUTH", default_value = "dev")]
    pub(crate) auth: String,
    /// Payment provider: simulated.
    #[arg(long, env = "ORDERLANE_PAYMENT", default_value = "simulated")]
    pub(crate) payment: String,
    /// From placing an order to the end of its hold.
    #[arg(long, env = "ORDERLANE_HOLD_TTL", default_value = "60s", value_parser = humantime::parse_duration)]
    pub(crate) hold_ttl: Duration,
    /// How long a call to the payment provider may take before its outcome is unknown.
    #[arg(long, env = "ORDERLANE_PAYMENT_TIMEOUT", default_value = "2s", value_parser = humantime::parse_duration)]
    pub(crate) payment_timeout: Duration,
    #[command(flatten)]
    pub(crate) keep: Keep,
    /// Log one request in N; 0 logs none but errors.
    #[arg(long, env = "ORDERLANE_LOG_REQUESTS", default_value_t = 1000)]
    pub(crate) log_requests: u64,
    /// What to log, as tracing's EnvFilter reads it.
    #[arg(long, env = "ORDERLANE_LOG", default_value = "info")]
    pub(crate) log: String,
}

/// What is kept, how long, and how much of it.
#[derive(Args, Clone)]
pub(crate) struct Keep {
    /// How long an idempotency key is honoured, from the end of the order's saga.
    #[arg(long, env = "ORDERLANE_KEEP_KEYS", default_value = "24h", value_parser = humantime::parse_duration)]
    pub(crate) keep_keys: Duration,
    /// Idempotency keys of finished orders that are kept at most, the oldest go first; 0 is no limit.
    #[arg(long, env = "ORDERLANE_KEEP_KEYS_MAX", default_value_t = 100_000_000)]
    pub(crate) keep_keys_max: u64,
    /// How long a finished order is kept.
    #[arg(long, env = "ORDERLANE_KEEP_ORDERS", default_value = "30d", value_parser = humantime::parse_duration)]
    pub(crate) keep_orders: Duration,
    /// Bytes of finished orders that are kept at most, the oldest go first, such as 50GB [default: no limit].
    #[arg(long, env = "ORDERLANE_KEEP_ORDERS_BYTES")]
    pub(crate) keep_orders_bytes: Option<ByteSize>,
    /// Directory to which finished orders are written as NDJSON before they are dropped [default: they are dropped].
    #[arg(long, env = "ORDERLANE_AUDIT_DIR")]
    pub(crate) audit_dir: Option<PathBuf>,
    /// Bytes of the disk that stay free: with fewer, new orders are refused [default: 192MiB a lane and 64MiB].
    #[arg(long, env = "ORDERLANE_DISK_RESERVE")]
    pub(crate) disk_reserve: Option<ByteSize>,
    /// Bytes that the data directory may use: beyond it, new orders are refused [default: no limit].
    #[arg(long, env = "ORDERLANE_DATA_MAX")]
    pub(crate) data_max: Option<ByteSize>,
    /// Finished orders of a lane beyond which it archives them. For tests.
    #[arg(long, env = "ORDERLANE_ARCHIVE_RUN", hide = true, default_value_t = 131_072, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) archive_run: u64,
    /// Orders of a window of the archive, which goes as a whole. For tests.
    #[arg(long, env = "ORDERLANE_ARCHIVE_WINDOW", hide = true, default_value_t = 4_194_304, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) archive_window: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Io {
    Auto,
    Uring,
    Epoll,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Runtime {
    Monoio,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Durability {
    Fsync,
    Os,
}

/// How much load, of what kind.
#[derive(Args, Clone)]
pub(crate) struct Load {
    /// Orders a second, open loop; or max, a closed loop.
    #[arg(long, env = "ORDERLANE_RATE", default_value = "max")]
    pub(crate) rate: String,
    /// For how long.
    #[arg(long, env = "ORDERLANE_SECONDS", default_value_t = 10.0)]
    pub(crate) seconds: f64,
    /// Connections.
    #[arg(long, env = "ORDERLANE_CONNECTIONS", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub(crate) connections: u32,
    /// Requests in flight on each connection.
    #[arg(long, env = "ORDERLANE_PIPELINE", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) pipeline: u32,
    /// Customers.
    #[arg(long, env = "ORDERLANE_CUSTOMERS", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) customers: u64,
    /// SKUs of the catalogue.
    #[arg(long, env = "ORDERLANE_SKUS", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub(crate) skus: u32,
    /// Lines of an order.
    #[arg(long, env = "ORDERLANE_LINES", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=50))]
    pub(crate) lines: u32,
    /// Exponent of the Zipf distribution of SKUs; 0 is uniform.
    #[arg(long, env = "ORDERLANE_SKEW", default_value_t = 0.0)]
    pub(crate) skew: f64,
    /// Orders a request.
    #[arg(long, env = "ORDERLANE_BATCH", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) batch: u32,
    /// Seed of the orders.
    #[arg(long, env = "ORDERLANE_SEED", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Write the report as JSON to this file.
    #[arg(long, env = "ORDERLANE_JSON")]
    pub(crate) json: Option<PathBuf>,
}

#[derive(Args, Clone)]
pub(crate) struct Demo {
    #[command(flatten)]
    pub(crate) load: Load,
    #[command(flatten)]
    pub(crate) engine: Engine,
    /// How often the server is killed with SIGKILL and started again.
    #[arg(long, env = "ORDERLANE_KILLS", default_value_t = 1)]
    pub(crate) kills: u32,
    /// Measure also the same gateway and driver without engine and journal.
    #[arg(long, env = "ORDERLANE_CEILING")]
    pub(crate) ceiling: bool,
    /// Use the real servers.
    #[arg(long, hide = true)]
    pub(crate) production: bool,
    /// A TOML file; each key is the name of a flag.
    #[arg(long, env = "ORDERLANE_CONFIG")]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Args, Clone)]
pub(crate) struct Loadtest {
    /// The server, such as http://127.0.0.1:8080.
    #[arg(long, env = "ORDERLANE_TARGET")]
    pub(crate) target: String,
    /// A token with the scopes orders:write and orders:read.
    #[arg(long, env = "ORDERLANE_TOKEN")]
    pub(crate) token: Option<String>,
    /// Load the catalogue first (needs catalog:write).
    #[arg(long, env = "ORDERLANE_LOAD_CATALOGUE")]
    pub(crate) load_catalogue: bool,
    #[command(flatten)]
    pub(crate) load: Load,
    /// A TOML file; each key is the name of a flag.
    #[arg(long, env = "ORDERLANE_CONFIG")]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Args, Clone)]
pub(crate) struct Token {
    /// Data directory that holds the key.
    #[arg(long, env = "ORDERLANE_DATA", default_value = "./orderlane-data")]
    pub(crate) data: PathBuf,
    /// Who the token is for.
    #[arg(long, env = "ORDERLANE_SUBJECT")]
    pub(crate) subject: String,
    /// Scopes, separated by spaces or commas.
    #[arg(long, env = "ORDERLANE_SCOPE", default_value = "orders:write orders:read")]
    pub(crate) scope: String,
    /// How long it is valid.
    #[arg(long, env = "ORDERLANE_TTL", default_value = "1h", value_parser = humantime::parse_duration)]
    pub(crate) ttl: Duration,
}

#[derive(Args, Clone)]
pub(crate) struct Journal {
    #[command(subcommand)]
    pub(crate) command: JournalCommand,
}

#[derive(Subcommand, Clone)]
pub(crate) enum JournalCommand {
    /// Recovers on the side and checks every invariant; exit 1 on a violation.
    Verify {
        /// Data directory.
        #[arg(long, env = "ORDERLANE_DATA", default_value = "./orderlane-data")]
        data: PathBuf,
        /// Print the object of /v1/invariants.
        #[arg(long)]
        json: bool,
    },
    /// Lists the segments.
    Show {
        /// Data directory.
        #[arg(long, env = "ORDERLANE_DATA", default_value = "./orderlane-data")]
        data: PathBuf,
    },
    /// Writes every event as a line of JSON to standard output.
    Export {
        /// Data directory.
        #[arg(long, env = "ORDERLANE_DATA", default_value = "./orderlane-data")]
        data: PathBuf,
        /// Write the archived orders instead.
        #[arg(long)]
        orders: bool,
    },
}

#[derive(Args, Clone)]
pub(crate) struct Backup {
    /// Data directory.
    #[arg(long, env = "ORDERLANE_DATA", default_value = "./orderlane-data")]
    pub(crate) data: PathBuf,
    /// The copy: a directory that does not exist or is empty.
    #[arg(value_name = "DIR")]
    pub(crate) target: PathBuf,
}

#[derive(Args, Clone)]
pub(crate) struct Restore {
    /// What `orderlane backup` has made.
    #[arg(value_name = "BACKUP")]
    pub(crate) backup: PathBuf,
    /// The new data directory: one that does not exist or is empty.
    #[arg(long, env = "ORDERLANE_DATA", default_value = "./orderlane-data")]
    pub(crate) data: PathBuf,
}

#[derive(Args, Clone)]
pub(crate) struct Healthcheck {
    /// The server.
    #[arg(long, env = "ORDERLANE_TARGET", default_value = "http://127.0.0.1:8080")]
    pub(crate) target: String,
    /// How long to wait for the answer.
    #[arg(long, env = "ORDERLANE_TIMEOUT", default_value = "2s", value_parser = humantime::parse_duration)]
    pub(crate) timeout: Duration,
}
