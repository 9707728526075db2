//! Which backend a process runs on, and why: probed once, said loudly, refused with the cause and the fix.

use std::fmt;
use std::io;
use std::str::FromStr;

use rustix::io::Errno;

use crate::ring;

/// What the operator asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Io {
    /// io_uring, or epoll where the kernel refuses io_uring.
    #[default]
    Auto,
    /// io_uring or nothing.
    Uring,
    /// epoll, without asking for io_uring.
    Epoll,
}

impl FromStr for Io {
    type Err = String;

    fn from_str(text: &str) -> Result<Io, String> {
        match text {
            "auto" => Ok(Io::Auto),
            "uring" | "io_uring" => Ok(Io::Uring),
            "epoll" => Ok(Io::Epoll),
            other => Err(format!("`{other}` is no I/O backend; use auto, uring or epoll")),
        }
    }
}

/// What a lane runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// Sockets and files through a ring.
    Uring,
    /// Sockets by readiness; files on a helper thread of the lane, so that an `fdatasync` does not stop it.
    Epoll,
}

impl Backend {
    /// The name for logs and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Backend::Uring => "io_uring",
            Backend::Epoll => "epoll",
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A backend and the reason for it, for the lines that the program prints at start and for `doctor`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// What to run on.
    pub backend: Backend,
    /// Why, in one sentence; after a fallback with the cause and the fix.
    pub reason: String,
}

/// Decides what to run on. `Auto` falls back to epoll, with a warning, only when the kernel answers a small ring with
/// `EPERM`, `ENOSYS` or `EINVAL`; `Uring` never falls back and `Epoll` never probes.
///
/// # Errors
/// When io_uring is needed and refused, or fails for another reason than being refused. The text names cause and fix.
pub fn choose(io: Io) -> io::Result<Choice> {
    decide(io, ring::probe, &Host::read)
}

fn decide(io: Io, probe: impl FnOnce() -> io::Result<()>, host: &dyn Fn() -> Host) -> io::Result<Choice> {
    if io == Io::Epoll {
        return Ok(Choice { backend: Backend::Epoll, reason: "epoll was asked for".to_owned() });
    }
    let Err(error) = probe() else {
        return Ok(Choice { backend: Backend::Uring, reason: "the kernel grants io_uring".to_owned() });
    };
    let refusal = host().explain(&error);
    if io == Io::Uring || !is_refusal(&error) {
        return Err(unusable(&error, &refusal));
    }
    tracing::warn!(%error, "falling back to epoll: {refusal}");
    Ok(Choice { backend: Backend::Epoll, reason: format!("io_uring is refused ({error}): {refusal}") })
}

/// An error of the ring, with its cause and the fix.
pub(crate) fn explained(error: &io::Error) -> io::Error {
    unusable(error, &Host::read().explain(error))
}

fn unusable(error: &io::Error, refusal: &str) -> io::Error {
    io::Error::new(error.kind(), format!("io_uring cannot be used ({error}): {refusal}"))
}

/// Whether the kernel says that io_uring is not for us, as opposed to failing at it.
fn is_refusal(error: &io::Error) -> bool {
    [Errno::PERM, Errno::NOSYS, Errno::INVAL].iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// What of this machine explains a refusal.
struct Host {
    /// The sysctl `kernel.io_uring_disabled` (Linux 6.6): 0 for all, 1 for a group, 2 for nobody.
    io_uring_disabled: Option<u8>,
    /// Whether a seccomp filter is on this process.
    is_filtered: bool,
    kernel: String,
}

impl Host {
    fn read() -> Host {
        let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        Host {
            io_uring_disabled: text("/proc/sys/kernel/io_uring_disabled").trim().parse().ok(),
            is_filtered: text("/proc/self/status").lines().any(|line| line == "Seccomp:\t2"),
            kernel: text("/proc/sys/kernel/osrelease").trim().to_owned(),
        }
    }

    fn explain(&self, error: &io::Error) -> String {
        const PROFILE: &str = "run it with a seccomp profile that allows io_uring_setup, io_uring_enter and \
                               io_uring_register (`--security-opt seccomp=<profile>`), never with `--privileged`";
        match error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::PERM) if self.io_uring_disabled == Some(2) => {
                "the sysctl kernel.io_uring_disabled is 2, which \
                 forbids io_uring to everybody; set it to 0 (`sysctl -w kernel.io_uring_disabled=0`)"
                    .to_owned()
            }
            Some(Errno::PERM) if self.io_uring_disabled == Some(1) => {
                "the sysctl kernel.io_uring_disabled is 1, which \
                 forbids io_uring to all but one group; set it to 0, or kernel.io_uring_group to a group of this user"
                    .to_owned()
            }
            Some(Errno::PERM) if self.is_filtered => {
                format!("a seccomp filter forbids io_uring, as Docker ≥ 25 and containerd ≥ 2 do by default; {PROFILE}")
            }
            Some(Errno::PERM) => {
                "a security module (SELinux, AppArmor) forbids io_uring; allow it for this program in its \
                 policy"
                    .to_owned()
            }
            Some(Errno::NOSYS) if self.is_filtered => {
                format!("a seccomp filter hides io_uring, or the kernel {} lacks it; {PROFILE}", self.kernel)
            }
            Some(Errno::NOSYS) => {
                format!("the kernel {} has no io_uring; use Linux ≥ 5.11 built with CONFIG_IO_URING", self.kernel)
            }
            Some(Errno::INVAL) => {
                format!("the io_uring of the kernel {} lacks what is needed; use Linux ≥ 5.11", self.kernel)
            }
            Some(Errno::NOMEM) => "the ring does not fit into the locked memory of this user; raise `ulimit -l` \
                 (LimitMEMLOCK= of systemd, --ulimit memlock= of Docker) or use Linux ≥ 5.12, which does not count it"
                .to_owned(),
            Some(Errno::MFILE | Errno::NFILE) => "too many files are open; raise `ulimit -n`".to_owned(),
            _ => "the reason is not known to this program".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(io_uring_disabled: u8, is_filtered: bool) -> Host {
        Host { io_uring_disabled: Some(io_uring_disabled), is_filtered, kernel: "6.1.0".to_owned() }
    }

    #[test]
    fn only_a_refusal_falls_back_and_only_when_allowed() {
        let table = [
            // asked, errno of the probe, what comes of it
            (Io::Auto, None, Some(Backend::Uring)),
            (Io::Auto, Some(Errno::PERM), Some(Backend::Epoll)),
            (Io::Auto, Some(Errno::NOSYS), Some(Backend::Epoll)),
            (Io::Auto, Some(Errno::INVAL), Some(Backend::Epoll)),
            (Io::Auto, Some(Errno::NOMEM), None),
            (Io::Auto, Some(Errno::MFILE), None),
            (Io::Uring, None, Some(Backend::Uring)),
            (Io::Uring, Some(Errno::PERM), None),
            (Io::Uring, Some(Errno::NOSYS), None),
            (Io::Uring, Some(Errno::INVAL), None),
        ];
        for (io, errno, backend) in table {
            let probe = || errno.map_or(Ok(()), |errno| Err(errno.into()));
            let choice = decide(io, probe, &|| host(0, false));
            assert_eq!(choice.ok().map(|choice| choice.backend), backend, "{io:?} {errno:?}");
        }
        let choice = decide(Io::Epoll, || panic!("epoll needs no probe"), &|| panic!("nor a reason"));
        assert_eq!(choice.expect("epoll needs nothing").backend, Backend::Epoll);
    }

    #[test]
    fn a_refusal_names_its_true_cause() {
        let table = [
            (Errno::PERM, host(2, true), "kernel.io_uring_disabled is 2"),
            (Errno::PERM, host(1, true), "kernel.io_uring_group"),
            (Errno::PERM, host(0, true), "seccomp filter forbids"),
            (Errno::PERM, host(0, false), "SELinux"),
            (Errno::NOSYS, host(0, true), "seccomp filter hides"),
            (Errno::NOSYS, host(0, false), "6.1.0 has no io_uring"),
            (Errno::INVAL, host(0, false), "lacks what is needed"),
            (Errno::NOMEM, host(0, false), "ulimit -l"),
        ];
        for (errno, host, part) in table {
            let text = host.explain(&errno.into());
            assert!(text.contains(part), "{errno:?}: {text}");
        }
    }

    #[test]
    fn names_parse() {
        let table =
            [("auto", Some(Io::Auto)), ("uring", Some(Io::Uring)), ("epoll", Some(Io::Epoll)), ("kqueue", None)];
        for (text, io) in table {
            assert_eq!(text.parse::<Io>().ok(), io, "{text}");
        }
    }
}
