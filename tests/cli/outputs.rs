//! What becomes of an output: its permissions, links on the way to it, names that are no
//! text, and writes that fail.

use crate::cli::{COULD_NOT_RUN, Example, Finished, OK, attest, names_in, run};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Whether this is root, who alone can make what is somebody else's.
fn is_root(path: &Path) -> bool {
    let is_root = path.metadata().unwrap().uid() == 0;
    if !is_root {
        eprintln!("SKIPPED: only root can make files of somebody else's");
    }
    is_root
}

/// Somebody else's number.
const OTHER: u32 = 65534;

#[test]
fn a_file_that_is_replaced_keeps_its_permissions() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    for mode in [0o600, 0o640, 0o444, 0o666] {
        fs::write(&token, "").unwrap();
        set_mode(&token, mode);
        run([OsStr::new("challenge"), OsStr::new("--out"), token.as_os_str()]).expect(OK);
        let meta = token.metadata().unwrap();
        assert_eq!(format!("{:o}", meta.mode() & 0o7777), format!("{mode:o}"));
        assert!(meta.len() > 100);
        fs::remove_file(&token).unwrap();
    }
    if is_root(folder.path()) {
        fs::write(&token, "").unwrap();
        std::os::unix::fs::chown(&token, Some(OTHER), Some(OTHER)).unwrap();
        run([OsStr::new("challenge"), OsStr::new("--out"), token.as_os_str()]).expect(OK);
        let meta = token.metadata().unwrap();
        assert_eq!((meta.uid(), meta.gid()), (OTHER, OTHER));
    }
    assert_eq!(names_in(folder.path()), ["token"]);
}

#[test]
fn no_output_goes_through_what_others_put_where_anyone_may() {
    let [shared, own] = [0, 1].map(|_| tempfile::tempdir().unwrap());
    if !is_root(own.path()) {
        return;
    }
    let (shared, own) = (shared.path(), own.path());
    let in_shared = |name: &str| shared.join(name);
    let example = Example::new(&[]);
    fs::write(own.join("theirs"), "precious").unwrap();
    fs::create_dir(own.join("folder")).unwrap();
    symlink(own.join("theirs"), in_shared("file")).unwrap();
    symlink(own.join("new"), in_shared("dangling")).unwrap();
    symlink(own.join("folder"), in_shared("folder")).unwrap();
    fs::write(in_shared("plain"), "").unwrap();
    for name in ["file", "dangling", "folder", "plain"] {
        std::os::unix::fs::lchown(in_shared(name), Some(OTHER), Some(OTHER)).unwrap();
    }
    let out = |path: &Path| run([OsStr::new("challenge"), OsStr::new("--out"), path.as_os_str()]);
    let new_key = |path: &Path| run(["key", "new", "--out", path.to_str().unwrap()]);
    let inside = in_shared("folder/token");
    for mode in [0o1777, 0o777] {
        set_mode(shared, mode);
        for path in [&in_shared("file"), &in_shared("dangling"), &in_shared("plain"), &inside] {
            let refused = out(path).expect(COULD_NOT_RUN);
            refused.says("in a folder where anyone may write belongs to user 65534");
        }
        new_key(&inside).expect(COULD_NOT_RUN).says("belongs to user 65534");
        for name in ["file", "dangling", "plain"] {
            let place = in_shared(name);
            let kept = ["challenge", "--ledger", place.to_str().unwrap()];
            run(kept).expect(COULD_NOT_RUN).says("belongs to user 65534");
            let kept = ["run", "--executor", "cpu", "--challenge", &example.token, "--checkpoint"];
            let kept = kept.into_iter().chain([place.to_str().unwrap()]);
            run(kept).expect(COULD_NOT_RUN).says("belongs to user 65534");
        }
        assert_eq!(names_in(shared), ["dangling", "file", "folder", "plain"]);
    }
    assert_eq!(fs::read_to_string(own.join("theirs")).unwrap(), "precious");
    assert!(names_in(&own.join("folder")).is_empty() && !own.join("new").exists());
    // One's own link is followed there, and anybody's where only its owner may write.
    symlink(own.join("theirs"), in_shared("own")).unwrap();
    out(&in_shared("own")).expect(OK);
    set_mode(shared, 0o755);
    out(&in_shared("dangling")).expect(OK);
    assert!(in_shared("dangling").is_symlink() && own.join("new").is_file());
}

/// Runs `attest ARGS` in `folder` by a shell, after `before`.
fn after(before: &str, folder: &Path, args: &[&str]) -> Finished {
    let mut shell = Command::new("sh");
    shell.current_dir(folder).args(["-c", &format!("{before} && exec \"$0\" \"$@\"")]);
    shell.arg(env!("CARGO_BIN_EXE_attest")).args(args).env_remove("ATTEST_LEDGER");
    Finished::of(shell.output().expect("sh starts"))
}

#[test]
fn a_write_that_fails_leaves_nothing_behind() {
    // A result of some KiB.
    let example = Example::new(&["--samples", "64"]);
    assert!(example.result.len() > 4096);
    let args = ["run", "--executor", "cpu", "--challenge", "@token", "--out"];
    let names = names_in(example.folder.path());
    let folder = example.folder.path();
    for out in ["new.json", "result.json"] {
        // By default the signal kills the process.
        let refused = after("ulimit -f 1", folder, &[&args[..], &[out]].concat());
        refused.expect(COULD_NOT_RUN).says("cannot write").says("File too large");
        assert_eq!(names_in(folder), names);
    }
    assert_eq!(fs::read_to_string(example.path("result.json")).unwrap(), example.result);
    let small = "mount -t tmpfs -o size=4k none small && cp token small/ && cd small";
    fs::create_dir(example.path("small")).unwrap();
    let mut mounted = Command::new("unshare");
    mounted.current_dir(folder).args(["-m", "sh", "-c", small]).stderr(std::process::Stdio::null());
    if !mounted.status().is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: nothing can be mounted here");
        return;
    }
    let script = format!("{small} && {{ \"$0\" \"$@\"; code=$?; ls -A >&2; exit $code; }}");
    let mut full = Command::new("unshare");
    full.current_dir(folder).args(["-m", "sh", "-c", &script, env!("CARGO_BIN_EXE_attest")]);
    full.args(args).arg("new.json").env_remove("ATTEST_LEDGER");
    let refused = Finished::of(full.output().unwrap()).expect(COULD_NOT_RUN);
    assert!(refused.says("No space left").stderr.ends_with("\ntoken\n"));
}

/// Every option that names a file takes a name that is no UTF-8, and no message breaks.
#[test]
fn names_that_are_no_text_work_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    let name = |name: &str| {
        let bytes = [name.as_bytes(), b"\xff\x1b[2J"].concat();
        folder.path().join(OsStr::from_bytes(&bytes)).into_os_string()
    };
    let at = |path: &OsStr| {
        let mut at = OsString::from("@");
        at.push(path);
        at
    };
    let run = |args: &[&OsStr]| {
        let mut command = attest();
        let output = command.args(args).env("XDG_STATE_HOME", folder.path()).output().unwrap();
        Finished::of(output)
    };
    let [key, policy, token, ledger, result, checkpoint, envelope, list] =
        ["key", "policy", "token", "ledger", "result", "checkpoint", "envelope", "list"].map(name);
    let os = OsStr::new;
    run(&[os("key"), os("new"), os("--out"), &key]).expect(OK);
    let public = run(&[os("key"), os("show"), &key]).expect(OK).stdout;
    run(&[os("policy"), os("init"), os("--out"), &policy]).expect(OK);
    run(&[os("policy"), os("check"), &policy]).expect(OK);
    let small = "challenge --dim 128 --matrices 1 --iterations 2 --samples 2".split(' ');
    let small: Vec<&OsStr> = small.map(os).collect();
    run(&[&small[..], &[os("--out"), &token, os("--ledger"), &ledger]].concat()).expect(OK);
    let token = at(&token);
    let challenge = [os("--challenge"), &token];
    let execute = [os("run"), os("--executor"), os("cpu"), os("--key"), &key];
    let outs = [os("--out"), &result, os("--checkpoint"), &checkpoint];
    run(&[&execute[..], &challenge, &outs].concat()).expect(OK);
    run(&[os("inspect"), &result]).expect(OK);
    run(&[os("inspect"), &token]).expect(OK);
    let verify = [os("verify"), &result, os("--ledger"), &ledger];
    run(&[&verify[..], &challenge].concat()).expect(OK);
    run(&[os("ledger"), os("--ledger"), &ledger, os("export"), os("--out"), &list]).expect(OK);
    let export =
        [os("export"), os("--in-toto"), &result, os("--key"), &key, os("--out"), &envelope];
    run(&[&export[..], &challenge].concat()).expect(OK);
    let check = [os("export"), os("--check"), &envelope, os("--signer"), os(public.trim())];
    run(&check).expect(OK);
    // Shown, it does nothing to a terminal.
    let absent = name("absent");
    for args in [
        vec![os("verify"), &absent, challenge[0], challenge[1]],
        vec![os("policy"), os("check"), &absent],
        vec![os("key"), os("show"), &absent],
        vec![os("ledger"), os("--ledger"), &absent, os("list")],
    ] {
        let refused = run(&args).expect(COULD_NOT_RUN);
        assert!(!refused.stderr.contains('\x1b'), "{args:?}: {}", refused.stderr);
    }
}
