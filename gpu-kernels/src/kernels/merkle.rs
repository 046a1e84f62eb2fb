//! `merkle`: reduces each group of 512 nodes to one.

use crate::abi::{MERKLE_GROUP, MerkleParams};
use crate::device::backend::shared_base;
use crate::device::memory::load_global_u32x4;
use crate::device::thread::{block_barrier, block_id, thread_id};
use crate::kernels::MERKLE;
use crate::kernels::parts::{SharedDigests, ring_slot, store_digest};

const _: () = assert!(MERKLE_GROUP == 2 * MERKLE.threads, "a thread loads two nodes");

crate::kernel! {
    /// Entry point; parameters and launch in [`MerkleParams`].
    pub unsafe fn merkle(params: MerkleParams) {
        let first = block_id() as u64 * MERKLE_GROUP as u64;
        let left = params.count - first;
        let count = if left < MERKLE_GROUP as u64 { left as u32 } else { MERKLE_GROUP };
        // SAFETY: parameters as documented; the grid has ⌈count/512⌉ blocks.
        unsafe {
            let slot = if params.slot_nodes == 0 { 0 } else { ring_slot(params.chain) };
            let nodes = params.nodes + (slot as u64 * params.slot_nodes + first) * 32;
            let digests = load_nodes(nodes, count);
            digests.reduce(count, thread_id(), || block_barrier());
            if thread_id() == 0 {
                store_digest(params.out + block_id() as u64 * 32, digests.load(0));
            }
        }
    }
}

/// Loads up to 512 nodes into the block's shared memory and synchronises.
///
/// # Safety
/// - `nodes` holds `count` ≤ 512 digests; the block has 256 threads, all of
///   which call it, and 16 KiB of dynamic shared memory.
#[inline(always)]
pub unsafe fn load_nodes(nodes: u64, count: u32) -> SharedDigests {
    let digests = SharedDigests { base: shared_base(), capacity: MERKLE_GROUP };
    let mut i = thread_id();
    while i < count {
        // SAFETY: i < count.
        unsafe {
            let a = load_global_u32x4(nodes + i as u64 * 32);
            let b = load_global_u32x4(nodes + i as u64 * 32 + 16);
            digests.store(i, [a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3]]);
        }
        i += MERKLE.threads;
    }
    // SAFETY: all threads are here.
    unsafe { block_barrier() };
    digests
}
