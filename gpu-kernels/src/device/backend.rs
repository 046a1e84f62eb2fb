//! What differs between device compilers: how a kernel entry is declared,
//! where dynamic shared memory starts, and what a panic does. Plain rustc is
//! the default; feature `rust-cuda` is for Rust-CUDA's compiler. Nothing else
//! in this crate asks which of them it is.

use core::arch::asm;

/// Declares kernel entries: each takes one parameter block by value.
#[cfg(not(feature = "rust-cuda"))]
#[macro_export]
macro_rules! kernel {
    ($(#[$meta:meta])* pub unsafe fn $name:ident($params:ident: $Params:ty) $body:block) => {
        $(#[$meta])*
        #[unsafe(no_mangle)]
        pub unsafe extern "ptx-kernel" fn $name($params: $Params) $body
    };
}

/// Declares kernel entries: each takes one parameter block by value.
#[cfg(feature = "rust-cuda")]
#[macro_export]
macro_rules! kernel {
    ($(#[$meta:meta])* pub unsafe fn $name:ident($params:ident: $Params:ty) $body:block) => {
        $(#[$meta])*
        #[::cuda_std::kernel]
        pub unsafe fn $name($params: $Params) $body
    };
}

#[cfg(not(feature = "rust-cuda"))]
core::arch::global_asm!(".extern .shared .align 1024 .b8 attest_shared[];");

/// Start of the block's dynamic shared memory in the shared window.
#[cfg(not(feature = "rust-cuda"))]
#[inline(always)]
pub fn shared_base() -> u32 {
    let base: u32;
    // SAFETY: reads the address of a symbol declared above.
    unsafe {
        asm!("mov.u32 {}, attest_shared;", out(reg32) base, options(pure, nomem, nostack));
    }
    base
}

/// Start of the block's dynamic shared memory in the shared window. Rust-CUDA
/// has no module-level assembly; cuda_std declares the symbol and gives its
/// generic address.
#[cfg(feature = "rust-cuda")]
#[inline(always)]
pub fn shared_base() -> u32 {
    let generic = cuda_std::shared::dynamic_shared_mem::<u8>() as u64;
    let base: u64;
    // SAFETY: converts an address that points into shared memory.
    unsafe {
        asm!(
            "cvta.to.shared.u64 {}, {};",
            out(reg64) base,
            in(reg64) generic,
            options(pure, nomem, nostack)
        );
    }
    base as u32
}

/// Kernels index without bounds checks and tell divisors apart from zero, so
/// nothing panics; `cargo xtask ptx` fails where a call is left over. Under
/// Rust-CUDA the handler is cuda_std's.
#[cfg(not(feature = "rust-cuda"))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
