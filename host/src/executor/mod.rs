//! What executes the work: the trait, and its two homes.
//!
//! A lane's chain is cut at sync points into segments. Inside a segment the
//! chain needs nothing from other lanes, so an executor runs it in one go and
//! the caller takes the step over the sync point.
//!
//! Guarantees: every executor computes the same bits, which
//! [`crate::selftest`] compares with the oracle's; counts of tiles that do not add
//! up are no evidence.
//! Deliberately lacks: policy. It does what the plan says.

pub mod abandoned;
pub mod cpu;
pub mod gpu;
pub mod host_memory;
pub mod lanes;

use crate::protocol::chain;
use crate::protocol::digest::{Digest, Uuid};
use crate::protocol::evidence::document::LaneDetails;
use crate::protocol::names::{Root, State};
use crate::protocol::quantity::about;
use crate::protocol::work::fp64_product::Fp64Product;
use crate::protocol::work::{IterationPlace, RunInputs, Work};
use std::any::Any;
use std::ops::ControlFlow;
use std::sync::Arc;

/// What to try if the system gives no thread.
pub const NO_THREAD: &str = "Raise the limit of processes and threads (ulimit -u; pids.max of \
                             the container) or of address space (ulimit -v), or end others.";

/// "gpu" or "cpu", as in the evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A CUDA device.
    Gpu,
    /// The host's cores.
    Cpu,
}

/// What a lane reports in the evidence.
#[derive(Clone, Debug)]
pub struct LaneFacts {
    /// Which executor.
    pub kind: Kind,
    /// Binds the lane's chain: `cuDeviceGetUuid_v2`, or the CPU executor's choice.
    pub uuid: Uuid,
    /// Device name.
    pub model: String,
    /// Device memory in bytes.
    pub memory_bytes: u64,
    /// SMs; 0 on a CPU.
    pub sm_count: u32,
    /// What else the evidence has of this lane (kernel variant, driver, …).
    pub details: LaneDetails,
}

/// Tiles completed per SM since [`Executor::begin`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SmTiles {
    /// One count per SM.
    Counted(Vec<u64>),
    /// A GPU whose counters could not be trusted, and why.
    Unavailable(String),
    /// Not a GPU.
    NotApplicable,
}

impl SmTiles {
    /// One count per SM, if they add up to `tiles`, the tiles that were computed.
    /// Numbers that don't are no evidence: then the reason is given.
    pub(super) fn counted(counts: Vec<u64>, tiles: u64) -> Self {
        let sms = counts.len();
        let sum: u128 = counts.iter().map(|&count| u128::from(count)).sum();
        if sum == u128::from(tiles) {
            Self::Counted(counts)
        } else if sum == 0 {
            Self::Unavailable(format!("the counters of all {sms} SMs are zero"))
        } else {
            Self::Unavailable(format!("the counters of {sms} SMs add up to {sum} tiles of {tiles}"))
        }
    }
}

/// Where a device's time went since [`Executor::begin`], by its own clock, ns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceTiming {
    /// Iterations whose phases were timed, spread over the run.
    pub sampled_iterations: u32,
    /// Drawing the operands, the mean of those iterations.
    pub fill_ns: u64,
    /// Multiplying and hashing.
    pub product_ns: u64,
    /// The Merkle tree above the tiles, and the chain's step.
    pub tree_and_step_ns: u64,
    /// From each segment's first kernel to its last, all of them.
    pub in_segments_ns: u64,
    /// Between segments, in order of iterations. Of a device whose kernels were
    /// replaced on the way, only those since.
    pub idle: Vec<IdleTime>,
}

/// How long a device had nothing to do between two segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdleTime {
    /// The last iteration before it.
    pub after_iteration: u32,
    /// From its last kernel's end to the next segment's start, by the device's
    /// clock, ns.
    pub ns: u64,
}

impl DeviceTiming {
    /// Idle between segments, in all, ns.
    pub fn between_segments_ns(&self) -> u64 {
        self.idle.iter().map(|idle| idle.ns).sum()
    }

    /// Idle after iteration `after`, ns; `None` if that is not known.
    pub fn idle_after(&self, after: u32) -> Option<u64> {
        let at = self.idle.binary_search_by_key(&after, |idle| idle.after_iteration).ok()?;
        Some(self.idle[at].ns)
    }
}

/// When the SMs of a device began and ended, by the device's clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmActivity {
    /// Of each SM, its first and its last tile, ns since the first tile of all;
    /// `None`: it had none.
    pub spans: Vec<Option<(u64, u64)>>,
}

impl SmActivity {
    /// Between the first tile of the first SM and the first tile of the last, ns.
    pub fn first_spread_ns(&self) -> u64 {
        spread(self.spans.iter().flatten().map(|span| span.0))
    }

    /// Between the last tile of the first SM and the last tile of the last, ns.
    pub fn last_spread_ns(&self) -> u64 {
        spread(self.spans.iter().flatten().map(|span| span.1))
    }
}

fn spread(times: impl Iterator<Item = u64> + Clone) -> u64 {
    times.clone().max().unwrap_or(0) - times.min().unwrap_or(0)
}

/// What a lane of a run is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// Of each iteration.
    pub work: Work,
    /// Index of the lane, from 0 (g).
    pub lane: u32,
    /// s(g,0) of every lane of the run, in lane order.
    pub seeds: Arc<[State]>,
}

impl Assignment {
    /// That of lane `lane` of a run.
    pub fn of(run: &RunInputs<'_>, lane: u32) -> Self {
        Self { work: run.work, lane, seeds: run.seeds.into() }
    }

    /// What its leaves follow from.
    pub fn run(&self) -> RunInputs<'_> {
        RunInputs { work: self.work, seeds: &self.seeds }
    }
}

/// FP64 products need nothing but the states of their iterations.
impl From<Fp64Product> for Assignment {
    fn from(work: Fp64Product) -> Self {
        Self { work: work.into(), lane: 0, seeds: Arc::new([]) }
    }
}

/// Memory of a lane that the other lanes of a run read; executors of one kind know each
/// other's.
pub type SharedMemory = Arc<dyn Any + Send + Sync>;

/// A run of iterations on one lane.
#[derive(Clone, Copy, Debug)]
pub struct Segment {
    /// i of the first iteration (1-based).
    pub first_iteration: u32,
    /// How many, at least 1.
    pub iterations: u32,
    /// s(g, first−1).
    pub start: State,
    /// If this lane is the only one: c and S, so that sync points inside
    /// the segment are stepped over without the caller. Otherwise `None`, and
    /// no sync point lies inside (the last iteration may be one).
    pub solo_sync: Option<SoloSync>,
}

/// What a single lane needs to take sync steps by itself.
#[derive(Clone, Copy, Debug)]
pub struct SoloSync {
    /// Digest of the challenge (c).
    pub challenge: Digest,
    /// Iterations between sync points (S).
    pub interval: u32,
}

impl SoloSync {
    /// X(i) of the iteration with this root; `None` if it is no sync point.
    pub fn digest(&self, iteration: u32, root: &Root) -> Option<Digest> {
        let is_sync = iteration.is_multiple_of(self.interval);
        is_sync.then(|| chain::sync_digest(&self.challenge, iteration, &[*root]))
    }
}

/// What one iteration yields.
#[derive(Clone, Copy, Debug)]
pub struct IterationOutput<'a> {
    /// The iteration, from 1 (i).
    pub iteration: u32,
    /// D(g,i).
    pub root: Root,
    /// Roots of the tiles' subtrees, in tile order over all products; none if they come
    /// late ([`Executor::defer_tile_roots`]).
    pub tile_roots: &'a [Digest],
}

/// A tile whose leaf hashes are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TileRequest {
    /// Its iteration.
    pub at: IterationPlace,
    /// Its index among the iteration's tiles.
    pub tile: u64,
}

impl TileRequest {
    /// The tile that leaf `leaf` of an iteration of `work` is in.
    pub fn with_leaf(work: Work, at: IterationPlace, leaf: u64) -> Self {
        Self { at, tile: leaf / work.leaves_per_tile() }
    }

    /// The index of its first leaf.
    pub fn first_leaf(&self, work: Work) -> u64 {
        self.tile * work.leaves_per_tile()
    }
}

/// Why an executor could not do its work. Text in two lines: what happened,
/// what to try.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ExecError {
    /// A device or its kernels failed, without a result of the driver's.
    #[error("{what} failed on {device}: {cause}\n{advice}")]
    Device {
        /// Which operation or kernel.
        what: String,
        /// Which device.
        device: String,
        /// The driver's words.
        cause: String,
        /// What to try.
        advice: String,
    },
    /// A call of the driver failed.
    #[error("{what} failed on {device}: {cause}\n{advice}")]
    Driver {
        /// Which operation or kernel.
        what: String,
        /// Which device.
        device: String,
        /// The driver's result.
        code: u32,
        /// The call, the result's name and meaning.
        cause: String,
        /// What to try.
        advice: String,
    },
    /// Not enough memory.
    #[error(
        "{device} has {} free and {} are needed\n{advice}",
        about(*free_bytes as f64, "B"),
        about(*needed_bytes as f64, "B")
    )]
    Memory {
        /// Which device.
        device: String,
        /// Needed for the smallest chunk.
        needed_bytes: u64,
        /// Free when asked.
        free_bytes: u64,
        /// What to try.
        advice: String,
    },
    /// The device did not come to an end of what it was asked for.
    #[error(
        "{what} hung on {device}: no end after {} s\nthe device stays busy until this process ends; see dmesg for Xid lines, and try again when nothing else uses it",
        waited_ms / 1000
    )]
    Hung {
        /// Which kernel, and in what.
        what: String,
        /// Which device.
        device: String,
        /// How long it was waited for.
        waited_ms: u64,
    },
    /// The system gave no thread to use the device on, which says nothing of the device.
    #[error("{device} was not used: no thread: {cause}\n{NO_THREAD}")]
    NoThread {
        /// Which device.
        device: String,
        /// The system's words.
        cause: String,
    },
    /// The sink asked to stop.
    #[error("stopped")]
    Stopped,
}

impl ExecError {
    /// An arena was to be read, and `device` has none.
    pub(crate) fn no_arena(device: &str) -> Self {
        Self::Device {
            what: "reading blocks of the arena".to_owned(),
            device: device.to_owned(),
            cause: "there is no arena".to_owned(),
            advice: "begin memory residency first".to_owned(),
        }
    }
}

/// Receives each iteration's output in order; `Break` stops the run.
pub type Sink<'a> = dyn FnMut(IterationOutput<'_>) -> ControlFlow<()> + 'a;

/// Receives tile roots that are late, iteration after iteration.
pub type Collect = Box<dyn FnMut(&[Digest]) + Send>;

/// One lane's means of computing.
pub trait Executor: Send {
    /// What it is.
    fn facts(&self) -> &LaneFacts;

    /// Takes what an assignment needs, of memory and of preparation, and clears the SM
    /// counters.
    ///
    /// # Errors
    /// [`ExecError::Memory`] if it doesn't fit; device faults.
    fn begin(&mut self, assignment: &Assignment) -> Result<(), ExecError>;

    /// After [`Executor::begin`], the memory that other lanes read; `None` if they need
    /// none of it.
    fn share(&mut self) -> Option<SharedMemory> {
        None
    }

    /// What [`Executor::share`] gave on every lane, in lane order, before the first
    /// [`Executor::run`].
    ///
    /// # Errors
    /// Device faults; memory that cannot be reached.
    fn connect(&mut self, _lanes: &[Option<SharedMemory>]) -> Result<(), ExecError> {
        Ok(())
    }

    /// Computes a segment, giving each iteration to `sink` in order.
    ///
    /// # Errors
    /// Device faults, and [`ExecError::Stopped`] if the sink breaks.
    fn run(&mut self, segment: &Segment, sink: &mut Sink<'_>) -> Result<(), ExecError>;

    /// Until the next [`Executor::begin`], lets the tile roots of each segment's last
    /// iteration come late: to `collect`, while the next segment is computed, before
    /// anything of that is given to its sink. Lanes that wait for each other need roots
    /// alone, and tile roots of a large arena take the host longer than the barrier does.
    /// An executor that gives everything at once ignores it.
    fn defer_tile_roots(&mut self, _collect: Collect) {}

    /// Collects what is late, at the end of a run or before it is kept.
    fn settle(&mut self) {}

    /// The leaf hashes of each requested tile, in request order. A kind of work that
    /// reads them back asks for the same assignment to have been begun.
    ///
    /// # Errors
    /// Device faults.
    fn leaf_hashes(
        &mut self,
        assignment: &Assignment,
        tiles: &[TileRequest],
    ) -> Result<Vec<Vec<Digest>>, ExecError>;

    /// The words of `count` blocks from block `first` on of the arena that the last
    /// [`Executor::begin`] filled, as they lie there now.
    ///
    /// # Errors
    /// Device faults; there is no arena.
    ///
    /// # Panics
    /// If the arena has no such blocks.
    fn read_blocks(&mut self, _first: u64, _count: u64) -> Result<Vec<[u32; 4]>, ExecError> {
        Err(ExecError::no_arena(&self.facts().model))
    }

    /// Tiles per SM of the iterations run since [`Executor::begin`].
    ///
    /// # Errors
    /// Device faults.
    fn sm_tiles(&mut self) -> Result<SmTiles, ExecError>;

    /// Where its time went since [`Executor::begin`]; `None` if nothing
    /// measures that.
    fn timing(&self) -> Option<DeviceTiming> {
        None
    }

    /// When the SMs were at work, as the counters of the last
    /// [`Executor::sm_tiles`] have it; `None` if there are none to trust.
    fn sm_activity(&self) -> Option<SmActivity> {
        None
    }

    /// Gives up what the last [`Executor::begin`] and its openings took, and keeps
    /// what every run needs: the device's context, its kernels. [`Executor::begin`]
    /// comes next.
    fn rest(&mut self) {}
}
