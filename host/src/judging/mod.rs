//! Judging one case: what the ledger has on record, what verification shows, and what
//! the policy demands, made into a verdict.
//!
//! ```text
//! a live session's result ──────────────────┐
//! handed in, with the issuer's ledger ──────┼─▶ verification ─▶ policy ─▶ verdict
//! handed in, of somebody else's challenge ──┘
//! ```
//!
//! Guarantees: a live session and a result of that session that is handed in later are
//! judged by one function; a session that has no verdict on record is never verified;
//! one that was rejected stays rejected; if no clock of the validator ran, none is
//! made up.
//! Deliberately lacks: clocks, streams and the means of recomputing. The caller brings
//! them.

mod certificates;
mod devices;
mod dies;
mod folder;
mod issuer;
mod machine;
mod manifests;

pub use certificates::{CERTIFICATES_MAX, CertificateError, certificates_in};
pub use devices::DeviceTrust;
pub use dies::{DieRecords, Keeping};
pub use issuer::{AsIssuer, Judged};
pub use machine::MachineTrust;
pub use manifests::{FolderError, MANIFESTS_MAX, RESPONSES_MAX, manifests_in, responses_in};

use crate::appraisal::{exclusion, floors, models};
use crate::ledger::{HISTORY_WINDOW, HistoryFinding, LedgerError, Sighting};
use crate::policy::{Facts, Policy, RoundFacts, RoundOn};
use crate::protocol::bound::OmittedShare;
use crate::protocol::challenge::Challenge;
use crate::protocol::circumstances::{
    Circumstances, Issuer, IssuerRecord, SessionRecord, is_before,
};
use crate::protocol::receipt::Receipt;
use crate::protocol::result::ResultDoc;
use crate::protocol::time;
use crate::protocol::verdict::{Assumptions, LaneDevice, Verdict};
use crate::protocol::verified::Verified;
use crate::protocol::verify::{Failure, RecomputeError};
use std::time::Duration;

/// What [`Verdict::not_checked`] has if no policy was applied.
const WITHOUT_POLICY: &str =
    "what a policy demands of the time and the devices: no policy was applied";

/// How a verification ended.
pub type End = Result<Verified, Failure>;

/// What a validator judges by.
#[derive(Clone, Copy, Debug, Default)]
pub struct Terms<'a> {
    /// Its demands beyond the protocol. Without a policy the verdict says that time and
    /// devices were not judged.
    pub policy: Option<&'a Policy>,
    /// f of the bound in verdicts; if absent the policy's, without one the default.
    pub omitted_share: Option<OmittedShare>,
    /// Whose word counts for what devices sign.
    pub devices: DeviceTrust<'a>,
    /// Whose word counts for what processors sign of virtual machines.
    pub machine: MachineTrust<'a>,
}

/// What only the validator knows of a verified result.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known<'a> {
    /// The measured round trip to the miner; the policy's allowance stands in for it.
    pub round_trip: Option<Duration>,
    /// What does not fit the devices' history.
    pub history: &'a [HistoryFinding],
    /// Where the dies that signed reports are looked up; without it they are not.
    pub dies: Option<DieRecords<'a>>,
    /// Whom the challenge was for.
    pub on: RoundOn,
}

impl<'a> Known<'a> {
    fn facts(self, verified: &'a Verified) -> Facts<'a> {
        let Self { round_trip, history, on, .. } = self;
        Facts { round_trip, history, on, ..Facts::of(verified) }
    }
}

/// Whether a policy judges a result alone, or as a round of several: then what it demands
/// of the session is asked at the session's end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// Nothing else is known.
    #[default]
    Alone,
    /// Its session was planned with other rounds.
    OfSeveral,
}

/// A live session's complete result, with what is on record of the session.
#[derive(Clone, Debug)]
pub struct Session<'a> {
    /// Whether it is all that its session was planned to show.
    pub scope: Scope,
    /// What was asked.
    pub challenge: &'a Challenge,
    /// The miner's answer.
    pub result: &'a ResultDoc,
    /// The commitment that was accepted, and its coin.
    pub record: SessionRecord,
    /// From sending the challenge to holding the commitment, or a bound that this is not
    /// above.
    pub elapsed: Duration,
    /// When the commitment came, ms since 1970.
    pub arrived_unix_ms: u64,
    /// What else is known.
    pub known: Known<'a>,
}

/// A result that somebody handed in.
#[derive(Clone, Copy, Debug)]
pub struct HandedIn<'a> {
    /// What was asked.
    pub challenge: &'a Challenge,
    /// The answer.
    pub result: &'a ResultDoc,
    /// When it came, seconds since 1970; unknown if absent.
    pub arrival_unix_s: Option<i64>,
    /// From sending the challenge to holding the result, by the caller's own clock.
    pub elapsed: Option<Duration>,
    /// Another validator's word that a session was live.
    pub receipt: Option<&'a Receipt>,
}

impl Terms<'_> {
    /// f of the bound in verdicts.
    pub fn share(&self) -> OmittedShare {
        let of_policy = self.policy.map(Policy::omitted_share);
        self.omitted_share.or(of_policy).unwrap_or_default()
    }

    /// What is taken for granted: the policy's values, and the table of models.
    fn assumptions(&self) -> Assumptions {
        let mut assumptions = Assumptions {
            model_memory_bytes: models::memory_bytes,
            ..Assumptions::from(self.share())
        };
        if let Some(policy) = self.policy {
            assumptions.outside_gb_s = policy.memory.outside_gb_s;
            assumptions.refill_gb_s = policy.memory.refill_gb_s;
        }
        assumptions
    }

    /// How far back a device's history counts.
    pub(crate) fn history_window(&self) -> Duration {
        self.policy.map_or(HISTORY_WINDOW, |policy| policy.history.window())
    }

    /// The verdict on how a verification ended, of a result that is all that is known.
    pub fn verdict(&self, end: &End, known: Known<'_>) -> Verdict {
        self.verdict_in(Scope::Alone, end, known)
    }

    fn verdict_in(&self, scope: Scope, end: &End, known: Known<'_>) -> Verdict {
        let devices = end.as_ref().map_or_else(|_| Vec::new(), |it| self.devices.check(it));
        let history = match self.die_history(end, known, &devices) {
            Ok(of_dies) => [known.history, &of_dies].concat(),
            Err(error) => return could_not_run(error.to_string()),
        };
        let told = history.iter().map(|f| format!("{}: {}", f.code.name(), f.text));
        let mut verdict = Verdict::of(end, self.assumptions()).with_history(told);
        verdict.model_table = models::in_force().foreign_digest();
        let Ok(verified) = end else { return verdict };
        let models = verdict.shown.as_ref().and_then(exclusion::models);
        let machine = self.machine.check(verified);
        verdict = verdict.with_models(models).with_devices(devices.clone());
        verdict = verdict.with_machine(machine.clone());
        verdict.round_trip_ns =
            known.round_trip.and_then(|trip| u64::try_from(trip.as_nanos()).ok());
        match self.policy {
            None => {
                verdict.not_checked.push(WITHOUT_POLICY.to_owned());
                verdict
            }
            Some(policy) => {
                let known = Known { history: &history, ..known };
                let facts =
                    Facts { devices: &devices, machine: machine.as_ref(), ..known.facts(verified) };
                verdict.judged(match scope {
                    Scope::Alone => policy.judge(&facts),
                    Scope::OfSeveral => policy.judge_round(&facts),
                })
            }
        }
    }

    /// What does not fit the history of the dies that signed, unless the policy ignores them.
    fn die_history(
        &self,
        end: &End,
        known: Known<'_>,
        devices: &[LaneDevice],
    ) -> Result<Vec<HistoryFinding>, LedgerError> {
        let (Ok(verified), Some(records)) = (end, known.dies) else { return Ok(Vec::new()) };
        records.findings(&self.signed_by(verified, devices), verified, self.history_window())
    }

    /// The devices that a result names, with the dies that signed for them, unless the policy
    /// ignores these.
    pub(crate) fn signed_by(&self, verified: &Verified, devices: &[LaneDevice]) -> Vec<Sighting> {
        let named = Sighting::of(verified.evidence(), verified.challenge().spec().miner_id);
        match self.policy.is_some_and(Policy::ignores_device_reports) {
            true => named,
            false => Sighting::signed(named, devices),
        }
    }

    /// The verdict on a live session, at its end or later; `verify` verifies in these
    /// circumstances.
    ///
    /// # Errors
    /// Those of `verify`.
    pub fn of_session<E>(
        &self,
        session: &Session<'_>,
        verify: impl FnOnce(&Circumstances<'_>) -> Result<End, E>,
    ) -> Result<Verdict, E> {
        self.of_round(session, verify).map(|(verdict, _)| verdict)
    }

    /// As [`Terms::of_session`], with what the judgement of the whole session needs, if it
    /// verified.
    ///
    /// # Errors
    /// Those of `verify`.
    pub fn of_round<E>(
        &self,
        session: &Session<'_>,
        verify: impl FnOnce(&Circumstances<'_>) -> Result<End, E>,
    ) -> Result<(Verdict, Option<RoundFacts>), E> {
        let record = session.record.clone();
        let circumstances = Circumstances {
            issuer: Issuer::Record(IssuerRecord {
                nonce_spent_on: Some(record.commitment),
                session: Some(record),
            }),
            arrival_unix_s: Some((session.arrived_unix_ms / 1000) as i64),
            elapsed: Some(session.elapsed),
            receipt: None,
            floors: Some(floors::seconds),
        };
        let (end, known) = (verify(&circumstances)?, session.known);
        let facts = end.as_ref().ok().map(|verified| RoundFacts::of(&known.facts(verified)));
        Ok((self.verdict_in(session.scope, &end, known), facts))
    }

    /// The verdict on a result of somebody else's challenge.
    ///
    /// # Errors
    /// [`BeforeIssue`], or those of `verify`.
    pub fn of_stranger<E: From<BeforeIssue>>(
        &self,
        handed_in: &HandedIn<'_>,
        verify: impl FnOnce(&Circumstances<'_>) -> Result<End, E>,
    ) -> Result<Verdict, E> {
        handed_in.check_arrival()?;
        let end = verify(&handed_in.circumstances(Issuer::Other))?;
        Ok(self.verdict(&end, Known::default()))
    }
}

impl HandedIn<'_> {
    fn circumstances(&self, issuer: Issuer) -> Circumstances<'_> {
        Circumstances {
            issuer,
            arrival_unix_s: self.arrival_unix_s,
            elapsed: self.elapsed,
            receipt: self.receipt,
            floors: Some(floors::seconds),
        }
    }

    fn check_arrival(&self) -> Result<(), BeforeIssue> {
        let issued_unix_s = self.challenge.issued_at_unix_s();
        match self.arrival_unix_s {
            Some(arrival_unix_s) => BeforeIssue::check(arrival_unix_s, issued_unix_s),
            None => Ok(()),
        }
    }
}

/// An arrival that lies before the issue by more than clocks differ: one of two clocks is
/// wrong, and which cannot be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the arrival, at {}, is before the challenge was issued, at {}: that proves neither an interval nor that it came before the expiry\nCheck the clocks; give the time at which the result was held with --arrived-at, or `unknown`.",
    shown(*arrival_unix_s),
    shown(*issued_unix_s)
)]
pub struct BeforeIssue {
    /// Of the result or the commitment, s since 1970.
    pub arrival_unix_s: i64,
    /// Of the challenge, s since 1970.
    pub issued_unix_s: i64,
}

impl BeforeIssue {
    fn check(arrival_unix_s: i64, issued_unix_s: i64) -> Result<(), Self> {
        match is_before(arrival_unix_s, issued_unix_s) {
            true => Err(Self { arrival_unix_s, issued_unix_s }),
            false => Ok(()),
        }
    }
}

/// *Could not run*, and why.
fn could_not_run(text: String) -> Verdict {
    Verdict::of(&Err(Failure::CouldNotRun(RecomputeError(text))), OmittedShare::default())
}

fn shown(unix_s: i64) -> String {
    time::format(unix_s).unwrap_or_else(|| format!("{unix_s} s since 1970"))
}
