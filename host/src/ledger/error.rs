//! Why a ledger could not do it.
//!
//! Guarantees: no text holds a password; every text has two lines, what happened
//! and what to try.

use super::sql::{DbError, DbErrorKind};
use crate::protocol::digest::Digest;

/// Why the ledger could not do it. Text in two lines: what happened, what to try.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The text names no ledger.
    #[error(
        "{text:?} names no ledger: {cause}\nGive the path of a file, or postgres://USER@HOST/DATABASE."
    )]
    Location {
        /// What was given, without password.
        text: String,
        /// What is wrong with it.
        cause: String,
    },
    /// It could not be opened.
    #[error("cannot open the ledger {location}: {cause}\n{advice}")]
    Open {
        /// Path or server, without password.
        location: String,
        /// The system's or the server's words.
        cause: String,
        /// What to try.
        advice: &'static str,
    },
    /// It is something else.
    #[error(
        "{location} is not a ledger: {cause}\nCheck the path. A ledger is made by the first command that names a file that is not there."
    )]
    NotALedger {
        /// Path or server, without password.
        location: String,
        /// What it is instead.
        cause: String,
    },
    /// A newer program has written it.
    #[error(
        "the ledger {location} has schema version {found}; this program knows versions up to {known}\nUse the newer program on it."
    )]
    Schema {
        /// Path or server, without password.
        location: String,
        /// The version found.
        found: i64,
        /// The newest that this program knows.
        known: i64,
    },
    /// Others hold it for too long.
    #[error(
        "the ledger {location} was busy for {waited_s} s and did not {what}: {cause}\nNothing was changed. See what else holds it, then try again."
    )]
    Busy {
        /// Path or server, without password.
        location: String,
        /// The operation that failed.
        what: &'static str,
        /// How long it waited, s.
        waited_s: u64,
        /// The database's words.
        cause: String,
    },
    /// What is in the file is damaged.
    #[error(
        "the ledger {location} is damaged; it failed to {what}: {cause}\nKeep the file, stop issuing, and restore the last backup: see docs/ledger.md."
    )]
    Corrupt {
        /// Path or server, without password.
        location: String,
        /// The operation that failed.
        what: &'static str,
        /// The database's words.
        cause: String,
    },
    /// The connection broke while the step was being made durable.
    #[error(
        "the ledger {location} broke off while it was to {what}; the step may be on record or not: {cause}\nLook with `attest ledger show` before you go on."
    )]
    Unknown {
        /// Path or server, without password.
        location: String,
        /// The operation that failed.
        what: &'static str,
        /// The database's words.
        cause: String,
    },
    /// The database failed.
    #[error(
        "the ledger {location} failed to {what}: {cause}\nCheck the file or the server, then try again."
    )]
    Database {
        /// Path or server, without password.
        location: String,
        /// The operation that failed.
        what: &'static str,
        /// The database's words.
        cause: String,
    },
    /// A step came without its earlier one, or twice.
    #[error(
        "challenge {challenge} cannot {what}: {cause}\nEach challenge is issued, accepted, given its coin and settled once, in this order."
    )]
    Order {
        /// Digest of the challenge.
        challenge: Digest,
        /// The operation that came too early.
        what: &'static str,
        /// What is missing or done already.
        cause: String,
    },
    /// What was to be recorded cannot be.
    #[error("the ledger cannot {what}: {cause}\nThis is a fault of the caller.")]
    Invalid {
        /// The operation that was refused.
        what: &'static str,
        /// What is wrong.
        cause: String,
    },
}

impl LedgerError {
    /// A stable kebab-case name.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Location { .. } => "ledger-location",
            Self::Open { .. } => "ledger-open",
            Self::NotALedger { .. } => "not-a-ledger",
            Self::Schema { .. } => "ledger-schema",
            Self::Busy { .. } => "ledger-busy",
            Self::Corrupt { .. } => "ledger-corrupt",
            Self::Unknown { .. } => "ledger-unknown",
            Self::Database { .. } => "ledger-database",
            Self::Order { .. } => "ledger-order",
            Self::Invalid { .. } => "ledger-invalid",
        }
    }

    /// A database's fault in step `what`.
    pub(super) fn of(error: DbError, location: String, what: &'static str, waited_s: u64) -> Self {
        let cause = error.cause;
        match error.kind {
            DbErrorKind::Busy => Self::Busy { location, what, waited_s, cause },
            DbErrorKind::Corrupt => Self::Corrupt { location, what, cause },
            DbErrorKind::Unknown => Self::Unknown { location, what, cause },
            DbErrorKind::Again | DbErrorKind::Lost | DbErrorKind::Other => {
                Self::Database { location, what, cause }
            }
        }
    }
}
