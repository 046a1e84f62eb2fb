//! The time of each phase of an iteration, by events.

use super::turns::{prepare, products, repeat_ms};
use crate::executor::ExecError;
use crate::executor::gpu::executor::GpuExecutor;
use crate::executor::gpu::launch::{Hashing, StepRule};
use serde::Serialize;
use std::time::Duration;

/// How long each phase is repeated.
const TURN: Duration = Duration::from_millis(150);

/// Time of each phase in one iteration, by events.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Phases {
    /// Operands.
    pub fill_ms: f64,
    /// Product with hashing.
    pub product_ms: f64,
    /// Product without.
    pub bare_product_ms: f64,
    /// Merkle tree and chain step.
    pub tree_and_step_ms: f64,
    /// A whole iteration, kernels launched one by one.
    pub iteration_ms: f64,
    /// Bytes that fill writes a second, in 10¹².
    pub fill_tb_s: f64,
}

impl Phases {
    /// Share of an iteration that the tree and the chain's step take.
    pub fn tail_share(&self) -> f64 {
        self.tree_and_step_ms / self.iteration_ms
    }
}

/// Each phase alone, over enough repetitions to be exact.
pub(super) fn phases(executor: &mut GpuExecutor) -> Result<Phases, ExecError> {
    let _doing = executor.supervisor().begin("the phases");
    let (gpu, kernels, lane) = executor.parts()?;
    let _unmarked = gpu.supervisor().without_marks();
    prepare(gpu, kernels, lane)?;
    let rule = StepRule { challenge: [0; 8], solo_interval: 0 };
    let lane = &*lane;
    let ms = |work: &dyn Fn() -> Result<(), ExecError>| repeat_ms(gpu, TURN, work);
    let fill_ms = ms(&|| lane.plan.chunks().try_for_each(|chunk| lane.fill(gpu, kernels, chunk)))?;
    Ok(Phases {
        fill_ms,
        product_ms: ms(&|| products(gpu, kernels, lane, Hashing::Hashed))?,
        bare_product_ms: ms(&|| products(gpu, kernels, lane, Hashing::Bare))?,
        tree_and_step_ms: ms(&|| lane.tree_and_step(gpu, kernels, rule))?,
        iteration_ms: ms(&|| lane.iteration(gpu, kernels, rule))?,
        fill_tb_s: lane.plan.shape().operand_bytes() as f64 / (fill_ms * 1e9),
    })
}
