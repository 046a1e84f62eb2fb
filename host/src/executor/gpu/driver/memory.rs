//! Device memory, and page-locked host memory that copies go through.
#![allow(unsafe_code)]

use super::{Gpu, Timing};
use crate::executor::gpu::error::from_cust;
use crate::executor::gpu::supervisor::Supervisor;
use cuda_driver::{Failure, calls};
use cust::context::CurrentContext;
use cust::event::{Event, EventStatus};
use cust::memory::{DeviceBuffer, LockedBuffer};
use std::time::Instant;

/// Device memory.
#[derive(Debug)]
pub(crate) struct DeviceMemory {
    buffer: DeviceBuffer<u8>,
    /// Bytes at its start that are not used, so that the rest is aligned.
    skipped: u64,
}

impl DeviceMemory {
    /// Allocates, at least one byte. The contents are whatever was there.
    pub(crate) fn new(_gpu: &Gpu, bytes: u64) -> Result<Self, Failure> {
        // SAFETY: bytes of any value are valid `u8`s, and the host never sees
        // them but through a `Readback` of what a kernel wrote.
        unsafe { DeviceBuffer::uninitialized(bytes.max(1) as usize) }
            .map(|buffer| Self { buffer, skipped: 0 })
            .map_err(from_cust)
    }

    /// The same, its address a multiple of `alignment`: the driver aligns to 256 bytes
    /// and cuts what is small out of memory that it has.
    pub(crate) fn aligned(gpu: &Gpu, bytes: u64, alignment: u64) -> Result<Self, Failure> {
        let memory = Self::new(gpu, bytes + alignment - 1)?;
        let skipped = memory.address().next_multiple_of(alignment) - memory.address();
        Ok(Self { skipped, ..memory })
    }

    /// Its device address.
    pub(crate) fn address(&self) -> u64 {
        self.buffer.as_device_ptr().as_raw() + self.skipped
    }

    /// Its length in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.buffer.len() as u64 - self.skipped
    }
}

/// Page-locked host memory that the device writes, and the event that says
/// when it has.
#[derive(Debug)]
pub(crate) struct Readback {
    // Dropped before the memory that it guards.
    fence: Fence,
    words: LockedBuffer<u32>,
}

/// What may still use page-locked memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pending {
    Nothing,
    /// Copies that no event follows yet.
    Copies,
    /// Copies, all before the event, and so is this much work.
    Marked(u64),
}

/// Page-locked memory's guard: copies that may be under way, and the event after them.
#[derive(Debug)]
struct Fence {
    done: Event,
    state: Pending,
    supervisor: Supervisor,
}

impl Fence {
    fn new(gpu: &Gpu) -> Result<Self, Failure> {
        let (done, supervisor) = (gpu.event(Timing::None)?, gpu.supervisor().clone());
        Ok(Self { done, state: Pending::Nothing, supervisor })
    }

    /// Marks the point after the copies so far.
    fn mark(&mut self, gpu: &Gpu) -> Result<(), Failure> {
        gpu.record(&self.done)?;
        self.state = Pending::Marked(self.supervisor.enqueued());
        Ok(())
    }

    /// Sleeps until nothing uses the memory; after an error something may.
    fn wait(&mut self) -> Result<(), Failure> {
        match self.state {
            Pending::Nothing => {}
            // The event, if it was ever recorded, says nothing of them.
            Pending::Copies => {
                CurrentContext::synchronize().map_err(from_cust)?;
                self.supervisor.completed(self.supervisor.enqueued());
            }
            Pending::Marked(work) => {
                self.done.synchronize().map_err(from_cust)?;
                self.supervisor.completed(work);
            }
        }
        self.state = Pending::Nothing;
        Ok(())
    }
}

impl Drop for Fence {
    /// Before the memory is freed: as [`Fence::wait`], or for everything. After a
    /// fault of the device there is nothing left that could use it.
    fn drop(&mut self) {
        if self.wait().is_err() {
            let _ = CurrentContext::synchronize();
        }
    }
}

impl Readback {
    pub(crate) fn new(gpu: &Gpu, words: u64) -> Result<Self, Failure> {
        let words = LockedBuffer::new(&0_u32, (words as usize).max(1)).map_err(from_cust)?;
        Ok(Self { fence: Fence::new(gpu)?, words })
    }

    /// Copies `count` words from the start of `from` to word `at`, in stream order.
    ///
    /// # Panics
    /// If either side is too short: a bug of the caller.
    pub(crate) fn copy(
        &mut self,
        gpu: &Gpu,
        at: u64,
        from: &DeviceMemory,
        count: u64,
    ) -> Result<(), Failure> {
        self.copy_part(gpu, at, (from, 0), count)
    }

    /// The same, from word `first` of `from` on.
    ///
    /// # Panics
    /// If either side is too short: a bug of the caller.
    pub(crate) fn copy_part(
        &mut self,
        gpu: &Gpu,
        at: u64,
        (from, first): (&DeviceMemory, u64),
        count: u64,
    ) -> Result<(), Failure> {
        assert!(at + count <= self.words.len() as u64, "copy past the end of host memory");
        assert!(4 * (first + count) <= from.bytes(), "copy past the end of device memory");
        self.fence.state = Pending::Copies;
        // SAFETY: both ranges lie in live allocations (asserted above). The
        // host does not read or free its side before `wait` has returned.
        unsafe {
            let to = self.words.as_mut_ptr().add(at as usize);
            calls::cuMemcpyDtoHAsync_v2(
                to.cast(),
                from.address() + 4 * first,
                4 * count as usize,
                gpu.stream_handle(),
            )
        }
    }

    /// Marks the point that [`Self::wait`] waits for: after the copies so far.
    pub(crate) fn mark(&mut self, gpu: &Gpu) -> Result<(), Failure> {
        self.fence.mark(gpu)
    }

    /// Looks for the marked point, from one time until another, for whoever
    /// cannot wait to be woken. Whether it was still to come at first.
    pub(crate) fn look(&self, from: Instant, until: Instant) -> Result<bool, Failure> {
        std::thread::sleep(from.saturating_duration_since(Instant::now()));
        let is_to_come =
            || self.fence.done.query().map(|is| is == EventStatus::NotReady).map_err(from_cust);
        let was_to_come = is_to_come()?;
        while Instant::now() < until && is_to_come()? {
            std::hint::spin_loop();
        }
        Ok(was_to_come)
    }

    /// Sleeps until the marked point, then gives the words. If copies
    /// follow it that no mark follows, sleeps until the device is idle.
    pub(crate) fn wait(&mut self) -> Result<&[u32], Failure> {
        self.fence.wait()?;
        Ok(&self.words)
    }

    /// The words, once they were waited for.
    ///
    /// # Panics
    /// If copies are under way: a bug of the caller.
    pub(crate) fn words(&self) -> &[u32] {
        assert!(matches!(self.fence.state, Pending::Nothing), "copies are under way");
        &self.words
    }
}

/// Page-locked host memory from which small things go to the device.
#[derive(Debug)]
pub(crate) struct Upload {
    // Dropped before the memory that it guards.
    fence: Fence,
    words: LockedBuffer<u32>,
}

impl Upload {
    pub(crate) fn new(gpu: &Gpu, words: u64) -> Result<Self, Failure> {
        let words = LockedBuffer::new(&0_u32, (words as usize).max(1)).map_err(from_cust)?;
        Ok(Self { fence: Fence::new(gpu)?, words })
    }

    /// Copies `words` to the start of `to`, in stream order.
    ///
    /// # Panics
    /// If they are more than either side holds: a bug of the caller.
    pub(crate) fn send(
        &mut self,
        gpu: &Gpu,
        to: &DeviceMemory,
        words: &[u32],
    ) -> Result<(), Failure> {
        assert!(4 * words.len() as u64 <= to.bytes(), "copy past the end of device memory");
        // The last one may still be on its way.
        self.fence.wait()?;
        self.words[..words.len()].copy_from_slice(words);
        let bytes = size_of_val(words);
        self.fence.state = Pending::Copies;
        // SAFETY: both ranges lie in live allocations (asserted, and by the
        // slice above). The host changes or frees its side only after
        // `Fence::wait`, which also comes before `words` goes.
        unsafe {
            calls::cuMemcpyHtoDAsync_v2(
                to.address(),
                self.words.as_ptr().cast(),
                bytes,
                gpu.stream_handle(),
            )
        }?;
        self.fence.mark(gpu)
    }
}
