//! Rules about how long the run took.

use super::{Case, LaneCase};
use crate::appraisal::floors;
use crate::appraisal::models::{self, Model};

/// A miner's clock may run this much faster than the validator's.
const CLOCK_DRIFT: f64 = 1.01;

/// `floor-unknown`: the first GPU's lane without one.
pub(in crate::policy) fn floor_unknown(case: &Case<'_>) -> Option<String> {
    let first = case.lanes().find(|lane| lane.model.is_none()).filter(|_| case.is_of_gpus())?;
    Some(format!("lane {}: no floor is known for {:?}", first.g, first.lane.model))
}

/// `elapsed-unknown`.
pub(in crate::policy) fn elapsed_unknown(case: &Case<'_>) -> Option<String> {
    let text = "no clock of the validator ran, so slack x floor was not checked";
    case.facts.elapsed.is_none().then(|| text.to_owned())
}

/// `too-slow`: the slowest of the models decides.
pub(in crate::policy) fn too_slow(case: &Case<'_>) -> Option<String> {
    let elapsed_s = case.facts.elapsed?.as_secs_f64();
    let challenge = case.facts.challenge;
    let floor =
        |model: &Model| floors::native_seconds(challenge.work(), challenge.iterations(), model);
    let models = case.facts.evidence.lanes().iter().filter_map(|lane| models::find(&lane.model));
    let floor_s = models.filter_map(floor).reduce(f64::max)?;
    let limit_s = case.policy.limit_s(floor_s, case.facts.round_trip);
    (elapsed_s > limit_s).then(|| {
        format!(
            "expected at most {limit_s:.3} s ({} x the floor of {floor_s:.3} s and allowances), got {elapsed_s:.3} s",
            case.policy.time.slack
        )
    })
}

/// `duration-contradicted`.
pub(in crate::policy) fn duration_contradicted(lane: &LaneCase<'_>) -> Option<String> {
    let claimed_s = 1e-9 * lane.claims().elapsed_ns()? as f64;
    let elapsed_s = lane.case.facts.elapsed?.as_secs_f64();
    (claimed_s > CLOCK_DRIFT * elapsed_s)
        .then(|| format!("reports a run of {claimed_s:.3} s, {elapsed_s:.3} s passed"))
}

#[cfg(test)]
pub(in crate::policy) mod cases {
    use super::super::example::{Cases, lane};
    use serde_json::json;
    use std::time::Duration;

    pub(in crate::policy) const CASES: Cases = &[
        ("too-slow", |case| case.elapsed = Some(Duration::from_secs(5))),
        ("elapsed-unknown", |case| case.elapsed = None),
        ("floor-unknown", |case| {
            lane(case)["model"] = json!("NVIDIA H300");
            case.policy.devices.unknown_models_allowed = true;
        }),
        ("duration-contradicted", |case| {
            lane(case)["elapsed_ns"] = json!("2200000000");
            lane(case)["achieved_flops"] = json!("49977801262545");
        }),
    ];
}
