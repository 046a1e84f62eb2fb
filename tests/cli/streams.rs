//! Standard streams as others leave them: closed, full, and not ready.

use crate::cli::{COULD_NOT_RUN, Example, Finished, OK, attest, names_in, run};
use crate::common::{impatient_pipe, read_slowly};
use attest::ledger::{self, Location};
use attest::mining::issue::{Request, issue};
use rustix::fs::{OFlags, fcntl_getfl};
use std::fs::{self, File};
use std::io::{Read as _, Write as _, pipe};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Commands that print, and what they need; `{}` is the folder.
const PRINTING: [&str; 14] = [
    "--help",
    "--version",
    "run --help",
    "help ledger prune",
    "completions bash",
    "completions zsh",
    "schema verdict",
    "policy init",
    "inspect {}/token",
    "challenge --dim 128",
    "challenge --dim 128 --ledger {}/new.sqlite",
    "key new --out {}/new.pem",
    "ledger list --ledger {}/ledger.sqlite",
    "ledger export --ledger {}/ledger.sqlite",
];

#[test]
fn no_standard_output_and_a_full_one_are_errors() {
    let example = Example::new(&[]);
    let folder = example.folder.path().to_str().unwrap();
    let ledger = format!("{folder}/ledger.sqlite");
    run(["challenge", "--dim", "128", "--ledger", &ledger]).expect(OK);
    let names = names_in(example.folder.path());
    for line in PRINTING {
        let line = line.replace("{}", folder);
        // What was closed is found out first: nothing is made for nobody.
        let closed = with_shell("exec \"$@\" >&-", &line).expect(COULD_NOT_RUN);
        closed.says("cannot write to standard output: it was closed");
        assert_eq!(names_in(example.folder.path()), names, "{line}");
        let tidy = || ["new.pem", "new.sqlite"].map(|made| fs::remove_file(example.path(made)));
        let full = with_shell("exec \"$@\" >/dev/full", &line).expect(COULD_NOT_RUN);
        full.says("cannot write to standard output: No space left on device");
        let _ = tidy();
        with_shell("exec \"$@\" >/dev/null", &line).expect(OK);
        let _ = tidy();
        // A reader that has enough is no error.
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        let mut command = attest();
        let output = command.args(line.split(' ')).stdout(writer).output().unwrap();
        Finished::of(output).expect(OK);
        let _ = tidy();
    }
    for line in ["validate -- false", "respond", "run --challenge @{}/token --executor cpu"] {
        let closed = with_shell("exec \"$@\" >&-", &line.replace("{}", folder));
        closed.expect(COULD_NOT_RUN).says("it was closed");
    }
    let none =
        with_shell("exec \"$@\" <&-", "verify - --challenge @{}/token").expect(COULD_NOT_RUN);
    none.says("error: ");
}

#[test]
fn a_checkpoint_outlives_a_result_that_nobody_got() {
    let example = Example::new(&[]);
    let checkpoint = example.path("checkpoint");
    let file = checkpoint.to_str().unwrap();
    let args = ["run", "--executor", "cpu", "--challenge", &example.token, "--checkpoint", file];
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    let gone = attest().args(args).stdout(writer).output().unwrap();
    let kept = format!("{file} is kept: the same command goes on from there");
    Finished::of(gone).expect(OK).says(&kept);
    let full = File::options().write(true).open("/dev/full").unwrap();
    let full = attest().args(args).stdout(full).output().unwrap();
    Finished::of(full).expect(COULD_NOT_RUN).says(&kept);
    assert!(checkpoint.exists());
    let delivered = run(args).expect(OK).stdout;
    example.verify(&delivered).expect(OK);
    assert!(!checkpoint.exists(), "it is delivered");
}

#[test]
fn a_key_that_could_not_be_shown_is_said_to_be_there() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("new.pem");
    let file = file.to_str().unwrap();
    let full = with_shell("exec \"$@\" >/dev/full", &format!("key new --out {file}"));
    full.expect(COULD_NOT_RUN).says(&format!("the key is in {file} all the same"));
    assert_eq!(run(["key", "show", file]).expect(OK).stdout.trim_end().len(), 64);
}

/// `sh -c SCRIPT` with the program and the words of `line` as its arguments.
fn with_shell(script: &str, line: &str) -> Finished {
    let program = attest();
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh"]).arg(program.get_program()).args(line.split(' '));
    for name in ["RUST_LOG", "NO_COLOR", "ATTEST_LEDGER", "GPU_COUNT"] {
        command.env_remove(name);
    }
    Finished::of(command.stdin(Stdio::null()).output().expect("sh starts"))
}

/// Runs `attest LINE` on streams that are not ready: `input` comes in two parts, and
/// what it prints, on both streams, is read slowly.
fn run_on_impatient_streams(args: &[&str], input: &[u8]) -> (Option<i32>, Vec<u8>, Vec<u8>) {
    let (stdin, mut feed) = impatient_pipe();
    let [(out, stdout), (err, stderr)] = [impatient_pipe(), impatient_pipe()];
    let mut command = attest();
    let mut child = command.args(args).stdin(stdin).stdout(stdout).stderr(stderr).spawn().unwrap();
    // The command holds the other ends, too.
    drop(command);
    let reading = [out, err].map(|end| std::thread::spawn(move || read_slowly(end)));
    let (first, second) = input.split_at(input.len() / 2);
    for mut part in [first, second] {
        std::thread::sleep(Duration::from_millis(100));
        while !part.is_empty() {
            match feed.write(part) {
                Ok(length) => part = &part[length..],
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                // The command has read enough.
                Err(_) => break,
            }
        }
    }
    drop(feed);
    let [out, err] = reading.map(|reading| reading.join().unwrap());
    (child.wait().unwrap().code(), out, err)
}

#[test]
fn streams_that_are_not_ready_are_waited_for() {
    // A result of more than a pipe holds.
    let example = Example::new(&["--samples", "400"]);
    assert!(example.result.len() > 300_000, "{}", example.result.len());
    let on_cpu = ["run", "--executor", "cpu", "--challenge", "-"];
    let (code, out, err) = run_on_impatient_streams(&on_cpu, example.token.as_bytes());
    let text = String::from_utf8_lossy(&err);
    assert_eq!(code, Some(OK), "{text}");
    assert!(out.len() > 300_000, "{}", out.len());
    let verify = ["verify", "-", "--challenge", &example.token, "--json"];
    let (code, out, err) = run_on_impatient_streams(&verify, &out);
    assert_eq!(code, Some(OK), "{}", String::from_utf8_lossy(&err));
    let verdict: serde_json::Value = serde_json::from_slice(&out).expect("JSON");
    assert_eq!(verdict["outcome"], "verified");
}

#[test]
fn lists_and_logs_are_whole_on_streams_that_are_not_ready() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.sqlite");
    let ledger = ledger::open(&Location::File(path.clone())).unwrap();
    for _ in 0..150 {
        let challenge = issue(&Request { matrix_dim: Some(128), ..Request::default() }).unwrap();
        ledger.issue(&challenge, challenge.token(), 1).unwrap();
    }
    drop(ledger);
    let path = path.to_str().unwrap();
    for (args, lines) in [
        (&["ledger", "--ledger", path, "export"][..], Some(150)),
        (&["ledger", "--ledger", path, "list", "--json", "--limit", "200"], None),
    ] {
        let (code, out, err) = run_on_impatient_streams(args, b"");
        assert_eq!(code, Some(OK), "{}", String::from_utf8_lossy(&err));
        assert!(out.len() > 100_000, "{args:?}: {}", out.len());
        let text = String::from_utf8(out).unwrap();
        match lines {
            Some(lines) => assert_eq!(text.lines().count(), lines),
            None => {
                let all: Vec<serde_json::Value> = serde_json::from_str(&text).expect("JSON");
                assert_eq!(all.len(), 150);
            }
        }
    }
}

/// The flag belongs to what is open, and to whoever shares it.
#[test]
fn the_flag_of_a_shared_stream_is_left_as_it_is() {
    let (_reader, writer) = impatient_pipe();
    let shared = writer.try_clone().unwrap();
    let status = attest().arg("--version").stdout(shared).status().unwrap();
    assert!(status.success());
    assert!(fcntl_getfl(&writer).unwrap().contains(OFlags::NONBLOCK));
}

#[test]
fn a_terminal_that_is_not_ready_gets_all_of_the_help() {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
    let open = || {
        use std::os::unix::fs::OpenOptionsExt as _;
        let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits() as i32;
        File::options().read(true).write(true).custom_flags(flags).open(&name).unwrap()
    };
    let slave = open();
    let mut command = attest();
    let mut child = command.args(["completions", "bash"]).stdout(open()).spawn().unwrap();
    drop(command);
    let expected = run(["completions", "bash"]).expect(OK).stdout.replace('\n', "\r\n");
    let (mut all, mut piece) = (Vec::new(), vec![0; 1024]);
    let mut master = File::from(master);
    drop(slave);
    // Once nobody has the other side open, there is an error (EIO).
    while let Ok(length @ 1..) = master.read(&mut piece) {
        all.extend_from_slice(&piece[..length]);
        std::thread::sleep(Duration::from_micros(200));
    }
    assert_eq!(child.wait().unwrap().code(), Some(OK));
    assert!(all == expected.as_bytes(), "{} bytes", all.len());
}
