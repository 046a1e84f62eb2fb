//! The AVX2 kernel with FMA: 4 × 8 micro-tiles, Philox on four vectors at once,
//! laid out as in the AVX-512 kernel.
//!
//! Eight accumulators are just enough to hide the latency of two multiply-adds
//! a cycle. Twelve (4 × 12) would fill the sixteen registers to the last one,
//! and the compiler then keeps one accumulator in memory, which halves the
//! speed.
#![allow(unsafe_code)]

use super::kernel::{Kernel, TWO_BITS};
use crate::work::stream::{FIRST_FULL_ROUND, M0, M1, STEPS_MAX, Steps, Stream};
use std::arch::x86_64::{
    __m256d, __m256i, _mm256_blend_epi32, _mm256_broadcast_sd, _mm256_castsi256_pd,
    _mm256_fmadd_pd, _mm256_loadu_pd, _mm256_loadu_si256, _mm256_mul_epu32, _mm256_or_si256,
    _mm256_set1_epi32, _mm256_set1_epi64x, _mm256_set1_pd, _mm256_setzero_pd, _mm256_setzero_si256,
    _mm256_slli_epi64, _mm256_srli_epi64, _mm256_storeu_pd, _mm256_sub_pd, _mm256_xor_si256,
};

/// Doubles in a register, and vectors generated at once.
const LANES: usize = 4;
/// Registers across a micro-tile.
const ACROSS: usize = 2;

/// Proof that the CPU has AVX2 and FMA.
#[derive(Clone, Copy)]
pub(super) struct Avx2(());

impl Avx2 {
    /// `None` if the CPU or the operating system lacks AVX2 or FMA.
    pub(super) fn detect() -> Option<Self> {
        (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")).then_some(Self(()))
    }
}

impl Kernel for Avx2 {
    const ROWS: usize = 4;
    const COLUMNS: usize = ACROSS * LANES;

    fn fill_steps(self, stream: &Stream, first: u32, count: usize, steps: &mut Steps) {
        // SAFETY: `self` exists, so `detect` found AVX2 and FMA.
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
            // SAFETY: `self` exists, so `detect` found AVX2. The asserts above
            // put every store, `(2·step + half)·width + group·4 + lane` with
            // step < count, half < 2 and lane < 4, inside the panel.
            unsafe {
                let panel = panel.as_mut_ptr().add(group * LANES);
                fill_group(stream, steps, count, &constants, panel, width);
            }
        }
    }

    fn multiply(self, depth: usize, a: &[f64], b: &[f64], c: &mut [f64]) {
        assert!(a.len() >= depth * Self::ROWS && b.len() >= depth * Self::COLUMNS, "operands");
        assert!(c.len() >= Self::ROWS * Self::COLUMNS, "outputs");
        let (a, b, c) = (a.as_ptr(), b.as_ptr(), c.as_mut_ptr());
        // SAFETY: `self` exists, so `detect` found AVX2 and FMA; the asserts
        // above are the function's bounds, with packed rows and columns.
        unsafe {
            multiply::<{ Self::ROWS }, ACROSS>(
                depth,
                (a, Self::ROWS),
                (b, Self::COLUMNS),
                (c, Self::COLUMNS),
            );
        }
    }

    fn multiply_leaf(self, depth: usize, a: &[f64], b: &[f64], c: &mut [f64; 64]) {
        assert!(a.len() >= depth * 8 && b.len() >= depth * 8, "operands");
        // Two halves of four rows: all 64 sums would not fit the registers.
        for half in [0, 4] {
            let (a, c) = (a[half..].as_ptr(), c[8 * half..].as_mut_ptr());
            // SAFETY: `self` exists, so `detect` found AVX2 and FMA. Row `half
            // + 3` of step `depth − 1` lies inside `a`, and rows half … half +
            // 3 of eight columns inside `c`.
            unsafe { multiply::<4, 2>(depth, (a, 8), (b.as_ptr(), 8), (c, 8)) }
        }
    }
}

#[target_feature(enable = "avx2")]
fn fill_steps(stream: &Stream, first: u32, count: usize, steps: &mut Steps) {
    stream.fill_steps(first, count, steps);
}

/// Steps in flight: a block is one dependent chain of some sixty cycles, and
/// more than two would not fit the registers.
const UNROLL: usize = 2;

/// Generates four vectors.
///
/// # Safety
/// For step < count, half < 2 and lane < 4 the place
/// `out + (2·step + half)·stride + lane` must be valid for writes.
#[target_feature(enable = "avx2")]
unsafe fn fill_group(
    stream: &Stream,
    steps: &Steps,
    count: usize,
    constants: &[u64; LANES],
    out: *mut f64,
    stride: usize,
) {
    let (m0, m1) = (_mm256_set1_epi64x(M0 as i64), _mm256_set1_epi64x(M1 as i64));
    let exponent = _mm256_set1_epi64x(TWO_BITS as i64);
    // SAFETY: `constants` is 32 bytes long.
    let low = unsafe { _mm256_loadu_si256(constants.as_ptr().cast()) };
    let high = _mm256_srli_epi64::<32>(low);
    let word = |row: usize, at: usize| _mm256_set1_epi32(steps.words[row][at] as i32);

    let mut at = 0;
    while at < count {
        let mut c = [[_mm256_setzero_si256(); 4]; UNROLL];
        for (u, c) in c.iter_mut().enumerate() {
            let product = _mm256_mul_epu32(m1, _mm256_xor_si256(high, word(0, at + u)));
            c[0] = _mm256_xor_si256(_mm256_srli_epi64::<32>(product), word(1, at + u));
            c[1] = product;
            c[2] = _mm256_xor_si256(low, word(2, at + u));
            c[3] = word(3, at + u);
        }
        for key in &stream.keys[FIRST_FULL_ROUND..] {
            let (k0, k1) = (_mm256_set1_epi32(key[0] as i32), _mm256_set1_epi32(key[1] as i32));
            for c in &mut c {
                let (left, right) = (_mm256_mul_epu32(m1, c[2]), _mm256_mul_epu32(m0, c[0]));
                let (up, down) = (_mm256_srli_epi64::<32>(left), _mm256_srli_epi64::<32>(right));
                *c = [
                    _mm256_xor_si256(_mm256_xor_si256(c[1], k0), up),
                    left,
                    _mm256_xor_si256(_mm256_xor_si256(c[3], k1), down),
                    right,
                ];
            }
        }
        for (u, c) in c.iter().enumerate() {
            let place = 2 * (at + u) * stride;
            // SAFETY: the caller vouches for both rows of step at + u < count:
            // `count` is a multiple of UNROLL, asserted by `Kernel::fill`.
            unsafe {
                _mm256_storeu_pd(out.add(place), unit(c[0], c[1], exponent));
                _mm256_storeu_pd(out.add(place + stride), unit(c[2], c[3], exponent));
            }
        }
        at += UNROLL;
    }
}

/// u(lo, hi) of four lanes, each word in the low half of its lane.
#[inline]
#[target_feature(enable = "avx2")]
fn unit(lo: __m256i, hi: __m256i, exponent: __m256i) -> __m256d {
    let joined = _mm256_blend_epi32::<0xAA>(lo, _mm256_slli_epi64::<32>(hi));
    let bits = _mm256_or_si256(_mm256_srli_epi64::<12>(joined), exponent);
    _mm256_sub_pd(_mm256_castsi256_pd(bits), _mm256_set1_pd(3.0))
}

/// Continues ROWS × 4·REGISTERS chains over `depth` inner indices. Each
/// pointer comes with its stride: doubles from one k to the next in `a` and
/// `b`, from one row to the next in `c`.
///
/// # Safety
/// For k < depth, row < ROWS and column < 4·REGISTERS the places
/// `a[k·stride + row]`, `b[k·stride + column]` and `c[row·stride + column]`
/// must be valid, those of `c` also for writes.
#[target_feature(enable = "avx2,fma")]
unsafe fn multiply<const ROWS: usize, const REGISTERS: usize>(
    depth: usize,
    (a, a_stride): (*const f64, usize),
    (b, b_stride): (*const f64, usize),
    (c, c_stride): (*mut f64, usize),
) {
    let mut sums = [[_mm256_setzero_pd(); REGISTERS]; ROWS];
    // SAFETY: the caller vouches for ROWS rows of 4·REGISTERS doubles of `c`.
    unsafe {
        for (row, sums) in sums.iter_mut().enumerate() {
            for (register, sum) in sums.iter_mut().enumerate() {
                *sum = _mm256_loadu_pd(c.add(row * c_stride + register * LANES));
            }
        }
    }
    for k in 0..depth {
        // SAFETY: k < depth; the caller vouches for the rest.
        unsafe {
            let (a, b) = (a.add(k * a_stride), b.add(k * b_stride));
            let mut columns = [_mm256_setzero_pd(); REGISTERS];
            for (register, column) in columns.iter_mut().enumerate() {
                *column = _mm256_loadu_pd(b.add(register * LANES));
            }
            for (row, sums) in sums.iter_mut().enumerate() {
                let a = _mm256_broadcast_sd(&*a.add(row));
                for (sum, column) in sums.iter_mut().zip(columns) {
                    *sum = _mm256_fmadd_pd(a, column, *sum);
                }
            }
        }
    }
    // SAFETY: as for the loads.
    unsafe {
        for (row, sums) in sums.iter().enumerate() {
            for (register, sum) in sums.iter().enumerate() {
                _mm256_storeu_pd(c.add(row * c_stride + register * LANES), *sum);
            }
        }
    }
}
