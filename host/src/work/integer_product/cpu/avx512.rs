//! The AVX-512 kernel with VNNI: 4 × 64 micro-tiles, Philox on sixteen vectors at once.
//!
//! A word that Philox draws is four neighbouring elements of a vector, which is what
//! `vpdpbusd` multiplies and sums in one of its sixteen places. It takes one factor without
//! sign: B has 128 added to each element (its top bits are flipped), and 128 times the sum
//! of a row's elements is taken from the row's outputs in the end. Sums are modulo 2³², so
//! this is exact.
//!
//! Philox works on the even and the odd vectors of sixteen apart. A 64-bit place carries
//! one 32-bit word in its low half. What the high half holds is never read: `vpmuludq`
//! ignores it, and shifts and shuffles drop it.
#![allow(unsafe_code)]

use super::kernel::{GROUP, Kernel, LEAF, ROWS, consecutive};
use crate::work::stream::{FIRST_FULL_ROUND, M0, M1, STEPS_MAX, Steps, Stream};
use std::arch::x86_64::{
    __m512i, _mm512_dpbusd_epi32, _mm512_loadu_si512, _mm512_mask_shuffle_epi32, _mm512_mul_epu32,
    _mm512_set1_epi8, _mm512_set1_epi32, _mm512_set1_epi64, _mm512_setzero_si512,
    _mm512_srli_epi64, _mm512_storeu_si512, _mm512_ternarylogic_epi64, _mm512_xor_si512,
};

/// Words in a register, and vectors generated at once.
const LANES: usize = 16;
/// Registers across a micro-tile.
const ACROSS: usize = 4;
/// Flips the top bit of each of a word's bytes: adds 128 to an int8, as a byte without sign.
const FLIP: u32 = 0x8080_8080;

/// Proof that the CPU has AVX-512 F and VNNI.
#[derive(Clone, Copy)]
pub(super) struct Avx512(());

impl Avx512 {
    /// `None` if the CPU or the operating system lacks AVX-512 F or VNNI.
    pub(super) fn detect() -> Option<Self> {
        (is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vnni"))
            .then_some(Self(()))
    }

    fn fill(
        self,
        stream: &Stream,
        (steps, count): (&Steps, usize),
        vectors: &[u32],
        flip: u32,
        panel: &mut [u32],
    ) {
        let width = vectors.len();
        assert!(count <= STEPS_MAX && count.is_multiple_of(UNROLL), "count of steps");
        assert!(width.is_multiple_of(LANES) && panel.len() >= 4 * count * width, "panel size");
        for (group, vectors) in vectors.as_chunks::<LANES>().0.iter().enumerate() {
            let constant = |at: usize| stream.vector_constant(vectors[at]);
            let constants = [
                std::array::from_fn(|lane| constant(2 * lane)),
                std::array::from_fn(|lane| constant(2 * lane + 1)),
            ];
            // SAFETY: `self` exists, so `detect` found AVX-512 F. The asserts above put
            // every store, sixteen words from `(4·step + e)·width + 16·group` on with step
            // < count and e < 4, inside the panel.
            unsafe {
                let panel = panel.as_mut_ptr().add(group * LANES);
                fill_group(stream, (steps, count), &constants, flip, panel, width);
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
        // SAFETY: `self` exists, so `detect` found AVX-512 F and VNNI. The asserts above are
        // the function's bounds: row + COUNT ≤ GROUP leaves each step's rows inside `a`.
        unsafe { multiply::<COUNT>(entries, a.as_ptr().add(row), b.as_ptr(), c.as_mut_ptr()) }
    }
}

impl Kernel for Avx512 {
    const COLUMNS: usize = ACROSS * LANES;
    const STEP_WORDS: usize = 4;
    const BIAS: u32 = 128;

    fn fill_steps(self, stream: &Stream, first: u32, count: usize, steps: &mut Steps) {
        // SAFETY: `self` exists, so `detect` found AVX-512 F.
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
        self.fill(stream, (steps, count), rows, 0, panel);
    }

    fn fill_columns(
        self,
        stream: &Stream,
        steps: &Steps,
        count: usize,
        first: u32,
        panel: &mut [u32],
    ) {
        let columns = consecutive::<{ Self::COLUMNS }>(first);
        self.fill(stream, (steps, count), &columns, FLIP, panel);
    }

    fn add_rows(self, count: usize, a: &[u32], sums: &mut [i32; GROUP]) {
        // SAFETY: `self` exists, so `detect` found AVX-512 F and VNNI.
        unsafe { add_rows(&a.as_chunks().0[..count * Self::STEP_WORDS], sums) }
    }

    fn multiply(self, count: usize, a: &[u32], row: usize, b: &[u32], c: &mut [i32]) {
        self.multiply::<ROWS>(count, a, row, b, c);
    }

    fn multiply_leaf(self, count: usize, a: &[u32], row: usize, b: &[u32], c: &mut [i32]) {
        self.multiply::<LEAF>(count, a, row, b, c);
    }
}

#[target_feature(enable = "avx512f")]
fn fill_steps(stream: &Stream, first: u32, count: usize, steps: &mut Steps) {
    stream.fill_steps(first, count, steps);
}

/// Steps in flight, of two halves each: a block is one dependent chain of some fifty cycles.
const UNROLL: usize = 2;

/// Truth table of a three-way exclusive-or.
const XOR3: i32 = 0x96;

/// Generates sixteen vectors, with `flip` in each word.
///
/// # Safety
/// For step < count and e < 4 sixteen words from `out + (4·step + e)·stride` on must be
/// valid for writes.
#[target_feature(enable = "avx512f")]
unsafe fn fill_group(
    stream: &Stream,
    (steps, count): (&Steps, usize),
    constants: &[[u64; LANES / 2]; 2],
    flip: u32,
    out: *mut u32,
    stride: usize,
) {
    let (m0, m1) = (_mm512_set1_epi64(M0 as i64), _mm512_set1_epi64(M1 as i64));
    let flip = _mm512_set1_epi32(flip.cast_signed());
    // SAFETY: each half of `constants` is 64 bytes long.
    let low = unsafe {
        [
            _mm512_loadu_si512(constants[0].as_ptr().cast()),
            _mm512_loadu_si512(constants[1].as_ptr().cast()),
        ]
    };
    let high = [_mm512_srli_epi64::<32>(low[0]), _mm512_srli_epi64::<32>(low[1])];
    let word = |row: usize, at: usize| _mm512_set1_epi32(steps.words[row][at].cast_signed());

    let mut at = 0;
    while at < count {
        let mut c = [[_mm512_setzero_si512(); 4]; 2 * UNROLL];
        for (u, c) in c.iter_mut().enumerate() {
            let (step, half) = (at + u / 2, u % 2);
            let product = _mm512_mul_epu32(m1, _mm512_xor_si512(high[half], word(0, step)));
            c[0] = _mm512_xor_si512(_mm512_srli_epi64::<32>(product), word(1, step));
            c[1] = product;
            c[2] = _mm512_xor_si512(low[half], word(2, step));
            c[3] = word(3, step);
        }
        for key in &stream.keys[FIRST_FULL_ROUND..] {
            let k0 = _mm512_set1_epi32(key[0].cast_signed());
            let k1 = _mm512_set1_epi32(key[1].cast_signed());
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
        for (u, [even, odd]) in c.as_chunks::<2>().0.iter().enumerate() {
            for (e, (&even, &odd)) in even.iter().zip(odd).enumerate() {
                let words = _mm512_xor_si512(joined(even, odd), flip);
                // SAFETY: the caller vouches for the four rows of step at + u < count:
                // `count` is a multiple of UNROLL, asserted by `Avx512::fill`.
                unsafe {
                    _mm512_storeu_si512(out.add((4 * (at + u) + e) * stride).cast(), words);
                }
            }
        }
        at += UNROLL;
    }
}

/// Sixteen words from those in the low halves of two times eight places.
#[inline]
#[target_feature(enable = "avx512f")]
fn joined(even: __m512i, odd: __m512i) -> __m512i {
    // The odd places from the even ones of `odd`.
    _mm512_mask_shuffle_epi32::<0b10_10_00_00>(even, 0xAAAA, odd)
}

#[target_feature(enable = "avx512f,avx512vnni")]
fn add_rows(a: &[[u32; GROUP]], sums: &mut [i32; GROUP]) {
    let ones = _mm512_set1_epi8(1);
    // SAFETY: sixteen i32 are a register.
    let mut sum = unsafe { _mm512_loadu_si512(sums.as_ptr().cast()) };
    for a in a {
        // SAFETY: sixteen u32 are a register.
        let a = unsafe { _mm512_loadu_si512(a.as_ptr().cast()) };
        sum = _mm512_dpbusd_epi32(sum, ones, a);
    }
    // SAFETY: as for the load.
    unsafe { _mm512_storeu_si512(sums.as_mut_ptr().cast(), sum) }
}

/// Adds to ROWS × 64 outputs the products over `entries` groups of four inner indices.
///
/// # Safety
/// For at < entries and row < ROWS, `a + at·GROUP + row` must be valid, and `b` and `c` for
/// `entries·64` and `ROWS·64` words, `c` also for writes.
#[target_feature(enable = "avx512f,avx512vnni")]
unsafe fn multiply<const ROWS: usize>(entries: usize, a: *const u32, b: *const u32, c: *mut i32) {
    const WIDTH: usize = ACROSS * LANES;
    let mut sums = [[_mm512_setzero_si512(); ACROSS]; ROWS];
    // SAFETY: row·WIDTH + register·16 + 16 ≤ ROWS·WIDTH, which the caller vouches for.
    unsafe {
        for (row, sums) in sums.iter_mut().enumerate() {
            for (register, sum) in sums.iter_mut().enumerate() {
                *sum = _mm512_loadu_si512(c.add(row * WIDTH + register * LANES).cast());
            }
        }
    }
    for at in 0..entries {
        // SAFETY: at < entries, and the caller vouches for the rest.
        unsafe {
            let b = b.add(at * WIDTH);
            let mut columns = [_mm512_setzero_si512(); ACROSS];
            for (register, column) in columns.iter_mut().enumerate() {
                *column = _mm512_loadu_si512(b.add(register * LANES).cast());
            }
            for (row, sums) in sums.iter_mut().enumerate() {
                let a = _mm512_set1_epi32((*a.add(at * GROUP + row)).cast_signed());
                for (sum, column) in sums.iter_mut().zip(columns) {
                    *sum = _mm512_dpbusd_epi32(*sum, column, a);
                }
            }
        }
    }
    // SAFETY: as for the loads.
    unsafe {
        for (row, sums) in sums.iter().enumerate() {
            for (register, sum) in sums.iter().enumerate() {
                _mm512_storeu_si512(c.add(row * WIDTH + register * LANES).cast(), *sum);
            }
        }
    }
}
