//! Where a body ends: `Content-Length` and chunked framing (RFC 9112 sections 6 and 7), as bytes arrive.

use crate::http::fields::{bad, is_token};
use crate::http::head::Framing;
use crate::limits::{CHUNK_LINE_LEN_MAX, TRAILER_LEN_MAX};
use crate::problem::Problem;

/// What the next bytes of the input are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Bytes `from..to` belong to the body; those before `from` to its framing.
    Data {
        /// The first.
        from: usize,
        /// One behind the last.
        to: usize,
    },
    /// So many bytes are framing; the next one has not arrived.
    More(usize),
    /// So many bytes are framing, and the body ends behind them.
    End(usize),
}

/// Reads the framing of one body. Bytes that a [`Step`] names are consumed and not shown again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BodyReader {
    state: State,
    trailer_left: usize,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// So many bytes of a sized body are missing.
    Sized(u64),
    /// A chunk-size line begins here.
    ChunkSize,
    /// So many bytes of a chunk are missing.
    Chunk(u64),
    /// The line end behind a chunk begins here.
    ChunkEnd,
    /// A line of the trailer section begins here.
    Trailer,
    /// Nothing is missing.
    Done,
}

impl BodyReader {
    /// For the body behind a head with this framing.
    pub(crate) fn new(framing: Framing) -> BodyReader {
        let state = match framing {
            Framing::Absent => State::Sized(0),
            Framing::Sized(len) => State::Sized(len),
            Framing::Chunked => State::ChunkSize,
        };
        BodyReader { state, trailer_left: TRAILER_LEN_MAX }
    }

    /// What `input` begins with.
    pub(crate) fn step(&mut self, input: &[u8]) -> Result<Step, Problem> {
        let mut at = 0;
        loop {
            match self.state {
                State::Sized(0) | State::Done => return Ok(Step::End(at)),
                State::Sized(left) | State::Chunk(left) => return Ok(self.data(input, at, left)),
                State::ChunkSize => match line(&input[at..], CHUNK_LINE_LEN_MAX)? {
                    None => return Ok(Step::More(at)),
                    Some(text) => {
                        at += text.len() + 2;
                        self.state = match parse_chunk_size(text)? {
                            0 => State::Trailer,
                            size => State::Chunk(size),
                        };
                    }
                },
                State::ChunkEnd => match line(&input[at..], 0)? {
                    None => return Ok(Step::More(at)),
                    Some(_) => {
                        at += 2;
                        self.state = State::ChunkSize;
                    }
                },
                State::Trailer => match line(&input[at..], self.trailer_left)? {
                    None => return Ok(Step::More(at)),
                    Some(text) => {
                        at += text.len() + 2;
                        self.take_trailer(text)?;
                    }
                },
            }
        }
    }

    fn data(&mut self, input: &[u8], from: usize, left: u64) -> Step {
        let there = input.len() - from;
        if there == 0 {
            return Step::More(from);
        }
        let taken = usize::try_from(left).unwrap_or(usize::MAX).min(there);
        let left = left - taken as u64;
        self.state = match self.state {
            State::Chunk(_) if left == 0 => State::ChunkEnd,
            State::Chunk(_) => State::Chunk(left),
            State::Sized(_) | State::ChunkSize | State::ChunkEnd | State::Trailer | State::Done => State::Sized(left),
        };
        Step::Data { from, to: from + taken }
    }

    fn take_trailer(&mut self, text: &[u8]) -> Result<(), Problem> {
        if text.is_empty() {
            self.state = State::Done;
            return Ok(());
        }
        self.trailer_left = self.trailer_left.saturating_sub(text.len() + 2);
        let name = text.split(|byte| *byte == b':').next().unwrap_or_default();
        let clean = text.iter().all(|byte| *byte == b'\t' || !byte.is_ascii_control());
        if name.len() == text.len() || !is_token(name) || !clean {
            return Err(bad("A trailer field is not well formed."));
        }
        Ok(())
    }
}

/// The line that `input` begins with, without its end; `None` when that has not arrived.
fn line(input: &[u8], len_max: usize) -> Result<Option<&[u8]>, Problem> {
    let window = &input[..input.len().min(len_max + 2)];
    match memchr::memchr2(b'\r', b'\n', window) {
        Some(at) if window[at] == b'\r' => match input.get(at + 1) {
            Some(b'\n') if at <= len_max => Ok(Some(&input[..at])),
            None if at <= len_max => Ok(None),
            Some(_) | None => Err(bad("The framing of the chunked body is broken.")),
        },
        Some(_) => Err(bad("A line feed without carriage return in the framing of the body.")),
        None if window.len() > len_max => Err(bad("The framing of the chunked body is broken.")),
        None => Ok(None),
    }
}

/// `1*HEXDIG [ chunk-ext ]`; extensions are bounded by the line and ignored.
fn parse_chunk_size(text: &[u8]) -> Result<u64, Problem> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let extension = &text[digits..];
    let blanks = extension.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    let is_extension = extension.is_empty() || extension.get(blanks) == Some(&b';');
    let clean = extension.iter().all(|byte| *byte == b'\t' || !byte.is_ascii_control());
    if digits == 0 || digits > 15 || !is_extension || !clean {
        return Err(bad("The size of a chunk is not valid."));
    }
    let size = text[..digits]
        .iter()
        .fold(0, |size, digit| size << 4 | u64::from(char::from(*digit).to_digit(16).expect("a hexadecimal digit")));
    Ok(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(bytes: &[u8], cut: usize) -> Result<(Vec<u8>, Option<usize>), Problem> {
        let mut reader = BodyReader::new(Framing::Chunked);
        let mut body = Vec::new();
        let mut at = 0;
        for end in [cut, bytes.len()] {
            loop {
                match reader.step(&bytes[at..end])? {
                    Step::Data { from, to } => {
                        body.extend_from_slice(&bytes[at + from..at + to]);
                        at += to;
                    }
                    Step::More(skip) => {
                        at += skip;
                        break;
                    }
                    Step::End(skip) => return Ok((body, Some(at + skip))),
                }
            }
        }
        Ok((body, None))
    }

    #[test]
    fn chunks_are_joined_wherever_the_bytes_are_cut() {
        let bytes = b"3\r\nabc\r\n0a ; x=\"y\"\r\n0123456789\r\n0\r\nA: b\r\nC:\r\n\r\nGET";
        for cut in 0..bytes.len() {
            let (body, end) = decode(bytes, cut).expect("well formed");
            assert_eq!((body.as_slice(), end), (&b"abc0123456789"[..], Some(bytes.len() - 3)), "cut at {cut}");
        }
    }

    #[test]
    fn broken_chunks_are_refused_wherever_the_bytes_are_cut() {
        let long = format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(CHUNK_LINE_LEN_MAX));
        let trailer = format!("0\r\nA: {}\r\n\r\n", "x".repeat(TRAILER_LEN_MAX));
        for bytes in [
            "\r\n",
            "g\r\n",
            "-1\r\n",
            "0x1\r\na\r\n",
            " 1\r\na\r\n",
            "1 \r\na\r\n",
            "1\na\r\n",
            "1\rXa",
            "3\r\nabcd\r\n",
            "3\r\nabc\n",
            "3\r\nabc0\r\n",
            "10000000000000000\r\n",
            "0\r\nA : b\r\n",
            "0\r\n: b\r\n",
            "0\r\nA\r\n",
            "0\r\nA: b\n\r\n",
            "0\r\n A: b\r\n",
            "1;\x01\r\na",
            &long,
            &trailer,
        ] {
            for cut in 0..bytes.len() {
                assert!(decode(bytes.as_bytes(), cut).is_err(), "{bytes:?} cut at {cut}");
            }
        }
    }
}
