//! What a lane has of device memory for its kind of work alone.

use crate::executor::ExecError;
use crate::executor::gpu::driver::{DeviceMemory, Gpu};
use crate::protocol::work::Work;
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
    /// FP64 products.
    Products(Workspace),
    /// Memory residency.
    Arena(ArenaLane),
}

/// Nothing on a device computes this kind of work.
pub(in crate::executor::gpu) fn no_kernels(device: &str, work: Work) -> ExecError {
    ExecError::Device {
        what: "beginning".to_owned(),
        device: device.to_owned(),
        cause: format!("there are no kernels for {}", work.challenge_type()),
        advice: "Run it on the CPU (--executor cpu).".to_owned(),
    }
}
