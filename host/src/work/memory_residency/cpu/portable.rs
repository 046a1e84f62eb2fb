//! Registers that are arrays, for any target.

use super::block::WORDS;
use super::isa::Isa;

/// Needs no proof.
#[derive(Clone, Copy)]
pub(super) struct Portable;

const LANES: usize = 8;

type V = [u32; LANES];

impl Isa for Portable {
    type V = V;
    const LANES: usize = LANES;

    #[inline(always)]
    fn load(self, words: &[u32; WORDS], at: usize) -> V {
        words.as_chunks().0[at]
    }
    #[inline(always)]
    fn store(self, words: &mut [u32; WORDS], at: usize, v: V) {
        words.as_chunks_mut().0[at] = v;
    }
    #[inline(always)]
    fn splat(self, word: u32) -> V {
        [word; LANES]
    }
    #[inline(always)]
    fn first(self, v: V) -> u32 {
        v[0]
    }
    #[inline(always)]
    fn add(self, a: V, b: V) -> V {
        std::array::from_fn(|i| a[i].wrapping_add(b[i]))
    }
    #[inline(always)]
    fn xor(self, a: V, b: V) -> V {
        std::array::from_fn(|i| a[i] ^ b[i])
    }
    #[inline(always)]
    fn xor3(self, a: V, b: V, c: V) -> V {
        std::array::from_fn(|i| a[i] ^ b[i] ^ c[i])
    }
    #[inline(always)]
    fn product(self, a: V, b: V) -> V {
        let mut v = [0; LANES];
        for i in 0..LANES / 2 {
            let product = u64::from(a[2 * i]) * u64::from(b[2 * i]);
            v[2 * i] = product as u32;
            v[2 * i + 1] = (product >> 32) as u32;
        }
        v
    }
    #[inline(always)]
    fn high(self, v: V) -> V {
        std::array::from_fn(|i| if i % 2 == 0 { v[i + 1] } else { 0 })
    }
    #[inline(always)]
    fn join(self, even: V, odd: V) -> V {
        std::array::from_fn(|i| if i % 2 == 0 { even[i] } else { odd[i - 1] })
    }
    #[inline(always)]
    fn exchange_by(self, by: usize) -> V {
        std::array::from_fn(|i| (i ^ by) as u32)
    }
    #[inline(always)]
    fn exchange(self, v: V, order: V) -> V {
        std::array::from_fn(|i| v[order[i] as usize % LANES])
    }
}
