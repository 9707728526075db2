//! More completions at once than a ring holds: none may be lost. Alone in its file, because it needs nearly all the
//! descriptors that a process gets.

use std::cell::Cell;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use orderlane_lane::{Driver, Stream, StreamReader, StreamWriter};
use orderlane_monoio::{Backend, LaneThread, MonoioDriver, run_lane, wake_pair};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// A lane's ring has 4,096 submissions and 8,192 completions.
const CONNECTIONS_WANTED: usize = 9_500;

#[test]
fn more_connections_answer_at_once_than_a_ring_holds() {
    for backend in [Backend::Uring, Backend::Epoll] {
        answer_all(backend, connections());
    }
}

/// Each connection has both its ends in this process.
fn connections() -> usize {
    let limit = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: limit, maximum: limit }).expect("up to the maximum is allowed");
    let affordable = limit.map_or(usize::MAX, |limit| limit as usize).saturating_sub(200) / 2;
    affordable.min(CONNECTIONS_WANTED)
}

fn answer_all(backend: Backend, connections: usize) {
    let directory = tempfile::tempdir().expect("there is room for a directory");
    let (wake, source) = wake_pair().expect("an eventfd is free");
    let thread = LaneThread { lane: 0, core: None, backend, data_dir: directory.path().to_owned(), wake: source };
    let lane = run_lane(thread, async move |driver: MonoioDriver| {
        let listener = driver.listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let peers = thread::spawn(move || connect_all(address, connections));
        let answered = Rc::new(Cell::new(0));
        for _ in 0..connections {
            let (mut reader, mut writer, _closer) = driver.accept(&listener).await.expect("a peer connects").split();
            let answered = answered.clone();
            driver.spawn(async move {
                for _ in 0..2 {
                    let (result, buffer) = reader.read(Vec::with_capacity(8)).await;
                    assert_eq!(result.expect("the peer writes"), 1);
                    writer.write(buffer, 0).await.0.expect("the peer reads");
                }
                answered.set(answered.get() + 1);
            });
        }
        let peers = peers.join().expect("the peers are satisfied");
        // All reads are in flight. The lane stands still while all peers write, and finds all at once, twice.
        driver.sleep_until(driver.now().after_micros(50_000)).await;
        let ask = move |peers: Vec<TcpStream>| {
            peers.iter().for_each(|mut peer| peer.write_all(b"x").expect("the lane reads"));
            peers
        };
        let peers = thread::spawn(move || ask(peers)).join().expect("the peers are satisfied");
        let second = thread::spawn(move || {
            hear(&peers);
            let peers = ask(peers);
            hear(&peers);
            wake.wake();
        });
        driver.woken().await;
        second.join().expect("the peers are satisfied");
        driver.close_listener(&listener);
        assert_eq!(answered.get(), connections);
    });
    lane.expect("a lane starts").join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

fn connect_all(address: SocketAddr, connections: usize) -> Vec<TcpStream> {
    let connect = |_| {
        let peer = TcpStream::connect(address).expect("the lane listens");
        peer.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout can be set");
        peer
    };
    (0..connections).map(connect).collect()
}

fn hear(peers: &[TcpStream]) {
    peers.iter().for_each(|mut peer| peer.read_exact(&mut [0]).expect("the lane answers"));
}
