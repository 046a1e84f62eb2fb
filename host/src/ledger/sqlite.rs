//! A ledger in an SQLite file.
//!
//! Guarantees: a transaction that was committed survives the loss of power
//! (synchronous = FULL); writers of several processes take turns; the file that is
//! made can be read by its owner only; a file that is something else is left as it
//! is.
//! Deliberately lacks: network file systems, whose locks SQLite cannot rely on.

use super::error::LedgerError;
use super::pool::Pool;
use super::schema::{self, Dialect};
use super::sql::{Access, Backend, DbError, DbErrorKind, Fault, Row, Sql, Value};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, OpenFlags, ToSql, Transaction, TransactionBehavior};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// "atst": says of an SQLite file that it is a ledger.
const APPLICATION_ID: i64 = 0x6174_7374;

/// A ledger in a file.
pub(super) struct Sqlite {
    path: PathBuf,
    patience: Duration,
    /// One: writers of one process take turns without asking the file.
    pool: Pool<Connection>,
}

impl Sqlite {
    /// Opens the file, or makes it and the folders that it is in.
    pub(super) fn open(path: &Path, patience: Duration) -> Result<Self, LedgerError> {
        make(path).map_err(|error| unusable(&path.display().to_string(), error.to_string()))?;
        let connection = connect(path, patience)?;
        Ok(Self { path: path.to_owned(), patience, pool: Pool::new(connection, 1) })
    }

    fn failed(&self, error: DbError, what: &'static str) -> LedgerError {
        let location = self.path.display().to_string();
        LedgerError::of(error, location, what, self.patience.as_secs())
    }
}

impl Backend for Sqlite {
    fn transaction<T>(
        &self,
        access: Access,
        what: &'static str,
        work: &mut dyn FnMut(&mut dyn Sql) -> Result<T, Fault>,
    ) -> Result<T, LedgerError> {
        let start = Instant::now();
        let busy = || DbError { kind: DbErrorKind::Busy, cause: "no turn came".to_owned() };
        let mut lent = self.pool.lend(self.patience).ok_or_else(|| self.failed(busy(), what))?;
        let mut connection = match lent.connection.take() {
            Some(connection) => connection,
            None => connect(&self.path, self.patience)?,
        };
        let behavior = match access {
            Access::Read => TransactionBehavior::Deferred,
            Access::Write => TransactionBehavior::Immediate,
        };
        let left = self.patience.saturating_sub(start.elapsed());
        let mut run = |connection: &mut Connection| -> Result<T, Fault> {
            connection.busy_timeout(left).map_err(db_error)?;
            let mut transaction =
                Statements(connection.transaction_with_behavior(behavior).map_err(db_error)?);
            let done = work(&mut transaction)?;
            transaction.0.commit().map_err(db_error)?;
            Ok(done)
        };
        let done = run(&mut connection);
        // A transaction that could not even be rolled back ends with its connection.
        if connection.is_autocommit() {
            lent.connection = Some(connection);
        }
        done.map_err(|fault| match fault {
            Fault::Rule(error) => error,
            Fault::Database(error) => self.failed(error, what),
        })
    }
}

/// Makes an empty file where there is none, for its owner only, and its folders.
fn make(path: &Path) -> io::Result<()> {
    // A process that closes a file loses all of its locks on it, also those of
    // SQLite. So no file that is there is opened here, and nobody of this process
    // goes on to open the new one before it is closed.
    static MAKING: Mutex<()> = Mutex::new(());
    let _guard = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut folders = DirBuilder::new();
    folders.recursive(true);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
        folders.mode(0o700);
        options.mode(0o600);
    }
    folders.create(folder)?;
    match options.open(path) {
        // The name must survive, too.
        Ok(file) => file.sync_all().and_then(|()| File::open(folder)?.sync_all()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// What an SQLite file is.
enum Kind {
    Empty,
    Ledger { version: i64 },
    Other,
}

fn kind(connection: &Connection) -> rusqlite::Result<Kind> {
    let number = |sql| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    let id = number("PRAGMA application_id")?;
    if id == APPLICATION_ID {
        return Ok(Kind::Ledger { version: number("PRAGMA user_version")? });
    }
    let is_empty = id == 0 && number("SELECT COUNT(*) FROM sqlite_schema")? == 0;
    Ok(if is_empty { Kind::Empty } else { Kind::Other })
}

fn connect(path: &Path, patience: Duration) -> Result<Connection, LedgerError> {
    let location = path.display().to_string();
    let failed = |error: rusqlite::Error| match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => LedgerError::NotALedger {
            location: location.clone(),
            cause: "it is not an SQLite file".to_owned(),
        },
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
            unusable(&location, error.to_string())
        }
        _ => LedgerError::of(db_error(error), location.clone(), "open", patience.as_secs()),
    };
    // No URIs: a path is a path.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    // SQLite opens for reading what it cannot open for writing.
    if connection.is_readonly("main").map_err(failed)? {
        return Err(unusable(&location, "it cannot be written".to_owned()));
    }
    connection.busy_timeout(patience).map_err(failed)?;
    // Before anything is changed in a file that may be another program's. In one
    // transaction: between two reads somebody else might make the tables.
    let looking = connection.transaction().map_err(failed)?;
    if let Kind::Other = kind(&looking).map_err(failed)? {
        return Err(another_program(&location));
    }
    looking.finish().map_err(failed)?;
    let mode = switch_to_wal(&connection, patience).map_err(failed)?;
    if mode != "wal" {
        return Err(LedgerError::Open {
            location,
            cause: format!("its journal mode stays {mode:?}"),
            advice: "Put it on a local disk: this file system cannot hold it.",
        });
    }
    for pragma in ["synchronous = FULL", "foreign_keys = ON", "trusted_schema = OFF"] {
        connection.execute_batch(&format!("PRAGMA {pragma}")).map_err(failed)?;
    }
    bring_up(&mut connection, &location, &failed)?;
    Ok(connection)
}

/// Makes the tables, or leads those of an older program to today's.
fn bring_up(
    connection: &mut Connection,
    location: &str,
    failed: &dyn Fn(rusqlite::Error) -> LedgerError,
) -> Result<(), LedgerError> {
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    let from = match kind(&transaction).map_err(failed)? {
        Kind::Empty => 0,
        Kind::Ledger { version } => version,
        Kind::Other => return Err(another_program(location)),
    };
    if from > schema::VERSION {
        let location = location.to_owned();
        return Err(LedgerError::Schema { location, found: from, known: schema::VERSION });
    }
    let mut statements = Statements(transaction);
    if from < schema::VERSION {
        schema::migrate(&mut statements, Dialect::Sqlite, from)
            .map_err(|error| LedgerError::of(error, location.to_owned(), "make its tables", 0))?;
        let versions = format!(
            "PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {}",
            schema::VERSION
        );
        statements.0.execute_batch(&versions).map_err(failed)?;
    }
    statements.0.commit().map_err(failed)
}

fn unusable(location: &str, cause: String) -> LedgerError {
    LedgerError::Open {
        location: location.to_owned(),
        cause,
        advice: "Check the path, its permissions and free space, or give another --ledger.",
    }
}

fn another_program(location: &str) -> LedgerError {
    let cause = "it is another program's SQLite file".to_owned();
    LedgerError::NotALedger { location: location.to_owned(), cause }
}

/// Switches the journal. SQLite asks no busy handler while another process
/// switches it, too.
fn switch_to_wal(connection: &Connection, patience: Duration) -> rusqlite::Result<String> {
    let start = Instant::now();
    loop {
        let switched = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0));
        match switched {
            Err(error) if is_busy(&error) && start.elapsed() < patience => {
                std::thread::sleep(Duration::from_millis(5));
            }
            done => return done,
        }
    }
}

fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

fn db_error(error: rusqlite::Error) -> DbError {
    let kind = match error.sqlite_error_code() {
        _ if is_busy(&error) => DbErrorKind::Busy,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => DbErrorKind::Corrupt,
        _ => DbErrorKind::Other,
    };
    DbError { kind, cause: error.to_string() }
}

struct Statements<'a>(Transaction<'a>);

/// SQLite counts ?1, ?2, …; $1 would be a name.
fn numbered(statement: &str) -> String {
    statement.replace('$', "?")
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
