//! The little that both databases must be able to do. The rules are written once,
//! against this.
//!
//! Guarantees: a transaction is all or nothing, and durable when it returns.
//! Deliberately lacks: any SQL of the ledger; that is in [`super::schema`],
//! [`super::steps`], [`super::history`] and [`super::query`], where parameters are
//! written $1, $2, …

use super::error::LedgerError;
use super::record::{SessionEnd, SettledAs};
use crate::protocol::digest::{Digest, Uuid};
use crate::protocol::json::{is_shown, shown};
use crate::protocol::names::{Coin, Commitment};
use crate::protocol::signature::EncodedKey;
use std::borrow::Cow;

/// A value in a statement or a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Null,
    Integer(i64),
    Text(String),
    Bytes(Vec<u8>),
}

macro_rules! from_bytes {
    ($($name:ty),*) => {$(
        impl From<$name> for Value {
            fn from(value: $name) -> Self {
                Self::Bytes(value.as_bytes().to_vec())
            }
        }
    )*};
}
from_bytes!(Digest, Uuid, Commitment, Coin, EncodedKey);

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}
impl From<i64> for Value {
    fn from(integer: i64) -> Self {
        Self::Integer(integer)
    }
}
impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// A time for the database. Times beyond its integers are the end of time.
pub(super) fn ms(unix_ms: u64) -> Value {
    Value::Integer(i64::try_from(unix_ms).unwrap_or(i64::MAX))
}

/// One row of an answer.
#[derive(Debug)]
pub(super) struct Row(pub(super) Vec<Value>);

impl Row {
    fn at(&self, column: usize) -> &Value {
        self.0.get(column).unwrap_or(&Value::Null)
    }

    fn wrong(&self, column: usize, expected: &str) -> DbError {
        DbError {
            kind: DbErrorKind::Corrupt,
            cause: format!("column {column} holds {:?}, not {expected}", self.at(column)),
        }
    }

    fn required<T>(&self, column: usize, value: Option<T>, expected: &str) -> Result<T, DbError> {
        value.ok_or_else(|| self.wrong(column, expected))
    }

    fn bytes<const N: usize>(&self, column: usize) -> Result<Option<[u8; N]>, DbError> {
        match self.at(column) {
            Value::Null => Ok(None),
            Value::Bytes(bytes) => match bytes.as_slice().try_into() {
                Ok(bytes) => Ok(Some(bytes)),
                Err(_) => Err(self.wrong(column, &format!("{N} bytes"))),
            },
            _ => Err(self.wrong(column, "bytes")),
        }
    }

    pub(super) fn digest_or_null(&self, column: usize) -> Result<Option<Digest>, DbError> {
        Ok(self.bytes(column)?.map(Digest))
    }
    pub(super) fn digest(&self, column: usize) -> Result<Digest, DbError> {
        self.required(column, self.digest_or_null(column)?, "a digest")
    }
    pub(super) fn commitment_or_null(&self, column: usize) -> Result<Option<Commitment>, DbError> {
        Ok(self.bytes(column)?.map(Commitment))
    }
    pub(super) fn coin_or_null(&self, column: usize) -> Result<Option<Coin>, DbError> {
        let Some(bytes) = self.bytes(column)? else { return Ok(None) };
        self.required(column, Coin::new(bytes), "a coin, which is not zero").map(Some)
    }
    pub(super) fn key_or_null(&self, column: usize) -> Result<Option<EncodedKey>, DbError> {
        Ok(self.bytes(column)?.map(EncodedKey))
    }
    /// What a session came to, in two columns, if that is known.
    pub(super) fn session_end(&self, column: usize) -> Result<Option<SessionEnd>, DbError> {
        let Some(outcome) = self.text_or_null(column)? else { return Ok(None) };
        let outcome = self.required(column, SettledAs::of(&outcome), "an outcome")?;
        Ok(Some(SessionEnd { outcome, code: self.text_or_null(column + 1)? }))
    }
    pub(super) fn uuid(&self, column: usize) -> Result<Uuid, DbError> {
        self.required(column, self.bytes(column)?.map(Uuid), "a UUID")
    }
    /// A count or a time, or NULL.
    pub(super) fn count_or_null(&self, column: usize) -> Result<Option<u64>, DbError> {
        match self.at(column) {
            Value::Null => Ok(None),
            Value::Integer(integer) => match u64::try_from(*integer) {
                Ok(count) => Ok(Some(count)),
                Err(_) => Err(self.wrong(column, "a count")),
            },
            _ => Err(self.wrong(column, "an integer")),
        }
    }
    /// A number of 32 bits.
    pub(super) fn small(&self, column: usize) -> Result<u32, DbError> {
        self.required(column, u32::try_from(self.count(column)?).ok(), "a small number")
    }
    pub(super) fn count(&self, column: usize) -> Result<u64, DbError> {
        self.required(column, self.count_or_null(column)?, "an integer")
    }
    /// Text or NULL.
    pub(super) fn text_or_null(&self, column: usize) -> Result<Option<String>, DbError> {
        match self.at(column) {
            Value::Null => Ok(None),
            Value::Text(text) => Ok(Some(text.clone())),
            _ => Err(self.wrong(column, "text")),
        }
    }
    pub(super) fn text(&self, column: usize) -> Result<String, DbError> {
        self.required(column, self.text_or_null(column)?, "text")
    }
}

/// What a database's error means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DbErrorKind {
    /// Somebody else held it for longer than a step may wait. Nothing was changed.
    Busy,
    /// Rolled back in favour of somebody else: the same again may succeed.
    Again,
    /// The connection was gone. Nothing was changed.
    Lost,
    /// The connection went while a commit was under way.
    Unknown,
    /// What is stored cannot be read.
    Corrupt,
    /// Anything else.
    Other,
}

/// A database's error, in its own words.
#[derive(Clone, Debug)]
pub(super) struct DbError {
    pub(super) kind: DbErrorKind,
    pub(super) cause: String,
}

/// Why the work in a transaction ends without a commit.
#[derive(Debug)]
pub(super) enum Fault {
    /// The database's own.
    Database(DbError),
    /// A rule of the ledger was broken.
    Rule(LedgerError),
}

impl From<DbError> for Fault {
    fn from(error: DbError) -> Self {
        Self::Database(error)
    }
}
impl From<LedgerError> for Fault {
    fn from(error: LedgerError) -> Self {
        Self::Rule(error)
    }
}

/// Statements within a transaction.
pub(super) trait Sql {
    /// Ends a SELECT whose rows nobody else shall change until the transaction
    /// ends.
    fn row_lock(&self) -> &'static str;
    /// Runs a statement and says how many rows it changed.
    fn execute(&mut self, statement: &str, values: &[Value]) -> Result<u64, DbError>;
    /// Runs a query.
    fn query(&mut self, statement: &str, values: &[Value]) -> Result<Vec<Row>, DbError>;
}

/// What a transaction may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// See one state of the ledger.
    Read,
    /// Change it.
    Write,
}

/// A database that holds a ledger.
pub(super) trait Backend: Send + Sync {
    /// Runs `work` in a transaction and commits it if it succeeds. `work` may run
    /// more than once; only its last run counts. Waits at most some seconds for
    /// others.
    fn transaction<T>(
        &self,
        access: Access,
        what: &'static str,
        work: &mut dyn FnMut(&mut dyn Sql) -> Result<T, Fault>,
    ) -> Result<T, LedgerError>;
}

/// A miner's text for a column: PostgreSQL stores no NUL, readers should see no
/// escapes and nothing hidden, and nothing of it needs more than 256 characters.
pub(super) fn bounded(text: &str) -> Cow<'_, str> {
    const CHARS_MAX: usize = 256;
    if text.chars().count() <= CHARS_MAX && text.chars().all(is_shown) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().take(CHARS_MAX).map(shown).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_miner_says_is_bounded() {
        assert_eq!(bounded("1654823001234"), "1654823001234");
        assert_eq!(bounded("a\0b\x1b[31m"), "a\u{fffd}b\u{fffd}[31m");
        assert_eq!(bounded("a\u{202e}b\u{200b}"), "a\u{fffd}b\u{fffd}");
        assert_eq!(bounded(&"é".repeat(1000)).chars().count(), 256);
    }

    #[test]
    fn rows_of_the_wrong_form_are_damage() {
        let row = Row(vec![Value::Bytes(vec![1; 31]), Value::Integer(-1), Value::Null]);
        assert_eq!(row.digest(0).unwrap_err().kind, DbErrorKind::Corrupt);
        assert_eq!(row.count(1).unwrap_err().kind, DbErrorKind::Corrupt);
        assert_eq!(row.digest(2).unwrap_err().kind, DbErrorKind::Corrupt);
        assert_eq!(row.digest_or_null(2).unwrap(), None);
        let zero = Row(vec![Value::Bytes(vec![0; 32])]).coin_or_null(0);
        assert_eq!(zero.unwrap_err().kind, DbErrorKind::Corrupt);
    }
}
