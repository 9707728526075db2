//! Numbers and texts as bytes. Every `take_*` moves the front of the slice behind what it has read.

use std::fmt;

/// Bytes whose checksum is right and whose content is not: another version's, or a defect's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(pub(crate) &'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "malformed content: {}", self.0)
    }
}

impl std::error::Error for Malformed {}

const CUT: Malformed = Malformed("it ends too early");

/// LEB128: seven bits a byte, low ones first, the top bit set where more follow.
#[inline]
pub(crate) fn put_varint(out: &mut Vec<u8>, value: u64) {
    if value < 0x80 {
        out.push(value as u8);
    } else if value < 1 << 56 {
        let (word, len) = varint_word(value);
        put_word(out, word, len);
    } else {
        put_varint_long(out, value);
    }
}

/// A byte and then a number of at most 48 bits, as [`put_varint`] would write it.
#[inline]
pub(crate) fn put_byte_and_varint(out: &mut Vec<u8>, byte: u8, value: u64) {
    assert!(value < 1 << 48, "with the byte it fits in a word");
    let (word, len) = varint_word(value);
    put_word(out, word << 8 | u64::from(byte), 1 + len);
}

/// The LEB128 form of a number below 2^56, and its length. Without a loop: this is a third of the cost of encoding an event.
#[inline]
fn varint_word(value: u64) -> (u64, usize) {
    let halves = value & 0x0fff_ffff | (value & 0x00ff_ffff_f000_0000) << 4;
    let quarters = halves & 0x0000_3fff_0000_3fff | (halves & 0x0fff_c000_0fff_c000) << 2;
    let bytes = quarters & 0x007f_007f_007f_007f | (quarters & 0x3f80_3f80_3f80_3f80) << 1;
    let last = (63 - (bytes | 1).leading_zeros()) / 8;
    let more = 0x0080_8080_8080_8080 & ((1 << (8 * last)) - 1);
    (bytes | more, last as usize + 1)
}

#[inline]
fn put_word(out: &mut Vec<u8>, word: u64, len: usize) {
    let end = out.len() + len;
    out.extend_from_slice(&word.to_le_bytes());
    out.truncate(end);
}

#[cold]
fn put_varint_long(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[inline]
pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

#[inline]
pub(crate) fn take_array<const N: usize>(from: &mut &[u8]) -> Result<[u8; N], Malformed> {
    let (array, rest) = from.split_first_chunk::<N>().ok_or(CUT)?;
    *from = rest;
    Ok(*array)
}

#[inline]
pub(crate) fn take_u8(from: &mut &[u8]) -> Result<u8, Malformed> {
    take_array::<1>(from).map(|[byte]| byte)
}

pub(crate) fn take_u16(from: &mut &[u8]) -> Result<u16, Malformed> {
    take_array(from).map(u16::from_le_bytes)
}

pub(crate) fn take_u32(from: &mut &[u8]) -> Result<u32, Malformed> {
    take_array(from).map(u32::from_le_bytes)
}

pub(crate) fn take_u64(from: &mut &[u8]) -> Result<u64, Malformed> {
    take_array(from).map(u64::from_le_bytes)
}

#[inline]
pub(crate) fn take_varint(from: &mut &[u8]) -> Result<u64, Malformed> {
    let mut value = 0u64;
    for shift in (0..u64::BITS).step_by(7) {
        let byte = take_u8(from)?;
        if shift == 63 && byte > 1 {
            break;
        }
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(Malformed("a number has more than 64 bits"))
}

pub(crate) fn take_slice<'a>(from: &mut &'a [u8], len: usize) -> Result<&'a [u8], Malformed> {
    let (slice, rest) = from.split_at_checked(len).ok_or(CUT)?;
    *from = rest;
    Ok(slice)
}

pub(crate) fn take_bytes<'a>(from: &mut &'a [u8]) -> Result<&'a [u8], Malformed> {
    let len = usize::try_from(take_varint(from)?).map_err(|_| CUT)?;
    take_slice(from, len)
}

pub(crate) fn take_text(from: &mut &[u8]) -> Result<Box<str>, Malformed> {
    let text = std::str::from_utf8(take_bytes(from)?).map_err(|_| Malformed("a text is not UTF-8"))?;
    Ok(Box::from(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_round_trip_at_their_edges_and_longer_ones_are_refused() {
        for value in
            (0..64).flat_map(|bit| [(1 << bit) - 1, 1 << bit, (1 << bit) | 0x1234_5678_9abc_def0 >> (63 - bit)])
        {
            let (mut bytes, mut simple) = (Vec::new(), Vec::new());
            put_varint(&mut bytes, value);
            put_varint_long(&mut simple, value);
            assert_eq!(bytes, simple, "one form, however it is made");
            let mut rest = bytes.as_slice();
            assert_eq!(take_varint(&mut rest), Ok(value));
            assert!(rest.is_empty());
            for cut in 0..bytes.len() {
                assert!(take_varint(&mut &bytes[..cut]).is_err(), "{value} cut at {cut}");
            }
        }
        for bytes in [[0xff; 11].as_slice(), &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]] {
            assert!(take_varint(&mut &*bytes).is_err(), "{bytes:?}");
        }
    }
}
