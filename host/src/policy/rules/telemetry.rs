//! Rules about what a GPU's lane reports of the run: clocks, power, faults.

use super::LaneCase;
use crate::protocol::evidence::telemetry::ClaimedHealth;

/// NVML's reasons for lower clocks that are no limit of the card's own: heat,
/// and a power supply or a board that asks for it.
const THROTTLE_BAD: [&str; 4] =
    ["HW_SLOWDOWN", "HW_THERMAL_SLOWDOWN", "HW_POWER_BRAKE_SLOWDOWN", "SW_THERMAL_SLOWDOWN"];

/// `telemetry-missing`.
pub(in crate::policy) fn missing(lane: &LaneCase<'_>) -> Option<String> {
    let missing = lane.is_gpu && clock_mhz(lane).is_none() && power_w(lane).is_none();
    missing.then(|| "expected clocks and power, got none".to_owned())
}

/// `clock-low`, of models with a known highest clock.
pub(in crate::policy) fn clock_low(lane: &LaneCase<'_>) -> Option<String> {
    let share = lane.case.policy.telemetry.clock_share_min;
    let model = lane.model.filter(|_| lane.is_gpu && share > 0.0)?;
    let least = share * f64::from(model.max_clock_mhz);
    median_below(least, clock_mhz(lane), "MHz")
}

/// `power-low`.
pub(in crate::policy) fn power_low(lane: &LaneCase<'_>) -> Option<String> {
    let least = lane.case.policy.telemetry.power_median_min_w;
    let asked = lane.is_gpu && least > 0.0;
    asked.then(|| median_below(least, power_w(lane), "W")).flatten()
}

/// The median SM clock over the run, MHz.
fn clock_mhz(lane: &LaneCase<'_>) -> Option<f64> {
    Some(lane.claims().sm_clock_mhz()?.median? as f64)
}

/// The median power over the run, W.
fn power_w(lane: &LaneCase<'_>) -> Option<f64> {
    Some(1e-3 * lane.claims().power_mw()?.median? as f64)
}

fn median_below(least: f64, got: Option<f64>, unit: &str) -> Option<String> {
    got.is_none_or(|got| got < least).then(|| {
        let got = got.map_or("none".to_owned(), |got| format!("{got:.0}"));
        format!("expected a median of at least {least:.0} {unit}, got {got}")
    })
}

/// `ecc-uncorrected-changed`.
pub(in crate::policy) fn ecc_uncorrected_changed(lane: &LaneCase<'_>) -> Option<String> {
    changed(lane, |health| health.ecc_uncorrected, "uncorrected memory errors")
}

/// `remapped-rows-changed`.
pub(in crate::policy) fn remapped_rows_changed(lane: &LaneCase<'_>) -> Vec<String> {
    let counters: [(Count, _); 2] = [
        (|health| health.rows_remapped_corrected, "rows remapped after corrected errors"),
        (|health| health.rows_remapped_uncorrected, "rows remapped after uncorrected errors"),
    ];
    counters.into_iter().filter_map(|(count, what)| changed(lane, count, what)).collect()
}

/// One of a device's error counts.
type Count = fn(&ClaimedHealth) -> Option<u64>;

/// A count that should be after the run what it was before.
fn changed(lane: &LaneCase<'_>, count: Count, what: &str) -> Option<String> {
    let seen = lane.claims().telemetry.as_ref().filter(|_| lane.is_gpu)?;
    let (before, after) = (count(seen.before.as_ref()?)?, count(seen.after.as_ref()?)?);
    (before != after).then(|| format!("{what}: expected {before} as before the run, got {after}"))
}

/// `throttled`.
pub(in crate::policy) fn throttled(lane: &LaneCase<'_>) -> Option<String> {
    let bad = |reason: &&str| THROTTLE_BAD.contains(reason);
    let reason = lane.claims().throttle_reasons().find(bad).filter(|_| lane.is_gpu)?;
    Some(format!("expected no slowdown by heat or hardware, got {reason}"))
}

#[cfg(test)]
pub(in crate::policy) mod cases {
    use super::super::example::{Cases, lane};
    use serde_json::json;

    pub(in crate::policy) const CASES: Cases = &[
        ("clock-low", |case| case.policy.telemetry.clock_share_min = 0.95),
        ("power-low", |case| case.policy.telemetry.power_median_min_w = 696.0),
        ("power-low", |case| {
            case.policy.telemetry.power_median_min_w = 1.0;
            lane(case)["telemetry"]["power_mw"] = json!("low");
        }),
        ("telemetry-missing", |case| lane(case)["telemetry"] = json!({})),
        ("throttled", |case| {
            lane(case)["telemetry"]["throttle_reasons"] =
                json!(["SW_POWER_CAP", "HW_THERMAL_SLOWDOWN"]);
        }),
        ("ecc-uncorrected-changed", |case| {
            lane(case)["telemetry"]["after"]["ecc_uncorrected"] = json!(4);
        }),
        ("remapped-rows-changed", |case| {
            lane(case)["telemetry"]["after"]["rows_remapped_corrected"] = json!(1);
        }),
    ];
}
