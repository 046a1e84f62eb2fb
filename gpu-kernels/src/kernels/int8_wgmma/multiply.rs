//! The multiplying warpgroups.

use super::{
    EMPTY_AT, FULL_AT, MESSAGES_AT, MESSAGES_EMPTY_AT, MESSAGES_FULL_AT, Position, SLOT_BYTES,
    STAGE_BYTES, Work, slot_of,
};
use crate::abi::IntegerGemmParams;
use crate::device::async_copy::{barrier_arrive, barrier_wait};
use crate::device::memory::store_shared_u32x4;
use crate::device::thread::{opaque, thread_id};
use crate::device::wgmma::{Sums, descriptor, finish_all_but_latest, finish_sums, multiply_128};
use crate::integer::{CHUNK_BYTES, CHUNK_K, FOLD_WORDS, LEAVES_PER_TILE};
use crate::kernels::int8_parts::{MESSAGES_BYTES, TileKey};

/// Does the block's share.
///
/// # Safety
/// - Threads 0 … 255 of the block call it; parameters as documented.
#[inline(always)]
pub unsafe fn run(params: &IntegerGemmParams, shared: u32) {
    let warp = thread_id() >> 5;
    let lane = thread_id() & 31;
    // The warpgroup's half of A's panel.
    let a_at = shared + (warp >> 2) * (CHUNK_BYTES / 2);
    let b_at = shared + CHUNK_BYTES;
    // The leaf of the quad, in either tile.
    let leaf = warp * 8 + (lane >> 2);
    // SAFETY: parameters as documented; barriers as the map in `super` says.
    unsafe {
        let work = Work::of(params);
        let mut position = Position::START;
        let mut sums: Sums = [0; 128];
        let mut turn = 0;
        while turn < work.turns {
            let pair = work.pair(params, turn);
            let key = TileKey::of(params, pair.first_tile(params));

            // Product: a stage is issued while the one before it is multiplied, which is
            // free then.
            let chunks = params.dim / CHUNK_K;
            let mut chunk = 0;
            let mut before = position.stage;
            while chunk < chunks {
                let at = position.stage * STAGE_BYTES;
                barrier_wait(shared + FULL_AT + position.stage * 8, position.parity);
                multiply_128(&mut sums, descriptor(a_at + at), descriptor(b_at + at), chunk);
                finish_all_but_latest();
                if chunk > 0 {
                    release(shared, before, lane);
                }
                before = position.stage;
                position = position.next();
                chunk = opaque(chunk + 1);
            }
            finish_sums(&mut sums);
            release(shared, before, lane);

            // Folds, of both tiles at once. If there is no right one, it is the left one's
            // again, under indices that nobody has.
            let (slot, parity) = slot_of(turn);
            if params.bare == 0 {
                // The right tile's leaves follow the left one's.
                let right = TileKey { first_leaf: next_tile(key.first_leaf), ..key };
                let tau = lane & 3;
                let mut columns = [key.column(tau, leaf), right.column(tau, leaf)];
                macro_rules! absorb {
                    ($($b:literal)*) => { $(
                        let (l, r) = ($b * 4, ($b + 16) * 4);
                        columns[0] = key.absorb(columns[0], [sums[l], sums[l + 1], sums[l + 2], sums[l + 3]]);
                        columns[1] = right.absorb(columns[1], [sums[r], sums[r + 1], sums[r + 2], sums[r + 3]]);
                    )* };
                }
                absorb!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
                let messages = [key.join_quad(columns[0]), right.join_quad(columns[1])];

                barrier_wait(shared + MESSAGES_EMPTY_AT + slot * 8, parity ^ 1);
                let to = shared + MESSAGES_AT + slot * SLOT_BYTES + leaf * 16;
                if tau == 0 {
                    store_shared_u32x4(to, messages[0]);
                } else if tau == 1 {
                    store_shared_u32x4(to + MESSAGES_BYTES, messages[1]);
                }
                barrier_arrive(shared + MESSAGES_FULL_AT + slot * 8);
            }
            turn += 1;
        }
    }
}
const _: () = assert!(FOLD_WORDS == 16, "a tile's words are half of the sums");

/// Index of the first leaf of the tile to the right.
#[inline(always)]
fn next_tile(first: [u32; 2]) -> [u32; 2] {
    let low = first[0].wrapping_add(LEAVES_PER_TILE);
    [low, first[1] + (low == 0) as u32]
}

/// Frees a stage: this warp's products, which have read it for all lanes, are done.
///
/// # Safety
/// - Whole warps call it, once for each time that the stage was full.
#[inline(always)]
unsafe fn release(shared: u32, stage: u32, lane: u32) {
    if lane == 0 {
        // SAFETY: the caller's.
        unsafe { barrier_arrive(shared + EMPTY_AT + stage * 8) };
    }
}
