//! A connection whose bytes are the test's own.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use crate::answer::Answer;

/// Longer than every bound of the server.
const ANSWER_MAX: Duration = Duration::from_secs(50);

/// One connection.
pub(crate) struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> Result<Connection> {
        let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        Ok(Connection { stream, received: Vec::new() })
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends as much as the server takes in a time; gives how much that was.
    pub(crate) fn send_for(&mut self, bytes: &[u8], time: Duration) -> usize {
        let _ = self.stream.set_write_timeout(Some(time));
        let mut written = 0;
        while written < bytes.len() {
            match self.stream.write(&bytes[written..]) {
                Ok(len) => written += len,
                Err(_) => break,
            }
        }
        written
    }

    /// Another handle of the same connection, to write with.
    pub(crate) fn try_clone(&self) -> Result<Connection> {
        Ok(Connection { stream: self.stream.try_clone()?, received: Vec::new() })
    }

    /// Ends the connection for all of its handles.
    pub(crate) fn cut(&self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// No more bytes will come.
    pub(crate) fn finish(&mut self) -> Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }

    /// The answer to a request that is not HEAD.
    pub(crate) fn answer(&mut self) -> Result<Answer> {
        self.answer_to(false)
    }

    pub(crate) fn answer_to(&mut self, is_head: bool) -> Result<Answer> {
        let head_end = loop {
            match self.received.windows(4).position(|four| four == b"\r\n\r\n") {
                Some(end) => break end + 4,
                None => self.receive()?,
            }
        };
        let head: Vec<u8> = self.received.drain(..head_end).collect();
        let head = String::from_utf8(head).map_err(|_| wrong("a head is ASCII"))?;
        let mut answer = parse_head(&head).ok_or_else(|| wrong(&head))?;
        if is_head || matches!(answer.status, 204 | 304) {
            return Ok(answer);
        }
        answer.body = if answer.field("Transfer-Encoding") == Some("chunked") {
            self.chunks()?
        } else {
            let length = answer.field("Content-Length").and_then(|length| length.parse().ok());
            self.take(length.ok_or_else(|| wrong(&head))?)?
        };
        Ok(answer)
    }

    /// Everything up to the end of the connection.
    pub(crate) fn rest(&mut self) -> Result<Vec<u8>> {
        while !matches!(self.receive(), Err(error) if error.kind() == ErrorKind::UnexpectedEof) {}
        Ok(std::mem::take(&mut self.received))
    }

    /// Whether the server has closed it, without sending anything more.
    pub(crate) fn is_closed(&mut self) -> bool {
        match self.receive() {
            Ok(()) => false,
            Err(error) => matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset),
        }
    }

    fn chunks(&mut self) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let end = loop {
                match self.received.windows(2).position(|two| two == b"\r\n") {
                    Some(end) => break end,
                    None => self.receive()?,
                }
            };
            let line = self.take(end + 2)?;
            let size = std::str::from_utf8(&line[..end]).ok().and_then(|size| usize::from_str_radix(size, 16).ok());
            let size = size.ok_or_else(|| wrong("a chunk begins with its size"))?;
            body.extend(self.take(size)?);
            if self.take(2)? != b"\r\n" {
                return Err(wrong("a chunk ends with a line end"));
            }
            if size == 0 {
                return Ok(body);
            }
        }
    }

    fn take(&mut self, len: usize) -> Result<Vec<u8>> {
        while self.received.len() < len {
            self.receive()?;
        }
        Ok(self.received.drain(..len).collect())
    }

    fn receive(&mut self) -> Result<()> {
        let mut bytes = [0; 64 * 1024];
        match self.stream.read(&mut bytes)? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            len => {
                self.received.extend_from_slice(&bytes[..len]);
                Ok(())
            }
        }
    }
}

fn parse_head(head: &str) -> Option<Answer> {
    let mut lines = head.strip_suffix("\r\n\r\n")?.split("\r\n");
    let (version, status) = lines.next()?.split_once(' ')?;
    let status = status.get(..3)?.parse().ok().filter(|_| version == "HTTP/1.1")?;
    let field = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned()));
    Some(Answer { status, fields: lines.map(field).collect::<Option<_>>()?, body: Vec::new() })
}

fn wrong(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, what)
}
