//! The memory of an arena, which other lanes of a run may read.

use crate::executor::ExecError;
use crate::executor::gpu::driver::{ContextHandle, DeviceMemory, Gpu};
use crate::protocol::work::memory_residency::{BLOCK_BYTES, MemoryResidency};
use cuda_driver::Failure;

/// An arena on a device. Whoever holds it may read it; it is freed in the context that
/// it belongs to, by whoever lets go of it last.
#[derive(Debug)]
pub(crate) struct SharedArena {
    /// There until it is dropped.
    memory: Option<DeviceMemory>,
    context: ContextHandle,
    blocks: u32,
}

impl SharedArena {
    /// Memory for the arena of `work` in the context of `gpu`, which is current.
    ///
    /// # Errors
    /// The driver's, if it has not as much.
    pub(super) fn new(gpu: &Gpu, work: MemoryResidency) -> Result<Self, Failure> {
        let blocks = u32::try_from(work.arena_blocks).expect("an arena has at most 2²⁸ blocks");
        let memory = DeviceMemory::aligned(gpu, work.arena_bytes(), BLOCK_BYTES)?;
        Ok(Self { memory: Some(memory), context: gpu.context_handle(), blocks })
    }

    /// Blocks of an arena (N).
    pub(super) fn blocks(&self) -> u32 {
        self.blocks
    }

    /// Its memory.
    pub(super) fn memory(&self) -> &DeviceMemory {
        self.memory.as_ref().expect("there until it is dropped")
    }

    /// Where it starts.
    pub(super) fn address(&self) -> u64 {
        self.memory().address()
    }

    /// The context that it belongs to.
    pub(super) fn context(&self) -> &ContextHandle {
        &self.context
    }

    /// Bytes of a whole arena of as many blocks.
    pub(super) fn bytes(&self) -> u64 {
        u64::from(self.blocks) * BLOCK_BYTES
    }
}

impl Drop for SharedArena {
    fn drop(&mut self) {
        let memory = self.memory.take();
        self.context.within(|| drop(memory));
    }
}

/// The error of an arena that is not there: `what` is what another lane did with it.
pub(super) fn gone(gpu: &Gpu, lane: usize) -> ExecError {
    ExecError::Device {
        what: format!("reading the arena of lane {lane}"),
        device: gpu.label().to_owned(),
        cause: "that lane gave it up".to_owned(),
        advice: "see the other lane's error".to_owned(),
    }
}
