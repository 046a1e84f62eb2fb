//! Whole iterations and whole tiles over the cores.
//!
//! Runs in the rayon pool of the caller. Deliberately lacks chains, and roots above the
//! tiles.

use super::block::{self, Scratch};
use super::kernel::{Engine, with_kernel};
use crate::executor::TileRequest;
use crate::protocol::digest::Digest;
use crate::protocol::names::State;
use crate::protocol::work::integer_product::{IntegerProduct, LeafPlace};
use crate::work::blocks::{self, BlockPlace, Lent};
use rayon::prelude::*;

/// A kernel with the scratch memory of the threads that use it.
pub(super) struct Compute {
    engine: Engine,
    scratch: Lent<Scratch>,
}

impl Compute {
    pub(super) fn new(engine: Engine) -> Self {
        Self { engine, scratch: Lent::default() }
    }

    pub(super) fn engine(&self) -> Engine {
        self.engine
    }

    /// The roots of the tiles' subtrees in one iteration, in tile order.
    pub(super) fn tile_roots(&self, shape: IntegerProduct, state: &State) -> Vec<Digest> {
        let (side, products) = (shape.tiles_per_side(), shape.products);
        blocks::tile_roots(side, products, |place| self.block_roots(shape, state, place))
    }

    /// The 64 leaf hashes of each tile.
    pub(super) fn leaf_hashes(
        &self,
        shape: IntegerProduct,
        tiles: &[TileRequest],
    ) -> Vec<Vec<Digest>> {
        let hashes = |tile: &TileRequest| {
            let LeafPlace { product, tile_row, tile_column, .. } =
                LeafPlace::of(shape, tile.first_leaf(shape.into()));
            let place =
                BlockPlace { product, tile_row, tile_column, tile_rows: 1, tile_columns: 1 };
            self.scratch.with(|scratch| {
                with_kernel!(self.engine, kernel => {
                    block::compute(kernel, shape, &tile.at.state, &place, scratch)
                        .leaf_hashes(0, 0)
                        .to_vec()
                })
            })
        };
        tiles.par_iter().map(hashes).collect()
    }

    /// The block's tile roots, row by row.
    fn block_roots(&self, shape: IntegerProduct, state: &State, place: &BlockPlace) -> Vec<Digest> {
        self.scratch.with(|scratch| {
            let block = with_kernel!(self.engine, kernel => {
                block::compute(kernel, shape, state, place, scratch)
            });
            let columns = 0..place.tile_columns;
            (0..place.tile_rows)
                .flat_map(|down| columns.clone().map(move |across| (down, across)))
                .map(|(down, across)| block.tile_root(down, across))
                .collect()
        })
    }
}
