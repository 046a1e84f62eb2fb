//! Raw calls that cust lacks, or whose failure must be told exactly.
//!
//! Every function is the driver's of the same name, with its result turned
//! into a [`Failure`] that keeps the driver's own code. Enums are their
//! numbers in cuda.h; the few that are needed have constants here.
#![allow(non_snake_case)] // the names are the driver API's

use crate::code::{Failure, SUCCESS};
use std::ffi::{c_char, c_void};

/// Any of the driver's opaque pointers: context, module, function, stream,
/// event, graph.
pub type Handle = *mut c_void;
/// A device address.
pub type DevicePtr = u64;

/// `CU_CTX_SCHED_BLOCKING_SYNC`: a waiting thread sleeps.
pub const CTX_SCHED_BLOCKING_SYNC: u32 = 0x04;
/// `CU_STREAM_CAPTURE_MODE_THREAD_LOCAL`: other threads' calls don't disturb it.
pub const STREAM_CAPTURE_MODE_THREAD_LOCAL: u32 = 1;
/// `CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES`.
pub const FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES: i32 = 3;
/// `CU_FUNC_ATTRIBUTE_NUM_REGS`.
pub const FUNC_ATTRIBUTE_NUM_REGS: i32 = 4;
/// `CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES`.
pub const FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES: i32 = 8;
/// `CU_JIT_ERROR_LOG_BUFFER`.
pub const JIT_ERROR_LOG_BUFFER: i32 = 5;
/// `CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES`.
pub const JIT_ERROR_LOG_BUFFER_SIZE_BYTES: i32 = 6;

macro_rules! calls {
    ($($(#[$doc:meta])* $function:ident($($arg:ident: $kind:ty),*);)*) => {$(
        $(#[$doc])*
        ///
        /// # Errors
        /// Whatever the driver returns other than success.
        ///
        /// # Safety
        /// The caller keeps the contract that the CUDA driver API states for
        /// the function of this name: handles alive and of the current
        /// context, pointers valid for the bytes that it reads or writes.
        #[allow(clippy::too_many_arguments)] // the driver's own
        pub unsafe fn $function($($arg: $kind),*) -> Result<(), Failure> {
            // SAFETY: cuda.h declares the function with this signature; the
            // caller keeps the contract of the driver API.
            let code = unsafe { call_driver!($function($($arg: $kind),*)) };
            let function = stringify!($function);
            if code == SUCCESS { Ok(()) } else { Err(Failure { function, code }) }
        }
    )*};
}

calls! {
    /// A device's UUID; of a MIG instance, its own. Since CUDA 11.4.
    cuDeviceGetUuid_v2(uuid: *mut [u8; 16], device: i32);
    /// A device's UUID; of a MIG instance, its parent's.
    cuDeviceGetUuid(uuid: *mut [u8; 16], device: i32);
    /// A device's PCI id, "domain:bus:device.function", with a final zero.
    cuDeviceGetPCIBusId(text: *mut c_char, length: i32, device: i32);
    /// Whether `device` can address `peer`'s memory.
    cuDeviceCanAccessPeer(able: *mut i32, device: i32, peer: i32);
    /// Lets the current context address memory of another.
    cuCtxEnablePeerAccess(peer: Handle, flags: u32);
    /// Takes back what [`cuCtxEnablePeerAccess`] gave.
    cuCtxDisablePeerAccess(peer: Handle);
    /// How the primary context of a device waits, for whoever creates it next.
    cuDevicePrimaryCtxSetFlags_v2(device: i32, flags: u32);
    /// Copies to the device, in stream order.
    cuMemcpyHtoDAsync_v2(to: DevicePtr, from: *const c_void, bytes: usize, stream: Handle);
    /// Copies from the device, in stream order.
    cuMemcpyDtoHAsync_v2(to: *mut c_void, from: DevicePtr, bytes: usize, stream: Handle);
    /// Copies on the device, in stream order.
    cuMemcpyDtoDAsync_v2(to: DevicePtr, from: DevicePtr, bytes: usize, stream: Handle);
    /// Copies between devices, in stream order: directly if one may address the
    /// other, through the host otherwise.
    cuMemcpyPeerAsync(to: DevicePtr, to_context: Handle, from: DevicePtr, from_context: Handle, bytes: usize, stream: Handle);
    /// Fills device memory with one byte, in stream order.
    cuMemsetD8Async(to: DevicePtr, byte: u8, bytes: usize, stream: Handle);
    /// Loads PTX (zero-terminated) or a cubin, with options for the JIT compiler.
    cuModuleLoadDataEx(module: *mut Handle, image: *const c_void, count: u32, options: *mut i32, values: *mut *mut c_void);
    /// Unloads a module.
    cuModuleUnload(module: Handle);
    /// A kernel of a module by name.
    cuModuleGetFunction(function: *mut Handle, module: Handle, name: *const c_char);
    /// An attribute of a kernel, by its number in cuda.h.
    cuFuncGetAttribute(value: *mut i32, attribute: i32, function: Handle);
    /// Sets an attribute of a kernel: dynamic shared memory above 48 KiB needs it.
    cuFuncSetAttribute(function: Handle, attribute: i32, value: i32);
    /// How many blocks of a kernel fit on one SM at once.
    cuOccupancyMaxActiveBlocksPerMultiprocessor(blocks: *mut i32, function: Handle, threads: i32, shared_bytes: usize);
    /// Launches a kernel; the parameters are copied before it returns.
    cuLaunchKernel(function: Handle, grid_x: u32, grid_y: u32, grid_z: u32, block_x: u32, block_y: u32, block_z: u32, shared_bytes: u32, stream: Handle, params: *mut *mut c_void, extra: *mut *mut c_void);
    /// From here on the stream's work is recorded, not run.
    cuStreamBeginCapture_v2(stream: Handle, mode: u32);
    /// Ends a recording and gives it as a graph.
    cuStreamEndCapture(stream: Handle, graph: *mut Handle);
    /// Makes a graph launchable. Since CUDA 11.4.
    cuGraphInstantiateWithFlags(executable: *mut Handle, graph: Handle, flags: u64);
    /// Launches a graph, in stream order.
    cuGraphLaunch(executable: Handle, stream: Handle);
    /// Destroys what [`cuGraphInstantiateWithFlags`] gave.
    cuGraphExecDestroy(executable: Handle);
    /// Destroys a graph.
    cuGraphDestroy(graph: Handle);
}
