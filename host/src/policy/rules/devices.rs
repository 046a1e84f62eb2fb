//! Rules about the devices that answered, as the evidence names them.

use super::super::driver_version::DriverVersion;
use super::{Case, LaneCase};
use crate::appraisal::{models, plausible};
use crate::policy::RoundOn;
use crate::protocol::json::printable;
use crate::protocol::quantity::bytes_exactly;

/// `gpu-count`.
pub(in crate::policy) fn gpu_count(case: &Case<'_>) -> Option<String> {
    let (low, high) = (case.policy.devices.gpu_count_min, case.policy.devices.gpu_count_max);
    let lanes = case.facts.evidence.lanes().len() as u64;
    let fits = (low..=high).contains(&lanes) || case.facts.on == RoundOn::Host;
    (!fits).then(|| format!("expected {low} to {high} lanes, got {lanes}"))
}

/// `cpu-executor`, for all lanes.
pub(in crate::policy) fn cpu_executor(case: &Case<'_>) -> Option<String> {
    let is_asked = case.policy.devices.cpu_allowed || case.facts.on == RoundOn::Host;
    let broken = !case.is_of_gpus() && !is_asked;
    broken.then(|| "expected GPUs, a CPU did the work".to_owned())
}

/// `cpu-executor`, for one lane beside GPUs.
pub(in crate::policy) fn cpu_among_gpus(lane: &LaneCase<'_>) -> Option<String> {
    let is_cpu = lane.case.is_of_gpus() && !lane.is_gpu;
    let broken = is_cpu && !lane.case.policy.devices.cpu_allowed;
    broken.then(|| "expected a GPU, got a lane without SMs".to_owned())
}

/// `host-missing`.
pub(in crate::policy) fn host_missing(case: &Case<'_>) -> Option<String> {
    let host = case.facts.evidence.claims().host();
    let broken = case.policy.devices.host_required && host.is_none();
    broken.then(|| "expected the machine's id (machine_id), got none".to_owned())
}

/// `driver-version`.
pub(in crate::policy) fn driver_version(case: &Case<'_>) -> Option<String> {
    let devices = &case.policy.devices;
    let bounds = (&devices.driver_version_min, &devices.driver_version_max);
    if (bounds.0.is_empty() && bounds.1.is_empty()) || !case.is_of_gpus() {
        return None;
    }
    let text = case.facts.evidence.claims().machine().kernel_driver_version.as_deref();
    let version = text.and_then(|text| text.parse::<DriverVersion>().ok());
    let bound = |text: &String| text.parse::<DriverVersion>().ok();
    let fits = version.as_ref().is_some_and(|version| {
        bound(bounds.0).is_none_or(|least| version.is_at_least(&least))
            && bound(bounds.1).is_none_or(|most| version.is_at_most(&most))
    });
    (!fits).then(|| {
        let range = match (bounds.0.as_str(), bounds.1.as_str()) {
            (least, "") => format!("at least {least}"),
            ("", most) => format!("at most {most}"),
            (least, most) => format!("{least} to {most}"),
        };
        let got = text.map_or_else(|| "none".to_owned(), |text| printable(&text));
        format!("expected kernel driver {range}, got {got}")
    })
}

/// `model-not-allowed`.
pub(in crate::policy) fn model_not_allowed(lane: &LaneCase<'_>) -> Option<String> {
    let (allowed, got) = (&lane.case.policy.devices.models, &lane.lane.model);
    let fits = allowed.is_empty() || allowed.iter().any(|name| models::is_same_name(name, got));
    (!fits).then(|| format!("expected one of {}, got {got:?}", allowed.join(", ")))
}

fn is_mig(lane: &LaneCase<'_>) -> bool {
    plausible::is_mig_instance(lane.case.facts.evidence, lane.g)
}

/// `mig-instance`.
pub(in crate::policy) fn mig_instance(lane: &LaneCase<'_>) -> Option<String> {
    let broken = is_mig(lane) && !lane.case.policy.devices.mig_allowed;
    broken.then(|| format!("expected a whole GPU, got the MIG instance {:?}", lane.lane.model))
}

/// `model-unknown`. An instance's name is in no table; whether it may answer is
/// `mig-instance`.
pub(in crate::policy) fn model_unknown(lane: &LaneCase<'_>) -> Option<String> {
    let is_unknown = lane.is_gpu && lane.model.is_none() && !is_mig(lane);
    let broken = is_unknown && !lane.case.policy.devices.unknown_models_allowed;
    broken.then(|| format!("expected a model of the table, got {:?}", lane.lane.model))
}

/// `serial-missing`.
pub(in crate::policy) fn serial_missing(lane: &LaneCase<'_>) -> Option<String> {
    let broken = lane.case.policy.devices.serial_required && lane.claims().serial().is_none();
    broken.then(|| "expected the board's serial number, got none".to_owned())
}

/// `memory-too-small`.
pub(in crate::policy) fn memory_too_small(lane: &LaneCase<'_>) -> Option<String> {
    let expected = lane.case.policy.devices.memory_min_bytes;
    (lane.lane.memory_bytes < expected).then(|| {
        let got = match lane.lane.memory_bytes {
            0 => lane.lane.memory_text(),
            bytes => bytes_exactly(bytes),
        };
        format!("expected at least {} of memory, got {got}", bytes_exactly(expected))
    })
}

/// `sm-counters-missing`.
pub(in crate::policy) fn sm_counters_missing(lane: &LaneCase<'_>) -> Option<String> {
    (lane.is_gpu && lane.lane.sm_tiles.is_empty()).then(|| {
        let why = lane.lane.sm_monitoring.as_deref().unwrap_or("no reason given");
        format!("expected counters of {} SMs, got {why:?}", lane.lane.sm_count)
    })
}

/// `sm-share-low`, if there are counters.
pub(in crate::policy) fn sm_share_low(lane: &LaneCase<'_>) -> Option<String> {
    let (expected, got) = (lane.case.policy.devices.sm_share_min, lane.lane.sm_utilization());
    (lane.is_gpu && !lane.lane.sm_tiles.is_empty() && got < expected).then(|| {
        let (expected, got) = (100.0 * expected, 100.0 * got);
        format!("expected work on {expected:.1} % of the SMs, got {got:.1} %")
    })
}

#[cfg(test)]
pub(in crate::policy) mod cases {
    use super::super::example::{Cases, lane};
    use crate::policy::codes::Action;
    use serde_json::json;

    pub(in crate::policy) const CASES: Cases = &[
        ("model-not-allowed", |case| case.policy.devices.models = vec!["NVIDIA B200".into()]),
        ("model-unknown", |case| {
            lane(case)["model"] = json!("NVIDIA H300");
            case.policy.findings.set("floor-unknown", Action::Ignore);
        }),
        ("cpu-executor", |case| {
            let lane = lane(case);
            (lane["sm_count"], lane["sm_tiles"]) = (json!(0), json!([]));
            case.evidence["executor"] = json!("cpu");
        }),
        ("cpu-executor", |case| {
            let lane = lane(case);
            (lane["sm_count"], lane["sm_tiles"]) = (json!(0), json!([]));
        }),
        ("mig-instance", |case| {
            lane(case)["model"] = json!("NVIDIA H200 MIG 1g.18gb");
            case.policy.findings.set("floor-unknown", Action::Ignore);
        }),
        ("mig-instance", |case| lane(case)["mig"] = json!({"parent_uuid": "02"})),
        ("gpu-count", |case| case.policy.devices.gpu_count_min = 2),
        ("memory-too-small", |case| case.policy.devices.memory_min_bytes = 160_000_000_000),
        ("driver-version", |case| case.policy.devices.driver_version_min = "580.95".into()),
        ("driver-version", |case| case.policy.devices.driver_version_max = "575".into()),
        ("driver-version", |case| {
            case.policy.devices.driver_version_min = "535".into();
            case.evidence["machine"] = json!({});
        }),
        ("sm-share-low", |case| {
            for sm in 0..20 {
                lane(case)["sm_tiles"][sm] = json!("0");
            }
        }),
        ("serial-missing", |case| {
            case.policy.devices.serial_required = true;
            lane(case)["serial"] = json!("");
        }),
        ("host-missing", |case| {
            case.policy.devices.host_required = true;
            case.evidence["machine"] = json!({});
        }),
        ("sm-counters-missing", |case| {
            let lane = lane(case);
            (lane["sm_tiles"], lane["sm_monitoring"]) = (json!([]), json!("unavailable: zeros"));
        }),
    ];
}
