//! Philox4x32-10 for single draws, and what the first words of all blocks of an arena
//! share.
//!
//! The counter of a first word is (l, b, κ, w). At one l only b varies, so the first two
//! rounds fall apart into a part that depends on l alone (a table, computed once an arena)
//! and a part that depends on b alone. What is left for each word is half of round three
//! and rounds four to ten: 15 multiplications instead of 20.
//!
//! Writing a, b, c for the words after rounds one to three, and K for the round keys:
//!
//! ```text
//! a0 = hi(M1·κ) ^ block ^ K0[0]   block  a1 = lo(M1·κ)   constant
//! a2 = hi(M0·l) ^ w ^ K1[0]       word   a3 = lo(M0·l)   word
//! b0 = hi(M1·a2) ^ a1 ^ K0[1]     word   b1 = lo(M1·a2)  word
//! b2 = hi(M0·a0) ^ a3 ^ K1[1]     both   b3 = lo(M0·a0)  block
//! c0 = hi(M1·b2) ^ b1 ^ K0[2]     both   c1 = lo(M1·b2)  both
//! c2 = hi(M0·b0) ^ b3 ^ K1[2]     both   c3 = lo(M0·b0)  word
//! ```

use super::block::{Block, WORDS};
use crate::protocol::names::State;
use crate::work::fold::{M0, M1, round};

/// What the two key words grow by from round to round.
pub(super) const KEY_STEPS: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];

/// Rounds of a block of random words.
pub(super) const ROUNDS: usize = 10;

/// The first round that every first word takes in full.
pub(super) const FIRST_FULL_ROUND: usize = 3;

/// The words at the start of a state.
#[derive(Clone, Copy)]
pub(super) struct StateWords {
    /// k0, k1.
    pub(super) key: [u32; 2],
    /// w.
    pub(super) tweak: u32,
    /// κ.
    pub(super) kappa: u32,
}

impl StateWords {
    pub(super) fn of(state: &State) -> Self {
        let word =
            |at: usize| u32::from_be_bytes(std::array::from_fn(|byte| state.0[4 * at + byte]));
        Self { key: [word(0), word(1)], tweak: word(2), kappa: word(3) }
    }

    /// The first two words of the block with counter (c0, c1, c2, w).
    pub(super) fn draw(&self, c0: u32, c1: u32, c2: u32) -> [u32; 2] {
        let mut words = [c0, c1, c2, self.tweak];
        for key in round_keys(self.key) {
            words = round(words, key);
        }
        [words[0], words[1]]
    }
}

/// The keys of the ten rounds.
pub(super) fn round_keys(key: [u32; 2]) -> [[u32; 2]; ROUNDS] {
    let step =
        |word: usize, at: usize| key[word].wrapping_add(KEY_STEPS[word].wrapping_mul(at as u32));
    std::array::from_fn(|at| [step(0, at), step(1, at)])
}

/// The stream of the first words of an arena.
pub(super) struct FirstWords {
    pub(super) keys: [[u32; 2]; ROUNDS],
    /// hi(M1·κ) ^ K0[0].
    block_key: u32,
    /// Per word a3 ^ K1[1], b1 ^ K0[2], hi(M0·b0) ^ K1[2] and lo(M0·b0).
    pub(super) table: Box<Block>,
}

impl FirstWords {
    /// The stream of the lane whose s(g,0) starts with `seed`.
    pub(super) fn new(seed: &StateWords) -> Self {
        let keys = round_keys(seed.key);
        let (block_key, a1) = halves(M1, seed.kappa);
        let mut table = Box::new(Block::ZERO);
        for l in 0..WORDS {
            let (high, a3) = halves(M0, l as u32);
            let (b0, b1) = halves(M1, high ^ seed.tweak ^ keys[0][1]);
            let (c2, c3) = halves(M0, b0 ^ a1 ^ keys[1][0]);
            table.0[0][l] = a3 ^ keys[1][1];
            table.0[1][l] = b1 ^ keys[2][0];
            table.0[2][l] = c2 ^ keys[2][1];
            table.0[3][l] = c3;
        }
        Self { keys, block_key: block_key ^ keys[0][0], table }
    }

    /// hi(M0·a0) and lo(M0·a0) of a block.
    pub(super) fn block_constant(&self, block: u32) -> (u32, u32) {
        halves(M0, self.block_key ^ block)
    }
}

/// High and low half of a product.
fn halves(multiplier: u32, word: u32) -> (u32, u32) {
    let product = u64::from(multiplier) * u64::from(word);
    ((product >> 32) as u32, product as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_philox::philox4x32_10;

    #[test]
    fn draws_are_philox4x32_10() {
        let state = State(std::array::from_fn(|i| (7 * i + 200) as u8));
        let words = StateWords::of(&state);
        assert_eq!(words.key[0], 0xc8cf_d6dd);
        for (c0, c1, c2) in [(0, 0, 2), (u32::MAX, 16, 1), (5, 0, 3)] {
            let all = philox4x32_10([c0, c1, c2, words.tweak], words.key);
            assert_eq!(words.draw(c0, c1, c2), all[..2]);
        }
    }
}
