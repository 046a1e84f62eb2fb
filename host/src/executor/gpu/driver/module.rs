//! Modules, kernels and graphs: what the driver makes of PTX text.
#![allow(unsafe_code)]

use super::Gpu;
use cuda_driver::{Failure, calls};
use gpu_kernels::declaration;
use std::ffi::{CString, c_void};
use std::ptr::null_mut;
use std::sync::Arc;

/// A loaded module.
#[derive(Debug)]
pub(crate) struct Module {
    handle: calls::Handle,
}

/// The driver refused PTX text.
#[derive(Debug)]
pub(crate) struct Refused {
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
    pub(crate) fn load(_gpu: &Gpu, ptx: &str) -> Result<Arc<Self>, Refused> {
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

    /// A kernel, made ready for the dynamic shared memory that is declared of it.
    pub(crate) fn kernel<C>(
        self: &Arc<Self>,
        declared: &declaration::Kernel<C>,
    ) -> Result<Kernel, Failure> {
        let &declaration::Kernel { name, threads, shared_bytes, .. } = declared;
        let c_name = CString::new(name).expect("kernel names have no zero byte");
        let mut function: calls::Handle = null_mut();
        // SAFETY: a live module; a zero-terminated name.
        unsafe { calls::cuModuleGetFunction(&raw mut function, self.handle, c_name.as_ptr()) }?;
        if shared_bytes > SHARED_BYTES_WITHOUT_ASKING {
            let which = calls::FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            // SAFETY: the kernel found above; plain values.
            unsafe { calls::cuFuncSetAttribute(function, which, shared_bytes as i32) }?;
        }
        Ok(Kernel { name, function, threads, shared_bytes, module: Arc::clone(self) })
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

/// A kernel, with the threads and the dynamic shared memory it is launched with.
#[derive(Debug)]
pub(crate) struct Kernel {
    pub(super) name: &'static str,
    pub(super) function: calls::Handle,
    pub(super) threads: u32,
    pub(super) shared_bytes: u32,
    // Unloading the module would take the kernel away.
    #[allow(dead_code)]
    module: Arc<Module>,
}

impl Kernel {
    /// Entry point.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Threads of a block.
    pub(crate) fn threads(&self) -> u32 {
        self.threads
    }

    /// Registers of a thread, bytes of local memory of a thread.
    pub(crate) fn resources(&self) -> Result<(u32, u32), Failure> {
        let get = |which: i32| {
            let mut value = 0_i32;
            // SAFETY: a live kernel; writes one int to a local.
            unsafe { calls::cuFuncGetAttribute(&raw mut value, which, self.function) }?;
            Ok(value.max(0) as u32)
        };
        let registers = get(calls::FUNC_ATTRIBUTE_NUM_REGS)?;
        Ok((registers, get(calls::FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES)?))
    }

    /// Blocks that an SM holds at a time.
    pub(crate) fn blocks_per_sm(&self) -> Result<u32, Failure> {
        use calls::cuOccupancyMaxActiveBlocksPerMultiprocessor as occupancy;
        let (mut blocks, shared) = (0_i32, self.shared_bytes as usize);
        // SAFETY: a live kernel; writes one int to a local.
        unsafe { occupancy(&raw mut blocks, self.function, self.threads as i32, shared) }?;
        Ok(blocks.max(0) as u32)
    }
}

// SAFETY: as for `Module`: handles belong to a context, not to a thread.
unsafe impl Send for Kernel {}

/// A recorded sequence of launches.
#[derive(Debug)]
pub(crate) struct Graph {
    pub(super) executable: calls::Handle,
    /// What one launch of it takes, in the units of `Supervisor`.
    pub(super) work: u64,
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
