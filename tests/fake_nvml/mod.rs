//! The fraud that happens most: a library that looks like NVML and claims
//! devices which are not there, put before the program as a fraudster would.
//!
//! And a CUDA driver that fails where others see GPUs: no CPU stands in for them.
//!
//! Needs cc, as building the program does, and no GPU. Where there are GPUs,
//! the library claims eight more.

mod doctor;

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

/// What `attest detect --json` says under this environment, whatever it makes of it.
#[track_caller]
fn detected(name: &str, value: &Path) -> Value {
    let output = attest().args(["detect", "--json"]).env(name, value).output();
    serde_json::from_slice(&output.expect("attest starts").stdout).expect("JSON")
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

/// Compiles an NVML with `claimed` devices, for LD_LIBRARY_PATH.
fn fake_nvml(folder: &Path, claimed: u32, options: &[&str]) {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fake_nvml/nvml.c");
    let claimed = format!("-DCLAIMED={claimed}");
    let options = [&["-Wl,-soname,libnvidia-ml.so.1", &claimed], options].concat();
    compile(source, &folder.join("libnvidia-ml.so.1"), &options);
}

/// A token of little work.
fn small_token() -> String {
    let args = "challenge --dim 128 --matrices 1 --iterations 2 --samples 2".split(' ');
    stdout(attest().args(args).output().unwrap()).trim().to_owned()
}

/// Exit code, and standard output and error together, with the libraries in `folder`.
fn ended(folder: &Path, variables: &[(&str, &str)], args: &[&str]) -> (Option<i32>, String) {
    let mut attest = attest();
    attest.args(args).env("LD_LIBRARY_PATH", folder).envs(variables.iter().copied());
    let output = attest.output().expect("attest starts");
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    (output.status.code(), String::from_utf8(text).expect("UTF-8"))
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
    assert!(device.get("computing").is_none(), "{device}");
    assert_eq!(device["unknown"]["computing"], "not known: NVML says 4294967295");
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
    let (code, text) = ended(folder.path(), &[], &["detect"]);
    assert!(text.contains(&format!("\nFINDING device-count: {expected}")), "{text}");
    assert_eq!(code, Some(2), "GPUs that CUDA lacks are no machine in order");
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
        let output = detect.env("CUDA_VISIBLE_DEVICES", value).output().unwrap();
        let json: Value = serde_json::from_slice(&output.stdout).expect("JSON");
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
    let attest = |args: &[&str]| ended(folder.path(), &[], args);
    let token = small_token();
    let run = ["run", "--challenge", &token];
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

/// Where CUDA has none, whoever else lists a GPU is believed.
#[test]
fn a_cpu_does_not_stand_in_for_gpus_that_nvml_lists() {
    let token = small_token();
    let run = ["run", "--challenge", &token];
    let [no_device, no_library] = [0, 1].map(|_| tempfile::tempdir().unwrap());
    fake_cuda(no_device.path(), 100);
    // What an image keeps of a driver that was mounted when it was made.
    std::fs::write(no_library.path().join("libcuda.so.1"), "").unwrap();
    for (folder, says) in
        [(&no_device, "the CUDA driver lists no device"), (&no_library, "file too short")]
    {
        fake_nvml(folder.path(), 2, &[]);
        for (args, code) in [
            (&run[..], 2),
            (&["demo"], 2),
            (&["respond"], 2),
            (&["detect"], 2),
            (&["bench", "--quick"], 2),
            (&["selftest", "--only", "gpu"], 1),
            (&["selftest", "--stress", "0.01", "--dim", "128"], 1),
        ] {
            let (ended, text) = ended(folder.path(), &[], args);
            assert!(
                ended == Some(code) && !text.contains("\nhealthy"),
                "{args:?} {ended:?} {text}"
            );
            assert!(text.contains(says) && text.contains("NVML lists 2 GPUs"), "{args:?}: {text}");
        }
        // Who means the CPU says so.
        let on_cpu = ended(folder.path(), &[], &[&run[..], &["--executor", "cpu"]].concat());
        assert!(on_cpu.0 == Some(0) && on_cpu.1.contains("\"asked for\""), "{on_cpu:?}");
        let checks = ["selftest", "--executor", "cpu", "--only", "verifier"];
        assert_eq!(ended(folder.path(), &[], &checks).0, Some(0));
    }
    let hidden = ended(no_device.path(), &[("CUDA_VISIBLE_DEVICES", "")], &run);
    assert!(hidden.0 == Some(0), "{hidden:?}");
    assert!(hidden.1.contains("CUDA_VISIBLE_DEVICES is \"\" and hides all"), "{hidden:?}");
}

#[test]
fn a_missing_gpu_is_named_and_not_left_out_in_silence() {
    let folder = tempfile::tempdir().unwrap();
    fake_nvml(folder.path(), 3, &["-DNO_HANDLE=2", "-DHANDLE_ERROR=15"]);
    fake_cuda(folder.path(), 0);
    let token = small_token();
    let missing = "the CUDA driver lists 2 of 3 GPUs: NVML lists 3, of which CUDA lacks";
    for (args, code) in [
        (&["run", "--challenge", &token][..], 2),
        (&["run", "--executor", "gpu", "--challenge", &token], 2),
        (&["demo"], 2),
        (&["respond"], 2),
        (&["detect"], 2),
        (&["selftest", "--only", "missing"], 1),
    ] {
        let (ended, text) = ended(folder.path(), &[], args);
        assert!(ended == Some(code) && text.contains(missing), "{args:?}: {ended:?} {text}");
        assert!(text.contains("NVML_ERROR_GPU_IS_LOST"), "{args:?}: {text}");
    }
    // Those that are named, or that the variable leaves, are all that was asked for.
    let others =
        [(vec![], vec!["--devices", "0"]), (vec![("CUDA_VISIBLE_DEVICES", "0,1")], vec![])];
    for (variables, devices) in others {
        let args = [&["run", "--challenge", &token][..], &devices].concat();
        let (_, text) = ended(folder.path(), &variables, &args);
        assert!(!text.contains("2 of 3 GPUs"), "{text}");
    }
}

#[test]
fn as_many_gpus_as_are_expected_are_checked() {
    // No driver library loads, and NVML lists none: a machine without a GPU.
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("libcuda.so.1"), "").unwrap();
    std::fs::write(folder.path().join("libnvidia-ml.so.1"), "").unwrap();
    let stress = ["selftest", "--stress", "0.01", "--dim", "128"];
    for (variables, args, code) in [
        (&[("GPU_COUNT", "8")][..], &stress[..], 1),
        (&[], &[&stress[..], &["--gpu-count", "8"]].concat(), 1),
        (&[], &["selftest", "--only", "gpu", "--gpu-count", "8"], 1),
        (&[], &["bench", "--quick", "--gpu-count", "8"], 2),
        (&[("GPU_COUNT", "8")], &["demo"], 2),
        (&[("GPU_COUNT", "8")], &["respond"], 2),
    ] {
        let (ended, text) = ended(folder.path(), variables, args);
        assert_eq!(ended, Some(code), "{args:?}: {text}");
        assert!(text.contains("8 GPUs are expected and there are 0"), "{args:?}: {text}");
    }
    // What there is nothing of is not healthy, and not faulty.
    let (code, text) = ended(folder.path(), &[], &["selftest", "--only", "gpu"]);
    assert!(code == Some(2) && text.ends_with("nothing was checked\n"), "{code:?} {text}");
    let (code, text) = ended(folder.path(), &[], &["selftest", "--only", "gpu", "--json"]);
    assert!(code == Some(2) && text.contains("\"healthy\": false"), "{code:?} {text}");
}

#[test]
fn why_a_device_cannot_be_asked_is_told() {
    for (options, code) in [
        (&["-DNO_HANDLE=1", "-DHANDLE_ERROR=15"][..], "NVML_ERROR_GPU_IS_LOST, 15"),
        (&["-DNO_HANDLE=1", "-DHANDLE_ERROR=4"], "NVML_ERROR_NO_PERMISSION, 4"),
        (&["-DLOST=1"], "NVML_ERROR_GPU_IS_LOST, 15"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        fake_nvml(folder.path(), 2, options);
        fake_cuda(folder.path(), 100);
        let json = detected("LD_LIBRARY_PATH", folder.path());
        let lost = findings(&json, "device-lost");
        assert!(lost.len() == 1 && lost[0].starts_with("NVML's device 1 cannot be"), "{json}");
        assert!(lost[0].contains(code), "{lost:?}");
        let unknown = json["nvml"]["devices"][1]["unknown"].as_object().unwrap();
        assert!(unknown.values().any(|why| why.as_str().unwrap().contains(code)), "{json}");
        let text = ended(folder.path(), &[], &["detect"]).1;
        assert!(text.contains("FINDING device-lost: ") && text.contains(code), "{text}");
    }
}

#[test]
fn a_number_with_all_bits_set_is_none() {
    let folder = tempfile::tempdir().unwrap();
    fake_nvml(folder.path(), 2, &["-DABSURD=1"]);
    let json = detected("LD_LIBRARY_PATH", folder.path());
    let [sane, absurd] = [0, 1].map(|index| &json["nvml"]["devices"][index]);
    assert_eq!((&sane["temperature_c"], &sane["sm_clock_mhz"]), (&40.into(), &345.into()));
    for fact in ["temperature_c", "sm_clock_mhz", "sm_clock_mhz", "memory_bytes"] {
        assert!(sane.get(fact).is_some() && absurd.get(fact).is_none(), "{absurd}");
    }
    assert_eq!(absurd["unknown"]["temperature_c"], "not known: NVML says 4294967295");
    assert_eq!(absurd["unknown"]["memory"], "not known: NVML says 18446744073709551615");
    assert!(!json.to_string().contains("4294967295,") && findings(&json, "device-lost").is_empty());
}

/// Whether a device signs reports is a fact of the inventory; if it does not, the driver's
/// reason is.
#[test]
fn device_reports_are_there_or_absent_with_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    fake_nvml(folder.path(), 1, &[]);
    let json = detected("LD_LIBRARY_PATH", folder.path());
    let device = &json["nvml"]["devices"][0];
    assert!(device.get("device_report").is_none(), "{device}");
    let reason = device["unknown"]["device_report"].as_str().expect("a reason");
    assert!(reason.contains("unknown") && !reason.contains("symbol"), "{reason}");
    fake_nvml(folder.path(), 1, &["-DCC_ON"]);
    let json = detected("LD_LIBRARY_PATH", folder.path());
    assert_eq!(json["nvml"]["devices"][0]["device_report"], true);
}
