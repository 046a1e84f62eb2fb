//! A miner that computes all but one tile of its last iteration, and tries
//! commitments until no sample falls on the tile: with and without a coin.
//!
//! The last iteration is the cheapest place: another garbage root there costs one
//! hash of the chain, and nothing has to be computed again.

use super::{UUIDS, alone, code_of};
use crate::common::{cpu_evidence, spec};
use attest::executor::cpu::CpuVerifier;
use attest::policy::{Facts, Policy};
use attest::protocol::bound::OmittedShare;
use attest::protocol::challenge::{Challenge, ChallengeSpec};
use attest::protocol::circumstances::{Circumstances, Issuer, IssuerRecord, SessionRecord};
use attest::protocol::digest::Digest;
use attest::protocol::merkle::Tree;
use attest::protocol::names::{Coin, Root};
use attest::protocol::result::{LaneRoots, Opening, ResultDoc, commit};
use attest::protocol::sample::derive;
use attest::protocol::verdict::{Outcome, Verdict, Work};
use attest::protocol::verify::verify;
use attest::reference::Run;

/// Ten tiles an iteration, two iterations, both sampled.
fn challenge(samples: u64) -> Challenge {
    Challenge::issue(ChallengeSpec {
        work: crate::common::products(128, 10),
        samples_per_iteration: samples,
        ..spec()
    })
    .unwrap()
}

/// The garbage tile: the last of the last iteration.
const GARBAGE: std::ops::Range<u64> = 9 * 256..10 * 256;

struct Grinder {
    challenge: Challenge,
    honest: Run,
    /// Of the first iteration.
    first: Tree,
}

impl Grinder {
    fn new(challenge: Challenge) -> Self {
        let honest = Run::of(&challenge, &UUIDS[..1]);
        let first = Tree::over(&honest.leaves[0][0]);
        Self { challenge, honest, first }
    }

    /// The last iteration's tree with the garbage of this try.
    fn last(&self, number: u64) -> Tree {
        let mut leaves = self.honest.leaves[0][1].clone();
        for leaf in GARBAGE {
            leaves[leaf as usize] =
                Digest::of(&[b"garbage", &number.to_be_bytes(), &leaf.to_be_bytes()]);
        }
        Tree::over(&leaves)
    }

    fn lanes(&self, last: &Tree) -> Vec<LaneRoots> {
        let iteration_roots =
            [&self.first, last].map(|tree| Root::of_tree(tree.root().unwrap())).to_vec();
        vec![LaneRoots { uuid: UUIDS[0], iteration_roots }]
    }

    /// Whether no sample of this try falls on the garbage.
    fn is_lucky(&self, number: u64) -> bool {
        let evidence = cpu_evidence(&UUIDS[..1]);
        let commitment = commit(&self.challenge, &self.lanes(&self.last(number)), &evidence);
        let points = derive(&self.challenge, 1, &commitment, None);
        points.iter().all(|point| point.iteration != 2 || !GARBAGE.contains(&point.leaf))
    }

    /// The result of one try.
    fn result(&self, number: u64, coin: Option<Coin>) -> ResultDoc {
        let last = self.last(number);
        let (lanes, evidence) = (self.lanes(&last), cpu_evidence(&UUIDS[..1]));
        let commitment = commit(&self.challenge, &lanes, &evidence);
        let points = derive(&self.challenge, 1, &commitment, coin.as_ref());
        let open = |point: attest::protocol::sample::SamplePoint| {
            let tree = if point.iteration == 1 { &self.first } else { &last };
            let path = tree.path(point.leaf as usize);
            Opening { lane: 0, iteration: point.iteration, leaf: point.leaf, path }
        };
        ResultDoc {
            device_reports: Vec::new(),
            machine_report: None,
            challenge_digest: self.challenge.digest(),
            commitment,
            coin,
            lanes,
            evidence,
            openings: points.into_iter().map(open).collect(),
            miner_signature: None,
        }
    }
}

#[test]
fn without_a_coin_a_ground_result_verifies_and_proves_nothing() {
    // 30 draws in the last iteration: one try in 24 is lucky.
    let grinder = Grinder::new(challenge(30));
    let number = (0..2000).find(|&number| grinder.is_lucky(number)).expect("a lucky try");
    let result = grinder.result(number, None);
    let (challenge, means) = (&grinder.challenge, CpuVerifier::new());
    let end = verify(challenge, &result, &Circumstances::default(), &means);
    let verdict = Verdict::of(&end, OmittedShare::default());
    assert_eq!((verdict.outcome, verdict.work), (Outcome::Verified, Work::NotProven));
    // A policy says no by name, even one that needs no live session.
    let mut policy = Policy::default();
    policy.session.live_required = false;
    policy.devices.cpu_allowed = true;
    let verified = end.unwrap();
    let reject = |policy: &Policy| -> Vec<&str> {
        policy.judge(&Facts::of(&verified)).rejecting().map(|reason| reason.code).collect()
    };
    assert_eq!(reject(&policy), ["soundness-too-weak"]);
    policy.session.live_required = true;
    assert_eq!(reject(&policy), ["session-required", "soundness-too-weak"]);
}

#[test]
fn without_a_coin_many_samples_leave_no_luck() {
    // 300 draws in the last iteration: a try is lucky with probability 2·10⁻¹⁴.
    let grinder = Grinder::new(challenge(300));
    assert!((0..1000).all(|number| !grinder.is_lucky(number)));
    assert_eq!(alone(&grinder.challenge, &grinder.result(0, None)), "leaf-mismatch");
    // The honest result under the same conditions.
    let honest = grinder.honest.result(cpu_evidence(&UUIDS[..1]), None, None);
    let end = verify(&grinder.challenge, &honest, &Circumstances::default(), &CpuVerifier::new());
    let verdict = Verdict::of(&end, OmittedShare::default());
    assert_eq!((verdict.outcome, verdict.work), (Outcome::Verified, Work::Proven));
}

#[test]
fn with_a_coin_all_that_luck_is_for_nothing() {
    let grinder = Grinder::new(challenge(30));
    let number = (0..2000).find(|&number| grinder.is_lucky(number)).expect("a lucky try");
    let sessions = 200;
    let escapes = (0_u64..sessions)
        .map(|session| super::drawn(&[b"drawn", &session.to_be_bytes()]))
        .filter(|&coin| {
            let result = grinder.result(number, Some(coin));
            let session = SessionRecord { commitment: result.commitment, coin };
            let record =
                IssuerRecord { nonce_spent_on: Some(session.commitment), session: Some(session) };
            let circumstances =
                Circumstances { issuer: Issuer::Record(record), ..Circumstances::default() };
            let end = verify(&grinder.challenge, &result, &circumstances, &CpuVerifier::new());
            assert!(["verified", "leaf-mismatch"].contains(&code_of(&end)));
            end.is_ok()
        })
        .count();
    // 0.9³⁰ = 0.0424 of 200 are 8.5 ± 2.9, as for a miner that did not grind.
    assert!(escapes <= 23, "{escapes} of {sessions} escaped");
}
