//! What products of FP64 and of integers have in common: sizes. Pure.

use crate::protocol::work::{Work, fp64_product, integer_product};
use gpu_kernels::tile::TILE;

/// Products of square matrices, whatever their elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProductShape {
    /// n: a multiple of 128.
    pub dim: u32,
    /// Products of an iteration (m).
    pub products: u32,
    /// Bytes of an element of an operand.
    pub element_bytes: u32,
    /// Leaves of a tile of 128×128 outputs.
    pub leaves_per_tile: u32,
}

impl ProductShape {
    /// That of `work`, if it is products.
    pub fn of(work: Work) -> Option<Self> {
        let (dim, products, element_bytes, leaves_per_tile) = match work {
            Work::Fp64Product(of) => (of.dim, of.products, 8, fp64_product::LEAVES_PER_TILE),
            Work::IntegerProduct(of) => (of.dim, of.products, 1, integer_product::LEAVES_PER_TILE),
            Work::MemoryResidency(_) => return None,
        };
        Some(Self { dim, products, element_bytes, leaves_per_tile })
    }

    /// n/128.
    pub fn tiles_per_side(self) -> u32 {
        self.dim / TILE
    }

    /// (n/128)².
    pub fn tiles_per_product(self) -> u64 {
        u64::from(self.tiles_per_side()).pow(2)
    }

    /// Tiles of one iteration.
    pub fn tiles(self) -> u64 {
        u64::from(self.products) * self.tiles_per_product()
    }

    /// Multiply-adds of one iteration: m·n³.
    pub fn multiply_adds(self) -> u64 {
        u64::from(self.products) * u64::from(self.dim).pow(3)
    }

    /// Bytes of one product's two operands.
    pub fn operand_bytes_per_product(self) -> u64 {
        2 * u64::from(self.element_bytes) * u64::from(self.dim).pow(2)
    }

    /// Bytes of an iteration's operands.
    pub fn operand_bytes(self) -> u64 {
        u64::from(self.products) * self.operand_bytes_per_product()
    }

    /// Bytes of the two panels that a single tile is made of.
    pub fn operand_bytes_per_tile(self) -> u64 {
        2 * u64::from(self.element_bytes) * u64::from(TILE) * u64::from(self.dim)
    }

    /// Product, first row and first column of the iteration's tile `tile`.
    pub fn place(self, tile: u64) -> [u32; 3] {
        let (product, in_product) =
            (tile / self.tiles_per_product(), tile % self.tiles_per_product());
        let side = u64::from(self.tiles_per_side());
        let first = |at: u64| at as u32 * TILE;
        [product as u32, first(in_product / side), first(in_product % side)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::work::fp64_product::Fp64Product;
    use crate::protocol::work::integer_product::IntegerProduct;

    #[test]
    fn sizes_are_those_of_the_kinds() {
        let fp64 = Fp64Product { dim: 384, products: 5 };
        let shape = ProductShape::of(fp64.into()).unwrap();
        assert_eq!(shape.tiles(), fp64.tiles());
        assert_eq!(shape.multiply_adds(), fp64.multiply_adds());
        assert_eq!(shape.operand_bytes_per_product(), fp64.operand_bytes_per_product());
        assert_eq!(shape.place(fp64.tile(4, 2, 1)), [4, 256, 128]);
        let integer = IntegerProduct { dim: 384, products: 5 };
        let shape = ProductShape::of(Work::IntegerProduct(integer)).unwrap();
        assert_eq!(shape.tiles(), integer.tiles());
        assert_eq!(shape.multiply_adds(), integer.multiply_adds());
        assert_eq!(shape.operand_bytes_per_product(), integer.operand_bytes_per_product());
        assert_eq!(shape.place(integer.tile(4, 2, 1)), [4, 256, 128]);
    }
}
