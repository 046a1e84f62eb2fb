//! Products of square matrices, cut into square tiles: counts, and where a tile and a leaf
//! lie. Kinds of work whose iterations are such products have these methods from here.

/// Rows and columns of a tile of C.
pub const TILE: u32 = 128;

/// Gives a kind's product (`dim`, `products`) and its leaves' place (`product`, `tile_row`,
/// `tile_column`, `leaf`) what follows from the tiles alone. The kind's module has
/// `LEAVES_PER_TILE` and `MULTIPLY_ADDS`.
macro_rules! square_tiles {
    ($product:ident, $place:ident) => {
        impl $product {
            /// Tiles along one side of a product: n/128.
            pub fn tiles_per_side(self) -> u32 {
                self.dim / TILE
            }
            /// Tiles of one product: (n/128)².
            pub fn tiles_per_product(self) -> u64 {
                u64::from(self.tiles_per_side()).pow(2)
            }
            /// Tiles of one iteration.
            pub fn tiles(self) -> u64 {
                u64::from(self.products) * self.tiles_per_product()
            }
            /// L, the leaves of one iteration.
            pub fn leaves(self) -> u64 {
                self.tiles() * u64::from(LEAVES_PER_TILE)
            }
            /// Multiply-adds of one iteration: m·n³. At most 2⁶⁰.
            pub fn multiply_adds(self) -> u64 {
                u64::from(self.products) * u64::from(self.dim).pow(3)
            }
            /// A run of so many iterations on so many lanes, as a verdict tells it.
            pub(super) fn run_in_words(self, lanes: u32, iterations: u32) -> String {
                let runs = u128::from(iterations) * u128::from(lanes);
                format!(
                    "{} {MULTIPLY_ADDS} ({} x {} x {} of {}^3)",
                    $crate::quantity::count(u128::from(self.multiply_adds()) * runs),
                    $crate::quantity::counted(lanes.into(), "lane"),
                    $crate::quantity::counted(iterations.into(), "iteration"),
                    $crate::quantity::counted(self.products.into(), "product"),
                    self.dim
                )
            }
            /// The index among the iteration's tiles of one of product `product`.
            pub fn tile(self, product: u32, tile_row: u32, tile_column: u32) -> u64 {
                let side = u64::from(self.tiles_per_side());
                u64::from(product) * self.tiles_per_product()
                    + u64::from(tile_row) * side
                    + u64::from(tile_column)
            }
        }

        impl $place {
            /// The place of leaf `index` (0 … L−1) of an iteration.
            pub fn of(shape: $product, index: u64) -> Self {
                let tile = index / u64::from(LEAVES_PER_TILE);
                let in_product = tile % shape.tiles_per_product();
                let side = u64::from(shape.tiles_per_side());
                Self {
                    product: (tile / shape.tiles_per_product()) as u32,
                    tile_row: (in_product / side) as u32,
                    tile_column: (in_product % side) as u32,
                    leaf: (index % u64::from(LEAVES_PER_TILE)) as u32,
                }
            }
        }
    };
}
pub(super) use square_tiles;
