//! Answers as bytes.

/// Writes the head of one answer, field by field.
pub(crate) struct ResponseHead<'o> {
    out: &'o mut Vec<u8>,
}

impl<'o> ResponseHead<'o> {
    /// Writes the status line and the `Date` line.
    pub(crate) fn start(out: &'o mut Vec<u8>, status: u16, date_line: &[u8]) -> ResponseHead<'o> {
        out.extend_from_slice(status_line(status));
        out.extend_from_slice(date_line);
        ResponseHead { out }
    }

    /// A field; `name` brings the separator, and may bring the beginning of the value.
    pub(crate) fn field(&mut self, name: &'static str, value: impl AsRef<[u8]>) -> &mut Self {
        debug_assert!(name.contains(": "), "the separator is part of the name");
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(value.as_ref());
        self.out.extend_from_slice(b"\r\n");
        self
    }

    /// A whole line, its end included.
    pub(crate) fn line(&mut self, line: &'static [u8]) -> &mut Self {
        debug_assert!(line.ends_with(b"\r\n"), "the end is part of the line");
        self.out.extend_from_slice(line);
        self
    }

    /// `ETag` of a version.
    pub(crate) fn etag(&mut self, version: u64) -> &mut Self {
        self.out.extend_from_slice(b"ETag: \"");
        self.out.extend_from_slice(itoa::Buffer::new().format(version).as_bytes());
        self.out.extend_from_slice(b"\"\r\n");
        self
    }

    /// Ends the head.
    pub(crate) fn end(&mut self) {
        self.out.extend_from_slice(b"\r\n");
    }

    /// Ends the head with the length of the body.
    pub(crate) fn end_sized(&mut self, len: usize) {
        self.out.extend_from_slice(b"Content-Length: ");
        self.out.extend_from_slice(itoa::Buffer::new().format(len).as_bytes());
        self.out.extend_from_slice(b"\r\n\r\n");
    }
}

/// Digits of a chunk size: fixed, so that it can be filled in behind the chunk.
const CHUNK_DIGITS: usize = 7;

/// Begins a chunk whose size is not known yet; the result goes to [`end_chunk`].
pub(crate) fn begin_chunk(out: &mut Vec<u8>) -> usize {
    out.extend_from_slice(b"0000000\r\n");
    out.len()
}

/// Ends a chunk; an empty one is taken back, for it would end the body.
pub(crate) fn end_chunk(out: &mut Vec<u8>, data_start: usize) {
    let head_start = data_start - CHUNK_DIGITS - 2;
    let size = out.len() - data_start;
    if size == 0 {
        out.truncate(head_start);
        return;
    }
    assert!(size < 1 << (4 * CHUNK_DIGITS), "one flush is shorter than 256 MiB");
    for (index, byte) in out[head_start..head_start + CHUNK_DIGITS].iter_mut().enumerate() {
        *byte = b"0123456789abcdef"[size >> (4 * (CHUNK_DIGITS - 1 - index)) & 15];
    }
    out.extend_from_slice(b"\r\n");
}

/// Ends a chunked body.
pub(crate) fn end_chunks(out: &mut Vec<u8>) {
    out.extend_from_slice(b"0\r\n\r\n");
}

fn status_line(status: u16) -> &'static [u8] {
    match status {
        200 => b"HTTP/1.1 200 OK\r\n",
        201 => b"HTTP/1.1 201 Created\r\n",
        202 => b"HTTP/1.1 202 Accepted\r\n",
        204 => b"HTTP/1.1 204 No Content\r\n",
        304 => b"HTTP/1.1 304 Not Modified\r\n",
        400 => b"HTTP/1.1 400 Bad Request\r\n",
        401 => b"HTTP/1.1 401 Unauthorized\r\n",
        403 => b"HTTP/1.1 403 Forbidden\r\n",
        404 => b"HTTP/1.1 404 Not Found\r\n",
        405 => b"HTTP/1.1 405 Method Not Allowed\r\n",
        408 => b"HTTP/1.1 408 Request Timeout\r\n",
        409 => b"HTTP/1.1 409 Conflict\r\n",
        411 => b"HTTP/1.1 411 Length Required\r\n",
        412 => b"HTTP/1.1 412 Precondition Failed\r\n",
        413 => b"HTTP/1.1 413 Content Too Large\r\n",
        414 => b"HTTP/1.1 414 URI Too Long\r\n",
        415 => b"HTTP/1.1 415 Unsupported Media Type\r\n",
        417 => b"HTTP/1.1 417 Expectation Failed\r\n",
        422 => b"HTTP/1.1 422 Unprocessable Content\r\n",
        429 => b"HTTP/1.1 429 Too Many Requests\r\n",
        431 => b"HTTP/1.1 431 Request Header Fields Too Large\r\n",
        501 => b"HTTP/1.1 501 Not Implemented\r\n",
        503 => b"HTTP/1.1 503 Service Unavailable\r\n",
        505 => b"HTTP/1.1 505 HTTP Version Not Supported\r\n",
        _ => b"HTTP/1.1 500 Internal Server Error\r\n",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_carry_their_size_and_an_empty_one_vanishes() {
        let mut out = b"head".to_vec();
        let start = begin_chunk(&mut out);
        end_chunk(&mut out, start);
        let start = begin_chunk(&mut out);
        out.extend_from_slice(&[b'x'; 26]);
        end_chunk(&mut out, start);
        end_chunks(&mut out);
        assert_eq!(out, format!("head000001a\r\n{}\r\n0\r\n\r\n", "x".repeat(26)).into_bytes());
    }
}
