//! `attest challenge`: what it accepts, what it refuses, what it writes.

use crate::cli::{COULD_NOT_RUN, OK, names_in, run, run_with_input};
use base64::Engine as _;
use serde_json::Value;

fn decoded(token: &str) -> Value {
    let bytes = base64::engine::general_purpose::STANDARD.decode(token.trim_end()).expect("base64");
    serde_json::from_slice(&bytes).expect("JSON")
}

#[test]
fn options_become_fields() {
    let options = "challenge --dim 256 --matrices 3 --iterations 20 --sync 7 --sample-rate 0.5 \
                   --samples 11 --expires-in 90s --gpu-count 2 --min-memory 1000 \
                   --max-duration 1500ms --min-sm-utilization 0.25";
    let mut args: Vec<&str> = options.split_whitespace().collect();
    args.extend(["--gpu-model", "NVIDIA H200"]);
    let spec = decoded(&run(args).expect(OK).stdout);
    for (field, value) in [
        ("version", 1.into()),
        ("matrix_dim", 256.into()),
        ("num_matrices", 3.into()),
        ("num_iterations", 20.into()),
        ("sync_interval", 7.into()),
        ("verification_sample_rate", 0.5.into()),
        ("samples_per_iteration", 11.into()),
        ("gpu_count", 2.into()),
        ("gpu_model", "NVIDIA H200".into()),
        ("min_memory_bytes", 1000.into()),
        ("max_duration_ms", 1500.into()),
        ("min_sm_utilization", Value::from(0.25)),
    ] {
        assert_eq!(spec[field], value, "{field}");
    }
    let time = |field: &str| spec[field].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    assert_eq!(time("expires_at").as_second() - time("issued_at").as_second(), 90);
}

#[test]
fn every_iteration_is_sampled_by_default() {
    let spec = decoded(&run(["challenge"]).expect(OK).stdout);
    assert_eq!(spec["verification_sample_rate"].as_f64(), Some(1.0));
    assert!(spec.get("gpu_count").is_none(), "absent options are absent fields");
}

#[test]
fn a_file_gives_fields_and_options_win() {
    let spec = br#"{"matrix_dim": 384, "num_matrices": 2, "samples_per_iteration": 9}"#;
    let args = ["challenge", "--from-file", "-", "--matrices", "5"];
    let fields = decoded(&run_with_input(args, spec).expect(OK).stdout);
    assert_eq!(fields["matrix_dim"], 384);
    assert_eq!(fields["num_matrices"], 5);
    assert_eq!(fields["samples_per_iteration"], 9);
}

#[test]
fn a_file_with_errors_is_refused() {
    for (spec, says) in [
        (&br#"{"matrix_dims": 384}"#[..], "matrix_dims"),
        (br#"{"matrix_dim": null}"#, "null"),
        (br#"{"matrix_dim": 128, "matrix_dim": 256}"#, "matrix_dim"),
        (br#"{"matrix_dim": "128"}"#, "string"),
        (br#"{"version": 2}"#, "version"),
        (br#"{"challenge_type": "other"}"#, "type"),
        (br#"{"matrix_dim": 128"#, "EOF"),
        (b"[]", "not a JSON object"),
        (b"\xff\xfe", "UTF-8"),
        (&[b' '; 70_000], "more than"),
    ] {
        let args = ["challenge", "--from-file", "-"];
        run_with_input(args, spec).expect(COULD_NOT_RUN).says(says).printed_nothing();
    }
}

#[test]
fn what_nobody_could_answer_is_not_issued() {
    let args = ["challenge", "--from-file", "-"];
    for spec in [
        &br#"{"issued_at": "2020-01-01T00:00:00Z"}"#[..],
        br#"{"issued_at": "2020-01-01T00:00:00Z", "expires_at": "2020-01-02T00:00:00Z"}"#,
    ] {
        run_with_input(args, spec).expect(COULD_NOT_RUN).says("expired").printed_nothing();
    }
    let open = br#"{"issued_at": "2020-01-01T00:00:00Z", "expires_at": "2999-01-01T00:00:00Z"}"#;
    run_with_input(args, open).expect(OK);
    let folder = tempfile::tempdir().unwrap();
    let policy = folder.path().join("policy.toml");
    let policy = policy.to_str().unwrap();
    run(["policy", "init", "--out", policy]).expect(OK);
    let sized = ["challenge", "--from-file", "-", "--policy", policy, "--model", "NVIDIA H200"];
    let refused = run_with_input(sized, br#"{"gpu_model": "NVIDIA L4"}"#).expect(COULD_NOT_RUN);
    refused.says("gpu_model").printed_nothing();
    run_with_input(sized, br#"{"gpu_model": "NVIDIA H200"}"#).expect(OK);
}

/// Each bound of the protocol, one past it, and numbers that overflow when
/// multiplied.
#[test]
fn bounds_are_checked_by_arithmetic_and_nothing_is_written() {
    let max = u64::MAX.to_string();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("token");
    // y = 2 is on no point of the curve.
    let no_point = format!("02{}", "00".repeat(31));
    for (option, value, says) in [
        ("--dim", "127", "matrix_dim"),
        ("--dim", "129", "matrix_dim"),
        ("--dim", "0", "matrix_dim"),
        ("--dim", "32896", "matrix_dim"),
        ("--dim", &max, "matrix_dim"),
        ("--matrices", "0", "num_matrices"),
        ("--matrices", "4097", "num_matrices"),
        ("--matrices", &max, "num_matrices"),
        ("--iterations", "0", "num_iterations"),
        ("--iterations", "1000001", "num_iterations"),
        ("--iterations", &max, "num_iterations"),
        ("--sync", "0", "sync_interval"),
        ("--sync", "101", "sync_interval"),
        ("--sample-rate", "0", "verification_sample_rate"),
        ("--sample-rate", "1.000001", "verification_sample_rate"),
        ("--sample-rate", "0.0000005", "verification_sample_rate"),
        ("--sample-rate", "NaN", "--sample-rate"),
        ("--sample-rate", "1e999", "--sample-rate"),
        ("--samples", "0", "samples_per_iteration"),
        ("--samples", "65537", "samples_per_iteration"),
        ("--samples", "656", "openings"),
        ("--gpu-count", "0", "gpu_count"),
        ("--gpu-count", "65", "gpu_count"),
        ("--max-duration", "0s", "--max-duration"),
        ("--min-sm-utilization", "1.5", "min_sm_utilization"),
        ("--expires-in", "-5s", "--expires-in"),
        ("--expires-in", "ten", "--expires-in"),
        ("--miner-id", "12", "--miner-id"),
        ("--validator-id", &no_point, "encode a point"),
    ] {
        let args = ["challenge", &format!("{option}={value}"), "--out", out.to_str().unwrap()];
        run(args).expect(COULD_NOT_RUN).says(says).printed_nothing();
        assert_eq!(names_in(folder.path()), [""; 0], "{option} {value}");
    }
}

#[test]
fn out_writes_the_token_and_prints_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("token");
    run(["challenge", "--out", out.to_str().unwrap()]).expect(OK).printed_nothing();
    decoded(&std::fs::read_to_string(&out).unwrap());
    let missing = folder.path().join("no/such/folder/token");
    run(["challenge", "--out", missing.to_str().unwrap()])
        .expect(COULD_NOT_RUN)
        .says("cannot write")
        .printed_nothing();
    assert_eq!(names_in(folder.path()), ["token"]);
}
