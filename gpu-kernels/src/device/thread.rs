//! Identity, clocks and barriers of threads.

use super::backend;
use core::arch::asm;

macro_rules! special_register {
    ($(#[$meta:meta])* $name:ident, $register:literal, $class:ident, $Type:ty, $mov:literal) => {
        $(#[$meta])*
        #[inline(always)]
        pub fn $name() -> $Type {
            let value: $Type;
            // SAFETY: reads a special register.
            unsafe {
                asm!(concat!($mov, " {}, ", $register, ";"), out($class) value, options(nomem, nostack));
            }
            value
        }
    };
}

special_register!(/// `%tid.x`: thread in the block.
    thread_id, "%tid.x", reg32, u32, "mov.u32");
special_register!(/// `%ctaid.x`: block in the grid.
    block_id, "%ctaid.x", reg32, u32, "mov.u32");
special_register!(/// `%nctaid.x`: blocks in the grid.
    grid_size, "%nctaid.x", reg32, u32, "mov.u32");
special_register!(/// `%smid`: the SM that this thread runs on.
    sm_id, "%smid", reg32, u32, "mov.u32");
special_register!(/// `%globaltimer`: nanoseconds, the same clock on all SMs.
    global_timer_ns, "%globaltimer", reg64, u64, "mov.u64");

/// `bar.sync 0`: all threads of the block.
///
/// # Safety
/// - Every thread of the block reaches it.
#[inline(always)]
pub unsafe fn block_barrier() {
    // SAFETY: the caller's.
    unsafe { backend::sync_block() }
}

/// `bar.sync ID, COUNT`: a named barrier of some warps.
///
/// # Safety
/// - Exactly `COUNT` threads, in whole warps, reach it; `ID` is 1 … 15.
#[inline(always)]
pub unsafe fn named_barrier<const ID: u32, const COUNT: u32>() {
    // SAFETY: the caller's.
    unsafe { backend::sync_some(ID, COUNT) }
}

/// `bar.warp.sync`: all lanes of the warp.
///
/// # Safety
/// - All 32 lanes reach it.
#[inline(always)]
pub unsafe fn warp_barrier() {
    // SAFETY: the caller's.
    unsafe { backend::sync_warp() }
}

/// `shfl.sync.bfly.b32`: `value` of the lane whose number is this one's ⊕ `mask`.
///
/// # Safety
/// - All 32 lanes reach it with the same `mask`, below 32.
#[inline(always)]
pub unsafe fn shuffle_xor(value: u32, mask: u32) -> u32 {
    // SAFETY: the caller's.
    unsafe { backend::exchange_xor(value, mask) }
}

/// `shfl.sync.idx.b32`: `value` of lane `lane`.
///
/// # Safety
/// - All 32 lanes reach it; `lane` is below 32.
#[inline(always)]
pub unsafe fn shuffle_from(value: u32, lane: u32) -> u32 {
    // SAFETY: the caller's.
    unsafe { backend::exchange_from(value, lane) }
}

/// `value`, of which an optimiser knows nothing any more: a loop that counts by it
/// is not unrolled, and what waits or copies in it stays as often as it is written.
#[inline(always)]
pub fn opaque(mut value: u32) -> u32 {
    // SAFETY: no instruction.
    unsafe { asm!("/* {} */", inout(reg32) value, options(nomem, nostack)) }
    value
}
