//! What a session of several rounds is held to, for those who would rather not answer all of
//! them, or not with what they named. Pure judging of full-size rounds: no work is done.

use attest::appraisal::models;
use attest::mining::issue::{Request, issue};
use attest::policy::{
    Facts, Policy, Rig, RoundFacts, RoundKind, RoundOn, RoundPlan, SessionFacts, Weight,
};
use attest::protocol::bound::{Bound, Grinding, OmittedShare, log10_escape};
use attest::protocol::digest::Uuid;
use attest::protocol::evidence::Evidence;
use serde_json::json;
use std::time::Duration;

const H200: &str = "NVIDIA H200";
const RTX_4090: &str = "NVIDIA GeForce RTX 4090";

fn policy(text: &str) -> Policy {
    Policy::from_toml(text, "p.toml").unwrap()
}

/// The session of a policy with one card of this model.
fn planned(policy: &Policy, model: &str) -> Vec<RoundPlan> {
    let rig = Rig { gpu_model: Some(model), gpus: 1, devices: 1, round_trip: None };
    policy.rounds(&rig, Request::default()).unwrap()
}

/// What such a card says about itself.
fn evidence(model: &str, uuid: u8) -> Evidence {
    let of_table = models::find(model).unwrap();
    let lane = json!({
        "uuid": Uuid([uuid; 16]).to_string(),
        "model": model,
        "memory_bytes": of_table.memory_bytes(),
        "sm_count": of_table.sm_count,
        "sm_tiles": [],
        "sm_monitoring": "unavailable: this GPU is a test's",
    });
    Evidence::from_value(json!({"schema": 1, "executor": "gpu", "lanes": [lane]})).unwrap()
}

/// What is kept of a round that was answered in this many seconds.
fn answered(plan: &RoundPlan, evidence: &Evidence, seconds: f64) -> RoundFacts {
    let challenge = issue(&plan.request).unwrap();
    let (share, draws, grinding) = (OmittedShare::default(), 2100, Grinding::ExcludedByCoin);
    let log10_escape = log10_escape(share, draws, grinding);
    RoundFacts::of(&Facts {
        challenge: &challenge,
        evidence,
        bound: Bound::Sampled { omitted_share: share, draws, grinding, log10_escape },
        live: true,
        elapsed: Some(Duration::from_secs_f64(seconds)),
        round_trip: None,
        history: &[],
        on: RoundOn::Devices,
        devices: &[],
        machine: None,
    })
}

/// The codes of what rejects a session of these rounds.
fn rejecting(policy: &Policy, rounds: &[RoundFacts], planned: &[RoundPlan]) -> Vec<&'static str> {
    let session = SessionFacts { rounds, planned, ..SessionFacts::default() };
    let reasons = policy.judge_session(&session).reasons.into_iter();
    let rejecting = reasons.filter(|reason| reason.weight == Weight::Reject);
    rejecting.map(|reason| reason.code).collect()
}

#[test]
fn an_old_version_or_an_early_end_leaves_no_round_out() {
    let policy = Policy::default();
    let planned = planned(&policy, H200);
    let card = evidence(H200, 1);
    let rounds: Vec<_> = planned.iter().map(|plan| answered(plan, &card, 8.2)).collect();
    assert_eq!(rejecting(&policy, &rounds, &planned), [""; 0]);
    // A program of the first version takes one round, and has shown no memory.
    let missing = rejecting(&policy, &rounds[..1], &planned);
    assert_eq!(missing, ["round-missing", "round-missing"]);
    assert_eq!(rejecting(&policy, &rounds[..2], &planned), ["round-missing"]);
}

#[test]
fn each_round_by_the_card_that_is_best_at_it() {
    let policy = Policy::default();
    let planned = planned(&policy, H200);
    let [own, other, smaller] =
        [evidence(H200, 1), evidence(H200, 2), evidence("NVIDIA H100 80GB HBM3", 1)];
    for (of_memory, expected) in
        [(&own, None), (&other, Some("devices-changed")), (&smaller, Some("devices-changed"))]
    {
        let cards = [&own, &own, of_memory];
        let rounds: Vec<_> =
            planned.iter().zip(cards).map(|(plan, card)| answered(plan, card, 4.2)).collect();
        assert_eq!(rejecting(&policy, &rounds, &planned), Vec::from_iter(expected));
    }
}

#[test]
fn fp64_products_are_no_proof_of_a_card_with_few_units_for_them() {
    let fp64 = policy("[[round]]\nkind = \"fp64\"\n[findings]\nfp64-alone = \"ignore\"\n");
    let planned = planned(&fp64, RTX_4090);
    let rounds = [answered(&planned[0], &evidence(RTX_4090, 1), 8.2)];
    assert_eq!(rejecting(&fp64, &rounds, &planned), [""; 0]);
    assert_eq!(rejecting(&Policy::default(), &rounds, &planned), ["fp64-alone"]);
}

#[test]
fn a_slow_card_is_slow_in_whatever_it_is_asked() {
    let demanding = policy(
        "fp64.fp64_tflops_min = 50\ninteger.int8_tops_min = 1200\n\
         memory.resident_bytes_min = 115000000000\nmemory.memory_gb_s_min = 3300\n",
    );
    let planned = planned(&demanding, H200);
    let card = evidence(H200, 1);
    let seconds = |kind: RoundKind| if kind == RoundKind::Fp64 { 8.1 } else { 4.1 };
    for slow in [None, Some(RoundKind::Fp64), Some(RoundKind::Integer), Some(RoundKind::Memory)] {
        let rounds: Vec<_> = planned
            .iter()
            .map(|plan| {
                let factor = if slow == Some(plan.kind) { 1.3 } else { 1.0 };
                answered(plan, &card, factor * seconds(plan.kind))
            })
            .collect();
        let expected = slow.map(|kind| match kind {
            RoundKind::Fp64 => "fp64-rate-low",
            RoundKind::Integer => "integer-rate-low",
            RoundKind::Memory | RoundKind::Links => "memory-rate-low",
        });
        assert_eq!(rejecting(&demanding, &rounds, &planned), Vec::from_iter(expected));
    }
}
