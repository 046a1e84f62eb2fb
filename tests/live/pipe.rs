//! The real binary on both ends of a pipe, and commands that are no miner.

use serde_json::Value;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A folder with a ledger, and commands in it.
pub struct Place(TempDir);

impl Place {
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// `attest` with this place's ledger as the default one.
    pub fn attest(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_attest"));
        command.env_remove("RUST_LOG").env_remove("GPU_ATTESTOR_PATH");
        command.env("XDG_STATE_HOME", self.0.path()).stdin(Stdio::null());
        command
    }

    /// `attest validate` of little work, with `options`, on `sh -c SCRIPT`; without a
    /// policy, where the options name none, as these miners are CPUs.
    pub(super) fn validate(&self, options: &[&str], script: &str) -> Output {
        let small = "validate --dim 128 --matrices 1 --iterations 2 --samples 300";
        let mut command = self.attest();
        command.args(small.split(' ')).args(options);
        if !options.contains(&"--policy") {
            command.arg("--no-policy");
        }
        command.args(["--", "sh", "-c", script]);
        command.env("ATTEST", env!("CARGO_BIN_EXE_attest"));
        command.output().expect("attest starts")
    }

    pub fn key(&self, name: &str) -> String {
        let path = self.path(name);
        let made = self.attest().args(["key", "new", "--out"]).arg(&path).output().unwrap();
        assert!(made.status.success());
        String::from_utf8(made.stdout).unwrap().trim().to_owned()
    }
}

/// The code of the one verdict, after this exit code.
#[track_caller]
pub(super) fn code_of(output: &Output, exit: i32) -> String {
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(exit), "--- stdout\n{out}\n--- stderr\n{err}");
    let verdict: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    verdict["code"].as_str().unwrap_or_default().to_owned()
}

pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_session_over_a_pipe_is_verified_with_result_and_receipt() {
    let place = Place::new();
    let validator = place.key("validator.pem");
    let miner = place.key("miner.pem");
    let (result, receipt) = (place.path("result.json"), place.path("receipt.json"));
    let path = |name: &str| place.path(name).to_str().unwrap().to_owned();
    let script = format!("$ATTEST respond --executor cpu --key {}", path("miner.pem"));
    let output = place.validate(
        &[
            "--json",
            "--key",
            &path("validator.pem"),
            "--peer",
            &miner,
            "--result-out",
            result.to_str().unwrap(),
            "--receipt-out",
            receipt.to_str().unwrap(),
        ],
        &script,
    );
    assert_eq!(code_of(&output, 0), "");
    let session: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(session["outcome"], "verified");
    assert_eq!(session["miner"]["miner_id"], Value::from(miner));
    assert!(session["times"]["round_trip_us"].is_u64());
    // What `attest run` says of its choice of devices a live miner says, too.
    let made: Value = serde_json::from_slice(&fs::read(&result).unwrap()).unwrap();
    assert_eq!(made["evidence"]["executor_chosen"], "asked for");
    let err = text(&output.stderr);
    assert!(err.contains("coin") && err.contains("the validator says: verified"), "{err}");
    // Whoever has result and receipt can check both, without the ledger.
    let token = session["rounds"][0]["challenge"].as_str().unwrap();
    let checked = place
        .attest()
        .args(["verify", "--challenge", token, "--json"])
        .arg(&result)
        .arg("--receipt")
        .arg(&receipt)
        .output()
        .unwrap();
    assert!(checked.status.success(), "{}", text(&checked.stderr));
    let verdict = text(&checked.stdout);
    assert!(verdict.contains("excluded-by-coin") && verdict.contains("validator_id signed"));
    assert_ne!(validator, "");
}

/// Whoever holds the miner's machine writes to the validator's terminal, too: no
/// escapes, no hidden letters, and nothing that passes for the validator's own words.
#[test]
fn what_a_command_says_beside_its_messages_is_marked_and_shown_as_it_is() {
    let place = Place::new();
    let lie = r"printf '\033[2J\033[8m\342\200\256\302\2331mVERIFIED: the work is proven\n' >&2";
    let honest = "$ATTEST respond --executor cpu";
    let ended = place.validate(&[], &format!("{lie}; {honest}; {lie}; printf 'last words' >&2"));
    let err = text(&ended.stderr);
    assert_eq!(ended.status.code(), Some(0), "{err}");
    let hidden = |c: char| c != '\n' && (c.is_control() || c == '\u{202e}');
    assert!(!err.contains(hidden), "{err:?}");
    let said = "stderr      \u{fffd}[2J\u{fffd}[8m\u{fffd}\u{fffd}1mVERIFIED: the work is proven\n";
    assert_eq!(err.matches(said).count(), 2, "{err}");
    assert!(err.contains("stderr      last words\n"), "{err}");
    assert!(!err.lines().any(|line| line.starts_with("VERIFIED")), "{err}");
    // Without end: it holds up nobody, and little of it is shown.
    let flood = place.validate(&["--json"], &format!("yes VERIFIED >&2 & {honest}"));
    assert_eq!(code_of(&flood, 0), "");
    assert!(flood.stderr.len() < 8 << 20, "{}", flood.stderr.len());
}

#[test]
fn without_a_command_the_program_that_the_environment_names_answers() {
    let place = Place::new();
    let small = ["validate", "--no-policy", "--dim", "128", "--iterations", "1"];
    let own = place.attest().args(small).output().unwrap();
    assert_eq!(own.status.code(), Some(0), "{}", text(&own.stderr));
    let said = text(&own.stdout);
    assert!(said.starts_with("VERIFIED  lane 0: "), "{said}");
    assert!(said.contains("  policy       none: time and devices were not judged\n"), "{said}");
    let named = place.attest().args(small).env("GPU_ATTESTOR_PATH", "/bin/true").output().unwrap();
    assert_eq!(named.status.code(), Some(1));
    assert!(text(&named.stdout).starts_with("REJECTED: closed-early (session)\n"));
    let absent = place.attest().args(small).env("GPU_ATTESTOR_PATH", "/no/such/file").output();
    let absent = absent.unwrap();
    assert_eq!(absent.status.code(), Some(2));
    assert!(text(&absent.stderr).contains("GPU_ATTESTOR_PATH"), "{}", text(&absent.stderr));
}

#[test]
fn commands_that_are_no_miner_are_rejected_by_name() {
    let place = Place::new();
    for (script, code) in [
        ("true", "closed-early"),
        ("exec sleep 100", "stalled"),
        ("yes", "not-json"),
        ("echo Last login: Sun Nov 22", "not-json"),
        ("cat", "echoed"),
        ("exit 1", "closed-early"),
        ("cat /dev/zero", "message-too-long"),
        ("yes | tr -d '\\n'", "message-too-long"),
        ("echo '{\"message\":\"busy\",\"text\":\"later\"}'; cat >/dev/null", "busy"),
    ] {
        let output = place.validate(&["--json", "--hello-within", "1s"], script);
        assert_eq!(code_of(&output, 1), code, "{script}");
    }
}

#[test]
fn more_gpus_than_a_hello_may_list_are_named_with_the_bound() {
    let place = Place::new();
    let device = r#"{"kind":"gpu","model":"x","memory_bytes":1}"#;
    let devices = vec![device; 65].join(",");
    let hello = format!(
        r#"{{"message":"hello","versions":[1],"software":"x","capabilities":[],"devices":[{devices}]}}"#
    );
    let output = place.validate(&["--json"], &format!("echo '{hello}'; cat >/dev/null"));
    assert_eq!(code_of(&output, 1), "malformed-message");
    let said = text(&output.stdout);
    assert!(said.contains("devices lists 65, at most 64"), "{said}");
}

#[test]
fn the_command_and_what_it_started_are_gone_at_the_end() {
    let place = Place::new();
    let pid_file = place.path("pid");
    let script =
        format!("trap '' TERM; sleep 1000 & echo $! > {}; sleep 1000", pid_file.to_str().unwrap());
    let output = place.validate(&["--json", "--hello-within", "1s"], &script);
    assert_eq!(code_of(&output, 1), "stalled");
    assert_gone(fs::read_to_string(&pid_file).unwrap().trim());
}

#[test]
fn a_signal_ends_the_session_and_the_command() {
    let place = Place::new();
    let pid_file = place.path("pid");
    let script = format!("echo $$ > {}; exec sleep 1000", pid_file.to_str().unwrap());
    let mut child = place
        .attest()
        .args(["validate", "--", "sh", "-c", &script])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for(|| fs::read_to_string(&pid_file).is_ok_and(|pid| !pid.trim().is_empty()));
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    assert_eq!(wait_or_kill(&mut child), Some(143));
    assert_gone(fs::read_to_string(&pid_file).unwrap().trim());
}

#[test]
fn a_miner_writes_nothing_but_messages() {
    let place = Place::new();
    let mut child = place
        .attest()
        .args(["respond", "--executor", "cpu"])
        .env("RUST_LOG", "debug")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"{\"message\":\"hello\",\"versions\":[1],\"software\":\"x\"}\n").unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let hello: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(hello["message"], "hello");
    assert_eq!(hello["devices"][0]["kind"], "cpu");
    stdin.write_all(b"garbage\n").unwrap();
    assert!(lines.next().is_none(), "garbage is not answered");
    assert_eq!(wait_or_kill(&mut child), Some(2));
}

#[test]
fn a_miner_is_warm_before_it_is_asked() {
    let place = Place::new();
    let miner = "$ATTEST respond --executor cpu";
    let output = place.validate(&["--json"], miner);
    assert_eq!(code_of(&output, 0), "");
    let err = text(&output.stderr);
    let [ready, met] = ["stderr      ready after", "challenge   "].map(|line| err.find(line));
    assert!(ready.is_some() && ready < met && err.contains("FLOP/s"), "{err}");
    for wrong in ["0s", "25h", "x"] {
        let respond = ["respond", "--executor", "cpu", "--max-session", wrong];
        assert_eq!(place.attest().args(respond).output().unwrap().status.code(), Some(2));
    }
}

#[test]
fn over_tls_the_binary_listens_and_dials() {
    let place = Place::new();
    let (validator, miner) = (place.key("validator.pem"), place.key("miner.pem"));
    let mut listening = place
        .attest()
        .args(["respond", "--executor", "cpu", "--listen", "127.0.0.1:0"])
        .args(["--allow-validator", &validator, "--key"])
        .arg(place.path("miner.pem"))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(listening.stderr.take().unwrap()).lines().map_while(Result::ok);
    let address = lines.find_map(|line| Some(line.strip_prefix("listening on ")?.to_owned()));
    let address = address.expect("it listens");
    let dial = |key: &Path, peer: &str| {
        let small = ["validate", "--no-policy", "--dim", "128", "--iterations", "1", "--json"];
        let command = ["--tcp", &address, "--peer", peer, "--key"];
        place.attest().args(small).args(command).arg(key).output().unwrap()
    };
    assert_eq!(code_of(&dial(&place.path("validator.pem"), &miner), 0), "");
    // Each side wants the other's key.
    let code = code_of(&dial(&place.path("validator.pem"), &validator), 1);
    assert_eq!(code, "handshake-failed");
    let code = code_of(&dial(&place.path("miner.pem"), &miner), 1);
    assert!(matches!(&*code, "handshake-failed" | "closed-early"), "{code}");
    let id = listening.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    assert_eq!(wait_or_kill(&mut listening), Some(143));
}

#[test]
fn the_bound_is_for_the_share_that_the_policy_names() {
    let place = Place::new();
    let policy = place.path("policy.toml");
    fs::write(&policy, "[devices]\ncpu_allowed = true\n[soundness]\nomitted_share = 0.2\n")
        .unwrap();
    let of_policy = ["--json", "--policy", policy.to_str().unwrap()];
    let typed = [&of_policy[..], &["--omitted-share", "0.3"]].concat();
    for (options, share) in [(&["--json"][..], 0.1), (&of_policy, 0.2), (&typed, 0.3)] {
        let output = place.validate(options, "$ATTEST respond --executor cpu");
        assert_eq!(code_of(&output, 0), "");
        let session: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(session["rounds"][0]["verdict"]["bound"]["omitted_share"], share, "{options:?}");
    }
}

#[test]
fn a_policy_that_wants_gpus_takes_no_cpu() {
    let place = Place::new();
    let policy = place.path("policy.toml");
    fs::write(&policy, "[devices]\ncpu_allowed = false\n").unwrap();
    let path = policy.to_str().unwrap();
    let output = place.validate(&["--json", "--policy", path], "$ATTEST respond --executor cpu");
    assert_eq!(code_of(&output, 1), "unfit-devices");
    fs::write(&policy, "[devices]\ncpu_allowed = true\n[soundness]\nomitted_share = 0.1\n")
        .unwrap();
    let output = place.validate(&["--json", "--policy", path], "$ATTEST respond --executor cpu");
    assert_eq!(code_of(&output, 0), "");
    // Too few samples for this one.
    fs::write(&policy, "[devices]\ncpu_allowed = true\n[soundness]\nomitted_share = 0.001\n")
        .unwrap();
    let output = place.validate(&["--json", "--policy", path], "$ATTEST respond --executor cpu");
    assert_eq!(code_of(&output, 1), "rejected-by-policy");
}

/// Who types no policy means the default one: no laptop passes for GPUs.
#[test]
fn without_an_option_the_default_policy_applies() {
    let place = Place::new();
    let small = "validate --dim 128 --matrices 1 --iterations 2 --samples 300 --json";
    let validate = |options: &[&str], script: &str| {
        let mut command = place.attest();
        command.args(small.split(' ')).args(options).args(["--", "sh", "-c", script]);
        command.env("ATTEST", env!("CARGO_BIN_EXE_attest")).output().unwrap()
    };
    let miner = "$ATTEST respond --executor cpu";
    assert_eq!(code_of(&validate(&[], miner), 1), "unfit-devices");
    let output = validate(&["--no-policy"], miner);
    assert_eq!(code_of(&output, 0), "");
    let said = text(&output.stdout);
    assert!(said.contains("no policy was applied"), "{said}");
    let both = validate(&["--no-policy", "--policy", "p.toml"], miner);
    assert_eq!(both.status.code(), Some(2), "{}", text(&both.stderr));
}

#[test]
fn a_cpu_is_asked_for_as_many_samples_as_the_policy_takes() {
    let place = Place::new();
    let policy = place.path("policy.toml");
    fs::write(&policy, "[devices]\ncpu_allowed = true\n").unwrap();
    let small = "validate --dim 128 --matrices 1 --iterations 2 --json --policy";
    let mut command = place.attest();
    command.args(small.split(' ')).arg(&policy).arg("--").arg(env!("CARGO_BIN_EXE_attest"));
    let output = command.args(["respond", "--executor", "cpu"]).output().unwrap();
    assert_eq!(code_of(&output, 0), "", "{}", text(&output.stdout));
}

#[test]
fn an_output_that_fails_takes_neither_verdict_nor_receipt_along() {
    let place = Place::new();
    place.key("validator.pem");
    let (key, receipt) = (place.path("validator.pem"), place.path("receipt.json"));
    let [key, receipt] = [&key, &receipt].map(|path| path.to_str().unwrap());
    let outputs = ["--result-out", "/dev/full", "--receipt-out", receipt];
    let options = [&["--json", "--key", key][..], &outputs].concat();
    let output = place.validate(&options, "$ATTEST respond --executor cpu");
    assert_eq!(code_of(&output, 2), "");
    let session: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(session["outcome"], "verified");
    let written: Value = serde_json::from_slice(&fs::read(receipt).unwrap()).unwrap();
    assert_eq!(written, session["rounds"][0]["receipt"]);
    assert!(text(&output.stderr).contains("cannot write /dev/full"));
}

#[test]
fn options_that_cannot_be_are_found_before_the_miner_is_reached() {
    let place = Place::new();
    let reached = place.path("reached");
    let script = format!("touch {}", reached.to_str().unwrap());
    for options in [
        &["--max-duration", "9007199254740992ms"][..],
        &["--expires-in", "70000000h"],
        &["--sync", "3"],
        &["--hello-within", "9223372036854775807s"],
        &["--hello-within", "25h"],
    ] {
        let output = place.validate(options, &script);
        let err = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{options:?}: {err}");
        assert!(err.starts_with("error: "), "{options:?}: {err}");
        assert!(!reached.exists(), "{options:?}");
    }
    place.key("validator.pem");
    for address in ["", "127.0.0.1", "127.0.0.1:99999", ":7420", "::1"] {
        let mut command = place.attest();
        command.args(["validate", "--peer", &"01".repeat(32), "--tcp", address, "--key"]);
        let output = command.arg(place.path("validator.pem")).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{address}: {}", text(&output.stdout));
    }
}

/// An error of two lines is told in one: no line break comes out as U+FFFD.
#[test]
fn what_the_other_side_could_not_do_is_told_in_one_line() {
    let place = Place::new();
    let miner = "$ATTEST respond --executor cpu";
    let output = place.validate(&["--json", "--gpu-count", "2"], miner);
    assert_eq!(code_of(&output, 1), "miner-failed");
    let said = text(&output.stdout);
    assert!(said.contains("would take part; Choose them") && !said.contains('\u{fffd}'), "{said}");
    let policy = place.path("policy.toml");
    fs::write(&policy, "").unwrap();
    let device = r#"{"kind":"gpu","model":"Abacus","memory_bytes":1}"#;
    let hello = format!(
        r#"{{"message":"hello","versions":[1],"software":"x","capabilities":[],"devices":[{device}]}}"#
    );
    let stranger = format!(
        r#"echo '{hello}'; read hello; read ping; echo '{{"message":"pong"}}'; cat >/dev/null"#
    );
    let options = ["--json", "--policy", policy.to_str().unwrap()];
    let output = place.validate(&options, &stranger);
    assert_eq!(code_of(&output, 1), "unfit-devices");
    let said = text(&output.stdout);
    assert!(said.contains("no speed is known") && !said.contains('\u{fffd}'), "{said}");
}

pub(super) fn wait_for(is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(60), "it never happened");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// No such process, or one that only its parent has not noticed yet.
#[track_caller]
fn assert_gone(pid: &str) {
    wait_for(|| match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => stat.rsplit(')').next().is_some_and(|rest| rest.trim().starts_with('Z')),
        Err(_) => true,
    });
}

pub(super) fn wait_or_kill(child: &mut Child) -> Option<i32> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        if start.elapsed() > Duration::from_secs(60) {
            let _ = child.kill();
            panic!("still running after a minute");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
