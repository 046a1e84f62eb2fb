//! Runs a challenge on several executors, one thread a lane.
//!
//! ```text
//! execute ─ lane threads ─ Barrier     sync points: roots exchanged, X(i)
//!         └ watchdog                   hung lanes, the stop flag, progress
//!         └ Checkpointer               sync points for a checkpoint
//! Resumed ─ resume                     goes on from such sync points
//! Execution ─ open                     sampled tiles again, audit paths
//! ```
//!
//! Guarantees: the chain is stepped exactly as docs/protocol.md says; a lane
//! that fails, panics or falls silent ends the run with lane, device,
//! iteration and cause, and nobody waits for it; a stop is heeded within an
//! iteration.
//! Deliberately lacks: choosing devices, samples, commitments and files.

mod barrier;
mod checkpointer;
mod counters;
mod error;
mod lane;
mod openings;
mod resume;
mod watch;

use super::{DeviceTiming, ExecError, Executor, LaneFacts, SmActivity, SmTiles};
use crate::protocol::challenge::Challenge;
use crate::protocol::digest::{Digest, Uuid};
use crate::protocol::evidence::document::RunNotes;
use crate::protocol::names::{Root, State};
use crate::protocol::work::Work;
use barrier::Barrier;
use lane::{Orders, Shared};
use resume::ResumedLane;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc;
use std::time::{Duration, Instant};
use watch::Watch;

pub use barrier::BarrierTimes;
pub use checkpointer::{Checkpointer, Kept, KeptLane};
pub use error::RunError;
pub use resume::{Resumed, Unfit};

/// How long a lane may give no sign of life while it computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Patience {
    /// A minute more than twenty times the longest silence so far of any lane;
    /// before the first sign ten minutes more than the iteration takes at 10⁸
    /// multiply-adds a second, on a GPU at 10¹⁰.
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
    /// Takes sync points to go on from later; `None`: none are kept.
    pub checkpointer: Option<Arc<Checkpointer>>,
}

/// Called about ten times a second and at the end, with the number of
/// iterations that each lane has done.
pub type Progress<'a> = dyn Fn(&[u32]) + 'a;

/// What a lane did.
#[derive(Clone, Debug)]
pub struct LaneExecution {
    /// What it reports.
    pub facts: LaneFacts,
    /// D(g,1) … D(g,T).
    pub roots: Vec<Root>,
    /// Roots of the tiles' subtrees, iteration after iteration, each in tile
    /// order.
    pub tile_roots: Vec<Digest>,
    /// s(g,0) … s(g,T).
    pub states: Vec<State>,
    /// Tiles per SM.
    pub sm_tiles: SmTiles,
    /// When the SMs were at work, if that is known.
    pub sm_activity: Option<SmActivity>,
    /// From the common start of the lanes to this lane's last root, with the
    /// time that earlier processes spent.
    pub elapsed: Duration,
    /// When it was ready and when all were, before the first iteration of this
    /// process; `None` if it was alone.
    pub start: Option<BarrierTimes>,
    /// When it came to and left each sync point; empty if it was alone.
    /// Those of earlier processes are gone.
    pub barriers: Vec<BarrierTimes>,
    /// When it was done and when all were; `None` if it was alone, and if
    /// the last iteration is a sync point.
    pub end: Option<BarrierTimes>,
    /// Where the device's time went, by its own clock, if it has one.
    pub device: Option<DeviceTiming>,
}

/// A finished run. It keeps the executors, to open samples.
pub struct Execution {
    /// In lane order.
    pub lanes: Vec<LaneExecution>,
    /// From the common start to the last lane's last root, with the time that
    /// earlier processes spent.
    pub elapsed: Duration,
    /// The last iteration of earlier processes; 0 if there were none.
    pub resumed_after: u32,
    /// The time that they spent.
    pub elapsed_before: Duration,
    /// Further evidence about the run as a whole.
    pub notes: RunNotes,
    work: Work,
    seeds: Arc<[State]>,
    patience: Patience,
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
    /// The work of each iteration of the run.
    pub fn work(&self) -> Work {
        self.work
    }

    /// How often the lanes met in this process.
    pub(crate) fn sync_points(&self) -> usize {
        self.lanes.first().map_or(0, |lane| lane.barriers.len())
    }

    /// First and last arrival at the `at`-th sync point, ns since the common start.
    pub(crate) fn arrivals(&self, at: usize) -> (u64, u64) {
        let arrivals = self.lanes.iter().map(|lane| lane.barriers[at].arrived_ns);
        (arrivals.clone().min().unwrap_or(0), arrivals.max().unwrap_or(0))
    }

    /// The arrival skew; `None` if the lanes never met.
    pub fn skew(&self) -> Option<Skew> {
        let sync_points = self.sync_points();
        let spread = |at: usize| {
            let (first, last) = self.arrivals(at);
            last - first
        };
        let worst = (0..sync_points).max_by_key(|&at| spread(at))?;
        let total: u128 = (0..sync_points).map(|at| u128::from(spread(at))).sum();
        Some(Skew {
            worst_ns: spread(worst),
            worst_iteration: self.lanes[0].barriers[worst].iteration,
            mean_ns: (total / sync_points as u128) as u64,
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
    let uuids: Vec<Uuid> = executors.iter().map(|executor| executor.facts().uuid).collect();
    resume(challenge, executors, Resumed::nothing(challenge, &uuids), options, progress)
}

/// Goes on with a run of `challenge` that other processes began, on the same
/// devices in the same order.
///
/// # Errors
/// As [`execute`].
///
/// # Panics
/// If `before` is of other UUIDs: whoever read it has compared them.
pub fn resume(
    challenge: &Challenge,
    executors: Vec<Box<dyn Executor>>,
    before: Resumed,
    options: &RunOptions,
    progress: &Progress<'_>,
) -> Result<Execution, RunError> {
    check_lanes(challenge, &executors)?;
    let uuids: Vec<Uuid> = executors.iter().map(|executor| executor.facts().uuid).collect();
    let seeds = Resumed::nothing(challenge, &uuids).lanes;
    let starts = before.lanes.iter().map(|lane| lane.states.first());
    assert!(starts.eq(seeds.iter().map(|lane| lane.states.first())), "a run of other lanes");
    let work = challenge.work();
    let first = |lane: &ResumedLane| *lane.states.first().expect("a lane starts with its seed");
    let seeds: Arc<[State]> = before.lanes.iter().map(first).collect();
    let (resumed_after, elapsed_before) = (before.through, before.elapsed);
    let facts: Vec<LaneFacts> = executors.iter().map(|e| e.facts().clone()).collect();
    let shared = Arc::new(Shared::new(
        Orders::of(challenge, before.through, before.elapsed),
        Barrier::new(challenge.digest(), executors.len()),
        Arc::clone(&seeds),
        options.stop.clone(),
        options.checkpointer.clone(),
    ));
    let (sender, reports) = mpsc::channel();
    for (lane, (executor, done)) in executors.into_iter().zip(before.lanes).enumerate() {
        let (lane_shared, sender) = (shared.clone(), sender.clone());
        // Not scoped: nothing may wait for a thread that hangs in a driver.
        let span = lane_span(lane, &facts[lane]);
        let thread = std::thread::Builder::new().name(format!("lane {lane}")).spawn(move || {
            let _span = span.entered();
            let report = lane::run(lane, executor, done, &lane_shared);
            // Whoever has the report may count on the checkpointer's being free.
            drop(lane_shared);
            // The receiver is gone only if this lane was given up as hung.
            let _ = sender.send((lane, report));
        });
        if let Err(error) = thread {
            shared.abort();
            let device = facts[lane].model.clone();
            let (own, cause) = (device.clone(), error.to_string());
            let source = Box::new(ExecError::NoThread { device: own, cause });
            return Err(RunError::Lane { lane: lane as u32, device, iteration: 0, source });
        }
    }
    drop(sender);

    let watch = Watch { shared: &shared, facts: &facts, patience: options.patience, work };
    let finished = watch.wait(&reports, progress)?;
    let (executors, lanes): (Vec<_>, Vec<LaneExecution>) = finished.into_iter().unzip();
    let elapsed = lanes.iter().map(|lane| lane.elapsed).max().unwrap_or_default();
    Ok(Execution {
        lanes,
        elapsed,
        resumed_after,
        elapsed_before,
        notes: RunNotes::default(),
        work,
        seeds,
        patience: options.patience,
        executors,
    })
}

/// Everything that this lane does, in log lines.
pub(crate) fn lane_span(lane: usize, facts: &LaneFacts) -> tracing::Span {
    tracing::info_span!("lane", lane, device = facts.model)
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

/// A lane's executor and what it did.
type Finished = (Box<dyn Executor>, LaneExecution);

/// Nanoseconds since `start`; a run of 584 years would overflow.
fn nanoseconds_since(start: Instant) -> u64 {
    start.elapsed().as_nanos() as u64
}
