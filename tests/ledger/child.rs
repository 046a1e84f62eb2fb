//! This test program again, as another process that uses a ledger and may be
//! killed at any moment.

use crate::places::Place;
use crate::{ISSUED_MS, accept, accepting, challenge, commitment_of, device, issued, verified};
use attest::ledger::{Acceptance, Ledger, Location, open};
use attest::protocol::digest::Digest;
use attest::protocol::names::Commitment;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};

const ROLE: &str = "ATTEST_TEST_LEDGER_ROLE";
const ADDRESS: &str = "ATTEST_TEST_LEDGER_ADDRESS";
const ARGUMENT: &str = "ATTEST_TEST_LEDGER_ARGUMENT";

/// The steps of a session, in order.
pub const STEPS: usize = 3;

/// Another process.
pub struct Child {
    process: std::process::Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Child {
    pub fn start(place: &Place, role: &str, argument: &str) -> Self {
        let mut process = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "child::plays_its_role", "--nocapture", "--test-threads=1"])
            .envs([(ROLE, role), (ADDRESS, &place.address), (ARGUMENT, argument)])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a child starts");
        let stdin = process.stdin.take().expect("piped");
        let stdout = BufReader::new(process.stdout.take().expect("piped"));
        Self { process, stdin, stdout }
    }

    /// The next thing that it says; `None` at its end.
    pub fn line(&mut self) -> Option<String> {
        loop {
            let mut line = String::new();
            // A line that the kill cut off was not said.
            if self.stdout.read_line(&mut line).expect("UTF-8") == 0 || !line.ends_with('\n') {
                return None;
            }
            // The test harness speaks on the same stream.
            if let Some(said) = line.trim_end().split_once("child: ") {
                return Some(said.1.to_owned());
            }
        }
    }

    pub fn tell(&mut self, line: &str) {
        writeln!(self.stdin, "{line}").expect("the child listens");
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.process.kill().expect("it runs");
        self.process.wait().expect("it ends");
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn say(text: &str) {
    println!("child: {text}");
}

/// Passes at once unless this process was started as a child.
#[test]
fn plays_its_role() {
    let variable = |name| std::env::var(name).unwrap_or_default();
    let (role, argument) = (variable(ROLE), variable(ARGUMENT));
    if role.is_empty() {
        return;
    }
    let ledger = open(&Location::parse(&variable(ADDRESS)).unwrap()).unwrap();
    match role.as_str() {
        "accept" => accept_all(&*ledger, commitment_of(argument.parse().unwrap())),
        "steps" => take_steps(&*ledger, argument.parse().unwrap()),
        "sessions" => run_sessions(&*ledger),
        other => panic!("no role {other:?}"),
    }
}

/// Answers every challenge that it is told with `mine`.
fn accept_all(ledger: &dyn Ledger, mine: Commitment) {
    say("ready");
    for line in std::io::stdin().lines() {
        let c: Digest = line.unwrap().parse().unwrap();
        say(&format!("{:?}", accept(ledger, &c, mine)));
    }
}

fn accept_with_device(ledger: &dyn Ledger, c: &Digest) {
    let accepted = ledger.accept_session(c, &accepting(commitment_of(1), &[device(1)]));
    assert_eq!(accepted.unwrap().0, Acceptance::Accepted);
}

/// Takes the first steps of one session, then waits to be killed.
fn take_steps(ledger: &dyn Ledger, steps: usize) {
    let challenge = challenge();
    let c = challenge.digest();
    let all: [&dyn Fn(); STEPS] = [
        &|| ledger.issue(&challenge, challenge.token(), ISSUED_MS).unwrap(),
        &|| accept_with_device(ledger, &c),
        &|| ledger.settle(&c, &verified()).unwrap(),
    ];
    for step in &all[..steps] {
        step();
    }
    say(&c.to_string());
    std::thread::sleep(std::time::Duration::from_secs(600));
}

/// Runs sessions until it is killed, and says each step that returned.
fn run_sessions(ledger: &dyn Ledger) {
    loop {
        let c = issued(ledger);
        say(&format!("issued {c}"));
        accept_with_device(ledger, &c);
        say(&format!("accepted {c}"));
        ledger.settle(&c, &verified()).unwrap();
        say(&format!("settled {c}"));
    }
}
