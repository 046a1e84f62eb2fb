//! Steps 6 and 7: evidence and the work itself.

use super::{UUIDS, accept, challenge, honest, plain, rejected_by_itself};
use crate::common::{cpu_evidence, verify_full};
use attest::protocol::challenge::Challenge;
use attest::protocol::circumstances::Circumstances;
use attest::protocol::digest::Digest;
use attest::protocol::evidence::Evidence;
use attest::protocol::rejection::Reason;
use attest::protocol::result::{ResultDoc, commit};
use attest::protocol::verified::Extent;
use attest::protocol::verify::{Failure, verify};
use attest::reference::{Oracle, Run};
use serde_json::{Value, json};

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
    // What an arena takes is asked for whether or not the challenge says so.
    let arena = |bytes: Option<u64>| {
        challenge(|spec| {
            spec.min_memory_bytes = bytes;
            spec.work = crate::common::arena(512, 0, 0);
        })
    };
    let of = |challenge: &Challenge, bytes: u64| {
        with_evidence(challenge, |value| value["lanes"][0]["memory_bytes"] = bytes.into())
    };
    for asked in [None, Some(1 << 20)] {
        let challenge = arena(asked);
        accept(&challenge, &of(&challenge, 1 << 21), &Circumstances::default());
        let less = of(&challenge, (1 << 21) - 1);
        rejected_by_itself(Reason::EvidenceMemory, &challenge, &less);
    }
    let challenge = arena(Some((1 << 21) + 1));
    rejected_by_itself(Reason::EvidenceMemory, &challenge, &of(&challenge, 1 << 21));
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
    let shape = challenge.work().fp64_product().unwrap();
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
    let shape = challenge.work().fp64_product().unwrap();
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
        let end = verify_full(&challenge, &result, &circumstances, extent);
        match end {
            Err(Failure::Rejected(rejection)) => {
                assert_eq!(rejection.reason, Reason::RootMismatch);
                assert!(rejection.detail.contains("iteration 5"), "{rejection}");
            }
            other => panic!("{other:?}"),
        }
    }
}
