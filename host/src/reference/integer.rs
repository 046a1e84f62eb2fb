//! Operands, products and leaves of integer products, as docs/protocol.md writes them.
//!
//! Of the work it takes the two fields n and m, and works out everything else itself.

use super::fold::{Word, fold};
use super::oracle::Operand;
use super::tree::leaf_hash;
use crate::protocol::digest::Digest;
use crate::protocol::names::State;
use crate::protocol::work::integer_product::IntegerProduct;
use rand_philox::philox4x32_10;
use rayon::prelude::*;

/// The three big-endian words at the start of a state: k0, k1, w.
fn key_words(state: &State) -> (u32, u32, u32) {
    let word = |at: usize| u32::from_be_bytes(state.0[at..at + 4].try_into().expect("four bytes"));
    (word(0), word(4), word(8))
}

/// Has no state but n and m: everything else follows from the arguments.
#[derive(Clone, Copy, Debug)]
pub struct IntegerOracle {
    n: u32,
    m: u32,
}

impl IntegerOracle {
    /// Of products of this shape.
    pub fn new(work: IntegerProduct) -> Self {
        Self { n: work.dim, m: work.products }
    }

    /// The n elements of vector r of one operand of product j.
    pub fn vector(self, state: &State, j: u32, operand: Operand, r: u32) -> Vec<i8> {
        let (k0, k1, w) = key_words(state);
        let mut elements = Vec::new();
        for c in 0..self.n / 16 {
            let y = philox4x32_10([c, r, 2 * j + operand as u32, w], [k0, k1]);
            for y_e in y {
                for b in 0..4 {
                    elements.push((y_e >> (8 * b)) as u8 as i8);
                }
            }
        }
        elements
    }

    /// C\[row\]\[column\] of product j.
    pub fn output(self, state: &State, j: u32, row: u32, column: u32) -> i32 {
        let a = self.vector(state, j, Operand::A, row);
        let b = self.vector(state, j, Operand::B, column);
        output(&a, &b)
    }

    /// The message of leaf x of an iteration that starts from `state`.
    pub fn leaf_message(self, state: &State, x: u64) -> [u8; 16] {
        let (j, row, column) = self.corner(x);
        let rows = [row, row + 8].map(|row| self.vector(state, j, Operand::A, row));
        let columns: Vec<Vec<i8>> =
            (0..128).map(|at| self.vector(state, j, Operand::B, column + at)).collect();
        message(state, x, |lower, at| output(&rows[lower], &columns[at]))
    }

    /// The hash of a leaf.
    pub fn leaf_hash(self, state: &State, x: u64) -> Digest {
        leaf_hash(&self.leaf_message(state, x))
    }

    /// All leaf hashes of an iteration, in order: the same outputs, with the operands drawn
    /// once instead of once per leaf.
    pub fn iteration_leaves(self, state: &State) -> Vec<Digest> {
        let side = u64::from(self.n / 128);
        let per_product = side * side * 64;
        let product = |j: u32| {
            let vectors = |operand| -> Vec<Vec<i8>> {
                (0..self.n).map(|r| self.vector(state, j, operand, r)).collect()
            };
            let (a, b) = (vectors(Operand::A), vectors(Operand::B));
            let first = u64::from(j) * per_product;
            let leaf = |x| {
                let (_, row, column) = self.corner(x);
                let c = |lower: usize, at: usize| {
                    output(&a[row as usize + 8 * lower], &b[column as usize + at])
                };
                leaf_hash(&message(state, x, c))
            };
            (first..first + per_product).into_par_iter().map(leaf).collect::<Vec<_>>()
        };
        (0..self.m).flat_map(product).collect()
    }

    /// Product, first row and first column of leaf x.
    fn corner(self, x: u64) -> (u32, u32, u32) {
        let side = u64::from(self.n / 128);
        let (l, tile) = ((x % 64) as u32, x / 64 % (side * side));
        let (tm, tn) = ((tile / side) as u32, (tile % side) as u32);
        ((x / 64 / (side * side)) as u32, tm * 128 + 16 * (l / 8) + l % 8, tn * 128)
    }
}

/// One output: the exact sum of a row's and a column's products.
fn output(row: &[i8], column: &[i8]) -> i32 {
    row.iter().zip(column).map(|(&a, &b)| i32::from(a) * i32::from(b)).sum()
}

/// Folds the outputs of leaf x: `c(0, at)` of row r and `c(1, at)` of row r + 8, in the
/// leaf's column `at`.
fn message(state: &State, x: u64, c: impl Fn(usize, usize) -> i32) -> [u8; 16] {
    let (k0, k1, w) = key_words(state);
    let word = |tau: usize, b: usize| -> Word {
        let at = 8 * b + 2 * tau;
        [c(0, at), c(0, at + 1), c(1, at), c(1, at + 1)].map(|c| c as u32)
    };
    let column = |tau| (0..16).map(|b| word(tau, b)).collect::<Vec<Word>>();
    fold([k0, k1], w, x, &(0..4).map(column).collect::<Vec<_>>())
}
