//! Where the lanes meet: at sync points each brings its root, and all leave with
//! X(i); at the start and the end they only wait for each other.

use crate::protocol::chain;
use crate::protocol::digest::Digest;
use crate::protocol::names::Root;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// When a lane came to a barrier and when it left, in nanoseconds since the
/// common start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BarrierTimes {
    /// i, the last iteration before it.
    pub iteration: u32,
    /// When the lane had its root, or was ready.
    pub arrived_ns: u64,
    /// When it had X(i), or knew that all were there.
    pub released_ns: u64,
}

/// What a barrier releases its lanes with.
#[derive(Clone, Copy)]
pub(super) struct Outcome {
    /// X(i).
    pub(super) digest: Digest,
    /// Whether this sync point is kept.
    pub(super) keep: bool,
}

/// A barrier that computes.
pub(super) struct Barrier {
    challenge: Digest,
    round: Mutex<Round>,
    changed: Condvar,
}

struct Round {
    /// How often it has opened.
    number: u64,
    arrived: usize,
    roots: Vec<Root>,
    /// Of the last time. It stays until every lane has come to the next, so
    /// until every lane has read it.
    outcome: Outcome,
    aborted: bool,
}

impl Barrier {
    pub(super) fn new(challenge: Digest, lanes: usize) -> Self {
        let round = Round {
            number: 0,
            arrived: 0,
            roots: vec![Root::default(); lanes],
            outcome: Outcome { digest: Digest::default(), keep: false },
            aborted: false,
        };
        Self { challenge, round: Mutex::new(round), changed: Condvar::new() }
    }

    /// Brings D(g,i) and waits for everybody's; `None` if the run ends. The last
    /// to come asks `keep` whether this sync point is kept.
    pub(super) fn meet(
        &self,
        lane: usize,
        iteration: u32,
        root: Root,
        keep: impl FnOnce() -> bool,
    ) -> Option<Outcome> {
        let mut round = self.lock();
        round.roots[lane] = root;
        round.arrived += 1;
        if round.arrived == round.roots.len() && !round.aborted {
            let digest = chain::sync_digest(&self.challenge, iteration, &round.roots);
            round.outcome = Outcome { digest, keep: keep() };
            round.arrived = 0;
            round.number += 1;
            self.changed.notify_all();
            return Some(round.outcome);
        }
        let number = round.number;
        let round = self
            .changed
            .wait_while(round, |round| round.number == number && !round.aborted)
            .unwrap_or_else(PoisonError::into_inner);
        (round.number != number).then_some(round.outcome)
    }

    /// Sends everybody home.
    pub(super) fn abort(&self) {
        self.lock().aborted = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Round> {
        self.round.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
