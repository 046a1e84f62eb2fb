//! Challenges whose fields lie outside their bounds.

use super::{field, json_of_spec, out_of_bounds, refused, token, with_raw};
use crate::common::{arena, integers, spec};
use attest::protocol::challenge::{Challenge, ChallengeError, ChallengeSpec, sample_rate_ppm};
use attest::protocol::digest::Digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

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

/// A challenge of memory residency: N = 1024, p = 12, K = 256, two lanes.
fn of_memory() -> Value {
    serde_json::to_value(ChallengeSpec { work: arena(1024, 12, 256), gpu_count: Some(2), ..spec() })
        .unwrap()
}

fn read(json: &Value) -> Result<Challenge, ChallengeError> {
    Challenge::from_token(&token(&json.to_string()))
}

#[test]
fn an_unknown_type_is_named_before_its_fields_are_looked_at() {
    let mut json = of_memory();
    json["challenge_type"] = json!("memory_residency_pow ");
    refused(&json.to_string(), "challenge-type");
    json["arena_blocks"] = json!("as many as there are");
    json["surface"] = json!({"of": ["another", "kind"]});
    json.as_object_mut().unwrap().remove("num_iterations");
    refused(&json.to_string(), "challenge-type");
    // Of another version nothing is known, its types neither.
    json["version"] = json!(2);
    refused(&json.to_string(), "challenge-version");
}

#[test]
fn fields_of_a_kind_are_all_there_and_no_other_kinds() {
    let (memory, products) = (of_memory(), json_of_spec());
    read(&memory).unwrap();
    let types = ["matrix_multiplication_pow", "memory_residency_pow"];
    let pairs = [(&memory, &products, types[0]), (&products, &memory, types[1])];
    for (json, other, other_type) in pairs {
        let members = other.as_object().unwrap().iter();
        let others: Vec<(&String, &Value)> =
            members.filter(|(name, _)| json.get(name).is_none() && *name != "gpu_count").collect();
        assert!(others.len() >= 2);
        for (name, value) in others {
            let mut both = json.clone();
            both[name] = value.clone();
            refused(&both.to_string(), "challenge-malformed");
        }
        let mut renamed = json.clone();
        renamed["challenge_type"] = json!(other_type);
        refused(&renamed.to_string(), "challenge-malformed");
    }
    for name in ["arena_blocks", "half_passes", "peer_blocks"] {
        let mut without = memory.clone();
        without.as_object_mut().unwrap().remove(name);
        refused(&without.to_string(), "challenge-malformed");
        for value in [json!(null), json!("512"), json!(-512), json!(512.0), json!([512])] {
            let mut mistyped = memory.clone();
            mistyped[name] = value;
            refused(&mistyped.to_string(), "challenge-malformed");
        }
    }
}

/// N, p, K and G, if there is a `gpu_count`: the field that is out of bounds.
fn outside(n: u64, p: u64, k: u64, g: Option<u64>) -> Option<String> {
    let mut json = of_memory();
    for (name, value) in [("arena_blocks", n), ("half_passes", p), ("peer_blocks", k)] {
        json[name] = value.into();
    }
    match g {
        Some(count) => json["gpu_count"] = count.into(),
        None => drop(json.as_object_mut().unwrap().remove("gpu_count")),
    }
    let error = read(&json).err()?;
    assert_eq!(error.code(), "challenge-out-of-bounds", "{error}");
    assert_eq!(error.to_string().lines().count(), 2, "{error}");
    Some(error.to_string().split(' ').next().unwrap_or_default().to_owned())
}

#[test]
fn arenas_at_their_bounds_and_beyond() {
    let (most, step) = (1 << 28, 512);
    for n in [step, 2 * step, 3 * step, most] {
        assert_eq!(outside(n, 12, 0, None), None);
        for wrong in [n - 1, n + 1, n - 256, n + 256] {
            assert_eq!(outside(wrong, 12, 0, None).as_deref(), Some("arena_blocks"), "{wrong}");
        }
    }
    for wrong in [0, 1, most + step, 1 << 32, (1 << 32) + step, u64::MAX - 511, u64::MAX] {
        assert_eq!(outside(wrong, 12, 0, None).as_deref(), Some("arena_blocks"), "{wrong}");
    }
    for p in [0, 1, 10, 12, 15, 16] {
        assert_eq!(outside(512, p, 0, None), None);
    }
    for wrong in [17, 255, 1 << 32, (1 << 32) + 12, u64::MAX] {
        assert_eq!(outside(512, wrong, 0, None).as_deref(), Some("half_passes"), "{wrong}");
    }
}

#[test]
fn peer_blocks_are_at_most_the_arenas_and_need_a_second_lane() {
    for (n, k) in [(512, 256), (512, 512), (1536, 768), (1536, 1280), (1 << 28, 1 << 28)] {
        assert_eq!(outside(n, 12, k, Some(2)), None);
        assert_eq!(outside(n, 12, k, Some(64)), None);
        for wrong in [k - 1, k + 1, k - 128, k + 128, n + 256, (1 << 32) + k, u64::MAX] {
            let outside = outside(n, 12, wrong, Some(2));
            assert_eq!(outside.as_deref(), Some("peer_blocks"), "{wrong} of {n}");
        }
        for lanes in [None, Some(0), Some(1), Some(65)] {
            assert_eq!(outside(n, 12, k, lanes).as_deref(), Some("gpu_count"), "{lanes:?}");
        }
    }
    // Without them any number of lanes will do, also one that is not named.
    for lanes in [None, Some(1), Some(2), Some(64)] {
        assert_eq!(outside(512, 12, 0, lanes), None);
    }
}

#[test]
fn integer_products_at_their_bounds_and_beyond() {
    let good = ChallengeSpec { work: integers(65_536, 4096), ..spec() };
    let good = serde_json::to_value(good).unwrap();
    assert_eq!(read(&good).unwrap().work().leaves(), 1 << 36);
    for (name, bounds) in [
        ("matrix_dim", &[128, 384, 65_536][..]),
        ("num_matrices", &[1, 4096]),
        ("matrix_dim!", &[0, 64, 127, 129, 192, 65_537, 65_664, (1 << 32) + 128, u64::MAX]),
        ("num_matrices!", &[0, 4097, (1 << 32) + 1, u64::MAX]),
    ] {
        for &value in bounds {
            let mut json = good.clone();
            json[name.trim_end_matches('!')] = value.into();
            match name.ends_with('!') {
                true => refused(&json.to_string(), "challenge-out-of-bounds"),
                false => drop(read(&json).unwrap()),
            }
        }
    }
    for name in ["matrix_dim", "num_matrices"] {
        let mut without = good.clone();
        without.as_object_mut().unwrap().remove(name);
        refused(&without.to_string(), "challenge-malformed");
    }
    for name in ["arena_blocks", "half_passes", "peer_blocks"] {
        let mut more = good.clone();
        more[name] = 0.into();
        refused(&more.to_string(), "challenge-malformed");
    }
    // The same fields, of FP64 products: a dimension beyond theirs.
    let mut renamed = good;
    renamed["challenge_type"] = json!("matrix_multiplication_pow");
    refused(&renamed.to_string(), "challenge-out-of-bounds");
}

#[test]
fn the_largest_arenas_cost_nothing_before_they_are_asked_for() {
    let limits = |iterations: u64, lanes: u64| {
        let spec = ChallengeSpec {
            work: arena(1 << 28, 16, 1 << 28),
            num_iterations: iterations,
            verification_sample_rate: 0.000001,
            gpu_count: Some(lanes),
            ..spec()
        };
        Challenge::issue(spec)
    };
    let largest = limits(131_072, 64).unwrap();
    assert_eq!(largest.work().leaves(), 1 << 28);
    assert_eq!(largest.work().resident_bytes(), 1 << 40);
    assert_eq!(limits(131_073, 64).unwrap_err().code(), "challenge-too-much");
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
            (2 << 20) + (172 << 10) + lanes * (33_792 + 80 * iterations + 3072 * challenge.draws())
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
