//! What differs between device compilers: how a kernel entry is declared,
//! where dynamic shared memory starts, and what a panic does.

use core::arch::{asm, global_asm};

/// Declares kernel entries: each takes one parameter block by value.
#[macro_export]
macro_rules! kernel {
    ($(#[$meta:meta])* pub unsafe fn $name:ident($params:ident: $Params:ty) $body:block) => {
        $(#[$meta])*
        #[unsafe(no_mangle)]
        pub unsafe extern "ptx-kernel" fn $name($params: $Params) $body
    };
}

global_asm!(".extern .shared .align 1024 .b8 attest_shared[];");

/// Start of the block's dynamic shared memory in the shared window.
#[inline(always)]
pub fn shared_base() -> u32 {
    let base: u32;
    // SAFETY: reads the address of a symbol declared above.
    unsafe {
        asm!("mov.u32 {}, attest_shared;", out(reg32) base, options(pure, nomem, nostack));
    }
    base
}

/// Kernels index without bounds checks and tell divisors apart from zero, so
/// nothing panics; `cargo xtask ptx` fails where a call is left over.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
