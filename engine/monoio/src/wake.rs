//! Waking a lane from another thread: an eventfd that the lane keeps a read of in flight for as long as it lives.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::future::poll_fn;
use std::io::{self, ErrorKind, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};

use monoio::buf::VecBuf;
use monoio::io::AsyncReadRent;
use monoio::net::UnixStream;
use orderlane_lane::Wake;
use rustix::event::{EventfdFlags, eventfd};

use crate::backend::Backend;

/// The lane's end of a [`Wake`] handle.
#[derive(Debug)]
pub struct WakeSource(Arc<File>);

/// The others' end.
pub(crate) struct WakeHandle(Arc<File>);

/// A handle for the other threads and its end for [`LaneThread`](crate::LaneThread).
///
/// # Errors
/// When the process has no file descriptor left.
pub fn wake_pair() -> io::Result<(Arc<dyn Wake>, WakeSource)> {
    let (handle, source) = eventfd_pair()?;
    Ok((Arc::new(handle), source))
}

pub(crate) fn eventfd_pair() -> io::Result<(WakeHandle, WakeSource)> {
    let file = Arc::new(File::from(eventfd(0, EventfdFlags::CLOEXEC)?));
    Ok((WakeHandle(file.clone()), WakeSource(file)))
}

impl Wake for WakeHandle {
    fn wake(&self) {
        match (&*self.0).write(&1_u64.to_ne_bytes()) {
            Ok(_) => {}
            // The counter is full: 2^64 - 2 calls that the lane has not seen yet.
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => panic!("an eventfd takes eight bytes: {error}"),
        }
    }
}

impl WakeSource {
    pub(crate) fn handle(&self) -> WakeHandle {
        WakeHandle(self.0.clone())
    }

    /// The eventfd as a monoio stream of the current runtime. monoio registers and reads a file descriptor whatever it is,
    /// and `readv`, unlike `recv`, works on all of them. A ring waits in the kernel only on a blocking one.
    fn into_stream(self, backend: Backend) -> io::Result<UnixStream> {
        let stream = StdUnixStream::from(OwnedFd::from(self.0.try_clone()?));
        stream.set_nonblocking(backend == Backend::Epoll)?;
        UnixStream::from_std(stream)
    }

    /// Calls `on_wake` after every wake-up until it says `false`. The read is never cancelled: to end it, wake it.
    pub(crate) fn listen(
        self,
        backend: Backend,
        mut on_wake: impl FnMut() -> bool,
    ) -> io::Result<impl Future<Output = ()>> {
        let mut stream = self.into_stream(backend)?;
        Ok(async move {
            let mut counter = VecBuf::from(vec![vec![0_u8; 8]]);
            loop {
                let result;
                (result, counter) = stream.readv(counter).await;
                match result {
                    Ok(_) if on_wake() => {}
                    Ok(_) => return,
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => panic!("an eventfd can be read: {error}"),
                }
            }
        })
    }
}

/// Whether the lane was woken and has not looked yet. The flag outlives the futures that wait for it, so one that is
/// dropped loses nothing.
#[derive(Default)]
pub(crate) struct Woken {
    flag: Cell<bool>,
    waiting: RefCell<Option<Waker>>,
}

impl Woken {
    pub(crate) fn set(&self) {
        self.flag.set(true);
        if let Some(waker) = self.waiting.borrow_mut().take() {
            waker.wake();
        }
    }

    pub(crate) fn wait(self: &Rc<Self>) -> impl Future<Output = ()> + use<> {
        let this = self.clone();
        poll_fn(move |context| {
            if this.flag.replace(false) {
                return Poll::Ready(());
            }
            this.waiting.borrow_mut().replace(context.waker().clone());
            Poll::Pending
        })
    }
}
