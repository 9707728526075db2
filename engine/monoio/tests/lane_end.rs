//! A lane that ends gives everything back. Alone in its file: it counts the descriptors and threads of the process.

use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use orderlane_lane::{Disk, Driver, Stream, StreamReader};
use orderlane_monoio::{Backend, LaneThread, MonoioDriver, run_lane, wake_pair};

#[test]
fn a_lane_that_ends_leaves_no_descriptor_and_no_thread() {
    for backend in [Backend::Uring, Backend::Epoll] {
        one_lane(backend);
        let before = (count("/proc/self/fd"), count("/proc/self/task"));
        for _ in 0..50 {
            one_lane(backend);
        }
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let after = (count("/proc/self/fd"), count("/proc/self/task"));
            if after.0 <= before.0 && after.1 <= before.1 {
                break;
            }
            assert!(Instant::now() < deadline, "{backend}: {before:?} descriptors and threads became {after:?}");
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// A lane with a file, a connection and a listener, all of which it lets go.
fn one_lane(backend: Backend) {
    let directory = tempfile::tempdir().expect("there is room for a directory");
    let (_wake, source) = wake_pair().expect("an eventfd is free");
    let thread = LaneThread { lane: 0, core: None, backend, data_dir: directory.path().to_owned(), wake: source };
    let lane = run_lane(thread, async |driver: MonoioDriver| {
        let listener = driver.listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let peer = thread::spawn(move || TcpStream::connect(address).and_then(|mut peer| peer.write_all(b"x")));
        let (mut reader, _writer, _closer) = driver.accept(&listener).await.expect("the peer connects").split();
        assert_eq!(reader.read(Vec::with_capacity(8)).await.1, b"x");
        peer.join().expect("the peer does not panic").expect("the lane listens");
        let disk = driver.disk();
        let file = disk.create("file").await.expect("a new name can be created");
        disk.sync(&file).await.expect("it can be synced");
        driver.close_listener(&listener);
    });
    lane.expect("a lane starts").join().expect("it does not panic");
}

fn count(directory: &str) -> usize {
    fs::read_dir(directory).expect("it is there").count()
}
