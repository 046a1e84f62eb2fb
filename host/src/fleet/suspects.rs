//! What the ledger has of a fleet's miners: suspicious histories, and sessions that a
//! validator left behind.

use crate::ledger::{Entry, Filter, HistoryCode, Ledger, LedgerError, Order, SettledAs, Standing};
use crate::protocol::digest::Digest;
use crate::protocol::signature::EncodedKey;
use crate::protocol::verdict::Outcome;
use crate::session::abandon;
use std::collections::BTreeSet;

use super::dial::Came;
use super::measured::Measured;

/// Miners that were rejected with a finding of history, as one set: whose devices are whose
/// is what the findings doubt. It blocks.
///
/// # Errors
/// [`LedgerError`].
pub fn of(ledger: &dyn Ledger) -> Result<Vec<BTreeSet<EncodedKey>>, LedgerError> {
    let filter = Filter {
        standing: Some(Standing::Rejected),
        limit: Filter::LIMIT_MAX,
        ..Filter::default()
    };
    let is_suspicious = |verdict: &str| {
        HistoryCode::ALL.iter().any(|code| verdict.contains(&format!("\"{}\"", code.name())))
    };
    let suspects: BTreeSet<EncodedKey> = ledger
        .list(&filter)?
        .into_iter()
        .filter(|entry| entry.verdict_json.as_deref().is_some_and(is_suspicious))
        .filter_map(|entry| entry.miner)
        .collect();
    Ok(if suspects.len() > 1 { vec![suspects] } else { Vec::new() })
}

/// How many rounds a validator's sessions have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounds {
    /// One, as without a policy: what it came to is what the session came to.
    One,
    /// As the policy says.
    Several,
}

/// What became of the session that a validator began with `miner` at `since_unix_ms` by its
/// own clock, whose first challenge is `session`, and left behind: its end, if it was
/// concluded; if not, what is open is settled as abandoned. It blocks.
///
/// # Errors
/// [`LedgerError`].
pub fn left_behind(
    ledger: &dyn Ledger,
    miner: EncodedKey,
    since_unix_ms: u64,
    session: Digest,
    rounds: Rounds,
) -> Result<Option<Came>, LedgerError> {
    // From then on only: a ledger of millions is not read for this.
    let filter = Filter {
        miner: Some(miner),
        order: Order::OldestFirst,
        after: since_unix_ms.checked_sub(1).map(|before| (before, Digest([0xff; 32]))),
        limit: Filter::LIMIT_MAX,
        ..Filter::default()
    };
    let entries = ledger.list(&filter)?;
    // The miner may have others with other validators.
    let first = |entry: &&Entry| entry.round.map_or(entry.challenge, |round| round.session);
    let mut came = None;
    for entry in entries.iter().filter(|entry| first(entry) == session) {
        let ended = |outcome, code: Option<String>| {
            let measured = Measured::default();
            Some(Came { outcome, code, challenge: Some(session), challenged: None, measured })
        };
        let abandoned = entry.code.as_deref() == Some("abandoned");
        match (&entry.session, entry.outcome.as_deref()) {
            (Some(end), _) => {
                let outcome = match end.outcome {
                    SettledAs::Verified => Outcome::Verified,
                    SettledAs::Rejected => Outcome::Rejected,
                };
                came = came.or(ended(outcome, end.code.clone()));
            }
            (None, Some("rejected")) if !abandoned => {
                came = came.or(ended(Outcome::Rejected, entry.code.clone()));
            }
            // It died before it could say what the session came to.
            (None, Some("verified")) if rounds == Rounds::One => {
                came = came.or(ended(Outcome::Verified, None));
            }
            (None, None) => abandon(ledger, &entry.challenge, Some(miner))?,
            _ => {}
        }
    }
    Ok(came)
}
