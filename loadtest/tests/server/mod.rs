//! A server that speaks as much of the wire format as the tests need: a thread a connection, orders in memory.

#![allow(dead_code, reason = "each test binary uses its part of it")]

use serde_json::{Value, json};
use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// The server, as a handle that the threads share.
#[derive(Clone)]
pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
pub(crate) struct State {
    /// Bodies of the orders, by id.
    pub(crate) orders: Vec<Value>,
    /// Ids by key.
    pub(crate) keys: HashMap<String, String>,
    /// Every key that came, in the order of their coming, and its body.
    pub(crate) seen: Vec<(String, Value)>,
    /// Nobody is answered before this moment.
    pub(crate) stall_until: Option<Instant>,
    /// So many of the next order requests are stored and then lose their connection instead of an answer.
    pub(crate) lose_answers: usize,
    /// So many of the next orders are refused with 503.
    pub(crate) refuse: usize,
    /// Answers are chunked, a few bytes a chunk.
    pub(crate) is_chunked: bool,
    /// A bug: a key that comes again makes another order.
    pub(crate) forgets_keys: bool,
    is_dead: bool,
    streams: Vec<TcpStream>,
}

impl TestServer {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let server = Self { address: listener.local_addr().expect("bound"), state: Arc::default() };
        server.accept(listener);
        server
    }

    /// Ends all connections and listens no more; what is stored stays.
    pub(crate) fn kill(&self) {
        let streams = {
            let mut state = self.state();
            state.is_dead = true;
            std::mem::take(&mut state.streams)
        };
        for stream in streams {
            stream.shutdown(Shutdown::Both).ok();
        }
        TcpStream::connect(self.address).ok();
        while TcpStream::connect(self.address).is_ok() {
            std::thread::yield_now();
        }
    }

    /// Listens again on the same address.
    pub(crate) fn restart(&self) {
        self.state().is_dead = false;
        self.accept(TcpListener::bind(self.address).expect("the address is free again"));
    }

    fn accept(&self, listener: TcpListener) {
        let server = self.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if server.state().is_dead {
                    return;
                }
                let Ok(kept) = stream.try_clone() else { return };
                server.state().streams.extend(stream.try_clone());
                let server = server.clone();
                std::thread::spawn(move || {
                    server.serve(stream);
                    kept.shutdown(Shutdown::Both)
                });
            }
        });
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends with the connection, whichever side ends it.
    fn serve(&self, stream: TcpStream) -> Option<()> {
        let mut writer = stream.try_clone().ok()?;
        stream.set_nodelay(true).ok()?;
        let mut reader = BufReader::new(stream);
        loop {
            let (target, key, body) = request(&mut reader)?;
            let stall_until = self.state().stall_until;
            if let Some(until) = stall_until {
                std::thread::sleep(until.saturating_duration_since(Instant::now()));
            }
            let answer = self.answer(&target, key, &body)?;
            let is_chunked = self.state().is_chunked;
            writer.write_all(&if is_chunked { chunked(&answer) } else { sized(&answer) }).ok()?;
        }
    }

    /// `None` = the connection is lost instead.
    fn answer(&self, target: &str, key: Option<String>, body: &str) -> Option<(u16, String)> {
        let mut state = self.state();
        match target {
            "POST /v1/orders" => {
                let (status, answer) = state.place(&key?, serde_json::from_str(body).ok()?);
                state.unless_lost((status, answer.to_string()))
            }
            "POST /v1/orders:batch" => {
                let mut lines = String::new();
                for line in body.lines() {
                    let mut order: Value = serde_json::from_str(line).ok()?;
                    let key = order.as_object_mut()?.remove("idempotencyKey")?.as_str()?.to_owned();
                    let (status, answer) = state.place(&key, order);
                    let item = if status == 202 { "order" } else { "problem" };
                    lines.push_str(&format!("{}\n", json!({"status": status, item: answer})));
                }
                state.unless_lost((200, lines))
            }
            "POST /v1/products:batch" => {
                Some((200, body.lines().map(|_| "{\"sku\":\"s\",\"result\":\"created\"}\n").collect()))
            }
            "GET /v1/invariants" => {
                Some((200, json!({"violations": 0, "orders": {"COMPLETED": state.orders.len()}}).to_string()))
            }
            _ => {
                let id = target.strip_prefix("GET /v1/orders/")?;
                let order = state.orders.iter().find(|order| order["id"] == id);
                Some(order.map_or((404, "{}".to_owned()), |order| (200, order.to_string())))
            }
        }
    }
}

impl State {
    fn place(&mut self, key: &str, mut order: Value) -> (u16, Value) {
        self.seen.push((key.to_owned(), order.clone()));
        if self.refuse > 0 {
            self.refuse -= 1;
            return (503, json!({"code": "overloaded"}));
        }
        if let Some(id) = self.keys.get(key).filter(|_| !self.forgets_keys) {
            return (202, json!({"id": id}));
        }
        let id = format!("o_{}", self.orders.len());
        order["id"] = json!(id);
        order["status"] = json!("COMPLETED");
        order["updatedAt"] = json!(now_rfc3339());
        self.orders.push(order);
        self.keys.insert(key.to_owned(), id.clone());
        (202, json!({"id": id}))
    }

    fn unless_lost<T>(&mut self, answer: T) -> Option<T> {
        let is_lost = self.lose_answers > 0;
        self.lose_answers -= usize::from(is_lost);
        (!is_lost).then_some(answer)
    }
}

/// Method and path, idempotency key, body.
fn request(reader: &mut impl BufRead) -> Option<(String, Option<String>, String)> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|count| *count > 0)?;
    let target = line.trim_end().strip_suffix(" HTTP/1.1")?.to_owned();
    let (mut key, mut length) = (None, 0);
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        match name {
            "Idempotency-Key" => key = Some(value.to_owned()),
            "Content-Length" => length = value.parse().ok()?,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((target, key, String::from_utf8(body).ok()?))
}

fn sized((status, body): &(u16, String)) -> Vec<u8> {
    let retry = if *status == 503 { "Retry-After: 0\r\n" } else { "" };
    format!("HTTP/1.1 {status} X\r\n{retry}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

fn chunked((status, body): &(u16, String)) -> Vec<u8> {
    let mut out = format!("HTTP/1.1 {status} X\r\nTransfer-Encoding: chunked\r\n\r\n").into_bytes();
    for chunk in body.as_bytes().chunks(7) {
        out.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        out.extend_from_slice(chunk);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"0\r\n\r\n");
    out
}

/// Good until 2099.
fn now_rfc3339() -> String {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let (days, seconds) = (since_1970.as_secs() / 86_400, since_1970.as_secs() % 86_400);
    let (mut year, mut day) = (1970, days);
    let days_in = |year: u64| if year.is_multiple_of(4) { 366 } else { 365 };
    while day >= days_in(year) {
        day -= days_in(year);
        year += 1;
    }
    let mut month = 0;
    let february = days_in(year) - 337;
    let months = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    while day >= months[month] {
        day -= months[month];
        month += 1;
    }
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    let micros = since_1970.subsec_micros();
    format!("{year:04}-{:02}-{:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z", month + 1, day + 1)
}
