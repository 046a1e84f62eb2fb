//! The typed wall around the driver: a device's context and stream, memory,
//! copies, kernels, graphs. Besides these files only `launch`, `device`,
//! `cublas` and `cpu_time` have unsafe code.
//!
//! Guarantees: every call runs with the device's context current; memory is
//! not freed, and host memory not read, while the device may still use it;
//! copies stay inside their buffers.
#![allow(unsafe_code)]

mod copies;
mod memory;
mod module;
mod peer;
mod trail;

pub(crate) use copies::{Copy, HostMemory};
pub(crate) use memory::{DeviceMemory, Readback, Upload};
pub(crate) use module::{Graph, Kernel, Module};
pub(crate) use peer::{Access, ContextHandle};
pub(crate) use trail::Trail;

use super::error::{device_error, from_cust};
use super::supervisor::Supervisor;
use crate::executor::ExecError;
use cuda_driver::{Failure, calls};
use cust::context::{Context, CurrentContext};
use cust::device::Device;
use cust::event::{Event, EventFlags};
use cust::stream::{Stream, StreamFlags};
use std::ffi::c_void;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, Ordering};

/// A device's primary context and the one stream that its lane uses.
#[derive(Debug)]
pub(crate) struct Gpu {
    stream: Stream,
    context: Context,
    label: String,
    supervisor: Supervisor,
    /// Launches are recorded as a graph, not run.
    is_capturing: AtomicBool,
}

/// What a graph is called if its kernels cannot be told apart.
const GRAPH: &str = "a graph of the kernels of an iteration";

impl Gpu {
    /// Retains the primary context of a device (so that libraries such as
    /// cuBLAS share it) and makes it current on this thread.
    pub(crate) fn open(index: u32, label: String) -> Result<Self, ExecError> {
        let open = || -> Result<(Context, Stream), Failure> {
            let device = Device::get_device(index).map_err(from_cust)?;
            // A thread that waits must sleep. Refused if the context exists
            // already: then it keeps the flags that it has, which is no error.
            // SAFETY: plain values; the device handle is the driver's own.
            let flags = unsafe {
                calls::cuDevicePrimaryCtxSetFlags_v2(
                    device.as_raw(),
                    calls::CTX_SCHED_BLOCKING_SYNC,
                )
            };
            if let Err(failure) = flags {
                tracing::debug!("{failure}");
            }
            let context = Context::new(device).map_err(from_cust)?;
            CurrentContext::set_current(&context).map_err(from_cust)?;
            let stream = Stream::new(StreamFlags::DEFAULT, None).map_err(from_cust)?;
            Ok((context, stream))
        };
        match open() {
            Ok((context, stream)) => {
                let (supervisor, is_capturing) = (Supervisor::default(), AtomicBool::new(false));
                Ok(Self { stream, context, label, supervisor, is_capturing })
            }
            Err(failure) => Err(device_error("opening the device", &label, failure)),
        }
    }

    /// Tells `supervisor` from here on what the device is asked for. This context is
    /// current.
    pub(crate) fn supervise(&mut self, supervisor: Supervisor) {
        self.supervisor.trail(Trail::detach);
        supervisor.trail(|trail| trail.attach(self.context.clone()));
        self.supervisor = supervisor;
    }

    /// Whoever watches how long it takes.
    pub(crate) fn supervisor(&self) -> &Supervisor {
        &self.supervisor
    }

    /// Makes the context current on this thread.
    pub(crate) fn enter(&self) -> Result<(), ExecError> {
        CurrentContext::set_current(&self.context)
            .map_err(|error| self.error("entering the context", from_cust(error)))
    }

    /// How messages call the device.
    pub(crate) fn label(&self) -> &str {
        &self.label
    }

    /// The error of `what` on this device.
    pub(crate) fn error(&self, what: &str, failure: Failure) -> ExecError {
        device_error(what, &self.label, failure)
    }

    /// Bytes free on the device now.
    pub(crate) fn free_bytes(&self) -> Result<u64, Failure> {
        cust::memory::mem_get_info().map(|(free, _)| free as u64).map_err(from_cust)
    }

    /// Waits for everything on the stream.
    pub(crate) fn synchronise(&self) -> Result<(), Failure> {
        self.stream.synchronize().map_err(from_cust)?;
        self.supervisor.completed(self.supervisor.enqueued());
        Ok(())
    }

    /// An event that a thread can sleep on.
    pub(crate) fn event(&self, timing: Timing) -> Result<Event, Failure> {
        let flags = match timing {
            Timing::Measured => EventFlags::BLOCKING_SYNC,
            Timing::None => EventFlags::BLOCKING_SYNC | EventFlags::DISABLE_TIMING,
        };
        Event::new(flags).map_err(from_cust)
    }

    /// Records `event` on the stream.
    pub(crate) fn record(&self, event: &Event) -> Result<(), Failure> {
        event.record(&self.stream).map_err(from_cust)
    }

    /// The stream's handle, for libraries that take one.
    pub(crate) fn stream_handle(&self) -> calls::Handle {
        self.stream.as_inner().cast()
    }

    /// Zeroes `memory`, in stream order.
    pub(crate) fn clear(&self, memory: &DeviceMemory) -> Result<(), Failure> {
        let bytes = memory.bytes() as usize;
        // SAFETY: the whole of a live allocation; it outlives the work,
        // because freeing device memory waits for it.
        unsafe { calls::cuMemsetD8Async(memory.address(), 0, bytes, self.stream_handle()) }
    }

    /// Records what `work` puts on the stream as a graph instead of running it.
    pub(crate) fn capture(
        &self,
        work: impl FnOnce() -> Result<(), ExecError>,
    ) -> Result<Graph, ExecError> {
        let stream = self.stream_handle();
        let mode = calls::STREAM_CAPTURE_MODE_THREAD_LOCAL;
        let mut graph: calls::Handle = null_mut();
        let mut executable: calls::Handle = null_mut();
        // SAFETY: a live stream of the current context.
        unsafe { calls::cuStreamBeginCapture_v2(stream, mode) }
            .map_err(|failure| self.error("recording a graph", failure))?;
        self.is_capturing.store(true, Ordering::Relaxed);
        let before = self.supervisor.enqueued();
        let captured = work();
        let work = self.supervisor.take_back(before);
        self.is_capturing.store(false, Ordering::Relaxed);
        // SAFETY: the capture begun above, ended whether or not `work` failed.
        let ended = unsafe { calls::cuStreamEndCapture(stream, &raw mut graph) };
        let made = ended.and_then(|()| {
            // SAFETY: `graph` was just made by the capture.
            unsafe { calls::cuGraphInstantiateWithFlags(&raw mut executable, graph, 0) }
        });
        if !graph.is_null() {
            // SAFETY: made above and used no more: the executable has its own copy.
            let _ = unsafe { calls::cuGraphDestroy(graph) };
        }
        let graph = made.map(|()| Graph { executable, work });
        // What went wrong first says most.
        captured.and(graph.map_err(|failure| self.error("building a graph", failure)))
    }

    /// Launches a graph, in stream order.
    pub(crate) fn replay(&self, graph: &Graph) -> Result<(), Failure> {
        // SAFETY: an executable graph of this context, alive while borrowed;
        // if it is destroyed later, its launches still keep what they need
        // until they end.
        unsafe { calls::cuGraphLaunch(graph.executable, self.stream_handle()) }?;
        self.launched(GRAPH, graph.work)
    }

    /// Notes that `kernel` was launched, with this much work.
    pub(crate) fn launched(&self, kernel: &'static str, work: u64) -> Result<(), Failure> {
        if self.is_capturing.load(Ordering::Relaxed) {
            self.supervisor.recorded(work);
            return Ok(());
        }
        let launch = self.supervisor.launched(kernel, work);
        if let Some(mark) = self.supervisor.trail(Trail::take).transpose()?.flatten() {
            // Not under the lock: if the stream is full, this waits.
            self.record(&mark)?;
            self.supervisor.trail(|trail| trail.put(launch, kernel, mark));
        }
        Ok(())
    }

    /// Launches `grid` blocks of `kernel` with `params` as their only argument. `work`: what it takes,
    /// in units that [`Supervisor`] reckons with.
    ///
    /// # Safety
    /// `P` is the parameter struct of this kernel in `gpu_kernels::abi`, and
    /// every address in it is of a live allocation of this device, at least as
    /// long as the struct's other fields say.
    pub(crate) unsafe fn launch<P>(
        &self,
        kernel: &Kernel,
        grid: u32,
        params: &P,
        work: u64,
    ) -> Result<(), ExecError> {
        let mut argument: *mut c_void = std::ptr::from_ref(params).cast_mut().cast();
        // SAFETY: a live kernel of this context (it holds its module); the
        // driver copies the argument, whose type the caller vouches for,
        // before it returns; null for no further options.
        unsafe {
            calls::cuLaunchKernel(
                kernel.function,
                grid,
                1,
                1,
                kernel.threads,
                1,
                1,
                kernel.shared_bytes,
                self.stream_handle(),
                &raw mut argument,
                null_mut(),
            )
        }
        .and_then(|()| self.launched(kernel.name, work))
        .map_err(|failure| self.error(&format!("launching {}", kernel.name), failure))
    }
}

impl Drop for Gpu {
    fn drop(&mut self) {
        // The stream's destructor, next, needs the context.
        let _ = CurrentContext::set_current(&self.context);
        self.supervisor.trail(Trail::detach);
    }
}

/// Whether an event measures time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timing {
    /// For elapsed times.
    Measured,
    /// Only for waiting.
    None,
}
