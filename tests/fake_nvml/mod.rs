//! The fraud that happens most: a library that looks like NVML and claims
//! devices which are not there, put before the program as a fraudster would.
//!
//! And a CUDA driver that fails where others see GPUs: no CPU stands in for them.
//!
//! Needs cc, as building the program does, and no GPU. Where there are GPUs,
//! the library claims eight more.

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Devices that are not there.
const INVENTED: u64 = 8;

fn attest() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_attest"));
    command.env_remove("RUST_LOG").env_remove("GPU_COUNT");
    command.env_remove("LD_PRELOAD").env_remove("LD_LIBRARY_PATH");
    command.stdin(Stdio::null());
    command
}

#[track_caller]
fn stdout(output: Output) -> String {
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(output.status.success(), "{}\n{text}", String::from_utf8_lossy(&output.stderr));
    text
}

/// What `attest detect --json` says under this environment.
#[track_caller]
fn detected(name: &str, value: &Path) -> Value {
    let output = attest().args(["detect", "--json"]).env(name, value).output();
    serde_json::from_str(&stdout(output.expect("attest starts"))).expect("JSON")
}

fn cuda_devices(json: &Value) -> u64 {
    json["cuda"]["devices"].as_array().map_or(0, Vec::len) as u64
}

/// Texts of the findings with this code.
fn findings<'a>(json: &'a Value, code: &str) -> Vec<&'a str> {
    let findings = json["findings"].as_array().expect("a list").iter();
    findings.filter(|f| f["code"] == code).map(|f| f["text"].as_str().expect("a text")).collect()
}

/// Compiles the library under this file name; gives its path and what it claims.
fn fake(folder: &Path, file: &str) -> (PathBuf, u64) {
    let bare = stdout(attest().args(["detect", "--json"]).output().expect("attest starts"));
    let bare: Value = serde_json::from_str(&bare).expect("JSON");
    let claimed = cuda_devices(&bare) + INVENTED;
    let path = folder.join(file);
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fake_nvml/nvml.c");
    compile(source, &path, &["-Wl,-soname,libnvidia-ml.so.1", &format!("-DCLAIMED={claimed}")]);
    (path, claimed)
}

/// Compiles a CUDA driver whose cuInit returns `init`, for LD_LIBRARY_PATH.
fn fake_cuda(folder: &Path, init: u32) {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fake_nvml/cuda.c");
    let options = ["-Wl,-soname,libcuda.so.1", &format!("-DINIT={init}")];
    compile(source, &folder.join("libcuda.so.1"), &options);
}

fn compile(source: &str, library: &Path, options: &[&str]) {
    let output = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-Wall"])
        .args(options)
        .args([source.as_ref(), "-o".as_ref(), library.as_os_str()])
        .output()
        .expect("cc is there: the program was linked with it");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_library_in_the_search_path_is_caught() {
    let folder = tempfile::tempdir().unwrap();
    let (path, claimed) = fake(folder.path(), "libnvidia-ml.so.1");
    let json = detected("LD_LIBRARY_PATH", folder.path());
    assert_eq!(json["nvml"]["device_count"], claimed);
    assert_eq!(json["nvml"]["devices"][0]["name"], "NVIDIA H200");
    let cuda = cuda_devices(&json);
    let expected = format!("NVML lists {claimed} devices, the CUDA driver {cuda}");
    assert_eq!(findings(&json, "device-count"), [expected.as_str()]);
    // One card told again and again has one serial number.
    let serials = findings(&json, "serial-listed-twice");
    let expected_serials = format!("{claimed} devices have the serial number 1650123456789: ");
    assert!(serials.len() == 1 && serials[0].starts_with(&expected_serials), "{serials:?}");
    // Claims without measure and without sense take neither memory nor the program down.
    let device = &json["nvml"]["devices"][0];
    assert_eq!(device["computing"]["others"], u32::MAX);
    assert!(device.get("ecc").is_none() && device["unknown"]["ecc"].is_string(), "{device}");
    assert!(device["unknown"]["power_mw"].as_str().unwrap().contains("symbol"), "{device}");
    // Where it came from, for everyone to look at.
    let libraries = json["process"]["libraries"].as_array().unwrap();
    let path = path.canonicalize().unwrap();
    let library = libraries.iter().find(|library| library["path"] == path.to_str().unwrap());
    let digest = Sha256::digest(std::fs::read(&path).unwrap());
    assert_eq!(library.expect("it is listed")["sha256"], hex::encode(digest));
    assert_eq!(json["process"]["ld_library_path"], folder.path().to_str().unwrap());
    // And for people.
    let text = attest().arg("detect").env("LD_LIBRARY_PATH", folder.path()).output();
    let text = stdout(text.expect("attest starts"));
    assert!(text.contains(&format!("\nFINDING device-count: {expected}")), "{text}");
}

#[test]
fn a_preloaded_library_under_another_name_is_caught() {
    // The loader takes a preloaded library for NVML by its soname alone.
    let folder = tempfile::tempdir().unwrap();
    let (path, claimed) = fake(folder.path(), "harmless.so");
    let json = detected("LD_PRELOAD", &path);
    assert_eq!(json["nvml"]["device_count"], claimed);
    assert_eq!(findings(&json, "device-count").len(), 1, "{json}");
    let preload = findings(&json, "preload-variable");
    assert!(preload.len() == 1 && preload[0].contains("harmless.so"), "{json}");
    let unmapped = findings(&json, "library-not-mapped");
    assert!(unmapped.iter().any(|text| text.starts_with("NVML answers")), "{json}");
}

#[test]
fn a_verdict_warns_of_what_a_run_found() {
    let folder = tempfile::tempdir().unwrap();
    let (library, _) = fake(folder.path(), "harmless.so");
    let challenge = "challenge --dim 128 --matrices 1 --iterations 2 --samples 2".split(' ');
    let token = stdout(attest().args(challenge).output().unwrap()).trim().to_owned();
    let result = folder.path().join("result.json");
    let args = ["run", "--executor", "cpu", "--challenge", &token, "--out"];
    stdout(attest().args(args).arg(&result).env("LD_PRELOAD", &library).output().unwrap());
    let verify = || {
        let mut verify = attest();
        verify.arg("verify").arg(&result).args(["--challenge", &token]);
        verify
    };
    let text = stdout(verify().output().unwrap());
    let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let warning = "claimed WARNING: the miner's machine reports preload-variable: LD_PRELOAD is";
    assert!(flat.contains(warning), "{text}");
    let json = stdout(verify().arg("--json").output().unwrap());
    let json: Value = serde_json::from_str(&json).unwrap();
    let facts = json["facts"].as_array().unwrap();
    let finding = facts.iter().find(|fact| fact["subject"] == "finding").expect("a finding");
    assert_eq!(finding["grade"], "claimed");
}

#[test]
fn a_variable_explains_no_number_but_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let (_, claimed) = fake(folder.path(), "libnvidia-ml.so.1");
    let seen = |value: &str| {
        let mut detect = attest();
        detect.args(["detect", "--json"]).env("LD_LIBRARY_PATH", folder.path());
        let text = stdout(detect.env("CUDA_VISIBLE_DEVICES", value).output().unwrap());
        let json: Value = serde_json::from_str(&text).expect("JSON");
        ["devices-hidden", "device-count"].map(|code| findings(&json, code).len())
    };
    for none in ["", "-1"] {
        assert_eq!(seen(none), [1, 0], "{none:?} hides all");
    }
    let all: Vec<String> = (0..claimed).map(|index| index.to_string()).collect();
    assert_eq!(seen(&all.join(",")), [0, 1]);
}

#[test]
fn a_driver_that_fails_is_never_a_machine_without_gpus() {
    let folder = tempfile::tempdir().unwrap();
    fake_cuda(folder.path(), 802);
    let attest = |args: &[&str]| {
        let output = attest().args(args).env("LD_LIBRARY_PATH", folder.path()).output().unwrap();
        let text = [&output.stdout[..], &output.stderr[..]].concat();
        (output.status.code(), String::from_utf8(text).expect("UTF-8"))
    };
    let small = ["--dim", "128", "--matrices", "1", "--iterations", "2", "--samples", "2"];
    let (_, token) = attest(&[&["challenge"], &small[..]].concat());
    let run = ["run", "--challenge", token.trim()];
    for (args, code) in [
        (&run[..], 2),
        (&["demo"], 2),
        (&["respond"], 2),
        (&["selftest", "--only", "gpu"], 1),
        (&["selftest", "--stress", "0.01", "--dim", "128"], 1),
        (&["bench", "--quick"], 2),
    ] {
        let (ended, text) = attest(args);
        assert!(ended == Some(code) && !text.contains("\nhealthy"), "{args:?}: {ended:?}\n{text}");
        assert!(text.contains("CUDA_ERROR_SYSTEM_NOT_READY (802)"), "{args:?}: {text}");
    }
    assert!(attest(&run).1.contains("--executor cpu"), "what to do instead");
    assert_eq!(attest(&[&run[..], &["--executor", "cpu"]].concat()).0, Some(0));
}

#[test]
fn a_device_that_is_not_described_hides_no_other() {
    let folder = tempfile::tempdir().unwrap();
    fake_cuda(folder.path(), 0);
    let json = detected("LD_LIBRARY_PATH", folder.path());
    assert_eq!(json["cuda"]["devices"].as_array().map(Vec::len), Some(1), "{json}");
    assert_eq!(json["cuda"]["devices"][0]["name"], "NVIDIA H200");
    let broken = &json["cuda"]["not_described"][0];
    let reason = broken["reason"].as_str().unwrap();
    assert!(broken["index"] == 1 && reason.contains("CUDA_ERROR_ECC_UNCORRECTABLE"), "{broken}");
}
