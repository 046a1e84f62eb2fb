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
    assert!(h200.contains("46.41 TFLOP/s") && h200.ends_with("86 %"), "{h200}");
    assert!(shown.contains("\nround 2     memory, 4 s, arenas of 90 % of the memory, required\n"));
    assert!(!shown.contains("\nshows "), "{shown}");
    let rounds = json["rounds"].as_array().unwrap();
    let kinds: Vec<_> = rounds.iter().map(|round| round["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["fp64", "integer", "memory", "links"]);
    let of_memory = rounds[2]["models"].as_array().unwrap();
    let h200 = of_memory.iter().find(|row| row["model"] == "NVIDIA H200").expect("a row");
    assert_eq!((&h200["arena_blocks"], &h200["num_iterations"]), (&30_981_120.into(), &113.into()));
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
fn demands_and_rounds_are_shown() {
    let text = b"fp64.fp64_tflops_min = 50\nmemory.resident_bytes_sum_min = 100000000000\n\
        network.network_mbit_min = 100\n[[round]]\nkind = \"fp64\"\nseconds = 2\n\
        [[round]]\nkind = \"memory\"\nmemory_share = 0.5\nrequired = false\n\
        [[round]]\nkind = \"memory\"\non = \"host\"\nnum_iterations = 9\n";
    let shown = run_with_input(["policy", "check", "-"], text).expect(OK).stdout;
    for line in [
        "round 0     fp64, 2 s, required",
        "round 1     memory, 4 s, arenas of 50 % of the memory, if it fits the devices",
        "round 2     memory, 4 s, by the machine's CPUs, required",
        "shows       at least 50 TFLOP/s of FP64 products by each lane",
        "shows       at least 100000000000 bytes held by all lanes together",
        "shows       at least 100 Mbit/s in both directions",
        "network     67108864 bytes each way",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line}: {shown}");
    }
    // What cannot be met by a model says so.
    let a100 = shown.lines().find(|line| line.starts_with("NVIDIA A100-SXM4-80GB ")).unwrap();
    assert!(a100.contains("fp64.fp64_tflops_min is 50 TFLOP/s, and an honest run"), "{a100}");
    let values = shown.split_once("Resolved values:\n\n").unwrap().1;
    let again = run_with_input(["policy", "check", "-"], values.as_bytes()).expect(OK).stdout;
    assert_eq!(again, shown);
}

#[test]
fn a_challenge_is_a_round_of_a_policy() {
    let spec = |options: &[&str]| {
        let args = ["challenge", "--policy", "-", "--model", "NVIDIA H200"];
        let token = run_with_input(args.iter().chain(options), b"").expect(OK).stdout;
        let json = base64::engine::general_purpose::STANDARD.decode(token.trim_end()).unwrap();
        serde_json::from_slice::<Value>(&json).unwrap()
    };
    let [fp64, integer, memory] = ["0", "1", "2"].map(|round| spec(&["--round", round]));
    assert_eq!(fp64["num_iterations"], 197);
    assert_eq!(integer["challenge_type"], "integer_multiplication_pow");
    assert_eq!((&memory["arena_blocks"], &memory["peer_blocks"]), (&30_981_120.into(), &0.into()));
    let links = spec(&["--round", "3", "--gpu-count", "2", "--seconds", "1"]);
    assert!(links["peer_blocks"].as_u64() > Some(0) && links["gpu_count"] == 2, "{links}");
    let refused = |options: &[&str], says: &str| {
        let args = ["challenge", "--policy", "-", "--model", "NVIDIA H200", "--round"];
        run_with_input(args.iter().chain(options), b"").expect(COULD_NOT_RUN).says(says);
    };
    refused(&["4"], "the policy has no round 4: it has 4");
    refused(&["3"], "--peer-blocks takes at least 2 lanes");
    refused(&["0", "--kind", "memory"], "--kind");
    run(["challenge", "--round", "0"]).expect(COULD_NOT_RUN).says("--policy");
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
