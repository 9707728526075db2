//! HTTP/1.1 as a client speaks it: small, and strict about what it is answered.

/// One answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parsed {
    /// The status code.
    pub status: u16,
    /// `X-Correlation-Id`
    pub correlation: Option<String>,
    /// `Idempotency-Replayed: true` was there.
    pub replayed: bool,
    /// Nothing follows on this connection.
    pub close: bool,
    /// `ETag`
    pub etag: Option<String>,
    /// `Location`
    pub location: Option<String>,
    /// `Link`
    pub link: Option<String>,
    /// `Content-Type`
    pub content_type: Option<String>,
    /// `Retry-After`
    pub retry_after: Option<String>,
    /// The body.
    pub body: Vec<u8>,
}

/// The longest head that is believed.
const HEAD_LEN_MAX: usize = 16 << 10;

/// Reads one answer from the beginning of `bytes`; gives it with its length, or `None` while it is not complete.
///
/// # Errors
/// What is not valid HTTP.
pub fn parse(bytes: &[u8]) -> Result<Option<(Parsed, usize)>, String> {
    read(bytes, false)
}

/// The same of the answer to a `HEAD`: it names a length, and nothing follows.
///
/// # Errors
/// What is not valid HTTP.
pub fn parse_head(bytes: &[u8]) -> Result<Option<(Parsed, usize)>, String> {
    read(bytes, true)
}

fn read(bytes: &[u8], is_head: bool) -> Result<Option<(Parsed, usize)>, String> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        let wrong = bytes.len() > HEAD_LEN_MAX || !b"HTTP/1.1 ".iter().zip(bytes).all(|(wanted, byte)| wanted == byte);
        return if wrong { Err(format!("no head of an answer: {}", excerpt(bytes))) } else { Ok(None) };
    };
    let head = std::str::from_utf8(&bytes[..end]).map_err(|_| String::from("a head that is not text"))?;
    let mut lines = head.split("\r\n");
    let mut parsed = Parsed { status: status(lines.next().unwrap_or_default())?, ..Parsed::default() };
    let (mut length, mut chunked) = (None, false);
    let mut seen: Vec<String> = Vec::new();
    for line in lines {
        let (name, value) = field(line)?;
        if seen.contains(&name) {
            return Err(format!("the field {name} is there twice"));
        }
        match name.as_str() {
            "content-length" => length = Some(decimal(&value)?),
            "transfer-encoding" if value == "chunked" => chunked = true,
            "transfer-encoding" => return Err(format!("transfer coding {value}")),
            "connection" => parsed.close = value == "close",
            "x-correlation-id" => parsed.correlation = Some(value),
            "idempotency-replayed" if value == "true" => parsed.replayed = true,
            "idempotency-replayed" => return Err(format!("Idempotency-Replayed: {value}")),
            "etag" => parsed.etag = Some(value),
            "location" => parsed.location = Some(value),
            "link" => parsed.link = Some(value),
            "content-type" => parsed.content_type = Some(value),
            "retry-after" => parsed.retry_after = Some(value),
            _ => {}
        }
        seen.push(name);
    }
    let start = end + 4;
    match (length, chunked) {
        (Some(_), true) => Err(String::from("both Content-Length and Transfer-Encoding")),
        (Some(_), false) | (None, true) if is_head => Ok(Some((parsed, start))),
        (Some(length), false) if bytes.len() - start < length => Ok(None),
        (Some(length), false) => {
            parsed.body = bytes[start..start + length].to_vec();
            Ok(Some((parsed, start + length)))
        }
        (None, true) => Ok(chunks(&bytes[start..])?.map(|(body, length)| (Parsed { body, ..parsed }, start + length))),
        (None, false) if parsed.status == 204 || parsed.status == 304 => Ok(Some((parsed, start))),
        (None, false) => Err(format!("an answer {} without a length", parsed.status)),
    }
}

fn status(line: &str) -> Result<u16, String> {
    let wrong = || format!("no status line: {line}");
    let rest = line.strip_prefix("HTTP/1.1 ").ok_or_else(wrong)?;
    let (digits, reason) = rest.split_once(' ').ok_or_else(wrong)?;
    let status = decimal(digits).map_err(|_| wrong())?;
    let known = digits.len() == 3 && (200..600).contains(&status) && !reason.is_empty();
    known.then_some(status as u16).ok_or_else(wrong)
}

/// A field: its name in small letters, its value without the space around it.
fn field(line: &str) -> Result<(String, String), String> {
    let wrong = || format!("no field: {line}");
    let (name, value) = line.split_once(':').ok_or_else(wrong)?;
    let is_token = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let is_text = value.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    (is_token && is_text).then(|| (name.to_ascii_lowercase(), value.trim().to_owned())).ok_or_else(wrong)
}

fn decimal(text: &str) -> Result<usize, String> {
    let is_number = (1..=9).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number).ok_or_else(|| format!("no number: {text}"))
}

/// A chunked body without trailers: what it holds, and its length on the wire.
fn chunks(bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>, String> {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let Some(line) = bytes[at..].windows(2).position(|window| window == b"\r\n") else {
            let wrong = bytes.len() - at > 16;
            return if wrong { Err(String::from("a chunk without a size")) } else { Ok(None) };
        };
        let digits = std::str::from_utf8(&bytes[at..at + line]).unwrap_or_default();
        let is_size = (1..=8).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let size = usize::from_str_radix(digits, 16).ok().filter(|_| is_size);
        let size = size.ok_or_else(|| format!("no size of a chunk: {}", excerpt(&bytes[at..at + line])))?;
        at += line + 2;
        if bytes.len() < at + size + 2 {
            return Ok(None);
        }
        body.extend_from_slice(&bytes[at..at + size]);
        at += size;
        if &bytes[at..at + 2] != b"\r\n" {
            return Err(String::from("a chunk that does not end where it says"));
        }
        at += 2;
        if size == 0 {
            return Ok(Some((body, at)));
        }
    }
}

fn excerpt(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_answers_are_read_and_parts_wait() {
        let sized = b"HTTP/1.1 202 Accepted\r\nX-Correlation-Id: c\r\nIdempotency-Replayed: true\r\nContent-Length: 2\r\n\r\n{}";
        let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n0000001\r\n[\r\n1\r\n]\r\n0\r\n\r\n";
        for (bytes, body) in [(&sized[..], "{}"), (&chunked[..], "[]")] {
            for length in 0..bytes.len() {
                assert_eq!(parse(&bytes[..length]), Ok(None), "{length}");
            }
            let mut more = bytes.to_vec();
            more.extend_from_slice(b"HTTP");
            let (parsed, length) = parse(&more).expect("valid").expect("complete");
            assert_eq!((parsed.body.as_slice(), length), (body.as_bytes(), bytes.len()));
        }
        let (parsed, _) = parse(sized).expect("valid").expect("complete");
        let head = sized.len() - 2;
        assert_eq!(parse_head(&sized[..head - 1]), Ok(None));
        let (parsed_head, length) = parse_head(&sized[..head]).expect("valid").expect("complete without a body");
        assert_eq!((parsed_head.body.is_empty(), parsed_head.status, length), (true, 202, head));
        assert_eq!((parsed.status, parsed.replayed, parsed.close), (202, true, false));
        assert_eq!(parsed.correlation.as_deref(), Some("c"));
    }

    #[test]
    fn what_is_not_an_answer() {
        for bytes in [
            "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
            "HTTQ",
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 100 Continue\r\n\r\n",
            "HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxy\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc",
            "HTTP/1.1 200 OK\r\nA b: 0\r\n\r\n",
        ] {
            assert!(parse(bytes.as_bytes()).is_err(), "{bytes}");
        }
    }
}
