//! The hashing warps: leaves and trees of finished tiles.
//!
//! A tile's tree is a heap in shared memory: root 1, children of node v at 2v
//! and 2v+1, leaves 256 … 511. Thread t hashes leaves 2t and 2t+1, then node
//! 128+t over them. Nodes 1 … 127 would leave most threads idle if a tile's
//! levels were reduced one after the other; instead every node takes one step
//! per tile, so that level d works on the tile d steps back, and a root comes
//! out [`HEAP_DELAY`] tiles late. A part's tree has nobody behind it and is
//! reduced level by level.

use super::{
    HASHER_THREADS, HEAP_AT, HEAP_NODES, MESSAGE_AT, PROGRESS_AT, Share, Slot, TILE_EMPTY_AT,
    TILE_FULL_AT, Tile, leaf_place, part_record,
};
use crate::abi::{DigestWords, GemmParams};
use crate::device::async_copy::{barrier_arrive, barrier_wait};
use crate::device::memory::{
    fence_gpu, fetch_add_release_u32, load_global_f64x2, load_global_u32x4, load_shared_u32,
    store_global_u32, store_shared_u32,
};
use crate::device::thread::{block_id, grid_size, named_barrier, warp_barrier};
use crate::kernels::parts::{SharedDigests, TileRecord, store_digest};
use crate::sha256::{INITIAL, LEAF_MESSAGE_BYTES, compress, final_block, shift_one_byte, words_of};
use crate::tile::LEAVES_PER_TILE;

/// Heap steps between a tile's leaves and its root's coming out: its level 64
/// … 127 is done in its own step, six levels are left.
const HEAP_DELAY: u32 = 6;

/// What the warps reduce next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    /// A whole tile's leaves, then one step of every node.
    Tile,
    /// One step of every node: the last tiles' roots come out.
    Drain,
    /// A part's leaves, then its levels one after the other.
    Part,
    /// The levels above a split tile's parts.
    Join,
}

/// How many steps a warp has taken; in shared memory.
#[derive(Clone, Copy)]
struct Progress {
    at: u32,
}

impl Progress {
    /// # Safety
    /// - The 128 threads call it before anything else of the progress's.
    #[inline(always)]
    unsafe fn start(shared: u32, thread: u32) -> Self {
        let progress = Self { at: shared + PROGRESS_AT + (thread >> 5) * 4 };
        // SAFETY: the word is this warp's; all lanes write the same.
        unsafe {
            store_shared_u32(progress.at, 0);
            warp_barrier();
        }
        progress
    }

    /// Steps taken.
    #[inline(always)]
    fn number(self) -> u32 {
        // SAFETY: this warp's word.
        unsafe { load_shared_u32(self.at) }
    }

    /// Takes a step.
    ///
    /// # Safety
    /// - Whole warps call it.
    #[inline(always)]
    unsafe fn advance(self) {
        let number = self.number();
        // SAFETY: all lanes have read the word before any writes it.
        unsafe {
            warp_barrier();
            store_shared_u32(self.at, number + 1);
            warp_barrier();
        }
    }

    /// The step that is due; joining parts comes in between.
    #[inline(always)]
    fn step(self, params: &GemmParams, share: Share) -> Option<Step> {
        let (number, whole) = (self.number(), share.whole());
        let drains = if whole > 0 && params.bare == 0 { HEAP_DELAY } else { 0 };
        if number < whole {
            Some(Step::Tile)
        } else if number < whole + drains {
            Some(Step::Drain)
        } else if number == whole + drains && share.has_part() {
            Some(Step::Part)
        } else {
            None
        }
    }
}

/// Does the block's share.
///
/// # Safety
/// - The block's last 128 threads call it, with ids 0 … 127; parameters as
///   documented.
#[inline(always)]
pub unsafe fn run(params: &GemmParams, share: Share, shared: u32, thread: u32) {
    let heap = SharedDigests { base: shared + HEAP_AT, capacity: HEAP_NODES };
    // SAFETY: 128 threads of four whole warps come here and no others.
    let barrier = || unsafe { named_barrier::<1, HASHER_THREADS>() };

    // SAFETY: the word is this warp's; all lanes write the same.
    let progress = unsafe { Progress::start(shared, thread) };
    let mut joining = false;
    loop {
        let step = if joining {
            Step::Join
        } else {
            match progress.step(params, share) {
                Some(step) => step,
                None => break,
            }
        };
        // SAFETY: a slot is read between its two barriers; heap nodes are
        // written and read on different sides of the named barriers.
        unsafe {
            // Leaves.
            if step == Step::Tile || step == Step::Part {
                let turn = if step == Step::Tile { progress.number() } else { share.whole() };
                let slot = Slot::of(params, turn);
                let full = shared + TILE_FULL_AT + slot.index * 8;
                barrier_wait(full, slot.parity);
                if params.bare == 0 {
                    hash_leaves(params, share, heap, thread, turn);
                }
                barrier_arrive(shared + TILE_EMPTY_AT + slot.index * 8);
            }
            if params.bare != 0 {
                progress.advance();
                continue;
            }
            barrier();

            // Nodes. `first` and `active` say which node this thread computes.
            let levels_of = |leaves: u32| leaves / 2;
            let mut first = match step {
                Step::Tile => HASHER_THREADS,
                Step::Drain => 0,
                Step::Part => levels_of(share.part_leaves()),
                Step::Join => levels_of(share.split()),
            };
            let stepwise = step == Step::Tile || step == Step::Drain;
            let mut root = [0; 8];
            loop {
                let node = first + thread;
                if stepwise || thread < first {
                    root = heap.node(node);
                }
                barrier();
                if stepwise || thread < first {
                    heap.store(node, root);
                }
                barrier();
                if first == 0 || first == 1 {
                    break;
                }
                first = if stepwise { 0 } else { first / 2 };
            }

            // Roots.
            joining = false;
            if stepwise {
                let number = progress.number();
                if thread == 1 && number >= HEAP_DELAY {
                    let turn = number - HEAP_DELAY;
                    let tile = Tile::of(params, block_id() + turn * grid_size());
                    TileRecord::of_products(params).add(tile.index(params), root);
                }
                progress.advance();
            } else if step == Step::Part {
                joining = part_done(params, share, heap, shared, thread, root);
                progress.advance();
            } else if thread == 0 {
                TileRecord::of_products(params)
                    .add(Tile::of(params, share.part_tile()).index(params), root);
            }
        }
    }
}

/// Hashes the leaves of the tile or part in the scratch into the heap: a
/// tile's leaves 2·`thread` and 2·`thread`+1, a part's leaf `thread`.
///
/// # Safety
/// - The slot of `turn` is full; parameters as documented.
#[inline(always)]
unsafe fn hash_leaves(
    params: &GemmParams,
    share: Share,
    heap: SharedDigests,
    thread: u32,
    turn: u32,
) {
    let is_part = turn == share.whole();
    let leaves = if is_part { share.part_leaves() } else { LEAVES_PER_TILE };
    let first = if is_part { share.part() * leaves } else { 0 };
    let number = if is_part { share.part_tile() } else { block_id() + turn * grid_size() };
    let from = Slot::of(params, turn).address(params);
    let passes = if is_part { 1 } else { 2 };
    let mut pass = 0;
    while pass < passes {
        let own = if is_part { thread } else { 2 * thread + pass };
        if own < leaves {
            let leaf = first + own;
            // SAFETY: the caller's; leaf hashes have room for 256 digests a
            // tile.
            unsafe {
                let digest = hash_stored_leaf(from + leaf_place(leaf) as u64 * 16);
                heap.store(leaves + own, digest);
                if params.leaf_hashes != 0 {
                    let tile = Tile::of(params, number).index(params);
                    let index = tile as u64 * LEAVES_PER_TILE as u64 + leaf as u64;
                    store_digest(params.leaf_hashes + index * 32, digest);
                }
            }
        }
        pass += 1;
    }
}

/// Publishes a part's root. In the block that is the last of its tile, loads
/// all parts' roots into the heap's leaves and says so.
///
/// # Safety
/// - All 128 threads call it; thread 0's `root` is the part's.
#[inline(always)]
unsafe fn part_done(
    params: &GemmParams,
    share: Share,
    heap: SharedDigests,
    shared: u32,
    thread: u32,
    root: DigestWords,
) -> bool {
    // Part p of the launch belongs to block p.
    let split = share.split();
    let first = block_id() - share.part();
    // SAFETY: every block has a record; the counter's release and acquire
    // order the roots. The last part leaves it at zero.
    unsafe {
        if thread == 0 {
            store_digest(part_record(params, block_id()), root);
            let counter = part_record(params, first) + 32;
            let before = fetch_add_release_u32(counter, 1);
            fence_gpu();
            if before + 1 == split {
                store_global_u32(counter, 0);
            }
            store_shared_u32(shared + MESSAGE_AT, before);
        }
        named_barrier::<1, HASHER_THREADS>();
        let is_last = load_shared_u32(shared + MESSAGE_AT) + 1 == split;
        if is_last && thread < split {
            fence_gpu();
            let record = part_record(params, first + thread);
            let (a, b) = (load_global_u32x4(record), load_global_u32x4(record + 16));
            heap.store(split + thread, [a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3]]);
        }
        is_last
    }
}

/// Hashes a leaf from the scratch; half of each block is loaded while the one
/// before it is compressed (all of it would take too many registers).
///
/// # Safety
/// - `from` is the leaf's place in a full slot.
#[inline(always)]
unsafe fn hash_stored_leaf(from: u64) -> DigestWords {
    // SAFETY: the caller's; four words of 16 bytes a block.
    let load = |block: u32, word: u32| unsafe {
        load_global_f64x2(from + (block * 4 + word) as u64 * 4096)
    };
    let (mut state, mut before) = (INITIAL, 0u32);
    let mut next = (load(0, 0), load(0, 1));
    let mut block = 0;
    while block < 9 {
        let message = if block < 8 {
            let ((d0, d1), (d2, d3)) = next;
            let ((d4, d5), (d6, d7)) = (load(block, 2), load(block, 3));
            let w = words_of([d0, d1, d2, d3, d4, d5, d6, d7]);
            let message = shift_one_byte(before, w);
            before = w[15];
            if block < 7 {
                next = (load(block + 1, 0), load(block + 1, 1));
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
