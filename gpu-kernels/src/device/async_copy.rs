//! Copies that run beside the threads, the barriers that they complete on,
//! and the hand-over of registers between warpgroups.
#![cfg(attest_has = "tensor_cores")]

use core::arch::asm;

/// `cp.async.cg.shared.global`, 16 bytes.
///
/// # Safety
/// - Both addresses are 16-byte aligned and valid; the shared bytes are not
///   touched before [`copy_wait`] and a barrier.
#[inline(always)]
pub unsafe fn copy_16(shared: u32, global: u64) {
    // SAFETY: the caller's.
    unsafe {
        asm!("cp.async.cg.shared.global [{}], [{}], 16;", in(reg32) shared, in(reg64) global, options(nostack));
    }
}

/// `cp.async.commit_group`.
///
/// # Safety
/// - None beyond [`copy_16`]'s.
#[inline(always)]
pub unsafe fn copy_commit() {
    // SAFETY: no operands.
    unsafe { asm!("cp.async.commit_group;", options(nostack)) }
}

/// `cp.async.wait_group N`: all but the latest N groups of this thread are done.
///
/// # Safety
/// - None beyond [`copy_16`]'s.
#[inline(always)]
pub unsafe fn copy_wait<const N: u32>() {
    // SAFETY: no operands.
    unsafe { asm!("cp.async.wait_group {};", const N, options(nostack)) }
}

/// `mbarrier.init`.
///
/// # Safety
/// - `barrier` is 8-byte aligned shared memory used for nothing else; the
///   block synchronises after [`fence_barrier_init`] before anyone uses it.
#[cfg(attest_has = "bulk_copies")]
#[inline(always)]
pub unsafe fn barrier_init(barrier: u32, arrivals: u32) {
    // SAFETY: the caller's.
    unsafe {
        asm!("mbarrier.init.shared::cta.b64 [{}], {};", in(reg32) barrier, in(reg32) arrivals, options(nostack));
    }
}

/// `fence.mbarrier_init` and `fence.proxy.async`: initialised barriers are
/// visible to the copy engine.
///
/// # Safety
/// - None; orders memory only.
#[cfg(attest_has = "bulk_copies")]
#[inline(always)]
pub unsafe fn fence_barrier_init() {
    // SAFETY: no operands.
    unsafe {
        asm!("fence.mbarrier_init.release.cluster;", "fence.proxy.async;", options(nostack));
    }
}

/// `mbarrier.arrive` (release, block scope).
///
/// # Safety
/// - `barrier` is an initialised barrier of this block.
#[cfg(attest_has = "bulk_copies")]
#[inline(always)]
pub unsafe fn barrier_arrive(barrier: u32) {
    // SAFETY: the caller's.
    unsafe {
        asm!("{{ .reg .b64 state; mbarrier.arrive.shared::cta.b64 state, [{}]; }}", in(reg32) barrier, options(nostack));
    }
}

/// `mbarrier.arrive.expect_tx`: arrives, and makes the phase wait for `bytes`.
///
/// # Safety
/// - As for [`barrier_arrive`]; copies of exactly `bytes` complete on it.
#[cfg(attest_has = "bulk_copies")]
#[inline(always)]
pub unsafe fn barrier_arrive_expect(barrier: u32, bytes: u32) {
    // SAFETY: the caller's.
    unsafe {
        asm!("{{ .reg .b64 state; mbarrier.arrive.expect_tx.shared::cta.b64 state, [{}], {}; }}",
            in(reg32) barrier, in(reg32) bytes, options(nostack));
    }
}

/// `mbarrier.try_wait.parity` until the phase of `parity` is over (acquire,
/// block scope).
///
/// # Safety
/// - `barrier` is an initialised barrier of this block, and its phase ends.
#[cfg(attest_has = "bulk_copies")]
#[inline(always)]
pub unsafe fn barrier_wait(barrier: u32, parity: u32) {
    let mut over = 0u32;
    while over == 0 {
        // SAFETY: the caller's.
        unsafe {
            asm!(
                "{{ .reg .pred over;",
                "mbarrier.try_wait.parity.shared::cta.b64 over, [{}], {};",
                "selp.u32 {}, 1, 0, over; }}",
                in(reg32) barrier, in(reg32) parity, out(reg32) over, options(nostack));
        }
    }
}

/// `cp.async.bulk.shared.global`: one contiguous copy that completes on `barrier`.
///
/// # Safety
/// - Addresses and `bytes` are multiples of 16; the destination is free; the
///   barrier expects these bytes.
#[cfg(attest_has = "bulk_copies")]
#[inline(always)]
pub unsafe fn copy_bulk(shared: u32, global: u64, bytes: u32, barrier: u32) {
    // SAFETY: the caller's.
    unsafe {
        asm!("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [{}], [{}], {}, [{}];",
            in(reg32) shared, in(reg64) global, in(reg32) bytes, in(reg32) barrier, options(nostack));
    }
}

/// `setmaxnreg.inc`: this warpgroup takes registers up to `COUNT` a thread.
///
/// # Safety
/// - All four warps of the warpgroup execute it; the block's sum fits.
#[cfg(attest_has = "register_handover")]
#[inline(always)]
pub unsafe fn registers_raise<const COUNT: u32>() {
    // SAFETY: the caller's.
    unsafe { asm!("setmaxnreg.inc.sync.aligned.u32 {};", const COUNT, options(nostack)) }
}

/// `setmaxnreg.dec`: this warpgroup gives registers back, keeping `COUNT` a thread.
///
/// # Safety
/// - All four warps of the warpgroup execute it, and need no more.
#[cfg(attest_has = "register_handover")]
#[inline(always)]
pub unsafe fn registers_lower<const COUNT: u32>() {
    // SAFETY: the caller's.
    unsafe { asm!("setmaxnreg.dec.sync.aligned.u32 {};", const COUNT, options(nostack)) }
}
