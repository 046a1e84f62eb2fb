<<<<<<< HEAD
//! Miners that cheat, each beside an honest control in the same harness.
//!
//! The first part shows that each kind of cheating is seen for what it is. The
//! second counts, over many commitments and coins, how often a miner that
//! leaves out a share of the work escapes, and compares that with what
//! docs/protocol.md promises under "What a verdict may say".

use attest::executor::cpu::{CpuExecutor, CpuOptions, CpuVerifier};
use attest::executor::lanes::{Execution, RunOptions, execute};
use attest::executor::{
    ExecError, Executor, IterationOutput, LaneFacts, Segment, Sink, SmTiles, TileRequest,
};
use attest::protocol::challenge::{Challenge, ChallengeSpec};
use attest::protocol::circumstances::{Circumstances, Issuer, IssuerRecord, SessionRecord};
use attest::protocol::digest::{Digest, Uuid};
use attest::protocol::evidence::Evidence;
use attest::protocol::plan::{LeafPlace, Shape};
use attest::protocol::sample::derive;
use attest::protocol::transcript::{LaneRoots, ResultDoc, commit};
use attest::protocol::verify::{Failure, verify};
use attest::protocol::{chain, merkle};
use attest::reference::{Operand, Oracle};
use std::collections::HashMap;

/// What a miner hands in for the leaves of one tile.
type Tile = Vec<Digest>;

/// How a miner comes by the leaves of a tile: iteration, the state it should
/// work from and the tile, and an honest executor.
type Method = Box<dyn FnMut(u32, TileRequest, &mut CpuExecutor) -> Tile + Send>;

/// A miner whose chain, commitment and openings are all consistent: only the
/// leaves themselves come from `method`. After the run it opens what it
/// committed to.
struct Miner {
    inner: CpuExecutor,
    shape: Shape,
    method: Method,
    kept: HashMap<TileRequest, Tile>,
}

impl Executor for Miner {
    fn facts(&self) -> &LaneFacts {
        self.inner.facts()
    }

    fn begin(&mut self, shape: Shape) -> Result<(), ExecError> {
        self.shape = shape;
        self.inner.begin(shape)
    }

    fn run(&mut self, segment: &Segment, sink: &mut Sink<'_>) -> Result<(), ExecError> {
        let mut state = segment.start;
        for iteration in (segment.first_iteration..).take(segment.iterations as usize) {
            let tile_roots: Vec<Digest> = (0..self.shape.tiles())
                .map(|tile| {
                    let LeafPlace { product, tile_row, tile_column, .. } =
                        LeafPlace::of(self.shape, 256 * tile);
                    let tile = TileRequest { state, product, tile_row, tile_column };
                    let leaves = (self.method)(iteration, tile, &mut self.inner);
                    let root = merkle::root(&leaves).unwrap();
                    self.kept.insert(tile, leaves);
                    root
                })
                .collect();
            let root = merkle::root(&tile_roots).unwrap();
            if sink(IterationOutput { iteration, root, tile_roots: &tile_roots }).is_break() {
                return Err(ExecError::Stopped);
            }
            let sync = segment.solo_sync.filter(|solo| iteration.is_multiple_of(solo.interval));
            let sync = sync.map(|solo| chain::sync_digest(&solo.challenge, iteration, &[root]));
            state = chain::step(&state, iteration, &root, sync.as_ref());
        }
        Ok(())
    }

    fn tile_leaf_hashes(
        &mut self,
        _dim: u32,
        tiles: &[TileRequest],
    ) -> Result<Vec<Tile>, ExecError> {
        Ok(tiles.iter().map(|tile| self.kept[tile].clone()).collect())
    }

    fn sm_tiles(&mut self) -> Result<SmTiles, ExecError> {
        self.inner.sm_tiles()
    }
}

const DIM: u32 = 128;

fn miner(lane: u8, method: Method) -> Box<dyn Executor> {
    let inner = CpuExecutor::new(CpuOptions { uuid: Some(Uuid([lane; 16])) });
    let shape = Shape { dim: DIM, products: 1 };
    Box::new(Miner { inner, shape, method, kept: HashMap::new() })
}

fn honest() -> Method {
    Box::new(|_, tile, inner| inner.tile_leaf_hashes(DIM, &[tile]).unwrap().remove(0))
}

/// A fixed stand-in for randomness.
fn arbitrary(parts: &[&[u8]]) -> u64 {
    u64::from_be_bytes(Digest::of(parts).0[..8].try_into().unwrap())
}

/// Leaves that cost nothing.
fn invented(tile: &TileRequest) -> Tile {
    let (state, product) = (&tile.state.0, tile.product.to_be_bytes());
    (0..=255).map(|leaf: u8| Digest::of(&[b"invented", state, &product, &[leaf]])).collect()
}

struct Run {
    challenge: Challenge,
    execution: Execution,
}

/// m products of n = 128, T iterations, sample rate q/T.
fn challenge(products: u64, iterations: u64, rate: f64, samples: u64) -> Challenge {
    Challenge::issue(ChallengeSpec {
        version: 1,
        challenge_type: "matrix_multiplication_pow".into(),
        gpu_pow_seed: Digest([5; 32]),
        validator_nonce: Digest([6; 32]),
        matrix_dim: DIM.into(),
        num_matrices: products,
        num_iterations: iterations,
        sync_interval: iterations,
        verification_sample_rate: rate,
        samples_per_iteration: samples,
        issued_at: "2026-11-22T00:00:00Z".into(),
        expires_at: "2026-11-22T01:00:00Z".into(),
        gpu_count: None,
        gpu_model: None,
        min_memory_bytes: None,
        max_duration_ms: None,
        min_sm_utilization: None,
        miner_id: None,
        validator_id: None,
    })
    .unwrap()
}

impl Run {
    /// One lane a method.
    fn of(challenge: Challenge, methods: Vec<Method>) -> Self {
        let miners = methods.into_iter().zip(1..).map(|(method, lane)| miner(lane, method));
        let execution =
            execute(&challenge, miners.collect(), &RunOptions::default(), &|_| ()).unwrap();
        Self { challenge, execution }
    }

    /// The verdict's code, "verified" if it stands. Each `attempt` is another
    /// commitment to the same work; `coin` makes it a live session.
    fn verdict(&mut self, attempt: u64, coin: Option<Digest>) -> &'static str {
        let lanes: Vec<LaneRoots> = (self.execution.lanes.iter())
            .map(|lane| LaneRoots { uuid: lane.facts.uuid, iteration_roots: lane.roots.clone() })
            .collect();
        let claims: Vec<_> = (lanes.iter())
            .map(|lane| {
                serde_json::json!({
                    "uuid": lane.uuid, "model": "a CPU", "memory_bytes": 0, "sm_count": 0,
                    "sm_tiles": [],
                })
            })
            .collect();
        let evidence = Evidence::from_value(serde_json::json!({
            "schema": 1, "executor": "cpu", "lanes": claims, "attempt": attempt,
        }))
        .unwrap();
        let commitment = commit(&self.challenge, &lanes, &evidence);
        let points =
            derive(&self.challenge, lanes.len() as u32, &commitment, &coin.unwrap_or_default());
        let result = ResultDoc {
            challenge_digest: self.challenge.digest(),
            commitment,
            coin,
            lanes,
            evidence,
            openings: self.execution.open(&points).unwrap(),
            miner_signature: None,
        };
        let session = coin.map(|coin| SessionRecord { commitment, coin });
        let nonce_spent_on = session.as_ref().map(|session| session.commitment);
        let issuer = Issuer::Record(IssuerRecord { nonce_spent_on, session });
        let circumstances = Circumstances { issuer, ..Circumstances::default() };
        match verify(&self.challenge, &result, &circumstances, &CpuVerifier::new()) {
            Ok(_) => "verified",
            Err(Failure::Rejected(rejection)) => rejection.code(),
            Err(failure) => panic!("{failure}"),
        }
    }
}

// Kinds of cheating.

/// The verdict on one lane that uses `method`, every iteration sampled.
fn verdict_on(method: Method) -> &'static str {
    Run::of(challenge(2, 4, 1.0, 8), vec![method]).verdict(0, None)
}

#[test]
fn honest_work_is_verified() {
    assert_eq!(verdict_on(honest()), "verified");
    let mut two = Run::of(challenge(2, 4, 0.5, 8), vec![honest(), honest()]);
    assert_eq!(two.verdict(0, Some(Digest([1; 32]))), "verified");
}

#[test]
fn left_out_tiles_are_rejected() {
    // One tile of the two, in every iteration.
    let verdict = verdict_on(Box::new(|_, tile, inner| match tile.product {
        0 => inner.tile_leaf_hashes(DIM, &[tile]).unwrap().remove(0),
        _ => invented(&tile),
    }));
    assert_eq!(verdict, "leaf-mismatch");
}

#[test]
fn random_bytes_for_a_whole_iteration_are_rejected() {
    for skipped in 1..=4 {
        let verdict = verdict_on(Box::new(move |iteration, tile, inner| {
            if iteration == skipped { invented(&tile) } else { honest()(iteration, tile, inner) }
        }));
        assert_eq!(verdict, "leaf-mismatch", "iteration {skipped}");
    }
}

/// A miner that does all the work with its own way to add up products.
fn with_dot(dot: fn(&[f64], &[f64]) -> f64) -> Method {
    Box::new(move |_, tile, _| {
        let vectors = |operand| -> Vec<Vec<f64>> {
            let element = |x, k| Oracle.element(&tile.state, tile.product, operand, x, k);
            (0..DIM).map(|x| (0..DIM).map(|k| element(x, k)).collect()).collect()
        };
        let (a, b) = (vectors(Operand::A), vectors(Operand::B));
        let leaf_hash = |leaf| {
            let place = LeafPlace { product: tile.product, tile_row: 0, tile_column: 0, leaf };
            let outputs = place.rows().map(|row| {
                place.columns().map(|column| dot(&a[row as usize], &b[column as usize]))
            });
            let bytes = outputs.as_flattened().iter().flat_map(|x| x.to_bits().to_be_bytes());
            merkle::leaf_hash(&bytes.collect::<Vec<u8>>())
        };
        (0..256).map(leaf_hash).collect()
    })
}

fn ascending(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).fold(0.0, |sum, (a, b)| a.mul_add(*b, sum))
}

#[test]
fn the_ordered_chain_is_verified() {
    assert_eq!(verdict_on(with_dot(ascending)), "verified");
}

#[test]
fn another_order_is_rejected() {
    let descending =
        |a: &[f64], b: &[f64]| a.iter().zip(b).rev().fold(0.0, |sum, (a, b)| a.mul_add(*b, sum));
    // What a blocked or split-k product does.
    let halves = |a: &[f64], b: &[f64]| {
        let middle = a.len() / 2;
        ascending(&a[..middle], &b[..middle]) + ascending(&a[middle..], &b[middle..])
    };
    // What a CPU without fused multiply-adds does.
    let unfused = |a: &[f64], b: &[f64]| a.iter().zip(b).fold(0.0, |sum, (a, b)| sum + a * b);
    assert_eq!(verdict_on(with_dot(descending)), "leaf-mismatch");
    assert_eq!(verdict_on(with_dot(halves)), "leaf-mismatch");
    assert_eq!(verdict_on(with_dot(unfused)), "leaf-mismatch");
}

#[test]
fn lower_precision_is_rejected() {
    let single = |a: &[f64], b: &[f64]| {
        let sum = a.iter().zip(b).fold(0.0, |sum, (a, b)| (*a as f32).mul_add(*b as f32, sum));
        f64::from(sum)
    };
    // Operands of 24 bits: products are exact, sums are kept in full.
    let short_operands = |a: &[f64], b: &[f64]| {
        let short = |x: &f64| f64::from(*x as f32);
        a.iter().zip(b).fold(0.0, |sum, (a, b)| short(a).mul_add(short(b), sum))
    };
    assert_eq!(verdict_on(with_dot(single)), "leaf-mismatch");
    assert_eq!(verdict_on(with_dot(short_operands)), "leaf-mismatch");
}

#[test]
fn another_lanes_roots_are_rejected() {
    // Lane 1 repeats what lane 0 does: it walks lane 0's chain for its work, and
    // its own only for show. (All sync points are at the end.)
    let challenge = challenge(2, 4, 1.0, 8);
    let mut borrowed = chain::lane_seed(&challenge.digest(), 0, &Uuid([1; 16]));
    let mut roots = Vec::new();
    let repeat: Method = Box::new(move |iteration, tile, inner| {
        let leaves = honest()(iteration, TileRequest { state: borrowed, ..tile }, inner);
        roots.push(merkle::root(&leaves).unwrap());
        if roots.len() == 2 {
            borrowed = chain::step(&borrowed, iteration, &merkle::root(&roots).unwrap(), None);
            roots.clear();
        }
        leaves
    });
    let mut run = Run::of(challenge, vec![honest(), repeat]);
    assert_eq!(run.execution.lanes[0].roots, run.execution.lanes[1].roots);
    assert_eq!(run.verdict(0, None), "leaf-mismatch");
}

// How often a miner that leaves out a share of the work escapes.

/// Verdicts per case.
const TRIES: u64 = 1500;

/// What varies from try to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Vary {
    /// The validator's coin, in a live session.
    Coin,
    /// The commitment: a miner that tries again and again before it hands in.
    Commitment,
}

/// Escapes among [`TRIES`] verdicts; every other verdict names the leaves.
fn escapes(run: &mut Run, vary: Vary) -> u64 {
    let verdicts = (0..TRIES).map(|i| match vary {
        Vary::Coin => run.verdict(0, Some(Digest::of(&[b"coin", &i.to_be_bytes()]))),
        Vary::Commitment => run.verdict(i, None),
    });
    let escapes = verdicts.filter(|&code| {
        assert!(["verified", "leaf-mismatch"].contains(&code), "{code}");
        code == "verified"
    });
    escapes.count() as u64
}

/// Five standard deviations of the number of escapes at `probability`.
fn margin(probability: f64) -> f64 {
    5.0 * (TRIES as f64 * probability * (1.0 - probability)).sqrt()
}

/// Checks a count of escapes against the promised bound from above, and
/// against the exact probability of this way of cheating from both sides.
fn check(what: &str, escapes: u64, bound: f64, exact: f64) {
    assert!(exact <= bound + 1e-12, "{what}: the bound {bound} is below {exact}");
    let (escapes, tries) = (escapes as f64, TRIES as f64);
    assert!(
        escapes <= tries * bound + margin(bound),
        "{what}: {escapes} of {tries} escaped, promised are {}",
        tries * bound
    );
    assert!(
        (escapes - tries * exact).abs() <= margin(exact),
        "{what}: {escapes} of {tries} escaped, expected are {}",
        tries * exact
    );
}

/// Ways to choose `chosen` of `all`.
fn choose(all: u64, chosen: u64) -> f64 {
    (0..chosen).fold(1.0, |ways, i| ways * (all - i) as f64 / (i + 1) as f64)
}

/// Leaves out one tile of ten, another one in each iteration.
fn spread() -> Method {
    Box::new(|iteration, tile, inner| {
        let left_out = arbitrary(&[b"tile", &tile.state.0]) % 10;
        if u64::from(tile.product) == left_out {
            invented(&tile)
        } else {
            honest()(iteration, tile, inner)
        }
    })
}

/// Leaves out the given iterations.
fn without(iterations: &'static [u32]) -> Method {
    Box::new(move |iteration, tile, inner| {
        if iterations.contains(&iteration) {
            invented(&tile)
        } else {
            honest()(iteration, tile, inner)
        }
    })
}

#[test]
fn spread_omissions_escape_as_rarely_as_promised() {
    // A tenth of the leaves, every iteration sampled: (1−f)^(T·G·samples), and
    // this way of cheating attains it.
    for vary in [Vary::Coin, Vary::Commitment] {
        let mut run = Run::of(challenge(10, 5, 1.0, 2), vec![spread()]);
        let promised = 0.9_f64.powi(5 * 2);
        check(&format!("one lane, {vary:?}"), escapes(&mut run, vary), promised, promised);
    }
    let mut run = Run::of(challenge(10, 3, 1.0, 2), vec![spread(), spread()]);
    let promised = 0.9_f64.powi(3 * 2 * 2);
    check("two lanes", escapes(&mut run, Vary::Coin), promised, promised);

    // Fewer iterations sampled: the promise is (1−f)^(q·G) only, and this way
    // of cheating does worse.
    let mut run = Run::of(challenge(10, 8, 0.25, 3), vec![spread()]);
    let escapes = escapes(&mut run, Vary::Coin);
    check("two iterations of eight", escapes, 0.9_f64.powi(2), 0.9_f64.powi(2 * 3));
}

#[test]
fn whole_iteration_omissions_escape_as_rarely_as_promised() {
    // 4 of 20 left out, 5 of 20 sampled: the promise is (1−f)^q, and drawing
    // without repetition does a little better.
    for vary in [Vary::Coin, Vary::Commitment] {
        let mut run = Run::of(challenge(1, 20, 0.25, 3), vec![without(&[2, 3, 11, 20])]);
        let exact = choose(16, 5) / choose(20, 5);
        let what = format!("one lane, {vary:?}");
        check(&what, escapes(&mut run, vary), 0.8_f64.powi(5), exact);
    }
    // The same share on each of two lanes, at different places: (1−f)^(q·G).
    let methods = vec![without(&[1, 4]), without(&[7, 10])];
    let mut run = Run::of(challenge(1, 10, 0.3, 2), methods);
    let exact = (choose(8, 3) / choose(10, 3)).powi(2);
    check("two lanes", escapes(&mut run, Vary::Coin), 0.8_f64.powi(6), exact);

    // Every iteration sampled: one left out of twenty never escapes.
    let mut run = Run::of(challenge(1, 20, 1.0, 1), vec![without(&[13])]);
    assert_eq!(escapes(&mut run, Vary::Coin), 0);
}

#[test]
fn honest_work_never_fails() {
    let mut run = Run::of(challenge(3, 8, 0.5, 3), vec![honest(), honest()]);
    assert_eq!(escapes(&mut run, Vary::Coin), TRIES);
    assert_eq!(escapes(&mut run, Vary::Commitment), TRIES);
=======
//! Miners that leave out work are caught as often as docs/protocol.md promises.
//!
//! The statistics need thousands of runs, so leaves are stood in for by hashes
//! of their places: the chain, the commitment, the sampling, the paths and the
//! verifier are the real ones. Real arithmetic done wrongly is tested apart.

mod common;

use attest::protocol::challenge::{Challenge, ChallengeSpec};
use attest::protocol::circumstances::Circumstances;
use attest::protocol::digest::{Digest, Uuid};
use attest::protocol::merkle::leaf_hash;
use attest::protocol::plan::LeafPlace;
use attest::protocol::rejection::Reason;
use attest::protocol::verify::{Failure, LeafRequest, Recompute, RecomputeError, verify};
use attest::reference::oracle::Operand;
use attest::reference::{Oracle, Run};
use common::{cpu_evidence, spec};
use rayon::prelude::*;

const UUIDS: [Uuid; 2] = [Uuid([1; 16]), Uuid([2; 16])];

/// Takes the hash of a leaf's place for its content.
struct StandIn;

impl StandIn {
    fn leaf(state: &Digest, place: LeafPlace) -> Digest {
        let place = [place.product, place.tile_row, place.tile_column, place.leaf];
        let place: Vec<u8> = place.iter().flat_map(|n| n.to_be_bytes()).collect();
        Digest::of(&[b"a leaf", &state.0, &place])
    }
}

impl Recompute for StandIn {
    fn leaf_hashes(
        &self,
        _dim: u32,
        requests: &[LeafRequest],
    ) -> Result<Vec<Digest>, RecomputeError> {
        Ok(requests.iter().map(|request| Self::leaf(&request.state, request.place)).collect())
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
        let shape = challenge.shape();
        let run = Run::with(&challenge, &UUIDS, |lane, iteration, state| {
            let leaf = |leaf| match left_out(seed, lane, iteration, leaf) {
                true => Digest([0xee; 32]),
                false => StandIn::leaf(state, LeafPlace::of(shape, leaf)),
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
        (spec.matrix_dim, spec.samples_per_iteration) = (256, 1);
    });
    let out = |_, _, _, leaf: u64| leaf / 256 == 2;
    fits(escapes(runs, change, out), runs, 0.75_f64.powi(4));
}

/// Leaves of real products, computed by `output` for state, row and column.
fn wrong_work(output: impl Fn(&Digest, u32, u32) -> f64 + Sync) -> Result<(), Failure> {
    let mut spec = spec();
    (spec.num_iterations, spec.samples_per_iteration) = (1, 8);
    let challenge = Challenge::issue(spec).unwrap();
    let shape = challenge.shape();
    let run = Run::with(&challenge, &UUIDS[..1], |_, _, state| {
        let leaf = |index| {
            let place = LeafPlace::of(shape, index);
            let bytes: Vec<u8> = place
                .rows()
                .iter()
                .flat_map(|&row| place.columns().map(|column| (row, column)))
                .flat_map(|(row, column)| output(state, row, column).to_be_bytes())
                .collect();
            leaf_hash(&bytes)
        };
        (0..shape.leaves()).into_par_iter().map(leaf).collect()
    });
    let result = run.result(cpu_evidence(&UUIDS[..1]), None, None);
    verify(&challenge, &result, &Circumstances::default(), &Oracle).map(drop)
}

/// The factors of one output, in the order of k.
fn factors(state: &Digest, row: u32, column: u32) -> Vec<(f64, f64)> {
    let element = |operand, vector, k| Oracle.element(state, 0, operand, vector, k);
    (0..128).map(|k| (element(Operand::A, row, k), element(Operand::B, column, k))).collect()
}

#[track_caller]
fn caught(end: Result<(), Failure>) {
    match end {
        Err(Failure::Rejected(rejection)) => {
            assert_eq!(rejection.reason, Reason::LeafMismatch, "{rejection}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_right_order_and_precision_is_accepted() {
    let fused = |c: f64, (a, b): (f64, f64)| a.mul_add(b, c);
    wrong_work(|state, row, column| factors(state, row, column).into_iter().fold(0.0, fused))
        .unwrap();
}

#[test]
fn another_order_is_caught() {
    let fused = |c: f64, (a, b): (f64, f64)| a.mul_add(b, c);
    // Descending.
    caught(wrong_work(|state, row, column| {
        factors(state, row, column).into_iter().rev().fold(0.0, fused)
    }));
    // Two halves, added at the end, as a split over k would.
    caught(wrong_work(|state, row, column| {
        let all = factors(state, row, column);
        let half = |part: &[(f64, f64)]| part.iter().copied().fold(0.0, fused);
        half(&all[..64]) + half(&all[64..])
    }));
}

#[test]
fn rounding_twice_is_caught() {
    caught(wrong_work(|state, row, column| {
        factors(state, row, column).into_iter().fold(0.0, |c, (a, b)| a * b + c)
    }));
}

#[test]
fn lower_precision_is_caught() {
    caught(wrong_work(|state, row, column| {
        let single = |c: f32, (a, b): (f64, f64)| (a as f32).mul_add(b as f32, c);
        f64::from(factors(state, row, column).into_iter().fold(0.0, single))
    }));
}

#[test]
fn the_other_operands_layout_is_caught() {
    let fused = |c: f64, (a, b): (f64, f64)| a.mul_add(b, c);
    caught(wrong_work(|state, row, column| {
        factors(state, column, row).into_iter().fold(0.0, fused)
    }));
}

/// A second lane that hands in the first one's leaves did no work of its own.
#[test]
fn another_lanes_leaves_are_caught() {
    let challenge = Challenge::issue(spec()).unwrap();
    let shape = challenge.shape();
    let mut first_lane = Vec::new();
    let run = Run::with(&challenge, &UUIDS, |lane, _, state| {
        if lane == 0 {
            first_lane = Oracle.iteration_leaves(shape, state);
        }
        first_lane.clone()
    });
    let result = run.result(cpu_evidence(&UUIDS), None, None);
    caught(verify(&challenge, &result, &Circumstances::default(), &Oracle).map(drop));
>>>>>>> protocol
}
