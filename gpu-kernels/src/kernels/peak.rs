//! `peak_*`: ceilings. Each unit by itself, from registers (`wgmma` from
//! shared memory), on data that keep
//! all mantissa bits busy; what a product or a hash can't outrun.

use crate::abi::PeakParams;
#[cfg(attest_has = "wgmma")]
use crate::device::backend::shared_base;
use crate::device::memory::store_global_u32;
#[cfg(attest_has = "wgmma")]
use crate::device::memory::store_shared_u32x4;
#[cfg(attest_has = "tensor_cores")]
use crate::device::mma::mma_m8n8k4;
#[cfg(attest_has = "bulk_copies")]
use crate::device::mma::mma_m16n8k16;
#[cfg(attest_has = "tensor_cores")]
use crate::device::mma::mma_m16n8k32;
use crate::device::mma::{dp4a, fma, multiply_wide};
#[cfg(attest_has = "wgmma")]
use crate::device::thread::block_barrier;
use crate::device::thread::thread_id;
#[cfg(attest_has = "wgmma")]
use crate::device::wgmma::{
    Sums, descriptor, fence_operands, finish_all_but_latest, finish_sums, multiply_128,
};
#[cfg(attest_has = "wgmma")]
use crate::integer::CHUNK_BYTES;
#[cfg(attest_has = "wgmma")]
use crate::kernels::PEAK_WGMMA;
use crate::philox::{PairPart, VectorPart, element_pair, finish};
use crate::sha256::{INITIAL, compress};

/// Repeats a block for the literal indices 0 … 15.
macro_rules! sixteen_times {
    ($i:ident => $body:block) => {
        sixteen_times!(@ $i $body 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15)
    };
    (@ $i:ident $body:block $($n:literal)*) => {
        $( { const $i: usize = $n; $body } )*
    };
}

/// A double in [−1, 1) with a full mantissa.
#[inline(always)]
fn some_double(seed: u32) -> f64 {
    let pair = PairPart::of(multiply_wide, [0; 3], 0, seed);
    let vector = VectorPart::of(multiply_wide, [0; 3], 0, thread_id());
    element_pair(multiply_wide, [0; 3], pair, vector).0
}

/// Sixteen bytes of int8.
#[inline(always)]
fn some_bytes(seed: u32) -> [u32; 4] {
    let pair = PairPart::of(multiply_wide, [0; 3], 1, seed);
    finish(multiply_wide, [0; 3], pair, VectorPart::of(multiply_wide, [0; 3], 1, thread_id()))
}

/// Stores where the exclusive-or of all is one number of 2³².
///
/// # Safety
/// - `out` is valid for four bytes.
#[inline(always)]
unsafe fn keep_integers(out: u64, all: u32) {
    if all == 0x8000_0001 {
        // SAFETY: the caller's.
        unsafe { store_global_u32(out, all) };
    }
}

/// Stores where the sum is NaN, which it is not.
///
/// # Safety
/// - `out` is valid for four bytes.
#[inline(always)]
unsafe fn keep(out: u64, sum: f64) {
    if sum.is_nan() {
        // SAFETY: the caller's.
        unsafe { store_global_u32(out, 1) };
    }
}

crate::kernel! {
    /// Sixteen chains of `fma.rn.f64` a thread.
    pub unsafe fn peak_fma(params: PeakParams) {
        let (a, b) = (some_double(1), some_double(2));
        let mut c = [0.0f64; 16];
        let mut round = 0;
        while round < params.rounds {
            sixteen_times!(I => { c[I] = fma(a, c[I], b); });
            round += 1;
        }
        let mut sum = 0.0;
        sixteen_times!(I => { sum += c[I]; });
        // SAFETY: `out` as documented.
        unsafe { keep(params.out, sum) };
    }
}

#[cfg(attest_has = "tensor_cores")]
crate::kernel! {
    /// Sixteen chains of `mma.m8n8k4` a warp.
    pub unsafe fn peak_m8n8k4(params: PeakParams) {
        let (a, b) = (some_double(1), some_double(2));
        let mut c = [[0.0f64; 2]; 16];
        let mut round = 0;
        while round < params.rounds {
            sixteen_times!(I => { c[I] = mma_m8n8k4(c[I], a, b); });
            round += 1;
        }
        let mut sum = 0.0;
        sixteen_times!(I => { sum += c[I][0] + c[I][1]; });
        // SAFETY: `out` as documented.
        unsafe { keep(params.out, sum) };
    }
}

#[cfg(attest_has = "bulk_copies")]
crate::kernel! {
    /// Sixteen chains of `mma.m16n8k16` a warp.
    pub unsafe fn peak_m16n8k16(params: PeakParams) {
        let (mut a, mut b) = ([0.0; 8], [0.0; 4]);
        sixteen_times!(I => {
            if I < 8 {
                a[I & 7] = some_double(I as u32);
            } else if I < 12 {
                b[I & 3] = some_double(I as u32);
            }
        });
        let mut c = [[0.0f64; 4]; 16];
        let mut round = 0;
        while round < params.rounds {
            sixteen_times!(I => { c[I] = mma_m16n8k16(c[I], a, b); });
            round += 1;
        }
        let mut sum = 0.0;
        sixteen_times!(I => { sum += c[I][0] + c[I][1] + c[I][2] + c[I][3]; });
        // SAFETY: `out` as documented.
        unsafe { keep(params.out, sum) };
    }
}

crate::kernel! {
    /// One SHA-256 block a thread and round, chained.
    pub unsafe fn peak_sha256(params: PeakParams) {
        let mut state = INITIAL;
        let t = thread_id();
        let mut round = 0;
        while round < params.rounds {
            let s = state;
            let block = [
                s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7], t, round, 2, 3, 4, 5, 6, 7,
            ];
            state = compress(s, block);
            round += 1;
        }
        if state[0] == 0 && state[1] == 0 && state[2] == 0 && state[3] == 0 {
            // SAFETY: `out` as documented.
            unsafe { store_global_u32(params.out, 1) };
        }
    }
}

crate::kernel! {
    /// Sixteen chains of `dp4a.s32.s32` a thread.
    pub unsafe fn peak_dp4a(params: PeakParams) {
        let (a, b) = (some_bytes(1), some_bytes(2));
        let mut c = [0u32; 16];
        let mut round = 0;
        while round < params.rounds {
            sixteen_times!(I => { c[I] = dp4a(a[I & 3], b[I >> 2], c[I]); });
            round += 1;
        }
        let mut all = 0;
        sixteen_times!(I => { all ^= c[I]; });
        // SAFETY: `out` as documented.
        unsafe { keep_integers(params.out, all) };
    }
}

#[cfg(attest_has = "tensor_cores")]
crate::kernel! {
    /// Sixteen chains of `mma.m16n8k32` a warp.
    pub unsafe fn peak_m16n8k32(params: PeakParams) {
        let a = [some_bytes(1), some_bytes(2), some_bytes(3), some_bytes(4)];
        let b = [some_bytes(5), some_bytes(6)];
        let mut c = [[0u32; 4]; 16];
        let mut round = 0;
        while round < params.rounds {
            sixteen_times!(I => {
                let b = if I & 4 == 0 { [b[0][I & 3], b[1][I & 3]] } else { [b[1][I & 3], b[0][I & 3]] };
                c[I] = mma_m16n8k32(c[I], a[I & 3], b);
            });
            round += 1;
        }
        let mut all = 0;
        sixteen_times!(I => { all ^= c[I][0] ^ c[I][1] ^ c[I][2] ^ c[I][3]; });
        // SAFETY: `out` as documented.
        unsafe { keep_integers(params.out, all) };
    }
}

#[cfg(attest_has = "wgmma")]
crate::kernel! {
    /// `wgmma` m64n256k32 of two warpgroups, both operands always the same in shared memory.
    pub unsafe fn peak_wgmma(params: PeakParams) {
        let shared = shared_base();
        let warpgroup = thread_id() / 128;
        let mut sums: Sums = [0; 128];
        // SAFETY: the kernel's shared memory has a panel of A and two of B; a warpgroup's
        // four warps go the same way.
        unsafe {
            let mut piece = 0;
            while piece < PEAK_WGMMA.shared_bytes / 16 {
                store_shared_u32x4(shared + (piece + thread_id()) * 16, some_bytes(piece));
                piece += PEAK_WGMMA.threads;
            }
            fence_operands();
            block_barrier();
            let a = descriptor(shared + warpgroup * (CHUNK_BYTES / 2));
            let b = descriptor(shared + CHUNK_BYTES);
            let mut round = 0;
            while round < params.rounds {
                multiply_128(&mut sums, a, b, 1);
                finish_all_but_latest();
                round += 1;
            }
            finish_sums(&mut sums);
        }
        let mut all = 0;
        macro_rules! mix {
            ($($i:literal)*) => { $( all ^= sums[$i] ^ sums[$i + 32] ^ sums[$i + 64] ^ sums[$i + 96]; )* };
        }
        mix!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31);
        // SAFETY: `out` as documented.
        unsafe { keep_integers(params.out, all) };
    }
}
