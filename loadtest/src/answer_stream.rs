//! Answers as they arrive on one connection.

use crate::{
    answer::{Answer, AnswerParser, Malformed},
    limits::{ANSWER_BYTES_MAX, INPUT_BYTES_MIN},
};
use std::io::{self, Read};

/// The input buffer of a connection and its parser.
///
/// ```text
/// | read before | current answer … | rest | free |
///             start                     end
/// ```
#[derive(Debug, Default)]
pub(crate) struct AnswerStream {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    /// Bytes of the answer that was given last; they go when the next one is asked for.
    given: usize,
    parser: AnswerParser,
}

/// What one read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filled {
    /// The other side has closed.
    End,
    /// Less than there was room for: the socket is drained (epoll(7), "Questions and answers" 9).
    Drained,
    /// There may be more.
    Full,
}

impl AnswerStream {
    /// Reads once.
    pub(crate) fn fill(&mut self, reader: &mut impl Read) -> io::Result<Filled> {
        self.make_room()?;
        let room = self.bytes.len() - self.end;
        let count = reader.read(&mut self.bytes[self.end..])?;
        self.end += count;
        Ok(match count {
            0 => Filled::End,
            _ if count < room => Filled::Drained,
            _ => Filled::Full,
        })
    }

    /// The next complete answer; its body is valid until the next call.
    pub(crate) fn next(&mut self) -> Result<Option<Answer>, Malformed> {
        self.release();
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            return Ok(None);
        }
        let answer = self.parser.parse(&mut self.bytes[self.start..self.end])?;
        self.given = answer.as_ref().map_or(0, |answer| answer.consumed);
        Ok(answer)
    }

    /// The answer that only the end of the connection completes.
    pub(crate) fn finish(&mut self) -> Option<Answer> {
        self.release();
        self.parser.finish(self.end - self.start)
    }

    /// The body of the answer that was given last.
    pub(crate) fn body(&self, answer: &Answer) -> &[u8] {
        &self.bytes[self.start..self.end][answer.body.clone()]
    }

    /// Forgets everything but the memory: for a new connection.
    pub(crate) fn reset(&mut self) {
        (self.start, self.end, self.given) = (0, 0, 0);
        self.parser = AnswerParser::default();
    }

    fn release(&mut self) {
        self.start += std::mem::take(&mut self.given);
    }

    fn make_room(&mut self) -> io::Result<()> {
        if self.end < self.bytes.len() {
            return Ok(());
        }
        if self.start > self.bytes.len() / 2 {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            return Ok(());
        }
        let length = (self.bytes.len() * 2).max(INPUT_BYTES_MIN);
        if length > ANSWER_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "an answer is too large"));
        }
        self.bytes.resize(length, 0);
        Ok(())
    }
}
