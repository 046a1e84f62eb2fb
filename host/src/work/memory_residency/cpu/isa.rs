//! What an instruction set must offer: a register of u32 and a few operations.
//!
//! A product needs 64 bits. So rounds work on *halves* of a register: a half carries one
//! u32 in the low part of each 64-bit place, and what lies in the high part is never read.
//! The register itself is its even half; the odd half is [`Isa::high`] of it.

use super::block::WORDS;

/// An instruction set that this CPU has: a value of it is the proof.
pub(super) trait Isa: Copy + Send + Sync {
    /// A register.
    type V: Copy;
    /// Its u32: 8 or 16.
    const LANES: usize;

    /// Words `at·LANES` and following.
    fn load(self, words: &[u32; WORDS], at: usize) -> Self::V;
    /// The reverse of [`Isa::load`].
    fn store(self, words: &mut [u32; WORDS], at: usize, v: Self::V);
    /// The same u32 in every place.
    fn splat(self, word: u32) -> Self::V;
    /// The u32 in the first place.
    fn first(self, v: Self::V) -> u32;
    /// Sums of u32, modulo 2³².
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    /// Exclusive or.
    fn xor(self, a: Self::V, b: Self::V) -> Self::V;
    /// Exclusive or of three.
    fn xor3(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// Products, 64 bits each, of what two halves carry.
    fn product(self, a: Self::V, b: Self::V) -> Self::V;
    /// The high part of each 64-bit place, in the low part.
    fn high(self, v: Self::V) -> Self::V;
    /// A register of its even and odd halves.
    fn join(self, even: Self::V, odd: Self::V) -> Self::V;
    /// Where [`Isa::exchange`] takes each place from: place i from i ⊕ `by`, by < LANES.
    fn exchange_by(self, by: usize) -> Self::V;
    /// Places in another order, of [`Isa::exchange_by`].
    fn exchange(self, v: Self::V, order: Self::V) -> Self::V;
}
