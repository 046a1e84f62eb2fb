//! Every rejection code has a tampering test of the same name here, which also
//! shows that the code comes from its own step: everything before it passes.

mod chain_and_time;
mod evidence_and_work;
mod form_and_session;

use crate::common::{cpu_evidence, spec};
use attest::protocol::challenge::{Challenge, ChallengeSpec};
use attest::protocol::circumstances::Circumstances;
use attest::protocol::digest::Uuid;
use attest::protocol::rejection::Reason;
use attest::protocol::result::ResultDoc;
use attest::protocol::verify::{Failure, verify};
use attest::reference::{Oracle, Run};
use serde_json::Value;

const UUIDS: [Uuid; 3] = [Uuid([1; 16]), Uuid([2; 16]), Uuid([3; 16])];

fn challenge(change: impl FnOnce(&mut ChallengeSpec)) -> Challenge {
    let mut spec = spec();
    change(&mut spec);
    Challenge::issue(spec).unwrap()
}

fn plain() -> Challenge {
    challenge(|_| {})
}

fn honest(challenge: &Challenge, lanes: usize) -> ResultDoc {
    let uuids = &UUIDS[..lanes];
    Run::of(challenge, uuids).result(cpu_evidence(uuids), None, None)
}

/// Verifies under `circumstances` and gives the rejection.
#[track_caller]
fn rejected(
    reason: Reason,
    challenge: &Challenge,
    result: &ResultDoc,
    circumstances: &Circumstances<'_>,
) {
    match verify(challenge, result, circumstances, &Oracle) {
        Err(Failure::Rejected(rejection)) => assert_eq!(rejection.reason, reason, "{rejection}"),
        other => panic!("expected {reason:?}, got {other:?}"),
    }
}

#[track_caller]
fn rejected_by_itself(reason: Reason, challenge: &Challenge, result: &ResultDoc) {
    rejected(reason, challenge, result, &Circumstances::default());
}

/// Reads text and gives the rejection.
#[track_caller]
fn unreadable(reason: Reason, challenge: &Challenge, text: &str) {
    match ResultDoc::read(text.as_bytes(), challenge).map_err(Failure::from) {
        Err(Failure::Rejected(rejection)) => assert_eq!(rejection.reason, reason, "{rejection}"),
        other => panic!("expected {reason:?}, got {other:?}"),
    }
}

fn edited(result: &ResultDoc, edit: impl FnOnce(&mut Value)) -> String {
    let mut value: Value = serde_json::from_str(&result.to_json()).unwrap();
    edit(&mut value);
    value.to_string()
}

fn accept(challenge: &Challenge, result: &ResultDoc, circumstances: &Circumstances<'_>) {
    verify(challenge, result, circumstances, &Oracle).unwrap();
}

#[test]
fn every_code_is_tested_here() {
    let tests = concat!(
        include_str!("form_and_session.rs"),
        include_str!("chain_and_time.rs"),
        include_str!("evidence_and_work.rs")
    );
    for reason in Reason::ALL {
        let name = format!("fn {}()", reason.code().replace('-', "_"));
        assert!(tests.contains(&name), "{name} is missing");
    }
    let mut codes: Vec<_> = Reason::ALL.iter().map(|reason| reason.code()).collect();
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes.len(), Reason::ALL.len(), "two reasons share a code");
    assert!(Reason::ALL.is_sorted_by_key(|reason| reason.step()));
}
