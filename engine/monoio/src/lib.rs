//! The default driver: one pinned thread per lane on monoio 0.2.4, over io_uring, or over epoll where io_uring is refused.
//!
//! [`choose`] picks the [`Backend`] once at start. [`bind`] and [`wake_pair`] make what the lanes share before they run;
//! [`run_lane`] starts a lane's thread, builds its runtime and hands a [`MonoioDriver`] to the future that is the lane.
//!
//! monoio's defects are kept out by construction: a pending accept or open is never dropped here (a listener is shut down
//! instead), nothing yields by waking itself, and no waker crosses threads: whoever wants a lane from outside writes to an
//! eventfd that the lane reads.
#![deny(unsafe_op_in_unsafe_fn)]

mod backend;
mod clock;
mod disk;
mod driver;
mod helper;
mod listener;
mod ring;
mod stream;
mod sys;
mod thread;
mod wake;

pub use backend::{Backend, Choice, Io, choose};
pub use disk::{MonoioDisk, MonoioFile};
pub use driver::MonoioDriver;
pub use listener::{MonoioListener, bind};
pub use stream::{Closer, MonoioStream, Reader, Writer};
pub use thread::{LaneThread, RunningLane, affinity_cores, run_lane};
pub use wake::{WakeSource, wake_pair};
