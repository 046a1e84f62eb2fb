//! A ledger in a PostgreSQL database, for validators on several machines.
//!
//! Guarantees: a transaction that was committed is on the server's disk, as far as
//! the server's own settings go; a step waits a bounded time for others, and is
//! begun again if it was rolled back or lost its connection, unless it is known to be
//! committed; all that a transaction relies on is set within it, and statements have
//! no names, so that a pooler may give each transaction another connection; no message
//! has the password.
//! Deliberately lacks: TLS, and bounds for a server whose process is frozen while
//! its machine still answers.

use super::error::LedgerError;
use super::location::{Location, Server};
use super::pool::Pool;
use super::schema::{self, Dialect};
use super::sql::{Access, Backend, DbError, DbErrorKind, Fault, Row, Sql, Value};
use postgres::error::{Severity, SqlState};
use postgres::types::private::BytesMut;
use postgres::types::{IsNull, ToSql, Type};
use postgres::{Client, NoTls, SimpleQueryMessage};
use std::error::Error;
use std::time::{Duration, Instant};

/// Connections of one process. Steps of different challenges don't wait for each
/// other; more would only take them from other validators.
const CONNECTIONS_MAX: usize = 8;

/// How often a step is begun that was rolled back in favour of others.
const ATTEMPTS_MAX: u32 = 10;

/// The longest pause before a step that lost its connection is begun again.
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// The lock of whoever makes or migrates the tables: "atst".
const MIGRATION_LOCK: i64 = 0x6174_7374;

/// A ledger on a server.
pub(super) struct Postgres {
    server: Server,
    /// Without password.
    location: String,
    patience: Duration,
    /// The most that a transaction may do.
    most: Access,
    pool: Pool<Client>,
}

impl Postgres {
    /// Connects, and makes the tables if there are none.
    pub(super) fn open(server: &Server, patience: Duration) -> Result<Self, LedgerError> {
        Self::open_for(Access::Write, server, patience)
    }

    /// Connects to a ledger that is there; every step that writes is an error.
    pub(super) fn open_read_only(server: &Server, patience: Duration) -> Result<Self, LedgerError> {
        Self::open_for(Access::Read, server, patience)
    }

    fn open_for(most: Access, server: &Server, patience: Duration) -> Result<Self, LedgerError> {
        let location = Location::Postgres(server.clone()).to_string();
        let open = |error: DbError| LedgerError::Open {
            location: location.clone(),
            cause: error.cause,
            advice: "Check that the server runs, and the user, password and database.",
        };
        let mut client = connect(server, patience).map_err(open)?;
        begin(&mut client, Access::Read, patience).map_err(open)?;
        warn_of_settings(&mut client, &location).map_err(open)?;
        let mut found = version(&mut client).map_err(open)?;
        client.batch_execute("COMMIT").map_err(|error| open(db_error(error)))?;
        if found < schema::VERSION && most == Access::Read {
            return Err(LedgerError::Open {
                location,
                cause: format!(
                    "it has schema version {found}, not {}, and is only read",
                    schema::VERSION
                ),
                advice: "Check the address; `attest ledger list` brings a ledger up to date.",
            });
        }
        if found < schema::VERSION {
            found = bring_up(&mut client, patience).map_err(open)?;
        }
        if found > schema::VERSION {
            return Err(LedgerError::Schema { location, found, known: schema::VERSION });
        }
        let pool = Pool::new(Some(client), CONNECTIONS_MAX);
        Ok(Self { server: server.clone(), location, patience, most, pool })
    }

    /// Runs the step once, on the connection in `slot` if one is there.
    fn attempt<T>(
        &self,
        access: Access,
        slot: &mut Option<Client>,
        work: &mut dyn FnMut(&mut dyn Sql) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let mut client = match slot.take().filter(|client| !client.is_closed()) {
            Some(client) => client,
            None => connect(&self.server, self.patience)?,
        };
        // What is not put back is closed.
        let number = begin(&mut client, access, self.patience)?;
        let done = match work(&mut Statements(&mut client)) {
            Ok(done) => done,
            Err(fault) => {
                if client.batch_execute("ROLLBACK").is_ok() {
                    *slot = Some(client);
                }
                return Err(fault);
            }
        };
        match client.batch_execute("COMMIT").map_err(db_error) {
            Ok(()) => {
                *slot = Some(client);
                Ok(done)
            }
            Err(error) if error.kind == DbErrorKind::Lost => match number {
                Some(number) => self.look_up(&number, slot, done, error),
                // It has changed nothing.
                None => Err(error.into()),
            },
            Err(error) => Err(error.into()),
        }
    }

    /// Asks what became of a transaction whose connection was lost at its commit, and gives
    /// its answer, `done`, if it was committed. The error is [`DbErrorKind::Lost`] if it was
    /// not.
    fn look_up<T>(
        &self,
        number: &Number,
        slot: &mut Option<Client>,
        done: T,
        error: DbError,
    ) -> Result<T, Fault> {
        let mut pauses = Pauses::new(self.patience);
        loop {
            let asked = connect(&self.server, self.patience).and_then(|mut client| {
                let status = status(&mut client, number)?;
                Ok((client, status))
            });
            match asked {
                Ok((client, status)) => match status.as_deref() {
                    Some("committed") => {
                        *slot = Some(client);
                        return Ok(done);
                    }
                    Some("aborted") => {
                        *slot = Some(client);
                        return Err(error.into());
                    }
                    // Until the server sees that its connection is gone.
                    Some("in progress") if pauses.pause() => {}
                    _ => break,
                },
                Err(away) if away.kind == DbErrorKind::Lost && pauses.pause() => {}
                Err(_) => break,
            }
        }
        Err(DbError { kind: DbErrorKind::Unknown, ..error }.into())
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
        if access == Access::Write && self.most == Access::Read {
            let cause = "it is only read here".to_owned();
            return Err(LedgerError::Invalid { what, cause });
        }
        let mut lent = self.pool.lend(self.patience).ok_or_else(|| {
            failed(DbError { kind: DbErrorKind::Busy, cause: "no connection was free".to_owned() })
        })?;
        let mut pauses = Pauses::new(self.patience);
        let mut attempts = 0;
        loop {
            attempts += 1;
            let error = match self.attempt(access, &mut lent.connection, work) {
                Ok(done) => return Ok(done),
                Err(Fault::Rule(error)) => return Err(error),
                Err(Fault::Database(error)) => error,
            };
            let again = match error.kind {
                DbErrorKind::Again => attempts < ATTEMPTS_MAX,
                DbErrorKind::Lost => pauses.pause(),
                _ => false,
            };
            if !again {
                return Err(failed(error));
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

/// Pauses for a server that is away: none, then longer and longer ones.
struct Pauses {
    patience: Duration,
    start: Instant,
    next: Duration,
}

impl Pauses {
    fn new(patience: Duration) -> Self {
        Self { patience, start: Instant::now(), next: Duration::ZERO }
    }

    /// Pauses; false once the patience is at its end.
    fn pause(&mut self) -> bool {
        let Some(left) = self.patience.checked_sub(self.start.elapsed()) else { return false };
        std::thread::sleep(self.next.min(left));
        self.next = (self.next * 2).clamp(Duration::from_millis(20), PAUSE_MAX);
        true
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
    config.connect(NoTls).map_err(db_error)
}

/// The number under which a server knows later what became of a transaction.
struct Number {
    id: i64,
    /// The server's [`LIFE`] when it gave the number. One that crashes gives numbers again of
    /// which nothing had reached its disk.
    life: String,
}

/// What is another after each crash of a server: when it started; and, since its processes can
/// begin anew below the same postmaster, when its counts were set to 0, as that does.
const LIFE: &str = "extract(epoch FROM pg_postmaster_start_time())::text || ' ' || \
     coalesce((SELECT extract(epoch FROM stats_reset) FROM pg_stat_bgwriter)::text, '')";

/// Begins a transaction with its settings, in one message. A transaction that writes has a
/// number.
fn begin(
    client: &mut Client,
    access: Access,
    patience: Duration,
) -> Result<Option<Number>, DbError> {
    let mode = match access {
        // Of one moment, though it takes several queries.
        Access::Read => "REPEATABLE READ READ ONLY",
        // Each statement sees what was committed while it waited for a lock.
        Access::Write => "READ COMMITTED",
    };
    let wait_ms = patience.as_millis().max(1);
    let mut words = format!(
        "START TRANSACTION ISOLATION LEVEL {mode}; \
         SET LOCAL lock_timeout = {wait_ms}; SET LOCAL statement_timeout = {}; \
         SET LOCAL idle_in_transaction_session_timeout = 60000; \
         SET LOCAL client_min_messages = warning; SET LOCAL search_path TO attest",
        wait_ms + 5000
    );
    if access == Access::Read {
        client.batch_execute(&words).map_err(db_error)?;
        return Ok(None);
    }
    words += "; SELECT set_config('synchronous_commit', 'on', true) \
              WHERE current_setting('synchronous_commit') IN ('off', 'local'); \
              SELECT txid_current(), ";
    words += LIFE;
    let answers = client.simple_query(&words).map_err(db_error)?;
    let number = answers.iter().rev().find_map(|answer| match answer {
        SimpleQueryMessage::Row(row) => {
            Some(Number { id: row.get(0)?.parse().ok()?, life: row.get(1)?.to_owned() })
        }
        _ => None,
    });
    Ok(number)
}

/// What became of a transaction: "committed", "aborted", "in progress"; `None` if nobody can
/// know, also if one of this number was committed by a server that has crashed or started
/// since.
fn status(client: &mut Client, number: &Number) -> Result<Option<String>, DbError> {
    let asked = format!("SELECT txid_status($1), {LIFE}");
    let row = client.query_typed_opt(&asked, &typed(&[number.id.into()])).map_err(db_error)?;
    let Some(row) = row else { return Ok(None) };
    let status: Option<String> = row.try_get(0).map_err(db_error)?;
    let life: String = row.try_get(1).map_err(db_error)?;
    Ok(status.filter(|status| status != "committed" || life == number.life))
}

/// What the ledger relies on and cannot set.
fn warn_of_settings(client: &mut Client, location: &str) -> Result<(), DbError> {
    let off = "SELECT name FROM pg_settings \
               WHERE name IN ('fsync', 'full_page_writes') AND setting = 'off'";
    for row in client.query_typed(off, &[]).map_err(db_error)? {
        let name: String = row.try_get(0).map_err(db_error)?;
        tracing::warn!("{location} has {name} = off: a crash of its machine can lose spent nonces");
    }
    Ok(())
}

/// The version of the tables; 0 if there are none.
fn version(client: &mut Client) -> Result<i64, DbError> {
    let exists = "SELECT 1 FROM pg_catalog.pg_tables \
                  WHERE schemaname = 'attest' AND tablename = 'ledger_version'";
    if client.query_typed_opt(exists, &[]).map_err(db_error)?.is_none() {
        return Ok(0);
    }
    let row = client.query_typed_opt("SELECT version FROM attest.ledger_version", &[]);
    row.map_err(db_error)?.map_or(Ok(0), |row| row.try_get(0).map_err(db_error))
}

/// Makes the tables, or leads those of an older program to today's. Says which version
/// they have then.
fn bring_up(client: &mut Client, patience: Duration) -> Result<i64, DbError> {
    begin(client, Access::Write, patience)?;
    // Others that open it for the first time wait here, and then see the tables.
    let lock = format!("SELECT pg_advisory_xact_lock({MIGRATION_LOCK})");
    client.batch_execute(&lock).map_err(db_error)?;
    let from = version(client)?;
    if from < schema::VERSION {
        let mut statements = Statements(client);
        statements.execute("CREATE SCHEMA IF NOT EXISTS attest", &[])?;
        statements
            .execute("CREATE TABLE IF NOT EXISTS ledger_version (version BIGINT NOT NULL)", &[])?;
        schema::migrate(&mut statements, Dialect::Postgres, from)?;
        statements.execute("DELETE FROM ledger_version", &[])?;
        statements.execute("INSERT INTO ledger_version VALUES ($1)", &[schema::VERSION.into()])?;
    }
    client.batch_execute("COMMIT").map_err(db_error)?;
    Ok(from.max(schema::VERSION))
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
        _ if ends_the_connection(from_server) => DbErrorKind::Lost,
        SqlState::LOCK_NOT_AVAILABLE | SqlState::QUERY_CANCELED => DbErrorKind::Busy,
        SqlState::T_R_SERIALIZATION_FAILURE | SqlState::T_R_DEADLOCK_DETECTED => DbErrorKind::Again,
        SqlState::DATA_CORRUPTED | SqlState::INDEX_CORRUPTED => DbErrorKind::Corrupt,
        _ => DbErrorKind::Other,
    };
    DbError { kind, cause: format!("{} ({})", from_server.message(), code.code()) }
}

/// Whether the server has ended the connection, for a reason that another one need not
/// meet: a shutdown, a timeout, too many connections. Not if it lets nobody in.
fn ends_the_connection(error: &postgres::error::DbError) -> bool {
    let is_fatal = match error.parsed_severity() {
        Some(severity) => matches!(severity, Severity::Fatal | Severity::Panic),
        // A pooler's own errors.
        None => matches!(error.severity(), "FATAL" | "PANIC"),
    };
    // Invalid authorization, no such database, no right to connect.
    let is_refusal = ["28", "3D", "42"].iter().any(|class| error.code().code().starts_with(class));
    is_fatal && !is_refusal
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

/// The statements of the transaction that is open on a connection. They have no names:
/// the next transaction may be on another connection.
struct Statements<'a>(&'a mut Client);

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
