//! `--ledger` and `attest ledger`: what is issued, accepted once, shown, forgotten.

use crate::cli::{COULD_NOT_RUN, Finished, OK, REJECTED, attest, names_in, run};
use attest::executor::Executor;
use attest::executor::cpu::{CpuExecutor, CpuOptions};
use attest::identity::SigningIdentity;
use attest::ledger::{self, Location, SettledAs, Settlement, Sighting};
use attest::protocol::challenge::Challenge;
use attest::protocol::digest::{Digest, Uuid};
use attest::session::mine::{MineOptions, commit, mine};
use ed25519_dalek::SigningKey;
use serde_json::Value;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
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
    let coin = Digest([9; 32]);
    for (outcome, code) in [(SettledAs::Verified, None), (SettledAs::Rejected, Some("late"))] {
        let recorded = Recorded::new();
        let challenge = Challenge::from_token(&recorded.token).unwrap();
        let lane: Box<dyn Executor> = Box::new(CpuExecutor::new(CpuOptions::default()));
        let committed =
            commit(&challenge, vec![lane], &MineOptions::default(), &|_| ()).expect("a run");
        let (c, commitment) = (challenge.digest(), committed.commitment());
        let place = Location::File(recorded.path("ledger.sqlite"));
        let ledger = ledger::open(&place).unwrap();
        let now = attest::live::clock::unix_ms();
        ledger.accept(&c, &commitment, now).unwrap();
        ledger.record_coin(&c, &coin).unwrap();
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
    assert!(prune(&["90d"]).expect(OK).stdout.starts_with("0 challenge(s) forgotten"));
    std::thread::sleep(std::time::Duration::from_millis(20));
    assert!(prune(&["1ms", "--dry-run"]).expect(OK).stdout.starts_with("1 challenge(s) would"));
    assert!(prune(&["1ms"]).expect(OK).stdout.starts_with("1 challenge(s) forgotten"));
    assert_eq!(recorded.show(&["list", "--json"]).expect(OK).stdout, "[]\n");
    let verdict = run(recorded.verify_args()).expect(REJECTED).stdout;
    assert!(verdict.starts_with("REJECTED: nonce-spent"), "{verdict}");
    let args = ["list", "--limit", "0"];
    recorded.show(&args).expect(COULD_NOT_RUN).printed_nothing();
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
    };
    ledger.claim(&challenge.digest(), &[device], 1, 2).unwrap();
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
    let cpu = CpuExecutor::new(CpuOptions { uuid: Some(Uuid([9; 16])) });
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
