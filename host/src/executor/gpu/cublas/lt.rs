//! cuBLASLt's products of int8, beside which integer products are measured. Its absence
//! is a value, as cuBLAS's is.
//!
//! A is n rows of n bytes and B is n columns of n bytes, inner index contiguous (to
//! cuBLASLt: A transposed, B not); C has n columns of n int32.
#![allow(unsafe_code)]

use super::{DeviceMemory, Gpu, open, status};
use libloading::Library;
use std::ffi::c_void;
use std::path::Path;
use std::ptr::null_mut;

/// Names to look for, newest first.
pub(super) const LIBRARIES: [&str; 3] =
    ["libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so.11"];

type Handle = *mut c_void;
type Create = unsafe extern "C" fn(*mut Handle) -> i32;
type Destroy = unsafe extern "C" fn(Handle) -> i32;
type GetVersion = unsafe extern "C" fn() -> usize;
/// descriptor, compute type, scale type.
type DescCreate = unsafe extern "C" fn(*mut Handle, i32, i32) -> i32;
/// layout, type, rows, columns, leading dimension.
type LayoutCreate = unsafe extern "C" fn(*mut Handle, i32, u64, u64, i64) -> i32;
/// descriptor or preference, attribute, value, its bytes.
type SetAttribute = unsafe extern "C" fn(Handle, i32, *const c_void, usize) -> i32;
/// handle, operation, layouts of A, B, C and D, preference, how many are asked for,
/// where they go, how many there are.
type Heuristic = unsafe extern "C" fn(
    Handle,
    Handle,
    Handle,
    Handle,
    Handle,
    Handle,
    Handle,
    i32,
    *mut Choice,
    *mut i32,
) -> i32;
/// handle, operation, alpha, A and its layout, B and its layout, beta, C and its layout,
/// D and its layout, algorithm, workspace and its bytes, stream.
type Matmul = unsafe extern "C" fn(
    Handle,
    Handle,
    *const i32,
    u64,
    Handle,
    u64,
    Handle,
    *const i32,
    u64,
    Handle,
    u64,
    Handle,
    *const [u64; 8],
    u64,
    usize,
    *mut c_void,
) -> i32;

/// `CUBLAS_COMPUTE_32I`.
const COMPUTE_32I: i32 = 72;
/// `CUDA_R_8I`.
const R_8I: i32 = 3;
/// `CUDA_R_32I`.
const R_32I: i32 = 10;
/// `CUBLASLT_MATMUL_DESC_TRANSA`.
const DESC_TRANSA: i32 = 3;
/// `CUBLAS_OP_T`.
const OP_T: i32 = 1;
/// `CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES`.
const PREF_MAX_WORKSPACE_BYTES: i32 = 1;
/// Memory that an algorithm may use beside the matrices.
const WORKSPACE_BYTES: u64 = 64 << 20;
/// Algorithms to choose from at most.
const CHOICES: usize = 8;

/// `cublasLtMatmulHeuristicResult_t`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct Choice {
    algorithm: [u64; 8],
    workspace_bytes: usize,
    status: i32,
    waves: f32,
    reserved: [i32; 4],
}

/// The functions that are called, of the library at the end.
#[derive(Debug)]
struct Functions {
    create: Create,
    destroy: Destroy,
    version: GetVersion,
    desc_create: DescCreate,
    desc_destroy: Destroy,
    desc_set: SetAttribute,
    layout_create: LayoutCreate,
    layout_destroy: Destroy,
    pref_create: Create,
    pref_destroy: Destroy,
    pref_set: SetAttribute,
    heuristic: Heuristic,
    matmul: Matmul,
    // Last: the functions above point into it.
    _library: Library,
}

/// Something of cuBLASLt's that is destroyed by a function of its own.
#[derive(Debug)]
struct Owned(Handle, Destroy);

/// Products of one size on a device's stream, by the algorithms that cuBLASLt offers.
#[derive(Debug)]
pub(in crate::executor::gpu) struct CublasLt {
    // Dropped in this order: what was made by the handle, the handle, the library.
    operation: Owned,
    operand: Owned,
    product: Owned,
    handle: Owned,
    functions: Functions,
    choices: Vec<Choice>,
    chosen: usize,
    dim: u32,
    outputs: DeviceMemory,
    workspace: DeviceMemory,
}

impl CublasLt {
    /// Loads the library (from `path`, or by its usual names) and asks it for algorithms for
    /// products of n = `dim`, for which it allocates 4n² bytes of outputs and a workspace. The
    /// context of `gpu` must be current.
    ///
    /// # Errors
    /// Why not, in words.
    pub(in crate::executor::gpu) fn load(
        gpu: &Gpu,
        path: Option<&Path>,
        dim: u32,
    ) -> Result<Self, String> {
        let functions = Functions::of(open("cuBLASLt", path, &LIBRARIES)?)?;
        let memory = |bytes| {
            DeviceMemory::new(gpu, bytes)
                .map_err(|failure| format!("no memory for cuBLASLt's outputs: {failure}"))
        };
        let outputs = memory(4 * u64::from(dim) * u64::from(dim))?;
        let workspace = memory(WORKSPACE_BYTES)?;
        let handle = functions.handle()?;
        let operation = functions.operation()?;
        let [operand, product] = [functions.layout(R_8I, dim)?, functions.layout(R_32I, dim)?];
        let choices = functions.choices(&handle, &operation, &operand, &product)?;
        Ok(Self {
            operation,
            operand,
            product,
            handle,
            functions,
            choices,
            chosen: 0,
            dim,
            outputs,
            workspace,
        })
    }

    /// Its version, as cuBLASLt counts: 10000·major and so on.
    pub(in crate::executor::gpu) fn version(&self) -> i32 {
        // SAFETY: takes nothing and returns a number.
        i32::try_from(unsafe { (self.functions.version)() }).unwrap_or(0)
    }

    /// How many algorithms there are to choose from, at least one: the first is what its
    /// heuristic takes to be the fastest.
    pub(in crate::executor::gpu) fn choices(&self) -> usize {
        self.choices.len()
    }

    /// What products are computed with from here on.
    ///
    /// # Panics
    /// If there is no such choice.
    pub(in crate::executor::gpu) fn choose(&mut self, choice: usize) {
        assert!(choice < self.choices.len(), "no such choice");
        self.chosen = choice;
    }

    /// Enqueues the product of A, n² bytes from `operands`' byte `at` on, and B, n² bytes after
    /// it, into outputs of its own.
    ///
    /// # Panics
    /// If `operands` are shorter: a bug of the caller.
    pub(in crate::executor::gpu) fn enqueue(
        &self,
        gpu: &Gpu,
        operands: &DeviceMemory,
        at: u64,
    ) -> Result<(), String> {
        let bytes = u64::from(self.dim) * u64::from(self.dim);
        assert!(operands.bytes() >= at + 2 * bytes, "operands too short");
        let (a, c) = (operands.address() + at, self.outputs.address());
        let (one, zero) = (1_i32, 0_i32);
        let choice = &self.choices[self.chosen];
        // SAFETY: live objects of this library; n×n matrices inside live memory (asserted
        // above, and allocated for n); scalars on the host are read before it returns, as in
        // the default pointer mode; the workspace is as large as the preference allowed.
        let code = unsafe {
            (self.functions.matmul)(
                self.handle.0,
                self.operation.0,
                &raw const one,
                a,
                self.operand.0,
                a + bytes,
                self.operand.0,
                &raw const zero,
                c,
                self.product.0,
                c,
                self.product.0,
                &raw const choice.algorithm,
                self.workspace.address(),
                choice.workspace_bytes,
                gpu.stream_handle(),
            )
        };
        status("cublasLtMatmul", code)
    }
}

impl Functions {
    fn of(library: Library) -> Result<Self, String> {
        let name = |error: libloading::Error| format!("cuBLASLt lacks a function: {error}");
        // SAFETY: the types are those that cublasLt.h declares for these names; enums are
        // ints, device pointers 64-bit addresses, objects opaque pointers.
        unsafe {
            Ok(Self {
                create: *library.get::<Create>(b"cublasLtCreate\0").map_err(name)?,
                destroy: *library.get::<Destroy>(b"cublasLtDestroy\0").map_err(name)?,
                version: *library.get::<GetVersion>(b"cublasLtGetVersion\0").map_err(name)?,
                desc_create: *library
                    .get::<DescCreate>(b"cublasLtMatmulDescCreate\0")
                    .map_err(name)?,
                desc_destroy: *library
                    .get::<Destroy>(b"cublasLtMatmulDescDestroy\0")
                    .map_err(name)?,
                desc_set: *library
                    .get::<SetAttribute>(b"cublasLtMatmulDescSetAttribute\0")
                    .map_err(name)?,
                layout_create: *library
                    .get::<LayoutCreate>(b"cublasLtMatrixLayoutCreate\0")
                    .map_err(name)?,
                layout_destroy: *library
                    .get::<Destroy>(b"cublasLtMatrixLayoutDestroy\0")
                    .map_err(name)?,
                pref_create: *library
                    .get::<Create>(b"cublasLtMatmulPreferenceCreate\0")
                    .map_err(name)?,
                pref_destroy: *library
                    .get::<Destroy>(b"cublasLtMatmulPreferenceDestroy\0")
                    .map_err(name)?,
                pref_set: *library
                    .get::<SetAttribute>(b"cublasLtMatmulPreferenceSetAttribute\0")
                    .map_err(name)?,
                heuristic: *library
                    .get::<Heuristic>(b"cublasLtMatmulAlgoGetHeuristic\0")
                    .map_err(name)?,
                matmul: *library.get::<Matmul>(b"cublasLtMatmul\0").map_err(name)?,
                _library: library,
            })
        }
    }

    fn handle(&self) -> Result<Owned, String> {
        let mut made = null_mut();
        // SAFETY: writes a handle to a local; a context is current.
        status("cublasLtCreate", unsafe { (self.create)(&raw mut made) })?;
        Ok(Owned(made, self.destroy))
    }

    /// int32 sums of products of A transposed and B as it is.
    fn operation(&self) -> Result<Owned, String> {
        let mut made = null_mut();
        // SAFETY: writes an object to a local.
        let code = unsafe { (self.desc_create)(&raw mut made, COMPUTE_32I, R_32I) };
        status("cublasLtMatmulDescCreate", code)?;
        let made = Owned(made, self.desc_destroy);
        let transposed = std::ptr::from_ref(&OP_T).cast();
        // SAFETY: the object made above; the attribute's value is an int.
        let code = unsafe { (self.desc_set)(made.0, DESC_TRANSA, transposed, size_of::<i32>()) };
        status("cublasLtMatmulDescSetAttribute", code)?;
        Ok(made)
    }

    /// n columns of n elements, one after the other.
    fn layout(&self, element: i32, dim: u32) -> Result<Owned, String> {
        let (n, mut made) = (u64::from(dim), null_mut());
        // SAFETY: writes an object to a local.
        let code = unsafe { (self.layout_create)(&raw mut made, element, n, n, i64::from(dim)) };
        status("cublasLtMatrixLayoutCreate", code)?;
        Ok(Owned(made, self.layout_destroy))
    }

    fn choices(
        &self,
        handle: &Owned,
        operation: &Owned,
        operand: &Owned,
        product: &Owned,
    ) -> Result<Vec<Choice>, String> {
        let mut preference = null_mut();
        // SAFETY: writes an object to a local.
        let code = unsafe { (self.pref_create)(&raw mut preference) };
        status("cublasLtMatmulPreferenceCreate", code)?;
        let preference = Owned(preference, self.pref_destroy);
        let bytes = std::ptr::from_ref(&WORKSPACE_BYTES).cast();
        // SAFETY: the object made above; the attribute's value is 64 bits.
        let code = unsafe {
            (self.pref_set)(preference.0, PREF_MAX_WORKSPACE_BYTES, bytes, size_of::<u64>())
        };
        status("cublasLtMatmulPreferenceSetAttribute", code)?;
        let (mut choices, mut found) = ([Choice::default(); CHOICES], 0);
        // SAFETY: live objects of this library; room for as many results as are asked for,
        // and an int to write to.
        let code = unsafe {
            (self.heuristic)(
                handle.0,
                operation.0,
                operand.0,
                operand.0,
                product.0,
                product.0,
                preference.0,
                CHOICES as i32,
                choices.as_mut_ptr(),
                &raw mut found,
            )
        };
        status("cublasLtMatmulAlgoGetHeuristic", code)?;
        let found = usize::try_from(found).unwrap_or(0).min(CHOICES);
        let usable = |choice: &&Choice| {
            choice.status == 0 && choice.workspace_bytes as u64 <= WORKSPACE_BYTES
        };
        let choices: Vec<Choice> = choices[..found].iter().filter(usable).copied().collect();
        match choices.is_empty() {
            true => Err("cuBLASLt has no algorithm for int8 products of this size".to_owned()),
            false => Ok(choices),
        }
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        // SAFETY: made once by the library, destroyed once, before the library goes.
        let _ = unsafe { (self.1)(self.0) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_is_as_cublaslt_h_has_it() {
        assert_eq!((size_of::<Choice>(), align_of::<Choice>()), (96, 8));
    }

    #[test]
    fn its_absence_is_told_by_name() {
        let nowhere = Path::new("/nowhere/libcublasLt.so.99");
        let text = open("cuBLASLt", Some(nowhere), &LIBRARIES).unwrap_err();
        assert!(text.starts_with("cuBLASLt cannot be loaded: "), "{text}");
        assert!(text.contains("/nowhere/libcublasLt.so.99"), "{text}");
        if let Err(text) = open("cuBLASLt", None, &LIBRARIES) {
            assert!(LIBRARIES.iter().all(|name| text.contains(name)), "{text}");
        }
    }

    /// Whatever this machine has: every function by its name.
    #[test]
    fn a_library_that_is_there_has_every_function() {
        if let Ok(library) = open("cuBLASLt", None, &LIBRARIES) {
            let functions = Functions::of(library).expect("cuBLASLt's functions");
            // SAFETY: takes nothing and returns a number.
            assert!(unsafe { (functions.version)() } > 110_000);
            // These are the host's alone, and say whether attributes have the size that
            // they should.
            functions.operation().expect("a descriptor");
            functions.layout(R_8I, 128).expect("a layout");
        }
    }
}
