//! `arena_start` and `half_pass`: what fills an arena.
//!
//! A warp takes a block at a time, each lane eight of its words, so that what the
//! words of a block have in common is computed once for the eight.

use crate::abi::{ArenaStartParams, HalfPassParams};
use crate::arena::{BLOCK_BYTES, BLOCK_WORDS, DRAW_HALF_PASS, mix, scale};
use crate::device::memory::{load_global_u32x4, store_global_u32x4};
use crate::device::mma::multiply_wide;
use crate::device::thread::{block_id, grid_size, thread_id};
use crate::kernels::{ARENA_START, HALF_PASS};
use crate::philox::block;

const _: () = assert!(ARENA_START.threads == HALF_PASS.threads, "the same warps a block");
const _: () = assert!(BLOCK_WORDS == 8 * 32, "eight words a lane");

/// Bytes from one of a lane's words to its next.
const ROW_BYTES: u32 = 32 * 16;

/// Warps of a block.
const WARPS: u32 = ARENA_START.threads / 32;

/// Repeats a block for the literal indices 0 … 3.
macro_rules! four_times {
    ($i:ident => $body:block) => {
        four_times!(@ $i $body 0 1 2 3)
    };
    (@ $i:ident $body:block $($n:literal)*) => {
        $( { const $i: u32 = $n; $body } )*
    };
}

crate::kernel! {
    /// Entry point; parameters and launch in [`ArenaStartParams`].
    pub unsafe fn arena_start(params: ArenaStartParams) {
        // Ids: word l = lane + 32·row of block b.
        let thread = thread_id();
        let (warp, lane) = (thread >> 5, thread & 31);
        let [k0, k1, w, kappa] = params.key;

        let mut b = block_id() * WARPS + warp;
        while b < params.blocks {
            let at = params.arena + b as u64 * BLOCK_BYTES as u64 + lane as u64 * 16;
            let mut row = 0;
            while row < BLOCK_WORDS / 32 {
                four_times!(I => {
                    let l = lane + 32 * (row + I);
                    let word = block(multiply_wide, [l, b, kappa, w], [k0, k1]);
                    // SAFETY: block b of the arena.
                    unsafe {
                        store_global_u32x4(at + ((row + I) * ROW_BYTES) as u64, word);
                    }
                });
                row += 4;
            }
            b += grid_size() * WARPS;
        }
    }
}

crate::kernel! {
    /// Entry point; parameters and launch in [`HalfPassParams`].
    pub unsafe fn half_pass(params: HalfPassParams) {
        // Ids: word l = lane + 32·row of the c-th block of its half.
        let thread = thread_id();
        let (warp, lane) = (thread >> 5, thread & 31);
        let [k0, k1, w, _] = params.key;
        let r = params.half_pass;
        let half_blocks = params.blocks / 2;
        let half_bytes = half_blocks as u64 * BLOCK_BYTES as u64;
        let is_second = (r - 1) & 1;
        let changed = params.arena + is_second as u64 * half_bytes;
        let read = params.arena + (1 - is_second) as u64 * half_bytes;

        let mut c = block_id() * WARPS + warp;
        while c < half_blocks {
            let [e0, e1, _, _] = block(multiply_wide, [c, r, DRAW_HALF_PASS, w], [k0, k1]);
            let j = scale(multiply_wide, e0, half_blocks);
            let x_at = changed + c as u64 * BLOCK_BYTES as u64 + lane as u64 * 16;
            // Blocks start at multiples of their size: an exclusive-or of the word's
            // index stays inside.
            let other = (lane ^ (e1 & 31)) * 16;
            let rows = (e1 & (BLOCK_WORDS - 1)) >> 5;
            let y_at = read + j as u64 * BLOCK_BYTES as u64 + other as u64;
            let mut row = 0;
            while row < BLOCK_WORDS / 32 {
                let (mut x, mut y) = ([[0; 4]; 4], [[0; 4]; 4]);
                // SAFETY: blocks of the two halves; this warp alone touches the one
                // that it changes, and nothing changes the other half.
                unsafe {
                    four_times!(I => {
                        x[I as usize] = load_global_u32x4(x_at + ((row + I) * ROW_BYTES) as u64);
                        y[I as usize] =
                            load_global_u32x4(y_at + (((row + I) ^ rows) * ROW_BYTES) as u64);
                    });
                    four_times!(I => {
                        let mixed = mix(multiply_wide, x[I as usize], y[I as usize]);
                        store_global_u32x4(x_at + ((row + I) * ROW_BYTES) as u64, mixed);
                    });
                }
                row += 4;
            }
            c += grid_size() * WARPS;
        }
    }
}
