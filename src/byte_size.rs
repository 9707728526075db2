//! Sizes as people write them: `512MiB`, `50GB`, `1073741824`.

use std::fmt;
use std::str::FromStr;

/// A count of bytes, read from and written as text. What is written is exact and reads back as the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ByteSize(pub(crate) u64);

/// Units, the larger first. The decimal ones are the SI's, the binary ones those of IEC 80000-13.
const UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("kB", 1_000),
    ("B", 1),
];

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<ByteSize, String> {
        let wrong = || format!("{text} is not a size; write a whole number of bytes, or one with a unit: 512MiB, 50GB");
        let text = text.trim();
        let digits = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
        let (count, unit) = text.split_at(digits);
        let count: u64 = count.parse().map_err(|_| wrong())?;
        let unit = match unit.trim_start() {
            "" => 1,
            name => UNITS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).ok_or_else(wrong)?.1,
        };
        count.checked_mul(unit).map(ByteSize).ok_or_else(|| format!("{text} is more bytes than can be counted"))
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ByteSize(bytes) = *self;
        let fits = |unit: u64| bytes >= unit && bytes.is_multiple_of(unit);
        match UNITS.iter().find(|(_, unit)| fits(*unit)) {
            Some((name, unit)) => write!(f, "{}{name}", bytes / unit),
            None => write!(f, "{bytes}B"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_is_read_and_written_back() {
        for (text, bytes, written) in [
            ("0", 0, "0B"),
            ("1073741824", 1 << 30, "1GiB"),
            ("512MiB", 512 << 20, "512MiB"),
            ("512 mib", 512 << 20, "512MiB"),
            ("50GB", 50_000_000_000, "50GB"),
            ("1kb", 1_000, "1kB"),
            ("3TiB", 3 << 40, "3TiB"),
            ("1000001B", 1_000_001, "1000001B"),
        ] {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
            assert_eq!(ByteSize(bytes).to_string(), written);
            assert_eq!(written.parse(), Ok(ByteSize(bytes)), "{written}");
        }
    }

    #[test]
    fn what_could_mean_two_things_is_refused() {
        for text in ["", "GB", "5G", "1.5GiB", "-1", "1e9", "0x10", "5 apples", "99999999999999999999", "17000000TiB"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
    }
}
