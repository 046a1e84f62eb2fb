//! The symbols that cust, its raw bindings and its generics leave undefined.
//!
//! Each is a function of the type that cuda.h declares, with handles as
//! untyped pointers and enums as `u32` (the same in the C ABI), which calls
//! the driver's function of the same name. Nothing here is called by path:
//! the linker binds cust's declarations to them.
#![allow(non_snake_case)] // the names are the driver API's

use crate::code::{self, INVALID_VALUE, SUCCESS};
use std::ffi::{CStr, c_char, c_void};

/// Any of the driver's opaque pointers.
type Handle = *mut c_void;
/// A device address.
type DevicePtr = u64;
/// A C function pointer, null allowed.
type Callback = *const c_void;

macro_rules! forward {
    ($($function:ident($($arg:ident: $kind:ty),*);)*) => {$(
        // SAFETY (of the exported name): no other crate of the program defines
        // this symbol; the in-tree find_cuda_helper links no libcuda.
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $function($($arg: $kind),*) -> u32 {
            // SAFETY: cuda.h declares the function with this signature; the
            // arguments are the caller's, unchanged, and the caller keeps the
            // contract of the driver API.
            let result = unsafe { call_driver!($function($($arg: $kind),*)) };
            code::for_cust(result)
        }
    )*};
}

/// Answers from the table, so that it works without a driver and for codes
/// that the driver does not know: cust's `Display` panics otherwise.
// SAFETY (of the exported name): as in `forward!`.
#[unsafe(no_mangle)]
unsafe extern "C" fn cuGetErrorString(error: u32, text: *mut *const c_char) -> u32 {
    // SAFETY: the caller's pointer, null or valid for a write, as cuda.h asks.
    unsafe { answer(code::description_of(error), text) }
}

/// As [`cuGetErrorString`], for the code's name.
// SAFETY (of the exported name): as in `forward!`.
#[unsafe(no_mangle)]
unsafe extern "C" fn cuGetErrorName(error: u32, text: *mut *const c_char) -> u32 {
    // SAFETY: the caller's pointer, null or valid for a write, as cuda.h asks.
    unsafe { answer(code::name_of(error), text) }
}

/// # Safety
/// `text` is null or valid for a write.
unsafe fn answer(found: Option<&'static CStr>, text: *mut *const c_char) -> u32 {
    if text.is_null() {
        return INVALID_VALUE;
    }
    let found = found.unwrap_or(c"an error newer than this program");
    // SAFETY: not null (above), valid for a write (the caller's promise).
    unsafe { *text = found.as_ptr() };
    SUCCESS
}

forward! {
    cuArray3DCreate_v2(a: *mut Handle, b: *const c_void);
    cuArray3DGetDescriptor_v2(a: *mut c_void, b: Handle);
    cuArrayDestroy(a: Handle);
    cuCtxCreate_v2(a: *mut Handle, b: u32, c: i32);
    cuCtxDestroy_v2(a: Handle);
    cuCtxGetApiVersion(a: Handle, b: *mut u32);
    cuCtxGetCacheConfig(a: *mut u32);
    cuCtxGetCurrent(a: *mut Handle);
    cuCtxGetDevice(a: *mut i32);
    cuCtxGetFlags(a: *mut u32);
    cuCtxGetLimit(a: *mut usize, b: u32);
    cuCtxGetSharedMemConfig(a: *mut u32);
    cuCtxGetStreamPriorityRange(a: *mut i32, b: *mut i32);
    cuCtxPopCurrent_v2(a: *mut Handle);
    cuCtxPushCurrent_v2(a: Handle);
    cuCtxSetCacheConfig(a: u32);
    cuCtxSetCurrent(a: Handle);
    cuCtxSetLimit(a: u32, b: usize);
    cuCtxSetSharedMemConfig(a: u32);
    cuCtxSynchronize();
    cuDestroyExternalMemory(a: Handle);
    cuDeviceGet(a: *mut i32, b: i32);
    cuDeviceGetAttribute(a: *mut i32, b: u32, c: i32);
    cuDeviceGetCount(a: *mut i32);
    cuDeviceGetName(a: *mut c_char, b: i32, c: i32);
    cuDevicePrimaryCtxRelease_v2(a: i32);
    cuDevicePrimaryCtxReset_v2(a: i32);
    cuDevicePrimaryCtxRetain(a: *mut Handle, b: i32);
    cuDevicePrimaryCtxSetFlags_v2(a: i32, b: u32);
    cuDeviceTotalMem_v2(a: *mut usize, b: i32);
    cuDriverGetVersion(a: *mut i32);
    cuEventCreate(a: *mut Handle, b: u32);
    cuEventDestroy_v2(a: Handle);
    cuEventElapsedTime(a: *mut f32, b: Handle, c: Handle);
    cuEventQuery(a: Handle);
    cuEventRecord(a: Handle, b: Handle);
    cuEventSynchronize(a: Handle);
    cuExternalMemoryGetMappedBuffer(a: *mut DevicePtr, b: Handle, c: *const c_void);
    cuFuncGetAttribute(a: *mut i32, b: u32, c: Handle);
    cuFuncSetCacheConfig(a: Handle, b: u32);
    cuFuncSetSharedMemConfig(a: Handle, b: u32);
    cuGraphAddKernelNode(a: *mut Handle, b: Handle, c: *const Handle, d: usize, e: *const c_void);
    cuGraphCreate(a: *mut Handle, b: u32);
    cuGraphDebugDotPrint(a: Handle, b: *const c_char, c: u32);
    cuGraphDestroy(a: Handle);
    cuGraphGetEdges(a: Handle, b: *mut Handle, c: *mut Handle, d: *mut usize);
    cuGraphGetNodes(a: Handle, b: *mut Handle, c: *mut usize);
    cuGraphKernelNodeGetParams(a: Handle, b: *mut c_void);
    cuGraphNodeGetType(a: Handle, b: *mut u32);
    cuImportExternalMemory(a: *mut Handle, b: *const c_void);
    cuInit(a: u32);
    cuLaunchHostFunc(a: Handle, b: Callback, c: *mut c_void);
    cuLaunchKernel(a: Handle, b: u32, c: u32, d: u32, e: u32, f: u32, g: u32, h: u32, i: Handle, j: *mut *mut c_void, k: *mut *mut c_void);
    cuLinkAddData_v2(a: Handle, b: u32, c: *mut c_void, d: usize, e: *const c_char, f: u32, g: *mut u32, h: *mut *mut c_void);
    cuLinkComplete(a: Handle, b: *mut *mut c_void, c: *mut usize);
    cuLinkCreate_v2(a: u32, b: *mut u32, c: *mut *mut c_void, d: *mut Handle);
    cuLinkDestroy(a: Handle);
    cuMemAdvise(a: DevicePtr, b: usize, c: u32, d: i32);
    cuMemAllocAsync(a: *mut DevicePtr, b: usize, c: Handle);
    cuMemAllocHost_v2(a: *mut *mut c_void, b: usize);
    cuMemAllocManaged(a: *mut DevicePtr, b: usize, c: u32);
    cuMemAlloc_v2(a: *mut DevicePtr, b: usize);
    cuMemFreeAsync(a: DevicePtr, b: Handle);
    cuMemFreeHost(a: *mut c_void);
    cuMemFree_v2(a: DevicePtr);
    cuMemGetInfo_v2(a: *mut usize, b: *mut usize);
    cuMemPrefetchAsync(a: DevicePtr, b: usize, c: i32, d: Handle);
    cuMemcpy2D_v2(a: *const c_void);
    cuMemcpyAtoH_v2(a: *mut c_void, b: Handle, c: usize, d: usize);
    cuMemcpyDtoDAsync_v2(a: DevicePtr, b: DevicePtr, c: usize, d: Handle);
    cuMemcpyDtoD_v2(a: DevicePtr, b: DevicePtr, c: usize);
    cuMemcpyDtoHAsync_v2(a: *mut c_void, b: DevicePtr, c: usize, d: Handle);
    cuMemcpyDtoH_v2(a: *mut c_void, b: DevicePtr, c: usize);
    cuMemcpyHtoA_v2(a: Handle, b: usize, c: *const c_void, d: usize);
    cuMemcpyHtoDAsync_v2(a: DevicePtr, b: *const c_void, c: usize, d: Handle);
    cuMemcpyHtoD_v2(a: DevicePtr, b: *const c_void, c: usize);
    cuMemsetD16Async(a: DevicePtr, b: u16, c: usize, d: Handle);
    cuMemsetD16_v2(a: DevicePtr, b: u16, c: usize);
    cuMemsetD32Async(a: DevicePtr, b: u32, c: usize, d: Handle);
    cuMemsetD32_v2(a: DevicePtr, b: u32, c: usize);
    cuMemsetD8Async(a: DevicePtr, b: u8, c: usize, d: Handle);
    cuMemsetD8_v2(a: DevicePtr, b: u8, c: usize);
    cuModuleGetFunction(a: *mut Handle, b: Handle, c: *const c_char);
    cuModuleGetGlobal_v2(a: *mut DevicePtr, b: *mut usize, c: Handle, d: *const c_char);
    cuModuleLoad(a: *mut Handle, b: *const c_char);
    cuModuleLoadData(a: *mut Handle, b: *const c_void);
    cuModuleLoadDataEx(a: *mut Handle, b: *const c_void, c: u32, d: *mut u32, e: *mut *mut c_void);
    cuModuleUnload(a: Handle);
    cuOccupancyAvailableDynamicSMemPerBlock(a: *mut usize, b: Handle, c: i32, d: i32);
    cuOccupancyMaxActiveBlocksPerMultiprocessor(a: *mut i32, b: Handle, c: i32, d: usize);
    cuOccupancyMaxPotentialBlockSize(a: *mut i32, b: *mut i32, c: Handle, d: Callback, e: usize, f: i32);
    cuStreamCreateWithPriority(a: *mut Handle, b: u32, c: i32);
    cuStreamDestroy_v2(a: Handle);
    cuStreamGetFlags(a: Handle, b: *mut u32);
    cuStreamGetPriority(a: Handle, b: *mut i32);
    cuStreamSynchronize(a: Handle);
    cuStreamWaitEvent(a: Handle, b: Handle, c: u32);
    cuSurfObjectCreate(a: *mut u64, b: *const c_void);
    cuSurfObjectDestroy(a: u64);
    cuSurfObjectGetResourceDesc(a: *mut c_void, b: u64);
    cuTexObjectCreate(a: *mut u64, b: *const c_void, c: *const c_void, d: *const c_void);
    cuTexObjectDestroy(a: u64);
    cuTexObjectGetResourceDesc(a: *mut c_void, b: u64);
}
