//! Is this machine healthy: does every executor and every kernel variant
//! present give the oracle's bits?
//!
//! ```text
//! plan    every subject, known before anything is checked
//! suite   the cases of each kind of work
//! gpus    a variant on a device, within its deadlines
//! check   the one checker          vectors  of independent programs
//! lanes   executors, one a lane    stress   the same chain for hours
//! ```
//!
//! Guarantees: every subject goes through the same checker ([`check`]); one
//! differing bit is a difference; what is absent is a row that says so; if a kernel
//! does not end, a row names it and the other devices are checked.
//! Deliberately lacks: a tolerance, and speed figures.

pub mod check;
mod fold;
mod gpus;
mod lanes;
mod plan;
mod replay;
pub mod stress;
mod suite;
pub mod vectors;

use crate::error_text::{in_one_line, what_happened};
use crate::executor::ExecError;
use crate::executor::gpu::{NoGpu, PATIENCE, PtxFile};
use crate::mining::devices::GpuDemand;
use check::CheckError;
use std::sync::Arc;
use std::time::Duration;
use vectors::{VectorError, VectorFile};

pub use lanes::LaneExecutors;
pub use plan::{Item, ItemEvent, SelftestPlan};

/// One line of the table.
#[derive(Clone, Debug)]
pub struct Row {
    /// What was checked.
    pub subject: String,
    /// The cases that it was checked on.
    pub cases: String,
    /// What came out.
    pub outcome: Outcome,
    /// How long it took.
    pub elapsed: Duration,
}

/// What came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every bit as it must be.
    Same,
    /// Not on this machine, and why; not a fault.
    Absent(String),
    /// Differs, and where first.
    Differs(String),
    /// Could not be checked, and why; the machine is not healthy.
    Failed(String),
    /// A kernel did not end in time, and which.
    Hung(String),
    /// Not checked, as its device hangs in another subject.
    NotRun(String),
    /// Not checked, for a reason that says nothing of the machine's health: the system
    /// gave no thread.
    NotJudged(String),
}

impl Outcome {
    /// Neither a difference nor a failure.
    pub fn is_healthy(&self) -> bool {
        matches!(self, Self::Same | Self::Absent(_))
    }
}

impl From<ExecError> for Outcome {
    fn from(error: ExecError) -> Self {
        match error {
            ExecError::Hung { .. } => Self::Hung(what_happened(error)),
            ExecError::NoThread { .. } => Self::NotJudged(in_one_line(error)),
            error => Self::Failed(in_one_line(error)),
        }
    }
}

impl From<&NoGpu> for Outcome {
    fn from(no_gpu: &NoGpu) -> Self {
        match no_gpu {
            NoGpu::NoThread { .. } => Self::NotJudged(in_one_line(no_gpu)),
            no_gpu if no_gpu.is_absence() => Self::Absent(what_happened(no_gpu)),
            no_gpu => Self::Failed(in_one_line(no_gpu)),
        }
    }
}

impl From<Result<(), CheckError>> for Outcome {
    fn from(result: Result<(), CheckError>) -> Self {
        match result {
            Ok(()) => Self::Same,
            Err(CheckError::Differs(difference)) => Self::Differs(difference.to_string()),
            Err(CheckError::Executor(error @ ExecError::NoThread { .. })) => error.into(),
            Err(error) => Self::Failed(in_one_line(error)),
        }
    }
}

impl From<Result<(), VectorError>> for Outcome {
    fn from(result: Result<(), VectorError>) -> Self {
        match result {
            Ok(()) => Self::Same,
            Err(error @ (VectorError::Mismatch { .. } | VectorError::Verify(_))) => {
                Self::Differs(what_happened(error))
            }
            Err(error) => Self::Failed(what_happened(error)),
        }
    }
}

/// What to check.
#[derive(Clone, Debug)]
pub struct Options {
    /// Vector files to check besides executors and variants.
    pub vector_files: Arc<[VectorFile]>,
    /// PTX files whose kernels are checked like the embedded ones, on every GPU.
    pub ptx_files: Vec<PtxFile>,
    /// Only subjects whose name contains this text, in capitals or not.
    pub only: Option<String>,
    /// Which GPUs are to be checked.
    pub gpus: GpuDemand,
    /// How long a GPU may take beyond what its work does on a slow one.
    pub patience: Duration,
}

impl Default for Options {
    fn default() -> Self {
        let (vector_files, ptx_files) = (Arc::new([]), Vec::new());
        let gpus = GpuDemand::default();
        Self { vector_files, ptx_files, only: None, gpus, patience: PATIENCE }
    }
}

/// What all rows say together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Something was checked, and every row is healthy.
    Healthy,
    /// Some row is not.
    Faulty,
    /// There was no row, or only rows of what is absent: nothing was checked.
    NothingChecked,
    /// No row is faulty, and something could not be checked, which says nothing of it.
    NotJudged,
}
