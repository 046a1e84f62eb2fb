//! `int8_wgmma`: integer products on `wgmma`, with hashing beside them. One block per SM,
//! persistent over pairs of tiles side by side. Two warpgroups multiply (each 64×256, sums
//! in registers) and fold, three warps hash, one lane feeds. Panels arrive by bulk copies
//! as the fill kernel packed them, four stages of 128 inner indices deep. Messages and
//! leaves go from warp to warp through shared memory, two pairs deep.

mod feed;
mod hash;
mod multiply;

use crate::abi::{IntegerGemmParams, raster};
use crate::device::async_copy::{
    barrier_init, fence_barrier_init, registers_lower, registers_raise,
};
use crate::device::backend::shared_base;
use crate::device::thread::{block_barrier, block_id, grid_size, thread_id};
use crate::integer::CHUNK_BYTES;
use crate::kernels::INT8_WGMMA;
use crate::kernels::int8_parts::{DIGESTS_BYTES, MESSAGES_BYTES};
use crate::kernels::parts::div_rem;

const STAGES: u32 = 4;
/// A panel of A and two of B.
const STAGE_BYTES: u32 = 3 * CHUNK_BYTES;
const MULTIPLIER_WARPS: u32 = 8;
const FEEDER_WARP: u32 = MULTIPLIER_WARPS;
const LEAF_WARP: u32 = MULTIPLIER_WARPS + 1;
const NODE_WARP: u32 = MULTIPLIER_WARPS + 2;
const NODE_THREADS: u32 = 64;
/// What a thread has at first: 65,536 by 384, in eights.
const START_REGISTERS: u32 = 65536 / INT8_WGMMA.threads / 8 * 8;
const MULTIPLIER_REGISTERS: u32 = 208;
const OTHER_REGISTERS: u32 = 88;
/// Tiles that a block computes at a time, side by side.
const TILES: u32 = 2;
/// Pairs of tiles whose messages wait, and whose leaves do.
const SLOTS: u32 = 2;
const SLOT_BYTES: u32 = TILES * MESSAGES_BYTES;

// Shared memory: stages, messages, leaves, heaps of nodes, barriers.
const MESSAGES_AT: u32 = STAGES * STAGE_BYTES;
const LEAVES_AT: u32 = MESSAGES_AT + SLOTS * SLOT_BYTES;
const LEAF_SLOT_BYTES: u32 = TILES * DIGESTS_BYTES;
const HEAP_AT: u32 = LEAVES_AT + SLOTS * LEAF_SLOT_BYTES;
const FULL_AT: u32 = HEAP_AT + TILES * DIGESTS_BYTES;
const EMPTY_AT: u32 = FULL_AT + STAGES * 8;
const MESSAGES_FULL_AT: u32 = EMPTY_AT + STAGES * 8;
const MESSAGES_EMPTY_AT: u32 = MESSAGES_FULL_AT + SLOTS * 8;
const LEAVES_FULL_AT: u32 = MESSAGES_EMPTY_AT + SLOTS * 8;
const LEAVES_EMPTY_AT: u32 = LEAVES_FULL_AT + SLOTS * 8;
const SHARED_END: u32 = LEAVES_EMPTY_AT + SLOTS * 8;

const _: () = assert!(
    INT8_WGMMA.threads == NODE_WARP * 32 + NODE_THREADS,
    "two multiplying warpgroups, and one that feeds and hashes"
);
const _: () = assert!(INT8_WGMMA.shared_bytes >= SHARED_END, "the shared-memory map must fit");
const _: () = assert!(
    MULTIPLIER_WARPS * 32 * MULTIPLIER_REGISTERS + 128 * OTHER_REGISTERS
        <= INT8_WGMMA.threads * START_REGISTERS,
    "a block deals out what it was started with, and waits for ever for more"
);

crate::kernel! {
    /// Entry point; parameters and launch in [`IntegerGemmParams`].
    pub unsafe fn int8_wgmma(params: IntegerGemmParams) {
        // Ids.
        let thread = thread_id();
        let warp = thread >> 5;
        let shared = shared_base();

        // Barriers.
        // SAFETY: the map above; one thread initialises, all synchronise.
        unsafe {
            if thread == 0 {
                let mut i = 0;
                while i < STAGES {
                    barrier_init(shared + FULL_AT + i * 8, 1);
                    barrier_init(shared + EMPTY_AT + i * 8, MULTIPLIER_WARPS);
                    i += 1;
                }
                let mut i = 0;
                while i < SLOTS {
                    barrier_init(shared + MESSAGES_FULL_AT + i * 8, MULTIPLIER_WARPS * 32);
                    barrier_init(shared + MESSAGES_EMPTY_AT + i * 8, 32);
                    barrier_init(shared + LEAVES_FULL_AT + i * 8, 32);
                    barrier_init(shared + LEAVES_EMPTY_AT + i * 8, NODE_THREADS);
                    i += 1;
                }
                fence_barrier_init();
            }
            block_barrier();
        }

        // Roles.
        // SAFETY: the branch is uniform over each warpgroup; all roles walk the same share in
        // the same order.
        unsafe {
            if warp < MULTIPLIER_WARPS {
                registers_raise::<MULTIPLIER_REGISTERS>();
                multiply::run(&params, shared);
            } else {
                registers_lower::<OTHER_REGISTERS>();
                if thread == FEEDER_WARP * 32 {
                    feed::run(&params, shared);
                } else if warp == LEAF_WARP && params.bare == 0 {
                    hash::run_leaves(&params, shared, thread & 31);
                } else if warp >= NODE_WARP && params.bare == 0 {
                    hash::run_nodes(&params, shared, thread - NODE_WARP * 32);
                }
            }
        }
    }
}

/// What the block has to do: pairs of tiles, dealt to the blocks in turn.
#[derive(Clone, Copy)]
struct Work {
    /// Pairs in a row of tiles of a product.
    columns: u32,
    /// Pairs of this block.
    turns: u32,
}

impl Work {
    /// Of this block.
    ///
    /// # Safety
    /// - A grid has at least one block.
    #[inline(always)]
    unsafe fn of(params: &IntegerGemmParams) -> Self {
        let columns = (params.tiles_n + TILES - 1) / TILES;
        let (block, blocks) = (block_id(), grid_size());
        let pairs = params.products * params.tiles_m * columns;
        let turns = if block < pairs {
            // SAFETY: the caller's.
            unsafe { div_rem(pairs - block + blocks - 1, blocks).0 }
        } else {
            0
        };
        Self { columns, turns }
    }

    /// What this block computes in its `turn`-th turn, in the order of [`raster`].
    ///
    /// # Safety
    /// - `turn` is below the turns.
    #[inline(always)]
    unsafe fn pair(self, params: &IntegerGemmParams, turn: u32) -> Pair {
        let number = block_id() + turn * grid_size();
        // SAFETY: a product has at least one pair.
        let (product, in_product) = unsafe { div_rem(number, params.tiles_m * self.columns) };
        let (row, column) = raster(in_product, params.tiles_m, self.columns);
        Pair { product, row, column: column * TILES }
    }
}

/// Two tiles side by side.
#[derive(Clone, Copy)]
struct Pair {
    product: u32,
    row: u32,
    /// Of the left tile.
    column: u32,
}

impl Pair {
    /// Index in the launch of the left tile; the right one's is the next.
    #[inline(always)]
    fn first_tile(self, params: &IntegerGemmParams) -> u32 {
        (self.product * params.tiles_m + self.row) * params.tiles_n + self.column
    }

    /// Whether tile `half` of the two is there: a product may have an odd number of
    /// columns, and then its last right tile is computed for nothing.
    #[inline(always)]
    fn has(self, params: &IntegerGemmParams, half: u32) -> bool {
        self.column + half < params.tiles_n
    }
}

/// A stage of the pipeline and the parity of its barriers.
#[derive(Clone, Copy)]
struct Position {
    stage: u32,
    parity: u32,
}

impl Position {
    const START: Self = Self { stage: 0, parity: 0 };

    #[inline(always)]
    fn next(self) -> Self {
        let Self { stage, parity } = self;
        // STAGES is a power of two.
        let next = (stage + 1) & (STAGES - 1);
        Self { stage: next, parity: parity ^ (next == 0) as u32 }
    }
}
const _: () = assert!(STAGES.is_power_of_two());

/// Slot of the messages of a block's `turn`-th pair, and the parity of its barriers.
#[inline(always)]
fn slot_of(turn: u32) -> (u32, u32) {
    (turn % SLOTS, turn / SLOTS % 2)
}
