//! Tricks with devices and time: one GPU for two, names that change hands, work
//! faster than the claimed model can do it. Time is the test's.

use super::turned::{Records, Turned};
use super::{Say, UUIDS, challenge, ended_with, key, live_with, public, request};
use attest::appraisal::models;
use attest::mining::issue::Request;
use attest::policy::Policy;
use attest::protocol::challenge::{Challenge, ChallengeSpec};
use attest::protocol::digest::{Digest, Uuid};
use attest::protocol::evidence::Evidence;
use attest::protocol::names::Root;
use attest::protocol::verdict::ExcludedBy;
use attest::reference::Run;
use attest::session::validator::Ended;
use serde_json::{Value, json};
use std::time::Duration;

const MODEL: &str = "NVIDIA A30";

/// What GPUs without counters say about themselves; each has its serial number.
pub(super) fn gpus(uuids: &[Uuid], serials: &[&str]) -> Evidence {
    let lane = |(uuid, serial): (&Uuid, &&str)| {
        json!({
            "uuid": uuid.to_string(),
            "model": MODEL,
            "memory_bytes": 24_u64 << 30,
            "sm_count": 56,
            "sm_tiles": [],
            "sm_monitoring": "unavailable: these GPUs are a test's",
            "serial": serial,
        })
    };
    let lanes: Vec<Value> = uuids.iter().zip(serials).map(lane).collect();
    Evidence::from_value(json!({"schema": 1, "executor": "gpu", "lanes": lanes})).unwrap()
}

/// No allowances, and soundness for these small challenges.
pub(super) fn policy() -> Policy {
    let mut policy = Policy::default();
    policy.time.startup_allowance_ms = 0;
    (policy.soundness.omitted_share, policy.soundness.escape_probability_max) = (0.5, 1e-6);
    policy
}

/// The shortest time in which the model does one lane's part.
pub(super) fn floor(challenge: &Challenge) -> Duration {
    let multiply_adds = challenge.work().fp64_product().unwrap().multiply_adds() as f64
        * f64::from(challenge.iterations());
    let model = models::find(MODEL).unwrap();
    Duration::from_secs_f64(2.0 * multiply_adds / model.native_floor_flops())
}

fn two_lanes(nonce: u8) -> Challenge {
    challenge(|spec| {
        spec.validator_nonce = Digest([nonce; 32]);
        (spec.gpu_count, spec.samples_per_iteration) = (Some(2), 20);
    })
}

/// A session whose commitment comes after `elapsed`.
pub(super) fn session(
    records: &Records,
    challenge: &Challenge,
    policy: Policy,
    say: &Say,
    elapsed: Duration,
) -> Ended {
    records.issue(challenge);
    let mut session = Turned::judging(records, challenge, Some(policy));
    session.pass(elapsed);
    session.send(&say.commitment_line());
    let coin = session.coin.expect("accepted");
    session.send(&say.openings_line(coin));
    session.end()
}

/// What the policy held against it.
pub(super) fn reasons(ended: &Ended) -> Vec<&str> {
    let judgement = ended.verdict.policy.as_ref().expect("it verified");
    judgement.rejecting().map(|reason| reason.code).collect()
}

#[test]
fn one_gpu_poses_as_two() {
    let challenge = two_lanes(1);
    let say = Say { evidence: gpus(&UUIDS, &["1", "2"]), ..Say::of(Run::of(&challenge, &UUIDS)) };
    // A run takes a GPU 1.2 floors; one GPU does both lanes' in 2.4.
    let run = floor(&challenge).mul_f64(1.2);
    let two = session(&Records::new(), &challenge, policy(), &say, run);
    ended_with("verified", &two);
    let one = session(&Records::new(), &challenge, policy(), &say, 2 * run);
    ended_with("rejected-by-policy", &one);
    assert_eq!(reasons(&one), ["too-slow"]);
}

/// Whatever they claim: by the time and the work.
#[test]
fn a_verdict_names_the_models_that_a_run_excludes() {
    let challenge = two_lanes(1);
    let say = Say { evidence: gpus(&UUIDS, &["1", "2"]), ..Say::of(Run::of(&challenge, &UUIDS)) };
    let after = |elapsed| session(&Records::new(), &challenge, policy(), &say, elapsed).verdict;
    // Half of the work in 1.2 floors is 0.42 of an A30: 4.7 TFLOP/s.
    let verdict = after(floor(&challenge).mul_f64(1.2));
    let shown = verdict.models.as_ref().expect("a live session shows something of models");
    let excluded = |name: &str| shown.excluded.iter().find(|row| row.model == name);
    assert_eq!(excluded("Tesla T4").unwrap().by, [ExcludedBy::Fp64]);
    assert!(excluded(MODEL).is_none() && shown.possible.iter().any(|name| name == MODEL));
    let count = |name: &str| shown.equivalents.iter().find(|of| of.model == name).unwrap().count;
    assert_eq!((count(MODEL), count("Tesla T4")), (1, 3), "9.5 TFLOP/s over a T4's");
    let text = verdict.render_text();
    for said in ["one device a lane can have been ", "one device a lane can't have been "] {
        assert!(text.contains(said), "{text}");
    }
    assert!(serde_json::to_value(&verdict).unwrap()["models"]["possible"].is_array());
}

#[test]
fn one_gpu_poses_as_two_within_a_challenges_own_limit() {
    let limited = |nonce| {
        let spec = two_lanes(nonce).spec().clone();
        Challenge::issue(ChallengeSpec { max_duration_ms: Some(1900), ..spec }).unwrap()
    };
    let challenge = limited(1);
    let say = Say { evidence: gpus(&UUIDS, &["1", "2"]), ..Say::of(Run::of(&challenge, &UUIDS)) };
    let mut lenient = policy();
    lenient.time.startup_allowance_ms = 10_000;
    let after = |seconds| {
        session(&Records::new(), &challenge, lenient.clone(), &say, Duration::from_secs(seconds))
    };
    ended_with("verified", &after(1));
    ended_with("late", &after(2));
}

#[test]
fn two_gpus_swap_uuids() {
    let records = Records::new();
    let run = |nonce, serials: [&str; 2]| {
        let challenge = two_lanes(nonce);
        let evidence = gpus(&UUIDS, &serials);
        let say = Say { evidence, ..Say::of(Run::of(&challenge, &UUIDS)) };
        session(&records, &challenge, policy(), &say, floor(&challenge))
    };
    ended_with("verified", &run(1, ["1", "2"]));
    ended_with("verified", &run(2, ["1", "2"]));
    let swapped = run(3, ["2", "1"]);
    ended_with("rejected-by-policy", &swapped);
    assert_eq!(reasons(&swapped), ["uuid-changed-serial", "uuid-changed-serial"]);
}

/// A demand for what the ledger compares: the evidence names neither board nor host.
#[test]
fn devices_without_names_to_compare() {
    let challenge = two_lanes(1);
    let say = Say { evidence: gpus(&UUIDS, &["1", ""]), ..Say::of(Run::of(&challenge, &UUIDS)) };
    let mut strict = policy();
    (strict.devices.serial_required, strict.devices.host_required) = (true, true);
    strict.session.miner_key_required = true;
    let judged = |policy| session(&Records::new(), &challenge, policy, &say, floor(&challenge));
    ended_with("verified", &judged(policy()));
    let ended = judged(strict);
    ended_with("rejected-by-policy", &ended);
    assert_eq!(reasons(&ended), ["miner-key-missing", "host-missing", "serial-missing"]);
}

fn of_miner(nonce: u8, miner: u8) -> Challenge {
    challenge(|spec| {
        spec.validator_nonce = Digest([nonce; 32]);
        (spec.gpu_count, spec.miner_id) = (Some(1), Some(public(miner).encoded()));
    })
}

fn said_by(challenge: &Challenge, miner: u8) -> Say {
    let evidence = gpus(&UUIDS[..1], &["1"]);
    Say { evidence, ..Say::honestly(challenge) }.signed(key(miner))
}

/// How an honest session of this miner ends, with the one GPU.
fn session_of(records: &Records, nonce: u8, miner: u8) -> Ended {
    let challenge = of_miner(nonce, miner);
    session(records, &challenge, policy(), &said_by(&challenge, miner), floor(&challenge))
}

/// A session of this miner with the one GPU that waits for its openings.
fn committed(records: &Records, nonce: u8, miner: u8) -> (Turned, Say) {
    let challenge = of_miner(nonce, miner);
    records.issue(&challenge);
    let say = said_by(&challenge, miner);
    let mut session = Turned::judging(records, &challenge, Some(policy()));
    session.pass(floor(&challenge));
    session.send(&say.commitment_line());
    (session, say)
}

#[test]
fn one_gpu_under_two_identities() {
    let records = Records::new();
    let run = |nonce, miner| session_of(&records, nonce, miner);
    ended_with("verified", &run(1, 2));
    ended_with("verified", &run(2, 2));
    let other = run(3, 3);
    ended_with("rejected-by-policy", &other);
    assert_eq!(reasons(&other), ["uuid-under-two-identities"]);
}

#[test]
fn a_stranger_names_another_miners_gpu() {
    let records = Records::new();
    let owner = |nonce| session_of(&records, nonce, 2);
    ended_with("verified", &owner(1));
    // With honest work on a GPU of its own, and with junk.
    let ended = session_of(&records, 2, 3);
    ended_with("rejected-by-policy", &ended);
    assert_eq!(reasons(&ended), ["uuid-under-two-identities"]);
    let challenge = of_miner(3, 3);
    let leaves = challenge.work().leaves() as usize;
    let run = Run::with(&challenge, &UUIDS[..1], |_, _, _| vec![Digest([0xee; 32]); leaves]);
    let junk = Say { run, ..said_by(&challenge, 3) };
    ended_with("leaf-mismatch", &session(&records, &challenge, policy(), &junk, floor(&challenge)));
    // Neither speaks against the owner.
    ended_with("verified", &owner(4));
}

#[test]
fn one_gpu_in_two_sessions_at_once() {
    let records = Records::new();
    let open = |nonce| committed(&records, nonce, 2);
    let [mut first, mut second] = [open(1), open(2)];
    for (session, say) in [&mut first, &mut second] {
        let coin = session.coin.expect("accepted");
        session.send(&say.openings_line(coin));
    }
    ended_with("verified", &first.0.end());
    let second = second.0.end();
    ended_with("rejected-by-policy", &second);
    assert_eq!(reasons(&second), ["uuid-in-two-sessions"]);
    // One after the other is no finding.
    let (mut third, say) = open(3);
    let coin = third.coin.expect("accepted");
    third.send(&say.openings_line(coin));
    ended_with("verified", &third.end());
}

/// Two challenges are out; the one GPU answers the first, and when that is settled and
/// its device free again, the second.
#[test]
fn one_gpu_answers_two_sessions_by_turns() {
    let (slow, second) = (Duration::from_secs(20), Duration::from_secs(1));
    let mut lenient = policy();
    lenient.time.startup_allowance_ms = 60_000;
    let open = |records: &Records, nonce, later: Duration| {
        let at = challenge(|_| ()).issued_at_unix_s() + later.as_secs() as i64;
        let issued_at = attest::protocol::time::format(at).unwrap();
        let spec = of_miner(nonce, 2).spec().clone();
        let challenge = Challenge::issue(ChallengeSpec { issued_at, ..spec }).unwrap();
        records.issue(&challenge);
        let session = Turned::judging(records, &challenge, Some(lenient.clone()));
        (session, said_by(&challenge, 2))
    };
    let answer = |(mut session, say): (Turned, Say), after| {
        session.pass(after);
        session.send(&say.commitment_line());
        let coin = session.coin.expect("accepted");
        session.send(&say.openings_line(coin));
        session.end()
    };
    let records = Records::new();
    let [first, other] = [1, 2].map(|nonce| open(&records, nonce, Duration::ZERO));
    ended_with("verified", &answer(first, slow));
    let other = answer(other, slow + second);
    ended_with("rejected-by-policy", &other);
    assert_eq!(reasons(&other), ["uuid-in-two-sessions"]);
    // Asked when it was done with the first, it is an honest GPU.
    let records = Records::new();
    ended_with("verified", &answer(open(&records, 1, Duration::ZERO), slow));
    ended_with("verified", &answer(open(&records, 2, slow), slow));
}

#[test]
fn a_stranger_claims_another_miners_gpu_and_stalls() {
    let records = Records::new();
    let owner = |nonce| session_of(&records, nonce, 2);
    let stall = |nonce, miner| committed(&records, nonce, miner).0;
    let give_up = |mut session: Turned| {
        session.reach_deadline(Duration::from_millis(1));
        session.tick();
        ended_with("stalled", &session.end());
    };
    // Nobody holds the name yet, and nobody can tell who is who.
    let stranger = stall(1, 3);
    assert_eq!(reasons(&owner(2)), ["uuid-in-two-sessions"]);
    give_up(stranger);
    ended_with("verified", &owner(3));
    // Now somebody does.
    let stranger = stall(4, 3);
    ended_with("verified", &owner(5));
    give_up(stranger);
    // Whoever holds it does not work twice with it at once.
    let first = stall(6, 2);
    assert_eq!(reasons(&owner(7)), ["uuid-in-two-sessions"]);
    give_up(first);
}

#[test]
fn faster_than_the_claimed_model() {
    let challenge = challenge(|spec| spec.gpu_count = Some(1));
    let say = Say { evidence: gpus(&UUIDS[..1], &["1"]), ..Say::honestly(&challenge) };
    let model = models::find(MODEL).unwrap();
    let multiply_adds = challenge.work().fp64_product().unwrap().multiply_adds() as f64
        * f64::from(challenge.iterations());
    let floor = Duration::from_secs_f64(2.0 * multiply_adds / model.floor_flops());
    let after = |elapsed| session(&Records::new(), &challenge, policy(), &say, elapsed);
    let nanosecond = Duration::from_nanos(1);
    ended_with("verified", &after(floor + nanosecond));
    ended_with("too-fast", &after(floor - nanosecond));
}

#[tokio::test]
async fn roots_out_of_thin_air_are_too_fast() {
    // Months of work by the challenge's size, answered at once with invented roots:
    // the claimed model is refuted before anything is recomputed.
    let much = Request {
        matrix_dim: Some(32_768),
        num_iterations: Some(50),
        samples_per_iteration: Some(1),
        ..request()
    };
    let ended = invent(much, MODEL).await;
    ended_with("too-fast", &ended);
    // The same claim for work that a CPU has done in more than that time.
    let honest = live_with(request(), |challenge| Say {
        evidence: gpus(&UUIDS[..1], &["1"]),
        ..Say::honestly(challenge)
    });
    ended_with("verified", &honest.await);
}

/// A live session with a miner that makes up roots and paths.
pub(super) async fn invent(request: Request, model: &str) -> Ended {
    use attest::protocol::merkle::path_len;
    use attest::protocol::result::{LaneRoots, Opening, ResultDoc, commit};
    use attest::protocol::sample::{SamplePoint, derive};
    use attest::session::message::{commitment_line_of, openings_line};
    let mut evidence = gpus(&UUIDS[..1], &["1"]).value().clone();
    evidence["lanes"][0]["model"] = json!(model);
    let evidence = Evidence::from_value(evidence).unwrap();
    super::live(&super::Recording::new(), request, async |mut peer| {
        peer.greet(None).await;
        let challenge = peer.challenge().await;
        let iteration_roots =
            (1..=challenge.iterations()).map(|i| Root(Digest::of(&[&i.to_be_bytes()]).0)).collect();
        let lanes = vec![LaneRoots { uuid: UUIDS[0], iteration_roots }];
        let commitment = commit(&challenge, &lanes, &evidence);
        peer.send(commitment_line_of(commitment, &lanes, &evidence, None)).await;
        let coin = peer.coin().await;
        let leaves = challenge.work().leaves();
        let open = |SamplePoint { lane, iteration, leaf }| {
            let path = vec![Digest::default(); path_len(leaf, leaves)];
            Opening { lane, iteration, leaf, path }
        };
        let openings =
            derive(&challenge, 1, &commitment, Some(&coin)).into_iter().map(open).collect();
        let result = ResultDoc {
            device_reports: Vec::new(),
            machine_report: None,
            challenge_digest: challenge.digest(),
            commitment,
            coin: Some(coin),
            lanes,
            evidence,
            openings,
            miner_signature: None,
        };
        peer.send(openings_line(&result)).await;
        peer.linger().await;
    })
    .await
}
