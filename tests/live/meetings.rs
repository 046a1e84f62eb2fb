//! Every session is on record as a meeting; a peer that ends too many of them before its
//! challenge is refused.

use super::identity;
use super::peer::{Answer, Peer, hello, patient, pipe};
use super::recording::Recording;
use attest::ledger::{DODGES, Ending, Peer as Known, SessionEnd, SettledAs};
use attest::policy::Policy;
use attest::protocol::verdict::Outcome;
use attest::session::drive::{Peering, Validator};
use attest::session::message::{FromMiner, line_of};
use attest::session::validator::Ended;
use std::sync::Arc;

/// A session with a peer of which the transport knows this much.
async fn meet<F>(
    validator: &Arc<Validator>,
    peering: &Peering,
    play: impl FnOnce(Peer) -> F,
) -> Ended
where
    F: Future<Output = ()>,
{
    let (reader, writer, peer) = pipe();
    let session = validator.session_with(reader, writer, peering, &|_| ());
    tokio::join!(session, play(peer)).0
}

async fn is_busy(mut peer: Peer) {
    peer.line(r#"{"message":"busy","text":"later"}"#).await;
    peer.linger().await;
}

async fn goes_away(mut peer: Peer) {
    peer.send(line_of(&FromMiner::Hello(hello(Some(identity(2).public()))))).await;
    peer.close().await;
    peer.linger().await;
}

async fn is_honest(mut peer: Peer) {
    let key = identity(2);
    peer.greet(Some(key.public())).await;
    let answer = Answer::of(&peer.challenge().await, Some(&key));
    peer.send(answer.commitment_line()).await;
    let coin = peer.coin().await;
    peer.send(answer.openings_line(coin)).await;
    peer.linger().await;
}

#[tokio::test]
async fn every_meeting_is_on_record() {
    let ledger = Recording::new();
    let validator = Arc::new(patient(&ledger));
    let key = identity(2).public();
    let known = Peering { key: Some(key), address: Some("192.0.2.1".to_owned()) };
    meet(&validator, &Peering::default(), is_busy).await;
    meet(&validator, &Peering::default(), goes_away).await;
    meet(&validator, &known, goes_away).await;
    let ended = meet(&validator, &known, is_honest).await;
    assert_eq!(ended.verdict.outcome, Outcome::Verified, "{:?}", ended.verdict);
    let challenge = ended.challenge.expect("a challenge").digest();
    let before = |code: &str| Ending::Before(code.to_owned());
    let met = ledger.met();
    let seen: Vec<_> = met.iter().map(|meeting| (meeting.peer, meeting.ending.clone())).collect();
    assert_eq!(
        seen,
        [
            (Known::Unknown, before("busy")),
            (Known::Claimed(key.encoded()), before("closed-early")),
            (Known::Proven(key.encoded()), before("closed-early")),
            (Known::Proven(key.encoded()), Ending::Challenged(challenge)),
        ]
    );
    assert_eq!(met[3].address.as_deref(), Some("192.0.2.1"));
    assert_eq!(met[3].round_trip, ended.legs.round_trip);
    let verified = SessionEnd { outcome: SettledAs::Verified, code: None };
    assert_eq!(met[3].session, Some(verified));
    assert!(met[..3].iter().all(|meeting| meeting.session.is_none()));
}

#[tokio::test]
async fn who_dodges_too_often_is_refused() {
    let ledger = Recording::new();
    let mut policy = Policy::default();
    policy.devices.cpu_allowed = true;
    policy.session.dodges_max = 2;
    let mut validator = patient(&ledger);
    validator.policy = Some(policy);
    let validator = Arc::new(validator);
    let key = identity(2).public();
    let proven = Peering { key: Some(key), address: None };
    // Somebody else says that it has the key: that counts for nothing.
    for _ in 0..3 {
        meet(&validator, &Peering::default(), goes_away).await;
    }
    for _ in 0..2 {
        meet(&validator, &proven, goes_away).await;
    }
    let comes_back = async |mut peer: Peer| {
        peer.greet(Some(key)).await;
        peer.linger().await;
    };
    // As many as are allowed; it goes once it is challenged, which is no dodge.
    let ended = meet(&validator, &proven, async |mut peer| {
        peer.greet(Some(key)).await;
        peer.challenge().await;
        peer.close().await;
        peer.linger().await;
    })
    .await;
    assert!(ended.challenge.is_some(), "{:?}", ended.verdict);
    meet(&validator, &proven, goes_away).await;
    let challenges = ledger.entries().len();
    let ended = meet(&validator, &proven, comes_back).await;
    assert_eq!(ended.verdict.code, Some("too-many-dodges"), "{:?}", ended.verdict);
    assert_eq!(ledger.entries().len(), challenges, "no challenge was issued");
}

/// Else it would be the dodge that costs nothing.
#[tokio::test]
async fn who_breaks_a_rule_before_a_challenge_dodges() {
    let known = Peering { key: Some(identity(2).public()), address: None };
    for (line, code) in [
        ("no message", "not-json"),
        (r#"{"message":"hello"}"#, "malformed-message"),
        (r#"{"message":"pong"}"#, "unexpected-message"),
        (
            r#"{"message":"hello","versions":[9],"software":"","capabilities":[],"devices":[]}"#,
            "version-mismatch",
        ),
        (r#"{"message":"ping","version":1}"#, "echoed"),
    ] {
        let ledger = Recording::new();
        let validator = Arc::new(patient(&ledger));
        let breaks = async |mut peer: Peer| {
            peer.line(line).await;
            peer.linger().await;
        };
        let ended = meet(&validator, &known, breaks).await;
        assert_eq!(ended.verdict.code, Some(code), "{:?}", ended.verdict);
        assert!(DODGES.contains(&code), "{code}");
    }
}
