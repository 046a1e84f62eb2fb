//! Miners that do not keep to the protocol: each ends in a named rejection, the
//! nonce is spent, and nothing hangs.

use super::identity;
use super::peer::{Answer, Peer, hello, patient, session_with};
use super::recording::Recording;
use attest::protocol::names::Coin;
use attest::protocol::verdict::Outcome;
use attest::session::drive::Validator;
use attest::session::limits::Patience;
use attest::session::message::{FromMiner, FromValidator, VerdictOutcome, line_of};
use attest::session::validator::Ended;
use std::sync::Arc;
use std::time::Duration;

/// The session is rejected with this code and, where a challenge was out, settled
/// so.
async fn rejected<F>(code: &str, play: impl FnOnce(Peer) -> F) -> (Ended, Arc<Recording>)
where
    F: Future<Output = ()>,
{
    rejected_by(patient, code, play).await
}

async fn rejected_by<F>(
    validator: impl FnOnce(&Arc<Recording>) -> Validator,
    code: &str,
    play: impl FnOnce(Peer) -> F,
) -> (Ended, Arc<Recording>)
where
    F: Future<Output = ()>,
{
    let ledger = Recording::new();
    let ended = session_with(validator(&ledger), play).await;
    assert_eq!(ended.verdict.outcome, Outcome::Rejected, "{:?}", ended.verdict);
    assert_eq!(ended.verdict.code, Some(code), "{:?}", ended.verdict);
    assert!(ended.receipt.is_none());
    for entry in ledger.entries() {
        assert_eq!(entry.outcome.as_deref(), Some("rejected"), "{entry:?}");
        assert_eq!(entry.code.as_deref(), Some(code));
        assert!(entry.commitment.is_some(), "the nonce is spent, if on nothing");
    }
    (ended, ledger)
}

#[tokio::test]
async fn an_honest_one_passes_beside_them() {
    let ledger = Recording::new();
    let ended = session_with(patient(&ledger), async |mut peer| {
        let (answer, coin) = peer.reach_coin().await;
        peer.send(answer.openings_line(coin)).await;
        let Some(FromValidator::Verdict(verdict)) = peer.next().await else { panic!() };
        assert_eq!(verdict.outcome, VerdictOutcome::Verified);
        assert!(verdict.receipt.is_some());
    });
    let ended = ended.await;
    assert_eq!(ended.verdict.outcome, Outcome::Verified, "{:?}", ended.verdict);
    assert_eq!(ledger.steps(), ["issue", "accept_session", "settle"]);
}

/// One that is quickly tired of waiting for one thing.
fn tired_of(wait: fn(&mut Patience) -> &mut Duration) -> impl FnOnce(&Arc<Recording>) -> Validator {
    move |ledger| {
        let mut validator = patient(ledger);
        *wait(&mut validator.patience) = Duration::from_millis(200);
        validator
    }
}

#[tokio::test]
async fn stalled() {
    let hello = || tired_of(|patience| &mut patience.hello);
    rejected_by(hello(), "stalled", async |mut peer| peer.linger().await).await;
    // A byte now and then is no sign of life.
    rejected_by(hello(), "stalled", async |mut peer| {
        for byte in b"{\"message\":\"hello\"".iter().cycle().take(30) {
            peer.send([*byte]).await;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        peer.linger().await;
    })
    .await;
    let pong = tired_of(|patience| &mut patience.pong);
    rejected_by(pong, "stalled", async |mut peer| {
        peer.send(line_of(&FromMiner::Hello(super::peer::hello(None)))).await;
        peer.linger().await;
    })
    .await;
    // After the coin: accepted, settled, and no second try.
    let openings = tired_of(|patience| &mut patience.openings);
    let (_, ledger) = rejected_by(openings, "stalled", async |mut peer| {
        peer.reach_coin().await;
        peer.linger().await;
    })
    .await;
    assert_eq!(ledger.steps(), ["issue", "accept_session", "settle"]);
}

#[tokio::test]
async fn stalled_without_a_commitment() {
    let ledger = Recording::new();
    let mut validator = patient(&ledger);
    validator.request.max_duration_ms = Some(100);
    let ended = session_with(validator, async |mut peer| {
        peer.greet(None).await;
        peer.linger().await;
    })
    .await;
    assert_eq!(ended.verdict.code, Some("stalled"));
    assert_eq!(ledger.steps(), ["issue", "settle"]);
}

#[tokio::test]
async fn late() {
    let ledger = Recording::new();
    let mut validator = patient(&ledger);
    validator.request.max_duration_ms = Some(1);
    let ended = session_with(validator, async |mut peer| {
        peer.greet(None).await;
        let answer = Answer::of(&peer.challenge().await, None);
        tokio::time::sleep(Duration::from_millis(20)).await;
        peer.send(answer.commitment_line()).await;
        let coin = peer.coin().await;
        peer.send(answer.openings_line(coin)).await;
        peer.linger().await;
    })
    .await;
    // Told apart from a miner that never answers.
    assert_eq!((ended.verdict.code, ended.verdict.step), (Some("late"), Some(5)));
}

#[tokio::test]
async fn closed_early() {
    rejected("closed-early", async |mut peer| peer.close().await).await;
    rejected("closed-early", async |mut peer| {
        peer.greet(None).await;
        peer.challenge().await;
        peer.close().await;
    })
    .await;
    let (_, ledger) = rejected("closed-early", async |mut peer| {
        peer.reach_coin().await;
        peer.close().await;
        peer.linger().await;
    })
    .await;
    assert_eq!(ledger.steps(), ["issue", "accept_session", "settle"]);
    // Gone before it sees the coin.
    let (ended, _) = rejected("closed-early", async |mut peer| {
        peer.greet(None).await;
        let answer = Answer::of(&peer.challenge().await, None);
        peer.send(answer.commitment_line()).await;
        peer.close().await;
        peer.linger().await;
    })
    .await;
    assert!(ended.verdict.commitment.is_some());
}

#[tokio::test]
async fn who_has_answered_need_not_wait() {
    let ledger = Recording::new();
    let ended = session_with(patient(&ledger), async |mut peer| {
        let (answer, coin) = peer.reach_coin().await;
        peer.send(answer.openings_line(coin)).await;
        peer.close().await;
    })
    .await;
    assert_eq!(ended.verdict.outcome, Outcome::Verified, "{:?}", ended.verdict);
}

#[tokio::test]
async fn answered_twice() {
    let (_, ledger) = rejected("answered-twice", async |mut peer| {
        peer.greet(None).await;
        let answer = Answer::of(&peer.challenge().await, None);
        peer.send([answer.commitment_line(), answer.commitment_line()].concat()).await;
        peer.linger().await;
    })
    .await;
    assert_eq!(ledger.steps().iter().filter(|step| **step == "accept_session").count(), 1);
    rejected("answered-twice", async |mut peer| {
        let (answer, coin) = peer.reach_coin().await;
        peer.send(answer.commitment_line()).await;
        peer.send(answer.openings_line(coin)).await;
        peer.linger().await;
    })
    .await;
    rejected("answered-twice", async |mut peer| {
        let (answer, coin) = peer.reach_coin().await;
        peer.send([answer.openings_line(coin), answer.openings_line(coin)].concat()).await;
        peer.linger().await;
    })
    .await;
}

#[tokio::test]
async fn unexpected_message() {
    rejected("unexpected-message", async |mut peer| {
        peer.line(r#"{"message":"pong"}"#).await;
        peer.linger().await;
    })
    .await;
    rejected("unexpected-message", async |mut peer| {
        peer.greet(None).await;
        let answer = Answer::of(&peer.challenge().await, None);
        peer.send(answer.openings_line(Coin::new([9; 32]).unwrap())).await;
        peer.linger().await;
    })
    .await;
}

#[tokio::test]
async fn not_json() {
    let deep = format!("{{\"message\":\"hello\",\"x\":{}", "[".repeat(50_000));
    for text in ["Last login: Sun Nov 22", "", "{\"message\":\"hello\"", "\u{feff}{}", &deep] {
        rejected("not-json", async |mut peer| {
            peer.line(text).await;
            peer.linger().await;
        })
        .await;
    }
    rejected("not-json", async |mut peer| {
        peer.send([0xff, 0xfe, b'\n']).await;
        peer.linger().await;
    })
    .await;
}

#[tokio::test]
async fn malformed_message() {
    for text in ["{}", "[1]", r#"{"message":"hello"}"#, r#"{"message":"hello","versions":[-1]}"#] {
        rejected("malformed-message", async |mut peer| {
            peer.line(text).await;
            peer.linger().await;
        })
        .await;
    }
}

#[tokio::test]
async fn malformed_commitments_and_openings_are_named_as_results_are() {
    for (text, code) in [
        (r#"{"message":"commitment"}"#.to_owned(), "malformed"),
        (format!(r#"{{"message":"commitment","x":{}"#, "[".repeat(100_000)), "malformed"),
        // No more of it is parsed than evidence may have.
        (
            format!(r#"{{"message":"commitment","evidence":[{}"#, r#"{"":0},"#.repeat(150_000)),
            "malformed",
        ),
        (
            format!(r#"{{"message":"commitment","evidence":[{}"#, r#""","#.repeat(340_000)),
            "malformed",
        ),
    ] {
        let (ended, _) = rejected(code, async |mut peer| {
            peer.greet(None).await;
            peer.challenge().await;
            peer.line(&text).await;
            peer.linger().await;
        })
        .await;
        if text.contains("evidence") {
            let detail = ended.verdict.detail.unwrap();
            assert!(detail.contains("more than 32768 JSON values"), "{detail}");
        }
    }
    let (ended, _) = rejected("malformed", async |mut peer| {
        peer.reach_coin().await;
        peer.line(r#"{"message":"openings","openings":[]}"#).await;
        peer.linger().await;
    })
    .await;
    assert_eq!(ended.verdict.step, Some(1));
}

#[tokio::test]
async fn message_too_long() {
    rejected("message-too-long", async |mut peer| {
        for _ in 0..40 {
            peer.send([b'x'; 4096]).await;
        }
        peer.linger().await;
    })
    .await;
    // A result's size is the challenge's: a commitment of 4 MiB is too long here.
    rejected("message-too-long", async |mut peer| {
        peer.greet(None).await;
        peer.challenge().await;
        peer.send("{\"message\":\"commitment\",").await;
        peer.send(vec![b' '; 4 << 20]).await;
        peer.linger().await;
    })
    .await;
    rejected("message-too-long", async |mut peer| {
        peer.reach_coin().await;
        peer.send("{\"message\":\"openings\",").await;
        // Of openings a machine's quote may be 172 KiB.
        peer.send(vec![b' '; 256 << 10]).await;
        peer.linger().await;
    })
    .await;
}

#[tokio::test]
async fn flooded() {
    rejected("flooded", async |mut peer| {
        peer.send(line_of(&FromMiner::Hello(hello(None)))).await;
        peer.next().await;
        peer.next().await;
        // The challenge is being issued: whatever comes now was not asked for.
        let mut flood = line_of(&FromMiner::Pong {});
        flood.resize(200_000, b'\n');
        peer.send(flood).await;
        peer.linger().await;
    })
    .await;
}

#[tokio::test]
async fn version_mismatch() {
    rejected("version-mismatch", async |mut peer| {
        let mut other = hello(None);
        other.versions = vec![3, 4];
        peer.send(line_of(&FromMiner::Hello(other))).await;
        peer.linger().await;
    })
    .await;
}

#[tokio::test]
async fn busy_and_failed() {
    rejected("busy", async |mut peer| {
        peer.line(r#"{"message":"busy","text":"one at a time"}"#).await;
        peer.linger().await;
    })
    .await;
    let (ended, _) = rejected("miner-failed", async |mut peer| {
        peer.greet(None).await;
        peer.challenge().await;
        peer.line(r#"{"message":"failed","text":"no \u001b[31mmemory"}"#).await;
        peer.linger().await;
    })
    .await;
    let detail = ended.verdict.detail.unwrap();
    assert!(detail.contains("memory") && !detail.contains('\u{1b}'), "{detail}");
}

#[tokio::test]
async fn wrong_peer() {
    let ledger = Recording::new();
    let mut validator = patient(&ledger);
    validator.request.miner_id = Some(identity(2).public());
    let ended = session_with(validator, async |mut peer| {
        peer.send(line_of(&FromMiner::Hello(hello(Some(identity(3).public()))))).await;
        peer.linger().await;
    })
    .await;
    assert_eq!(ended.verdict.code, Some("wrong-peer"));
    assert_eq!(ledger.entries().len(), 0, "no challenge was issued");
}

#[tokio::test]
async fn a_commitment_without_the_miners_signature_is_not_accepted() {
    let (_, ledger) = rejected("signature-invalid", async |mut peer| {
        peer.greet(Some(identity(2).public())).await;
        let forged = Answer::of(&peer.challenge().await, Some(&identity(3)));
        peer.send(forged.commitment_line()).await;
        peer.linger().await;
    })
    .await;
    assert_eq!(ledger.steps(), ["issue", "settle"]);
    rejected("signature-missing", async |mut peer| {
        peer.greet(Some(identity(2).public())).await;
        let unsigned = Answer::of(&peer.challenge().await, None);
        peer.send(unsigned.commitment_line()).await;
        peer.linger().await;
    })
    .await;
}

#[tokio::test]
async fn what_is_swapped_after_the_coin_is_seen() {
    for (code, step) in [("session-mismatch", 2), ("coin-mismatch", 2), ("coin-missing", 2)] {
        let (ended, _) = rejected(code, async |mut peer| {
            let (answer, coin) = peer.reach_coin().await;
            let mut result = answer.result(Some(coin));
            match code {
                "session-mismatch" => result.commitment.0[0] ^= 1,
                "coin-mismatch" => result.coin = Some(Coin::new([5; 32]).unwrap()),
                _ => result.coin = None,
            }
            peer.send(attest::session::message::openings_line(&result)).await;
            peer.linger().await;
        })
        .await;
        assert_eq!(ended.verdict.step, Some(step));
    }
}

/// An honest miner, until the validator takes this step of its ledger.
async fn plays_up_to(step: &str, peer: &mut Peer) {
    peer.greet(None).await;
    if step == "issue" {
        return;
    }
    let answer = Answer::of(&peer.challenge().await, None);
    peer.send(answer.commitment_line()).await;
    if step == "accept_session" {
        return;
    }
    let coin = peer.coin().await;
    peer.send(answer.openings_line(coin)).await;
}

#[tokio::test]
async fn a_ledger_that_fails_is_no_verdict_and_no_coin() {
    for (step, sees_coin) in [("issue", false), ("accept_session", false)] {
        let ledger = Recording::failing_at(step);
        let ended = session_with(patient(&ledger), async |mut peer| {
            plays_up_to(step, &mut peer).await;
            let next = peer.next().await;
            let coin = matches!(next, Some(FromValidator::Coin { .. }));
            assert_eq!(coin, sees_coin, "{step}: {next:?}");
            let Some(FromValidator::Verdict(verdict)) = next else { panic!("{step}: {next:?}") };
            assert_eq!(verdict.outcome, VerdictOutcome::CouldNotRun);
            assert_eq!(verdict.detail, None, "the miner need not know why");
        })
        .await;
        assert_eq!(ended.verdict.outcome, Outcome::CouldNotRun, "{step}");
        assert!(ended.verdict.detail.unwrap().contains("made to fail"), "{step}");
    }
    // What may be on record or not is settled, if it is.
    for (step, end) in
        [("issue", "rejected"), ("accept_session", "rejected"), ("settle", "verified")]
    {
        let ledger = Recording::silent_at(step);
        let ended = session_with(patient(&ledger), async |mut peer| {
            plays_up_to(step, &mut peer).await;
            let next = peer.next().await;
            let Some(FromValidator::Verdict(verdict)) = next else { panic!("{step}: {next:?}") };
            assert_eq!(verdict.outcome, VerdictOutcome::CouldNotRun);
        })
        .await;
        assert_eq!(ended.verdict.outcome, Outcome::CouldNotRun, "{step}");
        assert_eq!(ledger.only().outcome.as_deref(), Some(end), "{step}");
    }
    // A verdict that is not on record is none.
    let ledger = Recording::failing_at("settle");
    let ended = session_with(patient(&ledger), async |mut peer| {
        let (answer, coin) = peer.reach_coin().await;
        peer.send(answer.openings_line(coin)).await;
        let Some(FromValidator::Verdict(verdict)) = peer.next().await else { panic!() };
        assert_eq!(verdict.outcome, VerdictOutcome::CouldNotRun);
        assert_eq!(verdict.receipt, None);
    })
    .await;
    assert_eq!(ended.verdict.outcome, Outcome::CouldNotRun);
}
