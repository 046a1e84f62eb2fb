//! A ledger's file that cannot be written: on a read-only file system, or for want of
//! the right.
//!
//! While a validator has the ledger open, the shared memory beside the file (-shm) says
//! what of the log (-wal) counts, and can be read, too. Without it nobody writes; the
//! file is then read as it is, or, if there is a log beside it, both are copied to a
//! private folder, where SQLite can merge them. Either way an answer counts only if
//! nothing changed meanwhile.
//!
//! Guarantees: nothing beside the file is made or changed; what was committed is seen.
//! Deliberately lacks: migrations.

use super::{Kind, another_program, kind, ledger_error, open_error, unusable};
use crate::ledger::error::LedgerError;
use crate::ledger::schema;
use crate::ledger::sql::{Access, Backend, DbError, DbErrorKind, Fault, Sql};
use rusqlite::{Connection, OpenFlags};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How often an answer is asked for again that a writer has changed meanwhile.
const TRIES_MAX: u32 = 5;

/// A ledger that is only read.
pub(in crate::ledger) struct ReadOnly {
    path: PathBuf,
    patience: Duration,
    opened: Mutex<Option<Opened>>,
}

/// A way to read it.
struct Opened {
    connection: Connection,
    /// How the files were: an answer counts if they still are.
    stamp: Stamp,
    access: Sharing,
    /// What is read instead, until this is dropped.
    _copy: Option<tempfile::TempDir>,
}

/// Who sees to it that an answer is of one state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sharing {
    /// SQLite's locks, as long as the file is the same.
    Live,
    /// Nobody: the files must not change meanwhile.
    Unshared,
}

impl Opened {
    /// Whether what was read is what is at `path`.
    fn is_current(&self, path: &Path) -> bool {
        let Ok(now) = Stamp::of(path) else { return false };
        match self.access {
            Sharing::Live => now.file.inode == self.stamp.file.inode,
            Sharing::Unshared => now == self.stamp,
        }
    }
}

impl ReadOnly {
    /// Opens the file that is there.
    pub(in crate::ledger) fn open(path: &Path, patience: Duration) -> Result<Self, LedgerError> {
        let ledger = Self { path: path.to_owned(), patience, opened: Mutex::new(None) };
        ledger.transaction(Access::Read, "open", &mut |_| Ok(()))?;
        Ok(ledger)
    }
}

impl Backend for ReadOnly {
    fn transaction<T>(
        &self,
        access: Access,
        what: &'static str,
        work: &mut dyn FnMut(&mut dyn Sql) -> Result<T, Fault>,
    ) -> Result<T, LedgerError> {
        if access == Access::Write {
            return Err(unusable(&self.path.display().to_string(), "it cannot be written".into()));
        }
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..TRIES_MAX {
            let reading = match opened.take() {
                Some(reading) => reading,
                None => open(&self.path, self.patience)?,
            };
            let done = super::read(&reading.connection, self.patience, work);
            if !reading.is_current(&self.path) {
                continue;
            }
            *opened = Some(reading);
            return done.map_err(|fault| ledger_error(fault, &self.path, what, self.patience));
        }
        let changed = "it was changed each time while it was read".to_owned();
        let error = DbError { kind: DbErrorKind::Busy, cause: changed };
        Err(ledger_error(error.into(), &self.path, what, self.patience))
    }
}

fn open(path: &Path, patience: Duration) -> Result<Opened, LedgerError> {
    let location = path.display().to_string();
    let failed = |error: io::Error| unusable(&location, error.to_string());
    let only_read = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let stamp = Stamp::of(path).map_err(failed)?;
    // Without the shared memory SQLite would make it, if it may.
    if stamp.memory.is_some()
        && let Ok(connection) = open_live(path, only_read, patience)
    {
        let connection = checked(connection, &location, patience)?;
        return Ok(Opened { connection, stamp, access: Sharing::Live, _copy: None });
    }
    let sqlite_failed = |error| open_error(error, &location, patience);
    let (connection, copy) = if stamp.has_log() {
        let copy = copy(path).map_err(failed)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let file = copy.path().join("ledger");
        (Connection::open_with_flags(file, flags).map_err(sqlite_failed)?, Some(copy))
    } else {
        let flags = only_read | OpenFlags::SQLITE_OPEN_URI;
        (Connection::open_with_flags(immutable(path), flags).map_err(sqlite_failed)?, None)
    };
    let connection = checked(connection, &location, patience)?;
    Ok(Opened { connection, stamp, access: Sharing::Unshared, _copy: copy })
}

/// A connection that sees what a validator writes meanwhile.
fn open_live(path: &Path, flags: OpenFlags, patience: Duration) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(patience)?;
    connection.query_row("SELECT COUNT(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))?;
    Ok(connection)
}

/// The connection, if it is one to a ledger of today's version.
fn checked(
    connection: Connection,
    location: &str,
    patience: Duration,
) -> Result<Connection, LedgerError> {
    let failed = |error| open_error(error, location, patience);
    let found = match kind(&connection).map_err(failed)? {
        Kind::Ledger { version } => version,
        Kind::Empty | Kind::Other => return Err(another_program(location)),
    };
    match found {
        schema::VERSION => Ok(connection),
        newer if newer > schema::VERSION => Err(LedgerError::Schema {
            location: location.to_owned(),
            found,
            known: schema::VERSION,
        }),
        _ => Err(LedgerError::Open {
            location: location.to_owned(),
            cause: format!(
                "it has schema version {found}, not {}, and is only read",
                schema::VERSION
            ),
            advice: "`attest ledger list` brings it up to date, if it can write it: else copy it, with the -wal beside it, to a folder that can be written.",
        }),
    }
}

/// A private copy of the file and its log.
fn copy(path: &Path) -> io::Result<tempfile::TempDir> {
    let folder = tempfile::Builder::new()
        .prefix("attest-ledger-")
        .permissions(Permissions::from_mode(0o700))
        .tempdir()?;
    let to = folder.path().join("ledger");
    for (from, to) in [(path.to_owned(), to.clone()), (beside(path, "-wal"), beside(&to, "-wal"))] {
        fs::copy(from, &to)?;
        fs::set_permissions(&to, Permissions::from_mode(0o600))?;
    }
    Ok(folder)
}

/// SQLite's name for a file that nobody changes: it is read without locks.
fn immutable(path: &Path) -> String {
    let mut uri = "file:".to_owned();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => {
                uri.push(char::from(*byte));
            }
            byte => {
                let _ = write!(uri, "%{byte:02X}");
            }
        }
    }
    uri + "?immutable=1"
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// What changes with each change of the files.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    file: FileStamp,
    log: Option<FileStamp>,
    memory: Option<FileStamp>,
}

#[derive(Debug, PartialEq, Eq)]
struct FileStamp {
    inode: u64,
    length: u64,
    modified: (i64, i64),
}

impl Stamp {
    fn of(path: &Path) -> io::Result<Self> {
        let stamp = |path: &Path| match fs::metadata(path) {
            Ok(metadata) => Ok(Some(FileStamp {
                inode: metadata.ino(),
                length: metadata.len(),
                modified: (metadata.mtime(), metadata.mtime_nsec()),
            })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        };
        Ok(Self {
            file: stamp(path)?.ok_or(io::ErrorKind::NotFound)?,
            log: stamp(&beside(path, "-wal"))?,
            memory: stamp(&beside(path, "-shm"))?,
        })
    }

    fn has_log(&self) -> bool {
        self.log.as_ref().is_some_and(|log| log.length > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Sqlite;
    use super::*;
    use crate::ledger::sql::Value;

    const PATIENCE: Duration = Duration::from_secs(10);

    fn add(ledger: &Sqlite, byte: u8) {
        let add = "INSERT INTO devices (uuid, first_seen) VALUES ($1, 1)";
        let values = [Value::Bytes(vec![byte; 16])];
        let work = &mut |sql: &mut dyn Sql| Ok(sql.execute(add, &values).map(drop)?);
        ledger.transaction(Access::Write, "test", work).unwrap();
    }

    fn count(ledger: &ReadOnly) -> Result<u64, LedgerError> {
        ledger.transaction(Access::Read, "test", &mut |sql| {
            Ok(sql.query("SELECT COUNT(*) FROM devices", &[])?[0].count(0)?)
        })
    }

    fn names(folder: &Path) -> Vec<OsString> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    }

    #[test]
    fn what_nobody_writes_is_read_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a?b #%.sqlite");
        let ledger = Sqlite::open(&path, PATIENCE).unwrap();
        add(&ledger, 1);
        drop(ledger);
        let before = names(folder.path());
        let reader = ReadOnly::open(&path, PATIENCE).unwrap();
        assert_eq!(count(&reader).unwrap(), 1);
        assert_eq!(names(folder.path()), before, "nothing is made beside it");
        let write = reader.transaction(Access::Write, "test", &mut |_| Ok(()));
        assert!(write.unwrap_err().to_string().contains("cannot be written"));
        // A writer that comes is seen, and so is its end.
        let ledger = Sqlite::open(&path, PATIENCE).unwrap();
        add(&ledger, 2);
        assert_eq!(count(&reader).unwrap(), 2);
        add(&ledger, 3);
        assert_eq!(count(&reader).unwrap(), 3);
    }

    /// Files of a validator that was killed, or that were copied while it ran: the log
    /// has what the file lacks.
    #[test]
    fn what_is_in_the_log_counts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.sqlite");
        let ledger = Sqlite::open(&path, PATIENCE).unwrap();
        add(&ledger, 1);
        add(&ledger, 2);
        let copied = tempfile::tempdir().unwrap();
        let copy = copied.path().join("ledger.sqlite");
        fs::copy(&path, &copy).unwrap();
        fs::copy(beside(&path, "-wal"), beside(&copy, "-wal")).unwrap();
        let before = names(copied.path());
        let reader = ReadOnly::open(&copy, PATIENCE).unwrap();
        assert_eq!(count(&reader).unwrap(), 2);
        assert_eq!(names(copied.path()), before, "nothing is made beside it");
        let private = reader
            .opened
            .lock()
            .unwrap()
            .as_ref()
            .unwrap()
            ._copy
            .as_ref()
            .unwrap()
            .path()
            .to_owned();
        assert_eq!(fs::metadata(&private).unwrap().mode() & 0o777, 0o700);
        drop(reader);
        assert!(!private.exists());
    }

    #[test]
    fn what_is_no_ledger_of_today_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.sqlite");
        let refusal = || ReadOnly::open(&path, PATIENCE).err().expect("it opened").to_string();
        assert!(refusal().contains("cannot open"), "{}", refusal());
        fs::write(&path, "certainly not a database, though it is longer than a header").unwrap();
        assert!(refusal().contains("not an SQLite file"), "{}", refusal());
        fs::remove_file(&path).unwrap();
        drop(Sqlite::open(&path, PATIENCE).unwrap());
        let set = |version: i64| {
            let file = Connection::open(&path).unwrap();
            file.pragma_update(None, "user_version", version).unwrap();
        };
        set(99);
        assert!(refusal().contains("schema version 99"), "{}", refusal());
        set(1);
        assert!(refusal().contains("schema version 1, not "), "{}", refusal());
    }

    #[test]
    fn any_path_becomes_an_address() {
        let address = immutable(Path::new("/a b/c?d#e%f.sqlite"));
        assert_eq!(address, "file:/a%20b/c%3Fd%23e%25f.sqlite?immutable=1");
        assert_eq!(immutable(Path::new("é")), "file:%C3%A9?immutable=1");
    }
}
