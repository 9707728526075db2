//! What an order costs the client: the generator on core 1 against a server on core 0 that answers everything with
//! 202 and does nothing else. `cargo run --release -p orderlane-loadtest --example cost [SECONDS]`

use mio::{Events, Interest, Poll, Token, net::TcpListener, net::TcpStream};
use orderlane_loadtest::{Generator, Options, Percentiles, Rate, VerifyOptions, verify};
use rustix::thread::{CpuSet, sched_setaffinity};
use std::{
    collections::HashMap,
    error::Error,
    io::{self, ErrorKind, Read, Write},
    net::SocketAddr,
    time::{Duration, Instant},
};

fn main() -> Result<(), Box<dyn Error>> {
    let seconds = std::env::args().nth(1).map_or(Ok(3), |text| text.parse())?;
    let listener = TcpListener::bind("127.0.0.1:0".parse()?)?;
    let target = listener.local_addr()?;
    std::thread::spawn(move || serve(listener));
    println!("{:<32}{:>12}{:>12}{:>10}{:>10}{:>10}", "", "orders/s", "client µs", "p50 ms", "p99 ms", "max ms");
    for quantum in [50, 200, 500] {
        let wake_quantum = Duration::from_micros(quantum);
        let name = format!("open 20,000/s, woken at {quantum} µs");
        measure(&name, Options { rate: Rate::PerSecond(2e4), wake_quantum, ..options(target, seconds) })?;
    }
    for (name, rate, batch, pipeline) in [
        ("open loop 5,000/s", Rate::PerSecond(5e3), 1, 1),
        ("open loop 50,000/s", Rate::PerSecond(5e4), 1, 1),
        ("closed loop", Rate::Max, 1, 1),
        ("closed loop, 8 on their way", Rate::Max, 1, 8),
        ("open loop, batches of 100", Rate::PerSecond(2e5), 100, 1),
        ("closed loop, batches of 100", Rate::Max, 100, 1),
        ("closed loop, batches of 1000", Rate::Max, 1_000, 1),
    ] {
        measure(name, Options { rate, batch, pipeline, ..options(target, seconds) })?;
    }
    read_back(Options { rate: Rate::Max, batch: 1_000, ..options(target, 1) })
}

/// The verification: all orders of a run are read again. They are not what was sent, which costs the same.
fn read_back(options: Options) -> Result<(), Box<dyn Error>> {
    let outcome = Generator::start(options)?.wait()?;
    let options = VerifyOptions { limit: 200_000, replay_limit: 0, ..VerifyOptions::default() };
    let start = Instant::now();
    let found = verify(outcome.options.target, outcome.options.token.as_deref(), &outcome, &options)?;
    println!("{:<32}{:>12.0}", "orders read back", found.checked as f64 / start.elapsed().as_secs_f64());
    Ok(())
}

fn options(target: SocketAddr, seconds: u64) -> Options {
    let token = Some("x".repeat(400));
    Options { token, duration: Some(Duration::from_secs(seconds)), lines: 2, cores: vec![1], ..Options::new(target) }
}

fn measure(name: &str, options: Options) -> Result<(), Box<dyn Error>> {
    let outcome = Generator::start(options)?.wait()?;
    let latency = Percentiles::from_micros(&outcome.latency);
    println!(
        "{name:<32}{:>12.0}{:>12.2}{:>10.3}{:>10.3}{:>10.3}",
        outcome.acknowledged_per_second().unwrap_or_default(),
        outcome.client_micros_per_order().unwrap_or_default(),
        latency.p50.unwrap_or_default(),
        latency.p99.unwrap_or_default(),
        latency.max.unwrap_or_default(),
    );
    assert!(outcome.failed.is_empty() && outcome.unknown.is_empty(), "the server answers everything");
    Ok(())
}

struct Peer {
    stream: TcpStream,
    input: Vec<u8>,
    output: Vec<u8>,
}

fn serve(mut listener: TcpListener) -> io::Result<()> {
    let mut core = CpuSet::new();
    core.set(0);
    sched_setaffinity(None, &core)?;
    let (mut poll, mut events, mut peers) = (Poll::new()?, Events::with_capacity(256), HashMap::new());
    poll.registry().register(&mut listener, Token(0), Interest::READABLE)?;
    let mut buffer = vec![0; 1 << 20];
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            if event.token() == Token(0) {
                while let Ok((mut stream, _)) = listener.accept() {
                    let token = Token(peers.len() + 1);
                    stream.set_nodelay(true)?;
                    poll.registry().register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
                    peers.insert(token, Peer { stream, input: Vec::new(), output: Vec::new() });
                }
            } else if let Some(peer) = peers.get_mut(&event.token())
                && let Err(error) = peer.turn(&mut buffer)
                && error.kind() != ErrorKind::WouldBlock
            {
                peer.stream.shutdown(std::net::Shutdown::Both).ok();
            }
        }
    }
}

impl Peer {
    fn turn(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        self.flush()?;
        loop {
            let count = self.stream.read(buffer)?;
            if count == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            self.input.extend_from_slice(&buffer[..count]);
            while let Some(length) = self.answer() {
                self.input.drain(..length);
            }
            self.flush()?;
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        while !self.output.is_empty() {
            let count = self.stream.write(&self.output)?;
            self.output.drain(..count);
        }
        Ok(())
    }

    /// Answers the first request of the input and gives its length.
    fn answer(&mut self) -> Option<usize> {
        let mut fields = [httparse::EMPTY_HEADER; 16];
        let mut request = httparse::Request::new(&mut fields);
        let head = request.parse(&self.input).ok()?;
        let httparse::Status::Complete(head) = head else { return None };
        let length = request.headers.iter().find(|field| field.name == "Content-Length");
        let end = head + length.map_or(Some(0), |length| std::str::from_utf8(length.value).ok()?.parse().ok())?;
        let body = self.input.get(head..end)?;
        let order = concat!(
            r#"{"id":"o_01JABCDEFGHJKMNPQRSTVWXYZ0","status":"PENDING","customer":"c-1001","currency":null,"#,
            r#""total":null,"items":[{"sku":"sku-17","quantity":2,"unitPrice":null},{"sku":"sku-18","quantity":2,"#,
            r#""unitPrice":null}],"reason":null,"reference":null,"metadata":{},"version":1,"#,
            r#""createdAt":"2026-01-01T00:00:00.000000Z","updatedAt":"2026-01-01T00:00:00.000000Z"}"#
        );
        let common = "Content-Type: application/json\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nCache-Control: no-store\r\n\
            X-Correlation-Id: 0123456789abcdef\r\n";
        let (status, answer) = if request.path == Some("/v1/orders") {
            ("202 Accepted\r\nLocation: /v1/orders/o_01JABCDEFGHJKMNPQRSTVWXYZ0\r\nETag: \"1\"", order.to_owned())
        } else if request.method == Some("GET") {
            ("200 OK", order.to_owned())
        } else {
            let line = format!("{{\"status\":202,\"order\":{order}}}\n");
            ("200 OK", line.repeat(memchr::memchr_iter(b'\n', body).count()))
        };
        let length = answer.len();
        write!(self.output, "HTTP/1.1 {status}\r\n{common}Content-Length: {length}\r\n\r\n{answer}").ok()?;
        Some(end)
    }
}
