//! A slow disk: as many honest sessions at once as a validator holds, and 100 ms more
//! for whatever is made durable. All of them are verified.
//!
//! Needs cc, as building the program does.

use super::peers::{self, Kind};
use attest::ledger::{self, Filter, Location, Standing};
use attest::protocol::verdict::Outcome;
use attest::session::drive::Validator;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use tokio::task::JoinSet;

/// Sessions at once.
const SESSIONS: usize = 63;

/// In the child: where its ledger is.
const LEDGER: &str = "ATTEST_TEST_SLOW_LEDGER";

#[test]
fn sessions_at_once_are_verified_on_a_slow_disk() {
    if let Some(ledger) = std::env::var_os(LEDGER) {
        return hold_sessions(Path::new(&ledger));
    }
    let folder = tempfile::tempdir().expect("a folder");
    let [library, ledger, syncs] =
        ["slow_sync.so", "ledger.sqlite", "syncs"].map(|name| folder.path().join(name));
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/soak/slow_sync.c");
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-Wall", source, "-ldl", "-o"])
        .arg(&library)
        .output()
        .expect("cc is there: the program was linked with it");
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));

    let child = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "soak::slow_disk::sessions_at_once_are_verified_on_a_slow_disk"])
        .args(["--nocapture", "--test-threads=1"])
        .envs([("LD_PRELOAD", &library), ("ATTEST_TEST_SYNCS", &syncs)])
        .env(LEDGER, &ledger)
        .output()
        .expect("a child starts");
    let said = [child.stdout, child.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(child.status.success(), "{said:?}");
    // The disk was slow, and steps shared its time: alone each takes one wait.
    let waits = std::fs::metadata(syncs).expect("it waited").len();
    println!("{SESSIONS} sessions, {waits} waits of 100 ms");
    assert!(waits > 0);
}

fn hold_sessions(path: &Path) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let ledger = ledger::open(&Location::File(path.to_owned())).expect("a ledger");
    // So much time that a busy machine makes no difference.
    let request = super::least_work(600_000);
    let validator = Arc::new(Validator::new(Arc::clone(&ledger), request));
    runtime.block_on(async move {
        let mut sessions = JoinSet::new();
        for _ in 0..SESSIONS {
            let validator = Arc::clone(&validator);
            sessions.spawn(async move { peers::session(&validator, Kind::Honest).await });
        }
        for ended in sessions.join_all().await {
            let verdict = ended.verdict;
            assert_eq!((verdict.outcome, verdict.code), (Outcome::Verified, None), "{verdict:?}");
        }
    });
    let verified = Filter { standing: Some(Standing::Verified), ..Filter::default() };
    assert_eq!(ledger.list(&verified).expect("a list").len(), SESSIONS);
}
