//! The writer of one process: steps of many threads share its transactions, and so
//! the time that a disk takes to make a commit durable.
//!
//! One connection goes from thread to thread. Whoever has it runs a step in the open
//! transaction, under a savepoint of its own, and hands it on to the next one that
//! waits; the last one commits for all. While a commit is under way others arrive, and
//! make up the next transaction.
//!
//! Guarantees: a step returns after the commit that has it, or that its answer is taken
//! from; one that fails takes back what it did and nothing else; if a shared
//! transaction fails, its steps are run again one by one, so that only the one at fault
//! fails; nobody waits longer than the patience while nothing moves, in this process or
//! another.
//! Deliberately lacks: a thread of its own; SQL beyond transactions.

use super::statements::{Statements, commit_error, db_error, is_busy};
use crate::ledger::pool::left;
use crate::ledger::sql::{DbError, DbErrorKind, Fault, Sql};
use rusqlite::Connection;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Steps that share a commit, and how long the first of them waits for the others.
const SHARED_MAX: u32 = 256;
const SHARING_MAX: Duration = Duration::from_millis(250);

/// Pauses between tries to begin while another process writes.
const TRY_AGAIN_MIN: Duration = Duration::from_millis(1);
const TRY_AGAIN_MAX: Duration = Duration::from_millis(10);

/// Between two transactions this process pauses for a part of the time that the last one
/// took, within which another one may find its turn.
const PAUSE_SHARE: u32 = 20;
const PAUSE_MAX: Duration = Duration::from_millis(5);

/// Makes the connection if there is none.
type Connect = Box<dyn Fn() -> Result<Connection, Fault> + Send + Sync>;

/// The writer.
pub(super) struct Writer {
    connect: Connect,
    patience: Duration,
    sharing_max: Duration,
    state: Mutex<State>,
    /// One of those that wait may have its turn.
    freed: Condvar,
}

struct State {
    /// `None` while somebody has it.
    free: Option<Desk>,
    waiting: u32,
    /// When a step or a commit last succeeded.
    moved: Instant,
}

/// What goes from thread to thread.
#[derive(Default)]
struct Desk {
    connection: Option<Connection>,
    open: Option<Open>,
    /// No sooner is the next transaction begun.
    pause_until: Option<Instant>,
}

/// The transaction that is open.
struct Open {
    group: Arc<Group>,
    since: Instant,
    steps: u32,
}

/// The steps of one transaction, which learn together what became of it.
#[derive(Default)]
struct Group {
    end: Mutex<Option<Result<(), DbError>>>,
    ended: Condvar,
}

impl Group {
    fn end(&self, end: Result<(), DbError>) {
        *self.end.lock().unwrap_or_else(PoisonError::into_inner) = Some(end);
        self.ended.notify_all();
    }

    /// Waits for as long as the disk takes: whoever has the connection ends it.
    fn wait(&self) -> Result<(), DbError> {
        let mut end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match &*end {
                Some(end) => return end.clone(),
                None => end = self.ended.wait(end).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

/// Whether a step shares a transaction with others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sharing {
    Shared,
    Alone,
}

/// What a step has left of its transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transaction {
    /// What it was before, with the step or without it.
    Goes,
    /// Nothing, or nothing that can be relied on.
    Broken,
}

impl Writer {
    pub(super) fn new(first: Connection, patience: Duration, connect: Connect) -> Self {
        let desk = Desk { connection: Some(first), ..Desk::default() };
        let state = State { free: Some(desk), waiting: 0, moved: Instant::now() };
        let (state, freed) = (Mutex::new(state), Condvar::new());
        Self { connect, patience, sharing_max: SHARING_MAX, state, freed }
    }

    // Nothing panics while it holds the state, and the state is whole at any time.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a step and returns when it is durable, or has failed and left nothing.
    pub(super) fn write<T>(
        &self,
        work: &mut dyn FnMut(&mut dyn Sql) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let mut turn = self.turn()?;
        turn.begin(Sharing::Shared)?;
        let (done, transaction) = turn.run(work);
        match turn.end(Sharing::Shared, transaction).wait() {
            Ok(()) => return done,
            Err(_) if transaction == Transaction::Broken => return done,
            Err(error) if error.kind == DbErrorKind::Unknown => return Err(error.into()),
            // Perhaps another step's fault.
            Err(_) => {}
        }
        let mut turn = self.turn()?;
        turn.begin(Sharing::Alone)?;
        let (done, transaction) = turn.run(work);
        match turn.end(Sharing::Alone, transaction).wait() {
            Err(error) if transaction == Transaction::Goes => Err(error.into()),
            _ => done,
        }
    }

    /// Waits for the connection.
    fn turn(&self) -> Result<Turn<'_>, Fault> {
        let arrived = Instant::now();
        let mut state = self.state();
        state.waiting += 1;
        loop {
            // Asked first: nobody leaves a free connection with a transaction open.
            if let Some(desk) = state.free.take() {
                state.waiting -= 1;
                return Ok(Turn { writer: self, desk: Some(desk) });
            }
            let Some(left) = left(self.patience, arrived, state.moved, Instant::now()) else {
                state.waiting -= 1;
                // In case that it was this one that was just told.
                self.freed.notify_one();
                return Err(busy("no turn came").into());
            };
            let waited = self.freed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

fn busy(cause: &str) -> DbError {
    DbError { kind: DbErrorKind::Busy, cause: cause.to_owned() }
}

/// Whoever holds this has the connection.
struct Turn<'a> {
    writer: &'a Writer,
    /// `None` once it was handed on.
    desk: Option<Desk>,
}

impl Turn<'_> {
    fn desk(&mut self) -> &mut Desk {
        self.desk.as_mut().expect("it is handed on at the end")
    }

    /// Makes sure that a transaction is open which the step can join.
    fn begin(&mut self, sharing: Sharing) -> Result<(), Fault> {
        if sharing == Sharing::Alone && self.desk().open.is_some() {
            self.commit();
        }
        let patience = self.writer.patience;
        let desk = self.desk.as_mut().expect("it is handed on at the end");
        if desk.open.is_some() {
            return Ok(());
        }
        let connection = match desk.connection.take() {
            Some(connection) => connection,
            None => (self.writer.connect)()?,
        };
        if let Some(pause) = desk.pause_until.take() {
            std::thread::sleep(pause.saturating_duration_since(Instant::now()));
        }
        let moved = || self.writer.state().moved = Instant::now();
        begin_immediate(desk.connection.insert(connection), patience, &moved)?;
        let group = Arc::default();
        desk.open = Some(Open { group, since: Instant::now(), steps: 0 });
        Ok(())
    }

    /// Runs the step under a savepoint.
    fn run<T>(
        &mut self,
        work: &mut dyn FnMut(&mut dyn Sql) -> Result<T, Fault>,
    ) -> (Result<T, Fault>, Transaction) {
        let desk = self.desk();
        let connection = desk.connection.as_ref().expect("it has begun");
        if let Some(open) = &mut desk.open {
            open.steps += 1;
        }
        let tell = |words| connection.execute_batch(words).map_err(db_error);
        let done = tell("SAVEPOINT step").map_err(Fault::from).and_then(|()| {
            work(&mut Statements(connection)).and_then(|done| Ok((tell("RELEASE step")?, done)))
        });
        match done {
            Ok(((), done)) => (Ok(done), Transaction::Goes),
            // SQLite rolls the whole of it back if the disk is full or fails.
            Err(fault) => match tell("ROLLBACK TO step; RELEASE step") {
                Ok(()) if !connection.is_autocommit() => (Err(fault), Transaction::Goes),
                _ => (Err(fault), Transaction::Broken),
            },
        }
    }

    /// Hands the connection on, or commits if nobody waits for it. Says in which group
    /// the step was.
    fn end(mut self, sharing: Sharing, transaction: Transaction) -> Arc<Group> {
        let desk = self.desk();
        let open = desk.open.as_ref().expect("it has begun");
        let group = Arc::clone(&open.group);
        let is_full = open.steps >= SHARED_MAX || open.since.elapsed() >= self.writer.sharing_max;
        if transaction == Transaction::Broken {
            // As after a panic: what is left of it ends with the connection.
            return group;
        }
        if sharing == Sharing::Shared && !is_full {
            let mut state = self.writer.state();
            if state.waiting > 0 {
                state.moved = Instant::now();
                state.free = self.desk.take();
                drop(state);
                self.writer.freed.notify_one();
                return group;
            }
        }
        self.commit();
        group
    }

    /// Commits for all steps of the transaction.
    fn commit(&mut self) {
        let desk = self.desk();
        let (Some(open), Some(connection)) = (desk.open.take(), &desk.connection) else { return };
        let start = Instant::now();
        let end = connection.execute_batch("COMMIT").map_err(commit_error);
        desk.pause_until = Some(Instant::now() + (start.elapsed() / PAUSE_SHARE).min(PAUSE_MAX));
        if end.is_err() && !connection.is_autocommit() {
            let _ = connection.execute_batch("ROLLBACK");
        }
        if !connection.is_autocommit() {
            desk.connection = None;
        }
        if end.is_ok() {
            self.writer.state().moved = Instant::now();
        }
        open.group.end(end);
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let Some(mut desk) = self.desk.take() else { return };
        if let Some(open) = desk.open.take() {
            // The step broke the transaction or panicked. What is half done ends with the
            // connection.
            desk.connection = None;
            open.group.end(Err(busy("another step of the same transaction failed")));
        }
        self.writer.state().free = Some(desk);
        self.writer.freed.notify_one();
    }
}

/// Begins a transaction that writes, when no other process has one.
fn begin_immediate(
    connection: &Connection,
    patience: Duration,
    others_move: &dyn Fn(),
) -> Result<(), DbError> {
    let begin = || connection.execute_batch("BEGIN IMMEDIATE");
    until_free(connection, patience, others_move, begin).map_err(db_error)
}

/// Tries until no other process is in the way, as long as these make progress.
pub(super) fn until_free<T>(
    connection: &Connection,
    patience: Duration,
    others_move: &dyn Fn(),
    mut work: impl FnMut() -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let arrived = Instant::now();
    // Changes with every commit of another process.
    let version = || -> Option<i64> {
        connection.query_row("PRAGMA data_version", [], |row| row.get(0)).ok()
    };
    let (mut seen, mut moved) = (None, arrived);
    let mut pause = TRY_AGAIN_MIN;
    loop {
        match work() {
            Err(error) if is_busy(&error) => {
                let now = version();
                if now.is_some() && now != seen {
                    if seen.is_some() {
                        moved = Instant::now();
                        others_move();
                    }
                    seen = now;
                }
                if left(patience, arrived, moved, Instant::now()).is_none() {
                    return Err(error);
                }
                std::thread::sleep(pause);
                pause = (pause * 3 / 2).min(TRY_AGAIN_MAX);
            }
            done => return done,
        }
    }
}

#[cfg(test)]
#[path = "writer_tests.rs"]
mod tests;
