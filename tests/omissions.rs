//! Miners that leave out work are caught as often as docs/protocol.md promises,
//! over thousands of challenges: seeds, chains, roots and samples are new in
//! every run, unlike in dishonest_executors, where one run is judged under many
//! coins and commitments.
//!
//! So many runs take stand-ins for the leaves, hashes of their places: the
//! chain, the commitment, the sampling, the paths and the verifier are the real
//! ones. Real arithmetic done wrongly is in dishonest_executors.

use crate::common::{cpu_evidence, spec};
use attest::protocol::challenge::{Challenge, ChallengeSpec};
use attest::protocol::circumstances::Circumstances;
use attest::protocol::digest::{Digest, Uuid};
use attest::protocol::names::State;
use attest::protocol::rejection::Reason;
use attest::protocol::verify::{Failure, LeafRequest, Recompute, RecomputeError, verify};
use attest::protocol::work::RunInputs;
use attest::reference::Run;
use rayon::prelude::*;

const UUIDS: [Uuid; 2] = [Uuid([1; 16]), Uuid([2; 16])];

/// Takes the hash of a leaf's place for its content.
struct StandIn;

impl StandIn {
    fn leaf(state: &State, leaf: u64) -> Digest {
        Digest::of(&[b"a leaf", &state.0, &leaf.to_be_bytes()])
    }
}

impl Recompute for StandIn {
    fn leaf_hashes(
        &self,
        _: &RunInputs<'_>,
        requests: &[LeafRequest],
    ) -> Result<Vec<Digest>, RecomputeError> {
        Ok(requests.iter().map(|request| Self::leaf(&request.at.state, request.leaf)).collect())
    }
}

/// Whether leaf `leaf` of iteration `iteration` on lane `lane` is left out in
/// the run numbered `seed`: independent for different arguments.
fn chance(seed: u32, lane: u32, iteration: u32, leaf: u64) -> f64 {
    let (a, b) = (seed.to_be_bytes(), lane.to_be_bytes());
    let hash = Digest::of(&[&a, &b, &iteration.to_be_bytes(), &leaf.to_be_bytes()]);
    f64::from(u32::from_be_bytes(hash.0[..4].try_into().unwrap())) / 4_294_967_296.0
}

/// Of `runs` runs in which `left_out` says what is missing, how many escape.
fn escapes(
    runs: u32,
    change: impl Fn(&mut ChallengeSpec) + Sync,
    left_out: impl Fn(u32, u32, u32, u64) -> bool + Sync,
) -> u32 {
    let escaped = |seed: u32| {
        let mut spec = spec();
        spec.validator_nonce.0[..4].copy_from_slice(&seed.to_be_bytes());
        change(&mut spec);
        let challenge = Challenge::issue(spec).unwrap();
        let shape = challenge.work().fp64_product().unwrap();
        let run = Run::with(&challenge, &UUIDS, |lane, iteration, state| {
            let leaf = |leaf| match left_out(seed, lane, iteration, leaf) {
                true => Digest([0xee; 32]),
                false => StandIn::leaf(state, leaf),
            };
            (0..shape.leaves()).map(leaf).collect()
        });
        let result = run.result(cpu_evidence(&UUIDS), None, None);
        match verify(&challenge, &result, &Circumstances::default(), &StandIn) {
            Ok(_) => 1,
            Err(Failure::Rejected(rejection)) => {
                assert_eq!(rejection.reason, Reason::LeafMismatch, "{rejection}");
                0
            }
            Err(fault) => panic!("{fault}"),
        }
    };
    (0..runs).into_par_iter().map(escaped).sum()
}

/// Whether `count` of `runs` fits `probability` to within five standard
/// deviations. The runs are fixed, so this passes always or never.
#[track_caller]
fn fits(count: u32, runs: u32, probability: f64) {
    let (n, p) = (f64::from(runs), probability);
    let (expected, deviation) = (n * p, (n * p * (1.0 - p)).sqrt());
    let off = (f64::from(count) - expected).abs() / deviation;
    assert!(off < 5.0, "{count} of {runs} escaped, expected {expected:.1} ± {deviation:.1}");
}

#[test]
fn honest_runs_are_never_rejected() {
    assert_eq!(escapes(200, |_| {}, |_, _, _, _| false), 200);
}

/// Spread omissions, every iteration sampled: (1−f)^(T·G·samples).
#[test]
fn a_spread_share_escapes_as_rarely_as_all_draws_say() {
    let runs = 800;
    for (share, samples) in [(0.1, 2), (0.1, 5), (0.25, 2), (0.5, 1)] {
        let change = |spec: &mut ChallengeSpec| spec.samples_per_iteration = samples;
        let out = |seed, lane, iteration, leaf| chance(seed, lane, iteration, leaf) < share;
        let draws = 2 * 2 * samples as i32;
        fits(escapes(runs, change, out), runs, (1.0 - share).powi(draws));
    }
}

/// Whole iterations made up: each is caught exactly where it is sampled.
#[test]
fn whole_iterations_escape_as_rarely_as_sampled_iterations_say() {
    let runs = 800;
    for (rate, sampled) in [(0.2, 1), (0.4, 2)] {
        let change = |spec: &mut ChallengeSpec| {
            (spec.num_iterations, spec.verification_sample_rate) = (5, rate);
            spec.samples_per_iteration = 3;
        };
        // One of five iterations on each lane.
        let out =
            |seed, lane, iteration, _| iteration == 1 + (5.0 * chance(seed, lane, 0, 0)) as u32;
        let escape = (1.0 - f64::from(sampled) / 5.0_f64).powi(2);
        assert!(escape <= 0.8_f64.powi(2 * sampled) + 1e-12, "the promise is kept");
        fits(escapes(runs, change, out), runs, escape);
    }
}

/// With every iteration sampled, a whole iteration left out never escapes.
#[test]
fn a_whole_iteration_never_escapes_a_rate_of_one() {
    let change = |spec: &mut ChallengeSpec| spec.samples_per_iteration = 1;
    assert_eq!(escapes(200, change, |_, lane, iteration, _| (lane, iteration) == (1, 2)), 0);
}

#[test]
fn one_tile_of_four_left_out() {
    let (runs, change) = (400, |spec: &mut ChallengeSpec| {
        (spec.work, spec.samples_per_iteration) = (crate::common::products(256, 1), 1);
    });
    let out = |_, _, _, leaf: u64| leaf / 256 == 2;
    fits(escapes(runs, change, out), runs, 0.75_f64.powi(4));
}
