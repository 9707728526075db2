//! The `Date` of answers, made once a second.

use orderlane_core::Time;

/// `Date: Tue, 15 Nov 1994 08:12:31 GMT` and a line end, for the current second.
#[derive(Clone, Debug)]
pub(crate) struct DateCache {
    second: u64,
    line: [u8; LINE_LEN],
}

const LINE_LEN: usize = 37;
const DAYS: [&[u8; 3]; 7] = [b"Thu", b"Fri", b"Sat", b"Sun", b"Mon", b"Tue", b"Wed"];
const MONTHS: [&[u8; 3]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

impl Default for DateCache {
    fn default() -> Self {
        DateCache { second: 0, line: render(0) }
    }
}

impl DateCache {
    /// The whole line.
    pub(crate) fn line(&mut self, now: Time) -> &[u8] {
        let second = now.0 / 1_000_000;
        if second != self.second {
            self.second = second;
            self.line = render(second);
        }
        &self.line
    }
}

/// IMF-fixdate (RFC 9110 section 5.6.7).
fn render(second: u64) -> [u8; LINE_LEN] {
    let mut line = *b"Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n";
    let days = second / 86_400;
    let (year, month, day) = civil(days);
    line[6..9].copy_from_slice(DAYS[(days % 7) as usize]);
    put_digits(&mut line[11..13], day);
    line[14..17].copy_from_slice(MONTHS[(month - 1) as usize]);
    put_digits(&mut line[18..22], year);
    put_digits(&mut line[23..25], second / 3_600 % 24);
    put_digits(&mut line[26..28], second / 60 % 60);
    put_digits(&mut line[29..31], second % 60);
    line
}

/// Year, month and day of a day since 1970 (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

fn put_digits(place: &mut [u8], mut number: u64) {
    for byte in place.iter_mut().rev() {
        *byte = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        let mut cache = DateCache::default();
        for (second, line) in [
            (0, "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n"),
            (784_887_151, "Date: Tue, 15 Nov 1994 08:12:31 GMT\r\n"),
            (951_782_400, "Date: Tue, 29 Feb 2000 00:00:00 GMT\r\n"),
            (4_107_542_399, "Date: Sun, 28 Feb 2100 23:59:59 GMT\r\n"),
        ] {
            assert_eq!(String::from_utf8_lossy(cache.line(Time(second * 1_000_000))), line);
        }
    }
}
