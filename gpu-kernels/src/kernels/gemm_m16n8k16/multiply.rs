//! The multiplying warps.

use super::{
    EMPTY_AT, FULL_AT, OPERAND_BYTES, STAGE_BYTES, STAGE_K, STAGES, Share, Slot, TILE_EMPTY_AT,
    TILE_FULL_AT, leaf_place,
};
use crate::abi::GemmParams;
use crate::device::async_copy::{barrier_arrive, barrier_wait};
use crate::device::memory::store_global_f64x2;
use crate::device::thread::{opaque, thread_id};
use crate::kernels::sixteen::{RUN_BYTES, multiply_sixteen};
use crate::tile::word_in_chunk;

/// Stage and parity of the pipeline, the same in all warps.
#[derive(Clone, Copy)]
struct Position {
    stage: u32,
    parity: u32,
}

/// Where a warp's fragments lie in a stage, and where its outputs go.
#[derive(Clone, Copy)]
struct Place {
    /// This lane's words of the warp's first chunks.
    a_at: u32,
    b_at: u32,
    /// First of the sixteen-row blocks of the leaf that the warp computes.
    first_block: u32,
    /// The leaf whose outputs this lane computes, or some of them.
    leaf: u32,
}

impl Place {
    /// Of the calling lane, in the leaf row `wm` and column `wn` of warps, from
    /// sixteen-row block `block` on.
    #[inline(always)]
    fn of(shared: u32, wm: u32, wn: u32, block: u32) -> Self {
        let lane = thread_id() & 31;
        let fragment = word_in_chunk(lane >> 2, lane & 3) * 16;
        Self {
            a_at: shared + wm * 4096 + block * 1024 + fragment,
            b_at: shared + OPERAND_BYTES + wn * 2048 + fragment,
            first_block: block,
            leaf: wm * 128 + wn * 32 + lane,
        }
    }
}

/// Does the block's share.
///
/// # Safety
/// - Threads 0 … 255 of the block call it; parameters as documented.
#[inline(always)]
pub unsafe fn run(params: &GemmParams, share: Share, shared: u32) {
    // SAFETY: parameters as documented; barriers as the map in `super` says.
    unsafe {
        let mut position = Position { stage: 0, parity: 0 };
        let mut turn = 0;
        while turn < share.whole() {
            // Worked out twice: what is kept across the product takes registers, and
            // it leaves none (under Rust-CUDA, outputs were spilled for it).
            let place = || {
                let warp = thread_id() >> 5;
                Place::of(shared, warp >> 2, warp & 3, 0)
            };
            let c = item::<4>(params, shared, place(), &mut position);
            hand_over::<4>(params, shared, turn, place(), &c);
            turn += 1;
        }
        // A part: the same eight warps, each on fewer rows of a leaf.
        let warp = thread_id() >> 5;
        if share.split() == 2 {
            let part = Place::of(shared, share.part(), warp & 3, (warp >> 2) * 2);
            let c = item::<2>(params, shared, part, &mut position);
            hand_over::<2>(params, shared, turn, part, &c);
        } else if share.split() == 4 {
            let part = Place::of(
                shared,
                share.part() >> 1,
                (share.part() & 1) * 2 + (warp & 1),
                warp >> 1,
            );
            let c = item::<1>(params, shared, part, &mut position);
            hand_over::<1>(params, shared, turn, part, &c);
        }
    }
}

/// Multiplies one tile or part: `BLOCKS` blocks of sixteen rows by 32 columns a
/// warp.
///
/// # Safety
/// - As for [`run`].
#[inline(always)]
unsafe fn item<const BLOCKS: usize>(
    params: &GemmParams,
    shared: u32,
    place: Place,
    position: &mut Position,
) -> [f64; 64] {
    let mut left = params.dim / STAGE_K;
    let Position { mut stage, mut parity } = *position;
    let mut c = [0.0f64; 64];
    // SAFETY: the caller's.
    unsafe {
        while left > 0 {
            barrier_wait(shared + FULL_AT + stage * 8, parity);
            let (a_at, b_at) = (place.a_at + stage * STAGE_BYTES, place.b_at + stage * STAGE_BYTES);
            multiply_sixteen::<BLOCKS>(&mut c, a_at, b_at);
            multiply_sixteen::<BLOCKS>(&mut c, a_at + 2 * RUN_BYTES, b_at + 2 * RUN_BYTES);
            barrier_arrive(shared + EMPTY_AT + stage * 8);
            stage += 1;
            if stage == STAGES {
                stage = 0;
                parity ^= 1;
            }
            left = opaque(left - 1);
        }
    }
    *position = Position { stage, parity };
    c
}

/// Hands a finished tile or part to the hashing warps.
///
/// # Safety
/// - As for [`run`]; `c` is what [`item`] returned for `place`.
#[inline(always)]
unsafe fn hand_over<const BLOCKS: usize>(
    params: &GemmParams,
    shared: u32,
    turn: u32,
    place: Place,
    c: &[f64; 64],
) {
    let slot = Slot::of(params, turn);
    // Eight words of sixteen bytes per block of sixteen rows, 4 KiB apart.
    let to =
        slot.address(params) + (leaf_place(place.leaf) * 16 + place.first_block * 8 * 4096) as u64;
    macro_rules! words {
        ($($w:literal)*) => { $(
            // SAFETY: inside the slot, which is free.
            unsafe { store_global_f64x2(to + $w * 4096, c[$w * 2], c[$w * 2 + 1]) };
        )* };
    }
    // SAFETY: the caller's.
    unsafe { barrier_wait(shared + TILE_EMPTY_AT + slot.index * 8, slot.parity ^ 1) };
    words!(0 1 2 3 4 5 6 7);
    if BLOCKS > 1 {
        words!(8 9 10 11 12 13 14 15);
    }
    if BLOCKS > 2 {
        words!(16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31);
    }
    // SAFETY: the caller's.
    unsafe { barrier_arrive(shared + TILE_FULL_AT + slot.index * 8) };
}
