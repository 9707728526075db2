//! The driver of a lane: what the loop and the gateway see of the world.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use monoio::task::JoinHandle;
use orderlane_core::Time;
use orderlane_lane::{Driver, Wake};

use crate::backend::Backend;
use crate::clock::Clock;
use crate::disk::MonoioDisk;
use crate::helper::Helper;
use crate::listener::{MonoioListener, bind};
use crate::stream::MonoioStream;
use crate::wake::{WakeHandle, WakeSource, Woken};

/// The longest that one timer runs. monoio's timers follow the monotonic clock: after a step of the wall clock, a long wait
/// is late by at most this.
const TIMER_MICROS_MAX: u64 = 60_000_000;

/// [`Driver`] on monoio. Made by [`run_lane`](crate::run_lane); it stays on its thread.
#[derive(Clone)]
pub struct MonoioDriver(Rc<Shared>);

struct Shared {
    backend: Backend,
    clock: Clock,
    disk: MonoioDisk,
    woken: Rc<Woken>,
    listening: RefCell<Vec<Listening>>,
    is_stopping: Rc<Cell<bool>>,
}

/// A task that reads an eventfd, and the handle that makes it look whether it has to end.
struct Listening {
    task: JoinHandle<()>,
    handle: WakeHandle,
}

impl MonoioDriver {
    /// Must be called on the runtime of the lane. `helper` makes the file calls where there is no ring.
    pub(crate) fn start(
        backend: Backend,
        data_dir: &Path,
        wake: WakeSource,
        helper: Option<(Helper, WakeSource)>,
    ) -> io::Result<MonoioDriver> {
        let woken = Rc::new(Woken::default());
        let is_stopping = Rc::new(Cell::new(false));
        let (helper, helper_source) = helper.unzip();
        let driver = MonoioDriver(Rc::new(Shared {
            backend,
            clock: Clock::default(),
            disk: MonoioDisk::open(data_dir, helper.clone())?,
            woken: woken.clone(),
            listening: RefCell::default(),
            is_stopping,
        }));
        driver.listen_to(wake, move || woken.set())?;
        if let (Some(helper), Some(source)) = (helper, helper_source) {
            driver.listen_to(source, move || helper.look())?;
        }
        Ok(driver)
    }

    fn listen_to(&self, source: WakeSource, on_wake: impl Fn() + 'static) -> io::Result<()> {
        let handle = source.handle();
        let is_stopping = self.0.is_stopping.clone();
        let listen = source.listen(self.0.backend, move || {
            on_wake();
            !is_stopping.get()
        })?;
        self.0.listening.borrow_mut().push(Listening { task: monoio::spawn(listen), handle });
        Ok(())
    }

    /// Ends the tasks that read the eventfds. A task that still waits on monoio's driver would keep the ring, and itself,
    /// in memory for ever: each holds the other.
    pub(crate) async fn stop(self) {
        self.0.is_stopping.set(true);
        let listening = self.0.listening.take();
        for Listening { task, handle } in listening {
            handle.wake();
            task.await;
        }
    }

    /// Which backend this lane runs on.
    #[must_use]
    pub fn backend(&self) -> Backend {
        self.0.backend
    }

    /// Takes over a socket that [`bind`] made.
    ///
    /// # Errors
    /// When it cannot be registered with the runtime.
    pub fn listener(&self, socket: TcpListener) -> io::Result<MonoioListener> {
        MonoioListener::from_std(socket, self.0.backend)
    }

    /// Binds and listens; [`bind`] and [`MonoioDriver::listener`] in one.
    ///
    /// # Errors
    /// Those of the two.
    pub fn listen(&self, address: SocketAddr) -> io::Result<MonoioListener> {
        self.listener(bind(address)?)
    }
}

impl Driver for MonoioDriver {
    type Disk = MonoioDisk;
    type Listener = MonoioListener;
    type Stream = MonoioStream;

    fn now(&self) -> Time {
        self.0.clock.now()
    }

    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        drop(monoio::spawn(task));
    }

    fn sleep_until(&self, at: Time) -> impl Future<Output = ()> + 'static {
        let driver = self.clone();
        async move {
            loop {
                let left = at.micros_since(driver.now());
                if left == 0 {
                    return;
                }
                monoio::time::sleep(Duration::from_micros(left.min(TIMER_MICROS_MAX))).await;
            }
        }
    }

    fn woken(&self) -> impl Future<Output = ()> + 'static {
        self.0.woken.wait()
    }

    fn disk(&self) -> MonoioDisk {
        self.0.disk.clone()
    }

    fn accept(&self, listener: &MonoioListener) -> impl Future<Output = io::Result<MonoioStream>> {
        listener.accept()
    }

    fn close_listener(&self, listener: &MonoioListener) {
        listener.close();
    }
}
