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
use crate::tile::{LEAVES_PER_TILE, SLAB_DOUBLES, SLAB_K, TILE, word_in_chunk};

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

/// Heap steps between a tile's leaves and its root's coming out: its level 64
/// … 127 is done in its own step, six levels are left.
const HEAP_DELAY: u32 = 6;

// Shared memory: stages, the heap of a tile's nodes and leaves, barriers.
const HEAP_AT: u32 = STAGES * STAGE_BYTES;
const HEAP_NODES: u32 = 2 * LEAVES_PER_TILE;
const BARRIERS_AT: u32 = HEAP_AT + HEAP_NODES * 32;
const FULL_AT: u32 = BARRIERS_AT;
const EMPTY_AT: u32 = FULL_AT + STAGES * 8;
const TILE_FULL_AT: u32 = EMPTY_AT + STAGES * 8;
const TILE_EMPTY_AT: u32 = TILE_FULL_AT + SLOTS * 8;
const SHARED_END: u32 = TILE_EMPTY_AT + SLOTS * 8;

const _: () = assert!(LEAD < STAGES, "a stage in use would be overwritten");
const _: () = assert!(LEAD <= TILE / SLAB_K, "the copies run ahead by less than a tile");
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
                multiply(&params, shared, thread, tiles);
            } else {
                registers_lower::<HASHER_REGISTERS>();
                hash(&params, shared, scratch, thread - MULTIPLIER_WARPS * 32, tiles);
            }
        }
    }
}

/// Copies one slab of both panels into a stage, once the stage is free, and
/// moves on to the panels' next slab.
///
/// # Safety
/// - One thread of the block calls it, for every slab in turn; `parity` is
///   that of the stage's use before the last: the wait ends when that use was
///   read by every warp.
#[inline(always)]
unsafe fn feed(panels: &mut Panels, shared: u32, stage: u32, parity: u32) {
    let (full, to) = (shared + FULL_AT + stage * 8, shared + stage * STAGE_BYTES);
    // SAFETY: the stage is free once its readers have arrived; the panels have
    // the slab.
    unsafe {
        barrier_wait(shared + EMPTY_AT + stage * 8, parity);
        barrier_arrive_expect(full, STAGE_BYTES);
        copy_bulk(to, panels.a, SLAB_BYTES, full);
        copy_bulk(to + SLAB_BYTES, panels.b, SLAB_BYTES, full);
    }
    panels.a += SLAB_BYTES as u64;
    panels.b += SLAB_BYTES as u64;
}

/// The multiplying warps.
///
/// # Safety
/// - Threads 0 … 255 of the block call it; parameters as documented.
#[inline(always)]
unsafe fn multiply(params: &GemmParams, shared: u32, thread: u32, tiles: u32) {
    let (warp, lane) = (thread >> 5, thread & 31);
    let (wm, wn, gamma, tau) = (warp >> 2, warp & 3, lane >> 2, lane & 3);
    let fragment = word_in_chunk(gamma, tau) * 16;
    let slabs = params.dim / SLAB_K;
    let is_feeder = thread == 0;

    // SAFETY: parameters as documented; barriers as the map above says.
    unsafe {
        let mut panels = Panels::of(params, block_id());
        if is_feeder {
            let mut i = 0;
            while i < LEAD {
                // A barrier nobody has arrived at counts as past parity 1.
                feed(&mut panels, shared, i, 1);
                i += 1;
            }
        }

        // Main loop. The first fragments of eight inner indices are read while
        // the eight before them are multiplied, across slabs and tiles.
        let (a_at, b_at) = (shared + wm * 4096 + fragment, shared + SLAB_BYTES + wn * 2048 + fragment);
        let (mut stage, mut parity) = (0u32, 0u32);
        let mut tile = block_id();
        let mut turn = 0u32;
        barrier_wait(shared + FULL_AT, 0);
        let mut first = Fragments::load(a_at, b_at);
        while tile < tiles {
            let last_tile = tile + grid_size() >= tiles;
            let mut c = [0.0f64; 64];
            let mut slab = 0;
            while slab < slabs {
                let all_fed = last_tile && slab + LEAD >= slabs;
                if is_feeder && !all_fed {
                    if slab + LEAD == slabs {
                        panels = Panels::of(params, tile + grid_size());
                    }
                    let ahead = stage + LEAD;
                    let wrapped = ahead >= STAGES;
                    let (to, use_parity) =
                        if wrapped { (ahead - STAGES, parity) } else { (ahead, parity ^ 1) };
                    feed(&mut panels, shared, to, use_parity);
                }
                warp_barrier();
                let here = stage * STAGE_BYTES;
                let second = Fragments::load(a_at + here + 8192, b_at + here + 8192);
                multiply_eight(&mut c, first, a_at + here);
                let empty = shared + EMPTY_AT + stage * 8;
                stage += 1;
                if stage == STAGES {
                    stage = 0;
                    parity ^= 1;
                }
                slab += 1;
                if !(last_tile && slab == slabs) {
                    barrier_wait(shared + FULL_AT + stage * 8, parity);
                    let next = stage * STAGE_BYTES;
                    first = Fragments::load(a_at + next, b_at + next);
                }
                multiply_eight(&mut c, second, a_at + here + 8192);
                warp_barrier();
                if lane == 0 {
                    barrier_arrive(empty);
                }
            }

            // The finished tile, to the hashing warps: 16-byte word w of leaf
            // l at (256·w + place)·16, odd leaves behind the even ones.
            let (slot, use_parity) = (turn % SLOTS, turn / SLOTS & 1);
            barrier_wait(shared + TILE_EMPTY_AT + slot * 8, use_parity ^ 1);
            let leaf = thread_id();
            let place = (leaf & 1) * HASHER_THREADS + (leaf >> 1);
            let scratch = params.scratch + block_id() as u64 * GEMM_SCRATCH_BYTES_PER_BLOCK;
            store_leaf(&c, scratch + slot as u64 * TILE_BYTES + place as u64 * 16);
            barrier_arrive(shared + TILE_FULL_AT + slot * 8);
            turn += 1;
            tile += grid_size();
        }
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

/// Eight inner indices: 16 products of 16×8 by 8×8.
///
/// # Safety
/// - `first` was loaded from `a_at`; the next sixteen rows follow 1 KiB later.
#[inline(always)]
unsafe fn multiply_eight(c: &mut [f64; 64], first: Fragments, a_at: u32) {
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
        let a1 = load_rows(a_at + 1024);
        row!(0, a0);
        let a2 = load_rows(a_at + 2048);
        row!(1, a1);
        let a3 = load_rows(a_at + 3072);
        row!(2, a2);
        row!(3, a3);
    }
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
/// A tile's tree is a heap in shared memory: root 1, children of node v at 2v
/// and 2v+1, leaves 256 … 511. Thread t hashes leaves 2t and 2t+1, then node
/// 128+t over them. Nodes 1 … 127 would leave most threads idle if a tile's
/// levels were reduced one after the other; instead every node takes one step
/// per tile, so that level d works on the tile d steps back, and a root comes
/// out [`HEAP_DELAY`] tiles late.
///
/// # Safety
/// - The block's last 128 threads call it, with ids 0 … 127; parameters as
///   documented.
#[inline(always)]
unsafe fn hash(params: &GemmParams, shared: u32, scratch: u64, thread: u32, tiles: u32) {
    let heap = SharedDigests { base: shared + HEAP_AT, capacity: HEAP_NODES };
    // SAFETY: 128 threads of four whole warps come here and no others.
    let barrier = || unsafe { named_barrier::<1, HASHER_THREADS>() };
    let (mut slot, mut parity) = (0u32, 0u32);
    let mut tile = block_id();
    // Tiles this block has hashed, and heap steps past the last of them.
    let mut step = 0u32;
    let mut own_tiles = 0u32;
    loop {
        let hashing = tile < tiles;
        if !hashing && (own_tiles == 0 || step >= own_tiles + HEAP_DELAY) {
            break;
        }
        // SAFETY: a slot is read between its two barriers; heap nodes are
        // written and read on different sides of the named barriers.
        unsafe {
            if hashing {
                barrier_wait(shared + TILE_FULL_AT + slot * 8, parity);
                if params.bare == 0 {
                    hash_leaves(params, heap, scratch + slot as u64 * TILE_BYTES, thread, tile);
                    barrier();
                    own_tiles += 1;
                }
                barrier_arrive(shared + TILE_EMPTY_AT + slot * 8);
                slot += 1;
                if slot == SLOTS {
                    slot = 0;
                    parity ^= 1;
                }
                tile += grid_size();
            }
            if params.bare == 0 {
                // Node 128+t over this tile's leaves, then node t.
                let mut node = if hashing { HASHER_THREADS + thread } else { thread };
                loop {
                    let digest = heap.node(node);
                    barrier();
                    heap.store(node, digest);
                    barrier();
                    if node == 1 && step >= HEAP_DELAY {
                        let done = block_id() + (step - HEAP_DELAY) * grid_size();
                        record_tile(params, done, digest);
                    }
                    if node < HASHER_THREADS {
                        break;
                    }
                    node -= HASHER_THREADS;
                }
                step += 1;
            }
        }
    }
}

/// Hashes leaves 2·`thread` and 2·`thread`+1 of a tile into the heap.
///
/// # Safety
/// - `from` is a full slot of the scratch; parameters as documented.
#[inline(always)]
unsafe fn hash_leaves(params: &GemmParams, heap: SharedDigests, from: u64, thread: u32, tile: u32) {
    let mut odd = 0;
    while odd < 2 {
        let place = odd * HASHER_THREADS + thread;
        let leaf = 2 * thread + odd;
        // SAFETY: the caller's; leaf hashes have room for 256 digests a tile.
        unsafe {
            let digest = hash_stored_leaf(from + place as u64 * 16);
            heap.store(LEAVES_PER_TILE + leaf, digest);
            if params.leaf_hashes != 0 {
                let index = tile as u64 * LEAVES_PER_TILE as u64 + leaf as u64;
                store_digest(params.leaf_hashes + index * 32, digest);
            }
        }
        odd += 1;
    }
}

/// Hashes a leaf from the scratch; each block is loaded while the one before
/// it is compressed.
///
/// # Safety
/// - `from` is the leaf's place in a full slot.
#[inline(always)]
unsafe fn hash_stored_leaf(from: u64) -> DigestWords {
    // SAFETY: the caller's; four words of 16 bytes a block.
    let load = |block: u32| unsafe {
        let at = from + block as u64 * 4 * 4096;
        let (d0, d1) = load_global_f64x2(at);
        let (d2, d3) = load_global_f64x2(at + 4096);
        let (d4, d5) = load_global_f64x2(at + 8192);
        let (d6, d7) = load_global_f64x2(at + 12288);
        [d0, d1, d2, d3, d4, d5, d6, d7]
    };
    let (mut state, mut before) = (INITIAL, 0u32);
    let mut next = load(0);
    let mut block = 0;
    while block < 9 {
        let message = if block < 8 {
            let w = words_of(next);
            let message = shift_one_byte(before, w);
            before = w[15];
            if block < 7 {
                next = load(block + 1);
            }
            message
        } else {
            final_block(before, LEAF_MESSAGE_BYTES)
        };
        state = compress(state, message);
        block += 1;
    }
    state
}
