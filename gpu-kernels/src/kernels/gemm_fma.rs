//! `gemm_fma`: the product on the FMA pipe, for any device. One block per
//! tile; each thread computes the 64 outputs of one leaf and hashes them from
//! its registers.
//!
//! Runs of eight inner indices of both panels go through three buffers in
//! shared memory: one is multiplied, the next is complete, and the one after
//! it is on its way through registers. So the operands of every inner index,
//! the first of a run included, are read while the one before is multiplied,
//! and the pipe does not drain at the barriers.

use crate::abi::GemmParams;
use crate::device::backend::shared_base;
use crate::device::memory::{load_global_f64x2, load_shared_f64x2, store_shared_f64x2};
use crate::device::mma::fma;
use crate::device::thread::{block_barrier, block_id, thread_id};
use crate::kernels::GEMM_FMA;
use crate::kernels::parts::{Panels, finish_tile};
use crate::tile::{Packing, word_in_chunk};

/// Inner indices in a run.
const RUN_K: u32 = 8;
/// Bytes of one operand's run.
const HALF_BYTES: u32 = 128 * RUN_K * 8;
const BUFFER_BYTES: u32 = 2 * HALF_BYTES;
const BUFFERS: u32 = 3;
/// Distance of the two 16-byte words that a thread moves per operand and run.
const WORD_STRIDE: u32 = HALF_BYTES / 2;
const _: () = assert!(GEMM_FMA.threads == 256, "one thread per leaf");
const _: () = assert!(
    matches!(GEMM_FMA.computes.packing_b, Packing::VectorPairs),
    "two columns are read at a time"
);
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
        let (warp, in_warp) = (thread >> 5, thread & 31);
        let (wm, wn, gamma, tau) = (warp >> 2, warp & 3, in_warp >> 2, in_warp & 3);
        // SAFETY: parameters as documented; one block per tile.
        let panels = unsafe { Panels::of_tile(&params, block_id()) };

        // Shared memory: buffers of A's run, then B's.
        let shared = shared_base();
        let mine = thread * 16;
        let lane = Lane::of(wm, wn, gamma, tau);

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
            let mut operands = lane.read::<0>(here);
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
                        let ahead = lane.read::<$next>($buffer);
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

/// Where a lane's first rows and columns lie in a buffer, by k mod 4.
#[derive(Clone, Copy)]
struct Lane {
    a: [u32; 4],
    b: [u32; 4],
}

impl Lane {
    #[inline(always)]
    fn of(wm: u32, wn: u32, gamma: u32, tau: u32) -> Self {
        let word = |x, k| word_in_chunk(x, k) * 16;
        let (a, b) = (wm * 4096, HALF_BYTES + wn * 2048);
        let (x, y) = (gamma, 2 * tau);
        Self {
            a: [a + word(x, 0), a + word(x, 1), a + word(x, 2), a + word(x, 3)],
            b: [b + word(y, 0), b + word(y, 1), b + word(y, 2), b + word(y, 3)],
        }
    }

    /// Reads inner index `K` of a run.
    ///
    /// # Safety
    /// - `buffer` is one of the block's.
    #[inline(always)]
    unsafe fn read<const K: usize>(self, buffer: u32) -> Operands {
        let half = (K >> 2) as u32 * 512;
        let (a_at, b_at) = (buffer + self.a[K & 3] + half, buffer + self.b[K & 3] + half);
        // SAFETY: the caller's; offsets stay inside the buffer.
        unsafe {
            let (a0, a1) = load_shared_f64x2(a_at);
            let (a2, a3) = load_shared_f64x2(a_at + 1024);
            let (a4, a5) = load_shared_f64x2(a_at + 2048);
            let (a6, a7) = load_shared_f64x2(a_at + 3072);
            // Columns 2τ and 2τ+1 of each n8 block; the latter's word is the next.
            let (b0, b2) = load_shared_f64x2(b_at);
            let (b1, b3) = load_shared_f64x2(b_at + 16);
            let (b4, b6) = load_shared_f64x2(b_at + 1024);
            let (b5, b7) = load_shared_f64x2(b_at + 1040);
            Operands { a: [a0, a1, a2, a3, a4, a5, a6, a7], b: [b0, b1, b2, b3, b4, b5, b6, b7] }
        }
    }
}

/// One inner index: the outer product of eight rows and eight columns, to and
/// fro, so that each multiplication shares an operand with the one before: the
/// register file is read twice a multiplication, and not three times.
#[inline(always)]
fn multiply(c: &mut [f64; 64], operands: &Operands) {
    let Operands { a, b } = operands;
    macro_rules! row {
        ($r:literal: $($column:literal)*) => {
            $( c[$r * 8 + $column] = fma(a[$r], b[$column], c[$r * 8 + $column]); )*
        };
    }
    row!(0: 0 1 2 3 4 5 6 7);
    row!(1: 7 6 5 4 3 2 1 0);
    row!(2: 0 1 2 3 4 5 6 7);
    row!(3: 7 6 5 4 3 2 1 0);
    row!(4: 0 1 2 3 4 5 6 7);
    row!(5: 7 6 5 4 3 2 1 0);
    row!(6: 0 1 2 3 4 5 6 7);
    row!(7: 7 6 5 4 3 2 1 0);
}
