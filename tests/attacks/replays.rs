//! The same work twice: an old result, somebody else's, a nonce again, one lane's
//! roots for another, a result under another device's name.

use super::turned::{Records, Turned};
use super::{Say, UUIDS, alone, challenge, ended_with, key, public, within};
use crate::common::evidence_of_models;
use attest::ledger::{HISTORY_WINDOW, LedgerError, SettledAs, Settlement};
use attest::protocol::challenge::Challenge;
use attest::protocol::circumstances::Circumstances;
use attest::protocol::digest::Digest;
use attest::protocol::evidence::Evidence;
use attest::protocol::result::{LaneRoots, ResultDoc, commit};
use attest::reference::Run;

fn by_issuer(records: &Records, challenge: &Challenge, result: &ResultDoc) -> &'static str {
    let issuer = records.issuer(challenge);
    within(challenge, result, &Circumstances { issuer, ..Circumstances::default() })
}

/// Records a result outside a session as verified.
fn settle(records: &Records, challenge: &Challenge, result: &ResultDoc) {
    let settlement = Settlement {
        outcome: SettledAs::Verified,
        code: None,
        verdict_json: "{}".to_owned(),
        miner: None,
        settled_unix_ms: 0,
    };
    let (c, commitment) = (challenge.digest(), result.commitment);
    records.ledger.settle_offline(&c, &commitment, 0, &[], HISTORY_WINDOW, &settlement).unwrap();
}

#[test]
fn an_old_result() {
    let records = Records::new();
    let [old, new] = [1, 2].map(|nonce| challenge(|s| s.validator_nonce = Digest([nonce; 32])));
    records.issue(&old);
    records.issue(&new);
    let result = Say::honestly(&old).result(None);
    assert_eq!(by_issuer(&records, &old, &result), "verified");
    settle(&records, &old, &result);
    // The same again, and the same work under another commitment.
    assert_eq!(by_issuer(&records, &old, &result), "nonce-spent");
    let again = Say::of(Run::of(&old, &UUIDS[1..])).result(None);
    assert_eq!(by_issuer(&records, &old, &again), "nonce-spent");
    // To a newer challenge, as it is and under its name.
    assert_eq!(by_issuer(&records, &new, &result), "challenge-mismatch");
    let renamed = ResultDoc { challenge_digest: new.digest(), ..result.clone() };
    assert_eq!(by_issuer(&records, &new, &renamed), "commitment-mismatch");
    let commitment = commit(&new, &result.lanes, &result.evidence);
    let recommitted = ResultDoc { commitment, ..renamed };
    assert_eq!(by_issuer(&records, &new, &recommitted), "openings-mismatch");
    // And with the right places opened, from trees over the old matrices.
    let old_run = Run::of(&old, &UUIDS[..1]);
    let relabelled =
        Run::with(&new, &UUIDS[..1], |_, i, _| old_run.leaves[0][i as usize - 1].clone());
    assert_eq!(by_issuer(&records, &new, &Say::of(relabelled).result(None)), "leaf-mismatch");
    assert_eq!(by_issuer(&records, &new, &Say::honestly(&new).result(None)), "verified");
}

#[test]
fn a_result_of_an_ended_session() {
    // Verified: it may be looked at again, and counts once.
    let records = Records::new();
    let challenge = challenge(|spec| spec.max_duration_ms = Some(1000));
    records.issue(&challenge);
    let say = Say::honestly(&challenge);
    let mut session = Turned::new(&records, &challenge);
    session.send(&say.commitment_line());
    let coin = session.coin.unwrap();
    session.send(&say.openings_line(coin));
    ended_with("verified", &session.end());
    assert_eq!(by_issuer(&records, &challenge, &say.result(Some(coin))), "verified");
    assert_eq!(by_issuer(&records, &challenge, &say.result(None)), "coin-missing");

    // Rejected for its time, then handed in where no clock ran.
    let records = Records::new();
    records.issue(&challenge);
    let mut session = Turned::new(&records, &challenge);
    session.pass(std::time::Duration::from_millis(1001));
    session.send(&say.commitment_line());
    let coin = session.coin.unwrap();
    session.send(&say.openings_line(coin));
    ended_with("late", &session.end());
    assert_eq!(by_issuer(&records, &challenge, &say.result(Some(coin))), "nonce-spent");
}

#[test]
fn a_nonce_again() {
    // A validator's own random generator repeats itself: the ledger refuses the
    // second challenge with the nonce, whatever else differs.
    let records = Records::new();
    let first = challenge(|_| {});
    let second = challenge(|spec| spec.gpu_pow_seed = Digest([0x55; 32]));
    assert_eq!(first.spec().validator_nonce, second.spec().validator_nonce);
    records.issue(&first);
    for again in [&first, &second] {
        let refused = records.ledger.issue(again, again.token(), 0);
        assert!(matches!(refused, Err(LedgerError::Order { .. })), "{refused:?}");
    }
    let stranger = Say::honestly(&second).result(None);
    assert_eq!(by_issuer(&records, &second, &stranger), "not-issued");
    assert_eq!(by_issuer(&records, &first, &Say::honestly(&first).result(None)), "verified");
}

#[test]
fn another_miners_result() {
    // Bound to a key, a result is of no use to who copies it from the wire.
    let to_a = challenge(|spec| spec.miner_id = Some(public(2).encoded()));
    let result = Say::honestly(&to_a).signed(key(2)).result(None);
    assert_eq!(alone(&to_a, &result), "verified");
    let copied = Say::honestly(&to_a).signed(key(3)).result(None);
    assert_eq!(alone(&to_a, &copied), "signature-invalid");
    let to_b = challenge(|spec| spec.miner_id = Some(public(3).encoded()));
    assert_eq!(alone(&to_b, &result), "challenge-mismatch");
}

#[test]
fn a_result_for_another_device() {
    let challenge = challenge(|_| {});
    let honest = Say::honestly(&challenge).result(None);
    assert_eq!(alone(&challenge, &honest), "verified");
    // Renamed afterwards: in the result, in the evidence, in both.
    let evidence = evidence_of_models(&UUIDS[1..], &["reference"]);
    let mut renamed = honest.clone();
    renamed.lanes[0].uuid = UUIDS[1];
    assert_eq!(alone(&challenge, &renamed), "commitment-mismatch");
    let told = ResultDoc { evidence: evidence.clone(), ..honest };
    assert_eq!(alone(&challenge, &told), "commitment-mismatch");
    let both = ResultDoc { evidence: evidence.clone(), ..renamed };
    assert_eq!(alone(&challenge, &both), "commitment-mismatch");
    // Committed to anew: the matrices are another device's.
    let run = Run::of(&challenge, &UUIDS[..1]);
    let relabelled =
        Run::with(&challenge, &UUIDS[1..], |_, i, _| run.leaves[0][i as usize - 1].clone());
    assert_eq!(alone(&challenge, &Say::of(relabelled).result(None)), "leaf-mismatch");
    // Named differently in evidence from the start.
    let two_names = Say { evidence, ..Say::honestly(&challenge) };
    assert_eq!(alone(&challenge, &two_names.result(None)), "evidence-uuid");
}

#[test]
fn roots_copied_between_lanes() {
    let challenge = challenge(|spec| spec.samples_per_iteration = 40);
    let honest = Say::of(Run::of(&challenge, &UUIDS)).result(None);
    assert_eq!(alone(&challenge, &honest), "verified");
    // Lane 1 hands in lane 0's roots: after the commitment, and committed to.
    let mut copied = honest.clone();
    copied.lanes[1].iteration_roots = honest.lanes[0].iteration_roots.clone();
    assert_eq!(alone(&challenge, &copied), "commitment-mismatch");
    let one = Run::of(&challenge, &UUIDS[..1]);
    let run = Run::with(&challenge, &UUIDS, |_, i, _| one.leaves[0][i as usize - 1].clone());
    assert_eq!(alone(&challenge, &Say::of(run).result(None)), "leaf-mismatch");
    // One device in two lanes has the same seed nowhere: the lane's number is in it.
    let twice = Run::of(&challenge, &[UUIDS[0], UUIDS[0]]);
    assert_ne!(twice.states[0][0], twice.states[1][0]);
    assert_eq!(alone(&challenge, &Say::of(twice).result(None)), "duplicate-uuid");
}

#[test]
fn uuids_swapped_between_lanes() {
    let challenge = challenge(|spec| spec.samples_per_iteration = 40);
    let honest = Say::of(Run::of(&challenge, &UUIDS)).result(None);
    let mut swapped = honest.clone();
    let LaneRoots { uuid, .. } = &mut swapped.lanes[0];
    *uuid = UUIDS[1];
    swapped.lanes[1].uuid = UUIDS[0];
    assert_eq!(alone(&challenge, &swapped), "commitment-mismatch");
    let commitment = commit(&challenge, &swapped.lanes, &swapped.evidence);
    let recommitted = ResultDoc { commitment, ..swapped };
    assert_eq!(alone(&challenge, &recommitted), "openings-mismatch");
    let backwards = [UUIDS[1], UUIDS[0]];
    let say =
        Say { evidence: super::cpu_evidence(&backwards), ..Say::of(Run::of(&challenge, &UUIDS)) };
    assert_eq!(alone(&challenge, &say.result(None)), "evidence-uuid");
    // From the start and throughout they are but names: the ledger's history is
    // what sees them change hands.
    assert_eq!(
        alone(&challenge, &Say::of(Run::of(&challenge, &backwards)).result(None)),
        "verified"
    );
}

#[test]
fn evidence_changed_on_the_way() {
    let challenge = challenge(|_| {});
    let honest = Say::honestly(&challenge).result(None);
    for (field, value) in [
        ("model", serde_json::json!("NVIDIA H200")),
        ("memory_bytes", serde_json::json!(1_u64 << 40)),
        ("serial", serde_json::json!("1650000000000")),
    ] {
        let mut told = honest.evidence.value().clone();
        told["lanes"][0][field] = value;
        let evidence = Evidence::from_value(told).unwrap();
        let faked = ResultDoc { evidence, ..honest.clone() };
        assert_eq!(alone(&challenge, &faked), "commitment-mismatch", "{field}");
    }
}
