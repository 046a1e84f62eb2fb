//! A command that reaches a miner (`ssh miner attest respond`), as a pair of
//! streams.
//!
//! Guarantees: the command has a process group of its own, which is ended, and
//! the command reaped, when the [`Reached`] is dropped, whatever happened; nothing of
//! it has this program's terminal as a stream.
//! Deliberately lacks: a terminal. A command in the background that asks for a
//! password on the terminal is stopped by the system: give it a key.

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout};

/// How long the command may take to end by itself once its streams are closed.
const FAREWELL: Duration = Duration::from_secs(2);
/// How long it may take to heed SIGTERM.
const TERM: Duration = Duration::from_millis(300);
/// How often its state is looked at.
const LOOK: Duration = Duration::from_millis(5);

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

    /// Its standard error, once: to be read, for example by [`super::words`], as a
    /// command that cannot write waits.
    ///
    /// # Panics
    /// The second time.
    pub fn stderr(&mut self) -> ChildStderr {
        self.stderr.take().expect("standard error is taken once")
    }

    /// Waits for the command to end by itself, a moment, then ends it.
    pub async fn finish(self) {
        let asked = Instant::now();
        while !self.group.has_exited() && asked.elapsed() < FAREWELL {
            tokio::time::sleep(LOOK).await;
        }
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
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        !matches!(waitid(WaitId::Pid(self.pid()), options), Ok(None))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // What it started is ended with it. A group without members is no error.
        let _ = kill_process_group(self.pid(), Signal::TERM);
        let asked = Instant::now();
        while !self.has_exited() && asked.elapsed() < TERM {
            std::thread::sleep(LOOK);
        }
        let _ = kill_process_group(self.pid(), Signal::KILL);
        let _ = self.child.wait();
    }
}
