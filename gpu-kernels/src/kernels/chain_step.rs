//! `chain_step`: reduces the last nodes to D(g,i), stores it, and advances the
//! chain: s(g,i) from s(g,i−1), D(g,i) and, where a lone lane reaches a sync
//! point, X(i).

use crate::abi::{ChainState, DigestWords, StepParams};
use crate::device::memory::{
    load_global_u32, load_global_u32x4, load_shared_u32, store_global_u32, store_shared_u32,
};
use crate::device::thread::block_barrier;
use crate::device::thread::thread_id;
use crate::kernels::merkle::load_nodes;
use crate::kernels::parts::{div_rem, ring_slot, store_digest};
use crate::kernels::{CHAIN_STEP, MERKLE};
use crate::sha256::{INITIAL, compress};

const _: () = assert!(
    CHAIN_STEP.threads == MERKLE.threads && CHAIN_STEP.shared_bytes == MERKLE.shared_bytes,
    "it loads and reduces nodes as merkle does"
);

crate::kernel! {
    /// Entry point; parameters and launch in [`StepParams`].
    pub unsafe fn chain_step(params: StepParams) {
        // SAFETY: parameters as documented; one block of 256 threads.
        unsafe {
            let slot = if params.slot_nodes == 0 { 0 } else { ring_slot(params.chain) };
            let nodes = params.nodes + slot as u64 * params.slot_nodes * 32;
            let digests = load_nodes(nodes, params.count);
            digests.reduce(params.count, thread_id(), || block_barrier());
            let root = digests.load(0);
            // Everyone has read the root: its shared memory becomes the message.
            block_barrier();
            if thread_id() == 0 {
                advance(&params, root, digests.base);
            }
        }
    }
}

/// Stores the root and takes the step; one thread.
///
/// # Safety
/// - `params` as documented; `scratch` is 128 bytes of shared memory.
#[inline(always)]
unsafe fn advance(params: &StepParams, root: DigestWords, scratch: u32) {
    let field = |offset: usize| params.chain + offset as u64;
    // SAFETY: `chain` and `roots` are valid, and no other thread touches them
    // or `scratch` now.
    unsafe {
        let slot = ring_slot(params.chain);
        let iteration = load_global_u32(field(core::mem::offset_of!(ChainState, iteration)));
        store_digest(params.roots + slot as u64 * 32, root);

        let a = load_global_u32x4(params.chain);
        let b = load_global_u32x4(params.chain + 16);
        let state = [a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3]];

        let interval = params.solo_sync_interval;
        let is_sync = interval != 0 && div_rem(iteration, interval).1 == 0;
        // A pass for X(i), then one for s(g,i): one copy of the compression.
        let mut sync = [0; 8];
        let mut pass = if is_sync { 0 } else { 1 };
        let mut out = INITIAL;
        while pass < 2 {
            let stepping = pass == 1;
            let head = if stepping { state } else { params.challenge };
            let label = if stepping { *b"step" } else { *b"sync" };
            let tail = if stepping && is_sync { Some(sync) } else { None };
            write_message(scratch, label, head, iteration, root, tail);
            out = INITIAL;
            let mut block = 0;
            while block < 2 {
                out = compress(out, load_block(scratch + block * 64));
                block += 1;
            }
            sync = out;
            pass += 1;
        }
        store_digest(params.chain, out);
        store_global_u32(field(core::mem::offset_of!(ChainState, iteration)), iteration + 1);
        let next = if slot + 1 == params.ring_slots { 0 } else { slot + 1 };
        store_global_u32(field(core::mem::offset_of!(ChainState, slot)), next);
    }
}

/// Writes the two padded blocks of "gpu-attest/v1/" ‖ label ‖ 00 ‖ head ‖
/// be32(iteration) ‖ root ‖ tail.
///
/// The label takes 19 bytes, so each following word lies one byte before a
/// word boundary.
///
/// # Safety
/// - `scratch` is 128 bytes of shared memory, this thread's alone.
#[inline(always)]
#[rustfmt::skip]
unsafe fn write_message(
    scratch: u32, label: [u8; 4], head: DigestWords, iteration: u32, root: DigestWords,
    tail: Option<DigestWords>,
) {
    let label = u32::from_be_bytes(label);
    let mut at = scratch;
    let mut before = label << 8; // the label's last two bytes and the zero byte
    let mut put = |word: u32| {
        // SAFETY: at most 32 words are put.
        unsafe { store_shared_u32(at, word) };
        at += 4;
    };
    put(u32::from_be_bytes(*b"gpu-"));
    put(u32::from_be_bytes(*b"atte"));
    put(u32::from_be_bytes(*b"st/v"));
    put(u32::from_be_bytes(*b"1/\0\0") | label >> 16);
    macro_rules! put_words {
        ($($word:expr),*) => { $( let word = $word; put(before << 8 | word >> 24); before = word; )* };
    }
    put_words!(head[0], head[1], head[2], head[3], head[4], head[5], head[6], head[7]);
    put_words!(iteration);
    put_words!(root[0], root[1], root[2], root[3], root[4], root[5], root[6], root[7]);
    match tail {
        Some(x) => {
            put_words!(x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7]);
            put(before << 8 | 0x80);
            put(0);
            put((19 + 32 + 4 + 32 + 32) * 8);
        }
        None => {
            put(before << 8 | 0x80);
            put(0); put(0); put(0); put(0); put(0);
            put(0); put(0); put(0); put(0);
            put((19 + 32 + 4 + 32) * 8);
        }
    }
}

/// Sixteen words of shared memory.
///
/// # Safety
/// - `address` is 64 bytes of the block's shared memory.
#[inline(always)]
#[rustfmt::skip]
unsafe fn load_block(address: u32) -> [u32; 16] {
    // SAFETY: the caller's.
    unsafe {
        [
            load_shared_u32(address), load_shared_u32(address + 4), load_shared_u32(address + 8),
            load_shared_u32(address + 12), load_shared_u32(address + 16), load_shared_u32(address + 20),
            load_shared_u32(address + 24), load_shared_u32(address + 28), load_shared_u32(address + 32),
            load_shared_u32(address + 36), load_shared_u32(address + 40), load_shared_u32(address + 44),
            load_shared_u32(address + 48), load_shared_u32(address + 52), load_shared_u32(address + 56),
            load_shared_u32(address + 60),
        ]
    }
}
