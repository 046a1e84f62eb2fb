//! AVX2 registers.
#![allow(unsafe_code)]

use super::block::WORDS;
use super::isa::Isa;
use std::arch::x86_64::{
    __m256i, _mm_cvtsi128_si32, _mm256_add_epi32, _mm256_blend_epi32, _mm256_castsi256_si128,
    _mm256_loadu_si256, _mm256_mul_epu32, _mm256_permutevar8x32_epi32, _mm256_set1_epi32,
    _mm256_setr_epi32, _mm256_slli_epi64, _mm256_srli_epi64, _mm256_storeu_si256, _mm256_xor_si256,
};

/// Proof that the CPU has AVX2.
#[derive(Clone, Copy)]
pub(super) struct Avx2(());

impl Avx2 {
    /// `None` if the CPU or the operating system lacks AVX2.
    pub(super) fn detect() -> Option<Self> {
        is_x86_feature_detected!("avx2").then_some(Self(()))
    }
}

const LANES: usize = 8;

/// Calls intrinsics that need AVX2 and nothing else.
macro_rules! with_avx2 {
    ($proof:ident, $call:expr) => {{
        let Self(()) = $proof;
        // SAFETY: a value of `Avx2` exists, so `detect` found AVX2. Loads and stores are
        // of 8 u32 whose bounds the caller's slice has checked.
        unsafe { $call }
    }};
}

impl Isa for Avx2 {
    type V = __m256i;
    const LANES: usize = LANES;

    #[inline(always)]
    fn load(self, words: &[u32; WORDS], at: usize) -> __m256i {
        let words: &[u32; LANES] = &words.as_chunks().0[at];
        with_avx2!(self, _mm256_loadu_si256(words.as_ptr().cast()))
    }
    #[inline(always)]
    fn store(self, words: &mut [u32; WORDS], at: usize, v: __m256i) {
        let words: &mut [u32; LANES] = &mut words.as_chunks_mut().0[at];
        with_avx2!(self, _mm256_storeu_si256(words.as_mut_ptr().cast(), v));
    }
    #[inline(always)]
    fn splat(self, word: u32) -> __m256i {
        with_avx2!(self, _mm256_set1_epi32(word.cast_signed()))
    }
    #[inline(always)]
    fn first(self, v: __m256i) -> u32 {
        with_avx2!(self, _mm_cvtsi128_si32(_mm256_castsi256_si128(v))).cast_unsigned()
    }
    #[inline(always)]
    fn add(self, a: __m256i, b: __m256i) -> __m256i {
        with_avx2!(self, _mm256_add_epi32(a, b))
    }
    #[inline(always)]
    fn xor(self, a: __m256i, b: __m256i) -> __m256i {
        with_avx2!(self, _mm256_xor_si256(a, b))
    }
    #[inline(always)]
    fn xor3(self, a: __m256i, b: __m256i, c: __m256i) -> __m256i {
        self.xor(self.xor(a, b), c)
    }
    #[inline(always)]
    fn product(self, a: __m256i, b: __m256i) -> __m256i {
        with_avx2!(self, _mm256_mul_epu32(a, b))
    }
    #[inline(always)]
    fn high(self, v: __m256i) -> __m256i {
        with_avx2!(self, _mm256_srli_epi64::<32>(v))
    }
    #[inline(always)]
    fn join(self, even: __m256i, odd: __m256i) -> __m256i {
        with_avx2!(self, _mm256_blend_epi32::<0xAA>(even, _mm256_slli_epi64::<32>(odd)))
    }
    #[inline(always)]
    fn exchange_by(self, by: usize) -> __m256i {
        let places = with_avx2!(self, _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
        self.xor(places, self.splat(by as u32))
    }
    #[inline(always)]
    fn exchange(self, v: __m256i, order: __m256i) -> __m256i {
        with_avx2!(self, _mm256_permutevar8x32_epi32(v, order))
    }
}

impl super::kernel::Kernel for Avx2 {
    super::kernel::compiled_for!("avx2");
}
