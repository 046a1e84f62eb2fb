//! What differs between device compilers: how a kernel entry is declared,
//! where dynamic shared memory starts, what a panic does, and what LLVM calls
//! its barriers. Plain rustc is the default; feature `rust-cuda` is for
//! Rust-CUDA's compiler. But for `no_std`, nothing else in this crate asks which
//! of them it is.

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
/// nothing panics. What would is a call under plain rustc; Rust-CUDA's handler is
/// cuda_std's, and its driver compiles with immediate abort: a panic is a `trap`
/// and no call. `cargo xtask ptx` refuses either, whoever compiled.
#[cfg(not(feature = "rust-cuda"))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

// LLVM's own barriers, because no compiler marks `asm!` as convergent: an
// optimiser may copy assembly into both sides of a branch that threads of one
// warp take differently, and a barrier of which there are two is two barriers.
// (Rust-CUDA's LLVM did so, and warps waited for themselves.) These are
// convergent, so that no path to or from them depends on more than the source
// says. The PTX is the same `bar.sync` and `bar.warp.sync`; Rust-CUDA's libNVVM
// knows them by their older names, and with a count as `barrier.sync` alone.
#[cfg(not(feature = "rust-cuda"))]
unsafe extern "C" {
    #[link_name = "llvm.nvvm.barrier.cta.sync.aligned.all"]
    fn barrier_all(id: u32);
    #[link_name = "llvm.nvvm.barrier.cta.sync.aligned.count"]
    fn barrier_count(id: u32, count: u32);
    #[link_name = "llvm.nvvm.bar.warp.sync"]
    fn barrier_warp(mask: u32);
}
#[cfg(feature = "rust-cuda")]
unsafe extern "C" {
    #[link_name = "llvm.nvvm.bar.sync"]
    fn barrier_all(id: u32);
    #[link_name = "llvm.nvvm.barrier.sync.cnt"]
    fn barrier_count(id: u32, count: u32);
    #[link_name = "llvm.nvvm.bar.warp.sync"]
    fn barrier_warp(mask: u32);
}

/// Barrier 0, of all threads of the block.
///
/// # Safety
/// - As for [`super::thread::block_barrier`].
#[inline(always)]
pub unsafe fn sync_block() {
    // SAFETY: the caller's.
    unsafe { barrier_all(0) };
    stay();
}

/// Barrier `id`, of `count` threads.
///
/// # Safety
/// - As for [`super::thread::named_barrier`].
#[inline(always)]
pub unsafe fn sync_some(id: u32, count: u32) {
    // SAFETY: the caller's.
    unsafe { barrier_count(id, count) };
    stay();
}

/// The warp's barrier.
///
/// # Safety
/// - As for [`super::thread::warp_barrier`].
#[inline(always)]
pub unsafe fn sync_warp() {
    // SAFETY: the caller's.
    unsafe { barrier_warp(u32::MAX) };
    stay();
}

/// Follows every barrier and every exchange between lanes: rustc's own optimiser, which works before LLVM does,
/// threads jumps through calls, these among them, but not through assembly.
#[inline(always)]
fn stay() {
    // SAFETY: no instruction.
    unsafe { asm!("", options(nostack)) }
}

// Exchanges between the lanes of a warp are convergent for the same reason, and counted
// as barriers are. Rust-CUDA's libNVVM knows them by a name that returns a pair, which no
// `extern` block can declare; there they are assembly.
#[cfg(not(feature = "rust-cuda"))]
unsafe extern "C" {
    #[link_name = "llvm.nvvm.shfl.sync.bfly.i32"]
    fn shfl_bfly(mask: u32, value: u32, lane_mask: u32, clamp: u32) -> u32;
    #[link_name = "llvm.nvvm.shfl.sync.idx.i32"]
    fn shfl_idx(mask: u32, value: u32, lane: u32, clamp: u32) -> u32;
}

/// `value` of the lane at distance `mask`.
///
/// # Safety
/// - As for [`super::thread::shuffle_xor`].
#[cfg(not(feature = "rust-cuda"))]
#[inline(always)]
pub unsafe fn exchange_xor(value: u32, mask: u32) -> u32 {
    // SAFETY: the caller's.
    let other = unsafe { shfl_bfly(u32::MAX, value, mask, 31) };
    stay();
    other
}

/// `value` of `lane`.
///
/// # Safety
/// - As for [`super::thread::shuffle_from`].
#[cfg(not(feature = "rust-cuda"))]
#[inline(always)]
pub unsafe fn exchange_from(value: u32, lane: u32) -> u32 {
    // SAFETY: the caller's.
    let other = unsafe { shfl_idx(u32::MAX, value, lane, 31) };
    stay();
    other
}

/// `value` of the lane at distance `mask`.
///
/// # Safety
/// - As for [`super::thread::shuffle_xor`].
#[cfg(feature = "rust-cuda")]
#[inline(always)]
pub unsafe fn exchange_xor(value: u32, mask: u32) -> u32 {
    let other: u32;
    // SAFETY: the caller's.
    unsafe {
        asm!("shfl.sync.bfly.b32 {}, {}, {}, 31, 0xffffffff;",
            out(reg32) other, in(reg32) value, in(reg32) mask, options(nostack));
    }
    other
}

/// `value` of `lane`.
///
/// # Safety
/// - As for [`super::thread::shuffle_from`].
#[cfg(feature = "rust-cuda")]
#[inline(always)]
pub unsafe fn exchange_from(value: u32, lane: u32) -> u32 {
    let other: u32;
    // SAFETY: the caller's.
    unsafe {
        asm!("shfl.sync.idx.b32 {}, {}, {}, 31, 0xffffffff;",
            out(reg32) other, in(reg32) value, in(reg32) lane, options(nostack));
    }
    other
}
