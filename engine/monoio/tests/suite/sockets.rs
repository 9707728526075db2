//! Listeners and connections. The peers are threads with blocking sockets of std.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::channel;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use orderlane_lane::{Driver, Stream, StreamCloser, StreamReader, StreamWriter};

use super::{Lane, Subject, on_a_lane, on_lanes, sleep, start};

type Reader<D> = <<D as Driver>::Stream as Stream>::Reader;
type Writer<D> = <<D as Driver>::Stream as Stream>::Writer;
type Closer<D> = <<D as Driver>::Stream as Stream>::Closer;
type Parts<D> = (Reader<D>, Writer<D>, Closer<D>);

/// Connects a peer and accepts it.
async fn connection<D: Driver, T: Send + 'static>(
    lane: &Lane<D>,
    peer: impl FnOnce(TcpStream) -> T + Send + 'static,
) -> (Parts<D>, JoinHandle<T>) {
    let address = lane.address;
    let peer = thread::spawn(move || peer(connect(address)));
    let stream = lane.driver.accept(&lane.listener).await.expect("the peer connects");
    (stream.split(), peer)
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("the lane listens");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout can be set");
    stream
}

/// Joins a peer without stopping the lane.
async fn joined<D: Driver, T>(driver: &D, peer: JoinHandle<T>) -> T {
    while !peer.is_finished() {
        sleep(driver, 1_000).await;
    }
    peer.join().expect("the peer is satisfied")
}

async fn write_all(writer: &mut impl StreamWriter, mut bytes: Vec<u8>) {
    let mut written = 0;
    while written < bytes.len() {
        let result;
        (result, bytes) = writer.write(bytes, written).await;
        written += result.expect("the peer reads");
    }
}

/// A pattern without a short period, so that a lost, doubled or swapped part shows.
fn pattern(length: usize) -> Vec<u8> {
    (0..length as u64).map(|index| (index.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

/// Echoes 16 MiB: the peer writes all before it reads much, so both directions fill up and each half waits while the other
/// works.
pub(crate) fn halves_work_at_the_same_time<S: Subject>() {
    const BYTES: usize = 16 * 1024 * 1024;
    on_a_lane::<S, _>(async |lane| {
        let ((mut reader, mut writer, _), peer) = connection(&lane, |stream| {
            let mut reading = stream.try_clone().expect("a socket can be cloned");
            let reader = thread::spawn(move || {
                let mut all = Vec::new();
                thread::sleep(Duration::from_millis(50));
                reading.read_to_end(&mut all).map(|_| all)
            });
            (&stream).write_all(&pattern(BYTES)).expect("the lane reads");
            stream.shutdown(Shutdown::Write).expect("the lane still writes");
            reader.join().expect("the reader does not panic").expect("the lane echoes")
        })
        .await;
        let queue = Rc::new(RefCell::new((VecDeque::new(), false)));
        let (filling, pacing) = (queue.clone(), lane.driver.clone());
        let reading = start(&lane.driver, async move {
            loop {
                let (result, buffer) = reader.read(Vec::with_capacity(60_000)).await;
                let count = result.expect("the peer writes");
                assert_eq!(buffer.len(), count);
                if count == 0 {
                    filling.borrow_mut().1 = true;
                    return;
                }
                filling.borrow_mut().0.push_back(buffer);
                while filling.borrow().0.len() > 100 {
                    sleep(&pacing, 1_000).await;
                }
            }
        });
        let pacing = lane.driver.clone();
        let writing = start(&lane.driver, async move {
            loop {
                let (next, is_end) = {
                    let mut queue = queue.borrow_mut();
                    (queue.0.pop_front(), queue.1)
                };
                match next {
                    Some(bytes) => write_all(&mut writer, bytes).await,
                    None if is_end => return writer.finish(),
                    None => sleep(&pacing, 1_000).await,
                }
            }
        });
        reading.await;
        writing.await;
        assert!(joined(&lane.driver, peer).await == pattern(BYTES), "the echo differs");
    });
}

pub(crate) fn a_read_appends<S: Subject>() {
    on_a_lane::<S, _>(async |lane| {
        let ((mut reader, mut writer, _), peer) = connection(&lane, |mut stream| {
            let mut answer = [0; 4];
            stream.write_all(b"abcdef").expect("the lane reads");
            stream.read_exact(&mut answer).expect("the lane writes");
            answer
        })
        .await;
        let mut buffer = Vec::with_capacity(10);
        buffer.extend_from_slice(b"head:");
        while buffer.len() < 10 {
            let result;
            (result, buffer) = reader.read(buffer).await;
            assert!(result.expect("the peer writes") > 0);
        }
        assert_eq!((&buffer[..], buffer.capacity()), (&b"head:abcde"[..], 10));
        buffer.reserve(100);
        let (result, mut buffer) = reader.read(buffer).await;
        assert_eq!(result.expect("one byte is left"), 1);
        assert_eq!(buffer, b"head:abcdef");

        buffer.extend_from_slice(b"!!");
        let (result, buffer) = writer.write(buffer, 9).await;
        assert_eq!(result.expect("the peer reads"), 4);
        assert_eq!(buffer, b"head:abcdef!!", "what was written comes back whole");
        assert_eq!(&joined(&lane.driver, peer).await, b"ef!!");
    });
}

pub(crate) fn a_stream_ends_in_each_direction<S: Subject>() {
    on_a_lane::<S, _>(async |lane| {
        let ((mut reader, mut writer, closer), peer) = connection(&lane, |mut stream| {
            let mut all = Vec::new();
            stream.read_to_end(&mut all).expect("the lane half-closes");
            stream.write_all(b"still open").expect("the other direction is open");
            stream.shutdown(Shutdown::Write).expect("it is open");
            all
        })
        .await;
        write_all(&mut writer, b"last words".to_vec()).await;
        writer.finish();
        let mut buffer = Vec::with_capacity(100);
        loop {
            let result;
            (result, buffer) = reader.read(buffer).await;
            if result.expect("the peer half-closes") == 0 {
                break;
            }
        }
        assert_eq!(buffer, b"still open");
        let (result, _) = reader.read(buffer).await;
        assert_eq!(result.expect("an end stays an end"), 0);
        assert_eq!(joined(&lane.driver, peer).await, b"last words");
        closer.close();
        writer.finish();
        let (result, _) = writer.write(b"x".to_vec(), 0).await;
        result.expect_err("nothing goes after the end");
    });
}

pub(crate) fn closing_ends_a_pending_read<S: Subject>() {
    on_a_lane::<S, _>(async |lane| {
        let ((mut reader, _writer, closer), peer) = connection(&lane, |mut stream| stream.read(&mut [0; 10])).await;
        let pending = start(&lane.driver, async move { reader.read(Vec::with_capacity(10)).await.0 });
        sleep(&lane.driver, 20_000).await;
        closer.close();
        assert_eq!(pending.await.expect("the end of the stream"), 0);
        assert_eq!(joined(&lane.driver, peer).await.expect("the end of the stream"), 0);
    });
}

pub(crate) fn closing_ends_a_pending_write<S: Subject>() {
    on_a_lane::<S, _>(async |lane| {
        // The peer reads nothing until the lane has closed.
        let (closed, wait) = channel::<()>();
        let ((_reader, mut writer, closer), peer) = connection(&lane, move |stream| {
            let _ = wait.recv();
            drop(stream);
        })
        .await;
        let written = Rc::new(Cell::new(0));
        let progress = written.clone();
        let pending = start(&lane.driver, async move {
            let mut bytes = vec![1; 1024 * 1024];
            loop {
                let result;
                (result, bytes) = writer.write(bytes, 0).await;
                match result {
                    Ok(count) => progress.set(progress.get() + count),
                    Err(error) => return (error, bytes.len()),
                }
            }
        });
        let mut before = None;
        while before != Some(written.get()) {
            before = Some(written.get());
            sleep(&lane.driver, 50_000).await;
        }
        assert!(written.get() > 0, "the buffers of the kernel take something");
        closer.close();
        let (error, length) = pending.await;
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        assert_eq!(length, 1024 * 1024, "the buffer comes back from a failed write");
        drop(closed);
        joined(&lane.driver, peer).await;
    });
}

pub(crate) fn a_late_close_touches_no_other_connection<S: Subject>() {
    on_a_lane::<S, _>(async |lane| {
        for _ in 0..20 {
            let ((reader, writer, late), first) = connection(&lane, |mut stream| stream.read(&mut [0; 10])).await;
            drop((reader, writer));
            assert_eq!(joined(&lane.driver, first).await.expect("dropping both halves closes"), 0);
            // Its number is free now, and given to the next.
            let ((_reader, mut writer, _closer), second) = connection(&lane, |mut stream| {
                let mut answer = [0; 2];
                stream.read_exact(&mut answer).map(|()| answer)
            })
            .await;
            late.close();
            write_all(&mut writer, b"ok".to_vec()).await;
            assert_eq!(&joined(&lane.driver, second).await.expect("it is still open"), b"ok");
        }
    });
}

pub(crate) fn closing_a_listener_ends_accept<S: Subject>() {
    on_a_lane::<S, _>(async |lane| {
        let (driver, listener) = (lane.driver.clone(), lane.listener.clone());
        let pending = start(&lane.driver, async move { driver.accept(&listener).await.is_err() });
        sleep(&lane.driver, 20_000).await;
        lane.driver.close_listener(&lane.listener);
        assert!(pending.await, "nobody has connected");
        assert!(lane.driver.accept(&lane.listener).await.is_err(), "it stays closed");
        TcpStream::connect(lane.address).expect_err("nobody listens");
        lane.driver.close_listener(&lane.listener);
    });
}

pub(crate) fn lanes_share_a_port<S: Subject>() {
    const CONNECTIONS: usize = 200;
    let (accepted, connecting) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counts = on_lanes::<S, usize, _>(2, move |lane: Lane<S::Driver>| {
        let (accepted, connecting) = (accepted.clone(), connecting.clone());
        async move {
            if connecting.fetch_add(1, SeqCst) == 0 {
                let address = lane.address;
                thread::spawn(move || (0..CONNECTIONS).for_each(|_| drop(connect(address))));
            }
            let (driver, listener, total) = (lane.driver.clone(), lane.listener.clone(), accepted.clone());
            let mine = start(&lane.driver, async move {
                let mut mine = 0;
                while driver.accept(&listener).await.is_ok() {
                    mine += 1;
                    total.fetch_add(1, SeqCst);
                }
                mine
            });
            while accepted.load(SeqCst) < CONNECTIONS {
                sleep(&lane.driver, 2_000).await;
            }
            lane.driver.close_listener(&lane.listener);
            mine.await
        }
    });
    assert_eq!(counts.iter().sum::<usize>(), CONNECTIONS);
    assert!(counts.iter().all(|count| *count > CONNECTIONS / 10), "one lane got nearly all: {counts:?}");
}
