//! Sixteen inner indices of a warp's 64×32 outputs on `mma.m16n8k16`: what the
//! kernels for these tensor cores have in common.

use crate::device::memory::load_shared_f64x2;
use crate::device::mma::mma_m16n8k16;
use crate::device::thread::warp_barrier;
use crate::tile::TILE;

/// A run: eight inner indices of one operand's panel.
pub const RUN_BYTES: u32 = TILE * 8 * 8;

/// B's fragment of eight columns and sixteen inner indices.
///
/// # Safety
/// - `at` is this lane's word of the columns' chunk; the next eight inner
///   indices follow a run later.
#[inline(always)]
unsafe fn load_columns(at: u32) -> [f64; 4] {
    // SAFETY: the caller's.
    let ((b0, b1), (b2, b3)) =
        unsafe { (load_shared_f64x2(at), load_shared_f64x2(at + RUN_BYTES)) };
    [b0, b1, b2, b3]
}

/// A's fragment of sixteen rows and sixteen inner indices.
///
/// # Safety
/// - The next four inner indices follow 512 bytes after `at`, the next eight a
///   run later.
#[inline(always)]
unsafe fn load_rows(at: u32) -> [f64; 8] {
    // SAFETY: the caller's.
    let ((a0, a1), (a2, a3), (a4, a5), (a6, a7)) = unsafe {
        (
            load_shared_f64x2(at),
            load_shared_f64x2(at + 512),
            load_shared_f64x2(at + RUN_BYTES),
            load_shared_f64x2(at + RUN_BYTES + 512),
        )
    };
    [a0, a1, a2, a3, a4, a5, a6, a7]
}

/// Sixteen inner indices: 4·`BLOCKS` products of 16×16 by 16×8.
///
/// The warp's barriers cost nothing and keep the assembler from reading all of A
/// at once, for which there are no registers. As it is, a block of A is read while
/// the one before it is multiplied, and B's columns as soon as those before them
/// are used up.
///
/// # Safety
/// - `b_at` is this lane's word of the warp's first columns, and the next eight
///   columns follow 512 bytes later; `a_at` is its word of the first rows, and
///   the next sixteen rows follow 1 KiB later.
#[inline(always)]
pub unsafe fn multiply_sixteen<const BLOCKS: usize>(c: &mut [f64; 64], a_at: u32, b_at: u32) {
    // Rows γ of an m16 block are rows a = 2r of the leaf, rows γ+8 a = 2r+1.
    macro_rules! block {
        ($r:literal, $n:literal, $a:ident, $b:ident) => {
            [
                c[$r * 16 + $n * 2],
                c[$r * 16 + $n * 2 + 1],
                c[$r * 16 + 8 + $n * 2],
                c[$r * 16 + 8 + $n * 2 + 1],
            ] = mma_m16n8k16(
                [
                    c[$r * 16 + $n * 2],
                    c[$r * 16 + $n * 2 + 1],
                    c[$r * 16 + 8 + $n * 2],
                    c[$r * 16 + 8 + $n * 2 + 1],
                ],
                $a,
                $b,
            );
        };
    }
    // SAFETY: the caller's.
    unsafe {
        let a0 = load_rows(a_at);
        let b0 = load_columns(b_at);
        let b1 = load_columns(b_at + 512);
        let b2 = load_columns(b_at + 1024);
        let b3 = load_columns(b_at + 1536);
        macro_rules! row {
            ($r:literal, $a:ident) => {
                block!($r, 0, $a, b0);
                block!($r, 1, $a, b1);
                block!($r, 2, $a, b2);
                block!($r, 3, $a, b3);
            };
        }
        row!(0, a0);
        if BLOCKS == 1 {
            return;
        }
        warp_barrier();
        let a1 = load_rows(a_at + 1024);
        row!(1, a1);
        if BLOCKS == 2 {
            return;
        }
        warp_barrier();
        let a2 = load_rows(a_at + 2048);
        row!(2, a2);
        warp_barrier();
        let a3 = load_rows(a_at + 3072);
        row!(3, a3);
        warp_barrier();
    }
}
