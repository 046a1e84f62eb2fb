//! A command that reaches a miner (`ssh miner attest respond`), as a pair of
//! streams.
//!
//! Guarantees: the command has a process group of its own, which is ended, and
//! the command reaped, when the [`Reached`] is dropped, whatever happened; nothing of
//! it has this program's terminal as a stream; a transport that failed before it reached
//! a miner is no miner's fault.
//! Deliberately lacks: a terminal. A command in the background that asks for a
//! password on the terminal is stopped by the system: give it a key.

use super::clock::unix_ms;
use super::drive::{Extras, Peering, Stage, Validator};
use super::fault::FaultCode;
use super::stderr_relay;
use super::validator::Ended;
use crate::protocol::bound::OmittedShare;
use crate::protocol::digest::Digest;
use crate::protocol::verdict::{SessionVerdict, Verdict};
use crate::protocol::verify::{Failure, RecomputeError};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use sha2::{Digest as _, Sha256};
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout};

/// How long the command may take to end by itself once its streams are closed.
const FAREWELL: Duration = Duration::from_secs(2);
/// How long it may take to heed SIGTERM.
const TERM: Duration = Duration::from_millis(300);
/// How often its state is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// How long the last of a command's standard error may take, once it has ended.
const RELAY_END: Duration = Duration::from_secs(1);

/// Longest address of a meeting over a command, characters: the ledger keeps 256.
const ADDRESS_CHARS_MAX: usize = 200;

/// A command line, and whose program answers at its end.
#[derive(Clone, Debug)]
pub struct CommandLine {
    /// What is started.
    pub program: OsString,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Who answers.
    pub answers: Answers,
}

/// Whose program answers at the end of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answers {
    /// A miner's: how it ends is its own doing, unless it was not reached.
    Miner,
    /// This side's own, on this machine: it is this side, too, that cannot run if that
    /// says that it cannot.
    Own,
}

impl CommandLine {
    /// The command as the address of a meeting: a miner without a key is known by it.
    /// Of a long one the first part, and a digest of all of it.
    fn address(&self) -> String {
        let words = [&self.program].into_iter().chain(&self.arguments);
        let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
        let line = words.join(" ");
        match line.char_indices().nth(ADDRESS_CHARS_MAX) {
            None => line,
            Some((end, _)) => {
                let digest = Digest(Sha256::digest(&line).into()).to_string();
                format!("{}… {}", &line[..end], &digest[..16])
            }
        }
    }
}

/// Holds a session with the miner that the command reaches. `say` is told each line that
/// the command writes to standard error. Also says how the command ended, unless this
/// side ended it. If it failed as transports do, before any hello, there is no verdict,
/// and the meeting is on record as one that could not run.
///
/// # Errors
/// [`StartError`].
pub async fn validate(
    validator: &Arc<Validator>,
    command: &CommandLine,
    say: impl FnMut(&str) + Send + 'static,
    watch: &(dyn Fn(Stage<'_>) + Send + Sync),
) -> Result<(Ended, Option<Exit>), StartError> {
    let peer = Peering { key: None, address: Some(command.address()) };
    let met_unix_ms = unix_ms();
    let mut reached = Reached::start(&command.program, &command.arguments)?;
    let (stdout, stdin) = reached.streams();
    let relay = tokio::spawn(stderr_relay::pass_on(reached.stderr(), say));
    let (mut ended, link) = validator.talk(stdout, Extras::default(), stdin, &peer, watch).await;
    link.finish().await;
    let exit = reached.finish().await;
    // The last of it is often what explains the end. What has left the group and
    // holds on to the stream is not waited for.
    let _ = tokio::time::timeout(RELAY_END, relay).await;
    let closed_early = ended.verdict.code == Some(FaultCode::ClosedEarly.code());
    if let Some(exit) = exit.filter(|_| closed_early && ended.hello.is_none()) {
        explain(&mut ended.verdict, exit, command.answers);
        ended.session = SessionVerdict::ended_by(&ended.verdict, Vec::new(), Vec::new());
    }
    // Only now is it known whether a miner was met.
    validator.meet(&peer, met_unix_ms, &ended).await;
    Ok((ended, exit))
}

/// Puts into a verdict on a miner that said nothing how the command ended that was to
/// reach it.
fn explain(verdict: &mut Verdict, exit: Exit, answers: Answers) {
    let what = format!("the command ended before a hello came, with {exit}");
    match exit.of_transport().or_else(|| exit.of_answerer(answers)) {
        Some(advice) => {
            let failure = Failure::CouldNotRun(RecomputeError(format!("{what}\n{advice}")));
            *verdict = Verdict::of(&Err(failure), OmittedShare::default());
        }
        None => verdict.detail = Some(format!("{what}\n{}", FaultCode::ClosedEarly.advice())),
    }
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this status.
    Status(i32),
    /// By this signal.
    Signal(i32),
}

impl Exit {
    /// What to try if this is how a transport ends that did not reach the miner: the
    /// statuses that ssh, shells and container engines keep for themselves, and signals.
    fn of_transport(self) -> Option<&'static str> {
        match self {
            Self::Status(255) => Some(
                "ssh does this if it cannot connect or log in: try `ssh -o BatchMode=yes HOST true`.",
            ),
            Self::Status(127) => Some(
                "A shell does this if it finds no such command: give the path of attest on the miner's machine.",
            ),
            Self::Status(126) => Some(
                "A shell does this if it may not execute it: check permissions, and for which machine it was built.",
            ),
            Self::Status(125) => Some(
                "A container engine does this if it cannot start it: check that the container is there and runs.",
            ),
            Self::Status(_) => None,
            Self::Signal(_) => Some(
                "Find out what ended it on this machine: memory limits, timeouts, somebody's kill.",
            ),
        }
    }
}

impl Exit {
    /// What to try if this side's own program says so that it cannot run. From a miner it
    /// would be a way to end a session at no cost.
    fn of_answerer(self, answers: Answers) -> Option<&'static str> {
        let cannot_run = self == Self::Status(2) && answers == Answers::Own;
        cannot_run.then_some(
            "attest does this if it cannot run on this machine: it says why on standard error.",
        )
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "exit status {status}"),
            Self::Signal(signal) => match signal_hook::low_level::signal_name(*signal) {
                Some(name) => write!(f, "signal {signal} ({name})"),
                None => write!(f, "signal {signal}"),
            },
        }
    }
}

/// The command was not started.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot start {program:?}: {cause}\nCheck the command after --, or the program that GPU_ATTESTOR_PATH names."
)]
pub struct StartError {
    /// What was to be started.
    pub program: String,
    /// The system's words.
    pub cause: io::Error,
}

/// A command that was started. Dropping it ends it.
#[derive(Debug)]
pub struct Reached {
    group: Group,
    stdin: Option<ChildStdin>,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
}

impl Reached {
    /// Starts `program` with `arguments`. Within a tokio runtime with I/O enabled.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start(program: &OsString, arguments: &[OsString]) -> Result<Self, StartError> {
        let failed = |cause| StartError { program: program.to_string_lossy().into_owned(), cause };
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        let (stdin, stdout, stderr) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let group = Group { child };
        Ok(Self {
            group,
            stdin: stdin.map(ChildStdin::from_std).transpose().map_err(failed)?,
            stdout: stdout.map(ChildStdout::from_std).transpose().map_err(failed)?,
            stderr: stderr.map(ChildStderr::from_std).transpose().map_err(failed)?,
        })
    }

    /// Its standard output and input, once.
    ///
    /// # Panics
    /// The second time.
    pub fn streams(&mut self) -> (ChildStdout, ChildStdin) {
        let taken = "the streams are taken once";
        (self.stdout.take().expect(taken), self.stdin.take().expect(taken))
    }

    /// Its standard error, once: to be read, for example by [`super::stderr_relay`], as a
    /// command that cannot write waits.
    ///
    /// # Panics
    /// The second time.
    pub fn stderr(&mut self) -> ChildStderr {
        self.stderr.take().expect("standard error is taken once")
    }

    /// Waits for the command to end by itself, a moment, then ends it. Says how it ended
    /// if it was by itself.
    pub async fn finish(self) -> Option<Exit> {
        let asked = Instant::now();
        while !self.group.has_exited() && asked.elapsed() < FAREWELL {
            tokio::time::sleep(LOOK).await;
        }
        self.group.exit()
    }
}

#[derive(Debug)]
struct Group {
    child: Child,
}

impl Group {
    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Whether the command itself has ended. It is not reaped by this, so its
    /// number, and its group's, still belong to it.
    fn has_exited(&self) -> bool {
        !matches!(waitid(WaitId::Pid(self.pid()), Self::LOOK_ONLY), Ok(None))
    }

    const LOOK_ONLY: WaitIdOptions =
        WaitIdOptions::EXITED.union(WaitIdOptions::NOHANG).union(WaitIdOptions::NOWAIT);

    /// How it has ended, if it has.
    fn exit(&self) -> Option<Exit> {
        let status = waitid(WaitId::Pid(self.pid()), Self::LOOK_ONLY).ok()??;
        let signal = || status.terminating_signal().map(Exit::Signal);
        status.exit_status().map(Exit::Status).or_else(signal)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // What it started is ended with it. A group without members is not an error.
        let _ = kill_process_group(self.pid(), Signal::TERM);
        let asked = Instant::now();
        while !self.has_exited() && asked.elapsed() < TERM {
            std::thread::sleep(LOOK);
        }
        let _ = kill_process_group(self.pid(), Signal::KILL);
        let _ = self.child.wait();
    }
}
