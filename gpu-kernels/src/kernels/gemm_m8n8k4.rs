//! `gemm_m8n8k4`: the product on the FP64 tensor cores of compute capability
//! 8.0 and later. One block per tile; eight warps of 64×32; three stages of
//! sixteen inner indices on their way by `cp.async`. A thread ends up with the
//! 64 outputs of one leaf and hashes them from its registers.

use crate::abi::GemmParams;
use crate::device::async_copy::{copy_16, copy_commit, copy_wait};
use crate::device::backend::shared_base;
use crate::device::memory::load_shared_f64x2;
use crate::device::mma::mma_m8n8k4;
use crate::device::thread::{block_barrier, block_id, thread_id};
use crate::kernels::GEMM_M8N8K4;
use crate::kernels::parts::{Panels, finish_tile};
use crate::tile::{SLAB_DOUBLES, SLAB_K, word_in_chunk};

const STAGES: u32 = 3;
/// One operand's slab.
const SLAB_BYTES: u32 = SLAB_DOUBLES * 8;
const STAGE_BYTES: u32 = 2 * SLAB_BYTES;
const _: () = assert!(GEMM_M8N8K4.threads == 256, "one thread per leaf");
const _: () = assert!(GEMM_M8N8K4.shared_bytes == STAGES * STAGE_BYTES, "the stages must fit");
const _: () = assert!(
    GEMM_M8N8K4.shared_bytes <= 99 * 1024,
    "compute capability 8.6 and 8.9 allow a block 99 KiB"
);

crate::kernel! {
    /// Entry point; parameters and launch in [`GemmParams`].
    pub unsafe fn gemm_m8n8k4(params: GemmParams) {
        // Ids.
        let thread = thread_id();
        let (warp, lane) = (thread >> 5, thread & 31);
        let (wm, wn, gamma, tau) = (warp >> 2, warp & 3, lane >> 2, lane & 3);
        let fragment = word_in_chunk(gamma, tau) * 16;
        // SAFETY: parameters as documented; one block per tile.
        let panels = unsafe { Panels::of_tile(&params, block_id()) };

        // Shared memory: stages of A's slab, then B's.
        let shared = shared_base();
        let mine = thread * 16;
        let slabs = params.dim / SLAB_K;

        // SAFETY: each panel has `slabs` slabs, of which this thread copies
        // every 256th 16-byte word; a stage is refilled only after the barrier
        // that follows its last use.
        unsafe {
            let fetch = |slab: u32| {
                if slab < slabs {
                    let to = shared + (slab % STAGES) * STAGE_BYTES + mine;
                    let from = slab as u64 * SLAB_BYTES as u64 + mine as u64;
                    copy_16(to, panels.a + from);
                    copy_16(to + 4096, panels.a + from + 4096);
                    copy_16(to + 8192, panels.a + from + 8192);
                    copy_16(to + 12288, panels.a + from + 12288);
                    let to = to + SLAB_BYTES;
                    copy_16(to, panels.b + from);
                    copy_16(to + 4096, panels.b + from + 4096);
                    copy_16(to + 8192, panels.b + from + 8192);
                    copy_16(to + 12288, panels.b + from + 12288);
                }
                copy_commit();
            };
            fetch(0);
            fetch(1);

            // Main loop.
            let mut c = [0.0f64; 64];
            let mut slab = 0;
            while slab < slabs {
                copy_wait::<1>();
                block_barrier();
                fetch(slab + 2);
                let stage = shared + (slab % STAGES) * STAGE_BYTES;
                let a_at = stage + wm * 4096 + fragment;
                let b_at = stage + SLAB_BYTES + wn * 2048 + fragment;
                multiply_eight(&mut c, a_at, b_at);
                multiply_eight(&mut c, a_at + 8192, b_at + 8192);
                slab += 1;
            }
            block_barrier();

            // Epilogue.
            finish_tile(&params, block_id(), thread, &c, shared);
        }
    }
}

/// Eight inner indices: twice 32 products of 8×4 by 4×8.
///
/// # Safety
/// - The addresses are this lane's words of the warp's first chunks: of A, the
///   next four inner indices follow 512 bytes later, the next sixteen rows
///   1 KiB; of B, the next eight columns 512 bytes.
#[inline(always)]
unsafe fn multiply_eight(c: &mut [f64; 64], a_at: u32, b_at: u32) {
    // SAFETY: the caller's.
    let b = unsafe {
        [
            load_shared_f64x2(b_at),
            load_shared_f64x2(b_at + 512),
            load_shared_f64x2(b_at + 1024),
            load_shared_f64x2(b_at + 1536),
        ]
    };
    // SAFETY: the caller's.
    unsafe {
        multiply_four(c, a_at, [b[0].0, b[1].0, b[2].0, b[3].0]);
        multiply_four(c, a_at + 512, [b[0].1, b[1].1, b[2].1, b[3].1]);
    }
}

/// Four inner indices.
///
/// # Safety
/// - As for [`multiply_eight`].
#[inline(always)]
unsafe fn multiply_four(c: &mut [f64; 64], a_at: u32, b: [f64; 4]) {
    // SAFETY: the caller's.
    let a = unsafe {
        let (a0, a1) = load_shared_f64x2(a_at);
        let (a2, a3) = load_shared_f64x2(a_at + 1024);
        let (a4, a5) = load_shared_f64x2(a_at + 2048);
        let (a6, a7) = load_shared_f64x2(a_at + 3072);
        [a0, a1, a2, a3, a4, a5, a6, a7]
    };
    macro_rules! block {
        ($r:literal, $n:literal) => {
            [c[$r * 8 + $n * 2], c[$r * 8 + $n * 2 + 1]] =
                mma_m8n8k4([c[$r * 8 + $n * 2], c[$r * 8 + $n * 2 + 1]], a[$r], b[$n]);
        };
    }
    macro_rules! row {
        ($r:literal) => {
            block!($r, 0);
            block!($r, 1);
            block!($r, 2);
            block!($r, 3);
        };
    }
    row!(0);
    row!(1);
    row!(2);
    row!(3);
    row!(4);
    row!(5);
    row!(6);
    row!(7);
}
