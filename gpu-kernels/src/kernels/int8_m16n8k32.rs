//! `int8_m16n8k32`: integer products on the tensor cores of compute capability 8.0 and
//! later. One block per tile; four warps of 64×64; three chunks of 128 inner indices
//! on their way by `cp.async`. Two blocks share an SM where it has the shared memory, so
//! that one multiplies while the other folds and hashes.

use crate::abi::IntegerGemmParams;
use crate::device::async_copy::{copy_16, copy_commit, copy_wait};
use crate::device::backend::shared_base;
use crate::device::memory::{load_matrices, store_shared_u32x4};
use crate::device::mma::mma_m16n8k32;
use crate::device::thread::{block_barrier, block_id, named_barrier, thread_id};
use crate::integer::{CHUNK_BYTES, CHUNK_K, LEAVES_PER_TILE};
use crate::kernels::INT8_M16N8K32;
use crate::kernels::int8_parts::{
    DIGESTS_BYTES, MESSAGES_BYTES, TILE_WORDS_BYTES, TileKey, TileWords, hash_tile, keep, tile_of,
};
use crate::kernels::parts::SharedDigests;

const STAGES: u32 = 3;
/// A's chunk, then B's.
const STAGE_BYTES: u32 = 2 * CHUNK_BYTES;
/// Inner indices of one multiplication.
const STEP_K: u32 = 32;
/// Bytes of a block's threads' copies.
const COPY_BYTES: u32 = INT8_M16N8K32.threads * 16;
/// From a vector's place to that of the sixteenth after it.
const SIXTEEN: u32 = 16 * CHUNK_K;

const _: () = assert!(INT8_M16N8K32.threads == 128, "four warps of 64×64");
const _: () = assert!(INT8_M16N8K32.shared_bytes == STAGES * STAGE_BYTES, "the stages must fit");
const _: () = assert!(
    INT8_M16N8K32.shared_bytes <= 99 * 1024,
    "compute capability 8.6 and 8.9 allow a block 99 KiB"
);
const _: () = assert!(
    TILE_WORDS_BYTES + MESSAGES_BYTES + DIGESTS_BYTES <= INT8_M16N8K32.shared_bytes,
    "the epilogue uses the stages' memory"
);
const _: () = assert!(CHUNK_BYTES == 8 * COPY_BYTES, "eight copies a thread and operand");
const _: () = assert!(CHUNK_K == 4 * STEP_K);

/// Repeats a block for the literal indices that are listed.
macro_rules! times {
    ($i:ident in $($n:literal)* => $body:block) => {
        $( { const $i: usize = $n; $body } )*
    };
}

/// A warp's fragments of one step.
#[derive(Clone, Copy)]
struct Fragments {
    /// Of A, for each sixteen rows.
    a: [[u32; 4]; 4],
    /// Of B, for each sixteen columns: two of eight.
    b: [[u32; 4]; 4],
}

impl Fragments {
    /// Loads them from this lane's places in the warp's first sixteen vectors.
    ///
    /// # Safety
    /// - The stage is full; all lanes call it.
    #[inline(always)]
    unsafe fn load(a_at: u32, b_at: u32) -> Self {
        let mut it = Self { a: [[0; 4]; 4], b: [[0; 4]; 4] };
        // SAFETY: the caller's.
        unsafe {
            times!(I in 0 1 2 3 => {
                it.a[I] = load_matrices(a_at + I as u32 * SIXTEEN);
                it.b[I] = load_matrices(b_at + I as u32 * SIXTEEN);
            });
        }
        it
    }

    /// Adds 64 × 64 products.
    #[inline(always)]
    fn multiply(&self, c: &mut [[u32; 4]; 32]) {
        times!(I in 0 1 2 3 => {
            times!(J in 0 1 2 3 => {
                let [b0, b1, b2, b3] = self.b[J];
                c[I * 8 + 2 * J] = mma_m16n8k32(c[I * 8 + 2 * J], self.a[I], [b0, b1]);
                c[I * 8 + 2 * J + 1] = mma_m16n8k32(c[I * 8 + 2 * J + 1], self.a[I], [b2, b3]);
            });
        });
    }
}

crate::kernel! {
    /// Entry point; parameters and launch in [`IntegerGemmParams`].
    pub unsafe fn int8_m16n8k32(params: IntegerGemmParams) {
        // Ids: the warp's 64 rows and 64 columns; the lane's rows of the matrices that it
        // loads. Vectors x and x + 8 of A are the first two of four, pieces c and c + 1
        // the last two; of B it is the other way round.
        let thread = thread_id();
        let (warp, lane) = (thread >> 5, thread & 31);
        let (wm, wn, gamma, tau) = (warp >> 1, warp & 1, lane >> 2, lane & 3);
        let (x, low, high) = (lane & 7, (lane >> 3) & 1, lane >> 4);
        let a_at = (wm * 64 + low * 8 + x) * CHUNK_K + (high ^ x) * 16;
        let b_at = (wn * 64 + high * 8 + x) * CHUNK_K + (low ^ x) * 16;
        // SAFETY: parameters as documented; one block per tile.
        let (panels, tile) = unsafe { tile_of(&params, block_id()) };

        // Shared memory: stages of A's chunk, then B's.
        let shared = shared_base();
        let mine = thread * 16;
        let chunks = params.dim / CHUNK_K;

        // SAFETY: each panel has `chunks` chunks, of which this thread copies every
        // 128th piece; a stage is refilled only after the barrier that follows its last
        // use.
        unsafe {
            let fetch = |chunk: u32, stage: u32| {
                if chunk < chunks {
                    let to = stage + mine;
                    let from = chunk as u64 * CHUNK_BYTES as u64 + mine as u64;
                    times!(I in 0 1 2 3 4 5 6 7 => {
                        let step = I as u32 * COPY_BYTES;
                        copy_16(to + step, panels.a + from + step as u64);
                        copy_16(to + CHUNK_BYTES + step, panels.b + from + step as u64);
                    });
                }
                copy_commit();
            };
            fetch(0, shared);
            fetch(1, shared + STAGE_BYTES);

            // Main loop.
            let mut c = [[0u32; 4]; 32];
            let (mut chunk, mut stage) = (0, shared);
            let end = shared + STAGES * STAGE_BYTES;
            let mut free = shared + 2 * STAGE_BYTES;
            while chunk < chunks {
                copy_wait::<1>();
                block_barrier();
                fetch(chunk + 2, free);
                let (a, b) = (stage + a_at, stage + CHUNK_BYTES + b_at);
                // In a vector's 128 bytes, a step further is an exclusive-or.
                let mut now = Fragments::load(a, b);
                times!(K in 1 2 3 => {
                    let next = Fragments::load(a ^ (K as u32 * STEP_K), b ^ (K as u32 * STEP_K));
                    now.multiply(&mut c);
                    now = next;
                });
                now.multiply(&mut c);
                free = stage;
                stage = if stage + STAGE_BYTES == end { shared } else { stage + STAGE_BYTES };
                chunk += 1;
            }

            // Epilogue.
            if params.bare != 0 {
                let mut all = 0;
                times!(I in 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 => {
                    all ^= c[I][0] ^ c[I][1] ^ c[I][2] ^ c[I][3];
                });
                keep(&params, tile, all);
                return;
            }
            block_barrier();
            let words = TileWords { base: shared };
            times!(I in 0 1 2 3 => {
                times!(J in 0 1 2 3 4 5 6 7 => {
                    let leaf = (wm * 4 + I as u32) * 8 + gamma;
                    words.store(wn * 8 + J as u32, leaf, tau, c[I * 8 + J]);
                });
            });
            block_barrier();
            let messages = shared + TILE_WORDS_BYTES;
            let digests =
                SharedDigests { base: messages + MESSAGES_BYTES, capacity: LEAVES_PER_TILE };
            let of = TileKey::of(&params, tile);
            let leaf = warp * 8 + gamma;
            let (first, second) = words.two_messages(&of, leaf, leaf + 32, tau);
            if tau == 0 {
                store_shared_u32x4(messages + leaf * 16, first);
                store_shared_u32x4(messages + (leaf + 32) * 16, second);
            }
            block_barrier();
            if warp < 2 {
                hash_tile(&params, tile, messages, digests, thread, || named_barrier::<1, 64>());
            }
        }
    }
}
