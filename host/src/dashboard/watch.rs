//! A snapshot that is kept fresh while somebody looks.
//!
//! Guarantees: the ledger is read by one at a time, a second after the last time at the
//! soonest, and for a twentieth of the time at most; nobody waits longer than [`WAIT`] for
//! it; a ledger that fails or does not answer is said to be lost until it answers.

use super::snapshot::Snapshot;
use crate::ledger::{Ledger, LedgerError};
use crate::session::clock::unix_ms;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// The shortest time from one reading to the next.
const PAUSE: Duration = Duration::from_secs(1);
/// The pause is at least this many times what the reading took.
const PAUSE_TIMES: u32 = 20;
/// How long a request waits for a reading.
const WAIT: Duration = Duration::from_secs(3);

/// What is known now.
#[derive(Clone, Debug)]
pub(super) struct View {
    pub(super) snapshot: Arc<Snapshot>,
    /// Since then the ledger is lost, ms since 1970, and why.
    pub(super) lost: Option<(u64, String)>,
}

/// Keeps the snapshot.
pub(super) struct Watch {
    ledger: Arc<dyn Ledger>,
    newest: u32,
    view: watch::Sender<View>,
    turn: Mutex<Turn>,
}

/// Whose turn it is to read.
enum Turn {
    /// Somebody's, since then.
    Taken(u64),
    /// Anybody's, from then on.
    From(Instant),
}

impl Watch {
    /// Reads for the first time.
    pub(super) async fn begin(
        ledger: Arc<dyn Ledger>,
        newest: u32,
    ) -> Result<Arc<Self>, LedgerError> {
        let reader = Arc::clone(&ledger);
        let reading = move || Snapshot::default().refreshed(&*reader, newest, unix_ms());
        let snapshot = match tokio::task::spawn_blocking(reading).await {
            Ok(read) => read?,
            Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
        };
        let view = View { snapshot: Arc::new(snapshot), lost: None };
        let turn = Mutex::new(Turn::From(Instant::now() + PAUSE));
        Ok(Arc::new(Self { ledger, newest, view: watch::Sender::new(view), turn }))
    }

    /// What is known now, read again if that is due.
    pub(super) async fn fresh(self: &Arc<Self>) -> View {
        let mut views = self.view.subscribe();
        if self.take_turn() {
            let this = Arc::clone(self);
            tokio::task::spawn_blocking(move || this.read());
        }
        if self.read_since().is_some() {
            // What was published before this call does not count.
            let _ = tokio::time::timeout(WAIT, views.changed()).await;
        }
        let mut view = self.view.borrow().clone();
        if let Some(since) = self.read_since()
            && view.lost.is_none()
            && u128::from(unix_ms().saturating_sub(since)) >= WAIT.as_millis()
        {
            view.lost = Some((since, "it does not answer".to_owned()));
        }
        view
    }

    /// The ledger, for what no snapshot has.
    pub(super) fn ledger(&self) -> Arc<dyn Ledger> {
        Arc::clone(&self.ledger)
    }

    // Nothing panics while it holds the turn.
    fn turn(&self) -> std::sync::MutexGuard<'_, Turn> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_turn(&self) -> bool {
        let mut turn = self.turn();
        let due = matches!(*turn, Turn::From(then) if then <= Instant::now());
        if due {
            *turn = Turn::Taken(unix_ms());
        }
        due
    }

    /// Since when somebody reads.
    fn read_since(&self) -> Option<u64> {
        match *self.turn() {
            Turn::Taken(since) => Some(since),
            Turn::From(_) => None,
        }
    }

    /// Reads, gives the turn back, and publishes what came of it.
    fn read(&self) {
        let turn = Reading { watch: self, begun: Instant::now() };
        let before = self.view.borrow().clone();
        let view = match before.snapshot.refreshed(&*self.ledger, self.newest, unix_ms()) {
            Ok(snapshot) => View { snapshot: Arc::new(snapshot), lost: None },
            Err(error) => {
                let since = before.lost.map_or_else(unix_ms, |(since, _)| since);
                View { snapshot: before.snapshot, lost: Some((since, error.to_string())) }
            }
        };
        drop(turn);
        self.view.send_replace(view);
    }
}

/// A turn that is taken; it is given back however the reading ends.
struct Reading<'a> {
    watch: &'a Watch,
    begun: Instant,
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        let pause = (self.begun.elapsed() * PAUSE_TIMES).max(PAUSE);
        *self.watch.turn() = Turn::From(Instant::now() + pause);
    }
}
