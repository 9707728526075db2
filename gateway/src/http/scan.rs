//! Finds the end of a head, however the bytes arrive: each byte is looked at once.

use std::ops::Range;

use crate::limits::{HEAD_LEN_MAX, TARGET_LEN_MAX};
use crate::problem::{Code, Problem};

/// Bytes that a request line may have besides its target.
const LINE_REST_MAX: usize = 64;
/// Empty lines before a request line that are ignored (RFC 9112 section 2.2).
const BLANK_LINES_MAX: usize = 1;

/// How far the head at the start of the input has been looked at.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct HeadScan {
    at: usize,
    line_start: usize,
    head_start: usize,
    lines: usize,
    blank_lines: usize,
}

impl HeadScan {
    /// The range of the head in `input`, once it is complete. `input` must begin with the bytes of the call before.
    pub(crate) fn advance(&mut self, input: &[u8]) -> Result<Option<Range<usize>>, Problem> {
        while let Some(found) = memchr::memchr2(b'\r', b'\n', &input[self.at..]) {
            self.at += found;
            match (input[self.at], input.get(self.at + 1)) {
                (b'\r', Some(b'\n')) => {}
                (b'\r', None) => break,
                (b'\r', Some(_)) => return Err(bad("A carriage return without line feed.")),
                (_, _) => return Err(bad("A line feed without carriage return.")),
            }
            let line_len = self.at - self.line_start;
            self.at += 2;
            self.line_start = self.at;
            if line_len > 0 {
                self.lines += 1;
                if self.lines == 1 && line_len > TARGET_LEN_MAX + LINE_REST_MAX {
                    return Err(too_long());
                }
            } else if self.lines > 0 {
                self.check_len(self.at)?;
                return Ok(Some(self.head_start..self.at));
            } else {
                self.blank_lines += 1;
                self.head_start = self.at;
                if self.blank_lines > BLANK_LINES_MAX {
                    return Err(bad("Empty lines before the request."));
                }
            }
        }
        if self.at < input.len() && input[self.at] != b'\r' {
            self.at = input.len();
        }
        if self.lines == 0 && self.at - self.head_start > TARGET_LEN_MAX + LINE_REST_MAX {
            return Err(too_long());
        }
        self.check_len(self.at)?;
        Ok(None)
    }

    fn check_len(&self, end: usize) -> Result<(), Problem> {
        if end - self.head_start > HEAD_LEN_MAX {
            return Err(Problem::new(Code::HeadersTooLarge, "The head of a request has at most 32 KiB."));
        }
        Ok(())
    }
}

fn bad(detail: &'static str) -> Problem {
    Problem::new(Code::BadRequest, detail)
}

fn too_long() -> Problem {
    Problem::new(Code::UriTooLong, "A request target has at most 8 KiB.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_found_wherever_the_bytes_are_cut() {
        let head = b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\nrest";
        for cut in 0..head.len() {
            let mut scan = HeadScan::default();
            let first = scan.advance(&head[..cut]).expect("well formed");
            let found = first.or_else(|| scan.advance(head).expect("well formed"));
            assert_eq!(found, Some(2..head.len() - 4), "cut at {cut}");
        }
    }

    #[test]
    fn bare_ends_of_lines_are_refused_before_the_head_is_complete() {
        for head in [&b"GET / HTTP/1.1\n"[..], b"GET / HTTP/1.1\rH", b"\n", b"\r\n\r\nGET", b"GET / HTTP/1.1\r\nA: b\n"]
        {
            let problem = HeadScan::default().advance(head).expect_err("refused");
            assert_eq!(problem.code, Code::BadRequest, "{:?}", String::from_utf8_lossy(head));
        }
    }
}
