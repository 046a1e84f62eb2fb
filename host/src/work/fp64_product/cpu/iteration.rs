//! Whole iterations and whole tiles over the cores: cuts products into blocks,
//! spreads the blocks with rayon, and puts the results in order.
//!
//! Runs in the rayon pool of the caller. Deliberately knows no chain and no
//! roots above the tiles.

use super::block::{self, BlockPlace, Scratch};
use super::kernel::{Engine, with_kernel};
use crate::executor::TileRequest;
use crate::protocol::digest::Digest;
use crate::protocol::names::State;
use crate::protocol::work::fp64_product::{Fp64Product, LeafPlace};
use rayon::prelude::*;
use std::sync::{Mutex, PoisonError};

/// Tiles along a block's side if there are enough blocks for every core:
/// 512 rows and columns keep the packed operands of a chunk in the second
/// cache, and generation near a twentieth of the work.
const BLOCK_TILES_MAX: u32 = 4;

/// Blocks per core below which blocks are made smaller.
const BLOCKS_PER_CORE: u64 = 2;

/// A kernel with the scratch memory of the threads that use it.
pub(super) struct Compute {
    engine: Engine,
    free: Mutex<Vec<Scratch>>,
}

impl Compute {
    pub(super) fn new(engine: Engine) -> Self {
        Self { engine, free: Mutex::default() }
    }

    pub(super) fn engine(&self) -> Engine {
        self.engine
    }

    /// The roots of the tiles' subtrees in one iteration, in tile order.
    pub(super) fn tile_roots(&self, shape: Fp64Product, state: &State) -> Vec<Digest> {
        let blocks = cut(shape, rayon::current_num_threads());
        let side = shape.tiles_per_side();
        let mut roots = vec![Digest::default(); shape.tiles() as usize];
        let per_block: Vec<Vec<Digest>> =
            blocks.par_iter().map(|place| self.block_roots(shape.dim, state, place)).collect();
        for (place, block_roots) in blocks.iter().zip(per_block) {
            let first = u64::from(place.product) * shape.tiles_per_product();
            let lines = block_roots.chunks_exact(place.tile_columns as usize);
            for (line, tile_row) in lines.zip(place.tile_row..) {
                let at = first + u64::from(tile_row * side + place.tile_column);
                roots[at as usize..][..line.len()].copy_from_slice(line);
            }
        }
        roots
    }

    /// The 256 leaf hashes of each tile.
    pub(super) fn leaf_hashes(
        &self,
        shape: Fp64Product,
        tiles: &[TileRequest],
    ) -> Vec<Vec<Digest>> {
        tiles
            .par_iter()
            .map(|tile| {
                let first = LeafPlace::of(shape, tile.first_leaf(shape.into()));
                let place = BlockPlace {
                    product: first.product,
                    tile_row: first.tile_row,
                    tile_column: first.tile_column,
                    tile_rows: 1,
                    tile_columns: 1,
                };
                self.with_scratch(|scratch| {
                    with_kernel!(self.engine, kernel => {
                        block::compute(kernel, shape.dim, &tile.at.state, &place, scratch)
                            .leaf_hashes(0, 0)
                            .to_vec()
                    })
                })
            })
            .collect()
    }

    /// The block's tile roots, row by row.
    fn block_roots(&self, dim: u32, state: &State, place: &BlockPlace) -> Vec<Digest> {
        self.with_scratch(|scratch| {
            let block = with_kernel!(self.engine, kernel => {
                block::compute(kernel, dim, state, place, scratch)
            });
            let columns = 0..place.tile_columns;
            (0..place.tile_rows)
                .flat_map(|down| columns.clone().map(move |across| (down, across)))
                .map(|(down, across)| block.tile_root(down, across))
                .collect()
        })
    }

    /// Lends scratch memory; a thread that panics merely keeps its own.
    fn with_scratch<R>(&self, work: impl FnOnce(&mut Scratch) -> R) -> R {
        let free = || self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut scratch = free().pop().unwrap_or_default();
        let result = work(&mut scratch);
        free().push(scratch);
        result
    }
}

/// Cuts an iteration into blocks, largest first if a side does not divide.
fn cut(shape: Fp64Product, threads: usize) -> Vec<BlockPlace> {
    let side = shape.tiles_per_side();
    let blocks = |parts: u32| u64::from(parts).pow(2) * u64::from(shape.products);
    let wanted = BLOCKS_PER_CORE * threads as u64;
    let few = side.div_ceil(BLOCK_TILES_MAX);
    // One core needs no smaller blocks.
    let parts = if threads == 1 {
        few
    } else {
        (few..=side).find(|&parts| blocks(parts) >= wanted).unwrap_or(side)
    };
    // Part i of `parts` covers tiles i·side/parts … (i+1)·side/parts.
    let edge = |part: u32| part * side / parts;
    let mut places = Vec::new();
    for product in 0..shape.products {
        for row in 0..parts {
            for column in 0..parts {
                places.push(BlockPlace {
                    product,
                    tile_row: edge(row),
                    tile_column: edge(column),
                    tile_rows: edge(row + 1) - edge(row),
                    tile_columns: edge(column + 1) - edge(column),
                });
            }
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::cut;
    use crate::protocol::work::fp64_product::Fp64Product;

    #[test]
    fn blocks_cover_each_tile_once() {
        for side in [1, 2, 3, 4, 5, 7, 8, 9, 16, 17] {
            for (products, threads) in [(1, 1), (1, 2), (3, 2), (1, 16), (2, 64)] {
                let shape = Fp64Product { dim: 128 * side, products };
                let mut seen = vec![0u32; shape.tiles() as usize];
                for place in cut(shape, threads) {
                    for row in place.tile_row..place.tile_row + place.tile_rows {
                        for column in place.tile_column..place.tile_column + place.tile_columns {
                            seen[((place.product * side + row) * side + column) as usize] += 1;
                        }
                    }
                }
                assert!(seen.iter().all(|&n| n == 1), "side {side}, threads {threads}: {seen:?}");
            }
        }
    }
}
