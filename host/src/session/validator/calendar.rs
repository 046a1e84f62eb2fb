//! The calendar of a session, held against its clock. Pure.
//!
//! Guarantees: a calendar that was set while a challenge was out neither expires an
//! answer nor keeps it from expiring.
//! Deliberately lacks: any use of the calendar for durations.

use crate::session::clock::Now;

/// How far the calendar may move against the clock (a leap second, a small step of a
/// time service) without being held to have been set, ms.
pub const SKEW_MAX_MS: u64 = 2000;

/// An arrival by the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// It came before the challenge expired.
    InTime,
    /// It came when the challenge had expired.
    Expired,
    /// The calendar was set meanwhile, by this many ms, and shows neither.
    Unknown(i64),
}

impl Arrival {
    /// Of what came at `arrived` to a challenge that was sent at `sent`.
    pub(super) fn of(sent: Now, arrived: Now, expires_unix_ms: i64) -> Self {
        let elapsed_ms = arrived.since_start.saturating_sub(sent.since_start).as_millis() as i128;
        // By the clock: when it came if the calendar was right at the sending.
        let by_clock = i128::from(sent.unix_ms) + elapsed_ms;
        let by_calendar = i128::from(arrived.unix_ms);
        let (moved, expires) = (by_calendar - by_clock, i128::from(expires_unix_ms));
        let skew = i128::from(SKEW_MAX_MS);
        let is_set = moved.abs() > skew;
        match (by_clock >= expires, by_calendar >= expires) {
            (false, false) if by_calendar + skew < i128::from(sent.unix_ms) => {
                Self::Unknown(moved.max(i128::from(i64::MIN)) as i64)
            }
            (false, true) if is_set => Self::Unknown(moved.min(i128::from(i64::MAX)) as i64),
            (false, false) => Self::InTime,
            _ => Self::Expired,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_calendar_that_was_set_shows_nothing() {
        let at = |s: u64, unix_ms: u64| Now { since_start: Duration::from_secs(s), unix_ms };
        let (sent, expires) = (at(5, 1_000_000), 1_060_000);
        let of = |arrived| Arrival::of(sent, arrived, expires);
        assert_eq!(of(at(15, 1_010_000)), Arrival::InTime);
        assert_eq!(of(at(65, 1_059_999)), Arrival::Expired, "by the clock");
        assert_eq!(of(at(65, 1_060_000)), Arrival::Expired);
        assert_eq!(of(at(64, 1_060_000)), Arrival::Expired, "within the skew");
        // Set forward, beyond the expiry or not.
        assert_eq!(of(at(15, 1_060_000)), Arrival::Unknown(50_000));
        assert_eq!(of(at(15, 1_059_999)), Arrival::InTime);
        // Set back: a little, to after the issue, to before it.
        assert_eq!(of(at(5, 998_000)), Arrival::InTime);
        assert_eq!(of(at(15, 1_000_001)), Arrival::InTime);
        assert_eq!(of(at(15, 997_999)), Arrival::Unknown(-12_001));
        assert_eq!(of(at(65, 0)), Arrival::Expired, "by the clock, whatever the calendar says");
    }
}
