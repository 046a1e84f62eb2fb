//! Device memory, and page-locked host memory that copies go through.
#![allow(unsafe_code)]

use super::{Gpu, Timing};
use crate::executor::gpu::error::from_cust;
use cuda_driver::{Failure, calls};
use cust::context::CurrentContext;
use cust::event::{Event, EventStatus};
use cust::memory::{DeviceBuffer, LockedBuffer};
use std::time::Instant;

/// Device memory.
#[derive(Debug)]
pub(in crate::executor::gpu) struct DeviceMemory {
    buffer: DeviceBuffer<u8>,
}

impl DeviceMemory {
    /// Allocates, at least one byte. The contents are whatever was there.
    pub(in crate::executor::gpu) fn new(_gpu: &Gpu, bytes: u64) -> Result<Self, Failure> {
        // SAFETY: bytes of any value are valid `u8`s, and the host never sees
        // them but through a `Readback` of what a kernel wrote.
        unsafe { DeviceBuffer::uninitialized(bytes.max(1) as usize) }
            .map(|buffer| Self { buffer })
            .map_err(from_cust)
    }

    /// Its device address.
    pub(in crate::executor::gpu) fn address(&self) -> u64 {
        self.buffer.as_device_ptr().as_raw()
    }

    /// Its length in bytes.
    pub(in crate::executor::gpu) fn bytes(&self) -> u64 {
        self.buffer.len() as u64
    }
}

/// Page-locked host memory that the device writes, and the event that says
/// when it has.
#[derive(Debug)]
pub(in crate::executor::gpu) struct Readback {
    words: LockedBuffer<u32>,
    done: Event,
    state: Pending,
}

/// What may still use page-locked memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pending {
    Nothing,
    /// Copies that no event follows yet.
    Copies,
    /// Copies, all before the event.
    Marked,
}

impl Pending {
    /// Sleeps until nothing uses the memory; after an error something may.
    fn wait(&mut self, done: &Event) -> Result<(), Failure> {
        match self {
            Self::Nothing => {}
            // The event, if it was ever recorded, says nothing of them.
            Self::Copies => CurrentContext::synchronize().map_err(from_cust)?,
            Self::Marked => done.synchronize().map_err(from_cust)?,
        }
        *self = Self::Nothing;
        Ok(())
    }

    /// Before the memory is freed: as [`Pending::wait`], or for everything.
    /// After a fault of the device there is nothing left that could use it.
    fn end(&mut self, done: &Event) {
        if self.wait(done).is_err() {
            let _ = CurrentContext::synchronize();
        }
    }
}

impl Readback {
    pub(in crate::executor::gpu) fn new(gpu: &Gpu, words: u64) -> Result<Self, Failure> {
        let words = LockedBuffer::new(&0_u32, (words as usize).max(1)).map_err(from_cust)?;
        Ok(Self { words, done: gpu.event(Timing::None)?, state: Pending::Nothing })
    }

    /// Copies `count` words from the start of `from` to word `at`, in stream order.
    ///
    /// # Panics
    /// If either side is too short: a bug of the caller.
    pub(in crate::executor::gpu) fn copy(
        &mut self,
        gpu: &Gpu,
        at: u64,
        from: &DeviceMemory,
        count: u64,
    ) -> Result<(), Failure> {
        assert!(at + count <= self.words.len() as u64, "copy past the end of host memory");
        assert!(4 * count <= from.bytes(), "copy past the end of device memory");
        self.state = Pending::Copies;
        // SAFETY: both ranges lie in live allocations (asserted above). The
        // host does not read or free its side before `wait` has returned.
        unsafe {
            let to = self.words.as_mut_ptr().add(at as usize);
            calls::cuMemcpyDtoHAsync_v2(
                to.cast(),
                from.address(),
                4 * count as usize,
                gpu.stream_handle(),
            )
        }
    }

    /// Marks the point that [`Self::wait`] waits for: after the copies so far.
    pub(in crate::executor::gpu) fn mark(&mut self, gpu: &Gpu) -> Result<(), Failure> {
        gpu.record(&self.done)?;
        self.state = Pending::Marked;
        Ok(())
    }

    /// Looks for the marked point, from one time until another, for whoever
    /// cannot wait to be woken. Whether it was still to come at first.
    pub(in crate::executor::gpu) fn look(
        &self,
        from: Instant,
        until: Instant,
    ) -> Result<bool, Failure> {
        std::thread::sleep(from.saturating_duration_since(Instant::now()));
        let is_to_come =
            || self.done.query().map(|is| is == EventStatus::NotReady).map_err(from_cust);
        let was_to_come = is_to_come()?;
        while Instant::now() < until && is_to_come()? {
            std::hint::spin_loop();
        }
        Ok(was_to_come)
    }

    /// Sleeps until the marked point, then gives the words. Where copies
    /// follow it that no mark follows, sleeps until the device is idle.
    pub(in crate::executor::gpu) fn wait(&mut self) -> Result<&[u32], Failure> {
        self.state.wait(&self.done)?;
        Ok(&self.words)
    }
}

impl Drop for Readback {
    fn drop(&mut self) {
        self.state.end(&self.done);
    }
}

/// Page-locked host memory from which small things go to the device.
#[derive(Debug)]
pub(in crate::executor::gpu) struct Upload {
    words: LockedBuffer<u32>,
    done: Event,
    state: Pending,
}

impl Upload {
    pub(in crate::executor::gpu) fn new(gpu: &Gpu, words: u64) -> Result<Self, Failure> {
        let words = LockedBuffer::new(&0_u32, (words as usize).max(1)).map_err(from_cust)?;
        Ok(Self { words, done: gpu.event(Timing::None)?, state: Pending::Nothing })
    }

    /// Copies `words` to the start of `to`, in stream order.
    ///
    /// # Panics
    /// If they are more than either side holds: a bug of the caller.
    pub(in crate::executor::gpu) fn send(
        &mut self,
        gpu: &Gpu,
        to: &DeviceMemory,
        words: &[u32],
    ) -> Result<(), Failure> {
        assert!(4 * words.len() as u64 <= to.bytes(), "copy past the end of device memory");
        // The last one may still be on its way.
        self.state.wait(&self.done)?;
        self.words[..words.len()].copy_from_slice(words);
        let bytes = size_of_val(words);
        self.state = Pending::Copies;
        // SAFETY: both ranges lie in live allocations (asserted, and by the
        // slice above). The host changes or frees its side only after
        // `Pending::wait` or `Pending::end`.
        unsafe {
            calls::cuMemcpyHtoDAsync_v2(
                to.address(),
                self.words.as_ptr().cast(),
                bytes,
                gpu.stream_handle(),
            )
        }?;
        gpu.record(&self.done)?;
        self.state = Pending::Marked;
        Ok(())
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.state.end(&self.done);
    }
}
