//! Amounts for people: four digits, and the unit with a prefix of the SI.

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
    let (scale, prefix) =
        PREFIXES.into_iter().find(|(scale, _)| amount >= *scale).unwrap_or((1.0, ""));
    let scaled = amount / scale;
    let decimals = match scaled {
        1000.0.. => 0,
        100.0.. => 1,
        10.0.. => 2,
        _ => 3,
    };
    format!("{scaled:.decimals$} {prefix}{unit}")
}

/// The same, rounded towards zero: what is at least so much is at least that.
pub fn at_least(amount: f64, unit: &str) -> String {
    about(rounded_down(amount), unit)
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
    use super::{about, at_least};

    #[test]
    fn a_prefix_leaves_one_to_three_digits_before_the_point() {
        let cases = [
            (0.0, "0.000 B"),
            (1.0, "1.000 B"),
            (999.4, "999.4 B"),
            (1000.0, "1.000 kB"),
            (12_345.0, "12.35 kB"),
            (3.4e10, "34.00 GB"),
            (2_f64.powi(81), "2417852 EB"),
        ];
        for (amount, text) in cases {
            assert_eq!(about(amount, "B"), text);
        }
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
