//! Every reason is given for what it is about, and not for an honest result.

use super::super::codes::{self, Action};
use super::super::rules::example::{Cases, Example, lane};
use super::super::rules::{
    device_reports, devices, figures, machine_report, models, prices, rounds, session, soundness,
    telemetry, time,
};
use super::super::{Judgement, Policy, Weight};
use crate::ledger::{HistoryCode, HistoryFinding};
use crate::protocol::work::memory_residency::MemoryResidency;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

/// The reasons' codes with their weights.
fn given(judgement: &Judgement) -> Vec<(&'static str, Weight)> {
    judgement.reasons.iter().map(|reason| (reason.code, reason.weight)).collect()
}

fn reported(case: &mut Example, code: &str) {
    case.evidence["findings"] = json!([{"code": code, "text": "seen"}]);
}

fn history(case: &mut Example, code: HistoryCode) {
    case.history.push(HistoryFinding { code, text: "seen".to_owned() });
}

/// What other modules find, and what is no finding.
const OTHERS: Cases = &[
    ("sms-above-model", |case| {
        lane(case)["sm_count"] = json!(144);
    }),
    ("memory-above-model", |case| lane(case)["memory_bytes"] = json!(200_000_000_000_u64)),
    ("clock-above-maximum", |case| lane(case)["telemetry"]["sm_clock_mhz"]["max"] = json!(2200)),
    ("power-above-limit", |case| lane(case)["telemetry"]["power_mw"]["median"] = json!(900_000)),
    ("rate-above-peak", |case| {
        lane(case)["elapsed_ns"] = json!("1400000000");
        lane(case)["achieved_flops"] = json!("78536544841143");
    }),
    ("rate-differs", |case| lane(case)["achieved_flops"] = json!("60000000000000")),
    ("bandwidth-above-model", |case| {
        let device = json!({"index": 0, "pci_id": "0000:01:00.0"});
        let memory = json!({"bytes_per_s": 6_000_000_000_000_u64});
        case.evidence["machine"]["cuda"] = json!({"devices": [device]});
        case.evidence["machine"]["bandwidth"] =
            json!({"devices": [{"index": 0, "memory": memory}]});
        lane(case)["pci_id"] = json!("0000:01:00.0");
    }),
    ("findings-malformed", |case| case.evidence["findings"] = json!("none")),
    ("findings-malformed", |case| case.evidence["findings"] = json!([7])),
    ("finding-unknown", |case| reported(case, "green-smoke")),
    ("uuid-under-two-identities", |case| history(case, HistoryCode::UuidUnderTwoIdentities)),
    ("uuid-changed-host", |case| history(case, HistoryCode::UuidChangedHost)),
    ("uuid-in-two-sessions", |case| history(case, HistoryCode::UuidInTwoSessions)),
    ("uuid-changed-serial", |case| history(case, HistoryCode::UuidChangedSerial)),
    ("uuid-changed-die", |case| history(case, HistoryCode::UuidChangedDie)),
    ("die-under-two-identities", |case| history(case, HistoryCode::DieUnderTwoIdentities)),
    ("die-changed-uuid", |case| history(case, HistoryCode::DieChangedUuid)),
];

/// One change of the honest result each that must give this reason, alone.
const CASES: [Cases; 16] = [
    device_reports::cases::CASES,
    devices::cases::CASES,
    figures::cases::FP64,
    figures::cases::INTEGER,
    figures::cases::MEMORY,
    figures::cases::HOST,
    figures::cases::NETWORK,
    machine_report::cases::CASES,
    models::cases::CASES,
    prices::cases::CASES,
    rounds::cases::CASES,
    session::cases::CASES,
    soundness::cases::CASES,
    telemetry::cases::CASES,
    time::cases::CASES,
    OTHERS,
];

#[test]
fn an_honest_result_gives_no_reason() {
    let judgement = Example::honest().judge();
    assert_eq!(given(&judgement), []);
    assert!(!judgement.rejects());
    assert_eq!(judgement.policy_digest, Policy::default().digest());
}

#[test]
fn every_reason_is_given_for_what_it_is_about_and_alone() {
    for (code, change) in CASES.into_iter().flatten() {
        let mut case = Example::honest();
        change(&mut case);
        let judgement = case.judge();
        let expected = match Policy::default().findings.action(code) {
            Some(Action::Warn) => Weight::Warn,
            _ => Weight::Reject,
        };
        assert_eq!(given(&judgement), [(*code, expected)], "{:?}", judgement.reasons);
    }
}

#[test]
fn every_code_has_a_case() {
    let tried: BTreeSet<&str> = CASES.into_iter().flatten().map(|(code, _)| *code).collect();
    let machine = crate::evidence::Code::ALL.iter().map(|code| code.name()).collect::<Vec<_>>();
    for code in codes::names() {
        assert!(tried.contains(code) || machine.contains(&code), "{code} has no case");
    }
}

#[test]
fn findings_of_the_machine_do_what_the_policy_says() {
    for code in crate::evidence::Code::ALL {
        let mut case = Example::honest();
        reported(&mut case, code.name());
        for (action, expected) in [
            (Action::Reject, vec![(code.name(), Weight::Reject)]),
            (Action::Warn, vec![(code.name(), Weight::Warn)]),
            (Action::Ignore, vec![]),
        ] {
            assert!(case.policy.findings.set(code.name(), action));
            assert_eq!(given(&case.judge()), expected);
        }
    }
}

#[test]
fn many_findings_are_one_reason_a_code_and_hide_none() {
    let mut case = Example::honest();
    let mut findings = vec![json!({"code": "preload-variable", "text": "x\u{1b}[2J"}); 5000];
    findings.push(json!({"code": "device-count", "text": "8 and 1"}));
    findings.extend(vec![json!({"code": "nonsense", "text": "x"}); 100]);
    case.evidence["findings"] = Value::Array(findings);
    let judgement = case.judge();
    let expected = [
        ("device-count", Weight::Reject),
        ("finding-unknown", Weight::Warn),
        ("preload-variable", Weight::Warn),
    ];
    assert_eq!(given(&judgement), expected);
    assert!(judgement.reasons[2].text.ends_with("(and 4999 more)"));
    assert!(!judgement.reasons.iter().any(|reason| reason.text.contains('\u{1b}')));
}

#[test]
fn a_miner_cannot_speak_in_the_validators_codes() {
    for code in ["too-slow", "not-bound-to-miner", "uuid-in-two-sessions"] {
        let mut case = Example::honest();
        reported(&mut case, code);
        assert_eq!(given(&case.judge()), [("finding-unknown", Weight::Warn)]);
    }
}

#[test]
fn the_limit_is_slack_times_floor_and_the_allowances() {
    // 2·8·4096³·100 operations at 1.1 · 66.9 TFLOP/s are 1.494 s; 1.45 times
    // that, 0.3 s to start up and 0.03 s of round trip are 2.496 s.
    let mut case = Example::honest();
    case.elapsed = Some(Duration::from_millis(2496));
    assert_eq!(given(&case.judge()), []);
    case.elapsed = Some(Duration::from_millis(2497));
    assert_eq!(given(&case.judge()), [("too-slow", Weight::Reject)]);
    // Not measured: the policy's half second stands in.
    case.round_trip = None;
    assert_eq!(given(&case.judge()), []);
}

#[test]
fn an_arena_has_time_for_its_fill() {
    // (1 + 12·1.5 + 100) · 2^36 bytes at 1.1 · 4.8 TB/s are 1.5488 s; 1.45 times that,
    // 0.3 s to start up and 0.03 s of round trip are 2.5758 s.
    let mut case = Example::honest();
    lane(&mut case).as_object_mut().unwrap().remove("achieved_flops");
    let (half_passes, peer_blocks) = (12, 0);
    case.work = Some(MemoryResidency { arena_blocks: 1 << 24, half_passes, peer_blocks }.into());
    case.elapsed = Some(Duration::from_micros(2_575_700));
    assert_eq!(given(&case.judge()), []);
    case.elapsed = Some(Duration::from_micros(2_575_900));
    assert_eq!(given(&case.judge()), [("too-slow", Weight::Reject)]);
}

#[test]
fn dodgers_are_refused_beyond_the_number_that_is_allowed() {
    let mut policy = Policy::default();
    assert!(!policy.refuses_dodger(0) && !policy.refuses_dodger(3) && policy.refuses_dodger(4));
    policy.session.dodges_max = 0;
    assert!(!policy.refuses_dodger(u64::MAX));
    assert_eq!(policy.history.window(), Duration::from_secs(30 * 86_400));
}

#[test]
fn what_is_allowed_gives_no_reason() {
    let mut case = Example::honest();
    case.policy.devices.models = vec!["H200".into(), "NVIDIA B200".into()];
    case.policy.devices.driver_version_min = "535".into();
    case.policy.devices.driver_version_max = "580".into();
    case.policy.telemetry.clock_share_min = 0.85;
    (case.policy.devices.serial_required, case.policy.devices.host_required) = (true, true);
    case.policy.session.miner_key_required = true;
    case.policy.telemetry.power_median_min_w = 600.0;
    assert_eq!(given(&case.judge()), []);
    case = Example::honest();
    case.policy.devices.mig_allowed = true;
    case.policy.findings.set("floor-unknown", Action::Ignore);
    lane(&mut case)["model"] = json!("NVIDIA H200 MIG 1g.18gb");
    assert_eq!(given(&case.judge()), []);
    case = Example::honest();
    case.policy.session.live_required = false;
    case.live = false;
    assert_eq!(given(&case.judge()), []);
}
