//! A driver whose disk is in memory. It keeps what was written apart from what is durable, does operations one poll at a time,
//! fails, stalls or loses power when told to, and writes down what was asked of it.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::future::{Future, pending, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use orderlane_core::Time;
use orderlane_journal::SegmentName;
use orderlane_lane::{Disk, Driver, Stream, StreamCloser, StreamReader, StreamWriter};

/// File contents by name.
pub(crate) type Image = BTreeMap<SegmentName, Vec<u8>>;

/// A small generator (xorshift64*): the tests are a function of their seeds.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }
}

#[derive(Clone, Default)]
pub(crate) struct MemoryDriver(Rc<Shared>);

#[derive(Default)]
struct Shared {
    tasks: RefCell<Vec<Pin<Box<dyn Future<Output = ()>>>>>,
    files: RefCell<Vec<Contents>>,
    names: RefCell<BTreeMap<String, usize>>,
    names_durable: RefCell<BTreeMap<String, usize>>,
    log: RefCell<Vec<String>>,
    failing: RefCell<Option<String>>,
    stalled: RefCell<Option<String>>,
    operations_left: Cell<Option<u64>>,
    delay: Cell<u64>,
    clock: Cell<u64>,
}

#[derive(Default)]
struct Contents {
    durable: Vec<u8>,
    writes: Vec<Write>,
}

struct Write {
    offset: usize,
    bytes: Vec<u8>,
    complete: bool,
}

impl MemoryDriver {
    /// Polls `future` and all tasks until it is ready; `None` when nothing moves any more.
    pub(crate) fn run<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        let mut future = pin!(future);
        for _ in 0..400 {
            let mut context = Context::from_waker(Waker::noop());
            if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
                return Some(value);
            }
            self.poll_tasks();
        }
        None
    }

    /// Polls the spawned tasks until none is left or `rounds` have passed.
    pub(crate) fn run_tasks(&self, rounds: usize) {
        for _ in 0..rounds {
            self.poll_tasks();
        }
    }

    fn poll_tasks(&self) {
        let mut context = Context::from_waker(Waker::noop());
        let mut tasks = self.0.tasks.take();
        tasks.retain_mut(|task| task.as_mut().poll(&mut context).is_pending());
        self.0.tasks.borrow_mut().extend(tasks);
    }

    /// Every operation takes this many polls more than one.
    pub(crate) fn delay(&self, polls: u64) {
        self.0.delay.set(polls);
    }

    /// From now on operations whose line in the log starts with `prefix` fail.
    pub(crate) fn fail(&self, prefix: &str) {
        self.0.failing.replace(Some(prefix.to_owned()));
    }

    pub(crate) fn heal(&self) {
        self.0.failing.take();
    }

    /// Until further notice operations whose line in the log starts with `prefix` do not end.
    pub(crate) fn stall(&self, prefix: &str) {
        self.0.stalled.replace(Some(prefix.to_owned()));
    }

    pub(crate) fn release(&self) {
        self.0.stalled.take();
    }

    /// The power goes after this many operations: the rest never ends.
    pub(crate) fn power_lasts(&self, operations: u64) {
        self.0.operations_left.set(Some(operations));
    }

    /// What was asked of the disk since the last call.
    pub(crate) fn log(&self) -> Vec<String> {
        self.0.log.take()
    }

    /// What a process that starts now reads.
    pub(crate) fn image(&self) -> Image {
        self.survivors(&self.0.names.borrow(), |_| true)
    }

    /// What the disk has after a loss of power: everything synced, and of the rest any sectors.
    pub(crate) fn image_after_power_loss(&self, dice: &mut Dice) -> Image {
        let lost_names = dice.below(2) == 0;
        let names = if lost_names { &self.0.names_durable } else { &self.0.names };
        // Sometimes nothing or everything unsynced survives, mostly a part.
        let share = dice.below(5);
        self.survivors(&names.borrow(), |_| dice.below(4) < share)
    }

    fn survivors(&self, names: &BTreeMap<String, usize>, mut survives: impl FnMut(usize) -> bool) -> Image {
        let files = self.0.files.borrow();
        let mut image = Image::new();
        for (name, index) in names {
            let Some(segment) = SegmentName::parse(name) else { continue };
            let Contents { durable, writes } = &files[*index];
            let mut bytes = durable.clone();
            for write in writes {
                for (sector, part) in write.bytes.chunks(512).enumerate() {
                    if survives(sector) {
                        put(&mut bytes, write.offset + 512 * sector, part);
                    }
                }
            }
            image.insert(segment, bytes);
        }
        image
    }

    async fn operation(self, line: String) -> io::Result<()> {
        self.0.log.borrow_mut().push(line.clone());
        for _ in 0..self.0.delay.get() {
            yield_once().await;
        }
        let starts = |prefix: &RefCell<Option<String>>| prefix.borrow().as_ref().is_some_and(|p| line.starts_with(p));
        while starts(&self.0.stalled) {
            yield_once().await;
        }
        if let Some(left) = self.0.operations_left.get() {
            match left.checked_sub(1) {
                Some(left) => self.0.operations_left.set(Some(left)),
                None => pending().await,
            }
        }
        self.0.clock.set(self.0.clock.get() + 10);
        if starts(&self.0.failing) { Err(io::Error::other("planted")) } else { Ok(()) }
    }
}

async fn yield_once() {
    let mut yielded = false;
    poll_fn(|_| if std::mem::replace(&mut yielded, true) { Poll::Ready(()) } else { Poll::Pending }).await;
}

fn put(bytes: &mut Vec<u8>, offset: usize, part: &[u8]) {
    let end = offset + part.len();
    bytes.resize(bytes.len().max(end), 0);
    bytes[offset..end].copy_from_slice(part);
}

#[derive(Clone)]
pub(crate) struct MemoryFile {
    index: usize,
    name: String,
}

impl Disk for MemoryDriver {
    type File = MemoryFile;

    fn create(&self, name: &str) -> impl Future<Output = io::Result<MemoryFile>> + 'static {
        let (driver, name) = (self.clone(), name.to_owned());
        async move {
            driver.clone().operation(format!("create {name}")).await?;
            let mut files = driver.0.files.borrow_mut();
            let index = files.len();
            if driver.0.names.borrow_mut().insert(name.clone(), index).is_some() {
                return Err(io::Error::from(io::ErrorKind::AlreadyExists));
            }
            files.push(Contents::default());
            Ok(MemoryFile { index, name })
        }
    }

    fn write_at(
        &self,
        file: &MemoryFile,
        offset: u64,
        bytes: Vec<u8>,
    ) -> impl Future<Output = (io::Result<()>, Vec<u8>)> + 'static {
        let (driver, index) = (self.clone(), file.index);
        let line = format!("write {} {offset} {}", file.name, bytes.len());
        async move {
            // On its way to the disk from the first moment: any part of it may survive.
            let write = Write { offset: offset as usize, bytes: bytes.clone(), complete: false };
            let nth = {
                let writes = &mut driver.0.files.borrow_mut()[index].writes;
                writes.push(write);
                writes.len() - 1
            };
            let result = driver.clone().operation(line).await;
            driver.0.files.borrow_mut()[index].writes[nth].complete = result.is_ok();
            (result, bytes)
        }
    }

    fn sync(&self, file: &MemoryFile) -> impl Future<Output = io::Result<()>> + 'static {
        let (driver, index, line) = (self.clone(), file.index, format!("sync {}", file.name));
        async move {
            let before: BTreeSet<usize> = {
                let writes = &driver.0.files.borrow()[index].writes;
                (0..writes.len()).filter(|nth| writes[*nth].complete).collect()
            };
            driver.clone().operation(line).await?;
            let Contents { durable, writes } = &mut driver.0.files.borrow_mut()[index];
            for nth in before {
                // The bytes stay listed, empty, so that the numbers of later writes hold.
                let bytes = std::mem::take(&mut writes[nth].bytes);
                if !bytes.is_empty() {
                    put(durable, writes[nth].offset, &bytes);
                }
            }
            Ok(())
        }
    }

    fn open(&self, name: &str) -> impl Future<Output = io::Result<MemoryFile>> + 'static {
        let (driver, name) = (self.clone(), name.to_owned());
        async move {
            driver.clone().operation(format!("open {name}")).await?;
            let index = *driver.0.names.borrow().get(&name).ok_or(io::ErrorKind::NotFound)?;
            Ok(MemoryFile { index, name })
        }
    }

    fn remove(&self, name: &str) -> impl Future<Output = io::Result<()>> + 'static {
        let (driver, name) = (self.clone(), name.to_owned());
        async move {
            driver.clone().operation(format!("remove {name}")).await?;
            driver.0.names.borrow_mut().remove(&name).ok_or(io::ErrorKind::NotFound)?;
            Ok(())
        }
    }

    fn rename(&self, from: &str, to: &str) -> impl Future<Output = io::Result<()>> + 'static {
        let (driver, from, to) = (self.clone(), from.to_owned(), to.to_owned());
        async move {
            driver.clone().operation(format!("rename {from} {to}")).await?;
            let index = driver.0.names.borrow_mut().remove(&from).ok_or(io::ErrorKind::NotFound)?;
            driver.0.names.borrow_mut().insert(to, index);
            Ok(())
        }
    }

    fn sync_directory(&self) -> impl Future<Output = io::Result<()>> + 'static {
        let driver = self.clone();
        async move {
            driver.clone().operation("sync directory".to_owned()).await?;
            driver.0.names_durable.replace(driver.0.names.borrow().clone());
            Ok(())
        }
    }
}

/// What a driver has and a journal never touches.
pub(crate) enum Nothing {}

impl Driver for MemoryDriver {
    type Disk = MemoryDriver;
    type Listener = Nothing;
    type Stream = Nothing;

    fn now(&self) -> Time {
        Time(self.0.clock.get())
    }

    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.0.tasks.borrow_mut().push(Box::pin(task));
    }

    fn sleep_until(&self, _at: Time) -> impl Future<Output = ()> + 'static {
        pending()
    }

    fn woken(&self) -> impl Future<Output = ()> + 'static {
        pending()
    }

    fn disk(&self) -> MemoryDriver {
        self.clone()
    }

    fn accept(&self, _listener: &Nothing) -> impl Future<Output = io::Result<Nothing>> {
        pending()
    }

    fn close_listener(&self, listener: &Nothing) {
        match *listener {}
    }
}

impl Stream for Nothing {
    type Reader = Nothing;
    type Writer = Nothing;
    type Closer = Nothing;

    fn split(self) -> (Nothing, Nothing, Nothing) {
        match self {}
    }
}

impl StreamReader for Nothing {
    fn read(&mut self, _buffer: Vec<u8>) -> impl Future<Output = (io::Result<usize>, Vec<u8>)> {
        pending()
    }
}

impl StreamWriter for Nothing {
    fn write(&mut self, _buffer: Vec<u8>, _from: usize) -> impl Future<Output = (io::Result<usize>, Vec<u8>)> {
        pending()
    }

    fn finish(&mut self) {}
}

impl StreamCloser for Nothing {
    fn close(&self) {}
}
