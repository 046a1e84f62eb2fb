//! `int8_dp4a`: integer products on the integer pipes of any device. One block per tile;
//! 64 outputs a thread: rows x and x + 8 and columns y and y + 1 of each sixteen
//! rows and eight columns of its warp's 64×32, as the fold groups them. Two chunks of
//! 128 inner indices: while one is multiplied, the other comes through registers, a
//! quarter at a time.

use crate::abi::IntegerGemmParams;
use crate::device::backend::shared_base;
use crate::device::memory::{load_global_u32x4, load_shared_u32x4, store_shared_u32x4};
use crate::device::mma::dp4a;
use crate::device::thread::{block_barrier, block_id, named_barrier, opaque, thread_id};
use crate::integer::{CHUNK_BYTES, CHUNK_K, LEAVES_PER_TILE};
use crate::kernels::INT8_DP4A;
use crate::kernels::int8_parts::{
    DIGESTS_BYTES, MESSAGES_BYTES, TILE_WORDS_BYTES, TileKey, TileWords, hash_tile, keep, tile_of,
};
use crate::kernels::parts::SharedDigests;

/// A's chunk, then B's.
const STAGE_BYTES: u32 = 2 * CHUNK_BYTES;
/// A quarter of a chunk is one piece a thread.
const QUARTER_BYTES: u32 = CHUNK_BYTES / 4;

const _: () = assert!(INT8_DP4A.threads == 256, "64 outputs a thread");
const _: () = assert!(QUARTER_BYTES == INT8_DP4A.threads * 16);
const _: () = assert!(INT8_DP4A.shared_bytes == 2 * STAGE_BYTES, "the stages must fit");
const _: () = assert!(TILE_WORDS_BYTES <= INT8_DP4A.shared_bytes);
const _: () = assert!(MESSAGES_BYTES + DIGESTS_BYTES <= INT8_DP4A.shared_bytes);
const _: () = assert!(INT8_DP4A.shared_bytes <= 64 * 1024, "compute capability 7.5 has 64 KiB");

/// Repeats a block for the literal indices that are listed.
macro_rules! times {
    ($i:ident in $($n:literal)* => $body:block) => {
        $( { const $i: usize = $n; $body } )*
    };
}

crate::kernel! {
    /// Entry point; parameters and launch in [`IntegerGemmParams`].
    pub unsafe fn int8_dp4a(params: IntegerGemmParams) {
        // Ids: the lane's first row and first column. Rows and columns eight apart have
        // the same exclusive-or.
        let thread = thread_id();
        let (warp, lane) = (thread >> 5, thread & 31);
        let (wm, wn, gamma, tau) = (warp >> 2, warp & 3, lane >> 2, lane & 3);
        let a_at = (wm * 64 + gamma) * CHUNK_K + gamma * 16;
        let b_at = (wn * 32 + 2 * tau) * CHUNK_K + 2 * tau * 16;
        // SAFETY: parameters as documented; one block per tile.
        let (panels, _) = unsafe { tile_of(&params, block_id()) };

        // Shared memory: two stages of A's chunk, then B's.
        let shared = shared_base();
        let mine = thread * 16;
        let chunks = params.dim / CHUNK_K;

        // SAFETY: each panel has `chunks` chunks, of which this thread copies every
        // 256th piece; a stage is refilled only after the barrier that follows its last
        // use.
        unsafe {
            let (mut from, mut then) = (panels.a + mine as u64, panels.b + mine as u64);
            times!(I in 0 1 2 3 => {
                let step = I as u32 * QUARTER_BYTES;
                store_shared_u32x4(shared + mine + step, load_global_u32x4(from + step as u64));
                store_shared_u32x4(
                    shared + CHUNK_BYTES + mine + step,
                    load_global_u32x4(then + step as u64),
                );
            });
            (from, then) = (from + CHUNK_BYTES as u64, then + CHUNK_BYTES as u64);
            block_barrier();

            // Main loop.
            let mut c = [0u32; 64];
            let (mut chunk, mut stage, mut other) = (0, shared, shared + STAGE_BYTES + mine);
            while chunk < chunks {
                let has_next = chunk + 1 < chunks;
                let (a, b) = (stage + a_at, stage + CHUNK_BYTES + b_at);
                // Eight steps of sixteen inner indices; on its way in each, a quarter of
                // the next chunk of one operand: A's in even ones, B's in odd ones.
                let mut step = opaque(0);
                while step < CHUNK_K {
                    let mut next = [0; 4];
                    if has_next {
                        next = load_global_u32x4(from);
                    }
                    multiply_sixteen(&mut c, a ^ step, b ^ step);
                    if has_next {
                        let to = (step & 16) / 16 * CHUNK_BYTES + step / 32 * QUARTER_BYTES;
                        store_shared_u32x4(other + to, next);
                    }
                    (from, then) = (then, from + QUARTER_BYTES as u64);
                    step = opaque(step + 16);
                }
                block_barrier();
                (stage, other) = (other - mine, stage + mine);
                chunk += 1;
            }

            // Epilogue. Ids anew: in the main loop every register is taken.
            let thread = thread_id();
            let (warp, lane) = (thread >> 5, thread & 31);
            let (wm, wn, gamma, tau) = (warp >> 2, warp & 3, lane >> 2, lane & 3);
            let (_, tile) = tile_of(&params, block_id());
            if params.bare != 0 {
                let mut all = 0;
                times!(I in 0 1 2 3 4 5 6 7 => {
                    times!(J in 0 1 2 3 4 5 6 7 => { all ^= c[I * 8 + J]; });
                });
                keep(&params, tile, all);
                return;
            }
            let words = TileWords { base: shared };
            times!(I in 0 1 2 3 => {
                times!(J in 0 1 2 3 => {
                    let (upper, lower) = (I * 16 + 2 * J, I * 16 + 8 + 2 * J);
                    let word = [c[upper], c[upper + 1], c[lower], c[lower + 1]];
                    let leaf = (wm * 4 + I as u32) * 8 + gamma;
                    words.store(wn * 4 + J as u32, leaf, tau, word);
                });
            });
            block_barrier();
            let of = TileKey::of(&params, tile);
            let leaf = warp * 8 + gamma;
            let message = words.message(&of, leaf, tau);
            block_barrier();
            if tau == 0 {
                store_shared_u32x4(shared + leaf * 16, message);
            }
            block_barrier();
            if warp < 2 {
                let digests =
                    SharedDigests { base: shared + MESSAGES_BYTES, capacity: LEAVES_PER_TILE };
                hash_tile(&params, tile, shared, digests, thread, || named_barrier::<1, 64>());
            }
        }
    }
}

/// Sixteen inner indices: 8 × 8 products of sixteen bytes.
///
/// # Safety
/// - The addresses are this lane's pieces of its first row and its first column.
#[inline(always)]
unsafe fn multiply_sixteen(c: &mut [u32; 64], a_at: u32, b_at: u32) {
    let mut a = [[0; 4]; 8];
    // SAFETY: the caller's: rows are eight apart; columns too, by pairs of neighbours,
    // which have the pieces of both in each other's place.
    unsafe {
        times!(I in 0 1 2 3 4 5 6 7 => {
            a[I] = load_shared_u32x4(a_at + I as u32 * 8 * CHUNK_K);
        });
        times!(J in 0 1 2 3 => {
            let even = load_shared_u32x4(b_at + J as u32 * 8 * CHUNK_K);
            let odd = load_shared_u32x4((b_at ^ 16) + CHUNK_K + J as u32 * 8 * CHUNK_K);
            times!(I in 0 1 2 3 4 5 6 7 => {
                times!(K in 0 1 2 3 => {
                    c[I * 8 + 2 * J] = dp4a(a[I][K], even[K], c[I * 8 + 2 * J]);
                    c[I * 8 + 2 * J + 1] = dp4a(a[I][K], odd[K], c[I * 8 + 2 * J + 1]);
                });
            });
        });
    }
}
