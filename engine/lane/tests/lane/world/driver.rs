//! The driver of a test: a virtual clock, sleeps, and a bell to wake a lane. It has no disk and no sockets.

use super::*;

/// The wake handle of a lane, and its `woken`.
#[derive(Default)]
pub struct Bell {
    pub(super) rung: AtomicBool,
    pub(super) waker: Mutex<Option<Waker>>,
    pub(super) calls: AtomicUsize,
}

impl Bell {
    pub fn calls(&self) -> usize {
        self.calls.load(SeqCst)
    }
}

impl Wake for Bell {
    fn wake(&self) {
        self.calls.fetch_add(1, SeqCst);
        self.rung.store(true, SeqCst);
        if let Some(waker) = self.waker.lock().expect("nobody panics with it").take() {
            waker.wake();
        }
    }
}

#[derive(Default)]
pub(super) struct Clock {
    pub(super) now: Cell<Time>,
    pub(super) sleeps: RefCell<Vec<(Time, Waker)>>,
}

#[derive(Clone)]
pub struct TestDriver {
    pub(super) clock: Rc<Clock>,
    pub(super) bell: Arc<Bell>,
}

impl Driver for TestDriver {
    type Disk = Nothing;
    type Listener = ();
    type Stream = Nothing;

    fn now(&self) -> Time {
        self.clock.now.get()
    }

    fn spawn(&self, _task: impl Future<Output = ()> + 'static) {
        panic!("the loop spawns nothing");
    }

    fn sleep_until(&self, at: Time) -> impl Future<Output = ()> + 'static {
        let clock = self.clock.clone();
        poll_fn(move |cx| {
            if clock.now.get() >= at {
                return Poll::Ready(());
            }
            clock.sleeps.borrow_mut().push((at, cx.waker().clone()));
            Poll::Pending
        })
    }

    fn woken(&self) -> impl Future<Output = ()> + 'static {
        let bell = self.bell.clone();
        poll_fn(move |cx| {
            // Like a real one: whoever got the answer has to ask again.
            if bell.rung.swap(false, SeqCst) {
                return Poll::Ready(());
            }
            *bell.waker.lock().expect("nobody panics with it") = Some(cx.waker().clone());
            Poll::Pending
        })
    }

    fn disk(&self) -> Nothing {
        Nothing
    }

    fn accept(&self, _listener: &()) -> impl Future<Output = io::Result<Nothing>> {
        ready(unused())
    }

    fn close_listener(&self, _listener: &()) {}
}

/// Disk and connection of a driver whose loop touches neither.
#[derive(Clone)]
pub struct Nothing;

pub(super) fn unused<T>() -> io::Result<T> {
    Err(io::ErrorKind::Unsupported.into())
}

impl Disk for Nothing {
    type File = ();

    fn create(&self, _name: &str) -> impl Future<Output = io::Result<()>> + 'static {
        ready(unused())
    }

    fn write_at(
        &self,
        _file: &(),
        _offset: u64,
        bytes: Vec<u8>,
    ) -> impl Future<Output = (io::Result<()>, Vec<u8>)> + 'static {
        ready((unused(), bytes))
    }

    fn sync(&self, _file: &()) -> impl Future<Output = io::Result<()>> + 'static {
        ready(unused())
    }

    fn open(&self, _name: &str) -> impl Future<Output = io::Result<()>> + 'static {
        ready(unused())
    }

    fn remove(&self, _name: &str) -> impl Future<Output = io::Result<()>> + 'static {
        ready(unused())
    }

    fn rename(&self, _from: &str, _to: &str) -> impl Future<Output = io::Result<()>> + 'static {
        ready(unused())
    }

    fn sync_directory(&self) -> impl Future<Output = io::Result<()>> + 'static {
        ready(unused())
    }
}

impl Stream for Nothing {
    type Reader = Nothing;
    type Writer = Nothing;
    type Closer = Nothing;

    fn split(self) -> (Nothing, Nothing, Nothing) {
        (Nothing, Nothing, Nothing)
    }
}

impl StreamReader for Nothing {
    fn read(&mut self, buffer: Vec<u8>) -> impl Future<Output = (io::Result<usize>, Vec<u8>)> {
        ready((unused(), buffer))
    }
}

impl StreamWriter for Nothing {
    fn write(&mut self, buffer: Vec<u8>, _from: usize) -> impl Future<Output = (io::Result<usize>, Vec<u8>)> {
        ready((unused(), buffer))
    }

    fn finish(&mut self) {}
}

impl StreamCloser for Nothing {
    fn close(&self) {}
}
