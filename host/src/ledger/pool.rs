//! Connections lent to one caller at a time, up to a fixed number at once.
//!
//! Guarantees: nobody waits longer than it said while none comes back; a connection
//! that its borrower drops is not lent again.
//! Deliberately lacks: opening. The borrower of an empty slot does that.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The connections.
pub(super) struct Pool<C> {
    state: Mutex<State<C>>,
    freed: Condvar,
    limit: usize,
}

struct State<C> {
    idle: Vec<C>,
    lent: usize,
    /// When a slot last became free.
    returned: Instant,
}

/// A slot: with a connection, or free to take one.
pub(super) struct Lent<'a, C> {
    pool: &'a Pool<C>,
    /// Goes back into the pool, unless it is taken out.
    pub(super) connection: Option<C>,
}

/// However much moves ahead of it, nobody waits longer than this multiple of the
/// patience: 5 min by default.
const PATIENCE_TIMES_MAX: u32 = 30;

/// How much longer than `now` to wait for a turn, if one ended last at `moved`: a queue
/// that moves is worth waiting in. `None`: no longer.
pub(super) fn left(
    patience: Duration,
    arrived: Instant,
    moved: Instant,
    now: Instant,
) -> Option<Duration> {
    let still = patience.checked_sub(now.saturating_duration_since(moved.max(arrived)))?;
    let at_most = patience.saturating_mul(PATIENCE_TIMES_MAX);
    let at_most = at_most.checked_sub(now.saturating_duration_since(arrived))?;
    Some(still.min(at_most)).filter(|left| !left.is_zero())
}

impl<C> Pool<C> {
    /// A pool with a first connection or none.
    pub(super) fn new(first: Option<C>, limit: usize) -> Self {
        let state = State { idle: Vec::from_iter(first), lent: 0, returned: Instant::now() };
        let state = Mutex::new(state);
        Self { state, freed: Condvar::new(), limit }
    }

    // Nothing panics while it holds the state, and the state is whole at any time.
    fn state(&self) -> MutexGuard<'_, State<C>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A slot, or `None` after waiting for `patience` while none came back, or for
    /// [`PATIENCE_TIMES_MAX`] times that.
    pub(super) fn lend(&self, patience: Duration) -> Option<Lent<'_, C>> {
        let start = Instant::now();
        let mut state = self.state();
        while state.lent >= self.limit {
            let left = left(patience, start, state.returned, Instant::now())?;
            let waited = self.freed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        state.lent += 1;
        let connection = state.idle.pop();
        Some(Lent { pool: self, connection })
    }

    /// Takes the connections that nobody has.
    pub(super) fn drain(&self) -> Vec<C> {
        std::mem::take(&mut self.state().idle)
    }
}

impl<C> Drop for Lent<'_, C> {
    fn drop(&mut self) {
        let mut state = self.pool.state();
        state.lent -= 1;
        state.returned = Instant::now();
        state.idle.extend(self.connection.take());
        drop(state);
        self.pool.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_lent_once_and_comes_back() {
        let pool = Pool::new(Some('a'), 1);
        let lent = pool.lend(Duration::ZERO).unwrap();
        assert_eq!(lent.connection, Some('a'));
        assert!(pool.lend(Duration::from_millis(5)).is_none());
        drop(lent);
        let mut lent = pool.lend(Duration::ZERO).unwrap();
        lent.connection = None;
        drop(lent);
        assert_eq!(pool.lend(Duration::ZERO).unwrap().connection, None);
        assert!(pool.drain().is_empty());
    }

    #[test]
    fn a_queue_that_moves_is_worth_waiting_in() {
        let (patience, arrived) = (Duration::from_secs(10), Instant::now());
        let at = |s| arrived + Duration::from_secs(s);
        let left = |moved, now| left(patience, arrived, at(moved), at(now)).map(|d| d.as_secs());
        assert_eq!(left(0, 9), Some(1));
        assert_eq!(left(0, 10), None);
        assert_eq!(left(9, 10), Some(9));
        assert_eq!(left(100, 109), Some(1));
        assert_eq!(left(100, 110), None);
        // Nor for ever.
        assert_eq!(left(298, 299), Some(1));
        assert_eq!(left(299, 300), None);
    }

    #[test]
    fn whoever_waits_is_served() {
        let pool = Pool::new(None::<()>, 2);
        let served = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    let lent = pool.lend(Duration::from_secs(60)).unwrap();
                    served.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    drop(lent);
                });
            }
        });
        assert_eq!(served.into_inner(), 16);
    }
}
