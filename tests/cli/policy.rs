//! `attest policy`, and `--policy` of other commands.

use crate::cli::{COULD_NOT_RUN, Example, OK, REJECTED, names_in, run, run_with_input};
use base64::Engine as _;
use serde_json::Value;

#[test]
fn the_default_policy_is_printed_written_once_and_checks() {
    let printed = run(["policy", "init"]).expect(OK).stdout;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.toml");
    let path = path.to_str().unwrap();
    run(["policy", "init", "--out", path]).expect(OK).printed_nothing();
    assert_eq!(std::fs::read_to_string(path).unwrap(), printed);
    std::fs::write(path, "name = \"mine\"\n").unwrap();
    run(["policy", "init", "--out", path]).expect(COULD_NOT_RUN).says("is there already");
    assert_eq!(std::fs::read_to_string(path).unwrap(), "name = \"mine\"\n");
    assert_eq!(names_in(folder.path()), ["policy.toml"]);

    let shown = run_with_input(["policy", "check", "-"], printed.as_bytes()).expect(OK).stdout;
    assert!(shown.contains("at least 2062 counted draws"), "{shown}");
    let json = run_with_input(["policy", "check", "-", "--json"], b"").expect(OK).stdout;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["policy"]["time"]["slack"], 1.45);
    assert_eq!(json["draws_needed"], 2062);
    assert!(shown.contains(json["digest"].as_str().unwrap()));
    // What it demands of each model, for people and for machines.
    let h200 = shown.lines().find(|line| line.starts_with("NVIDIA H200 ")).expect("a row");
    assert!(h200.contains("47.21 TFLOP/s") && h200.ends_with("87 %"), "{h200}");
    let demands = json["demands"].as_array().unwrap();
    let b300 = demands.iter().find(|row| row["model"] == "NVIDIA B300 SXM6 AC").expect("a row");
    assert!(b300["allowed_s"].as_f64() > b300["honest_s"].as_f64(), "{b300}");
    assert!(b300["demanded_flops"].as_f64() < Some(1.2e12), "{b300}");
}

#[test]
fn what_check_shows_is_the_policy_again() {
    let text = b"[time]\nslack = 2.5\n[findings]\ndevice-count = \"ignore\"\n";
    let shown = run_with_input(["policy", "check", "-"], text).expect(OK).stdout;
    let values = shown.split_once("Resolved values:\n\n").unwrap().1;
    let again = run_with_input(["policy", "check", "-"], values.as_bytes()).expect(OK).stdout;
    assert_eq!(again, shown);
}

#[test]
fn errors_name_the_place_and_what_is_allowed() {
    let wrong = b"[time]\nslack = 0.5\n";
    run_with_input(["policy", "check", "-"], wrong)
        .expect(COULD_NOT_RUN)
        .printed_nothing()
        .says("standard input:2:9: time.slack is 0.5, in `slack = 0.5`")
        .says("help: Allowed is a number from 1 to 100.");
    run(["policy", "check", "no-such-file.toml"]).expect(COULD_NOT_RUN).says("no-such-file.toml");
    let wrong = [0xff; 3];
    run_with_input(["policy", "check", "-"], &wrong).expect(COULD_NOT_RUN).printed_nothing();
}

#[test]
fn a_challenge_is_sized_by_a_policy() {
    let args = ["challenge", "--policy", "-", "--model", "NVIDIA H200", "--seconds", "30"];
    let tight = run_with_input(args, b"[time]\nslack = 1.36\n").expect(OK);
    tight.says("time.slack 1.36 leaves little room");
    let sized = run_with_input(args, b"").expect(OK);
    assert_eq!(sized.stderr, "");
    let token = sized.stdout.clone();
    let json = base64::engine::general_purpose::STANDARD.decode(token.trim_end()).unwrap();
    let spec: Value = serde_json::from_slice(&json).unwrap();
    assert_eq!((&spec["matrix_dim"], &spec["num_matrices"]), (&8192.into(), &2.into()));
    assert_eq!(spec["gpu_model"], "NVIDIA H200");
    assert_eq!(spec["num_iterations"], 739);
    assert!(spec["max_duration_ms"].as_u64().unwrap() > 30_000);
    let unknown = ["challenge", "--policy", "-", "--model", "Abacus"];
    run_with_input(unknown, b"").expect(COULD_NOT_RUN).says("\"Abacus\"").printed_nothing();
    run(["challenge", "--model", "NVIDIA H200"]).expect(COULD_NOT_RUN).says("--policy");
    run(["challenge", "--policy", "-"]).expect(COULD_NOT_RUN).says("--model");
}

#[test]
fn a_policy_decides_the_exit_code() {
    let example = Example::new(&["--samples", "400"]);
    let verify = |policy: &str, options: &[&str]| {
        let path = example.path("policy.toml");
        std::fs::write(&path, policy).unwrap();
        let result = example.path("result.json");
        let args = ["verify", result.to_str().unwrap(), "--challenge", &example.token, "--policy"];
        run(args.iter().copied().chain([path.to_str().unwrap()]).chain(options.iter().copied()))
    };
    let rejected = verify("", &[]).expect(REJECTED).stdout;
    assert!(rejected.starts_with("REJECTED BY POLICY: "), "{rejected}");
    let rejected = verify("", &["--json"]).expect(REJECTED).stdout;
    let rejected: Value = serde_json::from_str(&rejected).unwrap();
    assert_eq!(rejected["outcome"], "rejected");
    assert_eq!(rejected["code"], "rejected-by-policy");
    assert_eq!(rejected["bound"]["omitted_share"], 0.01);
    assert_eq!(rejected["policy"]["reasons"][0]["weight"], "reject");
    let lenient = "[session]\nlive_required = false\n[devices]\ncpu_allowed = true\n\
                   [soundness]\nomitted_share = 0.1\nescape_probability_max = 1e-6\n";
    let verified = verify(lenient, &[]).expect(OK).stdout;
    assert!(verified.starts_with("VERIFIED: "), "{verified}");
    assert!(verified.contains("not-bound-to-miner"), "{verified}");
    verify("slack = 1\n", &[]).expect(COULD_NOT_RUN).says("policy.toml:1:1: unknown field `slack`");
}

#[test]
fn the_schema_is_printed() {
    let schema: Value =
        serde_json::from_str(&run(["schema", "verdict"]).expect(OK).stdout).unwrap();
    assert_eq!(schema["title"], "Verdict");
}
