//! Tricks with the order of a live session: samples that can be predicted, second
//! tries, races, and what is swapped after the coin.

use super::turned::{Records, Turned};
use super::{
    Say, UUIDS, challenge, code_of, ended_with, key, live, live_with, public, request, within,
};
use crate::common::cpu_evidence;
use crate::live::peer::Peer;
use crate::live::recording::Recording;
use attest::executor::cpu::CpuVerifier;
use attest::mining::issue::Request;
use attest::protocol::challenge::Challenge;
use attest::protocol::circumstances::{Circumstances, Issuer};
use attest::protocol::digest::{Digest, Uuid};
use attest::protocol::evidence::Evidence;
use attest::protocol::names::Commitment;
use attest::protocol::sample::{SamplePoint, derive};
use attest::protocol::verify::verify;
use attest::protocol::work::fp64_product::LeafPlace;
use attest::reference::{Oracle, Run};
use attest::session::message::{FromValidator, VerdictOutcome, commitment_line_of};
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

#[tokio::test]
async fn predictable_samples() {
    let honest = live_with(request(), Say::honestly).await;
    ended_with("verified", &honest);
    // Computes what would be sampled if samples came from seed and nonce alone.
    let predicts = |challenge: &Challenge| {
        let shape = challenge.work().fp64_product().unwrap();
        let expected = derive(challenge, 1, &Commitment(challenge.digest().0), None);
        Say::of(Run::with(challenge, &UUIDS[..1], |lane, iteration, state| {
            let leaf = |leaf| match expected.contains(&SamplePoint { lane, iteration, leaf }) {
                true => Oracle.leaf_hash(state, shape.dim, LeafPlace::of(shape, leaf)),
                false => Digest([0xee; 32]),
            };
            (0..shape.leaves()).map(leaf).collect()
        }))
    };
    let few = Request { samples_per_iteration: Some(40), ..request() };
    ended_with("leaf-mismatch", &live_with(few, predicts).await);
}

/// To the coin, and away.
async fn looks_at_the_coin(mut peer: Peer) {
    peer.greet(None).await;
    let say = Say::honestly(&peer.challenge().await);
    peer.send(say.commitment_line()).await;
    peer.coin().await;
    peer.close().await;
    peer.linger().await;
}

#[tokio::test]
async fn commit_see_the_coin_disconnect_retry() {
    let ledger = Recording::new();
    let mut seen = None;
    let ended = live(&ledger, request(), async |mut peer| {
        peer.greet(None).await;
        let challenge = peer.challenge().await;
        let say = Say::honestly(&challenge);
        peer.send(say.commitment_line()).await;
        seen = Some((challenge, say, peer.coin().await));
        peer.close().await;
        peer.linger().await;
    })
    .await;
    ended_with("closed-early", &ended);
    let (challenge, say, coin) = seen.unwrap();
    // The nonce is gone: for the complete result, for one without the coin, for
    // another commitment, each handed in outside the session.
    let record = attest::ledger::Ledger::record(&*ledger, &challenge.digest()).unwrap().unwrap();
    let circumstances = Circumstances { issuer: Issuer::Record(record), ..Default::default() };
    let other = Say::of(Run::of(&challenge, &UUIDS[1..]));
    for result in [say.result(Some(coin)), say.result(None), other.result(Some(coin))] {
        assert_eq!(within(&challenge, &result, &circumstances), "nonce-spent");
    }
    // A new connection has a new challenge, to which the old work is none.
    let ended = live(&ledger, request(), async |mut peer| {
        peer.greet(None).await;
        assert_ne!(peer.challenge().await.digest(), challenge.digest());
        peer.send(say.commitment_line()).await;
        let coin = peer.coin().await;
        peer.send(say.openings_line(coin)).await;
        peer.linger().await;
    })
    .await;
    ended_with("commitment-mismatch", &ended);
    // Whoever only looks gains nothing by looking often.
    for _ in 0..3 {
        ended_with("closed-early", &live(&ledger, request(), looks_at_the_coin).await);
    }
    let entries = ledger.entries();
    assert!(entries.iter().all(|entry| entry.outcome.as_deref() == Some("rejected")));
    // An honest miner is not hindered by any of it.
    let ended = live(&ledger, request(), async |mut peer| {
        peer.greet(None).await;
        let say = Say::honestly(&peer.challenge().await);
        peer.send(say.commitment_line()).await;
        let coin = peer.coin().await;
        peer.send(say.openings_line(coin)).await;
        peer.linger().await;
    })
    .await;
    ended_with("verified", &ended);
}

#[test]
fn two_connections_race_with_one_nonce() {
    for round in 0..8 {
        let records = Records::new();
        let challenge = challenge(|spec| {
            spec.validator_nonce = Digest([round; 32]);
            spec.samples_per_iteration = 20;
        });
        records.issue(&challenge);
        let barrier = Barrier::new(2);
        let race = |lane: usize| {
            let say = Say::of(Run::of(&challenge, &UUIDS[lane..=lane]));
            let mut session = Turned::new(&records, &challenge);
            let line = say.commitment_line();
            barrier.wait();
            session.send(&line);
            if let Some(coin) = session.coin {
                session.send(&say.openings_line(coin));
            }
            (session.end().verdict, say.result(None).commitment)
        };
        let ends = thread::scope(|scope| {
            [0, 1].map(|lane| scope.spawn(move || race(lane))).map(|end| end.join().unwrap())
        });
        let mut codes = ends.each_ref().map(|(verdict, _)| verdict.code.unwrap_or("verified"));
        codes.sort_unstable();
        assert_eq!(codes, ["nonce-spent", "verified"]);
        // On record is the one that came first, and the loser changed nothing.
        let (entry, _) = records.ledger.show(&challenge.digest()).unwrap().unwrap();
        let winner = ends.iter().find(|(verdict, _)| verdict.code.is_none()).unwrap().1;
        assert_eq!((entry.commitment, entry.outcome.as_deref()), (Some(winner), Some("verified")));
    }
}

#[tokio::test]
async fn one_commitment_on_two_connections() {
    // Both connections get the first one's commitment; each has its own nonce.
    let ledger = Recording::new();
    let (tell, told) = tokio::sync::oneshot::channel::<Vec<u8>>();
    let mut say = None;
    let first = live(&ledger, request(), async |mut peer| {
        peer.greet(None).await;
        let honest = Say::honestly(&peer.challenge().await);
        tell.send(honest.commitment_line()).unwrap();
        peer.send(honest.commitment_line()).await;
        let coin = peer.coin().await;
        peer.send(honest.openings_line(coin)).await;
        say = Some(honest);
        peer.linger().await;
    });
    let second = live(&ledger, request(), async |mut peer| {
        peer.greet(None).await;
        let challenge = peer.challenge().await;
        peer.send(told.await.unwrap()).await;
        let coin = peer.coin().await;
        // Openings of the right places for this session, from own work.
        peer.send(Say::honestly(&challenge).openings_line(coin)).await;
        peer.linger().await;
    });
    let (first, second) = tokio::join!(first, second);
    ended_with("verified", &first);
    ended_with("session-mismatch", &second);
}

#[tokio::test]
async fn commitment_swapped_after_the_coin() {
    // Two complete runs are ready; the coin decides which one is handed in.
    let ended = live(&Recording::new(), request(), async |mut peer| {
        peer.greet(None).await;
        let challenge = peer.challenge().await;
        let [one, other] = UUIDS.map(|uuid| Say::of(Run::of(&challenge, &[uuid])));
        peer.send(one.commitment_line()).await;
        let coin = peer.coin().await;
        peer.send(other.openings_line(coin)).await;
        peer.linger().await;
    })
    .await;
    ended_with("session-mismatch", &ended);
    // The first one's commitment with the second one's openings.
    let ended = live(&Recording::new(), request(), async |mut peer| {
        peer.greet(None).await;
        let challenge = peer.challenge().await;
        let [one, other] = UUIDS.map(|uuid| Say::of(Run::of(&challenge, &[uuid])));
        peer.send(one.commitment_line()).await;
        let coin = peer.coin().await;
        let mut result = other.result(Some(coin));
        result.commitment = one.result(None).commitment;
        peer.send(attest::session::message::openings_line(&result)).await;
        peer.linger().await;
    })
    .await;
    ended_with("openings-mismatch", &ended);
    ended_with("verified", &live_with(request(), Say::honestly).await);
}

#[tokio::test]
async fn a_junk_commitment_to_burn_a_nonce() {
    // A stranger poses as the miner with key 2, whose signature it does not have.
    let ledger = Recording::new();
    let junk = |challenge: &Challenge| {
        let leaves = challenge.work().leaves() as usize;
        Say::of(Run::with(challenge, &UUIDS[..1], |_, _, _| vec![Digest([0xee; 32]); leaves]))
    };
    let bound = Request { miner_id: Some(public(2)), ..request() };
    let stranger = live(&ledger, bound.clone(), async |mut peer| {
        peer.greet(Some(public(2))).await;
        let say = junk(&peer.challenge().await).signed(key(3));
        peer.send(say.commitment_line()).await;
        peer.linger().await;
    })
    .await;
    ended_with("signature-invalid", &stranger);
    assert!(!ledger.steps().contains(&"accept_session"), "no nonce is spent on it");
    // What it burnt was its own connection's. The miner has another challenge.
    let miner = live(&ledger, bound, async |mut peer| {
        peer.greet(Some(public(2))).await;
        let say = Say::honestly(&peer.challenge().await).signed(key(2));
        peer.send(say.commitment_line()).await;
        let coin = peer.coin().await;
        peer.send(say.openings_line(coin)).await;
        let Some(FromValidator::Verdict(verdict)) = peer.next().await else { panic!() };
        assert_eq!(verdict.outcome, VerdictOutcome::Verified);
    })
    .await;
    ended_with("verified", &miner);
}

#[test]
fn junk_results_burn_no_nonce_outside_a_session() {
    let records = Records::new();
    let challenge = challenge(|_| {});
    records.issue(&challenge);
    let leaves = challenge.work().leaves() as usize;
    for junk in 0..5 {
        let run = Run::with(&challenge, &UUIDS[..1], |_, _, _| vec![Digest([junk; 32]); leaves]);
        let circumstances =
            Circumstances { issuer: records.issuer(&challenge), ..Circumstances::default() };
        assert_eq!(within(&challenge, &Say::of(run).result(None), &circumstances), "leaf-mismatch");
    }
    let circumstances =
        Circumstances { issuer: records.issuer(&challenge), ..Circumstances::default() };
    let honest = Say::honestly(&challenge).result(None);
    let end = verify(&challenge, &honest, &circumstances, &CpuVerifier::new());
    assert_eq!(code_of(&end), "verified");
}

#[test]
fn a_coin_answered_too_late() {
    let challenge = challenge(|spec| spec.samples_per_iteration = 20);
    let say = Say::honestly(&challenge);
    let committed = || {
        let records = Records::new();
        records.issue(&challenge);
        let mut session = Turned::new(&records, &challenge);
        session.send(&say.commitment_line());
        let coin = session.coin.expect("an accepted commitment");
        (session, coin)
    };
    let (mut session, coin) = committed();
    session.pass(Duration::from_secs(30));
    session.send(&say.openings_line(coin));
    ended_with("verified", &session.end());
    let (mut session, coin) = committed();
    session.reach_deadline(Duration::ZERO);
    session.send(&say.openings_line(coin));
    ended_with("stalled", &session.end());
    // It is not asked again, and silence is enough for a verdict.
    let (mut session, _) = committed();
    session.reach_deadline(Duration::ZERO);
    session.tick();
    ended_with("stalled", &session.end());
}

#[tokio::test]
async fn evidence_faked_after_the_commitment() {
    // What was committed to says one thing, the message another.
    let ended = live(&Recording::new(), request(), async |mut peer| {
        peer.greet(None).await;
        let say = Say::honestly(&peer.challenge().await);
        let mut told = say.result(None).evidence.value().clone();
        told["lanes"][0]["model"] = "NVIDIA H200".into();
        let told = Evidence::from_value(told).unwrap();
        let commitment = say.result(None).commitment;
        let lanes = say.run.lanes();
        let line = commitment_line_of(commitment, &lanes, &told, None);
        peer.send(line).await;
        let coin = peer.coin().await;
        peer.send(say.openings_line(coin)).await;
        peer.linger().await;
    })
    .await;
    ended_with("commitment-mismatch", &ended);
    ended_with("verified", &live_with(request(), Say::honestly).await);
}

#[tokio::test]
async fn evidence_of_more_devices_than_there_can_be() {
    // The ledger is asked about them before anything is verified: that is the
    // miner's fault all the same, and no could-not-run of the validator.
    for count in [2, 64, 65, 5000] {
        let uuids: Vec<Uuid> = (0..count)
            .map(|i: u32| Uuid(std::array::from_fn(|at| i.to_be_bytes()[at % 4])))
            .collect();
        let ended = live_with(request(), |challenge| Say {
            evidence: cpu_evidence(&uuids),
            ..Say::honestly(challenge)
        });
        ended_with("evidence-lanes", &ended.await);
    }
}

#[tokio::test]
async fn a_commitment_of_zeros() {
    // On record it stands for none.
    let ended = live(&Recording::new(), request(), async |mut peer| {
        peer.greet(None).await;
        let say = Say::honestly(&peer.challenge().await);
        let result = say.result(None);
        let zeros = attest::ledger::NO_COMMITMENT;
        peer.send(commitment_line_of(zeros, &result.lanes, &result.evidence, None)).await;
        peer.linger().await;
    })
    .await;
    ended_with("commitment-mismatch", &ended);
}
