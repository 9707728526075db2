//! HTTP/1.1 answers out of a byte buffer.

use crate::limits::{FIELDS_MAX, RETRY_MAX};
use httparse::{ParserConfig, Response, Status};
use memchr::memchr;
use std::{mem::MaybeUninit, ops::Range, time::Duration};

/// One answer. The body is contiguous: a chunked one was moved together in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Range<usize>,
    /// Bytes of the buffer that belong to this answer.
    pub(crate) consumed: usize,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) replayed: bool,
    /// No further answer comes on this connection.
    pub(crate) close: bool,
}

/// The bytes are no HTTP/1.1 answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) &'static str);

/// Parses one answer after another. Call with the bytes from the start of the answer on, as often as more arrive.
#[derive(Debug, Default)]
pub(crate) struct AnswerParser {
    /// Known once the head is complete.
    current: Option<(Answer, Body)>,
}

#[derive(Clone, Copy, Debug)]
enum Body {
    Sized,
    /// Everything before `scan` is decoded and lies before the end of `Answer::body`.
    Chunked {
        scan: usize,
    },
    UntilClose,
}

impl AnswerParser {
    /// The answer at the start of `bytes`, once it is complete.
    pub(crate) fn parse(&mut self, bytes: &mut [u8]) -> Result<Option<Answer>, Malformed> {
        if self.current.is_none() {
            self.current = head(bytes)?;
        }
        let Some((answer, body)) = &mut self.current else { return Ok(None) };
        let complete = match body {
            Body::Sized => bytes.len() >= answer.body.end,
            Body::Chunked { scan } => decode_chunks(bytes, scan, &mut answer.body.end)?,
            Body::UntilClose => false,
        };
        if !complete {
            return Ok(None);
        }
        answer.consumed = match *body {
            Body::Chunked { scan } => scan,
            Body::Sized | Body::UntilClose => answer.body.end,
        };
        Ok(self.current.take().map(|(answer, _)| answer))
    }

    /// The connection ended after `length` bytes: a body without a length is complete, anything else is not.
    pub(crate) fn finish(&mut self, length: usize) -> Option<Answer> {
        match self.current.take() {
            Some((mut answer, Body::UntilClose)) => {
                (answer.body.end, answer.consumed) = (length, length);
                Some(answer)
            }
            Some((_, Body::Sized | Body::Chunked { .. })) | None => None,
        }
    }
}

/// Parses a head, passing over interim (1xx) ones.
fn head(bytes: &[u8]) -> Result<Option<(Answer, Body)>, Malformed> {
    let mut start = 0;
    loop {
        let mut fields = [const { MaybeUninit::uninit() }; FIELDS_MAX];
        let mut response = Response::new(&mut []);
        let status = ParserConfig::default()
            .parse_response_with_uninit_headers(&mut response, &bytes[start..], &mut fields)
            .map_err(|_| Malformed("head"))?;
        let Status::Complete(length) = status else { return Ok(None) };
        start += length;
        if !(100..200).contains(&response.code.unwrap_or(0)) {
            return interpret(&response, start).map(Some);
        }
    }
}

fn interpret(response: &Response<'_, '_>, body_at: usize) -> Result<(Answer, Body), Malformed> {
    let status = response.code.ok_or(Malformed("status"))?;
    let mut answer = Answer {
        status,
        body: body_at..body_at,
        consumed: 0,
        retry_after: None,
        replayed: false,
        close: response.version == Some(0),
    };
    let mut body = Body::UntilClose;
    for field in response.headers.iter() {
        // The length of a name tells the few that matter apart from the rest.
        match field.name.len() {
            14 if field.name.eq_ignore_ascii_case("content-length") && !matches!(body, Body::Chunked { .. }) => {
                answer.body.end = body_at.saturating_add(number(field.value).ok_or(Malformed("content-length"))?);
                body = Body::Sized;
            }
            17 if field.name.eq_ignore_ascii_case("transfer-encoding") => {
                answer.body.end = body_at;
                body = Body::Chunked { scan: body_at };
            }
            11 if field.name.eq_ignore_ascii_case("retry-after") => {
                let seconds = number(field.value).map(|seconds| Duration::from_secs(seconds as u64).min(RETRY_MAX));
                answer.retry_after = Some(seconds.unwrap_or(Duration::from_secs(1)));
            }
            20 if field.name.eq_ignore_ascii_case("idempotency-replayed") => {
                answer.replayed = field.value.eq_ignore_ascii_case(b"true");
            }
            10 if field.name.eq_ignore_ascii_case("connection") => {
                answer.close |= field.value.eq_ignore_ascii_case(b"close");
            }
            _ => {}
        }
    }
    if status == 204 || status == 304 {
        (answer.body.end, body) = (body_at, Body::Sized);
    }
    answer.close |= matches!(body, Body::UntilClose);
    Ok((answer, body))
}

fn number(value: &[u8]) -> Option<usize> {
    std::str::from_utf8(value).ok()?.trim().parse().ok()
}

/// Moves complete chunks from `scan` to `end`; true when the last chunk and its trailers were there.
fn decode_chunks(bytes: &mut [u8], scan: &mut usize, end: &mut usize) -> Result<bool, Malformed> {
    loop {
        let Some(line) = memchr(b'\n', &bytes[*scan..]) else { return Ok(false) };
        let data = *scan + line + 1;
        let size = chunk_size(&bytes[*scan..data])?;
        if size == 0 {
            let Some(length) = trailers(&bytes[data..]) else { return Ok(false) };
            *scan = data + length;
            return Ok(true);
        }
        let next = data.checked_add(size).and_then(|next| next.checked_add(2)).ok_or(Malformed("chunk size"))?;
        if bytes.len() < next {
            return Ok(false);
        }
        if &bytes[next - 2..next] != b"\r\n" {
            return Err(Malformed("chunk end"));
        }
        bytes.copy_within(data..data + size, *end);
        *end += size;
        *scan = next;
    }
}

fn chunk_size(line: &[u8]) -> Result<usize, Malformed> {
    let text = std::str::from_utf8(line).map_err(|_| Malformed("chunk size"))?;
    let size = text.split(';').next().unwrap_or_default().trim();
    usize::from_str_radix(size, 16).map_err(|_| Malformed("chunk size"))
}

/// Length of the trailer section with its empty line.
fn trailers(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let length = memchr(b'\n', &bytes[at..])? + 1;
        at += length;
        if length <= 2 {
            return Some(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `wire` byte by byte and gives the answers with their bodies.
    fn check(wire: &str, expected: &[(u16, &str)]) {
        let mut parser = AnswerParser::default();
        let (mut buffer, mut answers) = (Vec::new(), Vec::new());
        for byte in wire.bytes() {
            buffer.push(byte);
            while let Some(answer) = parser.parse(&mut buffer).expect("well-formed") {
                answers.push((answer.status, String::from_utf8_lossy(&buffer[answer.body.clone()]).into_owned()));
                buffer.drain(..answer.consumed);
            }
        }
        if let Some(answer) = parser.finish(buffer.len()) {
            answers.push((answer.status, String::from_utf8_lossy(&buffer[answer.body]).into_owned()));
        }
        let answers: Vec<(u16, &str)> = answers.iter().map(|(status, body)| (*status, body.as_str())).collect();
        assert_eq!(answers, expected);
    }

    #[test]
    fn bodies_of_every_framing_arrive_in_pieces() {
        check(
            "HTTP/1.1 202 Accepted\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 204 No Content\r\n\r\n",
            &[(202, "ok"), (204, "")],
        );
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\n";
        check(&format!("{chunked}\r\n{chunked}Trailer: 1\r\n\r\n"), &[(200, "abc0123456789"), (200, "abc0123456789")]);
        check("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\nto the end", &[(200, "to the end")]);
    }

    #[test]
    fn the_fields_that_matter_are_read() {
        let mut wire = b"HTTP/1.1 503 No\r\nRetry-After: 2\r\nIdempotency-Replayed: true\r\nConnection: close\r\n\
            Content-Length: 0\r\n\r\n"
            .to_vec();
        let answer = AnswerParser::default().parse(&mut wire).expect("well-formed").expect("complete");
        assert_eq!((answer.retry_after, answer.replayed, answer.close), (Some(Duration::from_secs(2)), true, true));
    }

    #[test]
    fn nonsense_is_refused() {
        for wire in ["SMTP\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"] {
            assert!(AnswerParser::default().parse(&mut wire.as_bytes().to_vec()).is_err(), "{wire}");
        }
    }
}
