//! From the outputs of a leaf to its hash.

use super::kernel::LEAF;
use crate::protocol::digest::Digest;
use crate::protocol::names::State;
use crate::protocol::work::integer_product::{FOLD_COLUMNS, FOLD_WORDS, TILE};
use crate::work::fold::fold;
use crate::work::hash::short_leaf_hash;

/// Columns of a leaf.
pub(super) const LEAF_COLUMNS: usize = TILE as usize;

const W: usize = FOLD_COLUMNS as usize;
const Q: usize = FOLD_WORDS as usize;

/// The outputs of a leaf, of each row the tile's columns in order.
pub(super) type Outputs = [[i32; LEAF_COLUMNS]; LEAF];

/// What the leaves of an iteration are folded with.
#[derive(Clone, Copy)]
pub(super) struct Folding {
    key: [u32; 2],
    tweak: u32,
}

impl Folding {
    /// For leaves of the iteration that starts from `state`.
    pub(super) fn of(state: &State) -> Self {
        let word =
            |at: usize| u32::from_be_bytes(std::array::from_fn(|byte| state.0[4 * at + byte]));
        Self { key: [word(0), word(1)], tweak: word(2) }
    }

    /// The hash of leaf `index` of the iteration.
    pub(super) fn leaf_hash(&self, index: u64, outputs: &Outputs) -> Digest {
        let [upper, lower] = outputs;
        let mut words = [[0; 4]; W * Q];
        for (at, word) in words.iter_mut().enumerate() {
            let column = 2 * W * (at % Q) + 2 * (at / Q);
            *word = [upper[column], upper[column + 1], lower[column], lower[column + 1]]
                .map(i32::cast_unsigned);
        }
        short_leaf_hash(&fold::<W>(self.key, self.tweak, index, &words))
    }
}
