//! How a request looks on the wire, and what an order says beside its lines: drawn behind everything else of an operation, so
//! that the rest of the plan does not depend on it.

use orderlane_core::Status;
use orderlane_core::limits::{EMAIL_LEN_MAX, METADATA_COUNT_MAX, METADATA_NAME_LEN_MAX, METADATA_VALUE_LEN_MAX};

use crate::clients::plan::Work;
use crate::history::Placing;
use crate::random::Random;

/// Sizes of chunks: around nothing, around a line, around a buffer.
const CHUNK_SIZES: [usize; 7] = [1, 2, 3, 15, 16, 100, 4_096];
/// Values of `If-Match` that no version matches.
const GARBAGE: [&str; 9] =
    ["", "\"\"", "3", "1", "W/\"1\"", "\"01\"", "\"0\"", "\"1\", \"2\"", "\"99999999999999999999\""];
/// The longest reference, of all kinds of characters.
const REFERENCE_LONG: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.~";

/// How the requests of an operation look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// A body goes in chunks of these sizes, again and again; empty: with its length.
    pub chunks: Vec<usize>,
    /// What JSON may write as `\u` and a number is written like that.
    pub escapes: bool,
    /// A read is `HEAD`.
    pub is_head: bool,
    /// `If-Match` of a cancel.
    pub precondition: Precondition,
}

/// For which version of an order a cancel is meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Precondition {
    /// No `If-Match`.
    #[default]
    Absent,
    /// This text, which means none or any.
    Text(&'static str),
    /// The newest version that any client has seen.
    Seen,
    /// The newest one, and it is read just before.
    Read,
    /// One that was.
    Stale,
    /// One that is not yet.
    Ahead,
}

impl Precondition {
    /// The value of `If-Match`, when this version is the newest that was seen.
    #[must_use]
    pub fn text(&self, seen: u64) -> Option<String> {
        let version = match self {
            Precondition::Absent => return None,
            Precondition::Text(text) => return Some((*text).to_owned()),
            Precondition::Seen | Precondition::Read => seen,
            Precondition::Stale => seen.saturating_sub(1),
            Precondition::Ahead => seen + 1,
        };
        Some(format!("\"{version}\""))
    }

    pub(super) fn draw(random: &mut Random) -> Precondition {
        match random.below(20) {
            0..9 => Precondition::Absent,
            9..11 => Precondition::Seen,
            11..14 => Precondition::Read,
            14..16 => Precondition::Stale,
            16 => Precondition::Ahead,
            17 => Precondition::Text("*"),
            _ => Precondition::Text(GARBAGE[random.index(GARBAGE.len())]),
        }
    }
}

/// Draws the shape, and gives orders and lists what they say beside: metadata of so many bytes at most.
pub(super) fn draw(work: &mut Work, random: &mut Random, room: usize) -> Shape {
    match work {
        Work::Place(placing) => say_more(placing, random, room),
        Work::PlaceMany(placings, _) => placings.iter_mut().for_each(|placing| say_more(placing, random, room)),
        Work::List(customer, _, status) => {
            if random.chance(400) {
                *customer = None;
            }
            *status = random.chance(400).then(|| *random.pick(&Status::ALL));
        }
        _ => {}
    }
    let chunked = random.chance(200);
    let sizes = random.between(1, 3);
    let chunks: Vec<usize> = (0..sizes).map(|_| *random.pick(&CHUNK_SIZES)).collect();
    let (escapes, is_head) = (random.chance(300), random.chance(200));
    let precondition = Precondition::draw(random);
    Shape { chunks: if chunked { chunks } else { Vec::new() }, escapes, is_head, precondition }
}

fn say_more(placing: &mut Placing, random: &mut Random, room: usize) {
    if random.chance(200) {
        let name = *random.pick(&["a", "ü", "\"a b\""]);
        let email = if random.chance(200) { "e".repeat(EMAIL_LEN_MAX - 2) + "@b" } else { format!("{name}@b.example") };
        placing.email = Some(email);
    }
    if random.chance(250) {
        placing.reference = Some((*random.pick(&["cart-77", "0", REFERENCE_LONG])).to_owned());
    }
    if random.chance(250) {
        let count = *random.pick(&[0, 1, 1, 2, 3, METADATA_COUNT_MAX]);
        let mut entries: Vec<(String, String)> = (0..count).map(|index| (name(index, random), value(random))).collect();
        let mut used = 0;
        entries.retain(|(name, value)| {
            let length = name.len() + value.len();
            let fits = used + length <= room;
            used += if fits { length } else { 0 };
            fits
        });
        placing.metadata = Some(entries);
    }
}

/// A name that only this entry of an order has.
fn name(index: usize, random: &mut Random) -> String {
    match random.below(4) {
        0 => format!("{index:é>0$}", METADATA_NAME_LEN_MAX),
        1 => format!("{index} \"\\ 名"),
        _ => format!("channel-{index}"),
    }
}

fn value(random: &mut Random) -> String {
    match random.below(12) {
        0 => String::new(),
        1 => "\"\\/\u{8}\u{c}\n\r\t\u{1f}\u{7f}".into(),
        2 => "ß 日本 😀 \u{2028}".into(),
        3 => "{\"status\":503}],[".into(),
        4 => "😀".repeat(METADATA_VALUE_LEN_MAX),
        5 => "v".repeat(METADATA_VALUE_LEN_MAX),
        _ => "web".into(),
    }
}
