//! Cuts a streamed body into items: the elements of a JSON array, or lines. Each byte is looked at once, and an item that lies
//! whole in the bytes at hand is not copied.

use crate::http::MediaType;
use crate::limits::BATCH_ITEM_LEN_MAX;

/// What the bytes at hand gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// All were taken; nothing is complete.
    More,
    /// An item: so many bytes `from..to` of the bytes at hand.
    Whole {
        /// The first.
        from: usize,
        /// One behind the last.
        to: usize,
    },
    /// An item: the one in [`Splitter::joined`].
    Joined,
    /// An item that is too long; its bytes are gone.
    TooLong,
    /// What follows cannot be cut into items.
    Broken,
}

/// Cuts one body.
#[derive(Debug)]
pub(crate) struct Splitter {
    state: State,
    /// The beginning of an item that began in earlier bytes.
    joined: Vec<u8>,
    too_long: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The array begins here.
    Start,
    /// The first element or the end of the array.
    First,
    /// An element must follow.
    Element,
    /// In an element.
    Inside { depth: u32, text: Text },
    /// A comma or the end of the array.
    Behind,
    /// Behind the array: white space.
    Done,
    /// In or before a line.
    Line,
}

/// Where in a JSON string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Text {
    Outside,
    Inside,
    Escaped,
}

impl Splitter {
    /// For a body of this type.
    pub(crate) fn new(media_type: MediaType) -> Splitter {
        let state = match media_type {
            MediaType::Json => State::Start,
            MediaType::Lines => State::Line,
        };
        Splitter { state, joined: Vec::new(), too_long: false }
    }

    /// Looks at the next bytes; gives how many it took.
    pub(crate) fn advance(&mut self, bytes: &[u8]) -> (usize, Cut) {
        let mut at = 0;
        loop {
            if self.state == State::Line {
                return self.line(bytes);
            }
            if let State::Inside { .. } = self.state {
                return self.element(bytes, at);
            }
            let Some(byte) = bytes.get(at) else { return (at, Cut::More) };
            self.state = match (self.state, byte) {
                (state, b' ' | b'\t' | b'\r' | b'\n') => state,
                (State::Start, b'[') => State::First,
                (State::First | State::Behind, b']') => State::Done,
                (State::Behind, b',') => State::Element,
                (State::First | State::Element, b',' | b']') => return (at, Cut::Broken),
                (State::First | State::Element, _) => {
                    self.state = State::Inside { depth: 0, text: Text::Outside };
                    return self.element(bytes, at);
                }
                (State::Start | State::Behind | State::Done | State::Inside { .. } | State::Line, _) => {
                    return (at, Cut::Broken);
                }
            };
            at += 1;
        }
    }

    /// The body has ended: a last line without its end is an item, an array that goes on is broken.
    pub(crate) fn finish(&mut self) -> Cut {
        match self.state {
            State::Done => Cut::More,
            State::Line if self.too_long => self.keep(&[], Cut::Joined),
            State::Line if self.joined.trim_ascii().is_empty() => Cut::More,
            State::Line => Cut::Joined,
            State::Start | State::First | State::Element | State::Inside { .. } | State::Behind => Cut::Broken,
        }
    }

    /// Whether the body began as it must.
    pub(crate) fn has_begun(&self) -> bool {
        self.state != State::Start
    }

    /// The item of [`Cut::Joined`]; to be cleared behind it.
    pub(crate) fn joined(&mut self) -> &mut Vec<u8> {
        &mut self.joined
    }

    fn line(&mut self, bytes: &[u8]) -> (usize, Cut) {
        let mut at = 0;
        while let Some(len) = memchr::memchr(b'\n', &bytes[at..]) {
            let from = at;
            at += len + 1;
            let line = &bytes[from..from + len];
            if self.joined.is_empty() && !self.too_long && line.trim_ascii().is_empty() {
                continue;
            }
            let whole = Cut::Whole { from, to: from + len };
            return (at, self.keep(line, whole));
        }
        let rest = if self.joined.is_empty() { bytes[at..].trim_ascii_start() } else { &bytes[at..] };
        self.put(rest);
        (bytes.len(), Cut::More)
    }

    /// Goes on in an element that begins or goes on at `start`.
    fn element(&mut self, bytes: &[u8], start: usize) -> (usize, Cut) {
        let State::Inside { mut depth, mut text } = self.state else { unreachable!("only called within an element") };
        let mut at = start;
        let mut end = None;
        while at < bytes.len() && end.is_none() {
            let byte = bytes[at];
            at += 1;
            match text {
                Text::Escaped => text = Text::Inside,
                Text::Inside => {
                    if let Some(found) = memchr::memchr2(b'"', b'\\', &bytes[at - 1..]) {
                        at += found;
                        text = if bytes[at - 1] == b'"' { Text::Outside } else { Text::Escaped };
                        end = (text == Text::Outside && depth == 0).then_some(at);
                    } else {
                        at = bytes.len();
                    }
                }
                Text::Outside => match byte {
                    b'"' => text = Text::Inside,
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' if depth > 0 => {
                        depth -= 1;
                        end = (depth == 0).then_some(at);
                    }
                    b',' | b']' | b' ' | b'\t' | b'\r' | b'\n' if depth == 0 => {
                        at -= 1;
                        end = Some(at);
                    }
                    _ => {}
                },
            }
        }
        self.state = State::Inside { depth, text };
        let Some(end) = end else {
            self.put(&bytes[start..]);
            return (bytes.len(), Cut::More);
        };
        self.state = State::Behind;
        (at, self.keep(&bytes[start..end], Cut::Whole { from: start, to: end }))
    }

    /// Completes an item with its last bytes.
    fn keep(&mut self, bytes: &[u8], whole: Cut) -> Cut {
        if self.joined.is_empty() && !self.too_long && bytes.len() <= BATCH_ITEM_LEN_MAX {
            return whole;
        }
        self.put(bytes);
        if std::mem::take(&mut self.too_long) { Cut::TooLong } else { Cut::Joined }
    }

    fn put(&mut self, bytes: &[u8]) {
        if self.too_long || self.joined.len() + bytes.len() > BATCH_ITEM_LEN_MAX {
            self.too_long = true;
            self.joined = Vec::new();
        } else {
            self.joined.extend_from_slice(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The items of `body` cut into pieces of `size` bytes; `!` stands for broken, `~` for too long.
    fn items(media_type: MediaType, body: &[u8], size: usize) -> Vec<String> {
        let mut splitter = Splitter::new(media_type);
        let mut items = Vec::new();
        for piece in body.chunks(size) {
            let mut at = 0;
            while at < piece.len() {
                let (taken, cut) = splitter.advance(&piece[at..]);
                match cut {
                    Cut::More => assert_eq!(at + taken, piece.len()),
                    Cut::Whole { from, to } => {
                        items.push(String::from_utf8_lossy(&piece[at + from..at + to]).into_owned())
                    }
                    Cut::Joined => {
                        items.push(String::from_utf8_lossy(splitter.joined()).into_owned());
                        splitter.joined().clear();
                    }
                    Cut::TooLong => items.push("~".into()),
                    Cut::Broken => {
                        items.push("!".into());
                        return items;
                    }
                }
                at += taken;
            }
        }
        match splitter.finish() {
            Cut::More => {}
            Cut::Joined => items.push(String::from_utf8_lossy(splitter.joined()).into_owned()),
            Cut::TooLong => items.push("~".into()),
            Cut::Broken | Cut::Whole { .. } => items.push("!".into()),
        }
        items
    }

    #[test]
    fn arrays_are_cut_the_same_in_pieces_of_any_size() {
        for (body, expected) in [
            ("[]", vec![]),
            (" [ ] \n", vec![]),
            ("[{}]", vec!["{}"]),
            ("[{\"a\":\"]},\\\"{\"},{\"b\":[1,{}]}]", vec!["{\"a\":\"]},\\\"{\"}", "{\"b\":[1,{}]}"]),
            ("[1 , \"a,]\\\\\", null,[2]]", vec!["1", "\"a,]\\\\\"", "null", "[2]"]),
            ("[{} {}]", vec!["{}", "!"]),
            ("[{},]", vec!["{}", "!"]),
            ("[,{}]", vec!["!"]),
            ("[{}", vec!["{}", "!"]),
            ("[{}] x", vec!["{}", "!"]),
            ("{}", vec!["!"]),
            ("", vec!["!"]),
            ("[\"a", vec!["!"]),
            ("[1}2]", vec!["1}2"]),
        ] {
            for size in 1..=body.len().max(1) {
                assert_eq!(items(MediaType::Json, body.as_bytes(), size), expected, "{body} by {size}");
            }
        }
    }

    #[test]
    fn lines_are_cut_the_same_in_pieces_of_any_size() {
        for (body, expected) in [
            ("", vec![]),
            ("\n  \r\n", vec![]),
            ("{}\n{\"a\":1}\r\n\n3", vec!["{}", "{\"a\":1}\r", "3"]),
            ("{}\n", vec!["{}"]),
        ] {
            for size in 1..=body.len().max(1) {
                assert_eq!(items(MediaType::Lines, body.as_bytes(), size), expected, "{body} by {size}");
            }
        }
    }

    #[test]
    fn an_item_that_is_too_long_is_skipped() {
        let long = format!("[\"{}\",2]", "x".repeat(BATCH_ITEM_LEN_MAX));
        for size in [1000, long.len()] {
            assert_eq!(items(MediaType::Json, long.as_bytes(), size), ["~", "2"]);
        }
        let long = format!("{}\n2", "x".repeat(BATCH_ITEM_LEN_MAX + 1));
        for size in [1000, long.len()] {
            assert_eq!(items(MediaType::Lines, long.as_bytes(), size), ["~", "2"]);
        }
    }
}
