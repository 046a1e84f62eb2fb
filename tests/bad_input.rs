//! Bad input from strangers: each kind is refused with its named error, before
//! anything is allocated or computed for it.

mod common;

use attest::protocol::challenge::{Challenge, ChallengeError, sample_rate_ppm};
use attest::protocol::digest::{Digest, Uuid};
use attest::protocol::evidence::{CANONICAL_BYTES_MAX, Evidence, EvidenceError};
use attest::protocol::receipt::{Receipt, ReceiptError};
use attest::protocol::signature::receipt_message;
use attest::protocol::transcript::{FormError, ReadError, ResultDoc};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE};
use common::{cpu_evidence, spec};
use ed25519_dalek::{Signer, SigningKey};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::io::Read;

fn json_of_spec() -> Value {
    serde_json::to_value(spec()).unwrap()
}

fn token(json: &str) -> String {
    STANDARD.encode(json)
}

#[track_caller]
fn refused(json: &str, code: &str) {
    match Challenge::from_token(&token(json)) {
        Err(error) => {
            assert_eq!(error.code(), code, "{error}");
            assert_eq!(error.to_string().lines().count(), 2, "{error}");
        }
        Ok(_) => panic!("accepted: {json}"),
    }
}

#[track_caller]
fn field(name: &str, value: Value) -> Result<Challenge, ChallengeError> {
    let mut spec = json_of_spec();
    spec[name] = value;
    Challenge::from_token(&token(&spec.to_string()))
}

#[track_caller]
fn out_of_bounds(name: &str, value: Value) {
    let json = value.to_string();
    let error = field(name, value).expect_err(&json);
    assert_eq!(error.code(), "challenge-out-of-bounds", "{error}");
    assert!(error.to_string().contains(name), "{error}");
}

/// The spec's JSON with one value replaced by raw text.
fn with_raw(name: &str, raw: &str) -> String {
    let mut spec = json_of_spec();
    spec[name] = json!("@@");
    spec.to_string().replace("\"@@\"", raw)
}

// Tokens.

#[test]
fn tokens_that_are_no_canonical_base64() {
    let good = token(&json_of_spec().to_string());
    Challenge::from_token(&good).unwrap();
    Challenge::from_token(&format!("{good}\n")).unwrap();
    Challenge::from_token(&format!("{good}\r\n")).unwrap();
    let (head, tail) = good.split_at(good.len() / 2);
    let one_over = json_of_spec().to_string() + &" ".repeat(3);
    let padded: Vec<String> = (0..3).map(|cut| token(&one_over[..one_over.len() - cut])).collect();
    let with_padding = padded.iter().find(|token| token.ends_with('=')).unwrap();
    let bits = with_padding.trim_end_matches('=');
    let last = bits.chars().last().unwrap();
    // The lowest bit of the last digit before the padding is not part of any byte.
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let next = alphabet.chars().nth(alphabet.find(last).unwrap() ^ 1).unwrap();
    let trailing_bit = format!("{}{next}{}", &bits[..bits.len() - 1], &with_padding[bits.len()..]);
    for token in [
        format!("{head}\n{tail}"),
        format!(" {good}"),
        format!("{good} "),
        format!("{good}\n\n"),
        format!("{good}="),
        format!("{good}===="),
        format!("{head}-{tail}"),
        format!("{head}\u{e9}{tail}"),
        good[..good.len() - 1].to_owned(),
        with_padding.trim_end_matches('=').to_owned(),
        trailing_bit,
        STANDARD_NO_PAD.encode("{}xy"),
        URL_SAFE.encode([0xff; 30]),
        "not base64!".to_owned(),
    ] {
        let error = Challenge::from_token(&token).expect_err(&token);
        assert_eq!(error.code(), "token-not-base64", "{token}");
    }
}

#[test]
fn tokens_cut_short_at_any_place() {
    let good = token(&json_of_spec().to_string());
    for length in 0..good.len() {
        let error = Challenge::from_token(&good[..length]).expect_err("cut short");
        assert!(["token-not-base64", "challenge-malformed"].contains(&error.code()));
    }
}

#[test]
fn tokens_of_the_longest_length_and_one_more() {
    let json = json_of_spec().to_string();
    let fill = |bytes: usize| json.clone() + &" ".repeat(bytes - json.len());
    let longest = token(&fill(12 * 1024));
    assert_eq!(longest.len(), 16 * 1024);
    Challenge::from_token(&longest).unwrap();
    refused(&fill(12 * 1024 + 1), "token-too-long");
    let error = Challenge::from_token(&"A".repeat(1 << 20)).unwrap_err();
    assert_eq!(error.code(), "token-too-long");
}

// JSON.

#[test]
fn json_that_breaks_a_rule() {
    let good = json_of_spec().to_string();
    let open = &good[..good.len() - 1];
    for json in [
        "",
        "{}",
        "[]",
        "null",
        "0",
        &format!("\u{feff}{good}"),
        &format!("{good}{good}"),
        &format!("{good}x"),
        &format!("{open},}}"),
        &format!("{open},\"more\":1}}"),
        &format!("{open},\"version\":1}}"),
        &format!("{open},\"\\u0076ersion\":1}}"),
        &format!("{open},\"gpu_count\":null}}"),
        &format!("{open},\"gpu_model\":\"\\ud800\"}}"),
        &format!("{open},\"gpu_model\":\"\\udc00\\ud800\"}}"),
        &format!("{open},\"gpu_model\":\"a\nb\"}}"),
        &format!("{open},\"gpu_model\":{{\"a\":1,\"a\":1}}}}"),
        &format!("{open},\"gpu_model\":{}{}}}", "[".repeat(16), "]".repeat(16)),
        &format!("{open},\"gpu_model\":{}{}}}", "[".repeat(4000), "]".repeat(4000)),
        &format!("[{good}]"),
        &good.replace('"', "'"),
    ] {
        refused(json, "challenge-malformed");
    }
    // An array of the fields in their order is no object.
    let fields: Vec<String> =
        json_of_spec().as_object().unwrap().values().map(Value::to_string).collect();
    refused(&format!("[{}]", fields.join(",")), "challenge-malformed");
    let mut not_utf8 = good.into_bytes();
    let at = not_utf8.iter().position(|&b| b == b'x').unwrap();
    not_utf8[at] = 0xff;
    let error = Challenge::from_token(&STANDARD.encode(not_utf8)).unwrap_err();
    assert_eq!(error.code(), "challenge-malformed");
}

#[test]
fn every_missing_or_null_or_mistyped_field() {
    let spec = json_of_spec();
    for name in spec.as_object().unwrap().keys() {
        let mut without = spec.clone();
        without.as_object_mut().unwrap().remove(name);
        refused(&without.to_string(), "challenge-malformed");
        for value in [json!(null), json!([]), json!({}), json!(true)] {
            let error = field(name, value).expect_err(name);
            assert_eq!(error.code(), "challenge-malformed", "{name}");
        }
        let swapped = if spec[name].is_string() { json!(1) } else { json!("1") };
        assert_eq!(field(name, swapped).expect_err(name).code(), "challenge-malformed");
    }
    for name in [
        "gpu_count",
        "gpu_model",
        "min_memory_bytes",
        "max_duration_ms",
        "min_sm_utilization",
        "miner_id",
        "validator_id",
    ] {
        assert_eq!(field(name, json!(null)).expect_err(name).code(), "challenge-malformed");
    }
}

#[test]
fn numbers_of_the_wrong_syntax() {
    for raw in ["128.0", "1.28e2", "-128", "-0", "0128", "+128", "0x80", "1e999", "\"128\"", "NaN"]
    {
        refused(&with_raw("matrix_dim", raw), "challenge-malformed");
    }
    for raw in ["1e999", "01", ".5", "1.", "-", "Infinity"] {
        refused(&with_raw("verification_sample_rate", raw), "challenge-malformed");
    }
    for raw in ["-0", "-0.0", "-1", "0", "2", "1e400", "0.5000001"] {
        let error = Challenge::from_token(&token(&with_raw("verification_sample_rate", raw)));
        assert!(error.is_err(), "{raw}");
    }
    // A minus sign is wrong even before a zero.
    for raw in ["-0", "-0.0", "-0e5", "-1e-400"] {
        refused(&with_raw("min_sm_utilization", raw), "challenge-out-of-bounds");
    }
    for raw in ["0", "0.0", "1", "1.0", "1e0", "0.5", "5e-1", "1e-400"] {
        Challenge::from_token(&token(&with_raw("min_sm_utilization", raw))).expect(raw);
    }
    for raw in ["1", "1.0", "1e0", "10e-1", "0.000001", "1e-6"] {
        Challenge::from_token(&token(&with_raw("verification_sample_rate", raw))).expect(raw);
    }
}

#[test]
fn hex_that_is_none() {
    for raw in [
        "\"\"".to_owned(),
        format!("\"{}\"", "0".repeat(63)),
        format!("\"{}\"", "0".repeat(65)),
        format!("\"{}\"", "A".repeat(64)),
        format!("\"{}g\"", "0".repeat(63)),
        format!("\"0x{}\"", "0".repeat(62)),
        format!("\"{} \"", "0".repeat(63)),
        format!("\"{}\"", "\u{ff10}".repeat(64)),
    ] {
        refused(&with_raw("gpu_pow_seed", &raw), "challenge-malformed");
        refused(&with_raw("miner_id", &raw), "challenge-malformed");
    }
}

// Bounds.

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
        (spec.matrix_dim, spec.num_matrices) = (32_768, 4096);
        spec.num_iterations = iterations;
        spec.verification_sample_rate = rate;
        spec.samples_per_iteration = samples;
        spec.gpu_count = lanes;
        Challenge::issue(spec)
    };
    // 2^57 multiply-adds an iteration are allowed; nothing is allocated for them.
    let huge = limits(1_000_000, 0.000001, 1, Some(8)).unwrap();
    assert_eq!(huge.shape().multiply_adds(), 1 << 57);
    assert_eq!(huge.shape().leaves(), 1 << 36);
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

// Results.

fn challenge() -> Challenge {
    Challenge::issue(spec()).unwrap()
}

fn read(text: impl AsRef<[u8]>) -> Result<ResultDoc, ReadError> {
    ResultDoc::read(text.as_ref(), &challenge())
}

fn result_json() -> Value {
    let zeros = "0".repeat(64);
    json!({
        "version": 1,
        "challenge_digest": zeros,
        "commitment": zeros,
        "lanes": [{"uuid": "00".repeat(16), "iteration_roots": [zeros, zeros]}],
        "evidence": cpu_evidence(&[Uuid::default()]).value(),
        "openings": [{"lane": 0, "iteration": 1, "leaf": 0, "path": [zeros]}],
    })
}

#[track_caller]
fn malformed(text: impl AsRef<[u8]>) -> String {
    let text = text.as_ref();
    match read(text) {
        Err(ReadError::Form(FormError::Malformed { cause })) => cause,
        other => panic!("{other:?} for {}", String::from_utf8_lossy(&text[..text.len().min(300)])),
    }
}

#[test]
fn results_that_break_a_rule_of_json() {
    let good = result_json().to_string();
    read(&good).unwrap();
    let open = &good[..good.len() - 1];
    for text in [
        "",
        "{}",
        "[]",
        "null",
        "\"\"",
        &format!("\u{feff}{good}"),
        &format!("{good}{{}}"),
        &format!("{open},}}"),
        &format!("{open},\"coin\":null}}"),
        &format!("{open},\"miner_signature\":null}}"),
        &format!("{open},\"version\":1}}"),
        &format!("{open},\"\\u0076ersion\":1}}"),
        &format!("{open},\"evidence\":{{}}}}"),
        &format!("{open},\"more\":1}}"),
        &good.replace("\"version\":1", "\"version\":1.0"),
        &good.replace("\"version\":1", "\"version\":\"1\""),
        &good.replace("\"version\":1", "\"version\":-0"),
        &good.replace("\"version\":1", "\"version\":1e999"),
        &good.replace("\"lane\":0", "\"lane\":4294967296"),
        &good.replace("\"lane\":0", "\"lane\":-1"),
        &good.replace("\"leaf\":0", "\"leaf\":18446744073709551616"),
        &good.replace("\"leaf\":0", "\"leaf\":00"),
        &good.replace("\"schema\":1", "\"schema\":1,\"x\":null"),
        &good.replace("\"schema\":1", "\"schema\":1,\"x\":\"\\udfff\""),
        &good.replace("\"schema\":1", "\"schema\":1,\"x\":{\"a\":0,\"a\":0}"),
        &good.replace("\"schema\":1", "\"schema\":1,\"x\":1e999"),
    ] {
        malformed(text);
    }
    let mut not_utf8 = good.clone().into_bytes();
    let at = good.find("reference").unwrap();
    not_utf8[at] = 0xff;
    malformed(not_utf8);
    malformed(good.replace("reference", "\u{0}"));
}

/// serde's own structs would take an array of the values for an object.
#[test]
fn arrays_in_the_place_of_objects() {
    let good = result_json();
    for pointer in ["", "/lanes/0", "/openings/0"] {
        let mut changed = good.clone();
        let object = changed.pointer_mut(pointer).unwrap();
        let values: Vec<Value> = object.as_object().unwrap().values().cloned().collect();
        *object = Value::Array(values);
        malformed(changed.to_string());
    }
}

#[test]
fn nesting_of_sixteen_and_seventeen() {
    let nested = |levels: usize| {
        let text = format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        result_json().to_string().replace("\"schema\":1", &format!("\"schema\":1,\"x\":{text}"))
    };
    read(nested(14)).expect("the result and the evidence are two levels");
    malformed(nested(15));
    malformed(nested(100_000));
    let mut deep = json!(1);
    (0..14).for_each(|_| deep = json!([deep]));
    let mut evidence = cpu_evidence(&[]).value().clone();
    evidence["x"] = deep.clone();
    Evidence::from_value(evidence.clone()).unwrap();
    evidence["x"] = json!([deep]);
    assert_eq!(Evidence::from_value(evidence), Err(EvidenceError::TooDeep));
}

#[test]
fn empty_lists() {
    let mut none = result_json();
    none["lanes"] = json!([]);
    assert!(matches!(read(none.to_string()), Err(ReadError::Form(FormError::NoLanes))));
    // No roots, openings or path: well-formed, so rejected by verification.
    for pointer in ["/lanes/0/iteration_roots", "/openings", "/openings/0/path", "/evidence/lanes"]
    {
        let mut empty = result_json();
        *empty.pointer_mut(pointer).unwrap() = json!([]);
        read(empty.to_string()).unwrap();
    }
}

#[test]
fn lists_longer_than_the_challenge_allows() {
    let zeros = json!("0".repeat(64));
    let filled = |pointer: &str, count: usize| {
        let mut value = result_json();
        let list = value.pointer_mut(pointer).unwrap();
        let entry = list.as_array().and_then(|list| list.first()).unwrap_or(&zeros).clone();
        *list = Value::Array(vec![entry; count]);
        value.to_string()
    };
    let challenge = challenge();
    let lanes = challenge.max_lanes() as usize;
    for (pointer, most) in [
        ("/lanes", lanes),
        ("/lanes/0/iteration_roots", 2),
        ("/openings", lanes * 4),
        ("/openings/0/path", 8),
    ] {
        read(filled(pointer, most)).unwrap();
        let cause = malformed(filled(pointer, most + 1));
        assert!(cause.contains(&format!("at most {most}")), "{pointer}: {cause}");
    }
}

/// Gives a start and then the same piece for ever, and counts what was taken.
struct Endless<'a> {
    start: &'a [u8],
    piece: &'a [u8],
    at: usize,
    taken: &'a mut u64,
}

impl Read for Endless<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        for byte in buffer.iter_mut() {
            *byte = match self.start.get(self.at) {
                Some(byte) => *byte,
                None => self.piece[(self.at - self.start.len()) % self.piece.len()],
            };
            self.at += 1;
        }
        *self.taken += buffer.len() as u64;
        Ok(buffer.len())
    }
}

#[test]
fn endless_input_ends() {
    let challenge = challenge();
    let limit = challenge.result_bytes_max();
    let zeros = "0".repeat(64);
    let root = format!("\"{zeros}\",");
    let lane = format!("{{\"uuid\":\"{}\",\"iteration_roots\":[]}},", "00".repeat(16));
    let evidence = "{\"evidence\":{\"x\":[";
    // Start, piece, whether the size limit must be what stops it, and at most
    // how many bytes are taken otherwise.
    let cases: &[(&str, &str, Option<u64>)] = &[
        ("", " ", None),
        ("\"", "a", None),
        ("{\"", "a", None),
        ("{\"version\":", "1", None),
        ("{\"version\":1", " ", None),
        ("{\"evidence\":{\"x\":\"", "a", None),
        ("{\"commitment\":\"", "0", None),
        ("{\"lanes\":[", &lane, Some(64 * 1024)),
        ("{\"lanes\":[{\"iteration_roots\":[", &root, Some(64 * 1024)),
        ("{\"openings\":[{\"path\":[", &root, Some(64 * 1024)),
        (evidence, "0,", Some(2 * CANONICAL_BYTES_MAX as u64 + 64 * 1024)),
        (evidence, "\"\",", Some(2 * CANONICAL_BYTES_MAX as u64 + 64 * 1024)),
        (evidence, "[],", Some(2 * CANONICAL_BYTES_MAX as u64 + 64 * 1024)),
        ("{\"evidence\":", "[", Some(64 * 1024)),
        ("{\"evidence\":", "{\"a\":", Some(64 * 1024)),
    ];
    for (start, piece, stops_before) in cases {
        let mut taken = 0;
        let endless =
            Endless { start: start.as_bytes(), piece: piece.as_bytes(), at: 0, taken: &mut taken };
        let error = ResultDoc::read(endless, &challenge).expect_err(start);
        match (stops_before, error) {
            (None, ReadError::Form(FormError::TooLarge { limit_bytes })) => {
                assert_eq!(limit_bytes, limit);
            }
            (None, ReadError::Form(FormError::Malformed { .. })) if *piece == "1" => {}
            (Some(_), ReadError::Form(FormError::Malformed { .. })) => {}
            (_, error) => panic!("{start}: {error}"),
        }
        assert!(taken <= stops_before.unwrap_or(limit + 1), "{start}: took {taken} bytes");
    }
}

#[test]
fn a_failing_reader_is_no_verdict() {
    struct Fails;
    impl Read for Fails {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("cable pulled"))
        }
    }
    let broken = std::io::Cursor::new(b"{\"version\":1,".to_vec()).chain(Fails);
    match ResultDoc::read(broken, &challenge()) {
        Err(ReadError::Io(error)) => assert_eq!(error.to_string(), "cable pulled"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn error_texts_are_fit_for_a_terminal() {
    let loud = "\u{1b}[31m\u{7}".replace('\u{1b}', "\\u001b").replace('\u{7}', "\\u0007");
    let key = format!("{loud}{}", "k".repeat(100_000));
    let open = result_json().to_string();
    let open = &open[..open.len() - 1];
    let cause = malformed(format!("{open},\"{key}\":1}}"));
    assert!(cause.len() < 1000 && !cause.contains(char::is_control), "{cause}");
    let cause = malformed(format!("{open},\"coin\":{{\"{key}\":1}}}}"));
    assert!(cause.len() < 1000 && !cause.contains(char::is_control), "{cause}");
    let json = format!("{{\"{loud}\":1}}");
    let text = Challenge::from_token(&token(&json)).unwrap_err().to_string();
    assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
}

// Evidence.

fn evidence_with(edit: impl FnOnce(&mut Value)) -> Result<Evidence, EvidenceError> {
    let mut value = cpu_evidence(&[Uuid::default()]).value().clone();
    edit(&mut value);
    Evidence::from_value(value)
}

#[test]
fn evidence_numbers_are_exact_integers() {
    for number in ["9007199254740991", "-9007199254740991", "0", "-1"] {
        let number: Value = serde_json::from_str(number).unwrap();
        evidence_with(|value| value["x"] = number).unwrap();
    }
    for number in
        ["9007199254740992", "-9007199254740992", "18446744073709551616", "1.0", "0.5", "-0", "1e3"]
    {
        let value: Value = serde_json::from_str(number).unwrap();
        let error = evidence_with(|evidence| evidence["x"] = json!([{"y": value}]));
        assert!(matches!(error, Err(EvidenceError::Number { .. })), "{number}");
    }
    assert_eq!(evidence_with(|value| value["x"] = json!([null])), Err(EvidenceError::Null));
}

#[test]
fn evidence_fields_that_are_required() {
    for name in ["schema", "executor", "lanes"] {
        let error = evidence_with(|value| drop(value.as_object_mut().unwrap().remove(name)));
        assert!(matches!(error, Err(EvidenceError::Field { .. })), "{name}");
    }
    for name in ["uuid", "model", "memory_bytes", "sm_count", "sm_tiles"] {
        let lane = |value: &mut Value| value["lanes"][0].as_object_mut().unwrap().remove(name);
        let error = evidence_with(|value| drop(lane(value)));
        assert!(matches!(error, Err(EvidenceError::Field { .. })), "{name}");
    }
    for (name, wrong) in [
        ("uuid", json!("00")),
        ("uuid", json!("A0".repeat(16))),
        ("model", json!(1)),
        ("memory_bytes", json!("1")),
        ("memory_bytes", json!(-1)),
        ("sm_count", json!(-1)),
        ("sm_tiles", json!({})),
        ("sm_tiles", json!([1])),
        ("sm_tiles", json!([""])),
        ("sm_tiles", json!(["01"])),
        ("sm_tiles", json!(["-1"])),
        ("sm_tiles", json!(["+1"])),
        ("sm_tiles", json!(["1 "])),
        ("sm_tiles", json!(["18446744073709551616"])),
    ] {
        let error = evidence_with(|value| value["lanes"][0][name] = wrong.clone());
        assert!(matches!(error, Err(EvidenceError::Field { .. })), "{name} {wrong}");
    }
    evidence_with(|value| value["lanes"][0]["sm_tiles"] = json!(["0", "18446744073709551615"]))
        .unwrap();
    evidence_with(|value| value["lanes"][0]["sm_monitoring"] = json!([1])).unwrap();
    for wrong in [json!([]), json!("gpu"), json!(1)] {
        assert!(Evidence::from_value(wrong).is_err());
    }
}

#[test]
fn evidence_at_its_longest_and_one_byte_more() {
    let empty = evidence_with(|value| value["x"] = json!("")).unwrap();
    let room = CANONICAL_BYTES_MAX - empty.canonical().len();
    let longest = evidence_with(|value| value["x"] = json!("a".repeat(room))).unwrap();
    let mut result = result_json();
    result["evidence"] = longest.value().clone();
    assert_eq!(read(result.to_string()).unwrap().evidence, longest);
    let error = evidence_with(|value| value["x"] = json!("a".repeat(room + 1)));
    let got_bytes = CANONICAL_BYTES_MAX + 1;
    assert_eq!(error, Err(EvidenceError::TooLarge { got_bytes }));
    // Escapes make the canonical form longer than the content.
    let error = evidence_with(|value| value["x"] = json!("\n".repeat(room / 2 + 1)));
    assert!(matches!(error, Err(EvidenceError::TooLarge { .. })));
    // Many members, whose quotes, colons and commas count, too.
    let member = |i: usize| (format!("{i:06}"), json!(0));
    let count = room / 11;
    let many: serde_json::Map<String, Value> = (0..count).map(member).collect();
    let full = evidence_with(|value| value["x"] = Value::Object(many)).unwrap();
    assert!(full.canonical().len() > CANONICAL_BYTES_MAX - 32);
    result["evidence"] = full.value().clone();
    read(result.to_string()).unwrap();
}

// Receipts.

#[test]
fn receipts_show_a_session_only_where_everything_fits() {
    let key = SigningKey::from_bytes(&[4; 32]);
    let mut spec = spec();
    spec.validator_id = Some(Digest(key.verifying_key().to_bytes()));
    let challenge = Challenge::issue(spec).unwrap();
    let (commitment, coin) = (Digest([5; 32]), Digest([6; 32]));
    let signed = |arrived_unix_ms| {
        let message = receipt_message(&challenge.digest(), &commitment, &coin, arrived_unix_ms);
        Receipt { arrived_unix_ms, coin, signature: key.sign(&message).to_bytes() }
    };
    let expires_unix_ms = challenge.expires_at_unix_s() as u64 * 1000;
    let good = signed(expires_unix_ms - 1);
    good.check(&challenge, &commitment, &coin).unwrap();
    let text = serde_json::to_string(&good).unwrap();
    assert_eq!(Receipt::from_json(text.as_bytes()).unwrap(), good);

    let check = |receipt: &Receipt| receipt.check(&challenge, &commitment, &coin);
    let late = signed(expires_unix_ms);
    assert!(matches!(check(&late), Err(ReceiptError::Expired { .. })));
    let mut moved = good.clone();
    moved.arrived_unix_ms -= 1;
    assert_eq!(check(&moved), Err(ReceiptError::Signature));
    let mut forged = good.clone();
    forged.signature[0] ^= 1;
    assert_eq!(check(&forged), Err(ReceiptError::Signature));
    assert_eq!(good.check(&challenge, &coin, &coin), Err(ReceiptError::Signature));
    assert!(matches!(
        good.check(&challenge, &commitment, &Digest([7; 32])),
        Err(ReceiptError::Coin { .. })
    ));
    let unnamed = Challenge::issue(common::spec()).unwrap();
    assert_eq!(good.check(&unnamed, &commitment, &coin), Err(ReceiptError::NoValidator));

    for (name, value) in [
        ("coin", json!("0".repeat(64))),
        ("arrived_unix_ms", json!(1_u64 << 53)),
        ("arrived_unix_ms", json!(-1)),
        ("signature", json!("0".repeat(126))),
        ("more", json!(1)),
    ] {
        let mut changed: Value = serde_json::from_str(&text).unwrap();
        changed[name] = value;
        let error = Receipt::from_json(changed.to_string().as_bytes());
        assert!(matches!(error, Err(ReceiptError::Malformed { .. })), "{name}");
    }
    assert!(Receipt::from_json(b"[1,\"\",\"\"]").is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn arbitrary_tokens_are_refused_without_a_panic(text in ".{0,200}") {
        prop_assert!(Challenge::from_token(&text).is_err());
        prop_assert!(Challenge::from_token(&token(&text)).is_err());
    }

    #[test]
    fn arbitrary_bytes_are_no_result(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(read(&bytes).is_err());
        prop_assert!(Receipt::from_json(&bytes).is_err());
    }

    /// Whatever is changed in a challenge's bytes, it is another challenge or none.
    #[test]
    fn edited_challenges_are_others_or_none(
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let good = challenge();
        let mut bytes = STANDARD.decode(good.token()).unwrap();
        let at = at.index(bytes.len());
        prop_assume!(bytes[at] != byte);
        bytes[at] = byte;
        if let Ok(other) = Challenge::from_token(&STANDARD.encode(&bytes)) {
            prop_assert_ne!(other.digest(), good.digest());
        }
    }
}
