//! Vector files: numbers made by independent programs from docs/protocol.md,
//! checked field by field against an executor.
//!
//! A file holds one complete run (challenge, seeds, states, evidence, samples,
//! one leaf, result), a list of draws, or a list of folds; [`check_json`] tells
//! them apart. The formats are described in docs/protocol.md, "Vector files".
//!
//! Guarantees: every field of the file is compared with a value computed here,
//! and a field that this module doesn't know is an error, so that nothing goes
//! unchecked unnoticed.
//! Deliberately lacks: clocks. The challenges of vector files have expired.

mod folds;

use super::replay::{Replay, replay};
use crate::executor::{ExecError, Executor};
use crate::protocol::challenge::{Challenge, ChallengeError};
use crate::protocol::circumstances::Circumstances;
use crate::protocol::digest::Digest;
use crate::protocol::names::{Coin, Root, State};
use crate::protocol::sample::{Draws, derive};
use crate::protocol::transcript::{LaneRoots, ReadError, ResultDoc, commit};
use crate::protocol::verify::{Failure, verify};
use crate::protocol::work::Work;
use crate::protocol::work::fp64_product::LeafPlace;
use crate::reference::{MemoryOracle, Oracle};
use serde::Deserialize;
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
        /// Messages compared.
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
    /// Of memory residency only.
    block5: Option<Digest>,
    result: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LeafVector {
    message: String,
    hash: Digest,
    /// Of products only.
    value_0_0: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FoldsVector {
    folds: Vec<FoldVector>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FoldVector {
    key: [String; 2],
    tweak: String,
    index: String,
    columns: usize,
    words: String,
    message: String,
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
        Vector::parse(&json).map_err(|error| malformed(error.to_string()))?;
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        Ok(Self { name, json })
    }

    /// The file's name, without its folder.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Checks it on `executor`.
    ///
    /// # Errors
    /// The first thing that does not check.
    pub fn check(&self, executor: &mut dyn Executor) -> Result<Report, VectorError> {
        check_json(&self.json, executor)
    }
}

/// Checks the vector file at `path` on `executor`.
///
/// # Errors
/// The first thing that does not check.
pub fn check_file(path: &Path, executor: &mut dyn Executor) -> Result<Report, VectorError> {
    VectorFile::read(path)?.check(executor)
}

/// The kinds of vector files.
enum Vector {
    Run(Box<RunVector>),
    Draws(DrawsVector),
    Folds(FoldsVector),
}

impl Vector {
    fn parse(json: &[u8]) -> serde_json::Result<Self> {
        let value: Value = serde_json::from_slice(json)?;
        let has = |field| value.get(field).is_some();
        match (has("sigma"), has("folds")) {
            (true, _) => serde_json::from_value(value).map(Self::Draws),
            (_, true) => serde_json::from_value(value).map(Self::Folds),
            _ => serde_json::from_value(value).map(Self::Run),
        }
    }
}

/// Checks a vector file's content on `executor`, which takes every lane in turn.
///
/// # Errors
/// The first thing that does not check.
pub fn check_json(json: &[u8], executor: &mut dyn Executor) -> Result<Report, VectorError> {
    let malformed = |error: serde_json::Error| VectorError::Malformed { cause: error.to_string() };
    match Vector::parse(json).map_err(malformed)? {
        Vector::Draws(vector) => check_draws(vector),
        Vector::Folds(vector) => folds::check(vector),
        Vector::Run(vector) => check_run(*vector, executor),
    }
}

fn check_draws(vector: DrawsVector) -> Result<Report, VectorError> {
    let malformed =
        || VectorError::Malformed { cause: "a bound is not a number above 0".to_owned() };
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

fn check_run(vector: RunVector, executor: &mut dyn Executor) -> Result<Report, VectorError> {
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
    let mut run = replay(&challenge, &file.uuids(), executor)?;
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
    let openings = run.open(&challenge, &points, executor)?;
    compare_lists("openings", &file.openings, &openings)?;
    check_leaf(&vector, &challenge, &mut run, executor)?;

    // The whole, once more as one document, and every rule of verification.
    let whole = ResultDoc {
        challenge_digest: challenge.digest(),
        commitment,
        coin,
        lanes,
        evidence: evidence.clone(),
        openings,
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

/// Messages and blocks can only come from the oracle: executors give hashes.
fn check_leaf(
    vector: &RunVector,
    challenge: &Challenge,
    run: &mut Replay,
    executor: &mut dyn Executor,
) -> Result<(), VectorError> {
    let leaf = &vector.lane0_iteration1_leaf5;
    let seeds: Vec<State> = run.states.iter().map(|states| states[0]).collect();
    let (message, first, block5) = match challenge.work() {
        Work::Fp64Product(shape) => {
            let place = LeafPlace::of(shape, 5);
            let message = Oracle.leaf_message(&seeds[0], shape.dim, place);
            let first = f64::from_be_bytes(message[..8].try_into().expect("eight bytes"));
            (message.to_vec(), Some(first), None)
        }
        Work::MemoryResidency(work) => {
            let oracle = MemoryOracle::new(work, &seeds);
            let message = oracle.leaf_message(0, 1, &seeds[0], 5);
            (message.to_vec(), None, Some(oracle.arena(0).block_digest(5)))
        }
    };
    compare("lane0_iteration1_leaf5.message", &leaf.message, &hex::encode(message))?;
    compare("lane0_iteration1_leaf5.value_0_0", &leaf.value_0_0, &first)?;
    compare("block5", &vector.block5, &block5)?;
    let hash = run.tile_leaves(challenge, (0, 1, 0), executor)?[5];
    compare("lane0_iteration1_leaf5.hash", &leaf.hash, &hash)
}

fn compare<T: PartialEq + Debug>(
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
