//! Steps that share transactions, and one among them that fails.

use super::*;
use crate::ledger::error::LedgerError;
use std::sync::mpsc::channel;
use std::thread;

type Step<'a> = Box<dyn Fn(&mut dyn Sql) -> Result<(), Fault> + Send + 'a>;

struct Place {
    folder: tempfile::TempDir,
    writer: Writer,
}

fn place() -> Place {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let connect = move || -> Result<Connection, Fault> {
        let connection = Connection::open(&path).map_err(db_error)?;
        let words = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL";
        connection.execute_batch(words).map_err(db_error)?;
        connection.busy_timeout(Duration::ZERO).map_err(db_error)?;
        Ok(connection)
    };
    let first = connect().unwrap();
    first.execute_batch("CREATE TABLE t (number INTEGER PRIMARY KEY)").unwrap();
    let mut writer = Writer::new(first, Duration::from_secs(60), Box::new(connect));
    // On a machine that is busy with other things every step takes long.
    writer.sharing_max = Duration::MAX;
    Place { folder, writer }
}

fn add(number: i64) -> impl Fn(&mut dyn Sql) -> Result<(), Fault> {
    move |sql| Ok(sql.execute("INSERT INTO t VALUES ($1)", &[number.into()]).map(drop)?)
}

impl Place {
    fn rows(&self) -> Vec<i64> {
        let reader = Connection::open(self.folder.path().join("file")).unwrap();
        let mut select = reader.prepare("SELECT number FROM t ORDER BY number").unwrap();
        let rows = select.query_map([], |row| row.get(0)).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    }

    /// Transactions in the log: the frames that end one have the file's new size.
    fn commits(&self) -> usize {
        const HEADER: usize = 32;
        const FRAME: usize = 24 + 4096;
        let log = std::fs::read(self.folder.path().join("file-wal")).unwrap();
        log[HEADER..].chunks_exact(FRAME).filter(|frame| frame[4..8] != [0; 4]).count()
    }

    /// Runs `first`, and meanwhile lets the others wait for their turn.
    fn together<'a>(
        &'a self,
        first: impl Fn(&mut dyn Sql) -> Result<(), Fault> + Send + 'a,
        others: Vec<Step<'a>>,
    ) -> Vec<thread::Result<Result<(), Fault>>> {
        let (begun, has_begun) = channel();
        let (go_on, may_go_on) = channel::<()>();
        thread::scope(|scope| {
            let mut threads = vec![scope.spawn(move || {
                self.writer.write(&mut |sql| {
                    let _ = begun.send(());
                    let _ = may_go_on.recv();
                    first(sql)
                })
            })];
            has_begun.recv().unwrap();
            let count = others.len() as u32;
            for other in others {
                threads.push(scope.spawn(move || self.writer.write(&mut |sql| other(sql))));
            }
            while self.writer.state().waiting < count {
                thread::yield_now();
            }
            drop(go_on);
            threads.into_iter().map(|thread| thread.join()).collect()
        })
    }
}

fn boxed<'a>(step: impl Fn(&mut dyn Sql) -> Result<(), Fault> + Send + 'a) -> Step<'a> {
    Box::new(step)
}

#[test]
fn steps_that_wait_share_a_commit() {
    let place = place();
    let before = place.commits();
    let others = (1..63).map(|number| boxed(add(number))).collect();
    for done in place.together(add(0), others) {
        done.unwrap().unwrap();
    }
    assert_eq!(place.rows(), (0..63).collect::<Vec<_>>());
    assert_eq!(place.commits() - before, 1);
}

#[test]
fn a_step_returns_only_after_its_commit() {
    let place = place();
    let others = (1..20).map(|number| {
        let place = &place;
        boxed(move |sql| {
            add(number)(sql)?;
            // Nothing of it is seen yet.
            assert!(place.rows().is_empty());
            Ok(())
        })
    });
    for done in place.together(add(0), others.collect()) {
        done.unwrap().unwrap();
    }
    assert_eq!(place.rows().len(), 20);
}

#[test]
fn a_step_that_fails_harms_no_other() {
    let place = place();
    let others = (1..20).map(|number| {
        boxed(move |sql| {
            add(number)(sql)?;
            let cause = || "a rule".to_owned();
            match number {
                5 => Err(LedgerError::Invalid { what: "test", cause: cause() }.into()),
                // A second time: the database's own error.
                6 => add(number)(sql),
                _ => Ok(()),
            }
        })
    });
    let done = place.together(add(0), others.collect());
    let failed: Vec<bool> = done.into_iter().map(|done| done.unwrap().is_err()).collect();
    let expected: Vec<bool> = (0..20).map(|number| matches!(number, 5 | 6)).collect();
    assert_eq!(failed, expected);
    assert_eq!(place.rows(), (0..20).filter(|n| !matches!(n, 5 | 6)).collect::<Vec<_>>());
}

/// As SQLite does when the disk is full.
#[test]
fn a_step_that_breaks_the_transaction_harms_no_other() {
    let place = place();
    let others = (1..20).map(|number| {
        boxed(move |sql| {
            add(number)(sql)?;
            if number == 9 {
                sql.execute("ROLLBACK", &[])?;
                let cause = "made to fail".to_owned();
                return Err(DbError { kind: DbErrorKind::Other, cause }.into());
            }
            Ok(())
        })
    });
    let done = place.together(add(0), others.collect());
    for (number, done) in done.into_iter().enumerate() {
        match (number, done.unwrap()) {
            (9, Err(Fault::Database(error))) => assert_eq!(error.cause, "made to fail"),
            (_, done) => done.unwrap(),
        }
    }
    assert_eq!(place.rows(), (0..20).filter(|n| *n != 9).collect::<Vec<_>>());
}

#[test]
fn a_step_that_panics_harms_no_other() {
    let place = place();
    let others = (1..20).map(|number| {
        boxed(move |sql| {
            add(number)(sql)?;
            assert!(number != 9, "made to panic");
            Ok(())
        })
    });
    let done = place.together(add(0), others.collect());
    for (number, done) in done.into_iter().enumerate() {
        match done {
            Ok(done) => done.unwrap(),
            Err(_) => assert_eq!(number, 9),
        }
    }
    assert_eq!(place.rows(), (0..20).filter(|n| *n != 9).collect::<Vec<_>>());
}

#[test]
fn whoever_holds_the_file_and_does_nothing_is_an_error() {
    let Place { folder, mut writer } = place();
    writer.patience = Duration::from_millis(100);
    let other = Connection::open(folder.path().join("file")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let Err(Fault::Database(error)) = writer.write(&mut add(1)) else { panic!("it wrote") };
    assert_eq!(error.kind, DbErrorKind::Busy);
    other.execute_batch("COMMIT").unwrap();
    writer.write(&mut add(1)).unwrap();
}
