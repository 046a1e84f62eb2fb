//! Vector files: numbers made by independent programs from docs/protocol.md,
//! checked field by field against an executor.
//!
//! A file holds one complete run (challenge, seeds, states, evidence, samples, one leaf,
//! result), a list of draws or a list of folds; [`check_json`] tells them apart. The formats are described in docs/protocol.md, "Vector files".
//!
//! Guarantees: every field of the file is compared with a value computed here,
//! and a field that this module doesn't know is an error, so that nothing goes
//! unchecked unnoticed.
//! Deliberately lacks: clocks. The challenges of vector files have expired.

use super::fold::FoldsVector;
use super::lanes::LaneExecutors;
use super::replay::{Replay, replay};
use crate::executor::ExecError;
use crate::protocol::challenge::{Challenge, ChallengeError};
use crate::protocol::circumstances::Circumstances;
use crate::protocol::digest::Digest;
use crate::protocol::names::{Coin, Root, State};
use crate::protocol::result::{LaneRoots, ReadError, ResultDoc, commit};
use crate::protocol::sample::{Draws, derive};
use crate::protocol::verify::{Failure, RecomputeError, verify};
use crate::protocol::work::Work;
use crate::protocol::work::fp64_product::{Fp64Product, LeafPlace};
use crate::protocol::work::integer_product::IntegerProduct;
use crate::protocol::work::memory_residency::MemoryResidency;
use crate::reference::{IntegerOracle, MemoryOracle, Oracle};
use crate::work::memory_residency::cpu::MemoryCpu;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use std::fmt::Debug;
use std::io::Read;
use std::path::Path;

/// Longest vector file that is read, bytes.
pub const FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// What was checked in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// A complete run.
    Run {
        /// Number of lanes.
        lanes: usize,
        /// Number of iterations.
        iterations: u32,
        /// The work of each iteration.
        work: Work,
        /// Leaves opened.
        openings: usize,
    },
    /// A list of draws.
    Draws {
        /// Streams compared.
        lanes: usize,
        /// Draws compared, over all streams.
        draws: usize,
    },
    /// A list of folds.
    Folds {
        /// How many.
        folds: usize,
    },
}

/// Why a file did not check.
#[derive(Debug, thiserror::Error)]
pub enum VectorError {
    /// It could not be read.
    #[error("reading {path} failed: {cause}\nCheck the path and its permissions.")]
    Io {
        /// Which file.
        path: String,
        /// The system's words.
        cause: std::io::Error,
    },
    /// It is not a vector file.
    #[error("this is not a vector file: {cause}\nVector files are described in docs/protocol.md.")]
    Malformed {
        /// The parser's words.
        cause: String,
    },
    /// Its challenge is invalid.
    #[error("the vector's challenge is invalid: {0}")]
    Challenge(#[from] ChallengeError),
    /// Its result could not be read.
    #[error("the vector's result is invalid: {0}")]
    Result(#[from] ReadError),
    /// Its result does not verify.
    #[error("the vector's result does not verify: {0}")]
    Verify(#[from] Failure),
    /// Something that only the host computes could not be.
    #[error("{cause}")]
    Recompute {
        /// What happened, and what to try.
        cause: String,
    },
    /// The executor failed.
    #[error(transparent)]
    Executor(#[from] ExecError),
    /// A field differs from what was computed.
    #[error(
        "{count} of {total} entries of {field} differ; first {at}: the file has {file}, computed is {computed}\nEither the file or this executor is wrong: check the file on another executor."
    )]
    Mismatch {
        /// The field that differs.
        field: &'static str,
        /// How many entries differ.
        count: usize,
        /// Of how many.
        total: usize,
        /// Coordinate of the first.
        at: String,
        /// The file's value there.
        file: String,
        /// The computed value there.
        computed: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RunVector {
    challenge: String,
    challenge_digest: Digest,
    lane_seeds: Vec<State>,
    states: Vec<Vec<State>>,
    evidence_canonical: String,
    evidence_digest: Digest,
    /// 64 zeros outside a live session.
    coin: Digest,
    samples: Vec<(u32, u32, u64)>,
    lane0_iteration1_leaf5: LeafVector,
    /// Of memory residency alone.
    #[serde(default, deserialize_with = "given")]
    block5: Option<Digest>,
    result: Value,
}

/// A field that may be left out and is never null.
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LeafVector {
    message: String,
    hash: Digest,
    /// Of FP64 products alone.
    #[serde(default, deserialize_with = "given")]
    value_0_0: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DrawsVector {
    sigma: Digest,
    bounds: Vec<String>,
    lanes: Vec<DrawsLane>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DrawsLane {
    lane: u32,
    draws: Vec<String>,
    words_taken: u64,
}

/// A file that has the form of a vector file. Nothing that it says is checked yet.
#[derive(Clone, Debug)]
pub struct VectorFile {
    name: String,
    json: Vec<u8>,
    suits_oracle: bool,
    is_of_integers: bool,
}

impl VectorFile {
    /// Reads the file at `path`, once: it may be a pipe.
    ///
    /// # Errors
    /// [`VectorError::Io`], [`VectorError::Malformed`].
    pub fn read(path: &Path) -> Result<Self, VectorError> {
        let io = |cause| VectorError::Io { path: path.display().to_string(), cause };
        let malformed = |cause: String| VectorError::Malformed {
            cause: format!("{}: {cause}", path.display()),
        };
        let mut json = Vec::new();
        let file = std::fs::File::open(path).map_err(io)?;
        file.take(FILE_BYTES_MAX + 1).read_to_end(&mut json).map_err(io)?;
        if json.len() as u64 > FILE_BYTES_MAX {
            return Err(malformed(format!("more than {FILE_BYTES_MAX} bytes")));
        }
        let vector = Vector::parse(&json).map_err(|error| malformed(error.to_string()))?;
        let (suits_oracle, is_of_integers) = match &vector {
            Vector::Run(run) => (run.suits_oracle(), run.is_of_integers()),
            _ => (false, false),
        };
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        Ok(Self { name, json, suits_oracle, is_of_integers })
    }

    /// The file's name, without its folder.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it holds a run that the oracle, scalar as it is, gets through in seconds.
    pub fn suits_oracle(&self) -> bool {
        self.suits_oracle
    }

    /// Whether it holds a run of integer products.
    pub fn is_of_integers(&self) -> bool {
        self.is_of_integers
    }

    /// Checks it on `executors`.
    ///
    /// # Errors
    /// The first thing that does not check.
    pub fn check(&self, executors: &mut LaneExecutors<'_>) -> Result<Report, VectorError> {
        check_json(&self.json, executors)
    }
}

/// Checks the vector file at `path` on `executors`.
///
/// # Errors
/// The first thing that does not check.
pub fn check_file(path: &Path, executors: &mut LaneExecutors<'_>) -> Result<Report, VectorError> {
    VectorFile::read(path)?.check(executors)
}

/// The forms of vector files.
enum Vector {
    Run(Box<RunVector>),
    Draws(DrawsVector),
    Folds(FoldsVector),
}

impl Vector {
    fn parse(json: &[u8]) -> serde_json::Result<Self> {
        let value: Value = serde_json::from_slice(json)?;
        if value.get("sigma").is_some() {
            serde_json::from_value(value).map(Self::Draws)
        } else if value.get("folds").is_some() {
            serde_json::from_value(value).map(Self::Folds)
        } else {
            serde_json::from_value(value).map(Self::Run)
        }
    }
}

impl RunVector {
    fn suits_oracle(&self) -> bool {
        let Ok(challenge) = Challenge::from_token(&self.challenge) else { return false };
        let lanes = self.lane_seeds.len() as u64;
        let iterations = lanes.saturating_mul(challenge.iterations().into());
        match challenge.work() {
            Work::Fp64Product(work) => {
                work.multiply_adds().saturating_mul(iterations) <= ORACLE_MULTIPLY_ADDS_MAX
            }
            Work::MemoryResidency(work) => {
                oracle_holds(work, lanes)
                    && work.leaves().saturating_mul(iterations) <= ORACLE_FOLDS_MAX
            }
            Work::IntegerProduct(work) => {
                work.multiply_adds().saturating_mul(iterations) <= ORACLE_MULTIPLY_ADDS_MAX
            }
        }
    }
}

impl RunVector {
    fn is_of_integers(&self) -> bool {
        let challenge = Challenge::from_token(&self.challenge);
        challenge.is_ok_and(|challenge| challenge.work().integer_product().is_some())
    }
}

/// What the oracle does in seconds: multiply-adds, and folds of a leaf.
const ORACLE_MULTIPLY_ADDS_MAX: u64 = 1 << 33;
const ORACLE_FOLDS_MAX: u64 = 1 << 20;
/// Arenas that it keeps at a time: 64 MiB.
const ORACLE_BYTES_MAX: u64 = 64 << 20;

/// Whether arenas of this many lanes are small enough for the oracle: each of its executors
/// has all of them.
fn oracle_holds(work: MemoryResidency, lanes: u64) -> bool {
    work.arena_bytes().saturating_mul(lanes).saturating_mul(lanes) <= ORACLE_BYTES_MAX
}

/// Checks a vector file's content on `executors`.
///
/// # Errors
/// The first thing that does not check.
pub fn check_json(json: &[u8], executors: &mut LaneExecutors<'_>) -> Result<Report, VectorError> {
    let malformed = |error: serde_json::Error| VectorError::Malformed { cause: error.to_string() };
    match Vector::parse(json).map_err(malformed)? {
        Vector::Draws(vector) => check_draws(vector),
        Vector::Folds(vector) => vector.check().map(|folds| Report::Folds { folds }),
        Vector::Run(vector) => check_run(*vector, executors),
    }
}

fn check_draws(vector: DrawsVector) -> Result<Report, VectorError> {
    let malformed = || malformed("a bound is not a number above 0");
    let bounds: Option<Vec<u64>> =
        vector.bounds.iter().map(|b| b.parse().ok().filter(|&b| b > 0)).collect();
    let bounds = bounds.ok_or_else(malformed)?;
    for lane in &vector.lanes {
        let mut draws = Draws::new(vector.sigma, lane.lane);
        let computed: Vec<String> = bounds.iter().map(|&b| draws.below(b).to_string()).collect();
        compare_lists("draws", &lane.draws, &computed)?;
        compare("words_taken", &lane.words_taken, &draws.words_taken())?;
    }
    let lanes = vector.lanes.len();
    Ok(Report::Draws { lanes, draws: lanes * bounds.len() })
}

fn check_run(vector: RunVector, executors: &mut LaneExecutors<'_>) -> Result<Report, VectorError> {
    let challenge = Challenge::from_token(&vector.challenge)?;
    compare("challenge", &vector.challenge.as_str(), &challenge.token())?;
    compare("challenge_digest", &vector.challenge_digest, &challenge.digest())?;
    let result_json = vector.result.to_string();
    let file = ResultDoc::read(result_json.as_bytes(), &challenge)?;

    let evidence = &file.evidence;
    let canonical = String::from_utf8_lossy(evidence.canonical());
    compare("evidence_canonical", &vector.evidence_canonical.as_str(), &&*canonical)?;
    compare("evidence_digest", &vector.evidence_digest, &evidence.digest())?;

    // The chain, from the executor's own roots.
    let mut run = replay(&challenge, &file.uuids(), executors)?;
    let seeds: Vec<State> = run.states.iter().map(|states| states[0]).collect();
    compare_lists("lane_seeds", &vector.lane_seeds, &seeds)?;
    compare("states", &vector.states.len(), &run.states.len())?;
    for (states, computed) in vector.states.iter().zip(&run.states) {
        compare_lists("states", states, &computed[1..])?;
    }
    let lane = |(&uuid, roots): (_, &Vec<Root>)| LaneRoots { uuid, iteration_roots: roots.clone() };
    let lanes: Vec<LaneRoots> = file.uuids().iter().zip(&run.roots).map(lane).collect();
    for (file, computed) in file.lanes.iter().zip(&lanes) {
        compare_lists("iteration_roots", &file.iteration_roots, &computed.iteration_roots)?;
    }
    let commitment = commit(&challenge, &lanes, evidence);
    compare("commitment", &file.commitment, &commitment)?;

    // The samples and what they open.
    let coin = Coin::new(vector.coin.0);
    compare("coin", &coin, &file.coin)?;
    let points = derive(&challenge, lanes.len() as u32, &commitment, coin.as_ref());
    let listed: Vec<_> = points.iter().map(|p| (p.lane, p.iteration, p.leaf)).collect();
    compare_lists("samples", &vector.samples, &listed)?;
    let openings = run.open(&challenge, &points, executors)?;
    compare_lists("openings", &file.openings, &openings)?;
    let hash = run.tile_leaves(&challenge, (0, 1, 0), executors)?[5];
    compare("lane0_iteration1_leaf5.hash", &vector.lane0_iteration1_leaf5.hash, &hash)?;
    match challenge.work() {
        Work::Fp64Product(shape) => check_product(&vector, shape, &run)?,
        Work::MemoryResidency(work) => check_memory(&vector, work, &seeds, &hash)?,
        Work::IntegerProduct(shape) => check_integer_product(&vector, shape, &seeds[0])?,
    }

    // The whole, once more as one document, and every rule of verification.
    let whole = ResultDoc {
        challenge_digest: challenge.digest(),
        commitment,
        coin,
        lanes,
        evidence: evidence.clone(),
        openings,
        device_reports: Vec::new(),
        machine_report: None,
        miner_signature: file.miner_signature,
    };
    let whole: Value = serde_json::from_str(&whole.to_json())
        .map_err(|error| VectorError::Malformed { cause: error.to_string() })?;
    compare("result", &vector.result, &whole)?;
    verify(&challenge, &file, &Circumstances::default(), &run)?;
    Ok(Report::Run {
        lanes: file.lanes.len(),
        iterations: challenge.iterations(),
        work: challenge.work(),
        openings: file.openings.len(),
    })
}

fn malformed(cause: &str) -> VectorError {
    VectorError::Malformed { cause: cause.to_owned() }
}

/// What files of FP64 products have of their own. The message can only come from the
/// oracle: executors give hashes.
fn check_product(vector: &RunVector, shape: Fp64Product, run: &Replay) -> Result<(), VectorError> {
    if vector.block5.is_some() {
        return Err(malformed("FP64 products have no block5"));
    }
    let leaf = &vector.lane0_iteration1_leaf5;
    let message = Oracle.leaf_message(&run.states[0][0], shape.dim, LeafPlace::of(shape, 5));
    compare("lane0_iteration1_leaf5.message", &leaf.message, &hex::encode(message))?;
    let first = f64::from_be_bytes(message[..8].try_into().expect("eight bytes"));
    compare("lane0_iteration1_leaf5.value_0_0", &leaf.value_0_0, &Some(first))
}

/// What files of integer products have of their own: the message, by the oracle.
fn check_integer_product(
    vector: &RunVector,
    shape: IntegerProduct,
    seed: &State,
) -> Result<(), VectorError> {
    let leaf = &vector.lane0_iteration1_leaf5;
    if vector.block5.is_some() || leaf.value_0_0.is_some() {
        return Err(malformed("integer products have neither block5 nor value_0_0"));
    }
    let message = IntegerOracle::new(shape).leaf_message(seed, 5);
    compare("lane0_iteration1_leaf5.message", &leaf.message, &hex::encode(message))
}

/// What files of memory residency have of their own. The message is the one that the
/// executor hashed; block 5 follows from nothing; both from the oracle, too, if its arenas
/// are small enough.
fn check_memory(
    vector: &RunVector,
    work: MemoryResidency,
    seeds: &[State],
    leaf5: &Digest,
) -> Result<(), VectorError> {
    let leaf = &vector.lane0_iteration1_leaf5;
    if leaf.value_0_0.is_some() {
        return Err(malformed("leaves of memory residency have no value_0_0"));
    }
    let message = hex::decode(&leaf.message).map_err(|error| malformed(&error.to_string()))?;
    compare("lane0_iteration1_leaf5.message", &leaf.message, &hex::encode(&message))?;
    compare("lane0_iteration1_leaf5.message", &Digest::of(&[&[0], &message]), leaf5)?;
    let block5 = MemoryCpu::new().block_digest(work, &seeds[0], 5);
    let block5 = block5.map_err(|RecomputeError(cause)| VectorError::Recompute { cause })?;
    compare("block5", &vector.block5, &Some(block5))?;
    if oracle_holds(work, seeds.len() as u64) {
        let oracle = MemoryOracle::new(work, seeds);
        let by_oracle = hex::encode(oracle.leaf_message(0, 1, &seeds[0], 5));
        compare("lane0_iteration1_leaf5.message", &leaf.message, &by_oracle)?;
        compare("block5", &vector.block5, &Some(oracle.arena(0).block_digest(5)))?;
    }
    Ok(())
}

pub(super) fn compare<T: PartialEq + Debug>(
    field: &'static str,
    file: &T,
    computed: &T,
) -> Result<(), VectorError> {
    compare_lists(field, std::slice::from_ref(file), std::slice::from_ref(computed))
}

fn compare_lists<T: PartialEq + Debug>(
    field: &'static str,
    file: &[T],
    computed: &[T],
) -> Result<(), VectorError> {
    let total = file.len().max(computed.len());
    let mut wrong = (0..total).filter(|&at| file.get(at) != computed.get(at));
    let Some(first) = wrong.next() else { return Ok(()) };
    let show = |list: &[T]| list.get(first).map_or("nothing".to_owned(), |v| format!("{v:?}"));
    Err(VectorError::Mismatch {
        field,
        count: 1 + wrong.count(),
        total,
        at: format!("[{first}]"),
        file: show(file),
        computed: show(computed),
    })
}
