//! SIGINT and SIGTERM end a run with the usual exit codes and leave no file.

use crate::cli::{OK, attest, names_in, run, wait_or_kill};
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

#[test]
fn a_stopped_run_says_so_and_leaves_nothing() {
    // Hours on a CPU; one iteration alone takes longer than the grace period.
    let long = ["challenge", "--dim", "4096", "--matrices", "64", "--iterations", "1000"];
    let token = run(long).expect(OK).stdout;
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("result.json");
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let mut child = attest()
            .env("RUST_LOG", "info")
            .args(["run", "--executor", "cpu", "--challenge", token.trim_end()])
            .args(["--out", out.to_str().unwrap()])
            .stderr(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("attest starts");
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let started =
            lines.by_ref().map_while(Result::ok).any(|line| line.contains("challenge taken"));
        assert!(started, "no line says that the execution started");
        let id = child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().expect("kill runs").success());
        assert_eq!(wait_or_kill(&mut child).code(), Some(code), "{signal}");
        assert_eq!(names_in(folder.path()), [""; 0]);
    }
}
