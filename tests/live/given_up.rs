//! Sessions that this side ends: by an interrupt, by dropping their future, by the end of
//! the runtime, at every stage. What was issued is settled, and no honest miner is
//! rejected for it.

use super::peer::{Answer, Peer, patient, pipe};
use super::recording::Recording;
use attest::ledger::Entry;
use attest::protocol::verdict::Outcome;
use attest::session::drive::{Stage, Validator};
use attest::session::message::{FromValidator, VerdictOutcome};
use attest::session::validator::Ended;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// The stages of a session, by their order.
fn number_of(stage: &Stage<'_>) -> usize {
    match stage {
        Stage::Met(..) => 0,
        Stage::Challenged(..) => 1,
        Stage::Committed(..) => 2,
        Stage::CoinSent(_) => 3,
        Stage::Complete(..) | Stage::Judged(..) => 4,
    }
}

/// Says all in its turn, as far as it is asked; returns with the verdict.
async fn answer(mut peer: Peer) -> Option<VerdictOutcome> {
    peer.send(super::peer::hello_line()).await;
    let mut answered = None;
    loop {
        match peer.next().await? {
            FromValidator::Hello { .. } => {}
            FromValidator::Ping { .. } => peer.line(r#"{"message":"pong"}"#).await,
            FromValidator::Challenge { token } | FromValidator::HostChallenge { token, .. } => {
                let challenge = attest::protocol::challenge::Challenge::from_token(&token).unwrap();
                let answer = Answer::of(&challenge, None);
                peer.send(answer.commitment_line()).await;
                answered = Some(answer);
            }
            FromValidator::Coin { coin, .. } => {
                peer.send(answered.take().unwrap().openings_line(coin)).await;
            }
            FromValidator::Verdict(verdict) => return Some(verdict.outcome),
            other => panic!("no network part was asked for: {other:?}"),
        }
    }
}

#[track_caller]
fn is_abandoned(entry: &Entry, at: usize) {
    assert_eq!(entry.outcome.as_deref(), Some("rejected"), "at {at}: {entry:?}");
    assert_eq!(entry.code.as_deref(), Some("abandoned"), "at {at}");
    assert!(entry.commitment.is_some(), "at {at}: the nonce is spent, if on nothing");
}

#[tokio::test]
async fn an_interrupt_settles_what_is_out() {
    for at in 0..5 {
        let ledger = Recording::new();
        let validator = Arc::new(patient(&ledger));
        let (reader, writer, peer) = pipe();
        let interrupt = |stage: Stage<'_>| {
            if number_of(&stage) == at {
                validator.interrupt("a test");
            }
        };
        let session = validator.session(reader, writer, None, &interrupt);
        let (ended, told) = tokio::join!(session, answer(peer));
        assert_eq!(ended.verdict.outcome, Outcome::CouldNotRun, "at {at}: {:?}", ended.verdict);
        assert!(ended.verdict.detail.unwrap().contains("given up: a test"));
        assert_eq!(told, Some(VerdictOutcome::CouldNotRun), "at {at}");
        is_abandoned(&ledger.only(), at);
    }
}

#[tokio::test]
async fn no_session_begins_after_an_interrupt() {
    let ledger = Recording::new();
    let validator = Arc::new(patient(&ledger));
    validator.interrupt("a test");
    validator.interrupt("another reason, which comes too late");
    let (reader, writer, peer) = pipe();
    let session = validator.session(reader, writer, None, &|_| ());
    let (ended, _) = tokio::join!(session, answer(peer));
    let Ended { verdict, challenge, .. } = ended;
    assert_eq!(verdict.outcome, Outcome::CouldNotRun);
    assert!(challenge.is_none());
    assert!(verdict.detail.unwrap().contains("given up: a test"));
    assert_eq!(ledger.entries().len(), 0);
}

/// Waits, as long as a busy machine may need, until the only challenge is settled.
fn settled(ledger: &Recording) -> Entry {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(60) {
        if let [entry] = &ledger.entries()[..]
            && entry.outcome.is_some()
        {
            return entry.clone();
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("not settled: {:?}", ledger.entries());
}

/// Begins a session on `runtime`, and returns when it has come so far.
fn begun(
    runtime: &tokio::runtime::Runtime,
    validator: &Arc<Validator>,
    at: usize,
) -> tokio::task::JoinHandle<()> {
    let (reader, writer, peer) = pipe();
    let (validator, reached) = (Arc::clone(validator), Arc::new(Notify::new()));
    let told = Arc::clone(&reached);
    let watch = move |stage: Stage<'_>| {
        if number_of(&stage) == at {
            told.notify_one();
        }
    };
    let both = async move {
        tokio::join!(validator.session(reader, writer, None, &watch), answer(peer));
    };
    let session = runtime.spawn(both);
    runtime.block_on(reached.notified());
    session
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

#[test]
fn a_session_whose_future_is_dropped_is_settled() {
    // Not the last stage: there a verdict may be on its way already.
    for at in 0..4 {
        let ledger = Recording::slow(Duration::from_millis(20));
        let (runtime, validator) = (runtime(), Arc::new(patient(&ledger)));
        begun(&runtime, &validator, at).abort();
        let entry = settled(&ledger);
        // Where the session was quicker than the test it has its verdict.
        if entry.outcome.as_deref() != Some("verified") {
            is_abandoned(&entry, at);
        }
    }
}

#[test]
fn a_session_whose_runtime_ends_is_settled() {
    let ledger = Recording::slow(Duration::from_millis(200));
    let (runtime, validator) = (runtime(), Arc::new(patient(&ledger)));
    // The commitment is being recorded.
    begun(&runtime, &validator, 2);
    runtime.shutdown_background();
    is_abandoned(&settled(&ledger), 2);
    drop(validator);
}

#[tokio::test]
async fn a_fault_of_this_side_leaves_nothing_open() {
    let ledger = Recording::failing_at("accept_session");
    let validator = Arc::new(patient(&ledger));
    let (reader, writer, peer) = pipe();
    let session = validator.session(reader, writer, None, &|_| ());
    let (ended, _) = tokio::join!(session, answer(peer));
    assert_eq!(ended.verdict.outcome, Outcome::CouldNotRun);
    is_abandoned(&ledger.only(), 2);
}
