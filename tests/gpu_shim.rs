//! The driver shim under cust: on a machine with no driver every call fails
//! cleanly; with one, the same program uses it.

use cust::CudaFlags;
use cust::device::Device;
use cust::error::CudaError;

#[test]
fn cust_without_a_driver_says_not_initialised() {
    match cuda_driver::driver() {
        Ok(()) => assert_eq!(cust::init(CudaFlags::empty()), Ok(())),
        Err(reason) => {
            assert!(reason.to_string().contains("libcuda.so.1"), "{reason}");
            assert_eq!(cust::init(CudaFlags::empty()), Err(CudaError::NotInitialized));
            assert_eq!(Device::num_devices(), Err(CudaError::NotInitialized));
            let kept = cuda_driver::last_failure().unwrap();
            assert_eq!((kept.function, kept.code), ("cuDeviceGetCount", 3));
        }
    }
}

#[test]
fn errors_print_without_a_driver() {
    // cust's Display panics where cuGetErrorString fails.
    let text = CudaError::IllegalAddress.to_string();
    assert!(text.contains("illegal memory access"), "{text}");
    for error in [CudaError::UnknownError, CudaError::NotInitialized, CudaError::LaunchFailed] {
        assert!(!error.to_string().is_empty());
    }
}

#[test]
fn raw_calls_without_a_driver_fail_with_their_name() {
    if cuda_driver::driver().is_ok() {
        return;
    }
    let mut able = 0;
    // SAFETY: a local to write to; device numbers are plain values.
    let result = unsafe { cuda_driver::calls::cuDeviceCanAccessPeer(&raw mut able, 0, 1) };
    let failure = result.unwrap_err();
    assert_eq!((failure.function, failure.code), ("cuDeviceCanAccessPeer", 3));
    assert!(failure.to_string().contains("CUDA_ERROR_NOT_INITIALIZED"), "{failure}");
}

#[test]
fn failures_are_kept_per_thread() {
    if cuda_driver::driver().is_ok() {
        return;
    }
    let _ = cust::init(CudaFlags::empty());
    assert!(cuda_driver::last_failure().is_some());
    let elsewhere = std::thread::spawn(cuda_driver::last_failure).join().unwrap();
    assert_eq!(elsewhere, None);
}
