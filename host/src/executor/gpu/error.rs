//! Driver failures in words: which operation, which device, the driver's own
//! code by name and number, and what to try.

use crate::executor::ExecError;
use cuda_driver::Failure;
use cust::error::CudaError;

/// `CUDA_ERROR_OUT_OF_MEMORY`.
pub(crate) const OUT_OF_MEMORY: u32 = 2;
/// `CUDA_ERROR_SHARED_OBJECT_SYMBOL_NOT_FOUND`: the driver is too old for a call.
pub(super) const NO_SUCH_FUNCTION: u32 = 302;

/// The error of `what` on `device`.
pub(super) fn device_error(what: &str, device: &str, failure: Failure) -> ExecError {
    ExecError::Driver {
        what: what.to_owned(),
        device: device.to_owned(),
        code: failure.code,
        cause: failure.to_string(),
        advice: advice(failure.code).to_owned(),
    }
}

/// What the driver returned for a call that cust made. cust's own error has
/// lost codes newer than its enum; the shim kept them.
pub(crate) fn from_cust(error: CudaError) -> Failure {
    match error {
        // cust made this one up itself: the driver was not asked.
        CudaError::InvalidMemoryAllocation | CudaError::OptixError => {
            Failure { function: "cust", code: 1 }
        }
        other => cuda_driver::last_failure()
            .unwrap_or(Failure { function: "a CUDA driver call", code: other as u32 }),
    }
}

/// What to try after a result code.
pub(super) fn advice(code: u32) -> &'static str {
    match code {
        2 => "free device memory (see nvidia-smi for other processes) or use a smaller challenge",
        3 | 34 => "install the NVIDIA driver",
        46 | 216 => {
            "another process holds the device exclusively: see nvidia-smi for its compute mode"
        }
        100 | 101 => "check CUDA_VISIBLE_DEVICES, and that nvidia-smi lists the device",
        200 | 209 | 218 | 221 | 222 | 223 | 300 | 302 => {
            "update the NVIDIA driver, or choose a more portable kernel variant"
        }
        214 | 220 | 226 => {
            "the hardware reported an error: see nvidia-smi -q -d ECC and dmesg for Xid lines, and \
             take the device out of service"
        }
        304 | 802 | 803 | 804 => {
            "the driver installation is broken or not ready: check nvidia-smi, nv-fabricmanager, \
             and that libcuda matches the kernel driver"
        }
        700 | 702 | 710 | 714..=719 => {
            "the device's context is lost: see dmesg for Xid lines, then run attest selftest"
        }
        701 => "the kernel does not fit this device: choose a more portable kernel variant",
        _ => "see dmesg for Xid lines and nvidia-smi -q, then run attest selftest",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_operation_device_code_and_advice() {
        let failure = Failure { function: "cuEventSynchronize", code: 700 };
        let text = device_error("gemm_fma", "GPU 0 (NVIDIA H200)", failure).to_string();
        let (what, advice) = text.split_once('\n').expect("two lines");
        for part in ["gemm_fma", "GPU 0", "cuEventSynchronize", "CUDA_ERROR_ILLEGAL_ADDRESS", "700"]
        {
            assert!(what.contains(part), "{part} in {what}");
        }
        assert!(advice.contains("Xid") && !advice.contains('\n'), "{advice}");
    }
}
