//! The suite for drivers on both backends, and what only a monoio lane has.

mod suite;

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::thread;

use orderlane_lane::Driver;
use orderlane_monoio::{
    Backend, Io, LaneThread, MonoioDriver, WakeSource, affinity_cores, bind, choose, run_lane, wake_pair,
};
use suite::{Lane, Subject, conformance};

struct Uring;
struct Epoll;

conformance!(uring, Uring);
conformance!(epoll, Epoll);

impl Subject for Uring {
    type Driver = MonoioDriver;

    fn lanes<T: Send + 'static, Fut: Future<Output = T> + 'static>(
        count: usize,
        case: impl Fn(Lane<MonoioDriver>) -> Fut + Clone + Send + 'static,
    ) -> Vec<T> {
        let choice = choose(Io::Uring).expect("this test needs io_uring");
        lanes(choice.backend, count, case)
    }
}

impl Subject for Epoll {
    type Driver = MonoioDriver;

    fn lanes<T: Send + 'static, Fut: Future<Output = T> + 'static>(
        count: usize,
        case: impl Fn(Lane<MonoioDriver>) -> Fut + Clone + Send + 'static,
    ) -> Vec<T> {
        lanes(Backend::Epoll, count, case)
    }
}

fn lanes<T: Send + 'static, Fut: Future<Output = T> + 'static>(
    backend: Backend,
    count: usize,
    case: impl Fn(Lane<MonoioDriver>) -> Fut + Clone + Send + 'static,
) -> Vec<T> {
    let directory = tempfile::tempdir().expect("there is room for a directory");
    let first = bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a port is free");
    let address = first.local_addr().expect("it is bound");
    let mut sockets = vec![first];
    sockets.extend((1..count).map(|_| bind(address).expect("the port is shared")));
    let running: Vec<_> = (0..count)
        .zip(sockets)
        .map(|(number, socket)| {
            let (wake, source) = wake_pair().expect("an eventfd is free");
            let (path, case) = (directory.path().to_owned(), case.clone());
            let thread = LaneThread { lane: number, core: None, backend, data_dir: path.clone(), wake: source };
            run_lane(thread, move |driver| {
                let listener = Rc::new(driver.listener(socket).expect("it can be registered"));
                assert_eq!(listener.local_addr().expect("it is bound"), address);
                case(Lane { driver, wake, directory: path, listener, address })
            })
            .expect("a lane starts")
        })
        .collect();
    running.into_iter().map(|lane| lane.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
}

fn lane_thread(core: Option<usize>, data_dir: &std::path::Path, wake: WakeSource) -> LaneThread {
    LaneThread { lane: 7, core, backend: Backend::Epoll, data_dir: data_dir.to_owned(), wake }
}

#[test]
fn a_lane_is_named_and_pinned() {
    let directory = tempfile::tempdir().expect("there is room for a directory");
    for core in affinity_cores() {
        let (_wake, source) = wake_pair().expect("an eventfd is free");
        let lane = run_lane(lane_thread(Some(core), directory.path(), source), async |driver| {
            assert_eq!(driver.backend(), Backend::Epoll);
            (thread::current().name().map(str::to_owned), affinity_cores())
        });
        let (name, cores) = lane.expect("a lane starts").join().expect("it does not panic");
        assert_eq!((name.as_deref(), cores), (Some("lane-7"), vec![core]));
    }
}

#[test]
fn a_lane_that_cannot_start_says_why() {
    let directory = tempfile::tempdir().expect("there is room for a directory");
    let table = [
        (Some(100_000), directory.path().to_owned(), "core 100000"),
        (Some(1_000), directory.path().to_owned(), "core 1000"),
        (None, directory.path().join("missing"), "No such file"),
    ];
    for (core, path, part) in table {
        let (_wake, source) = wake_pair().expect("an eventfd is free");
        let lane = run_lane(lane_thread(core, &path, source), async |_| unreachable!("there is no lane"));
        let error = lane.expect_err("it cannot start");
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[test]
fn a_panic_of_a_lane_comes_out_of_join() {
    let directory = tempfile::tempdir().expect("there is room for a directory");
    let (_wake, source) = wake_pair().expect("an eventfd is free");
    let lane = run_lane(lane_thread(None, directory.path(), source), async |driver: MonoioDriver| {
        driver.sleep_until(driver.now().after_micros(1_000)).await;
        panic!("on purpose");
    });
    lane.expect("a lane starts").join().expect_err("it panics");
}
