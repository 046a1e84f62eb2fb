//! Challenges whose fields lie outside their bounds.

use super::{field, json_of_spec, out_of_bounds, token, with_raw};
use crate::common::spec;
use attest::protocol::challenge::{Challenge, sample_rate_ppm};
use attest::protocol::digest::Digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

#[test]
fn wrong_version_and_type() {
    for version in [0, 2, u64::MAX] {
        assert_eq!(field("version", json!(version)).unwrap_err().code(), "challenge-version");
    }
    for name in ["", "matrix_multiplication_PoW", "matrix_multiplication_pow "] {
        assert_eq!(field("challenge_type", json!(name)).unwrap_err().code(), "challenge-type");
    }
}

#[test]
fn dims_off_by_one() {
    for dim in [128, 256, 384, 32_768] {
        field("matrix_dim", json!(dim)).unwrap();
        for wrong in [dim - 1, dim + 1] {
            out_of_bounds("matrix_dim", json!(wrong));
        }
    }
    for dim in [0, 64, 32_896, 1 << 32, (1 << 32) + 128, u64::MAX] {
        out_of_bounds("matrix_dim", json!(dim));
    }
}

#[test]
fn counts_at_their_bounds_and_beyond() {
    for (name, low, high) in [
        ("num_matrices", 1_u64, 4096_u64),
        ("num_iterations", 1, 1_000_000),
        ("samples_per_iteration", 1, 65_536),
        ("gpu_count", 1, 64),
        ("min_memory_bytes", 0, (1 << 53) - 1),
        ("max_duration_ms", 1, (1 << 53) - 1),
    ] {
        // One sampled iteration, so that the bounds themselves are what's tested.
        let mut spec = json_of_spec();
        spec["verification_sample_rate"] = json!(0.000001);
        spec["sync_interval"] = json!(1);
        let mut with = |value: u64| {
            spec[name] = json!(value);
            Challenge::from_token(&token(&spec.to_string()))
        };
        with(low).unwrap();
        with(high).unwrap();
        if low > 0 {
            assert_eq!(with(low - 1).unwrap_err().code(), "challenge-out-of-bounds", "{name}");
        }
        for wrong in [high + 1, (1 << 32) + 1, u64::MAX] {
            if wrong > high {
                assert_eq!(with(wrong).unwrap_err().code(), "challenge-out-of-bounds", "{name}");
            }
        }
    }
    out_of_bounds("sync_interval", json!(0));
    out_of_bounds("sync_interval", json!(3)); // of two iterations
    field("gpu_model", json!("m".repeat(256))).unwrap();
    field("gpu_model", json!("\u{e9}".repeat(128))).unwrap();
    out_of_bounds("gpu_model", json!("m".repeat(257)));
    out_of_bounds("gpu_model", json!("\u{e9}".repeat(129)));
    out_of_bounds("min_sm_utilization", json!(1.0_f64.next_up()));
    field("min_sm_utilization", json!(1.0)).unwrap();
}

#[test]
fn huge_work_is_refused_by_arithmetic_alone() {
    let limits = |iterations: u64, rate: f64, samples: u64, lanes: Option<u64>| {
        let mut spec = spec();
        spec.work = crate::common::products(32_768, 4096);
        spec.num_iterations = iterations;
        spec.verification_sample_rate = rate;
        spec.samples_per_iteration = samples;
        spec.gpu_count = lanes;
        Challenge::issue(spec)
    };
    // 2^57 multiply-adds an iteration are allowed; nothing is allocated for them.
    let huge = limits(1_000_000, 0.000001, 1, Some(8)).unwrap();
    assert_eq!(huge.work().fp64_product().unwrap().multiply_adds(), 1 << 57);
    assert_eq!(huge.work().leaves(), 1 << 36);
    // 64 lanes of 131,072 iterations are exactly 2^23 roots.
    limits(131_072, 0.000001, 1, Some(64)).unwrap();
    for error in [
        limits(131_073, 0.000001, 1, Some(64)),
        limits(1_000_000, 0.000001, 1, Some(9)),
        limits(1024, 1.0, 65, None),
        limits(65_537, 1.0, 1, None),
        limits(1024, 1.0, 1, Some(64)).map_or_else(Err, |_| limits(1025, 1.0, 1, Some(64))),
    ] {
        assert_eq!(error.unwrap_err().code(), "challenge-too-much");
    }
    // Without gpu_count the limits say how many lanes there may be.
    for (iterations, rate, samples, lanes) in [
        (1, 1.0, 1, 64),
        (131_072, 0.000001, 1, 64),
        (131_073, 0.000001, 1, 63),
        (1_000_000, 0.000001, 1, 8),
        (1024, 1.0, 1, 64),
        (1025, 1.0, 1, 63),
        (65_536, 1.0, 1, 1),
        (1, 1.0, 65_536, 1),
    ] {
        let challenge = limits(iterations, rate, samples, None).unwrap();
        assert_eq!(challenge.max_lanes(), lanes, "{iterations} {rate} {samples}");
        let lanes = u64::from(lanes);
        assert_eq!(
            challenge.result_bytes_max(),
            (2 << 20) + 80 * lanes * iterations + 3072 * lanes * challenge.draws()
        );
    }
}

/// All 10⁶ legal rates are taken, the 11,549 among them that truncation would
/// turn into their neighbours; what lies beside them is not.
#[test]
fn sample_rates_are_rounded_and_never_truncated() {
    let mut sensitive = 0;
    for ppm in 1..=1_000_000_u32 {
        let rate = f64::from(ppm) / 1e6;
        assert_eq!(sample_rate_ppm(rate), Some(ppm));
        sensitive += u32::from((1e6 * rate) as u32 != ppm);
        assert_eq!(sample_rate_ppm(rate.next_up()), None);
        assert_eq!(sample_rate_ppm(rate.next_down()), None);
    }
    assert_eq!(sensitive, 11_549);
    for rate in [0.0, -0.0, -0.5, 1e-7, 4.9e-7, 5e-7, 1.000001, 2.0, f64::MAX, f64::NAN] {
        assert_eq!(sample_rate_ppm(rate), None, "{rate}");
    }
    // As decimal text, too: what is written is what is read.
    for ppm in (1..=1_000_000).step_by(997).chain([250_001, 999_999, 1_000_000]) {
        let text = format!("{}.{:06}", ppm / 1_000_000, ppm % 1_000_000);
        let challenge = Challenge::from_token(&token(&with_raw("verification_sample_rate", &text)));
        assert_eq!(challenge.unwrap().sample_rate_ppm(), ppm, "{text}");
    }
}

#[test]
fn sampled_iterations_round_up_and_are_at_least_one() {
    for (iterations, rate, sampled) in [
        (1, 0.000001, 1),
        (4, 0.25, 1),
        (4, 0.250001, 2),
        (7, 0.3, 3),
        (1_000_000, 0.000001, 1),
        (1_000_000, 0.000002, 2),
        (999_999, 0.000001, 1),
        (3, 1.0, 3),
        (3, 0.999999, 3),
        (3, 0.666666, 2),
        (3, 0.666667, 3),
    ] {
        let mut spec = spec();
        (spec.num_iterations, spec.verification_sample_rate) = (iterations, rate);
        let challenge = Challenge::issue(spec).unwrap();
        assert_eq!(challenge.sampled_iterations(), sampled, "{iterations} at {rate}");
    }
}

#[test]
fn times_that_are_none() {
    for text in [
        "",
        "now",
        "2026-01-01",
        "2026-01-01T00:00:00",
        "2026-01-01T00:00:00+00:00",
        "2026-01-01T00:00:00.000Z",
        "2026-01-01 00:00:00Z",
        "2026-01-01T00:00:00z",
        "2026-02-29T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T00:00:60Z",
        " 2026-01-01T00:00:00Z",
        "2026-01-01T00:00:00Z\n",
        "20260101T000000Z",
        "-026-01-01T00:00:00Z",
    ] {
        for name in ["issued_at", "expires_at"] {
            assert_eq!(field(name, json!(text)).unwrap_err().code(), "challenge-time", "{text}");
        }
    }
    out_of_bounds("expires_at", json!("2026-01-01T00:00:00Z")); // the time of issue
    out_of_bounds("expires_at", json!("2025-12-31T23:59:59Z"));
    let challenge = field("expires_at", json!("2026-01-01T00:00:01Z")).unwrap();
    assert_eq!(challenge.limit_ms(), 1000);
}

#[test]
fn keys_that_do_not_decode() {
    // 2 is no y of a point; p + 1 is a second way to write 1.
    let mut no_point = [0; 32];
    no_point[0] = 2;
    let mut beyond = [0xff; 32];
    (beyond[0], beyond[31]) = (0xee, 0x7f);
    for bytes in [no_point, beyond, [0xff; 32]] {
        for name in ["miner_id", "validator_id"] {
            let error = field(name, json!(Digest(bytes))).unwrap_err();
            assert_eq!(error.code(), "challenge-key", "{error}");
        }
    }
}

#[test]
fn a_challenge_is_identified_by_its_bytes_and_not_its_meaning() {
    let spaced = json_of_spec().to_string().replace("\":", "\": ");
    let (one, other) = (token(&json_of_spec().to_string()), token(&spaced));
    let (one, other) =
        (Challenge::from_token(&one).unwrap(), Challenge::from_token(&other).unwrap());
    assert_ne!(one.digest(), other.digest());
    assert_eq!(other.digest(), Digest::of(&[spaced.as_bytes()]));
}

#[test]
fn what_is_issued_reads_back() {
    let mut full = spec();
    full.gpu_count = Some(2);
    full.gpu_model = Some("A \"quoted\" \u{1f600} model\n".to_owned());
    full.min_memory_bytes = Some((1 << 53) - 1);
    full.max_duration_ms = Some(1);
    full.min_sm_utilization = Some(0.1 + 0.2);
    full.verification_sample_rate = 0.250001;
    for spec in [spec(), full] {
        let issued = Challenge::issue(spec.clone()).unwrap();
        let read = Challenge::from_token(issued.token()).unwrap();
        assert_eq!(*read.spec(), spec);
        assert_eq!(read.digest(), issued.digest());
        let json = STANDARD.decode(issued.token()).unwrap();
        assert!(!json.contains(&b' ') || spec.gpu_model.is_some());
    }
    let mut nan = spec();
    nan.verification_sample_rate = f64::NAN;
    assert!(Challenge::issue(nan).is_err());
}
