//! The ring of a lane: its flags, and the probe for the kernel's consent.

use std::io;

use io_uring::{Builder, IoUring, Probe, opcode};
use monoio::time::TimeDriver;
use monoio::{FusionRuntime, IoUringDriver, LegacyDriver, RuntimeBuilder};
use rustix::io::Errno;

use crate::backend::{Backend, explained};

/// A lane's runtime, with timers.
pub(crate) type LaneRuntime = FusionRuntime<TimeDriver<IoUringDriver>, TimeDriver<LegacyDriver>>;

/// Submission entries of a lane's ring (the completion ring has twice as many), or events of one `epoll_wait`.
const ENTRIES: u32 = 4_096;
/// Submission entries of the ring that only asks whether there may be one.
const ENTRIES_PROBE: u32 = 8;

/// What monoio submits for us. gVisor grants a ring that knows almost nothing of it.
const OPCODES: [u8; 13] = [
    opcode::Accept::CODE,
    opcode::AsyncCancel::CODE,
    opcode::Close::CODE,
    opcode::Fsync::CODE,
    opcode::OpenAt::CODE,
    opcode::PollAdd::CODE,
    opcode::Read::CODE,
    opcode::Readv::CODE,
    opcode::Recv::CODE,
    opcode::RenameAt::CODE,
    opcode::Send::CODE,
    opcode::Timeout::CODE,
    opcode::Write::CODE,
];

/// Sets a small ring up and down. A ring that lacks an operation we need is `EINVAL`.
pub(crate) fn probe() -> io::Result<()> {
    let ring = IoUring::new(ENTRIES_PROBE)?;
    let mut known = Probe::new();
    ring.submitter().register_probe(&mut known)?;
    if OPCODES.iter().all(|code| known.is_supported(*code)) { Ok(()) } else { Err(Errno::INVAL.into()) }
}

/// Builds the runtime on the calling thread, the only one that will submit to its ring.
pub(crate) fn runtime(backend: Backend) -> io::Result<LaneRuntime> {
    match backend {
        Backend::Uring => uring_runtime().map_err(|error| explained(&error)),
        Backend::Epoll => {
            let builder = RuntimeBuilder::<LegacyDriver>::new().with_entries(ENTRIES);
            Ok(builder.enable_timer().build()?.into())
        }
    }
}

/// Asks for the flags that took 10.2 to 7.3 µs CPU a request, and for fewer only when the kernel does not know them
/// (`SINGLE_ISSUER` came with Linux 6.0, `COOP_TASKRUN` with 5.19). `DEFER_TASKRUN` stays off: under monoio, completions
/// would wait until the run queue drains.
fn uring_runtime() -> io::Result<LaneRuntime> {
    let all: fn(&mut Builder) = |ring| {
        ring.setup_single_issuer().setup_coop_taskrun();
    };
    let cooperative: fn(&mut Builder) = |ring| {
        ring.setup_coop_taskrun();
    };
    for (flags, set) in [("SINGLE_ISSUER | COOP_TASKRUN", all), ("COOP_TASKRUN", cooperative)] {
        match ring_runtime(set) {
            Err(error) if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => {
                tracing::warn!(
                    "the kernel does not know the ring flags {flags}: a request costs more; use Linux ≥ 6.0"
                );
            }
            done => return done,
        }
    }
    ring_runtime(|_| ())
}

fn ring_runtime(set_flags: impl FnOnce(&mut Builder)) -> io::Result<LaneRuntime> {
    let mut ring = IoUring::builder();
    set_flags(&mut ring);
    let builder = RuntimeBuilder::<IoUringDriver>::new().with_entries(ENTRIES).uring_builder(ring);
    Ok(builder.enable_timer().build()?.into())
}
