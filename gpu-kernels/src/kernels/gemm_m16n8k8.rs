//! `gemm_m16n8k8`: the product on Hopper's FP64 tensor cores, with hashing
//! beside it. One block per SM, persistent over tiles: eight warps multiply
//! (each 64×32), four hash. Slabs of both panels arrive by bulk copies six
//! stages deep; a finished tile goes through a scratch of the block's own,
//! which stays in L2, to the hashing warps, so that C is never written out.

use crate::abi::{DigestWords, GEMM_M16N8K8, GEMM_SCRATCH_BYTES_PER_BLOCK, GemmParams};
use crate::device::async_copy::{
    barrier_arrive, barrier_arrive_expect, barrier_init, barrier_wait, copy_bulk,
    fence_barrier_init, registers_lower, registers_raise,
};
use crate::device::backend::shared_base;
use crate::device::memory::{load_global_f64x2, load_shared_f64x2, store_global_f64x2};
use crate::device::mma::mma_m16n8k8;
use crate::device::thread::{
    block_barrier, block_id, grid_size, named_barrier, thread_id, warp_barrier,
};
use crate::kernels::parts::{Panels, SharedDigests, record_tile, store_digest};
use crate::sha256::{INITIAL, LEAF_MESSAGE_BYTES, compress, final_block, shift_one_byte, words_of};
use crate::tile::{LEAVES_PER_TILE, SLAB_DOUBLES, SLAB_K, TILE};

const STAGES: u32 = 6;
/// How many slabs the copies run ahead of the products: less than all stages,
/// so that the refilled stage was left by every warp some time ago.
const LEAD: u32 = 4;
/// One operand's slab.
const SLAB_BYTES: u32 = SLAB_DOUBLES * 8;
const STAGE_BYTES: u32 = 2 * SLAB_BYTES;
const MULTIPLIER_WARPS: u32 = 8;
const HASHER_THREADS: u32 = 128;
const MULTIPLIER_REGISTERS: u32 = 216;
const HASHER_REGISTERS: u32 = 72;
/// Tiles in the scratch.
const SLOTS: u32 = 2;
const TILE_BYTES: u64 = TILE as u64 * TILE as u64 * 8;

// Shared memory: stages, digests of a tile's leaves, barriers.
const DIGESTS_AT: u32 = STAGES * STAGE_BYTES;
const BARRIERS_AT: u32 = DIGESTS_AT + LEAVES_PER_TILE * 32;
const FULL_AT: u32 = BARRIERS_AT;
const EMPTY_AT: u32 = FULL_AT + STAGES * 8;
const TILE_FULL_AT: u32 = EMPTY_AT + STAGES * 8;
const TILE_EMPTY_AT: u32 = TILE_FULL_AT + SLOTS * 8;
const SHARED_END: u32 = TILE_EMPTY_AT + SLOTS * 8;

const _: () = assert!(LEAD < STAGES, "a stage in use would be overwritten");
const _: () = assert!(
    GEMM_M16N8K8.threads == MULTIPLIER_WARPS * 32 + HASHER_THREADS,
    "two multiplying warpgroups and one hashing"
);
const _: () = assert!(GEMM_M16N8K8.shared_bytes >= SHARED_END, "the shared-memory map must fit");
const _: () = assert!(
    MULTIPLIER_WARPS * 32 * MULTIPLIER_REGISTERS + HASHER_THREADS * HASHER_REGISTERS <= 65536,
    "the register file has 65,536"
);
const _: () =
    assert!(GEMM_SCRATCH_BYTES_PER_BLOCK == SLOTS as u64 * TILE_BYTES, "the scratch must fit");

crate::kernel! {
    /// Entry point; parameters and launch in [`GemmParams`].
    pub unsafe fn gemm_m16n8k8(params: GemmParams) {
        // Ids.
        let thread = thread_id();
        let warp = thread >> 5;
        let shared = shared_base();
        let tiles = params.products * params.tiles_m * params.tiles_n;
        let scratch = params.scratch + block_id() as u64 * GEMM_SCRATCH_BYTES_PER_BLOCK;

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
                    barrier_init(shared + TILE_FULL_AT + i * 8, MULTIPLIER_WARPS * 32);
                    barrier_init(shared + TILE_EMPTY_AT + i * 8, HASHER_THREADS);
                    i += 1;
                }
                fence_barrier_init();
            }
            block_barrier();
        }

        // Roles.
        // SAFETY: the branch is uniform over each warpgroup; both sides walk
        // the same tiles in the same order.
        unsafe {
            if warp < MULTIPLIER_WARPS {
                registers_raise::<MULTIPLIER_REGISTERS>();
                multiply(&params, shared, scratch, thread, tiles);
            } else {
                registers_lower::<HASHER_REGISTERS>();
                hash(&params, shared, scratch, thread - MULTIPLIER_WARPS * 32, tiles);
            }
        }
    }
}

/// Feeds the stages: one lane walks all slabs of all the block's tiles.
struct Feeder {
    /// Number of the next slab, over all tiles.
    slab: u32,
    /// Stage of the next slab.
    stage: u32,
    /// Slabs left in its tile.
    left: u32,
    /// Its tile.
    tile: u32,
    /// Where its operands lie.
    panels: Panels,
}

impl Feeder {
    /// Copies the next slab, if there is one, once its stage is free.
    ///
    /// # Safety
    /// - One thread of the block calls it; parameters as documented.
    #[inline(always)]
    unsafe fn feed(&mut self, params: &GemmParams, shared: u32, tiles: u32) {
        if self.tile >= tiles {
            return;
        }
        // SAFETY: the stage is free once its consumers have arrived, which is
        // waited for from its second use on; the panels have the slab.
        unsafe {
            if self.slab >= STAGES {
                let use_index = self.slab / STAGES;
                barrier_wait(shared + EMPTY_AT + self.stage * 8, (use_index & 1) ^ 1);
            }
            let full = shared + FULL_AT + self.stage * 8;
            let to = shared + self.stage * STAGE_BYTES;
            barrier_arrive_expect(full, STAGE_BYTES);
            copy_bulk(to, self.panels.a, SLAB_BYTES, full);
            copy_bulk(to + SLAB_BYTES, self.panels.b, SLAB_BYTES, full);
        }
        self.slab += 1;
        self.stage = if self.stage + 1 == STAGES { 0 } else { self.stage + 1 };
        self.panels.a += SLAB_BYTES as u64;
        self.panels.b += SLAB_BYTES as u64;
        self.left -= 1;
        if self.left == 0 {
            self.left = params.dim / SLAB_K;
            self.tile += grid_size();
            // SAFETY: the caller's.
            self.panels = unsafe { Panels::of(params, self.tile) };
        }
    }
}

/// The multiplying warps.
///
/// # Safety
/// - Threads 0 … 255 of the block call it; parameters as documented.
#[inline(always)]
unsafe fn multiply(params: &GemmParams, shared: u32, scratch: u64, thread: u32, tiles: u32) {
    let (warp, lane) = (thread >> 5, thread & 31);
    let (wm, wn, gamma, tau) = (warp >> 2, warp & 3, lane >> 2, lane & 3);
    let fragment = (tau * 8 + (gamma ^ (2 * tau))) * 16;
    let slabs = params.dim / SLAB_K;
    let is_feeder = thread == 0;

    // SAFETY: parameters as documented; barriers as the map above says.
    unsafe {
        let mut feeder = Feeder {
            slab: 0,
            stage: 0,
            left: slabs,
            tile: block_id(),
            panels: Panels::of(params, block_id()),
        };
        if is_feeder {
            let mut i = 0;
            while i < LEAD {
                feeder.feed(params, shared, tiles);
                i += 1;
            }
        }

        // Main loop.
        let (mut stage, mut parity) = (0u32, 0u32);
        let (mut slot, mut slot_parity) = (0u32, 1u32);
        let mut tile = block_id();
        while tile < tiles {
            let mut c = [0.0f64; 64];
            let mut slab = 0;
            while slab < slabs {
                if is_feeder {
                    feeder.feed(params, shared, tiles);
                }
                warp_barrier();
                barrier_wait(shared + FULL_AT + stage * 8, parity);
                let at = shared + stage * STAGE_BYTES + fragment;
                let (a_at, b_at) = (at + wm * 4096, at + SLAB_BYTES + wn * 2048);
                multiply_eight(&mut c, a_at, b_at);
                multiply_eight(&mut c, a_at + 8192, b_at + 8192);
                warp_barrier();
                if lane == 0 {
                    barrier_arrive(shared + EMPTY_AT + stage * 8);
                }
                stage += 1;
                if stage == STAGES {
                    stage = 0;
                    parity ^= 1;
                }
                slab += 1;
            }

            // The finished tile, to the hashing warps: 16-byte word w of leaf
            // l at (256·w + l)·16.
            barrier_wait(shared + TILE_EMPTY_AT + slot * 8, slot_parity);
            store_leaf(&c, scratch + slot as u64 * TILE_BYTES + thread as u64 * 16);
            barrier_arrive(shared + TILE_FULL_AT + slot * 8);
            slot += 1;
            if slot == SLOTS {
                slot = 0;
                slot_parity ^= 1;
            }
            tile += grid_size();
        }
    }
}

/// Eight inner indices: 16 products of 16×8 by 8×8.
///
/// # Safety
/// - The addresses are this lane's fragment of the warp's first sixteen rows
///   and columns; the next four inner indices follow 512 bytes later, the
///   next sixteen vectors 1 KiB later.
#[inline(always)]
unsafe fn multiply_eight(c: &mut [f64; 64], a_at: u32, b_at: u32) {
    // SAFETY: the caller's.
    let (b, a) = unsafe {
        let (b00, b10) = load_shared_f64x2(b_at);
        let (b01, b11) = load_shared_f64x2(b_at + 512);
        let (b20, b30) = load_shared_f64x2(b_at + 1024);
        let (b21, b31) = load_shared_f64x2(b_at + 1536);
        macro_rules! rows {
            ($at:expr) => {{
                let (a0, a1) = load_shared_f64x2($at);
                let (a2, a3) = load_shared_f64x2($at + 512);
                [a0, a1, a2, a3]
            }};
        }
        (
            [[b00, b01], [b10, b11], [b20, b21], [b30, b31]],
            [rows!(a_at), rows!(a_at + 1024), rows!(a_at + 2048), rows!(a_at + 3072)],
        )
    };
    // Rows γ of an m16 block are rows a = 2r of the leaf, rows γ+8 a = 2r+1.
    macro_rules! block {
        ($r:literal, $n:literal) => {
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
                a[$r],
                b[$n],
            );
        };
    }
    macro_rules! row {
        ($r:literal) => {
            block!($r, 0);
            block!($r, 1);
            block!($r, 2);
            block!($r, 3);
        };
    }
    row!(0);
    row!(1);
    row!(2);
    row!(3);
}

/// Stores a leaf's 32 words of 16 bytes, 4 KiB apart.
///
/// # Safety
/// - `to` is this leaf's place in a free slot of the scratch.
#[inline(always)]
unsafe fn store_leaf(c: &[f64; 64], to: u64) {
    macro_rules! words {
        ($($w:literal)*) => { $(
            // SAFETY: the caller's.
            unsafe { store_global_f64x2(to + $w * 4096, c[$w * 2], c[$w * 2 + 1]) };
        )* };
    }
    words!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
    words!(16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31);
}

/// The hashing warps.
///
/// # Safety
/// - The block's last 128 threads call it, with ids 0 … 127; parameters as
///   documented.
#[inline(always)]
unsafe fn hash(params: &GemmParams, shared: u32, scratch: u64, thread: u32, tiles: u32) {
    let digests = SharedDigests { base: shared + DIGESTS_AT, capacity: LEAVES_PER_TILE };
    // SAFETY: 128 threads of four whole warps come here and no others.
    let barrier = || unsafe { named_barrier::<1, HASHER_THREADS>() };
    let (mut slot, mut parity) = (0u32, 0u32);
    let mut tile = block_id();
    while tile < tiles {
        // SAFETY: a slot is read between its two barriers; digests between the
        // named barriers.
        unsafe {
            barrier_wait(shared + TILE_FULL_AT + slot * 8, parity);
            let from = scratch + slot as u64 * TILE_BYTES + thread as u64 * 16;
            if params.bare == 0 {
                let mut pass = 0;
                while pass < 2 {
                    let leaf = pass * HASHER_THREADS + thread;
                    let digest = hash_stored_leaf(from + pass as u64 * HASHER_THREADS as u64 * 16);
                    digests.store(leaf, digest);
                    if params.leaf_hashes != 0 {
                        let index = tile as u64 * LEAVES_PER_TILE as u64 + leaf as u64;
                        store_digest(params.leaf_hashes + index * 32, digest);
                    }
                    pass += 1;
                }
            }
            barrier_arrive(shared + TILE_EMPTY_AT + slot * 8);
            if params.bare == 0 {
                barrier();
                digests.reduce(LEAVES_PER_TILE, thread, barrier);
                if thread == 0 {
                    record_tile(params, tile, digests.load(0));
                }
                barrier();
            }
        }
        slot += 1;
        if slot == SLOTS {
            slot = 0;
            parity ^= 1;
        }
        tile += grid_size();
    }
}

/// Hashes a leaf from the scratch.
///
/// # Safety
/// - `from` is the leaf's place in a full slot.
#[inline(always)]
unsafe fn hash_stored_leaf(from: u64) -> DigestWords {
    let (mut state, mut before) = (INITIAL, 0u32);
    let mut block = 0;
    while block < 9 {
        let message = if block < 8 {
            let at = from + block as u64 * 4 * 4096;
            // SAFETY: the caller's; four words of 16 bytes a block.
            let w = unsafe {
                let (d0, d1) = load_global_f64x2(at);
                let (d2, d3) = load_global_f64x2(at + 4096);
                let (d4, d5) = load_global_f64x2(at + 8192);
                let (d6, d7) = load_global_f64x2(at + 12288);
                words_of([d0, d1, d2, d3, d4, d5, d6, d7])
            };
            let message = shift_one_byte(before, w);
            before = w[15];
            message
        } else {
            final_block(before, LEAF_MESSAGE_BYTES)
        };
        state = compress(state, message);
        block += 1;
    }
    state
}
