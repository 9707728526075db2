//! A small HTTP client: well formed requests, and somebody who sends them.

use std::io::Result;
use std::net::SocketAddr;

pub(crate) use crate::answer::Answer;
pub(crate) use crate::connection::Connection;

/// A request that is well formed.
#[derive(Clone)]
pub(crate) struct Request {
    method: &'static str,
    target: String,
    fields: String,
    body: Option<Vec<u8>>,
}

impl Request {
    pub(crate) fn new(method: &'static str, target: impl Into<String>) -> Request {
        Request { method, target: target.into(), fields: String::new(), body: None }
    }

    pub(crate) fn get(target: impl Into<String>) -> Request {
        Request::new("GET", target)
    }

    /// A POST of an order.
    pub(crate) fn place(key: &str, body: impl ToString) -> Request {
        Request::new("POST", "/v1/orders").field("Idempotency-Key", key).json(body)
    }

    /// A POST of many orders, one a line.
    pub(crate) fn place_lines(lines: impl Into<Vec<u8>>) -> Request {
        Request::new("POST", "/v1/orders:batch").body("application/x-ndjson", lines)
    }

    pub(crate) fn field(mut self, name: &str, value: &str) -> Request {
        self.fields.push_str(&format!("{name}: {value}\r\n"));
        self
    }

    pub(crate) fn json(self, body: impl ToString) -> Request {
        self.body("application/json", body.to_string())
    }

    pub(crate) fn body(self, content_type: &str, body: impl Into<Vec<u8>>) -> Request {
        let body = body.into();
        Request { body: Some(body), ..self.field("Content-Type", content_type) }
    }

    /// The bytes of the request, with a token if there is one.
    pub(crate) fn bytes(&self, token: Option<&str>) -> Vec<u8> {
        let Request { method, target, fields, body } = self;
        let authorization = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
        let length = body.as_ref().map(|body| format!("Content-Length: {}\r\n", body.len())).unwrap_or_default();
        let mut bytes =
            format!("{method} {target} HTTP/1.1\r\nHost: orderlane.test\r\n{authorization}{fields}{length}\r\n")
                .into_bytes();
        bytes.extend_from_slice(body.as_deref().unwrap_or_default());
        bytes
    }
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let body = String::from_utf8_lossy(self.body.as_deref().unwrap_or_default());
        let shown: String = body.chars().take(1_000).collect();
        write!(f, "{} {} {:?} {shown}", self.method, self.target, self.fields)
    }
}

/// Somebody with a token and one connection at a time.
pub(crate) struct Client {
    address: SocketAddr,
    token: Option<String>,
    connection: Option<Connection>,
}

impl Client {
    pub(crate) fn new(address: SocketAddr, token: String) -> Client {
        Client { address, token: Some(token), connection: None }
    }

    pub(crate) fn anonymous(address: SocketAddr) -> Client {
        Client { address, token: None, connection: None }
    }

    pub(crate) fn try_send(&mut self, request: &Request) -> Result<Answer> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::open(self.address)?,
        };
        connection.send(&request.bytes(self.token.as_deref()))?;
        let answer = connection.answer_to(request.method == "HEAD")?;
        if answer.field("Connection") != Some("close") {
            self.connection = Some(connection);
        }
        Ok(answer)
    }

    #[track_caller]
    pub(crate) fn send(&mut self, request: &Request) -> Answer {
        self.try_send(request).unwrap_or_else(|error| panic!("{error} after {request:?}"))
    }

    #[track_caller]
    pub(crate) fn get(&mut self, target: &str) -> Answer {
        self.send(&Request::get(target))
    }

    /// A POST without a body.
    #[track_caller]
    pub(crate) fn post(&mut self, target: &str) -> Answer {
        self.send(&Request::new("POST", target))
    }
}
