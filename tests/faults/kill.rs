//! The program killed at any moment, and stopped by signals, with a checkpoint.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

fn attest() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_attest"));
    command.env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

fn token(options: &[&str]) -> String {
    let output = attest().arg("challenge").args(options).output().expect("attest starts");
    assert!(output.status.success());
    String::from_utf8(output.stdout).expect("a token").trim_end().to_owned()
}

fn start(token: &str, folder: &Path, every_s: &str) -> Child {
    attest()
        .args(["run", "--executor", "cpu", "--challenge", token, "--checkpoint-every", every_s])
        .args(["--checkpoint".as_ref(), folder.join("run.ckpt").as_os_str()])
        .args(["--out".as_ref(), folder.join("result.json").as_os_str()])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("attest starts")
}

fn length(folder: &Path) -> u64 {
    folder.join("run.ckpt").metadata().map_or(0, |meta| meta.len())
}

/// Waits until the checkpoint is longer than `bytes`, or the run is over.
fn wait_until_longer(child: &mut Child, folder: &Path, bytes: u64) {
    let start = Instant::now();
    while length(folder) <= bytes && child.try_wait().expect("a child").is_none() {
        assert!(start.elapsed() < Duration::from_secs(120), "nothing is kept");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_run_that_is_killed_again_and_again_ends_as_if_it_had_not_been() {
    let token = token(&["--dim", "256", "--matrices", "2", "--iterations", "200", "--sync", "2"]);
    let folder = tempfile::tempdir().expect("a folder");
    let mut kept = 0;
    for kill in 0..6_u64 {
        let mut child = start(&token, folder.path(), "0");
        wait_until_longer(&mut child, folder.path(), kept);
        // Into whatever it does then: computing, hashing, writing, syncing.
        std::thread::sleep(Duration::from_micros(kill * 1731));
        child.kill().expect("it can be killed");
        child.wait().expect("it ends");
        kept = length(folder.path());
    }
    let output = start(&token, folder.path(), "0").wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!folder.path().join("run.ckpt").exists(), "the checkpoint has served");
    let result = std::fs::read_to_string(folder.path().join("result.json")).expect("a result");
    // A verifier that recomputes every iteration sees an unbroken chain.
    let verified = attest()
        .args(["verify", "--full", "--challenge", &token])
        .arg(folder.path().join("result.json"))
        .output()
        .expect("attest starts");
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
    assert!(kept == 0 || result.contains("resumed_after_iteration"), "it began anew");
}

#[test]
fn a_signal_leaves_the_checkpoint_and_no_result() {
    // A minute or more on a CPU, an iteration being far shorter than the grace.
    let token = token(&[
        "--dim",
        "256",
        "--matrices",
        "2",
        "--iterations",
        "60000",
        "--sync",
        "2",
        "--samples",
        "1",
        "--sample-rate",
        "0.001",
    ]);
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let folder = tempfile::tempdir().expect("a folder");
        let mut child = start(&token, folder.path(), "0");
        wait_until_longer(&mut child, folder.path(), 1000);
        let id = child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().expect("kill").success());
        let output = child.wait_with_output().expect("it ends");
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{text}");
        assert!(text.contains("run.ckpt is kept"), "{text}");
        assert!(length(folder.path()) > 1000);
        assert!(!folder.path().join("result.json").exists());
    }
}
