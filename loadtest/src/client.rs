//! A blocking client for everything that is not load: catalogue, invariants, metrics, verification.

use crate::{
    answer::Answer,
    answer_stream::{AnswerStream, Filled},
    error::{Error, Result},
    limits::CONTROL_TIMEOUT,
};
use std::{
    io::{self, ErrorKind, Write},
    net::{SocketAddr, TcpStream},
};

/// One keep-alive connection, made when it is needed.
#[derive(Debug)]
pub struct Client {
    target: SocketAddr,
    /// Fields of every request.
    fields: String,
    stream: Option<TcpStream>,
    answers: AnswerStream,
}

/// An answer with its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// The body, decoded.
    pub body: Vec<u8>,
}

impl Client {
    /// A client that authenticates with `token`.
    #[must_use]
    pub fn new(target: SocketAddr, token: Option<&str>) -> Self {
        let authorization = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
        let fields = format!("Host: {target}\r\n{authorization}");
        Self { target, fields, stream: None, answers: AnswerStream::default() }
    }

    /// `GET path`.
    pub fn read(&mut self, path: &str) -> Result<Response> {
        self.ask("GET", path, "", b"")
    }

    /// Sends a request that may safely be sent twice: it is, when a kept connection turns out to be closed. `fields`
    /// are header lines, each with its CRLF.
    pub fn ask(&mut self, method: &str, path: &str, fields: &str, body: &[u8]) -> Result<Response> {
        let mut request = format!("{method} {path} HTTP/1.1\r\n{}{fields}", self.fields).into_bytes();
        if method != "GET" {
            request.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
        }
        request.extend_from_slice(b"\r\n");
        request.extend_from_slice(body);
        let was_kept = self.stream.is_some();
        let mut response = None;
        let mut take = |status: u16, body: &[u8]| response = Some(Response { status, body: body.to_vec() });
        let first = self.exchange(&request, 1, &mut take);
        if let Err((_, error)) = first
            && (!was_kept || self.exchange(&request, 1, &mut take).is_err())
        {
            return Err(error.into());
        }
        response.ok_or_else(|| Error::Io(ErrorKind::UnexpectedEof.into()))
    }

    /// Starts a pipelined request without a body.
    pub(crate) fn push_read(&self, path: &str, id: &str, out: &mut Vec<u8>) {
        for part in ["GET ", path, id, " HTTP/1.1\r\n", &self.fields, "\r\n"] {
            out.extend_from_slice(part.as_bytes());
        }
    }

    /// Sends `count` requests at once and takes their answers in order. An error says how many were answered before.
    pub(crate) fn exchange(
        &mut self,
        requests: &[u8],
        count: usize,
        take: &mut impl FnMut(u16, &[u8]),
    ) -> std::result::Result<(), (usize, io::Error)> {
        let mut answered = 0;
        let outcome = self.try_exchange(requests, count, &mut answered, take);
        outcome.map_err(|error| {
            self.stream = None;
            (answered, error)
        })
    }

    fn try_exchange(
        &mut self,
        requests: &[u8],
        count: usize,
        answered: &mut usize,
        take: &mut impl FnMut(u16, &[u8]),
    ) -> io::Result<()> {
        if self.stream.is_none() {
            self.answers.reset();
            self.stream = Some(connect(self.target)?);
        }
        let stream = self.stream.as_mut().expect("it was connected above if it was not");
        stream.write_all(requests)?;
        while *answered < count {
            let next = self.answers.next().map_err(|malformed| io::Error::new(ErrorKind::InvalidData, malformed.0))?;
            let answer = match next {
                Some(answer) => answer,
                None => match self.answers.fill(stream)? {
                    Filled::End => self.answers.finish().ok_or(ErrorKind::UnexpectedEof)?,
                    Filled::Drained | Filled::Full => continue,
                },
            };
            take(answer.status, self.answers.body(&answer));
            *answered += 1;
            let Answer { close, .. } = answer;
            if close {
                self.stream = None;
                return if *answered == count { Ok(()) } else { Err(ErrorKind::UnexpectedEof.into()) };
            }
        }
        Ok(())
    }
}

fn connect(target: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&target, CONTROL_TIMEOUT)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(CONTROL_TIMEOUT))?;
    stream.set_write_timeout(Some(CONTROL_TIMEOUT))?;
    Ok(stream)
}

/// The answer if it is 200, the refusal as an error otherwise.
pub(crate) fn expect_ok(what: &str, response: Response) -> Result<Vec<u8>> {
    match response.status {
        200 => Ok(response.body),
        status => {
            let body: String = String::from_utf8_lossy(&response.body).chars().take(300).collect();
            Err(Error::Refused { what: what.to_owned(), status, body })
        }
    }
}
