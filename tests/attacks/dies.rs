//! A die that signs for two miners, or under two names: its history in the ledger tells.

use super::device_reports::{nonce_of, of_lane};
use super::handed_in::Fault;
use super::{Say, challenge, identity, key, public, request};
use crate::common::device::root;
use crate::common::evidence_of_models;
use crate::live::peer::session_with;
use crate::live::recording::Recording;
use attest::executor::cpu::CpuVerifier;
use attest::judging::{AsIssuer, DeviceTrust, HandedIn, Judged, Terms};
use attest::ledger::Ledger as _;
use attest::policy::Policy;
use attest::protocol::challenge::Challenge;
use attest::protocol::circumstances::Circumstances;
use attest::protocol::digest::Uuid;
use attest::protocol::names::Coin;
use attest::protocol::result::{ResultDoc, chain_states};
use attest::protocol::verdict::Verdict;
use attest::protocol::verify::verify;
use attest::reference::Run;
use attest::session::drive::Validator;
use attest::session::validator::Ended;
use std::sync::Arc;

/// With all the time that a busy machine may take: how long anything takes is not the matter.
const POLICY: &str = "[session]\nlive_required = false\n[devices]\ncpu_allowed = true\n\
     [soundness]\nomitted_share = 0.9\n[time]\nstartup_allowance_ms = 60000\n";

/// What the miner of key `seed` says that names its device `uuid`.
fn says(challenge: &Challenge, seed: u8, uuid: u8) -> Say {
    let uuids = [Uuid([uuid; 16])];
    let evidence = evidence_of_models(&uuids, &["NVIDIA H200"]);
    Say { evidence, ..Say::of(Run::of(challenge, &uuids)) }.signed(key(seed))
}

/// Its result, with the report that `die` signed.
fn reported(challenge: &Challenge, say: &Say, coin: Option<Coin>, die: u8) -> ResultDoc {
    let mut result = say.result(coin);
    let states = chain_states(challenge, &result.lanes);
    let nonce = nonce_of(challenge, 0, states[0].last().unwrap());
    result.device_reports = vec![of_lane(0, die, &nonce)];
    result
}

/// A live session with the miner of key `seed`, whose die signs for the device that it names.
async fn session(ledger: &Arc<Recording>, seed: u8, uuid: u8, die: u8, policy: &str) -> Ended {
    let mut validator = Validator::new(
        ledger.clone(),
        attest::mining::issue::Request { miner_id: Some(public(seed)), ..request() },
    );
    validator.patience.pong = validator.patience.hello;
    validator.identity = Some(Arc::new(identity(1)));
    validator.device_roots = vec![root().leak()];
    validator.policy = Some(Policy::from_toml(policy, "a test").unwrap());
    session_with(validator, async |mut peer| {
        peer.greet(Some(public(seed))).await;
        let challenge = peer.challenge().await;
        let say = says(&challenge, seed, uuid);
        peer.send(say.commitment_line()).await;
        let coin = peer.coin().await;
        let result = reported(&challenge, &say, Some(coin), die);
        peer.send(attest::session::message::openings_line(&result)).await;
        peer.linger().await;
    })
    .await
}

/// The codes of the policy's reasons that are of dies.
fn of_dies(verdict: &Verdict) -> Vec<&'static str> {
    let reasons = &verdict.policy.as_ref().expect("a policy judged").reasons;
    reasons.iter().map(|reason| reason.code).filter(|code| code.contains("die")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_die_under_two_miners() {
    let ledger = Recording::new();
    let honest = session(&ledger, 2, 7, 3, POLICY).await.verdict;
    assert_eq!(of_dies(&honest), [""; 0], "{honest:?}");
    assert_eq!(honest.code, None, "{honest:?}");
    // The die is on record before the verdict, with its certificate's serial number.
    assert_eq!(ledger.steps(), ["issue", "accept_session", "sign", "settle"]);
    let (_, seen) = ledger.show(&honest.challenge_digest.unwrap()).unwrap().unwrap();
    let signed = honest.devices[0].signed.as_ref().unwrap();
    assert_eq!(seen[0].device.die.unwrap().to_string(), signed.die);
    assert_eq!(seen[0].device.die_serial.as_deref(), Some("0103"));
    let again = session(&ledger, 2, 7, 3, POLICY).await.verdict;
    assert_eq!(of_dies(&again), [""; 0], "it may come again");

    let lent = session(&ledger, 5, 8, 3, POLICY).await.verdict;
    assert_eq!(of_dies(&lent), ["die-under-two-identities", "die-changed-uuid"], "{lent:?}");
    assert_eq!(lent.code, Some("rejected-by-policy"));
    // Whoever was rejected does not take the die from its holder.
    let holder = session(&ledger, 2, 7, 3, POLICY).await.verdict;
    assert_eq!((of_dies(&holder), holder.code), (vec![], None));
    // Under one key, too, one die has one name, and one name one die.
    let renamed = session(&ledger, 2, 9, 3, POLICY).await.verdict;
    assert_eq!(of_dies(&renamed), ["die-changed-uuid"]);
    let exchanged = session(&ledger, 2, 7, 4, POLICY).await.verdict;
    assert_eq!(of_dies(&exchanged), ["uuid-changed-die"]);
    let blind = POLICY.replace("[devices]", "[devices]\ndevice_report = \"ignore\"");
    assert_eq!(of_dies(&session(&ledger, 5, 8, 3, &blind).await.verdict), [""; 0]);
}

/// Hands a result in that had no session.
fn hand_in(ledger: &Arc<Recording>, seed: u8, uuid: u8, die: u8) -> Judged {
    let number = ledger.entries().len() as u8;
    let challenge = challenge(|spec| {
        (spec.gpu_count, spec.miner_id) = (Some(1), Some(public(seed).encoded()));
        spec.validator_nonce = attest::protocol::digest::Digest([number; 32]);
    });
    let issued_unix_ms = 1000 * challenge.issued_at_unix_s() as u64;
    ledger.issue(&challenge, challenge.token(), issued_unix_ms).unwrap();
    let result = reported(&challenge, &says(&challenge, seed, uuid), None, die);
    let (root, policy) = (root(), Policy::from_toml(POLICY, "a test").unwrap());
    let devices = DeviceTrust { roots: &[&root], ..DeviceTrust::default() };
    let terms = Terms { policy: Some(&policy), devices, ..Terms::default() };
    let handed_in = HandedIn {
        challenge: &challenge,
        result: &result,
        arrival_unix_s: Some(challenge.issued_at_unix_s() + 10),
        elapsed: None,
        receipt: None,
    };
    let verified =
        |with: &Circumstances<'_>| Ok(verify(&challenge, &result, with, &CpuVerifier::new()));
    let now_unix_ms = issued_unix_ms + 20_000;
    AsIssuer { ledger: &**ledger, terms, now_unix_ms }.judge::<Fault>(&handed_in, verified).unwrap()
}

#[test]
fn one_die_under_two_miners_without_sessions() {
    let ledger = Recording::new();
    let honest = hand_in(&ledger, 2, 7, 3);
    assert_eq!((of_dies(&honest.verdict), honest.verdict.code), (vec![], None), "{honest:?}");
    let lent = hand_in(&ledger, 5, 8, 3).verdict;
    assert_eq!(of_dies(&lent), ["die-under-two-identities", "die-changed-uuid"], "{lent:?}");
    assert_eq!(of_dies(&hand_in(&ledger, 2, 7, 3).verdict), [""; 0]);
}
