//! `matrix_multiplication_pow`: FP64 products, every output an ordered chain of fused
//! multiply-adds. Counts of tiles, leaves and operations, and where a leaf lies.

pub use super::square_tiles::TILE;

use super::square_tiles::square_tiles;
use crate::challenge::{ChallengeError, multiple, within};
use crate::quantity::counted;
use serde::{Deserialize, Serialize};
use std::fmt;

/// `challenge_type` on the wire.
pub const CHALLENGE_TYPE: &str = "matrix_multiplication_pow";
/// Leaves of a tile, each eight rows by eight columns of outputs.
pub const LEAVES_PER_TILE: u32 = 256;
/// What a verdict calls its operations.
const MULTIPLY_ADDS: &str = "ordered multiply-adds";

/// The fields as they are written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fp64Fields {
    /// n: a multiple of 128, 128 … 32768.
    pub matrix_dim: u64,
    /// m: products per iteration, 1 … 4096.
    pub num_matrices: u64,
}

impl Fp64Fields {
    /// The fields' names, in the order of the protocol's table.
    pub const NAMES: [&str; 2] = ["matrix_dim", "num_matrices"];

    pub(super) fn entries(&self) -> [(&'static str, u64); 2] {
        let [dim, products] = Self::NAMES;
        [(dim, self.matrix_dim), (products, self.num_matrices)]
    }

    /// # Errors
    /// The first field outside its bounds.
    pub(super) fn check(&self) -> Result<Fp64Product, ChallengeError> {
        let [dim, products] = Self::NAMES;
        Ok(Fp64Product {
            dim: multiple(dim, within(dim, self.matrix_dim, 128, 32_768)?, 128)? as u32,
            products: within(products, self.num_matrices, 1, 4096)? as u32,
        })
    }
}

/// The size of one iteration on one lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fp64Product {
    /// n: rows, columns and inner dimension; a multiple of 128.
    pub dim: u32,
    /// m: products per iteration.
    pub products: u32,
}

impl Fp64Product {
    /// Bytes of one product's two operands: 16·n².
    pub fn operand_bytes_per_product(self) -> u64 {
        16 * u64::from(self.dim).pow(2)
    }
}

impl fmt::Display for Fp64Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} of {n} x {n} matrices",
            counted(self.products.into(), "product"),
            n = self.dim
        )
    }
}

square_tiles!(Fp64Product, LeafPlace);

/// Where a leaf lies in its iteration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LeafPlace {
    /// Index of the product in its iteration.
    pub product: u32,
    /// Tile row and tile column in the product.
    pub tile_row: u32,
    /// Tile column.
    pub tile_column: u32,
    /// l: the leaf in its tile, 0 … 255.
    pub leaf: u32,
}

impl LeafPlace {
    /// The eight rows of A that the leaf depends on, in the order of a.
    pub fn rows(self) -> [u32; 8] {
        let first = self.tile_row * TILE + (self.leaf >> 7) * 64 + ((self.leaf >> 2) & 7);
        std::array::from_fn(|a| first + 8 * a as u32)
    }
    /// The eight columns of B, in the order of b then e.
    pub fn columns(self) -> [u32; 8] {
        let first = self.tile_column * TILE + ((self.leaf >> 5) & 3) * 32 + 2 * (self.leaf & 3);
        std::array::from_fn(|c| first + 8 * (c as u32 / 2) + c as u32 % 2)
    }
}
