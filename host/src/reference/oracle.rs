//! Elements, products and leaves, as docs/protocol.md writes them.

use super::tree::leaf_hash;
use crate::protocol::digest::Digest;
use crate::protocol::names::State;
use crate::protocol::work::fp64_product::{Fp64Product, LeafPlace};
use rand_philox::philox4x32_10;
use rayon::prelude::*;

/// Which factor of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operand {
    /// A, whose vectors are its rows.
    A = 0,
    /// B, whose vectors are its columns.
    B = 1,
}

/// Has no state: everything follows from the arguments.
#[derive(Clone, Copy, Debug, Default)]
pub struct Oracle;

/// The three big-endian words at the start of a state: k0, k1, w.
fn key_words(state: &State) -> (u32, u32, u32) {
    let word = |at: usize| u32::from_be_bytes(state.0[at..at + 4].try_into().expect("four bytes"));
    (word(0), word(4), word(8))
}

/// The top 52 bits of hi·2³² + lo as the mantissa of a double in [2,4), less 3.
fn unit(lo: u32, hi: u32) -> f64 {
    let bits = u64::from(hi) << 32 | u64::from(lo);
    f64::from_bits(0x4000_0000_0000_0000 | bits >> 12) - 3.0
}

impl Oracle {
    /// Element `k` of vector `vector` of one operand of product `product`.
    pub fn element(
        self,
        state: &State,
        product: u32,
        operand: Operand,
        vector: u32,
        k: u32,
    ) -> f64 {
        let (k0, k1, w) = key_words(state);
        let [y0, y1, y2, y3] =
            philox4x32_10([k / 2, vector, 2 * product + operand as u32, w], [k0, k1]);
        if k.is_multiple_of(2) { unit(y0, y1) } else { unit(y2, y3) }
    }

    /// C\[row\]\[column\] of a product: n fused multiply-adds, k ascending.
    pub fn output(self, state: &State, dim: u32, product: u32, row: u32, column: u32) -> f64 {
        let mut c = 0.0;
        for k in 0..dim {
            let a = self.element(state, product, Operand::A, row, k);
            let b = self.element(state, product, Operand::B, column, k);
            c = f64::mul_add(a, b, c);
        }
        c
    }

    /// The 512 bytes of a leaf.
    pub fn leaf_message(self, state: &State, dim: u32, place: LeafPlace) -> [u8; 512] {
        message(place, |row, column| self.output(state, dim, place.product, row, column))
    }

    /// The hash of a leaf.
    pub fn leaf_hash(self, state: &State, dim: u32, place: LeafPlace) -> Digest {
        leaf_hash(&self.leaf_message(state, dim, place))
    }

    /// All leaf hashes of an iteration, in order: the same outputs, with the
    /// operands drawn once instead of once per output.
    pub fn iteration_leaves(self, shape: Fp64Product, state: &State) -> Vec<Digest> {
        let per_product = shape.leaves() / u64::from(shape.products);
        let product = |product: u32| {
            let c = self.product(state, shape.dim, product);
            (0..per_product).map(move |leaf| {
                let place = LeafPlace::of(shape, u64::from(product) * per_product + leaf);
                leaf_hash(&message(place, |row, column| c[row as usize][column as usize]))
            })
        };
        (0..shape.products).flat_map(product).collect()
    }

    /// C, row by row.
    fn product(self, state: &State, dim: u32, product: u32) -> Vec<Vec<f64>> {
        let vectors = |operand| -> Vec<Vec<f64>> {
            let vector =
                |x| (0..dim).map(|k| self.element(state, product, operand, x, k)).collect();
            (0..dim).into_par_iter().map(vector).collect()
        };
        let (rows, columns) = (vectors(Operand::A), vectors(Operand::B));
        let output = |row: &[f64], column: &[f64]| {
            row.iter().zip(column).fold(0.0, |c, (&a, &b)| f64::mul_add(a, b, c))
        };
        rows.par_iter()
            .map(|row| columns.iter().map(|column| output(row, column)).collect())
            .collect()
    }
}

/// The 8×8 block of leaf l = `place.leaf` of tile (tm, tn), row-major, each
/// element as 8 big-endian bytes.
fn message(place: LeafPlace, output: impl Fn(u32, u32) -> f64) -> [u8; 512] {
    let (tm, tn, l) = (place.tile_row, place.tile_column, place.leaf);
    let (wm, wn, gamma, tau) = (l >> 7, (l >> 5) & 3, (l >> 2) & 7, l & 3);
    let mut bytes = Vec::with_capacity(512);
    for a in 0..8 {
        for b in 0..4 {
            for e in 0..2 {
                let row = tm * 128 + wm * 64 + gamma + 8 * a;
                let column = tn * 128 + wn * 32 + 2 * tau + 8 * b + e;
                bytes.extend(output(row, column).to_be_bytes());
            }
        }
    }
    bytes.try_into().expect("64 outputs of 8 bytes")
}

#[cfg(test)]
mod tests {
    use super::{Oracle, unit};

    use crate::protocol::names::State;
    use crate::protocol::work::fp64_product::{Fp64Product, LeafPlace};

    #[test]
    fn unit_covers_minus_one_to_one_in_steps_of_two_to_the_minus_51() {
        assert_eq!(unit(0, 0), -1.0);
        assert_eq!(unit(0xfff, 0), -1.0);
        assert_eq!(unit(0x1000, 0), -1.0 + 2f64.powi(-51));
        assert_eq!(unit(0, 0x8000_0000), 0.0);
        assert_eq!(unit(u32::MAX, u32::MAX), 1.0 - 2f64.powi(-51));
    }

    #[test]
    fn single_leaves_equal_those_of_the_whole_iteration() {
        let (shape, state) = (Fp64Product { dim: 256, products: 2 }, State([9; 32]));
        let leaves = Oracle.iteration_leaves(shape, &state);
        assert_eq!(leaves.len() as u64, shape.leaves());
        for index in [0, 1, 255, 256, 1023, 1024, 2047] {
            let place = LeafPlace::of(shape, index);
            assert_eq!(Oracle.leaf_hash(&state, 256, place), leaves[index as usize]);
        }
    }

    #[test]
    fn the_shared_leaf_geometry_is_the_one_written_here() {
        let shape = Fp64Product { dim: 384, products: 2 };
        for index in 0..shape.leaves() {
            let place = LeafPlace::of(shape, index);
            let mut outputs = Vec::new();
            super::message(place, |row, column| f64::from(row * 384 + column))
                .chunks(8)
                .for_each(|b| outputs.push(f64::from_be_bytes(b.try_into().unwrap()) as u32));
            let expected: Vec<u32> = place
                .rows()
                .iter()
                .flat_map(|row| place.columns().map(|column| row * 384 + column))
                .collect();
            assert_eq!(outputs, expected, "leaf {index}");
        }
    }
}
