//! Runs a challenge on several executors, one thread a lane.
//!
//! ```text
//! execute ─ lane threads ─ Meeting     sync points: roots exchanged, X(i)
//!         └ watchdog                   hung lanes, the stop flag, progress
//! Execution ─ open                     sampled tiles again, audit paths
//! ```
//!
//! Guarantees: the chain is stepped exactly as docs/protocol.md says; a lane
//! that fails, panics or falls silent ends the run with lane, device,
//! iteration and cause, and nobody waits for it; a stop is heeded within an
//! iteration.
//! Deliberately lacks: choosing devices, samples, commitments, and any way to
//! resume: a run that ended early has no result.

mod lane;
mod meeting;
mod openings;

use super::{ExecError, Executor, LaneFacts, SmTiles};
use crate::protocol::challenge::Challenge;
use crate::protocol::digest::{Digest, Uuid};
use crate::protocol::plan::Shape;
use crate::protocol::sample::SamplePoint;
use lane::{Shared, Work};
use meeting::Meeting;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

pub use meeting::BarrierTimes;

/// How long a lane may give no sign of life while it computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Patience {
    /// A minute more than twenty times the longest silence so far of any lane;
    /// before the first sign ten minutes more than the iteration takes at 10⁸
    /// multiply-adds a second.
    #[default]
    Observed,
    /// Exactly this long.
    Fixed(Duration),
}

/// How to run.
#[derive(Clone, Debug, Default)]
pub struct RunOptions {
    /// Set it, from a signal handler say, and the run ends with
    /// [`RunError::Stopped`] within an iteration.
    pub stop: Arc<AtomicBool>,
    /// When a silent lane counts as hung.
    pub patience: Patience,
}

/// Called about ten times a second and at the end, with the number of
/// iterations that each lane has done.
pub type Progress<'a> = dyn Fn(&[u32]) + 'a;

/// How often the watchdog looks around.
const WATCH_INTERVAL: Duration = Duration::from_millis(100);

/// Why a run ended without a result, or an opening could not be made. Text in
/// two lines: what happened, what to try.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// No executor was given.
    #[error("there is nothing to run on\nGive at least one executor.")]
    NoLanes,
    /// The challenge does not take this many lanes.
    #[error("{got} lanes were given; the challenge takes {expected}\nUse as many devices as that.")]
    LaneCount {
        /// Lanes given.
        got: usize,
        /// "exactly …" or "at most …".
        expected: String,
    },
    /// Two lanes share a UUID.
    #[error("lanes {first} and {second} are the same device, {uuid}\nName each device once.")]
    DuplicateUuid {
        /// The lower lane.
        first: u32,
        /// The higher lane.
        second: u32,
        /// Their UUID.
        uuid: Uuid,
    },
    /// An executor failed.
    #[error("lane {lane} ({device}) failed in iteration {iteration}: {source}")]
    Lane {
        /// Which lane.
        lane: u32,
        /// Its device.
        device: String,
        /// The iteration that it did not finish; 0 while it was set up, T + 1
        /// after the last.
        iteration: u32,
        /// What happened and what to try.
        source: ExecError,
    },
    /// A lane gave no sign of life for longer than [`Patience`] allows.
    #[error(
        "lane {lane} ({device}) hung in iteration {iteration}: silent for {silent_ms} ms\n\
         Look at the device (its driver's log, its temperature), or run without it."
    )]
    Hung {
        /// Which lane.
        lane: u32,
        /// Its device.
        device: String,
        /// The iteration that it did not finish; as in [`RunError::Lane`].
        iteration: u32,
        /// How long it was silent.
        silent_ms: u64,
    },
    /// An executor panicked or broke the contract of [`Executor::run`].
    #[error(
        "lane {lane} ({device}) broke down in iteration {iteration}: {cause}\n\
         This is a defect of the executor; please report it."
    )]
    Broken {
        /// Which lane.
        lane: u32,
        /// Its device.
        device: String,
        /// The iteration that it did not finish; as in [`RunError::Lane`].
        iteration: u32,
        /// The panic's message, or what was promised and not kept.
        cause: String,
    },
    /// The stop flag was set.
    #[error("stopped after {iterations} iterations\nRun it again for a result.")]
    Stopped {
        /// What every lane had finished.
        iterations: u32,
    },
    /// An opening of a leaf that the run does not have.
    #[error(
        "there is no leaf {} in iteration {} of lane {}\nOpen samples of this run's challenge.",
        .0.leaf, .0.iteration, .0.lane
    )]
    NoSuchLeaf(SamplePoint),
    /// A tile came out differently the second time.
    #[error(
        "lane {lane} ({device}) computed tile {tile} of iteration {iteration} differently \
         the second time: root {first}, then {second}\n\
         The device is faulty or was unstable; don't submit this run."
    )]
    Unstable {
        /// Which lane.
        lane: u32,
        /// Its device.
        device: String,
        /// i.
        iteration: u32,
        /// The tile's index in the iteration.
        tile: u64,
        /// The root kept from the run.
        first: Digest,
        /// The root of the leaves recomputed for the opening.
        second: Digest,
    },
}

/// What a lane did.
#[derive(Clone, Debug)]
pub struct LaneExecution {
    /// What it says of itself.
    pub facts: LaneFacts,
    /// D(g,1) … D(g,T).
    pub roots: Vec<Digest>,
    /// Roots of the tiles' subtrees, iteration after iteration, each in tile
    /// order.
    pub tile_roots: Vec<Digest>,
    /// s(g,0) … s(g,T).
    pub states: Vec<Digest>,
    /// Tiles per SM.
    pub sm_tiles: SmTiles,
    /// From the common start of the lanes to this lane's last root.
    pub elapsed: Duration,
    /// When it came to and left each sync point; empty where it was alone.
    pub barriers: Vec<BarrierTimes>,
}

/// A finished run. It keeps the executors, to open samples.
pub struct Execution {
    /// In lane order.
    pub lanes: Vec<LaneExecution>,
    /// From the common start to the last lane's last root.
    pub elapsed: Duration,
    shape: Shape,
    executors: Vec<Box<dyn Executor>>,
}

/// How far apart the lanes came to their sync points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skew {
    /// The largest distance between first and last arrival.
    pub worst_ns: u64,
    /// The iteration of that sync point.
    pub worst_iteration: u32,
    /// The mean distance.
    pub mean_ns: u64,
}

impl Execution {
    /// n and m of the run.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The arrival skew; `None` where the lanes never met.
    pub fn skew(&self) -> Option<Skew> {
        let meetings = self.lanes.first()?.barriers.len();
        let spread = |at: usize| {
            let arrivals = self.lanes.iter().map(|lane| lane.barriers[at].arrived_ns);
            let first = arrivals.clone().min().unwrap_or(0);
            arrivals.max().unwrap_or(0) - first
        };
        let worst = (0..meetings).max_by_key(|&at| spread(at))?;
        let total: u128 = (0..meetings).map(|at| u128::from(spread(at))).sum();
        Some(Skew {
            worst_ns: spread(worst),
            worst_iteration: self.lanes[0].barriers[worst].iteration,
            mean_ns: (total / meetings as u128) as u64,
        })
    }
}

/// Runs `challenge` on `executors`, lane g on executor g.
///
/// # Errors
/// See [`RunError`]. After an error the executors are gone; those of hung lanes
/// are left to their threads.
pub fn execute(
    challenge: &Challenge,
    executors: Vec<Box<dyn Executor>>,
    options: &RunOptions,
    progress: &Progress<'_>,
) -> Result<Execution, RunError> {
    check_lanes(challenge, &executors)?;
    let shape = challenge.shape();
    let facts: Vec<LaneFacts> = executors.iter().map(|e| e.facts().clone()).collect();
    let shared = Arc::new(Shared::new(
        Work::of(challenge),
        Meeting::new(challenge.digest(), executors.len()),
        executors.len(),
        options.stop.clone(),
    ));
    let (sender, reports) = mpsc::channel();
    for (lane, executor) in executors.into_iter().enumerate() {
        let (lane_shared, sender) = (shared.clone(), sender.clone());
        // Not scoped: nothing may wait for a thread that hangs in a driver.
        let thread = std::thread::Builder::new().name(format!("lane {lane}")).spawn(move || {
            // The receiver is gone only if this lane was given up as hung.
            let _ = sender.send((lane, lane::run(lane, executor, &lane_shared)));
        });
        if let Err(error) = thread {
            shared.abort();
            let (lane, device) = (lane as u32, facts[lane].model.clone());
            let cause = format!("no thread: {error}");
            return Err(RunError::Broken { lane, device, iteration: 0, cause });
        }
    }
    drop(sender);

    let mut watch = Watch { shared: &shared, facts: &facts, patience: options.patience, shape };
    let finished = watch.wait(&reports, progress)?;
    let (executors, lanes): (Vec<_>, Vec<LaneExecution>) = finished.into_iter().unzip();
    let elapsed = lanes.iter().map(|lane| lane.elapsed).max().unwrap_or_default();
    Ok(Execution { lanes, elapsed, shape, executors })
}

fn check_lanes(challenge: &Challenge, executors: &[Box<dyn Executor>]) -> Result<(), RunError> {
    if executors.is_empty() {
        return Err(RunError::NoLanes);
    }
    let (got, most) = (executors.len(), challenge.max_lanes());
    let exactly = challenge.spec().gpu_count.is_some();
    if got > most as usize || (exactly && got != most as usize) {
        let expected = format!("{} {most}", if exactly { "exactly" } else { "at most" });
        return Err(RunError::LaneCount { got, expected });
    }
    for (second, executor) in executors.iter().enumerate() {
        let uuid = executor.facts().uuid;
        if let Some(first) = executors[..second].iter().position(|e| e.facts().uuid == uuid) {
            return Err(RunError::DuplicateUuid {
                first: first as u32,
                second: second as u32,
                uuid,
            });
        }
    }
    Ok(())
}

type Finished = (Box<dyn Executor>, LaneExecution);
type Report = (usize, Result<Finished, lane::Failure>);

/// The caller's thread while the lanes run.
struct Watch<'a> {
    shared: &'a Shared,
    facts: &'a [LaneFacts],
    patience: Patience,
    shape: Shape,
}

impl Watch<'_> {
    /// Waits for every lane that still lives; the first failure is the run's.
    fn wait(
        &mut self,
        reports: &mpsc::Receiver<Report>,
        progress: &Progress<'_>,
    ) -> Result<Vec<Finished>, RunError> {
        let lanes = self.facts.len();
        let mut finished: Vec<Option<Finished>> = (0..lanes).map(|_| None).collect();
        let mut ended = vec![false; lanes];
        let mut failure = None;
        while ended.contains(&false) {
            match reports.recv_timeout(WATCH_INTERVAL) {
                Ok((lane, Ok(done))) => {
                    ended[lane] = true;
                    finished[lane] = Some(done);
                }
                Ok((lane, Err(cause))) => {
                    ended[lane] = true;
                    self.shared.abort();
                    // Lanes that end because another did have nothing to say.
                    if let Some(error) = self.explain(lane, cause) {
                        failure.get_or_insert(error);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    if self.shared.stop.load(Ordering::Relaxed) {
                        self.shared.abort();
                    }
                    for (lane, silent) in self.hung(&ended) {
                        ended[lane] = true;
                        self.shared.abort();
                        failure.get_or_insert(RunError::Hung {
                            lane: lane as u32,
                            device: self.facts[lane].model.clone(),
                            iteration: self.shared.signs[lane].iteration(),
                            silent_ms: silent.as_millis() as u64,
                        });
                    }
                }
                // Every lane sends a report, even one that panics.
                Err(RecvTimeoutError::Disconnected) => break,
            }
            progress(&self.done());
        }
        match finished.into_iter().collect::<Option<Vec<_>>>() {
            Some(finished) if failure.is_none() => Ok(finished),
            _ => Err(failure.unwrap_or_else(|| RunError::Stopped {
                iterations: self.done().into_iter().min().unwrap_or(0),
            })),
        }
    }

    fn done(&self) -> Vec<u32> {
        self.shared.signs.iter().map(lane::Signs::done).collect()
    }

    /// Lanes that have been silent too long, and for how long.
    fn hung(&self, ended: &[bool]) -> Vec<(usize, Duration)> {
        let signs = self.shared.signs.iter();
        let longest = signs.clone().map(lane::Signs::longest_gap).max().unwrap_or_default();
        let limit = match self.patience {
            Patience::Fixed(limit) => limit,
            Patience::Observed if longest.is_zero() => {
                Duration::from_secs(600 + self.shape.multiply_adds() / 100_000_000)
            }
            Patience::Observed => Duration::from_secs(60) + 20 * longest,
        };
        let now = self.shared.now();
        (signs.enumerate().filter(|(lane, _)| !ended[*lane]))
            .filter_map(|(lane, signs)| Some((lane, signs.silence(now)?)))
            .filter(|(_, silent)| *silent > limit)
            .collect()
    }

    /// `None` for a lane that ended only because the run had.
    fn explain(&self, lane: usize, cause: lane::Failure) -> Option<RunError> {
        let device = self.facts[lane].model.clone();
        let iteration = self.shared.signs[lane].iteration();
        let lane = lane as u32;
        match cause {
            lane::Failure::Aborted => None,
            lane::Failure::Executor(source) => {
                Some(RunError::Lane { lane, device, iteration, source })
            }
            lane::Failure::Broken(cause) => {
                Some(RunError::Broken { lane, device, iteration, cause })
            }
        }
    }
}

/// Nanoseconds since `start`; a run of 584 years would overflow.
fn nanoseconds_since(start: Instant) -> u64 {
    start.elapsed().as_nanos() as u64
}
