//! `gemm_fma`: the product on the FMA pipe, for any device. One block per
//! tile; each thread computes the 64 outputs of one leaf and hashes them from
//! its registers.
//!
//! Runs of eight inner indices of both panels go through three buffers in
//! shared memory: one is multiplied, the next is complete, and the one after
//! it is on its way through registers. So the operands of every inner index,
//! the first of a run included, are read while the one before is multiplied,
//! and the pipe does not drain at the barriers.

use crate::abi::{GEMM_FMA, GemmParams};
use crate::device::backend::shared_base;
use crate::device::memory::{
    load_global_f64x2, load_shared_f64, load_shared_f64x2, store_shared_f64x2,
};
use crate::device::mma::fma;
use crate::device::thread::{block_barrier, block_id, thread_id};
use crate::kernels::parts::{Panels, finish_tile};
use crate::tile::word_in_chunk;

/// Inner indices in a run.
const RUN_K: u32 = 8;
/// Bytes of one operand's run.
const HALF_BYTES: u32 = 128 * RUN_K * 8;
const BUFFER_BYTES: u32 = 2 * HALF_BYTES;
const BUFFERS: u32 = 3;
/// Distance of the two 16-byte words that a thread moves per operand and run.
const WORD_STRIDE: u32 = HALF_BYTES / 2;
const _: () = assert!(GEMM_FMA.threads == 256, "one thread per leaf");
const _: () = assert!(GEMM_FMA.shared_bytes == BUFFERS * BUFFER_BYTES, "the buffers must fit");
const _: () = assert!(
    GEMM_FMA.threads * 16 == WORD_STRIDE,
    "a thread moves two 16-byte words per operand and run"
);

crate::kernel! {
    /// Entry point; parameters and launch in [`GemmParams`].
    pub unsafe fn gemm_fma(params: GemmParams) {
        // Ids.
        let thread = thread_id();
        let (warp, lane) = (thread >> 5, thread & 31);
        let (wm, wn, gamma, tau) = (warp >> 2, warp & 3, lane >> 2, lane & 3);
        // SAFETY: parameters as documented; one block per tile.
        let panels = unsafe { Panels::of_tile(&params, block_id()) };

        // Shared memory: buffers of A's run, then B's.
        let shared = shared_base();
        let mine = thread * 16;
        let lanes = Lanes { a_at: wm * 4096, b_at: HALF_BYTES + wn * 2048, gamma, tau };

        // SAFETY: each panel has `runs` runs, of which this thread moves two
        // words; barriers separate every store to a buffer from the reads of
        // it before and after.
        unsafe {
            let runs = params.dim / RUN_K;
            let mut from = Panels { a: panels.a + mine as u64, b: panels.b + mine as u64 };
            Words::load(&mut from).store(shared + mine);
            Words::load(&mut from).store(shared + BUFFER_BYTES + mine);
            block_barrier();

            // Main loop.
            let mut c = [0.0f64; 64];
            let mut here = shared;
            let mut operands = lanes.read::<0>(here);
            let mut run = 0;
            while run < runs {
                let next = following(here, shared);
                let more = run + 2 < runs;
                let mut words = Words::default();
                if more {
                    words = Words::load(&mut from);
                }
                // At the very end the last read finds an older run and is not used.
                macro_rules! inner_index {
                    ($next:literal, $buffer:expr) => {
                        let ahead = lanes.read::<$next>($buffer);
                        multiply(&mut c, &operands);
                        operands = ahead;
                    };
                }
                inner_index!(1, here);
                inner_index!(2, here);
                inner_index!(3, here);
                inner_index!(4, here);
                inner_index!(5, here);
                inner_index!(6, here);
                inner_index!(7, here);
                inner_index!(0, next);
                if more {
                    words.store(following(next, shared) + mine);
                }
                block_barrier();
                here = next;
                run += 1;
            }

            // Epilogue.
            finish_tile(&params, block_id(), thread, &c, shared);
        }
    }
}

/// The buffer after `buffer`.
#[inline(always)]
fn following(buffer: u32, first: u32) -> u32 {
    let next = buffer + BUFFER_BYTES;
    if next == first + BUFFERS * BUFFER_BYTES { first } else { next }
}

/// What a thread moves of one run: two words of each operand.
#[derive(Clone, Copy, Default)]
struct Words {
    a: [(f64, f64); 2],
    b: [(f64, f64); 2],
}

impl Words {
    /// Loads this thread's words of the next run.
    ///
    /// # Safety
    /// - `from` points at them, and the panels have the run.
    #[inline(always)]
    unsafe fn load(from: &mut Panels) -> Self {
        let stride = WORD_STRIDE as u64;
        // SAFETY: the caller's.
        let words = unsafe {
            Self {
                a: [load_global_f64x2(from.a), load_global_f64x2(from.a + stride)],
                b: [load_global_f64x2(from.b), load_global_f64x2(from.b + stride)],
            }
        };
        from.a += HALF_BYTES as u64;
        from.b += HALF_BYTES as u64;
        words
    }

    /// Stores them in a buffer.
    ///
    /// # Safety
    /// - `to` is this thread's first word of a buffer that nobody reads.
    #[inline(always)]
    unsafe fn store(self, to: u32) {
        // SAFETY: the caller's.
        unsafe {
            store_shared_f64x2(to, self.a[0].0, self.a[0].1);
            store_shared_f64x2(to + WORD_STRIDE, self.a[1].0, self.a[1].1);
            store_shared_f64x2(to + HALF_BYTES, self.b[0].0, self.b[0].1);
            store_shared_f64x2(to + HALF_BYTES + WORD_STRIDE, self.b[1].0, self.b[1].1);
        }
    }
}

/// Eight elements of A and of B at one inner index.
#[derive(Clone, Copy)]
struct Operands {
    a: [f64; 8],
    b: [f64; 8],
}

/// Where a lane's rows and columns lie in a buffer.
#[derive(Clone, Copy)]
struct Lanes {
    a_at: u32,
    b_at: u32,
    gamma: u32,
    tau: u32,
}

impl Lanes {
    /// Reads inner index `K` of a run.
    ///
    /// # Safety
    /// - `buffer` is one of the block's.
    #[inline(always)]
    unsafe fn read<const K: u32>(self, buffer: u32) -> Operands {
        let (half, tau) = (K >> 2, K & 3);
        let a_at = buffer + self.a_at + half * 512 + word_in_chunk(self.gamma, tau) * 16;
        let b_at = buffer + self.b_at + half * 8 + word_in_chunk(2 * self.tau, tau) * 16;
        let b_next = buffer + self.b_at + half * 8 + word_in_chunk(2 * self.tau + 1, tau) * 16;
        // SAFETY: the caller's; offsets stay inside the buffer.
        unsafe {
            let (a0, a1) = load_shared_f64x2(a_at);
            let (a2, a3) = load_shared_f64x2(a_at + 1024);
            let (a4, a5) = load_shared_f64x2(a_at + 2048);
            let (a6, a7) = load_shared_f64x2(a_at + 3072);
            Operands {
                a: [a0, a1, a2, a3, a4, a5, a6, a7],
                // Columns 2τ and 2τ+1 of each n8 block.
                b: [
                    load_shared_f64(b_at),
                    load_shared_f64(b_next),
                    load_shared_f64(b_at + 512),
                    load_shared_f64(b_next + 512),
                    load_shared_f64(b_at + 1024),
                    load_shared_f64(b_next + 1024),
                    load_shared_f64(b_at + 1536),
                    load_shared_f64(b_next + 1536),
                ],
            }
        }
    }
}

/// One inner index: the outer product of eight rows and eight columns.
#[inline(always)]
fn multiply(c: &mut [f64; 64], operands: &Operands) {
    let Operands { a, b } = operands;
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
}
