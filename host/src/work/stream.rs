//! The operand streams of products: which Philox4x32-10 counters and keys belong to a
//! product's operand, and the part of the ten rounds that vectors share.
//!
//! The counter is (p, x, 2j + operand, w). Along a vector only p varies, and
//! at one p only x varies, so the first two rounds fall apart into a part that
//! depends on p alone ([`Steps`], computed once for all vectors) and a part
//! that depends on x alone ([`Stream::vector_constant`]). What is left for each
//! block is half of round three and rounds four to ten: 15 multiplications
//! instead of 20.
//!
//! Writing a..d for the words after rounds one to three, and M0, M1, K0, K1
//! for multipliers and round keys:
//!
//! ```text
//! a0 = hi(M1·z) ^ x ^ K0[0]       x     a1 = lo(M1·z)   constant
//! a2 = hi(M0·p) ^ w ^ K1[0]       p     a3 = lo(M0·p)   p
//! b0 = hi(M1·a2) ^ a1 ^ K0[1]     p     b1 = lo(M1·a2)  p
//! b2 = hi(M0·a0) ^ a3 ^ K1[1]     both  b3 = lo(M0·a0)  x
//! c0 = hi(M1·b2) ^ b1 ^ K0[2]     both  c1 = lo(M1·b2)  both
//! c2 = hi(M0·b0) ^ b3 ^ K1[2]     both  c3 = lo(M0·b0)  p
//! ```
//!
//! Deliberately lacks: elements. What a kind of work makes of a block's four words, and
//! where it puts that, is its own.

use super::fold::round;
use crate::protocol::names::State;

/// Multiplier of the round's first word.
pub(in crate::work) const M0: u64 = super::fold::M0 as u64;
/// Multiplier of the round's third word.
pub(in crate::work) const M1: u64 = super::fold::M1 as u64;

const KEY_STEP_0: u32 = 0x9E37_79B9;
const KEY_STEP_1: u32 = 0xBB67_AE85;

/// The first round that every block computes in full.
pub(in crate::work) const FIRST_FULL_ROUND: usize = 3;

/// Most counter steps in one table.
pub(in crate::work) const STEPS_MAX: usize = 64;

/// Which matrix of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::work) enum Operand {
    /// A, by rows.
    A = 0,
    /// B, by columns.
    B = 1,
}

/// One operand of one product of one iteration.
#[derive(Clone, Copy, Debug)]
pub(in crate::work) struct Stream {
    /// Round keys (K0, K1) of the ten rounds.
    pub(in crate::work) keys: [[u32; 2]; 10],
    /// Third counter word: 2j + operand.
    z: u32,
    /// Fourth counter word: the tweak.
    w: u32,
}

/// What a range of counter steps p contributes, whichever vector it is:
/// `[a3 ^ K1[1], b1 ^ K0[2], hi(M0·b0) ^ K1[2], lo(M0·b0)]`.
#[derive(Clone, Debug)]
pub(in crate::work) struct Steps {
    pub(in crate::work) words: [[u32; STEPS_MAX]; 4],
}

impl Default for Steps {
    fn default() -> Self {
        Self { words: [[0; STEPS_MAX]; 4] }
    }
}

impl Stream {
    /// The stream that `state` = s(g, i−1) seeds for `operand` of product j.
    pub(in crate::work) fn new(state: &State, product: u32, operand: Operand) -> Self {
        let word =
            |at: usize| u32::from_be_bytes(std::array::from_fn(|byte| state.0[4 * at + byte]));
        let mut key = [word(0), word(1)];
        let keys = std::array::from_fn(|_| {
            let round = key;
            key = [key[0].wrapping_add(KEY_STEP_0), key[1].wrapping_add(KEY_STEP_1)];
            round
        });
        Self { keys, z: 2 * product + operand as u32, w: word(2) }
    }

    /// M0·a0 of vector x: the high word enters b2, the low word is b3.
    #[inline(always)]
    pub(in crate::work) fn vector_constant(&self, x: u32) -> u64 {
        let a0 = high(M1 * u64::from(self.z)) ^ x ^ self.keys[0][0];
        M0 * u64::from(a0)
    }

    /// Fills `steps[..count]` for p = first, first + 1, …
    ///
    /// Always inlined, so that each kernel gets it compiled for its own
    /// instruction set.
    #[inline(always)]
    pub(in crate::work) fn fill_steps(&self, first: u32, count: usize, steps: &mut Steps) {
        let a1 = (M1 * u64::from(self.z)) as u32;
        let [t0, t1, t2, t3] = &mut steps.words;
        let rows = t0[..count].iter_mut().zip(&mut t1[..count]);
        let rows = rows.zip(t2[..count].iter_mut().zip(&mut t3[..count]));
        for (p, ((t0, t1), (t2, t3))) in (first..).zip(rows) {
            let product = M0 * u64::from(p);
            let (a2, a3) = (high(product) ^ self.w ^ self.keys[0][1], product as u32);
            let product = M1 * u64::from(a2);
            let (b0, b1) = (high(product) ^ a1 ^ self.keys[1][0], product as u32);
            let product = M0 * u64::from(b0);
            *t0 = a3 ^ self.keys[1][1];
            *t1 = b1 ^ self.keys[2][0];
            *t2 = high(product) ^ self.keys[2][1];
            *t3 = product as u32;
        }
    }

    /// The four words of the block at entry `at` of `steps`, of the vector with `constant`.
    #[inline(always)]
    pub(in crate::work) fn block(&self, constant: u64, steps: &Steps, at: usize) -> [u32; 4] {
        let step: [u32; 4] = std::array::from_fn(|word| steps.words[word][at]);
        let product = M1 * u64::from(high(constant) ^ step[0]);
        let mut c = [high(product) ^ step[1], product as u32, constant as u32 ^ step[2], step[3]];
        for &key in &self.keys[FIRST_FULL_ROUND..] {
            c = round(c, key);
        }
        c
    }
}

#[inline(always)]
fn high(product: u64) -> u32 {
    (product >> 32) as u32
}
