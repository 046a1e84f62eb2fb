//! Copies whose time is taken: on a device, between it and page-locked host
//! memory, between devices.
//!
//! Guarantees: when a call returns, whether well or not, no copy is under way
//! any more, so nobody frees memory that one still uses.
#![allow(unsafe_code)]

use super::{DeviceMemory, Gpu, Timing};
use crate::executor::gpu::error::from_cust;
use cuda_driver::{Failure, calls};
use cust::memory::LockedBuffer;
use std::time::Duration;

/// Page-locked host memory that only devices read and write.
#[derive(Debug)]
pub(crate) struct HostMemory {
    bytes: LockedBuffer<u8>,
}

impl HostMemory {
    pub(crate) fn new(_gpu: &Gpu, bytes: u64) -> Result<Self, Failure> {
        // SAFETY: bytes of any value are valid `u8`s, and the host never looks
        // at them.
        unsafe { LockedBuffer::uninitialized(bytes.max(1) as usize) }
            .map(|bytes| Self { bytes })
            .map_err(from_cust)
    }

    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }
}

/// What is copied where.
#[derive(Debug)]
pub(crate) enum Copy<'a> {
    /// From one place of the device to another.
    OnDevice { from: &'a DeviceMemory, to: &'a DeviceMemory },
    /// From the host.
    ToDevice { from: &'a HostMemory, to: &'a DeviceMemory },
    /// To the host.
    ToHost { from: &'a DeviceMemory, to: &'a mut HostMemory },
    /// To another device.
    ToPeer { peer: &'a Gpu, from: &'a DeviceMemory, to: &'a DeviceMemory },
}

impl Copy<'_> {
    /// The shorter side.
    fn room(&self) -> u64 {
        match self {
            Self::OnDevice { from, to } | Self::ToPeer { from, to, .. } => {
                from.bytes().min(to.bytes())
            }
            Self::ToDevice { from, to } => from.len().min(to.bytes()),
            Self::ToHost { from, to } => from.bytes().min(to.len()),
        }
    }
}

impl Gpu {
    /// Copies `bytes` `count` times and gives the time by the device's clock.
    /// This device's context is current.
    ///
    /// # Panics
    /// If either side is too short: a bug of the caller.
    pub(crate) fn time_copies(
        &self,
        copy: &mut Copy<'_>,
        bytes: u64,
        count: u32,
    ) -> Result<Duration, Failure> {
        assert!(bytes <= copy.room(), "copy past the end of memory");
        let (start, end) = (self.event(Timing::Measured)?, self.event(Timing::Measured)?);
        let enqueued = self
            .record(&start)
            .and_then(|()| (0..count).try_for_each(|_| self.enqueue(copy, bytes as usize)))
            .and_then(|()| self.record(&end));
        // Also after an error: what was enqueued still runs.
        let ended = self.synchronise();
        enqueued.and(ended)?;
        end.elapsed(&start).map_err(from_cust)
    }

    fn enqueue(&self, copy: &mut Copy<'_>, bytes: usize) -> Result<(), Failure> {
        let stream = self.stream_handle();
        match copy {
            Copy::OnDevice { from, to } => {
                let (to, from) = (to.address(), from.address());
                // SAFETY: both sides are live allocations of at least `bytes`
                // bytes (asserted by the caller), borrowed until the caller has
                // waited for the stream; the host does not look at its side.
                unsafe { calls::cuMemcpyDtoDAsync_v2(to, from, bytes, stream) }
            }
            Copy::ToDevice { from, to } => {
                let from = from.bytes.as_ptr().cast();
                // SAFETY: as above.
                unsafe { calls::cuMemcpyHtoDAsync_v2(to.address(), from, bytes, stream) }
            }
            Copy::ToHost { from, to } => {
                let to = to.bytes.as_mut_ptr().cast();
                // SAFETY: as above.
                unsafe { calls::cuMemcpyDtoHAsync_v2(to, from.address(), bytes, stream) }
            }
            Copy::ToPeer { peer, from, to } => {
                let (there, here) = (peer.context.as_raw().cast(), self.context.as_raw().cast());
                let (to, from) = (to.address(), from.address());
                // SAFETY: as above; each address is of the context beside it.
                unsafe { calls::cuMemcpyPeerAsync(to, there, from, here, bytes, stream) }
            }
        }
    }

    /// Lets this device address `peer`'s memory. This context is current.
    pub(crate) fn enable_peer(&self, peer: &Gpu) -> Result<(), Failure> {
        // SAFETY: a live context, and the current one.
        unsafe { calls::cuCtxEnablePeerAccess(peer.context.as_raw().cast(), 0) }
    }

    /// Takes back [`Gpu::enable_peer`]. This context is current.
    pub(crate) fn disable_peer(&self, peer: &Gpu) {
        // SAFETY: as above. If it was not enabled, that is an error without
        // consequence.
        let _ = unsafe { calls::cuCtxDisablePeerAccess(peer.context.as_raw().cast()) };
    }
}
