//! Rules about a session's rounds.

use super::{Case, SessionCase};
use crate::appraisal::models::{self, Model};
use crate::policy::{RoundKind, RoundOn};
use crate::protocol::json::printable;

/// FP64 multiply-adds an SM and clock of models whose other units may be as fast.
const FEW_FP64: u32 = 2;

/// Whether the rate of FP64 products says little of a model.
pub(in crate::policy) fn is_fp64_poor(model: &Model) -> bool {
    model.fp64_fma_per_sm_clock <= FEW_FP64
}

/// `round-missing`: one text for each.
pub(in crate::policy) fn missing(case: &SessionCase<'_>) -> Vec<String> {
    let session = case.session;
    let missing = session.planned.iter().enumerate().skip(session.rounds.len());
    let required = missing.filter(|(_, plan)| plan.required);
    let text = |(index, kind): (usize, &str)| {
        format!("expected round {index} ({kind}), the session ended before it")
    };
    required.map(|(index, plan)| text((index, plan.kind.name()))).collect()
}

/// `host-round`.
pub(in crate::policy) fn not_of_host(case: &Case<'_>) -> Option<String> {
    let lanes = case.facts.evidence.lanes().len();
    let is_kept = case.facts.on == RoundOn::Devices || (!case.is_of_gpus() && lanes == 1);
    (!is_kept).then(|| {
        let by = if case.is_of_gpus() { "GPUs" } else { "CPUs" };
        format!("expected the machine's CPUs as one lane, got {lanes} of {by}")
    })
}

/// `devices-changed`: the first round whose lanes differ.
pub(in crate::policy) fn devices_changed(case: &SessionCase<'_>) -> Option<String> {
    let mut rounds = case.session.of_devices();
    let (_, first) = rounds.next()?;
    let (index, round) = rounds.find(|(_, round)| round.devices != first.devices)?;
    let of_first = |device: &&(_, String)| !first.devices.contains(device);
    let got = match round.devices.iter().find(of_first) {
        Some((uuid, model)) => format!("{} ({uuid})", printable(model)),
        None => format!("{} lanes of {}", round.devices.len(), first.devices.len()),
    };
    Some(format!("expected the same devices in every round, round {index} has {got}"))
}

/// `fp64-alone`: the first lane of such a model.
pub(in crate::policy) fn fp64_alone(case: &SessionCase<'_>) -> Option<String> {
    let rounds = || case.session.of_devices().map(|(_, round)| round);
    if rounds().any(|round| round.kind() != RoundKind::Fp64) {
        return None;
    }
    let mut names = rounds().flat_map(|round| &round.devices).map(|(_, name)| name);
    let name = names.find(|name| models::find(name).is_some_and(is_fp64_poor))?;
    Some(format!("expected a round of integer products or memory of {}, got none", printable(name)))
}

#[cfg(test)]
pub(in crate::policy) mod cases {
    use super::super::example::{Cases, Example, lane};
    use crate::mining::issue::Request;
    use crate::policy::codes::Action;
    use crate::policy::{RoundKind, RoundOn, RoundPlan};
    use crate::protocol::work::integer_product::IntegerProduct;
    use serde_json::json;

    fn planned(kind: RoundKind, required: bool) -> RoundPlan {
        RoundPlan { required, ..RoundPlan::alone(kind, Request::default()) }
    }

    /// The same work by an RTX 4090, at the rate of one.
    fn fp64_poor(case: &mut Example) {
        let lane = lane(case);
        lane["model"] = json!("NVIDIA GeForce RTX 4090");
        (lane["memory_bytes"], lane["sm_count"]) = (json!(25_000_000_000_u64), json!(128));
        lane["sm_tiles"] = json!(vec!["6400"; 128]);
        (lane["elapsed_ns"], lane["achieved_flops"]) =
            (json!("90000000000"), json!("1221679586548"));
        lane["telemetry"]["power_mw"] = json!({"median": 400_000});
        case.elapsed = Some(std::time::Duration::from_millis(90_500));
        case.policy.time.slack = 10.0;
    }

    /// The same work by a machine's CPUs.
    fn of_cpus(case: &mut Example) {
        case.evidence["executor"] = json!("cpu");
        let lane = lane(case);
        (lane["sm_count"], lane["sm_tiles"], lane["model"]) = (json!(0), json!([]), json!("Xeon"));
    }

    pub(in crate::policy) const CASES: Cases = &[
        ("host-round", |case| case.on = RoundOn::Host),
        ("host-round", |case| {
            of_cpus(case);
            case.on = RoundOn::Host;
            let mut second = lane(case).clone();
            second["uuid"] = json!("02".repeat(16));
            case.evidence["lanes"].as_array_mut().unwrap().push(second);
        }),
        ("round-missing", |case| {
            case.planned = vec![planned(RoundKind::Fp64, true), planned(RoundKind::Memory, true)];
        }),
        ("devices-changed", |case| {
            let mut before = Example::honest();
            lane(&mut before)["uuid"] = json!("02".repeat(16));
            case.before.push(before);
        }),
        ("devices-changed", |case| {
            let mut before = Example::honest();
            lane(&mut before)["model"] = json!("NVIDIA H100 80GB HBM3");
            case.before.push(before);
        }),
        ("devices-changed", |case| {
            let mut before = Example::honest();
            let mut second = lane(&mut before).clone();
            second["uuid"] = json!("02".repeat(16));
            before.evidence["lanes"].as_array_mut().unwrap().push(second);
            case.before.push(before);
        }),
        ("fp64-alone", fp64_poor),
        ("fp64-alone", |case| {
            fp64_poor(case);
            let mut before = Example::honest();
            fp64_poor(&mut before);
            case.before.push(before);
        }),
    ];

    #[test]
    fn a_hosts_round_is_held_to_no_demand_on_devices_and_meets_none() {
        let mut host = Example::honest();
        of_cpus(&mut host);
        host.on = RoundOn::Host;
        host.policy.devices.models = vec!["NVIDIA H200".to_owned()];
        host.policy.devices.gpu_count_min = 8;
        host.policy.devices.memory_min_bytes = 1 << 40;
        host.policy.devices.serial_required = true;
        assert!(host.judge().reasons.is_empty());
        // Other devices than its own are no change of them.
        let mut case = Example::honest();
        case.before.push(host);
        assert!(case.judge().reasons.is_empty());
        case.before[0].work = Some(IntegerProduct { dim: 4096, products: 8 }.into());
        case.policy.integer.int8_tops_min = 0.001;
        assert_eq!(case.judge().reasons[0].code, "integer-rate-low");
        fp64_poor(&mut case);
        case.policy.integer.int8_tops_min = 0.0;
        assert_eq!(case.judge().reasons[0].code, "fp64-alone");
    }

    #[test]
    fn what_was_not_required_may_be_missing() {
        let mut case = Example::honest();
        case.planned = vec![planned(RoundKind::Fp64, true), planned(RoundKind::Links, false)];
        assert!(case.judge().reasons.is_empty());
        case.planned.extend([planned(RoundKind::Memory, true), planned(RoundKind::Integer, true)]);
        let texts: Vec<_> = case.judge().reasons.into_iter().map(|reason| reason.text).collect();
        let expected = [(2, "memory"), (3, "integer")].map(|(index, kind)| {
            format!("expected round {index} ({kind}), the session ended before it")
        });
        assert_eq!(texts, expected);
    }

    #[test]
    fn the_same_devices_in_another_order_are_the_same() {
        let mut case = Example::honest();
        let mut second = lane(&mut case).clone();
        second["uuid"] = json!("02".repeat(16));
        case.evidence["lanes"].as_array_mut().unwrap().push(second);
        let mut before = Example::honest();
        before.evidence = case.evidence.clone();
        before.evidence["lanes"].as_array_mut().unwrap().reverse();
        let rounds = [before.round(), case.round()];
        assert_eq!(rounds[0].devices, rounds[1].devices);
    }

    #[test]
    fn another_kind_of_work_makes_fp64_products_count() {
        let mut case = Example::honest();
        fp64_poor(&mut case);
        let mut before = Example::honest();
        fp64_poor(&mut before);
        before.work = Some(IntegerProduct { dim: 4096, products: 8 }.into());
        case.before.push(before);
        assert!(case.judge().reasons.is_empty());
        case.before.clear();
        case.policy.findings.set("fp64-alone", Action::Ignore);
        assert!(case.judge().reasons.is_empty());
    }
}
