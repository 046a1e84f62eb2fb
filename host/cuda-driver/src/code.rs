//! Result codes: their names, what cust may see of them, and the last failure
//! as it was.

use std::cell::Cell;
use std::ffi::CStr;
use std::fmt;

/// `CUDA_SUCCESS`.
pub(crate) const SUCCESS: u32 = 0;
/// `CUDA_ERROR_INVALID_VALUE`.
pub(crate) const INVALID_VALUE: u32 = 1;
/// `CUDA_ERROR_NOT_INITIALIZED`: what every call returns without a driver.
pub(crate) const NOT_INITIALIZED: u32 = 3;
/// `CUDA_ERROR_SHARED_OBJECT_SYMBOL_NOT_FOUND`: the driver is too old.
pub(crate) const SYMBOL_NOT_FOUND: u32 = 302;
/// `CUDA_ERROR_UNKNOWN`.
const UNKNOWN: u32 = 999;

/// A driver call that did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The function's name.
    pub function: &'static str,
    /// Its result as the driver gave it, whether or not anything here knows it.
    pub code: u32,
}

impl Failure {
    /// The code's name, such as `CUDA_ERROR_ILLEGAL_ADDRESS`.
    pub fn name(&self) -> String {
        name_of(self.code).map_or_else(|| format!("CUDA error {}", self.code), cstr_text)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { function, code } = self;
        match description_of(*code) {
            Some(text) => {
                write!(f, "{function} returned {} ({code}): {}", self.name(), cstr_text(text))
            }
            None => write!(f, "{function} returned {code}, a result newer than this program"),
        }
    }
}

impl std::error::Error for Failure {}

fn cstr_text(text: &CStr) -> String {
    text.to_string_lossy().into_owned()
}

thread_local! {
    static LAST: Cell<Option<Failure>> = const { Cell::new(None) };
}

/// The last driver call of this thread that did not return success, with the
/// code as the driver gave it. Later successes do not clear it: ask right
/// after the call that failed.
pub fn last_failure() -> Option<Failure> {
    LAST.try_with(Cell::get).ok().flatten()
}

/// Keeps a result that is not success.
pub(crate) fn note(function: &'static str, code: u32) {
    if code != SUCCESS {
        // At the very end of a thread there is nowhere left to keep it.
        let _ = LAST.try_with(|last| last.set(Some(Failure { function, code })));
    }
}

/// The name of a result code, such as `CUDA_ERROR_OUT_OF_MEMORY`.
pub fn name_of(code: u32) -> Option<&'static CStr> {
    row(code).map(|row| row.1)
}

/// What a result code means.
pub fn description_of(code: u32) -> Option<&'static CStr> {
    row(code).map(|row| row.2)
}

fn row(code: u32) -> Option<&'static (u32, &'static CStr, &'static CStr)> {
    CODES.binary_search_by_key(&code, |row| row.0).ok().map(|at| &CODES[at])
}

/// What cust may be given for `code`: its enum of results is closed, and any
/// other value in it would be undefined behaviour.
pub(crate) fn for_cust(code: u32) -> u32 {
    if row(code).is_some() && !NEWER_THAN_CUST.contains(&code) { code } else { UNKNOWN }
}

/// Codes of the table that cust's raw bindings (0.11.3, CUDA 11) lack.
const NEWER_THAN_CUST: [u32; 14] =
    [46, 225, 226, 402, 721, 810, 811, 812, 912, 913, 914, 915, 916, 917];

/// Every result of the driver API up to CUDA 13: code, name, meaning. Ascending.
#[rustfmt::skip]
static CODES: [(u32, &CStr, &CStr); 101] = [
    (0, c"CUDA_SUCCESS", c"no error"),
    (1, c"CUDA_ERROR_INVALID_VALUE", c"invalid argument"),
    (2, c"CUDA_ERROR_OUT_OF_MEMORY", c"out of memory"),
    (3, c"CUDA_ERROR_NOT_INITIALIZED", c"initialization error"),
    (4, c"CUDA_ERROR_DEINITIALIZED", c"driver shutting down"),
    (5, c"CUDA_ERROR_PROFILER_DISABLED", c"profiler disabled while using an external profiling tool"),
    (6, c"CUDA_ERROR_PROFILER_NOT_INITIALIZED", c"profiler not initialised"),
    (7, c"CUDA_ERROR_PROFILER_ALREADY_STARTED", c"profiler already started"),
    (8, c"CUDA_ERROR_PROFILER_ALREADY_STOPPED", c"profiler already stopped"),
    (34, c"CUDA_ERROR_STUB_LIBRARY", c"the loaded libcuda is the toolkit's stub, not a driver"),
    (46, c"CUDA_ERROR_DEVICE_UNAVAILABLE", c"the device is busy or unavailable"),
    (100, c"CUDA_ERROR_NO_DEVICE", c"no CUDA-capable device is detected"),
    (101, c"CUDA_ERROR_INVALID_DEVICE", c"invalid device ordinal"),
    (102, c"CUDA_ERROR_DEVICE_NOT_LICENSED", c"device doesn't have a valid GRID licence"),
    (200, c"CUDA_ERROR_INVALID_IMAGE", c"device kernel image is invalid"),
    (201, c"CUDA_ERROR_INVALID_CONTEXT", c"invalid device context"),
    (202, c"CUDA_ERROR_CONTEXT_ALREADY_CURRENT", c"context already current"),
    (205, c"CUDA_ERROR_MAP_FAILED", c"mapping of a buffer failed"),
    (206, c"CUDA_ERROR_UNMAP_FAILED", c"unmapping of a buffer failed"),
    (207, c"CUDA_ERROR_ARRAY_IS_MAPPED", c"array is mapped"),
    (208, c"CUDA_ERROR_ALREADY_MAPPED", c"resource already mapped"),
    (209, c"CUDA_ERROR_NO_BINARY_FOR_GPU", c"no kernel image is available for execution on the device"),
    (210, c"CUDA_ERROR_ALREADY_ACQUIRED", c"resource already acquired"),
    (211, c"CUDA_ERROR_NOT_MAPPED", c"resource not mapped"),
    (212, c"CUDA_ERROR_NOT_MAPPED_AS_ARRAY", c"resource not mapped as an array"),
    (213, c"CUDA_ERROR_NOT_MAPPED_AS_POINTER", c"resource not mapped as a pointer"),
    (214, c"CUDA_ERROR_ECC_UNCORRECTABLE", c"uncorrectable ECC error encountered"),
    (215, c"CUDA_ERROR_UNSUPPORTED_LIMIT", c"limit is not supported on this architecture"),
    (216, c"CUDA_ERROR_CONTEXT_ALREADY_IN_USE", c"exclusive-thread device already in use by a different thread"),
    (217, c"CUDA_ERROR_PEER_ACCESS_UNSUPPORTED", c"peer access is not supported between these two devices"),
    (218, c"CUDA_ERROR_INVALID_PTX", c"a PTX JIT compilation failed"),
    (219, c"CUDA_ERROR_INVALID_GRAPHICS_CONTEXT", c"invalid graphics context"),
    (220, c"CUDA_ERROR_NVLINK_UNCORRECTABLE", c"uncorrectable NVLink error detected"),
    (221, c"CUDA_ERROR_JIT_COMPILER_NOT_FOUND", c"PTX JIT compiler library not found"),
    (222, c"CUDA_ERROR_UNSUPPORTED_PTX_VERSION", c"the PTX was made for a newer driver"),
    (223, c"CUDA_ERROR_JIT_COMPILATION_DISABLED", c"PTX JIT compilation was disabled"),
    (224, c"CUDA_ERROR_UNSUPPORTED_EXEC_AFFINITY", c"the execution affinity is not supported by the device"),
    (225, c"CUDA_ERROR_UNSUPPORTED_DEVSIDE_SYNC", c"device-side synchronisation is not supported"),
    (226, c"CUDA_ERROR_CONTAINED", c"contained exception: the device reported an error confined to this process"),
    (300, c"CUDA_ERROR_INVALID_SOURCE", c"device kernel source is invalid"),
    (301, c"CUDA_ERROR_FILE_NOT_FOUND", c"file not found"),
    (302, c"CUDA_ERROR_SHARED_OBJECT_SYMBOL_NOT_FOUND", c"the driver lacks this function"),
    (303, c"CUDA_ERROR_SHARED_OBJECT_INIT_FAILED", c"shared object initialisation failed"),
    (304, c"CUDA_ERROR_OPERATING_SYSTEM", c"an operating system call failed"),
    (400, c"CUDA_ERROR_INVALID_HANDLE", c"invalid resource handle"),
    (401, c"CUDA_ERROR_ILLEGAL_STATE", c"the operation cannot be performed in the present state"),
    (402, c"CUDA_ERROR_LOSSY_QUERY", c"the query would lose information"),
    (500, c"CUDA_ERROR_NOT_FOUND", c"named symbol not found"),
    (600, c"CUDA_ERROR_NOT_READY", c"device not ready"),
    (700, c"CUDA_ERROR_ILLEGAL_ADDRESS", c"an illegal memory access was encountered"),
    (701, c"CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES", c"too many resources requested for launch"),
    (702, c"CUDA_ERROR_LAUNCH_TIMEOUT", c"the launch timed out and was terminated"),
    (703, c"CUDA_ERROR_LAUNCH_INCOMPATIBLE_TEXTURING", c"launch uses incompatible texturing mode"),
    (704, c"CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED", c"peer access is already enabled"),
    (705, c"CUDA_ERROR_PEER_ACCESS_NOT_ENABLED", c"peer access has not been enabled"),
    (708, c"CUDA_ERROR_PRIMARY_CONTEXT_ACTIVE", c"the primary context is active"),
    (709, c"CUDA_ERROR_CONTEXT_IS_DESTROYED", c"context is destroyed"),
    (710, c"CUDA_ERROR_ASSERT", c"device-side assert triggered"),
    (711, c"CUDA_ERROR_TOO_MANY_PEERS", c"peer mapping resources exhausted"),
    (712, c"CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED", c"part or all of the requested memory is already registered"),
    (713, c"CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED", c"the memory is not registered"),
    (714, c"CUDA_ERROR_HARDWARE_STACK_ERROR", c"hardware stack error"),
    (715, c"CUDA_ERROR_ILLEGAL_INSTRUCTION", c"an illegal instruction was encountered"),
    (716, c"CUDA_ERROR_MISALIGNED_ADDRESS", c"misaligned address"),
    (717, c"CUDA_ERROR_INVALID_ADDRESS_SPACE", c"operation not supported on this address space"),
    (718, c"CUDA_ERROR_INVALID_PC", c"invalid program counter"),
    (719, c"CUDA_ERROR_LAUNCH_FAILED", c"unspecified launch failure"),
    (720, c"CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE", c"too many blocks in a cooperative launch"),
    (721, c"CUDA_ERROR_TENSOR_MEMORY_LEAK", c"tensor memory not completely freed"),
    (800, c"CUDA_ERROR_NOT_PERMITTED", c"operation not permitted"),
    (801, c"CUDA_ERROR_NOT_SUPPORTED", c"operation not supported"),
    (802, c"CUDA_ERROR_SYSTEM_NOT_READY", c"system not yet initialised (on NVSwitch machines: is nv-fabricmanager running?)"),
    (803, c"CUDA_ERROR_SYSTEM_DRIVER_MISMATCH", c"libcuda and the kernel driver are of different versions"),
    (804, c"CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE", c"forward compatibility was attempted on hardware that doesn't support it"),
    (805, c"CUDA_ERROR_MPS_CONNECTION_FAILED", c"MPS client failed to connect to the MPS control daemon or the MPS server"),
    (806, c"CUDA_ERROR_MPS_RPC_FAILURE", c"the remote procedure call between the MPS server and the MPS client failed"),
    (807, c"CUDA_ERROR_MPS_SERVER_NOT_READY", c"the MPS server is not ready to accept new MPS client requests"),
    (808, c"CUDA_ERROR_MPS_MAX_CLIENTS_REACHED", c"the hardware resources required to create an MPS client have been exhausted"),
    (809, c"CUDA_ERROR_MPS_MAX_CONNECTIONS_REACHED", c"the hardware resources required for device connections have been exhausted"),
    (810, c"CUDA_ERROR_MPS_CLIENT_TERMINATED", c"the MPS client has been terminated by the server"),
    (811, c"CUDA_ERROR_CDP_NOT_SUPPORTED", c"the module uses CUDA dynamic parallelism, which MPS does not support"),
    (812, c"CUDA_ERROR_CDP_VERSION_MISMATCH", c"unsupported interaction between versions of CUDA dynamic parallelism"),
    (900, c"CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED", c"operation not permitted when the stream is capturing"),
    (901, c"CUDA_ERROR_STREAM_CAPTURE_INVALIDATED", c"operation failed due to a previous error during capture"),
    (902, c"CUDA_ERROR_STREAM_CAPTURE_MERGE", c"operation would result in a merge of separate capture sequences"),
    (903, c"CUDA_ERROR_STREAM_CAPTURE_UNMATCHED", c"capture was not ended in the same stream as it began"),
    (904, c"CUDA_ERROR_STREAM_CAPTURE_UNJOINED", c"capturing stream has unjoined work"),
    (905, c"CUDA_ERROR_STREAM_CAPTURE_ISOLATION", c"dependency created on uncaptured work in another stream"),
    (906, c"CUDA_ERROR_STREAM_CAPTURE_IMPLICIT", c"operation would make the legacy stream depend on a capturing blocking stream"),
    (907, c"CUDA_ERROR_CAPTURED_EVENT", c"operation not permitted on an event last recorded in a capturing stream"),
    (908, c"CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD", c"attempt to terminate a thread-local capture sequence from another thread"),
    (909, c"CUDA_ERROR_TIMEOUT", c"a wait operation timed out"),
    (910, c"CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE", c"the graph update violates constraints"),
    (911, c"CUDA_ERROR_EXTERNAL_DEVICE", c"an error on a device outside CUDA's control"),
    (912, c"CUDA_ERROR_INVALID_CLUSTER_SIZE", c"invalid cluster size"),
    (913, c"CUDA_ERROR_FUNCTION_NOT_LOADED", c"the function is not loaded"),
    (914, c"CUDA_ERROR_INVALID_RESOURCE_TYPE", c"invalid resource type"),
    (915, c"CUDA_ERROR_INVALID_RESOURCE_CONFIGURATION", c"invalid resource configuration"),
    (916, c"CUDA_ERROR_KEY_ROTATION", c"operation failed because of a pending key rotation"),
    (917, c"CUDA_ERROR_STREAM_DETACHED", c"the stream is detached"),
    (999, c"CUDA_ERROR_UNKNOWN", c"unknown error"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_ascending() {
        // The lookup is a binary search.
        assert!(CODES.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }

    #[test]
    fn what_cust_sees_is_in_its_enum() {
        // 46, 225 and 912 exist in drivers but not in cust's closed enum; 2 and 911 do.
        for (code, seen) in [(0, 0), (2, 2), (911, 911), (46, 999), (225, 999), (912, 999)] {
            assert_eq!(for_cust(code), seen, "code {code}");
        }
        assert_eq!(for_cust(123_456), 999, "a code that nothing knows");
    }

    #[test]
    fn a_failure_prints_name_and_raw_code() {
        let known = Failure { function: "cuLaunchKernel", code: 700 }.to_string();
        assert!(known.contains("CUDA_ERROR_ILLEGAL_ADDRESS") && known.contains("700"), "{known}");
        let unknown = Failure { function: "cuLaunchKernel", code: 4242 }.to_string();
        assert!(unknown.contains("4242"), "{unknown}");
    }
}
