//! The program as a user meets it: arguments, streams, files, exit codes.
//!
//! Everything here starts the real binary. What a command computes is tested in
//! the library; here it matters what is said, where, and with which exit code.

mod bad_input;
mod bench;
mod challenge;
mod commands;
mod dashboard;
mod dashboard_server;
mod files;
mod floods;
mod integer;
mod ledger;
mod limits;
mod logs;
mod machine_report;
mod memory;
mod models;
mod outputs;
mod pages;
mod policy;
mod report;
mod round_trip;
mod signals;
mod streams;

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Verified, healthy or done.
const OK: i32 = 0;
/// Rejected.
const REJECTED: i32 = 1;
/// Could not run.
const COULD_NOT_RUN: i32 = 2;

/// What a finished command left.
struct Finished {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Finished {
    fn of(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("standard output is UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("standard error is UTF-8"),
        }
    }

    /// Panics with everything that was printed unless the exit code is `code`.
    #[track_caller]
    fn expect(self, code: i32) -> Self {
        assert_eq!(
            self.code,
            Some(code),
            "exit code\n--- stdout\n{}\n--- stderr\n{}",
            self.stdout,
            self.stderr
        );
        self
    }

    /// Panics unless standard error holds `text`.
    #[track_caller]
    fn says(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "{text:?} is missing in:\n{}", self.stderr);
        self
    }

    /// Panics unless standard output is empty: nothing half-done was printed.
    #[track_caller]
    fn printed_nothing(self) -> Self {
        assert_eq!(self.stdout, "");
        self
    }
}

/// The binary, with an environment that doesn't depend on who tests.
fn attest() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_attest"));
    for name in ["RUST_LOG", "NO_COLOR", "ATTEST_LEDGER", "GPU_COUNT"] {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

/// Runs `attest ARGS` to its end.
fn run<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Finished {
    Finished::of(attest().args(args).output().expect("attest starts"))
}

/// Starts `attest ARGS` with its streams piped.
fn spawn<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> (Child, ChildStdin) {
    start(attest().args(args))
}

/// Starts a command with its streams piped.
fn start(command: &mut Command) -> (Child, ChildStdin) {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("attest starts");
    let stdin = child.stdin.take().expect("piped");
    (child, stdin)
}

/// Runs `attest ARGS` with `input` on its standard input.
fn run_with_input<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>, input: &[u8]) -> Finished {
    finish(spawn(args), input)
}

/// Gives a child its standard input, and waits for its end.
fn finish((child, mut stdin): (Child, ChildStdin), input: &[u8]) -> Finished {
    let input = input.to_vec();
    // A command may end without having read all of its input.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let finished = Finished::of(child.wait_with_output().expect("attest ends"));
    writer.join().expect("the writer ends");
    finished
}

/// Waits for a child that must end soon; ends it and panics after a minute.
#[track_caller]
fn wait_or_kill(child: &mut Child) -> std::process::ExitStatus {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("the child can be waited for") {
            return status;
        }
        if start.elapsed() > Duration::from_secs(60) {
            let _ = child.kill();
            panic!("still running after a minute");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A challenge and an honest result for it, in files of their own.
struct Example {
    folder: tempfile::TempDir,
    token: String,
    result: String,
}

impl Example {
    /// A challenge with these options, executed on the CPU.
    fn new(options: &[&str]) -> Self {
        let small = "challenge --dim 128 --matrices 1 --iterations 3".split(' ');
        let token =
            run(small.chain(options.iter().copied())).expect(OK).stdout.trim_end().to_owned();
        let args = ["run", "--executor", "cpu", "--challenge", &token];
        let result = run(args).expect(OK).stdout;
        let example = Self { folder: tempfile::tempdir().expect("a folder"), token, result };
        std::fs::write(example.path("token"), &example.token).expect("written");
        std::fs::write(example.path("result.json"), &example.result).expect("written");
        example
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Verifies `result` against this example's challenge.
    fn verify(&self, result: &str) -> Finished {
        run_with_input(["verify", "-", "--challenge", &self.token], result.as_bytes())
    }
}

/// The vector files of this project.
fn vectors() -> Vec<PathBuf> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("the vectors")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    paths.sort();
    assert!(!paths.is_empty());
    paths
}

/// The names in a folder, sorted.
fn names_in(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}
