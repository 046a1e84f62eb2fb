//! What a validator remembers: issued challenges, spent nonces, coins, verdicts,
//! and which GPU was seen under which identity.
//!
//! ```text
//! issue ─▶ accept_session ─▶ settle      a live session, in this order
//! issue ─▶ settle_offline                a result without a session
//! issue_round ─▶ accept_session ─▶ …     a later round of that session
//! meet                                   once a connection, challenged or not
//! ```
//!
//! Guarantees: every step is atomic and durable before it returns; a nonce is
//! accepted once, whoever else asks at the same moment, from whichever process; a
//! later step without its earlier one fails; no step waits longer than
//! [`Options::patience`] for others if nothing moves.
//! Deliberately lacks: judgement of what it finds, and any clock: times come from
//! the caller.

mod error;
mod history;
mod location;
mod meeting;
mod pool;
mod postgres;
mod query;
mod record;
mod schema;
mod sql;
mod sqlite;
mod steps;

pub use error::LedgerError;
pub use location::{Location, Server};
pub use record::{
    Acceptance, Accepting, DODGES, Dodges, Ending, Entry, Filter, HISTORY_WINDOW, HistoryCode,
    HistoryFinding, Meeting, MeetingFilter, Met, NO_COMMITMENT, Order, Peer, Pruned, Pruning,
    RoundOf, Seen, SessionEnd, SettledAs, Settlement, Sighting, Standing,
};

use crate::protocol::challenge::Challenge;
use crate::protocol::circumstances::IssuerRecord;
use crate::protocol::digest::Digest;
use crate::protocol::names::Commitment;
use std::sync::Arc;
use std::time::Duration;

/// A validator's records. SQLite in one file, or PostgreSQL for several machines.
///
/// Every call blocks, for as long as [`Options::patience`] and a disk take; from
/// asynchronous code call it where blocking is allowed
/// (`tokio::task::spawn_blocking`).
pub trait Ledger: Send + Sync {
    /// Records an issued challenge: of no session yet, or a session's first.
    ///
    /// # Errors
    /// As of [`Ledger::issue_round`].
    fn issue(
        &self,
        challenge: &Challenge,
        token: &str,
        issued_unix_ms: u64,
    ) -> Result<(), LedgerError> {
        self.issue_round(challenge, token, issued_unix_ms, None)
    }

    /// Records an issued challenge; `round` says which round of its session a later challenge
    /// is. The session's first is found by its digest, and need not be on record any more.
    ///
    /// # Errors
    /// [`LedgerError`]; the same challenge twice is one, and so are a nonce that was
    /// ever issued before and a round 0.
    fn issue_round(
        &self,
        challenge: &Challenge,
        token: &str,
        issued_unix_ms: u64,
        round: Option<RoundOf>,
    ) -> Result<(), LedgerError>;

    /// What is on record of challenge `c`; `None` if it was not issued here, or
    /// was pruned unanswered. A session that was settled as rejected is over: its
    /// nonce is spent, and the record has no session that a result could belong to.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn record(&self, c: &Digest) -> Result<Option<IssuerRecord>, LedgerError>;

    /// Spends the nonce of `c` on a live session's commitment, at most once ever, claims
    /// its devices until it is settled or its time is over, and records its coin, in one
    /// step: the coin may be sent when this returns [`Acceptance::Accepted`]. Says what
    /// does not fit the devices' history. A claim is never refused: two sessions may
    /// hold one, and the later one is told. If the answer is not
    /// [`Acceptance::Accepted`], nothing is recorded and the findings are empty.
    ///
    /// # Errors
    /// [`LedgerError`]; a commitment of zeros is one, and so are more devices
    /// than a result can have.
    fn accept_session(
        &self,
        c: &Digest,
        accepting: &Accepting<'_>,
    ) -> Result<(Acceptance, Vec<HistoryFinding>), LedgerError>;

    /// What does not fit the history of `devices`, named for `c`, as
    /// [`Ledger::accept_session`] would say it; nothing is recorded. `window` is how
    /// far back the history counts ([`HISTORY_WINDOW`] unless a policy says otherwise).
    ///
    /// # Errors
    /// [`LedgerError`]; more devices than a result can have.
    fn history(
        &self,
        c: &Digest,
        devices: &[Sighting],
        now_unix_ms: u64,
        window: Duration,
    ) -> Result<Vec<HistoryFinding>, LedgerError>;

    /// Records which dies signed reports for the devices that an accepted session of `c` has
    /// named, before its verdict, and says what does not fit those dies' history.
    ///
    /// # Errors
    /// [`LedgerError`]; a challenge without an accepted commitment is one, and so are more
    /// devices than a result can have.
    fn sign(
        &self,
        c: &Digest,
        devices: &[Sighting],
        now_unix_ms: u64,
        window: Duration,
    ) -> Result<Vec<HistoryFinding>, LedgerError>;

    /// Records the verdict and releases the devices of `c`. The first settlement
    /// stays: the same again changes nothing. "verified" takes an accepted
    /// commitment; "rejected" without one spends the nonce on [`NO_COMMITMENT`].
    ///
    /// # Errors
    /// [`LedgerError`]; another settlement than the first is one.
    fn settle(&self, c: &Digest, settlement: &Settlement) -> Result<(), LedgerError>;

    /// Accepts, records the devices and settles as verified in one step: for a
    /// result outside a live session. If the answer is not
    /// [`Acceptance::Accepted`], nothing is recorded and the findings are empty.
    /// `window` is as in [`Ledger::history`].
    ///
    /// # Errors
    /// [`LedgerError`]; another outcome than verified is one.
    fn settle_offline(
        &self,
        c: &Digest,
        commitment: &Commitment,
        arrived_unix_ms: u64,
        devices: &[Sighting],
        window: Duration,
        settlement: &Settlement,
    ) -> Result<(Acceptance, Vec<HistoryFinding>), LedgerError>;

    /// The challenges that `filter` asks for.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn list(&self, filter: &Filter) -> Result<Vec<Entry>, LedgerError>;

    /// One challenge, with the devices that were named for it.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn show(&self, c: &Digest) -> Result<Option<(Entry, Vec<Seen>)>, LedgerError>;

    /// Records a meeting with a miner.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn meet(&self, meeting: &Meeting) -> Result<(), LedgerError>;

    /// How often since `since_unix_ms` the miner ended a meeting before it was
    /// challenged, by its key as it is known now and by its address (as in
    /// [`Meeting::address`]).
    ///
    /// # Errors
    /// [`LedgerError`].
    fn dodges(
        &self,
        peer: Peer,
        address: Option<&str>,
        since_unix_ms: u64,
    ) -> Result<Dodges, LedgerError>;

    /// The meetings that `filter` asks for, the newest first.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn meetings(&self, filter: &MeetingFilter) -> Result<Vec<Met>, LedgerError>;

    /// Forgets the challenges that were settled, or expired unsettled, before
    /// `before_unix_ms`, with the devices that were named for them; but for those
    /// that hold a device at `now_unix_ms`. Their nonces stay spent. Forgets the
    /// meetings before `before_unix_ms`, too. Says how many.
    ///
    /// # Errors
    /// [`LedgerError`]; what was forgotten until then stays forgotten.
    fn prune(
        &self,
        before_unix_ms: u64,
        now_unix_ms: u64,
        pruning: Pruning,
    ) -> Result<Pruned, LedgerError>;
}

/// How a ledger behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// A step that cannot begin while nothing moves ahead of it for so long is
    /// [`LedgerError::Busy`]; however much moves, it waits no longer than 30 times that.
    pub patience: Duration,
    /// A UUID that was seen on another host no longer ago than this is a finding.
    pub host_window: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { patience: Duration::from_secs(10), host_window: Duration::from_secs(24 * 3600) }
    }
}

/// Opens the ledger at `location`, or makes one there.
///
/// # Errors
/// [`LedgerError`].
pub fn open(location: &Location) -> Result<Arc<dyn Ledger>, LedgerError> {
    open_with(location, Options::default())
}

/// Opens the ledger at `location` for reading, if it can only be read: then every step
/// that writes is an error. None is made.
///
/// # Errors
/// [`LedgerError`].
pub fn open_to_read(location: &Location) -> Result<Arc<dyn Ledger>, LedgerError> {
    let options = Options::default();
    let Location::File(path) = location else { return open(location) };
    Ok(match sqlite::Sqlite::open_existing(path, options.patience) {
        Err(LedgerError::Open { .. }) => {
            let file = sqlite::ReadOnly::open(path, options.patience)?;
            Arc::new(steps::Records::new(file, options))
        }
        opened => Arc::new(steps::Records::new(opened?, options)),
    })
}

/// Opens the ledger at `location`, or makes one there.
///
/// # Errors
/// [`LedgerError`].
pub fn open_with(location: &Location, options: Options) -> Result<Arc<dyn Ledger>, LedgerError> {
    Ok(match location {
        Location::File(path) => {
            Arc::new(steps::Records::new(sqlite::Sqlite::open(path, options.patience)?, options))
        }
        Location::Postgres(server) => Arc::new(steps::Records::new(
            postgres::Postgres::open(server, options.patience)?,
            options,
        )),
    })
}
