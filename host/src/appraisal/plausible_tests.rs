//! Every rule broken once, alone, beside an honest lane; and evidence of any form.

use super::*;
use crate::protocol::digest::Uuid;
use serde_json::{Value, json};

/// 100 iterations of 8 products of 4096³: 1.1·10¹⁴ operations.
fn challenge_of(challenge_type: &str) -> Challenge {
    let spec = json!({
        "version": 1, "challenge_type": challenge_type,
        "gpu_pow_seed": "00".repeat(32), "validator_nonce": "11".repeat(32),
        "matrix_dim": 4096, "num_matrices": 8, "num_iterations": 100, "sync_interval": 10,
        "verification_sample_rate": 1.0, "samples_per_iteration": 1,
        "issued_at": "2026-01-01T00:00:00Z", "expires_at": "2026-01-01T01:00:00Z",
    });
    use base64::Engine as _;
    let token = base64::engine::general_purpose::STANDARD.encode(spec.to_string());
    Challenge::from_token(&token).unwrap()
}

fn challenge() -> Challenge {
    challenge_of("matrix_multiplication_pow")
}

/// An H200 that took two seconds: 55 TFLOP/s.
fn honest() -> Value {
    json!({
        "uuid": Uuid([1; 16]), "model": "NVIDIA H200", "memory_bytes": 150_754_820_096_u64,
        "sm_count": 132, "sm_tiles": vec!["1"; 132], "elapsed_ns": "2000000000",
        "achieved_flops": "54975581388800", "power_limit_mw": 700_000,
        "clock_khz": 1_980_000, "compute_capability": "9.0", "pci_id": "0000:19:00.0",
        "telemetry": {
            "samples": 10,
            "sm_clock_mhz": {"min": 345, "median": 1755, "max": 1980, "last": 1700},
            "power_mw": {"min": 75_000, "median": 699_000, "max": 731_000, "last": 700_000},
            "throttle_reasons": ["SW_POWER_CAP"],
        },
    })
}

fn of(lane: Value, memory_bytes_per_s: u64) -> Evidence {
    let document = json!({
        "schema": 1, "executor": "gpu", "lanes": [lane],
        "machine": {
            "cuda": {"devices": [{"index": 3, "pci_id": "0000:19:00.0"}]},
            "bandwidth": {"devices": [{"index": 3, "memory": {"bytes_per_s": memory_bytes_per_s}}]},
        },
    });
    Evidence::from_value(document).unwrap()
}

fn judged(change: impl FnOnce(&mut Value)) -> LanePlausibility {
    let mut lane = honest();
    change(&mut lane);
    judge(&challenge(), &of(lane, 4_200_000_000_000)).remove(0)
}

#[track_caller]
fn breaks(code: &str, change: impl FnOnce(&mut Value)) -> String {
    let judged = judged(change);
    let codes: Vec<_> = judged.violations.iter().map(|violation| violation.code).collect();
    assert_eq!(codes, [code]);
    judged.violations[0].text.clone()
}

#[test]
fn an_honest_lane_breaks_no_rule() {
    let judged = judged(|_| ());
    assert_eq!((judged.basis, judged.violations), (Basis::Table, Vec::new()));
}

#[test]
fn each_rule_is_broken_alone() {
    let text = breaks("sms-above-model", |lane| {
        lane["sm_count"] = json!(264);
        lane["sm_tiles"] = json!(vec!["1"; 264]);
    });
    assert_eq!(text, "lane 0: 264 SMs are claimed, the model has 132");
    breaks("memory-above-model", |lane| lane["memory_bytes"] = json!(200_000_000_000_u64));
    breaks("clock-above-maximum", |lane| {
        lane["telemetry"]["sm_clock_mhz"]["max"] = json!(2400);
    });
    breaks("power-above-limit", |lane| lane["power_limit_mw"] = json!(350_000));
    breaks("rate-above-peak", |lane| {
        lane["elapsed_ns"] = json!("1000000000");
        lane["achieved_flops"] = json!("109951162777600");
    });
    breaks("rate-differs", |lane| lane["achieved_flops"] = json!("60000000000000"));
    let fast = judge(&challenge(), &of(honest(), 8_000_000_000_000));
    assert_eq!(fast[0].violations[0].code, "bandwidth-above-model");
}

#[test]
fn integer_products_are_held_to_int8_rates() {
    let codes = |model: &str, elapsed_ns: &str, ops: Option<&str>| {
        let mut lane = honest();
        lane.as_object_mut().unwrap().remove("achieved_flops");
        (lane["model"], lane["elapsed_ns"]) = (json!(model), json!(elapsed_ns));
        if let Some(ops) = ops {
            lane["achieved_ops_per_s"] = json!(ops);
        }
        let challenge = challenge_of("integer_multiplication_pow");
        let judged = judge(&challenge, &of(lane, 4_200_000_000_000)).remove(0);
        judged.violations.iter().map(|violation| violation.code).collect::<Vec<_>>()
    };
    // 846 TOPS; 1.1 · 2141 are 2355, which is 46.7 ms.
    let none: [&str; 0] = [];
    assert_eq!(codes("NVIDIA H200", "130000000", Some("845778175443692")), none);
    assert_eq!(codes("NVIDIA H200", "47000000", None), none);
    assert_eq!(codes("NVIDIA H200", "46000000", None), ["rate-above-peak"]);
    assert_eq!(codes("NVIDIA H200", "130000000", Some("900000000000000")), ["rate-differs"]);
    assert_eq!(codes("NVIDIA H300", "47000000", None), none);
    assert_eq!(codes("NVIDIA H300", "46000000", None), ["rate-above-peak"]);
}

#[test]
fn an_unknown_model_is_held_to_its_own_claims_and_marked() {
    let renamed = |lane: &mut Value| lane["model"] = json!("NVIDIA H300");
    let unknown = judged(renamed);
    assert_eq!((unknown.basis, unknown.violations), (Basis::Reported, Vec::new()));
    let slow = judged(|lane| {
        renamed(lane);
        lane["clock_khz"] = json!(900_000);
    });
    let codes: Vec<_> = slow.violations.iter().map(|violation| violation.code).collect();
    assert_eq!(codes, ["clock-above-maximum", "rate-above-peak"]);
    let silent = judged(|lane| {
        renamed(lane);
        lane.as_object_mut().unwrap().remove("clock_khz");
    });
    assert_eq!((silent.basis, silent.violations), (Basis::Nothing, Vec::new()));
}

#[test]
fn a_mig_instance_says_so_by_field_or_by_name() {
    let says = |change: fn(&mut Value)| {
        let mut lane = honest();
        change(&mut lane);
        is_mig_instance(&of(lane, 0), 0)
    };
    assert!(!says(|_| ()));
    assert!(says(|lane| lane["mig"] = json!({})));
    assert!(says(|lane| lane["model"] = json!("NVIDIA H200 MIG 1g.18gb")));
    assert!(!is_mig_instance(&of(honest(), 0), 7), "there is no such lane");
}

#[test]
fn fields_of_any_form_break_no_rule_and_print_plainly() {
    for odd in [json!("x"), json!([]), json!({}), json!(-1), json!(true), json!({"max": "9"})] {
        let judged = judged(|lane| {
            for name in ["telemetry", "power_limit_mw", "elapsed_ns", "clock_khz", "pci_id"] {
                lane[name] = odd.clone();
            }
            lane.as_object_mut().unwrap().remove("achieved_flops");
        });
        assert_eq!(judged.violations, [], "{odd}");
    }
    for elapsed in ["0", "-5", "nan", "inf", "1e400", ""] {
        assert_eq!(judged(|lane| lane["elapsed_ns"] = json!(elapsed)).violations, [], "{elapsed}");
    }
}

#[test]
fn a_cpu_has_nothing_to_be_compared_with() {
    let lane = json!({
        "uuid": Uuid([1; 16]), "model": "NVIDIA H200", "memory_bytes": 1_u64 << 50,
        "sm_count": 0, "sm_tiles": [], "elapsed_ns": "1",
    });
    let document = json!({"schema": 1, "executor": "cpu", "lanes": [lane]});
    let judged = judge(&challenge(), &Evidence::from_value(document).unwrap());
    assert_eq!((judged[0].basis, &judged[0].violations), (Basis::Nothing, &Vec::new()));
}

#[test]
fn codes_are_documented() {
    let table = include_str!("../../../docs/findings.md");
    for (code, what) in CODES {
        assert!(table.contains(&format!("\n| `{code}` | {what} |")), "{code}: {what}");
    }
}
