//! cuBLAS and cuBLASLt beside which products are measured, loaded at run time. Their
//! absence is a value: nothing but measuring needs them.
#![allow(unsafe_code)]

mod lt;

pub(super) use lt::CublasLt;

use super::driver::{DeviceMemory, Gpu};
use libloading::Library;
use std::ffi::c_void;
use std::path::Path;

type Handle = *mut c_void;
type Create = unsafe extern "C" fn(*mut Handle) -> i32;
type Destroy = unsafe extern "C" fn(Handle) -> i32;
type SetStream = unsafe extern "C" fn(Handle, *mut c_void) -> i32;
type GetVersion = unsafe extern "C" fn(Handle, *mut i32) -> i32;
/// handle, transa, transb, m, n, k, alpha, A, lda, strideA, B, ldb, strideB,
/// beta, C, ldc, strideC, batchCount.
type Batched = unsafe extern "C" fn(
    Handle,
    i32,
    i32,
    i32,
    i32,
    i32,
    *const f64,
    u64,
    i32,
    i64,
    u64,
    i32,
    i64,
    *const f64,
    u64,
    i32,
    i64,
    i32,
) -> i32;

/// `CUBLAS_OP_N`.
const NOT_TRANSPOSED: i32 = 0;
/// Names to look for, newest first.
const LIBRARIES: [&str; 3] = ["libcublas.so.13", "libcublas.so.12", "libcublas.so.11"];

/// A cuBLAS handle on a device's stream.
#[derive(Debug)]
pub(super) struct Cublas {
    handle: Handle,
    dgemm: Batched,
    destroy: Destroy,
    version: i32,
    // Last: the functions above point into it.
    _library: Library,
}

/// Products of n×n matrices, one after the other in memory.
#[derive(Clone, Copy)]
pub(super) struct Products<'a> {
    /// Per product, n² doubles of A, then n² of B.
    pub operands: &'a DeviceMemory,
    /// Per product, n² doubles.
    pub outputs: &'a DeviceMemory,
    /// Rows and columns of a matrix (n).
    pub dim: u32,
    /// How many.
    pub products: u32,
}

impl Cublas {
    /// Loads the library (from `path`, or by its usual names) and puts a
    /// handle on the stream of `gpu`, whose context must be current.
    ///
    /// # Errors
    /// Why not, in words.
    pub(super) fn load(gpu: &Gpu, path: Option<&Path>) -> Result<Self, String> {
        let library = open("cuBLAS", path, &LIBRARIES)?;
        let name = |error: libloading::Error| format!("cuBLAS lacks a function: {error}");
        // SAFETY: the types are those that cublas_api.h declares for these
        // names; enums are ints, device pointers 64-bit addresses.
        let (create, destroy, set_stream, get_version, dgemm) = unsafe {
            (
                *library.get::<Create>(b"cublasCreate_v2\0").map_err(name)?,
                *library.get::<Destroy>(b"cublasDestroy_v2\0").map_err(name)?,
                *library.get::<SetStream>(b"cublasSetStream_v2\0").map_err(name)?,
                *library.get::<GetVersion>(b"cublasGetVersion_v2\0").map_err(name)?,
                *library.get::<Batched>(b"cublasDgemmStridedBatched\0").map_err(name)?,
            )
        };
        let mut handle: Handle = std::ptr::null_mut();
        // SAFETY: writes a handle to a local; a context is current.
        status("cublasCreate_v2", unsafe { create(&raw mut handle) })?;
        let mut made = Self { handle, dgemm, destroy, version: 0, _library: library };
        // SAFETY: the handle made above; the stream of the current context;
        // an int to write to.
        unsafe {
            status("cublasSetStream_v2", set_stream(handle, gpu.stream_handle()))?;
            status("cublasGetVersion_v2", get_version(handle, &raw mut made.version))?;
        }
        Ok(made)
    }

    /// Its version, as cuBLAS counts: 1000·major and so on.
    pub(super) fn version(&self) -> i32 {
        self.version
    }

    /// Enqueues C = A·B for every product.
    ///
    /// # Panics
    /// If the matrices are shorter than the products: a bug of the caller.
    pub(super) fn enqueue(&self, work: Products<'_>) -> Result<(), String> {
        let (dim, elements) = (work.dim as i32, i64::from(work.dim) * i64::from(work.dim));
        let bytes = 8 * u64::from(work.products) * elements as u64;
        assert!(work.operands.bytes() >= 2 * bytes, "operands too short");
        assert!(work.outputs.bytes() >= bytes, "outputs too short");
        let a = work.operands.address();
        let (one, zero) = (1.0_f64, 0.0_f64);
        // SAFETY: a live handle; n×n matrices, `strides` apart, inside live
        // memory (asserted above); scalars on the host are read before it
        // returns, as in cuBLAS's default pointer mode.
        let code = unsafe {
            (self.dgemm)(
                self.handle,
                NOT_TRANSPOSED,
                NOT_TRANSPOSED,
                dim,
                dim,
                dim,
                &raw const one,
                a,
                dim,
                2 * elements,
                a + 8 * elements as u64,
                dim,
                2 * elements,
                &raw const zero,
                work.outputs.address(),
                dim,
                elements,
                work.products as i32,
            )
        };
        status("cublasDgemmStridedBatched", code)
    }
}

impl Drop for Cublas {
    fn drop(&mut self) {
        // SAFETY: created once, destroyed once, before the library goes.
        let _ = unsafe { (self.destroy)(self.handle) };
    }
}

/// The library at `path`, or the first of its usual names that loads. `what` is how
/// messages call it.
fn open(what: &str, path: Option<&Path>, usual: &[&str]) -> Result<Library, String> {
    let mut reasons = Vec::new();
    let names = match path {
        Some(path) => vec![path],
        None => usual.iter().map(Path::new).collect(),
    };
    for name in names {
        // SAFETY: loading runs the library's initialisers; those of cuBLAS and cuBLASLt are
        // made to run in any process.
        match unsafe { Library::new(name) } {
            Ok(library) => return Ok(library),
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                reasons.push(cause.unwrap_or_else(|| error.to_string()));
            }
        }
    }
    Err(format!("{what} cannot be loaded: {}", reasons.join("; ")))
}

fn status(function: &str, code: i32) -> Result<(), String> {
    if code == 0 { Ok(()) } else { Err(format!("{function} returned {code}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_absence_is_told_by_name() {
        let nowhere = Path::new("/nowhere/libcublas.so.99");
        let text = open("cuBLAS", Some(nowhere), &LIBRARIES).unwrap_err();
        assert!(text.contains("/nowhere/libcublas.so.99"), "{text}");
        if let Err(text) = open("cuBLAS", None, &LIBRARIES) {
            assert!(LIBRARIES.iter().all(|name| text.contains(name)), "{text}");
        }
    }
}
