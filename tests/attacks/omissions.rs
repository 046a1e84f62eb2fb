//! Work skippers: how many of a thousand sessions they survive, beside the bound
//! of docs/protocol.md. docs/threat-model.md quotes these numbers.
//!
//! Leaves are stand-ins, hashes of their places, as in tests/omissions.rs: chain,
//! commitment, sampling, paths and verification are the real ones. Real arithmetic would
//! take too long for this many trees. Seeds are fixed, so that each number is
//! the same in every run.

use super::{UUIDS, code_of};
use crate::common::{cpu_evidence, spec};
use attest::protocol::chain;
use attest::protocol::challenge::{Challenge, ChallengeSpec};
use attest::protocol::circumstances::Circumstances;
use attest::protocol::digest::Digest;
use attest::protocol::merkle::Tree;
use attest::protocol::names::{Root, State};
use attest::protocol::result::{LaneRoots, Opening, ResultDoc, commit};
use attest::protocol::sample::derive;
use attest::protocol::verify::{LeafRequest, Recompute, RecomputeError, verify};
use attest::protocol::work::RunInputs;
use rayon::prelude::*;

const THREAT_MODEL: &str = include_str!("../../docs/threat-model.md");

/// Challenges of a case, and coins for each.
const SEEDS: u64 = 100;
const COINS: u64 = 10;

/// Takes the hash of a leaf's place for its content.
struct StandIn;

fn stand_in(state: &State, leaf: u64) -> Digest {
    Digest::of(&[b"a leaf", &state.0, &leaf.to_be_bytes()])
}

impl Recompute for StandIn {
    fn leaf_hashes(
        &self,
        _: &RunInputs<'_>,
        requests: &[LeafRequest],
    ) -> Result<Vec<Digest>, RecomputeError> {
        Ok(requests.iter().map(|request| stand_in(&request.at.state, request.leaf)).collect())
    }
}

/// A way to leave out work.
struct Case {
    what: &'static str,
    /// One leaf, or one iteration, of this many is left out.
    one_of: u64,
    /// Products of an iteration (m).
    products: u64,
    /// T, of which this many are sampled.
    iterations: (u64, u64),
    samples: u64,
}

impl Case {
    fn challenge(&self, seed: u64) -> Challenge {
        let mut nonce = [0; 32];
        nonce[..8].copy_from_slice(&seed.to_be_bytes());
        let (iterations, sampled) = self.iterations;
        Challenge::issue(ChallengeSpec {
            validator_nonce: Digest(nonce),
            work: crate::common::products(128, self.products),
            num_iterations: iterations,
            sync_interval: iterations,
            verification_sample_rate: sampled as f64 / iterations as f64,
            samples_per_iteration: self.samples,
            ..spec()
        })
        .unwrap()
    }

    fn is_whole(&self) -> bool {
        self.iterations.0 != self.iterations.1
    }

    /// Exactly one of `one_of` is left out; which one depends on the seed.
    fn leaves_out(&self, seed: u64, iteration: u32, leaf: u64) -> bool {
        let number = if self.is_whole() { u64::from(iteration) } else { leaf };
        (number + seed + u64::from(!self.is_whole()) * u64::from(iteration))
            .is_multiple_of(self.one_of)
    }

    fn share(&self) -> f64 {
        1.0 / self.one_of as f64
    }

    /// What docs/protocol.md promises: (1−f) to the number of counted draws.
    fn bound(&self) -> f64 {
        let draws = if self.is_whole() { self.iterations.1 } else { self.draws() };
        (1.0 - self.share()).powi(draws as i32)
    }

    fn draws(&self) -> u64 {
        self.iterations.1 * self.samples
    }

    /// How likely this way of cheating does escape: draws of leaves repeat, draws
    /// of iterations don't.
    fn exact(&self) -> f64 {
        if !self.is_whole() {
            return self.bound();
        }
        let (all, sampled) = self.iterations;
        let kept = all - all / self.one_of;
        (0..sampled).map(|i| kept.saturating_sub(i) as f64 / (all - i) as f64).product()
    }

    /// Escapes among the coins of one run; `skips` is false for the honest one.
    fn escapes(&self, seed: u64, skips: bool) -> u64 {
        let challenge = self.challenge(seed);
        let (c, shape) = (challenge.digest(), challenge.work().fp64_product().unwrap());
        let mut state = chain::lane_seed(&c, 0, &UUIDS[0]);
        let trees: Vec<Tree> = (1..=challenge.iterations())
            .map(|iteration| {
                let leaf = |leaf| match skips && self.leaves_out(seed, iteration, leaf) {
                    true => Digest([0xee; 32]),
                    false => stand_in(&state, leaf),
                };
                let tree = Tree::over(&(0..shape.leaves()).map(leaf).collect::<Vec<_>>());
                // The only sync point is after the last iteration.
                state = chain::step(&state, iteration, &Root::of_tree(tree.root().unwrap()), None);
                tree
            })
            .collect();
        let iteration_roots =
            trees.iter().map(|tree| Root::of_tree(tree.root().unwrap())).collect();
        let lanes = vec![LaneRoots { uuid: UUIDS[0], iteration_roots }];
        let evidence = cpu_evidence(&UUIDS[..1]);
        let commitment = commit(&challenge, &lanes, &evidence);
        let coins = (0..COINS)
            .map(|coin| super::drawn(&[b"coin", &seed.to_be_bytes(), &coin.to_be_bytes()]));
        let verdicts = coins.map(|coin| {
            let open = |point: attest::protocol::sample::SamplePoint| Opening {
                lane: point.lane,
                iteration: point.iteration,
                leaf: point.leaf,
                path: trees[point.iteration as usize - 1].path(point.leaf as usize),
            };
            let points = derive(&challenge, 1, &commitment, Some(&coin));
            let result = ResultDoc {
                device_reports: Vec::new(),
                machine_report: None,
                challenge_digest: c,
                commitment,
                coin: Some(coin),
                lanes: lanes.clone(),
                evidence: evidence.clone(),
                openings: points.into_iter().map(open).collect(),
                miner_signature: None,
            };
            code_of(&verify(&challenge, &result, &Circumstances::default(), &StandIn))
        });
        let escapes = verdicts.filter(|&code| {
            assert!(["verified", "leaf-mismatch"].contains(&code), "{code}");
            code == "verified"
        });
        escapes.count() as u64
    }

    /// The row of docs/threat-model.md.
    fn row(&self, escapes: u64) -> String {
        let (iterations, sampled) = self.iterations;
        let samples = match self.is_whole() {
            true => format!("{sampled} iterations of {iterations}"),
            false => format!("{} leaves of {}", self.draws(), 256 * self.products * iterations),
        };
        format!(
            "| {} % | {} | {samples} | {:.4} | {:.4} | {escapes} of {} |",
            100.0 * self.share(),
            self.what,
            self.bound(),
            self.exact(),
            SEEDS * COINS
        )
    }
}

const SPREAD: &str = "spread";
const WHOLE: &str = "whole iterations";

/// f is 50 %, 10 % and 1 %, both ways.
#[rustfmt::skip]
const CASES: [Case; 6] = [
    Case { what: SPREAD, one_of: 2, products: 1, iterations: (2, 2), samples: 2 },
    Case { what: WHOLE, one_of: 2, products: 1, iterations: (10, 4), samples: 1 },
    Case { what: SPREAD, one_of: 10, products: 5, iterations: (2, 2), samples: 8 },
    Case { what: WHOLE, one_of: 10, products: 1, iterations: (20, 8), samples: 1 },
    Case { what: SPREAD, one_of: 100, products: 25, iterations: (2, 2), samples: 80 },
    Case { what: WHOLE, one_of: 100, products: 1, iterations: (100, 40), samples: 1 },
];

#[test]
fn skippers_are_caught_as_often_as_the_bound_says() {
    let missing: Vec<String> = CASES
        .iter()
        .filter_map(|case| {
            let escapes: u64 =
                (0..SEEDS).into_par_iter().map(|seed| case.escapes(seed, true)).sum();
            let tries = (SEEDS * COINS) as f64;
            let margin = |p: f64| 5.0 * (tries * p * (1.0 - p)).sqrt();
            let (bound, exact) = (case.bound(), case.exact());
            assert!(exact <= bound + 1e-12, "the promise is below {exact}");
            let row = case.row(escapes);
            let escapes = escapes as f64;
            assert!(escapes <= tries * bound + margin(bound), "more than promised: {row}");
            assert!((escapes - tries * exact).abs() <= margin(exact), "not as expected: {row}");
            (!THREAT_MODEL.contains(&row)).then_some(row)
        })
        .collect();
    assert!(missing.is_empty(), "docs/threat-model.md lacks:\n{}", missing.join("\n"));
}

#[test]
fn who_leaves_out_nothing_always_passes() {
    for case in &CASES {
        assert_eq!((0..5).map(|seed| case.escapes(seed, false)).sum::<u64>(), 5 * COINS);
    }
}
