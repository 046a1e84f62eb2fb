//! The AVX-512 kernel: 8 × 24 micro-tiles, Philox on eight vectors at once.
//!
//! A 64-bit lane carries one 32-bit Philox word in its low half. What the high
//! half holds is never read: `vpmuludq` ignores it, and the shifts and blends
//! that end a round or a block drop it. So a round costs two multiplications,
//! two shifts and two three-way exclusive-ors for eight blocks.
#![allow(unsafe_code)]

use super::kernel::{Kernel, TWO_BITS};
use crate::work::stream::{FIRST_FULL_ROUND, M0, M1, STEPS_MAX, Steps, Stream};
use std::arch::x86_64::{
    __m512d, __m512i, _mm512_castsi512_pd, _mm512_fmadd_pd, _mm512_loadu_pd, _mm512_loadu_si512,
    _mm512_mask_shuffle_epi32, _mm512_mul_epu32, _mm512_or_si512, _mm512_set1_epi32,
    _mm512_set1_epi64, _mm512_set1_pd, _mm512_srli_epi64, _mm512_storeu_pd, _mm512_sub_pd,
    _mm512_ternarylogic_epi64, _mm512_xor_si512,
};

/// Doubles in a register, and vectors generated at once.
const LANES: usize = 8;
/// Registers across a micro-tile.
const ACROSS: usize = 3;

/// Proof that the CPU has AVX-512 F.
#[derive(Clone, Copy)]
pub(super) struct Avx512(());

impl Avx512 {
    /// `None` if the CPU or the operating system lacks AVX-512 F.
    pub(super) fn detect() -> Option<Self> {
        is_x86_feature_detected!("avx512f").then_some(Self(()))
    }
}

impl Kernel for Avx512 {
    const ROWS: usize = 8;
    const COLUMNS: usize = ACROSS * LANES;

    fn fill_steps(self, stream: &Stream, first: u32, count: usize, steps: &mut Steps) {
        // SAFETY: `self` exists, so `detect` found AVX-512 F.
        unsafe { fill_steps(stream, first, count, steps) }
    }

    fn fill(
        self,
        stream: &Stream,
        steps: &Steps,
        count: usize,
        vectors: &[u32],
        panel: &mut [f64],
    ) {
        let width = vectors.len();
        assert!(count <= STEPS_MAX && count.is_multiple_of(UNROLL), "count of steps");
        assert!(width.is_multiple_of(LANES) && panel.len() >= 2 * count * width, "panel size");
        for (group, vectors) in vectors.chunks_exact(LANES).enumerate() {
            let constants: [u64; LANES] =
                std::array::from_fn(|lane| stream.vector_constant(vectors[lane]));
            // SAFETY: `self` exists, so `detect` found AVX-512 F. The asserts
            // above put every store, `(2·step + half)·width + group·8 + lane`
            // with step < count, half < 2 and lane < 8, inside the panel.
            unsafe {
                let panel = panel.as_mut_ptr().add(group * LANES);
                fill_group(stream, steps, count, &constants, panel, width);
            }
        }
    }

    fn multiply(self, depth: usize, a: &[f64], b: &[f64], c: &mut [f64]) {
        assert!(a.len() >= depth * Self::ROWS && b.len() >= depth * Self::COLUMNS, "operands");
        assert!(c.len() >= Self::ROWS * Self::COLUMNS, "outputs");
        // SAFETY: `self` exists, so `detect` found AVX-512 F; the asserts above
        // are the function's bounds.
        unsafe { multiply::<{ Self::ROWS }, ACROSS>(depth, a.as_ptr(), b.as_ptr(), c.as_mut_ptr()) }
    }

    fn multiply_leaf(self, depth: usize, a: &[f64], b: &[f64], c: &mut [f64; 64]) {
        assert!(a.len() >= depth * 8 && b.len() >= depth * 8, "operands");
        // SAFETY: as in `multiply`; `c` holds 8 rows of one register.
        unsafe { multiply::<8, 1>(depth, a.as_ptr(), b.as_ptr(), c.as_mut_ptr()) }
    }
}

#[target_feature(enable = "avx512f")]
fn fill_steps(stream: &Stream, first: u32, count: usize, steps: &mut Steps) {
    stream.fill_steps(first, count, steps);
}

/// Steps in flight: a block is one dependent chain of some fifty cycles.
const UNROLL: usize = 4;

/// Truth table of a three-way exclusive-or.
const XOR3: i32 = 0x96;

/// Generates eight vectors.
///
/// # Safety
/// For step < count, half < 2 and lane < 8 the place
/// `out + (2·step + half)·stride + lane` must be valid for writes.
#[target_feature(enable = "avx512f")]
unsafe fn fill_group(
    stream: &Stream,
    steps: &Steps,
    count: usize,
    constants: &[u64; LANES],
    out: *mut f64,
    stride: usize,
) {
    let (m0, m1) = (_mm512_set1_epi64(M0 as i64), _mm512_set1_epi64(M1 as i64));
    let exponent = _mm512_set1_epi64(TWO_BITS as i64);
    // SAFETY: `constants` is 64 bytes long.
    let low = unsafe { _mm512_loadu_si512(constants.as_ptr().cast()) };
    let high = _mm512_srli_epi64::<32>(low);
    let word = |row: usize, at: usize| _mm512_set1_epi32(steps.words[row][at] as i32);

    let mut at = 0;
    while at < count {
        let mut c = [[_mm512_set1_epi64(0); 4]; UNROLL];
        for (u, c) in c.iter_mut().enumerate() {
            let product = _mm512_mul_epu32(m1, _mm512_xor_si512(high, word(0, at + u)));
            c[0] = _mm512_xor_si512(_mm512_srli_epi64::<32>(product), word(1, at + u));
            c[1] = product;
            c[2] = _mm512_xor_si512(low, word(2, at + u));
            c[3] = word(3, at + u);
        }
        for key in &stream.keys[FIRST_FULL_ROUND..] {
            let (k0, k1) = (_mm512_set1_epi32(key[0] as i32), _mm512_set1_epi32(key[1] as i32));
            for c in &mut c {
                let (left, right) = (_mm512_mul_epu32(m1, c[2]), _mm512_mul_epu32(m0, c[0]));
                let (up, down) = (_mm512_srli_epi64::<32>(left), _mm512_srli_epi64::<32>(right));
                *c = [
                    _mm512_ternarylogic_epi64::<XOR3>(up, c[1], k0),
                    left,
                    _mm512_ternarylogic_epi64::<XOR3>(down, c[3], k1),
                    right,
                ];
            }
        }
        for (u, c) in c.iter().enumerate() {
            let place = 2 * (at + u) * stride;
            // SAFETY: the caller vouches for both rows of step at + u < count:
            // `count` is a multiple of UNROLL, asserted by `Kernel::fill`.
            unsafe {
                _mm512_storeu_pd(out.add(place), unit(c[0], c[1], exponent));
                _mm512_storeu_pd(out.add(place + stride), unit(c[2], c[3], exponent));
            }
        }
        at += UNROLL;
    }
}

/// u(lo, hi) of eight lanes, each word in the low half of its lane.
#[inline]
#[target_feature(enable = "avx512f")]
fn unit(lo: __m512i, hi: __m512i, exponent: __m512i) -> __m512d {
    // Odd 32-bit elements from the even ones of `hi`, even ones from `lo`.
    let joined = _mm512_mask_shuffle_epi32::<0b10_10_00_00>(lo, 0xAAAA, hi);
    let bits = _mm512_or_si512(_mm512_srli_epi64::<12>(joined), exponent);
    _mm512_sub_pd(_mm512_castsi512_pd(bits), _mm512_set1_pd(3.0))
}

/// Continues ROWS × 8·REGISTERS chains over `depth` inner indices.
///
/// # Safety
/// `a`, `b` and `c` must be valid for `depth·ROWS`, `depth·8·REGISTERS` and
/// `ROWS·8·REGISTERS` doubles, `c` also for writes.
#[target_feature(enable = "avx512f")]
unsafe fn multiply<const ROWS: usize, const REGISTERS: usize>(
    depth: usize,
    a: *const f64,
    b: *const f64,
    c: *mut f64,
) {
    let width = REGISTERS * LANES;
    let mut sums = [[_mm512_set1_pd(0.0); REGISTERS]; ROWS];
    // SAFETY: row·width + register·8 + 8 ≤ ROWS·width, which the caller vouches for.
    unsafe {
        for (row, sums) in sums.iter_mut().enumerate() {
            for (register, sum) in sums.iter_mut().enumerate() {
                *sum = _mm512_loadu_pd(c.add(row * width + register * LANES));
            }
        }
    }
    for k in 0..depth {
        // SAFETY: k < depth, and the caller vouches for depth·width doubles of
        // `b` and depth·ROWS of `a`.
        unsafe {
            let b = b.add(k * width);
            let mut columns = [_mm512_set1_pd(0.0); REGISTERS];
            for (register, column) in columns.iter_mut().enumerate() {
                *column = _mm512_loadu_pd(b.add(register * LANES));
            }
            for (row, sums) in sums.iter_mut().enumerate() {
                let a = _mm512_set1_pd(*a.add(k * ROWS + row));
                for (sum, column) in sums.iter_mut().zip(columns) {
                    *sum = _mm512_fmadd_pd(a, column, *sum);
                }
            }
        }
    }
    // SAFETY: as for the loads.
    unsafe {
        for (row, sums) in sums.iter().enumerate() {
            for (register, sum) in sums.iter().enumerate() {
                _mm512_storeu_pd(c.add(row * width + register * LANES), *sum);
            }
        }
    }
}
