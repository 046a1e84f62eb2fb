//! Other devices' memory: whose it is, access to it, and copies from it.
#![allow(unsafe_code)]

use super::{DeviceMemory, Gpu};
use cuda_driver::{Failure, calls};
use cust::context::{Context, CurrentContext, legacy};
use std::sync::Arc;

/// `CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED`.
const ALREADY_ENABLED: u32 = 704;

/// How it comes that a context addresses another's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// It did before.
    Had,
    /// Since now; to be given back.
    Given,
}

/// The context that some memory belongs to, kept alive. (A clone of cust's own handle
/// would make that context current.)
#[derive(Clone, Debug)]
pub(crate) struct ContextHandle {
    context: Arc<Context>,
}

impl ContextHandle {
    /// Does `what` in this context; then this thread's is the one that it was before.
    pub(crate) fn within<T>(&self, what: impl FnOnce() -> T) -> T {
        let before = legacy::CurrentContext::get_current();
        // If it is lost, whatever is done in it fails by itself.
        let _ = CurrentContext::set_current(&*self.context);
        let done = what();
        if let Ok(before) = before {
            let _ = legacy::CurrentContext::set_current(&before);
        }
        done
    }

    /// Takes back what [`Gpu::enable_access`] gave to the context that is current.
    pub(crate) fn disable_access(&self) {
        // SAFETY: a live context. If it was not enabled, that is an error without
        // consequence.
        let _ = unsafe { calls::cuCtxDisablePeerAccess(self.context.as_raw().cast()) };
    }
}

impl Gpu {
    /// This device's context, for those that reach its memory. It is current.
    pub(crate) fn context_handle(&self) -> ContextHandle {
        ContextHandle { context: Arc::new(self.context.clone()) }
    }

    /// Lets this device address the memory of `other`, and says whether it had to be
    /// let. This context is current.
    pub(crate) fn enable_access(&self, other: &ContextHandle) -> Result<Access, Failure> {
        if other.context.as_raw() == self.context.as_raw() {
            return Ok(Access::Had);
        }
        // SAFETY: a live context, and the current one.
        let enabled = unsafe { calls::cuCtxEnablePeerAccess(other.context.as_raw().cast(), 0) };
        match enabled {
            Ok(()) => Ok(Access::Given),
            Err(failure) if failure.code == ALREADY_ENABLED => Ok(Access::Had),
            Err(failure) => Err(failure),
        }
    }

    /// Copies `bytes` from an offset in another device's memory to an offset in this
    /// one's, in stream order; through the host if there is no other way. This context is
    /// current, and whoever calls keeps the source alive until the stream has done it.
    ///
    /// # Panics
    /// If either side is too short: a bug of the caller.
    pub(crate) fn copy_from_peer(
        &self,
        (context, from, from_byte): (&ContextHandle, &DeviceMemory, u64),
        to: &DeviceMemory,
        to_byte: u64,
        bytes: u64,
    ) -> Result<(), Failure> {
        assert!(from_byte + bytes <= from.bytes(), "copy past the end of the peer's memory");
        assert!(to_byte + bytes <= to.bytes(), "copy past the end of device memory");
        let (there, here) = (context.context.as_raw().cast(), self.context.as_raw().cast());
        let (from, to) = (from.address() + from_byte, to.address() + to_byte);
        // SAFETY: both ranges lie in live allocations (asserted above), each of the
        // context beside it; freeing device memory waits for the stream's work.
        unsafe {
            calls::cuMemcpyPeerAsync(to, here, from, there, bytes as usize, self.stream_handle())
        }
    }
}
