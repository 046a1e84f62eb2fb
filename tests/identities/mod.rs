//! Keys, and what is signed with them: results, receipts, attestations.

mod ear;
mod exports;
mod keys;
mod sessions;
mod signed_results;
mod statements;

use serde_json::Value;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Verified, healthy or done.
const OK: i32 = 0;
/// Rejected.
const REJECTED: i32 = 1;
/// Could not run.
const COULD_NOT_RUN: i32 = 2;

/// A folder to work in, with a configuration of its own.
struct Desk(tempfile::TempDir);

/// What a command printed.
struct Printed {
    stdout: String,
    stderr: String,
}

impl Desk {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).expect("readable")
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("written");
    }

    /// Runs `attest ARGS` in the folder; it must end with `code`.
    #[track_caller]
    fn attest<S: AsRef<OsStr>>(&self, code: i32, args: impl IntoIterator<Item = S>) -> Printed {
        let output = Command::new(env!("CARGO_BIN_EXE_attest"))
            .args(args)
            .current_dir(self.0.path())
            .env_remove("RUST_LOG")
            .env("XDG_CONFIG_HOME", self.path("config"))
            .stdin(Stdio::null())
            .output()
            .expect("attest starts");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        let printed = Printed { stdout: text(output.stdout), stderr: text(output.stderr) };
        let (out, err) = (&printed.stdout, &printed.stderr);
        assert_eq!(output.status.code(), Some(code), "--- stdout\n{out}\n--- stderr\n{err}");
        printed
    }

    /// Makes the key `NAME.pem` and gives its public half.
    #[track_caller]
    fn key(&self, name: &str) -> String {
        let file = format!("{name}.pem");
        self.attest(OK, ["key", "new", "--out", &file]).stdout.trim_end().to_owned()
    }

    /// Issues a small challenge with these options into token.txt.
    #[track_caller]
    fn challenge(&self, options: &[&str]) {
        let small = "challenge --dim 128 --matrices 1 --iterations 3 --out token.txt".split(' ');
        self.attest(OK, small.chain(options.iter().copied()));
    }

    /// Runs token.txt into result.json.
    #[track_caller]
    fn mine(&self, options: &[&str]) {
        let run = "run --challenge @token.txt --executor cpu --out result.json".split(' ');
        self.attest(OK, run.chain(options.iter().copied()));
    }

    /// The verdict on result.json, as JSON.
    #[track_caller]
    fn verdict(&self, code: i32) -> Value {
        let args = "verify result.json --challenge @token.txt --json".split(' ');
        serde_json::from_str(&self.attest(code, args).stdout).expect("JSON")
    }
}

impl Printed {
    /// Panics unless standard output is empty and standard error has an error
    /// of two lines that holds `text`.
    #[track_caller]
    fn refuses(&self, text: &str) {
        assert_eq!(self.stdout, "");
        assert!(self.stderr.contains(text), "{text:?} is missing in:\n{}", self.stderr);
        let lines: Vec<&str> = self.stderr.lines().collect();
        assert!(lines.len() == 2 && lines[0].starts_with("error: "), "{}", self.stderr);
    }
}

/// The permission bits of a file or folder.
fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).expect("it exists").permissions().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("my file");
}
