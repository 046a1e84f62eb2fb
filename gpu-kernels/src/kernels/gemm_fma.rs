//! `gemm_fma`: the product on the FMA pipe, for any device. One block per
//! tile; each thread computes the 64 outputs of one leaf and hashes them from
//! its registers.
//!
//! Eight inner indices of both panels are in shared memory at a time, in two
//! buffers: while one is multiplied, the next is on its way through registers.

use crate::abi::{GEMM_FMA, GemmParams};
use crate::device::backend::shared_base;
use crate::device::memory::{
    load_global_f64x2, load_shared_f64, load_shared_f64x2, store_shared_f64x2,
};
use crate::device::mma::fma;
use crate::device::thread::{block_barrier, block_id, thread_id};
use crate::kernels::parts::{Panels, finish_tile};
use crate::tile::word_in_chunk;

/// Inner indices in a buffer.
const STEP_K: u32 = 8;
/// Bytes of one operand in a buffer.
const HALF_BYTES: u32 = 128 * STEP_K * 8;
/// Bytes that one thread moves per operand and buffer.
const THREAD_BYTES: u32 = HALF_BYTES / 256;
const _: () = assert!(GEMM_FMA.threads == 256, "one thread per leaf");
const _: () = assert!(GEMM_FMA.shared_bytes == 4 * HALF_BYTES, "two buffers of two operands");
const _: () = assert!(THREAD_BYTES == 32, "a thread moves two 16-byte words per operand");

crate::kernel! {
    /// Entry point; parameters and launch in [`GemmParams`].
    pub unsafe fn gemm_fma(params: GemmParams) {
        // Ids.
        let thread = thread_id();
        let (warp, lane) = (thread >> 5, thread & 31);
        let (wm, wn, gamma, tau) = (warp >> 2, warp & 3, lane >> 2, lane & 3);
        // SAFETY: parameters as documented; one block per tile.
        let panels = unsafe { Panels::of(&params, block_id()) };

        // Shared memory: A then B, twice.
        let shared = shared_base();
        let mine = thread * 16;

        let mut c = [0.0f64; 64];
        let steps = params.dim / STEP_K;
        let (mut from_a, mut from_b) = (panels.a + mine as u64, panels.b + mine as u64);
        // SAFETY: each panel has `steps` runs of HALF_BYTES, of which this
        // thread moves the 16-byte words `thread` and `thread + 256`; barriers
        // separate every store to a buffer from the loads of it.
        unsafe {
            let (a0, a1) = (load_global_f64x2(from_a), load_global_f64x2(from_a + 4096));
            let (b0, b1) = (load_global_f64x2(from_b), load_global_f64x2(from_b + 4096));
            store_shared_f64x2(shared + mine, a0.0, a0.1);
            store_shared_f64x2(shared + mine + 4096, a1.0, a1.1);
            store_shared_f64x2(shared + HALF_BYTES + mine, b0.0, b0.1);
            store_shared_f64x2(shared + HALF_BYTES + mine + 4096, b1.0, b1.1);
            block_barrier();

            // Main loop.
            let mut step = 0;
            while step < steps {
                let buffer = shared + (step & 1) * 2 * HALF_BYTES;
                let other = shared + ((step & 1) ^ 1) * 2 * HALF_BYTES;
                let more = step + 1 < steps;
                let (mut a0, mut a1, mut b0, mut b1) = ((0.0, 0.0), (0.0, 0.0), (0.0, 0.0), (0.0, 0.0));
                if more {
                    from_a += HALF_BYTES as u64;
                    from_b += HALF_BYTES as u64;
                    (a0, a1) = (load_global_f64x2(from_a), load_global_f64x2(from_a + 4096));
                    (b0, b1) = (load_global_f64x2(from_b), load_global_f64x2(from_b + 4096));
                }
                multiply_step(&mut c, buffer, wm, wn, gamma, tau);
                if more {
                    store_shared_f64x2(other + mine, a0.0, a0.1);
                    store_shared_f64x2(other + mine + 4096, a1.0, a1.1);
                    store_shared_f64x2(other + HALF_BYTES + mine, b0.0, b0.1);
                    store_shared_f64x2(other + HALF_BYTES + mine + 4096, b1.0, b1.1);
                }
                block_barrier();
                step += 1;
            }

            // Epilogue.
            finish_tile(&params, block_id(), thread, &c, shared);
        }
    }
}

/// Eight inner indices, ascending.
///
/// # Safety
/// - `buffer` holds eight packed inner indices of A's panel, then of B's.
#[inline(always)]
unsafe fn multiply_step(c: &mut [f64; 64], buffer: u32, wm: u32, wn: u32, gamma: u32, tau: u32) {
    // 1 KiB per sixteen vectors and eight inner indices.
    let a_base = buffer + wm * 4096;
    let b_base = buffer + HALF_BYTES + wn * 2048;
    macro_rules! inner_index {
        ($k:literal) => {{
            const HALF: u32 = $k >> 2;
            const TAU: u32 = $k & 3;
            let a_at = a_base + HALF * 512 + word_in_chunk(gamma, TAU) * 16;
            let b_at = b_base + HALF * 8 + word_in_chunk(2 * tau, TAU) * 16;
            let b_next = b_base + HALF * 8 + word_in_chunk(2 * tau + 1, TAU) * 16;
            // SAFETY: the caller's; offsets stay inside the buffer.
            let (a, b) = unsafe {
                let (a0, a1) = load_shared_f64x2(a_at);
                let (a2, a3) = load_shared_f64x2(a_at + 1024);
                let (a4, a5) = load_shared_f64x2(a_at + 2048);
                let (a6, a7) = load_shared_f64x2(a_at + 3072);
                // Columns 2τ and 2τ+1 of each n8 block.
                (
                    [a0, a1, a2, a3, a4, a5, a6, a7],
                    [
                        load_shared_f64(b_at),
                        load_shared_f64(b_next),
                        load_shared_f64(b_at + 512),
                        load_shared_f64(b_next + 512),
                        load_shared_f64(b_at + 1024),
                        load_shared_f64(b_next + 1024),
                        load_shared_f64(b_at + 1536),
                        load_shared_f64(b_next + 1536),
                    ],
                )
            };
            macro_rules! row {
                ($r:literal) => {
                    c[$r * 8] = fma(a[$r], b[0], c[$r * 8]);
                    c[$r * 8 + 1] = fma(a[$r], b[1], c[$r * 8 + 1]);
                    c[$r * 8 + 2] = fma(a[$r], b[2], c[$r * 8 + 2]);
                    c[$r * 8 + 3] = fma(a[$r], b[3], c[$r * 8 + 3]);
                    c[$r * 8 + 4] = fma(a[$r], b[4], c[$r * 8 + 4]);
                    c[$r * 8 + 5] = fma(a[$r], b[5], c[$r * 8 + 5]);
                    c[$r * 8 + 6] = fma(a[$r], b[6], c[$r * 8 + 6]);
                    c[$r * 8 + 7] = fma(a[$r], b[7], c[$r * 8 + 7]);
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
        }};
    }
    inner_index!(0);
    inner_index!(1);
    inner_index!(2);
    inner_index!(3);
    inner_index!(4);
    inner_index!(5);
    inner_index!(6);
    inner_index!(7);
}
