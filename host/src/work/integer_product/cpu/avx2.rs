//! The AVX2 kernel: 4 × 16 micro-tiles, Philox on eight vectors at once.
//!
//! Elements are widened to int16 when they are packed, even and odd ones of a word apart:
//! `vpmaddwd` then sums two products of elements in each of its places, which fit an int32
//! by far. (`vpmaddubsw`, on bytes, would saturate.)
//!
//! Philox works on the even and the odd vectors of eight apart, laid out as in the AVX-512
//! kernel.
#![allow(unsafe_code)]

use super::kernel::{GROUP, Kernel, LEAF, ROWS, consecutive};
use crate::work::stream::{FIRST_FULL_ROUND, M0, M1, STEPS_MAX, Steps, Stream};
use std::arch::x86_64::{
    __m256i, _mm256_add_epi32, _mm256_blend_epi32, _mm256_loadu_si256, _mm256_madd_epi16,
    _mm256_mul_epu32, _mm256_set1_epi32, _mm256_set1_epi64x, _mm256_setzero_si256,
    _mm256_slli_epi16, _mm256_slli_epi64, _mm256_srai_epi16, _mm256_srli_epi64,
    _mm256_storeu_si256, _mm256_xor_si256,
};

/// Words in a register, and vectors generated at once.
const LANES: usize = 8;
/// Registers across a micro-tile.
const ACROSS: usize = 2;

/// Proof that the CPU has AVX2.
#[derive(Clone, Copy)]
pub(super) struct Avx2(());

impl Avx2 {
    /// `None` if the CPU or the operating system lacks AVX2.
    pub(super) fn detect() -> Option<Self> {
        is_x86_feature_detected!("avx2").then_some(Self(()))
    }

    fn fill(
        self,
        stream: &Stream,
        steps: &Steps,
        count: usize,
        vectors: &[u32],
        panel: &mut [u32],
    ) {
        let width = vectors.len();
        assert!(count <= STEPS_MAX, "count of steps");
        assert!(width.is_multiple_of(LANES) && panel.len() >= 8 * count * width, "panel size");
        for (group, vectors) in vectors.as_chunks::<LANES>().0.iter().enumerate() {
            let constant = |at: usize| stream.vector_constant(vectors[at]);
            let constants = [
                std::array::from_fn(|lane| constant(2 * lane)),
                std::array::from_fn(|lane| constant(2 * lane + 1)),
            ];
            // SAFETY: `self` exists, so `detect` found AVX2. The asserts above put every
            // store, eight words from `(8·step + e)·width + 8·group` on with step < count
            // and e < 8, inside the panel.
            unsafe {
                let panel = panel.as_mut_ptr().add(group * LANES);
                fill_group(stream, (steps, count), &constants, panel, width);
            }
        }
    }

    fn multiply<const COUNT: usize>(
        self,
        count: usize,
        a: &[u32],
        row: usize,
        b: &[u32],
        c: &mut [i32],
    ) {
        let entries = count * Self::STEP_WORDS;
        assert!(a.len() >= entries * GROUP && row + COUNT <= GROUP, "rows");
        assert!(b.len() >= entries * Self::COLUMNS, "columns");
        assert!(c.len() >= COUNT * Self::COLUMNS, "outputs");
        // SAFETY: `self` exists, so `detect` found AVX2. The asserts above are the
        // function's bounds: row + COUNT ≤ GROUP leaves each step's rows inside `a`.
        unsafe { multiply::<COUNT>(entries, a.as_ptr().add(row), b.as_ptr(), c.as_mut_ptr()) }
    }
}

impl Kernel for Avx2 {
    const COLUMNS: usize = ACROSS * LANES;
    const STEP_WORDS: usize = 8;
    const BIAS: u32 = 0;

    fn fill_steps(self, stream: &Stream, first: u32, count: usize, steps: &mut Steps) {
        // SAFETY: `self` exists, so `detect` found AVX2.
        unsafe { fill_steps(stream, first, count, steps) }
    }

    fn fill_rows(
        self,
        stream: &Stream,
        steps: &Steps,
        count: usize,
        rows: &[u32; GROUP],
        panel: &mut [u32],
    ) {
        self.fill(stream, steps, count, rows, panel);
    }

    fn fill_columns(
        self,
        stream: &Stream,
        steps: &Steps,
        count: usize,
        first: u32,
        panel: &mut [u32],
    ) {
        self.fill(stream, steps, count, &consecutive::<{ Self::COLUMNS }>(first), panel);
    }

    fn add_rows(self, _count: usize, _a: &[u32], _sums: &mut [i32; GROUP]) {}

    fn multiply(self, count: usize, a: &[u32], row: usize, b: &[u32], c: &mut [i32]) {
        self.multiply::<ROWS>(count, a, row, b, c);
    }

    fn multiply_leaf(self, count: usize, a: &[u32], row: usize, b: &[u32], c: &mut [i32]) {
        self.multiply::<LEAF>(count, a, row, b, c);
    }
}

#[target_feature(enable = "avx2")]
fn fill_steps(stream: &Stream, first: u32, count: usize, steps: &mut Steps) {
    stream.fill_steps(first, count, steps);
}

/// Generates eight vectors.
///
/// # Safety
/// For step < count and e < 8 eight words from `out + (8·step + e)·stride` on must be valid
/// for writes.
#[target_feature(enable = "avx2")]
unsafe fn fill_group(
    stream: &Stream,
    (steps, count): (&Steps, usize),
    constants: &[[u64; LANES / 2]; 2],
    out: *mut u32,
    stride: usize,
) {
    let (m0, m1) = (_mm256_set1_epi64x(M0 as i64), _mm256_set1_epi64x(M1 as i64));
    // SAFETY: each half of `constants` is 32 bytes long.
    let low = unsafe {
        [
            _mm256_loadu_si256(constants[0].as_ptr().cast()),
            _mm256_loadu_si256(constants[1].as_ptr().cast()),
        ]
    };
    let high = [_mm256_srli_epi64::<32>(low[0]), _mm256_srli_epi64::<32>(low[1])];
    let word = |row: usize, at: usize| _mm256_set1_epi32(steps.words[row][at].cast_signed());

    for step in 0..count {
        let mut c = [[_mm256_setzero_si256(); 4]; 2];
        for (half, c) in c.iter_mut().enumerate() {
            let product = _mm256_mul_epu32(m1, _mm256_xor_si256(high[half], word(0, step)));
            c[0] = _mm256_xor_si256(_mm256_srli_epi64::<32>(product), word(1, step));
            c[1] = product;
            c[2] = _mm256_xor_si256(low[half], word(2, step));
            c[3] = word(3, step);
        }
        for key in &stream.keys[FIRST_FULL_ROUND..] {
            let k0 = _mm256_set1_epi32(key[0].cast_signed());
            let k1 = _mm256_set1_epi32(key[1].cast_signed());
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
        let [even, odd] = c;
        for (e, (even, odd)) in even.into_iter().zip(odd).enumerate() {
            let words = _mm256_blend_epi32::<0xAA>(even, _mm256_slli_epi64::<32>(odd));
            let [low, high] = widened(words);
            let place = (8 * step + 2 * e) * stride;
            // SAFETY: the caller vouches for the eight rows of step < count.
            unsafe {
                _mm256_storeu_si256(out.add(place).cast(), low);
                _mm256_storeu_si256(out.add(place + stride).cast(), high);
            }
        }
    }
}

/// The even and the odd bytes of each word as two int16.
#[inline]
#[target_feature(enable = "avx2")]
fn widened(words: __m256i) -> [__m256i; 2] {
    [_mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(words)), _mm256_srai_epi16::<8>(words)]
}

/// Adds to ROWS × 16 outputs the products over `entries` pairs of inner indices.
///
/// # Safety
/// For at < entries and row < ROWS, `a + at·GROUP + row` must be valid, and `b` and `c` for
/// `entries·16` and `ROWS·16` words, `c` also for writes.
#[target_feature(enable = "avx2")]
unsafe fn multiply<const ROWS: usize>(entries: usize, a: *const u32, b: *const u32, c: *mut i32) {
    const WIDTH: usize = ACROSS * LANES;
    let mut sums = [[_mm256_setzero_si256(); ACROSS]; ROWS];
    // SAFETY: row·WIDTH + register·8 + 8 ≤ ROWS·WIDTH, which the caller vouches for.
    unsafe {
        for (row, sums) in sums.iter_mut().enumerate() {
            for (register, sum) in sums.iter_mut().enumerate() {
                *sum = _mm256_loadu_si256(c.add(row * WIDTH + register * LANES).cast());
            }
        }
    }
    for at in 0..entries {
        // SAFETY: at < entries, and the caller vouches for the rest.
        unsafe {
            let b = b.add(at * WIDTH);
            let mut columns = [_mm256_setzero_si256(); ACROSS];
            for (register, column) in columns.iter_mut().enumerate() {
                *column = _mm256_loadu_si256(b.add(register * LANES).cast());
            }
            for (row, sums) in sums.iter_mut().enumerate() {
                let a = _mm256_set1_epi32((*a.add(at * GROUP + row)).cast_signed());
                for (sum, column) in sums.iter_mut().zip(columns) {
                    *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(a, column));
                }
            }
        }
    }
    // SAFETY: as for the loads.
    unsafe {
        for (row, sums) in sums.iter().enumerate() {
            for (register, sum) in sums.iter().enumerate() {
                _mm256_storeu_si256(c.add(row * WIDTH + register * LANES).cast(), *sum);
            }
        }
    }
}
