//! A ledger in a PostgreSQL database, for validators on several machines.
//!
//! Guarantees: a transaction that was committed is on the server's disk, as far as
//! the server's own settings go; a step waits a bounded time for others, and is
//! begun again where it was rolled back or its connection was lost before the
//! commit; no message has the password.
//! Deliberately lacks: TLS, and bounds for a server whose process is frozen while
//! its machine still answers.

use super::error::LedgerError;
use super::location::{Location, Server};
use super::pool::Pool;
use super::schema::{self, Dialect};
use super::sql::{Access, Backend, DbError, DbErrorKind, Fault, Row, Sql, Value};
use postgres::error::SqlState;
use postgres::types::private::BytesMut;
use postgres::types::{IsNull, ToSql, Type};
use postgres::{Client, IsolationLevel, NoTls, Transaction};
use std::error::Error;
use std::time::Duration;

/// Connections of one process. Steps of different challenges don't wait for each
/// other; more would only take them from other validators.
const CONNECTIONS_MAX: usize = 8;

/// How often a step is begun that was rolled back or lost its connection.
const ATTEMPTS_MAX: u32 = 4;

/// The lock of whoever makes or migrates the tables: "atst".
const MIGRATION_LOCK: i64 = 0x6174_7374;

/// A ledger on a server.
pub(super) struct Postgres {
    server: Server,
    /// Without password.
    location: String,
    patience: Duration,
    pool: Pool<Client>,
}

impl Postgres {
    /// Connects, and makes the tables where there are none.
    pub(super) fn open(server: &Server, patience: Duration) -> Result<Self, LedgerError> {
        let location = Location::Postgres(server.clone()).to_string();
        let open = |error: DbError| LedgerError::Open {
            location: location.clone(),
            cause: error.cause,
            advice: "Check that the server runs, and the user, password and database.",
        };
        let mut client = connect(server, patience).map_err(open)?;
        warn_of_settings(&mut client, &location).map_err(open)?;
        let mut found = version(&mut client).map_err(open)?;
        if found < schema::VERSION {
            bring_up(&mut client).map_err(open)?;
            found = version(&mut client).map_err(open)?;
        }
        if found > schema::VERSION {
            return Err(LedgerError::Schema { location, found, known: schema::VERSION });
        }
        let pool = Pool::new(client, CONNECTIONS_MAX);
        Ok(Self { server: server.clone(), location, patience, pool })
    }

    fn attempt<T>(
        &self,
        access: Access,
        client: &mut Client,
        work: &mut dyn FnMut(&mut dyn Sql) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let builder = client.build_transaction();
        let builder = match access {
            // Of one moment, though it takes several queries.
            Access::Read => builder.isolation_level(IsolationLevel::RepeatableRead).read_only(true),
            // Each statement sees what was committed while it waited for a lock.
            Access::Write => builder.isolation_level(IsolationLevel::ReadCommitted),
        };
        let mut statements = Statements(builder.start().map_err(db_error)?);
        let done = work(&mut statements)?;
        statements.0.commit().map_err(|error| at_commit(db_error(error)))?;
        Ok(done)
    }
}

impl Backend for Postgres {
    fn transaction<T>(
        &self,
        access: Access,
        what: &'static str,
        work: &mut dyn FnMut(&mut dyn Sql) -> Result<T, Fault>,
    ) -> Result<T, LedgerError> {
        let failed =
            |error| LedgerError::of(error, self.location.clone(), what, self.patience.as_secs());
        let mut lent = self.pool.lend(self.patience).ok_or_else(|| {
            failed(DbError { kind: DbErrorKind::Busy, cause: "no connection was free".to_owned() })
        })?;
        let mut attempts = 0;
        loop {
            attempts += 1;
            let mut client = match lent.connection.take() {
                Some(client) if !client.is_closed() => client,
                _ => connect(&self.server, self.patience).map_err(failed)?,
            };
            let done = self.attempt(access, &mut client, work);
            if !client.is_closed() {
                lent.connection = Some(client);
            }
            match done {
                Ok(done) => return Ok(done),
                Err(Fault::Rule(error)) => return Err(error),
                Err(Fault::Database(error)) => {
                    let again = matches!(error.kind, DbErrorKind::Again | DbErrorKind::Lost);
                    if !again || attempts == ATTEMPTS_MAX {
                        return Err(failed(error));
                    }
                }
            }
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // A client ends its own runtime, which must not happen on a thread of
        // another one.
        let clients = self.pool.drain();
        if let Ok(thread) = std::thread::Builder::new().spawn(move || drop(clients)) {
            let _ = thread.join();
        }
    }
}

fn connect(server: &Server, patience: Duration) -> Result<Client, DbError> {
    let mut config = server.config().clone();
    config
        .connect_timeout(patience)
        .tcp_user_timeout(patience)
        .keepalives_idle(patience / 2)
        .keepalives_interval(Duration::from_secs(1))
        .keepalives_retries(3)
        .application_name("attest");
    let mut client = config.connect(NoTls).map_err(db_error)?;
    let wait_ms = patience.as_millis().max(1);
    client
        .batch_execute(&format!(
            "SET lock_timeout = {wait_ms}; SET statement_timeout = {}; \
             SET idle_in_transaction_session_timeout = 60000; \
             SET client_min_messages = warning; SET search_path TO attest; \
             SELECT set_config('synchronous_commit', 'on', false) \
             WHERE current_setting('synchronous_commit') IN ('off', 'local')",
            wait_ms + 5000
        ))
        .map_err(db_error)?;
    Ok(client)
}

/// What the ledger relies on and cannot set.
fn warn_of_settings(client: &mut Client, location: &str) -> Result<(), DbError> {
    let off = "SELECT name FROM pg_settings \
               WHERE name IN ('fsync', 'full_page_writes') AND setting = 'off'";
    for row in client.query(off, &[]).map_err(db_error)? {
        let name: String = row.try_get(0).map_err(db_error)?;
        tracing::warn!("{location} has {name} = off: a crash of its machine can lose spent nonces");
    }
    Ok(())
}

/// The version of the tables; 0 where there are none.
fn version(client: &mut Client) -> Result<i64, DbError> {
    let exists = "SELECT 1 FROM pg_catalog.pg_tables \
                  WHERE schemaname = 'attest' AND tablename = 'ledger_version'";
    if client.query_opt(exists, &[]).map_err(db_error)?.is_none() {
        return Ok(0);
    }
    let row = client.query_opt("SELECT version FROM attest.ledger_version", &[]);
    row.map_err(db_error)?.map_or(Ok(0), |row| row.try_get(0).map_err(db_error))
}

/// Makes the tables, or leads those of an older program to today's.
fn bring_up(client: &mut Client) -> Result<(), DbError> {
    // Others that open it for the first time wait here.
    let lock = format!("SELECT pg_advisory_lock({MIGRATION_LOCK})");
    client.batch_execute(&lock).map_err(db_error)?;
    let from = version(client)?;
    if from < schema::VERSION {
        let mut statements = Statements(client.transaction().map_err(db_error)?);
        statements.execute("CREATE SCHEMA IF NOT EXISTS attest", &[])?;
        statements
            .execute("CREATE TABLE IF NOT EXISTS ledger_version (version BIGINT NOT NULL)", &[])?;
        schema::migrate(&mut statements, Dialect::Postgres, from)?;
        statements.execute("DELETE FROM ledger_version", &[])?;
        statements.execute("INSERT INTO ledger_version VALUES ($1)", &[schema::VERSION.into()])?;
        statements.0.commit().map_err(db_error)?;
    }
    let unlock = format!("SELECT pg_advisory_unlock({MIGRATION_LOCK})");
    client.batch_execute(&unlock).map_err(db_error)
}

fn db_error(error: postgres::Error) -> DbError {
    let Some(from_server) = error.as_db_error() else {
        let mut cause = error.to_string();
        let mut source = error.source();
        while let Some(deeper) = source {
            // Some errors already print their source.
            let text = deeper.to_string();
            if !cause.contains(&text) {
                cause = format!("{cause}: {text}");
            }
            source = deeper.source();
        }
        let lost =
            error.is_closed() || error.source().is_some_and(|source| source.is::<std::io::Error>());
        let kind = if lost { DbErrorKind::Lost } else { DbErrorKind::Other };
        return DbError { kind, cause };
    };
    let code = from_server.code();
    let kind = match *code {
        SqlState::LOCK_NOT_AVAILABLE | SqlState::QUERY_CANCELED => DbErrorKind::Busy,
        SqlState::T_R_SERIALIZATION_FAILURE | SqlState::T_R_DEADLOCK_DETECTED => DbErrorKind::Again,
        SqlState::ADMIN_SHUTDOWN | SqlState::CRASH_SHUTDOWN | SqlState::CANNOT_CONNECT_NOW => {
            DbErrorKind::Lost
        }
        SqlState::DATA_CORRUPTED | SqlState::INDEX_CORRUPTED => DbErrorKind::Corrupt,
        _ => DbErrorKind::Other,
    };
    DbError { kind, cause: format!("{} ({})", from_server.message(), code.code()) }
}

/// A connection that is lost at the commit leaves it open whether it was made.
fn at_commit(error: DbError) -> DbError {
    match error.kind {
        DbErrorKind::Lost => DbError { kind: DbErrorKind::Unknown, ..error },
        _ => error,
    }
}

impl ToSql for Value {
    fn to_sql(
        &self,
        column: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Integer(integer) => integer.to_sql(column, out),
            Self::Text(text) => text.to_sql(column, out),
            Self::Bytes(bytes) => bytes.to_sql(column, out),
        }
    }

    // A NULL goes into any column; for the others `typed` says what they are.
    fn accepts(_: &Type) -> bool {
        true
    }

    fn to_sql_checked(
        &self,
        column: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        self.to_sql(column, out)
    }
}

/// The values with their types, so that the server need not be asked for them.
fn typed(values: &[Value]) -> Vec<(&(dyn ToSql + Sync), Type)> {
    let typed = |value: &Value| match value {
        Value::Null => Type::UNKNOWN,
        Value::Integer(_) => Type::INT8,
        Value::Text(_) => Type::TEXT,
        Value::Bytes(_) => Type::BYTEA,
    };
    values.iter().map(|value| (value as &(dyn ToSql + Sync), typed(value))).collect()
}

struct Statements<'a>(Transaction<'a>);

impl Sql for Statements<'_> {
    fn row_lock(&self) -> &'static str {
        " FOR UPDATE"
    }

    fn execute(&mut self, statement: &str, values: &[Value]) -> Result<u64, DbError> {
        self.0.execute_typed(statement, &typed(values)).map_err(db_error)
    }

    fn query(&mut self, statement: &str, values: &[Value]) -> Result<Vec<Row>, DbError> {
        let found = self.0.query_typed(statement, &typed(values)).map_err(db_error)?;
        found.iter().map(row).collect()
    }
}

fn row(row: &postgres::Row) -> Result<Row, DbError> {
    let cell = |(at, column): (usize, &postgres::Column)| {
        let value = match *column.type_() {
            Type::INT8 => row.try_get::<_, Option<i64>>(at).map(Value::from),
            Type::TEXT => row.try_get::<_, Option<&str>>(at).map(Value::from),
            Type::BYTEA => row
                .try_get::<_, Option<Vec<u8>>>(at)
                .map(|bytes| bytes.map_or(Value::Null, Value::Bytes)),
            _ => {
                let cause = format!("column {} has type {}", column.name(), column.type_());
                return Err(DbError { kind: DbErrorKind::Other, cause });
            }
        };
        value.map_err(db_error)
    };
    Ok(Row(row.columns().iter().enumerate().map(cell).collect::<Result<_, DbError>>()?))
}
