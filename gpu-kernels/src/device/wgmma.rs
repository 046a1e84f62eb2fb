//! Integer products by whole warpgroups: `wgmma` with both operands in shared
//! memory and the sums in registers.
#![cfg(attest_has = "wgmma")]

use core::arch::asm;

/// Sums of one thread: of the fragment of m64n256, lane = 4·γ + τ of warp ω of the
/// warpgroup, element 4b + {0, 1} is row 16ω + γ, columns 8b + 2τ and the next, and 4b + {2, 3}
/// the same of row 16ω + γ + 8.
pub type Sums = [u32; 128];

/// Repeats `$body!` with the literals 0 … 127.
macro_rules! with_128 {
    ($body:ident) => {
        $body!(0; 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30
            31 32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59
            60 61 62 63 64 65 66 67 68 69 70 71 72 73 74 75 76 77 78 79 80 81 82 83 84 85 86 87 88
            89 90 91 92 93 94 95 96 97 98 99 100 101 102 103 104 105 106 107 108 109 110 111 112
            113 114 115 116 117 118 119 120 121 122 123 124 125 126 127)
    };
}

/// The matrix descriptor of vectors that lie as the fill kernel packs them: 128 bytes
/// each, groups of eight 1024 bytes apart, swizzled by 128 bytes. `at` is the group's
/// start in the shared window, at a multiple of 1024.
#[inline(always)]
pub fn descriptor(at: u32) -> u64 {
    1 << 62 | 64 << 32 | 1 << 16 | (at as u64 >> 4)
}

/// Distance of 32 inner indices in a [`descriptor`].
pub const DESCRIPTOR_STEP: u64 = 32 >> 4;

/// Adds the products of 64 vectors of A and 256 of B over 128 inner indices to `sums`, or
/// replaces `sums` by them if `add` is 0, as one group of four `wgmma`.
///
/// # Safety
/// - All four warps of a warpgroup execute it together, with the same descriptors.
/// - The vectors are in shared memory, and stay there until the group has been waited
///   for. `sums` is neither read nor written before [`finish_sums`] but by this.
#[inline(always)]
pub unsafe fn multiply_128(sums: &mut Sums, a: u64, b: u64, add: u32) {
    macro_rules! issue {
        ($first:literal; $($i:literal)*) => {
            // SAFETY: the caller's.
            unsafe {
                asm!(
                    "{{ .reg .pred add;",
                    "setp.ne.u32 add, {add}, 0;",
                    "wgmma.fence.sync.aligned;",
                    concat!("wgmma.mma_async.sync.aligned.m64n256k32.s32.s8.s8 {{{", $first, "}" $(, ", {", $i, "}")*, "}}, {a0}, {b0}, add;"),
                    concat!("wgmma.mma_async.sync.aligned.m64n256k32.s32.s8.s8 {{{", $first, "}" $(, ", {", $i, "}")*, "}}, {a1}, {b1}, 1;"),
                    concat!("wgmma.mma_async.sync.aligned.m64n256k32.s32.s8.s8 {{{", $first, "}" $(, ", {", $i, "}")*, "}}, {a2}, {b2}, 1;"),
                    concat!("wgmma.mma_async.sync.aligned.m64n256k32.s32.s8.s8 {{{", $first, "}" $(, ", {", $i, "}")*, "}}, {a3}, {b3}, 1;"),
                    "wgmma.commit_group.sync.aligned; }}",
                    inout(reg32) sums[$first],
                    $( inout(reg32) sums[$i], )*
                    a0 = in(reg64) a, a1 = in(reg64) a + DESCRIPTOR_STEP,
                    a2 = in(reg64) a + 2 * DESCRIPTOR_STEP, a3 = in(reg64) a + 3 * DESCRIPTOR_STEP,
                    b0 = in(reg64) b, b1 = in(reg64) b + DESCRIPTOR_STEP,
                    b2 = in(reg64) b + 2 * DESCRIPTOR_STEP, b3 = in(reg64) b + 3 * DESCRIPTOR_STEP,
                    add = in(reg32) add,
                    options(nostack)
                );
            }
        };
    }
    with_128!(issue);
}

/// `fence.proxy.async`: what this thread has stored in shared memory is visible to products
/// that are issued after a barrier.
///
/// # Safety
/// - None; orders memory only.
#[inline(always)]
pub unsafe fn fence_operands() {
    // SAFETY: no operands.
    unsafe { asm!("fence.proxy.async;", options(nostack)) }
}

/// `wgmma.wait_group 1`: all groups of [`multiply_128`] but the latest are done, and their
/// vectors may be overwritten.
///
/// # Safety
/// - All four warps of a warpgroup execute it together.
#[inline(always)]
pub unsafe fn finish_all_but_latest() {
    // SAFETY: the caller's.
    unsafe { asm!("wgmma.wait_group.sync.aligned 1;", options(nostack)) }
}

/// `wgmma.wait_group 0`: all groups of [`multiply_128`] are done; `sums` may be read, and
/// their vectors be overwritten.
///
/// # Safety
/// - All four warps of a warpgroup execute it together.
#[inline(always)]
pub unsafe fn finish_sums(sums: &mut Sums) {
    macro_rules! wait {
        ($first:literal; $($i:literal)*) => {
            // SAFETY: the caller's.
            unsafe {
                asm!(
                    concat!("wgmma.wait_group.sync.aligned 0; /* {", $first, "}" $(, " {", $i, "}")*, " */"),
                    inout(reg32) sums[$first],
                    $( inout(reg32) sums[$i], )*
                    options(nostack)
                );
            }
        };
    }
    with_128!(wait);
}
