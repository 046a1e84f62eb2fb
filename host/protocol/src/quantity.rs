//! Amounts for people: four digits, and the unit with a prefix of the SI. Everything that the
//! program prints for people takes its numbers from here.
//!
//! Guarantees: the same amount is written the same way everywhere; a bound is never rounded to
//! the stronger side.
//! Deliberately lacks: numbers for programs. JSON has them whole, in a fixed unit.

use std::time::Duration;

/// Prefixes of the SI, the largest first.
const PREFIXES: [(f64, &str); 7] =
    [(1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, "")];

/// `amount` of `unit`, rounded to the nearest.
///
/// ```
/// use attest_protocol::quantity::about;
/// assert_eq!(about(62.19e9, "FLOP/s"), "62.19 GFLOP/s");
/// assert_eq!(about(126_898_667_520.0, "B"), "126.9 GB");
/// assert_eq!(about(0.25, "B"), "0.250 B");
/// ```
pub fn about(amount: f64, unit: &str) -> String {
    // What four digits round up to the next prefix has it: 999.96 k is 1.000 M.
    let (scale, prefix) =
        PREFIXES.into_iter().find(|(scale, _)| amount >= 0.99995 * *scale).unwrap_or((1.0, ""));
    let scaled = amount / scale;
    let decimals = match scaled {
        999.95.. => 0,
        99.995.. => 1,
        9.9995.. => 2,
        _ => 3,
    };
    format!("{scaled:.decimals$} {prefix}{unit}")
}

/// The same, rounded towards zero: what is at least so much is at least that.
pub fn at_least(amount: f64, unit: &str) -> String {
    about(rounded_down(amount), unit)
}

/// A count: whole up to a million, with groups of three digits, and four digits beyond,
/// rounded towards zero.
///
/// ```
/// use attest_protocol::quantity::count;
/// assert_eq!(count(1024), "1 024");
/// assert_eq!(count(34_359_738_368), "3.435e10");
/// ```
pub fn count(count: u128) -> String {
    match u64::try_from(count) {
        Ok(small) if small < 1_000_000 => grouped(small),
        _ => {
            let exponent = count.ilog10();
            let digits = count / 10_u128.pow(exponent - 3);
            format!("{}.{:03}e{exponent}", digits / 1000, digits % 1000)
        }
    }
}

/// "1 lane", "2 lanes".
pub fn counted(number: u64, thing: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{} {thing}{s}", grouped(number))
}

/// A whole number with groups of three digits: 1 234 567.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

/// Bytes, about and exactly: "151.4 GB (151 397 597 184 bytes)", for bounds that are broken by
/// a little.
pub fn bytes_exactly(bytes: u64) -> String {
    format!("{} ({} bytes)", about(bytes as f64, "B"), grouped(bytes))
}

/// A duration with three digits or so: 41.2 ms, 3.05 s, 2 min 10 s.
pub fn duration(elapsed: Duration) -> String {
    let s = elapsed.as_secs_f64();
    match s {
        _ if s < 0.1 => format!("{:.1} ms", s * 1e3),
        _ if s < 10.0 => format!("{s:.2} s"),
        _ if s < 100.0 => format!("{s:.1} s"),
        _ if s < 3600.0 => format!("{} min {} s", s as u64 / 60, s as u64 % 60),
        _ => format!("{} h {} min", s as u64 / 3600, s as u64 / 60 % 60),
    }
}

/// Four significant digits, towards zero.
fn rounded_down(amount: f64) -> f64 {
    if amount <= 0.0 {
        return 0.0;
    }
    let last = 10_f64.powi(amount.log10().floor() as i32 - 3);
    (amount / last).floor() * last
}

#[cfg(test)]
mod tests {
    use super::{about, at_least, bytes_exactly, count, counted, duration, grouped};
    use std::time::Duration;

    #[test]
    fn a_prefix_leaves_one_to_three_digits_before_the_point() {
        let cases = [
            (0.0, "0.000 B"),
            (1.0, "1.000 B"),
            (999.4, "999.4 B"),
            (1000.0, "1.000 kB"),
            (12_345.0, "12.35 kB"),
            (999_940.0, "999.9 kB"),
            (999_960.0, "1.000 MB"),
            (99_996.0, "100.0 kB"),
            (9.9996e12, "10.00 TB"),
            (3.4e10, "34.00 GB"),
            (2_f64.powi(81), "2417852 EB"),
        ];
        for (amount, text) in cases {
            assert_eq!(about(amount, "B"), text);
        }
    }

    #[test]
    fn counts_are_whole_or_have_four_digits() {
        let cases = [
            (0, "0"),
            (999, "999"),
            (1_000, "1 000"),
            (999_999, "999 999"),
            (1_000_000, "1.000e6"),
            (5_368_709_120, "5.368e9"),
            (999_999_999_999, "9.999e11"),
            (u128::MAX, "3.402e38"),
        ];
        for (number, text) in cases {
            assert_eq!(count(number), text);
        }
        assert_eq!(grouped(1_234_567), "1 234 567");
        assert_eq!((counted(1, "lane"), counted(0, "lane")), ("1 lane".into(), "0 lanes".into()));
        assert_eq!(bytes_exactly(151_397_597_184), "151.4 GB (151 397 597 184 bytes)");
    }

    #[test]
    fn durations_have_the_unit_that_suits() {
        let of = |ms| duration(Duration::from_millis(ms));
        assert_eq!([of(41), of(3050), of(41_200)], ["41.0 ms", "3.05 s", "41.2 s"]);
        assert_eq!([of(130_000), of(3_600_000)], ["2 min 10 s", "1 h 0 min"]);
    }

    #[test]
    fn a_bound_is_never_rounded_up() {
        assert_eq!(at_least(12_349.0, "B"), "12.34 kB");
        assert_eq!(at_least(999_999.0, "B"), "999.9 kB");
        assert_eq!(at_least(121_711_668_705.0, "B"), "121.7 GB");
        assert_eq!(at_least(4_104_999_999_999.0, "B/s"), "4.104 TB/s");
        assert_eq!(at_least(0.0, "B"), "0.000 B");
    }
}
