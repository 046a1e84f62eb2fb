//! Versions of NVIDIA's kernel driver: numbers with dots between them.
//!
//! Guarantees: compared number by number, so 535.9 is older than 535.104.
//! Deliberately lacks: any other version scheme.

use std::cmp::Ordering;
use std::str::FromStr;

/// Most numbers of a version; drivers have two or three.
const PARTS_MAX: usize = 4;

/// A version of the kernel driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DriverVersion(Vec<u32>);

/// Text that is no version.
#[derive(Debug)]
pub(super) struct NotAVersion;

impl FromStr for DriverVersion {
    type Err = NotAVersion;
    fn from_str(text: &str) -> Result<Self, NotAVersion> {
        let number = |part: &str| match part.len() {
            1..=9 if part.bytes().all(|b| b.is_ascii_digit()) => part.parse().ok(),
            _ => None,
        };
        let parts = text.split('.').take(PARTS_MAX + 1).map(number);
        match parts.collect::<Option<Vec<u32>>>() {
            Some(parts) if parts.len() <= PARTS_MAX => Ok(Self(parts)),
            _ => Err(NotAVersion),
        }
    }
}

impl DriverVersion {
    /// Whether it is `least` or newer; missing numbers count as 0.
    pub(super) fn is_at_least(&self, least: &Self) -> bool {
        let part = |version: &Self, at: usize| version.0.get(at).copied().unwrap_or(0);
        let order = (0..PARTS_MAX).map(|at| part(self, at).cmp(&part(least, at)));
        order.fold(Ordering::Equal, Ordering::then) != Ordering::Less
    }

    /// Whether it is `most`, older, or starts with it: 580.82.07 is within 580.
    pub(super) fn is_at_most(&self, most: &Self) -> bool {
        let shown = &self.0[..self.0.len().min(most.0.len())];
        shown <= &most.0[..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> DriverVersion {
        text.parse().unwrap()
    }

    #[test]
    fn versions_are_compared_number_by_number() {
        assert!(version("535.104.05").is_at_least(&version("535.9")));
        assert!(version("535").is_at_least(&version("535.0")));
        assert!(!version("535.54").is_at_least(&version("535.104")));
        assert!(version("580.82.07").is_at_most(&version("580")));
        assert!(version("580.82.07").is_at_most(&version("580.82.7")));
        assert!(!version("580.82.07").is_at_most(&version("580.81")));
        assert!(version("580").is_at_most(&version("580.1")));
    }

    #[test]
    fn other_texts_are_none() {
        for text in ["", "a", "1.", ".1", "1..2", "-1", "1.2.3.4.5", "9999999999", "580 "] {
            assert!(text.parse::<DriverVersion>().is_err(), "{text:?}");
        }
    }
}
