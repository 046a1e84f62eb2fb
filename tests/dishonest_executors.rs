//! Executors that cheat, run through the lanes and judged by the CPU verifier,
//! each beside an honest control in the same harness.
//!
//! The first part shows that each kind of cheating is seen for what it is. The
//! second counts, over many commitments and coins, how often a miner that
//! leaves out a share of the work escapes, and compares that with what
//! docs/protocol.md promises under "What a verdict may say". (The same over many
//! challenges, with stand-ins for the arithmetic, is in omissions.)

use crate::common::{cpu_evidence, spec};
use attest::executor::cpu::{CpuExecutor, CpuOptions, CpuVerifier};
use attest::executor::lanes::{Execution, RunOptions, execute};
use attest::executor::{
    Assignment, ExecError, Executor, IterationOutput, LaneFacts, Segment, Sink, SmTiles,
    TileRequest,
};
use attest::protocol::challenge::{Challenge, ChallengeSpec};
use attest::protocol::circumstances::{Circumstances, Issuer, IssuerRecord, SessionRecord};
use attest::protocol::digest::{Digest, Uuid};
use attest::protocol::evidence::Evidence;
use attest::protocol::names::{Coin, Root};
use attest::protocol::result::{LaneRoots, ResultDoc, commit};
use attest::protocol::sample::derive;
use attest::protocol::verify::{Failure, verify};
use attest::protocol::work::IterationPlace;
use attest::protocol::work::fp64_product::{Fp64Product, LeafPlace};
use attest::protocol::{chain, merkle};
use attest::reference::Oracle;
use attest::reference::oracle::Operand;
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
    lane: u32,
    shape: Fp64Product,
    method: Method,
    kept: HashMap<TileRequest, Tile>,
}

impl Executor for Miner {
    fn facts(&self) -> &LaneFacts {
        self.inner.facts()
    }

    fn begin(&mut self, assignment: &Assignment) -> Result<(), ExecError> {
        self.lane = assignment.lane;
        self.shape = assignment.work.fp64_product().expect("a run of products");
        self.inner.begin(assignment)
    }

    fn run(&mut self, segment: &Segment, sink: &mut Sink<'_>) -> Result<(), ExecError> {
        let mut state = segment.start;
        for iteration in (segment.first_iteration..).take(segment.iterations as usize) {
            let tile_roots: Vec<Digest> = (0..self.shape.tiles())
                .map(|tile| {
                    let at = IterationPlace { lane: self.lane, iteration, state };
                    let tile = TileRequest { at, tile };
                    let leaves = (self.method)(iteration, tile, &mut self.inner);
                    let root = merkle::root(&leaves).unwrap();
                    self.kept.insert(tile, leaves);
                    root
                })
                .collect();
            let root = Root::of_tree(merkle::root(&tile_roots).unwrap());
            if sink(IterationOutput { iteration, root, tile_roots: &tile_roots }).is_break() {
                return Err(ExecError::Stopped);
            }
            let sync = segment.solo_sync.and_then(|solo| solo.digest(iteration, &root));
            state = chain::step(&state, iteration, &root, sync.as_ref());
        }
        Ok(())
    }

    fn leaf_hashes(
        &mut self,
        _: &Assignment,
        tiles: &[TileRequest],
    ) -> Result<Vec<Tile>, ExecError> {
        Ok(tiles.iter().map(|tile| self.kept[tile].clone()).collect())
    }

    fn sm_tiles(&mut self) -> Result<SmTiles, ExecError> {
        self.inner.sm_tiles()
    }
}

const DIM: u32 = 128;
/// Large enough for every product that is asked for: one tile each.
const SHAPE: Fp64Product = Fp64Product { dim: DIM, products: 4096 };

fn miner(lane: u8, method: Method) -> Box<dyn Executor> {
    let inner =
        CpuExecutor::new(CpuOptions { uuid: Some(Uuid([lane; 16])), ..CpuOptions::default() });
    let shape = SHAPE;
    Box::new(Miner { inner, lane: 0, shape, method, kept: HashMap::new() })
}

fn honest() -> Method {
    Box::new(|_, tile, inner| inner.leaf_hashes(&SHAPE.into(), &[tile]).unwrap().remove(0))
}

/// A fixed stand-in for randomness.
fn arbitrary(parts: &[&[u8]]) -> u64 {
    u64::from_be_bytes(Digest::of(parts).0[..8].try_into().unwrap())
}

/// Leaves that cost nothing.
fn invented(tile: &TileRequest) -> Tile {
    let (state, product) = (&tile.at.state.0, tile.tile.to_be_bytes());
    (0..=255).map(|leaf: u8| Digest::of(&[b"invented", state, &product, &[leaf]])).collect()
}

struct Run {
    challenge: Challenge,
    execution: Execution,
}

/// m products of n = 128, T iterations, sample rate q/T.
fn challenge(products: u64, iterations: u64, rate: f64, samples: u64) -> Challenge {
    Challenge::issue(ChallengeSpec {
        work: crate::common::products(DIM.into(), products),
        num_iterations: iterations,
        sync_interval: iterations,
        verification_sample_rate: rate,
        samples_per_iteration: samples,
        ..spec()
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
    fn verdict(&mut self, attempt: u64, coin: Option<Coin>) -> &'static str {
        let lanes: Vec<LaneRoots> = (self.execution.lanes.iter())
            .map(|lane| LaneRoots { uuid: lane.facts.uuid, iteration_roots: lane.roots.clone() })
            .collect();
        let uuids: Vec<Uuid> = lanes.iter().map(|lane| lane.uuid).collect();
        let mut evidence = cpu_evidence(&uuids).value().clone();
        evidence["attempt"] = attempt.into();
        let evidence = Evidence::from_value(evidence).unwrap();
        let commitment = commit(&self.challenge, &lanes, &evidence);
        let points = derive(&self.challenge, lanes.len() as u32, &commitment, coin.as_ref());
        let result = ResultDoc {
            challenge_digest: self.challenge.digest(),
            commitment,
            coin,
            lanes,
            evidence,
            openings: self.execution.open(&points).unwrap(),
            device_reports: Vec::new(),
            machine_report: None,
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
    assert_eq!(two.verdict(0, Some(Coin::new([1; 32]).unwrap())), "verified");
}

#[test]
fn left_out_tiles_are_rejected() {
    // One tile of the two, in every iteration.
    let verdict = verdict_on(Box::new(|_, tile, inner| match tile.tile {
        0 => inner.leaf_hashes(&SHAPE.into(), &[tile]).unwrap().remove(0),
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
    with_output(move |a, b, row, column| dot(&a[row], &b[column]))
}

/// A miner with its own way to an output: of A's rows, B's columns, row, column.
fn with_output(
    output: impl Fn(&[Vec<f64>], &[Vec<f64>], usize, usize) -> f64 + Send + 'static,
) -> Method {
    Box::new(move |_, tile, _| {
        let vectors = |operand| -> Vec<Vec<f64>> {
            let element = |x, k| Oracle.element(&tile.at.state, tile.tile as u32, operand, x, k);
            (0..DIM).map(|x| (0..DIM).map(|k| element(x, k)).collect()).collect()
        };
        let (a, b) = (vectors(Operand::A), vectors(Operand::B));
        let leaf_hash = |leaf| {
            let place = LeafPlace { product: tile.tile as u32, tile_row: 0, tile_column: 0, leaf };
            let outputs = place.rows().map(|row| {
                place.columns().map(|column| output(&a, &b, row as usize, column as usize))
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
fn swapped_layouts_are_rejected() {
    let transposed =
        |a: &[Vec<f64>], b: &[Vec<f64>], row: usize, column: usize| ascending(&a[column], &b[row]);
    assert_eq!(verdict_on(with_output(transposed)), "leaf-mismatch");
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
        let leaves = honest()(
            iteration,
            TileRequest { at: IterationPlace { state: borrowed, ..tile.at }, ..tile },
            inner,
        );
        roots.push(merkle::root(&leaves).unwrap());
        if roots.len() == 2 {
            let root = Root::of_tree(merkle::root(&roots).unwrap());
            borrowed = chain::step(&borrowed, iteration, &root, None);
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
        Vary::Coin => run.verdict(0, Coin::new(Digest::of(&[b"coin", &i.to_be_bytes()]).0)),
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
        let left_out = arbitrary(&[b"tile", &tile.at.state.0]) % 10;
        if tile.tile == left_out { invented(&tile) } else { honest()(iteration, tile, inner) }
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
}
