//! A wake-up of the poll at a moment: epoll waits in whole milliseconds, the schedule needs microseconds.

use crate::error::Result;
use mio::{Interest, Registry, Token, unix::SourceFd};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use std::{
    os::fd::{AsRawFd, OwnedFd},
    time::Duration,
};

/// A timerfd. It is edge-triggered and never read: setting it again is enough.
#[derive(Debug)]
pub(crate) struct Timer {
    fd: OwnedFd,
    set_for: Option<u64>,
}

impl Timer {
    pub(crate) fn new(registry: &Registry, token: Token) -> Result<Self> {
        let fd = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        registry.register(&mut SourceFd(&fd.as_raw_fd()), token, Interest::READABLE)?;
        Ok(Self { fd, set_for: None })
    }

    /// Wakes the poll at `at` or earlier: a timer that is set for an earlier time stays, because one wake too many is
    /// cheaper than setting it.
    pub(crate) fn set(&mut self, at: u64, now: u64) -> Result<()> {
        if self.set_for.is_some_and(|set| set <= at && set > now) {
            return Ok(());
        }
        // A value of zero would switch it off.
        let wait = Duration::from_nanos(at.saturating_sub(now).max(1));
        let it_value = Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: wait.subsec_nanos().into() };
        let value = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value };
        timerfd_settime(&self.fd, TimerfdTimerFlags::empty(), &value)?;
        self.set_for = Some(at);
        Ok(())
    }

    /// It went off.
    pub(crate) fn handle_event(&mut self) {
        self.set_for = None;
    }
}
