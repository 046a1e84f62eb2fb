//! The hashing warps: leaves and trees of finished pairs of tiles.
//!
//! A tile's tree is a heap in shared memory: root 1, children of node v at 2v and 2v+1,
//! leaves 64 … 127; the two tiles' heaps lie one behind the other. Reducing one level
//! after the other would leave most threads idle for ten compressions. Instead, after a
//! pair's leaves and the 32 nodes over each tile's, all nodes above take one step, those
//! of both tiles together: level d works on the pair 4−d steps back, and roots come out
//! [`HEAP_DELAY`] pairs late.

use super::{
    HASHER_THREADS, HEAP_AT, HEAP_NODES, MESSAGES_AT, MESSAGES_EMPTY_AT, MESSAGES_FULL_AT,
    SLOT_BYTES, TILES, Work, slot_of,
};
use crate::abi::IntegerGemmParams;
use crate::device::async_copy::{barrier_arrive, barrier_wait};
use crate::device::memory::load_shared_u32x4;
use crate::device::thread::{named_barrier, opaque};
use crate::integer::LEAVES_PER_TILE;
use crate::kernels::int8_parts::MESSAGES_BYTES;
use crate::kernels::parts::{SharedDigests, TileRecord, store_digest};
use crate::sha256::{INITIAL, compress, fold_block};

/// Steps between a pair's leaves and its roots' coming out: levels 5 and 4 are done in the
/// leaves' own step.
const HEAP_DELAY: u32 = 4;
/// Nodes of a tile that are computed together: those over its leaves, or all above.
const HALF_NODES: u32 = LEAVES_PER_TILE / 2;
const _: () = assert!(LEAVES_PER_TILE == 4 << HEAP_DELAY);
const _: () = assert!(TILES * HALF_NODES == HASHER_THREADS, "a node a thread");

/// Does the block's share.
///
/// # Safety
/// - 64 threads of two whole warps call it, with ids 0 … 63; parameters as
///   documented.
#[inline(always)]
pub unsafe fn run(params: &IntegerGemmParams, shared: u32, thread: u32) {
    if params.bare != 0 {
        return;
    }
    // SAFETY: 64 threads of two whole warps come here and no others.
    let barrier = || unsafe { named_barrier::<1, HASHER_THREADS>() };
    let heap = SharedDigests { base: shared + HEAP_AT, capacity: TILES * HEAP_NODES };
    // Of the nodes: which tile's, and which of the 32.
    let (half, node) = (thread / HALF_NODES, thread % HALF_NODES);

    // SAFETY: a slot is read between its two barriers; heap nodes are written and read on
    // different sides of the named barriers.
    unsafe {
        let work = Work::of(params);
        let steps = if work.turns > 0 { work.turns + HEAP_DELAY } else { 0 };
        let mut step = 0;
        while step < steps {
            // Leaves, of one tile and then the other.
            let has_leaves = step < work.turns;
            if has_leaves {
                let (slot, parity) = slot_of(step);
                barrier_wait(shared + MESSAGES_FULL_AT + slot * 8, parity);
                let mut of = 0;
                while of < TILES {
                    let from = shared + MESSAGES_AT + slot * SLOT_BYTES + of * MESSAGES_BYTES;
                    let message = load_shared_u32x4(from + thread * 16);
                    let leaf = compress(INITIAL, fold_block(message));
                    heap.store(of * HEAP_NODES + LEAVES_PER_TILE + thread, leaf);
                    if params.leaf_hashes != 0 {
                        let pair = work.pair(params, step);
                        if pair.has(params, of) {
                            let tile = (pair.first_tile(params) + of) as u64;
                            let index = tile * LEAVES_PER_TILE as u64 + thread as u64;
                            store_digest(params.leaf_hashes + index * 32, leaf);
                        }
                    }
                    of = opaque(of + 1);
                }
                barrier_arrive(shared + MESSAGES_EMPTY_AT + slot * 8);
                barrier();
            }

            // Nodes: those over the leaves, then all above. A heap has no node 0, whose
            // thread hashes for nothing.
            let mut first = if has_leaves { HALF_NODES } else { 0 };
            let root = loop {
                let place = half * HEAP_NODES + first + node;
                let digest = heap.node(half * LEAVES_PER_TILE + first + node);
                barrier();
                heap.store(place, digest);
                barrier();
                if first == 0 {
                    break digest;
                }
                first = opaque(0);
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
