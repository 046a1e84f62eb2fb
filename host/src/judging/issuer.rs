//! A result that is handed in to the validator that issued its challenge: its ledger
//! decides.
//!
//! A result outside a live session spends its challenge's nonce in one step with its
//! verdict verified, so of two results, or two verifiers, one wins. A rejected result
//! spends nothing: anyone can send one. A live session settles itself: until it has,
//! there is no verdict, and once its time is over without one, it is rejected.
//!
//! Guarantees: of the same result, the ledger and the clock, the same verdict, whichever
//! process asks; a session's own time counts, as it was measured or else as the record
//! bounds it, and not that at which its result was handed in.
//! Deliberately lacks: settling sessions. Another process may be about to.

use super::{
    BeforeIssue, DieRecords, End, HandedIn, Keeping, Known, Scope, Session, Terms, could_not_run,
    shown,
};
use crate::ledger::{
    Acceptance, Entry, Filter, HistoryFinding, Ledger, LedgerError, SettledAs, Settlement, Sighting,
};
use crate::protocol::circumstances::{
    CLOCK_SKEW_S, Circumstances, Issuer, IssuerRecord, SessionRecord,
};
use crate::protocol::verdict::{Outcome, SESSION_UNSETTLED, Verdict};
use crate::protocol::verified::{CoinStanding, Verified};
use serde_json::Value;
use std::time::Duration;

/// The issuer, when a result is handed in.
#[derive(Clone, Copy)]
pub struct AsIssuer<'a> {
    /// What it remembers.
    pub ledger: &'a dyn Ledger,
    /// What it judges by.
    pub terms: Terms<'a>,
    /// The time, ms since 1970.
    pub now_unix_ms: u64,
}

/// A verdict, and what is said beside it.
#[derive(Clone, Debug)]
pub struct Judged {
    /// The verdict.
    pub verdict: Verdict,
    /// What the ledger has to say, a line each.
    pub notes: Vec<String>,
}

/// What the record makes of a result.
enum Standing {
    /// It is judged as a result outside a session; when its challenge was issued, ms
    /// since 1970, if that is on record.
    Alone(Issuer, Option<u64>),
    /// Its session was settled as verified.
    Settled(Box<Entry>, SessionRecord),
    /// It was settled as rejected.
    Rejected(Issuer, Box<Entry>),
    /// Its session has no verdict, and may get one until then, ms since 1970.
    Pending(u64),
    /// Its session has no verdict and was over then.
    Abandoned(u64),
}

impl AsIssuer<'_> {
    /// Judges a result that was handed in by what is on record of its challenge, and
    /// records the verdict if it counts; `verify` verifies in these circumstances.
    ///
    /// # Errors
    /// The ledger's, [`BeforeIssue`], or those of `verify`.
    pub fn judge<E: From<LedgerError> + From<BeforeIssue>>(
        &self,
        handed_in: &HandedIn<'_>,
        verify: impl Fn(&Circumstances<'_>) -> Result<End, E>,
    ) -> Result<Judged, E> {
        let HandedIn { challenge, result, .. } = *handed_in;
        let devices = Sighting::of(&result.evidence, challenge.spec().miner_id);
        let history = self.ledger.history(
            &challenge.digest(),
            &devices,
            self.now_unix_ms,
            self.terms.history_window(),
        )?;
        loop {
            let case = Case { as_issuer: self, handed_in, history: &history };
            if let Some(judged) = case.judge(&verify)? {
                return Ok(judged);
            }
            // Somebody was faster since the record was read: it says so now.
        }
    }

    /// Whether the session of a challenge had other rounds.
    fn scope(&self, entry: &Entry) -> Result<Scope, LedgerError> {
        let first = entry.round.map_or(entry.challenge, |round| round.session);
        let filter = Filter { session: Some(first), limit: 2, ..Filter::default() };
        Ok(match entry.round.is_some() || self.ledger.list(&filter)?.len() > 1 {
            true => Scope::OfSeveral,
            false => Scope::Alone,
        })
    }

    /// Reads the record.
    fn standing(&self, handed_in: &HandedIn<'_>) -> Result<Standing, LedgerError> {
        let c = handed_in.challenge.digest();
        let Some((entry, _)) = self.ledger.show(&c)? else {
            // Not issued here, or pruned: then the nonce alone is known.
            let record = self.ledger.record(&c)?;
            return Ok(Standing::Alone(record.map_or(Issuer::Unknown, Issuer::Record), None));
        };
        let session = entry.commitment.zip(entry.coin);
        let session = session.map(|(commitment, coin)| SessionRecord { commitment, coin });
        let record =
            |session| Issuer::Record(IssuerRecord { nonce_spent_on: entry.commitment, session });
        let is_answer = entry.commitment == Some(handed_in.result.commitment);
        Ok(match (entry.outcome.as_deref(), session) {
            // What a rejected session brings later does not count.
            (Some("rejected"), _) => Standing::Rejected(record(None), Box::new(entry)),
            (Some(_), Some(session)) => Standing::Settled(Box::new(entry), session),
            // A result outside a session is accepted and settled in one step.
            (None, _) if is_answer => {
                let over_unix_ms = over_unix_ms(&entry);
                match self.now_unix_ms > over_unix_ms.saturating_add(SKEW_MS) {
                    true => Standing::Abandoned(over_unix_ms),
                    false => Standing::Pending(over_unix_ms),
                }
            }
            (_, session) => Standing::Alone(record(session), Some(entry.issued_unix_ms)),
        })
    }
}

const SKEW_MS: u64 = 1000 * CLOCK_SKEW_S as u64;

/// By when a session without a verdict is over: its claims have run out, or, if it
/// names no devices, its challenge.
fn over_unix_ms(entry: &Entry) -> u64 {
    let arrived = entry.arrived_unix_ms.unwrap_or(0);
    entry.claimed_until_unix_ms.unwrap_or_else(|| arrived.max(entry.expires_unix_ms))
}

/// One reading of the record.
struct Case<'a> {
    as_issuer: &'a AsIssuer<'a>,
    handed_in: &'a HandedIn<'a>,
    history: &'a [HistoryFinding],
}

impl Case<'_> {
    /// `None`: the record has changed meanwhile.
    fn judge<E: From<LedgerError> + From<BeforeIssue>>(
        &self,
        verify: impl Fn(&Circumstances<'_>) -> Result<End, E>,
    ) -> Result<Option<Judged>, E> {
        let AsIssuer { terms, .. } = self.as_issuer;
        let known = Known { history: self.history, dies: Some(self.dies()), ..Known::default() };
        let without_notes = |verdict| Ok(Some(Judged { verdict, notes: Vec::new() }));
        match self.as_issuer.standing(self.handed_in)? {
            Standing::Pending(until_unix_ms) => without_notes(pending(until_unix_ms)),
            Standing::Abandoned(over_unix_ms) => without_notes(abandoned(over_unix_ms)),
            Standing::Settled(entry, session) => self.settled(&entry, session, verify).map(Some),
            Standing::Rejected(issuer, entry) => {
                let arrived = entry.arrived_unix_ms.map(|unix_ms| (unix_ms / 1000) as i64);
                let arrival_unix_s = arrived.or(self.handed_in.arrival_unix_s);
                let handed_in = HandedIn { arrival_unix_s, ..*self.handed_in };
                let end = verify(&handed_in.circumstances(issuer))?;
                let code = entry.code.as_deref().unwrap_or_default();
                let note = format!("the ledger has it as rejected ({code}); that stays");
                Ok(Some(Judged { verdict: terms.verdict(&end, known), notes: vec![note] }))
            }
            Standing::Alone(issuer, issued_unix_ms) => {
                self.handed_in.check_arrival()?;
                if let (Some(arrival), Some(issued)) =
                    (self.handed_in.arrival_unix_s, issued_unix_ms)
                {
                    BeforeIssue::check(arrival, (issued / 1000) as i64)?;
                }
                let end = verify(&self.handed_in.circumstances(issuer))?;
                let verdict = terms.verdict(&end, known);
                match &end {
                    Ok(verified) if verdict.outcome == Outcome::Verified => {
                        Ok(self.settle(verified, verdict)?)
                    }
                    _ => without_notes(verdict),
                }
            }
        }
    }

    fn dies(&self) -> DieRecords<'_> {
        let AsIssuer { ledger, now_unix_ms, .. } = *self.as_issuer;
        DieRecords { ledger, now_unix_ms, keeping: Keeping::Look }
    }

    /// The result of a session that was verified: its own times count.
    fn settled<E: From<BeforeIssue> + From<LedgerError>>(
        &self,
        entry: &Entry,
        record: SessionRecord,
        verify: impl Fn(&Circumstances<'_>) -> Result<End, E>,
    ) -> Result<Judged, E> {
        let HandedIn { challenge, result, elapsed, .. } = *self.handed_in;
        let verdict: Value = entry
            .verdict_json
            .as_deref()
            .and_then(|json| serde_json::from_str(json).ok())
            .unwrap_or_default();
        let measured = |name: &str| Some(Duration::from_nanos(verdict.get(name)?.as_u64()?));
        let arrived_unix_ms = entry.arrived_unix_ms.unwrap_or(entry.issued_unix_ms);
        let seconds = |unix_ms: u64| (unix_ms / 1000) as i64;
        BeforeIssue::check(seconds(arrived_unix_ms), seconds(entry.issued_unix_ms))?;
        // The challenge went out after its issue was recorded.
        let at_most = Duration::from_millis(arrived_unix_ms.saturating_sub(entry.issued_unix_ms));
        let session = Session {
            scope: self.as_issuer.scope(entry)?,
            challenge,
            result,
            record,
            elapsed: measured("elapsed_ns").unwrap_or(at_most),
            arrived_unix_ms,
            known: Known {
                round_trip: measured("round_trip_ns"),
                history: self.history,
                dies: Some(self.dies()),
                ..Known::default()
            },
        };
        let verdict = self.as_issuer.terms.of_session(&session, verify)?;
        let note = |_| {
            let elapsed_s = session.elapsed.as_secs_f64();
            format!(
                "the session's own time on record counts, {elapsed_s:.3} s, and not the one given"
            )
        };
        Ok(Judged { verdict, notes: elapsed.map(note).into_iter().collect() })
    }

    /// Spends the nonce; `None` if somebody was faster.
    fn settle(&self, verified: &Verified, verdict: Verdict) -> Result<Option<Judged>, LedgerError> {
        let AsIssuer { ledger, now_unix_ms, terms } = *self.as_issuer;
        let challenge = self.handed_in.challenge;
        debug_assert_eq!(*verified.coin(), CoinStanding::NoSession, "a session settles itself");
        let arrived_unix_ms = match verified.arrival_unix_s() {
            Some(unix_s) => u64::try_from(unix_s).unwrap_or(0).saturating_mul(1000),
            None => now_unix_ms,
        };
        let settlement = Settlement {
            outcome: SettledAs::Verified,
            code: None,
            verdict_json: serde_json::to_string(&verdict).expect("a verdict has string keys"),
            miner: challenge.spec().miner_id,
            settled_unix_ms: now_unix_ms,
        };
        let (c, commitment) = (challenge.digest(), verified.commitment());
        let devices = terms.signed_by(verified, &verdict.devices);
        let (acceptance, findings) = ledger.settle_offline(
            &c,
            &commitment,
            arrived_unix_ms,
            &devices,
            terms.history_window(),
            &settlement,
        )?;
        // Another process may have named a device since the history was looked up.
        let is_told = |line: &String| verdict.facts.iter().any(|fact| fact.text.ends_with(line));
        let lines = findings.iter().map(|found| format!("{}: {}", found.code.name(), found.text));
        let notes: Vec<String> = lines.filter(|line| !is_told(line)).collect();
        Ok(match acceptance {
            Acceptance::Accepted => Some(Judged { verdict, notes }),
            Acceptance::Spent(_) | Acceptance::NotIssued => None,
        })
    }
}

fn pending(until_unix_ms: u64) -> Verdict {
    could_not_run(format!(
        "its live session has no verdict on record yet: another process may be judging it\n\
         Ask again; without one it counts as rejected after {}.",
        shown((until_unix_ms / 1000) as i64)
    ))
}

fn abandoned(over_unix_ms: u64) -> Verdict {
    Verdict::rejected_session(
        SESSION_UNSETTLED,
        format!(
            "its live session was over at {}, and no verdict is on record\n\
             The session ended without one: hold another.",
            shown((over_unix_ms / 1000) as i64)
        ),
    )
}
