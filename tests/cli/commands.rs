//! The commands that need no prepared input.

use crate::cli::{
    COULD_NOT_RUN, Example, Finished, OK, REJECTED, attest, run, run_with_input, vectors,
};
use serde_json::Value;

#[test]
fn help_has_examples_and_exit_codes() {
    let help = run(["--help"]).expect(OK).stdout;
    assert!(help.contains("Exit codes:"), "{help}");
    for command in ["challenge", "run", "verify", "inspect", "key", "export", "selftest", "bench"] {
        let help = run([command, "--help"]).expect(OK).stdout;
        assert!(help.contains("Examples:"), "{command}: {help}");
    }
    assert!(run(["--version"]).expect(OK).stdout.starts_with("attest "));
}

#[test]
fn detect_succeeds_with_and_without_a_gpu() {
    let said = run(["detect"]).expect(OK).stdout;
    assert!(!said.trim().is_empty());
    let json = run(["detect", "--json"]).expect(OK).stdout;
    serde_json::from_str::<Value>(&json).expect("JSON");
}

#[test]
fn a_missing_gpu_is_an_error_where_it_is_expected() {
    // The list is printed all the same: it shows which one is missing.
    let missing = run(["detect", "--json", "--gpu-count", "4096"]).expect(COULD_NOT_RUN);
    let missing = missing.says("4096 GPUs are expected and there are");
    serde_json::from_str::<Value>(&missing.stdout).expect("JSON");
    let token = run(["challenge", "--dim", "128", "--iterations", "2"]).expect(OK).stdout;
    let execute = ["run", "--challenge", token.trim_end()];
    let by_flag = run(execute.iter().chain(&["--gpu-count", "4096"])).expect(COULD_NOT_RUN);
    by_flag.says("--gpu-count, GPU_COUNT").printed_nothing();
    let with_variable = |value: &str, args: &[&str]| {
        let mut command = attest();
        command.args(execute).args(args).env("GPU_COUNT", value);
        Finished::of(command.output().expect("attest starts"))
    };
    with_variable("4096", &[]).expect(COULD_NOT_RUN).says("4096 GPUs").printed_nothing();
    with_variable("none", &[]).expect(COULD_NOT_RUN).says("--gpu-count").printed_nothing();
    // The CPU was asked for, and no driver is.
    with_variable("4096", &["--executor", "cpu"]).expect(OK);
}

#[test]
fn bandwidths_are_measured_where_there_is_something_to_measure() {
    let json = run(["detect", "--json", "--measure"]).expect(OK).stdout;
    let json: Value = serde_json::from_str(&json).expect("JSON");
    let devices = json["cuda"]["devices"].as_array().map_or(0, Vec::len);
    assert_eq!(json["bandwidth"]["devices"].as_array().map_or(0, Vec::len), devices, "{json}");
}

#[test]
fn asking_for_a_gpu_where_there_is_none_is_a_clear_error() {
    let json: Value = serde_json::from_str(&run(["detect", "--json"]).expect(OK).stdout).unwrap();
    if json["cuda"]["devices"].as_array().is_some_and(|devices| !devices.is_empty()) {
        eprintln!("skipped: this machine has a GPU");
        return;
    }
    let token = run(["challenge", "--dim", "128"]).expect(OK).stdout;
    for args in [&["--executor", "gpu"][..], &["--devices", "0"]] {
        let all = ["run", "--challenge", token.trim_end()];
        let refused = run(all.iter().chain(args)).expect(COULD_NOT_RUN).says("GPU");
        refused.says("--executor cpu").printed_nothing();
    }
}

/// JSON goes to terminals, too: it says the same with what is not shown escaped.
#[test]
fn json_has_no_hidden_words() {
    let model = "\u{9b}2J\u{202e}\u{200b}H200\u{e0041}\u{7f}\u{e9}";
    let mut result: Value = serde_json::from_str(&Example::new(&[]).result).unwrap();
    result["evidence"]["lanes"][0]["model"] = Value::from(model);
    let result = result.to_string();
    let shown = run_with_input(["inspect", "-", "--json"], result.as_bytes()).expect(OK).stdout;
    let hidden = |c: char| c != '\u{e9}' && !matches!(c, ' '..='~' | '\n');
    assert!(!shown.contains(hidden), "{shown:?}");
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["lanes"][0]["claimed_model"], model);
    let shown = run_with_input(["inspect", "-"], result.as_bytes()).expect(OK).stdout;
    assert!(!shown.contains(hidden), "{shown:?}");
}

#[test]
fn inspect_shows_tokens_and_results() {
    let example = Example::new(&["--samples", "5"]);
    let token = format!("@{}", example.path("token").display());
    for subject in [token.as_str(), &example.token] {
        let shown = run(["inspect", subject]).expect(OK).stdout;
        for text in ["challenge", "128", "expires"] {
            assert!(shown.contains(text), "{text:?} is missing in:\n{shown}");
        }
    }
    let result = example.path("result.json");
    let shown = run(["inspect", result.to_str().unwrap()]).expect(OK).stdout;
    let commitment = serde_json::from_str::<Value>(&example.result).unwrap()["commitment"].clone();
    for text in [commitment.as_str().unwrap(), "lane", "cpu", "not verified"] {
        assert!(shown.contains(text), "{text:?} is missing in:\n{shown}");
    }
    for input in [&example.token, &example.result] {
        let shown = run_with_input(["inspect", "-", "--json"], input.as_bytes()).expect(OK).stdout;
        serde_json::from_str::<Value>(&shown).expect("JSON");
    }
    let mut many: Value = serde_json::from_str(&example.result).unwrap();
    many["lanes"] = vec![many["lanes"][0].clone(); 65].into();
    run_with_input(["inspect", "-"], many.to_string().as_bytes())
        .expect(COULD_NOT_RUN)
        .says("at most 64 lanes")
        .printed_nothing();
    run(["inspect", "neither"]).expect(COULD_NOT_RUN).printed_nothing();
    run(["inspect", "no/such.json"]).expect(COULD_NOT_RUN).says("neither a file nor a token");
    run_with_input(["inspect", "-"], b"{\"version\":").expect(COULD_NOT_RUN).printed_nothing();
}

#[test]
fn every_shell_gets_completions() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run(["completions", shell]).expect(OK).stdout;
        assert!(script.contains("selftest"), "{shell}");
    }
}

#[test]
fn color_is_only_where_it_is_asked_for() {
    let example = Example::new(&[]);
    let verify = ["verify", "-", "--challenge", &example.token];
    let plain = run_with_input(verify, example.result.as_bytes()).expect(OK).stdout;
    assert!(!plain.contains('\x1b'));
    let args = verify.into_iter().chain(["--color", "always"]);
    let colored = run_with_input(args, example.result.as_bytes()).expect(OK).stdout;
    assert!(colored.contains('\x1b'));
}

#[test]
fn selftest_says_healthy_and_checks_vector_files() {
    let mut args = vec!["selftest".to_owned(), "--vectors".to_owned()];
    args.extend(vectors().iter().map(|path| path.display().to_string()));
    let table = run(&args).expect(OK).stdout;
    for row in [
        "oracle",
        "cpu scalar memory",
        "cpu scalar integer",
        "cpu verifier integer",
        "one-product.json",
        "memory-peers.json",
        "integer-384.json",
        "fold.json",
    ] {
        assert!(table.contains(&format!("{row} ")), "{row} in\n{table}");
    }
    assert!(table.contains("healthy"), "{table}");
}

#[test]
fn selftest_finds_a_vector_with_one_wrong_digit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wrong.json");
    let one_product = vectors().into_iter().find(|path| path.ends_with("one-product.json"));
    let text = std::fs::read_to_string(one_product.unwrap()).unwrap();
    let mut vector: Value = serde_json::from_str(&text).unwrap();
    let state = vector["states"][0][0].as_str().unwrap();
    let wrong = if state.starts_with('0') { "1" } else { "0" };
    vector["states"][0][0] = format!("{wrong}{}", &state[1..]).into();
    std::fs::write(&path, vector.to_string()).unwrap();
    let args = ["selftest", "--only", "wrong", "--vectors", path.to_str().unwrap()];
    let table = run(args).expect(REJECTED).stdout;
    assert!(table.contains("states"), "{table}");
    std::fs::write(&path, "{}").unwrap();
    run(args).expect(COULD_NOT_RUN).says("this is not a vector file").printed_nothing();
    for path in ["/no/such/vector.json", "/"] {
        run(["selftest", "--vectors", path]).expect(COULD_NOT_RUN).says(path).printed_nothing();
    }
    run(["selftest", "--only", "no such subject"]).expect(COULD_NOT_RUN).printed_nothing();
}

#[test]
fn the_demo_proves_and_then_catches_a_flipped_bit() {
    let shown = run(["demo"]).expect(OK).stdout;
    for text in ["VERIFIED: the work is proven", "REJECTED: leaf-mismatch (step 7)"] {
        assert!(shown.contains(text), "{text:?} is missing in:\n{shown}");
    }
}
