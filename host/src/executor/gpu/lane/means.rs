//! What a lane has of device memory for its kind of work alone.

use crate::executor::gpu::driver::{DeviceMemory, Gpu};
use crate::work::memory_residency::gpu::ArenaLane;
use cuda_driver::Failure;

/// Device memory that openings may use between runs.
#[derive(Debug)]
pub(in crate::executor::gpu) struct Workspace {
    /// Packed operands.
    pub operands: DeviceMemory,
    /// Scratch for the largest grid of the product kernel.
    pub scratch: DeviceMemory,
}

impl Workspace {
    /// Allocates; the scratch starts zeroed, as the product kernels ask.
    pub(in crate::executor::gpu) fn new(
        gpu: &Gpu,
        operand_bytes: u64,
        scratch_bytes: u64,
    ) -> Result<Self, Failure> {
        let operands = DeviceMemory::new(gpu, operand_bytes)?;
        let scratch = DeviceMemory::new(gpu, scratch_bytes)?;
        gpu.clear(&scratch)?;
        Ok(Self { operands, scratch })
    }
}

/// What the kernels of a kind of work have of memory, apart from what all share.
#[derive(Debug)]
pub(in crate::executor::gpu) enum Means {
    /// Products of FP64 or of integers.
    Products(Workspace),
    /// Memory residency.
    Arena(ArenaLane),
}
