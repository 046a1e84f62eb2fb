//! Whole sessions between a validator and a miner in one process.

use super::recording::Recording;
use super::{identity, small};
use crate::common::cpu_miner;
use attest::executor::cpu::CpuVerifier;
use attest::protocol::circumstances::Circumstances;
use attest::protocol::verdict::{Outcome, Work};
use attest::protocol::verified::CoinStanding;
use attest::protocol::verify::verify;
use attest::session::drive::Validator;
use attest::session::message::VerdictOutcome;
use attest::session::miner::End;
use attest::session::respond::Miner;
use attest::session::validator::Ended;
use std::sync::Arc;
use tokio::io::duplex;

/// A session over a pair of bounded pipes, both sides to their ends.
pub async fn session(validator: &Arc<Validator>, miner: &Miner) -> (Ended, End) {
    let (ours, theirs) = duplex(16 * 1024);
    let (reader, writer) = tokio::io::split(ours);
    let (miner_reader, miner_writer) = tokio::io::split(theirs);
    tokio::join!(
        validator.session(reader, writer, None, &|_| ()),
        miner.respond(miner_reader, miner_writer)
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn an_honest_miner_is_verified_live() {
    let ledger = Recording::new();
    let validator = Arc::new(Validator::new(ledger.clone(), small()));
    let (ended, end) = session(&validator, &cpu_miner(None)).await;
    let verdict = &ended.verdict;
    assert_eq!((verdict.outcome, verdict.work), (Outcome::Verified, Work::Proven), "{verdict:?}");
    let End::Verdict(told) = end else { panic!("{end:?}") };
    assert_eq!(told.outcome, VerdictOutcome::Verified);
    assert_eq!(told.receipt, None);
    assert_eq!(ledger.steps(), ["issue", "accept_session", "settle"]);
    assert_eq!(ledger.only().outcome.as_deref(), Some("verified"));
    let legs = ended.legs;
    assert!(legs.round_trip.unwrap() <= legs.hello.unwrap() + legs.commitment.unwrap());
    assert!(legs.judging.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_sign_the_commitment_and_the_receipt() {
    let ledger = Recording::new();
    let mut validator = Validator::new(ledger, small());
    validator.identity = Some(Arc::new(identity(1)));
    let (ended, end) = session(&Arc::new(validator), &cpu_miner(Some(identity(2)))).await;
    assert_eq!(ended.verdict.outcome, Outcome::Verified, "{:?}", ended.verdict);
    let (challenge, result) = (ended.challenge.unwrap(), ended.result.unwrap());
    assert_eq!(challenge.spec().miner_id, Some(identity(2).public().encoded()));
    assert_eq!(challenge.spec().validator_id, Some(identity(1).public().encoded()));
    let End::Verdict(told) = end else { panic!("{end:?}") };
    assert_eq!(told.receipt, ended.receipt);
    // Another validator can check the result with the receipt.
    let receipt = ended.receipt.unwrap();
    let circumstances = Circumstances { receipt: Some(&receipt), ..Circumstances::default() };
    let verified = verify(&challenge, &result, &circumstances, &CpuVerifier::new()).unwrap();
    assert!(matches!(verified.coin(), CoinStanding::Receipt { .. }));
}
