//! The real programs: what they do without a server, without its leave, and when told to end.

use super::server::Nats;
use super::*;
use async_nats::jetstream::kv::Operation;
use attest::fleet::authorize::configuration;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc as lines;
use std::time::Instant;

/// `attest`, whose lines on standard error are heard.
pub struct Program {
    child: Child,
    lines: lines::Receiver<String>,
    /// What it has said so far.
    pub heard: Vec<String>,
}

impl Program {
    /// Starts it.
    pub fn start(command: &mut Command) -> Self {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = child.spawn().expect("the program starts");
        let stderr = BufReader::new(child.stderr.take().expect("a pipe"));
        let (put, lines) = lines::channel();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                if put.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, lines, heard: Vec::new() }
    }

    /// Waits for a line with this in it.
    pub fn says(&mut self, part: &str) -> String {
        let until = Instant::now() + PATIENCE;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left);
            let line = line.unwrap_or_else(|_| panic!("no {part:?} in {:#?}", self.heard));
            self.heard.push(line.clone());
            if line.contains(part) {
                return line;
            }
        }
    }

    /// Sends it a signal.
    pub fn signal(&self, name: &str) {
        let done =
            Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status();
        assert!(done.expect("a command").success());
    }

    /// Waits for its end; its lines are in `heard` then.
    pub fn ends(&mut self) -> ExitStatus {
        let until = Instant::now() + PATIENCE;
        let status = loop {
            match self.child.try_wait().expect("it can be waited for") {
                Some(status) => break status,
                None if Instant::now() > until => panic!("it does not end: {:#?}", self.heard),
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        };
        self.heard.extend(self.lines.iter());
        status
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program with a key file of `number` in this folder, and the arguments.
pub fn attest(folder: &Path, number: u16, arguments: &[&str]) -> Command {
    let path = folder.join(format!("{number}.pem"));
    if !path.exists() {
        identity(number).write_new(&path).expect("a key file");
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_attest"));
    command.args(arguments).arg("--key").arg(path).env_remove("RUST_LOG");
    command
}

fn agent(folder: &Path, number: u16, url: &str) -> Command {
    attest(folder, number, &["agent", "--executor", "cpu", "--nats", url])
}

fn validator(folder: &Path, url: &str) -> Command {
    let ledger = folder.join("ledger.sqlite").display().to_string();
    attest(folder, 0, &["--ledger", &ledger, "fleet", "run", "--no-policy", "--nats", url])
}

#[test]
fn a_key_that_the_server_refuses_ends_agent_and_validator_with_a_code() {
    let Some(nats) = Nats::start_with(&configuration(&[key(8)], &[key(9)]), "nats") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let url = nats.url();
    let status = attest(folder.path(), 0, &["fleet", "status", "--nats", &url]);
    let all =
        [(agent(folder.path(), 1, &url), 1), (validator(folder.path(), &url), 0), (status, 0)];
    for (mut command, number) in all {
        let mut program = Program::start(&mut command);
        let status = program.ends();
        assert_eq!(status.code(), Some(77), "{:#?}", program.heard);
        let text = program.heard.join("\n");
        let refused = format!("refuses the key {} (nats-key-refused)", key(number));
        assert!(text.contains(&refused), "{text}");
        assert!(text.contains("\n  help: Have `attest fleet authorize` print"), "{text}");
    }
}

#[test]
fn a_request_that_no_session_could_ask_for_ends_the_validator_at_its_start() {
    let folder = tempfile::tempdir().expect("a folder");
    // Nobody listens there: it is not asked.
    let url = "nats://127.0.0.1:1";
    let key = key(1).to_string();
    for (arguments, part) in [
        (["--dim", "100"], "matrix_dim"),
        (["--arena-blocks", "100"], "arena_blocks"),
        (["--iterations", "0"], "num_iterations"),
        (["--miner-id", &key], "Leave --miner-id out"),
        (["--validator-id", &key], "Give the key file: --key"),
    ] {
        let mut program = Program::start(validator(folder.path(), url).args(arguments));
        let status = program.ends();
        let text = program.heard.join("\n");
        assert_eq!(status.code(), Some(2), "{arguments:?}: {text}");
        assert!(text.contains(part), "{arguments:?}: {text}");
        assert!(!folder.path().join("ledger.sqlite").exists(), "{arguments:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_down_is_waited_for_and_a_refusal_later_is_said() {
    let allowed = configuration(&[key(0)], &[key(1)]);
    let Some(mut nats) = Nats::start_with(&allowed, "nats") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    nats.kill();
    let mut agent = Program::start(&mut agent(folder.path(), 1, &nats.url()));
    agent.says("no connection to");
    // With nothing to drain a signal ends it.
    let mut other = Program::start(&mut validator(folder.path(), &nats.url()));
    other.says("trying again in");
    other.signal("TERM");
    assert_eq!(other.ends().code(), Some(0), "{:#?}", other.heard);
    nats.start_again();
    agent.says("waiting for validators");
    nats.reload_with(&configuration(&[key(0)], &[key(2)]));
    agent.says("refuses this key now");
    nats.reload_with(&allowed);
    agent.says("connected to the NATS server again");
    agent.signal("TERM");
    assert_eq!(agent.ends().code(), Some(0), "{:#?}", agent.heard);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_signal_drains_an_agent_and_a_second_one_stops_its_work() {
    let Some(nats) = Nats::start() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let (server, (_ledger, ledger)) = (server_of(&nats.url(), None), ledger());
    let long = Request { matrix_dim: Some(512), num_iterations: Some(4000), ..tiny() };
    let fleet = Validating::start_asking(&server, &ledger, quiet(), long).await;
    let mut agent = Program::start(&mut agent(folder.path(), 1, &nats.url()));
    agent.says("waiting for validators");
    fleet.meets(1).await;
    let tasks = fleet.challenge("c1", &[1]).await;
    agent.says("session ");
    agent.signal("TERM");
    agent.says("no more sessions are taken");
    // It goes on with its work, and says that it is busy.
    let busy = || async {
        let all = fleet.stores.announced().await.expect("announcements");
        all.get(&key(1).encoded()).map(|said| (said.state.name(), said.session.is_some()))
    };
    let state = busy().await;
    assert_eq!(state, Some(("busy", true)), "{:#?}", agent.heard);
    agent.signal("TERM");
    assert_eq!(agent.ends().code(), Some(143), "{:#?}", agent.heard);
    // It was stopped and not killed: the session's end is said, and the entry taken back.
    assert!(agent.heard.iter().any(|line| line.contains("stopped")), "{:#?}", agent.heard);
    let entry = fleet.stores.agents.entry(key(1).encoded().to_string()).await;
    let entry = entry.expect("an answer").expect("its removal is the last entry");
    assert_eq!(entry.operation, Operation::Delete);
    assert_eq!(fleet.done(&tasks[0]).await.outcome.as_deref(), Some("rejected"));
}
