//! `gemm_m16n8k16`: the product on `mma.m16n8k16`, with hashing beside it. One block per SM, persistent over tiles: eight warps multiply
//! (each 64×32), four hash, one feeds. Both panels arrive by bulk copies, three
//! stages of 32 inner indices deep; a finished tile goes through a scratch of
//! the block's own, which stays in L2, to the hashing warps, so that C is never
//! written out.
//!
//! [`TileSchedule`] cuts the tiles that would leave most blocks idle at the
//! end into parts; the block that finishes a tile's last part joins their
//! roots.

mod feed;
mod hash;
mod multiply;

use crate::abi::{
    GEMM_PART_BYTES, GEMM_SCRATCH_BYTES_PER_BLOCK, GEMM_SPLIT_MAX, GemmParams, TileSchedule, raster,
};
use crate::device::async_copy::{
    barrier_init, fence_barrier_init, registers_lower, registers_raise,
};
use crate::device::backend::shared_base;
use crate::device::memory::{load_shared_u32, store_shared_u32};
use crate::device::thread::{block_barrier, block_id, grid_size, thread_id};
use crate::kernels::GEMM_M16N8K16;
use crate::kernels::parts::div_rem;
use crate::kernels::sixteen::RUN_BYTES;
use crate::tile::{LEAVES_PER_TILE, TILE};

const STAGES: u32 = 3;
/// Inner indices in a stage.
const STAGE_K: u32 = 32;
/// One operand's part of a stage.
const OPERAND_BYTES: u32 = STAGE_K / 8 * RUN_BYTES;
const STAGE_BYTES: u32 = 2 * OPERAND_BYTES;
const _: () = assert!(TILE.is_multiple_of(STAGE_K), "stages must divide every legal n");
const _: () = assert!(OPERAND_BYTES == 4 * RUN_BYTES, "the main loop is written for four runs");
const MULTIPLIER_WARPS: u32 = 8;
const HASHER_THREADS: u32 = 128;
const FEEDER_WARP: u32 = MULTIPLIER_WARPS + HASHER_THREADS / 32;
const MULTIPLIER_REGISTERS: u32 = 208;
const HASHER_REGISTERS: u32 = 72;
const FEEDER_REGISTERS: u32 = 24;
/// Tiles in the scratch.
const SLOTS: u32 = 2;
/// From this n on both slots are used.
const DIM_OF_TWO_SLOTS: u32 = 4096;
const TILE_BYTES: u64 = TILE as u64 * TILE as u64 * 8;

// Shared memory: stages, the heap of a tile's nodes and leaves, barriers.
const HEAP_AT: u32 = STAGES * STAGE_BYTES;
const HEAP_NODES: u32 = 2 * LEAVES_PER_TILE;
const FULL_AT: u32 = HEAP_AT + HEAP_NODES * 32;
const EMPTY_AT: u32 = FULL_AT + STAGES * 8;
const TILE_FULL_AT: u32 = EMPTY_AT + STAGES * 8;
const TILE_EMPTY_AT: u32 = TILE_FULL_AT + SLOTS * 8;
const MESSAGE_AT: u32 = TILE_EMPTY_AT + SLOTS * 8;
const SHARE_AT: u32 = MESSAGE_AT + 8;
const PROGRESS_AT: u32 = SHARE_AT + 16;
const SHARED_END: u32 = PROGRESS_AT + 16;

const _: () = assert!(
    GEMM_M16N8K16.threads == (FEEDER_WARP + 4) * 32,
    "two multiplying warpgroups, one hashing, and the feeding warp's"
);
const _: () = assert!(GEMM_M16N8K16.shared_bytes >= SHARED_END, "the shared-memory map must fit");
const _: () = assert!(
    MULTIPLIER_WARPS * 32 * MULTIPLIER_REGISTERS
        + HASHER_THREADS * HASHER_REGISTERS
        + 128 * FEEDER_REGISTERS
        <= 65536,
    "the register file has 65,536"
);
const _: () = assert!(
    GEMM_SCRATCH_BYTES_PER_BLOCK == SLOTS as u64 * TILE_BYTES + GEMM_PART_BYTES,
    "the scratch must fit"
);
const _: () = assert!(GEMM_SPLIT_MAX == 4, "parts are tiles, halves or quarters");

/// What one block has to do. Kept in shared memory and read where needed:
/// registers are what this kernel is short of.
#[derive(Clone, Copy)]
struct Share {
    at: u32,
}

macro_rules! share_field {
    ($(#[$meta:meta])* $name:ident, $word:literal) => {
        $(#[$meta])*
        #[inline(always)]
        fn $name(self) -> u32 {
            // SAFETY: written by `Share::store` before the block's barrier.
            unsafe { load_shared_u32(self.at + $word * 4) }
        }
    };
}

impl Share {
    share_field!(/// Whole tiles of this block: numbers `block_id()` + i·`grid_size()`, i below this.
        whole, 0);
    share_field!(/// Parts that the block's split tile is cut into; 1 where it has none.
        split, 1);
    share_field!(/// Number of the tile of this block's part.
        part_tile, 2);
    share_field!(/// Which part of it.
        part, 3);

    /// Leaves of the block's part.
    #[inline(always)]
    fn part_leaves(self) -> u32 {
        // The split is 1, 2 or 4: its half is its logarithm.
        LEAVES_PER_TILE >> (self.split() >> 1)
    }

    /// Whether the block has a part of a split tile.
    #[inline(always)]
    fn has_part(self) -> bool {
        self.split() > 1
    }

    /// Works out this block's share.
    ///
    /// # Safety
    /// - One thread calls it, before a barrier of the block; `at` is 16 bytes
    ///   of shared memory.
    #[inline(always)]
    unsafe fn store(self, params: &GemmParams) {
        let (block, blocks) = (block_id(), grid_size());
        let schedule = TileSchedule::of(params.products * params.tiles_m * params.tiles_n, blocks);
        // SAFETY: the caller's; a grid has at least one block.
        unsafe {
            let whole = if block < schedule.whole {
                div_rem(schedule.whole - block + blocks - 1, blocks).0
            } else {
                0
            };
            let has_part = block < schedule.parts;
            // The split is 1, 2 or 4: its half is its logarithm.
            let part_tile = schedule.whole + (block >> (schedule.split >> 1));
            store_shared_u32(self.at, whole);
            store_shared_u32(self.at + 4, if has_part { schedule.split } else { 1 });
            store_shared_u32(self.at + 8, part_tile);
            store_shared_u32(self.at + 12, block & (schedule.split - 1));
        }
    }
}

crate::kernel! {
    /// Entry point; parameters and launch in [`GemmParams`].
    pub unsafe fn gemm_m16n8k16(params: GemmParams) {
        // Ids.
        let thread = thread_id();
        let warp = thread >> 5;
        let shared = shared_base();
        let share = Share { at: shared + SHARE_AT };

        // Barriers.
        // SAFETY: the map above; one thread initialises, all synchronise.
        unsafe {
            if thread == 0 {
                let mut i = 0;
                while i < STAGES {
                    barrier_init(shared + FULL_AT + i * 8, 1);
                    barrier_init(shared + EMPTY_AT + i * 8, MULTIPLIER_WARPS * 32);
                    i += 1;
                }
                let mut i = 0;
                while i < SLOTS {
                    barrier_init(shared + TILE_FULL_AT + i * 8, MULTIPLIER_WARPS * 32);
                    barrier_init(shared + TILE_EMPTY_AT + i * 8, HASHER_THREADS);
                    i += 1;
                }
                fence_barrier_init();
                share.store(&params);
            }
            block_barrier();
        }

        // Roles.
        // SAFETY: the branch is uniform over each warpgroup; both sides walk
        // the same share in the same order.
        unsafe {
            if warp < MULTIPLIER_WARPS {
                registers_raise::<MULTIPLIER_REGISTERS>();
                multiply::run(&params, share, shared);
            } else if warp < FEEDER_WARP {
                registers_lower::<HASHER_REGISTERS>();
                hash::run(&params, share, shared, thread - MULTIPLIER_WARPS * 32);
            } else {
                registers_lower::<FEEDER_REGISTERS>();
                if thread == FEEDER_WARP * 32 {
                    feed::run(&params, share, shared);
                }
            }
        }
    }
}

/// A use of one of the scratch's slots.
#[derive(Clone, Copy)]
struct Slot {
    index: u32,
    /// Of the slot's barriers, in this use.
    parity: u32,
}

impl Slot {
    /// For the block's `turn`-th tile or part. Tiles that come fast share one slot:
    /// it is overwritten before L2 has to write it to memory. Long ones take turns,
    /// so that no product waits for a hash.
    #[inline(always)]
    fn of(params: &GemmParams, turn: u32) -> Self {
        let alternating = (params.dim >= DIM_OF_TWO_SLOTS) as u32;
        Self { index: turn & alternating, parity: turn >> alternating & 1 }
    }

    /// Where it starts in global memory.
    #[inline(always)]
    fn address(self, params: &GemmParams) -> u64 {
        params.scratch
            + block_id() as u64 * GEMM_SCRATCH_BYTES_PER_BLOCK
            + self.index as u64 * TILE_BYTES
    }
}

/// The `number`-th tile of the launch in the order of [`raster`].
#[derive(Clone, Copy)]
struct Tile {
    product: u32,
    row: u32,
    column: u32,
}

impl Tile {
    /// # Safety
    /// - `params` has at least one tile row and column.
    #[inline(always)]
    unsafe fn of(params: &GemmParams, number: u32) -> Self {
        // SAFETY: the caller's.
        let (product, turn) = unsafe { div_rem(number, params.tiles_m * params.tiles_n) };
        let (row, column) = raster(turn, params.tiles_m, params.tiles_n);
        Self { product, row, column }
    }

    /// Its index in the launch, row by row.
    #[inline(always)]
    fn index(self, params: &GemmParams) -> u32 {
        (self.product * params.tiles_m + self.row) * params.tiles_n + self.column
    }
}

/// What block `block` keeps of its part: the root, then the count of parts.
#[inline(always)]
fn part_record(params: &GemmParams, block: u32) -> u64 {
    params.scratch + (block + 1) as u64 * GEMM_SCRATCH_BYTES_PER_BLOCK - GEMM_PART_BYTES
}

/// Where leaf `l` lies in a slot: 16-byte word w at (256·w + place)·16, odd
/// leaves behind the even ones, so that the thread that hashes leaves 2t and
/// 2t+1 reads neighbouring words with its neighbours.
#[inline(always)]
fn leaf_place(leaf: u32) -> u32 {
    (leaf & 1) * (LEAVES_PER_TILE / 2) + (leaf >> 1)
}
