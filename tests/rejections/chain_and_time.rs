//! Steps 3 to 5: chain, openings, time.

use super::{UUIDS, accept, challenge, honest, plain, rejected, rejected_by_itself, unreadable};
use crate::common::{cpu_evidence, evidence_of_models};
use attest::appraisal::floors;
use attest::protocol::circumstances::{Circumstances, FloorTable};
use attest::protocol::digest::Digest;
use attest::protocol::rejection::Reason;
use attest::protocol::result::Opening;
use attest::reference::Run;
use std::time::Duration;

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
    let challenge = challenge(|spec| spec.work = crate::common::products(384, 1));
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
    let table: FloorTable = |work, iterations, model| {
        let flop = work.cost().amount as f64 * f64::from(iterations);
        (model == "reference").then_some(flop / 1e9)
    };
    let within = |elapsed| Circumstances {
        elapsed: Some(elapsed),
        floors: Some(table),
        ..Default::default()
    };
    accept(&challenge, &result, &within(Duration::from_nanos(8_388_608)));
    rejected(Reason::TooFast, &challenge, &result, &within(Duration::from_nanos(8_388_607)));
    let unknown: FloorTable = |_, _, _| None;
    let no_floor = Circumstances { floors: Some(unknown), ..within(Duration::ZERO) };
    accept(&challenge, &result, &no_floor);
}

#[test]
fn too_fast_by_the_table_of_models() {
    let challenge = plain();
    let within = |elapsed_ns| Circumstances {
        elapsed: Some(Duration::from_nanos(elapsed_ns)),
        floors: Some(floors::seconds),
        ..Default::default()
    };
    // 2·128³·2 operations, 1.1 · 2·10⁶ · 40 · 1590 · 25.6 a second: 2341.9 ns.
    let of = |names: &[&str]| {
        let uuids = &UUIDS[..names.len()];
        Run::of(&challenge, uuids).result(evidence_of_models(uuids, names), None, None)
    };
    let t4 = of(&["Tesla T4"]);
    accept(&challenge, &t4, &within(2342));
    rejected(Reason::TooFast, &challenge, &t4, &within(2341));
    // The slowest lane decides, wherever it is; unknown models decide nothing.
    let mixed = of(&["NVIDIA H200", "NVIDIA H300", "Tesla T4"]);
    accept(&challenge, &mixed, &within(2342));
    rejected(Reason::TooFast, &challenge, &mixed, &within(2341));
    accept(&challenge, &of(&["NVIDIA H300"]), &within(0));
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
