//! This test program again, as other processes: a validator's daemon, or the agents of many
//! miners. Each may be killed at any moment, and says at its end what it took.

use super::hostile::{self, Trick};
use super::*;
use attest::fleet::presence;
use attest::fleet::run::outcome_name;
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Write as _};
use std::ops::Range;
use std::process::{ChildStdin, Command, Stdio};

const ROLE: &str = "ATTEST_TEST_FLEET_ROLE";

/// Another process.
pub struct Child {
    process: std::process::Child,
    stdin: ChildStdin,
    /// What it says, read all the time so that it never waits for that.
    lines: std::sync::mpsc::Receiver<String>,
}

/// What the n-th of `agents` identities plays, if it is hostile: one in twenty is, and one of
/// each kind. Of 0 none is.
pub fn trick_of(at: usize, agents: usize) -> Option<Trick> {
    let all = Trick::ALL;
    if agents == 0 {
        return None;
    }
    let every = (agents / all.len()).clamp(1, 20);
    let is_hostile = at.is_multiple_of(every) && (every == 20 || at / every < all.len());
    is_hostile.then(|| all[at / every % all.len()])
}

impl Child {
    /// A validator's daemon with up to `places` sessions at once.
    pub fn validator(server: &Server, ledger: &str, places: u32) -> Self {
        Self::validator_at(server, ledger, places, None)
    }

    /// The same with another calendar, as the program faketime writes it.
    pub fn validator_at(
        server: &Server,
        ledger: &str,
        places: u32,
        calendar: Option<&str>,
    ) -> Self {
        let role = json!({
            "role": "validator", "url": server.url, "ca": server.ca, "ledger": ledger,
            "places": places,
        });
        Self::start(role, calendar)
    }

    /// The agents of these of `of` identities, the n-th with the key of number n + 1.
    pub fn agents(server: &Server, which: Range<usize>, of: usize) -> Self {
        Self::agents_at(server, which, of, None)
    }

    /// The same with another calendar.
    pub fn agents_at(
        server: &Server,
        which: Range<usize>,
        of: usize,
        calendar: Option<&str>,
    ) -> Self {
        let role = json!({
            "role": "agents", "url": server.url, "ca": server.ca,
            "first": which.start, "end": which.end, "of": of,
        });
        Self::start(role, calendar)
    }

    fn start(role: Value, calendar: Option<&str>) -> Self {
        let program = std::env::current_exe().expect("this program");
        let mut command = match calendar {
            None => Command::new(program),
            Some(calendar) => {
                let mut command = Command::new("faketime");
                command.args(["--exclude-monotonic", "-f", calendar]).arg(program);
                command
            }
        };
        let mut process = command
            .args(["--exact", "child::plays_its_role", "--nocapture", "--test-threads=1"])
            .env(ROLE, role.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a child starts");
        let stdin = process.stdin.take().expect("piped");
        let stdout = BufReader::new(process.stdout.take().expect("piped"));
        let (put, lines) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                // The test harness speaks on the same stream.
                if let Some((_, said)) = line.split_once("child: ") {
                    let _ = put.send(said.to_owned());
                }
            }
        });
        Self { process, stdin, lines }
    }

    /// The next thing that it says; `None` at its end. It blocks.
    pub fn said(&mut self) -> Option<String> {
        self.lines.recv().ok()
    }

    /// Waits until it says that it is ready.
    pub fn ready(&mut self) {
        while self.said().expect("the child lives") != "ready" {}
    }

    /// Has it end; what it took.
    pub fn end(mut self) -> Value {
        writeln!(self.stdin, "end").expect("the child listens");
        while let Some(said) = self.said() {
            if let Some(figures) = said.strip_prefix("took ") {
                return serde_json::from_str(figures).expect("JSON");
            }
        }
        panic!("the child died");
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

/// Most memory that this process has had, MiB.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) / 1024
}

/// CPU time of this process, ms.
fn cpu_ms() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split(' ').collect();
    // Ticks of 10 ms, of the user's and of the kernel's time.
    let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    10 * (ticks(12) + ticks(13))
}

fn say(what: &str) {
    println!("child: {what}");
}

/// Does nothing unless it is such a child.
#[test]
fn plays_its_role() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let role: Value = serde_json::from_str(&role).expect("JSON");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let _running = runtime.block_on(play(&role));
    say("ready");
    for line in std::io::stdin().lines() {
        if line.expect("UTF-8") == "end" {
            let threads = std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count);
            let took = json!({"peak_mib": peak_mib(), "cpu_ms": cpu_ms(), "threads": threads});
            say(&format!("took {took}"));
            break;
        }
    }
    // What still runs ends with the process.
    std::process::exit(0);
}

/// What runs, as long as it is held.
type Held = Box<dyn std::any::Any>;

async fn play(role: &Value) -> Vec<Held> {
    let server =
        server_of(role["url"].as_str().expect("a url"), role["ca"].as_str().map(Path::new));
    let number = |name: &str| role[name].as_u64().expect("a number") as usize;
    match role["role"].as_str() {
        Some("validator") => {
            let ledger = Location::parse(role["ledger"].as_str().expect("a place")).expect("one");
            let opened = tokio::task::spawn_blocking(move || attest::ledger::open(&ledger));
            let ledger: Arc<dyn Ledger> = opened.await.expect("no panic").expect("a ledger");
            let schedule = Schedule { retries: 8, ..quiet() };
            let places = number("places") as u32;
            let gone_after = presence::BEAT * presence::BEATS_MISSED;
            let tell = |doing: Doing| match doing {
                Doing::Ended(name, came, is_done) => say(&format!(
                    "ended {} {} {} {is_done}",
                    name.text(),
                    outcome_name(came.outcome),
                    came.code.as_deref().unwrap_or("-")
                )),
                Doing::Failed(why) => eprintln!("a validator: {why}"),
                Doing::Queued(_) | Doing::Planned(_) => {}
            };
            let daemon = Validating::start_as(
                &server,
                &ledger,
                schedule,
                tiny(),
                places,
                gone_after,
                Arc::new(tell),
            )
            .await;
            vec![Box::new(daemon)]
        }
        _ => {
            let (of, beat) = (number("of"), presence::BEAT);
            let mut held: Vec<Held> = Vec::new();
            for at in number("first")..number("end") {
                let number = at as u16 + 1;
                held.push(match trick_of(at, of) {
                    Some(trick) => {
                        Box::new(hostile::start_with(&server, number, trick, beat).await)
                    }
                    None => {
                        let miner = common::cpu_miner(Some(identity(number)));
                        Box::new(Running::start_with(&server, number, miner, beat).await)
                    }
                });
            }
            held
        }
    }
}
