//! Names and quantities of the domain, each a type of its own.

use core::fmt;

use crate::limits::SHARDS_MAX;

/// A slice of the orders (by customer) and of the stock (by SKU). One shard is one Kafka partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(pub u16);

impl ShardId {
    /// The shard of a key among `shards`: Kafka's default partitioner, `(murmur2(key) & 0x7fffffff) % shards`.
    ///
    /// # Panics
    /// When `shards` is 0 or above [`SHARDS_MAX`].
    #[must_use]
    pub fn of(key: &str, shards: u16) -> ShardId {
        assert!(shards > 0 && shards <= SHARDS_MAX, "the shard count lies in 1..=SHARDS_MAX");
        let positive = murmur2(key.as_bytes()) & 0x7fff_ffff;
        ShardId((positive % u32::from(shards)) as u16)
    }

    /// As an index into a vector of all shards.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Kafka's murmur2 with its seed `0x9747b28c` (`org.apache.kafka.common.utils.Utils.murmur2`).
#[must_use]
pub fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    const R: u32 = 24;
    let mut hash: u32 = 0x9747_b28c ^ (data.len() as u32);
    let mut words = data.chunks_exact(4);
    for word in &mut words {
        let mut k = u32::from_le_bytes([word[0], word[1], word[2], word[3]]).wrapping_mul(M);
        k ^= k >> R;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        for (index, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * index);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

/// An order: its home shard (16 bits) and its number there (48 bits, dense from 0).
///
/// Text form: `o_` and 13 characters of Crockford base32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrderId(u64);

const CROCKFORD: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Bytes of an order id as text.
pub const ORDER_ID_LEN: usize = 15;

impl OrderId {
    /// Order `number` of `shard`.
    ///
    /// # Panics
    /// When `number` needs more than 48 bits.
    #[must_use]
    pub fn new(shard: ShardId, number: u64) -> OrderId {
        assert!(number < 1 << 48, "an order number has 48 bits");
        OrderId(u64::from(shard.0) << 48 | number)
    }

    /// From the 64 bits that [`OrderId::bits`] gives.
    #[must_use]
    pub fn from_bits(bits: u64) -> OrderId {
        OrderId(bits)
    }

    /// As 64 bits, for codecs.
    #[must_use]
    pub fn bits(self) -> u64 {
        self.0
    }

    /// The home shard.
    #[must_use]
    pub fn shard(self) -> ShardId {
        ShardId((self.0 >> 48) as u16)
    }

    /// The number within the home shard.
    #[must_use]
    pub fn number(self) -> u64 {
        self.0 & ((1 << 48) - 1)
    }

    /// The text form, always ASCII.
    #[must_use]
    pub fn text(self) -> [u8; ORDER_ID_LEN] {
        let mut text = *b"o_0000000000000";
        for (index, byte) in text[2..].iter_mut().enumerate() {
            *byte = CROCKFORD[((self.0 >> (5 * (12 - index))) & 31) as usize];
        }
        text
    }

    /// Reads exactly what [`OrderId::text`] writes; anything else is `None`.
    #[must_use]
    pub fn parse(text: &str) -> Option<OrderId> {
        let digits = text.strip_prefix("o_")?.as_bytes();
        if digits.len() != 13 {
            return None;
        }
        let mut bits: u64 = 0;
        for (index, byte) in digits.iter().enumerate() {
            let digit = CROCKFORD.iter().position(|known| known == byte)? as u64;
            if index == 0 && digit > 15 {
                return None;
            }
            bits = bits << 5 | digit;
        }
        Some(OrderId(bits))
    }
}

impl fmt::Display for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(core::str::from_utf8(&self.text()).expect("Crockford base32 is ASCII"))
    }
}

/// Microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub u64);

impl Time {
    /// `micros` later.
    #[must_use]
    pub fn after_micros(self, micros: u64) -> Time {
        Time(self.0.saturating_add(micros))
    }

    /// Microseconds from `earlier` to `self`, 0 if it is later.
    #[must_use]
    pub fn micros_since(self, earlier: Time) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// ISO 4217 code: three ASCII capitals.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; 3]);

impl Currency {
    /// Three ASCII capitals, or `None`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Currency> {
        let bytes: [u8; 3] = text.as_bytes().try_into().ok()?;
        bytes.iter().all(u8::is_ascii_uppercase).then_some(Currency(bytes))
    }

    /// The three letters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.0).expect("a currency is ASCII")
    }

    /// The three bytes, for codecs.
    #[must_use]
    pub fn bytes(self) -> [u8; 3] {
        self.0
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Position of an event in its shard, dense from 1; 0 is "before the first".
pub type Sequence = u64;

/// Who waits for an answer: opaque to the core, which only hands it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplyTo {
    /// The lane that accepted the connection.
    pub lane: u16,
    /// The connection's slot there.
    pub slot: u32,
    /// Which connection of that slot: a late answer to a closed one is dropped.
    pub generation: u32,
    /// Which request (or batch item) of that connection.
    pub request: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn murmur2_agrees_with_the_java_client() {
        let vectors: [(&str, i32, u16); 10] = [
            ("", 275_646_681, 9),
            ("a", -1_563_381_124, 4),
            ("ab", 316_155_434, 2),
            ("abc", 479_470_107, 3),
            ("abcd", -1_323_649_548, 8),
            ("abcde", 461_995_741, 1),
            ("order-1", 1_221_710_326, 10),
            ("ACC-00000042", 1_424_864_499, 3),
            ("Zürich-€", -1_900_260_963, 5),
            ("订单-7", 1_315_432_892, 8),
        ];
        for (key, hash, partition) in vectors {
            assert_eq!(murmur2(key.as_bytes()) as i32, hash, "{key}");
            assert_eq!(ShardId::of(key, 12), ShardId(partition), "{key}");
        }
    }

    #[test]
    fn order_ids_round_trip_and_nothing_else_parses() {
        for bits in [0, 1, 31, 32, 1 << 48, u64::MAX, 0x0123_4567_89ab_cdef] {
            let id = OrderId::from_bits(bits);
            let text = alloc::format!("{id}");
            assert_eq!(OrderId::parse(&text), Some(id));
        }
        for text in
            ["", "o_", "o_000000000000", "o_00000000000000", "o_000000000000u", "o_G000000000000", "x_0000000000000"]
        {
            assert_eq!(OrderId::parse(text), None, "{text}");
        }
    }
}
