//! Times in a challenge: `YYYY-MM-DDThh:mm:ssZ`, to the second, UTC.
//!
//! Guarantees: accepts exactly the valid dates of the proleptic Gregorian
//! calendar (years 0000 … 9999) with hh ≤ 23 and mm, ss ≤ 59, and nothing else.
//! Deliberately lacks: a clock, offsets, fractions and leap seconds.

const DAYS_PER_400_YEARS: i64 = 146_097;
const DAYS_TO_1970: i64 = 719_528;

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 => 28 + i64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 0000-01-01 to the first of January of `year`.
fn days_before_year(year: i64) -> i64 {
    match year {
        0 => 0,
        _ => 365 * year + (year - 1) / 4 - (year - 1) / 100 + (year - 1) / 400 + 1,
    }
}

/// Seconds from 1970-01-01T00:00:00Z to `text`, or `None` if the text is
/// not of the pattern or not a time.
pub fn parse(text: &str) -> Option<i64> {
    let bytes: &[u8; 20] = text.as_bytes().try_into().ok()?;
    let pattern = b"dddd-dd-ddTdd:dd:ddZ";
    let fits = |(byte, want): (&u8, &u8)| match want {
        b'd' => byte.is_ascii_digit(),
        _ => byte == want,
    };
    if !bytes.iter().zip(pattern).all(fits) {
        return None;
    }
    let number = |from: usize, digits: usize| {
        bytes[from..from + digits].iter().fold(0, |n, b| 10 * n + i64::from(b - b'0'))
    };
    let (year, month, day) = (number(0, 4), number(5, 2), number(8, 2));
    let (hour, minute, second) = (number(11, 2), number(14, 2), number(17, 2));
    if !(1..=12).contains(&month) || !(1..=days_in_month(year, month)).contains(&day) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let days = days_before_year(year)
        + (1..month).map(|m| days_in_month(year, m)).sum::<i64>()
        + (day - 1)
        - DAYS_TO_1970;
    Some(days * 86_400 + hour * 3600 + minute * 60 + second)
}

/// The text of `unix_s`, or `None` outside the years 0000 … 9999.
pub fn format(unix_s: i64) -> Option<String> {
    let days = unix_s.div_euclid(86_400) + DAYS_TO_1970;
    if !(0..25 * DAYS_PER_400_YEARS).contains(&days) {
        return None;
    }
    // An estimate that is at most one year too high or low, then corrected.
    let mut year = days * 400 / DAYS_PER_400_YEARS;
    while days_before_year(year) > days {
        year -= 1;
    }
    while days_before_year(year + 1) <= days {
        year += 1;
    }
    let mut day = days - days_before_year(year);
    let mut month = 1;
    while day >= days_in_month(year, month) {
        day -= days_in_month(year, month);
        month += 1;
    }
    let s = unix_s.rem_euclid(86_400);
    let (hour, minute, second) = (s / 3600, s / 60 % 60, s % 60);
    Some(format!("{year:04}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}Z", day + 1))
}

#[cfg(test)]
mod tests {
    use super::{format, parse};

    #[test]
    fn known_times() {
        for (text, unix_s) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1969-12-31T23:59:59Z", -1),
            ("2000-02-29T12:34:56Z", 951_827_696),
            ("2026-11-22T01:00:00Z", 1_795_309_200),
            ("9999-12-31T23:59:59Z", 253_402_300_799),
            ("0000-01-01T00:00:00Z", -62_167_219_200),
        ] {
            assert_eq!(parse(text), Some(unix_s), "{text}");
            assert_eq!(format(unix_s).as_deref(), Some(text));
        }
        assert_eq!(format(253_402_300_800), None);
        assert_eq!(format(-62_167_219_201), None);
    }

    #[test]
    fn every_day_of_four_centuries_and_the_edges_goes_both_ways() {
        for day in (-720_000..-719_000).chain(-80_000..80_000).chain(2_932_000..2_933_000) {
            if let Some(text) = format(day * 86_400 + 86_399) {
                assert_eq!(parse(&text), Some(day * 86_400 + 86_399), "{text}");
            }
        }
    }

    #[test]
    fn what_is_no_time() {
        for text in [
            "",
            "2026-11-22",
            "2026-11-22T00:00:00",
            "2026-11-22T00:00:00z",
            "2026-11-22t00:00:00Z",
            "2026-11-22 00:00:00Z",
            "2026-11-22T00:00:00+00:00",
            "2026-11-22T00:00:00.0Z",
            "2026-11-22T24:00:00Z",
            "2026-11-22T00:60:00Z",
            "2026-11-22T00:00:60Z",
            "2026-00-22T00:00:00Z",
            "2026-13-22T00:00:00Z",
            "2026-11-00T00:00:00Z",
            "2026-11-31T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "1900-02-29T00:00:00Z",
            "+026-11-22T00:00:00Z",
            "２026-11-22T00:00:0Z",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
