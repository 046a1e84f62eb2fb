//! `peak_read` and `peak_copy`: ceilings of device memory. What a sweep and a
//! half-pass can't outrun.

use crate::abi::{PEAK_MEMORY_WORDS, PeakMemoryParams};
use crate::device::memory::{load_global_u32x4, store_global_u32x4};
use crate::device::thread::{block_id, grid_size, thread_id};
use crate::kernels::{PEAK_COPY, PEAK_READ};

/// Bytes of a block's threads, 16 each.
const ROW_BYTES: u64 = PEAK_READ.threads as u64 * 16;
/// What a block moves at a time.
const UNIT_BYTES: u64 = PEAK_MEMORY_WORDS * ROW_BYTES;
const _: () = assert!(PEAK_READ.threads == PEAK_COPY.threads, "the same rows");
const _: () = assert!(PEAK_MEMORY_WORDS == 8, "eight loads a thread");

/// Repeats a block for the literal indices 0 … 7.
macro_rules! eight_times {
    ($i:ident => $body:block) => {
        eight_times!(@ $i $body 0 1 2 3 4 5 6 7)
    };
    (@ $i:ident $body:block $($n:literal)*) => {
        $( { const $i: usize = $n; $body } )*
    };
}

crate::kernel! {
    /// Reads everything once: eight loads in flight a thread.
    pub unsafe fn peak_read(params: PeakMemoryParams) {
        let mut at = block_id() as u64 * UNIT_BYTES + thread_id() as u64 * 16;
        let mut all = 0;
        while at < params.bytes {
            let mut words = [[0; 4]; 8];
            // SAFETY: `bytes` is whole units, and `at` is in one.
            unsafe {
                eight_times!(I => {
                    words[I] = load_global_u32x4(params.from + at + I as u64 * ROW_BYTES);
                });
            }
            eight_times!(I => { all ^= words[I][0] ^ words[I][1] ^ words[I][2] ^ words[I][3]; });
            at += grid_size() as u64 * UNIT_BYTES;
        }
        // Keeps the loads from being left out.
        if all == 0x5EED_5EED {
            // SAFETY: `to` as documented.
            unsafe { store_global_u32x4(params.to, [all; 4]) };
        }
    }
}

crate::kernel! {
    /// Copies everything once: eight loads in flight a thread.
    pub unsafe fn peak_copy(params: PeakMemoryParams) {
        let mut at = block_id() as u64 * UNIT_BYTES + thread_id() as u64 * 16;
        while at < params.bytes {
            let mut words = [[0; 4]; 8];
            // SAFETY: `bytes` is whole units, and `at` is in one.
            unsafe {
                eight_times!(I => {
                    words[I] = load_global_u32x4(params.from + at + I as u64 * ROW_BYTES);
                });
                eight_times!(I => {
                    store_global_u32x4(params.to + at + I as u64 * ROW_BYTES, words[I]);
                });
            }
            at += grid_size() as u64 * UNIT_BYTES;
        }
    }
}
