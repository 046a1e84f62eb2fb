//! Input that is wrong in one way each: a clear error, the right exit code,
//! nothing half-written.

use crate::cli::{
    COULD_NOT_RUN, Example, Finished, OK, REJECTED, attest, names_in, run, run_with_input,
    wait_or_kill,
};
use base64::Engine as _;
use serde_json::{Value, json};
use std::process::Stdio;

fn encoded(fields: &Value) -> String {
    base64::engine::general_purpose::STANDARD.encode(fields.to_string())
}

fn fields_of(token: &str) -> Value {
    let bytes = base64::engine::general_purpose::STANDARD.decode(token).expect("base64");
    serde_json::from_slice(&bytes).expect("JSON")
}

/// Every command that reads a token refuses it in the same words.
#[test]
fn bad_tokens() {
    let example = Example::new(&[]);
    let token = &example.token;
    let with = |field: &str, value: Value| {
        let mut fields = fields_of(token);
        fields[field] = value;
        encoded(&fields)
    };
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("result.json");
    for bad in [
        String::new(),
        token[..token.len() - 3].to_owned(),
        token[..token.len() / 2 / 4 * 4].to_owned(),
        format!("{token}{token}"),
        format!(" {token}"),
        format!("{token}="),
        "not base64!".to_owned(),
        "AAAA".to_owned(),
        "\u{fb33}".to_owned(),
        with("extra_field", json!(1)),
        with("version", json!(2)),
        with("version", json!(null)),
        with("version", json!("1")),
        with("matrix_dim", json!(127)),
        with("matrix_dim", json!(129)),
        with("matrix_dim", json!(128.5)),
        with("matrix_dim", json!(u64::MAX)),
        with("num_matrices", json!(-1)),
        with("validator_nonce", json!("00")),
        with("expires_at", json!("2030-02-30T00:00:00Z")),
        with("miner_id", json!("02".repeat(32))),
        "A".repeat(17_000),
    ] {
        for args in [
            vec!["run", "--executor", "cpu", "--out", out.to_str().unwrap()],
            vec!["verify", "/dev/null"],
        ] {
            let option = format!("--challenge={bad}");
            let shown = &bad[..bad.len().min(60)];
            let finished = run(args.iter().copied().chain([option.as_str()]));
            assert_eq!(finished.code, Some(COULD_NOT_RUN), "{shown:?}: {}", finished.stderr);
            assert!(finished.stderr.starts_with("error: "), "{shown:?}: {}", finished.stderr);
            assert_eq!(finished.stdout, "", "{shown:?}");
            assert!(!finished.stderr.contains("panicked"), "{shown:?}: {}", finished.stderr);
        }
        assert_eq!(names_in(folder.path()), [""; 0]);
    }
}

#[test]
fn a_token_file_that_is_no_token() {
    for (bytes, says) in
        [(&b"\xff\xfe\x00"[..], "UTF-8"), (&[b'A'; 40_000], "more than"), (b"", "error: ")]
    {
        run_with_input(["run", "--executor", "cpu", "--challenge", "-"], bytes)
            .expect(COULD_NOT_RUN)
            .says(says)
            .printed_nothing();
    }
    run(["run", "--challenge", "@/no/such/file"]).expect(COULD_NOT_RUN).says("/no/such/file");
    run(["run", "--challenge", "@/"]).expect(COULD_NOT_RUN).says("cannot read");
}

#[test]
fn a_token_file_without_its_at_sign() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("token"), "AAAA").unwrap();
    for path in ["token", "./token", "no-such-token.txt"] {
        let run = attest().args(["run", "--challenge", path]).current_dir(folder.path()).output();
        Finished::of(run.expect("attest starts"))
            .expect(COULD_NOT_RUN)
            .says("put @ before its path")
            .printed_nothing();
    }
}

/// A valid challenge that no host can keep is refused by arithmetic, at once.
#[test]
fn too_large_for_this_machine() {
    let largest = ["challenge", "--dim", "32768", "--matrices", "4096"];
    let token = run(largest).expect(0).stdout;
    run(["run", "--executor", "cpu", "--challenge", token.trim_end()])
        .expect(COULD_NOT_RUN)
        .says("the digests of this run take ")
        .printed_nothing();
}

/// An expired challenge is not executed, and a result that arrives late is
/// rejected, both by name.
#[test]
fn expired() {
    let example = Example::new(&[]);
    let mut fields = fields_of(&example.token);
    fields["issued_at"] = json!("2020-01-01T00:00:00Z");
    fields["expires_at"] = json!("2020-01-01T01:00:00Z");
    let expired = encoded(&fields);
    run(["run", "--executor", "cpu", "--challenge", &expired])
        .expect(COULD_NOT_RUN)
        .says("expired")
        .printed_nothing();
    let result = example.path("result.json");
    let expires_at = fields_of(&example.token)["expires_at"].as_str().unwrap().to_owned();
    let verify = ["verify", result.to_str().unwrap(), "--challenge", &example.token];
    let late = run(verify.into_iter().chain(["--arrived-at", &expires_at])).expect(REJECTED);
    assert!(late.stdout.contains("expired"), "{}", late.stdout);
    run(verify.into_iter().chain(["--arrived-at", "unknown"])).expect(0);
    run(verify.into_iter().chain(["--arrived-at", "2020-01-01T00:00:00Z"]))
        .expect(COULD_NOT_RUN)
        .says("before the challenge was issued")
        .printed_nothing();
}

#[test]
fn a_result_for_another_challenge() {
    let [example, other] = [0, 1].map(|_| Example::new(&[]));
    let verdict = other.verify(&example.result).expect(REJECTED);
    assert!(verdict.stdout.contains("challenge-mismatch"), "{}", verdict.stdout);
}

/// Each way to damage a result, with the stable name of its rejection where it
/// has one of its own.
#[test]
fn damaged_results() {
    let example = Example::new(&[]);
    let honest: Value = serde_json::from_str(&example.result).unwrap();
    let damaged = |edit: &dyn Fn(&mut Value)| {
        let mut result = honest.clone();
        edit(&mut result);
        assert_ne!(result, honest, "the edit does nothing");
        let verdict = example.verify(&result.to_string()).expect(REJECTED);
        assert!(verdict.stdout.to_lowercase().contains("rejected"), "{}", verdict.stdout);
        verdict.stdout
    };
    let openings = |result: &mut Value| result["openings"].as_array_mut().unwrap().clone();

    damaged(&|r| r["openings"] = json!([]));
    damaged(&|r| r["lanes"] = json!([]));
    damaged(&|r| r["lanes"][0]["iteration_roots"] = json!([]));
    damaged(&|r| drop(r["openings"].as_array_mut().unwrap().pop()));
    damaged(&|r| drop(r["openings"].as_array_mut().unwrap().remove(0)));
    damaged(&|r| {
        let first = openings(r)[0].clone();
        r["openings"].as_array_mut().unwrap().insert(0, first);
    });
    damaged(&|r| r["openings"].as_array_mut().unwrap().swap(0, 1));
    damaged(&|r| drop(r["openings"][0]["path"].as_array_mut().unwrap().pop()));
    damaged(&|r| r["openings"][0]["path"].as_array_mut().unwrap().push(json!("00".repeat(32))));
    damaged(&|r| {
        let lane = r["lanes"][0].clone();
        r["lanes"].as_array_mut().unwrap().push(lane);
    });
    damaged(&|r| r["coin"] = json!("00".repeat(32)));
    damaged(&|r| r["miner_signature"] = json!("00".repeat(64)));
    damaged(&|r| r["more"] = json!(1));
    damaged(&|r| r["version"] = json!(2));
    damaged(&|r| r["evidence"] = json!(null));
}

/// Flips the lowest bit of one hex digit or digit in every field of a result.
#[test]
fn one_flipped_bit_in_every_field() {
    let example = Example::new(&[]);
    for field in [
        "\"version\":",
        "\"challenge_digest\":\"",
        "\"commitment\":\"",
        "\"uuid\":\"",
        "\"iteration_roots\":[\"",
        "\"schema\":",
        "\"memory_bytes\":",
        "\"sm_count\":",
        "\"lane\":",
        "\"iteration\":",
        "\"leaf\":",
        "\"path\":[\"",
    ] {
        let at = example.result.find(field).unwrap_or_else(|| panic!("no {field}")) + field.len();
        let mut bytes = example.result.clone().into_bytes();
        bytes[at] ^= 1;
        let flipped = String::from_utf8(bytes).unwrap();
        let verdict = example.verify(&flipped);
        assert_eq!(verdict.code, Some(REJECTED), "{field} {}{}", verdict.stdout, verdict.stderr);
    }
}

#[test]
fn results_that_are_no_json() {
    let example = Example::new(&[]);
    let half = &example.result[..example.result.len() / 2];
    let twice = format!("{0}{0}", example.result);
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for text in ["", "{}", "[]", "null", "0", "\"\"", half, &twice, &deep] {
        let verdict = example.verify(text);
        let shown = &text[..text.len().min(40)];
        assert_eq!(verdict.code, Some(REJECTED), "{shown}: {}{}", verdict.stdout, verdict.stderr);
    }
    let args = ["verify", "-", "--challenge", &example.token];
    run_with_input(args, b"{\"version\":1,\"\xff\":2}").expect(REJECTED);
    run_with_input(args, b"\xef\xbb\xbf{}").expect(REJECTED);
}

#[test]
fn a_result_that_cannot_be_read_is_no_verdict() {
    let example = Example::new(&[]);
    run(["verify", "/no/such/result.json", "--challenge", &example.token])
        .expect(COULD_NOT_RUN)
        .says("/no/such/result.json")
        .printed_nothing();
    run_with_input(["verify", "-", "--challenge", "-"], example.token.as_bytes())
        .expect(COULD_NOT_RUN)
        .says("standard input");
}

#[test]
fn usage_errors() {
    for args in [
        &["no-such-command"][..],
        &[],
        &["run"],
        &["run", "--executor", "tpu", "--challenge", "AAAA"],
        &["run", "--devices", "0,x", "--challenge", "AAAA"],
        &["run", "--devices", "0", "--executor", "cpu", "--challenge", "AAAA"],
        &["verify", "a.json"],
        &["verify", "a.json", "--full", "--sampled", "--challenge", "AAAA"],
        &["challenge", "--dim", "many"],
    ] {
        run(args).expect(COULD_NOT_RUN).printed_nothing();
    }
}

/// Nobody may have to wait for hours to learn that the result can't be kept.
#[test]
fn an_output_that_cannot_be_written_is_refused_before_the_work() {
    let long = ["challenge", "--dim", "4096", "--matrices", "64", "--iterations", "1000"];
    let token = run(long).expect(OK).stdout;
    for out in ["/no/such/folder/result.json", "/"] {
        let mut child = attest()
            .args(["run", "--executor", "cpu", "--challenge", token.trim_end(), "--out", out])
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("attest starts");
        assert_eq!(wait_or_kill(&mut child).code(), Some(COULD_NOT_RUN), "{out}");
    }
}

/// Whoever reads standard error may have gone (`2>&1 | head`): the exit code
/// still says what happened, and a result still comes.
#[cfg(target_os = "linux")]
#[test]
fn a_standard_error_that_takes_nothing_changes_nothing() {
    let example = Example::new(&[]);
    let full = || std::fs::File::options().write(true).open("/dev/full").expect("Linux has it");
    let on_full = |args: &[&str]| {
        let output = attest().env("RUST_LOG", "debug").args(args).stderr(full()).output();
        output.expect("attest starts")
    };
    let refused = on_full(&["verify", "/no/such/file", "--challenge", &example.token]);
    assert_eq!(refused.status.code(), Some(COULD_NOT_RUN));
    let result = on_full(&["run", "--challenge", &example.token]);
    assert_eq!(result.status.code(), Some(OK));
    example.verify(std::str::from_utf8(&result.stdout).unwrap()).expect(OK);
}
