//! The canonical body of an order: the fields that a client sent, once validated, in one immutable block of bytes.
//!
//! The block is what the journal stores, what the fingerprint of an idempotency key compares (byte for byte: the known
//! fields, the lines in their order) and what answers are rendered from. It is shared, never copied.
//!
//! ```text
//! 0        2        4        6        8        10       11        12        20      23       24
//! ├ customer ┼ key ───┼ token ─┼ extra ─┼ lines ─┼ count ┼ flags ──┼ expected ┼ cur ─┼ unused ┼ subject, customer, key, token, extras, lines
//! (u16 offsets of the variable parts)
//! ```

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::ids::{Currency, ShardId};
use crate::limits::LINES_MAX;

const HEAD_LEN: usize = 24;
const FLAG_EXPECTED: u8 = 1;
const FLAG_CURRENCY: u8 = 2;
const FLAG_EMAIL: u8 = 4;
const FLAG_REFERENCE: u8 = 8;

/// The fields of an order before they become an [`OrderBody`]; borrowed from wherever they were parsed.
#[derive(Clone, Debug)]
pub struct OrderDraft<'a> {
    /// The verified subject of the caller: scope of the key, owner of the order.
    pub subject: &'a str,
    /// Shard key of the order.
    pub customer: &'a str,
    /// The idempotency key, unquoted.
    pub key: &'a str,
    /// `currency`, when it was given.
    pub currency: Option<Currency>,
    /// `expectedTotal` in minor units, when it was given.
    pub total_expected: Option<u64>,
    /// `payment.token`.
    pub token: &'a str,
    /// `email`, when it was given.
    pub email: Option<&'a str>,
    /// `reference`, when it was given.
    pub reference: Option<&'a str>,
    /// `metadata` in the order sent; names are unique.
    pub metadata: &'a [(&'a str, &'a str)],
    /// The lines as sent.
    pub lines: &'a [DraftLine<'a>],
}

/// One line of an [`OrderDraft`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DraftLine<'a> {
    /// The SKU.
    pub sku: &'a str,
    /// Units, 1 to [`crate::limits::QUANTITY_MAX`].
    pub quantity: u32,
}

/// One line of an [`OrderBody`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// The SKU.
    pub sku: &'a str,
    /// Units.
    pub quantity: u32,
    /// The stock shard of the SKU.
    pub shard: ShardId,
}

/// One line as the core itself reads it: the text of the SKU was checked once, when the body was made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawLine<'a> {
    pub(crate) sku: &'a [u8],
    pub(crate) quantity: u32,
    pub(crate) shard: ShardId,
}

/// The lines one after the other: shard (u16), quantity (u32), length (u16) and text of the SKU.
#[derive(Clone, Debug)]
pub(crate) struct RawLines<'a>(&'a [u8]);

impl<'a> Iterator for RawLines<'a> {
    type Item = RawLine<'a>;

    fn next(&mut self) -> Option<RawLine<'a>> {
        let ([s0, s1, q0, q1, q2, q3, l0, l1], rest) = self.0.split_first_chunk()?;
        let (sku, rest) = rest.split_at(usize::from(u16::from_le_bytes([*l0, *l1])));
        self.0 = rest;
        let quantity = u32::from_le_bytes([*q0, *q1, *q2, *q3]);
        Some(RawLine { sku, quantity, shard: ShardId(u16::from_le_bytes([*s0, *s1])) })
    }
}

/// The canonical body: immutable and shared.
#[derive(Clone, PartialEq, Eq)]
pub struct OrderBody(Arc<[u8]>);

impl OrderBody {
    /// Encodes a draft whose fields keep the bounds of [`crate::limits`]. Metadata is stored in the order of its names, so
    /// that the order of JSON keys does not count.
    ///
    /// # Panics
    /// When a field breaks its bound: whoever parsed it has validated it.
    #[must_use]
    pub fn encode(draft: &OrderDraft<'_>, shards: u16) -> OrderBody {
        assert!((1..=LINES_MAX).contains(&draft.lines.len()), "an order has 1 to LINES_MAX lines");
        let mut bytes = Vec::with_capacity(320);
        bytes.resize(HEAD_LEN, 0);
        bytes.extend_from_slice(draft.subject.as_bytes());
        put_offset(&mut bytes, 0);
        bytes.extend_from_slice(draft.customer.as_bytes());
        put_offset(&mut bytes, 2);
        bytes.extend_from_slice(draft.key.as_bytes());
        put_offset(&mut bytes, 4);
        bytes.extend_from_slice(draft.token.as_bytes());
        put_offset(&mut bytes, 6);
        let mut flags = 0;
        for (flag, field) in [(FLAG_EMAIL, draft.email), (FLAG_REFERENCE, draft.reference)] {
            if let Some(text) = field {
                flags |= flag;
                put_text(&mut bytes, text);
            }
        }
        put_metadata(&mut bytes, draft.metadata);
        put_offset(&mut bytes, 8);
        for line in draft.lines {
            bytes.extend_from_slice(&ShardId::of(line.sku, shards).0.to_le_bytes());
            bytes.extend_from_slice(&line.quantity.to_le_bytes());
            put_text(&mut bytes, line.sku);
        }
        bytes[10] = draft.lines.len() as u8;
        if let Some(total) = draft.total_expected {
            flags |= FLAG_EXPECTED;
            bytes[12..20].copy_from_slice(&total.to_le_bytes());
        }
        if let Some(currency) = draft.currency {
            flags |= FLAG_CURRENCY;
            bytes[20..23].copy_from_slice(&currency.bytes());
        }
        bytes[11] = flags;
        OrderBody(Arc::from(bytes))
    }

    /// From stored bytes. `None` unless every accessor is safe on them and re-encoding would give them back.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<OrderBody> {
        check(bytes)?;
        Some(OrderBody(Arc::from(bytes)))
    }

    /// The stored form.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Who placed the order.
    #[must_use]
    pub fn subject(&self) -> &str {
        self.text(HEAD_LEN, self.offset(0))
    }

    /// The customer: the shard key of the order.
    #[must_use]
    pub fn customer(&self) -> &str {
        self.text(self.offset(0), self.offset(2))
    }

    /// The idempotency key.
    #[must_use]
    pub fn key(&self) -> &str {
        self.text(self.offset(2), self.offset(4))
    }

    /// Subject, customer and key as one run of bytes with their lengths: what a retry must repeat to be the same operation.
    #[must_use]
    pub fn scope(&self) -> (&[u8], &[u8]) {
        scope_of(&self.0)
    }

    /// `payment.token`.
    #[must_use]
    pub fn token(&self) -> &str {
        self.text(self.offset(4), self.offset(6))
    }

    /// `currency` as sent.
    #[must_use]
    pub fn currency(&self) -> Option<Currency> {
        (self.head()[11] & FLAG_CURRENCY != 0)
            .then(|| Currency::parse(self.text(20, 23)).expect("checked when the body was made"))
    }

    /// `expectedTotal` as sent.
    #[must_use]
    pub fn total_expected(&self) -> Option<u64> {
        (self.head()[11] & FLAG_EXPECTED != 0)
            .then(|| u64::from_le_bytes(self.0[12..20].try_into().expect("eight bytes")))
    }

    /// `email` as sent.
    #[must_use]
    pub fn email(&self) -> Option<&str> {
        (self.0[11] & FLAG_EMAIL != 0).then(|| take_text(&self.0[self.offset(6)..]).0)
    }

    /// `reference` as sent.
    #[must_use]
    pub fn reference(&self) -> Option<&str> {
        let mut extra = &self.0[self.offset(6)..];
        if self.0[11] & FLAG_EMAIL != 0 {
            extra = take_text(extra).1;
        }
        (self.0[11] & FLAG_REFERENCE != 0).then(|| take_text(extra).0)
    }

    /// `metadata`, by name.
    pub fn metadata(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut extra = &self.0[self.offset(6)..self.offset(8)];
        for flag in [FLAG_EMAIL, FLAG_REFERENCE] {
            if self.0[11] & flag != 0 {
                extra = take_text(extra).1;
            }
        }
        let count = extra[0];
        extra = &extra[1..];
        (0..count).map(move |_| {
            let (name, rest) = take_text(extra);
            let (value, rest) = take_text(rest);
            extra = rest;
            (name, value)
        })
    }

    /// How many lines.
    #[must_use]
    pub fn line_count(&self) -> usize {
        usize::from(self.head()[10])
    }

    /// The lines as sent.
    pub fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        self.raw_lines().map(|line| {
            let sku = core::str::from_utf8(line.sku).expect("checked when the body was made");
            Line { sku, quantity: line.quantity, shard: line.shard }
        })
    }

    /// The lines as sent, unread.
    pub(crate) fn raw_lines(&self) -> RawLines<'_> {
        raw_lines_of(&self.0)
    }

    /// The bytes of the customer.
    pub(crate) fn customer_bytes(&self) -> &[u8] {
        customer_of(&self.0)
    }

    /// The bytes of the subject.
    pub(crate) fn subject_bytes(&self) -> &[u8] {
        subject_of(&self.0)
    }

    fn head(&self) -> &[u8; HEAD_LEN] {
        self.0.first_chunk().expect("checked when the body was made")
    }

    fn offset(&self, at: usize) -> usize {
        offset_of(&self.0, at)
    }

    fn text(&self, from: usize, to: usize) -> &str {
        core::str::from_utf8(&self.0[from..to]).expect("checked when the body was made")
    }
}

/// [`OrderBody::scope`] of bytes that were checked.
pub(crate) fn scope_of(bytes: &[u8]) -> (&[u8], &[u8]) {
    (&bytes[0..4], &bytes[HEAD_LEN..offset_of(bytes, 4)])
}

/// The customer of bytes that were checked.
pub(crate) fn customer_of(bytes: &[u8]) -> &[u8] {
    &bytes[offset_of(bytes, 0)..offset_of(bytes, 2)]
}

/// The subject of bytes that were checked.
pub(crate) fn subject_of(bytes: &[u8]) -> &[u8] {
    &bytes[HEAD_LEN..offset_of(bytes, 0)]
}

/// The lines of bytes that were checked.
pub(crate) fn raw_lines_of(bytes: &[u8]) -> RawLines<'_> {
    RawLines(&bytes[offset_of(bytes, 8)..])
}

fn offset_of(bytes: &[u8], at: usize) -> usize {
    let head: &[u8; HEAD_LEN] = bytes.first_chunk().expect("checked when the body was made");
    usize::from(u16::from_le_bytes([head[at], head[at + 1]]))
}

impl core::fmt::Debug for OrderBody {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("OrderBody")
            .field("subject", &self.subject())
            .field("customer", &self.customer())
            .field("key", &self.key())
            .field("token", &self.token())
            .field("lines", &self.lines().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

fn put_offset(bytes: &mut [u8], at: usize) {
    let end = u16::try_from(bytes.len()).expect("the bounds of the fields keep a body below 64 KiB");
    bytes[at..at + 2].copy_from_slice(&end.to_le_bytes());
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    let len = u16::try_from(text.len()).expect("a field is shorter than 64 KiB");
    bytes.extend_from_slice(&len.to_le_bytes());
    bytes.extend_from_slice(text.as_bytes());
}

fn put_metadata(bytes: &mut Vec<u8>, metadata: &[(&str, &str)]) {
    let mut sorted: Vec<_> = metadata.iter().collect();
    sorted.sort_unstable();
    bytes.push(u8::try_from(sorted.len()).expect("at most METADATA_COUNT_MAX entries"));
    for (name, value) in sorted {
        put_text(bytes, name);
        put_text(bytes, value);
    }
}

fn take_text(bytes: &[u8]) -> (&str, &[u8]) {
    let len = usize::from(u16::from_le_bytes([bytes[0], bytes[1]]));
    let text = core::str::from_utf8(&bytes[2..2 + len]).expect("checked when the body was made");
    (text, &bytes[2 + len..])
}

/// Whether every accessor is safe on the bytes.
pub(crate) fn check(bytes: &[u8]) -> Option<()> {
    let head = bytes.get(..HEAD_LEN)?;
    let mut from = HEAD_LEN;
    let mut ends = [0; 5];
    for (index, end) in ends.iter_mut().enumerate() {
        *end = usize::from(u16::from_le_bytes([head[2 * index], head[2 * index + 1]]));
        let part = bytes.get(from..*end)?;
        if index < 4 {
            core::str::from_utf8(part).ok()?;
        }
        from = *end;
    }
    let flags = head[11];
    if flags & FLAG_CURRENCY != 0 {
        Currency::parse(core::str::from_utf8(&head[20..23]).ok()?)?;
    }
    let mut extra = &bytes[ends[3]..ends[4]];
    for flag in [FLAG_EMAIL, FLAG_REFERENCE] {
        if flags & flag != 0 {
            extra = check_text(extra)?;
        }
    }
    let (count, mut extra) = extra.split_first()?;
    for _ in 0..2 * usize::from(*count) {
        extra = check_text(extra)?;
    }
    let lines = usize::from(head[10]);
    if !extra.is_empty() || !(1..=LINES_MAX).contains(&lines) {
        return None;
    }
    let mut rest = &bytes[ends[4]..];
    for _ in 0..lines {
        rest = check_text(rest.get(6..)?)?;
    }
    rest.is_empty().then_some(())
}

fn check_text(bytes: &[u8]) -> Option<&[u8]> {
    let len = usize::from(u16::from_le_bytes([*bytes.first()?, *bytes.get(1)?]));
    core::str::from_utf8(bytes.get(2..2 + len)?).ok()?;
    Some(&bytes[2 + len..])
}
