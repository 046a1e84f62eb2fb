//! What a validator checks, in the order of docs/protocol.md; the first
//! failure is the verdict.
//!
//! Guarantees: only [`verify`] and [`verify_with`] make a
//! [`Verified`]; no result, however formed, makes them panic; nothing is
//! recomputed before everything cheaper has passed.
//! Deliberately lacks: clocks, ledgers and any way to compute. Those come as
//! [`Circumstances`], [`Recompute`] and [`RecomputeIteration`].

mod batches;

use super::challenge::Challenge;
use super::circumstances::{Circumstances, Issuer, IssuerRecord};
use super::device_report::nonce;
use super::digest::Digest;
use super::merkle::{path_len, root_from_path};
use super::names::{Root, State};
use super::rejection::{Reason, Rejection};
use super::result::{Opening, ReadError, ResultDoc, chain_states, commit_states};
use super::sample::derive;
use super::signature::miner_message;
use super::verified::{CoinStanding, Extent, Shown, Verified};
use super::work::{IterationPlace, RunInputs};
use batches::batches;
use std::collections::HashMap;

/// A leaf whose hash is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LeafRequest {
    /// Its iteration.
    pub at: IterationPlace,
    /// Its index among the iteration's leaves.
    pub leaf: u64,
}

/// The verifier could not do its part. Text in two lines: what happened, what
/// to try.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RecomputeError(pub String);

/// Computes leaf hashes from nothing but the states of their iterations and the seeds.
pub trait Recompute {
    /// The leaf hashes of `requests`, in their order. Requests of one iteration come
    /// next to each other.
    ///
    /// # Errors
    /// A fault on the verifier's side.
    fn leaf_hashes(
        &self,
        run: &RunInputs<'_>,
        requests: &[LeafRequest],
    ) -> Result<Vec<Digest>, RecomputeError>;
}

/// Computes a whole iteration's root.
pub trait RecomputeIteration {
    /// D(g,i) of the iteration at `at`.
    ///
    /// # Errors
    /// A fault on the verifier's side.
    fn iteration_root(
        &mut self,
        run: &RunInputs<'_>,
        at: &IterationPlace,
    ) -> Result<Root, RecomputeError>;
}

/// How far the costly part has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Opened leaves recomputed.
    Leaves {
        /// So far.
        done: u64,
        /// In all.
        total: u64,
    },
    /// Whole iterations recomputed, over all lanes.
    Iterations {
        /// So far.
        done: u64,
        /// In all.
        total: u64,
    },
}

/// What the verifier computes with.
pub struct Means<'a> {
    /// For the opened leaves.
    pub recompute: &'a dyn Recompute,
    /// For whole iterations, and which.
    pub whole: Option<(Extent, &'a mut dyn RecomputeIteration)>,
    /// Told of every batch.
    pub progress: &'a mut dyn FnMut(Progress),
}

/// Why there is no [`Verified`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The result is at fault.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The verifier is at fault: no verdict on the result.
    #[error(transparent)]
    CouldNotRun(#[from] RecomputeError),
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Form(form) => Self::Rejected(form.into()),
            ReadError::Io(_) => Self::CouldNotRun(RecomputeError(error.to_string())),
        }
    }
}

fn reject<T>(reason: Reason, detail: impl Into<String>) -> Result<T, Rejection> {
    Err(Rejection::new(reason, detail))
}

/// Checks a result by its samples.
///
/// # Errors
/// The first check that fails, or the verifier's own fault.
pub fn verify(
    challenge: &Challenge,
    result: &ResultDoc,
    circumstances: &Circumstances<'_>,
    recompute: &dyn Recompute,
) -> Result<Verified, Failure> {
    let means = Means { recompute, whole: None, progress: &mut |_| {} };
    verify_with(challenge, result, circumstances, means)
}

/// Checks a result with the given means, reporting progress.
///
/// # Errors
/// The first check that fails, or the verifier's own fault.
pub fn verify_with(
    challenge: &Challenge,
    result: &ResultDoc,
    circumstances: &Circumstances<'_>,
    mut means: Means<'_>,
) -> Result<Verified, Failure> {
    let UpToLeaves { states, coin, floors_s } =
        verify_up_to_leaves(challenge, result, circumstances)?;
    check_leaves(challenge, result, &states, &mut means)?;
    let extent = means.whole.as_ref().map(|(extent, _)| *extent);
    if let Some((extent, iterations)) = means.whole {
        check_iterations(challenge, result, &states, (extent, iterations), means.progress)?;
    }
    let report_nonces = report_nonces(challenge, &states);
    let shown = Shown { coin, extent, floors_s, report_nonces };
    Ok(Verified::new(challenge, result, circumstances, shown))
}

/// What each lane's device must have been asked with.
fn report_nonces(challenge: &Challenge, states: &[Vec<State>]) -> Vec<[u8; 32]> {
    let c = challenge.digest();
    let last = |states: &Vec<State>| *states.last().expect("a lane has a seed");
    (0..).zip(states).map(|(g, states)| nonce(&c, g, &last(states))).collect()
}

/// A result whose every check has passed but those that recompute something.
#[derive(Clone, Debug)]
pub struct UpToLeaves {
    states: Vec<Vec<State>>,
    coin: CoinStanding,
    floors_s: Vec<Option<f64>>,
}

/// Steps 1 to 6: everything that needs no means of computing the work.
///
/// # Errors
/// The first check that fails.
pub fn verify_up_to_leaves(
    challenge: &Challenge,
    result: &ResultDoc,
    circumstances: &Circumstances<'_>,
) -> Result<UpToLeaves, Rejection> {
    result.check_form(challenge).map_err(Rejection::from)?;
    let coin = check_record(challenge, result, circumstances)?;
    let states = check_chain(challenge, result)?;
    check_openings(challenge, result)?;
    let floors_s = circumstances.floors_s(challenge, &result.evidence);
    check_time(challenge, result, circumstances, &floors_s)?;
    result.evidence.agrees_with(challenge, &result.uuids()).map_err(Rejection::from)?;
    Ok(UpToLeaves { states, coin, floors_s })
}

impl UpToLeaves {
    /// Recomputes the leaf of opening `index` of the same challenge and result, and follows
    /// its path.
    ///
    /// # Errors
    /// A leaf that does not lead to its root, or the verifier's own fault.
    ///
    /// # Panics
    /// If there is no such opening, or the result is another.
    pub fn leaf(
        &self,
        challenge: &Challenge,
        result: &ResultDoc,
        index: usize,
        recompute: &dyn Recompute,
    ) -> Result<(), Failure> {
        let seeds = seeds(&self.states);
        let run = RunInputs { work: challenge.work(), seeds: &seeds };
        check_batch(&run, result, &self.states, &result.openings[index..=index], recompute)
    }
}

/// Step 2: challenge, record, arrival, nonce, signature, session.
fn check_record(
    challenge: &Challenge,
    result: &ResultDoc,
    circumstances: &Circumstances<'_>,
) -> Result<CoinStanding, Rejection> {
    let (expected, got) = (challenge.digest(), result.challenge_digest);
    if expected != got {
        return reject(Reason::ChallengeMismatch, format!("expected {expected}, got {got}"));
    }
    if circumstances.issuer == Issuer::Unknown {
        return reject(Reason::NotIssued, format!("no record of challenge {expected}"));
    }
    if let Some(arrival) = circumstances.arrival_unix_s
        && arrival >= challenge.expires_at_unix_s()
    {
        let late_s = arrival - challenge.expires_at_unix_s();
        let expires = &challenge.spec().expires_at;
        let detail = format!("arrived {late_s} s after it expired at {expires}");
        return reject(Reason::Expired, detail);
    }
    if let Issuer::Record(IssuerRecord { nonce_spent_on: Some(spent_on), session }) =
        &circumstances.issuer
    {
        let own = session.as_ref().is_some_and(|session| session.commitment == *spent_on);
        if !own {
            return reject(Reason::NonceSpent, format!("spent on commitment {spent_on}"));
        }
    }
    if let (Some(key), Some(signature)) = (challenge.miner_id(), result.miner_signature) {
        let message = miner_message(&expected, &result.commitment);
        if !key.verifies(&message, &signature) {
            let detail = format!("miner_signature does not verify for {}", result.commitment);
            return reject(Reason::SignatureInvalid, detail);
        }
    }
    match &circumstances.issuer {
        Issuer::Record(record) => check_session(result, record),
        Issuer::Other | Issuer::Unknown => {
            Ok(standing_for_others(challenge, result, circumstances))
        }
    }
}

fn check_session(result: &ResultDoc, record: &IssuerRecord) -> Result<CoinStanding, Rejection> {
    match (&record.session, &result.coin) {
        (None, None) => Ok(CoinStanding::NoSession),
        (None, Some(coin)) => {
            reject(Reason::CoinWithoutSession, format!("the result has coin {coin}"))
        }
        (Some(session), _) if session.commitment != result.commitment => reject(
            Reason::SessionMismatch,
            format!("committed to {}, got {}", session.commitment, result.commitment),
        ),
        (Some(session), None) => {
            reject(Reason::CoinMissing, format!("the session's coin is {}", session.coin))
        }
        (Some(session), Some(coin)) if session.coin != *coin => {
            reject(Reason::CoinMismatch, format!("expected {}, got {coin}", session.coin))
        }
        (Some(_), Some(_)) => Ok(CoinStanding::Recorded),
    }
}

/// Somebody who isn't the issuer needs a receipt to believe in a coin.
fn standing_for_others(
    challenge: &Challenge,
    result: &ResultDoc,
    circumstances: &Circumstances<'_>,
) -> CoinStanding {
    match (result.coin, circumstances.receipt) {
        (None, _) => CoinStanding::NoSession,
        (Some(_), None) => CoinStanding::Unattested { cause: "no receipt was given".to_owned() },
        (Some(coin), Some(receipt)) => {
            match receipt.check(challenge, &result.commitment, Some(&coin)) {
                Ok(()) => CoinStanding::Receipt { arrived_unix_ms: receipt.arrived_unix_ms },
                Err(error) => CoinStanding::Unattested { cause: error.to_string() },
            }
        }
    }
}

/// Step 3: lanes, UUIDs, root counts, chain and commitment. Gives the states.
fn check_chain(challenge: &Challenge, result: &ResultDoc) -> Result<Vec<Vec<State>>, Rejection> {
    let lanes = &result.lanes;
    if let Some(expected) = challenge.spec().gpu_count
        && lanes.len() as u64 != expected
    {
        return reject(
            Reason::LaneCount,
            format!("expected {expected} lanes, got {}", lanes.len()),
        );
    }
    let mut seen = HashMap::new();
    for (g, lane) in lanes.iter().enumerate() {
        if let Some(first) = seen.insert(lane.uuid, g) {
            let detail = format!("lanes {first} and {g} both have uuid {}", lane.uuid);
            return reject(Reason::DuplicateUuid, detail);
        }
    }
    for (g, lane) in lanes.iter().enumerate() {
        let (expected, got) = (challenge.iterations() as usize, lane.iteration_roots.len());
        if expected != got {
            return reject(
                Reason::RootCount,
                format!("lane {g}: expected {expected} roots, got {got}"),
            );
        }
    }
    let states = chain_states(challenge, lanes);
    let expected = commit_states(challenge, &states, &result.evidence);
    if expected != result.commitment {
        let detail = format!("its parts commit to {expected}, it says {}", result.commitment);
        return reject(Reason::CommitmentMismatch, detail);
    }
    Ok(states)
}

/// Step 4: exactly the derived samples, each path of exactly its length.
fn check_openings(challenge: &Challenge, result: &ResultDoc) -> Result<(), Rejection> {
    let lanes = result.lanes.len() as u32;
    let points = derive(challenge, lanes, &result.commitment, result.coin.as_ref());
    let openings = &result.openings;
    if let Some((at, (point, opening))) =
        points.iter().zip(openings).enumerate().find(|(_, (point, o))| **point != o.point())
    {
        let detail = format!("openings[{at}]: expected {point:?}, got {:?}", opening.point());
        return reject(Reason::OpeningsMismatch, detail);
    }
    let (expected, got) = (points.len(), openings.len());
    if expected != got {
        return reject(
            Reason::OpeningsMismatch,
            format!("expected {expected} openings, got {got}"),
        );
    }
    for (at, opening) in openings.iter().enumerate() {
        let expected = path_len(opening.leaf, challenge.work().leaves());
        let got = opening.path.len();
        if expected != got {
            let detail = format!("openings[{at}]: expected {expected} digests, got {got}");
            return reject(Reason::PathLength, detail);
        }
    }
    Ok(())
}

/// Step 5: the floor of the claimed models, then the limit.
fn check_time(
    challenge: &Challenge,
    result: &ResultDoc,
    circumstances: &Circumstances<'_>,
    floors_s: &[Option<f64>],
) -> Result<(), Rejection> {
    let Some(elapsed) = circumstances.elapsed else { return Ok(()) };
    for (g, (lane, floor_s)) in result.evidence.lanes().iter().zip(floors_s).enumerate() {
        let &Some(floor_s) = floor_s else { continue };
        let elapsed_s = elapsed.as_secs_f64();
        if elapsed_s < floor_s {
            let detail = format!(
                "lane {g}: {:?} needs at least {floor_s:.9} s for this, {elapsed_s:.9} s passed",
                lane.model
            );
            return reject(Reason::TooFast, detail);
        }
    }
    let limit_ms = challenge.limit_ms();
    if elapsed > std::time::Duration::from_millis(limit_ms) {
        let detail =
            format!("the limit is {limit_ms} ms, {:.3} ms passed", elapsed.as_secs_f64() * 1e3);
        return reject(Reason::Late, detail);
    }
    Ok(())
}

/// Step 7: every opened leaf recomputed and led by its path to its root.
fn check_leaves(
    challenge: &Challenge,
    result: &ResultDoc,
    states: &[Vec<State>],
    means: &mut Means<'_>,
) -> Result<(), Failure> {
    let seeds = seeds(states);
    let run = RunInputs { work: challenge.work(), seeds: &seeds };
    let total = result.openings.len() as u64;
    let mut done = 0;
    for batch in batches(&result.openings) {
        check_batch(&run, result, states, batch, means.recompute)?;
        done += batch.len() as u64;
        (means.progress)(Progress::Leaves { done, total });
    }
    Ok(())
}

/// Some openings: their leaves recomputed and led to their roots.
fn check_batch(
    run: &RunInputs<'_>,
    result: &ResultDoc,
    states: &[Vec<State>],
    batch: &[Opening],
    recompute: &dyn Recompute,
) -> Result<(), Failure> {
    let request = |opening: &Opening| LeafRequest {
        at: place(states, opening.lane, opening.iteration),
        leaf: opening.leaf,
    };
    let requests: Vec<LeafRequest> = batch.iter().map(request).collect();
    let hashes = recompute.leaf_hashes(run, &requests)?;
    if hashes.len() != requests.len() {
        return Err(RecomputeError(format!(
            "asked for {} leaf hashes, got {}\nThis is a bug in the verifier; report it.",
            requests.len(),
            hashes.len()
        ))
        .into());
    }
    let committed = |opening: &Opening| {
        result.lanes[opening.lane as usize].iteration_roots[opening.iteration as usize - 1].node()
    };
    let led_to = |opening: &Opening, hash: &Digest| {
        root_from_path(hash, opening.leaf, run.work.leaves(), &opening.path)
    };
    let mut wrong =
        batch.iter().zip(&hashes).filter(|(o, hash)| led_to(o, hash) != Some(committed(o)));
    if let Some((first, hash)) = wrong.next() {
        let got = led_to(first, hash).unwrap_or_default();
        let detail = format!(
            "{} of {} leaves; first lane {}, iteration {}, leaf {}: the recomputed leaf leads to {got}, committed is {}",
            1 + wrong.count(),
            batch.len(),
            first.lane,
            first.iteration,
            first.leaf,
            committed(first)
        );
        return Err(Rejection::new(Reason::LeafMismatch, detail).into());
    }
    Ok(())
}

/// s(g,0) of every lane.
fn seeds(states: &[Vec<State>]) -> Vec<State> {
    states.iter().map(|states| states[0]).collect()
}

/// Iteration `iteration` of lane `lane`.
fn place(states: &[Vec<State>], lane: u32, iteration: u32) -> IterationPlace {
    let state = states[lane as usize][iteration as usize - 1];
    IterationPlace { lane, iteration, state }
}

/// Step 7 for whole iterations: every root of the extent recomputed.
fn check_iterations(
    challenge: &Challenge,
    result: &ResultDoc,
    states: &[Vec<State>],
    (extent, means): (Extent, &mut dyn RecomputeIteration),
    progress: &mut dyn FnMut(Progress),
) -> Result<(), Failure> {
    let mut places: Vec<(u32, u32)> = match extent {
        Extent::SampledIterations => {
            result.openings.iter().map(|opening| (opening.lane, opening.iteration)).collect()
        }
        Extent::EveryIteration => (0..result.lanes.len() as u32)
            .flat_map(|lane| (1..=challenge.iterations()).map(move |i| (lane, i)))
            .collect(),
    };
    places.dedup();
    let seeds = seeds(states);
    let run = RunInputs { work: challenge.work(), seeds: &seeds };
    let total = places.len() as u64;
    for (done, (lane, iteration)) in (1..).zip(places) {
        let (g, i) = (lane as usize, iteration as usize);
        let got = means.iteration_root(&run, &place(states, lane, iteration))?;
        let committed = result.lanes[g].iteration_roots[i - 1];
        if got != committed {
            let detail = format!(
                "lane {lane}, iteration {iteration}: recomputed {got}, committed is {committed}"
            );
            return Err(Rejection::new(Reason::RootMismatch, detail).into());
        }
        progress(Progress::Iterations { done, total });
    }
    Ok(())
}
