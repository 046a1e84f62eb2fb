//! What a validator remembers: issued challenges, spent nonces, coins, verdicts,
//! and which GPU was seen under which identity.
//!
//! ```text
//! issue ─▶ accept ─▶ record_coin ─▶ settle          one challenge, in this order
//! ```
//!
//! Guarantees: every step is atomic and durable before it returns; a nonce is
//! accepted once, whoever else asks at the same moment; a later step without its
//! earlier one fails.
//! Deliberately lacks: judgement of what it finds, and any clock: times come from
//! the caller.

use crate::protocol::challenge::Challenge;
use crate::protocol::circumstances::IssuerRecord;
use crate::protocol::digest::{Digest, Uuid};

/// The answer to a commitment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acceptance {
    /// The nonce is now spent on this commitment, durably.
    Accepted,
    /// It was spent before, on this one.
    Spent(Digest),
    /// This ledger never issued the challenge.
    NotIssued,
}

/// A device as a miner named it, with where it was named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// `cuDeviceGetUuid_v2`.
    pub uuid: Uuid,
    /// The board's serial number, where reported.
    pub serial: Option<String>,
    /// PCI id, where reported.
    pub pci: Option<String>,
    /// The miner's public key; `None` where the miner is not bound.
    pub miner: Option<Digest>,
    /// The host's own name for itself (machine id), where reported.
    pub host: Option<String>,
}

/// What does not fit into a device's history. Stable codes are its kebab-case
/// names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HistoryCode {
    /// The UUID was seen under another miner's key.
    UuidUnderTwoIdentities,
    /// The UUID was seen on another host within the window.
    UuidChangedHost,
    /// Two live sessions claim the UUID at once.
    UuidInTwoSessions,
    /// The UUID was seen with another serial number.
    UuidChangedSerial,
}

/// One thing that does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryFinding {
    /// Which.
    pub code: HistoryCode,
    /// In words.
    pub text: String,
}

/// How a challenge ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// "verified" or "rejected" (could-not-run is the validator's own fault and
    /// settles nothing).
    pub outcome: String,
    /// Stable reason of a rejection.
    pub code: Option<String>,
    /// The verdict, JSON.
    pub verdict_json: String,
    /// Which miner, where one is bound.
    pub miner: Option<Digest>,
    /// ms since 1970.
    pub settled_unix_ms: u64,
}

/// Why the ledger could not do it. Text in two lines: what happened, what to try.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The database failed.
    #[error(
        "the ledger {location} failed to {what}: {cause}\nCheck the file or the server, then try again."
    )]
    Database {
        /// Path or server, without password.
        location: String,
        /// Which step.
        what: &'static str,
        /// The database's words.
        cause: String,
    },
    /// A step came without its earlier one, or twice.
    #[error(
        "challenge {challenge} cannot {what}: {cause}\nEach challenge is issued, accepted, given its coin and settled once, in this order."
    )]
    Order {
        /// c.
        challenge: Digest,
        /// Which step.
        what: &'static str,
        /// What is missing or done already.
        cause: String,
    },
}

/// A validator's records. SQLite in one file, or PostgreSQL for several machines.
pub trait Ledger: Send + Sync {
    /// Records an issued challenge.
    ///
    /// # Errors
    /// [`LedgerError`]; the same challenge twice is one.
    fn issue(
        &self,
        challenge: &Challenge,
        token: &str,
        issued_unix_ms: u64,
    ) -> Result<(), LedgerError>;

    /// What is on record of challenge `c`; `None` where it was not issued here.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    fn record(&self, c: &Digest) -> Result<Option<IssuerRecord>, LedgerError>;

    /// Spends the nonce of `c` on `commitment`, at most once ever.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    fn accept(
        &self,
        c: &Digest,
        commitment: &Digest,
        arrived_unix_ms: u64,
    ) -> Result<Acceptance, LedgerError>;

    /// Records the one coin of an accepted commitment.
    ///
    /// # Errors
    /// [`LedgerError`]; a second coin is one.
    fn record_coin(&self, c: &Digest, coin: &Digest) -> Result<(), LedgerError>;

    /// Claims devices for the live session of `c`, until it is settled or
    /// `until_unix_ms`, and says what does not fit their history.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    fn claim(
        &self,
        c: &Digest,
        devices: &[Sighting],
        now_unix_ms: u64,
        until_unix_ms: u64,
    ) -> Result<Vec<HistoryFinding>, LedgerError>;

    /// Records the verdict and releases the devices of `c`. The first settlement
    /// stays.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn settle(&self, c: &Digest, settlement: &Settlement) -> Result<(), LedgerError>;
}
