//! How long and how much: the limits of a session.
//!
//! Guarantees: every wait of a session has an end, and every message a size.
//! Deliberately lacks: policy. The time for the work itself comes with the
//! challenge.

use crate::protocol::challenge::Challenge;
use crate::protocol::work::{Cost, Unit};
use std::time::Duration;

/// Longest message of no other bound (hello, ping, pong, busy, failed), bytes.
pub const SMALL_BYTES_MAX: u64 = 64 * 1024;
/// Longest message with a challenge or a verdict, bytes.
pub const TOKEN_MESSAGE_BYTES_MAX: u64 = 64 * 1024;
/// Most bytes that may come while none are awaited.
pub const UNAWAITED_BYTES_MAX: usize = 64 * 1024;
/// Most devices that a hello lists.
pub const DEVICES_MAX: usize = 64;
/// Longest text in a message, bytes.
pub const TEXT_BYTES_MAX: usize = 1024;

/// Pings of a session, if the miner answers several: the least round trip counts.
pub const PINGS: u32 = 5;
/// Most pings that a miner answers.
pub const PINGS_ANSWERED_MAX: u32 = 16;
/// Most JSON values of a message of no other bound.
pub const SMALL_VALUES_MAX: usize = 1024;

/// How long to wait for the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// From starting the session to the other side's hello: it may have to log in
    /// somewhere and start a driver first.
    pub hello: Duration,
    /// From the first ping to the last pong.
    pub pong: Duration,
    /// Least time from coin to openings; more if the challenge makes them costly.
    pub openings: Duration,
    /// Miner: from pong to challenge, and from commitment to coin.
    pub next: Duration,
    /// Miner: from openings to verdict.
    pub verdict: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            hello: Duration::from_secs(60),
            pong: Duration::from_secs(5),
            openings: Duration::from_secs(30),
            next: Duration::from_secs(120),
            verdict: Duration::from_secs(600),
        }
    }
}

/// Most of a measured round trip that a time limit is raised by: a miner must not
/// buy time with a slow pong.
pub const ROUND_TRIP_CREDIT_MAX: Duration = Duration::from_secs(1);

/// So much a second is done of the work of opening tiles at the least: what a few cores
/// have, of products computed again or of an arena read. int8 has wider instructions on
/// any of them.
fn opening_rate(unit: Unit) -> f64 {
    match unit {
        Unit::Flop => 4e9,
        Unit::Bytes => 1e9,
        Unit::Operations => 2e10,
    }
}

/// Bytes a second at which openings travel at the least.
const OPENING_BYTES_PER_S: f64 = 1e6;

impl Patience {
    /// The default, with a miner that listens: it is there already, and has no time to
    /// find a GPU first.
    pub fn over_tcp() -> Self {
        Self { hello: Duration::from_secs(5), ..Self::default() }
    }

    /// From the coin to the complete result: each sampled tile is computed or read again,
    /// at a rate that a few cores have, and every path travels.
    pub fn openings_of(&self, challenge: &Challenge, lanes: usize) -> Duration {
        let work = challenge.work();
        let Cost { amount, unit } = work.opening_cost();
        let draws = lanes as f64 * challenge.draws() as f64;
        let path_bytes = 67.0 * (work.leaves() as f64).log2().ceil() + 64.0;
        let work_s =
            draws * amount as f64 / opening_rate(unit) + draws * path_bytes / OPENING_BYTES_PER_S;
        self.openings + Duration::from_secs_f64(work_s)
    }
}

/// How long a validator still listens after the time limit, so that a late
/// commitment is told from none: an eighth of the limit, from 1 s to 60 s.
pub fn lateness_heard(limit: Duration) -> Duration {
    (limit / 8).clamp(Duration::from_secs(1), Duration::from_secs(60))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mining::issue::{Request, issue};

    #[test]
    fn openings_get_time_for_their_work() {
        let patience = Patience::default();
        let small = issue(&Request { matrix_dim: Some(128), ..Request::default() }).unwrap();
        let large = issue(&Request { matrix_dim: Some(16_384), ..Request::default() }).unwrap();
        assert!(patience.openings_of(&small, 1) < Duration::from_secs(35));
        assert!(patience.openings_of(&large, 1) > Duration::from_secs(120));
        // 1000 tiles of 128 x 128 outputs of 8192 multiply-adds.
        let challenge_type = Some("integer_multiplication_pow".to_owned());
        let matrix_dim = Some(8192);
        let asked = Request { challenge_type, matrix_dim, ..Request::default() };
        let limit = patience.openings_of(&issue(&asked).unwrap(), 1);
        assert!((Duration::from_secs(43)..Duration::from_secs(46)).contains(&limit), "{limit:?}");
        // 1000 tiles of 2 MiB at 10^9 bytes a second, and their paths.
        let challenge_type = Some("memory_residency_pow".to_owned());
        let arena = issue(&Request { challenge_type, ..Request::default() }).unwrap();
        let limit = patience.openings_of(&arena, 1);
        assert!((Duration::from_secs(32)..Duration::from_secs(35)).contains(&limit), "{limit:?}");
    }

    #[test]
    fn a_late_commitment_is_heard_for_a_while() {
        assert_eq!(lateness_heard(Duration::from_millis(1)), Duration::from_secs(1));
        assert_eq!(lateness_heard(Duration::from_secs(80)), Duration::from_secs(10));
        assert_eq!(lateness_heard(Duration::from_secs(86_400)), Duration::from_secs(60));
    }
}
