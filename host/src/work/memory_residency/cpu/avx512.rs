//! AVX-512 registers.
#![allow(unsafe_code)]

use super::block::WORDS;
use super::isa::Isa;
use std::arch::x86_64::{
    __m512i, _mm_cvtsi128_si32, _mm512_add_epi32, _mm512_castsi512_si128, _mm512_loadu_si512,
    _mm512_mask_shuffle_epi32, _mm512_mul_epu32, _mm512_permutexvar_epi32, _mm512_set1_epi32,
    _mm512_setr_epi32, _mm512_srli_epi64, _mm512_storeu_si512, _mm512_ternarylogic_epi64,
    _mm512_xor_si512,
};

/// Proof that the CPU has AVX-512 F.
#[derive(Clone, Copy)]
pub(super) struct Avx512(());

impl Avx512 {
    /// `None` if the CPU or the operating system lacks AVX-512 F.
    pub(super) fn detect() -> Option<Self> {
        is_x86_feature_detected!("avx512f").then_some(Self(()))
    }
}

/// Truth table of a three-way exclusive or.
const XOR3: i32 = 0x96;

const LANES: usize = 16;

/// Calls intrinsics that need AVX-512 F and nothing else.
macro_rules! with_avx512 {
    ($proof:ident, $call:expr) => {{
        let Self(()) = $proof;
        // SAFETY: a value of `Avx512` exists, so `detect` found AVX-512 F. Loads and
        // stores are of 16 u32 whose bounds the caller's slice has checked.
        unsafe { $call }
    }};
}

impl Isa for Avx512 {
    type V = __m512i;
    const LANES: usize = LANES;

    #[inline(always)]
    fn load(self, words: &[u32; WORDS], at: usize) -> __m512i {
        let words: &[u32; LANES] = &words.as_chunks().0[at];
        with_avx512!(self, _mm512_loadu_si512(words.as_ptr().cast()))
    }
    #[inline(always)]
    fn store(self, words: &mut [u32; WORDS], at: usize, v: __m512i) {
        let words: &mut [u32; LANES] = &mut words.as_chunks_mut().0[at];
        with_avx512!(self, _mm512_storeu_si512(words.as_mut_ptr().cast(), v));
    }
    #[inline(always)]
    fn splat(self, word: u32) -> __m512i {
        with_avx512!(self, _mm512_set1_epi32(word.cast_signed()))
    }
    #[inline(always)]
    fn first(self, v: __m512i) -> u32 {
        with_avx512!(self, _mm_cvtsi128_si32(_mm512_castsi512_si128(v))).cast_unsigned()
    }
    #[inline(always)]
    fn add(self, a: __m512i, b: __m512i) -> __m512i {
        with_avx512!(self, _mm512_add_epi32(a, b))
    }
    #[inline(always)]
    fn xor(self, a: __m512i, b: __m512i) -> __m512i {
        with_avx512!(self, _mm512_xor_si512(a, b))
    }
    #[inline(always)]
    fn xor3(self, a: __m512i, b: __m512i, c: __m512i) -> __m512i {
        with_avx512!(self, _mm512_ternarylogic_epi64::<XOR3>(a, b, c))
    }
    #[inline(always)]
    fn product(self, a: __m512i, b: __m512i) -> __m512i {
        with_avx512!(self, _mm512_mul_epu32(a, b))
    }
    #[inline(always)]
    fn high(self, v: __m512i) -> __m512i {
        with_avx512!(self, _mm512_srli_epi64::<32>(v))
    }
    #[inline(always)]
    fn join(self, even: __m512i, odd: __m512i) -> __m512i {
        // The odd places from the even ones of `odd`.
        with_avx512!(self, _mm512_mask_shuffle_epi32::<0b10_10_00_00>(even, 0xAAAA, odd))
    }
    #[inline(always)]
    fn exchange_by(self, by: usize) -> __m512i {
        let places = with_avx512!(
            self,
            _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
        );
        self.xor(places, self.splat(by as u32))
    }
    #[inline(always)]
    fn exchange(self, v: __m512i, order: __m512i) -> __m512i {
        with_avx512!(self, _mm512_permutexvar_epi32(order, v))
    }
}

impl super::kernel::Kernel for Avx512 {
    super::kernel::compiled_for!("avx512f");
}
