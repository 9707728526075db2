//! Listening sockets: bound by main before the lanes start, accepted from by the lanes.

use std::io;
use std::net::{SocketAddr, TcpListener as StdTcpListener};
use std::os::fd::AsRawFd;

use monoio::net::TcpListener;
use rustix::net::{self, AddressFamily, Shutdown, SocketFlags, SocketType, sockopt};

use crate::backend::Backend;
use crate::stream::MonoioStream;
use crate::sys;

/// Connections that wait to be accepted, at most; the kernel lowers it to `net.core.somaxconn`.
const BACKLOG: i32 = 4_096;

/// Binds a listening socket that others may share the port with (`SO_REUSEPORT`), each of which then gets a part of the
/// connections. Port 0 takes a free port: bind the first, ask its `local_addr`, bind the others to that.
///
/// # Errors
/// When the address is in use by somebody who does not share it, or not ours.
pub fn bind(address: SocketAddr) -> io::Result<StdTcpListener> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = net::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    sockopt::set_socket_reuseport(&socket, true)?;
    // On Linux what is accepted inherits it, which saves a call for each connection.
    sockopt::set_tcp_nodelay(&socket, true)?;
    net::bind(&socket, &address)?;
    net::listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

/// A listening socket of a lane.
#[derive(Debug)]
pub struct MonoioListener(TcpListener);

impl MonoioListener {
    pub(crate) fn from_std(listener: StdTcpListener, backend: Backend) -> io::Result<MonoioListener> {
        // A ring waits in the kernel only on a blocking one.
        listener.set_nonblocking(backend == Backend::Epoll)?;
        Ok(MonoioListener(TcpListener::from_std(listener)?))
    }

    /// The address, with the port that was chosen for port 0.
    ///
    /// # Errors
    /// None that is known.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    pub(crate) async fn accept(&self) -> io::Result<MonoioStream> {
        let (stream, _) = self.0.accept().await?;
        Ok(MonoioStream::new(stream))
    }

    /// Ends a pending accept with `EINVAL`, and every later one, on both backends.
    #[expect(unsafe_code, reason = "monoio lends its sockets as numbers only")]
    pub(crate) fn close(&self) {
        // SAFETY: the listener owns the socket and is borrowed over the call.
        let result = unsafe { sys::shutdown(self.0.as_raw_fd(), Shutdown::Both) };
        if let Err(error) = result {
            tracing::warn!(%error, "a listener could not be shut down");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv6Addr, TcpStream};

    use super::*;

    #[test]
    fn what_is_accepted_inherits_nodelay_and_ports_are_shared() {
        let addresses = [SocketAddr::from(([127, 0, 0, 1], 0)), SocketAddr::from((Ipv6Addr::LOCALHOST, 0))];
        for address in addresses {
            let first = bind(address).expect("a port is free");
            let address = first.local_addr().expect("it is bound");
            let _peer = TcpStream::connect(address).expect("it listens");
            let (stream, _) = first.accept().expect("the peer has connected");
            assert!(stream.nodelay().expect("a socket tells"), "{address}");
            bind(address).expect("the port is shared");
        }
    }
}
