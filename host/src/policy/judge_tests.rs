//! Every reason is given for what it is about, and not for an honest result.

use super::super::codes::{self, Action};
use super::super::{Facts, Judgement, Policy, Weight};
use crate::ledger::{HistoryCode, HistoryFinding};
use crate::mining::issue::{Request, issue};
use crate::protocol::bound::{Bound, Grinding, OmittedShare, log10_escape};
use crate::protocol::challenge::Challenge;
use crate::protocol::evidence::Evidence;
use crate::protocol::signature::PublicKey;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

/// Small enough to judge: n = 4096, m = 8, T = 100 are 1.10e14 operations.
fn challenge(miner: bool) -> Challenge {
    let key = PublicKey::from(&ed25519_dalek::SigningKey::from_bytes(&[4; 32]));
    issue(&Request {
        matrix_dim: Some(4096),
        num_matrices: Some(8),
        num_iterations: Some(100),
        miner_id: miner.then_some(key),
        ..Request::default()
    })
    .unwrap()
}

/// One honest H200, two seconds of work.
fn honest() -> Value {
    let tiles = |_| (8 * 32 * 32 * 100 / 132).to_string();
    json!({
        "schema": 1,
        "executor": "gpu",
        "lanes": [{
            "uuid": "01".repeat(16),
            "model": "NVIDIA H200",
            "memory_bytes": 150_754_820_096_u64,
            "sm_count": 132,
            "sm_tiles": (0..132).map(tiles).collect::<Vec<_>>(),
            "elapsed_ns": "2043000000",
            "achieved_flops": "53818483983162",
            "serial": "1650123456789",
            "power_limit_mw": 700_000,
            "telemetry": {
                "samples": 10,
                "sm_clock_mhz": {"min": 1700, "median": 1770, "max": 1980, "last": 1770},
                "power_mw": {"min": 300_000, "median": 695_000, "max": 702_500, "last": 1},
                "throttle_reasons": ["SW_POWER_CAP"],
                "before": {"ecc_uncorrected": 3, "rows_remapped_corrected": 0},
                "after": {"ecc_uncorrected": 3, "rows_remapped_corrected": 0},
            },
        }],
        "machine": {"kernel_driver_version": "580.82.07", "machine_id": "a1"},
        "findings": [],
    })
}

struct Case {
    policy: Policy,
    evidence: Value,
    miner: bool,
    live: bool,
    draws: u64,
    elapsed: Option<Duration>,
    round_trip: Option<Duration>,
    history: Vec<HistoryFinding>,
}

impl Case {
    fn honest() -> Self {
        Self {
            policy: Policy::default(),
            evidence: honest(),
            miner: true,
            live: true,
            draws: 2062,
            elapsed: Some(Duration::from_millis(2100)),
            round_trip: Some(Duration::from_millis(30)),
            history: Vec::new(),
        }
    }

    fn judge(&self) -> Judgement {
        let (f, grinding) = (OmittedShare::default(), Grinding::ExcludedByCoin);
        let log10_escape = log10_escape(f, self.draws, grinding);
        let evidence = Evidence::from_value(self.evidence.clone()).unwrap();
        let challenge = challenge(self.miner);
        self.policy.judge(&Facts {
            challenge: &challenge,
            evidence: &evidence,
            bound: Bound::Sampled { omitted_share: f, draws: self.draws, grinding, log10_escape },
            live: self.live,
            elapsed: self.elapsed,
            round_trip: self.round_trip,
            history: &self.history,
        })
    }
}

/// The reasons' codes with their weights.
fn given(judgement: &Judgement) -> Vec<(&'static str, Weight)> {
    judgement.reasons.iter().map(|reason| (reason.code, reason.weight)).collect()
}

type Change = fn(&mut Case);

fn lane(case: &mut Case) -> &mut Value {
    &mut case.evidence["lanes"][0]
}

fn reported(case: &mut Case, code: &str) {
    case.evidence["findings"] = json!([{"code": code, "text": "seen"}]);
}

fn history(case: &mut Case, code: HistoryCode) {
    case.history.push(HistoryFinding { code, text: "seen".to_owned() });
}

/// One change of the honest result each that must give this reason, alone.
const CASES: &[(&str, Change)] = &[
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
    ("miner-key-missing", |case| {
        (case.policy.session.miner_key_required, case.miner) = (true, false);
    }),
    ("too-slow", |case| case.elapsed = Some(Duration::from_secs(5))),
    ("soundness-too-weak", |case| case.draws = 2061),
    ("session-required", |case| case.live = false),
    ("clock-low", |case| case.policy.telemetry.clock_share_min = 0.95),
    ("power-low", |case| case.policy.telemetry.power_median_min_w = 696.0),
    ("power-low", |case| {
        case.policy.telemetry.power_median_min_w = 1.0;
        lane(case)["telemetry"]["power_mw"] = json!("low");
    }),
    ("not-bound-to-miner", |case| case.miner = false),
    ("elapsed-unknown", |case| case.elapsed = None),
    ("floor-unknown", |case| {
        lane(case)["model"] = json!("NVIDIA H300");
        case.policy.devices.unknown_models_allowed = true;
    }),
    ("sm-counters-missing", |case| {
        let lane = lane(case);
        (lane["sm_tiles"], lane["sm_monitoring"]) = (json!([]), json!("unavailable: zeros"));
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
    ("duration-contradicted", |case| {
        lane(case)["elapsed_ns"] = json!("2200000000");
        lane(case)["achieved_flops"] = json!("49977801262545");
    }),
    ("findings-malformed", |case| case.evidence["findings"] = json!("none")),
    ("findings-malformed", |case| case.evidence["findings"] = json!([7])),
    ("finding-unknown", |case| reported(case, "green-smoke")),
    ("uuid-under-two-identities", |case| history(case, HistoryCode::UuidUnderTwoIdentities)),
    ("uuid-changed-host", |case| history(case, HistoryCode::UuidChangedHost)),
    ("uuid-in-two-sessions", |case| history(case, HistoryCode::UuidInTwoSessions)),
    ("uuid-changed-serial", |case| history(case, HistoryCode::UuidChangedSerial)),
];

#[test]
fn an_honest_result_gives_no_reason() {
    let judgement = Case::honest().judge();
    assert_eq!(given(&judgement), []);
    assert!(!judgement.rejects());
    assert_eq!(judgement.policy_digest, Policy::default().digest());
}

#[test]
fn every_reason_is_given_for_what_it_is_about_and_alone() {
    for (code, change) in CASES {
        let mut case = Case::honest();
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
    let tried: BTreeSet<&str> = CASES.iter().map(|(code, _)| *code).collect();
    let machine = crate::evidence::Code::ALL.iter().map(|code| code.name()).collect::<Vec<_>>();
    for code in codes::names() {
        assert!(tried.contains(code) || machine.contains(&code), "{code} has no case");
    }
}

#[test]
fn findings_of_the_machine_do_what_the_policy_says() {
    for code in crate::evidence::Code::ALL {
        let mut case = Case::honest();
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
    let mut case = Case::honest();
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
        let mut case = Case::honest();
        reported(&mut case, code);
        assert_eq!(given(&case.judge()), [("finding-unknown", Weight::Warn)]);
    }
}

#[test]
fn the_limit_is_slack_times_floor_and_the_allowances() {
    // 2·8·4096³·100 operations at 1.1 · 66.9 TFLOP/s are 1.494 s; 1.45 times
    // that, 0.3 s to start up and 0.03 s of round trip are 2.496 s.
    let mut case = Case::honest();
    case.elapsed = Some(Duration::from_millis(2496));
    assert_eq!(given(&case.judge()), []);
    case.elapsed = Some(Duration::from_millis(2497));
    assert_eq!(given(&case.judge()), [("too-slow", Weight::Reject)]);
    // Not measured: the policy's half second stands in.
    case.round_trip = None;
    assert_eq!(given(&case.judge()), []);
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
    let mut case = Case::honest();
    case.policy.devices.models = vec!["H200".into(), "NVIDIA B200".into()];
    case.policy.devices.driver_version_min = "535".into();
    case.policy.devices.driver_version_max = "580".into();
    case.policy.telemetry.clock_share_min = 0.85;
    (case.policy.devices.serial_required, case.policy.devices.host_required) = (true, true);
    case.policy.session.miner_key_required = true;
    case.policy.telemetry.power_median_min_w = 600.0;
    assert_eq!(given(&case.judge()), []);
    case = Case::honest();
    case.policy.devices.mig_allowed = true;
    case.policy.findings.set("floor-unknown", Action::Ignore);
    lane(&mut case)["model"] = json!("NVIDIA H200 MIG 1g.18gb");
    assert_eq!(given(&case.judge()), []);
    case = Case::honest();
    case.policy.session.live_required = false;
    case.live = false;
    assert_eq!(given(&case.judge()), []);
}
