//! Tricks with the host's round beside that of the devices: what belongs to one of them in
//! the place of the other's.

use super::Say;
use super::rounds::greet;
use crate::live::peer::{Peer, session_with};
use crate::live::recording::Recording;
use crate::live::rounds::validator_by;
use attest::ledger::{Filter, Ledger as _};
use attest::protocol::challenge::Challenge;
use attest::protocol::names::Coin;
use attest::protocol::verdict::Outcome;
use attest::session::message::FromValidator;
use attest::session::validator::Ended;
use std::sync::Arc;

/// Both are of equal work, so that nothing but the challenge tells them apart.
const TWO: &str = r#"
name = "two"
[devices]
cpu_allowed = true
[soundness]
omitted_share = 0.2
escape_probability_max = 1e-3
[[round]]
kind = "fp64"
on = "host"
beside = true
matrix_dim = 128
num_matrices = 1
num_iterations = 1
[[round]]
kind = "fp64"
matrix_dim = 128
num_matrices = 1
num_iterations = 1
"#;

/// The miner's end, once both challenges are there: the host's, then that of the devices.
async fn challenged(peer: &mut Peer) -> [Challenge; 2] {
    greet(peer).await;
    let Some(FromValidator::HostChallenge { beside: true, token }) = peer.next().await else {
        panic!("the host's comes first")
    };
    assert_eq!(peer.round(), Some(0));
    let of_devices = peer.challenge().await;
    assert_eq!(peer.round(), Some(1));
    [Challenge::from_token(&token).expect("a challenge"), of_devices]
}

const HOST: Option<usize> = Some(0);
const DEVICES: Option<usize> = Some(1);

/// Both commitments are in; the coins by round.
async fn committed(peer: &mut Peer, say: &[Say; 2]) -> [Coin; 2] {
    let mut coins = [None; 2];
    for (round, say) in say.iter().enumerate() {
        peer.send_of(Some(round), say.commitment_line()).await;
    }
    for _ in 0..2 {
        let coin = peer.coin().await;
        coins[peer.round().expect("a number")] = Some(coin);
    }
    coins.map(|coin| coin.expect("one of each"))
}

/// A session with the miner that `play` plays from the challenges on.
async fn played<F>(play: impl FnOnce(Peer, [Challenge; 2]) -> F) -> (Ended, Arc<Recording>)
where
    F: Future<Output = ()>,
{
    let ledger = Recording::new();
    let ended = session_with(validator_by(TWO, &ledger), async |mut peer: Peer| {
        let challenges = challenged(&mut peer).await;
        play(peer, challenges).await;
    })
    .await;
    (ended, ledger)
}

/// How the session and its two rounds ended; what was issued is settled, and spent.
#[track_caller]
fn ended_with(code: &str, rounds: [&[&str]; 2], (ended, ledger): &(Ended, Arc<Recording>)) {
    let session = &ended.session;
    assert_eq!(session.code.unwrap_or("verified"), code, "{session:?}");
    let rows = ledger.list(&Filter::default()).expect("a list");
    assert_eq!((session.rounds.len(), rows.len()), (2, 2));
    for (round, codes) in session.rounds.iter().zip(rounds) {
        let verdict = &round.verdict;
        assert!(codes.contains(&verdict.code.unwrap_or("verified")), "{:?}", verdict.code);
        let row = rows.iter().find(|row| Some(row.challenge) == verdict.challenge_digest);
        let row = row.expect("on record");
        let is_verified = verdict.outcome == Outcome::Verified;
        assert_eq!(row.outcome.as_deref() == Some("verified"), is_verified, "{row:?}");
        assert_eq!(row.code.as_deref(), verdict.code);
        assert!(row.commitment.is_some(), "its nonce is spent");
    }
}

#[tokio::test]
async fn honest_rounds_beside_each_other_pass() {
    let ended = played(async |mut peer, challenges| {
        let say = challenges.map(|challenge| Say::honestly(&challenge));
        let coins = committed(&mut peer, &say).await;
        // In the other order.
        for round in [1, 0] {
            peer.send_of(Some(round), say[round].openings_line(coins[round])).await;
        }
        peer.linger().await;
    })
    .await;
    ended_with("verified", [&["verified"], &["verified"]], &ended);
}

/// One of both is judged while the other is under way, so this one may be verified, or be
/// given up.
const LEFT: &[&str] = &["verified", "abandoned"];

#[tokio::test]
async fn the_hosts_round_with_the_coin_of_the_devices() {
    let ended = played(async |mut peer, challenges| {
        let say = challenges.map(|challenge| Say::honestly(&challenge));
        let coins = committed(&mut peer, &say).await;
        peer.send_of(HOST, say[0].openings_line(coins[1])).await;
        peer.send_of(DEVICES, say[1].openings_line(coins[1])).await;
        peer.linger().await;
    })
    .await;
    ended_with("coin-mismatch", [&["coin-mismatch"], LEFT], &ended);
}

#[tokio::test]
async fn the_commitment_of_one_for_both() {
    // The work of the devices' round for the host's, too.
    for with_own_coin in [false, true] {
        let ended = played(async |mut peer, challenges| {
            let [_, of_devices] = challenges;
            let say = [Say::honestly(&of_devices), Say::honestly(&of_devices)];
            let coins = committed(&mut peer, &say).await;
            let coin = if with_own_coin { coins[0] } else { coins[1] };
            peer.send_of(HOST, say[0].openings_line(coin)).await;
            peer.send_of(DEVICES, say[1].openings_line(coins[1])).await;
            peer.linger().await;
        })
        .await;
        let code = if with_own_coin { "commitment-mismatch" } else { "coin-mismatch" };
        ended_with(code, [&[code], LEFT], &ended);
    }
}

#[tokio::test]
async fn commitments_swapped() {
    let ended = played(async |mut peer, challenges| {
        let [host, devices] = challenges.map(|challenge| Say::honestly(&challenge));
        let say = [devices, host];
        let coins = committed(&mut peer, &say).await;
        for round in [0, 1] {
            peer.send_of(Some(round), say[round].openings_line(coins[round])).await;
        }
        peer.linger().await;
    })
    .await;
    let either: &[&str] = &["commitment-mismatch", "abandoned"];
    ended_with("commitment-mismatch", [either, either], &ended);
}

#[tokio::test]
async fn openings_swapped() {
    let ended = played(async |mut peer, challenges| {
        let say = challenges.map(|challenge| Say::honestly(&challenge));
        let coins = committed(&mut peer, &say).await;
        peer.send_of(DEVICES, say[0].openings_line(coins[0])).await;
        peer.send_of(HOST, say[1].openings_line(coins[1])).await;
        peer.linger().await;
    })
    .await;
    let either: &[&str] = &["session-mismatch", "abandoned"];
    ended_with("session-mismatch", [either, either], &ended);
}

#[tokio::test]
async fn a_commitment_said_twice_or_openings_before_the_coin() {
    let ended = played(async |mut peer, challenges| {
        let [say, _] = challenges.map(|challenge| Say::honestly(&challenge));
        peer.send_of(HOST, say.commitment_line()).await;
        peer.coin().await;
        peer.send_of(HOST, say.commitment_line()).await;
        peer.linger().await;
    })
    .await;
    ended_with("answered-twice", [&["answered-twice"], &["abandoned"]], &ended);
    let ended = played(async |mut peer, challenges| {
        let [host, devices] = challenges.map(|challenge| Say::honestly(&challenge));
        peer.send_of(HOST, host.commitment_line()).await;
        let coin = peer.coin().await;
        // The devices' samples by the host's coin.
        peer.send_of(DEVICES, devices.openings_line(coin)).await;
        peer.linger().await;
    })
    .await;
    ended_with("unexpected-message", [&["abandoned"], &["unexpected-message"]], &ended);
}

#[tokio::test]
async fn one_round_only() {
    // The other one's openings never come; then the miner is gone.
    for left_out in [0, 1] {
        let ended = played(async |mut peer, challenges| {
            let say = challenges.map(|challenge| Say::honestly(&challenge));
            let coins = committed(&mut peer, &say).await;
            let told = 1 - left_out;
            peer.send_of(Some(told), say[told].openings_line(coins[told])).await;
            peer.close().await;
            peer.linger().await;
        })
        .await;
        let mut codes: [&[&str]; 2] = [&["verified", "closed-early"]; 2];
        codes[left_out] = &["closed-early"];
        ended_with("closed-early", codes, &ended);
    }
}
