//! Every rejection code has a tampering test of the same name here, which also
//! shows that the code comes from its own step: everything before it passes.

mod common;

use attest::protocol::challenge::{Challenge, ChallengeSpec};
use attest::protocol::circumstances::{Circumstances, Issuer, IssuerRecord, SessionRecord};
use attest::protocol::digest::{Digest, Uuid};
use attest::protocol::evidence::Evidence;
use attest::protocol::rejection::Reason;
use attest::protocol::transcript::{Opening, ResultDoc, commit};
use attest::protocol::verified::Extent;
use attest::protocol::verify::{Failure, verify, verify_full};
use attest::reference::{Oracle, Run};
use common::{cpu_evidence, spec};
use ed25519_dalek::SigningKey;
use serde_json::{Value, json};
use std::time::Duration;

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
    for reason in Reason::ALL {
        let name = format!("fn {}()", reason.code().replace('-', "_"));
        assert!(include_str!("rejections.rs").contains(&name), "{name} is missing");
    }
    let mut codes: Vec<_> = Reason::ALL.iter().map(|reason| reason.code()).collect();
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes.len(), Reason::ALL.len(), "two reasons share a code");
    assert!(Reason::ALL.is_sorted_by_key(|reason| reason.step()));
}

// Step 1: form.

#[test]
fn too_large() {
    let challenge = plain();
    let text = honest(&challenge, 1).to_json();
    let limit = challenge.result_bytes_max() as usize;
    let padded = format!("{}{text}", " ".repeat(limit - text.len()));
    ResultDoc::read(padded.as_bytes(), &challenge).expect("exactly the limit is allowed");
    unreadable(Reason::TooLarge, &challenge, &format!(" {padded}"));
}

#[test]
fn malformed() {
    let challenge = plain();
    let result = honest(&challenge, 1);
    unreadable(Reason::Malformed, &challenge, &edited(&result, |v| v["more"] = json!(1)));
    unreadable(Reason::Malformed, &challenge, "");
}

#[test]
fn version() {
    let challenge = plain();
    let text = edited(&honest(&challenge, 1), |v| v["version"] = json!(2));
    unreadable(Reason::Version, &challenge, &text);
}

#[test]
fn evidence_malformed() {
    let challenge = plain();
    let text = edited(&honest(&challenge, 1), |v| v["evidence"]["schema"] = json!(2));
    unreadable(Reason::EvidenceMalformed, &challenge, &text);
}

#[test]
fn zero_coin() {
    let challenge = plain();
    let text = edited(&honest(&challenge, 1), |v| v["coin"] = json!("0".repeat(64)));
    unreadable(Reason::ZeroCoin, &challenge, &text);
}

#[test]
fn no_lanes() {
    let challenge = plain();
    let text = edited(&honest(&challenge, 1), |v| v["lanes"] = json!([]));
    unreadable(Reason::NoLanes, &challenge, &text);
}

#[test]
fn too_many_lanes() {
    let challenge = challenge(|spec| spec.gpu_count = Some(1));
    let mut result = honest(&challenge, 1);
    result.lanes.push(result.lanes[0].clone());
    rejected_by_itself(Reason::TooManyLanes, &challenge, &result);
    unreadable(Reason::Malformed, &challenge, &result.to_json());
}

fn key() -> SigningKey {
    SigningKey::from_bytes(&[9; 32])
}

fn signed_challenge() -> Challenge {
    challenge(|spec| spec.miner_id = Some(Digest(key().verifying_key().to_bytes())))
}

#[test]
fn signature_missing() {
    let challenge = signed_challenge();
    unreadable(Reason::SignatureMissing, &challenge, &honest(&challenge, 1).to_json());
}

#[test]
fn signature_unexpected() {
    let challenge = plain();
    let text = edited(&honest(&challenge, 1), |v| v["miner_signature"] = json!("0".repeat(128)));
    unreadable(Reason::SignatureUnexpected, &challenge, &text);
}

// Step 2: records, arrival, signature.

#[test]
fn challenge_mismatch() {
    let other = challenge(|spec| spec.validator_nonce.0[31] ^= 1);
    rejected_by_itself(Reason::ChallengeMismatch, &plain(), &honest(&other, 1));
}

#[test]
fn not_issued() {
    let challenge = plain();
    let circumstances = Circumstances { issuer: Issuer::Unknown, ..Default::default() };
    rejected(Reason::NotIssued, &challenge, &honest(&challenge, 1), &circumstances);
}

#[test]
fn expired() {
    let challenge = plain();
    let result = honest(&challenge, 1);
    let at = |arrival| Circumstances { arrival_unix_s: Some(arrival), ..Default::default() };
    accept(&challenge, &result, &at(challenge.expires_at_unix_s() - 1));
    rejected(Reason::Expired, &challenge, &result, &at(challenge.expires_at_unix_s()));
}

fn record(
    nonce_spent_on: Option<Digest>,
    session: Option<SessionRecord>,
) -> Circumstances<'static> {
    let issuer = Issuer::Record(IssuerRecord { nonce_spent_on, session });
    Circumstances { issuer, ..Default::default() }
}

#[test]
fn nonce_spent() {
    let challenge = plain();
    let result = honest(&challenge, 1);
    accept(&challenge, &result, &record(None, None));
    rejected(Reason::NonceSpent, &challenge, &result, &record(Some(result.commitment), None));
    let session = SessionRecord { commitment: result.commitment, coin: Digest([7; 32]) };
    let spent_on_another = record(Some(Digest([8; 32])), Some(session));
    rejected(Reason::NonceSpent, &challenge, &result, &spent_on_another);
}

#[test]
fn signature_invalid() {
    let challenge = signed_challenge();
    let run = Run::of(&challenge, &UUIDS[..1]);
    let mut result = run.result(cpu_evidence(&UUIDS[..1]), None, Some(&key()));
    accept(&challenge, &result, &Circumstances::default());
    let other = SigningKey::from_bytes(&[10; 32]);
    let forged = run.result(cpu_evidence(&UUIDS[..1]), None, Some(&other));
    rejected_by_itself(Reason::SignatureInvalid, &challenge, &forged);
    result.miner_signature.as_mut().unwrap()[0] ^= 1;
    rejected_by_itself(Reason::SignatureInvalid, &challenge, &result);
}

/// A result of a live session and its record.
fn live(challenge: &Challenge) -> (ResultDoc, SessionRecord) {
    let coin = Digest([7; 32]);
    let run = Run::of(challenge, &UUIDS[..1]);
    let result = run.result(cpu_evidence(&UUIDS[..1]), Some(coin), None);
    let session = SessionRecord { commitment: result.commitment, coin };
    accept(challenge, &result, &record(Some(result.commitment), Some(session.clone())));
    (result, session)
}

#[test]
fn coin_without_session() {
    let challenge = plain();
    let (result, _) = live(&challenge);
    rejected(Reason::CoinWithoutSession, &challenge, &result, &record(None, None));
}

#[test]
fn coin_missing() {
    let challenge = plain();
    let (_, session) = live(&challenge);
    let record = record(Some(session.commitment), Some(session));
    rejected(Reason::CoinMissing, &challenge, &honest(&challenge, 1), &record);
}

#[test]
fn coin_mismatch() {
    let challenge = plain();
    let (_, session) = live(&challenge);
    let run = Run::of(&challenge, &UUIDS[..1]);
    let result = run.result(cpu_evidence(&UUIDS[..1]), Some(Digest([6; 32])), None);
    let record = record(Some(session.commitment), Some(session));
    rejected(Reason::CoinMismatch, &challenge, &result, &record);
}

#[test]
fn session_mismatch() {
    let challenge = plain();
    let (result, mut session) = live(&challenge);
    session.commitment.0[0] ^= 1;
    let record = record(Some(session.commitment), Some(session));
    rejected(Reason::SessionMismatch, &challenge, &result, &record);
}

// Step 3: lanes, chain, commitment.

#[test]
fn lane_count() {
    let challenge = challenge(|spec| spec.gpu_count = Some(2));
    accept(&challenge, &honest(&challenge, 2), &Circumstances::default());
    rejected_by_itself(Reason::LaneCount, &challenge, &honest(&challenge, 1));
}

#[test]
fn duplicate_uuid() {
    let challenge = plain();
    let uuids = [UUIDS[0], UUIDS[1], UUIDS[0]];
    let result = Run::of(&challenge, &uuids).result(cpu_evidence(&uuids), None, None);
    rejected_by_itself(Reason::DuplicateUuid, &challenge, &result);
}

#[test]
fn root_count() {
    let challenge = plain();
    let mut result = honest(&challenge, 2);
    let last = result.lanes[1].iteration_roots.pop().unwrap();
    rejected_by_itself(Reason::RootCount, &challenge, &result);
    result.lanes[1].iteration_roots.extend([last, last]);
    rejected_by_itself(Reason::RootCount, &challenge, &result);
    unreadable(Reason::Malformed, &challenge, &result.to_json());
}

#[test]
fn commitment_mismatch() {
    let challenge = plain();
    let good = honest(&challenge, 2);
    let mut result = good.clone();
    result.commitment.0[0] ^= 1;
    rejected_by_itself(Reason::CommitmentMismatch, &challenge, &result);
    let mut result = good.clone();
    result.lanes[0].iteration_roots[0].0[31] ^= 1;
    rejected_by_itself(Reason::CommitmentMismatch, &challenge, &result);
    let mut result = good.clone();
    result.lanes.swap(0, 1);
    rejected_by_itself(Reason::CommitmentMismatch, &challenge, &result);
    let mut result = good;
    result.lanes.pop();
    rejected_by_itself(Reason::CommitmentMismatch, &challenge, &result);
}

// Step 4: openings.

#[test]
fn openings_mismatch() {
    let challenge = plain();
    let good = honest(&challenge, 1);
    for tamper in [
        (|openings| openings.clear()) as fn(&mut Vec<Opening>),
        |openings| drop(openings.pop()),
        |openings| drop(openings.remove(0)),
        |openings| openings.push(openings.last().cloned().unwrap()),
        |openings| openings.insert(0, openings[0].clone()),
        |openings| openings.swap(0, 1),
        |openings| openings[0].leaf ^= 1,
        |openings| openings[0].lane = u32::MAX,
        |openings| openings[0].iteration = 0,
        |openings| openings[0].leaf = u64::MAX,
    ] {
        let mut result = good.clone();
        tamper(&mut result.openings);
        rejected_by_itself(Reason::OpeningsMismatch, &challenge, &result);
    }
}

#[test]
fn path_length() {
    // Three tiles wide: nine tiles, so that paths have different lengths.
    let challenge = challenge(|spec| spec.matrix_dim = 384);
    let good = honest(&challenge, 1);
    for tamper in [
        (|path| path.truncate(path.len() - 1)) as fn(&mut Vec<Digest>),
        |path| path.clear(),
        |path| path.push(Digest::default()),
        |path| path.push(*path.last().unwrap()),
    ] {
        let mut result = good.clone();
        tamper(&mut result.openings[1].path);
        rejected_by_itself(Reason::PathLength, &challenge, &result);
    }
}

// Step 5: time.

#[test]
fn too_fast() {
    let challenge = plain();
    let result = honest(&challenge, 1);
    // 2·128³·2 operations at 1 GFLOP/s: 8.388608 ms.
    let table = |model: &str| (model == "reference").then_some(1e9);
    let within = |elapsed| Circumstances {
        elapsed: Some(elapsed),
        floor_flops: Some(&table),
        ..Default::default()
    };
    accept(&challenge, &result, &within(Duration::from_nanos(8_388_608)));
    rejected(Reason::TooFast, &challenge, &result, &within(Duration::from_nanos(8_388_607)));
    let unknown = |_: &str| None;
    let no_floor = Circumstances { floor_flops: Some(&unknown), ..within(Duration::ZERO) };
    accept(&challenge, &result, &no_floor);
}

#[test]
fn late() {
    let in_ms =
        |ms| Circumstances { elapsed: Some(Duration::from_millis(ms)), ..Default::default() };
    let challenge_of_one_hour = plain();
    let result = honest(&challenge_of_one_hour, 1);
    accept(&challenge_of_one_hour, &result, &in_ms(3_600_000));
    rejected(Reason::Late, &challenge_of_one_hour, &result, &in_ms(3_600_001));
    let limited = challenge(|spec| spec.max_duration_ms = Some(50));
    let result = honest(&limited, 1);
    accept(&limited, &result, &in_ms(50));
    let just_over = Circumstances {
        elapsed: Some(Duration::from_millis(50) + Duration::from_nanos(1)),
        ..Default::default()
    };
    rejected(Reason::Late, &limited, &result, &just_over);
}

// Step 6: evidence. The miner commits to what it claims, so that nothing
// before this step can notice.

fn with_evidence(challenge: &Challenge, edit: impl FnOnce(&mut Value)) -> ResultDoc {
    let mut value = cpu_evidence(&UUIDS[..1]).value().clone();
    edit(&mut value);
    let evidence = Evidence::from_value(value).unwrap();
    Run::of(challenge, &UUIDS[..1]).result(evidence, None, None)
}

/// Turns it into a GPU's evidence with these counters.
fn gpu(value: &mut Value, sm_count: u64, sm_tiles: &[&str]) {
    value["executor"] = json!("gpu");
    value["lanes"][0]["sm_count"] = json!(sm_count);
    value["lanes"][0]["sm_tiles"] = json!(sm_tiles);
}

#[test]
fn evidence_inconsistent() {
    let challenge = plain();
    for tamper in [
        (|value| value["executor"] = json!("gpu")) as fn(&mut Value),
        |value| value["lanes"][0]["sm_count"] = json!(1),
        |value| value["lanes"][0]["sm_tiles"] = json!(["2"]),
        |value| gpu(value, 2, &["2"]),
        |value| gpu(value, 1, &["1", "1"]),
        |value| {
            gpu(value, 1, &[]);
            value["lanes"][0]["sm_monitoring"] = json!("unavailable");
        },
    ] {
        let result = with_evidence(&challenge, tamper);
        rejected_by_itself(Reason::EvidenceInconsistent, &challenge, &result);
    }
    let result = with_evidence(&challenge, |value| {
        gpu(value, 4, &[]);
        value["lanes"][0]["sm_monitoring"] = json!("unavailable: MPS");
    });
    accept(&challenge, &result, &Circumstances::default());
}

#[test]
fn evidence_lanes() {
    let challenge = plain();
    for count in [0, 2] {
        let evidence = cpu_evidence(&UUIDS[..count]);
        let result = Run::of(&challenge, &UUIDS[..1]).result(evidence, None, None);
        rejected_by_itself(Reason::EvidenceLanes, &challenge, &result);
    }
}

#[test]
fn evidence_uuid() {
    let challenge = plain();
    let evidence = cpu_evidence(&UUIDS[1..2]);
    let result = Run::of(&challenge, &UUIDS[..1]).result(evidence, None, None);
    rejected_by_itself(Reason::EvidenceUuid, &challenge, &result);
}

#[test]
fn evidence_tile_sum() {
    let challenge = plain();
    // One tile, two iterations.
    let good = with_evidence(&challenge, |value| gpu(value, 3, &["2", "0", "0"]));
    accept(&challenge, &good, &Circumstances::default());
    let max = u64::MAX.to_string();
    // The last wraps around to 2 in 64 bits.
    for counters in [["2", "1", "0"], ["1", "0", "0"], [&max, "3", "0"]] {
        let result = with_evidence(&challenge, |value| gpu(value, 3, &counters));
        rejected_by_itself(Reason::EvidenceTileSum, &challenge, &result);
    }
}

#[test]
fn evidence_model() {
    let good = challenge(|spec| spec.gpu_model = Some("reference".to_owned()));
    accept(&good, &honest(&good, 1), &Circumstances::default());
    let other = challenge(|spec| spec.gpu_model = Some("Reference".to_owned()));
    rejected_by_itself(Reason::EvidenceModel, &other, &honest(&other, 1));
}

#[test]
fn evidence_memory() {
    let good = challenge(|spec| spec.min_memory_bytes = Some(1024));
    accept(&good, &honest(&good, 1), &Circumstances::default());
    let more = challenge(|spec| spec.min_memory_bytes = Some(1025));
    rejected_by_itself(Reason::EvidenceMemory, &more, &honest(&more, 1));
}

#[test]
fn evidence_sm_utilization() {
    let of = |share| challenge(|spec| spec.min_sm_utilization = Some(share));
    let counted =
        |challenge: &Challenge| with_evidence(challenge, |value| gpu(value, 3, &["1", "0", "1"]));
    let exact = of(2.0 / 3.0);
    accept(&exact, &counted(&exact), &Circumstances::default());
    let above = of((2.0_f64 / 3.0).next_up());
    rejected_by_itself(Reason::EvidenceSmUtilization, &above, &counted(&above));
    // Without counters only 0 is met.
    let none = of(0.0);
    accept(&none, &honest(&none, 1), &Circumstances::default());
    let least = of(f64::MIN_POSITIVE);
    rejected_by_itself(Reason::EvidenceSmUtilization, &least, &honest(&least, 1));
}

// Step 7: the work itself.

#[test]
fn leaf_mismatch() {
    let challenge = plain();
    let shape = challenge.shape();
    // Every leaf of the last iteration is made up, and committed to.
    let run = Run::with(&challenge, &UUIDS[..1], |_, iteration, state| match iteration {
        2 => vec![Digest([5; 32]); shape.leaves() as usize],
        _ => Oracle.iteration_leaves(shape, state),
    });
    let result = run.result(cpu_evidence(&UUIDS[..1]), None, None);
    rejected_by_itself(Reason::LeafMismatch, &challenge, &result);
    // An honest run, and one digest of one path changed.
    let good = honest(&challenge, 1);
    for digest in 0..8 {
        let mut result = good.clone();
        result.openings[1].path[digest].0[17] ^= 0x10;
        rejected_by_itself(Reason::LeafMismatch, &challenge, &result);
    }
}

#[test]
fn root_mismatch() {
    let challenge = challenge(|spec| spec.num_iterations = 8);
    let shape = challenge.shape();
    // One made-up leaf a run, never opened: samples can't find it, the whole can.
    let mut leaf = 0;
    let result = loop {
        let run = Run::with(&challenge, &UUIDS[..1], |_, iteration, state| {
            let mut leaves = Oracle.iteration_leaves(shape, state);
            if iteration == 5 {
                leaves[leaf] = Digest([5; 32]);
            }
            leaves
        });
        let result = run.result(cpu_evidence(&UUIDS[..1]), None, None);
        if verify(&challenge, &result, &Circumstances::default(), &Oracle).is_ok() {
            break result;
        }
        leaf += 1;
    };
    assert_eq!(result.commitment, commit(&challenge, &result.lanes, &result.evidence));
    for extent in [Extent::EveryIteration, Extent::SampledIterations] {
        let circumstances = Circumstances::default();
        let end =
            verify_full(&challenge, &result, &circumstances, &Oracle, extent, &mut { Oracle });
        match end {
            Err(Failure::Rejected(rejection)) => {
                assert_eq!(rejection.reason, Reason::RootMismatch);
                assert!(rejection.detail.contains("iteration 5"), "{rejection}");
            }
            other => panic!("{other:?}"),
        }
    }
}
