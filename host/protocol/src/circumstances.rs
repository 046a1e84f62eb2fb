//! What a verifier knows besides challenge and result: its records, clocks and
//! table of models.
//!
//! Guarantees: what is absent here is not checked, and the verdict says so.
//! Deliberately lacks: reading any of it. Clock, ledger and table are the
//! caller's.

use super::challenge::Challenge;
use super::evidence::{Evidence, EvidenceLane};
use super::names::{Coin, Commitment};
use super::receipt::Receipt;
use super::work::Work;
use std::time::Duration;

/// The validator's own table: the shortest time, s, in which a lane of the model of this
/// name can have done this many iterations of the work, its fastest way at its highest
/// clock and 10 % taken. `None` if that is not known. The program takes
/// `attest::appraisal::floors::seconds`.
pub type FloorTable = fn(work: Work, iterations: u32, model: &str) -> Option<f64>;

/// How far the clocks of two machines of one validator may be apart, s: a result that
/// arrives this much before its challenge was issued still may have come after it.
pub const CLOCK_SKEW_S: i64 = 5;

/// Whether an arrival lies before an issue by more than clocks differ, so that the two
/// show no interval; both s since 1970.
pub fn is_before(arrival_unix_s: i64, issued_unix_s: i64) -> bool {
    arrival_unix_s < issued_unix_s.saturating_sub(CLOCK_SKEW_S)
}

/// Whether an arrival lies before the challenge's own time of issue.
pub fn is_before_issue(challenge: &Challenge, arrival_unix_s: i64) -> bool {
    is_before(arrival_unix_s, challenge.issued_at_unix_s())
}

/// What is known of how a result came about.
#[derive(Clone, Default)]
pub struct Circumstances<'a> {
    /// Whether the verifier issued the challenge, and its record.
    pub issuer: Issuer,
    /// When the commitment arrived (the result, if there was no session),
    /// seconds since 1970, rounded down.
    pub arrival_unix_s: Option<i64>,
    /// From sending the challenge to holding the commitment (the result, if
    /// there was no session), on one monotonic clock of the validator.
    pub elapsed: Option<Duration>,
    /// Another validator's word that a session was live.
    pub receipt: Option<&'a Receipt>,
    /// For the time floor.
    pub floors: Option<FloorTable>,
}

impl Circumstances<'_> {
    /// For each lane the shortest time, s, in which its claimed model can have done its
    /// part. `None` if no clock ran or the model is unknown.
    pub(super) fn floors_s(&self, challenge: &Challenge, evidence: &Evidence) -> Vec<Option<f64>> {
        let floor_s = |lane: &EvidenceLane| {
            self.elapsed?;
            self.floors?(challenge.work(), challenge.iterations(), &lane.model)
        };
        evidence.lanes().iter().map(floor_s).collect()
    }
}

/// Who verifies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Issuer {
    /// Somebody else: checks that need the issuer's record are left out.
    #[default]
    Other,
    /// A validator that keeps records and has none of this challenge.
    Unknown,
    /// The validator that issued the challenge.
    Record(IssuerRecord),
}

/// What the issuer has recorded of a challenge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IssuerRecord {
    /// The commitment on which the nonce was spent, if it was.
    pub nonce_spent_on: Option<Commitment>,
    /// The live session, if there was one.
    pub session: Option<SessionRecord>,
}

/// What the issuer has recorded of a live session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRecord {
    /// The commitment that was accepted.
    pub commitment: Commitment,
    /// The coin drawn after it.
    pub coin: Coin,
}
