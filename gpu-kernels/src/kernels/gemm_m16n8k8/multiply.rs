//! The multiplying warps, and the one lane among them that feeds the stages.

use super::{
    EMPTY_AT, FEED_AT, FULL_AT, SLAB_BYTES, SLOTS, STAGE_BYTES, STAGES, Share, TILE_EMPTY_AT,
    TILE_FULL_AT, leaf_place, scratch_slot,
};
use crate::abi::GemmParams;
use crate::device::async_copy::{barrier_arrive, barrier_arrive_expect, barrier_wait, copy_bulk};
use crate::device::memory::{
    load_shared_f64x2, load_shared_u32, load_shared_u64, store_global_f64x2, store_shared_u32,
    store_shared_u64,
};
use crate::device::mma::mma_m16n8k8;
use crate::device::thread::{block_id, grid_size, thread_id, warp_barrier};
use crate::kernels::parts::Panels;
use crate::tile::{SLAB_K, TILE, word_in_chunk};

/// How many slabs the copies run ahead of the products: less than all stages,
/// so that the refilled stage was left by every warp some time ago.
const LEAD: u32 = 4;
const _: () = assert!(LEAD < STAGES, "a stage in use would be overwritten");
const _: () = assert!(LEAD <= TILE / SLAB_K, "the copies run ahead by less than a tile");

/// Half of a slab's run of eight inner indices: 64 vectors.
const HALF_RUN_BYTES: u32 = 4096;

/// What the feeding lane copies: the panels of one tile, whole or in part. Its
/// state is in shared memory, where it costs the other lanes no registers.
#[derive(Clone, Copy)]
struct Feed {
    shared: u32,
}

impl Feed {
    /// Turns to a tile.
    ///
    /// # Safety
    /// - One thread of the block calls it; parameters as documented.
    #[inline(always)]
    unsafe fn turn_to(self, params: &GemmParams, tile: u32, split: u32, part: u32) {
        // SAFETY: the caller's; the words of shared memory are the feed's.
        unsafe {
            let panels = Panels::of(params, tile);
            let state = self.shared + FEED_AT;
            store_shared_u64(state, panels.a);
            store_shared_u64(state + 8, panels.b);
            store_shared_u32(state + 16, split);
            store_shared_u32(state + 20, part);
        }
    }

    /// Copies the next slab into a stage, once the stage is free.
    ///
    /// # Safety
    /// - One thread of the block calls it, for every slab in turn; `parity` is
    ///   that of the stage's use before the last: the wait ends when that use
    ///   was read by every warp.
    #[inline(always)]
    unsafe fn next(self, stage: u32, parity: u32) {
        let full = self.shared + FULL_AT + stage * 8;
        let to = self.shared + stage * STAGE_BYTES;
        let state = self.shared + FEED_AT;
        // SAFETY: the stage is free once its readers have arrived; the panels
        // have the slab.
        unsafe {
            let (a, b) = (load_shared_u64(state), load_shared_u64(state + 8));
            let (split, part) = (load_shared_u32(state + 16), load_shared_u32(state + 20));
            barrier_wait(self.shared + EMPTY_AT + stage * 8, parity);
            if split == 1 {
                barrier_arrive_expect(full, STAGE_BYTES);
                copy_bulk(to, a, SLAB_BYTES, full);
                copy_bulk(to + SLAB_BYTES, b, SLAB_BYTES, full);
            } else {
                // 64 rows, and all or 64 columns: half of each run of eight
                // inner indices, to the place that it has in the whole slab.
                let columns = if split == 2 { SLAB_BYTES } else { 2 * HALF_RUN_BYTES };
                barrier_arrive_expect(full, 2 * HALF_RUN_BYTES + columns);
                let rows_at = if split == 2 { part } else { part >> 1 } * HALF_RUN_BYTES;
                copy_half_runs(to + rows_at, a + rows_at as u64, full);
                if split == 2 {
                    copy_bulk(to + SLAB_BYTES, b, SLAB_BYTES, full);
                } else {
                    let columns_at = (part & 1) * HALF_RUN_BYTES;
                    copy_half_runs(to + SLAB_BYTES + columns_at, b + columns_at as u64, full);
                }
            }
            store_shared_u64(state, a + SLAB_BYTES as u64);
            store_shared_u64(state + 8, b + SLAB_BYTES as u64);
        }
    }
}

/// Copies 64 vectors of a slab: half of each of its two runs.
///
/// # Safety
/// - As for [`copy_bulk`].
#[inline(always)]
unsafe fn copy_half_runs(to: u32, from: u64, full: u32) {
    // SAFETY: the caller's.
    unsafe {
        copy_bulk(to, from, HALF_RUN_BYTES, full);
        copy_bulk(to + 2 * HALF_RUN_BYTES, from + 2 * HALF_RUN_BYTES as u64, HALF_RUN_BYTES, full);
    }
}

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
            b_at: shared + SLAB_BYTES + wn * 2048 + fragment,
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
pub unsafe fn run(params: &GemmParams, share: Share, shared: u32, thread: u32) {
    let warp = thread >> 5;
    if share.whole() == 0 && !share.has_part() {
        return;
    }
    // SAFETY: parameters as documented; barriers as the map in `super` says.
    unsafe {
        if thread == 0 {
            let feed = Feed { shared };
            if share.whole() > 0 {
                feed.turn_to(params, block_id(), 1, 0);
            } else {
                feed.turn_to(params, share.part_tile(), share.split(), share.part());
            }
            // A barrier nobody has arrived at counts as past parity 1.
            let mut stage = 0;
            while stage < LEAD {
                feed.next(stage, 1);
                stage += 1;
            }
        }
        let mut position = Position { stage: 0, parity: 0 };
        let mut turn = 0;
        while turn < share.whole() {
            let warp = thread_id() >> 5;
            let whole = Place::of(shared, warp >> 2, warp & 3, 0);
            let c = item::<4>(params, share, shared, turn, whole, &mut position);
            hand_over::<4>(params, shared, turn, whole, &c);
            turn += 1;
        }
        // A part: the same eight warps, each on fewer rows of a leaf.
        if share.split() == 2 {
            let part = Place::of(shared, share.part(), warp & 3, (warp >> 2) * 2);
            let c = item::<2>(params, share, shared, turn, part, &mut position);
            hand_over::<2>(params, shared, turn, part, &c);
        } else if share.split() == 4 {
            let part = Place::of(
                shared,
                share.part() >> 1,
                (share.part() & 1) * 2 + (warp & 1),
                warp >> 1,
            );
            let c = item::<1>(params, share, shared, turn, part, &mut position);
            hand_over::<1>(params, shared, turn, part, &c);
        }
    }
}

/// Multiplies one tile or part: `BLOCKS` blocks of sixteen rows by 32 columns a
/// warp. The fragments of eight inner indices start to be read while the eight
/// before them are multiplied.
///
/// # Safety
/// - As for [`run`]; `turn` counts the block's tiles.
#[inline(always)]
unsafe fn item<const BLOCKS: usize>(
    params: &GemmParams,
    share: Share,
    shared: u32,
    turn: u32,
    place: Place,
    position: &mut Position,
) -> [f64; 64] {
    let slabs = params.dim / SLAB_K;
    let thread = thread_id();
    let Position { mut stage, mut parity } = *position;
    let mut c = [0.0f64; 64];
    // SAFETY: the caller's.
    unsafe {
        barrier_wait(shared + FULL_AT + stage * 8, parity);
        let here = stage * STAGE_BYTES;
        let mut first = Fragments::load(place.a_at + here, place.b_at + here);
        let mut slab = 0;
        while slab < slabs {
            if thread == 0 {
                feed_ahead(params, share, shared, turn, slab, stage, parity);
            }
            warp_barrier();
            let here = stage * STAGE_BYTES;
            let second = Fragments::load(place.a_at + here + 8192, place.b_at + here + 8192);
            multiply_eight::<BLOCKS>(&mut c, first, place.a_at + here);
            let empty = shared + EMPTY_AT + stage * 8;
            stage += 1;
            if stage == STAGES {
                stage = 0;
                parity ^= 1;
            }
            slab += 1;
            if slab < slabs {
                barrier_wait(shared + FULL_AT + stage * 8, parity);
                let next = stage * STAGE_BYTES;
                first = Fragments::load(place.a_at + next, place.b_at + next);
            }
            multiply_eight::<BLOCKS>(&mut c, second, place.a_at + here + 8192);
            warp_barrier();
            if thread & 31 == 0 {
                barrier_arrive(empty);
            }
        }
    }
    *position = Position { stage, parity };
    c
}

/// Copies the slab that is [`LEAD`] ahead of slab `slab` of the block's
/// `turn`-th tile, if there is one.
///
/// # Safety
/// - As for [`Feed::next`].
#[inline(always)]
unsafe fn feed_ahead(
    params: &GemmParams,
    share: Share,
    shared: u32,
    turn: u32,
    slab: u32,
    stage: u32,
    parity: u32,
) {
    let slabs = params.dim / SLAB_K;
    let feed = Feed { shared };
    // SAFETY: the caller's.
    unsafe {
        if slab + LEAD >= slabs {
            let (next, whole) = (turn + 1, share.whole());
            if next >= whole && (next > whole || !share.has_part()) {
                return;
            }
            if slab + LEAD == slabs {
                if next < whole {
                    feed.turn_to(params, block_id() + next * grid_size(), 1, 0);
                } else {
                    feed.turn_to(params, share.part_tile(), share.split(), share.part());
                }
            }
        }
        let ahead = stage + LEAD;
        let (to, use_parity) =
            if ahead >= STAGES { (ahead - STAGES, parity) } else { (ahead, parity ^ 1) };
        feed.next(to, use_parity);
    }
}

/// What eight inner indices start with: all of B's fragments, and A's of the
/// warp's first sixteen rows.
#[derive(Clone, Copy)]
struct Fragments {
    b: [[f64; 2]; 4],
    a: [f64; 4],
}

impl Fragments {
    /// # Safety
    /// - The addresses are this lane's words of the warp's first chunks.
    #[inline(always)]
    unsafe fn load(a_at: u32, b_at: u32) -> Self {
        // SAFETY: the caller's; the next eight columns follow 512 bytes later.
        unsafe {
            let (b00, b01) = load_shared_f64x2(b_at);
            let (b10, b11) = load_shared_f64x2(b_at + 512);
            let (b20, b21) = load_shared_f64x2(b_at + 1024);
            let (b30, b31) = load_shared_f64x2(b_at + 1536);
            let b = [[b00, b01], [b10, b11], [b20, b21], [b30, b31]];
            Self { b, a: load_rows(a_at) }
        }
    }
}

/// A's fragment of sixteen rows and eight inner indices.
///
/// # Safety
/// - The next four inner indices follow 512 bytes after `at`.
#[inline(always)]
unsafe fn load_rows(at: u32) -> [f64; 4] {
    // SAFETY: the caller's.
    let ((a0, a1), (a2, a3)) = unsafe { (load_shared_f64x2(at), load_shared_f64x2(at + 512)) };
    [a0, a1, a2, a3]
}

/// Eight inner indices: 4·`BLOCKS` products of 16×8 by 8×8.
///
/// # Safety
/// - `first` was loaded from `a_at`; the next sixteen rows follow 1 KiB later.
#[inline(always)]
unsafe fn multiply_eight<const BLOCKS: usize>(c: &mut [f64; 64], first: Fragments, a_at: u32) {
    // Rows γ of an m16 block are rows a = 2r of the leaf, rows γ+8 a = 2r+1.
    macro_rules! block {
        ($r:literal, $n:literal, $a:ident) => {
            [
                c[$r * 16 + $n * 2],
                c[$r * 16 + $n * 2 + 1],
                c[$r * 16 + 8 + $n * 2],
                c[$r * 16 + 8 + $n * 2 + 1],
            ] = mma_m16n8k8(
                [
                    c[$r * 16 + $n * 2],
                    c[$r * 16 + $n * 2 + 1],
                    c[$r * 16 + 8 + $n * 2],
                    c[$r * 16 + 8 + $n * 2 + 1],
                ],
                $a,
                first.b[$n],
            );
        };
    }
    macro_rules! row {
        ($r:literal, $a:ident) => {
            block!($r, 0, $a);
            block!($r, 1, $a);
            block!($r, 2, $a);
            block!($r, 3, $a);
        };
    }
    // SAFETY: the caller's.
    unsafe {
        let a0 = first.a;
        if BLOCKS == 1 {
            row!(0, a0);
            return;
        }
        let a1 = load_rows(a_at + 1024);
        row!(0, a0);
        if BLOCKS == 2 {
            row!(1, a1);
            return;
        }
        let a2 = load_rows(a_at + 2048);
        row!(1, a1);
        let a3 = load_rows(a_at + 3072);
        row!(2, a2);
        row!(3, a3);
    }
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
    let (slot, use_parity) = (turn % SLOTS, (turn / SLOTS) & 1);
    // Eight words of sixteen bytes per block of sixteen rows, 4 KiB apart.
    let to = scratch_slot(params, turn)
        + (leaf_place(place.leaf) * 16 + place.first_block * 8 * 4096) as u64;
    macro_rules! words {
        ($($w:literal)*) => { $(
            // SAFETY: inside the slot, which is free.
            unsafe { store_global_f64x2(to + $w * 4096, c[$w * 2], c[$w * 2 + 1]) };
        )* };
    }
    // SAFETY: the caller's.
    unsafe { barrier_wait(shared + TILE_EMPTY_AT + slot * 8, use_parity ^ 1) };
    words!(0 1 2 3 4 5 6 7);
    if BLOCKS > 1 {
        words!(8 9 10 11 12 13 14 15);
    }
    if BLOCKS > 2 {
        words!(16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31);
    }
    // SAFETY: the caller's.
    unsafe { barrier_arrive(shared + TILE_FULL_AT + slot * 8) };
}
