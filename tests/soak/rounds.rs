//! `attest validate` with 64 miners by TCP, four rounds each, all at once.

use crate::common::cpu_miner;
use crate::live::identity;
use crate::live::pipe::Place;
use crate::live::tls::listen_for;
use serde_json::Value;
use std::process::Stdio;

const MINERS: usize = 64;
/// Most resident memory of the validator, KiB.
const MEMORY_MAX_KIB: u64 = 1_000_000;

const POLICY: &str = r#"
name = "soak"
[devices]
cpu_allowed = true
[soundness]
omitted_share = 0.2
escape_probability_max = 1e-3
[[round]]
kind = "fp64"
matrix_dim = 128
num_matrices = 1
num_iterations = 1
[[round]]
kind = "integer"
matrix_dim = 128
num_matrices = 1
num_iterations = 1
[[round]]
kind = "memory"
arena_blocks = 512
half_passes = 2
num_iterations = 1
[[round]]
kind = "fp64"
matrix_dim = 128
num_matrices = 1
num_iterations = 2
"#;

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_miners_have_four_rounds_each_judged() {
    let _turn = super::TURN.lock().await;
    let place = Place::new();
    let validator = [place.key("validator.pem").parse().expect("a key")];
    std::fs::write(place.path("policy.toml"), POLICY).expect("written");
    let mut miners = Vec::new();
    for _ in 0..MINERS {
        miners.push(listen_for(cpu_miner(Some(identity(2))), &validator).await);
    }
    let mut command = place.attest();
    // Everything on this machine shares two cores.
    command.args(["validate", "--json", "--hello-within", "300s", "--max-duration", "600s"]);
    for miner in &miners {
        command.args(["--tcp", &miner.address]);
    }
    command.args(["--peer", &identity(2).public().to_string()]);
    command.arg("--key").arg(place.path("validator.pem"));
    command.arg("--policy").arg(place.path("policy.toml"));
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let status = format!("/proc/{}/status", child.id());
    let ended = tokio::task::spawn_blocking(move || child.wait_with_output());
    let mut most_kib = 0;
    while !ended.is_finished() {
        // The most that it ever had, so that it does not matter when it is read.
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with("VmHWM"));
        let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
        most_kib = kib.unwrap_or(0).max(most_kib);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let output = ended.await.expect("waited for").expect("output");
    let text = String::from_utf8_lossy(&output.stdout);
    let sessions: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(sessions.len(), MINERS, "{}", String::from_utf8_lossy(&output.stderr));
    for session in &sessions {
        assert_eq!(session["outcome"], "verified", "{session}");
        assert_eq!(session["rounds"].as_array().map(Vec::len), Some(4), "{session}");
    }
    println!("{MINERS} sessions of four rounds: {most_kib} KiB at most");
    assert!(most_kib > 0 && most_kib < MEMORY_MAX_KIB, "{most_kib} KiB");
}
