//! The hashing warps. One hashes the leaves of finished pairs of tiles, two the trees
//! over them.
//!
//! The nodes of a tile's tree are a heap in shared memory: root 1, children of node v at
//! 2v and 2v+1, leaves in a list of their own; the two tiles' heaps lie one behind the
//! other. Reducing one level after the other would leave most threads idle for ten
//! compressions. Instead, after the 32 nodes over each tile's leaves, all nodes above
//! take one step, those of both tiles together: level d works on the pair 4−d steps back,
//! and roots come out [`HEAP_DELAY`] pairs late.

use super::{
    HEAP_AT, LEAF_SLOT_BYTES, LEAVES_AT, LEAVES_EMPTY_AT, LEAVES_FULL_AT, MESSAGES_AT,
    MESSAGES_EMPTY_AT, MESSAGES_FULL_AT, NODE_THREADS, SLOT_BYTES, TILES, Work, slot_of,
};
use crate::abi::IntegerGemmParams;
use crate::device::async_copy::{barrier_arrive, barrier_wait};
use crate::device::memory::load_shared_u32x4;
use crate::device::thread::{named_barrier, opaque};
use crate::integer::LEAVES_PER_TILE;
use crate::kernels::parts::{SharedDigests, TileRecord, store_digest};
use crate::sha256::{INITIAL, compress, fold_block};

/// Steps between the nodes over a pair's leaves and its roots' coming out: level 4 is done
/// in level 5's own step.
const HEAP_DELAY: u32 = 4;
/// Nodes of a tile that are computed together: those over its leaves, or all above.
const HALF_NODES: u32 = LEAVES_PER_TILE / 2;
/// Leaves of a pair.
const PAIR_LEAVES: u32 = TILES * LEAVES_PER_TILE;
const _: () = assert!(LEAVES_PER_TILE == 4 << HEAP_DELAY);
const _: () = assert!(TILES * HALF_NODES == NODE_THREADS, "a node a thread");

/// The leaves in a slot: left tile's, right tile's.
#[inline(always)]
fn leaves_in(shared: u32, slot: u32) -> SharedDigests {
    SharedDigests { base: shared + LEAVES_AT + slot * LEAF_SLOT_BYTES, capacity: PAIR_LEAVES }
}

/// Hashes the leaves of the block's share.
///
/// # Safety
/// - The 32 threads of one warp call it, with their lanes; parameters as documented.
#[inline(always)]
pub unsafe fn run_leaves(params: &IntegerGemmParams, shared: u32, lane: u32) {
    // SAFETY: a slot is read and written between its two barriers; leaf hashes have room
    // for 64 digests a tile.
    unsafe {
        let work = Work::of(params);
        let mut turn = 0;
        while turn < work.turns {
            let (slot, parity) = slot_of(turn);
            let pair = work.pair(params, turn);
            let leaves = leaves_in(shared, slot);
            barrier_wait(shared + MESSAGES_FULL_AT + slot * 8, parity);
            barrier_wait(shared + LEAVES_EMPTY_AT + slot * 8, parity ^ 1);
            let mut leaf = lane;
            while leaf < PAIR_LEAVES {
                let message =
                    load_shared_u32x4(shared + MESSAGES_AT + slot * SLOT_BYTES + leaf * 16);
                let digest = compress(INITIAL, fold_block(message));
                leaves.store(leaf, digest);
                if params.leaf_hashes != 0 && pair.has(params, leaf / LEAVES_PER_TILE) {
                    let first = pair.first_tile(params) as u64 * LEAVES_PER_TILE as u64;
                    store_digest(params.leaf_hashes + (first + leaf as u64) * 32, digest);
                }
                leaf = opaque(leaf + 32);
            }
            barrier_arrive(shared + MESSAGES_EMPTY_AT + slot * 8);
            barrier_arrive(shared + LEAVES_FULL_AT + slot * 8);
            turn = opaque(turn + 1);
        }
    }
}

/// Reduces the leaves of the block's share and records its tiles.
///
/// # Safety
/// - 64 threads of two whole warps call it, with ids 0 … 63; parameters as
///   documented.
#[inline(always)]
pub unsafe fn run_nodes(params: &IntegerGemmParams, shared: u32, thread: u32) {
    // SAFETY: 64 threads of two whole warps come here and no others.
    let barrier = || unsafe { named_barrier::<1, NODE_THREADS>() };
    let heap = SharedDigests { base: shared + HEAP_AT, capacity: 2 * NODE_THREADS };
    let (half, node) = (thread / HALF_NODES, thread % HALF_NODES);

    // SAFETY: a slot is read between its two barriers; heap nodes are written and read on
    // different sides of the named barriers.
    unsafe {
        let work = Work::of(params);
        let steps = if work.turns > 0 { work.turns + HEAP_DELAY } else { 0 };
        let mut step = 0;
        while step < steps {
            // Those over leaves, then all above. Children of both are neighbours: a heap
            // has no node 0, whose thread hashes for nothing.
            let (slot, parity) = slot_of(step);
            let mut first = 0;
            let mut children = heap;
            if step < work.turns {
                barrier_wait(shared + LEAVES_FULL_AT + slot * 8, parity);
                first = HALF_NODES;
                children = leaves_in(shared, slot);
            }
            let root = loop {
                let digest = children.node(thread);
                barrier();
                heap.store(half * LEAVES_PER_TILE + first + node, digest);
                barrier();
                if first == 0 {
                    break digest;
                }
                barrier_arrive(shared + LEAVES_EMPTY_AT + slot * 8);
                first = opaque(0);
                children = heap;
            };

            // Roots.
            if node == 1 && step >= HEAP_DELAY {
                let pair = work.pair(params, step - HEAP_DELAY);
                if pair.has(params, half) {
                    let tile = pair.first_tile(params) + half;
                    TileRecord::of_integer_products(params).add(tile, root);
                }
            }
            step = opaque(step + 1);
        }
    }
}
