//! What a policy judges: a verified result and what only the validator knows.
//!
//! Guarantees: [`Facts::of`] takes nothing but what verification established.
//! Deliberately lacks: results that did not verify. They need no policy.

use crate::ledger::HistoryFinding;
use crate::protocol::bound::{Bound, OmittedShare};
use crate::protocol::challenge::Challenge;
use crate::protocol::evidence::Evidence;
use crate::protocol::verified::Verified;
use std::time::Duration;

/// What is known of a verified result.
///
/// ```
/// # use attest::policy::{Facts, Policy};
/// # use attest::protocol::verified::Verified;
/// # use std::time::Duration;
/// # fn live(policy: &Policy, verified: &Verified, round_trip: Duration) {
/// let facts = Facts { round_trip: Some(round_trip), ..Facts::of(verified) };
/// let judgement = policy.judge(&facts);
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The challenge that was answered.
    pub challenge: &'a Challenge,
    /// What the miner says; claimed.
    pub evidence: &'a Evidence,
    /// How likely omitted work escaped, for any share.
    pub bound: Bound,
    /// Whether the samples depend on a coin that the validator's own record or a
    /// receipt vouches for.
    pub live: bool,
    /// From sending the challenge to holding the commitment (the result, if
    /// there was no session), by the validator's clock.
    pub elapsed: Option<Duration>,
    /// The measured round trip to the miner; the policy's allowance stands in
    /// for it if there is none.
    pub round_trip: Option<Duration>,
    /// What does not fit the devices' history, from the ledger.
    pub history: &'a [HistoryFinding],
}

impl<'a> Facts<'a> {
    /// The facts of a verification, without round trip and history.
    pub fn of(verified: &'a Verified) -> Self {
        Self {
            challenge: verified.challenge(),
            evidence: verified.evidence(),
            bound: Bound::of(verified, OmittedShare::default()),
            live: verified.coin().is_live(),
            elapsed: verified.elapsed(),
            round_trip: None,
            history: &[],
        }
    }
}
