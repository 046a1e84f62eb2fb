//! A ledger in an SQLite file.
//!
//! Guarantees: a transaction that was committed survives the loss of power
//! (synchronous = FULL); writers of several processes take turns; readers wait for no
//! writer; the file that is made can be read by its owner only; a file that is
//! something else is left as it is.
//! Deliberately lacks: network file systems, whose locks SQLite cannot rely on.

mod read_only;
mod statements;
mod writer;

pub(super) use read_only::ReadOnly;

use super::error::LedgerError;
use super::pool::Pool;
use super::schema::{self, Dialect};
use super::sql::{Access, Backend, DbError, DbErrorKind, Fault, Sql};
use crate::files;
use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior};
use statements::{Statements, db_error};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use writer::{Writer, until_free};

/// "atst": marks an SQLite file as a ledger.
const APPLICATION_ID: i64 = 0x6174_7374;

/// Connections that read, of one process.
const READERS_MAX: usize = 4;

/// A ledger in a file.
pub(super) struct Sqlite {
    path: PathBuf,
    patience: Duration,
    writer: Writer,
    readers: Pool<Connection>,
}

impl Sqlite {
    /// Opens the file, or makes it and the folders that it is in.
    pub(super) fn open(path: &Path, patience: Duration) -> Result<Self, LedgerError> {
        make(path).map_err(|error| unusable(&path.display().to_string(), error.to_string()))?;
        Self::open_existing(path, patience)
    }

    /// Opens the file that is there.
    pub(super) fn open_existing(path: &Path, patience: Duration) -> Result<Self, LedgerError> {
        // SQLite says best what is wrong with a file that is not there.
        if path.symlink_metadata().is_ok() {
            files::check_ours(path)
                .map_err(|error| unusable(&path.display().to_string(), error.to_string()))?;
        }
        let owned = path.to_owned();
        let connect = move || connect(&owned, patience);
        let first = connect()?;
        let again = Box::new(move || Ok(connect()?));
        let writer = Writer::new(first, patience, again);
        let readers = Pool::new(None, READERS_MAX);
        Ok(Self { path: path.to_owned(), patience, writer, readers })
    }

    fn read<T>(&self, work: &mut dyn FnMut(&mut dyn Sql) -> Result<T, Fault>) -> Result<T, Fault> {
        let no_turn = || DbError { kind: DbErrorKind::Busy, cause: "no turn came".to_owned() };
        let mut lent = self.readers.lend(self.patience).ok_or_else(no_turn)?;
        let connection = match lent.connection.take() {
            Some(connection) => connection,
            None => {
                let connection = connect(&self.path, self.patience)?;
                connection.pragma_update(None, "query_only", true).map_err(db_error)?;
                connection
            }
        };
        let done = read(&connection, self.patience, work);
        // A transaction that could not even be rolled back ends with its connection.
        if connection.is_autocommit() {
            lent.connection = Some(connection);
        }
        done
    }
}

impl Backend for Sqlite {
    fn transaction<T>(
        &self,
        access: Access,
        what: &'static str,
        work: &mut dyn FnMut(&mut dyn Sql) -> Result<T, Fault>,
    ) -> Result<T, LedgerError> {
        let done = match access {
            Access::Read => self.read(work),
            Access::Write => self.writer.write(work),
        };
        done.map_err(|fault| ledger_error(fault, &self.path, what, self.patience))
    }
}

fn ledger_error(fault: Fault, path: &Path, what: &'static str, patience: Duration) -> LedgerError {
    match fault {
        Fault::Rule(error) => error,
        Fault::Database(error) => {
            LedgerError::of(error, path.display().to_string(), what, patience.as_secs())
        }
    }
}

/// Runs `work` on one state of the ledger.
fn read<T>(
    connection: &Connection,
    patience: Duration,
    work: &mut dyn FnMut(&mut dyn Sql) -> Result<T, Fault>,
) -> Result<T, Fault> {
    connection.busy_timeout(patience).map_err(db_error)?;
    let transaction = connection.unchecked_transaction().map_err(db_error)?;
    let done = work(&mut Statements(&transaction))?;
    transaction.finish().map_err(db_error)?;
    Ok(done)
}

/// Makes an empty file if there is none, for its owner only, and its folders.
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

/// An error of opening.
fn open_error(error: rusqlite::Error, location: &str, patience: Duration) -> LedgerError {
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => LedgerError::NotALedger {
            location: location.to_owned(),
            cause: "it is not an SQLite file".to_owned(),
        },
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
            unusable(location, error.to_string())
        }
        _ => LedgerError::of(db_error(error), location.to_owned(), "open", patience.as_secs()),
    }
}

/// A connection that can write.
fn connect(path: &Path, patience: Duration) -> Result<Connection, LedgerError> {
    let location = path.display().to_string();
    let failed = |error| open_error(error, &location, patience);
    // No URIs: a path is a path.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    // SQLite opens for reading what it cannot open for writing.
    if connection.is_readonly("main").map_err(failed)? {
        return Err(unusable(&location, "it cannot be written".to_owned()));
    }
    connection.busy_timeout(Duration::ZERO).map_err(failed)?;
    // Before anything is changed in a file that may be another program's.
    let before = patiently(&connection, patience, look).map_err(failed)?;
    if let Kind::Other = before {
        return Err(another_program(&location));
    }
    let switch = |connection: &Connection| {
        connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))
    };
    let mode: String = patiently(&connection, patience, switch).map_err(failed)?;
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
    bring_up(&connection, &location, patience)?;
    Ok(connection)
}

/// Does it when no other process is in the way.
fn patiently<T>(
    connection: &Connection,
    patience: Duration,
    work: impl Fn(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    until_free(connection, patience, &|| (), || work(connection))
}

/// What the file is. In one transaction: between two reads somebody else might make the
/// tables.
fn look(connection: &Connection) -> rusqlite::Result<Kind> {
    let looking = connection.unchecked_transaction()?;
    let kind = kind(&looking)?;
    looking.finish()?;
    Ok(kind)
}

/// Makes the tables, or leads those of an older program to today's. Whoever finds that
/// another process has done it does not wait for a turn.
fn bring_up(
    connection: &Connection,
    location: &str,
    patience: Duration,
) -> Result<(), LedgerError> {
    let failed = |error| open_error(error, location, patience);
    let begin = || match look(connection)? {
        Kind::Ledger { version } if version >= schema::VERSION => Ok(None),
        _ => Transaction::new_unchecked(connection, TransactionBehavior::Immediate).map(Some),
    };
    let migration = until_free(connection, patience, &|| (), begin);
    let migration = migration.map_err(failed)?;
    let from = match kind(connection).map_err(failed)? {
        Kind::Empty => 0,
        Kind::Ledger { version } => version,
        Kind::Other => return Err(another_program(location)),
    };
    if from > schema::VERSION {
        let location = location.to_owned();
        return Err(LedgerError::Schema { location, found: from, known: schema::VERSION });
    }
    let Some(migration) = migration else { return Ok(()) };
    if from < schema::VERSION {
        schema::migrate(&mut Statements(&migration), Dialect::Sqlite, from)
            .map_err(|error| LedgerError::of(error, location.to_owned(), "make its tables", 0))?;
        let versions = format!(
            "PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {}",
            schema::VERSION
        );
        migration.execute_batch(&versions).map_err(failed)?;
    }
    migration.commit().map_err(failed)
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
