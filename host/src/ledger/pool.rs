//! Connections lent to one caller at a time, at most so many at once.
//!
//! Guarantees: nobody waits longer than it said; a connection that its borrower
//! drops is not lent again.
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
}

/// A slot: with a connection, or free to take one.
pub(super) struct Lent<'a, C> {
    pool: &'a Pool<C>,
    /// Goes back into the pool, unless it is taken out.
    pub(super) connection: Option<C>,
}

impl<C> Pool<C> {
    /// A pool with this first connection.
    pub(super) fn new(first: C, limit: usize) -> Self {
        let state = Mutex::new(State { idle: vec![first], lent: 0 });
        Self { state, freed: Condvar::new(), limit }
    }

    // Nothing panics while it holds the state, and the state is whole at any time.
    fn state(&self) -> MutexGuard<'_, State<C>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A slot, or `None` after waiting for `patience`.
    pub(super) fn lend(&self, patience: Duration) -> Option<Lent<'_, C>> {
        let start = Instant::now();
        let mut state = self.state();
        while state.lent >= self.limit {
            let left = patience.checked_sub(start.elapsed())?;
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
        let pool = Pool::new('a', 1);
        let lent = pool.lend(Duration::ZERO).unwrap();
        assert_eq!(lent.connection, Some('a'));
        assert!(pool.lend(Duration::from_millis(5)).is_none());
        drop(lent);
        let mut lent = pool.lend(Duration::ZERO).unwrap();
        lent.connection = None;
        drop(lent);
        assert_eq!(pool.lend(Duration::ZERO).unwrap().connection, None);
        assert_eq!(pool.drain(), []);
    }

    #[test]
    fn whoever_waits_is_served() {
        let pool = Pool::new((), 2);
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
