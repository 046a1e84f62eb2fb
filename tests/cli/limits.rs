//! A process that gets no threads or descriptors says so, and nothing else.

use crate::cli::{COULD_NOT_RUN, Example, OK, REJECTED};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Commands that compute, with the challenge and its result in their folder.
const COMMANDS: [&[&str]; 7] = [
    &["run", "--executor", "cpu", "--challenge", "@token"],
    &["verify", "result.json", "--challenge", "@token"],
    &["selftest", "--executor", "cpu", "--only", "cpu scalar"],
    &["selftest", "--executor", "cpu", "--stress", "0.01", "--dim", "128"],
    &["demo", "--executor", "cpu"],
    &["respond", "--executor", "cpu"],
    &["validate", "--dim", "128", "--matrices", "1", "--iterations", "2", "--samples", "2"],
];

/// A folder that anyone may use, with an example and the program in it.
fn place() -> (Example, PathBuf) {
    let example = Example::new(&[]);
    let folder = example.folder.path();
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o777)).unwrap();
    // Where it was built others may not go.
    let program = folder.join("attest");
    std::fs::copy(env!("CARGO_BIN_EXE_attest"), &program).unwrap();
    (example, program)
}

/// Runs `attest ARGS` after `before`, in a shell, as somebody else if this is root:
/// no limit of processes holds root.
fn after(before: &str, folder: &Path, program: &Path, args: &[&str], user: u32) -> Output {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("{before} && exec \"$0\" \"$@\"")]).arg(program).args(args);
    shell.current_dir(folder).env("XDG_STATE_HOME", folder).env("HOME", folder);
    shell.env_remove("ATTEST_LEDGER").env_remove("RUST_LOG").env_remove("GPU_COUNT");
    if is_root() {
        shell.uid(user).gid(user);
    }
    shell.output().expect("sh starts")
}

fn is_root() -> bool {
    std::fs::read_to_string("/proc/self/status")
        .is_ok_and(|status| status.lines().any(|line| line.starts_with("Uid:\t0\t")))
}

/// Without a limit these commands end with 0; with one they say why they can't run, or
/// do, but neither panic nor speak of health or of a result.
fn check(output: &Output, args: &[&str], limit: &str) -> bool {
    let [stdout, stderr] =
        [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
    let code = output.status.code();
    let context = format!("{limit} {args:?}: {code:?}\n{stdout}\n{stderr}");
    assert!(!stderr.contains("panicked"), "{context}");
    assert_ne!(code, Some(REJECTED), "{context}");
    if code != Some(OK) {
        assert_eq!(code, Some(COULD_NOT_RUN), "{context}");
        assert!(!stdout.contains("healthy"), "{context}");
    }
    code == Some(COULD_NOT_RUN) && stderr.contains("help: Raise the limit")
}

#[test]
fn a_process_without_descriptors_says_so() {
    let (example, program) = place();
    let folder = example.folder.path();
    for args in COMMANDS {
        for count in [5, 12, 24] {
            let limit = format!("ulimit -n {count}");
            let output = after(&limit, folder, &program, args, 65534);
            assert!(check(&output, args, &limit), "{args:?} {output:?}");
        }
    }
    for args in [&["challenge", "--ledger", "l"][..], &["inspect", "@token"]] {
        let output = after("ulimit -n 8", folder, &program, args, 65534);
        assert!(check(&output, args, "ulimit -n 8"), "{args:?} {output:?}");
    }
}

#[test]
fn a_process_without_threads_says_so() {
    let (example, program) = place();
    let folder = example.folder.path();
    // A user of nobody's, who has no other processes. What dash has as ulimit -p, bash
    // has as -u.
    for (at, args) in COMMANDS.iter().enumerate() {
        for count in [1, 2, 4, 8] {
            let limit = format!("{{ ulimit -u {count} 2>/dev/null || ulimit -p {count}; }}");
            let user = 700_000 + at as u32;
            let output = after(&limit, folder, &program, args, user);
            assert!(check(&output, args, &limit), "{args:?} {output:?}");
        }
    }
}
