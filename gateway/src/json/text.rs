//! The pieces that every rendered document is made of: strings, numbers, times, lists.

use orderlane_core::Time;

/// Bytes that need an escape in a JSON string, by byte: 0 for none, `u` for `\u00XX`, else the letter behind the backslash.
const ESCAPES: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = b'u';
        byte += 1;
    }
    table[b'"' as usize] = b'"';
    table[b'\\' as usize] = b'\\';
    table[0x08] = b'b';
    table[0x09] = b't';
    table[0x0a] = b'n';
    table[0x0c] = b'f';
    table[0x0d] = b'r';
    table
};
const HEX: &[u8; 16] = b"0123456789abcdef";

/// A JSON string with its quotes.
pub(crate) fn put_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut done = 0;
    for (at, byte) in bytes.iter().enumerate() {
        let escape = ESCAPES[usize::from(*byte)];
        if escape != 0 {
            out.extend_from_slice(&bytes[done..at]);
            put_escape(*byte, escape, out);
            done = at + 1;
        }
    }
    out.extend_from_slice(&bytes[done..]);
    out.push(b'"');
}

#[cold]
fn put_escape(byte: u8, escape: u8, out: &mut Vec<u8>) {
    if escape == b'u' {
        out.extend_from_slice(b"\\u00");
        out.push(HEX[usize::from(byte >> 4)]);
        out.push(HEX[usize::from(byte & 15)]);
    } else {
        out.extend_from_slice(&[b'\\', escape]);
    }
}

/// A JSON string, or `null`.
pub(crate) fn put_optional(text: Option<&str>, out: &mut Vec<u8>) {
    match text {
        Some(text) => put_string(text, out),
        None => out.extend_from_slice(b"null"),
    }
}

/// A JSON integer.
pub(crate) fn put_number(number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// A JSON integer, or `null`.
pub(crate) fn put_optional_number(number: Option<u64>, out: &mut Vec<u8>) {
    match number {
        Some(number) => put_number(number, out),
        None => out.extend_from_slice(b"null"),
    }
}

/// Items with commas between them; the brackets are the caller's.
pub(crate) fn put_list<T>(items: impl IntoIterator<Item = T>, out: &mut Vec<u8>, mut put: impl FnMut(T, &mut Vec<u8>)) {
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        put(item, out);
    }
}

/// A JSON string with the time in RFC 3339: UTC, six digits of fraction. The years 1970 to 9999 come out right; what is later
/// shows the last microsecond of 9999.
pub(crate) fn put_time(time: Time, out: &mut Vec<u8>) {
    let micros = time.0.min(TIME_MAX_MICROS);
    let (seconds, micros) = (micros / 1_000_000, micros % 1_000_000);
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil_from_days(days as u32);
    let mut text = *b"\"0000-00-00T00:00:00.000000Z\"";
    put_digits(&mut text[1..5], year);
    put_digits(&mut text[6..8], month);
    put_digits(&mut text[9..11], day);
    put_digits(&mut text[12..14], (of_day / 3_600) as u32);
    put_digits(&mut text[15..17], (of_day / 60 % 60) as u32);
    put_digits(&mut text[18..20], (of_day % 60) as u32);
    put_digits(&mut text[21..27], micros as u32);
    out.extend_from_slice(&text);
}

/// 9999-12-31T23:59:59.999999Z.
const TIME_MAX_MICROS: u64 = 253_402_300_799_999_999;

fn put_digits(to: &mut [u8], mut number: u32) {
    for digit in to.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// Days since 1970-01-01 to year, month and day. Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", for the years
/// from 1970 on: a year begins in March, so that the leap day is its last.
fn civil_from_days(days: u32) -> (u32, u32, u32) {
    let days = days + 719_468;
    let era = days / 146_097;
    let of_era = days % 146_097;
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u32::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn time(micros: u64) -> String {
        let mut out = Vec::new();
        put_time(Time(micros), &mut out);
        String::from_utf8(out).expect("ASCII")
    }

    #[test]
    fn times_are_rfc_3339_with_six_digits() {
        for (micros, text) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (1, "1970-01-01T00:00:00.000001Z"),
            (951_782_400_000_000, "2000-02-29T00:00:00.000000Z"),
            (1_078_012_800_000_000, "2004-02-29T00:00:00.000000Z"),
            (1_709_251_199_999_999, "2024-02-29T23:59:59.999999Z"),
            (1_735_689_599_123_456, "2024-12-31T23:59:59.123456Z"),
            (1_795_517_087_000_100, "2026-11-24T10:44:47.000100Z"),
            (4_107_542_400_000_000, "2100-03-01T00:00:00.000000Z"),
            (u64::MAX, "9999-12-31T23:59:59.999999Z"),
        ] {
            assert_eq!(time(micros), format!("\"{text}\""));
        }
    }

    #[test]
    fn days_count_on_without_a_gap() {
        let mut last = (1970, 1, 1);
        for days in 1..200_000 {
            let next = civil_from_days(days);
            let (year, month, day) = last;
            let steps = [(year, month, day + 1), (year, month + 1, 1), (year + 1, 1, 1)];
            assert!(steps.contains(&next), "{last:?} then {next:?}");
            last = next;
        }
    }

    proptest! {
        #[test]
        fn a_string_reads_back_as_it_was(text: String) {
            let mut out = Vec::new();
            put_string(&text, &mut out);
            prop_assert_eq!(serde_json::from_slice::<String>(&out).expect("JSON"), text);
        }
    }
}
