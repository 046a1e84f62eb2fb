//! Many sessions against one validator, 64 at a time, 5 % of them hostile: nothing
//! is lost in the ledger, and memory stays where it was after the first of them.
//!
//! ATTEST_SOAK_SESSIONS says how many; 200 without it.

mod peers;
mod rounds;
mod slow_disk;

use attest::ledger::{self, Entry, Filter, Ledger, Location, Order};
use attest::mining::issue::Request;
use attest::protocol::digest::Digest;
use attest::protocol::names::Commitment;
use attest::session::drive::Validator;
use attest::session::validator::Ended;
use peers::Kind;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

/// One at a time: what this process has in memory is measured.
static TURN: Mutex<()> = Mutex::const_new(());

/// Sessions under way at any time.
const AT_ONCE: usize = 64;
/// One session in this many is hostile: 5 %.
const HOSTILE_EVERY: usize = 20;
/// By how much resident memory may grow after the first fifth, KiB.
const GROWTH_MAX_KIB: u64 = 64 * 1024;

/// What the ledger must have of a challenge: outcome, code, commitment.
type Expected = (String, Option<String>, Option<Commitment>);

/// The least work, within this time, ms.
fn least_work(max_duration_ms: u64) -> Request {
    Request {
        matrix_dim: Some(128),
        num_matrices: Some(1),
        num_iterations: Some(1),
        samples_per_iteration: Some(8),
        gpu_count: Some(1),
        max_duration_ms: Some(max_duration_ms),
        ..Request::default()
    }
}

/// Least work, and so little patience that those who stall don't hold up the test.
fn validator(ledger: Arc<dyn Ledger>) -> Arc<Validator> {
    let mut validator = Validator::new(ledger, least_work(5000));
    validator.patience.hello = Duration::from_secs(5);
    validator.patience.pong = Duration::from_secs(5);
    validator.patience.openings = Duration::from_secs(5);
    Arc::new(validator)
}

/// VmRSS or VmHWM of this process, KiB.
fn memory_kib(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with(name)).expect("a line of it");
    line.split_whitespace().nth(1).expect("a figure").parse().expect("a number")
}

/// Checks how a session ended; what the ledger must have of it, if anything.
fn expected(kind: Kind, ended: &Ended) -> Option<(Digest, Expected)> {
    let verdict = &ended.verdict;
    assert_eq!(verdict.code, kind.code(), "{kind:?}: {verdict:?}");
    let outcome = if kind.code().is_none() { "verified" } else { "rejected" };
    assert_eq!(ended.challenge.is_some(), kind.is_challenged(), "{kind:?}: {verdict:?}");
    let challenge = ended.challenge.as_ref()?.digest();
    let code = verdict.code.map(str::to_owned);
    Some((challenge, (outcome.to_owned(), code, verdict.commitment)))
}

/// Every challenge of a ledger, page by page.
fn entries(ledger: &dyn Ledger, mut take: impl FnMut(Entry)) {
    let mut filter = Filter { order: Order::OldestFirst, limit: 500, ..Filter::default() };
    loop {
        let page = ledger.list(&filter).expect("a list");
        let Some(last) = page.last() else { return };
        filter.after = Some((last.issued_unix_ms, last.challenge));
        page.into_iter().for_each(&mut take);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_and_memory_is_bounded() {
    let _turn = TURN.lock().await;
    let sessions = std::env::var("ATTEST_SOAK_SESSIONS")
        .map_or(200, |text| text.parse().expect("ATTEST_SOAK_SESSIONS is a number"));
    let folder = tempfile::tempdir().expect("a folder");
    let location = Location::File(folder.path().join("ledger.sqlite"));
    let ledger = ledger::open(&location).expect("a ledger");
    let (validator, next) = (validator(Arc::clone(&ledger)), Arc::new(AtomicUsize::new(0)));
    let (started, warm) = (Instant::now(), Arc::new(AtomicUsize::new(0)));

    let mut workers = JoinSet::new();
    for _ in 0..AT_ONCE.min(sessions) {
        let (validator, next, warm) = (validator.clone(), next.clone(), warm.clone());
        workers.spawn(async move {
            let mut mine = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= sessions {
                    return mine;
                }
                if index == sessions / 5 {
                    warm.store(memory_kib("VmRSS") as usize, Ordering::Relaxed);
                }
                let kind = match index % HOSTILE_EVERY {
                    0 => Kind::HOSTILE[index / HOSTILE_EVERY % Kind::HOSTILE.len()],
                    _ => Kind::Honest,
                };
                mine.extend(expected(kind, &peers::session(&validator, kind).await));
            }
        });
    }
    let mut on_record: HashMap<Digest, Expected> = HashMap::new();
    for (challenge, expected) in workers.join_all().await.into_iter().flatten() {
        assert!(on_record.insert(challenge, expected).is_none(), "{challenge} was issued twice");
    }
    let (took_s, now_kib) = (started.elapsed().as_secs_f64(), memory_kib("VmRSS"));
    let (warm_kib, peak_kib) = (warm.load(Ordering::Relaxed) as u64, memory_kib("VmHWM"));
    println!(
        "{sessions} sessions in {took_s:.1} s ({:.1} a second); resident {warm_kib} KiB after a \
         fifth, {now_kib} KiB at the end, {peak_kib} KiB at most",
        sessions as f64 / took_s
    );

    let mut nonces = HashSet::new();
    entries(&*ledger, |entry| {
        let (outcome, code, commitment) =
            on_record.remove(&entry.challenge).expect("each challenge once, and of a session");
        assert_eq!((entry.outcome, entry.code), (Some(outcome), code), "{}", entry.challenge);
        assert!(entry.settled_unix_ms.is_some() && entry.verdict_json.is_some());
        let spent_on = commitment.unwrap_or(ledger::NO_COMMITMENT);
        assert_eq!(entry.commitment, Some(spent_on), "{}", entry.challenge);
        assert!(nonces.insert(entry.nonce), "nonce {} twice", entry.nonce);
    });
    assert!(on_record.is_empty(), "{} sessions are not in the ledger", on_record.len());
    assert!(now_kib.saturating_sub(warm_kib) < GROWTH_MAX_KIB, "{warm_kib} to {now_kib} KiB");
}
