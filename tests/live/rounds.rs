//! Sessions of several rounds between a validator and a miner in one process.

use super::identity;
use super::in_process::session;
use super::recording::Recording;
use crate::common::cpu_miner;
use attest::ledger::{Filter, Ledger as _, Order};
use attest::mining::issue::Request;
use attest::policy::Policy;
use attest::protocol::verdict::Outcome;
use attest::session::drive::Validator;
use attest::session::message::VerdictOutcome;
use attest::session::miner::End;
use std::sync::Arc;

/// One small round of each kind that a CPU answers alone, and what a CPU does not show
/// not demanded.
pub const SMALL: &str = r#"
name = "small rounds"
[devices]
cpu_allowed = true
[soundness]
omitted_share = 0.2
escape_probability_max = 1e-3
[[round]]
kind = "fp64"
matrix_dim = 128
num_matrices = 1
num_iterations = 2
[[round]]
kind = "integer"
matrix_dim = 128
num_matrices = 1
num_iterations = 2
[[round]]
kind = "memory"
arena_blocks = 512
half_passes = 2
num_iterations = 2
"#;

/// A validator whose sessions have the rounds of [`SMALL`].
pub fn validator(ledger: &Arc<Recording>) -> Validator {
    let mut validator = Validator::new(ledger.clone(), Request::default());
    validator.policy = Some(Policy::from_toml(SMALL, "small.toml").expect("a policy"));
    validator.patience.pong = validator.patience.hello;
    validator.identity = Some(Arc::new(identity(1)));
    validator
}

#[tokio::test(flavor = "multi_thread")]
async fn all_rounds_of_an_honest_miner_are_verified() {
    let ledger = Recording::new();
    let validator = Arc::new(validator(&ledger));
    let (ended, end) = session(&validator, &cpu_miner(Some(identity(2)))).await;
    let verdict = &ended.session;
    assert_eq!(verdict.outcome, Outcome::Verified, "{verdict:?}");
    let kinds: Vec<_> = verdict.rounds.iter().map(|round| (round.round, round.kind)).collect();
    assert_eq!(kinds, [(0, "fp64"), (1, "integer"), (2, "memory")]);
    assert!(verdict.not_reached.is_empty());
    assert!(verdict.policy.is_some(), "the session is judged as a whole, too");

    // Each has its own challenge, nonce, coin, receipt and row; the session groups them.
    let filter = Filter { order: Order::OldestFirst, ..Filter::default() };
    let rows = ledger.list(&filter).expect("a list");
    let session_of =
        |row: &attest::ledger::Entry| row.round.map(|round| (round.session, round.number));
    let first = ended.earlier[0].challenge.digest();
    let mut places: Vec<_> = rows.iter().map(session_of).collect();
    places.sort_by_key(|place| place.map(|(_, number)| number));
    assert_eq!(places, [None, Some((first, 1)), Some((first, 2))]);
    assert!(rows.iter().all(|row| row.outcome.as_deref() == Some("verified")));
    let coins: std::collections::BTreeSet<_> =
        rows.iter().map(|row| row.coin.map(|it| *it.as_bytes())).collect();
    assert_eq!(coins.len(), 3);
    let End::Verdict(told) = end else { panic!("{end:?}") };
    assert_eq!((told.outcome, told.earlier.len()), (VerdictOutcome::Verified, 2));
    for (told, round) in told.earlier.iter().zip(&ended.earlier) {
        assert_eq!(told.challenge, round.challenge.digest());
        let receipt = told.receipt.as_ref().expect("a receipt a round");
        let result = round.result.as_ref().expect("a result");
        receipt
            .check(&round.challenge, &result.commitment, result.coin.as_ref())
            .expect("it holds");
    }
    assert_eq!(told.receipt, ended.receipt);
}
