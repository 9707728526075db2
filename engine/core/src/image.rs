//! The bytes of a checkpoint: entries that stand on their own, each a kind, a length and its fields, in any order but for the head.

use alloc::vec::Vec;

/// What an entry is. Stored: never change a number, never use one again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// The shard itself, its sequence, time and sums: first, once.
    Head = 1,
    /// An order: number and record.
    Order = 2,
    /// A stock item: index and fields.
    Item = 3,
    /// A hold: order and lines.
    Hold = 4,
    /// A tombstone: order and time.
    Tombstone = 5,
    /// An adjustment that was decided, with its answer.
    Adjustment = 6,
    /// The messages kept for one target.
    Outbox = 7,
    /// The mark of one source.
    Inbox = 8,
    /// The last one: how many there were before it.
    End = 9,
}

impl Kind {
    pub(crate) fn from_number(number: u8) -> Option<Kind> {
        let all = [
            Kind::Head,
            Kind::Order,
            Kind::Item,
            Kind::Hold,
            Kind::Tombstone,
            Kind::Adjustment,
            Kind::Outbox,
            Kind::Inbox,
            Kind::End,
        ];
        all.into_iter().find(|kind| *kind as u8 == number)
    }
}

/// What is wrong with stored bytes.
pub(crate) type Malformed = &'static str;

/// Appends one entry, whose fields `put` appends.
pub(crate) fn put_entry(out: &mut Vec<u8>, kind: Kind, put: impl FnOnce(&mut Vec<u8>)) {
    out.push(kind as u8);
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    put(out);
    let length = u32::try_from(out.len() - start - 4).expect("an entry is shorter than 4 GiB");
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
}

pub(crate) fn put_u16(out: &mut Vec<u8>, number: u16) {
    out.extend_from_slice(&number.to_le_bytes());
}

pub(crate) fn put_u32(out: &mut Vec<u8>, number: u32) {
    out.extend_from_slice(&number.to_le_bytes());
}

pub(crate) fn put_u64(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(&number.to_le_bytes());
}

/// A length and the bytes.
pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_u32(out, u32::try_from(bytes.len()).expect("a field is shorter than 4 GiB"));
    out.extend_from_slice(bytes);
}

/// Reads what the functions above wrote.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or("it ends early")?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        Ok(self.take(N)?.try_into().expect("as many as were taken"))
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(self.array::<1>()?[0])
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Malformed> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Malformed> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.u32()?;
        self.take(length as usize)
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, Malformed> {
        core::str::from_utf8(self.bytes()?).map_err(|_| "a text is not UTF-8")
    }

    /// The next entry: its kind and its fields.
    pub(crate) fn entry(&mut self) -> Result<(Kind, Reader<'a>), Malformed> {
        let kind = Kind::from_number(self.u8()?).ok_or("an entry of an unknown kind")?;
        Ok((kind, Reader(self.bytes()?)))
    }

    /// Nothing may be left.
    pub(crate) fn end(&self) -> Result<(), Malformed> {
        if self.is_empty() { Ok(()) } else { Err("there is something behind the last field") }
    }
}
