//! `--ledger` and `attest ledger`: what is issued, accepted once, shown, forgotten.

use crate::cli::{COULD_NOT_RUN, Finished, OK, REJECTED, attest, names_in, run};
use attest::executor::Executor;
use attest::executor::cpu::{CpuExecutor, CpuOptions};
use attest::identity::SigningIdentity;
use attest::ledger::{
    self, Accepting, Ending, HISTORY_WINDOW, Location, Meeting, Peer, SessionEnd, SettledAs,
    Settlement, Sighting,
};
use attest::mining::mine::{MineOptions, commit, mine};
use attest::protocol::challenge::Challenge;
use attest::protocol::digest::{Digest, Uuid};
use attest::protocol::names::{Coin, Commitment};
use attest::protocol::signature::EncodedKey;
use ed25519_dalek::SigningKey;
use serde_json::Value;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// A challenge that is on record, and a result for it.
struct Recorded {
    folder: tempfile::TempDir,
    token: String,
}

impl Recorded {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut recorded = Self { folder, token: String::new() };
        let ledger = recorded.ledger();
        let issue = "challenge --dim 128 --matrices 1 --iterations 3 --ledger".split(' ');
        let token = run(issue.chain([ledger.as_str()])).expect(OK).stdout;
        recorded.token = token.trim_end().to_owned();
        let out = recorded.path("result.json");
        let args = ["run", "--executor", "cpu", "--challenge", &recorded.token, "--out"];
        run(args.into_iter().chain([out.to_str().unwrap()])).expect(OK);
        recorded
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn ledger(&self) -> String {
        self.path("ledger.sqlite").display().to_string()
    }

    /// `attest ledger ARGS` on this ledger.
    fn show(&self, args: &[&str]) -> Finished {
        let ledger = self.ledger();
        run(["ledger", "--ledger", &ledger].iter().chain(args))
    }

    fn verify_args(&self) -> Vec<String> {
        let result = self.path("result.json").display().to_string();
        let args = ["verify", &result, "--challenge", &self.token, "--ledger", &self.ledger()];
        args.map(str::to_owned).into()
    }
}

#[test]
fn a_result_is_accepted_once() {
    let recorded = Recorded::new();
    let verdict = run(recorded.verify_args()).expect(OK);
    assert!(verdict.stdout.starts_with("VERIFIED"), "{}", verdict.stdout);
    assert!(!verdict.stdout.contains("issuer's record is not at hand"), "{}", verdict.stdout);
    let again = run(recorded.verify_args()).expect(REJECTED);
    assert!(again.stdout.starts_with("REJECTED: nonce-spent"), "{}", again.stdout);
    // Whoever is not the issuer cannot know.
    let mut args = recorded.verify_args();
    *args.last_mut().unwrap() = "none".to_owned();
    run(args).expect(OK);
}

#[test]
fn of_several_processes_one_accepts_the_result() {
    let recorded = Recorded::new();
    let children: Vec<_> = (0..4)
        .map(|_| {
            let mut command = attest();
            command.args(recorded.verify_args()).stdout(Stdio::piped()).stderr(Stdio::piped());
            command.spawn().expect("attest starts")
        })
        .collect();
    let mut verified = 0;
    for child in children {
        let finished = Finished::of(child.wait_with_output().expect("attest ends"));
        if finished.code == Some(OK) {
            verified += 1;
        } else {
            let verdict = finished.expect(REJECTED).stdout;
            assert!(verdict.starts_with("REJECTED: nonce-spent"), "{verdict}");
        }
    }
    assert_eq!(verified, 1);
}

#[test]
fn a_rejected_result_spends_nothing() {
    let recorded = Recorded::new();
    let path = recorded.path("result.json");
    let honest = std::fs::read_to_string(&path).unwrap();
    let at = honest.find("\"path\":[\"").expect("an opening") + 9;
    let other = if honest.as_bytes()[at] == b'0' { "1" } else { "0" };
    std::fs::write(&path, format!("{}{other}{}", &honest[..at], &honest[at + 1..])).unwrap();
    let verdict = run(recorded.verify_args()).expect(REJECTED);
    assert!(verdict.stdout.contains("leaf-mismatch"), "{}", verdict.stdout);
    std::fs::write(&path, honest).unwrap();
    run(recorded.verify_args()).expect(OK);
}

/// Handed in later, where no clock runs, the result of a rejected session is no
/// better; that of a verified one may be looked at again.
#[test]
fn a_rejected_session_stays_rejected() {
    let coin = Coin::new([9; 32]).unwrap();
    for (outcome, code) in [(SettledAs::Verified, None), (SettledAs::Rejected, Some("late"))] {
        let recorded = Recorded::new();
        let challenge = Challenge::from_token(&recorded.token).unwrap();
        let lane: Box<dyn Executor> = Box::new(CpuExecutor::new(CpuOptions::default()));
        let committed =
            commit(&challenge, vec![lane], &MineOptions::default(), &|_| ()).expect("a run");
        let (c, commitment) = (challenge.digest(), committed.commitment());
        let place = Location::File(recorded.path("ledger.sqlite"));
        let ledger = ledger::open(&place).unwrap();
        let now = attest::session::clock::unix_ms();
        let accepting = Accepting {
            commitment,
            coin,
            arrived_unix_ms: now,
            devices: &[],
            until_unix_ms: now,
            window: HISTORY_WINDOW,
        };
        ledger.accept_session(&c, &accepting).unwrap();
        let settlement = Settlement {
            outcome,
            code: code.map(str::to_owned),
            verdict_json: "{}".to_owned(),
            miner: None,
            settled_unix_ms: 2,
        };
        ledger.settle(&c, &settlement).unwrap();
        let result = committed.open(Some(coin)).expect("openings").to_json();
        std::fs::write(recorded.path("result.json"), result).unwrap();
        if code.is_none() {
            run(recorded.verify_args()).expect(OK);
        } else {
            let verdict = run(recorded.verify_args()).expect(REJECTED);
            assert!(verdict.stdout.starts_with("REJECTED: nonce-spent"), "{}", verdict.stdout);
            verdict.says("the ledger has it as rejected (late); that stays");
        }
    }
}

#[test]
fn a_challenge_of_somebody_else_was_not_issued() {
    let recorded = Recorded::new();
    let other = Recorded::new();
    let mut args = recorded.verify_args();
    *args.last_mut().unwrap() = other.ledger();
    let verdict = run(args).expect(REJECTED);
    assert!(verdict.stdout.starts_with("REJECTED: not-issued"), "{}", verdict.stdout);
}

#[test]
fn what_is_on_record_is_shown_exported_and_forgotten() {
    let recorded = Recorded::new();
    let listed = recorded.show(&["list"]).expect(OK).stdout;
    assert!(listed.contains(" open\n"), "{listed}");
    run(recorded.verify_args()).expect(OK);
    let listed = recorded.show(&["list", "--json"]).expect(OK).stdout;
    let listed: Value = serde_json::from_str(&listed).expect("JSON");
    assert_eq!(listed[0]["state"], "verified");
    let c = listed[0]["challenge"].as_str().expect("a digest").to_owned();
    for (state, count) in [("verified", 1), ("rejected", 0), ("unsettled", 0)] {
        let listed = recorded.show(&["list", "--json", "--state", state]).expect(OK).stdout;
        assert_eq!(serde_json::from_str::<Vec<Value>>(&listed).unwrap().len(), count, "{state}");
    }

    let text = recorded.show(&["show", &c]).expect(OK).stdout;
    assert!(text.contains("verified") && text.contains("device"), "{text}");
    let shown = recorded.show(&["show", &c, "--json"]).expect(OK).stdout;
    let shown: Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!(shown["verdict"]["outcome"], "verified");
    assert_eq!(shown["commitment"], shown["verdict"]["commitment"]);
    let uuid = shown["devices"][0]["uuid"].as_str().expect("a device");
    assert!(recorded.show(&["list", "--device", uuid]).expect(OK).stdout.contains(&c));
    recorded.show(&["show", &"00".repeat(32)]).expect(COULD_NOT_RUN).says("not on record");

    let exported = recorded.show(&["export"]).expect(OK).stdout;
    assert_eq!(serde_json::from_str::<Value>(&exported).expect("one line"), shown);
    let out = recorded.path("export.ndjson");
    recorded.show(&["export", "--out", out.to_str().unwrap()]).expect(OK).printed_nothing();
    assert_eq!(std::fs::read_to_string(&out).unwrap(), exported);
    // It has the coins of live sessions.
    let mode = std::fs::metadata(out).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let prune = |args: &[&str]| recorded.show(&[&["prune", "--older-than"], args].concat());
    assert!(prune(&["90d"]).expect(OK).stdout.starts_with("0 challenges forgotten"));
    std::thread::sleep(std::time::Duration::from_millis(20));
    assert!(prune(&["1ms", "--dry-run"]).expect(OK).stdout.starts_with("1 challenge would"));
    assert!(prune(&["1ms"]).expect(OK).stdout.starts_with("1 challenge forgotten"));
    assert_eq!(recorded.show(&["list", "--json"]).expect(OK).stdout, "[]\n");
    let verdict = run(recorded.verify_args()).expect(REJECTED).stdout;
    assert!(verdict.starts_with("REJECTED: nonce-spent"), "{verdict}");
    let args = ["list", "--limit", "0"];
    recorded.show(&args).expect(COULD_NOT_RUN).printed_nothing();
}

#[test]
fn meetings_are_listed_and_forgotten() {
    let recorded = Recorded::new();
    assert_eq!(recorded.show(&["list", "--meetings", "--json"]).expect(OK).stdout, "[]\n");
    let ledger = ledger::open(&Location::File(recorded.path("ledger.sqlite"))).unwrap();
    let key = EncodedKey([7; 32]);
    let dodged = Meeting {
        met_unix_ms: 1_800_000_000_000,
        peer: Peer::Proven(key),
        address: Some("192.0.2.1".to_owned()),
        ending: Ending::Before("busy".to_owned()),
        round_trip: Some(std::time::Duration::from_micros(1500)),
        session: None,
    };
    let challenged = Meeting {
        peer: Peer::Claimed(EncodedKey([8; 32])),
        ending: Ending::Challenged(Digest([9; 32])),
        session: Some(SessionEnd { outcome: SettledAs::Rejected, code: Some("late".into()) }),
        round_trip: None,
        ..dodged.clone()
    };
    let unknown = Meeting { peer: Peer::Unknown, address: None, ..dodged.clone() };
    for meeting in [&dodged, &challenged, &unknown] {
        ledger.meet(meeting).unwrap();
    }
    let listed = recorded.show(&["list", "--meetings", "--json"]).expect(OK).stdout;
    let expected = serde_json::json!([
        { "met_unix_ms": 1_800_000_000_000_u64, "code": "busy", "round_trip_us": 1500 },
        {
            "met_unix_ms": 1_800_000_000_000_u64, "miner": "08".repeat(32), "key": "claimed",
            "address": "192.0.2.1", "challenge": "09".repeat(32),
            "outcome": "rejected", "reason": "late",
        },
        {
            "met_unix_ms": 1_800_000_000_000_u64, "miner": "07".repeat(32), "key": "proven",
            "address": "192.0.2.1", "code": "busy", "round_trip_us": 1500,
        },
    ]);
    assert_eq!(serde_json::from_str::<Value>(&listed).expect("JSON"), expected);
    let of = ["list", "--meetings", "--miner", &key.to_string()];
    let text = recorded.show(&of).expect(OK).stdout;
    let line = text.lines().nth(1).expect("a meeting").split_whitespace().collect::<Vec<_>>();
    let key = key.to_string();
    assert_eq!(line, ["2027-01-15T08:00:00Z", &key, "proven", "192.0.2.1", "1.5", "ms", "busy"]);
    assert_eq!(text.lines().count(), 2, "{text}");
    recorded
        .show(&["list", "--meetings", "--limit", "2"])
        .expect(OK)
        .says("the newest 2 are shown");
    recorded.show(&["list", "--meetings", "--state", "verified"]).expect(COULD_NOT_RUN);
}

/// Runs `attest ledger ARGS` on a ledger whose folder cannot be written; `None` if there
/// is no way to make it so for this user.
fn on_frozen(recorded: &Recorded, args: &[&str]) -> Option<Finished> {
    let (folder, ledger) = (recorded.folder.path(), recorded.ledger());
    let set_mode = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let args = [&["ledger", "--ledger", &ledger], args].concat();
    set_mode(folder, 0o500);
    set_mode(ledger.as_ref(), 0o400);
    let probe = recorded.path("probe");
    let binds = std::fs::write(&probe, "").is_err() || std::fs::remove_file(&probe).is_err();
    let finished = if binds {
        Some(run(args))
    } else {
        // Permissions don't bind root; a read-only mount does.
        let script = "mount --bind \"$0\" \"$0\" && mount -o remount,bind,ro \"$0\" || exit 99; \
                      exec \"$@\"";
        let mut command = std::process::Command::new("unshare");
        command.args(["--mount", "sh", "-c", script]).arg(folder);
        command.arg(env!("CARGO_BIN_EXE_attest")).args(args);
        let output = command.stdin(Stdio::null()).env_remove("ATTEST_LEDGER").output();
        output.ok().filter(|output| !matches!(output.status.code(), Some(1 | 99))).map(Finished::of)
    };
    set_mode(folder, 0o700);
    set_mode(ledger.as_ref(), 0o600);
    finished
}

#[test]
fn a_ledger_that_cannot_be_written_can_be_read() {
    let recorded = Recorded::new();
    let exported = recorded.show(&["export"]).expect(OK).stdout;
    let Some(finished) = on_frozen(&recorded, &["export"]) else {
        let _ = writeln!(std::io::stderr(), "SKIPPED: no way to make a folder read-only");
        return;
    };
    assert_eq!(finished.expect(OK).stdout, exported);
    let frozen = |args: &[&str]| on_frozen(&recorded, args).expect("it worked before");
    assert!(frozen(&["list"]).expect(OK).stdout.contains(" open\n"));
    let c = Challenge::from_token(&recorded.token).unwrap().digest().to_string();
    assert!(frozen(&["show", &c]).expect(OK).stdout.contains("open"));
    assert_eq!(frozen(&["list", "--meetings", "--json"]).expect(OK).stdout, "[]\n");
    frozen(&["prune", "--older-than", "1ms"]).expect(COULD_NOT_RUN).says("cannot open the ledger");
    // What a validator writes meanwhile is seen, though only the log has it.
    let ledger = ledger::open(&Location::File(recorded.path("ledger.sqlite"))).unwrap();
    let late = Settlement {
        outcome: SettledAs::Rejected,
        code: Some("late".to_owned()),
        verdict_json: "{}".to_owned(),
        miner: None,
        settled_unix_ms: 1,
    };
    ledger.settle(&c.parse().unwrap(), &late).unwrap();
    assert!(frozen(&["list"]).expect(OK).stdout.contains("late"));
    // So it is after it was killed: its files stay as they are.
    let [log, memory] = ["ledger.sqlite-wal", "ledger.sqlite-shm"].map(|name| recorded.path(name));
    let kept = std::fs::read(&log).unwrap();
    drop(ledger);
    std::fs::write(&log, kept).unwrap();
    let _ = std::fs::remove_file(memory);
    assert!(frozen(&["list"]).expect(OK).stdout.contains("late"));
    assert_eq!(names_in(recorded.folder.path()).len(), 3, "nothing was made beside it");
}

#[test]
fn a_list_that_is_cut_says_so() {
    let recorded = Recorded::new();
    let said = recorded.show(&["list", "--limit", "1"]).expect(OK);
    assert!(!said.stderr.contains("note"), "{}", said.stderr);
    run(["challenge", "--ledger", &recorded.ledger()]).expect(OK);
    let said = recorded.show(&["list", "--limit", "1"]).expect(OK);
    assert_eq!(said.stdout.lines().count(), 2, "{}", said.stdout);
    said.says("the newest 1 are shown");
}

/// A serial number cannot pass for words of the ledger's own.
#[test]
fn what_a_miner_named_is_shown_in_quotes() {
    let recorded = Recorded::new();
    let challenge = Challenge::from_token(&recorded.token).unwrap();
    let ledger = ledger::open(&Location::File(recorded.path("ledger.sqlite"))).unwrap();
    let device = Sighting {
        uuid: Uuid([9; 16]),
        serial: Some("1, host \"a\u{202e}\", named 2020-01-01T00:00:00Z".to_owned()),
        pci: None,
        miner: None,
        host: None,
        die: None,
        die_serial: None,
    };
    let accepting = Accepting {
        commitment: Commitment([1; 32]),
        coin: Coin::new([2; 32]).unwrap(),
        arrived_unix_ms: 1,
        devices: &[device],
        until_unix_ms: 2,
        window: HISTORY_WINDOW,
    };
    ledger.accept_session(&challenge.digest(), &accepting).unwrap();
    let text = recorded.show(&["show", &challenge.digest().to_string()]).expect(OK).stdout;
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let quoted = r#"serial number "1, host \"a�\", named 2020-01-01T00:00:00Z", named 1970"#;
    assert!(line.contains(quoted), "{line}");
}

#[test]
fn the_default_ledger_is_in_the_state_folder() {
    let home = tempfile::tempdir().unwrap();
    let attest = |variable: &str, args: &[&str]| {
        let mut command = attest();
        command.env_remove("XDG_STATE_HOME").env_remove("HOME").args(args);
        Finished::of(command.env(variable, home.path()).output().expect("attest starts"))
    };
    attest("XDG_STATE_HOME", &["ledger", "list"]).expect(COULD_NOT_RUN).says("there is no ledger");
    assert_eq!(names_in(home.path()), [""; 0]);
    for (variable, folder) in [("XDG_STATE_HOME", "attest"), ("HOME", ".local/state/attest")] {
        attest(variable, &["challenge", "--ledger", "default"]).expect(OK);
        assert!(names_in(&home.path().join(folder)).contains(&"ledger.sqlite".to_owned()));
        let listed = attest(variable, &["ledger", "list"]).expect(OK).stdout;
        assert_eq!(listed.lines().count(), 2, "{listed}");
    }
    attest("OTHER", &["ledger", "list"]).expect(COULD_NOT_RUN).says("--ledger");
}

#[test]
fn no_output_has_the_password() {
    let address = "postgres://me:hunter2@/nowhere%2Fat%2Fall/d?host=/nowhere/at/all";
    for args in [vec!["--help"], vec!["ledger", "list"], vec!["challenge"], vec!["ledger", "x"]] {
        let output = attest().args(&args).env("ATTEST_LEDGER", address).output().unwrap();
        let finished = Finished::of(output);
        let all = format!("{}{}", finished.stdout, finished.stderr);
        assert!(!all.contains("hunter2"), "{args:?}: {all}");
    }
    let mut command = attest();
    command.args(["ledger", "list"]).env("ATTEST_LEDGER", "postgres://me:hunter2@127.0.0.1:1/d");
    let finished = Finished::of(command.output().unwrap()).expect(COULD_NOT_RUN);
    finished.says("cannot open the ledger postgres://me@127.0.0.1:1/d");
}

#[test]
fn a_ledger_that_cannot_be_written_issues_nothing() {
    run(["challenge", "--ledger", "/proc/ledger.sqlite"])
        .expect(COULD_NOT_RUN)
        .says("cannot open the ledger /proc/ledger.sqlite")
        .printed_nothing();
    // A file may have 8 KiB, as on a full disk.
    let folder = tempfile::tempdir().unwrap();
    let output = std::process::Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 16; exec \"$0\" challenge --ledger \"$1\""])
        .arg(env!("CARGO_BIN_EXE_attest"))
        .arg(folder.path().join("ledger.sqlite"))
        .output()
        .expect("a shell");
    Finished::of(output).expect(COULD_NOT_RUN).says("ledger.sqlite").printed_nothing();
}

/// A result on one and the same device by the miner of key `seed`, and the
/// arguments to verify it whole.
fn on_one_device(recorded: &Recorded, seed: u8) -> Vec<String> {
    let identity = SigningIdentity::from(SigningKey::from_bytes(&[seed; 32]));
    let (key, ledger) = (identity.public().to_string(), recorded.ledger());
    let issue = "challenge --dim 128 --matrices 1 --iterations 2 --miner-id".split(' ');
    let token = run(issue.chain([&*key, "--ledger", &ledger])).expect(OK).stdout;
    let challenge = Challenge::from_token(token.trim_end()).expect("a token");
    let cpu = CpuExecutor::new(CpuOptions { uuid: Some(Uuid([9; 16])), ..CpuOptions::default() });
    let options = MineOptions { identity: Some(&identity), ..MineOptions::default() };
    let mined = mine(&challenge, vec![Box::new(cpu)], &options, &|_| ()).expect("a result");
    let result = recorded.path(&format!("of-{seed}.json"));
    std::fs::write(&result, mined.result.to_json()).unwrap();
    let result = result.to_str().unwrap();
    let args = ["verify", result, "--full", "--challenge", token.trim_end(), "--ledger", &ledger];
    args.map(str::to_owned).into()
}

#[test]
fn a_policy_judges_a_devices_history_and_without_one_it_is_a_warning() {
    let recorded = Recorded::new();
    let policy = recorded.path("policy.toml");
    let text = "[session]\nlive_required = false\n[devices]\ncpu_allowed = true\n";
    std::fs::write(&policy, text).unwrap();
    let with_policy = |args: &[String]| {
        let policy = ["--policy".to_owned(), policy.display().to_string()];
        run(args.iter().chain(&policy))
    };
    let first = with_policy(&on_one_device(&recorded, 1)).expect(OK);
    assert!(!first.stdout.contains("uuid-under"), "{}", first.stdout);
    let other = on_one_device(&recorded, 2);
    let judged = with_policy(&other).expect(REJECTED).stdout;
    assert!(judged.starts_with("REJECTED BY POLICY"), "{judged}");
    assert!(judged.contains("uuid-under-two-identities"), "{judged}");
    // What was rejected has spent nothing.
    let warned = run(&other).expect(OK).stdout;
    assert!(warned.contains("WARNING: uuid-under-two-identities"), "{warned}");
}
