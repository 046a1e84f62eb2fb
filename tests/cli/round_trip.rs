//! challenge → run → verify on the CPU, through pipes and files.

use crate::cli::{COULD_NOT_RUN, Example, OK, names_in, run, run_with_input, vectors};
use serde_json::Value;

#[test]
fn an_honest_result_is_verified() {
    let example = Example::new(&[]);
    let verdict = example.verify(&example.result).expect(OK);
    assert!(
        verdict.stdout.starts_with("VERIFIED: the work is proven (no policy: "),
        "{}",
        verdict.stdout
    );
}

#[test]
fn files_and_standard_input_give_the_same() {
    let example = Example::new(&[]);
    let result = example.path("result.json");
    let token = format!("@{}", example.path("token").display());
    run(["verify", "--sampled", result.to_str().unwrap(), "--challenge", &token]).expect(OK);
    let args = ["verify", result.to_str().unwrap(), "--challenge", "-"];
    run_with_input(args, format!("{}\n", example.token).as_bytes()).expect(OK);
}

#[test]
fn full_verification_agrees() {
    let example = Example::new(&["--sample-rate", "0.5", "--sync", "2"]);
    let result = example.path("result.json");
    run(["verify", "--full", result.to_str().unwrap(), "--challenge", &example.token]).expect(OK);
}

#[test]
fn json_verdicts_parse() {
    let example = Example::new(&[]);
    let args = ["verify", "-", "--json", "--challenge", &example.token];
    let verdict = run_with_input(args, example.result.as_bytes()).expect(OK);
    let verdict: Value = serde_json::from_str(&verdict.stdout).expect("JSON");
    assert_eq!(verdict["outcome"], "verified");
}

#[test]
fn run_writes_its_result_to_a_file_and_nothing_else() {
    let example = Example::new(&[]);
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("result.json");
    let token = format!("@{}", example.path("token").display());
    let args = ["run", "--executor", "cpu", "--challenge", &token, "--out"];
    run(args.iter().copied().chain([out.to_str().unwrap()])).expect(OK).printed_nothing();
    assert_eq!(names_in(folder.path()), ["result.json"]);
    example.verify(&std::fs::read_to_string(out).unwrap()).expect(OK);
}

#[test]
fn a_run_in_a_pipe_is_silent() {
    let example = Example::new(&[]);
    let args = ["run", "--executor", "cpu", "--challenge", &example.token];
    assert_eq!(run(args).expect(OK).stderr, "");
}

/// Results of other programs, one of them of a live session and signed. They
/// have expired, so they count only where the arrival is left open.
#[test]
fn results_of_independent_programs_are_verified() {
    let mut checked = 0;
    for path in vectors() {
        let vector: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let Some(token) = vector["challenge"].as_str() else { continue };
        let result = vector["result"].to_string();
        let verify = ["verify", "-", "--challenge", token];
        let args = verify.iter().chain(&["--arrived-at", "unknown"]);
        run_with_input(args, result.as_bytes()).expect(OK);
        let late = run_with_input(verify, result.as_bytes()).expect(crate::cli::REJECTED);
        assert!(late.stdout.contains("expired"), "{path:?}: {}", late.stdout);
        checked += 1;
    }
    assert!(checked >= 9);
}

/// A receipt that does not hold has no say in when the commitment arrived.
#[test]
fn a_receipt_that_does_not_hold_leaves_the_expiry_in_force() {
    let live = vectors().into_iter().find(|path| path.ends_with("ragged-sync-live-signed.json"));
    let vector: Value = serde_json::from_slice(&std::fs::read(live.unwrap()).unwrap()).unwrap();
    let result = vector["result"].to_string();
    let receipt = serde_json::json!({
        "arrived_unix_ms": 1, "coin": vector["coin"], "signature": "00".repeat(64),
    });
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("receipt.json");
    std::fs::write(&path, receipt.to_string()).unwrap();
    let token = vector["challenge"].as_str().unwrap();
    let args = ["verify", "-", "--challenge", token, "--receipt", path.to_str().unwrap()];
    let verdict = run_with_input(args, result.as_bytes()).expect(crate::cli::REJECTED).stdout;
    assert!(verdict.contains("expired"), "{verdict}");
}

#[test]
fn a_receipt_that_is_none_is_no_verdict() {
    let example = Example::new(&[]);
    let path = example.path("receipt.json");
    std::fs::write(&path, "{}").unwrap();
    let args = ["verify", "-", "--challenge", &example.token, "--receipt", path.to_str().unwrap()];
    run_with_input(args, example.result.as_bytes())
        .expect(COULD_NOT_RUN)
        .says("receipt")
        .printed_nothing();
}
