//! Live sessions on streams that are not ready whenever they are asked: O_NONBLOCK was
//! left set on them, and a reader is slow.

use super::peer::tiny;
use super::pipe::{Place, wait_or_kill};
use super::recording::Recording;
use crate::common::{impatient_pipe, read_slowly, set_non_blocking};
use attest::protocol::verdict::Outcome;
use attest::session::drive::Validator;
use attest::session::message::{Device, DeviceKind, FromMiner, MinerHello, line_of};
use serde_json::Value;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::sync::Arc;

/// What sshd and Node.js give a command: one socket as both streams, non-blocking on
/// either end.
#[tokio::test(flavor = "multi_thread")]
async fn a_miner_answers_on_a_socket_that_is_not_ready() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    set_non_blocking(&ours);
    set_non_blocking(&theirs);
    let mut child = Command::new(env!("CARGO_BIN_EXE_attest"))
        .args(["respond", "--executor", "cpu"])
        .stdin(Stdio::from(std::os::fd::OwnedFd::from(theirs.try_clone().unwrap())))
        .stdout(Stdio::from(std::os::fd::OwnedFd::from(theirs)))
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let ledger = Recording::new();
    let mut request = tiny();
    // Openings of more than a socket holds.
    request.samples_per_iteration = Some(3000);
    let validator = Arc::new(Validator::new(ledger, request));
    let (reader, writer) = tokio::net::UnixStream::from_std(ours).unwrap().into_split();
    let ended = validator.session(reader, writer, None, &|_| ()).await;
    assert_eq!(ended.verdict.outcome, Outcome::Verified, "{:?}", ended.verdict);
    assert_eq!(wait_or_kill(&mut child), Some(0));
}

/// The verdict is longer than a pipe holds, and so is what the command says.
#[test]
fn a_verdict_is_whole_on_a_pipe_that_is_not_ready() {
    let place = Place::new();
    let (out, stdout) = impatient_pipe();
    let (err, stderr) = impatient_pipe();
    // A hello of 60 KB, the letters of which are escaped in JSON.
    let device = Device {
        kind: DeviceKind::Cpu,
        model: "\u{200b}".repeat(340),
        uuid: None,
        memory_bytes: 1,
    };
    let hello = MinerHello { versions: vec![1], devices: vec![device; 55], ..Default::default() };
    std::fs::write(place.path("hello"), line_of(&FromMiner::Hello(hello))).unwrap();
    let script = format!(
        "yes 'a line of some length' | head -c 300000 >&2; cat {}",
        place.path("hello").display()
    );
    let mut command = place.attest();
    command.args(["validate", "--json", "--hello-within", "10m", "--", "sh", "-c", &script]);
    let mut child = command.stdout(stdout).stderr(stderr).spawn().unwrap();
    // The command holds the other ends, too.
    drop(command);
    let reading = [out, err].map(|end| std::thread::spawn(move || read_slowly(end)));
    let [out, err] = reading.map(|reading| reading.join().unwrap());
    // It leaves after its hello.
    assert_eq!(wait_or_kill(&mut child), Some(1));
    let text = String::from_utf8(out).unwrap();
    assert!(text.len() > 100_000 && text.ends_with("}\n"), "{}", text.len());
    let session: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(session["miner"]["devices"].as_array().unwrap().len(), 55);
    let said = String::from_utf8(err).unwrap();
    assert!(said.matches("stderr      a line of some length\n").count() > 12_000, "{}", said.len());
}
