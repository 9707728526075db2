//! The one call that the safe wrappers cannot express: shutting down a socket that monoio owns.

use std::io;
use std::os::fd::{BorrowedFd, RawFd};

use rustix::net::Shutdown;

/// `shutdown(2)`.
///
/// # Safety
/// `socket` is open and stays open until the call returns.
#[expect(unsafe_code, reason = "monoio lends its sockets as numbers only")]
pub(crate) unsafe fn shutdown(socket: RawFd, how: Shutdown) -> io::Result<()> {
    // SAFETY: the caller keeps the number's owner alive over this call, and `BorrowedFd` does not leave it.
    let socket = unsafe { BorrowedFd::borrow_raw(socket) };
    Ok(rustix::net::shutdown(socket, how)?)
}
