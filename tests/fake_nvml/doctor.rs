//! `attest doctor` where libraries are not what they say, and where little is there.

use super::{attest, ended, fake_cuda, fake_nvml};
use serde_json::Value;

/// The checks of a report, as (name, state, found), and its exit code.
fn report(folder: &std::path::Path, variables: &[(&str, &str)]) -> (Option<i32>, Value) {
    let state = folder.to_str().unwrap();
    let variables = [&[("XDG_STATE_HOME", state)], variables].concat();
    let (code, text) = ended(folder, &variables, &["doctor", "--json"]);
    (code, serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}")))
}

fn of<'a>(report: &'a Value, name: &str) -> Vec<&'a Value> {
    let checks = report["checks"].as_array().expect("a list").iter();
    checks.filter(|check| check["name"] == name).collect()
}

#[test]
fn a_library_that_claims_gpus_is_wrong_with_advice() {
    let folder = tempfile::tempdir().unwrap();
    fake_nvml(folder.path(), 8, &[]);
    fake_cuda(folder.path(), 999);
    let (code, report) = report(folder.path(), &[]);
    assert_eq!((code, &report["healthy"]), (Some(1), &Value::Bool(false)), "{report}");
    let driver = of(&report, "driver")[0];
    assert_eq!(driver["state"], "wrong", "{driver}");
    assert!(driver["advice"].as_str().unwrap().contains("nvidia-smi"), "{driver}");
    let nvml = of(&report, "nvml")[0];
    assert!(nvml["found"].as_str().unwrap().ends_with("lists 8"), "{nvml}");
    let serials = of(&report, "finding");
    let serials = serials
        .iter()
        .filter(|check| check["found"].as_str().unwrap().starts_with("serial-listed-twice: "));
    assert_eq!(serials.count(), 1, "{report}");
}

#[test]
fn every_check_says_what_was_found_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let (code, report) = report(folder.path(), &[]);
    let wrong = report["checks"].as_array().unwrap().iter().any(|check| check["state"] == "wrong");
    assert_eq!(code, Some(i32::from(wrong)), "{report}");
    for name in [
        "driver",
        "cores",
        "cpu",
        "memory",
        "threads",
        "descriptors",
        "shared-memory",
        "clock",
        "ledger",
    ] {
        assert_eq!(of(&report, name).len(), 1, "{name}: {report}");
    }
    for check in report["checks"].as_array().unwrap() {
        assert_eq!(check["state"] == "ok", check["advice"].is_null(), "{check}");
        assert!(!check["found"].as_str().unwrap().contains('\n'), "{check}");
    }
    let text = ended(folder.path(), &[], &["doctor", "--ledger", "none"]).1;
    assert!(text.contains("ledger         note   none: nonces are not kept\n"), "{text}");
    assert!(text.lines().last().unwrap().ends_with(" checks"), "{text}");
    let made: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert!(made.is_empty(), "it makes nothing: {made:?}");
}

#[test]
fn what_is_expected_and_not_there_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let blocked = folder.path().join("file");
    std::fs::write(&blocked, "").unwrap();
    let (code, missing) = report(folder.path(), &[("GPU_COUNT", "1000")]);
    assert_eq!((code, &of(&missing, "driver")[0]["state"]), (Some(1), &"wrong".into()));
    let (code, text) =
        ended(folder.path(), &[("XDG_STATE_HOME", blocked.to_str().unwrap())], &["doctor"]);
    assert!(code == Some(1) && text.contains("is no folder"), "{text}");
    // Few descriptors.
    let program = env!("CARGO_BIN_EXE_attest");
    let mut few = std::process::Command::new("sh");
    few.args(["-c", "ulimit -n 40 && exec \"$0\" doctor --ledger none", program]);
    let output = few.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.code() == Some(1) && text.contains("ulimit -n 40"), "{text}");
    // The developers' doctor is another, and help says so.
    let help = attest().args(["doctor", "--help"]).output().unwrap();
    assert!(String::from_utf8_lossy(&help.stdout).contains("cargo xtask doctor"));
}
