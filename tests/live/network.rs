//! The network part of a session: what goes to a miner and comes back.

use super::in_process::session;
use super::peer::{Peer, hello, patient, session_with};
use super::recording::Recording;
use super::small;
use crate::common::cpu_miner;
use attest::policy::Policy;
use attest::protocol::digest::Digest;
use attest::protocol::verdict::{NetworkShown, Outcome};
use attest::session::clock::Now;
use attest::session::drive::Validator;
use attest::session::limits::Patience;
use attest::session::message::{FromMiner, FromValidator, MinerHello, line_of};
use attest::session::network::{Incoming, Outgoing, PIECE_BYTES_MAX, WINDOW_BYTES, limit};
use attest::session::validator::{Action, Ended, Event, NetworkAsk, ValidatorSession};
use std::sync::Arc;
use std::time::Duration;

/// Three pieces.
const BYTES: u64 = 100_000;

fn asking(ledger: &Arc<Recording>, bytes: u64) -> Validator {
    let mut validator = patient(ledger);
    validator.network_bytes = Some(bytes);
    validator
}

/// What a miner says of what it has.
fn in_words(message: FromMiner) -> Vec<u8> {
    line_of(&message)
}

impl Peer {
    /// As far as the network part, by a miner of version 2.
    async fn greet_for_network(&mut self) -> u64 {
        let hello = MinerHello { versions: vec![1, 2], ..hello(None) };
        self.send(line_of(&FromMiner::Hello(hello))).await;
        assert!(matches!(self.next().await, Some(FromValidator::Hello { .. })));
        assert!(matches!(self.next().await, Some(FromValidator::Ping { version: 2 })));
        self.send(line_of(&FromMiner::Pong {})).await;
        match self.next().await {
            Some(FromValidator::Network { bytes }) => bytes,
            other => panic!("no network part but {other:?}"),
        }
    }

    async fn piece(&mut self) -> String {
        match self.next().await {
            Some(FromValidator::Piece { data }) => data,
            other => panic!("no piece but {other:?}"),
        }
    }

    /// Takes what comes, honestly.
    async fn take_all(&mut self) -> (u64, Digest) {
        let total = self.greet_for_network().await;
        let mut stream = Incoming::hashed(total);
        while !stream.is_complete() {
            let bytes = stream.take(&self.piece().await).unwrap();
            self.send(in_words(FromMiner::Received { bytes })).await;
        }
        (total, stream.digest().unwrap())
    }

    /// The same, up to the stream that is to go back.
    async fn asked_back(&mut self) -> Outgoing {
        let (total, digest) = self.take_all().await;
        self.send(in_words(FromMiner::Digest { digest })).await;
        match self.next().await {
            Some(FromValidator::SendBack { key }) => Outgoing::new(key.0, total),
            other => panic!("nothing is asked back but {other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_honest_miner_shows_both_directions() {
    // More than a window, so that both sides wait for each other's word.
    let bytes = WINDOW_BYTES + 3 * PIECE_BYTES_MAX as u64 + 1;
    let ledger = Recording::new();
    let mut validator = Validator::new(ledger.clone(), small());
    validator.network_bytes = Some(bytes);
    let (ended, _) = session(&Arc::new(validator), &cpu_miner(None)).await;
    assert_eq!(ended.session.outcome, Outcome::Verified, "{:?}", ended.session);
    let shown = ended.session.network.expect("a network part");
    let NetworkShown { bytes_each_way, to_miner_bytes_per_s, to_validator_bytes_per_s } = shown;
    assert_eq!(bytes_each_way, bytes);
    assert!(to_miner_bytes_per_s > 0 && to_validator_bytes_per_s > 0);
    // It is off the round's clock and limit: that runs from the challenge.
    assert_eq!(ledger.steps(), ["issue", "accept_session", "settle"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demand_is_met_or_not() {
    for (least_mbit, rejects) in [(1e-3, false), (9e6, true)] {
        let ledger = Recording::new();
        let mut validator = Validator::new(ledger, small());
        let mut policy = Policy::default();
        policy.devices.cpu_allowed = true;
        policy.network.bytes_each_way = BYTES;
        policy.network.network_mbit_min = least_mbit;
        (policy.soundness.omitted_share, policy.soundness.escape_probability_max) = (0.5, 1e-6);
        validator.policy = Some(policy);
        let (ended, _) = session(&Arc::new(validator), &cpu_miner(None)).await;
        let judged = ended.session.policy.as_ref().expect("the session is judged");
        let codes: Vec<_> = judged.rejecting().map(|reason| reason.code).collect();
        assert_eq!(codes.contains(&"network-rate-low"), rejects, "{codes:?}");
    }
}

/// A session that ends in the network part: nothing was issued.
async fn ends<F>(code: &str, play: impl FnOnce(Peer) -> F) -> Ended
where
    F: Future<Output = ()>,
{
    let ledger = Recording::new();
    let ended = session_with(asking(&ledger, BYTES), play).await;
    assert_eq!(ended.verdict.code, Some(code), "{:?}", ended.verdict);
    assert_eq!(ended.session.code, Some(code), "{:?}", ended.session);
    assert!(ended.session.network.is_none() && ledger.steps().is_empty());
    ended
}

#[tokio::test]
async fn another_hash_is_a_mismatch() {
    ends("network-mismatch", async |mut peer| {
        let (_, digest) = peer.take_all().await;
        let digest = Digest(digest.0.map(|byte| !byte));
        peer.send(in_words(FromMiner::Digest { digest })).await;
        peer.linger().await;
    })
    .await;
}

#[tokio::test]
async fn what_did_not_come_is_not_confirmed() {
    for bytes in [BYTES + 1, 0] {
        ends("network-mismatch", async |mut peer| {
            peer.greet_for_network().await;
            peer.piece().await;
            peer.send(in_words(FromMiner::Received { bytes })).await;
            peer.linger().await;
        })
        .await;
    }
}

#[tokio::test]
async fn a_hash_before_all_is_confirmed_is_unexpected() {
    ends("unexpected-message", async |mut peer| {
        peer.greet_for_network().await;
        peer.send(in_words(FromMiner::Digest { digest: Digest([1; 32]) })).await;
        peer.linger().await;
    })
    .await;
}

#[tokio::test]
async fn bytes_of_another_stream_are_a_mismatch() {
    ends("network-mismatch", async |mut peer| {
        let mut stream = peer.asked_back().await;
        let mut other = Outgoing::new([9; 32], BYTES);
        peer.send(in_words(FromMiner::Piece { data: stream.piece().unwrap() })).await;
        peer.send(in_words(FromMiner::Piece { data: other.piece().unwrap() })).await;
        peer.linger().await;
    })
    .await;
}

#[tokio::test]
async fn what_goes_back_before_it_is_asked_for_does_not_count() {
    ends("flooded", async |mut peer| {
        let (_, digest) = peer.take_all().await;
        let mut early = in_words(FromMiner::Digest { digest });
        early.extend(in_words(FromMiner::Piece { data: "AAAA".to_owned() }));
        peer.send(early).await;
        peer.linger().await;
    })
    .await;
}

#[tokio::test]
async fn more_than_was_asked_back_ends_the_session() {
    ends("network-mismatch", async |mut peer| {
        let mut stream = peer.asked_back().await;
        for _ in 0..2 {
            peer.send(in_words(FromMiner::Piece { data: stream.piece().unwrap() })).await;
        }
        // The last piece is shorter; this one is not.
        let mut other = Outgoing::new([9; 32], BYTES);
        peer.send(in_words(FromMiner::Piece { data: other.piece().unwrap() })).await;
        peer.linger().await;
    })
    .await;
}

#[test]
fn a_miner_that_stands_still_is_given_up() {
    let at = |since_start| Now { since_start, unix_ms: 1_800_000_000_000 };
    let mut session = ValidatorSession::new(Patience::default(), None);
    session.ask_network(NetworkAsk { bytes: BYTES, keys: [[1; 32], [2; 32]] });
    session.handle(at(Duration::ZERO), Event::Start);
    let hello = MinerHello { versions: vec![2], ..hello(None) };
    session.handle(at(Duration::ZERO), Event::Bytes(&line_of(&FromMiner::Hello(hello))));
    let second = Duration::from_secs(1);
    session.handle(at(second), Event::Bytes(&line_of(&FromMiner::Pong {})));
    // Its word that some have come puts nothing off.
    let received = in_words(FromMiner::Received { bytes: 45_000 });
    session.handle(at(2 * second), Event::Bytes(&received));
    let until = session.deadline().expect("a deadline");
    assert_eq!(until, second + limit(BYTES));
    let mut actions = session.handle(at(until), Event::Tick);
    let Some(Action::End(ended)) = actions.pop() else { panic!("{actions:?}") };
    assert_eq!(ended.verdict.code, Some("stalled"));
    let detail = ended.verdict.detail.unwrap();
    assert!(detail.starts_with("no end of the network part by"), "{detail}");
}

/// A miner of version 1 has none, and its one round is held.
#[tokio::test]
async fn the_first_version_has_no_network_part() {
    let ledger = Recording::new();
    let ended = session_with(asking(&ledger, BYTES), async |mut peer| {
        let (answer, coin) = peer.reach_coin().await;
        peer.send(answer.openings_line(coin)).await;
        peer.linger().await;
    });
    let ended = ended.await;
    assert_eq!(ended.session.outcome, Outcome::Verified, "{:?}", ended.session);
    assert!(ended.session.network.is_none());
}
