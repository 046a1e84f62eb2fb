//! Why a run ended without a result.

use crate::executor::ExecError;
use crate::protocol::digest::{Digest, Uuid};
use crate::protocol::sample::SamplePoint;

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
        source: Box<ExecError>,
    },
    /// A lane gave no sign of life for longer than [`Patience`](super::Patience) allows.
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
    /// An executor panicked or broke the contract of [`Executor::run`](crate::executor::Executor::run).
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
        /// The iteration, from 1 (i).
        iteration: u32,
        /// The tile's index in the iteration.
        tile: u64,
        /// The root kept from the run.
        first: Digest,
        /// The root of the leaves recomputed for the opening.
        second: Digest,
    },
}
