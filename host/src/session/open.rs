//! Challenges that are on record and not settled, and their settling if nobody is
//! left who would.
//!
//! Guarantees: an [`OpenChallenge`] that is dropped before it was said to be settled is
//! settled as rejected (`abandoned`), by a thread of its own: its nonce is spent, and
//! nobody answers it any more.
//! Deliberately lacks: a second try if the ledger fails.

use super::fault::{Fault, FaultCode};
use crate::ledger::{Ledger, LedgerError, SettledAs, Settlement};
use crate::protocol::challenge::Challenge;
use crate::protocol::digest::Digest;
use crate::protocol::signature::EncodedKey;
use crate::protocol::verdict::{Outcome, Verdict};
use crate::session::clock::unix_ms;
use crate::session::validator::verdict_of;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

/// The threads that settle what was dropped, of one validator.
#[derive(Default)]
pub(super) struct OpenChallenges {
    settling: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

/// A challenge that is on record, until it is settled.
pub(super) struct OpenChallenge {
    /// What is to be settled; `None` once it is.
    left: Option<Left>,
    settling: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

struct Left {
    ledger: Arc<dyn Ledger>,
    challenge: Digest,
    miner_id: Option<EncodedKey>,
}

impl OpenChallenges {
    /// A challenge that was put on record.
    pub(super) fn of(&self, ledger: &Arc<dyn Ledger>, challenge: &Challenge) -> OpenChallenge {
        let (ledger, miner_id) = (Arc::clone(ledger), challenge.spec().miner_id);
        let left = Some(Left { ledger, challenge: challenge.digest(), miner_id });
        OpenChallenge { left, settling: Arc::clone(&self.settling) }
    }

    /// Waits for the threads.
    pub(super) fn wait(&self) {
        loop {
            let settling = self.settling.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Some(settling) = settling else { return };
            // What a panic there leaves open stays open until it expires.
            let _ = settling.join();
        }
    }
}

impl Drop for OpenChallenges {
    fn drop(&mut self) {
        self.wait();
    }
}

impl OpenChallenge {
    /// It is settled, or not this session's to settle.
    pub(super) fn release(mut self) {
        self.left = None;
    }
}

impl Drop for OpenChallenge {
    fn drop(&mut self) {
        let Some(left) = self.left.take() else { return };
        // Not if a future is dropped: the ledger blocks, and the runtime may be gone.
        let mut settling = self.settling.lock().unwrap_or_else(PoisonError::into_inner);
        settling.retain(|thread| !thread.is_finished());
        let name = "attest-settle".to_owned();
        match thread::Builder::new().name(name).spawn(move || left.settle()) {
            Ok(thread) => settling.push(thread),
            Err(error) => tracing::warn!("no thread to settle a session that ended: {error}"),
        }
    }
}

impl Left {
    fn settle(self) {
        if let Err(error) = abandon(&*self.ledger, &self.challenge, self.miner_id) {
            tracing::warn!("challenge {} is not settled: {error}", self.challenge);
        }
    }
}

/// Settles a challenge whose session nobody holds any more, as rejected (`abandoned`). It
/// blocks.
///
/// # Errors
/// [`LedgerError`]; that it is settled otherwise is one.
pub fn abandon(
    ledger: &dyn Ledger,
    challenge: &Digest,
    miner_id: Option<EncodedKey>,
) -> Result<(), LedgerError> {
    let detail = "the validator's session ended before its verdict";
    let mut verdict = verdict_of(&Fault::new(FaultCode::Abandoned, detail));
    verdict.challenge_digest = Some(*challenge);
    ledger.settle(challenge, &settlement_of(&verdict, miner_id))
}

/// A verdict as the ledger keeps it.
pub(super) fn settlement_of(verdict: &Verdict, miner: Option<EncodedKey>) -> Settlement {
    let outcome = match verdict.outcome {
        Outcome::Verified => SettledAs::Verified,
        // The machine has no could-not-run settled as such.
        Outcome::Rejected | Outcome::CouldNotRun => SettledAs::Rejected,
    };
    Settlement {
        outcome,
        code: verdict.code.map(str::to_owned),
        verdict_json: serde_json::to_string(verdict).expect("a verdict has string keys"),
        miner,
        settled_unix_ms: unix_ms(),
    }
}
