//! `integer_multiplication_pow`: products of int8 matrices, every output an exact int32.
//! Counts of tiles, leaves and operations, and where a leaf lies.
//!
//! Guarantees: an [`IntegerProduct`] of a challenge is within all bounds; no output leaves
//! an int32, so any order, unit or method gives the same bits.
//! Deliberately lacks: random numbers, products, folding and hashing. The oracle, the CPU
//! and the GPU have their own.

pub mod shown;

pub use super::square_tiles::TILE;

use super::square_tiles::square_tiles;
use crate::challenge::{ChallengeError, multiple, within};
use crate::quantity::counted;
use serde::{Deserialize, Serialize};
use std::fmt;

/// `challenge_type` on the wire.
pub const CHALLENGE_TYPE: &str = "integer_multiplication_pow";
/// Leaves of a tile, each two rows of outputs.
pub const LEAVES_PER_TILE: u32 = 64;
/// What a verdict calls its operations.
const MULTIPLY_ADDS: &str = "int8 multiply-adds";
/// Rows of a leaf: r and r + 8.
pub const LEAF_ROWS: u32 = 2;
/// Elements that one Philox block draws.
pub const ELEMENTS_PER_BLOCK: u32 = 16;
/// W: columns into which a leaf's words are folded.
pub const FOLD_COLUMNS: u32 = 4;
/// Q: words of a column.
pub const FOLD_WORDS: u32 = 16;
/// Most rows, columns and inner indices.
pub const DIM_MAX: u32 = 65_536;
/// Most products of an iteration.
pub const PRODUCTS_MAX: u32 = 4096;

const _: () = assert!(
    LEAVES_PER_TILE * LEAF_ROWS == TILE && FOLD_COLUMNS * FOLD_WORDS * 4 == LEAF_ROWS * TILE,
    "a tile's leaves are its rows, and a leaf folds all outputs of its two"
);
const _: () = assert!(DIM_MAX as u64 * (128 * 128) <= 1 << 30, "an output is an int32");

/// The fields as they are written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IntegerFields {
    /// n: a multiple of 128, 128 … 65536.
    pub matrix_dim: u64,
    /// m: products per iteration, 1 … 4096.
    pub num_matrices: u64,
}

impl IntegerFields {
    /// The fields' names, in the order of the protocol's table.
    pub const NAMES: [&str; 2] = ["matrix_dim", "num_matrices"];

    pub(super) fn entries(&self) -> [(&'static str, u64); 2] {
        let [dim, products] = Self::NAMES;
        [(dim, self.matrix_dim), (products, self.num_matrices)]
    }

    /// # Errors
    /// The first field outside its bounds.
    pub(super) fn check(&self) -> Result<IntegerProduct, ChallengeError> {
        let [dim, products] = Self::NAMES;
        let n = multiple(dim, within(dim, self.matrix_dim, 128, DIM_MAX.into())?, 128)?;
        let m = within(products, self.num_matrices, 1, PRODUCTS_MAX.into())?;
        Ok(IntegerProduct { dim: n as u32, products: m as u32 })
    }
}

/// The size of one iteration on one lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IntegerProduct {
    /// n: rows, columns and inner dimension; a multiple of 128.
    pub dim: u32,
    /// m: products per iteration.
    pub products: u32,
}

impl IntegerProduct {
    /// Bytes of one product's two operands: 2·n².
    pub fn operand_bytes_per_product(self) -> u64 {
        2 * u64::from(self.dim).pow(2)
    }
}

impl fmt::Display for IntegerProduct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} of {n} x {n} int8 matrices",
            counted(self.products.into(), "product"),
            n = self.dim
        )
    }
}

square_tiles!(IntegerProduct, LeafPlace);

/// Where a leaf lies in its iteration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LeafPlace {
    /// Index of the product in its iteration.
    pub product: u32,
    /// Tile row in the product.
    pub tile_row: u32,
    /// Tile column in the product.
    pub tile_column: u32,
    /// l: the leaf in its tile, 0 … 63.
    pub leaf: u32,
}

impl LeafPlace {
    /// x, the leaf's index in its iteration.
    pub fn index(self, shape: IntegerProduct) -> u64 {
        let tile = shape.tile(self.product, self.tile_row, self.tile_column);
        tile * u64::from(LEAVES_PER_TILE) + u64::from(self.leaf)
    }
    /// The two rows of A that the leaf depends on, r and r + 8.
    pub fn rows(self) -> [u32; LEAF_ROWS as usize] {
        let row = self.tile_row * TILE + row_in_tile(self.leaf);
        [row, row + 8]
    }
    /// The first of the 128 columns of B.
    pub fn first_column(self) -> u32 {
        self.tile_column * TILE
    }
}

/// The first row, counted from its tile's first, of leaf `leaf` of a tile.
pub fn row_in_tile(leaf: u32) -> u32 {
    16 * (leaf / 8) + leaf % 8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_those_of_the_table_and_one_beyond_each_is_refused() {
        for (dim, products) in [(128, 1), (384, 4096), (65_536, 4096)] {
            let fields = IntegerFields { matrix_dim: dim, num_matrices: products };
            let expected = IntegerProduct { dim: dim as u32, products: products as u32 };
            assert_eq!(fields.check().unwrap(), expected);
        }
        for ((dim, products), expected) in [
            ((0, 1), "matrix_dim"),
            ((64, 1), "matrix_dim"),
            ((192, 1), "matrix_dim"),
            ((65_664, 1), "matrix_dim"),
            ((u64::MAX - 127, 1), "matrix_dim"),
            ((128, 0), "num_matrices"),
            ((128, 4097), "num_matrices"),
            ((128, (1 << 32) + 1), "num_matrices"),
        ] {
            match (IntegerFields { matrix_dim: dim, num_matrices: products }).check() {
                Err(ChallengeError::OutOfBounds { field, .. }) => assert_eq!(field, expected),
                other => panic!("{dim} {products}: {other:?}"),
            }
        }
    }

    #[test]
    fn the_largest_counts_fit() {
        let largest = IntegerProduct { dim: DIM_MAX, products: PRODUCTS_MAX };
        assert_eq!((largest.tiles(), largest.leaves()), (1 << 30, 1 << 36));
        assert_eq!(largest.multiply_adds(), 1 << 60);
        assert_eq!(largest.operand_bytes_per_product(), 1 << 33);
        let words = largest.run_in_words(64, 1_000_000);
        assert!(words.starts_with("7.378e25 int8 multiply-adds"), "{words}");
    }

    #[test]
    fn leaves_have_places_and_places_indices() {
        for shape in [
            IntegerProduct { dim: 384, products: 2 },
            IntegerProduct { dim: DIM_MAX, products: PRODUCTS_MAX },
        ] {
            let last = shape.leaves() - 1;
            for index in [0, 1, 63, 64, 191, 192, 575, 576, 1151, last - 1, last] {
                assert_eq!(LeafPlace::of(shape, index).index(shape), index, "{shape}");
            }
        }
        let shape = IntegerProduct { dim: 384, products: 2 };
        let place = LeafPlace::of(shape, (9 + 5) * 64 + 29);
        assert_eq!(place, LeafPlace { product: 1, tile_row: 1, tile_column: 2, leaf: 29 });
        assert_eq!((place.rows(), place.first_column()), ([128 + 53, 128 + 61], 256));
    }

    /// Each row of a tile belongs to one leaf.
    #[test]
    fn leaves_share_a_tiles_rows_out() {
        let mut rows: Vec<u32> = (0..LEAVES_PER_TILE)
            .flat_map(|leaf| [row_in_tile(leaf), row_in_tile(leaf) + 8])
            .collect();
        rows.sort_unstable();
        assert!(rows.into_iter().eq(0..TILE));
    }
}
