//! The typed wall around the driver: a device's context and stream, memory,
//! copies, kernels, graphs. Outside this file and `launch` no executor code
//! is unsafe.
//!
//! Guarantees: every call runs with the device's context current; memory is
//! not freed, and host memory not read, while the device may still use it;
//! copies stay inside their buffers.
#![allow(unsafe_code)]

use super::error::{device_error, from_cust};
use crate::executor::ExecError;
use cuda_driver::{Failure, calls};
use cust::context::{Context, CurrentContext};
use cust::device::Device;
use cust::event::{Event, EventFlags};
use cust::memory::{DeviceBuffer, LockedBuffer};
use cust::stream::{Stream, StreamFlags};
use std::ffi::{CString, c_void};
use std::ptr::null_mut;
use std::sync::Arc;

/// A device's primary context and the one stream that its lane uses.
#[derive(Debug)]
pub(super) struct Gpu {
    stream: Stream,
    context: Context,
    label: String,
}

impl Gpu {
    /// Retains the primary context of a device (so that libraries such as
    /// cuBLAS share it) and makes it current on this thread.
    pub(super) fn open(index: u32, label: String) -> Result<Self, ExecError> {
        let open = || -> Result<(Context, Stream), Failure> {
            let device = Device::get_device(index).map_err(from_cust)?;
            // A thread that waits must sleep. Refused where the context exists
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
            Ok((context, stream)) => Ok(Self { stream, context, label }),
            Err(failure) => Err(device_error("opening the device", &label, failure)),
        }
    }

    /// Makes the context current on this thread.
    pub(super) fn enter(&self) -> Result<(), ExecError> {
        CurrentContext::set_current(&self.context)
            .map_err(|error| self.error("entering the context", from_cust(error)))
    }

    /// How messages call the device.
    pub(super) fn label(&self) -> &str {
        &self.label
    }

    /// The error of `what` on this device.
    pub(super) fn error(&self, what: &str, failure: Failure) -> ExecError {
        device_error(what, &self.label, failure)
    }

    /// Bytes free on the device now.
    pub(super) fn free_bytes(&self) -> Result<u64, Failure> {
        cust::memory::mem_get_info().map(|(free, _)| free as u64).map_err(from_cust)
    }

    /// Waits for everything on the stream.
    pub(super) fn synchronise(&self) -> Result<(), Failure> {
        self.stream.synchronize().map_err(from_cust)
    }

    /// An event that a thread can sleep on.
    pub(super) fn event(&self, timing: Timing) -> Result<Event, Failure> {
        let flags = match timing {
            Timing::Measured => EventFlags::BLOCKING_SYNC,
            Timing::None => EventFlags::BLOCKING_SYNC | EventFlags::DISABLE_TIMING,
        };
        Event::new(flags).map_err(from_cust)
    }

    /// Records `event` on the stream.
    pub(super) fn record(&self, event: &Event) -> Result<(), Failure> {
        event.record(&self.stream).map_err(from_cust)
    }

    /// The stream's handle, for libraries that take one.
    pub(super) fn stream_handle(&self) -> calls::Handle {
        self.stream.as_inner().cast()
    }

    /// Zeroes `memory`, in stream order.
    pub(super) fn clear(&self, memory: &DeviceMemory) -> Result<(), Failure> {
        let bytes = memory.bytes() as usize;
        // SAFETY: the whole of a live allocation; it outlives the work,
        // because freeing device memory waits for it.
        unsafe { calls::cuMemsetD8Async(memory.address(), 0, bytes, self.stream_handle()) }
    }

    /// Records what `work` puts on the stream as a graph instead of running it.
    pub(super) fn capture(
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
        let captured = work();
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
        let graph = made.map(|()| Graph { executable });
        // What went wrong first says most.
        captured.and(graph.map_err(|failure| self.error("building a graph", failure)))
    }

    /// Launches a graph, in stream order.
    pub(super) fn replay(&self, graph: &Graph) -> Result<(), Failure> {
        // SAFETY: an executable graph of this context, alive while borrowed;
        // destroying it later waits for its launches.
        unsafe { calls::cuGraphLaunch(graph.executable, self.stream_handle()) }
    }

    /// Launches `kernel` with `params` as its only argument.
    ///
    /// # Safety
    /// `P` is the parameter struct of this kernel in `gpu_kernels::abi`, and
    /// every address in it is of a live allocation of this device, at least as
    /// long as the struct's other fields say.
    pub(super) unsafe fn launch<P>(
        &self,
        kernel: &Kernel,
        grid: u32,
        threads: u32,
        params: &P,
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
                threads,
                1,
                1,
                kernel.shared_bytes,
                self.stream_handle(),
                &raw mut argument,
                null_mut(),
            )
        }
        .map_err(|failure| self.error(&format!("launching {}", kernel.name), failure))
    }
}

impl Drop for Gpu {
    fn drop(&mut self) {
        // The stream's destructor, next, needs the context.
        let _ = CurrentContext::set_current(&self.context);
    }
}

/// Whether an event measures time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timing {
    /// For elapsed times.
    Measured,
    /// Only for waiting.
    None,
}

/// Device memory.
#[derive(Debug)]
pub(super) struct DeviceMemory {
    buffer: DeviceBuffer<u8>,
}

impl DeviceMemory {
    /// Allocates, at least one byte. The contents are whatever was there.
    pub(super) fn new(_gpu: &Gpu, bytes: u64) -> Result<Self, Failure> {
        // SAFETY: bytes of any value are valid `u8`s, and the host never sees
        // them but through a `Readback` of what a kernel wrote.
        unsafe { DeviceBuffer::uninitialized(bytes.max(1) as usize) }
            .map(|buffer| Self { buffer })
            .map_err(from_cust)
    }

    /// Its device address.
    pub(super) fn address(&self) -> u64 {
        self.buffer.as_device_ptr().as_raw()
    }

    /// Its length in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.buffer.len() as u64
    }
}

/// Page-locked host memory that the device writes, and the event that says
/// when it has.
#[derive(Debug)]
pub(super) struct Readback {
    words: LockedBuffer<u32>,
    done: Event,
    state: Pending,
}

/// Whether the device may still write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pending {
    Nothing,
    Copies,
}

impl Readback {
    pub(super) fn new(gpu: &Gpu, words: u64) -> Result<Self, Failure> {
        let words = LockedBuffer::new(&0_u32, (words as usize).max(1)).map_err(from_cust)?;
        Ok(Self { words, done: gpu.event(Timing::None)?, state: Pending::Nothing })
    }

    /// Copies `count` words from the start of `from` to word `at`, in stream order.
    ///
    /// # Panics
    /// If either side is too short: a bug of the caller.
    pub(super) fn copy(
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
    pub(super) fn mark(&mut self, gpu: &Gpu) -> Result<(), Failure> {
        gpu.record(&self.done)
    }

    /// Sleeps until the marked point, then gives the words.
    pub(super) fn wait(&mut self) -> Result<&[u32], Failure> {
        self.done.synchronize().map_err(from_cust)?;
        self.state = Pending::Nothing;
        Ok(&self.words)
    }
}

impl Drop for Readback {
    fn drop(&mut self) {
        if self.state == Pending::Copies {
            // An error on the way: wait for everything, lest the device write
            // to freed memory. After a fault of the device there is nothing
            // left that could.
            let _ = CurrentContext::synchronize();
        }
    }
}

/// Page-locked host memory from which small things go to the device.
#[derive(Debug)]
pub(super) struct Upload {
    words: LockedBuffer<u32>,
    done: Event,
}

impl Upload {
    pub(super) fn new(gpu: &Gpu, words: u64) -> Result<Self, Failure> {
        let words = LockedBuffer::new(&0_u32, (words as usize).max(1)).map_err(from_cust)?;
        Ok(Self { words, done: gpu.event(Timing::None)? })
    }

    /// Copies `words` to the start of `to`, in stream order.
    ///
    /// # Panics
    /// If they are more than either side holds: a bug of the caller.
    pub(super) fn send(
        &mut self,
        gpu: &Gpu,
        to: &DeviceMemory,
        words: &[u32],
    ) -> Result<(), Failure> {
        assert!(4 * words.len() as u64 <= to.bytes(), "copy past the end of device memory");
        // The last one may still be on its way.
        self.done.synchronize().map_err(from_cust)?;
        self.words[..words.len()].copy_from_slice(words);
        let bytes = size_of_val(words);
        // SAFETY: both ranges lie in live allocations (asserted, and by the
        // slice above). The host changes its side only after `done`.
        unsafe {
            calls::cuMemcpyHtoDAsync_v2(
                to.address(),
                self.words.as_ptr().cast(),
                bytes,
                gpu.stream_handle(),
            )
        }?;
        gpu.record(&self.done)
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let _ = self.done.synchronize();
    }
}

/// A loaded module.
#[derive(Debug)]
pub(super) struct Module {
    handle: calls::Handle,
}

/// The driver refused PTX text.
#[derive(Debug)]
pub(super) struct Refused {
    /// Its result.
    pub failure: Failure,
    /// The JIT compiler's words, may be empty.
    pub log: String,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.failure.fmt(f)?;
        if self.log.is_empty() { Ok(()) } else { write!(f, "; the compiler says: {}", self.log) }
    }
}

/// Bytes for the JIT compiler's words.
const LOG_BYTES: usize = 8192;

impl Module {
    /// Compiles and loads PTX text.
    pub(super) fn load(_gpu: &Gpu, ptx: &str) -> Result<Arc<Self>, Refused> {
        let invalid = Failure { function: "cuModuleLoadDataEx", code: 218 };
        let ptx = CString::new(ptx)
            .map_err(|_| Refused { failure: invalid, log: "the text has a zero byte".into() })?;
        let mut log = vec![0_u8; LOG_BYTES];
        let mut options = [calls::JIT_ERROR_LOG_BUFFER, calls::JIT_ERROR_LOG_BUFFER_SIZE_BYTES];
        let mut values: [*mut c_void; 2] =
            [log.as_mut_ptr().cast(), std::ptr::without_provenance_mut(LOG_BYTES)];
        let mut handle: calls::Handle = null_mut();
        // SAFETY: zero-terminated text; two options with two values, each as
        // cuda.h wants it: a pointer to a buffer, and its size in the place of
        // a pointer. The buffer outlives the call.
        let loaded = unsafe {
            calls::cuModuleLoadDataEx(
                &raw mut handle,
                ptx.as_ptr().cast(),
                options.len() as u32,
                options.as_mut_ptr(),
                values.as_mut_ptr(),
            )
        };
        match loaded {
            Ok(()) => Ok(Arc::new(Self { handle })),
            Err(failure) => {
                let end = log.iter().position(|&byte| byte == 0).unwrap_or(log.len());
                let log = String::from_utf8_lossy(&log[..end]).trim().replace('\n', " | ");
                Err(Refused { failure, log })
            }
        }
    }

    /// A kernel, made ready for `shared_bytes` of dynamic shared memory.
    pub(super) fn kernel(
        self: &Arc<Self>,
        name: &'static str,
        shared_bytes: u32,
    ) -> Result<Kernel, Failure> {
        let c_name = CString::new(name).expect("kernel names have no zero byte");
        let mut function: calls::Handle = null_mut();
        // SAFETY: a live module; a zero-terminated name.
        unsafe { calls::cuModuleGetFunction(&raw mut function, self.handle, c_name.as_ptr()) }?;
        if shared_bytes > SHARED_BYTES_WITHOUT_ASKING {
            let which = calls::FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            // SAFETY: the kernel found above; plain values.
            unsafe { calls::cuFuncSetAttribute(function, which, shared_bytes as i32) }?;
        }
        Ok(Kernel { name, function, shared_bytes, module: Arc::clone(self) })
    }
}

/// Dynamic shared memory that every kernel may use.
const SHARED_BYTES_WITHOUT_ASKING: u32 = 48 << 10;

impl Drop for Module {
    fn drop(&mut self) {
        // SAFETY: loaded once, unloaded once; the kernels that hold this
        // module are gone, since they keep it alive.
        let _ = unsafe { calls::cuModuleUnload(self.handle) };
    }
}

// SAFETY: module handles belong to a context, not to a thread; every use makes
// the context current first (`Gpu::enter`).
unsafe impl Send for Module {}
// SAFETY: as above, and no method changes the module.
unsafe impl Sync for Module {}

/// A kernel, with the dynamic shared memory it is launched with.
#[derive(Debug)]
pub(super) struct Kernel {
    name: &'static str,
    function: calls::Handle,
    shared_bytes: u32,
    // Unloading the module would take the kernel away.
    #[allow(dead_code)]
    module: Arc<Module>,
}

impl Kernel {
    /// Entry point.
    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// Registers of a thread, bytes of local memory of a thread.
    pub(super) fn resources(&self) -> Result<(u32, u32), Failure> {
        let get = |which: i32| {
            let mut value = 0_i32;
            // SAFETY: a live kernel; writes one int to a local.
            unsafe { calls::cuFuncGetAttribute(&raw mut value, which, self.function) }?;
            Ok(value.max(0) as u32)
        };
        let registers = get(calls::FUNC_ATTRIBUTE_NUM_REGS)?;
        Ok((registers, get(calls::FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES)?))
    }

    /// Blocks of `threads` threads that an SM holds at a time.
    pub(super) fn blocks_per_sm(&self, threads: u32) -> Result<u32, Failure> {
        use calls::cuOccupancyMaxActiveBlocksPerMultiprocessor as occupancy;
        let (mut blocks, shared) = (0_i32, self.shared_bytes as usize);
        // SAFETY: a live kernel; writes one int to a local.
        unsafe { occupancy(&raw mut blocks, self.function, threads as i32, shared) }?;
        Ok(blocks.max(0) as u32)
    }
}

// SAFETY: as for `Module`: handles belong to a context, not to a thread.
unsafe impl Send for Kernel {}

/// A recorded sequence of launches.
#[derive(Debug)]
pub(super) struct Graph {
    executable: calls::Handle,
}

impl Drop for Graph {
    fn drop(&mut self) {
        // SAFETY: instantiated once, destroyed once; launches still running
        // keep what they need until they end.
        let _ = unsafe { calls::cuGraphExecDestroy(self.executable) };
    }
}

// SAFETY: as for `Module`: handles belong to a context, not to a thread.
unsafe impl Send for Graph {}
