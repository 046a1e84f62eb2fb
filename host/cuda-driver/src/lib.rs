//! The CUDA driver API, resolved from `libcuda.so.1` when first called.
//!
//! cust and its raw bindings leave about a hundred `cu*` symbols undefined,
//! which a CUDA toolkit's stub library would satisfy at link time. This crate
//! defines them instead, so that a program that uses cust builds
//! with no CUDA toolkit and starts with no driver. It also has the calls that
//! cust lacks ([`calls`]): kernel attributes, UUIDs, stream capture, graphs.
//!
//! Guarantees:
//! * without a driver every call returns `CUDA_ERROR_NOT_INITIALIZED`, and
//!   [`driver`] says why; `cuGetErrorString` and `cuGetErrorName` answer anyway;
//! * a result code that cust's closed enum doesn't know reaches cust as
//!   `CUDA_ERROR_UNKNOWN`; [`last_failure`] keeps the code as it was;
//! * the library, once loaded, stays loaded.
//!
//! Deliberately absent: any policy (contexts, memory, streams belong to the
//! caller) and any search for the library beyond the dynamic loader's own.
#![warn(missing_docs)]

/// Calls the driver's function of this name and notes its result code; without
/// the function, the code that says what is missing.
///
/// # Safety
/// cuda.h declares the function with this signature; the caller keeps the
/// contract that the driver API states for it.
macro_rules! call_driver {
    ($function:ident($($arg:ident: $kind:ty),*)) => {{
        static SYMBOL: $crate::library::Symbol =
            $crate::library::Symbol::new(concat!(stringify!($function), "\0"));
        let code = match SYMBOL.resolve() {
            Ok(address) => {
                type Call = unsafe extern "C" fn($($kind),*) -> u32;
                // The address is the driver's function of this name; the rest
                // is the caller's promise.
                std::mem::transmute::<*mut std::ffi::c_void, Call>(address)($($arg),*)
            }
            Err($crate::library::Missing::Driver) => $crate::code::NOT_INITIALIZED,
            Err($crate::library::Missing::Function) => $crate::code::SYMBOL_NOT_FOUND,
        };
        $crate::code::note(stringify!($function), code);
        code
    }};
}

pub mod calls;
mod code;
mod library;
mod symbols;

pub use code::{Failure, description_of, last_failure, name_of};
pub use library::{NoDriver, driver};
