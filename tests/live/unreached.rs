//! Commands that reach no miner, and miners that are known by nothing but their command.

use super::pipe::{Place, code_of, text};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

/// Nothing of a miner was seen. Once there was, it is the miner's end.
#[test]
fn a_transport_that_failed_is_no_miners_fault() {
    let place = Place::new();
    for (script, said) in [
        ("exit 255", "exit status 255\nssh does this"),
        ("no-such-command", "exit status 127\nA shell does this if it finds no"),
        ("exec /dev/null", "exit status 126\nA shell does this if it may not"),
        ("exit 125", "exit status 125\nA container engine does this"),
        ("kill -KILL $$", "signal 9 (SIGKILL)\nFind out what ended it"),
    ] {
        let output = place.validate(&["--json"], script);
        assert_eq!(code_of(&output, 2), "", "{script}");
        let session: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(session["outcome"], "could-not-run", "{script}");
        let detail = session["detail"].as_str().unwrap();
        assert!(detail.contains(said), "{script}: {detail}");
    }
    let output = place.validate(&["--json"], "exit 3");
    assert_eq!(code_of(&output, 1), "closed-early");
    assert!(text(&output.stdout).contains("with exit status 3"), "{}", text(&output.stdout));
    let hello =
        r#"{"message":"hello","versions":[1],"software":"x","capabilities":[],"devices":[]}"#;
    let output = place.validate(&["--json"], &format!("echo '{hello}'; read line; exit 255"));
    assert_eq!(code_of(&output, 1), "closed-early");
    let err = text(&output.stderr);
    assert!(err.contains("command     ended with exit status 255\n"), "{err}");
}

/// A miner's machine could say so of any session that it does not like.
#[test]
fn only_this_sides_own_program_cannot_run_and_no_miner_is_rejected_for_it() {
    let place = Place::new();
    let cannot_run = place.path("cannot-run");
    fs::write(&cannot_run, "#!/bin/sh\necho error: no threads left >&2\nexit 2\n").unwrap();
    fs::set_permissions(&cannot_run, fs::Permissions::from_mode(0o755)).unwrap();
    let small = ["validate", "--no-policy", "--json", "--dim", "128", "--iterations", "1"];
    let own = place.attest().args(small).env("GPU_ATTESTOR_PATH", &cannot_run).output().unwrap();
    assert_eq!(code_of(&own, 2), "");
    assert!(text(&own.stdout).contains("attest does this if it cannot run"));
    assert!(text(&own.stderr).contains("stderr      error: no threads left"));
    let output = place.validate(&["--json"], "exit 2");
    assert_eq!(code_of(&output, 1), "closed-early");
}

/// What `attest ledger list --meetings` has, the newest first.
fn meetings(place: &Place) -> Vec<Value> {
    let list = ["ledger", "list", "--meetings", "--json"];
    let output = place.attest().args(list).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn a_miner_without_a_key_is_known_by_its_command() {
    let place = Place::new();
    let (policy, ready) = (place.path("policy.toml"), place.path("ready"));
    fs::write(&policy, "[session]\ndodges_max = 1\n[devices]\ncpu_allowed = true\n").unwrap();
    let options = ["--json", "--policy", policy.to_str().unwrap()];
    let ready_path = ready.to_str().unwrap();
    let dodger = format!("[ -e {ready_path} ] || exit 3; $ATTEST respond --executor cpu");
    // Not reached: nobody's dodge.
    assert_eq!(code_of(&place.validate(&options, "exit 255"), 2), "");
    for _ in 0..2 {
        assert_eq!(code_of(&place.validate(&options, &dodger), 1), "closed-early");
    }
    let met = meetings(&place);
    assert_eq!(met[0]["code"], "closed-early");
    assert!(met[0]["address"].as_str().unwrap().starts_with("sh -c [ -e "), "{met:?}");
    assert_eq!(met[2]["code"], "could-not-run");
    assert_eq!(met[2]["address"], "sh -c exit 255");
    fs::write(&ready, "").unwrap();
    assert_eq!(code_of(&place.validate(&options, &dodger), 1), "too-many-dodges");
    // Of another command nothing is on record.
    let other = place.validate(&options, "exec $ATTEST respond --executor cpu");
    let other: Value = serde_json::from_slice(&other.stdout).expect("JSON");
    assert!(other["rounds"][0]["challenge"].is_string(), "{other}");
}
