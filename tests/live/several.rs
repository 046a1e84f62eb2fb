//! `attest validate` and several miners, of which one stands still: verdicts come as
//! sessions end, and a deadline or a signal settles what is out.

use super::identity;
use super::pipe::{Place, wait_or_kill};
use super::tls::{Gate, Listening, listen_for};
use crate::common::{cpu_miner, cpu_miner_with};
use attest::executor::Executor;
use attest::executor::cpu::{CpuExecutor, CpuOptions};
use attest::session::respond::Miner;
use serde_json::Value;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

/// An honest miner, one whose work waits at a gate, and a validator's key for both.
struct Scene {
    place: Place,
    honest: Listening,
    frozen: Listening,
    gate: Arc<Gate>,
}

impl Scene {
    async fn new() -> Self {
        let place = Place::new();
        let validator = [place.key("validator.pem").parse().unwrap()];
        let gate = Arc::new(Gate::default());
        let honest = listen_for(cpu_miner(Some(identity(2))), &validator).await;
        let frozen = listen_for(waiting_at(&gate), &validator).await;
        Self { place, honest, frozen, gate }
    }

    /// `attest validate` with both, the frozen one first.
    fn validate(&self, options: &[&str]) -> Child {
        let small = "validate --no-policy --dim 128 --matrices 1 --iterations 1 --samples 300";
        let mut command = self.place.attest();
        command.args(small.split(' ')).args(["--tcp", &self.frozen.address]);
        command.args(["--tcp", &self.honest.address, "--peer", &identity(2).public().to_string()]);
        command.arg("--key").arg(self.place.path("validator.pem")).args(options);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// The ledger's outcomes, sorted.
    fn outcomes(&self) -> Vec<String> {
        let output = self.place.attest().args(["ledger", "list", "--json"]).output().unwrap();
        let entries: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
        let mut states: Vec<String> =
            entries.iter().map(|entry| entry["state"].as_str().unwrap().to_owned()).collect();
        states.sort();
        states
    }
}

fn waiting_at(gate: &Arc<Gate>) -> Miner {
    let gate = Arc::clone(gate);
    cpu_miner_with(Some(identity(2)), move |_| {
        gate.pass();
        let cpu: Box<dyn Executor> = Box::new(CpuExecutor::new(CpuOptions::default()));
        vec![cpu]
    })
}

fn signal(child: &Child, name: &str) {
    let id = child.id().to_string();
    assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
}

/// What came on standard error.
fn said(child: &mut Child) -> String {
    let mut text = String::new();
    child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn a_miner_that_stands_still_keeps_no_others_verdict_back() {
    for (name, code) in [("-INT", 130), ("-TERM", 143)] {
        let scene = Scene::new().await;
        let mut child = scene.validate(&["--json"]);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // The frozen one has been reached, and holds on.
        let first: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!(first["address"], Value::from(&*scene.honest.address));
        assert_eq!(first["outcome"], "verified", "{first}");
        let mut err = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let challenged = format!("{}  challenge", scene.frozen.address);
        assert!(err.any(|line| line.starts_with(&challenged)));
        signal(&child, name);
        let second: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!(second["address"], Value::from(&*scene.frozen.address));
        assert_eq!(second["outcome"], "could-not-run", "{second}");
        assert!(second["rounds"][0]["challenge"].is_string() && second["miner"].is_object());
        assert!(lines.next().is_none());
        assert_eq!(wait_or_kill(&mut child), Some(code));
        // What was out when it was given up is answered by nobody.
        assert_eq!(scene.outcomes(), ["rejected", "verified"]);
        scene.gate.open();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_deadline_what_is_out_is_settled_and_what_is_known_printed() {
    let scene = Scene::new().await;
    let mut child = scene.validate(&["--deadline", "3s"]);
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    let code = wait_or_kill(&mut child);
    let err = said(&mut child);
    assert_eq!(code, Some(2), "{text}{err}");
    // How far the honest one came is the machine's affair.
    assert!(text.contains(&format!("{}  ", scene.honest.address)), "{text}");
    assert!(text.contains(&format!("{}  COULD NOT RUN", scene.frozen.address)), "{text}");
    assert!(text.contains("the deadline of 3s has passed"), "{text}");
    let total = err.lines().last().unwrap();
    assert!(total.starts_with("sessions    ") && total.ends_with(" without a verdict"), "{err}");
    for state in scene.outcomes() {
        assert!(matches!(&*state, "rejected" | "verified"), "{state}");
    }
    scene.gate.open();
}

/// The first signal waits for what is under way, here a command that does not end.
#[test]
fn a_second_signal_ends_at_once() {
    let place = Place::new();
    let ready = place.path("ready");
    let script = format!("trap '' TERM INT; echo > {}; exec sleep 1000", ready.display());
    let mut child = place
        .attest()
        .args(["validate", "--json", "--", "sh", "-c", &script])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    super::pipe::wait_for(|| ready.exists());
    signal(&child, "-INT");
    signal(&child, "-TERM");
    assert!(matches!(wait_or_kill(&mut child), Some(130 | 143)));
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "", "it did not wait for the session's end");
}

/// The worst of several counts, whichever ends last.
#[tokio::test(flavor = "multi_thread")]
async fn of_several_sessions_the_worst_is_the_exit_code() {
    let scene = Scene::new().await;
    scene.gate.open();
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = closed.local_addr().unwrap().to_string();
    drop(closed);
    let mut child = scene.validate(&["--json", "--tcp", &nobody]);
    let lines: Vec<Value> = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map(|line| serde_json::from_str(&line.unwrap()).unwrap())
        .collect();
    assert_eq!(wait_or_kill(&mut child), Some(1));
    assert_eq!(lines.len(), 3);
    let of = |address: &str| {
        let line = lines.iter().find(|line| line["address"] == address).expect("a line");
        line.clone()
    };
    assert_eq!(of(&scene.honest.address)["outcome"], "verified");
    assert_eq!(of(&scene.frozen.address)["outcome"], "verified");
    assert_eq!(of(&nobody)["code"], "unreachable");
}
