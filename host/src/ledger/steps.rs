//! The steps of a challenge, as rules over what is on record of it.
//!
//! Guarantees: each step first takes the row of its nonce, so that of two steps of
//! one challenge one sees all that the other has done; what a step may do is
//! decided here, once for both databases.
//! Deliberately lacks: clocks, and any say in whether a result is right.

use super::error::LedgerError;
use super::history::{Named, Naming};
use super::record::{
    Acceptance, Accepting, Dodges, Entry, Filter, HistoryFinding, Mark, Meeting, MeetingFilter,
    Met, NO_COMMITMENT, Peer, Pruned, Pruning, RoundOf, Seen, SettledAs, Settlement, Sighting,
};
use super::sql::{Access, Backend, DbError, Fault, Sql, ms};
use super::{Ledger, Options, history, meeting, query};
use crate::protocol::challenge::{Challenge, LANES_MAX};
use crate::protocol::circumstances::{IssuerRecord, SessionRecord};
use crate::protocol::digest::Digest;
use crate::protocol::names::{Coin, Commitment};
use std::time::Duration;

/// A ledger in a database.
pub(super) struct Records<B> {
    backend: B,
    options: Options,
}

impl<B: Backend> Records<B> {
    pub(super) fn new(backend: B, options: Options) -> Self {
        Self { backend, options }
    }

    fn write<T>(
        &self,
        what: &'static str,
        mut work: impl FnMut(&mut dyn Sql) -> Result<T, Fault>,
    ) -> Result<T, LedgerError> {
        self.backend.transaction(Access::Write, what, &mut work)
    }

    /// Devices that are named for `c` as they are recorded.
    fn recorded<'a>(
        &self,
        what: &'static str,
        c: &'a Digest,
        devices: &'a [Sighting],
        now_unix_ms: u64,
        window: Duration,
    ) -> Result<Naming<'a>, LedgerError> {
        check_devices(what, devices)?;
        let (host_window, named) = (self.options.host_window, Named::AsRecorded);
        Ok(Naming { c, devices, now_unix_ms, window, host_window, named })
    }

    fn read<T>(
        &self,
        what: &'static str,
        mut work: impl FnMut(&mut dyn Sql) -> Result<T, Fault>,
    ) -> Result<T, LedgerError> {
        self.backend.transaction(Access::Read, what, &mut work)
    }
}

/// What is on record of an issued challenge.
struct State {
    /// On what its nonce is spent, if it is.
    spent_on: Option<Commitment>,
    /// `None`: pruned.
    progress: Option<Progress>,
}

struct Progress {
    settled: Option<Settled>,
}

struct Settled {
    outcome: String,
    code: Option<String>,
    verdict_json: String,
}

/// Takes the row of `c`'s nonce, then reads what is on record. The order matters:
/// PostgreSQL's second statement sees what was committed while the first waited.
fn locked(sql: &mut dyn Sql, c: &Digest) -> Result<Option<State>, DbError> {
    let lock = format!("SELECT spent_on FROM nonces WHERE c = $1{}", sql.row_lock());
    let rows = sql.query(&lock, &[(*c).into()])?;
    let Some(nonce) = rows.first() else { return Ok(None) };
    let spent_on = nonce.commitment_or_null(0)?;
    let rows = sql
        .query("SELECT outcome, code, verdict_json FROM challenges WHERE c = $1", &[(*c).into()])?;
    let Some(row) = rows.first() else { return Ok(Some(State { spent_on, progress: None })) };
    let settled = match row.text_or_null(0)? {
        None => None,
        Some(outcome) => {
            Some(Settled { outcome, code: row.text_or_null(1)?, verdict_json: row.text(2)? })
        }
    };
    Ok(Some(State { spent_on, progress: Some(Progress { settled }) }))
}

fn out_of_order(c: &Digest, what: &'static str, cause: impl Into<String>) -> Fault {
    Fault::Rule(LedgerError::Order { challenge: *c, what, cause: cause.into() })
}

/// The progress of a challenge that must be on record.
fn progress_of(
    state: Option<State>,
    c: &Digest,
    what: &'static str,
) -> Result<(Option<Commitment>, Progress), Fault> {
    match state {
        None => Err(out_of_order(c, what, "it was not issued here")),
        Some(State { progress: None, .. }) => Err(out_of_order(c, what, "it was pruned")),
        Some(State { spent_on, progress: Some(progress) }) => Ok((spent_on, progress)),
    }
}

/// Spends the nonce, if that can be done.
fn spend(sql: &mut dyn Sql, c: &Digest, commitment: &Commitment) -> Result<Acceptance, Fault> {
    match locked(sql, c)? {
        None => Ok(Acceptance::NotIssued),
        Some(State { spent_on: Some(on), .. }) => Ok(Acceptance::Spent(on)),
        Some(State { progress: None, .. }) => Ok(Acceptance::NotIssued),
        Some(State { spent_on: None, progress: Some(_) }) => {
            set_spent(sql, c, commitment)?;
            Ok(Acceptance::Accepted)
        }
    }
}

fn set_spent(sql: &mut dyn Sql, c: &Digest, commitment: &Commitment) -> Result<(), Fault> {
    let changed = sql.execute(
        "UPDATE nonces SET spent_on = $2 WHERE c = $1 AND spent_on IS NULL",
        &[(*c).into(), (*commitment).into()],
    )?;
    // The row is locked and was unspent.
    if changed != 1 {
        return Err(out_of_order(c, "be accepted", format!("{changed} nonces were unspent")));
    }
    Ok(())
}

fn set_arrived(sql: &mut dyn Sql, c: &Digest, arrived_unix_ms: u64) -> Result<(), DbError> {
    let values = [(*c).into(), ms(arrived_unix_ms)];
    sql.execute("UPDATE challenges SET arrived = $2 WHERE c = $1", &values)?;
    Ok(())
}

fn set_settled(sql: &mut dyn Sql, c: &Digest, settlement: &Settlement) -> Result<(), DbError> {
    sql.execute(
        "UPDATE challenges SET outcome = $2, code = $3, verdict_json = $4, settled = $5, \
         miner = COALESCE($6, miner) WHERE c = $1",
        &[
            (*c).into(),
            settlement.outcome.name().into(),
            settlement.code.as_deref().into(),
            settlement.verdict_json.as_str().into(),
            ms(settlement.settled_unix_ms),
            settlement.miner.into(),
        ],
    )?;
    sql.execute("DELETE FROM claims WHERE c = $1", &[(*c).into()])?;
    Ok(())
}

fn check_commitment(what: &'static str, commitment: &Commitment) -> Result<(), LedgerError> {
    if *commitment == NO_COMMITMENT {
        return Err(LedgerError::Invalid { what, cause: "a commitment is not zero".to_owned() });
    }
    Ok(())
}

fn set_coin(sql: &mut dyn Sql, c: &Digest, coin: &Coin) -> Result<(), DbError> {
    let values = [(*c).into(), (*coin).into()];
    sql.execute("UPDATE challenges SET coin = $2 WHERE c = $1", &values)?;
    Ok(())
}

/// Records the devices as claimed by the live session, and says what does not fit
/// their history.
fn claim(
    sql: &mut dyn Sql,
    naming: Naming<'_>,
    until_unix_ms: u64,
) -> Result<Vec<HistoryFinding>, DbError> {
    let found = history::see(sql, naming)?;
    for device in naming.devices {
        sql.execute(
            "INSERT INTO claims (uuid, c, until) VALUES ($1, $2, $3) \
             ON CONFLICT (uuid, c) DO UPDATE SET until = excluded.until",
            &[device.uuid.into(), (*naming.c).into(), ms(until_unix_ms)],
        )?;
    }
    Ok(found)
}

fn check_devices(what: &'static str, devices: &[Sighting]) -> Result<(), LedgerError> {
    if devices.len() as u64 > u64::from(LANES_MAX) {
        let cause = format!("{} devices, and a result has {LANES_MAX} at most", devices.len());
        return Err(LedgerError::Invalid { what, cause });
    }
    Ok(())
}

impl<B: Backend> Ledger for Records<B> {
    fn issue_round(
        &self,
        challenge: &Challenge,
        token: &str,
        issued_unix_ms: u64,
        round: Option<RoundOf>,
    ) -> Result<(), LedgerError> {
        const WHAT: &str = "record the issue of a challenge";
        let (c, spec) = (challenge.digest(), challenge.spec());
        if round.is_some_and(|round| round.number == 0 || round.session == c) {
            let cause = "a session's first round is the session's first challenge".to_owned();
            return Err(LedgerError::Invalid { what: WHAT, cause });
        }
        let expires_ms = challenge.expires_at_unix_s().saturating_mul(1000);
        self.write(WHAT, |sql| {
            let fresh = sql.execute(
                "INSERT INTO nonces (validator_nonce, c) VALUES ($1, $2) ON CONFLICT DO NOTHING",
                &[spec.validator_nonce.into(), c.into()],
            )?;
            if fresh != 1 {
                let rows = sql.query(
                    "SELECT c FROM nonces WHERE validator_nonce = $1",
                    &[spec.validator_nonce.into()],
                )?;
                let cause = match rows.first() {
                    Some(row) if row.digest(0)? != c => {
                        format!("its nonce was issued before, with challenge {}", row.digest(0)?)
                    }
                    _ => "it was issued before".to_owned(),
                };
                return Err(out_of_order(&c, "be issued", cause));
            }
            sql.execute(
                "INSERT INTO challenges (c, token, issued, expires, miner, session, round) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7)",
                &[
                    c.into(),
                    token.into(),
                    ms(issued_unix_ms),
                    expires_ms.max(0).into(),
                    spec.miner_id.into(),
                    round.map(|round| round.session).into(),
                    round.map(|round| i64::from(round.number)).into(),
                ],
            )?;
            Ok(())
        })
    }

    fn record(&self, c: &Digest) -> Result<Option<IssuerRecord>, LedgerError> {
        let rows = self.read("look up a challenge", |sql| {
            Ok(sql
                .query(
                    "SELECT nonces.spent_on, challenges.coin, challenges.issued, \
                     challenges.outcome FROM nonces \
                     LEFT JOIN challenges ON challenges.c = nonces.c WHERE nonces.c = $1",
                    &[(*c).into()],
                )?
                .into_iter()
                .map(|row| {
                    // What a rejected session brings later does not count.
                    let is_over = row.text_or_null(3)?.as_deref() == Some("rejected");
                    let coin = row.coin_or_null(1)?.filter(|_| !is_over);
                    Ok((row.commitment_or_null(0)?, coin, row.count_or_null(2)?))
                })
                .collect::<Result<Vec<_>, DbError>>()?)
        })?;
        Ok(match rows.first() {
            // Never issued, or pruned unanswered.
            None | Some((None, _, None)) => None,
            Some(&(nonce_spent_on, coin, _)) => {
                let session = nonce_spent_on
                    .zip(coin)
                    .map(|(commitment, coin)| SessionRecord { commitment, coin });
                Some(IssuerRecord { nonce_spent_on, session })
            }
        })
    }

    fn accept_session(
        &self,
        c: &Digest,
        accepting: &Accepting<'_>,
    ) -> Result<(Acceptance, Vec<HistoryFinding>), LedgerError> {
        const WHAT: &str = "record a commitment and its coin";
        let Accepting { commitment, coin, arrived_unix_ms, devices, until_unix_ms, window } =
            *accepting;
        check_commitment(WHAT, &commitment)?;
        check_devices(WHAT, devices)?;
        let (now_unix_ms, host_window) = (arrived_unix_ms, self.options.host_window);
        let named = Named::InSession;
        let naming = Naming { c, devices, now_unix_ms, window, host_window, named };
        self.write(WHAT, |sql| {
            let acceptance = spend(sql, c, &commitment)?;
            if acceptance != Acceptance::Accepted {
                return Ok((acceptance, Vec::new()));
            }
            set_arrived(sql, c, arrived_unix_ms)?;
            let found = claim(sql, naming, until_unix_ms)?;
            set_coin(sql, c, &coin)?;
            Ok((acceptance, found))
        })
    }

    fn history(
        &self,
        c: &Digest,
        devices: &[Sighting],
        now_unix_ms: u64,
        window: Duration,
    ) -> Result<Vec<HistoryFinding>, LedgerError> {
        const WHAT: &str = "look up devices";
        let naming = self.recorded(WHAT, c, devices, now_unix_ms, window)?;
        self.read(WHAT, |sql| Ok(history::look(sql, naming)?))
    }

    fn sign(
        &self,
        c: &Digest,
        devices: &[Sighting],
        now_unix_ms: u64,
        window: Duration,
    ) -> Result<Vec<HistoryFinding>, LedgerError> {
        const WHAT: &str = "record which dies signed";
        let naming = self.recorded(WHAT, c, devices, now_unix_ms, window)?;
        self.write(WHAT, |sql| {
            let (spent_on, _) = progress_of(locked(sql, c)?, c, WHAT)?;
            if spent_on.is_none() {
                return Err(out_of_order(c, WHAT, "no commitment was accepted"));
            }
            Ok(history::sign(sql, naming)?)
        })
    }

    fn settle(&self, c: &Digest, settlement: &Settlement) -> Result<(), LedgerError> {
        const WHAT: &str = "record a verdict";
        let once = || {
            self.write(WHAT, |sql| {
                const STEP: &str = "be settled";
                let (spent_on, progress) = progress_of(locked(sql, c)?, c, STEP)?;
                if let Some(before) = progress.settled {
                    let same = before.outcome == settlement.outcome.name()
                        && before.code == settlement.code
                        && before.verdict_json == settlement.verdict_json;
                    let cause = format!("it is settled as {}", before.outcome);
                    return if same { Ok(()) } else { Err(out_of_order(c, STEP, cause)) };
                }
                if spent_on.is_none() {
                    if settlement.outcome == SettledAs::Verified {
                        return Err(out_of_order(c, STEP, "no commitment was accepted"));
                    }
                    set_spent(sql, c, &NO_COMMITMENT)?;
                }
                Ok(set_settled(sql, c, settlement)?)
            })
        };
        match once() {
            // The same verdict twice is one: what is not known is done again.
            Err(LedgerError::Unknown { .. }) => once(),
            done => done,
        }
    }

    fn settle_offline(
        &self,
        c: &Digest,
        commitment: &Commitment,
        arrived_unix_ms: u64,
        devices: &[Sighting],
        window: Duration,
        settlement: &Settlement,
    ) -> Result<(Acceptance, Vec<HistoryFinding>), LedgerError> {
        const WHAT: &str = "spend a nonce with its verdict";
        check_commitment(WHAT, commitment)?;
        let naming = self.recorded(WHAT, c, devices, arrived_unix_ms, window)?;
        if settlement.outcome != SettledAs::Verified {
            let cause = format!("outcome {:?} spends no nonce", settlement.outcome.name());
            return Err(LedgerError::Invalid { what: WHAT, cause });
        }
        self.write(WHAT, |sql| {
            let acceptance = spend(sql, c, commitment)?;
            if acceptance != Acceptance::Accepted {
                return Ok((acceptance, Vec::new()));
            }
            set_arrived(sql, c, arrived_unix_ms)?;
            let found = history::see(sql, naming)?;
            set_settled(sql, c, settlement)?;
            Ok((acceptance, found))
        })
    }

    fn list(&self, filter: &Filter) -> Result<Vec<Entry>, LedgerError> {
        self.read("list challenges", |sql| Ok(query::list(sql, filter)?))
    }

    fn show(&self, c: &Digest) -> Result<Option<(Entry, Vec<Seen>)>, LedgerError> {
        self.read("look up a challenge", |sql| Ok(query::show(sql, c)?))
    }

    fn marks(&self, newest: u32) -> Result<Vec<Mark>, LedgerError> {
        self.read("look what has changed", |sql| Ok(query::marks(sql, newest)?))
    }

    fn recall(&self, challenges: &[Digest]) -> Result<Vec<(Entry, Vec<Seen>)>, LedgerError> {
        self.read("look up challenges", |sql| Ok(query::recall(sql, challenges)?))
    }

    fn meet(&self, meeting: &Meeting) -> Result<(), LedgerError> {
        self.write("record a meeting", |sql| Ok(meeting::record(sql, meeting)?))
    }

    fn dodges(
        &self,
        peer: Peer,
        address: Option<&str>,
        since_unix_ms: u64,
    ) -> Result<Dodges, LedgerError> {
        self.read("count meetings", |sql| Ok(meeting::dodges(sql, peer, address, since_unix_ms)?))
    }

    fn meetings(&self, filter: &MeetingFilter) -> Result<Vec<Met>, LedgerError> {
        self.read("list meetings", |sql| Ok(meeting::list(sql, filter)?))
    }

    fn prune(
        &self,
        before_unix_ms: u64,
        now_unix_ms: u64,
        pruning: Pruning,
    ) -> Result<Pruned, LedgerError> {
        let bounds = [ms(before_unix_ms), ms(now_unix_ms)];
        if pruning == Pruning::DryRun {
            return self.read("count what is old", |sql| {
                let challenges = query::count_old(sql, &bounds)?;
                Ok(Pruned { challenges, meetings: meeting::count_old(sql, before_unix_ms)? })
            });
        }
        // In small transactions, so that sessions can go on meanwhile.
        let until_none = |step: &dyn Fn(&mut dyn Sql) -> Result<u64, DbError>| {
            let mut pruned = 0;
            loop {
                match self.write("prune", |sql| Ok(step(sql)?))? {
                    0 => return Ok(pruned),
                    some => pruned += some,
                }
            }
        };
        Ok(Pruned {
            challenges: until_none(&|sql| query::forget_some(sql, &bounds))?,
            meetings: until_none(&|sql| meeting::forget_some(sql, before_unix_ms))?,
        })
    }
}
