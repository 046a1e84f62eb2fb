//! Tricks with the rounds of a session: what belongs to one round, or to another session,
//! in the place of something else.

use super::Say;
use crate::live::peer::{Peer, hello, session_with};
use crate::live::recording::Recording;
use crate::live::rounds::validator_by;
use attest::ledger::{Filter, Ledger as _, Order};
use attest::protocol::challenge::Challenge;
use attest::protocol::names::Coin;
use attest::protocol::verdict::Outcome;
use attest::session::message::{FromMiner, FromValidator, MinerHello, line_of};
use attest::session::numbered::numbered;
use attest::session::validator::Ended;
use std::sync::Arc;

/// Three rounds of equal work, so that nothing but the challenge tells them apart.
const THREE: &str = r#"
name = "three"
[devices]
cpu_allowed = true
[soundness]
omitted_share = 0.2
escape_probability_max = 1e-3
[[round]]
kind = "fp64"
matrix_dim = 128
num_matrices = 1
num_iterations = 1
[[round]]
kind = "fp64"
matrix_dim = 128
num_matrices = 1
num_iterations = 1
[[round]]
kind = "fp64"
matrix_dim = 128
num_matrices = 1
num_iterations = 1
"#;

/// A session of three rounds with the miner that `play` plays.
async fn three<F>(ledger: &Arc<Recording>, play: impl FnOnce(Peer) -> F) -> Ended
where
    F: Future<Output = ()>,
{
    session_with(validator_by(THREE, ledger), play).await
}

/// Says hello to a validator that may hold several rounds, and answers its ping.
pub async fn greet(peer: &mut Peer) {
    let versions = vec![1, 2];
    peer.send(line_of(&FromMiner::Hello(MinerHello { versions, ..hello(None) }))).await;
    assert!(matches!(peer.next().await, Some(FromValidator::Hello { .. })));
    assert!(matches!(peer.next().await, Some(FromValidator::Ping { version: 2 })));
    peer.send(line_of(&FromMiner::Pong {})).await;
}

/// Answers the next challenge honestly.
async fn round(peer: &mut Peer) -> (Challenge, Say, Coin) {
    let challenge = peer.challenge().await;
    let round = peer.round();
    let say = Say::honestly(&challenge);
    peer.send_of(round, say.commitment_line()).await;
    let coin = peer.coin().await;
    assert_eq!(peer.round(), round);
    peer.send_of(round, say.openings_line(coin)).await;
    (challenge, say, coin)
}

#[track_caller]
fn session_ended_with(code: &str, rounds: usize, ended: &Ended, ledger: &Recording) {
    let verdict = &ended.session;
    assert_eq!(verdict.code.unwrap_or("verified"), code, "{verdict:?}");
    assert_eq!(verdict.rounds.len(), rounds, "{verdict:?}");
    assert_eq!(verdict.not_reached.len(), 3 - rounds, "{verdict:?}");
    // All that was issued is settled, and each round by itself.
    let filter = Filter { order: Order::OldestFirst, ..Filter::default() };
    let rows = ledger.list(&filter).expect("a list");
    assert_eq!(rows.len(), rounds);
    for row in rows {
        let number = row.round.map_or(0, |round| round.number as usize);
        let of_round = &verdict.rounds[number].verdict;
        assert_eq!(of_round.challenge_digest, Some(row.challenge));
        let is_verified = of_round.outcome == Outcome::Verified;
        let settled = if is_verified { "verified" } else { "rejected" };
        assert_eq!(row.outcome.as_deref(), Some(settled), "round {number}");
        assert_eq!(row.code.as_deref(), of_round.code, "round {number}");
        assert!(row.commitment.is_some(), "the nonce of round {number} is spent");
    }
}

#[tokio::test]
async fn honest_rounds_pass() {
    let ledger = Recording::new();
    let ended = three(&ledger, async |mut peer| {
        greet(&mut peer).await;
        for _ in 0..3 {
            round(&mut peer).await;
        }
        peer.linger().await;
    })
    .await;
    session_ended_with("verified", 3, &ended, &ledger);
}

#[tokio::test]
async fn the_coin_of_another_round() {
    let ledger = Recording::new();
    let ended = three(&ledger, async |mut peer| {
        greet(&mut peer).await;
        let (_, _, old) = round(&mut peer).await;
        let say = Say::honestly(&peer.challenge().await);
        peer.send_of(Some(1), say.commitment_line()).await;
        assert_ne!(peer.coin().await, old);
        peer.send_of(Some(1), say.openings_line(old)).await;
        peer.linger().await;
    })
    .await;
    // Round 2 is out when round 1 is judged, and is given up.
    session_ended_with("coin-mismatch", 3, &ended, &ledger);
}

#[tokio::test]
async fn the_answer_to_another_round() {
    // What was computed for round 0, whole, and with the coin of round 1.
    for with_new_coin in [false, true] {
        let ledger = Recording::new();
        let ended = three(&ledger, async |mut peer| {
            greet(&mut peer).await;
            let (_, say, old) = round(&mut peer).await;
            peer.challenge().await;
            peer.send_of(Some(1), say.commitment_line()).await;
            let new = peer.coin().await;
            peer.send_of(Some(1), say.openings_line(if with_new_coin { new } else { old })).await;
            peer.linger().await;
        })
        .await;
        let code = if with_new_coin { "commitment-mismatch" } else { "coin-mismatch" };
        session_ended_with(code, 3, &ended, &ledger);
    }
}

#[tokio::test]
async fn the_answer_of_another_session() {
    let (first, second) = (Recording::new(), Recording::new());
    let mut said = None;
    three(&first, async |mut peer| {
        greet(&mut peer).await;
        round(&mut peer).await;
        said = Some(round(&mut peer).await.1);
    })
    .await;
    let say = said.expect("an answer to round 1");
    let ended = three(&second, async |mut peer| {
        greet(&mut peer).await;
        round(&mut peer).await;
        peer.challenge().await;
        peer.send_of(Some(1), say.commitment_line()).await;
        let coin = peer.coin().await;
        peer.send_of(Some(1), say.openings_line(coin)).await;
        peer.linger().await;
    })
    .await;
    session_ended_with("commitment-mismatch", 3, &ended, &second);
}

#[tokio::test]
async fn a_round_skipped_or_repeated() {
    // Openings without a commitment.
    let ledger = Recording::new();
    let ended = three(&ledger, async |mut peer| {
        greet(&mut peer).await;
        let (_, _, old) = round(&mut peer).await;
        let say = Say::honestly(&peer.challenge().await);
        peer.send_of(Some(1), say.openings_line(old)).await;
        peer.linger().await;
    })
    .await;
    session_ended_with("unexpected-message", 2, &ended, &ledger);
    // Round 0 once more, before the challenge of round 1.
    let ledger = Recording::new();
    let ended = three(&ledger, async |mut peer| {
        greet(&mut peer).await;
        let challenge = peer.challenge().await;
        let say = Say::honestly(&challenge);
        peer.send_of(Some(0), say.commitment_line()).await;
        let coin = peer.coin().await;
        let twice = numbered(say.openings_line(coin), Some(0)).repeat(2);
        peer.send(twice).await;
        peer.linger().await;
    })
    .await;
    // In one piece or in two, as the pipe has it.
    let code = ended.session.code.unwrap_or_default();
    assert!(["answered-twice", "flooded"].contains(&code), "{:?}", ended.session);
}

/// A miner that says that it speaks version 1, so that nobody asks for the other rounds.
#[tokio::test]
async fn only_the_first_round() {
    let ledger = Recording::new();
    let ended = three(&ledger, async |mut peer| {
        peer.greet(None).await;
        round(&mut peer).await;
        peer.linger().await;
    })
    .await;
    session_ended_with("rejected-by-policy", 1, &ended, &ledger);
    let judgement = ended.session.policy.expect("the session is judged");
    assert!(judgement.rejecting().any(|reason| reason.code == "round-missing"), "{judgement:?}");
}
