//! Outputs beside inputs: what a command reads, or keeps, it does not write over.

use crate::cli::{COULD_NOT_RUN, Example, Finished, OK, attest, names_in, run, run_with_input};
use std::fs;
use std::path::Path;

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

#[test]
fn no_output_takes_the_place_of_an_input_or_another_output() {
    let example = Example::new(&[]);
    let path = |name: &str| text(&example.path(name)).to_owned();
    let [key, token, result, ledger, policy] =
        ["key", "token", "result.json", "ledger", "policy"].map(path);
    run(["key", "new", "--out", &key]).expect(OK);
    run(["policy", "init", "--out", &policy]).expect(OK);
    run(["challenge", "--ledger", &ledger]).expect(OK);
    std::os::unix::fs::symlink(&key, path("link")).unwrap();
    let (at_token, link, new) = (format!("@{token}"), path("link"), path("new"));
    let run_it = ["run", "--executor", "cpu", "--challenge", &at_token];
    let export = ["export", "--in-toto", &result, "--challenge", &at_token, "--key", &key];
    let validate = ["validate", "--key", &key, "--policy", &policy, "--ledger", &ledger];
    let names = names_in(example.folder.path());
    for (command, options) in [
        (&run_it[..], vec!["--key", &key, "--out", &key]),
        (&run_it, vec!["--key", &key, "--out", &link]),
        (&run_it, vec!["--key", &key, "--checkpoint", &key]),
        (&run_it, vec!["--out", &token]),
        (&run_it, vec!["--checkpoint", &new, "--out", &new]),
        (&export, vec!["--out", &key]),
        (&export, vec!["--out", &link]),
        (&export, vec!["--out", &result]),
        (&["challenge", "--ledger", &ledger], vec!["--out", &ledger]),
        (&["challenge", "--ledger", &new], vec!["--out", &new]),
        (&["challenge", "--policy", &policy, "--model", "H200"], vec!["--out", &policy]),
        (&["ledger", "--ledger", &ledger, "export"], vec!["--out", &ledger]),
        (&validate, vec!["--result-out", &new, "--receipt-out", &new]),
        (&validate, vec!["--receipt-out", &key]),
        (&validate, vec!["--result-out", &policy]),
        (&validate, vec!["--result-out", &ledger]),
    ] {
        let before = [&key, &token, &result, &ledger, &policy].map(|path| fs::read(path).unwrap());
        let args: Vec<&str> = command.iter().copied().chain(options).collect();
        let refused = run(&args).expect(COULD_NOT_RUN).printed_nothing();
        refused.says("name the same file");
        let after = [&key, &token, &result, &ledger, &policy].map(|path| fs::read(path).unwrap());
        assert!(before == after, "{args:?}");
        assert_eq!(names_in(example.folder.path()), names, "{args:?}");
    }
    // Nothing is lost where nothing is kept.
    run(run_it.iter().chain(&["--key", &key, "--out", "/dev/null"])).expect(OK);
}

#[test]
fn standard_input_is_read_once() {
    let example = Example::new(&[]);
    let (result, token) = (example.path("result.json"), &example.token);
    let [result, folder] = [text(&result), text(example.folder.path())];
    let key = format!("{folder}/key");
    run(["key", "new", "--out", &key]).expect(OK);
    let (verify, export) = (["verify", result, "--challenge"], ["export", "--key", &key]);
    for args in [
        [&verify[..], &[token, "--policy", "-", "--receipt", "-"]].concat(),
        [&verify[..], &["-", "--policy", "-"]].concat(),
        [&export[..], &["--in-toto", "-", "--challenge", token, "--verdict", "-"]].concat(),
        vec!["challenge", "--from-file", "-", "--policy", "-", "--model", "H200"],
    ] {
        let refused = run_with_input(&args, b"{}").expect(COULD_NOT_RUN).printed_nothing();
        refused.says("can't both come from standard input");
    }
}

/// A ledger that was mistyped is no new ledger without the challenge.
#[test]
fn verify_makes_no_ledger() {
    let example = Example::new(&[]);
    let result = example.path("result.json");
    let verify = ["verify", text(&result), "--challenge", &example.token, "--ledger"];
    let names = names_in(example.folder.path());
    let typo = example.path("leger.sqlite");
    let refused = run(verify.into_iter().chain([text(&typo)])).expect(COULD_NOT_RUN);
    refused.says("there is no ledger").printed_nothing();
    assert_eq!(names_in(example.folder.path()), names);
    run(verify.into_iter().chain(["none"])).expect(OK);
    for near_miss in ["", "None", " none", "~/ledger.sqlite"] {
        let refused = run(verify.into_iter().chain([near_miss])).expect(COULD_NOT_RUN);
        refused.says("the value of --ledger (or of ATTEST_LEDGER) is not taken").printed_nothing();
    }
    let unset = attest().args(&verify[..4]).env("ATTEST_LEDGER", "").output().unwrap();
    Finished::of(unset).expect(COULD_NOT_RUN).says("it is empty");
}

#[test]
fn a_receipt_without_a_session_is_not_passed_over_in_silence() {
    let example = Example::new(&[]);
    let (result, receipt) = (example.path("result.json"), example.path("receipt.json"));
    let text_of_it = format!(
        r#"{{"arrived_unix_ms":1,"coin":"{}","signature":"{}"}}"#,
        "01".repeat(32),
        "02".repeat(64)
    );
    fs::write(&receipt, text_of_it).unwrap();
    let verify = ["verify", text(&result), "--challenge", &example.token];
    let said = run(verify.into_iter().chain(["--receipt", text(&receipt)])).expect(OK).stdout;
    assert!(said.contains("not checked  the receipt"), "{said}");
    assert!(!run(verify).expect(OK).stdout.contains("the receipt"));
}

#[test]
fn an_empty_variable_counts_for_nothing() {
    let example = Example::new(&[]);
    for args in [vec!["detect"], vec!["run", "--executor", "cpu", "--challenge", &example.token]] {
        let output = attest().args(&args).env("GPU_COUNT", "").output().expect("attest starts");
        Finished::of(output).expect(OK);
    }
    run(["detect", "--gpu-count", "0"]).expect(COULD_NOT_RUN).says("from 1 up");
}

/// Behind `>> FILE` is a file with a beginning.
#[test]
fn an_output_that_is_a_stream_is_appended_to() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    fs::write(&log, "before\n").unwrap();
    let stdout = fs::File::options().append(true).open(&log).unwrap();
    let mut command = attest();
    let done = command.args(["challenge", "--out", "/dev/stdout"]).stdout(stdout).status();
    assert_eq!(done.expect("attest starts").code(), Some(OK));
    let written = fs::read_to_string(&log).unwrap();
    assert!(written.starts_with("before\n") && written.lines().count() == 2, "{written}");
}
