//! SQLite's statements, values and errors in the words of [`crate::ledger::sql`].
//!
//! Guarantees: what a column holds comes back as it was written, or is an error.
//! Deliberately lacks: transactions; whoever has the connection begins and ends them.

use crate::ledger::sql::{DbError, DbErrorKind, Row, Sql, Value};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, ToSql};

/// The statements of the transaction that is open on a connection.
pub(super) struct Statements<'a>(pub(super) &'a Connection);

/// SQLite counts ?1, ?2, …; $1 would be a name.
fn numbered(statement: &str) -> String {
    statement.replace('$', "?")
}

impl Sql for Statements<'_> {
    // The transaction has the whole file.
    fn row_lock(&self) -> &'static str {
        ""
    }

    fn execute(&mut self, statement: &str, values: &[Value]) -> Result<u64, DbError> {
        let mut prepared = self.0.prepare_cached(&numbered(statement)).map_err(db_error)?;
        let changed = prepared.execute(rusqlite::params_from_iter(values)).map_err(db_error)?;
        Ok(changed as u64)
    }

    fn query(&mut self, statement: &str, values: &[Value]) -> Result<Vec<Row>, DbError> {
        let mut prepared = self.0.prepare_cached(&numbered(statement)).map_err(db_error)?;
        let columns = prepared.column_count();
        let mut found = prepared.query(rusqlite::params_from_iter(values)).map_err(db_error)?;
        let mut rows = Vec::new();
        while let Some(row) = found.next().map_err(db_error)? {
            let cells = (0..columns).map(|at| value(row.get_ref(at).map_err(db_error)?));
            rows.push(Row(cells.collect::<Result<_, DbError>>()?));
        }
        Ok(rows)
    }
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Integer(integer) => ValueRef::Integer(*integer),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

fn value(column: ValueRef<'_>) -> Result<Value, DbError> {
    let damaged = |cause: String| DbError { kind: DbErrorKind::Corrupt, cause };
    Ok(match column {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(integer) => Value::Integer(integer),
        ValueRef::Blob(bytes) => Value::Bytes(bytes.to_vec()),
        ValueRef::Text(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Value::Text(text.to_owned()),
            Err(error) => return Err(damaged(error.to_string())),
        },
        ValueRef::Real(number) => return Err(damaged(format!("found the number {number}"))),
    })
}

pub(super) fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

/// A statement's error, which has changed nothing.
pub(super) fn db_error(error: rusqlite::Error) -> DbError {
    let kind = match error.sqlite_error_code() {
        _ if is_busy(&error) => DbErrorKind::Busy,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => DbErrorKind::Corrupt,
        _ => DbErrorKind::Other,
    };
    DbError { kind, cause: error.to_string() }
}

/// A commit's error: if the disk failed, what was written may be found there later.
pub(super) fn commit_error(error: rusqlite::Error) -> DbError {
    match error.sqlite_error_code() {
        Some(ErrorCode::SystemIoFailure) => {
            DbError { kind: DbErrorKind::Unknown, cause: error.to_string() }
        }
        _ => db_error(error),
    }
}
