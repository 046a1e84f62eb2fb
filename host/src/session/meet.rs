//! Meetings on record: whom a validator met, and how it ended; and the peers that it
//! has met in vain too often.
//!
//! Guarantees: a session that ends before its challenge is on record like any other.
//! Deliberately lacks: any consequence but the refusal, and without a policy that.

use super::clock::unix_ms;
use super::drive::{Peering, Validator};
use super::fault::OwnFault;
use super::validator::{Ended, NotIssued, Wanted};
use crate::ledger::{Dodges, Ending, Meeting, Peer, SessionEnd, SettledAs};
use crate::protocol::signature::EncodedKey;
use crate::protocol::verdict::Outcome;
use std::sync::Arc;
use tokio::task::spawn_blocking;

impl Validator {
    /// Puts a session on record as a meeting. A ledger that fails is warned of: the
    /// session's verdict stands.
    pub(super) async fn meet(self: &Arc<Self>, peering: &Peering, met_unix_ms: u64, ended: &Ended) {
        // What came of the session is on record with its first challenge.
        let first = ended.earlier.first().map(|round| &round.challenge);
        let ending = match (first.or(ended.challenge.as_ref()), ended.verdict.code) {
            (Some(challenge), _) => Ending::Challenged(challenge.digest()),
            (None, Some(code)) if ended.verdict.outcome != Outcome::CouldNotRun => {
                Ending::Before(code.to_owned())
            }
            (None, _) => Ending::Before("could-not-run".to_owned()),
        };
        let claimed = ended.hello.as_ref().and_then(|hello| hello.miner_id);
        let meeting = Meeting {
            met_unix_ms,
            peer: peer(peering, claimed),
            address: peering.address.clone(),
            ending,
            round_trip: ended.legs.round_trip,
            session: session_end(ended),
        };
        let own = Arc::clone(self);
        // One that does not run (the runtime stops) is not on record.
        let met = spawn_blocking(move || own.ledger.meet(&meeting)).await;
        if let Ok(Err(error)) = met {
            tracing::warn!("the meeting is not on record: {error}");
        }
    }

    /// Refuses a peer that dodged more often than is allowed.
    ///
    /// # Errors
    /// It did, or the ledger fails.
    pub(super) fn refuse_dodger(
        &self,
        peering: &Peering,
        wanted: &Wanted,
    ) -> Result<(), NotIssued> {
        let Some(policy) = &self.policy else { return Ok(()) };
        let window_s = policy.session.dodge_window_s;
        let since = unix_ms().saturating_sub(window_s.saturating_mul(1000));
        let peer = peer(peering, wanted.hello.miner_id);
        let dodges = self
            .ledger
            .dodges(peer, peering.address.as_deref(), since)
            .map_err(|error| NotIssued::Own(OwnFault::of(&error)))?;
        let Dodges { proven, claimed, from_address } = dodges;
        // Anyone can claim a key, but not have another's proven one count.
        let count = match peer {
            Peer::Proven(_) => proven,
            Peer::Claimed(_) | Peer::Unknown => claimed.max(from_address),
        };
        if !policy.refuses_dodger(count) {
            return Ok(());
        }
        let most = policy.session.dodges_max;
        Err(NotIssued::Dodger(format!(
            "{count} of its sessions in {window_s} s ended before a challenge, by its own \
             doing; at most {most} may"
        )))
    }
}

/// What the session came to, if a challenge was sent.
fn session_end(ended: &Ended) -> Option<SessionEnd> {
    let outcome = match ended.session.outcome {
        Outcome::Verified => SettledAs::Verified,
        Outcome::Rejected => SettledAs::Rejected,
        Outcome::CouldNotRun => return None,
    };
    let was_challenged = ended.challenge.is_some() || !ended.earlier.is_empty();
    let code = ended.session.code.map(str::to_owned);
    was_challenged.then_some(SessionEnd { outcome, code })
}

fn peer(peering: &Peering, claimed: Option<EncodedKey>) -> Peer {
    match (peering.key, claimed) {
        (Some(key), _) => Peer::Proven(key.encoded()),
        (None, Some(key)) => Peer::Claimed(key),
        (None, None) => Peer::Unknown,
    }
}
