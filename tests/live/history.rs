//! What the ledger has on record of a device, in live sessions with a policy.

use super::in_process::session;
use super::peer::{Answer, session_with, tiny};
use super::recording::Recording;
use super::{identity, small};
use crate::common::{cpu_evidence, cpu_miner_with};
use attest::executor::Executor;
use attest::executor::cpu::{CpuExecutor, CpuOptions};
use attest::ledger::{Accepting, HISTORY_WINDOW, Ledger as _, SettledAs, Settlement, Sighting};
use attest::mining::issue::issue;
use attest::policy::{Policy, Weight};
use attest::protocol::digest::Uuid;
use attest::protocol::names::{Coin, Commitment};
use attest::protocol::verdict::Outcome;
use attest::session::clock::unix_ms;
use attest::session::drive::Validator;
use attest::session::validator::Ended;
use std::sync::Arc;

/// The device of all these sessions.
const UUID: Uuid = Uuid([0xdd; 16]);

/// A session with the miner of key `seed`, under a policy with these `findings`.
async fn judged(ledger: &Arc<Recording>, seed: u8, findings: &str) -> Ended {
    let miner = cpu_miner_with(Some(identity(seed)), |_| {
        let cpu = CpuExecutor::new(CpuOptions { uuid: Some(UUID), ..CpuOptions::default() });
        vec![Box::new(cpu) as Box<dyn Executor>]
    });
    let policy = format!(
        "[devices]\ncpu_allowed = true\n[soundness]\nomitted_share = 0.5\n[findings]\n{findings}"
    );
    let mut validator = Validator::new(ledger.clone(), small());
    validator.policy = Some(Policy::from_toml(&policy, "a test").expect("a policy"));
    session(&Arc::new(validator), &miner).await.0
}

/// What the policy said of the device's history.
fn history(ended: &Ended) -> Vec<(&'static str, Weight)> {
    let judgement = ended.verdict.policy.as_ref().expect("the policy judged");
    let reasons = judgement.reasons.iter().filter(|reason| reason.code.starts_with("uuid-"));
    reasons.map(|reason| (reason.code, reason.weight)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_under_another_key_is_rejected_or_warned_of() {
    let ledger = Recording::new();
    let first = judged(&ledger, 2, "").await;
    assert_eq!(first.verdict.outcome, Outcome::Verified, "{:?}", first.verdict);
    assert_eq!(history(&first), []);
    let again = judged(&ledger, 2, "").await;
    assert_eq!(history(&again), [], "it may come again");

    let other = judged(&ledger, 3, "").await;
    assert_eq!(other.verdict.code, Some("rejected-by-policy"), "{:?}", other.verdict);
    assert_eq!(history(&other), [("uuid-under-two-identities", Weight::Reject)]);
    let c = other.challenge.expect("a challenge").digest();
    let (entry, _) = ledger.show(&c).unwrap().expect("on record");
    assert_eq!(entry.code.as_deref(), Some("rejected-by-policy"));

    let warned = judged(&ledger, 4, "uuid-under-two-identities = \"warn\"").await;
    assert_eq!(warned.verdict.outcome, Outcome::Verified, "{:?}", warned.verdict);
    assert_eq!(history(&warned), [("uuid-under-two-identities", Weight::Warn)]);
    let ignored = judged(&ledger, 5, "uuid-under-two-identities = \"ignore\"").await;
    assert_eq!(history(&ignored), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_another_host_has_in_a_session_is_found() {
    let ledger = Recording::new();
    let elsewhere = Sighting {
        uuid: UUID,
        serial: None,
        pci: None,
        miner: Some(identity(2).public().encoded()),
        host: Some("another host".to_owned()),
        die: None,
        die_serial: None,
    };
    let now = unix_ms();
    let claimed = || {
        let challenge = issue(&small()).unwrap();
        let c = challenge.digest();
        ledger.issue(&challenge, challenge.token(), now).unwrap();
        let accepting = Accepting {
            commitment: Commitment([7; 32]),
            coin: Coin::new([8; 32]).unwrap(),
            arrived_unix_ms: now,
            devices: std::slice::from_ref(&elsewhere),
            until_unix_ms: now + 3_600_000,
            window: HISTORY_WINDOW,
        };
        ledger.accept_session(&c, &accepting).unwrap();
        c
    };
    // One session there was verified, another one is under way.
    let settlement = Settlement {
        outcome: SettledAs::Verified,
        code: None,
        verdict_json: "{}".to_owned(),
        miner: elsewhere.miner,
        settled_unix_ms: now,
    };
    ledger.settle(&claimed(), &settlement).unwrap();
    claimed();

    let ended = judged(&ledger, 2, "").await;
    assert_eq!(ended.verdict.code, Some("rejected-by-policy"), "{:?}", ended.verdict);
    let evidence = ended.result.as_ref().expect("a result").evidence.value();
    let two_sessions = ("uuid-in-two-sessions", Weight::Reject);
    // A host without /etc/machine-id has no name to differ.
    let expected = match evidence["machine"]["machine_id"].is_string() {
        true => vec![two_sessions, ("uuid-changed-host", Weight::Warn)],
        false => vec![two_sessions],
    };
    assert_eq!(history(&ended), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_lanes_than_a_result_can_have_are_the_miners_fault() {
    let uuids: Vec<Uuid> = (0..65).map(|lane| Uuid([lane; 16])).collect();
    let evidence = cpu_evidence(&uuids);
    assert_eq!(Sighting::of(&evidence, None).len(), 64);
    let validator = Validator::new(Recording::new(), tiny());
    let ended = session_with(validator, async |mut peer| {
        peer.greet(None).await;
        let answer = Answer::of(&peer.challenge().await, None);
        peer.send(answer.commitment_line_with(&evidence)).await;
        let coin = peer.coin().await;
        peer.send(answer.openings_line(coin)).await;
    })
    .await;
    let verdict = &ended.verdict;
    assert!(verdict.outcome == Outcome::Rejected && verdict.step.is_some(), "{verdict:?}");
}
