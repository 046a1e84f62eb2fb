//! Answering a challenge: execute, assemble the evidence, commit, derive the
//! samples, open them.
//!
//! Guarantees: what the challenge demands of the lanes and of the miner's key is
//! checked before the work, not after; a result comes whole or not at all.
//! Deliberately lacks: live sessions: they send [`commit`]'s commitment and open
//! it with the coin that they get.

use super::checkpoint::{self, CheckpointError, CheckpointOptions};
use super::committed::Committed;
use crate::evidence::{self, MachineOptions, Observing, RunTiming};
use crate::executor::host_memory::{BoundBy, HostMemory};
use crate::executor::lanes::{self, Progress, Resumed, RunError, RunOptions};
use crate::executor::{Executor, Kind, LaneFacts};
use crate::identity::SigningIdentity;
use crate::log;
use crate::protocol::challenge::Challenge;
use crate::protocol::digest::Uuid;
use crate::protocol::evidence::EvidenceError;
use crate::protocol::evidence::document::RunNotes;
use crate::protocol::quantity::about;
use crate::protocol::result::{self, LaneRoots, ResultDoc};
use crate::protocol::signature::{PublicKey, miner_message};
use crate::protocol::work::Work;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How to answer.
#[derive(Clone, Debug, Default)]
pub struct MineOptions<'a> {
    /// How to run the lanes.
    pub run: RunOptions,
    /// Who signs, if the challenge names its miner.
    pub identity: Option<&'a SigningIdentity>,
    /// Saves checkpoints in a file, and resumes from it if it exists.
    pub checkpoint: Option<CheckpointOptions>,
    /// Further fields of the evidence, of the run as a whole.
    pub notes: RunNotes,
    /// What is found out of the machine meanwhile.
    pub machine: MachineOptions,
    /// By whose clock the challenge expires.
    pub expiry: Expiry,
}

/// By whose clock a challenge expires for the miner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Expiry {
    /// This machine's: hours of work for nothing are saved if it is right.
    #[default]
    OwnClock,
    /// The validator's, who is there and will say: this machine's calendar does not
    /// count.
    ValidatorsClock,
}

/// A result, and what the miner saw while making it.
pub struct Mined {
    /// What to hand in.
    pub result: ResultDoc,
    /// From the common start of the lanes to the last root.
    pub executed_in: Duration,
    /// What the lanes report.
    pub lanes: Vec<LaneFacts>,
    /// Where the time went.
    pub timing: RunTiming,
    /// How long the openings took.
    pub opened_in: Duration,
}

/// Why there is no result. Text in two lines: what happened, what to try.
#[derive(Debug, thiserror::Error)]
pub enum MineError {
    /// The challenge is over, by this machine's clock.
    #[error(
        "the challenge expired at {expires_at}, and this machine's clock says {now}\n\
         Ask for a new one; if the clock is wrong, set it."
    )]
    Expired {
        /// As the challenge writes it.
        expires_at: String,
        /// What the clock says, in the same form.
        now: String,
    },
    /// The challenge names a miner, and no key was given.
    #[error(
        "the challenge may be answered by {miner_id} only\n\
         Give the file with that key (--key), or ask for a challenge without a miner_id."
    )]
    NamedMiner {
        /// The public key.
        miner_id: PublicKey,
    },
    /// The challenge names another miner.
    #[error(
        "the challenge may be answered by {miner_id} only, and this is the key of {own}\n\
         Give the file with the right key, or ask for a challenge to your own."
    )]
    OtherMiner {
        /// The public key in the challenge.
        miner_id: PublicKey,
        /// The public key at hand.
        own: PublicKey,
    },
    /// A lane does not meet a demand of the challenge.
    #[error(
        "lane {lane}: the challenge demands {demand}, and it has {got}\nChoose other devices, or ask for another challenge."
    )]
    Unfit {
        /// Index of the lane.
        lane: usize,
        /// What is demanded.
        demand: String,
        /// What the lane has.
        got: String,
    },
    /// What must be kept during the run doesn't fit in the host's memory.
    #[error(
        "the digests of this run take {}, and {} are available \
         {bound_by}\n\
         Free memory or raise the limit, or ask for fewer iterations, fewer products or a \
         smaller dimension.",
        about(*needed_bytes as f64, "B"),
        about(*available_bytes as f64, "B")
    )]
    Memory {
        /// For tiles, roots and states of all iterations that are kept at once.
        needed_bytes: u128,
        /// What this process could take.
        available_bytes: u64,
        /// What bounds it.
        bound_by: BoundBy,
    },
    /// The checkpoint cannot be used.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The run failed or was stopped.
    #[error(transparent)]
    Run(#[from] RunError),
    /// No evidence could be made of the run.
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
}

/// Executes `challenge` on `executors`, lane g on executor g, and opens the
/// samples that its commitment selects without a coin.
///
/// # Errors
/// [`MineError`].
pub fn mine(
    challenge: &Challenge,
    executors: Vec<Box<dyn Executor>>,
    options: &MineOptions<'_>,
    progress: &Progress<'_>,
) -> Result<Mined, MineError> {
    let committed = commit(challenge, executors, options, progress)?;
    let (executed_in, lanes) = (committed.executed_in(), committed.lane_facts().cloned().collect());
    let (timing, opening) = (committed.timing(), Instant::now());
    let result = committed.open(None)?;
    Ok(Mined { result, executed_in, lanes, timing, opened_in: opening.elapsed() })
}

/// Executes `challenge` on `executors`, lane g on executor g, and commits to
/// what came out.
///
/// # Errors
/// [`MineError`].
pub fn commit(
    challenge: &Challenge,
    executors: Vec<Box<dyn Executor>>,
    options: &MineOptions<'_>,
    progress: &Progress<'_>,
) -> Result<Committed, MineError> {
    if options.expiry == Expiry::OwnClock {
        check_open(challenge, jiff::Timestamp::now())?;
    }
    let signer = signer(challenge, options.identity)?;
    let facts: Vec<LaneFacts> = executors.iter().map(|lane| lane.facts().clone()).collect();
    for (lane, facts) in facts.iter().enumerate() {
        check_fit(challenge, lane, facts)?;
    }
    // Those of all iterations are kept; one more is in the executor's hands, and
    // one if a lane keeps the last sync point's apart.
    let sets = (u64::from(challenge.iterations()) + 2) * facts.len() as u64;
    check_memory(challenge.work(), sets)?;
    let _span = log::challenge_span(challenge).entered();
    log::taken(challenge, &facts);
    let uuids: Vec<Uuid> = facts.iter().map(|lane| lane.uuid).collect();
    let mut run = options.run.clone();
    let before = match &options.checkpoint {
        Some(file) => {
            let opened = checkpoint::open(file, challenge, &facts)?;
            run.checkpointer = Some(Arc::new(opened.checkpointer));
            opened.before
        }
        None => Resumed::nothing(challenge, &uuids),
    };
    // The machine is looked at beside the run: a validator's clock is running.
    let observing = Observing::start(&facts, &options.machine);
    let mut execution = lanes::resume(challenge, executors, before, &run, progress)?;
    execution.notes = options.notes.clone();
    let observed = observing.finish();
    log::ran(&execution, &observed.inventory);
    for finding in &observed.inventory.findings {
        tracing::warn!("finding: {finding}");
    }
    for warning in evidence::sm_warnings(&execution) {
        tracing::warn!("{warning}");
    }
    let evidence = evidence::assemble(&execution, &observed)?;
    let lane = |lane: &lanes::LaneExecution| LaneRoots {
        uuid: lane.facts.uuid,
        iteration_roots: lane.roots.clone(),
    };
    let lanes: Vec<LaneRoots> = execution.lanes.iter().map(lane).collect();
    let commitment = result::commit(challenge, &lanes, &evidence);
    let message = miner_message(&challenge.digest(), &commitment);
    let miner_signature = signer.map(|identity| identity.sign(&message));
    let challenge = challenge.clone();
    let tsm = options.machine.tsm;
    Ok(Committed { challenge, commitment, lanes, evidence, miner_signature, execution, tsm })
}

/// Who signs the answer: nobody if the challenge names no miner.
///
/// # Errors
/// [`MineError::NamedMiner`] and [`MineError::OtherMiner`]: the challenge is not
/// `identity`'s to answer.
pub fn signer<'a>(
    challenge: &Challenge,
    identity: Option<&'a SigningIdentity>,
) -> Result<Option<&'a SigningIdentity>, MineError> {
    let Some(miner_id) = challenge.miner_id() else { return Ok(None) };
    match identity {
        None => Err(MineError::NamedMiner { miner_id }),
        Some(identity) if identity.public() != miner_id => {
            Err(MineError::OtherMiner { miner_id, own: identity.public() })
        }
        signer => Ok(signer),
    }
}

fn check_open(challenge: &Challenge, now: jiff::Timestamp) -> Result<(), MineError> {
    if now.as_second() >= challenge.expires_at_unix_s() {
        let now = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        return Err(MineError::Expired { expires_at: challenge.spec().expires_at.clone(), now });
    }
    Ok(())
}

/// What the validator will look for in the evidence, before hours of work.
fn check_fit(challenge: &Challenge, lane: usize, facts: &LaneFacts) -> Result<(), MineError> {
    let spec = challenge.spec();
    let unfit = |demand: String, got: String| Err(MineError::Unfit { lane, demand, got });
    if let Some(model) = &spec.gpu_model
        && *model != facts.model
    {
        return unfit(format!("the model {model:?}"), format!("{:?}", facts.model));
    }
    if let Some(bytes) = spec.min_memory_bytes
        && facts.memory_bytes < bytes
    {
        let got = match facts.memory_bytes {
            0 => "an amount that is not known".to_owned(),
            bytes => bytes.to_string(),
        };
        return unfit(format!("{bytes} bytes of memory"), got);
    }
    match spec.min_sm_utilization {
        Some(share) if share > 0.0 && facts.kind == Kind::Cpu => {
            unfit("SM counters".to_owned(), "no SMs: it is a CPU".to_owned())
        }
        _ => Ok(()),
    }
}

/// Whether the host can keep the digests of all iterations.
///
/// # Errors
/// [`MineError::Memory`].
pub fn check_memory(work: Work, iterations: u64) -> Result<(), MineError> {
    HostMemory::read().map_or(Ok(()), |memory| fits(work, iterations, memory))
}

/// Kept of an iteration beside its tiles: its root and state, the root again in the
/// commitment, and its text in the message.
const ITERATION_BYTES: u128 = 192;

fn fits(work: Work, iterations: u64, memory: HostMemory) -> Result<(), MineError> {
    let of_iteration = 32 * u128::from(work.tiles()) + ITERATION_BYTES;
    let needed_bytes = of_iteration * u128::from(iterations);
    let HostMemory { available_bytes, bound_by, .. } = memory;
    if needed_bytes > u128::from(available_bytes) {
        return Err(MineError::Memory { needed_bytes, available_bytes, bound_by });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mining::issue::{Request, issue};
    use crate::protocol::evidence::document::LaneDetails;
    use crate::protocol::work::fp64_product::Fp64Product;

    fn cpu() -> LaneFacts {
        LaneFacts {
            kind: Kind::Cpu,
            uuid: Uuid([1; 16]),
            model: "a CPU".to_owned(),
            memory_bytes: 1000,
            sm_count: 0,
            details: LaneDetails::default(),
        }
    }

    fn fit(request: &Request) -> Result<(), MineError> {
        check_fit(&issue(request).unwrap(), 0, &cpu())
    }

    #[test]
    fn demands_are_checked_before_the_work() {
        let any = Request::default();
        assert!(fit(&any).is_ok());
        assert!(fit(&Request { gpu_model: Some("a CPU".into()), ..any.clone() }).is_ok());
        assert!(fit(&Request { gpu_model: Some("a cpu".into()), ..any.clone() }).is_err());
        assert!(fit(&Request { min_memory_bytes: Some(1000), ..any.clone() }).is_ok());
        assert!(fit(&Request { min_memory_bytes: Some(1001), ..any.clone() }).is_err());
        assert!(fit(&Request { min_sm_utilization: Some(0.0), ..any.clone() }).is_ok());
        assert!(fit(&Request { min_sm_utilization: Some(0.1), ..any }).is_err());
    }

    #[test]
    fn the_last_second_is_too_late() {
        let challenge = issue(&Request::default()).unwrap();
        let end = challenge.expires_at_unix_s();
        let at = |unix_s| jiff::Timestamp::from_second(unix_s).unwrap();
        assert!(check_open(&challenge, at(end - 1)).is_ok());
        let error = check_open(&challenge, at(end)).unwrap_err().to_string();
        let expires_at = &challenge.spec().expires_at;
        let named = format!("expired at {expires_at}, and this machine's clock says {expires_at}");
        assert!(error.contains(&named), "{error}");
    }

    #[test]
    fn only_the_named_miner_signs() {
        let [own, other] = [(); 2].map(|()| SigningIdentity::generate().unwrap());
        let named = Request { miner_id: Some(own.public()), ..Request::default() };
        let (named, open) = (issue(&named).unwrap(), issue(&Request::default()).unwrap());
        assert!(signer(&named, Some(&own)).unwrap().is_some());
        assert!(signer(&open, Some(&own)).unwrap().is_none());
        assert!(matches!(signer(&named, None), Err(MineError::NamedMiner { .. })));
        assert!(matches!(signer(&named, Some(&other)), Err(MineError::OtherMiner { .. })));
    }

    #[test]
    fn digests_that_cannot_be_kept_are_refused_by_arithmetic() {
        let memory = |available_bytes| HostMemory {
            total_bytes: 1 << 50,
            available_bytes,
            bound_by: BoundBy::Cgroup("/sys/fs/cgroup/box".into()),
        };
        let largest = Fp64Product { dim: 32_768, products: 4096 }.into();
        let error = fits(largest, 65_537 * 64, memory(1 << 50)).unwrap_err();
        assert!(matches!(error, MineError::Memory { .. }), "{error}");
        let one_tile = Fp64Product { dim: 128, products: 1 }.into();
        let needed = 2 * (32 + 192);
        assert!(fits(one_tile, 2, memory(needed)).is_ok());
        let text = fits(one_tile, 2, memory(needed - 1)).unwrap_err().to_string();
        for part in ["448.0 B", "447.0 B are available", "the cgroup /sys/fs/cgroup/box", "\n"] {
            assert!(text.contains(part), "{part:?} is missing in {text:?}");
        }
    }
}
